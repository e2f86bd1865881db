//! The dial: the one number an operator sets to say how much goes to the small model.

use super::source::Decimal;
use crate::terms::Score;
use serde::Deserialize;
use thiserror::Error;

/// How a route decides between small and large, given a query's [`Score`].
///
/// Each variant holds a value in `[0, 1]`; [`Dial::from_parts`] is the only way in from text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dial {
    /// Small when the score is at least this much (Ding et al. 2024, section 3).
    Threshold(f64),
    /// Small for about this share of queries, by the router's calibration table.
    SmallShare(f64),
    /// Small as long as the calibrated quality drop stays at or under this fraction.
    QualityDrop(f64),
}

/// Why a dial could not be made, or could not be compared with a score.
#[derive(Debug, Clone, Error, PartialEq)]
pub enum DialError {
    /// The value is not a fraction.
    #[error("{key}: {value} is not a fraction; use a number from 0 to 1")]
    NotAFraction {
        /// Which dial: `threshold`, `small_share` or `quality_drop`.
        key: &'static str,
        /// What was written.
        value: String,
    },
    /// More than one dial was set at one place.
    #[error("{first} and {second} are both set; a dial is exactly one of threshold, small_share, quality_drop")]
    TwoDials {
        /// One dial that is set.
        first: &'static str,
        /// Another dial that is set.
        second: &'static str,
    },
}

/// The three keys of a dial as they are written in configuration, route metadata or headers; at most one may be set.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DialParts {
    /// See [`Dial::Threshold`].
    pub threshold: Option<f64>,
    /// See [`Dial::SmallShare`].
    pub small_share: Option<f64>,
    /// See [`Dial::QualityDrop`].
    pub quality_drop: Option<f64>,
}

impl Dial {
    /// Makes a dial from the three keys: `None` when none is set.
    ///
    /// # Errors
    /// More than one key is set, or the value lies outside `[0, 1]` (or is not a number).
    pub fn from_parts(parts: DialParts) -> Result<Option<Self>, DialError> {
        let set = [
            parts.threshold.map(|v| ("threshold", v, Self::Threshold as fn(f64) -> Self)),
            parts.small_share.map(|v| ("small_share", v, Self::SmallShare as fn(f64) -> Self)),
            parts.quality_drop.map(|v| ("quality_drop", v, Self::QualityDrop as fn(f64) -> Self)),
        ];
        let mut set = set.into_iter().flatten();
        let Some((key, value, dial)) = set.next() else { return Ok(None) };
        if let Some((second, ..)) = set.next() {
            return Err(DialError::TwoDials { first: key, second });
        }
        if !(0.0..=1.0).contains(&value) {
            return Err(DialError::NotAFraction { key, value: value.to_string() });
        }
        Ok(Some(dial(value)))
    }

    /// Whether a query with this score goes to small; `None` when the score lacks the field that the dial compares with
    /// (the router has no calibration for it).
    #[must_use]
    pub fn admits(self, score: &Score) -> Option<bool> {
        match self {
            Self::Threshold(threshold) => Some(score.score >= threshold),
            Self::SmallShare(share) => score.small_share.map(|s| s <= share),
            Self::QualityDrop(drop) => score.quality_drop.map(|d| d <= drop),
        }
    }
}

/// The dial as it is written under a pair.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDial {
    threshold: Option<Decimal>,
    small_share: Option<Decimal>,
    quality_drop: Option<Decimal>,
}

impl RawDial {
    /// Checks the dial.
    pub(super) fn check(self) -> Result<Option<Dial>, DialError> {
        let value = |decimal: Option<Decimal>| decimal.map(|Decimal(value)| value);
        Dial::from_parts(DialParts {
            threshold: value(self.threshold),
            small_share: value(self.small_share),
            quality_drop: value(self.quality_drop),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(threshold: Option<f64>, small_share: Option<f64>, quality_drop: Option<f64>) -> DialParts {
        DialParts { threshold, small_share, quality_drop }
    }

    #[test]
    fn exactly_one_key_makes_a_dial() {
        assert_eq!(Dial::from_parts(parts(None, None, None)), Ok(None));
        assert_eq!(Dial::from_parts(parts(Some(0.5), None, None)), Ok(Some(Dial::Threshold(0.5))));
        assert_eq!(Dial::from_parts(parts(None, Some(0.0), None)), Ok(Some(Dial::SmallShare(0.0))));
        assert_eq!(Dial::from_parts(parts(None, None, Some(1.0))), Ok(Some(Dial::QualityDrop(1.0))));
        let two = Dial::from_parts(parts(Some(0.5), None, Some(0.1))).unwrap_err();
        assert_eq!(
            two.to_string(),
            "threshold and quality_drop are both set; a dial is exactly one of threshold, small_share, quality_drop"
        );
    }

    #[test]
    fn values_outside_the_unit_interval_are_refused_by_name() {
        for bad in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
            assert!(Dial::from_parts(parts(None, Some(bad), None)).is_err(), "{bad}");
        }
        assert_eq!(
            Dial::from_parts(parts(Some(1.5), None, None)).unwrap_err().to_string(),
            "threshold: 1.5 is not a fraction; use a number from 0 to 1"
        );
    }

    #[test]
    fn each_dial_compares_with_its_own_field() {
        let score = Score { score: 0.6, small_share: Some(0.3), quality_drop: Some(0.004) };
        let table = [
            (Dial::Threshold(0.6), true),
            (Dial::Threshold(0.61), false),
            (Dial::SmallShare(0.3), true),
            (Dial::SmallShare(0.29), false),
            (Dial::QualityDrop(0.004), true),
            (Dial::QualityDrop(0.0), false),
        ];
        for (dial, small) in table {
            assert_eq!(dial.admits(&score), Some(small), "{dial:?}");
        }
    }

    #[test]
    fn a_score_without_calibration_answers_only_to_a_threshold() {
        let bare = Score { score: 0.6, small_share: None, quality_drop: None };
        assert_eq!(Dial::Threshold(0.5).admits(&bare), Some(true));
        assert_eq!(Dial::SmallShare(1.0).admits(&bare), None);
        assert_eq!(Dial::QualityDrop(1.0).admits(&bare), None);
    }
}
