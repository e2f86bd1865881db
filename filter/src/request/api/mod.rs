//! The LLM APIs that the filter can read: which one a request speaks, and what routing needs from it.
//!
//! An API is one file that turns a body into a [`Request`], and one arm in [`Api`].

mod anthropic_messages;
mod bedrock;
mod fields;
mod gemini;
mod json;
mod model_name;
mod openai_chat;
mod openai_completions;
mod openai_responses;
mod path;
mod request;
mod settings;
mod text;

pub use fields::{FieldPath, any_present};
use json::Cursor;
pub use model_name::{ModelName, Place};
pub use path::encode_segment;
pub use request::{ConversationIds, Needs, Request, Speaker, Turn};
pub use text::JsonString;

/// An LLM API, recognised by method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Api {
    /// OpenAI chat completions: `POST …/chat/completions`, and Mistral's on Vertex AI:
    /// `POST …/publishers/mistralai/models/MODEL:rawPredict` and `:streamRawPredict`.
    OpenAiChat,
    /// OpenAI completions, the older API: `POST …/completions`.
    OpenAiCompletions,
    /// OpenAI responses: `POST …/responses`.
    OpenAiResponses,
    /// Anthropic messages: `POST …/v1/messages`, and on Vertex AI `POST …/publishers/anthropic/models/MODEL:rawPredict` and
    /// `:streamRawPredict`.
    AnthropicMessages,
    /// Gemini: `POST …/models/MODEL:generateContent` and `:streamGenerateContent`; the colon may be escaped.
    Gemini,
    /// Amazon Bedrock's one API for all models: `POST /model/MODEL/converse` and `/converse-stream`.
    BedrockConverse,
    /// Amazon Bedrock with a body in the model's own shape: `POST /model/MODEL/invoke` and `/invoke-with-response-stream`.
    BedrockInvoke,
}

impl Api {
    /// Every API.
    pub const ALL: &'static [Self] = &[
        Self::OpenAiChat,
        Self::OpenAiCompletions,
        Self::OpenAiResponses,
        Self::AnthropicMessages,
        Self::Gemini,
        Self::BedrockConverse,
        Self::BedrockInvoke,
    ];

    /// The API that a request speaks, `None` when it is no known one. The path may carry any prefix, since gateways and
    /// providers mount the APIs in different places, a slash at its end, and a query string.
    #[must_use]
    pub fn recognise(method: &[u8], path: &[u8]) -> Option<Self> {
        if method != b"POST" {
            return None;
        }
        let path = path::bare(std::str::from_utf8(path).ok()?);
        let (front, last) = path.rsplit_once('/')?;
        match last {
            "completions" if front.ends_with("/chat") => Some(Self::OpenAiChat),
            "completions" => Some(Self::OpenAiCompletions),
            "responses" => Some(Self::OpenAiResponses),
            // Not `/v1/threads/ID/messages`, which is OpenAI's.
            "messages" if front.ends_with("/v1") => Some(Self::AnthropicMessages),
            _ => Self::ALL.iter().copied().find(|api| path::model_segment(*api, path).is_some()),
        }
    }

    /// The model that the path names, in the APIs that have it there.
    #[must_use]
    pub fn model_in_path(self, path: &str) -> Option<ModelName<'_>> {
        let span = path::model_segment(self, path::bare(path))?;
        Some(ModelName { name: path::decode_segment(path.get(span.clone())?), place: Place::Path(span) })
    }

    /// The model that a request asks for whose body is not one of this API, so that its name can be replaced all the same: the
    /// one in the path, or the body's where that is one JSON object with one `model` in it, whatever else it holds.
    #[must_use]
    pub fn model<'a>(self, path: &'a str, body: &'a [u8]) -> Option<ModelName<'a>> {
        let named = || Request { model: self.model_in_path(path), ..Request::default() };
        let (mut json, mut request, mut seen) = (Cursor::new(body), named(), false);
        let is_in_body = match self {
            Self::OpenAiChat
            | Self::OpenAiCompletions
            | Self::OpenAiResponses
            | Self::AnthropicMessages
            | Self::BedrockInvoke => true,
            Self::Gemini | Self::BedrockConverse => false,
        };
        let walked = is_in_body
            && json
                .members(|name, json| if name == "model" { request.read_model(json, &mut seen) } else { Ok(()) })
                .is_ok()
            && json.end().is_ok();
        if walked { request.model } else { named().model }
    }

    /// Reads what routing needs from a whole body, in one pass that borrows from it.
    ///
    /// # Errors
    /// The body is not a request of this API.
    pub fn read<'a>(self, path: &'a str, body: &'a [u8]) -> Result<Request<'a>, Unparsable> {
        let mut json = Cursor::new(body);
        let mut request = Request { body, model: self.model_in_path(path), ..Request::default() };
        match self {
            Self::OpenAiChat => openai_chat::read(&mut json, &mut request)?,
            Self::OpenAiCompletions => openai_completions::read(&mut json, &mut request)?,
            Self::OpenAiResponses => openai_responses::read(&mut json, &mut request)?,
            Self::AnthropicMessages => anthropic_messages::read(&mut json, &mut request)?,
            Self::Gemini => gemini::read(&mut json, &mut request)?,
            Self::BedrockConverse => bedrock::read_converse(&mut json, &mut request)?,
            Self::BedrockInvoke => bedrock::read_invoke(&mut json, &mut request)?,
        }
        json.end()?;
        Ok(request)
    }
}

/// The body is not a request of the API. Says nothing of what it holds: bodies are never logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unparsable;

#[cfg(test)]
mod tests;
