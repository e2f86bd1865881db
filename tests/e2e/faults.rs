//! Faults on purpose: whatever the scorer does, the client gets a model's answer, and a counter says why.

use crate::stack::{CHAT, Stack, chat};
use hybrid_llm_tests::http::{Endpoint, connect, post};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_failing_scorer_never_fails_a_request() {
    let stack = Stack::start(|setup| {
        setup.plugin("/scorer/timeout_ms", json!(200)).plugin("/scorer/breaker", json!({"failures": 0}))
    })
    .await;
    let table = [
        ("slow", "timeout"),
        ("status 500", "scorer_error"),
        ("status 404", "scorer_error"),
        ("status 400", "scorer_error"),
        ("status 204", "scorer_error"),
        ("status 503", "scorer_unreachable"),
        ("refuse", "overloaded"),
        ("garbage", "bad_score"),
        ("nan", "bad_score"),
    ];
    for (query, reason) in table {
        let answer = stack.ask(query).await;
        answer.expect("large", reason);
        assert_eq!(answer.model(), "gpt-4.1", "the alias is a real name all the same");
        assert_eq!(answer.reply.header("x-hybrid-llm-score"), "");
    }
    // And it recovers at once.
    stack.ask("score 0.9").await.expect("small", "score");
    for reason in ["timeout", "scorer_unreachable", "overloaded"] {
        assert_eq!(stack.counted(&[("tier", "large"), ("reason", reason)]).await, 1.0, "{reason}");
    }
    assert_eq!(stack.counted(&[("reason", "scorer_error")]).await, 4.0);
    assert_eq!(stack.counted(&[("reason", "bad_score")]).await, 2.0);
}

#[tokio::test]
async fn a_slow_scorer_costs_its_timeout_and_no_more() {
    let stack = Stack::start(|setup| setup.plugin("/scorer/timeout_ms", json!(100))).await;
    let start = Instant::now();
    stack.ask("slow").await.expect("large", "timeout");
    let took = start.elapsed();
    // The scripted scorer would answer after five seconds.
    assert!((Duration::from_millis(100)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn no_scorer_at_all() {
    // Nobody listens on a port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nowhere = [Endpoint::Tcp(free), Endpoint::Unix("/nonexistent/scorer.sock".into())];
    for endpoint in nowhere {
        let stack = Stack::start(|setup| setup.cluster("hybrid-llm-scorer", &endpoint)).await;
        stack.ask("score 0.9").await.expect("large", "scorer_unreachable");
    }
    let stack = Stack::start(|setup| setup.plugin("/scorer/cluster", json!("no-such-cluster"))).await;
    stack.ask("score 0.9").await.expect("large", "scorer_unreachable");
}

#[tokio::test]
async fn a_scorer_that_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    let hangs_up = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let stack = Stack::start(|setup| setup.cluster("hybrid-llm-scorer", &endpoint)).await;
    for _ in 0..3 {
        stack.ask("score 0.9").await.expect("large", "scorer_unreachable");
    }
    hangs_up.abort();
}

#[tokio::test]
async fn a_scorer_that_hangs_up_in_the_middle_of_its_answer() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    let half = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let stack = Stack::start(|setup| setup.cluster("hybrid-llm-scorer", &endpoint)).await;
    for _ in 0..3 {
        stack.ask("score 0.9").await.expect("large", "scorer_unreachable");
    }
    assert!(!stack.envoy.log().contains("panicked"), "{}", stack.envoy.log());
    half.abort();
}

#[tokio::test]
async fn the_breaker_leaves_a_failing_scorer_alone_and_comes_back() {
    let stack = Stack::start(|setup| setup.plugin("/scorer/breaker", json!({"failures": 3, "open_ms": 700}))).await;
    for _ in 0..3 {
        stack.ask("status 500").await.expect("large", "scorer_error");
    }
    let _ = stack.scorer.take();
    stack.ask("score 0.9").await.expect("large", "breaker_open");
    stack.ask("score 0.9").await.expect("large", "breaker_open");
    assert!(stack.scorer.take().is_empty(), "an open breaker does not ask");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    stack.ask("score 0.9").await.expect("small", "score");
    stack.ask("score 0.9").await.expect("small", "score");
}

#[tokio::test]
async fn refusals_do_not_open_the_breaker() {
    let stack = Stack::start(|setup| setup.plugin("/scorer/breaker", json!({"failures": 2, "open_ms": 60_000}))).await;
    for query in ["refuse", "refuse", "status 400", "status 400", "refuse"] {
        stack.ask(query).await;
    }
    stack.ask("score 0.9").await.expect("small", "score");
}

#[tokio::test]
async fn clients_that_leave_while_their_request_is_held_harm_nobody() {
    let stack = Stack::start(|setup| setup.plugin("/scorer/timeout_ms", json!(1000))).await;
    for _ in 0..20 {
        let mut sender = connect(&stack.envoy.listener).await.unwrap();
        let request = tokio::spawn(sender.send_request(post(CHAT, chat("auto", "slow"), &[])));
        tokio::time::sleep(Duration::from_millis(20)).await;
        request.abort();
        drop(sender);
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(stack.small.take().is_empty() && stack.large.take().is_empty());
    stack.ask("score 0.9").await.expect("small", "score");
    assert!(!stack.envoy.log().contains("panicked"), "{}", stack.envoy.log());
}

#[tokio::test]
async fn a_models_own_error_reaches_the_client() {
    let broken = hybrid_llm_tests::upstream::StandIn::start(|_, _| async {
        hybrid_llm_tests::upstream::reply(429, r#"{"error":"slow down"}"#)
    })
    .await;
    let stack = Stack::start(|setup| setup.cluster("llama-8b", &broken.endpoint())).await;
    let reply = stack.envoy.send(post(CHAT, chat("auto", "score 0.9"), &[])).await.unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (429, r#"{"error":"slow down"}"#));
    assert_eq!((reply.header("x-hybrid-llm-tier"), reply.header("x-hybrid-llm-reason")), ("small", "score"));
}
