//! What the filter and the scorer say to each other: the request for a score, and the reading of its answer.

use crate::terms::{Reason, Score};
use serde::Serialize;

/// Path of the scoring endpoint.
pub const PATH: &str = "/v1/score";

/// Builds the body of a score request, of the query's first `most` characters. A router reads only so much of a text, and to write
/// a long one as JSON and send it costs more than all else that is done with it.
#[must_use]
pub fn request_body(router: &str, query: &str, most: usize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Ask<'a> {
        router: &'a str,
        query: &'a str,
    }
    let query = first_characters(query, most);
    // Writing strings into memory as JSON has no way to fail.
    serde_json::to_vec(&Ask { router, query }).unwrap_or_default()
}

fn first_characters(text: &str, most: usize) -> &str {
    // No text has more characters than bytes, and ASCII has as many.
    let Some(head) = text.as_bytes().get(..most) else { return text };
    if head.is_ascii() {
        return text.get(..most).unwrap_or(text);
    }
    text.char_indices().nth(most).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// The scorer's HTTP response, as far as the filter looks at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reply<'a> {
    /// A 200, with its body.
    Ok(&'a [u8]),
    /// Another status, and whether `retry-after` is there: the scorer sets it when it refuses work, a proxy's own 503
    /// does not.
    Other {
        /// The status.
        status: u16,
        /// `retry-after` is there.
        retry_after: bool,
    },
    /// The connection was reset before any header.
    Reset,
}

impl Reply<'_> {
    /// Reads the score out of the response.
    ///
    /// # Errors
    /// The [`Reason`] why there is no usable score: anything but a 200 with numbers in range.
    pub fn score(&self) -> Result<Score, Reason> {
        Err(match *self {
            Self::Ok(body) => return parse(body).ok_or(Reason::BadScore),
            Self::Reset => Reason::ScorerUnreachable,
            Self::Other { status: 504, .. } => Reason::Timeout,
            Self::Other { status: 429 | 503, retry_after: true } => Reason::Overloaded,
            Self::Other { status: 503, .. } => Reason::ScorerUnreachable,
            Self::Other { .. } => Reason::ScorerError,
        })
    }

    /// Whether a failure says that the scorer is in trouble, so that the breaker should count it. A refusal or a 4xx
    /// comes from a scorer that is alive and answers at once: asking it again costs nothing.
    #[must_use]
    pub fn is_outage(&self, reason: Reason) -> bool {
        match (reason, self) {
            (Reason::Timeout | Reason::ScorerUnreachable | Reason::BadScore, _) => true,
            (Reason::ScorerError, Self::Other { status, .. }) => *status >= 500,
            _ => false,
        }
    }
}

fn parse(body: &[u8]) -> Option<Score> {
    let score: Score = serde_json::from_slice(body).ok()?;
    // A drop may be below zero, where routing did better than the large model alone.
    let fractions = [Some(score.score), score.small_share].into_iter().flatten().all(|v| (0.0..=1.0).contains(&v));
    (fractions && score.quality_drop.is_none_or(f64::is_finite)).then_some(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &str) -> Reply<'_> {
        Reply::Ok(body.as_bytes())
    }

    fn other(status: u16) -> Reply<'static> {
        Reply::Other { status, retry_after: false }
    }

    #[test]
    fn request_body_is_json() {
        let value: serde_json::Value =
            serde_json::from_slice(&request_body("a\"b", "one \u{e9}\n\"two\"", 100)).unwrap();
        assert_eq!(value, serde_json::json!({"router": "a\"b", "query": "one \u{e9}\n\"two\""}));
    }

    #[test]
    fn long_queries_are_cut_between_characters() {
        let query = |text: &str, most| {
            let body: serde_json::Value = serde_json::from_slice(&request_body("r", text, most)).unwrap();
            body["query"].as_str().unwrap().to_owned()
        };
        for (text, most, want) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc"),
            ("éèê", 3, "éèê"),
            ("éèêë", 3, "éèê"),
            ("中文字", 1, "中"),
            ("", 1, ""),
        ] {
            assert_eq!(query(text, most), want, "{text}");
        }
    }

    #[test]
    fn a_good_answer_is_read() {
        let got = ok(r#"{"score":0.83,"small_share":0.31,"quality_drop":0.004,"router":"default","version":"1"}"#);
        assert_eq!(got.score(), Ok(Score { score: 0.83, small_share: Some(0.31), quality_drop: Some(0.004) }));
        assert_eq!(ok(r#"{"score":1}"#).score().unwrap().small_share, None);
    }

    #[test]
    fn every_bad_answer_has_its_reason() {
        let refused = |status| Reply::Other { status, retry_after: true };
        let table = [
            (Reply::Reset, Reason::ScorerUnreachable, true),
            (other(504), Reason::Timeout, true),
            (other(503), Reason::ScorerUnreachable, true),
            (refused(503), Reason::Overloaded, false),
            (refused(429), Reason::Overloaded, false),
            (other(500), Reason::ScorerError, true),
            (other(404), Reason::ScorerError, false),
            (other(204), Reason::ScorerError, false),
            (ok(""), Reason::BadScore, true),
            (ok("garbage"), Reason::BadScore, true),
            (ok(r#"{"score":"0.5"}"#), Reason::BadScore, true),
            (ok(r#"{"score":1.01}"#), Reason::BadScore, true),
            (ok(r#"{"score":null}"#), Reason::BadScore, true),
            (ok(r#"{"score":0.5,"small_share":-1}"#), Reason::BadScore, true),
        ];
        for (reply, reason, outage) in table {
            assert_eq!(reply.score(), Err(reason), "{reply:?}");
            assert_eq!(reply.is_outage(reason), outage, "{reply:?}");
        }
    }
}
