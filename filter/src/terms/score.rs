//! The score of a query, as the scorer gives it.

use serde::Deserialize;

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
