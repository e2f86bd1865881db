//! `hybrid-llm judge`: by reference, by column, and by scripted judges with the faults that real ones have.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test is a panic")]

mod endpoint;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use endpoint::{Act, Asked, Endpoint, Limit, Outcome, completion, lines, program, run};
use serde_json::{Value, json};

/// A folder with a file of responses, and a place for query data.
struct Place {
    folder: tempfile::TempDir,
    responses: PathBuf,
    out: PathBuf,
}

impl Place {
    fn new(responses: &[Value]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place =
            Self { responses: folder.path().join("responses.jsonl"), out: folder.path().join("data.jsonl"), folder };
        place.write(&responses.iter().map(|line| format!("{line}\n")).collect::<String>());
        place
    }

    /// So many queries with two responses a model, of which no two read the same.
    fn of(queries: usize) -> Self {
        let line = |n: usize| {
            let (query, sample, model) = (n / 4, n % 2, if n % 4 < 2 { "s" } else { "l" });
            response(&query.to_string(), model, sample, &format!("response {n}"))
        };
        Self::new(&(0..4 * queries).map(line).collect::<Vec<_>>())
    }

    fn write(&self, responses: &str) {
        fs::write(&self.responses, responses).unwrap();
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let (responses, out) = (self.responses.to_str().unwrap(), self.out.to_str().unwrap());
        [&["judge", responses, "--out", out], more].concat()
    }

    async fn run(&self, more: &[&str]) -> Outcome {
        run(&self.args(more), &[]).await
    }

    async fn ask(&self, judge: &Endpoint, more: &[&str]) -> Outcome {
        let judge = ["--judge-url", judge.url.as_str(), "--judge-model", "j"];
        self.run(&[&judge, more].concat()).await
    }

    /// The qualities that were written, by query.
    fn qualities(&self) -> BTreeMap<String, Value> {
        lines(&self.out)
            .into_iter()
            .map(|line| (line["id"].as_str().unwrap().to_owned(), line["quality"].clone()))
            .collect()
    }

    fn grades(&self) -> Vec<Value> {
        lines(&self.folder.path().join("data.jsonl.grades"))
    }

    fn clean(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "DIR")
    }
}

fn response(id: &str, model: &str, sample: usize, response: &str) -> Value {
    let tier = if model == "s" { "small" } else { "large" };
    json!({"id": id, "source": "t", "query": format!("query {id}"), "reference": format!("answer {id}"), "model": model,
           "tier": tier, "sample": sample, "response": response})
}

/// The number of the response that a judge was asked about.
fn number(asked: &Asked) -> usize {
    let text = asked.query().split("<response>\nresponse ").nth(1).unwrap();
    text.split('\n').next().unwrap().parse().unwrap()
}

/// A judge who rates by the response's number.
async fn fair() -> Endpoint {
    Endpoint::start(|asked, _| async move { Act::Say(format!("Rating: {}", number(&asked) % 10 + 1)) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_compared() {
    let place = Place::new(&[
        response("1", "s", 0, "It is Answer 1, of course."),
        response("1", "s", 1, "answer 12"),
        response("1", "l", 0, "Answer 1."),
        response("1", "l", 1, "ANSWER  1"),
        response("2", "s", 0, "I think of a 3, or a 2."),
        response("2", "s", 1, "2"),
        response("2", "l", 0, "answer 2"),
        response("2", "l", 1, "no"),
    ]);
    let graded = async |more: &[&str]| {
        let outcome = place.run(more).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        (place.qualities(), place.clean(&outcome.stdout))
    };
    let both = |one: Value, two: Value| BTreeMap::from([("1".to_owned(), one), ("2".to_owned(), two)]);
    let (qualities, text) = graded(&["--exact"]).await;
    let expected = both(json!({"s": [0.0, 0.0], "l": [1.0, 1.0]}), json!({"s": [0.0, 0.0], "l": [1.0, 0.0]}));
    assert_eq!(qualities, expected);
    insta::assert_snapshot!(text, @"
    2 queries in DIR/data.jsonl, 0 left out
    s: mean quality 0.0000 of 4 responses (0: 4)
    l: mean quality 0.7500 of 4 responses (0: 1, 1: 3)
    s is better on 0.0 % of the queries, l on 100.0 %; on 0.0 % they are equal
    ");
    let (qualities, _) = graded(&["--contains"]).await;
    let expected = both(json!({"s": [1.0, 0.0], "l": [1.0, 1.0]}), json!({"s": [0.0, 0.0], "l": [1.0, 0.0]}));
    assert_eq!(qualities, expected);
    let (qualities, _) = graded(&["--regex", r"\d+"]).await;
    let expected = both(json!({"s": [1.0, 0.0], "l": [1.0, 1.0]}), json!({"s": [1.0, 1.0], "l": [1.0, 0.0]}));
    assert_eq!(qualities, expected);
    assert_eq!(lines(&place.out)[0]["source"], "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_is_taken_as_it_is() {
    let line = |id: u8, model: &str, bartscore: f64, thumb: bool| json!({"id": id, "query": format!("query {id}"), "model": model, "bartscore": bartscore, "thumb": thumb});
    let place = Place::new(&[
        line(1, "s", -2.5, false),
        line(1, "l", -1.5, true),
        line(2, "s", -1.0, true),
        line(2, "l", -1.0, true),
    ]);
    let outcome = place.run(&["--column", "bartscore", "--json"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(place.qualities()["1"], json!({"s": [-2.5], "l": [-1.5]}));
    let expected = json!({
        "queries": 2, "left_out": 0,
        "models": [
            {"model": "l", "responses": 2, "mean": -1.25, "distribution": {"counts": [[-1.5, 1], [-1.0, 1]]}},
            {"model": "s", "responses": 2, "mean": -1.75, "distribution": {"counts": [[-2.5, 1], [-1.0, 1]]}},
        ],
        "pair": {"first_better": 0.5, "equal": 0.5, "second_better": 0.0},
    });
    assert_eq!(outcome.json(), expected);
    assert_eq!(place.run(&["--column", "thumb"]).await.code, Some(0));
    assert_eq!(place.qualities()["1"], json!({"s": [0.0], "l": [1.0]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_rates_every_response_once_whatever_goes_wrong() {
    let judge = Endpoint::start(|asked, number_of_request| async move {
        let busy = json!({"error": {"message": "busy"}});
        match number_of_request {
            2 => Act::Status(429, "retry-after: 0", busy),
            5 => Act::Status(500, "", busy),
            8 => Act::Reset,
            11 => Act::ResetInBody,
            14 => Act::Truncate,
            17 => Act::Garbage,
            20 => Act::Say("I would rather not say.".to_owned()),
            23 => Act::Say("11".to_owned()),
            _ => Act::Say(format!("Rating: {}", number(&asked) % 10 + 1)),
        }
    })
    .await;
    let place = Place::of(10);
    let outcome = place.ask(&judge, &["--json", "--judge-price", "1,2", "--concurrency", "4"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for (id, quality) in place.qualities() {
        let from = 4 * id.parse::<usize>().unwrap();
        let rating = |n: usize| (n % 10 + 1) as f64;
        let expected = json!({"s": [rating(from), rating(from + 1)], "l": [rating(from + 2), rating(from + 3)]});
        assert_eq!(quality, expected, "{id}");
    }
    assert_eq!((place.qualities().len(), place.grades().len()), (10, 40));
    let report = outcome.json()["judge"].clone();
    assert_eq!(
        (report["ratings"].as_u64(), report["missing"].as_u64(), report["ended"].as_str()),
        (Some(40), Some(0), Some("complete"))
    );
    assert_eq!(
        (report["requests"].as_u64(), report["retries"].as_u64()),
        (Some(48), Some(6)),
        "two ratings could not be read"
    );
    assert_eq!((report["input_tokens"].as_u64(), report["output_tokens"].as_u64()), (Some(420), Some(840)));
    let cost = report["cost_usd"].as_f64().unwrap();
    assert!((cost - 0.0021).abs() < 1e-9, "{cost}");
    let asked = judge.asked();
    let temperatures: BTreeSet<_> = asked.iter().map(|asked| asked.body["temperature"].to_string()).collect();
    assert_eq!(temperatures, ["0.0", "0.7"].map(str::to_owned).into());
    assert!(asked[0].query().contains("<good_answer>\nanswer 0\n</good_answer>"));

    let again = place.ask(&judge, &[]).await;
    assert_eq!((again.code, judge.asked().len()), (Some(0), 48), "nothing was missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judges_thoughts_and_remarks_are_no_ratings() {
    let judge = Endpoint::start(|asked, _| async move {
        let said = |content: &str| Act::Body(completion(content, "stop"));
        match number(&asked) {
            0 => said("<think>\nIt seems to miss a case, perhaps 4/10.\nNo, that case is covered.\n</think>\n\n9"),
            1 => said("Rating: 8/10. It is right, though it shows only 3/10 of the steps."),
            2 => said("Not a 3, since the sum is right.\n</think>\n{\"rating\": 7, \"reason\": \"3/10 of it is idle\"}"),
            4 => Act::Body(completion("<think>At least 8/10, let me check the", "length")),
            5 => said("It covers only 3/10 of the steps."),
            _ => Act::Body(json!({"choices": [{"message": {"content": [{"type": "thinking", "thinking": "2?"}, {"type": "text", "text": "6"}]}}]})),
        }
    })
    .await;
    let place = Place::of(2);
    let outcome = place.ask(&judge, &[]).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(place.qualities(), BTreeMap::from([("0".to_owned(), json!({"s": [9.0, 8.0], "l": [7.0, 6.0]}))]));
    for missing in [
        "1 missing: the response has reasoning but no answer (cut off by the limit of tokens before it began)",
        "1 missing: no rating from 1 to 10 in any of 3 answers",
    ] {
        assert!(outcome.stdout.contains(missing), "{outcome:?}");
    }
    assert_eq!(judge.asked().len(), 8 + 2, "what was cut off in its thoughts is asked for once");
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_that_read_the_same_are_rated_once() {
    let judge = fair().await;
    let same = |id, model| [response(id, model, 0, "response 3"), response(id, model, 1, "response 3")];
    let place = Place::new(&[same("1", "s"), same("1", "l"), same("2", "s"), same("2", "l")].concat());
    let outcome = place.ask(&judge, &[]).await;
    assert_eq!((outcome.code, judge.asked().len()), (Some(0), 2), "one for each query");
    assert!(outcome.stderr.starts_with("warning: every grade is 4: there is nothing to learn"), "{}", outcome.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_judge_goes_on_where_it_was() {
    // However late a kill comes, no run gets further than that.
    let limit = Limit::default();
    let allowed = limit.clone();
    let judge = Endpoint::start(move |asked, number_of_request| {
        let allowed = allowed.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(number_of_request as u64 * 7 % 10)).await;
            allowed.allows(number_of_request).await;
            Act::Say((number(&asked) % 10 + 1).to_string())
        }
    })
    .await;
    let place = Place::of(30);
    let kept = || {
        let kept = fs::read_to_string(place.folder.path().join("data.jsonl.grades")).unwrap_or_default();
        kept.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count()
    };
    let args = ["--judge-url", &judge.url, "--judge-model", "j", "--judge-key-env", "RUN", "--concurrency", "3"];
    let args = place.args(&args);
    let mut kills = 0;
    loop {
        let before = kept();
        let run = format!("run-{kills}");
        let until = judge.asked().len() + fastrand::usize(5..16);
        limit.set(until);
        let mut child = program(&args, &[("RUN", &run)]);
        let killed = tokio::select! {
            status = child.wait() => { assert!(status.unwrap().success()); false }
            () = judge.until_asked(until) => true,
        };
        let mine = |asked: &&Asked| asked.authorization.as_deref() == Some(format!("Bearer {run}").as_str());
        if !killed {
            let now = judge.asked().iter().filter(mine).count();
            assert_eq!(now, 120 - before, "only what was missing");
            break;
        }
        child.kill().await.unwrap();
        kills += 1;
        // Where it was the last answer that set the kill off, the run may have come to its end before.
        assert!(kept() == 120 || !place.out.exists(), "there is no query data before all is graded");
        let mut asked = BTreeSet::new();
        for request in judge.asked().iter().filter(mine) {
            assert!(asked.insert(request.query().to_owned()), "one run asked twice");
        }
    }
    assert!(kills >= 5, "{kills}");
    assert_eq!((place.grades().len(), place.qualities().len()), (120, 30));
    assert!(judge.asked().len() <= 120 + kills * 3, "{} requests, {kills} kills", judge.asked().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_as_it_must_where_nobody_reads_what_it_says() {
    for (rating, code) in [("7", 0), ("no rating", 1)] {
        let judge = Endpoint::start(move |_, _| async move { Act::Say(rating.to_owned()) }).await;
        let place = Place::of(1);
        let mut unread = program(&place.args(&["--judge-url", &judge.url, "--judge-model", "j"]), &[]);
        drop((unread.stdout.take(), unread.stderr.take()));
        assert_eq!(unread.wait().await.unwrap().code(), Some(code), "{rating}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_no_rating_is_left_out_and_asked_for_again() {
    let judge = Endpoint::start(|asked, number_of_request| async move {
        match number(&asked) {
            5 if number_of_request < 42 => Act::Say("no rating".to_owned()),
            9 if number_of_request < 42 => Act::Status(400, "", json!({"error": {"code": "content_filter"}})),
            n => Act::Say(format!("{}/10", n % 10 + 1)),
        }
    })
    .await;
    let place = Place::of(10);
    let first = place.ask(&judge, &[]).await;
    assert_eq!((first.code, place.qualities().len(), judge.asked().len()), (Some(1), 8, 42), "{first:?}");
    insta::assert_snapshot!(place.clean(&first.stderr), @"
    warning: left out 2 of 10 queries, which lack a response or a grade
    error: 2 of 40 ratings are missing; run the same command again to ask for them again
    ");
    let (head, rest) = first.stdout.split_once('\n').unwrap();
    let (head, _seconds) = head.rsplit_once("; ").unwrap();
    insta::assert_snapshot!(head, @"judge j: 38 ratings; 42 requests now, 0 of them retries; 380 tokens in, 760 out; 30 in, 60 out wasted on answers of no use");
    let lines: Vec<_> = rest.lines().take(3).collect();
    insta::assert_snapshot!(place.clean(&lines.join("\n")), @"
      1 missing: answered 400 (content_filter)
      1 missing: no rating from 1 to 10 in any of 3 answers
    8 queries in DIR/data.jsonl, 2 left out
    ");
    let second = place.ask(&judge, &[]).await;
    assert_eq!((second.code, place.qualities().len(), judge.asked().len()), (Some(0), 10, 44), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_led_to_no_rating_is_told_and_paid_for() {
    let judge = Endpoint::start(|_, number_of_request| async move {
        match number_of_request {
            0 => Act::Say("no rating".to_owned()),
            1 => Act::Body(completion("5", "content_filter")),
            2 => Act::Say("none yet".to_owned()),
            n => Act::Say((n + 1).to_string()),
        }
    })
    .await;
    let place = Place::of(1);
    let more = ["--concurrency", "1", "--json", "--judge-price", "1000,2000"];
    let outcome = place.ask(&judge, &more).await;
    assert_eq!((outcome.code, judge.asked().len()), (Some(1), 6), "{outcome:?}");
    let report = outcome.json()["judge"].clone();
    let tokens = ["input_tokens", "output_tokens", "wasted_input_tokens", "wasted_output_tokens"];
    let tokens = tokens.map(|key| report[key].as_u64().unwrap());
    assert_eq!(tokens, [40, 80, 20, 40], "the third answer led to a rating in the end, the first two did not");
    assert_eq!(report["cost_usd"], 0.3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_is_of_no_use_ends_the_run() {
    let mute = Endpoint::start(|_, _| async { Act::Say("fine".to_owned()) }).await;
    let place = Place::of(30);
    let outcome = place.ask(&mute, &["--concurrency", "1", "--json", "--judge-price", "1000,2000"]).await;
    assert_eq!((outcome.code, mute.asked().len()), (Some(1), 60));
    let report = outcome.json()["judge"].clone();
    let tokens = ["input_tokens", "output_tokens", "wasted_input_tokens", "wasted_output_tokens"];
    assert_eq!(tokens.map(|key| report[key].as_u64().unwrap()), [0, 0, 600, 1200]);
    assert_eq!(report["cost_usd"], 0.6 + 2.4, "what led to no rating is paid for, too");
    let error =
        "gave no usable answer to the first 20 requests; the last one: no rating from 1 to 10 in any of 3 answers";
    assert!(outcome.stderr.contains(error), "{}", outcome.stderr);
    let closed = Endpoint::start(|_, _| async { Act::Status(403, "", json!({})) }).await;
    let args = ["--judge-url", &closed.url, "--judge-model", "j", "--judge-key-env", "KEY"];
    let outcome = run(&place.args(&args), &[("KEY", "sk-secret")]).await;
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("answered 403: check the API key in KEY"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("sk-") && !outcome.stdout.contains("sk-"));
    assert!(!place.out.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rubric_of_ones_own_is_asked_and_ratings_of_another_are_refused() {
    let judge = Endpoint::start(|_, _| async { Act::Say("5".to_owned()) }).await;
    let place = Place::new(&[response("1", "s", 0, "response {query}"), response("1", "l", 0, "other")]);
    let rubric = place.folder.path().join("rubric.txt");
    fs::write(&rubric, "Rate {response} for {query}.").unwrap();
    let more = ["--rubric", rubric.to_str().unwrap()];
    assert_eq!(place.ask(&judge, &more).await.code, Some(0));
    let asked: BTreeSet<_> = judge.asked().iter().map(|asked| asked.query().to_owned()).collect();
    assert_eq!(asked, ["Rate response {query} for query 1.", "Rate other for query 1."].map(str::to_owned).into());
    fs::write(&rubric, "Rate {response} for {query} strictly.").unwrap();
    let mut report = place.ask(&judge, &more).await.stderr;
    fs::write(&rubric, "Rate {response}.").unwrap();
    report += &place.ask(&judge, &more).await.stderr;
    insta::assert_snapshot!(place.clean(&report), @r#"
    error: DIR/data.jsonl.grades was made with other settings: rubric_digest was "8095ae9dcf1e0dbb", now "74c12a19ea4d0984"; use the same again, or choose another --out
    error: DIR/rubric.txt has no {query}: it must say where the query and the response go, as {query} and {response}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_named_and_nothing_is_asked_or_written() {
    let judge = fair().await;
    let place = Place::of(1);
    let mut report = String::new();
    let good = response("1", "s", 0, "secret");
    let mut failure = async |code, bad: Value, more: &[&str]| {
        place.write(&format!("{good}\n{bad}\n"));
        let outcome = place.run(more).await;
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        report += &outcome.stderr.lines().take(1).collect::<String>();
        report += "\n";
    };
    let ask = ["--judge-url", judge.url.as_str(), "--judge-model", "j"];
    let without = |key: &str| {
        let mut line = response("1", "l", 0, "secret");
        line.as_object_mut().unwrap().remove(key);
        line
    };
    let other_query = json!({"id": "1", "query": "secret", "model": "l", "response": "r", "reference": "r"});
    for more in [&["--exact"][..], &ask] {
        failure(1, json!("secret"), more).await;
        failure(1, good.clone(), more).await;
        failure(1, other_query.clone(), more).await;
        failure(1, without("model"), more).await;
        failure(1, without("response"), more).await;
    }
    failure(1, without("reference"), &["--contains"]).await;
    failure(1, response("2", "l", 0, "secret"), &["--exact"]).await;
    failure(1, good.clone(), &["--column", "thumb"]).await;
    failure(2, good.clone(), &[]).await;
    failure(2, good.clone(), &["--exact", "--contains"]).await;
    failure(2, good.clone(), &["--exact", "--rubric", "r"]).await;
    failure(2, good.clone(), &["--judge-url", "http://h"]).await;
    failure(2, good.clone(), &["--regex", "("]).await;
    insta::assert_snapshot!(place.clean(&report), @r#"
    error: DIR/responses.jsonl, line 2: is not as it must be; a line must be {"id", "source"?, "query", "reference"?, "model", "sample"?, "response"}
    error: DIR/responses.jsonl, line 2: has the same id, model and sample as a line before: take one of them out
    error: DIR/responses.jsonl, line 2: has another query than a line before with the same id
    error: DIR/responses.jsonl, line 2: has no key "model"; a line must be {"id", "source"?, "query", "reference"?, "model", "sample"?, "response"}
    error: DIR/responses.jsonl, line 2: has no key "response", which is to be graded
    error: DIR/responses.jsonl, line 2: is not as it must be; a line must be {"id", "source"?, "query", "reference"?, "model", "sample"?, "response"}
    error: DIR/responses.jsonl, line 2: has the same id, model and sample as a line before: take one of them out
    error: DIR/responses.jsonl, line 2: has another query than a line before with the same id
    error: DIR/responses.jsonl, line 2: has no key "model"; a line must be {"id", "source"?, "query", "reference"?, "model", "sample"?, "response"}
    error: DIR/responses.jsonl, line 2: has no key "response", which is to be rated
    error: DIR/responses.jsonl, line 2: has no key "reference", which is to be compared with
    error: no query has as many graded responses of every model as others have: run collect or judge again, until none is missing
    error: DIR/responses.jsonl, line 1: has no key "thumb", which is to be the quality
    error: the following required arguments were not provided:
    error: the argument '--exact' cannot be used with '--contains'
    error: the following required arguments were not provided:
    error: the following required arguments were not provided:
    error: invalid value '(' for '--regex <PATTERN>': regex parse error:
    "#);
    assert!(judge.asked().is_empty());
    let left: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["responses.jsonl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_query_data_stays_until_the_new_is_whole() {
    let place = Place::of(2);
    fs::write(&place.out, "old\n").unwrap();
    place.write("{\"id\": 1}\n");
    assert_eq!(place.run(&["--exact"]).await.code, Some(1));
    assert_eq!(fs::read_to_string(&place.out).unwrap(), "old\n");
}
