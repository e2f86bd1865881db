//! `hybrid-llm pick`: queries that stand for a log, by the scores of a router.

use crate::place::{Place, data, default_router, queries};
use serde_json::Value;
use std::{collections::BTreeSet, fs};

impl Place {
    #[track_caller]
    fn pick(&self, more: &[&str]) -> Value {
        let output = self.run(&[&["pick", "log.jsonl", "--out", "picked.jsonl", "--json"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn picked(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("picked.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn what_is_picked_stands_for_the_log_and_is_nothing_that_was_learned_from() {
    let place = Place::new();
    let router = default_router();
    let log = |queries: &[(String, bool)]| data(queries).replace("\"query\"", "\"reference\": \"r\", \"query\"");
    let all = [queries(false), queries(true)].concat();
    fs::write(place.folder.path().join("log.jsonl"), log(&all) + &log(&all[..5])).unwrap();
    fs::write(place.folder.path().join("known.jsonl"), log(&all[..10])).unwrap();
    let of = all.len() - 10;
    let report = place.pick(&["--router", &router, "-n", "30", "--except", "known.jsonl"]);
    assert_eq!((&report["picked"], &report["of"]), (&30.into(), &of.into()));
    assert_eq!((&report["repeated"], &report["excepted"]), (&5.into(), &10.into()));

    let scored = place.run(&["score", "--json", "--router", &router, "log.jsonl"]);
    let scored = String::from_utf8(scored.stdout).unwrap();
    let score = |line: &str| serde_json::from_str::<Value>(line).unwrap()["score"].as_f64().unwrap();
    let mut scores: Vec<f64> = scored.lines().map(score).take(all.len()).skip(10).collect();
    scores.sort_by(f64::total_cmp);
    let picked = place.picked();
    for quarter in [0.25, 0.5, 0.75] {
        let threshold = scores[(quarter * of as f64) as usize];
        let above = picked.iter().filter(|picked| picked["score"].as_f64().unwrap() >= threshold).count();
        assert!((above as f64 - 30.0 * (1.0 - quarter)).abs() <= 1.0, "{above} of 30 above {threshold}");
    }
    let names: BTreeSet<&str> = picked.iter().map(|picked| picked["query"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 30, "each once");
    assert!(all[..10].iter().all(|(query, _)| !names.contains(query.as_str())));
    assert_eq!(picked[0]["reference"], "r", "collect and judge find all that they need");

    let before = picked;
    place.pick(&["--router", &router, "-n", "30", "--except", "known.jsonl"]);
    assert_eq!(place.picked(), before, "the same again");
    place.pick(&["--router", &router, "-n", "30", "--except", "known.jsonl", "--seed", "2"]);
    assert_ne!(place.picked(), before, "others");
    assert_eq!(place.pick(&["--router", &router, "-n", "1000"])["picked"], all.len());
}

#[test]
fn what_leaves_nothing_to_pick_is_refused() {
    let place = Place::new();
    let router = default_router();
    fs::copy(place.folder.path().join("data.jsonl"), place.folder.path().join("log.jsonl")).unwrap();
    let fault = |more: &[&str]| {
        let output = place.run(&[&["pick", "log.jsonl", "-n", "3", "--router", &router], more].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap().lines().next().unwrap_or_default().to_owned())
    };
    let all = fault(&["--out", "picked.jsonl", "--except", "data.jsonl"]);
    assert_eq!(all, (Some(1), "error: --except names all queries of the log: there is none to choose".to_owned()));
    let over = fault(&["--out", "log.jsonl"]);
    assert!(over.0 == Some(2) && over.1.contains("log.jsonl is read and would be written over"), "{over:?}");
    assert!(!place.folder.path().join("picked.jsonl").exists());
}
