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
    assert!(report["scoring"]["per_second"].as_f64().unwrap() > 0.0, "{report:#}");
    let figures = |mut report: Value| report.as_object_mut().unwrap().remove("scoring").map(|_| report);
    assert_eq!(figures(json_of(&place, &args)), figures(report.clone()), "equal seeds give equal figures");

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
fn a_page_tells_routers_of_one_name_apart_and_always_has_the_baselines() {
    let place = trained();
    for router in ["router", "second"] {
        let mut manifest = place.manifest(router);
        manifest["name"] = json!("default");
        fs::write(place.folder.path().join(router).join("router.json"), manifest.to_string()).unwrap();
    }
    let more = ["--router", "router", "--router", "second", "--draws", "100", "--report", "out.html"];
    let output = place.run(&[&EVALUATE[..], &more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(place.folder.path().join("out.html")).unwrap();
    for part in ["default (router)", "default (second)", "random", "oracle"] {
        assert!(page.contains(part), "{part}");
    }
}

/// Queries of 64 KiB and few tokens: text that is held shows, and scoring takes no time.
fn long_queries(count: usize) -> String {
    let blank = " ".repeat(64 << 10);
    let line = |number: usize| {
        let small = number % 2;
        format!("{{\"query\": \"query {number}{blank}\", \"quality\": {{\"s\": [{small}], \"l\": [1]}}}}\n")
    };
    (0..count).map(line).collect()
}

#[test]
fn memory_does_not_grow_with_the_queries_texts() {
    let place = trained();
    let pair = ["--small", "s", "--large", "l"];
    let peak = |count: usize, args: &[&str]| {
        fs::write(place.folder.path().join("long.jsonl"), long_queries(count)).unwrap();
        json_of(&place, args)["scoring"]["peak_memory_mib"].as_f64().unwrap()
    };
    let evaluate = [&["evaluate", "--router", "router", "--data", "long.jsonl", "--draws", "100"], &pair[..]].concat();
    let calibrate =
        [&["calibrate", "--router", "router", "--dry-run", "--sample", "0", "--data", "long.jsonl"], &pair[..]]
            .concat();
    let queries = ["calibrate", "--router", "router", "--dry-run", "--sample", "0", "--queries", "long.jsonl"];
    for args in [&evaluate[..], &calibrate, &queries] {
        let (few, many) = (peak(20, args), peak(420, args));
        // Four hundred texts more are 25 MiB.
        assert!(many - few < 10.0, "{few} and {many} MiB: {args:?}");
    }
}

#[test]
fn queries_that_cannot_be_used_leave_everything_as_it_was() {
    let place = trained();
    let router = place.folder.path().join("router/router.json");
    let before = fs::read(&router).unwrap();
    let good = "{\"query\": \"q\", \"quality\": {\"s\": [0], \"l\": [1]}}\n";
    let bad = [
        ("{\"query\": \"q\", \"quality\": {\"l\": [1]}}\n", "bad.jsonl, line 2: has no quality of \"s\""),
        ("{\"query\": \"q\", \"quality\": {\"s\": [NaN], \"l\": [1]}}\n", "bad.jsonl, line 2: is not JSON"),
        ("{\"query\": \" \", \"quality\": {\"s\": [0], \"l\": [1]}}\n", "bad.jsonl, line 2: query: must not be empty"),
        (&"x".repeat(10 << 20), "bad.jsonl, line 2: is longer than 4 MiB"),
    ];
    let pair = ["--data", "bad.jsonl", "--small", "s", "--large", "l"];
    let commands = [
        [&["evaluate", "--router", "router", "--report", "out.html"], &pair[..]].concat(),
        [&["calibrate", "--router", "router"], &pair[..]].concat(),
    ];
    for (line, message) in bad {
        fs::write(place.folder.path().join("bad.jsonl"), format!("{good}{line}")).unwrap();
        for command in &commands {
            let output = place.run(command);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(1) && stderr.contains(message), "{command:?}: {stderr}");
        }
    }
    fs::remove_file(place.folder.path().join("router/tokenizer.json")).unwrap();
    fs::write(place.folder.path().join("bad.jsonl"), good).unwrap();
    for command in &commands {
        let output = place.run(command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && stderr.contains("router router: cannot read tokenizer.json"),
            "{stderr}"
        );
    }
    assert_eq!(fs::read(&router).unwrap(), before);
    for file in ["out.html", "out.html.part", "router/router.json.part"] {
        assert!(!place.folder.path().join(file).exists(), "{file}");
    }
}

#[test]
fn calibrate_says_what_a_sample_cannot_tell() {
    let place = trained();
    let warnings = |data: &str, more: &[&str]| {
        fs::write(place.folder.path().join("graded.jsonl"), data).unwrap();
        let args = ["calibrate", "--router", "router", "--dry-run", "--data", "graded.jsonl"];
        json_of(&place, &[&args[..], more].concat())["warnings"].as_array().unwrap().clone()
    };
    let has = |found: &[Value], text: &str| found.iter().any(|warning| warning.as_str().unwrap().contains(text));
    let graded = |quality: fn(usize) -> (usize, usize)| -> String {
        let line = |number| {
            let (small, large) = quality(number);
            format!("{{\"query\": \"q {number}\", \"quality\": {{\"s\": [{small}], \"l\": [{large}]}}}}\n")
        };
        (0..60).map(line).collect()
    };
    let half = graded(|number| (number % 2, 1));
    let found = warnings(&half, &["--quality-drop", "0.01", "--sample", "50"]);
    assert!(
        has(&found, "50 queries cannot promise a drop of 0.01") && has(&found, "--sample 0 uses all 60"),
        "{found:?}"
    );
    let found = warnings(&half, &["--quality-drop", "0"]);
    assert!(has(&found, "no sample can promise that nothing is lost"), "{found:?}");
    let found = warnings(&graded(|_| (0, 0)), &[]);
    assert!(has(&found, "the large model's mean quality is zero"), "{found:?}");
    let found = warnings(&graded(|number| (1, number % 2)), &[]);
    assert!(has(&found, "is --small really the small one?"), "{found:?}");

    assert!(!has(&found, "was trained on"), "{found:?}");
    let args = ["calibrate", "--router", "router", "--dry-run", "--data", "data.jsonl"];
    let found = json_of(&place, &args)["warnings"].as_array().unwrap().clone();
    assert!(has(&found, "the router was trained on a file of the name data.jsonl"), "{found:?}");

    fs::write(place.folder.path().join("mmlu.train.jsonl"), graded(|number| (number % 2, 1))).unwrap();
    let default = ["calibrate", "--router", &default_router(), "--dry-run", "--data", "mmlu.train.jsonl"];
    let found = json_of(&place, &[&default[..], &["--small", "s", "--large", "l"]].concat())["warnings"].clone();
    assert!(has(found.as_array().unwrap(), "on a file of the name mmlu.train.jsonl"), "{found}");

    let said = place.run(&["calibrate", "--router", "router", "--dry-run", "--data", "data.jsonl", "--sample", "60"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("least quality drop that they can promise: ") && said.contains(" %; a lower dial"), "{said}");
    let twice = place.run(&["calibrate", "--router", "router", "--data", "data.jsonl", "./data.jsonl"]);
    assert_eq!(twice.status.code(), Some(1));
    let error = "error: ./data.jsonl is given twice: each of its rows would be taken for two\n";
    assert_eq!(String::from_utf8(twice.stderr).unwrap(), error);
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

    // A prompt may begin like JSON.
    fs::write(place.folder.path().join("prompts.txt"), "{a: 1} is what?\nWhy?\n").unwrap();
    let args = ["calibrate", "--router", "router", "--dry-run", "--queries", "prompts.txt"];
    assert_eq!(json_of(&place, &[&args[..], &["--format", "text"]].concat())["queries"], json!(2));
    let stderr = String::from_utf8(place.run(&args).stderr).unwrap();
    assert!(stderr.contains("prompts.txt, line 1: is not JSON") && stderr.contains("--format text"), "{stderr}");
}

#[test]
fn score_prints_queries_as_they_come() {
    let place = trained();
    // More than are worked on together.
    let lines: String = (0..1030).map(|number| format!("query {number}\n")).collect();
    fs::write(place.folder.path().join("many.txt"), format!("{lines}\n{}", "x".repeat(10 << 20))).unwrap();
    let output = place.run(&["score", "--router", "router", "--json", "many.txt"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && stderr.contains("many.txt, line 1032: is longer than 4 MiB"),
        "{stderr}"
    );
    let scored: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((scored.len(), &scored[1023]["line"]), (1024, &json!(1024)));
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

/// Query data with a kind, a language, a rating and a second pair that goes with the first, and a third that goes against it.
fn tagged() -> String {
    let line = |(at, (query, easy)): (usize, &(String, bool))| {
        let (good, lang) = (f64::from(*easy), if at % 3 == 0 { "de" } else { "en" });
        json!({
            "query": query, "kind": if query.starts_with("For my homework") { "homework" } else { "chat" }, "lang": lang, "ease": good,
            "quality": {"s": [good], "l": [1.0], "qwen2.5:7b": [good * 0.5], "gpt:4": [0.75], "odd": [1.0 - good], "lone": 1},
        })
        .to_string()
            + "\n"
    };
    let all = [queries(false), queries(true)].concat();
    let lone = json!({"query": "lone", "ease": 1, "quality": {"s": 1, "l": 1}}).to_string();
    all.iter().enumerate().map(line).collect::<String>() + &lone + "\n"
}

#[test]
fn evaluate_tells_agreement_groups_and_other_pairs() {
    let place = trained();
    fs::write(place.folder.path().join("tagged.jsonl"), tagged()).unwrap();
    let pair = ["--small", "s", "--large", "l", "--draws", "100"];
    let args = [&["evaluate", "--data", "tagged.jsonl", "--router", "router", "--baselines"], &pair[..]].concat();
    let against = ["--against", "qwen2.5:7b:gpt:4", "--against", "odd:l"];
    let report = json_of(&place, &[&args[..], &against].concat());
    let value = |figure: &Value| figure["value"].as_f64().unwrap_or_else(|| panic!("{figure}"));
    // Easy queries are those whose small response is as good: the router knows them.
    let (auc, spearman) = (value(&report["auc"]), value(&report["spearman"]));
    assert!(auc > 0.9 && spearman > 0.6, "{auc} {spearman}");
    let oracle = value(&report["baselines"]["oracle"]["apgr"]);
    let share = (value(&report["apgr"]) - 0.5) / (oracle - 0.5);
    assert!((value(&report["oracle_share"]) - share).abs() < 1e-9);
    assert_eq!(report["routers"][0]["oracle_share"], report["oracle_share"]);
    assert_eq!(report["baselines"]["random"]["auc"]["value"], 0.5);

    let count = |by: &str, name: &str| {
        let groups = report["by"][by].as_array().unwrap();
        groups.iter().find(|group| group["name"] == name).map(|group| group["n"].as_u64().unwrap())
    };
    let (chat, homework) = (count("kind", "chat").unwrap(), count("kind", "homework").unwrap());
    let (de, en) = (count("lang", "de").unwrap(), count("lang", "en").unwrap());
    assert_eq!((chat + homework + 1, de + en + 1), (report["n"].as_u64().unwrap(), report["n"].as_u64().unwrap()));
    assert!(value(&report["by"]["kind"][0]["auc"]) > 0.8, "{:#}", report["by"]);

    let [same, odd] = report["against"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    assert_eq!((&same["small"], &same["large"]), (&json!("qwen2.5:7b"), &json!("gpt:4")), "the data tells which colon");
    assert_eq!(same["n"].as_u64().unwrap() + 1, report["n"].as_u64().unwrap(), "rows with all four models");
    assert!(
        (value(&same["gap_correlation"]) - 1.0).abs() < 1e-9 && (value(&odd["gap_correlation"]) + 1.0).abs() < 1e-9
    );
    let drop = |way: &Value| value(&way["drop_at"]["20"]);
    assert!(
        drop(same) < drop(&same["baselines"]["random"]) && drop(odd) > drop(&odd["baselines"]["random"]),
        "{report:#}"
    );
    assert_eq!(same["own"]["n"], same["n"]);

    // A column in the gap's place.
    let column = json_of(&place, &[&args[..], &["--column", "ease"]].concat());
    assert_eq!(column["auc"], report["auc"]);
    let fault = |more: &[&str]| {
        let output = place.run(&[&args[..], more].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = fault(&["--column", "rating"]);
    assert!(code == Some(1) && error.contains("tagged.jsonl, line 1: has no key \"rating\""), "{error}");
    let (code, error) = fault(&["--against", "none:l"]);
    assert!(code == Some(1) && error.contains("no row of the data has the quality of two such models"), "{error}");
    let (code, error) = fault(&["--against", "none"]);
    assert!(code == Some(2) && error.contains("must be a small and a large model"), "{error}");

    let more = [&against[..], &["--report", "tagged.html"]].concat();
    let output = place.run(&[&args[..], &more].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "by kind",
        "by language",
        "| homework ",
        "carried over to qwen2.5:7b and gpt:4",
        "correlation of the quality gaps 1.000",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let page = fs::read_to_string(place.folder.path().join("tagged.html")).unwrap();
    for part in ["By kind", "By language", "On other pairs of models", "qwen2.5:7b → gpt:4"] {
        assert!(page.contains(part), "{part}");
    }
}
