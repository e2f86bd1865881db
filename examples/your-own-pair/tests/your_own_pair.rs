//! All the steps, as a newcomer runs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

fn your_own_pair(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_your-own-pair")).args(arguments).output().unwrap()
}

#[test]
fn the_router_is_better_than_chance_on_later_queries_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("pair");
    let output = your_own_pair(&["--json", "--folder", place.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&stderr);

    let evaluation = &json["evaluation"];
    assert_eq!(evaluation["n"], 100);
    let figure = |value: &serde_json::Value, key: &str| value[key].as_f64().unwrap_or_else(|| panic!("{json}"));
    let (small, large) = (figure(&evaluation["quality_small"], "value"), figure(&evaluation["quality_large"], "value"));
    assert!(large > 0.9 && small < 0.7, "the stand-ins are a small and a large model: {evaluation}");
    assert!(figure(&evaluation["apgr"], "low") > 0.5, "better than a random order, beyond chance: {evaluation}");

    let first = &json["first"];
    assert!(figure(&first["apgr"], "low") > 0.5, "so is the router that was made from a log without grades: {first}");
    let rated = std::fs::read_to_string(place.join("rated.jsonl")).unwrap();
    assert_eq!(rated.lines().count(), 400, "every logged query has its ratings");
    let manifest = std::fs::read(place.join("first-router/router.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((&manifest["label"], &manifest["score"]), (&"gap".into(), &"quantile".into()));
    assert!(manifest["calibration"][0]["quality_drop"].is_f64(), "the picked queries' grades calibrate it: {manifest}");

    let served = json["served"].as_array().unwrap();
    let (simple, hard) = (figure(&served[0], "score"), figure(&served[1], "score"));
    assert!(simple > hard, "{json}");
    assert!(served[0]["small_share"].is_f64() && served[0]["quality_drop"].is_f64(), "it is calibrated: {json}");

    for command in ["collect", "judge", "label", "train", "calibrate", "evaluate", "serve", "pick"] {
        assert!(stderr.contains(&format!("\n$ hybrid-llm {command} ")), "{stderr}");
    }
    assert!(place.join("report.html").exists());
    let responses = std::fs::read_to_string(place.join("responses.jsonl")).unwrap();
    assert_eq!(responses.lines().count(), 200 * 5 * 2);
}

#[test]
fn a_folder_of_somebody_elses_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("queries.jsonl"), "x").unwrap();
    let output = your_own_pair(&["--folder", folder.path().to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("choose another --folder"), "{stderr}");
    assert!(folder.path().join("queries.jsonl").exists());
}
