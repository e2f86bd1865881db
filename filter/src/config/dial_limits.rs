//! How far a client may turn a pair's dials.

use super::dial::Dial;
use super::error::{ConfigError, invalid};
use super::source::Decimal;
use serde::Deserialize;

/// Floor and ceiling of a dial, both in `[0, 1]`.
pub type DialRange = (f64, f64);

/// How far a client may turn each dial. Without any range there are no limits; with one for some dial, the others are out of
/// reach, since each of them can say what this one must not.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DialLimits {
    /// For [`Dial::Threshold`].
    pub threshold: Option<DialRange>,
    /// For [`Dial::SmallShare`].
    pub small_share: Option<DialRange>,
    /// For [`Dial::QualityDrop`].
    pub quality_drop: Option<DialRange>,
}

impl DialLimits {
    /// Whether there are none.
    #[must_use]
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }

    /// The dial, brought within its range; `None` where only other dials may be turned.
    #[must_use]
    pub fn apply(&self, dial: Dial) -> Option<Dial> {
        if self.is_free() {
            return Some(dial);
        }
        let within = |value: f64, (floor, ceiling): DialRange| value.max(floor).min(ceiling);
        match dial {
            Dial::Threshold(value) => self.threshold.map(|range| Dial::Threshold(within(value, range))),
            Dial::SmallShare(value) => self.small_share.map(|range| Dial::SmallShare(within(value, range))),
            Dial::QualityDrop(value) => self.quality_drop.map(|range| Dial::QualityDrop(within(value, range))),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    threshold: Option<RawRange>,
    small_share: Option<RawRange>,
    quality_drop: Option<RawRange>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields, default)]
struct RawRange {
    floor: Decimal,
    ceiling: Decimal,
}

impl Default for RawRange {
    fn default() -> Self {
        Self { floor: Decimal(0.0), ceiling: Decimal(1.0) }
    }
}

impl RawLimits {
    pub(super) fn check(&self, at: &str) -> Result<DialLimits, ConfigError> {
        let range = |key: &str, raw: Option<RawRange>| {
            let Some(RawRange { floor: Decimal(floor), ceiling: Decimal(ceiling) }) = raw else { return Ok(None) };
            if 0.0 <= floor && floor <= ceiling && ceiling <= 1.0 {
                return Ok(Some((floor, ceiling)));
            }
            let value = format!("floor {floor}, ceiling {ceiling}");
            Err(invalid(&format!("{at}.{key}"), value, "is no range; use 0 <= floor <= ceiling <= 1"))
        };
        Ok(DialLimits {
            threshold: range("threshold", self.threshold)?,
            small_share: range("small_share", self.small_share)?,
            quality_drop: range("quality_drop", self.quality_drop)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_the_dial_they_are_for() {
        let limits = DialLimits { threshold: Some((0.4, 0.9)), small_share: Some((0.0, 0.5)), ..DialLimits::default() };
        let table = [
            (Dial::Threshold(0.1), Some(Dial::Threshold(0.4))),
            (Dial::Threshold(0.6), Some(Dial::Threshold(0.6))),
            (Dial::Threshold(1.0), Some(Dial::Threshold(0.9))),
            (Dial::SmallShare(0.9), Some(Dial::SmallShare(0.5))),
            (Dial::QualityDrop(1.0), None),
        ];
        for (asked, got) in table {
            assert_eq!(limits.apply(asked), got);
            assert_eq!(DialLimits::default().apply(asked), Some(asked));
        }
    }
}
