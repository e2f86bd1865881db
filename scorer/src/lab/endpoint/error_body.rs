//! Error objects in the shapes that servers and gateways give them.
//!
//! A server's own message can quote the query, so it is kept apart from the code, and shown only where the user asks for it.

use std::time::{Duration, SystemTime};

use hyper::{
    HeaderMap, StatusCode,
    header::{HeaderName, HeaderValue, RETRY_AFTER},
};
use serde_json::Value;

/// The longest error code that is shown.
const MAX_CODE: usize = 64;
/// The longest message that is shown, in characters.
const MAX_MESSAGE: usize = 500;
/// A number of seconds above this is a time since 1970.
const EPOCH: f64 = 1e9;

/// Headers that ask to wait, and how many of their units a second has. The first two are Azure's and OpenAI's.
const WAITS: [(&str, f64); 3] = [("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("retry-after", 1.0)];

/// Words of a code or message, without what is no letter, and the status that stands for them. The first that fits counts.
const WORDS: [(&[&str], StatusCode); 7] = [
    (
        &["insufficientquota", "insufficientcredit", "insufficientfund", "insufficientbalance", "billing", "payment"],
        StatusCode::PAYMENT_REQUIRED,
    ),
    (&["ratelimit", "toomanyrequests", "resourceexhausted", "throttl"], StatusCode::TOO_MANY_REQUESTS),
    (&["apikey", "authentication", "unauthenticated", "unauthorized", "noauth"], StatusCode::UNAUTHORIZED),
    (&["permission", "forbidden", "accessdenied"], StatusCode::FORBIDDEN),
    (&["contentfilter", "contentpolicy", "contextlength", "contextwindow"], StatusCode::BAD_REQUEST),
    (&["notfound", "unknownmodel", "modelnotexist"], StatusCode::NOT_FOUND),
    (
        &["invalidrequest", "invalidargument", "badrequest", "unsupported", "validation", "toolarge"],
        StatusCode::BAD_REQUEST,
    ),
];

/// An error, as far as the server tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ErrorBody {
    /// The API's code for it, where that is one plain word, with the parameter it is about.
    pub(super) code: Option<String>,
    /// The HTTP status that it names, or that its words stand for.
    pub(super) status: Option<StatusCode>,
    /// The message, cut to a length that can be shown.
    pub(super) message: Option<String>,
    /// How long it asks to wait.
    pub(super) wait: Option<Duration>,
    /// Whether the account has no money or quota left.
    pub(super) exhausted: bool,
    /// Whether a moderation of the provider's refused this query.
    pub(super) moderated: bool,
}

impl ErrorBody {
    /// Reads the body of an answer that is an error by its status.
    pub(super) fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(answer) if answer.is_object() || answer.is_array() => Self::of(find(&answer).unwrap_or(&answer)),
            _ => Self { message: shown(&String::from_utf8_lossy(body)), ..Self::default() },
        }
    }

    /// The error in an answer that is a success by its status, if it holds one.
    pub(super) fn within(answer: &Value) -> Option<Self> {
        find(answer).map(Self::of)
    }

    fn of(error: &Value) -> Self {
        let error = error.as_array().map_or(error, |errors| errors.first().unwrap_or(&Value::Null));
        if let Some(text) = error.as_str() {
            // One word may be one of the query's: a code looks like one.
            let code = plain(error).filter(|code| code.contains('_') || status_of(code).is_some());
            return Self {
                status: status_of(text),
                exhausted: exhausted(text),
                code,
                message: shown(text),
                ..Self::default()
            };
        }
        let first = |keys: &[&str]| keys.iter().filter_map(|key| error.get(key)).find(|value| !value.is_null());
        let code = ["code", "type", "error_type", "status", "reason"].iter().find_map(|key| plain(error.get(key)?));
        let message = first(&["message", "detail", "msg", "status_msg", "error"]).map(text_of);
        let numbers = ["code", "status", "statusCode", "status_code", "http_status"];
        let number = numbers.iter().find_map(|key| http_status(error.get(key)?));
        let word = |text: &Option<String>| text.as_deref().and_then(status_of);
        let param = error.get("param").and_then(plain);
        let metadata = error.get("metadata");
        Self {
            status: number.or_else(|| word(&code)).or_else(|| word(&message)),
            exhausted: code.as_deref().is_some_and(exhausted),
            moderated: metadata.is_some_and(|data| data.get("flagged_input").or(data.get("reasons")).is_some()),
            wait: wait_in(error),
            code: code.map(|code| param.map_or(code.clone(), |param| format!("{code}: {param}"))),
            message: message.as_deref().and_then(shown),
        }
    }
}

/// Where an answer says that it is an error: under `error` or `errors`, in its first choice, or as a whole.
fn find(answer: &Value) -> Option<&Value> {
    let answer = answer.as_array().map_or(answer, |answers| answers.first().unwrap_or(&Value::Null));
    let choice = answer.get("choices").and_then(|choices| choices.get(0));
    let named = said(answer, "error").or_else(|| said(answer, "errors"));
    let in_choice =
        || choice.and_then(|choice| said(choice, "error").or_else(|| said(choice.get("message")?, "error")));
    let found = named.or_else(in_choice);
    if found.is_some() {
        return found;
    }
    let is_error = ["object", "type"].iter().any(|key| said(answer, key).and_then(Value::as_str) == Some("error"));
    let failed = answer.get("success") == Some(&Value::Bool(false));
    // FastAPI and gateways of several kinds: a message and a status, and nothing else of a completion.
    let bare = choice.is_none()
        && ["detail", "message", "msg"].iter().any(|key| said(answer, key).is_some())
        && ["code", "status", "statusCode", "status_code", "detail"].iter().any(|key| answer.get(key).is_some());
    (is_error || failed || bare).then_some(answer)
}

/// The value under a key, where it says something.
fn said<'v>(answer: &'v Value, key: &str) -> Option<&'v Value> {
    answer.get(key).filter(|value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(errors) => !errors.is_empty(),
        Value::Object(error) => !error.is_empty(),
        _ => true,
    })
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value that is one plain word.
fn plain(value: &Value) -> Option<String> {
    let word = value.as_str()?;
    let fits = !word.is_empty() && word.len() <= MAX_CODE && !word.bytes().all(|byte| byte.is_ascii_digit());
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    (fits && plain && word != "error").then(|| word.to_owned())
}

/// A status of a client's or a server's error, as a number or its digits.
fn http_status(value: &Value) -> Option<StatusCode> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let whole = (400.0..600.0).contains(&number) && number.fract() == 0.0;
    whole.then(|| StatusCode::from_u16(number as u16).ok()).flatten()
}

fn letters(text: &str) -> String {
    text.chars().take(MAX_MESSAGE).filter(|c| c.is_ascii_alphabetic()).map(|c| c.to_ascii_lowercase()).collect()
}

/// The status that a code or message stands for.
fn status_of(text: &str) -> Option<StatusCode> {
    let letters = letters(text);
    let found = WORDS.iter().find(|(words, _)| words.iter().any(|word| letters.contains(word)));
    found.map(|(_, status)| *status)
}

/// Whether a code says that the account is exhausted, so that waiting does not help.
fn exhausted(code: &str) -> bool {
    status_of(code) == Some(StatusCode::PAYMENT_REQUIRED)
}

/// A message that can be shown: one line, not too long.
fn shown(text: &str) -> Option<String> {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let text: String = words.join(" ").chars().take(MAX_MESSAGE).collect();
    (!text.is_empty()).then_some(text)
}

/// The wait that an error's body asks for: in the headers of the provider behind a gateway, or as Google's `RetryInfo`.
fn wait_in(error: &Value) -> Option<Duration> {
    let headers = error.get("metadata").and_then(|metadata| metadata.get("headers")).and_then(Value::as_object);
    let read = |(name, value): (&String, &Value)| {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(&text_of(value)).ok()?))
    };
    let headers: HeaderMap = headers.into_iter().flatten().filter_map(read).collect();
    let now = SystemTime::now();
    let reset = || {
        let value = headers.get("x-ratelimit-reset")?.to_str().ok()?;
        wait_of(value, 1.0, now)
    };
    let delays = || {
        let details = error.get("details")?.as_array()?;
        let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
        wait_of(delay, 1.0, now)
    };
    retry_after(&headers, now).or_else(reset).or_else(delays)
}

/// The wait that headers ask for: in seconds or milliseconds, or until a time. A time that is past is no wait.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    WAITS.iter().find_map(|(name, a_second)| wait_of(headers.get(*name)?.to_str().ok()?, *a_second, now)).or_else(
        || {
            let until = httpdate::parse_http_date(headers.get(RETRY_AFTER)?.to_str().ok()?.trim()).ok()?;
            Some(until.duration_since(now).unwrap_or_default())
        },
    )
}

/// A wait as a number, perhaps with its unit; a very large number is the time since 1970 at which it ends.
fn wait_of(value: &str, a_second: f64, now: SystemTime) -> Option<Duration> {
    let value = value.trim().to_ascii_lowercase();
    let (digits, a_second) = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1000.0),
        (None, Some(digits)) => (digits, 1.0),
        (None, None) => (value.as_str(), a_second),
    };
    let number: f64 = digits.trim().parse().ok()?;
    let since_1970 = match number {
        number if number > EPOCH * 1000.0 => Some(number / 1000.0),
        number if number > EPOCH && a_second == 1.0 => Some(number),
        _ => None,
    };
    match since_1970 {
        Some(seconds) => {
            let until = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
            Some(until.duration_since(now).unwrap_or_default())
        }
        None => Duration::try_from_secs_f64(number / a_second).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn within(answer: Value) -> Option<(Option<u16>, Option<String>)> {
        ErrorBody::within(&answer).map(|error| (error.status.map(|status| status.as_u16()), error.code))
    }

    #[test]
    fn errors_are_found_in_every_shape() {
        let code = |code: &str| Some(code.to_owned());
        for (answer, expected) in [
            // OpenRouter, and LiteLLM, which makes the number a text.
            (json!({"error": {"code": 402, "message": "Insufficient credits"}}), (Some(402), None)),
            (json!({"error": {"code": "429", "message": "m", "type": null}}), (Some(429), None)),
            (json!({"choices": [{"error": {"code": 502, "message": "m"}}]}), (Some(502), None)),
            // OpenAI, Anthropic, vLLM, TGI.
            (
                json!({"error": {"code": "invalid_api_key", "type": "invalid_request_error"}}),
                (Some(401), code("invalid_api_key")),
            ),
            (json!({"type": "error", "error": {"type": "rate_limit_error"}}), (Some(429), code("rate_limit_error"))),
            (
                json!({"object": "error", "message": "m", "type": "NotFoundError", "code": 404}),
                (Some(404), code("NotFoundError")),
            ),
            (json!({"error": "Model is overloaded", "error_type": "overloaded"}), (None, None)),
            // Google, in a list; Cloudflare; FastAPI.
            (
                json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}]),
                (Some(429), code("RESOURCE_EXHAUSTED")),
            ),
            (
                json!({"success": false, "errors": [{"code": 10000, "message": "Authentication error"}]}),
                (Some(401), None),
            ),
            (json!({"detail": "Unauthorized"}), (Some(401), None)),
            (json!({"statusCode": 429, "message": "slow down"}), (Some(429), None)),
            // A text alone.
            (json!({"error": "Rate limit exceeded"}), (Some(429), None)),
            (json!({"error": "insufficient_quota"}), (Some(402), code("insufficient_quota"))),
            (json!({"error": ["busy"]}), (None, None)),
        ] {
            assert_eq!(within(answer.clone()), Some(expected), "{answer}");
        }
        for fine in [
            json!({"choices": [{"message": {"content": "a"}}], "error": null}),
            json!({"choices": [{"message": {"content": "a"}, "error": null}], "error": {}, "errors": []}),
            json!({"choices": [{"message": {"content": "a"}}], "error": "", "message": "m", "code": 0}),
            json!({"choices": []}),
            json!("text"),
            json!([]),
        ] {
            assert_eq!(within(fine.clone()), None, "{fine}");
        }
    }

    #[test]
    fn codes_are_plain_words_and_messages_one_line() {
        let read = |body: &str| ErrorBody::read(body.as_bytes());
        let error = read(r#"{"error": {"message": "a\n\tb", "type": "invalid_request_error", "param": "max_tokens"}}"#);
        assert_eq!(error.code.as_deref(), Some("invalid_request_error: max_tokens"));
        assert_eq!(error.message.as_deref(), Some("a b"));
        assert_eq!(read(r#"{"error": {"code": "a secret sentence"}}"#).code, None);
        assert_eq!(read("<html> busy\n</html>").message.as_deref(), Some("<html> busy </html>"));
        assert_eq!(read(&"x".repeat(9000)).message.unwrap().len(), MAX_MESSAGE);
        assert_eq!(read(""), ErrorBody::default());
        assert!(read(r#"{"error": {"code": 403, "metadata": {"flagged_input": "x", "reasons": ["y"]}}}"#).moderated);
    }

    #[test]
    fn the_wait_is_read_in_every_unit_or_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let wait = |name: &'static str, value: &str| {
            retry_after(&HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]), now)
        };
        let seconds = |value: &str| wait("retry-after", value);
        assert_eq!(seconds("7"), Some(Duration::from_secs(7)));
        assert_eq!(seconds(" 0.5 "), Some(Duration::from_millis(500)));
        assert_eq!(seconds("1500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(seconds("20s"), Some(Duration::from_secs(20)));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        // 1994-11-06 08:49:37 is 784111777, which is too small to be told from seconds: so a time of today.
        let today = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        for value in ["1790000030", "1790000030000"] {
            assert_eq!(wait_of(value, 1.0, today), Some(Duration::from_secs(30)), "{value}");
        }
        assert_eq!(wait_of("1780000000000", 1.0, today), Some(Duration::ZERO));
        assert_eq!(wait("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        for none in ["soon", "-1", "nan", "inf", ""] {
            assert_eq!(seconds(none), None, "{none}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_body_can_ask_to_wait_too() {
        let wait = |error: Value| ErrorBody::within(&json!({"error": error})).unwrap().wait;
        let google = json!({"code": 429, "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]});
        assert_eq!(wait(google), Some(Duration::from_secs(34)));
        let behind = json!({"code": 429, "metadata": {"headers": {"Retry-After": 5}}});
        assert_eq!(wait(behind), Some(Duration::from_secs(5)));
        let past = json!({"code": 429, "metadata": {"headers": {"X-RateLimit-Reset": "1000000000001"}}});
        assert_eq!(wait(past), Some(Duration::ZERO));
        assert_eq!(wait(json!({"code": 429})), None);
    }
}
