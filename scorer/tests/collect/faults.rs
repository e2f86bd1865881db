//! What goes wrong with endpoints, and with the program: nothing is lost, and nothing asked for twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use hybrid_llm::lab::{
    collect::{Collection, Config, Model, Report},
    data::queries::{self, Format},
    endpoint::{
        account::End,
        address::{self, completions_url},
        client::Patience,
        retry::{RetryPolicy, Stop, Stopper},
    },
    pair::ByTier,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    sync::{Barrier, Semaphore},
};

use super::{
    Place,
    endpoint::{Act, Asked, Endpoint, Limit, Outcome, completion, program, run},
};

/// Settings for the library: hardly a wait, and many retries.
fn config(small: &Endpoint, large: &Endpoint, samples: u32) -> Config {
    let model = |model: &str, endpoint: &Endpoint| {
        let url = completions_url(&endpoint.url).unwrap();
        let endpoint =
            address::Endpoint { url, model: model.to_owned(), key: None, extra_body: serde_json::Map::new() };
        Model { endpoint, price: Some("1000,2000".parse().unwrap()) }
    };
    let retry = RetryPolicy { retries: 40, first: Duration::from_millis(1), longest: Duration::from_millis(4) };
    Config {
        models: ByTier { small: model("s", small), large: model("l", large) },
        samples: samples.try_into().unwrap(),
        temperature: 0.7,
        max_tokens: None,
        system: None,
        concurrency: 4.try_into().unwrap(),
        patience: Patience {
            timeout: Duration::from_secs(60),
            retry,
            longest_wait: Duration::from_secs(600),
            show: None,
        },
    }
}

/// Collects with the library.
async fn collect(place: &Place, config: &Config, stop: Stop) -> Report {
    let queries = queries::read(&place.queries, Format::Auto).unwrap();
    Collection::open(&queries, config, &place.out, stop).unwrap().run(|_| {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_is_recorded_once_whatever_goes_wrong() {
    let faulty = |name: &'static str| {
        Endpoint::start(move |asked, number| async move {
            let busy = json!({"error": {"message": "busy", "code": "busy"}});
            match number % 17 {
                1 => Act::Status(429, "retry-after: 0", busy),
                3 => Act::Status(500, "", busy),
                5 => Act::Status(503, "retry-after: 0.01", json!("busy")),
                6 => Act::Reset,
                8 => Act::ResetInBody,
                10 => Act::Truncate,
                12 => Act::Garbage,
                13 => Act::Status(502, "retry-after: Sun, 06 Nov 1994 08:49:37 GMT", busy),
                15 if number < 17 => Act::Hang,
                _ => Act::Say(format!("{name} {number} to {}", asked.query())),
            }
        })
    };
    let (small, large) = (faulty("small").await, faulty("large").await);
    let place = Place::new(12);
    let mut config = config(&small, &large, 5);
    config.patience.timeout = Duration::from_secs(1);
    let report = collect(&place, &config, Stopper::new().1).await;
    assert_eq!(report.end, End::Complete);
    let recorded = place.recorded();
    assert_eq!(recorded.len(), 12 * 5 * 2);
    let mut texts = BTreeSet::new();
    for ((id, model, _), line) in &recorded {
        let text = line["response"].as_str().unwrap();
        let name = if model == "s" { "small" } else { "large" };
        assert_eq!(line["tier"], name);
        assert!(text.starts_with(name) && text.ends_with(&format!("query {id}")), "{line}");
        assert!(texts.insert(text), "one answer is recorded twice: {text}");
        assert_eq!(line["reference"], format!("answer {id}"));
    }
    for (model, endpoint) in [(&report.models.small, &small), (&report.models.large, &large)] {
        assert_eq!((model.responses, model.missing), (60, 0));
        // On a busy machine a request can time out before it is there.
        assert!(model.requests >= endpoint.asked().len() as u64, "{} requests", model.requests);
        assert_eq!(model.retries, model.requests - 60, "every request that gave no response was made up for");
        assert!(model.retries >= 20, "the faults were there: {}", model.retries);
        assert_eq!((model.input_tokens, model.output_tokens, model.without_tokens), (600, 1200, 0));
        assert_eq!(model.cost_usd, Some(0.6 + 2.4));
        let characters = recorded.values().filter(|line| line["model"] == model.model.as_str());
        let characters: usize = characters.map(|line| line["response"].as_str().unwrap().len()).sum();
        assert_eq!(model.mean_characters, Some(characters as f64 / 60.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_continued_where_it_stopped() {
    let slow = |name: &'static str, limit: &Limit| {
        let limit = limit.clone();
        Endpoint::start(move |asked, number| {
            let limit = limit.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(number as u64 * 7 % 10)).await;
                limit.allows(number).await;
                Act::Say(format!("{name} {number} to {}", asked.query()))
            }
        })
    };
    // However late a kill comes, no run gets further than that with the small one.
    let (limit, none) = (Limit::default(), Limit::default());
    none.set(usize::MAX);
    let (small, large) = (slow("small", &limit).await, slow("large", &none).await);
    let place = Place::new(30);
    let args = ["--samples", "3", "--concurrency", "3", "--small-key-env", "RUN", "--large-key-env", "RUN"];
    let args = place.args(&small.url, &large.url, &args);
    let mut kills = 0;
    loop {
        let before = whole_lines(&place.out);
        // The key tells whose requests they are: those of a killed run can still be on their way.
        let run = format!("run-{kills}");
        let until = small.asked().len() + fastrand::usize(5..16);
        limit.set(until);
        let mut child = program(&args, &[("RUN", &run)]);
        let killed = tokio::select! {
            status = child.wait() => { assert!(status.unwrap().success()); false }
            () = small.until_asked(until) => true,
        };
        if killed {
            child.kill().await.unwrap();
            kills += 1;
            let text = fs::read(&place.out).unwrap_or_default();
            if kills % 3 == 0 && text.ends_with(b"\n") {
                // As if the kill had come in the midst of a line.
                fs::write(&place.out, [&text[..], b"{\"id\": \"0\", \"sour"].concat()).unwrap();
            }
        }
        for (model, endpoint) in [("s", &small), ("l", &large)] {
            let mut asked = BTreeMap::<_, u64>::new();
            let bearer = format!("Bearer {run}");
            for request in endpoint.asked().iter().filter(|asked| asked.authorization.as_ref() == Some(&bearer)) {
                *asked.entry(request.query().to_owned()).or_default() += 1;
            }
            for (query, asked) in asked {
                let id = query.strip_prefix("query ").unwrap();
                let known = before.iter().filter(|key| key.0 == id && key.1 == model).count() as u64;
                assert!(known + asked <= 3, "{query}: {known} were there, and {asked} were asked for");
            }
        }
        if !killed {
            break;
        }
        let whole = whole_lines(&place.out);
        assert!(before.is_subset(&whole), "a kill took recorded responses away");
    }
    assert!(kills >= 4, "{kills}");
    assert_eq!(place.recorded().len(), 30 * 3 * 2);
    // What was under way at a kill may be asked for again, and nothing else.
    let asked = small.asked().len() + large.asked().len();
    assert!(asked <= 180 + kills * 6, "{asked} requests, {kills} kills");
}

/// The responses in a file whose last line may be torn.
fn whole_lines(file: &Path) -> BTreeSet<(String, String, u64)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let parsed = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    parsed.map(|line| (text(&line["id"]), text(&line["model"]), line["sample"].as_u64().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_waits_for_what_is_under_way() {
    let gate = Arc::new(Semaphore::new(0));
    let held = |name: &'static str| {
        let gate = Arc::clone(&gate);
        Endpoint::start(move |_, number| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Act::Say(format!("{name} {number}"))
            }
        })
    };
    let (small, large) = (held("small").await, held("large").await);
    let place = Place::new(10);
    let args = place.args(&small.url, &large.url, &["--samples", "1", "--concurrency", "2"]);
    let mut child = program(&args, &[]);
    small.until_asked(2).await;
    large.until_asked(2).await;
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).await.unwrap();
    assert!(said.starts_with("stopping when the requests under way are answered"), "{said}");
    gate.add_permits(100);
    stderr.read_to_string(&mut said).await.unwrap();
    let outcome = Outcome::of(child.wait_with_output().await.unwrap());
    assert_eq!(outcome.code, Some(1));
    assert!(place.clean(&said).contains("error: interrupted: 4 of 20 responses are in DIR/out.jsonl"), "{said}");
    assert_eq!(place.recorded().len(), 4);
    assert_eq!((small.asked().len(), large.asked().len()), (2, 2));
    let outcome = place.run(&small, &large, &["--samples", "1", "--concurrency", "2"]).await;
    assert_eq!((outcome.code, place.recorded().len()), (Some(0), 20));
    assert_eq!((small.asked().len(), large.asked().len()), (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_are_under_way_than_allowed() {
    let slow = || {
        let together = Arc::new(Barrier::new(3));
        Endpoint::start(move |_, number| {
            let together = Arc::clone(&together);
            async move {
                // The first ones wait for each other, however slowly they come.
                if number < 3 {
                    together.wait().await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
                Act::Say("a".to_owned())
            }
        })
    };
    let (small, large) = (slow().await, slow().await);
    let outcome = Place::new(10).run(&small, &large, &["--samples", "5", "--concurrency", "3"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!((small.most_at_once(), large.most_at_once()), (3, 3), "each model has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_missing_and_asked_for_again_by_the_next_run() {
    let picky = |asked: Asked, number| async move {
        match asked.query() {
            "query 1" if number < 18 => Act::Status(400, "", json!({"error": {"code": "context_length_exceeded"}})),
            "query 2" if number < 18 => Act::Body(completion("half a", "content_filter")),
            "query 3" if number < 18 => Act::Body(completion(" ", "length")),
            "query 4" => Act::Body(completion("cut off", "length")),
            _ => Act::Say("a".to_owned()),
        }
    };
    let (small, large) = (Endpoint::start(picky).await, Endpoint::plain("large").await);
    let place = Place::new(6);
    let first = place.run(&small, &large, &["--samples", "2"]).await;
    assert_eq!((first.code, small.asked().len()), (Some(1), 12), "each was asked for once");
    insta::assert_snapshot!(first.stderr, @"error: 6 of 24 responses are missing; run the same command again to ask for them again");
    let small_part =
        first.stdout.lines().skip_while(|line| !line.starts_with("small")).take(4).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(small_part, @"
    small s: 6 responses in the file; 12 requests now, 0 of them retries; 60 tokens in, 120 out; 40 in, 80 out wasted on answers of no use; 3 characters a response; 2 cut off at the limit of tokens
      2 missing: answered 400 (context_length_exceeded)
      2 missing: the content filter stopped the response
      2 missing: the response was empty (cut off by the limit of tokens before it began)
    ");
    let second = place.run(&small, &large, &["--samples", "2", "--json", "--small-price", "1000,2000"]).await;
    assert_eq!((second.code, small.asked().len()), (Some(1), 18), "only what was missing");
    let report = second.json()["small"].clone();
    let tokens = ["input_tokens", "output_tokens", "wasted_input_tokens", "wasted_output_tokens"];
    assert_eq!(tokens.map(|key| report[key].as_u64().unwrap()), [60, 120, 40, 80]);
    assert_eq!(report["cost_usd"], 0.1 + 0.4, "what was of no use is paid for, too");
    let third = place.run(&small, &large, &["--samples", "2"]).await;
    assert_eq!((third.code, small.asked().len(), place.recorded().len()), (Some(0), 24, 24), "{third:?}");
    let fourth = place.run(&small, &large, &["--samples", "2"]).await;
    assert_eq!((fourth.code, small.asked().len()), (Some(0), 24), "nothing is missing");
    let more = place.run(&small, &large, &["--samples", "3"]).await;
    assert_eq!((more.code, small.asked().len(), place.recorded().len()), (Some(0), 30, 36), "more samples are added");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_of_no_use_ends_the_run() {
    let large = Endpoint::plain("large").await;
    let refusing = Endpoint::start(|_, _| async {
        Act::Status(400, "", json!({"error": {"code": "unsupported_parameter", "param": "max_tokens"}}))
    })
    .await;
    let place = Place::new(100);
    let outcome = place.run(&refusing, &large, &["--samples", "1", "--concurrency", "1"]).await;
    assert_eq!((outcome.code, refusing.asked().len()), (Some(1), 20));
    assert!(
        outcome
            .stderr
            .contains("gave no usable answer to the first 20 requests; the last one: answered 400 (unsupported_parameter: max_tokens)"),
        "{}",
        outcome.stderr
    );
    let place = Place::new(100);
    // Nothing listens there, and no other test can come to.
    let gone = "http://127.0.0.1:1/v1";
    let args = ["--samples", "1", "--retries", "0"];
    let outcome = run(&place.args(gone, &large.url, &args), &[]).await;
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("could not be reached (Connection refused"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("and so for 5 responses in a row"), "{}", outcome.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_to_the_other_model_is_kept_when_one_is_of_no_use() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let large = Endpoint::start(move |_, number| {
        let gate = Arc::clone(&held);
        async move {
            gate.acquire().await.unwrap().forget();
            Act::Say(format!("large {number}"))
        }
    })
    .await;
    // The small one says no when the large one's requests are under way; the large one answers only when that stopped the run.
    let (asked, go) = tokio::sync::watch::channel(false);
    let closed = Endpoint::start(move |_, _| {
        let mut go = go.clone();
        async move {
            go.wait_for(|go| *go).await.unwrap();
            Act::Status(401, "", json!({}))
        }
    })
    .await;
    let place = Place::new(10);
    let config = Config { concurrency: 3.try_into().unwrap(), ..config(&closed, &large, 1) };
    let (_stopper, stop) = Stopper::new();
    let (report, ()) = tokio::join!(collect(&place, &config, stop.clone()), async {
        large.until_asked(3).await;
        asked.send(true).unwrap();
        stop.stopped().await;
        gate.add_permits(100);
    });
    let End::Stopped { why } = report.end else { panic!("{report:?}") };
    assert!(why.starts_with("the small model: ") && why.contains("401"), "{why}");
    assert_eq!((large.asked().len(), place.recorded().len()), (3, 3), "no more are asked for, and none is lost");
    assert!(closed.asked().len() <= 3, "{}", closed.asked().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_that_the_server_asks_for_is_kept() {
    let (small, large) = (
        Endpoint::start(|_, number| async move {
            if number == 0 { Act::Status(429, "Retry-After: 1", json!({})) } else { Act::Say("a".to_owned()) }
        })
        .await,
        Endpoint::plain("large").await,
    );
    let outcome = Place::new(5).run(&small, &large, &["--samples", "1", "--concurrency", "1", "--json"]).await;
    assert_eq!(outcome.json()["small"]["retries"], 1);
    let asked = small.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1));
}
