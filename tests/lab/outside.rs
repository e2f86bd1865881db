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
fn fine_tuning_reads_labels_and_writes_as_the_lab_does() {
    let place = Place::new();
    let folder = place.folder.path();
    // Graded, with more different losses than the search looks at, and most of them small.
    let line = |number: u32| {
        let quality = |at: u32| f64::from((number * 7 + at * 13) % 101) / 100.0;
        let small: Vec<f64> = (0..4).map(|at| quality(at) * 0.9 + f64::from(number) * 1e-5).collect();
        let large: Vec<f64> = (4..8).map(|at| quality(at).sqrt()).collect();
        json!({"query": format!("query {number}"), "quality": {"s": small, "l": large}}).to_string() + "\n"
    };
    fs::write(folder.join("graded.jsonl"), (0..300).map(line).collect::<String>()).unwrap();
    fs::write(folder.join("bad.jsonl"), format!("{}{{\"query\": \" \", \"quality\": {{}}}}\n", line(0))).unwrap();
    fs::create_dir(folder.join("old")).unwrap();
    let programs = artifacts::workspace().join("examples/fine-tune");
    let files = ["graded.jsonl", "bad.jsonl", "old"].map(|name| folder.join(name));
    let found = python("check_fine_tune.py", &[&programs, &files[0], &files[1], &files[2]]);

    let label = ["label", "--json", "--kind", "trans", "--data", "graded.jsonl", "--small", "s", "--large", "l"];
    let report: Value = serde_json::from_slice(&place.run_alone(&label).stdout).unwrap();
    let (ours, theirs) = (report["relaxation"].as_f64().unwrap(), found["relaxation"].as_f64().unwrap());
    assert!(ours > 0.0 && (ours - theirs).abs() < 1e-12, "{ours} and {theirs}");
    let fault = found["fault"].as_str().unwrap();
    assert!(fault.contains("bad.jsonl line 2: there is no \"query\" with text in it"), "{fault}");
    assert_eq!((&found["after_failure"], &found["after"]), (&json!("old"), &json!(["model.onnx"])));
}
