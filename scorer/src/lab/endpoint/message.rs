//! What goes over the wire: the request's body, and what is read of the answer.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    fault::{Fault, Refusal, Unavailable},
    tokens::Tokens,
};

/// What a model is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prompt<'a> {
    /// The system message, if there is one.
    pub system: Option<&'a str>,
    /// The user's message.
    pub user: &'a str,
    /// 0 for the likeliest response, more for more varied ones.
    pub temperature: f64,
    /// The most tokens a response may have; without one the server's own limit holds.
    pub max_tokens: Option<u32>,
}

/// A model's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Its text; never blank.
    pub text: String,
    /// Why it ended: `stop`, `length`, …
    pub finish_reason: Option<String>,
    /// Tokens of the prompt, if the server tells.
    pub input_tokens: Option<u64>,
    /// Tokens of the response, if the server tells.
    pub output_tokens: Option<u64>,
}

impl Prompt<'_> {
    /// The request's body. `extra` is laid over it; `null` takes a key out.
    pub fn body(&self, model: &str, extra: &Map<String, Value>) -> Vec<u8> {
        let system = self.system.map(|text| json!({"role": "system", "content": text}));
        let messages: Vec<_> = system.into_iter().chain([json!({"role": "user", "content": self.user})]).collect();
        let mut body = Map::new();
        body.insert("model".to_owned(), model.into());
        body.insert("messages".to_owned(), messages.into());
        body.insert("temperature".to_owned(), self.temperature.into());
        if let Some(most) = self.max_tokens {
            body.insert("max_tokens".to_owned(), most.into());
        }
        body.extend(extra.iter().map(|(key, value)| (key.clone(), value.clone())));
        body.retain(|_, value| !value.is_null());
        Value::Object(body).to_string().into_bytes()
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// Reads an answer with status 200.
pub(super) fn read_completion(body: &[u8]) -> Result<Completion, Fault> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Unavailable::Garbage)?;
    let choice = answer.choices.into_iter().next().ok_or(Unavailable::Garbage)?;
    let finish_reason = choice.finish_reason;
    let (input_tokens, output_tokens) =
        answer.usage.map_or((None, None), |usage| (usage.prompt_tokens, usage.completion_tokens));
    // They are paid for, whatever the answer is worth.
    let refused = |refusal| Err(Fault::Refused(refusal, Tokens::told(input_tokens, output_tokens)));
    if finish_reason.as_deref() == Some("content_filter") {
        return refused(Refusal::Filtered);
    }
    let text = choice.message.content.unwrap_or_default();
    if text.trim().is_empty() {
        return refused(Refusal::Empty { cut: finish_reason.as_deref() == Some("length") });
    }
    Ok(Completion { text, finish_reason, input_tokens, output_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPT: Prompt<'_> = Prompt { system: Some("be brief"), user: "q", temperature: 0.5, max_tokens: Some(9) };

    #[test]
    fn extra_keys_are_laid_over_the_body_and_null_takes_one_out() {
        let body = |prompt: Prompt<'_>, extra: Value| -> Value {
            serde_json::from_slice(&prompt.body("m", extra.as_object().unwrap())).unwrap()
        };
        let messages = json!([{"role": "system", "content": "be brief"}, {"role": "user", "content": "q"}]);
        let plain = json!({"model": "m", "messages": messages, "temperature": 0.5, "max_tokens": 9});
        assert_eq!(body(PROMPT, json!({})), plain);
        let extra = json!({"max_tokens": null, "max_completion_tokens": 8, "temperature": 1});
        let changed = json!({"model": "m", "messages": messages, "temperature": 1, "max_completion_tokens": 8});
        assert_eq!(body(PROMPT, extra), changed);
        let short = Prompt { system: None, max_tokens: None, ..PROMPT };
        let shortest = json!({"model": "m", "messages": [{"role": "user", "content": "q"}], "temperature": 0.5});
        assert_eq!(body(short, json!({})), shortest);
    }

    #[test]
    fn answers_are_read_as_far_as_they_go() {
        let read = |answer: Value| read_completion(answer.to_string().as_bytes());
        let choice =
            |content: Value, reason: Value| json!([{"message": {"content": content}, "finish_reason": reason}]);
        let whole = json!({"choices": choice(json!("r"), json!("stop")), "usage": {"prompt_tokens": 3, "completion_tokens": 4}});
        let completion = read(whole).unwrap();
        assert_eq!((completion.text.as_str(), completion.finish_reason.as_deref()), ("r", Some("stop")));
        assert_eq!((completion.input_tokens, completion.output_tokens), (Some(3), Some(4)));
        let bare = read(json!({"choices": [{"message": {"content": "r"}}]})).unwrap();
        assert_eq!((bare.finish_reason, bare.input_tokens), (None, None));

        let refused = |content, reason| read(json!({"choices": choice(content, reason)})).unwrap_err();
        assert_eq!(refused(json!(""), json!("stop")), Refusal::Empty { cut: false }.into());
        assert_eq!(refused(json!(null), json!("length")), Refusal::Empty { cut: true }.into());
        assert_eq!(refused(json!("half"), json!("content_filter")), Refusal::Filtered.into());
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 4});
        let paid = read(json!({"choices": choice(json!(""), json!("length")), "usage": usage}));
        assert_eq!(paid, Err(Fault::Refused(Refusal::Empty { cut: true }, Tokens { input: 3, output: 4 })));
        for garbage in [json!({}), json!({"choices": []}), json!({"error": "busy"}), json!("text")] {
            assert_eq!(read(garbage), Err(Unavailable::Garbage.into()));
        }
    }
}
