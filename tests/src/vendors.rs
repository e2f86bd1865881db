//! Stand-ins that answer as the vendors' own servers do: each API's real shapes, whole and streamed, so that the vendors' own
//! clients can read them. What they say depends on the request alone.

use crate::upstream::{Body, Recorded, StandIn, reply};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::Response;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use std::convert::Infallible;

/// A server that speaks OpenAI's, Anthropic's, Google's and Amazon's APIs.
pub async fn model() -> StandIn {
    StandIn::start(|request, _| async move { answer(&request) }).await
}

fn answer(request: &Recorded) -> Response<Body> {
    let path = request.path.split('?').next().unwrap_or_default();
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let said = Said::read(&asked, path);
    let stream = asked["stream"] == true;
    match path.rsplit('/').next().unwrap_or_default() {
        "completions" if path.ends_with("/chat/completions") => either(stream, chat(&said), || chat_events(&said)),
        "completions" => either(stream, completion(&said), || completion_events(&said)),
        "responses" => either(stream, response(&said, "completed"), || response_events(&said)),
        "messages" => either(stream, message(&said), || message_events(&said)),
        // Nova's own shape is that of `converse`.
        "converse" | "invoke" => reply(200, converse(&said).to_string()),
        "converse-stream" => event_stream(converse_events(&said)),
        last if last.ends_with(":generateContent") => reply(200, gemini(&said, &said.text, true).to_string()),
        last if last.ends_with(":streamGenerateContent") => events(gemini_events(&said)),
        _ => reply(404, r#"{"error":{"message":"no such path"}}"#),
    }
}

/// What the stand-in has to say.
struct Said {
    model: String,
    /// The text, unless it calls a tool.
    text: String,
    /// The name of the tool that it calls: the first that is declared, as long as the request ends in no result.
    tool: Option<String>,
}

impl Said {
    fn read(asked: &Value, path: &str) -> Self {
        let in_path = path.split(['/', ':']).rev().nth(1).unwrap_or_default();
        let model = asked["model"].as_str().unwrap_or(in_path).to_owned();
        let turns = ["messages", "input", "contents"].iter().find_map(|name| asked[name].as_array());
        let last = turns.and_then(|turns| turns.last()).map(Value::to_string).unwrap_or_default();
        let has_result = ["tool_result", "\"tool\"", "function_call_output", "functionResponse", "toolResult"]
            .iter()
            .any(|mark| last.contains(mark));
        let images = ["image_url\":", "input_image", "\"media_type\"", "inlineData", "\"image\":"]
            .iter()
            .map(|mark| asked.to_string().matches(mark).count())
            .max();
        let names = [
            "/tools/0/function/name",
            "/tools/0/name",
            "/tools/0/functionDeclarations/0/name",
            "/toolConfig/tools/0/toolSpec/name",
        ];
        let tool = names.iter().find_map(|place| asked.pointer(place)?.as_str()).filter(|_| !has_result);
        let (turns, images) = (turns.map_or(1, Vec::len), images.unwrap_or(0));
        Self {
            text: format!("{model} read {turns} turns and {images} images. ✓"),
            tool: tool.map(str::to_owned),
            model,
        }
    }

    /// The text in pieces, as it is streamed.
    fn pieces(&self) -> Vec<&str> {
        self.text.split_inclusive(' ').collect()
    }
}

const ARGUMENTS: &str = r#"{"city":"Oslo"}"#;

fn either(stream: bool, whole: Value, streamed: impl FnOnce() -> Vec<String>) -> Response<Body> {
    if stream { events(streamed()) } else { reply(200, whole.to_string()) }
}

/// Server-sent events.
fn events(events: Vec<String>) -> Response<Body> {
    pieces("text/event-stream", events.into_iter().map(Bytes::from).collect())
}

/// Amazon's event stream, a binary framing: lengths, a check sum, headers, the event's JSON, and another check sum.
fn event_stream(events: Vec<(&str, Value)>) -> Response<Body> {
    let framed = events.into_iter().map(|(name, event)| {
        let payload = event.to_string();
        let mut headers = Vec::new();
        for (key, value) in [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")] {
            headers.push(key.len() as u8);
            headers.extend_from_slice(key.as_bytes());
            headers.push(7); // a string
            headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
            headers.extend_from_slice(value.as_bytes());
        }
        let mut message = Vec::new();
        message.extend_from_slice(&((16 + headers.len() + payload.len()) as u32).to_be_bytes());
        message.extend_from_slice(&(headers.len() as u32).to_be_bytes());
        message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
        message.extend_from_slice(&headers);
        message.extend_from_slice(payload.as_bytes());
        message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
        Bytes::from(message)
    });
    pieces("application/vnd.amazon.eventstream", framed.collect())
}

/// A body that is sent piece by piece.
fn pieces(content_type: &'static str, pieces: Vec<Bytes>) -> Response<Body> {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(async move {
        for piece in pieces {
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    response
}

fn data(event: &Value) -> String {
    format!("data: {event}\n\n")
}

fn named(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
}

fn chat(said: &Said) -> Value {
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21});
    let (message, reason) = match &said.tool {
        Some(name) => {
            let call = json!({"id": "call_1", "type": "function", "function": {"name": name, "arguments": ARGUMENTS}});
            (json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [call]}), "tool_calls")
        }
        None => (json!({"role": "assistant", "content": said.text, "refusal": null}), "stop"),
    };
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": said.model, "usage": usage,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}],
    })
}

fn chat_events(said: &Said) -> Vec<String> {
    let chunk = |delta: Value, reason: Value| {
        data(&json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": said.model,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}],
        }))
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    match &said.tool {
        Some(name) => {
            let call = |function: Value| json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]});
            events.push(chunk(call(json!({"name": name, "arguments": ""})), Value::Null));
            let arguments = json!({"tool_calls": [{"index": 0, "function": {"arguments": ARGUMENTS}}]});
            events.push(chunk(arguments, Value::Null));
            events.push(chunk(json!({}), json!("tool_calls")));
        }
        None => {
            events.extend(said.pieces().iter().map(|piece| chunk(json!({"content": piece}), Value::Null)));
            events.push(chunk(json!({}), json!("stop")));
        }
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn completion(said: &Said) -> Value {
    json!({
        "id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": said.model,
        "choices": [{"index": 0, "text": said.text, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
    })
}

fn completion_events(said: &Said) -> Vec<String> {
    let chunk = |text: &str, reason: Value| {
        data(&json!({
            "id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": said.model,
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": reason}],
        }))
    };
    let mut events: Vec<_> = said.pieces().iter().map(|piece| chunk(piece, Value::Null)).collect();
    events.push(chunk("", json!("stop")));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn output_item(said: &Said) -> Value {
    match &said.tool {
        Some(name) => json!({
            "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": ARGUMENTS, "status": "completed",
        }),
        None => json!({
            "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}],
        }),
    }
}

fn response(said: &Said, status: &str) -> Value {
    let output = if status == "completed" { json!([output_item(said)]) } else { json!([]) };
    json!({
        "id": format!("resp_{}", said.model), "object": "response", "created_at": 1_700_000_000, "status": status,
        "model": said.model, "output": output, "error": null, "incomplete_details": null, "instructions": null,
        "metadata": {}, "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "usage": {
            "input_tokens": 9, "output_tokens": 12, "total_tokens": 21,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        },
    })
}

fn response_events(said: &Said) -> Vec<String> {
    let mut events = Vec::new();
    let mut push = |kind: &str, mut event: Value| {
        event["type"] = json!(kind);
        event["sequence_number"] = json!(events.len());
        events.push(named(&event));
    };
    push("response.created", json!({"response": response(said, "in_progress")}));
    push("response.in_progress", json!({"response": response(said, "in_progress")}));
    let mut begun = output_item(said);
    begun["status"] = json!("in_progress");
    match &said.tool {
        Some(_) => {
            begun["arguments"] = json!("");
            push("response.output_item.added", json!({"output_index": 0, "item": begun}));
            let place = |more: Value| {
                let mut place = json!({"output_index": 0, "item_id": "fc_1"});
                place.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                place
            };
            push("response.function_call_arguments.delta", place(json!({"delta": ARGUMENTS})));
            push("response.function_call_arguments.done", place(json!({"arguments": ARGUMENTS, "name": said.tool})));
        }
        None => {
            begun["content"] = json!([]);
            push("response.output_item.added", json!({"output_index": 0, "item": begun}));
            let place = |more: Value| {
                let mut place = json!({"output_index": 0, "content_index": 0, "item_id": "msg_1"});
                place.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                place
            };
            let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
            push("response.content_part.added", place(json!({"part": part("")})));
            for piece in said.pieces() {
                push("response.output_text.delta", place(json!({"delta": piece, "logprobs": []})));
            }
            push("response.output_text.done", place(json!({"text": said.text, "logprobs": []})));
            push("response.content_part.done", place(json!({"part": part(&said.text)})));
        }
    }
    push("response.output_item.done", json!({"output_index": 0, "item": output_item(said)}));
    push("response.completed", json!({"response": response(said, "completed")}));
    events
}

fn message(said: &Said) -> Value {
    let (block, reason) = match &said.tool {
        Some(name) => {
            (json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {"city": "Oslo"}}), "tool_use")
        }
        None => (json!({"type": "text", "text": said.text, "citations": null}), "end_turn"),
    };
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": said.model, "content": [block], "stop_reason": reason,
        "stop_sequence": null, "usage": {"input_tokens": 9, "output_tokens": 12},
    })
}

fn message_events(said: &Said) -> Vec<String> {
    let mut begun = message(said);
    let reason = begun["stop_reason"].take();
    begun["content"] = json!([]);
    let mut events = vec![named(&json!({"type": "message_start", "message": begun}))];
    let (block, deltas) = match &said.tool {
        Some(name) => (
            json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}),
            vec![json!({"type": "input_json_delta", "partial_json": ARGUMENTS})],
        ),
        None => (
            json!({"type": "text", "text": ""}),
            said.pieces().iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect(),
        ),
    };
    events.push(named(&json!({"type": "content_block_start", "index": 0, "content_block": block})));
    for delta in deltas {
        events.push(named(&json!({"type": "content_block_delta", "index": 0, "delta": delta})));
    }
    events.push(named(&json!({"type": "content_block_stop", "index": 0})));
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    events.push(named(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 12}})));
    events.push(named(&json!({"type": "message_stop"})));
    events
}

fn gemini(said: &Said, text: &str, last: bool) -> Value {
    let part = match &said.tool {
        Some(name) => json!({"functionCall": {"name": name, "args": {"city": "Oslo"}}}),
        None => json!({"text": text}),
    };
    let mut candidate = json!({"content": {"role": "model", "parts": [part]}, "index": 0});
    if last {
        candidate["finishReason"] = json!("STOP");
    }
    json!({
        "candidates": [candidate], "modelVersion": said.model, "responseId": "r1",
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 12, "totalTokenCount": 21},
    })
}

fn gemini_events(said: &Said) -> Vec<String> {
    let pieces = said.pieces();
    let pieces = if said.tool.is_some() { vec![""] } else { pieces };
    let last = pieces.len() - 1;
    pieces.iter().enumerate().map(|(i, piece)| data(&gemini(said, piece, i == last))).collect()
}

fn converse(said: &Said) -> Value {
    let (block, reason) = match &said.tool {
        Some(name) => (json!({"toolUse": {"toolUseId": "t1", "name": name, "input": {"city": "Oslo"}}}), "tool_use"),
        None => (json!({"text": said.text}), "end_turn"),
    };
    json!({
        "output": {"message": {"role": "assistant", "content": [block]}}, "stopReason": reason,
        "usage": {"inputTokens": 9, "outputTokens": 12, "totalTokens": 21}, "metrics": {"latencyMs": 1},
    })
}

fn converse_events(said: &Said) -> Vec<(&'static str, Value)> {
    let index = 0;
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    let reason = match &said.tool {
        Some(name) => {
            let start = json!({"toolUse": {"toolUseId": "t1", "name": name}});
            events.push(("contentBlockStart", json!({"start": start, "contentBlockIndex": index})));
            let delta = json!({"toolUse": {"input": ARGUMENTS}});
            events.push(("contentBlockDelta", json!({"delta": delta, "contentBlockIndex": index})));
            "tool_use"
        }
        None => {
            let text = |piece| ("contentBlockDelta", json!({"delta": {"text": piece}, "contentBlockIndex": index}));
            events.extend(said.pieces().into_iter().map(text));
            "end_turn"
        }
    };
    events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
    events.push(("messageStop", json!({"stopReason": reason})));
    let usage = json!({"inputTokens": 9, "outputTokens": 12, "totalTokens": 21});
    events.push(("metadata", json!({"usage": usage, "metrics": {"latencyMs": 1}})));
    events
}
