//! The lab's commands, as far as no ONNX Runtime is needed: labels, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test is a panic")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Outcome, run};
use tempfile::TempDir;

/// A folder with a file of query data.
fn data(lines: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("graded.jsonl");
    std::fs::write(&file, lines).unwrap();
    (folder, file)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn label(kind: &str, file: &Path, more: &[&str]) -> Outcome {
    let args = ["label", "--kind", kind, "--data", text(file), "--small", "s", "--large", "l"];
    run(&[&args[..], more].concat(), "")
}

/// The small model keeps up in the first, is a little behind in the second and far behind in the third.
const GRADED: &str = r#"{"id": "a", "query": "one", "quality": {"s": [7, 9], "l": [8, 7]}}
{"id": "b", "query": "two", "quality": {"s": [7, 7], "l": [8, 8]}}
{"id": "c", "query": "three", "quality": {"s": [1, 2], "l": [9, 9]}}
"#;

#[test]
fn each_kind_has_its_labels() {
    let (folder, file) = data(GRADED);
    let out = folder.path().join("labels.jsonl");
    let labels = |kind| {
        let outcome = label(kind, &file, &["--out", text(&out)]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let lines = std::fs::read_to_string(&out).unwrap();
        let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((rows[2]["id"].as_str(), rows[2]["query"].as_str()), (Some("c"), Some("three")));
        assert_eq!(rows[2]["source"], "graded");
        rows.iter().map(|row| row["label"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(labels("det"), [0.0, 0.0, 0.0]);
    assert_eq!(labels("prob"), [0.75, 0.0, 0.0]);
    assert_eq!(labels("trans"), [1.0, 1.0, 0.0]);
    assert_eq!(labels("gap"), [0.5, -1.0, -7.5]);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing beside the data and the labels: {left:?}");
}

#[test]
fn the_search_for_t_is_shown() {
    let (_folder, file) = data(GRADED);
    let report: Value = serde_json::from_str(&label("trans", &file, &["--json"]).stdout).unwrap();
    assert_eq!((report["relaxation"].as_f64(), report["n"].as_u64()), (Some(1.0), Some(3)));
    let curve = report["curve"].as_array().unwrap();
    let best = curve.iter().max_by(|a, b| a["difference"].as_f64().partial_cmp(&b["difference"].as_f64()).unwrap());
    assert_eq!(best.unwrap()["t"], 1.0);
    assert!((best.unwrap()["difference"].as_f64().unwrap() - 4.0 / 9.0).abs() < 1e-12);
    assert_eq!((report["before"]["ones"].as_f64(), report["balance"]["ones"].as_f64()), (Some(0.0), Some(2.0 / 3.0)));
    assert_eq!(report["same"], Value::Null);
}

#[test]
fn the_search_for_t_is_drawn() {
    let (folder, file) = data(GRADED);
    let page = folder.path().join("labels.html");
    let outcome = label("trans", &file, &["--report", text(&page)]);
    assert!(outcome.stdout.contains("← t*"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("queries, r_prob"), "{}", outcome.stdout);
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<svg") && !html.contains("<link") && !html.contains("src="), "self-contained");
    assert_eq!(label("prob", &file, &["--report", text(&page)]).code, 2);
}

#[test]
fn kinds_that_cannot_differ_are_told() {
    let (_folder, file) = data(
        "{\"query\": \"q\", \"quality\": {\"s\": 0, \"l\": 1}}\n{\"query\": \"r\", \"quality\": {\"s\": 1, \"l\": 1}}\n",
    );
    let prob = label("prob", &file, &[]);
    assert!(prob.stdout.contains("prob is the same as det here: collect more, --samples 10"), "{}", prob.stdout);
    let trans = label("trans", &file, &[]);
    assert!(trans.stdout.contains("trans is the same as prob here: it needs graded quality"), "{}", trans.stdout);
    let report: Value = serde_json::from_str(&label("prob", &file, &["--json"]).stdout).unwrap();
    assert_eq!(report["same"], "one_sample");
}

#[test]
fn labels_that_are_all_alike_are_told() {
    let note = |kind: &str, (small, large): (&str, &str)| {
        let line = format!("{{\"query\": \"q\", \"quality\": {{\"s\": {small}, \"l\": {large}}}}}\n");
        let (_folder, file) = data(&line.repeat(20));
        let said = label(kind, &file, &[]).stdout;
        said.lines().find(|line| line.contains("little to learn")).unwrap_or_default().to_owned()
    };
    let (worse, better) = (("[1, 2]", "[9, 8]"), ("[9, 8]", "[1, 2]"));
    insta::assert_snapshot!(note("prob", worse), @"note: 100 % of the labels are 0: the small model hardly ever keeps up; there is little to learn from: --kind trans may spread the labels");
    // Relaxing only raises labels, and does nothing to right and wrong.
    insta::assert_snapshot!(note("prob", better), @"note: 100 % of the labels are 1: the small model nearly always keeps up; there is little to learn from: send everything to it, or take a smaller one");
    insta::assert_snapshot!(note("prob", ("[0]", "[1]")), @"note: 100 % of the labels are 0: the small model hardly ever keeps up; there is little to learn from: take another pair of models");
    insta::assert_snapshot!(note("gap", ("[3]", "[3]")), @"note: 100 % of the labels are 0: the models are equally good; there is little to learn from: collect queries on which they differ, or take another pair");
    assert_eq!(note("gap", worse), "");
}

#[test]
fn bad_data_is_refused_with_file_and_line_and_nothing_is_written() {
    let (folder, file) = data("{\"query\": \"q\", \"quality\": {\"s\": [1], \"l\": [NaN]}}\n");
    let out = folder.path().join("labels.jsonl");
    let outcome = label("det", &file, &["--out", text(&out)]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.contains("graded.jsonl, line 1: is not JSON (column 44; NaN"), "{}", outcome.stderr);
    assert!(!out.exists());
    let nowhere = label("det", Path::new("/nowhere"), &[]);
    assert_eq!(nowhere.stderr, "error: cannot read /nowhere: No such file or directory (os error 2)\n");
    let (_folder, file) = data(GRADED);
    let judged = run(&["judge", text(&file), "--out", text(&file), "--exact"], "");
    assert_eq!((judged.code, std::fs::read_to_string(&file).unwrap().as_str()), (2, GRADED), "{}", judged.stderr);
    for option in ["--out", "--report"] {
        let over = label("trans", &file, &[option, text(&file)]);
        assert_eq!(over.code, 2, "{}", over.stderr);
        assert!(over.stderr.contains("would be written over: choose another place"), "{}", over.stderr);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), GRADED);
    }
    let unwritable = label("det", &file, &["--out", "/nowhere/labels.jsonl"]);
    assert_eq!((unwritable.code, unwritable.stdout.as_str()), (1, ""));
    assert!(unwritable.stderr.contains("cannot write /nowhere/labels.jsonl"), "{}", unwritable.stderr);
}

/// A router that is refused, or not, before its model is looked at.
fn router(folder: &Path) -> PathBuf {
    let router = folder.join("router");
    std::fs::create_dir(&router).unwrap();
    let manifest = r#"{"name": "r", "version": "1", "encoder": "e", "max_tokens": 8, "output": "sigmoid",
        "label": "det", "small": "s", "large": "other"}"#;
    for (file, content) in [("router.json", manifest), ("model.onnx", ""), ("tokenizer.json", "")] {
        std::fs::write(router.join(file), content).unwrap();
    }
    router
}

#[test]
fn calibrate_and_evaluate_read_the_data_before_anything_else() {
    let (folder, file) = data(GRADED);
    let router = router(folder.path());
    let before = std::fs::read_to_string(router.join("router.json")).unwrap();
    let fault = |args: &[&str], code| {
        let outcome = run(args, "");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""));
        outcome.stderr.lines().next().unwrap().replace(text(folder.path()), "DIR")
    };
    let (router_dir, data_file) = (text(&router), text(&file));
    let calibrate = |more: &[&str], code| fault(&[&["calibrate", "--router", router_dir][..], more].concat(), code);
    let evaluate = |more: &[&str], code| fault(&[&["evaluate", "--router", router_dir][..], more].concat(), code);
    let report = [
        calibrate(&["--data", data_file], 1),
        calibrate(&[], 2),
        calibrate(&["--queries", "/nowhere"], 1),
        calibrate(&["--queries", data_file, "--quality-drop", "0.01"], 2),
        calibrate(&["--data", data_file, "--quality-drop", "1 %"], 2),
        calibrate(&["--data", data_file, "--resplits", "200"], 2),
        calibrate(&["--data", data_file, "--large", "l", "--quality-drop", "0.1", "--resplits", "0"], 2),
        calibrate(&["--data", data_file, "--large", "l", "--quality-drop", "0.1", "--resplits", "9"], 2),
        evaluate(&["--data", data_file, "--small", "s", "--large", "s"], 1),
        evaluate(&["--data", data_file, "--small", "s"], 2),
        evaluate(&["--data", data_file, "--small", "s", "--large", "x"], 1),
        evaluate(&["--data", data_file, "/nowhere", "--small", "s", "--large", "l"], 1),
        evaluate(&["--data", data_file, "--small", "s", "--large", "l", "--draws", "5"], 2),
    ]
    .join("\n");
    insta::assert_snapshot!(report);
    assert_eq!(std::fs::read_to_string(router.join("router.json")).unwrap(), before);
}
