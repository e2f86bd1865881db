//! The whole product: Envoy, the filter, the real scorer with ONNX Runtime and the default router.

use crate::stack::{Answer, CHAT, Stack};
use hybrid_llm_tests::artifacts::{self, Profile};
use hybrid_llm_tests::envoy::Route;
use hybrid_llm_tests::scorer::Scorer;
use hybrid_llm_tests::wait::PATIENCE;
use hybrid_llm_tests::{fetch, http, metrics};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Instant;

const PROMPTS: [&str; 8] = [
    "What is the capital of France?",
    "Prove that every finite integral domain is a field.",
    "Write a haiku about autumn rain.",
    "A train leaves at 14:10 at 80 km/h; another leaves at 14:40 at 110 km/h. When does the second catch the first?",
    "Which amendment was incorporated by Gitlow v. New York?\nA. First\nB. Second\nC. Fourth\nD. Eighth",
    "Hi there!",
    "Wie spät ist es in Tōkyō, wenn es in Berlin 18:00 ist? 🕕",
    "Design a schema for double-entry bookkeeping with multiple currencies.",
];

async fn real_stack(scorer: &Scorer, dial: Value) -> Stack {
    Stack::start(|setup| {
        let mut metadata = dial;
        metadata["pair"] = json!("chat");
        setup.cluster("hybrid-llm-scorer", &scorer.endpoint).routes(&[Route::new("chat", "/", metadata)])
    })
    .await
}

async fn score(scorer: &Scorer, query: &str) -> Value {
    let request = http::post("/v1/score", json!({"router": "default", "query": query}).to_string(), &[]);
    let reply = http::send(&scorer.endpoint, request).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn real_scores_choose_the_tier_and_all_metrics_agree() {
    let scorer = Scorer::start(Profile::Dev, &[]).await.unwrap();
    let mut scores = Vec::new();
    for prompt in PROMPTS {
        scores.push(score(&scorer, prompt).await);
    }
    // A threshold between the prompts' own scores, so that both tiers are used whichever router ships.
    let mut sorted: Vec<f64> = scores.iter().map(|score| score["score"].as_f64().unwrap()).collect();
    sorted.sort_by(f64::total_cmp);
    assert!(sorted[0] >= 0.0 && sorted[7] <= 1.0 && sorted[0] < sorted[7], "{sorted:?}");
    let threshold = f64::midpoint(sorted[3], sorted[4]);

    let stack = real_stack(&scorer, json!({"threshold": threshold})).await;
    let mut small = 0.0;
    for (prompt, expected) in PROMPTS.iter().zip(&scores) {
        let answer: Answer = stack.ask(prompt).await;
        let expected = expected["score"].as_f64().unwrap();
        answer.expect(if expected >= threshold { "small" } else { "large" }, "score");
        assert_eq!(answer.reply.header("x-hybrid-llm-score"), format!("{expected:.4}"), "{prompt}");
        small += f64::from(u8::from(answer.by == "small"));
    }
    assert_eq!(
        (stack.counted(&[("tier", "small")]).await, stack.counted(&[("tier", "large")]).await),
        (small, 8.0 - small)
    );
    assert!((1.0..8.0).contains(&small));

    // Each prompt was scored once by us and once for Envoy, the second time out of the cache.
    let text = http::get(&scorer.endpoint, "/metrics").await.unwrap().text();
    let count =
        |metric: &str, labels: &[(&str, &str)]| metrics::sum(&text, &format!("hybrid_llm_scorer_{metric}"), labels);
    assert_eq!(count("requests_total", &[("code", "200")]), 16.0, "{text}");
    assert_eq!(count("scores_total", &[("router", "default")]), 16.0);
    assert_eq!((count("cache_total", &[("result", "miss")]), count("cache_total", &[("result", "hit")])), (8.0, 8.0));
    assert_eq!(count("ready", &[]), 1.0);
}

#[tokio::test]
async fn the_share_follows_the_dial_on_the_default_router() {
    let scorer = Scorer::start(Profile::Dev, &[]).await.unwrap();
    let mut stack = real_stack(&scorer, json!({"small_share": 0.0})).await;
    let mut shares = Vec::new();
    for dial in [0.0, 0.3, 0.6, 1.0] {
        let metadata = json!({"pair": "chat", "small_share": dial});
        if dial > 0.0 {
            stack.envoy.update(|setup| setup.routes(&[Route::new("chat", "/", metadata)])).await.unwrap();
        }
        let mut small = 0;
        for prompt in PROMPTS {
            small += usize::from(stack.ask(prompt).await.expect_scored().by == "small");
        }
        shares.push(small);
    }
    assert!(shares.is_sorted() && shares[0] < shares[3], "{shares:?}");
    assert_eq!(shares[3], PROMPTS.len());
}

impl Answer {
    #[track_caller]
    fn expect_scored(&self) -> &Self {
        assert_eq!((self.reply.status, self.reply.header("x-hybrid-llm-reason")), (200, "score"));
        self
    }
}

#[tokio::test]
async fn killing_the_scorer_harms_no_user_and_is_counted() {
    let mut scorer = Scorer::start(Profile::Dev, &[]).await.unwrap();
    let stack = real_stack(&scorer, json!({"threshold": 0.0})).await;
    stack.ask("before").await.expect("small", "score");
    scorer.process.kill();
    for _ in 0..5 {
        stack.ask("after").await.expect("large", "scorer_unreachable");
    }
    assert_eq!(stack.counted(&[("reason", "scorer_unreachable"), ("tier", "large")]).await, 5.0);
    // It left its socket behind; the next one takes the place.
    scorer.restart().await.unwrap();
    stack.ask("again").await.expect("small", "score");
}

#[tokio::test]
async fn envoys_user_may_open_the_socket_unless_its_mode_says_otherwise() {
    let flags = [("666", &[][..]), ("660", &["--unix-mode", "0660"])];
    for (expected, flags) in flags {
        let scorer = Scorer::start(Profile::Dev, flags).await.unwrap();
        let http::Endpoint::Unix(socket) = &scorer.endpoint else { panic!("it listens on a Unix socket") };
        let mode = socket.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(format!("{mode:o}"), expected);
    }
}

#[tokio::test]
async fn stopping_the_scorer_under_load_harms_no_user() {
    let scorer = Scorer::start(Profile::Dev, &[]).await.unwrap();
    let stack = real_stack(&scorer, json!({"threshold": 0.0})).await;
    let mut number = 0;
    let mut reason = async || {
        number += 1;
        let answer = stack.ask(&format!("question number {number}")).await;
        assert_eq!(answer.reply.status, 200);
        answer.reply.header("x-hybrid-llm-reason").to_owned()
    };
    for _ in 0..100 {
        assert_eq!(reason().await, "score");
    }
    scorer.process.terminate();
    // It may score a few more before it hears of it.
    let terminated = Instant::now();
    while reason().await == "score" {
        assert!(terminated.elapsed() < PATIENCE, "it did not stop");
    }
    for _ in 0..50 {
        reason().await;
    }
}

#[tokio::test]
async fn a_stopped_scorer_drains_and_ends_well() {
    let mut scorer = Scorer::start(Profile::Dev, &[]).await.unwrap();
    score(&scorer, "hello").await;
    scorer.process.terminate();
    let ended = scorer.process.wait_for_end().await.expect("it ends");
    assert!(ended.success(), "{ended}: {}", scorer.process.log());
    let http::Endpoint::Unix(socket) = &scorer.endpoint else { panic!("a Unix socket") };
    assert!(!socket.exists(), "the socket is gone");
}

#[tokio::test]
async fn a_scorer_whose_log_nobody_reads_goes_on() {
    let mut scorer = Scorer::start_unread(Profile::Dev, &["--log-level", "debug"]).await.unwrap();
    score(&scorer, "hello").await;
    scorer.process.terminate();
    assert_eq!(scorer.process.wait_for_end().await.expect("it ends").code(), Some(0));
}

#[tokio::test]
async fn prompts_are_in_no_log() {
    let scorer = Scorer::start(Profile::Dev, &["--log-level", "debug"]).await.unwrap();
    let stack = real_stack(&scorer, json!({"threshold": 0.5})).await;
    let secret = "xyzzy-plugh-0451";
    stack.ask(&format!("my password is {secret}")).await.expect_scored();
    let broken = http::post("/v1/score", format!("{{\"query\": \"{secret}"), &[]);
    let reply = http::send(&scorer.endpoint, broken).await.unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["code"], "bad_json", "{}", reply.text());
    let unread = stack.send(CHAT, format!("{{\"model\":\"auto\",\"{secret}"), &[]).await;
    unread.expect("large", "unparsable");
    for text in [scorer.process.log(), stack.envoy.log(), reply.text()] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn the_command_line_gives_the_same_scores_as_the_server() {
    let scorer = Scorer::start(Profile::Dev, &[]).await.unwrap();
    let mut command = Command::new(artifacts::scorer(Profile::Dev).unwrap());
    command.args(["score", "--json", "--router"]).arg(artifacts::default_router());
    command.arg("--onnxruntime").arg(fetch::onnxruntime().unwrap());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines: String = PROMPTS.iter().map(|prompt| format!("{}\n", json!({"query": prompt}))).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(printed.len(), PROMPTS.len());
    for (prompt, printed) in PROMPTS.iter().zip(printed) {
        let served = score(&scorer, prompt).await;
        for key in ["score", "small_share", "quality_drop"] {
            assert_eq!(printed[key], served[key], "{key} of {prompt}");
        }
    }
}

#[tokio::test]
async fn a_batch_is_scored_like_its_queries_and_limits_are_kept() {
    let scorer = Scorer::start(Profile::Dev, &["--max-body-bytes", "100000"]).await.unwrap();
    let send = async |path: &str, body: String, headers: &[(&str, &str)]| {
        http::send(&scorer.endpoint, http::post(path, body, headers)).await.unwrap()
    };
    let reply = send("/v1/score/batch", json!({"router": "default", "queries": PROMPTS}).to_string(), &[]).await;
    let results = reply.json()["results"].clone();
    for (index, prompt) in PROMPTS.iter().enumerate() {
        let one = score(&scorer, prompt).await;
        assert_eq!(results[index]["score"], one["score"], "{prompt}");
    }
    let error =
        |reply: &http::Reply| (reply.status, reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned());
    let unknown = send("/v1/score", json!({"router": "nope", "query": "x"}).to_string(), &[]).await;
    assert_eq!(error(&unknown), (404, "unknown_router".to_owned()));
    let large = send("/v1/score", json!({"query": "x".repeat(200_000)}).to_string(), &[]).await;
    assert_eq!(error(&large).0, 413);
    // A deadline that no inference can meet.
    let late = send(
        "/v1/score",
        json!({"query": "never seen before ".repeat(80)}).to_string(),
        &[("x-envoy-expected-rq-timeout-ms", "1")],
    )
    .await;
    assert!([429, 503].contains(&late.status), "{}", late.text());
    assert!(late.header("retry-after").parse::<u32>().unwrap() >= 1);
}
