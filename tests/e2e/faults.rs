//! Faults on purpose: whatever the scorer does, the client gets a model's answer, and a counter says why.

use crate::stack::{CHAT, Stack, chat};
use hybrid_llm_tests::http::{self, Endpoint, connect, post};
use hybrid_llm_tests::wait::until;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket};

#[tokio::test]
async fn a_failing_scorer_never_fails_a_request() {
    let stack = Stack::start(|setup| setup.plugin("/scorer/breaker", json!({"failures": 0}))).await;
    let table = [
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
    for reason in ["scorer_unreachable", "overloaded"] {
        assert_eq!(stack.counted(&[("tier", "large"), ("reason", reason)]).await, 1.0, "{reason}");
    }
    assert_eq!(stack.counted(&[("reason", "scorer_error")]).await, 4.0);
    assert_eq!(stack.counted(&[("reason", "bad_score")]).await, 2.0);
}

#[tokio::test]
async fn a_slow_scorer_costs_its_timeout_and_no_more() {
    let stack = Stack::start(|setup| {
        setup.plugin("/scorer/timeout_ms", json!(500)).plugin("/scorer/breaker", json!({"failures": 0}))
    })
    .await;
    let start = Instant::now();
    // The scripted scorer never answers: nothing but the timeout ends this.
    let answer = stack.ask("slow").await;
    let took = start.elapsed();
    answer.expect("large", "timeout");
    assert_eq!(answer.model(), "gpt-4.1", "the alias is a real name all the same");
    assert_eq!(answer.reply.header("x-hybrid-llm-score"), "");
    // Envoy's clock is a little coarser than ours.
    assert!(took >= Duration::from_millis(450), "{took:?}");
    assert_eq!(stack.counted(&[("tier", "large"), ("reason", "timeout")]).await, 1.0);
    // And it recovers, though on a busy machine a good answer may come too late here.
    let answer = async || Some(stack.ask("score 0.9").await).filter(|answer| answer.by == "small");
    until("a score in time", answer).await.expect("small", "score");
}

#[tokio::test]
async fn no_scorer_at_all() {
    // Bound, so that nobody else gets the port, and not listening: it refuses.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nowhere = [Endpoint::Tcp(deaf.local_addr().unwrap()), Endpoint::Unix("/nonexistent/scorer.sock".into())];
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
    let opened = async |open_ms: u32| {
        let breaker = json!({"failures": 3, "open_ms": open_ms});
        let stack = Stack::start(|setup| setup.plugin("/scorer/breaker", breaker)).await;
        for _ in 0..3 {
            stack.ask("status 500").await.expect("large", "scorer_error");
        }
        let _ = stack.scorer.take();
        stack
    };
    let stack = opened(600_000).await;
    stack.ask("score 0.9").await.expect("large", "breaker_open");
    stack.ask("score 0.9").await.expect("large", "breaker_open");
    assert!(stack.scorer.take().is_empty(), "an open breaker does not ask");

    let stack = opened(500).await;
    let tried = async || {
        let answer = stack.ask("score 0.9").await;
        (answer.reply.header("x-hybrid-llm-reason") != "breaker_open").then_some(answer)
    };
    until("a breaker that tries again", tried).await.expect("small", "score");
    assert_eq!(stack.scorer.take().len(), 1, "until then it did not ask");
    stack.ask("score 0.9").await.expect("small", "score");
}

#[tokio::test]
async fn refusals_do_not_open_the_breaker() {
    let stack = Stack::start(|setup| setup.plugin("/scorer/breaker", json!({"failures": 2, "open_ms": 600_000}))).await;
    for query in ["refuse", "refuse", "status 400", "status 400", "refuse"] {
        stack.ask(query).await;
    }
    stack.ask("score 0.9").await.expect("small", "score");
}

#[tokio::test]
async fn clients_that_leave_while_their_request_is_held_harm_nobody() {
    let stack = Stack::start(|setup| setup).await;
    for _ in 0..20 {
        let mut sender = connect(&stack.envoy.listener).await.unwrap();
        let request = tokio::spawn(sender.send_request(post(CHAT, chat("auto", "held"), &[])));
        until("a request that waits for its score", async || stack.scorer.take().pop()).await;
        request.abort();
        drop(sender);
    }
    let idle = async |what: &str| {
        let stats = http::get(&stack.envoy.admin, &format!("/stats?filter={what}")).await.unwrap().text();
        stats.lines().any(|line| line == format!("{what}: 0")).then_some(())
    };
    until("clients that are gone", async || idle("http.llm.downstream_rq_active").await).await;
    // Their scores come when nobody waits for them.
    for _ in 0..20 {
        stack.scorer.release_piece();
    }
    until("all scores", async || idle("cluster.hybrid-llm-scorer.upstream_rq_active").await).await;
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
