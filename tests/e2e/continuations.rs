//! What can only continue where it was, in a real Envoy: tool loops, signed reasoning, stored responses; and what binds nothing.

use crate::stack::{CHAT, Stack, tool_loop, tools, turns};
use hybrid_llm_tests::http::post;
use hybrid_llm_tests::upstream::{StandIn, reply};
use hybrid_llm_tests::vendors;
use serde_json::{Value, json};
use std::io::Write;

/// Makes the body of a request by what the user says, turn by turn.
type Conversation = fn(&[&str]) -> Value;

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

/// Agents put clocks and request ids into the system prompt, and run others under the header of one session, at once.
#[tokio::test]
async fn loops_are_told_apart_by_what_the_user_asked() {
    let stack = Stack::start(|setup| setup.plugin("/pairs/chat/affinity_header", json!("x-session-id"))).await;
    let body = |second: u32, task: &str, loops: usize| {
        let call = json!({"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}});
        let mut turns = vec![
            json!({"role": "system", "content": format!("Request {second:x}. The time is 10:01:{second:02}.")}),
            json!({"role": "user", "content": task}),
        ];
        for _ in 0..loops {
            turns.push(json!({"role": "assistant", "tool_calls": [call]}));
            turns.push(json!({"role": "tool", "tool_call_id": "c1", "content": "rain"}));
        }
        json!({"model": "auto", "messages": turns, "tools": tools()}).to_string()
    };
    let (main, sub) = ("score 0.1 Redesign the scheduler.", "score 0.9 Find all files that name the scheduler.");
    for session in [&[][..], &[("x-session-id", "s-1")]] {
        stack.send(CHAT, body(1, main, 0), session).await.expect("large", "score");
        stack.send(CHAT, body(2, sub, 0), session).await.expect("small", "score");
        for loops in 1..4 {
            let second = 10 * u32::try_from(loops).unwrap();
            stack.send(CHAT, body(second, main, loops), session).await.expect("large", "affinity");
            stack.send(CHAT, body(second + 1, sub, loops), session).await.expect("small", "affinity");
        }
    }
}

#[tokio::test]
async fn a_restart_forgets_and_costs_a_large_answer_at_most() {
    let (first, second) = tool_loop("score 0.9 what is the weather like?");
    let before = Stack::start(|setup| setup).await;
    before.send(CHAT, first.clone(), &[]).await.expect("small", "score");
    drop(before);
    let after = Stack::start(|setup| setup).await;
    after.send(CHAT, second.clone(), &[]).await.expect("large", "tool_loop");
    // It is known again from there on.
    after.send(CHAT, second, &[]).await.expect("large", "affinity");
    after.send(CHAT, first, &[]).await.expect("small", "score");
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

/// Models think unasked, and sign what they thought: path, and body with one more turn for each of the texts.
fn signing() -> Vec<(&'static str, Conversation)> {
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
async fn a_stored_response_is_asked_for_where_it_is() {
    let vendor = vendors::model().await;
    let stack = Stack::start(|setup| setup.cluster("llama-8b", &vendor.endpoint())).await;
    for stream in [false, true] {
        let first = json!({"model": "auto", "stream": stream, "input": format!("score 0.9 stream {stream} please")});
        let request = post("/v1/responses", first.to_string(), &[]);
        let reply = stack.envoy.send(request).await.unwrap();
        assert_eq!(reply.header("x-hybrid-llm-reason"), "score");
        assert!(reply.text().contains("\"id\":\"resp_llama-3.1-8b\""), "{}", reply.text());
        let result = json!([{"type": "function_call_output", "call_id": "c", "output": "x"}]);
        let next = json!({"model": "auto", "previous_response_id": "resp_llama-3.1-8b", "input": result});
        let request = post("/v1/responses", next.to_string(), &[]);
        let reply = stack.envoy.send(request).await.unwrap();
        assert_eq!((reply.header("x-hybrid-llm-tier"), reply.header("x-hybrid-llm-reason")), ("small", "affinity"));
    }
    let unknown = json!({"model": "auto", "previous_response_id": "resp_unknown", "input": "score 0.9 go on with it"});
    stack.send("/v1/responses", unknown.to_string(), &[]).await.expect("large", "tool_loop");
}

/// Clients ask for compressed answers, and some upstreams comply; their ids look like anything.
#[tokio::test]
async fn a_stored_response_is_found_where_the_upstream_would_compress() {
    let model = StandIn::start(|request, _| async move {
        let accepts = request.headers.get("accept-encoding").map(|value| value.to_str().unwrap().to_owned());
        let answer = json!({"output": [{"id": "msg_1"}], "id": "f0b1ad56-63e6", "object": "response"}).to_string();
        if accepts.is_none_or(|accepts| !accepts.contains("gzip")) {
            return reply(200, answer);
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(answer.as_bytes()).unwrap();
        let mut response = reply(200, gzip.finish().unwrap());
        response.headers_mut().insert("content-encoding", hyper::header::HeaderValue::from_static("gzip"));
        response
    })
    .await;
    let stack = Stack::start(|setup| setup.cluster("llama-8b", &model.endpoint())).await;
    let gzip = [("accept-encoding", "gzip, deflate")];
    let send = async |body: Value| {
        let reply = stack.envoy.send(post("/v1/responses", body.to_string(), &gzip)).await.unwrap();
        let labels = ["tier", "reason"].map(|name| reply.header(&format!("x-hybrid-llm-{name}")).to_owned());
        (labels.join(" "), reply.header("content-encoding").to_owned())
    };
    let plain = String::new();
    let first = json!({"model": "auto", "input": "score 0.9 please"});
    assert_eq!(send(first).await, ("small score".to_owned(), plain.clone()));
    let next = json!({"model": "auto", "previous_response_id": "f0b1ad56-63e6", "input": "score 0.1 go on with it"});
    assert_eq!(send(next).await, ("small affinity".to_owned(), plain));
    // Where nothing is stored, nothing is looked for.
    let unstored = json!({"model": "auto", "store": false, "input": "score 0.9 and forget it"});
    assert_eq!(send(unstored).await, ("small score".to_owned(), "gzip".to_owned()));
}

/// Anthropic's threads: the API keeps the conversation under the id of its last answer.
#[tokio::test]
async fn a_thread_goes_on_where_it_is() {
    let message = json!({"type": "message", "role": "assistant", "content": [], "id": "msg_1"});
    let model = StandIn::start(move |request, _| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let event = json!({"type": "message_start", "message": message});
        let streamed = format!("event: message_start\ndata: {event}\n\n").replace("msg_1", "msg_2");
        let answer = if asked["stream"] == true { streamed } else { message.to_string() };
        async { reply(200, answer) }
    })
    .await;
    let stack = Stack::start(|setup| setup.cluster("llama-8b", &model.endpoint())).await;
    let send = async |thread: Value, stream: bool, text: &str| {
        let messages = json!([{"role": "user", "content": text}]);
        let body = json!({"model": "auto", "max_tokens": 9, "stream": stream, "thread": thread, "messages": messages});
        let reply = stack.envoy.send(post("/v1/messages", body.to_string(), &[])).await.unwrap();
        ["tier", "reason"].map(|name| reply.header(&format!("x-hybrid-llm-{name}")).to_owned()).join(" ")
    };
    let after = |id: &str| json!({"type": "continue", "previous_message_id": id});
    let hard = "score 0.1 and in Bergen, what then?";
    assert_eq!(send(json!({"type": "create"}), false, "score 0.9 what is it like in Oslo?").await, "small score");
    assert_eq!(send(after("msg_1"), true, hard).await, "small affinity");
    assert_eq!(send(after("msg_2"), false, hard).await, "small affinity");
    assert_eq!(send(after("msg_unknown"), false, "score 0.9 and then?").await, "large tool_loop");
}

/// A conversation with tools, and one with an API whose answers may be signed unasked: path, and body.
fn agents() -> [(&'static str, Conversation); 2] {
    let with_tools: Conversation = |texts| {
        let mut body: Value = serde_json::from_str(&turns(texts)).unwrap();
        body["tools"] = tools();
        body
    };
    let gemini: Conversation = |texts| {
        let content = |(i, text): (usize, &&str)| {
            let role = if i % 2 == 0 { "user" } else { "model" };
            json!({"role": role, "parts": [{"text": text}]})
        };
        json!({"contents": texts.iter().enumerate().map(content).collect::<Vec<_>>()})
    };
    [(CHAT, with_tools), ("/v1beta/models/auto:generateContent", gemini)]
}

/// A tool loop has to continue where a stray turn went; the user's next question does not.
#[tokio::test]
async fn what_a_loop_follows_binds_no_later_turn_either() {
    let easy = "score 0.9 an easy question here";
    for mode in ["sticky", "only_up"] {
        let stack = Stack::start(|setup| {
            setup.plugin("/pairs/chat/affinity", json!(mode)).plugin("/pairs/chat/allow_override", json!(true))
        })
        .await;
        for (number, (path, body)) in agents().into_iter().enumerate() {
            let ask = async |texts: &[&str], headers: &[(&str, &str)]| {
                stack.send(path, body(texts).to_string(), headers).await
            };
            let failed = &format!("status 500 for agent {number}");
            ask(&[failed], &[]).await.expect("large", "scorer_error");
            ask(&[failed, "ok", easy], &[]).await.expect("small", "score");
            let (order, forced) = (&format!("do as I say, agent {number}"), [("x-hybrid-llm-tier", "large")]);
            ask(&[order], &forced).await.expect("large", "forced");
            ask(&[order, "ok", easy], &[]).await.expect("small", "score");
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
    for (agent, (path, body)) in agents().into_iter().enumerate() {
        let mut explored = 0;
        for number in 0.. {
            let first = format!("score 0.9 question number {number} for agent {agent}");
            let begun = stack.send(path, body(&[&first]).to_string(), &[]).await;
            explored += usize::from(begun.reply.header("x-hybrid-llm-reason") == "explore");
            let then = body(&[&first, "ok", "score 0.9 and another one"]).to_string();
            let then = stack.send(path, then, &[]).await;
            let (by, reason) = (then.by, then.reply.header("x-hybrid-llm-reason"));
            assert!(matches!((by, reason), ("small", "score" | "affinity") | ("large", "explore")), "{by} {reason}");
            if explored == 4 {
                break;
            }
        }
    }
}
