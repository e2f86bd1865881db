//! `hybrid-llm calibrate` and `evaluate`: tables that a server loads, and figures under the names that tools rely on.

use crate::place::{Place, data, default_router, queries};
use serde_json::{Value, json};
use std::fs;
use std::sync::LazyLock;

/// A folder with two routers, trained on its data once for all tests, and data of the same pair that they were not trained on.
fn trained() -> Place {
    static TRAINED: LazyLock<Place> = LazyLock::new(|| {
        let place = Place::new();
        place.train(&default_router(), "router", &["--label", "prob"]);
        place.train(&default_router(), "second", &["--label", "gap"]);
        place
    });
    let place = Place::new();
    for router in ["router", "second"] {
        fs::create_dir(place.folder.path().join(router)).unwrap();
        for file in ["router.json", "model.onnx", "tokenizer.json"] {
            let path = |place: &Place| place.folder.path().join(router).join(file);
            fs::copy(path(&TRAINED), path(&place)).unwrap();
        }
    }
    fs::write(place.folder.path().join("other.jsonl"), data(&queries(true))).unwrap();
    place
}

#[track_caller]
fn json_of(place: &Place, args: &[&str]) -> Value {
    let output = place.run(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const EVALUATE: [&str; 7] = ["evaluate", "--data", "other.jsonl", "--small", "s", "--large", "l"];

#[test]
fn evaluate_has_the_figures_and_the_baselines() {
    let place = trained();
    let args = [&EVALUATE[..], &["--router", "router", "--baselines", "--draws", "200"]].concat();
    let report = json_of(&place, &args);
    assert_eq!(report["n"], json!(queries(true).len()));
    let figure = |figure: &Value| {
        let [value, low, high] = ["value", "low", "high"].map(|key| figure[key].as_f64().unwrap());
        assert!(low <= high && value.is_finite(), "{figure}");
        value
    };
    assert_eq!(figure(&report["quality_large"]), 1.0);
    let ways =
        [&report, &report["baselines"]["random"], &report["baselines"]["length"], &report["baselines"]["oracle"]];
    for way in ways {
        for key in ["apgr", "cpt50", "cpt80"] {
            figure(&way[key]);
        }
        for share in ["10", "20", "40"] {
            figure(&way["drop_at"][share]);
        }
    }
    let apgr = |way: &Value| figure(&way["apgr"]);
    // Half of the queries are easy, so that three quarters is all there is to win.
    assert!(apgr(&report) > 0.65 && apgr(&report["baselines"]["oracle"]) > 0.7, "{report:#}");
    assert_eq!(apgr(&report["baselines"]["random"]), 0.5);
    assert_eq!(json_of(&place, &args), report, "equal seeds give equal figures");

    let both =
        json_of(&place, &[&EVALUATE[..], &["--router", "router", "--router", "second", "--draws", "200"]].concat());
    let names: Vec<_> = both["routers"].as_array().unwrap().iter().map(|router| &router["router"]).collect();
    assert_eq!(names, ["router", "second"]);
    assert_eq!((&both["apgr"], &both["baselines"]), (&report["apgr"], &Value::Null));
}

#[test]
fn evaluate_writes_a_page_that_needs_nothing_else() {
    let place = trained();
    let more =
        ["--router", "router", "--baselines", "--draws", "100", "--report", "out.html", "--small-price", "0.1,0.2"];
    let output = place.run(&[&EVALUATE[..], &more, &["--large-price", "2,8"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("| router ") && text.contains("router: APGR above length's"), "{text}");
    let page = fs::read_to_string(place.folder.path().join("out.html")).unwrap();
    for part in
        ["Quality drop against cost advantage", "Scores by outcome", "Calibration curve", "What it costs", "oracle"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("src=") && !page.contains("<link"), "self-contained");
}

#[test]
fn calibrate_writes_a_table_that_the_scorer_answers_with() {
    let place = trained();
    let args = ["calibrate", "--router", "router", "--data", "data.jsonl", "--sample", "60"];
    let report = json_of(&place, &[&args[..], &["--small-share", "0.3", "--quality-drop", "0.2"]].concat());
    assert_eq!((&report["queries"], &report["of"]), (&json!(60), &json!(queries(false).len())));
    assert!(report["warnings"][0].as_str().unwrap().contains("60 queries are few"), "{report:#}");
    let choice = &report["small_shares"][0]["choice"];
    let share = choice["small_share"].as_f64().unwrap();
    assert!(share > 0.2 && share <= 0.3, "{choice}");
    assert!(
        choice["small_share_low"].as_f64().unwrap() < share && choice["small_share_high"].as_f64().unwrap() > share
    );
    let drop = &report["quality_drops"][0];
    assert!(drop["bound"]["quality_drop_upper95"].as_f64().unwrap() <= 0.2, "{drop}");
    assert!(drop["bound"]["small_share"].as_f64() <= drop["point"]["small_share"].as_f64(), "{drop}");

    // What the table says of the threshold is what a score of that height is answered with.
    let manifest = place.manifest("router");
    let rows = manifest["calibration"].as_array().unwrap();
    assert_eq!((&rows[0]["threshold"], &rows[0]["small_share"]), (&json!(0.0), &json!(1.0)));
    assert_eq!((&manifest["calibrated_on"]["queries"], &manifest["name"]), (&json!(60), &json!("router")));
    fs::write(place.folder.path().join("one.txt"), "What colour is a river?\n").unwrap();
    let scored = json_of(&place, &["score", "--router", "router", "one.txt"]);
    let score = scored["score"].as_f64().unwrap();
    let row = rows.iter().rfind(|row| row["threshold"].as_f64().unwrap() <= score).unwrap();
    assert_eq!(scored["quality_drop"], row["quality_drop_upper95"]);
    assert!(scored["small_share"].as_f64().unwrap() <= row["small_share"].as_f64().unwrap());
}

#[test]
fn calibrate_without_quality_knows_shares_only_and_a_dry_run_writes_nothing() {
    let place = trained();
    let before = place.manifest("router");
    let args = ["calibrate", "--router", "router", "--queries", "other.jsonl", "--small-share", "0.5"];
    let report = json_of(&place, &[&args[..], &["--dry-run"]].concat());
    assert_eq!(place.manifest("router"), before);
    assert_eq!(report["small_shares"][0]["choice"]["quality_drop"], Value::Null);
    json_of(&place, &args);
    let manifest = place.manifest("router");
    let row = &manifest["calibration"][5];
    assert!(
        row["small_share"].is_f64() && row.get("quality_drop").is_none() && row.get("quality_drop_upper95").is_none()
    );
    assert_eq!(manifest["calibrated_on"]["quality"], json!(false));
}

#[test]
fn promises_can_be_checked_on_the_users_own_data() {
    let place = trained();
    let args = ["calibrate", "--router", "router", "--data", "data.jsonl", "other.jsonl", "--sample", "90"];
    let report = json_of(&place, &[&args[..], &["--quality-drop", "0.1", "--resplits", "200"]].concat());
    let found = &report["quality_drops"][0];
    let broken = |rule: &str| found[rule]["broken"].as_f64().unwrap();
    assert!(broken("bound") <= 0.05 && broken("bound") <= broken("point"), "{report:#}");
    let manifest = place.manifest("router");
    assert_eq!(manifest["calibration"], json!([]), "a check writes nothing");
}
