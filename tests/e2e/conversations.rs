//! Conversations in a real Envoy: affinity over workers, follow-ups, what a tier can do, client overrides.

use crate::stack::{CHAT, Stack, chat, tool_loop, turns};
use hybrid_llm_tests::envoy::Setup;
use hybrid_llm_tests::wait::until;
use serde_json::{Value, json};
use std::collections::HashMap;

#[tokio::test]
async fn affinity_keeps_a_conversation_together() {
    let (easy, hard) = ("score 0.9 an easy question here", "score 0.1 a hard question here");
    let modes = [("off", "large", "small"), ("sticky", "small", "small"), ("only_up", "large", "large")];
    for (mode, second, third) in modes {
        let stack = Stack::start(|setup| setup.plugin("/pairs/chat/affinity", json!(mode))).await;
        let mut tiers = Vec::new();
        for body in [turns(&[easy]), turns(&[easy, "ok", hard]), turns(&[easy, "ok", hard, "ok", easy])] {
            tiers.push(stack.send(CHAT, body, &[]).await.by);
        }
        assert_eq!(tiers, ["small", second, third], "{mode}");
        // Another conversation is another matter.
        assert_eq!(stack.send(CHAT, turns(&[hard]), &[]).await.by, "large");
    }
}

#[tokio::test]
async fn a_header_or_an_id_names_the_conversation() {
    let stack = Stack::start(|setup| {
        setup
            .plugin("/pairs/chat/affinity", json!("sticky"))
            .plugin("/pairs/chat/affinity_header", json!("X-Session-Id"))
    })
    .await;
    let hard = "score 0.1 a hard question here";
    let session = [("x-session-id", "s1")];
    stack.send(CHAT, chat("auto", "score 0.9 an easy question"), &session).await.expect("small", "score");
    stack.send(CHAT, chat("auto", hard), &session).await.expect("small", "affinity");
    stack.send(CHAT, chat("auto", hard), &[("x-session-id", "s2")]).await.expect("large", "score");
    // An application's cache key parts no conversations: what the user said first does.
    let keyed = |texts: &[&str]| turns(texts).replacen('{', r#"{"prompt_cache_key":"k1","#, 1);
    let first = "score 0.9 an easy question with a key";
    stack.send(CHAT, keyed(&[first]), &[]).await.expect("small", "score");
    stack.send(CHAT, keyed(&[first, "ok", hard]), &[]).await.expect("small", "affinity");
    stack.send(CHAT, keyed(&[hard]), &[]).await.expect("large", "score");
}

/// A failure of the scorer, or a client override, has no effect after its turn.
#[tokio::test]
async fn what_did_not_decide_by_the_query_binds_no_later_turn() {
    let stack = Stack::start(|setup| {
        setup.plugin("/pairs/chat/affinity", json!("sticky")).plugin("/pairs/chat/allow_override", json!(true))
    })
    .await;
    let easy = "score 0.9 an easy question here";
    stack.send(CHAT, turns(&["status 500"]), &[]).await.expect("large", "scorer_error");
    stack.send(CHAT, turns(&["status 500", "ok", easy]), &[]).await.expect("small", "score");
    let forced = [("x-hybrid-llm-tier", "large")];
    stack.send(CHAT, turns(&["do as I say, please"]), &forced).await.expect("large", "forced");
    stack.send(CHAT, turns(&["do as I say, please", "ok", easy]), &[]).await.expect("small", "score");
    let (hard, turned) = ("score 0.1 a hard question here", [("x-hybrid-llm-threshold", "0")]);
    stack.send(CHAT, turns(&[hard]), &turned).await.expect("small", "score");
    stack.send(CHAT, turns(&[hard, "ok", hard]), &[]).await.expect("large", "score");
}

#[tokio::test]
async fn workers_share_what_they_remember() {
    let stack = Stack::start(|setup: Setup| setup.concurrency(4).plugin("/pairs/chat/affinity", json!("sticky"))).await;
    // Every request comes over a connection of its own, and so by any of the workers.
    for conversation in 0..10 {
        let first = format!("score 0.9 conversation number {conversation}");
        stack.send(CHAT, turns(&[&first]), &[]).await.expect("small", "score");
        for _ in 0..8 {
            let later = turns(&[&first, "ok", "score 0.1 and now a hard one"]);
            stack.send(CHAT, later, &[]).await.expect("small", "affinity");
        }
    }
}

#[tokio::test]
async fn short_follow_ups_and_harness_text() {
    let stack = Stack::start(|setup| setup).await;
    stack.send(CHAT, turns(&["write a limerick", "There once was", "score 0.9"]), &[]).await.expect("small", "score");
    let asked: Value = serde_json::from_slice(&stack.scorer.take()[0].body).unwrap();
    assert_eq!(asked["query"], "score 0.9\nwrite a limerick");
    stack.ask("<system-reminder>score 0.1</system-reminder>score 0.9 why?").await.expect("small", "score");
}

#[tokio::test]
async fn images_and_other_needs() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let text = json!({"type": "text", "text": "score 0.9 what is in this picture?"});
    let seen = json!({"model": "auto", "messages": [{"role": "user", "content": [image, text]}]}).to_string();
    let (with_tools, _) = tool_loop("score 0.9 tools are declared here");
    let stack = Stack::start(|setup| setup).await;
    stack.send(CHAT, seen.clone(), &[]).await.expect("large", "non_text");
    stack.send(CHAT, with_tools.clone(), &[]).await.expect("small", "score");
    let stack = Stack::start(|setup| {
        setup
            .plugin("/pairs/chat/small/capabilities", json!(["vision"]))
            .plugin("/pairs/chat/query", json!({"non_text": "score"}))
    })
    .await;
    stack.send(CHAT, seen, &[]).await.expect("small", "score");
    stack.send(CHAT, with_tools, &[]).await.expect("large", "capability");
}

#[tokio::test]
async fn exploration_is_marked_and_can_be_told_again() {
    let stack = Stack::start(|setup| setup.plugin("/pairs/chat/explore", json!(0.5))).await;
    let (mut explored, mut ids) = (0, Vec::new());
    for _ in 0..40 {
        let answer = stack.ask("score 0.9 an easy question").await;
        let id = answer.upstream.headers["x-request-id"].as_bytes();
        let takes = hybrid_llm_filter::decision::explore::draw(id) < 0.5;
        let (tier, reason) = if takes { ("large", "explore") } else { ("small", "score") };
        assert_eq!(answer.expect(tier, reason).reply.header("x-hybrid-llm-score"), "0.9000");
        explored += usize::from(takes);
        ids.push((String::from_utf8_lossy(id).into_owned(), reason));
    }
    // The log holds what the draw needs.
    let logged = |log: &str| {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|line| (line["request_id"].as_str().unwrap().to_owned(), line)).collect::<HashMap<_, _>>()
    };
    let all = async || Some(logged(&stack.envoy.log())).filter(|lines| lines.len() >= ids.len());
    let lines = until("a line a request in the access log", all).await;
    for (id, reason) in ids {
        assert_eq!((&lines[&id]["reason"], &lines[&id]["score"]), (&json!(reason), &json!("0.9000")), "{id}");
    }
    assert!((1..40).contains(&explored), "{explored}");
    assert_eq!(stack.counted(&[("reason", "explore"), ("tier", "large")]).await, explored as f64);
}

/// A service's own id, which its trace has too.
#[tokio::test]
async fn the_same_request_id_is_drawn_alike() {
    let stack = Stack::start(|setup| setup.plugin("/pairs/chat/explore", json!(0.5))).await;
    for number in 0..10 {
        let id = format!("trace-{number}");
        let takes = hybrid_llm_filter::decision::explore::draw(id.as_bytes()) < 0.5;
        let (tier, reason) = if takes { ("large", "explore") } else { ("small", "score") };
        for _ in 0..2 {
            let headers = [("x-request-id", id.as_str())];
            let answer = stack.send(CHAT, chat("auto", "score 0.9 an easy question"), &headers).await;
            answer.expect(tier, reason);
            assert_eq!(answer.upstream.headers["x-request-id"], id.as_str());
        }
    }
}

#[tokio::test]
async fn an_override_is_answered() {
    let limits = json!({"threshold": {"floor": 0.4, "ceiling": 0.6}});
    let stack = Stack::start(|setup| {
        setup.plugin("/pairs/chat/allow_override", json!(true)).plugin("/pairs/chat/override_limits", limits)
    })
    .await;
    let table = [
        (("x-hybrid-llm-threshold", "0.5"), "0.55", "small", "taken"),
        (("x-hybrid-llm-threshold", "0.0"), "0.35", "large", "clamped"),
        (("x-hybrid-llm-threshold", "1.0"), "0.65", "small", "clamped"),
        (("x-hybrid-llm-threshold", "much"), "0.55", "small", "bad_value"),
        // What would lead past the limits.
        (("x-hybrid-llm-small-share", "1.0"), "0.45", "large", "not_allowed"),
        (("x-hybrid-llm-tier", "small"), "0.1", "large", "not_allowed"),
    ];
    for (header, score, tier, note) in table {
        let answer = stack.send(CHAT, chat("auto", &format!("score {score} of a question")), &[header]).await;
        assert_eq!((answer.by, answer.reply.header("x-hybrid-llm-override")), (tier, note), "{header:?}");
    }
    assert_eq!(stack.ask("score 0.9").await.reply.header("x-hybrid-llm-override"), "");
    // An override that applies, and did not decide.
    let dial = [("x-hybrid-llm-threshold", "0.5")];
    for body in [chat("auto", "status 500 for the scorer"), tool_loop("of a loop that nobody saw begin").1] {
        let answer = stack.send(CHAT, body, &dial).await;
        assert_eq!((answer.by, answer.reply.header("x-hybrid-llm-override")), ("large", "unused"));
    }
    let gzip = [dial[0], ("content-encoding", "gzip")];
    let answer = stack.send(CHAT, chat("auto", "of bytes that are not read"), &gzip).await;
    assert_eq!(answer.expect("large", "encoded_body").reply.header("x-hybrid-llm-override"), "unused");
}
