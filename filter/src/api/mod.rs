//! The LLM APIs that the filter can read: which one a request speaks, and what routing needs from its body.
//!
//! An API is one file that turns a body into a [`Prompt`], and one arm in [`Api`].

mod openai_chat;
mod text;

use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

/// An LLM API, recognised by method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// OpenAI chat completions: `POST …/chat/completions`.
    OpenAiChat,
}

impl Api {
    /// The API that a request speaks, `None` when it is no known one. The path may carry any prefix, since gateways and
    /// providers mount the API in different places, and a query string.
    #[must_use]
    pub fn recognise(method: &[u8], path: &[u8]) -> Option<Self> {
        let path = path.split(|&byte| byte == b'?' || byte == b'#').next()?;
        (method == b"POST" && path.ends_with(b"/chat/completions")).then_some(Self::OpenAiChat)
    }

    /// Reads what routing needs from a whole body, in one pass that borrows from it.
    ///
    /// # Errors
    /// The body is not a request of this API.
    pub fn parse(self, body: &[u8]) -> Result<Prompt<'_>, Unparsable> {
        match self {
            Self::OpenAiChat => openai_chat::parse(body),
        }
    }
}

/// The body is not a request of the API. Says nothing of what it holds: bodies are never logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unparsable;

/// What routing needs from a request.
#[derive(Debug, PartialEq)]
pub struct Prompt<'a> {
    /// The model that the client asked for; `None` when the request names none.
    pub model: Option<ModelName<'a>>,
    /// The text to score: the text pieces of the last user message, as JSON string contents with their escapes. Empty
    /// when there is no text, or only white space.
    pub query: Vec<&'a str>,
    /// Each message's `content`, as JSON, for the estimate of how long the whole prompt is.
    pub contents: Vec<&'a str>,
    /// The most tokens the client lets the model answer with; 0 when it does not say.
    pub max_output_tokens: u64,
}

/// The name of a model and where its JSON string, quotes included, stands in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName<'a> {
    /// The name, unescaped.
    pub name: Cow<'a, str>,
    /// Byte range of the JSON value in the body.
    pub span: Range<usize>,
}

impl<'a> ModelName<'a> {
    /// Reads a `model` value that was borrowed from `body`; `None` when it is not a string.
    fn locate(body: &[u8], value: &'a RawValue) -> Option<Self> {
        let raw = value.get();
        let inner = text::string_contents(raw)?;
        let name =
            if inner.contains('\\') { Cow::Owned(serde_json::from_str(raw).ok()?) } else { Cow::Borrowed(inner) };
        // `raw` is a slice of `body`, so that the distance of the two pointers is its place.
        let start = (raw.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
        Some(Self { name, span: start..start + raw.len() })
    }
}

pub use text::text_pieces;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_are_recognised_by_method_and_path() {
        let chat = Some(Api::OpenAiChat);
        let table: [(&str, &str, Option<Api>); 9] = [
            ("POST", "/v1/chat/completions", chat),
            ("POST", "/v1/chat/completions?api-version=1", chat),
            ("POST", "/openai/deployments/x/chat/completions", chat),
            ("POST", "/chat/completions", chat),
            ("GET", "/v1/chat/completions", None),
            ("POST", "/v1/chat/completions/abc", None),
            ("POST", "/v1/embeddings?x=/chat/completions", None),
            ("POST", "/v1/xchat/completions/", None),
            ("GET", "/v1/models", None),
        ];
        for (method, path, want) in table {
            assert_eq!(Api::recognise(method.as_bytes(), path.as_bytes()), want, "{method} {path}");
        }
    }
}
