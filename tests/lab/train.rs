//! `hybrid-llm train`: routers that learned what there was to learn, and are what a server loads.

use crate::place::{Place, data, default_router, queries};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

impl Place {
    /// The share of pairs of an easy and a hard query, held back from training, that a router orders well.
    pub(crate) fn auc(&self, router: &str) -> f64 {
        let queries = queries(true);
        let lines: String = queries.iter().map(|(query, _)| json!({"query": query}).to_string() + "\n").collect();
        fs::write(self.folder.path().join("held-back.jsonl"), lines).unwrap();
        let output = self.run(&["score", "--json", "--router", router, "held-back.jsonl"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let score = |line: &str| serde_json::from_str::<Value>(line).unwrap()["score"].as_f64().unwrap();
        let scores: Vec<f64> = text.lines().map(score).collect();
        let of = |wanted: bool| {
            let pairs = scores.iter().zip(&queries).filter(move |(_, (_, easy))| *easy == wanted);
            pairs.map(|(score, _)| *score).collect::<Vec<_>>()
        };
        let (easy, hard) = (of(true), of(false));
        let right = easy.iter().map(|easy| hard.iter().filter(|hard| easy > hard).count()).sum::<usize>();
        right as f64 / (easy.len() * hard.len()) as f64
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_router_learns_on_the_default_routers_encoder_and_can_be_trained_again() {
    let place = Place::new();
    let report = place.train(&default_router(), "first", &["--label", "prob"]);
    assert_eq!(report["learnt"], true, "{report:#}");
    assert_eq!(report["checked"], report["rows"]["validation"]);
    assert!(report["validation"]["auc"].as_f64().unwrap() > 0.8);
    assert_eq!(files(&place.folder.path().join("first")), ["model.onnx", "router.json", "tokenizer.json"]);
    assert_eq!(files(place.folder.path()), ["data.jsonl", "first"], "nothing beside it");
    let auc = place.auc("first");
    assert!(auc > 0.9, "{auc}");

    let manifest = place.manifest("first");
    assert_eq!(
        (&manifest["name"], &manifest["label"], &manifest["small"]),
        (&json!("first"), &json!("prob"), &json!("s"))
    );
    assert_eq!(manifest["trained_on"][0]["source"], "data.jsonl");
    assert_eq!(manifest["trained_on"][0]["rows"], report["rows"]["train"]);
    assert_eq!(manifest["calibration"], json!([]));
    let counts = manifest["reference_histogram"]["counts"].as_array().unwrap();
    assert_eq!(json!(counts.iter().filter_map(Value::as_u64).sum::<u64>()), report["rows"]["validation"]);

    // A router is an encoder too: cut at its embedding, it gives the same head, and the same file, byte for byte.
    let again = place.train("first", "again", &["--label", "prob", "--workers", "1"]);
    assert_eq!(again["version"], report["version"]);
    let other = place.train("first", "again", &["--label", "prob", "--seed", "1", "--force"]);
    assert_ne!(other["version"], report["version"], "another seed trains on other rows");
    assert_eq!(files(&place.folder.path().join("again")), ["model.onnx", "router.json", "tokenizer.json"]);
}

#[test]
fn tokens_are_pooled_where_the_encoder_does_not() {
    let place = Place::new();
    let hidden = "layer_norm_12";
    let report =
        place.train(&default_router(), "pooled", &["--label", "gap", "--embedding", hidden, "--max-tokens", "32"]);
    assert_eq!((&report["encoder"]["dim"], &report["encoder"]["max_tokens"]), (&json!(384), &json!(32)));
    let auc = place.auc("pooled");
    assert!(auc > 0.9, "{auc}");
}

#[test]
fn other_pairs_and_a_validation_file_take_part() {
    let place = Place::new();
    fs::write(place.folder.path().join("apart.jsonl"), data(&queries(true)) + &data(&queries(false)[..1])).unwrap();
    let more =
        ["--label", "det", "--also", "data.jsonl", "other", "l", "--validation", "apart.jsonl", "--name", "mine"];
    let report = place.train(&default_router(), "router", &more);
    let (n, apart) = (queries(false).len(), queries(true).len() + 1);
    assert_eq!(report["rows"], json!({"train": 2 * (n - 1), "validation": apart, "left_out": 2, "skipped": 0}));
    let manifest = place.manifest("router");
    assert_eq!(manifest["name"], "mine");
    let pairs: Vec<_> = manifest["trained_on"].as_array().unwrap().iter().map(|entry| &entry["small"]).collect();
    assert_eq!(pairs, ["s", "other"]);
}

#[test]
fn what_is_no_embedding_or_too_long_is_refused_and_nothing_is_left() {
    let place = Place::new();
    let fault = |more: &[&str]| {
        let args =
            ["train", "--data", "data.jsonl", "--small", "s", "--large", "l", "--label", "det", "--out", "router"];
        let output = place.run(&[&args[..], &["--encoder", &default_router()], more].concat());
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(files(place.folder.path()), ["data.jsonl"]);
        String::from_utf8(output.stderr).unwrap()
    };
    let shape = fault(&["--embedding", "softmax"]);
    assert!(shape.contains("the tensor softmax is [1, 12, 128, 128] for one query"), "{shape}");
    let long = fault(&["--max-tokens", "2000"]);
    assert!(long.contains("cannot read a query of 2000 tokens (--max-tokens lowers it)"), "{long}");
}
