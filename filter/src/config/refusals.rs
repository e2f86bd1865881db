//! What a tier's model refuses: members of a request's body, and request headers.

use super::error::{ConfigError, invalid, request_header};
use crate::request::api::{FieldPath, Request, any_present};
use serde::Deserialize;

/// A request with one of these is answered with an error by the model's provider, and so goes to the other tier.
#[derive(Debug, Default, PartialEq)]
pub struct Refusals {
    /// Members of the body, by their path.
    pub fields: Vec<FieldPath>,
    /// Request headers.
    pub headers: Vec<HeaderMatch>,
}

/// A request header, or one of the values in its list.
#[derive(Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// In lower case.
    name: String,
    value: Option<String>,
}

impl HeaderMatch {
    /// Whether a header with this value is meant. Values are compared whole, one by one where commas part them.
    fn accepts(&self, header: &[u8]) -> bool {
        match &self.value {
            None => true,
            Some(value) => header.split(|&byte| byte == b',').any(|part| part.trim_ascii() == value.as_bytes()),
        }
    }
}

impl Refusals {
    /// Whether the request has what the model refuses. `header` gives a request header's values, with commas between them.
    #[must_use]
    pub fn refuse(&self, request: &Request<'_>, header: &dyn Fn(&str) -> Option<Vec<u8>>) -> bool {
        let is_refused = |refused: &HeaderMatch| header(&refused.name).is_some_and(|value| refused.accepts(&value));
        self.headers.iter().any(is_refused) || any_present(&self.fields, request.body)
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRefusals {
    fields: Vec<String>,
    headers: Vec<String>,
}

impl RawRefusals {
    pub(super) fn check(self, at: &str) -> Result<Refusals, ConfigError> {
        let field = |path: String| {
            let mend = "is no path; write names with dots between them, such as thinking or output_config.effort";
            FieldPath::parse(&path).ok_or_else(|| invalid(&format!("{at}.fields"), format!("{path:?}"), mend))
        };
        let header = |text: String| {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.trim().to_owned())),
                None => (text, None),
            };
            Ok::<_, ConfigError>(HeaderMatch { name: request_header(&format!("{at}.headers"), name)?, value })
        };
        Ok(Refusals {
            fields: self.fields.into_iter().map(field).collect::<Result<_, _>>()?,
            headers: self.headers.into_iter().map(header).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::api::Api;

    fn refusals(fields: &[&str], headers: &[&str]) -> Refusals {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        RawRefusals { fields: owned(fields), headers: owned(headers) }.check("at").unwrap()
    }

    #[test]
    fn fields_and_headers_are_matched() {
        let body = br#"{"messages":[{"role":"user","content":"hi"}],"thinking":{"type":"adaptive"},"max_tokens":5}"#;
        let request = Api::OpenAiChat.read("/v1/chat/completions", body).unwrap();
        let header =
            |name: &str| (name == "anthropic-beta").then(|| b"context-1m-2025-08-07, effort-2025-11-24".to_vec());
        let table = [
            (refusals(&[], &[]), false),
            (refusals(&["thinking"], &[]), true),
            (refusals(&["thinking.type=enabled", "max_completion_tokens"], &[]), false),
            (refusals(&[], &["Anthropic-Beta"]), true),
            (refusals(&[], &["anthropic-beta=effort-2025-11-24"]), true),
            (refusals(&[], &["anthropic-beta=effort"]), false),
            (refusals(&["max_tokens=5.0"], &[]), true),
            (refusals(&[], &["openai-beta"]), false),
            (refusals(&["max_tokens"], &["openai-beta"]), true),
        ];
        for (refusals, want) in table {
            assert_eq!(refusals.refuse(&request, &header), want, "{refusals:?}");
        }
    }
}
