//! What coding agents and chat interfaces send, in a real Envoy: questions beside tools' results, harness text within harness
//! text, tools' results that are written as text, parts of unknown type.

use crate::stack::{CHAT, Stack, tool_loop};
use serde_json::{Value, json};

const HARD: &str = "score 0.1 Compare the climates of Oslo and Bergen.";
const EASY: &str = "score 0.9 Leave that. What is the capital of Peru?";
const REMINDER: &str = "<system-reminder>The <system-reminder>todo</system-reminder> list is empty.</system-reminder>";

/// Makes the body of a request by what the user says before and after a tool's result; `None`: the first request, before it.
type Turn = fn(&str, Option<(&[&str], &[&str])>) -> Value;

/// The APIs in which a tool's result stands in a user's turn: path, and body.
fn apis() -> [(&'static str, Turn); 6] {
    /// The conversation, by its parts: a text, a call, a result.
    fn turns(
        question: &str,
        result: Option<(&[&str], &[&str])>,
        text: fn(&str) -> Value,
        tool: [Value; 2],
    ) -> [Vec<Value>; 3] {
        let [call, given] = tool;
        let Some((before, after)) = result else { return [vec![text(question)], vec![], vec![]] };
        let before = before.iter().map(|words| text(words));
        let parts = before.chain([given]).chain(after.iter().map(|words| text(words)));
        [vec![text(question)], vec![call], parts.collect()]
    }
    fn messages(turns: [Vec<Value>; 3]) -> Value {
        let roles = ["user", "assistant", "user"];
        let turns = turns.into_iter().zip(roles).filter(|(parts, _)| !parts.is_empty());
        json!(turns.map(|(content, role)| json!({"role": role, "content": content})).collect::<Vec<_>>())
    }
    fn typed(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }
    fn bare(text: &str) -> Value {
        json!({"text": text})
    }
    let anthropic: Turn = |question, result| {
        let call = json!({"type": "tool_use", "id": "t", "name": "get_weather", "input": {}});
        let given = json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "rain"}]});
        let tools = json!([{"name": "get_weather", "input_schema": {"type": "object"}}]);
        json!({"model": "auto", "max_tokens": 9, "tools": tools, "messages": messages(turns(question, result, typed, [call, given]))})
    };
    let vertex: Turn = |question, result| {
        let call = json!({"type": "tool_use", "id": "t", "name": "get_weather", "input": {}});
        let given = json!({"type": "tool_result", "tool_use_id": "t", "content": "rain"});
        json!({"anthropic_version": "vertex-2023-10-16", "messages": messages(turns(question, result, typed, [call, given]))})
    };
    let converse: Turn = |question, result| {
        let call = json!({"toolUse": {"toolUseId": "t", "name": "get_weather", "input": {}}});
        let given = json!({"toolResult": {"toolUseId": "t", "content": [{"text": "rain"}]}});
        json!({"messages": messages(turns(question, result, bare, [call, given]))})
    };
    let gemini: Turn = |question, result| {
        let call = json!({"functionCall": {"name": "get_weather", "args": {}}});
        let given = json!({"functionResponse": {"name": "get_weather", "response": {"sky": "rain"}}});
        let turns = turns(question, result, bare, [call, given]).into_iter().zip(["user", "model", "user"]);
        let turns = turns.filter(|(parts, _)| !parts.is_empty());
        json!({"contents": turns.map(|(parts, role)| json!({"role": role, "parts": parts})).collect::<Vec<_>>()})
    };
    [
        ("/v1/messages", anthropic),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/auto:rawPredict", vertex),
        ("/v1beta/models/auto:generateContent", gemini),
        ("/model/auto/converse", converse),
        ("/model/auto/invoke", anthropic),
        ("/model/auto/invoke-with-response-stream", converse),
    ]
}

#[tokio::test]
async fn a_question_beside_a_tools_result_is_scored() {
    let stack = Stack::start(|setup| setup).await;
    for (path, body) in apis() {
        let question = &format!("{HARD} {path}");
        let send = async |result| stack.send(path, body(question, result).to_string(), &[]).await;
        send(None).await.expect("large", "score");
        assert_eq!(stack.scorer.take().len(), 1);
        // The loop continues.
        send(Some((&[], &[]))).await.expect("large", "affinity");
        send(Some((&[EASY], &[]))).await.expect("large", "affinity");
        send(Some((&[EASY], &[REMINDER, "[Request interrupted by user for tool use]"])))
            .await
            .expect("large", "affinity");
        assert!(stack.scorer.take().is_empty(), "{path}: the scorer is not asked in a loop");
        // The user interrupts it.
        let interrupted: &[&str] = &["[Request interrupted by user for tool use]", EASY, REMINDER];
        send(Some((&["Here it is."], interrupted))).await.expect("small", "score");
        let asked: Value = serde_json::from_slice(&stack.scorer.take()[0].body).unwrap();
        assert_eq!(asked["query"], EASY, "{path}");
    }
}

#[tokio::test]
async fn signed_reasoning_binds_a_question_beside_a_result() {
    let stack = Stack::start(|setup| setup).await;
    let (path, body) = apis()[0];
    let signed = |result| {
        let mut body = body(HARD, result);
        if let Some(parts) = body["messages"].get_mut(1).and_then(|turn| turn["content"].as_array_mut()) {
            parts.insert(0, json!({"type": "thinking", "thinking": "Hm.", "signature": "x"}));
        }
        body.to_string()
    };
    stack.send(path, signed(None), &[]).await.expect("large", "score");
    stack.send(path, signed(Some((&[], &[EASY]))), &[]).await.expect("large", "affinity");
}

#[tokio::test]
async fn harness_text_in_harness_text_is_neither_scored_nor_a_question() {
    let stack = Stack::start(|setup| setup).await;
    let words = |text: &str| json!({"model": "auto", "messages": [{"role": "user", "content": text}]}).to_string();
    stack.send(CHAT, words(&format!("{REMINDER}{EASY}")), &[]).await.expect("small", "score");
    let asked: Value = serde_json::from_slice(&stack.scorer.take()[0].body).unwrap();
    assert_eq!(asked["query"], EASY);
    let (first, second) = tool_loop(HARD);
    stack.send(CHAT, first, &[]).await.expect("large", "score");
    let mut noted: Value = serde_json::from_str(&second).unwrap();
    for note in [REMINDER, "<system-reminder>\nscore 0.9 of a note that was cut"] {
        noted["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": note}));
        stack.send(CHAT, noted.to_string(), &[]).await.expect("large", "affinity");
    }
}

/// Agents that call tools in their own words: each step of a loop is a user's turn.
#[tokio::test]
async fn tools_results_that_are_written_as_text_go_on_with_a_loop() {
    let environment =
        |time: &str| json!({"type": "text", "text": format!("<environment_details>\n{time}\n</environment_details>")});
    let text = |text: &str| json!({"type": "text", "text": text});
    let body = |steps: &[Vec<Value>]| {
        let mut messages =
            vec![json!({"role": "system", "content": "Use <read_file><path>…</path></read_file> to read a file."})];
        for (number, step) in steps.iter().enumerate() {
            if number > 0 {
                messages.push(json!({"role": "assistant", "content": "<read_file><path>a.rs</path></read_file>"}));
            }
            messages.push(json!({"role": "user", "content": step}));
        }
        json!({"model": "auto", "messages": messages}).to_string()
    };
    let stack = Stack::start(|setup| setup).await;
    let task = vec![text("<task>\nscore 0.1 Redesign the scheduler.\n</task>"), environment("10:01:07")];
    let result = vec![text("[read_file for 'a.rs'] Result:"), text("fn main() {}"), environment("10:01:12")];
    let refusal = format!("The user denied this operation and said:\n<feedback>\n{EASY}\n</feedback>");
    let refusal = vec![text("[write_to_file for 'a.rs'] Result:"), text(&refusal), environment("10:01:19")];
    stack.send(CHAT, body(std::slice::from_ref(&task)), &[]).await.expect("large", "score");
    assert_eq!(stack.scorer.take().len(), 1);
    stack.send(CHAT, body(&[task.clone(), result.clone()]), &[]).await.expect("large", "affinity");
    stack.send(CHAT, body(&[task.clone(), result.clone(), result.clone()]), &[]).await.expect("large", "affinity");
    assert!(stack.scorer.take().is_empty(), "the scorer is not asked in a loop");
    stack.send(CHAT, body(&[task, result, refusal]), &[]).await.expect("small", "score");
    let asked: Value = serde_json::from_slice(&stack.scorer.take()[0].body).unwrap();
    assert_eq!(asked["query"], EASY);
}

/// A task about a chat, as chat interfaces send it for titles and tags, is not what the chat is about.
#[tokio::test]
async fn a_chat_history_in_a_task_is_not_scored() {
    let stack = Stack::start(|setup| setup).await;
    let task =
        format!("score 0.9 Give a title for this chat:\n<chat_history>\nUSER: {HARD}\nASSISTANT: …\n</chat_history>");
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": task}]}).to_string();
    let answer = stack.send(CHAT, body.clone(), &[]).await;
    assert_eq!(answer.expect("small", "score").upstream.body, body.replace("\"auto\"", "\"llama-3.1-8b\""));
    let asked: Value = serde_json::from_slice(&stack.scorer.take()[0].body).unwrap();
    assert_eq!(asked["query"], "score 0.9 Give a title for this chat:");
}

#[tokio::test]
async fn parts_of_unknown_type_do_not_reach_a_small_model_whose_abilities_are_listed() {
    let capabilities =
        |list: Value| move |setup: hybrid_llm_tests::envoy::Setup| setup.plugin("/pairs/chat/small/capabilities", list);
    let body = |part: &Value| {
        let question = json!({"type": "text", "text": "score 0.1 What breed is this dog?"});
        json!({"model": "auto", "messages": [{"role": "user", "content": [question, part]},
            {"role": "assistant", "content": "A beagle."}, {"role": "user", "content": EASY}]})
        .to_string()
    };
    let unknown = json!({"type": "hologram", "hologram": "AAAA"});
    let images = [
        json!({"type": "input_image", "image_url": "data:image/png;base64,AAAA"}),
        json!({"type": "video", "video": ["https://example.com/1.jpg"]}),
    ];
    let sees = Stack::start(capabilities(json!(["tools", "vision"]))).await;
    sees.send(CHAT, body(&unknown), &[]).await.expect("large", "capability");
    for image in &images {
        sees.send(CHAT, body(image), &[]).await.expect("small", "score");
    }
    let reads = Stack::start(capabilities(json!(["tools"]))).await;
    for part in images.iter().chain([&unknown]) {
        reads.send(CHAT, body(part), &[]).await.expect("large", "capability");
    }
}
