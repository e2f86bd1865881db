//! Answers in the shapes that vendors and gateways give them: thoughts, parts, errors behind a 200, waits, the server's words.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{
    Place,
    endpoint::{Act, Asked, Endpoint, run},
};

/// A completion with this message, and counts as some servers give them.
fn answer(message: Value, reason: &str) -> Value {
    json!({
        "id": "c1", "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "usage": {"prompt_tokens": 10.0, "completion_tokens": "20"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn thoughts_are_kept_apart_and_mislead_no_check() {
    let thinking = |asked: Asked, _| async move {
        let text = |text: &str| json!({"type": "text", "text": text});
        let message = match asked.query() {
            "query 0" => json!({"role": "assistant", "content": "<think>\nPerhaps answer 0? No.\n</think>\n\nNo idea"}),
            "query 1" => json!({"role": "assistant", "content": "Answer 1", "reasoning_content": "Not answer 2."}),
            "query 2" => {
                json!({"role": "assistant", "content": [{"type": "thinking", "thinking": [text("Answer 3?")]}, text("Answer"), text(" 2")]})
            }
            "query 3" => json!({"role": "assistant", "content": "Is it answer 3?\n</think>\nNo idea"}),
            _ => json!({"role": "assistant", "content": "answer 4"}),
        };
        Act::Body(answer(message, "stop"))
    };
    let (small, large) = (Endpoint::start(thinking).await, Endpoint::start(thinking).await);
    let place = Place::new(5);
    let outcome = place.run(&small, &large, &["--samples", "1"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let recorded = place.recorded();
    let kept = |id: &str| {
        let line = &recorded[&(id.to_owned(), "s".to_owned(), 0)];
        assert_eq!((&line["input_tokens"], &line["output_tokens"]), (&json!(10), &json!(20)));
        (line["response"].as_str().unwrap().to_owned(), line["thoughts"].as_str().map(str::to_owned))
    };
    let both = |response: &str, thoughts: &str| (response.to_owned(), Some(thoughts.to_owned()));
    assert_eq!(kept("0"), both("No idea", "Perhaps answer 0? No."));
    assert_eq!(kept("1"), both("Answer 1", "Not answer 2."));
    assert_eq!(kept("2"), both("Answer 2", "Answer 3?"));
    assert_eq!(kept("3"), both("No idea", "Is it answer 3?"));
    assert_eq!(kept("4"), ("answer 4".to_owned(), None));
    // The same file, and one as an earlier version wrote it, with the thoughts in the response.
    let earlier = place.folder.path().join("earlier.jsonl");
    let old = recorded.values().map(|line| {
        let mut line = line.clone();
        if let Some(thoughts) = line.as_object_mut().unwrap().remove("thoughts") {
            line["response"] =
                format!("<think>{}</think>{}", thoughts.as_str().unwrap(), line["response"].as_str().unwrap()).into();
        }
        format!("{line}\n")
    });
    fs::write(&earlier, old.collect::<String>()).unwrap();
    for responses in [&place.out, &earlier] {
        for check in ["--exact", "--contains"] {
            assert_eq!(graded(&place, responses, check).await, [0.0, 1.0, 1.0, 0.0, 1.0], "{check}");
        }
    }
}

/// Grades of the small model, in the order of the ids.
async fn graded(place: &Place, responses: &Path, check: &str) -> Vec<f64> {
    let data = place.folder.path().join("data.jsonl");
    let args = ["judge", responses.to_str().unwrap(), "--out", data.to_str().unwrap(), check];
    let outcome = run(&args, &[]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    super::endpoint::lines(&data).iter().map(|line| line["quality"]["s"][0].as_f64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_behind_a_200_is_tried_again_and_no_half_text_is_kept() {
    let broken = |asked: Asked, number| async move {
        match number {
            0 => {
                let mut answer = answer(json!({"role": "assistant", "content": "The first step is to"}), "error");
                answer["choices"][0]["error"] = json!({"code": 502, "message": "provider disconnected"});
                Act::Body(answer)
            }
            1 => Act::Body(
                json!({"error": {"code": 429, "message": "Rate limit exceeded", "metadata": {"headers": {"X-RateLimit-Reset": "1600000000000"}}}, "user_id": "u"}),
            ),
            2 => Act::Body(json!({"error": "upstream timeout"})),
            3 => Act::Body(answer(json!({"role": "assistant", "content": "Half"}), "error")),
            _ => Act::Say(format!("whole, of {}", asked.query())),
        }
    };
    let (small, large) = (Endpoint::start(broken).await, Endpoint::plain("large").await);
    let place = Place::new(2);
    let outcome = place.run(&small, &large, &["--samples", "1", "--concurrency", "1", "--json"]).await;
    assert_eq!((outcome.code, small.asked().len()), (Some(0), 6), "{outcome:?}");
    let texts: Vec<_> = place
        .recorded()
        .into_iter()
        .filter(|(key, _)| key.1 == "s")
        .map(|(_, line)| line["response"].clone())
        .collect();
    assert_eq!(texts, ["whole, of query 0", "whole, of query 1"]);
    let report = outcome.json()["small"].clone();
    assert_eq!(
        (&report["retries"], &report["wasted_input_tokens"], &report["wasted_output_tokens"]),
        (&json!(4), &json!(20), &json!(40))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_behind_a_200_that_nothing_mends_stops_the_run() {
    for (error, key, message) in [
        (json!({"code": 402, "message": "Insufficient credits"}), None, "answered 402: the account has no money left"),
        (json!({"code": 401, "message": "User not found."}), Some("KEY"), "answered 401: check the API key in KEY"),
        (
            json!({"code": "insufficient_quota", "type": "insufficient_quota"}),
            None,
            "answered 402 (insufficient_quota): the account has no money left",
        ),
    ] {
        let closed = Endpoint::start(move |_, _| {
            let body = json!({"error": error.clone()});
            async move { Act::Body(body) }
        })
        .await;
        let large = Endpoint::plain("large").await;
        let place = Place::new(50);
        let key: Vec<&str> = key.into_iter().flat_map(|key| ["--small-key-env", key]).collect();
        let more = [&["--samples", "1", "--concurrency", "2"], &key[..]].concat();
        let outcome = run(&place.args(&closed.url, &large.url, &more), &[("KEY", "sk-secret")]).await;
        assert_eq!(outcome.code, Some(1));
        assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
        assert!(closed.asked().len() <= 2, "{}", closed.asked().len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_of_hours_ends_the_run_instead_of_sleeping() {
    for header in ["retry-after: 86399", "retry-after-ms: 86399000", "retry-after: Sun, 01 Jan 2090 00:00:00 GMT"] {
        let busy = Endpoint::start(move |_, number| async move {
            match number {
                0 => Act::Say("a".to_owned()),
                _ => Act::Status(429, header, json!({"error": {"code": "rate_limit_exceeded"}})),
            }
        })
        .await;
        let large = Endpoint::plain("large").await;
        let place = Place::new(20);
        let outcome = place.run(&busy, &large, &["--samples", "1", "--concurrency", "1"]).await;
        assert_eq!((outcome.code, busy.asked().len()), (Some(1), 2), "{outcome:?}");
        let error = "answered 429 (rate_limit_exceeded), and asks to wait ";
        assert!(outcome.stderr.contains(error), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("which is longer than 10 min (--max-wait-seconds)"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("run the same command again to continue"), "{}", outcome.stderr);
        let small = place.recorded().keys().filter(|key| key.1 == "s").count();
        assert_eq!(small, 1, "what there is stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_refusal_of_every_query_ends_the_run_and_the_server_is_heard_if_wanted() {
    let changed = |asked: Asked, number| async move {
        match number {
            0..5 => Act::Say("a".to_owned()),
            _ => {
                let said = format!(
                    "Unsupported value for {:?}\nin {}",
                    asked.authorization,
                    asked.query().split(' ').next().unwrap()
                );
                Act::Status(
                    400,
                    "",
                    json!({"error": {"message": said, "code": "unsupported_value", "param": "temperature"}}),
                )
            }
        }
    };
    let (small, large) = (Endpoint::start(changed).await, Endpoint::plain("large").await);
    let place = Place::new(100);
    let more = ["--samples", "2", "--concurrency", "1", "--small-key-env", "KEY", "--show-errors"];
    let outcome = run(&place.args(&small.url, &large.url, &more), &[("KEY", "sk-secret")]).await;
    assert_eq!(outcome.code, Some(1));
    // Two samples of each of twenty queries, of which the first had one.
    assert!((5 + 38..=5 + 40).contains(&small.asked().len()), "{}", small.asked().len());
    let error = "refused 20 queries in a row for the same reason: answered 400 (unsupported_value: temperature)";
    assert!(outcome.stderr.contains(error), "{}", outcome.stderr);
    let said =
        format!("{}/chat/completions says: Unsupported value for Some(\"Bearer (the key)\") in query\n", small.url);
    assert_eq!(outcome.stderr.matches(&said).count(), 1, "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("sk-"), "{}", outcome.stderr);
    let quiet = place.run(&small, &large, &["--samples", "2", "--concurrency", "1"]).await;
    assert!(quiet.code == Some(1) && !quiet.stderr.contains("says:"), "{}", quiet.stderr);
}
