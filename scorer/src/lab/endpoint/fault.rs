//! Errors of a request, classified by the reaction: retry, skip this request, or stop using the endpoint.
//!
//! Of what a server says only its error code is part of a fault, where that is one plain word: its message can quote the query.

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use hyper::{HeaderMap, StatusCode, header::LOCATION};
use hyper_util::client::legacy;

use super::{
    address::Endpoint,
    error_body::{self, ErrorBody},
};

/// Parts of error codes that are about the query's content or length, and not about the request's parameters.
const OF_THE_QUERY: [&str; 6] =
    ["context_length", "content_filter", "content_policy", "string_above_max", "too_long", "tokens"];

/// What went wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A retry may succeed.
    Unavailable {
        /// How it failed.
        why: Unavailable,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// This request will never succeed, but others may.
    Refused(Refusal),
    /// No request will succeed until somebody fixes something.
    Useless(String),
}

/// A failure that passes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// 429, a 5xx or another status that asks to try again.
    #[error("answered {0}")]
    Status(StatusAndCode),
    /// There was no answer in time.
    #[error("gave no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// No connection, with the cause.
    #[error("could not be reached ({0})")]
    Connect(String),
    /// The connection ended before the answer did.
    #[error("broke the connection off")]
    Broken,
    /// The answer is no chat completion.
    #[error("answered something that is no chat completion")]
    Garbage,
    /// The answer says that it is an error, and not which.
    #[error("answered with an error{}", .0.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Failed(Option<String>),
}

/// Why a request will get no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 400 or another status that says the request is at fault.
    #[error("answered {0}")]
    Status(StatusAndCode),
    /// The endpoint's content filter came down.
    #[error("the content filter stopped the response")]
    Filtered,
    /// The response has no text.
    #[error("the response was empty{}", if *.cut { " (cut off by the limit of tokens before it began)" } else { "" })]
    Empty {
        /// Whether the limit of tokens ended it.
        cut: bool,
    },
    /// The response has thoughts, and nothing else.
    #[error("the response has reasoning but no answer{}", if *.cut { " (cut off by the limit of tokens before it began)" } else { "" })]
    Thoughts {
        /// Whether the limit of tokens ended them.
        cut: bool,
    },
    /// The response calls a tool, and none was offered.
    #[error("the response called a tool instead of answering")]
    ToolCall,
}

/// A status and the error code that came with it, where there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusAndCode {
    /// The HTTP status.
    pub status: StatusCode,
    /// The API's word for it.
    pub code: Option<String>,
}

impl std::fmt::Display for StatusAndCode {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.status.as_u16())?;
        self.code.as_ref().map_or(Ok(()), |code| write!(out, " ({code})"))
    }
}

/// Why a call gave no response, after all its retries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The endpoint failed every time.
    #[error("{why}, {requests} times")]
    GaveUp {
        /// How it failed last.
        why: Unavailable,
        /// How many requests were sent for this response.
        requests: u32,
    },
    /// This request will get no response.
    #[error("{0}")]
    Refused(Refusal),
    /// The endpoint cannot be used; the message says how to fix it.
    #[error("{0}")]
    Useless(String),
    /// The caller stopped it while it waited.
    #[error("stopped")]
    Stopped,
}

impl From<Unavailable> for Fault {
    fn from(why: Unavailable) -> Self {
        Self::Unavailable { why, retry_after: None }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Unavailable {
    /// Whether the endpoint as a whole should be left alone for the while, and not only this request be tried later.
    pub fn slows_all(&self) -> bool {
        matches!(self, Self::Status(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS)
    }

    pub(super) fn from_client(error: &legacy::Error) -> Self {
        if error.is_connect() { Self::Connect(innermost(error)) } else { Self::Broken }
    }

    pub(super) fn from_body(error: &(dyn Error + 'static)) -> Self {
        if error.is::<http_body_util::LengthLimitError>() { Self::Garbage } else { Self::Broken }
    }
}

/// The cause that no other cause is behind.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

impl Refusal {
    /// Whether it is likely to be about this query, so that others may fare better.
    pub fn is_of_the_query(&self) -> bool {
        match self {
            Self::Filtered => true,
            Self::Status(answer) => {
                let code = answer.code.as_deref().unwrap_or_default();
                answer.status == StatusCode::PAYLOAD_TOO_LARGE || OF_THE_QUERY.iter().any(|word| code.contains(word))
            }
            Self::Empty { .. } | Self::Thoughts { .. } | Self::ToolCall => false,
        }
    }
}

impl Fault {
    /// What an answer means whose status, or whose body, says that it is an error.
    pub(super) fn from_status(status: StatusCode, headers: &HeaderMap, error: ErrorBody, endpoint: &Endpoint) -> Self {
        let ErrorBody { code, wait, exhausted, moderated, .. } = error;
        let answer = StatusAndCode { status, code };
        let later = |answer| Self::Unavailable {
            why: Unavailable::Status(answer),
            retry_after: error_body::retry_after(headers, SystemTime::now()).or(wait),
        };
        match status {
            StatusCode::PAYMENT_REQUIRED => Self::useless(&answer, endpoint, "the account has no money left"),
            _ if exhausted && status.is_client_error() => {
                Self::useless(&answer, endpoint, "the account has no quota left")
            }
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::CONFLICT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS => later(answer),
            _ if status.is_server_error() => later(answer),
            StatusCode::FORBIDDEN if moderated => Refusal::Filtered.into(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => match &endpoint.key {
                Some(key) => Self::useless(&answer, endpoint, &format!("check the API key in {}", key.variable())),
                None => {
                    Self::useless(&answer, endpoint, "no API key was sent; name the environment variable that holds it")
                }
            },
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                let mend = format!("check the URL and the model's name {:?}", endpoint.model);
                Self::useless(&answer, endpoint, &mend)
            }
            _ if status.is_redirection() || status.is_informational() => {
                let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
                Self::useless(&answer, endpoint, &format!("it redirects to {to}, which is not followed; use that URL"))
            }
            _ => Refusal::Status(answer).into(),
        }
    }

    /// What an answer means that is a success by its status, and says in its body that it is an error.
    pub(super) fn within_success(headers: &HeaderMap, error: ErrorBody, endpoint: &Endpoint) -> Self {
        match error.status {
            Some(status) => Self::from_status(status, headers, error, endpoint),
            None => Self::Unavailable {
                retry_after: error_body::retry_after(headers, SystemTime::now()).or(error.wait),
                why: Unavailable::Failed(error.code),
            },
        }
    }

    fn useless(answer: &StatusAndCode, endpoint: &Endpoint, mend: &str) -> Self {
        Self::Useless(format!("{} answered {answer}: {mend}", endpoint.url))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::lab::endpoint::address::completions_url;

    fn endpoint() -> Endpoint {
        let url = completions_url("http://127.0.0.1:1").unwrap();
        Endpoint { url, model: "m".to_owned(), key: None, extra_body: Map::new() }
    }

    fn fault(status: u16, headers: &HeaderMap, body: &Value) -> Fault {
        let error = ErrorBody::read(body.to_string().as_bytes());
        Fault::from_status(StatusCode::from_u16(status).unwrap(), headers, error, &endpoint())
    }

    #[test]
    fn statuses_are_sorted_by_what_to_do() {
        let kind = |status| match fault(status, &HeaderMap::new(), &json!({})) {
            Fault::Unavailable { .. } => "again",
            Fault::Refused(..) => "refused",
            Fault::Useless(_) => "useless",
        };
        for (kinds, statuses) in [
            ("again", &[408, 409, 425, 429, 500, 502, 503, 504, 529][..]),
            ("refused", &[400, 413, 418, 422]),
            ("useless", &[301, 302, 307, 308, 401, 402, 403, 404, 405]),
        ] {
            for status in statuses {
                assert_eq!(kind(*status), kinds, "{status}");
            }
        }
        let quota = fault(429, &HeaderMap::new(), &json!({"error": {"code": "insufficient_quota"}}));
        assert!(matches!(quota, Fault::Useless(text) if text.contains("no quota left")));
        let billing = fault(400, &HeaderMap::new(), &json!({"error": {"code": "billing_hard_limit_reached"}}));
        assert!(matches!(billing, Fault::Useless(text) if text.contains("no quota left")));
    }

    #[test]
    fn messages_say_what_to_mend_and_never_quote() {
        let text = |status, body: Value| match fault(status, &HeaderMap::new(), &body) {
            Fault::Unavailable { why, .. } => why.to_string(),
            Fault::Refused(refusal) => refusal.to_string(),
            Fault::Useless(text) => text,
        };
        let error = |code: Value, kind: Value, param: Value| json!({"error": {"message": "secret", "code": code, "type": kind, "param": param}});
        insta::assert_snapshot!(text(401, json!({})), @"http://127.0.0.1:1/v1/chat/completions answered 401: no API key was sent; name the environment variable that holds it");
        insta::assert_snapshot!(text(404, error(json!("model_not_found"), json!(null), json!(null))), @r#"http://127.0.0.1:1/v1/chat/completions answered 404 (model_not_found): check the URL and the model's name "m""#);
        insta::assert_snapshot!(text(400, error(json!(null), json!("invalid_request_error"), json!("max_tokens"))), @"answered 400 (invalid_request_error: max_tokens)");
        insta::assert_snapshot!(text(400, error(json!("a secret sentence"), json!(400), json!(null))), @"answered 400");
        insta::assert_snapshot!(text(503, json!("secret")), @"answered 503");
        insta::assert_snapshot!(text(301, json!({})), @"http://127.0.0.1:1/v1/chat/completions answered 301: it redirects to elsewhere, which is not followed; use that URL");
    }
}
