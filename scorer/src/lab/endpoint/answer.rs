//! Reads an answer with status 200: a completion in one of several shapes, or an error object.

use hyper::HeaderMap;
use serde_json::{Value, json};

use super::{
    address::Endpoint,
    error_body::ErrorBody,
    fault::{Fault, Refusal, Unavailable},
    message::Completion,
    tokens::Tokens,
};
use crate::lab::thoughts;

/// More tokens than this are no count.
const MAX_TOKENS: f64 = 1e9;
/// Where servers put thoughts that they tell from the answer: DeepSeek, vLLM and SGLang; OpenRouter and newer vLLM; Ollama.
const THOUGHTS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];
/// Reasons why a content filter ended a response; after `content_filter`, Google's own.
const FILTERED: [&str; 5] = ["content_filter", "safety", "prohibited_content", "blocklist", "recitation"];

/// What an answer came to.
#[derive(Debug)]
pub(super) struct Answer {
    /// The completion, or why there is none.
    pub(super) outcome: Result<Completion, Fault>,
    /// What it took: that is paid for, whatever it is worth.
    pub(super) tokens: Tokens,
    /// What the server says of the error, if it is one.
    pub(super) message: Option<String>,
}

/// A message's text and thoughts, put together from its parts.
#[derive(Debug, Default)]
struct Content {
    text: String,
    thoughts: Vec<String>,
}

/// Reads an answer with status 200.
pub(super) fn read(body: &[u8], headers: &HeaderMap, endpoint: &Endpoint) -> Answer {
    let parsed = serde_json::from_slice::<Value>(body).ok().or_else(|| from_events(body));
    let Some(answer) = parsed else {
        return Answer { outcome: Err(Unavailable::Garbage.into()), tokens: Tokens::default(), message: None };
    };
    let count = |keys: [&str; 2]| {
        let usage = answer.get("usage")?;
        keys.iter().find_map(|key| count(usage.get(key)?))
    };
    let (input, output) = (count(["prompt_tokens", "input_tokens"]), count(["completion_tokens", "output_tokens"]));
    let tokens = Tokens::told(input, output);
    if let Some(mut error) = ErrorBody::within(&answer) {
        let message = error.message.take();
        return Answer { outcome: Err(Fault::within_success(headers, error, endpoint)), tokens, message };
    }
    let completion = complete(&answer);
    let outcome = completion.map(|found| Completion { input_tokens: input, output_tokens: output, ..found });
    Answer { outcome, tokens, message: None }
}

/// The completion in an answer that is no error, still without its counts.
fn complete(answer: &Value) -> Result<Completion, Fault> {
    let Some(choice) = answer.get("choices").and_then(|choices| choices.get(0)) else {
        // Google's answer to a prompt that its filter stopped has a usage and no choice.
        let blocked = answer.get("choices").is_some() && answer.get("usage").is_some_and(Value::is_object);
        return Err(if blocked { Refusal::Empty { cut: false }.into() } else { Unavailable::Garbage.into() });
    };
    let finish_reason = choice.get("finish_reason").and_then(Value::as_str).map(str::to_owned);
    let reason = finish_reason.as_deref().unwrap_or_default().to_ascii_lowercase();
    if reason == "error" {
        return Err(Unavailable::Failed(None).into());
    }
    if FILTERED.contains(&reason.as_str()) {
        return Err(Refusal::Filtered.into());
    }
    let none = Value::Null;
    let message = choice.get("message").or_else(|| choice.get("delta")).unwrap_or(&none);
    let mut content = Content::default();
    content.add(message.get("content").or_else(|| choice.get("text")).unwrap_or(&none));
    if content.text.trim().is_empty() {
        content.text = message.get("refusal").and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    let named = THOUGHTS.iter().find_map(|key| message.get(key)?.as_str()).map(str::to_owned);
    content.thoughts.extend(named);
    let parts = thoughts::split(&content.text);
    content.thoughts.extend(parts.thoughts);
    content.thoughts.retain(|thoughts| !thoughts.trim().is_empty());
    let cut = matches!(reason.as_str(), "length" | "max_tokens");
    if parts.answer.trim().is_empty() {
        let calls = |key: &str| message.get(key).is_some_and(|calls| !calls.is_null() && *calls != json!([]));
        return Err(
            match (calls("tool_calls") || calls("function_call"), content.thoughts.is_empty() && !parts.unclosed) {
                (true, _) => Refusal::ToolCall.into(),
                (false, true) => Refusal::Empty { cut }.into(),
                (false, false) => Refusal::Thoughts { cut }.into(),
            },
        );
    }
    let thoughts = (!content.thoughts.is_empty()).then(|| content.thoughts.join("\n\n"));
    let finish_reason = if cut { Some("length".to_owned()) } else { finish_reason };
    Ok(Completion { text: parts.answer, thoughts, finish_reason, input_tokens: None, output_tokens: None })
}

impl Content {
    /// Adds content: a text, a part, or a list of them.
    fn add(&mut self, content: &Value) {
        match content {
            Value::String(text) => self.text.push_str(text),
            Value::Array(parts) => parts.iter().for_each(|part| self.add(part)),
            Value::Object(part) => {
                let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
                match kind {
                    "text" | "output_text" | "refusal" => {
                        self.text.push_str(&text_under(part.get("text").or_else(|| part.get("refusal"))));
                    }
                    "thinking" | "reasoning" | "summary_text" => {
                        let found = ["thinking", "reasoning", "text", "summary"].iter().find_map(|key| part.get(*key));
                        self.thoughts.push(text_under(found));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// The text in a value: itself, or that of its parts.
fn text_under(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|part| text_under(Some(part))).collect(),
        Some(Value::Object(part)) => text_under(part.get("text").or_else(|| part.get("value"))),
        _ => String::new(),
    }
}

/// A count of tokens: a whole number, also as a float or in digits. Anything else is no count.
fn count(value: &Value) -> Option<u64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let fits = (0.0..=MAX_TOKENS).contains(&number) && number.fract() == 0.0;
    fits.then_some(number as u64)
}

/// One answer from a stream of events, which some servers send unasked.
fn from_events(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}').trim_start();
    if !["data:", "event:", ":"].iter().any(|start| text.starts_with(start)) {
        return None;
    }
    let (mut content, mut reasoning) = (Content::default(), String::new());
    let (mut reason, mut usage, mut ended) = (Value::Null, Value::Null, false);
    let none = Value::Null;
    for data in text.lines().filter_map(|line| line.strip_prefix("data:")) {
        if data.trim() == "[DONE]" {
            ended = true;
            continue;
        }
        let event: Value = serde_json::from_str(data).ok()?;
        if ErrorBody::within(&event).is_some() {
            return Some(event);
        }
        if let Some(found) = event.get("usage").filter(|usage| !usage.is_null()) {
            usage = found.clone();
        }
        let Some(choice) = event.get("choices").and_then(|choices| choices.get(0)) else { continue };
        let message = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&none);
        content.add(message.get("content").or_else(|| choice.get("text")).unwrap_or(&none));
        reasoning.extend(THOUGHTS.iter().find_map(|key| message.get(key)?.as_str()));
        if let Some(found) = choice.get("finish_reason").filter(|reason| !reason.is_null()) {
            (reason, ended) = (found.clone(), true);
        }
    }
    reasoning.extend(content.thoughts);
    let message = json!({"content": content.text, "reasoning_content": reasoning});
    // A stream that breaks off is no whole answer.
    ended.then(|| json!({"choices": [{"message": message, "finish_reason": reason}], "usage": usage}))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::lab::endpoint::address::completions_url;

    fn answer_of(body: &str) -> Answer {
        let url = completions_url("http://127.0.0.1:1").unwrap();
        let endpoint = Endpoint { url, model: "m".to_owned(), key: None, extra_body: Map::new() };
        super::read(body.as_bytes(), &HeaderMap::new(), &endpoint)
    }

    fn read(answer: Value) -> Answer {
        answer_of(&answer.to_string())
    }

    /// An answer with this message and end.
    fn answer(message: Value, reason: Value) -> Value {
        json!({"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    }

    fn said(message: Value) -> (String, Option<String>) {
        let found =
            read(answer(message.clone(), json!("stop"))).outcome.unwrap_or_else(|fault| panic!("{message} {fault:?}"));
        (found.text, found.thoughts)
    }

    fn fault(answer: Value) -> Fault {
        read(answer).outcome.unwrap_err()
    }

    #[test]
    fn answers_are_read_as_far_as_they_go() {
        let whole = read(answer(json!({"content": "r"}), json!("stop"))).outcome.unwrap();
        assert_eq!((whole.text.as_str(), whole.thoughts, whole.finish_reason.as_deref()), ("r", None, Some("stop")));
        assert_eq!((whole.input_tokens, whole.output_tokens), (Some(3), Some(4)));
        let bare = read(json!({"choices": [{"message": {"content": "r"}}]})).outcome.unwrap();
        assert_eq!((bare.finish_reason, bare.input_tokens), (None, None));
        for garbage in [json!({}), json!({"choices": []}), json!("text"), json!({"choices": null})] {
            assert_eq!(fault(garbage), Unavailable::Garbage.into());
        }
        assert_eq!(answer_of("<html>").outcome, Err(Unavailable::Garbage.into()));
    }

    #[test]
    fn text_is_joined_and_thoughts_are_kept_apart() {
        let text = |text: &str| (text.to_owned(), None);
        let both = |text: &str, thoughts: &str| (text.to_owned(), Some(thoughts.to_owned()));
        let part = |text: &str| json!({"type": "text", "text": text});
        assert_eq!(said(json!({"content": [part("4"), part("2")]})), text("42"));
        assert_eq!(said(json!({"content": ["4", "2"]})), text("42"));
        assert_eq!(said(json!({"content": part("4")})), text("4"));
        assert_eq!(said(json!({"content": [{"type": "output_text", "text": {"value": "4"}}]})), text("4"));
        // Mistral and Anthropic have thoughts as parts.
        assert_eq!(
            said(json!({"content": [{"type": "thinking", "thinking": [part("a")]}, part("4")]})),
            both("4", "a")
        );
        assert_eq!(said(json!({"content": [{"type": "thinking", "thinking": "a"}, part("4")]})), both("4", "a"));
        // Others have them beside the text, or in it.
        for key in THOUGHTS {
            assert_eq!(said(json!({"content": "4", key: "a"})), both("4", "a"));
        }
        assert_eq!(said(json!({"content": "<think>a</think>4", "reasoning": null})), both("4", "a"));
        assert_eq!(said(json!({"content": "4", "reasoning_content": ""})), text("4"));
        // A model's refusal is its response.
        assert_eq!(said(json!({"content": null, "refusal": "I cannot."})), text("I cannot."));
        assert_eq!(said(json!({"content": [{"type": "refusal", "refusal": "I cannot."}]})), text("I cannot."));
    }

    #[test]
    fn an_answer_without_text_says_why() {
        let refused = |message: Value, reason: &str| fault(answer(message, json!(reason)));
        assert_eq!(refused(json!({"content": ""}), "stop"), Refusal::Empty { cut: false }.into());
        assert_eq!(refused(json!({"content": null}), "length"), Refusal::Empty { cut: true }.into());
        assert_eq!(refused(json!({"content": [{"type": "image"}]}), "stop"), Refusal::Empty { cut: false }.into());
        assert_eq!(refused(json!({"content": "half"}), "content_filter"), Refusal::Filtered.into());
        assert_eq!(refused(json!(null), "content_filter"), Refusal::Filtered.into());
        assert_eq!(refused(json!({"content": "half"}), "SAFETY"), Refusal::Filtered.into());
        assert_eq!(refused(json!({"content": "<think>half a"}), "length"), Refusal::Thoughts { cut: true }.into());
        assert_eq!(
            refused(json!({"content": null, "reasoning": "a"}), "MAX_TOKENS"),
            Refusal::Thoughts { cut: true }.into()
        );
        assert_eq!(refused(json!({"content": "<think>a</think>"}), "stop"), Refusal::Thoughts { cut: false }.into());
        let call = json!([{"type": "function", "function": {"name": "f", "arguments": "{}"}}]);
        assert_eq!(refused(json!({"content": null, "tool_calls": call}), "tool_calls"), Refusal::ToolCall.into());
        assert_eq!(refused(json!({"content": "", "tool_calls": []}), "stop"), Refusal::Empty { cut: false }.into());
        let blocked = json!({"choices": [], "usage": {"prompt_tokens": 3}});
        assert_eq!(fault(blocked), Refusal::Empty { cut: false }.into());
        let paid = read(answer(json!({"content": ""}), json!("length")));
        assert_eq!(paid.tokens, Tokens { input: 3, output: 4 }, "whatever it is worth");
    }

    #[test]
    fn an_error_is_an_error_whatever_the_status_says() {
        let mut broken = answer(json!({"content": "The first step is"}), json!("error"));
        assert_eq!(fault(broken.clone()), Unavailable::Failed(None).into());
        broken["choices"][0]["error"] = json!({"code": 502, "message": "secret"});
        let found = read(broken);
        assert!(
            matches!(&found.outcome, Err(Fault::Unavailable { why: Unavailable::Status(answer), .. }) if answer.status == 502)
        );
        assert_eq!((found.tokens, found.message.as_deref()), (Tokens { input: 3, output: 4 }, Some("secret")));
        let useless = |error: Value| match fault(json!({"error": error})) {
            Fault::Useless(text) => text,
            other => panic!("{other:?}"),
        };
        insta::assert_snapshot!(useless(json!({"code": 402, "message": "secret"})), @"http://127.0.0.1:1/v1/chat/completions answered 402: the account has no money left");
        insta::assert_snapshot!(useless(json!({"code": 401, "message": "secret"})), @"http://127.0.0.1:1/v1/chat/completions answered 401: no API key was sent; name the environment variable that holds it");
        let slow = fault(json!({"error": {"code": 429}}));
        assert!(matches!(slow, Fault::Unavailable { why, .. } if why.slows_all()));
        assert_eq!(fault(json!({"error": "busy"})), Unavailable::Failed(None).into());
        let moderated = json!({"error": {"code": 403, "metadata": {"flagged_input": "secret"}}});
        assert_eq!(fault(moderated), Refusal::Filtered.into());
    }

    #[test]
    fn an_odd_count_is_no_count() {
        let counts = |input: Value| {
            let mut answer = answer(json!({"content": "r"}), json!("stop"));
            answer["usage"] = json!({"prompt_tokens": input, "completion_tokens": 4});
            let found = read(answer).outcome.unwrap();
            assert_eq!(found.output_tokens, Some(4));
            found.input_tokens
        };
        assert_eq!(
            [json!(10), json!(10.0), json!("10"), json!(0)].map(counts),
            [Some(10), Some(10), Some(10), Some(0)]
        );
        for odd in [json!(null), json!(-1), json!(10.5), json!(1e30), json!("many"), json!(""), json!([1]), json!(true)]
        {
            assert_eq!(counts(odd.clone()), None, "{odd}");
        }
        let usage =
            |usage: Value| read(json!({"choices": [{"message": {"content": "r"}}], "usage": usage})).outcome.unwrap();
        assert_eq!(usage(json!([])).input_tokens, None);
        assert_eq!(usage(json!({"input_tokens": 3, "output_tokens": 4})).output_tokens, Some(4));
    }

    #[test]
    fn a_stream_that_nobody_asked_for_is_read_whole_or_not() {
        let chunk = |delta: Value, reason: Value| {
            format!("data: {}\n\n", json!({"choices": [{"delta": delta, "finish_reason": reason}]}))
        };
        let start = chunk(json!({"role": "assistant", "reasoning_content": "a"}), json!(null))
            + &chunk(json!({"content": "4"}), json!(null));
        let end = chunk(json!({"content": "2"}), json!("stop"))
            + "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 3}}\n\ndata: [DONE]\n\n";
        let whole = answer_of(&format!(": ping\n\n{start}{end}")).outcome.unwrap();
        assert_eq!((whole.text.as_str(), whole.thoughts.as_deref(), whole.input_tokens), ("42", Some("a"), Some(3)));
        assert_eq!(answer_of(&start).outcome, Err(Unavailable::Garbage.into()));
        let broken = format!("{start}data: {{\"error\": {{\"code\": 429}}}}\n\n");
        assert!(matches!(answer_of(&broken).outcome, Err(Fault::Unavailable { why, .. }) if why.slows_all()));
    }
}
