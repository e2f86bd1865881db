//! What the filter and the scorer say to each other: the request for a score, and the reading of its answer.

use crate::decision::Reason;
use serde::Deserialize;

/// Path of the scoring endpoint.
pub const PATH: &str = "/v1/score";

/// The scorer's answer for one query.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Score {
    /// Predicted probability, in `[0, 1]`, that the small model's response is good enough.
    pub score: f64,
    /// Share of calibration queries, in `[0, 1]`, that score at least this much.
    #[serde(default)]
    pub small_share: Option<f64>,
    /// Quality drop measured at this score's threshold, as a fraction of the large model's quality.
    #[serde(default)]
    pub quality_drop: Option<f64>,
}

/// Builds the body of a score request from text pieces that are JSON string contents as the client sent them (escapes
/// and all), so that nothing is decoded and encoded again. Pieces are joined by a line feed.
#[must_use]
pub fn request_body(router: &str, query: &[&str]) -> Vec<u8> {
    let text: usize = query.iter().map(|piece| piece.len() + 2).sum();
    let mut body = Vec::with_capacity(text + router.len() + 32);
    body.extend_from_slice(b"{\"router\":");
    // Writing a string into memory as JSON has no way to fail; an empty name would be the scorer's 404.
    body.extend_from_slice(&serde_json::to_vec(router).unwrap_or_default());
    body.extend_from_slice(b",\"query\":\"");
    for (i, piece) in query.iter().enumerate() {
        if i > 0 {
            body.extend_from_slice(b"\\n");
        }
        body.extend_from_slice(piece.as_bytes());
    }
    body.extend_from_slice(b"\"}");
    body
}

/// The scorer's HTTP response, as far as the filter looks at it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reply<'a> {
    /// `:status`, or `None` when the connection was reset before any header.
    pub status: Option<u16>,
    /// Whether `retry-after` is there: the scorer sets it when it refuses work, a proxy's own 503 does not.
    pub retry_after: bool,
    /// The body.
    pub body: &'a [u8],
}

impl Reply<'_> {
    /// Reads the score out of the response.
    ///
    /// # Errors
    /// The [`Reason`] why there is no usable score: anything but a 200 with numbers in range.
    pub fn score(&self) -> Result<Score, Reason> {
        match self.status {
            Some(200) => self.parse().ok_or(Reason::BadScore),
            None => Err(Reason::ScorerUnreachable),
            Some(504) => Err(Reason::Timeout),
            Some(429 | 503) if self.retry_after => Err(Reason::Overloaded),
            Some(503) => Err(Reason::ScorerUnreachable),
            Some(_) => Err(Reason::ScorerError),
        }
    }

    fn parse(&self) -> Option<Score> {
        let score: Score = serde_json::from_slice(self.body).ok()?;
        let values = [Some(score.score), score.small_share, score.quality_drop];
        values.into_iter().flatten().all(|v| (0.0..=1.0).contains(&v)).then_some(score)
    }
}

/// Whether a failure says that the scorer is in trouble, so that the breaker should count it. A refusal or a 4xx comes
/// from a scorer that is alive and answers at once: asking it again costs nothing.
#[must_use]
pub fn is_outage(reply: &Reply<'_>, reason: Reason) -> bool {
    match reason {
        Reason::Timeout | Reason::ScorerUnreachable | Reason::BadScore => true,
        Reason::ScorerError => reply.status.is_some_and(|status| status >= 500),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply<'_> {
        Reply { status: Some(status), retry_after: false, body: body.as_bytes() }
    }

    #[test]
    fn request_body_is_json_and_keeps_escapes() {
        let body = request_body("a\"b", &[r"one \u00e9\n", "two"]);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value, serde_json::json!({"router": "a\"b", "query": "one \u{e9}\n\ntwo"}));
    }

    #[test]
    fn a_good_answer_is_read() {
        let got =
            reply(200, r#"{"score":0.83,"small_share":0.31,"quality_drop":0.004,"router":"default","version":"1"}"#);
        assert_eq!(got.score(), Ok(Score { score: 0.83, small_share: Some(0.31), quality_drop: Some(0.004) }));
        assert_eq!(reply(200, r#"{"score":1}"#).score().unwrap().small_share, None);
    }

    #[test]
    fn every_bad_answer_has_its_reason() {
        let refused = |status| Reply { status: Some(status), retry_after: true, body: b"{}" };
        let table = [
            (Reply::default(), Reason::ScorerUnreachable, true),
            (reply(504, ""), Reason::Timeout, true),
            (reply(503, "no healthy upstream"), Reason::ScorerUnreachable, true),
            (refused(503), Reason::Overloaded, false),
            (refused(429), Reason::Overloaded, false),
            (reply(500, "{}"), Reason::ScorerError, true),
            (reply(404, "{}"), Reason::ScorerError, false),
            (reply(204, ""), Reason::ScorerError, false),
            (reply(200, ""), Reason::BadScore, true),
            (reply(200, "garbage"), Reason::BadScore, true),
            (reply(200, r#"{"score":"0.5"}"#), Reason::BadScore, true),
            (reply(200, r#"{"score":1.01}"#), Reason::BadScore, true),
            (reply(200, r#"{"score":null}"#), Reason::BadScore, true),
            (reply(200, r#"{"score":0.5,"small_share":-1}"#), Reason::BadScore, true),
        ];
        for (reply, reason, outage) in table {
            assert_eq!(reply.score(), Err(reason), "{reply:?}");
            assert_eq!(is_outage(&reply, reason), outage, "{reply:?}");
        }
    }
}
