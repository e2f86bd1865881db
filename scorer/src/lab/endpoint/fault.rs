//! What can go wrong with a request, sorted by what to do about it: try again, leave this request, or leave the endpoint.
//!
//! A server's own message can quote the query, so of an answer only its error code is kept, where that is one plain word.

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use hyper::{
    HeaderMap, StatusCode,
    header::{LOCATION, RETRY_AFTER},
};
use hyper_util::client::legacy;
use serde::Deserialize;
use serde_json::Value;

use super::{address::Endpoint, tokens::Tokens};

/// The longest error code that is shown.
const MAX_CODE: usize = 64;

/// What went wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It may go well next time.
    Unavailable {
        /// How it failed.
        why: Unavailable,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// It will never go well, but others may; with the tokens that it took.
    Refused(Refusal, Tokens),
    /// None will go well, until somebody mends something.
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
    /// This request will get no response, though it took so many tokens.
    #[error("{0}")]
    Refused(Refusal, Tokens),
    /// The endpoint is of no use; what to mend.
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
        Self::Refused(refusal, Tokens::default())
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

impl Fault {
    /// What an answer without success means.
    pub(super) fn from_status(status: StatusCode, headers: &HeaderMap, body: &[u8], endpoint: &Endpoint) -> Self {
        let code = error_code(body);
        let exhausted = code.as_deref() == Some("insufficient_quota");
        let answer = StatusAndCode { status, code };
        match status {
            StatusCode::TOO_MANY_REQUESTS if exhausted => {
                Self::useless(&answer, endpoint, "the account has no quota left")
            }
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::CONFLICT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS => Self::Unavailable {
                why: Unavailable::Status(answer),
                retry_after: retry_after(headers, SystemTime::now()),
            },
            _ if status.is_server_error() => Self::Unavailable {
                why: Unavailable::Status(answer),
                retry_after: retry_after(headers, SystemTime::now()),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => match &endpoint.key {
                Some(key) => Self::useless(&answer, endpoint, &format!("check the API key in {}", key.variable())),
                None => {
                    Self::useless(&answer, endpoint, "no API key was sent; name the environment variable that holds it")
                }
            },
            StatusCode::PAYMENT_REQUIRED => Self::useless(&answer, endpoint, "the account has no money left"),
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

    fn useless(answer: &StatusAndCode, endpoint: &Endpoint, mend: &str) -> Self {
        Self::Useless(format!("{} answered {answer}: {mend}", endpoint.url))
    }
}

/// The wait that a server asks for: in seconds, or until a time. A time that is past is no wait.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

/// The error code of an answer, where it is a plain word: `{"error": {"code" | "type"}}`, with the parameter it is about.
fn error_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: Option<Value>,
        #[serde(rename = "type")]
        kind: Option<Value>,
        param: Option<Value>,
    }
    let plain = |value: &Option<Value>| {
        let word = value.as_ref()?.as_str()?;
        let fits = !word.is_empty() && word.len() <= MAX_CODE;
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        (fits && plain).then(|| word.to_owned())
    };
    let error = serde_json::from_slice::<Answer>(body).ok()?.error;
    let code = plain(&error.code).or_else(|| plain(&error.kind))?;
    Some(match plain(&error.param) {
        Some(param) => format!("{code}: {param}"),
        None => code,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::lab::endpoint::address::completions_url;

    fn endpoint() -> Endpoint {
        let url = completions_url("http://127.0.0.1:1").unwrap();
        Endpoint { url, model: "m".to_owned(), key: None, extra_body: Map::new() }
    }

    fn fault(status: u16, headers: &HeaderMap, body: &Value) -> Fault {
        Fault::from_status(StatusCode::from_u16(status).unwrap(), headers, body.to_string().as_bytes(), &endpoint())
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
    }

    #[test]
    fn messages_say_what_to_mend_and_never_quote() {
        let text = |status, body: Value| match fault(status, &HeaderMap::new(), &body) {
            Fault::Unavailable { why, .. } => why.to_string(),
            Fault::Refused(refusal, _) => refusal.to_string(),
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

    #[test]
    fn the_wait_is_read_in_seconds_or_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let wait = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            retry_after(&headers, now)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait(" 0.5 "), Some(Duration::from_millis(500)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        for none in ["soon", "-1", "nan", "inf", ""] {
            assert_eq!(wait(none), None, "{none}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
