//! The prompt, as a request's body, and the completion.

use serde_json::{Map, Value, json};

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
    /// Its text without thoughts; never blank.
    pub text: String,
    /// The thoughts before it, if the server shows them.
    pub thoughts: Option<String>,
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
}
