//! `hybrid-llm judge --from-query`: scripted judges that rate queries without responses.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test is a panic")]

mod endpoint;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use endpoint::{Act, Asked, Endpoint, Limit, Outcome, completion, lines, program, run};
use serde_json::{Value, json};

/// A folder with a log of queries, and a place for query data.
struct Place {
    folder: tempfile::TempDir,
    log: PathBuf,
    out: PathBuf,
}

impl Place {
    fn new(log: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { log: folder.path().join("log.jsonl"), out: folder.path().join("rated.jsonl"), folder };
        fs::write(&place.log, log).unwrap();
        place
    }

    /// So many queries, each with a number.
    fn of(queries: usize) -> Self {
        Self::new(&(0..queries).map(|n| format!("{}\n", json!({"query": format!("query {n}")}))).collect::<String>())
    }

    fn args<'a>(&'a self, judge: &'a Endpoint, more: &[&'a str]) -> Vec<&'a str> {
        let (log, out) = (self.log.to_str().unwrap(), self.out.to_str().unwrap());
        let ask = ["judge", "--from-query", log, "--out", out, "--judge-url", judge.url.as_str(), "--judge-model", "j"];
        [&ask, more].concat()
    }

    async fn ask(&self, judge: &Endpoint, more: &[&str]) -> Outcome {
        run(&self.args(judge, more), &[]).await
    }

    /// The qualities that were written, by query.
    fn qualities(&self) -> BTreeMap<String, Value> {
        let row = |line: Value| (line["query"].as_str().unwrap().to_owned(), line["quality"].clone());
        lines(&self.out).into_iter().map(row).collect()
    }

    fn clean(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "DIR")
    }
}

/// The number of the query that a judge was asked about.
fn number(asked: &Asked) -> usize {
    let text = asked.query().split("<query>\nquery ").nth(1).unwrap();
    text.split('\n').next().unwrap().parse().unwrap()
}

fn ratings(n: usize) -> [f64; 2] {
    [(n % 5 + 1) as f64, (n % 4 + 6) as f64]
}

fn said(n: usize) -> Act {
    let [small, large] = ratings(n);
    Act::Say(format!("{{\"small\": {small}, \"large\": {large}}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_responses_becomes_query_data() {
    let judge = Endpoint::start(|asked, request| async move {
        match request {
            1 => Act::Status(429, "retry-after: 0", json!({"error": {"message": "busy"}})),
            3 => Act::Reset,
            // An answer of no use, and one without a rating of the large model, are asked for again.
            5 => Act::Say("I can't see a response.".to_owned()),
            7 => Act::Say("{\"small\": 6}".to_owned()),
            9 => Act::Body(completion(
                "<think>{\"small\": 9, \"large\": 1}?</think>\n{\"small\": 2, \"large\": 2}",
                "stop",
            )),
            _ => said(number(&asked)),
        }
    })
    .await;
    let place = Place::of(12);
    let names = ["--small", "tiny", "--large", "big", "--small-is", "a model of {query}", "--large-is", "a big one"];
    let more = [&names[..], &["--json", "--judge-price", "1,2", "--concurrency", "1"]].concat();
    let outcome = place.ask(&judge, &more).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let report = outcome.json();
    assert_eq!(
        (&report["queries"], &report["left_out"], &report["judge"]["ratings"]),
        (&json!(12), &json!(0), &json!(12))
    );
    assert_eq!((&report["judge"]["requests"], &report["judge"]["retries"]), (&json!(16), &json!(2)));
    assert_eq!(report["judge"]["cost_usd"], json!(14.0 * (10.0 + 2.0 * 20.0) / 1e6));
    let models: Vec<_> = report["models"].as_array().unwrap().iter().map(|model| &model["model"]).collect();
    assert_eq!(models, ["tiny", "big"], "the small one first");
    let mut twos = 0;
    for (query, quality) in place.qualities() {
        let [small, large] = ratings(query.strip_prefix("query ").unwrap().parse().unwrap());
        let expected = json!({"tiny": [small], "big": [large]});
        let thought = json!({"tiny": [2.0], "big": [2.0]});
        twos += usize::from(quality == thought);
        assert!(quality == expected || quality == thought, "{query}: {quality}");
    }
    assert_eq!(twos, 1, "thoughts are no ratings");
    let order: Vec<_> = lines(&place.out).iter().map(|line| line["query"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        order,
        (0..12).map(|n| format!("query {n}")).collect::<Vec<_>>(),
        "the log's order, which is that of time"
    );
    let asked = judge.asked()[0].query().to_owned();
    assert!(asked.contains("The small model: a model of {query}\nThe large model: a big one\n"), "{asked}");

    let again = place.ask(&judge, &names).await;
    assert_eq!((again.code, judge.asked().len()), (Some(0), 16), "nothing was missing");
    let other = place.ask(&judge, &["--small-is", "another"]).await;
    assert_eq!(other.code, Some(1));
    assert!(
        other.stderr.contains("rated.jsonl.grades was made with other settings: rubric_digest was"),
        "{}",
        other.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_goes_on_where_it_was() {
    // However late a kill comes, no run gets further than that.
    let limit = Limit::default();
    let allowed = limit.clone();
    let judge = Endpoint::start(move |asked, request| {
        let allowed = allowed.clone();
        async move {
            allowed.allows(request).await;
            said(number(&asked))
        }
    })
    .await;
    let place = Place::of(30);
    let kept = || {
        let kept = fs::read_to_string(place.folder.path().join("rated.jsonl.grades")).unwrap_or_default();
        kept.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count()
    };
    for until in [8, 19] {
        limit.set(until);
        let mut child = program(&place.args(&judge, &["--concurrency", "3"]), &[]);
        // The requests beyond the limit have been sent when all before it are answered.
        judge.until_asked(until + 3).await;
        child.kill().await.unwrap();
        assert!(!place.out.exists(), "there is no query data before all is rated");
    }
    let (before, asked) = (kept(), judge.asked().len());
    assert!(before >= 8, "{before}");
    limit.set(usize::MAX);
    assert_eq!(place.ask(&judge, &[]).await.code, Some(0));
    assert_eq!(judge.asked().len() - asked, 30 - before, "only what was missing");
    assert_eq!(place.qualities().len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_no_ratings_is_left_out_and_asked_for_again() {
    let judge = Endpoint::start(|asked, request| async move {
        match number(&asked) {
            5 if request < 14 => Act::Say("small: 6-7, large: 9".to_owned()),
            7 if request < 14 => Act::Status(400, "", json!({"error": {"code": "content_filter"}})),
            n => said(n),
        }
    })
    .await;
    let place = Place::of(12);
    let first = place.ask(&judge, &[]).await;
    assert_eq!((first.code, place.qualities().len(), judge.asked().len()), (Some(1), 10, 14), "{first:?}");
    insta::assert_snapshot!(place.clean(&first.stderr), @"
    warning: left out 2 of 12 queries, which lack a response or a grade
    error: 2 of 12 ratings are missing; run the same command again to ask for them again
    ");
    assert!(first.stdout.contains("1 missing: no rating from 1 to 10 of each model in any of 3 answers"), "{first:?}");
    let second = place.ask(&judge, &[]).await;
    assert_eq!((second.code, place.qualities().len(), judge.asked().len()), (Some(0), 12, 16), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_users_repeat_are_paid_for_once() {
    let judge = Endpoint::start(|asked, _| async move { said(number(&asked)) }).await;
    let place = Place::new("query 1\nquery 2\nquery 1\n");
    let outcome = place.ask(&judge, &[]).await;
    assert_eq!((outcome.code, judge.asked().len(), place.qualities().len()), (Some(0), 2, 2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("1 lines repeat a query of an earlier one, and are left out"),
        "{}",
        outcome.stderr
    );
    let named = Place::new("{\"id\": \"a\", \"query\": \"query 1\"}\n{\"id\": \"b\", \"query\": \"query 1\"}\n");
    assert_eq!(named.ask(&judge, &[]).await.code, Some(0));
    let ids: BTreeSet<_> = lines(&named.out).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ids, judge.asked().len()), (["a", "b"].map(str::to_owned).into(), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_of_ones_own_is_asked() {
    let judge = Endpoint::start(|_, _| async { Act::Say("Large: 9\nSmall: 6".to_owned()) }).await;
    let place = Place::of(1);
    let own = place.folder.path().join("own.txt");
    fs::write(&own, "Of {small_is} and {large_is}: {query}").unwrap();
    let more = ["--rubric", own.to_str().unwrap(), "--small-is", "A", "--large-is", "B"];
    assert_eq!(place.ask(&judge, &more).await.code, Some(0));
    assert_eq!(judge.asked()[0].query(), "Of A and B: query 0");
    assert_eq!(place.qualities()["query 0"], json!({"small": [6.0], "large": [9.0]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_named_and_nothing_is_asked_or_written() {
    let judge = Endpoint::start(|asked, _| async move { said(number(&asked)) }).await;
    let place = Place::of(2);
    let mut report = String::new();
    let mut failure = async |code, log: &str, more: &[&str]| {
        fs::write(&place.log, log).unwrap();
        let outcome = place.ask(&judge, more).await;
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        report += &outcome.stderr.lines().take(1).collect::<String>();
        report += "\n";
    };
    let rubric = tempfile::NamedTempFile::new().unwrap();
    fs::write(rubric.path(), "Rate it").unwrap();
    let own = rubric.path().to_str().unwrap();
    failure(1, "", &[]).await;
    failure(1, "{\"prompt\": \"secret\"}\n", &[]).await;
    failure(1, "{\"id\": 1, \"query\": \"secret\"}\n{\"id\": 1, \"query\": \"other\"}\n", &[]).await;
    failure(2, "query 1\n", &["--small", "m", "--large", "m"]).await;
    failure(2, "query 1\n", &["--exact"]).await;
    failure(1, "query 1\n", &["--rubric", own]).await;
    insta::assert_snapshot!(place.clean(&report).replace(own, "RUBRIC"), @r#"
    error: DIR/log.jsonl has no queries: it must have one a line, as text or as JSON objects {"id"?, "source"?, "query", "reference"?}
    error: DIR/log.jsonl, line 1: has no key "query"; a line must be {"id"?, "source"?, "query", "reference"?} (--format text takes lines as they are)
    error: DIR/log.jsonl, line 2: has the same id as line 1: each query must have one of its own
    error: --small and --large are both m: a pair has two models
    error: the argument '--judge-url <URL>' cannot be used with '--exact'
    error: RUBRIC has no {query}: it must say where the query goes; {small_is} and {large_is} stand for what the models are
    "#);
    let without = ["judge", "--exact", place.log.to_str().unwrap(), "--out", "o", "--small-is", "x"];
    let outcome = run(&without, &[]).await;
    assert_eq!(outcome.code, Some(2), "what the models are is for --from-query: {outcome:?}");
    assert!(judge.asked().is_empty());
    let left: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["log.jsonl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_says_nothing_of_use_ends_the_run() {
    let judge = Endpoint::start(|_, _| async { Act::Say("6/9".to_owned()) }).await;
    let place = Place::of(40);
    let outcome = place.ask(&judge, &["--concurrency", "1"]).await;
    assert_eq!((outcome.code, judge.asked().len()), (Some(1), 60), "{outcome:?}");
    assert!(outcome.stderr.contains("gave no usable answer to the first 20 requests"), "{}", outcome.stderr);
    assert!(!place.out.exists());
}
