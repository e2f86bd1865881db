//! Conversations in a real Envoy: tool loops, affinity over workers, stored responses, follow-ups, what a tier can do.

use crate::stack::{CHAT, Stack, chat};
use hybrid_llm_tests::envoy::Setup;
use hybrid_llm_tests::vendors;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}])
}

/// The first request of a tool loop, and the one that brings the tool's result.
fn tool_loop(query: &str) -> (String, String) {
    let user = json!({"role": "user", "content": query});
    let call = json!({"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]});
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "rain"});
    let body = |messages: Value| json!({"model": "auto", "messages": messages, "tools": tools()}).to_string();
    (body(json!([user])), body(json!([user, call, result])))
}

#[tokio::test]
async fn a_tool_loop_stays_where_it_began() {
    let stack = Stack::start(|setup| setup).await;
    for (score, tier) in [("0.9", "small"), ("0.1", "large")] {
        let (first, second) = tool_loop(&format!("score {score} what is the weather like?"));
        stack.send(CHAT, first, &[]).await.expect(tier, "score");
        let before = stack.scorer.take().len();
        stack.send(CHAT, second, &[]).await.expect(tier, "affinity");
        assert_eq!((before, stack.scorer.take().len()), (1, 0), "the scorer is not asked in a loop");
    }
    let (_, unknown) = tool_loop("score 0.9 nobody has seen this one begin");
    stack.send(CHAT, unknown, &[]).await.expect("large", "tool_loop");
}

#[tokio::test]
async fn a_loop_goes_on_after_the_scorer_failed_and_its_dial_moved() {
    let mut stack = Stack::start(|setup| setup).await;
    let (first, second) = tool_loop("status 500 in this loop");
    stack.send(CHAT, first, &[]).await.expect("large", "scorer_error");
    stack.send(CHAT, second, &[]).await.expect("large", "affinity");
    let (first, second) = tool_loop("score 0.9 in this other loop");
    stack.send(CHAT, first, &[]).await.expect("small", "score");
    let strict = hybrid_llm_tests::envoy::Route::new("chat", "/", json!({"pair": "chat", "threshold": 0.95}));
    stack.envoy.update(|setup| setup.routes(&[strict])).await.unwrap();
    stack.send(CHAT, second, &[]).await.expect("small", "affinity");
}

fn turns(texts: &[&str]) -> String {
    let messages = texts.iter().enumerate().map(|(i, text)| {
        let role = if i % 2 == 0 { "user" } else { "assistant" };
        json!({"role": role, "content": text})
    });
    json!({"model": "auto", "messages": messages.collect::<Vec<_>>()}).to_string()
}

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

/// The scorer's bad minute, or a client's own wish, is over with its turn.
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
}

/// A conversation with tools, and one with an API whose answers may be signed unasked: path and body, of what the user says.
fn agents() -> [fn(&[&str]) -> (&'static str, String); 2] {
    let with_tools = |texts: &[&str]| {
        let mut body: Value = serde_json::from_str(&turns(texts)).unwrap();
        body["tools"] = tools();
        (CHAT, body.to_string())
    };
    let gemini = |texts: &[&str]| {
        let content = |(i, text): (usize, &&str)| {
            let role = if i % 2 == 0 { "user" } else { "model" };
            json!({"role": role, "parts": [{"text": text}]})
        };
        let contents: Vec<_> = texts.iter().enumerate().map(content).collect();
        ("/v1beta/models/auto:generateContent", json!({"contents": contents}).to_string())
    };
    [with_tools, gemini]
}

/// A tool loop has to go on where a stray turn went; the user's next question does not.
#[tokio::test]
async fn what_a_loop_follows_binds_no_later_turn_either() {
    let easy = "score 0.9 an easy question here";
    for mode in ["sticky", "only_up"] {
        let stack = Stack::start(|setup| {
            setup.plugin("/pairs/chat/affinity", json!(mode)).plugin("/pairs/chat/allow_override", json!(true))
        })
        .await;
        for (number, conversation) in agents().iter().enumerate() {
            let ask = async |texts: &[&str], headers: &[(&str, &str)]| {
                let (path, body) = conversation(texts);
                stack.send(path, body, headers).await
            };
            let failed = &format!("status 500 for agent {number}");
            ask(&[failed], &[]).await.expect("large", "scorer_error");
            ask(&[failed, "ok", easy], &[]).await.expect("small", "score");
            let (wish, forced) = (&format!("do as I say, agent {number}"), [("x-hybrid-llm-tier", "large")]);
            ask(&[wish], &forced).await.expect("large", "forced");
            ask(&[wish, "ok", easy], &[]).await.expect("small", "score");
            // Nor does a turn that was forced elsewhere make forget where the conversation belongs.
            let hard = &format!("score 0.1 a hard question for agent {number}");
            ask(&[hard], &[]).await.expect("large", "score");
            ask(&[hard, "ok", easy], &[("x-hybrid-llm-tier", "small")]).await.expect("small", "forced");
            ask(&[hard, "ok", easy, "ok", easy], &[]).await.expect("large", "affinity");
        }
        let (first, second) = tool_loop("status 500 in a loop");
        stack.send(CHAT, first.clone(), &[]).await.expect("large", "scorer_error");
        stack.send(CHAT, second, &[]).await.expect("large", "affinity");
        let mut then: Value = serde_json::from_str(&first).unwrap();
        then["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": easy}));
        stack.send(CHAT, then.to_string(), &[]).await.expect("small", "score");
    }
}

#[tokio::test]
async fn exploring_binds_no_later_turn() {
    let stack = Stack::start(|setup| {
        setup.plugin("/pairs/chat/affinity", json!("sticky")).plugin("/pairs/chat/explore", json!(0.5))
    })
    .await;
    for (agent, conversation) in agents().iter().enumerate() {
        let mut explored = 0;
        for number in 0.. {
            let first = format!("score 0.9 question number {number} for agent {agent}");
            let (path, body) = conversation(&[&first]);
            explored += usize::from(stack.send(path, body, &[]).await.reply.header("x-hybrid-llm-reason") == "explore");
            let (path, body) = conversation(&[&first, "ok", "score 0.9 and another one"]);
            let then = stack.send(path, body, &[]).await;
            let (by, reason) = (then.by, then.reply.header("x-hybrid-llm-reason"));
            assert!(matches!((by, reason), ("small", "score" | "affinity") | ("large", "explore")), "{by} {reason}");
            if explored == 4 {
                break;
            }
        }
    }
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
async fn a_stored_response_is_asked_for_where_it_is() {
    let vendor = vendors::model().await;
    let stack = Stack::start(|setup| setup.cluster("llama-8b", &vendor.endpoint())).await;
    for stream in [false, true] {
        let first = json!({"model": "auto", "stream": stream, "input": format!("score 0.9 stream {stream} please")});
        let request = hybrid_llm_tests::http::post("/v1/responses", first.to_string(), &[]);
        let reply = stack.envoy.send(request).await.unwrap();
        assert_eq!(reply.header("x-hybrid-llm-reason"), "score");
        assert!(reply.text().contains("\"id\":\"resp_llama-3.1-8b\""), "{}", reply.text());
        let result = json!([{"type": "function_call_output", "call_id": "c", "output": "x"}]);
        let next = json!({"model": "auto", "previous_response_id": "resp_llama-3.1-8b", "input": result});
        let request = hybrid_llm_tests::http::post("/v1/responses", next.to_string(), &[]);
        let reply = stack.envoy.send(request).await.unwrap();
        assert_eq!((reply.header("x-hybrid-llm-tier"), reply.header("x-hybrid-llm-reason")), ("small", "affinity"));
    }
    let unknown = json!({"model": "auto", "previous_response_id": "resp_unknown", "input": "score 0.9 go on with it"});
    stack.send("/v1/responses", unknown.to_string(), &[]).await.expect("large", "tool_loop");
}

/// Models think unasked, and sign what they thought: path, and body with one more turn for each of the texts.
fn signing() -> Vec<(&'static str, fn(&[&str]) -> Value)> {
    fn turns_of(texts: &[&str], user: fn(&str) -> Value, model: fn() -> Value) -> Value {
        let mut turns = Vec::new();
        for text in texts {
            if !turns.is_empty() {
                turns.push(model());
            }
            turns.push(user(text));
        }
        json!(turns)
    }
    fn said(text: &str) -> Value {
        json!({"role": "user", "content": text})
    }
    fn parts(text: &str) -> Value {
        json!({"role": "user", "parts": [{"text": text}]})
    }
    fn blocks(text: &str) -> Value {
        json!({"role": "user", "content": [{"text": text}]})
    }
    fn details() -> Value {
        json!({"role": "assistant", "content": "ok", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]})
    }
    fn thinking() -> Value {
        let thought = json!({"type": "thinking", "thinking": "Hm.", "signature": "x"});
        json!({"role": "assistant", "content": [thought, {"type": "text", "text": "ok"}]})
    }
    fn signature() -> Value {
        json!({"role": "model", "parts": [{"text": "ok", "thoughtSignature": "x"}]})
    }
    fn reasoning() -> Value {
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"})
    }
    fn reasoning_content() -> Value {
        let thought = json!({"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "x"}}});
        json!({"role": "assistant", "content": [thought, {"text": "ok"}]})
    }
    vec![
        (CHAT, |texts| json!({"model": "auto", "messages": turns_of(texts, said, details)})),
        ("/v1/messages", |texts| json!({"model": "auto", "messages": turns_of(texts, said, thinking)})),
        ("/v1/responses", |texts| json!({"model": "auto", "store": false, "input": turns_of(texts, said, reasoning)})),
        ("/v1beta/models/auto:generateContent", |texts| json!({"contents": turns_of(texts, parts, signature)})),
        ("/model/auto/converse", |texts| json!({"messages": turns_of(texts, blocks, reasoning_content)})),
        ("/model/auto/invoke", |texts| json!({"messages": turns_of(texts, said, thinking)})),
    ]
}

#[tokio::test]
async fn what_a_model_signed_unasked_goes_back_to_it() {
    let stack = Stack::start(|setup| setup).await;
    for (path, body) in signing() {
        for (score, tier) in [("0.9", "small"), ("0.1", "large")] {
            let first = &format!("score {score} a question by {path}");
            stack.send(path, body(&[first]).to_string(), &[]).await.expect(tier, "score");
            let then = body(&[first, "score 0.5 and another question"]).to_string();
            stack.send(path, then, &[]).await.expect(tier, "affinity");
        }
        let unknown = body(&[&format!("nobody saw this begin by {path}"), "score 0.9 and another question"]);
        stack.send(path, unknown.to_string(), &[]).await.expect("large", "tool_loop");
    }
}

#[tokio::test]
async fn short_follow_ups_and_harness_text() {
    let stack = Stack::start(|setup| setup).await;
    stack
        .send(CHAT, turns(&["score 0.9 write a limerick", "There once was", "go on"]), &[])
        .await
        .expect("small", "score");
    let asked: Value = serde_json::from_slice(&stack.scorer.take()[0].body).unwrap();
    assert_eq!(asked["query"], "score 0.9 write a limerick\ngo on");
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
        let takes = hybrid_llm_filter::explore::draw(id) < 0.5;
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
    let mut lines = logged(&stack.envoy.log());
    for _ in 0..100 {
        if lines.len() >= ids.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        lines = logged(&stack.envoy.log());
    }
    for (id, reason) in ids {
        assert_eq!((&lines[&id]["reason"], &lines[&id]["score"]), (&json!(reason), &json!("0.9000")), "{id}");
    }
    assert!((1..40).contains(&explored), "{explored}");
    assert_eq!(stack.counted(&[("reason", "explore"), ("tier", "large")]).await, explored as f64);
}

#[tokio::test]
async fn a_wish_is_answered() {
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
    // A wish that counts, and did not decide.
    let wish = [("x-hybrid-llm-threshold", "0.5")];
    for body in [chat("auto", "status 500 for the scorer"), tool_loop("of a loop that nobody saw begin").1] {
        let answer = stack.send(CHAT, body, &wish).await;
        assert_eq!((answer.by, answer.reply.header("x-hybrid-llm-override")), ("large", "unused"));
    }
    let gzip = [wish[0], ("content-encoding", "gzip")];
    let answer = stack.send(CHAT, chat("auto", "of bytes that are not read"), &gzip).await;
    assert_eq!(answer.expect("large", "encoded_body").reply.header("x-hybrid-llm-override"), "unused");
}
