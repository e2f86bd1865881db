//! Reading requests: bodies, deadlines, and JSON whose faults are described without quoting it.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{HeaderMap, body::Body, header};
use serde::Deserialize;
use serde_json::error::Category;

use super::error::ApiError;

/// Envoy sets this on every request to an upstream that has a timeout.
const DEADLINE: &str = "x-envoy-expected-rq-timeout-ms";
/// Nobody waits longer than this for a score.
const MAX_DEADLINE: Duration = Duration::from_secs(60);

/// The body of `POST /v1/score`.
#[derive(Debug, Deserialize)]
pub(crate) struct ScoreRequest<'a> {
    #[serde(borrow, default)]
    pub(crate) router: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) query: Option<Cow<'a, str>>,
}

/// The body of `POST /v1/score/batch`.
#[derive(Debug, Deserialize)]
pub(crate) struct BatchRequest {
    #[serde(default)]
    pub(crate) router: Option<String>,
    #[serde(default)]
    pub(crate) queries: Option<Vec<String>>,
}

/// When the caller stops waiting: what the header says, up to a minute, or `default`, from the request's arrival.
pub(crate) fn deadline(headers: &HeaderMap, arrived: Instant, default: Duration) -> Instant {
    let header = headers.get(DEADLINE).and_then(|value| value.to_str().ok());
    let wait =
        header.and_then(|value| value.trim().parse().ok()).filter(|ms| *ms > 0).map_or(default, Duration::from_millis);
    arrived + wait.min(MAX_DEADLINE)
}

/// The whole body, unless it has more than `most` bytes or does not come before the deadline.
pub(crate) async fn body<B>(headers: &HeaderMap, body: B, most: usize, deadline: Instant) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if length.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > most)) {
        return Err(ApiError::TooLarge { most });
    }
    let read = Limited::new(body, most).collect();
    match tokio::time::timeout_at(deadline.into(), read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge { most }),
        Ok(Err(_)) => Err(ApiError::Body),
        Err(_) => Err(ApiError::DeadlineExceeded { retry: Duration::ZERO }),
    }
}

/// Parses a body. Unknown keys are ignored.
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let key = error.path().iter().next().map(ToString::to_string);
        describe(key.as_deref(), error.inner())
    })?;
    deserializer.end().map_err(|error| describe(None, &error))?;
    Ok(parsed)
}

/// Says what is wrong and where. serde_json's own message may quote the value, and an unknown key's name is the caller's
/// text too, so neither is passed on.
fn describe(key: Option<&str>, error: &serde_json::Error) -> ApiError {
    let at = format!("line {} column {}", error.line(), error.column());
    let problem = match (error.classify(), key) {
        (Category::Eof, _) => format!("the body ends at {at}, before the JSON does"),
        (Category::Syntax | Category::Io, _) => format!("the body is not JSON at {at}"),
        (Category::Data, Some("query")) => format!("\"query\" must be a string ({at})"),
        (Category::Data, Some("router")) => format!("\"router\" must be a string ({at})"),
        (Category::Data, Some("queries")) => {
            format!("\"queries\" must be an array of strings ({at})")
        }
        (Category::Data, _) => {
            format!("the body must be a JSON object with each key once ({at})")
        }
    };
    ApiError::BadJson(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> String {
        let error = parse::<ScoreRequest<'_>>(json.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "bad_json");
        error.to_string()
    }

    #[test]
    fn faults_say_where_and_never_quote() {
        insta::assert_snapshot!(fault(r#"{"query": ["secret"]}"#), @r#""query" must be a string (line 1 column 10)"#);
        insta::assert_snapshot!(fault(r#"{"router": 7, "query": "secret"}"#), @r#""router" must be a string (line 1 column 12)"#);
        insta::assert_snapshot!(fault(r#""secret""#), @"the body must be a JSON object with each key once (line 1 column 8)");
        insta::assert_snapshot!(fault(r#"{"query": "secret", "query": "secret"}"#), @"the body must be a JSON object with each key once (line 1 column 27)");
        insta::assert_snapshot!(fault(r#"{"secret": secret}"#), @"the body is not JSON at line 1 column 12");
        insta::assert_snapshot!(fault(r#"{"query": "secret"#), @"the body ends at line 1 column 17, before the JSON does");
        insta::assert_snapshot!(fault(r#"{"query": "secret"} secret"#), @"the body is not JSON at line 1 column 21");
        insta::assert_snapshot!(fault(r#"{"query": "secret \ud800"}"#), @"the body is not JSON at line 1 column 25");
        insta::assert_snapshot!(fault(""), @"the body ends at line 1 column 0, before the JSON does");
    }

    #[test]
    fn unknown_keys_are_ignored_and_escapes_are_read() {
        let request: ScoreRequest<'_> = parse(br#"{"later": {"x": [1]}, "query": "a \"b\""}"#).unwrap();
        assert_eq!(request.query.as_deref(), Some("a \"b\""));
        assert_eq!(request.router, None);
    }

    #[test]
    fn the_deadline_comes_from_the_header_within_reason() {
        let now = Instant::now();
        let default = Duration::from_secs(1);
        let wait = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(DEADLINE, header::HeaderValue::from_static(value));
            (deadline(&headers, now, default) - now).as_millis()
        };
        assert_eq!(wait("250"), 250);
        assert_eq!(wait("99999999999999999999"), 1000);
        assert_eq!(wait("3600000"), 60_000);
        assert_eq!(wait("0"), 1000, "Envoy means no timeout");
        assert_eq!(wait("soon"), 1000);
        assert_eq!(deadline(&HeaderMap::new(), now, default) - now, default);
    }
}
