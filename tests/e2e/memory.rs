//! The memory of where conversations went, in a real Envoy: what workers write at once, and what time makes of it.

use crate::stack::{CHAT, Stack, tool_loop};
use hybrid_llm_tests::http::{self, Endpoint, connect, post};
use hybrid_llm_tests::wait::PATIENCE;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

/// As many conversations as one set has room for, so that all of them are in the same.
const CONVERSATIONS: usize = 8;
const TURNS: usize = 1000;

/// Each turn goes elsewhere than the one before, and its tool's result has to follow it. Where one worker overwrites what
/// another has just written, a result goes where the turn before went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_workers_write_at_once_is_kept() {
    let stack = Stack::start(|setup| {
        // Connections are dealt out to the workers one by one.
        let dealt = json!({"exact_balance": {}});
        setup
            .concurrency(4)
            .bootstrap("/static_resources/listeners/0/connection_balance_config", dealt)
            .plugin("/memory", json!({"conversations": CONVERSATIONS}))
            .plugin("/pairs/chat/allow_override", json!(true))
    })
    .await;
    // What several workers write at once into an empty set has nothing that it could be compared with.
    assert_eq!(talk(stack.envoy.listener.clone(), 0, 1).await, 0);
    let talks: JoinSet<_> =
        (0..CONVERSATIONS).map(|number| talk(stack.envoy.listener.clone(), number, TURNS)).collect();
    let astray = tokio::time::timeout(PATIENCE, talks.join_all()).await.expect("all turns in time");
    // A worker that loses three times in a row gives up, which happens to less than one turn in a million. Were it not noticed
    // who has lost, it would happen to one in some hundreds.
    assert!(astray.iter().sum::<usize>() <= 3, "of {TURNS} each: {astray:?}");
}

/// How many tools' results did not follow their turn.
async fn talk(listener: Endpoint, number: usize, turns: usize) -> usize {
    let mut connection = connect(&listener).await.unwrap();
    let (turn, result) = tool_loop(&format!("conversation {number}"));
    let mut astray = 0;
    for tier in ["small", "large"].into_iter().cycle().take(turns) {
        let mut send = async |body: &str, headers: &[(&str, &str)]| {
            connection.ready().await.unwrap();
            let response = connection.send_request(post(CHAT, body.to_owned(), headers)).await.unwrap();
            http::collect(response).await.unwrap()
        };
        let sent = send(&turn, &[("x-hybrid-llm-tier", tier)]).await;
        assert_eq!((sent.header("x-hybrid-llm-tier"), sent.header("x-hybrid-llm-reason")), (tier, "forced"));
        let followed = send(&result, &[]).await;
        astray += usize::from(followed.header("x-hybrid-llm-tier") != tier);
    }
    astray
}

#[tokio::test]
async fn conversations_are_forgotten_in_time() {
    let start = async |memory: Value| Stack::start(|setup| setup.plugin("/memory", memory)).await;
    let brief = start(json!({"conversations": CONVERSATIONS, "ttl_s": 1})).await;
    let long = start(json!({"conversations": CONVERSATIONS, "ttl_s": 3600})).await;
    // The system's clock may be set back meanwhile, but not every time.
    for number in 0..5 {
        let (first, second) = tool_loop(&format!("score 0.9 is the question of number {number}"));
        for stack in [&brief, &long] {
            stack.send(CHAT, first.clone(), &[]).await.expect("small", "score");
        }
        // Times are noted in whole seconds. A continuation makes it remembered anew: it can't be tried again and again.
        tokio::time::sleep(Duration::from_millis(2100)).await;
        long.send(CHAT, second.clone(), &[]).await.expect("small", "affinity");
        let answer = brief.send(CHAT, second, &[]).await;
        if answer.reply.header("x-hybrid-llm-reason") == "tool_loop" {
            answer.expect("large", "tool_loop");
            return;
        }
        answer.expect("small", "affinity");
    }
    panic!("nothing was forgotten");
}
