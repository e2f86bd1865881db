//! Routers and training programs as others see them: the ONNX checker, plain ONNX Runtime in Python, and what fine-tunes.

use crate::place::{Place, default_router};
use hybrid_llm_tests::{artifacts, fetch};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs a script of this folder, and gives the JSON that it prints.
#[track_caller]
fn python(script: &str, args: &[&Path]) -> Value {
    let output = Command::new("python3")
        .arg(artifacts::workspace().join("tests/lab").join(script))
        .args(args)
        .env("PYTHONPATH", fetch::checkers().unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn routers_pass_the_onnx_checker_and_score_alike_in_plain_onnxruntime() {
    let place = Place::new();
    place.train(&default_router(), "trained", &["--label", "prob"]);
    let text = "Derive the partition function of a lamp in the canonical ensemble.";
    fs::write(place.folder.path().join("one.txt"), text).unwrap();
    for router in [default_router().into(), place.folder.path().join("trained")] {
        let output = place.run(&["score", "--json", "--router", &router.display().to_string(), "one.txt"]);
        let ours: Value = serde_json::from_slice(&output.stdout).unwrap();
        let theirs = python("check_router.py", &[&router, Path::new(text)]).as_f64().unwrap();
        let score = ours["score"].as_f64().unwrap();
        assert!((score - theirs).abs() < 1e-5, "{}: {score} and {theirs}", router.display());
    }
}

#[test]
fn an_encoder_with_outputs_in_half_precision_is_trained_on() {
    let place = Place::new();
    let half = place.folder.path().join("half");
    let hidden = python("half_precision.py", &[Path::new(&default_router()), Path::new("layer_norm_12"), &half]);
    assert_eq!(hidden, "last_hidden_state");
    for (encoder, out, more) in [("half", "router", &["--max-tokens", "32"][..]), ("router", "again", &[])] {
        place.train(encoder, out, &[&["--label", "gap"], more].concat());
        let auc = place.auc(out);
        assert!(auc > 0.9, "{out}: {auc}");
        python("check_router.py", &[&place.folder.path().join(out), Path::new("Is a lamp bigger than a cup?")]);
    }
}

#[test]
fn a_router_with_logits_in_half_precision_is_refused_with_what_to_do() {
    let place = Place::new();
    let half = place.folder.path().join("half");
    python("half_precision.py", &[Path::new(&default_router()), Path::new("logits"), &half]);
    fs::write(place.folder.path().join("one.txt"), "Is a lamp bigger than a cup?").unwrap();
    let output = place.run(&["score", "--router", "half", "one.txt"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("half_logits") && error.contains("export it with float32 outputs, or put a Cast"),
        "{error}"
    );
}

/// Graded, with more different losses than the search for t* looks at, and most of them small; a byte order mark, a carriage
/// return at the end of each line, a blank line, and a quality without brackets.
fn graded() -> String {
    let line = |number: u32| {
        let quality = |at: u32| f64::from((number * 7 + at * 13) % 101) / 100.0;
        let small: Vec<f64> = (0..4).map(|at| quality(at) * 0.9 + f64::from(number) * 1e-5).collect();
        let large: Vec<f64> = (4..8).map(|at| quality(at).sqrt()).collect();
        let quality = if number == 7 { json!({"s": small[0], "l": large}) } else { json!({"s": small, "l": large}) };
        json!({"query": format!("What is {number} times the {number}th prime?"), "quality": quality}).to_string()
            + "\r\n"
    };
    format!("\u{feff}{}\r\n{}", line(0), (1..300).map(line).collect::<String>())
}

fn fine_tune(place: &Place, part: &str) -> Value {
    let programs = artifacts::workspace().join("examples/fine-tune");
    python("check_fine_tune.py", &[&programs, place.folder.path(), Path::new(part)])
}

fn pair<'a>(file: &'a str, small: &'a str, large: &'a str) -> [&'a str; 6] {
    ["--data", file, "--small", small, "--large", large]
}

#[test]
fn fine_tuning_reads_and_labels_as_the_lab_does() {
    let place = Place::new();
    fs::write(place.folder.path().join("graded.jsonl"), graded()).unwrap();
    let found = fine_tune(&place, "rows");
    let graded = graded();
    let lines: Vec<_> = graded.trim_start_matches('\u{feff}').split("\r\n").filter(|line| !line.is_empty()).collect();
    assert_eq!(found["lines"], json!(lines));
    let label = [&["label", "--json", "--kind", "trans"], &pair("graded.jsonl", "s", "l")[..]].concat();
    let report: Value = serde_json::from_slice(&place.run_alone(&label).stdout).unwrap();
    let (ours, theirs) = (report["relaxation"].as_f64().unwrap(), found["relaxation"].as_f64().unwrap());
    assert!(ours > 0.0 && (ours - theirs).abs() < 1e-12, "{ours} and {theirs}");
}

#[test]
fn fine_tuning_refuses_the_rows_that_the_lab_refuses() {
    let place = Place::new();
    let long = vec![b' '; (4 << 20) + 1];
    let bad: [(&[u8], &str); 10] = [
        (br#"{"query": " ", "quality": {"s": 1, "l": 1}}"#, "there is no \"query\" with text in it"),
        (b"my secret prompt", "Expecting value"),
        (b"{\"query\": \"my secret \xff\", \"quality\": {\"s\": 1, \"l\": 1}}", "its byte 22 is not UTF-8"),
        (br#"{"query": "my secret \ud800", "quality": {"s": 1, "l": 1}}"#, "\"query\" has half of a character"),
        (br#"{"query": "q", "quality": {"s": [NaN], "l": 1}}"#, "NaN is no JSON number"),
        (br#"{"query": "q", "quality": {"s": [0, 1e101], "l": 1}}"#, "the quality of 's' is beyond 1e+100"),
        (br#"{"query": "q", "quality": {"s": 0, "l": -2e100}}"#, "the quality of 'l' is beyond 1e+100"),
        (br#"{"query": "q", "quality": {"s": ["my secret"], "l": 1}}"#, "the quality of 's' is not a number"),
        (br#"{"query": "q", "quality": "my secret"}"#, "\"quality\" is not an object of models"),
        (&long, "it is longer than 4 MiB"),
    ];
    fs::create_dir(place.folder.path().join("bad")).unwrap();
    for (number, (line, _)) in bad.iter().enumerate() {
        let content = [br#"{"query": "q", "quality": {"s": 1, "l": 1}}"#, &b"\n"[..], line, b"\n"].concat();
        fs::write(place.folder.path().join(format!("bad/{number}")), content).unwrap();
    }
    let found = fine_tune(&place, "faults");
    for (number, (_, problem)) in bad.iter().enumerate() {
        let theirs = found[number.to_string()].as_str().unwrap();
        let told = theirs.contains(&format!("bad/{number} line 2: {problem}")) && theirs.contains("each line must be");
        assert!(told && !theirs.contains("secret"), "{theirs}");
        let file = format!("bad/{number}");
        let ours = place.run_alone(&[&["label", "--kind", "prob"], &pair(&file, "s", "l")[..]].concat());
        let ours = String::from_utf8(ours.stderr).unwrap();
        assert!(ours.contains(&format!("{file}, line 2: ")), "{ours}");
    }
}

#[test]
fn fine_tuning_measures_as_the_lab_does() {
    let place = Place::new();
    fs::write(place.folder.path().join("graded.jsonl"), graded()).unwrap();
    let router = default_router();
    let scores = place.run(&["score", "--json", "--router", &router, "graded.jsonl"]).stdout;
    fs::write(place.folder.path().join("scores.jsonl"), scores).unwrap();
    let found = fine_tune(&place, "figures");
    let apgr = |small, large| {
        let evaluate = ["evaluate", "--json", "--draws", "100", "--router", &router];
        let output = place.run(&[&evaluate, &pair("graded.jsonl", small, large)[..]].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["apgr"]["value"].clone()
    };
    let (ours, theirs) = (apgr("s", "l").as_f64().unwrap(), found[0].as_f64().unwrap());
    assert!((ours - theirs).abs() < 1e-9 && (ours - 0.5).abs() > 1e-3, "{ours} and {theirs}");
    assert_eq!((apgr("l", "s"), &found[1]), (Value::Null, &Value::Null), "the large model is not better");
}

#[test]
fn fine_tuning_replaces_the_folders_that_the_lab_replaces() {
    let place = Place::new();
    let found = fine_tune(&place, "folders").to_string().replace(&place.folder.path().display().to_string(), "DIR");
    let expected = json!({
        "empty": null,
        "encoder": null,
        "router": null,
        "new": null,
        "not forced": "--out DIR/router exists: choose another folder, or --force to replace the router in it",
        "file": "--out DIR/router/router.json exists: choose another folder, or --force to replace the router in it",
        "in a file": "--out DIR/router/router.json/deep/er cannot be made: DIR/router/router.json is not a folder",
        "more": "--out DIR/router is not replaced, even with --force: it has thesis.tex, which is no part of a router's folder",
    });
    assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), expected);
}
