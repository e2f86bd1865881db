//! The calibration table: what a score means on the queries that the router was calibrated with.

use serde::{Deserialize, Serialize};

/// What routing at one threshold did on the calibration queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Queries that score at least this much go to the small model; in `[0, 1]`.
    pub threshold: f64,
    /// The share of calibration queries that score at least `threshold`; in `[0, 1]`.
    pub small_share: f64,
    /// (mean quality of all-large − mean quality when routed) ÷ |mean quality of all-large|; negative when routing
    /// did better than the large model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_drop: Option<f64>,
    /// The upper end of the 95 % confidence interval of `quality_drop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_drop_upper95: Option<f64>,
}

impl Row {
    /// The drop that a dial is compared with: the bounded one where there is one.
    fn drop(&self) -> Option<f64> {
        self.quality_drop_upper95.or(self.quality_drop)
    }
}

/// A table that cannot be used, and why. Rows are counted from 0, as in the manifest.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// A value is not finite or is outside its range.
    #[error("row {row}: {key} is {value}, but must be {must}")]
    Range {
        /// Which row.
        row: usize,
        /// Which of its values.
        key: &'static str,
        /// What it was.
        value: f64,
        /// What would do.
        must: &'static str,
    },
    /// A value breaks the order that makes a dial meaningful.
    #[error("row {row}: {key} is {value} after {previous}, but must {must} from row to row")]
    Order {
        /// Which row.
        row: usize,
        /// Which of its values.
        key: &'static str,
        /// What it was.
        value: f64,
        /// The value in the row before (for the drop, in the last row that has one).
        previous: f64,
        /// The order that the key must keep.
        must: &'static str,
    },
}

/// A checked table, thresholds ascending. Both look-ups are non-increasing in the score, so a dial on either of them is a
/// threshold on the score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Row>", into = "Vec<Row>")]
pub struct Calibration {
    rows: Vec<Row>,
}

impl Calibration {
    /// Checks the rows: values finite and in range, thresholds ascending, shares and drops not increasing.
    ///
    /// # Errors
    /// [`CalibrationError`] names the first row and value at fault.
    pub fn new(rows: Vec<Row>) -> Result<Self, CalibrationError> {
        let mut threshold = f64::NEG_INFINITY;
        let mut share = f64::INFINITY;
        let mut drop = f64::INFINITY;
        for (index, row) in rows.iter().enumerate() {
            unit(index, "threshold", row.threshold)?;
            unit(index, "small_share", row.small_share)?;
            finite(index, "quality_drop", row.quality_drop)?;
            finite(index, "quality_drop_upper95", row.quality_drop_upper95)?;
            let order = |key, value, previous, must| CalibrationError::Order { row: index, key, value, previous, must };
            if row.threshold <= threshold {
                return Err(order("threshold", row.threshold, threshold, "increase"));
            }
            if row.small_share > share {
                return Err(order("small_share", row.small_share, share, "not increase"));
            }
            threshold = row.threshold;
            share = row.small_share;
            if let Some(value) = row.drop() {
                if value > drop {
                    let key = if row.quality_drop_upper95.is_some() { "quality_drop_upper95" } else { "quality_drop" };
                    return Err(order(key, value, drop, "not increase"));
                }
                drop = value;
            }
        }
        Ok(Self { rows })
    }

    /// The checked rows, thresholds ascending.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The share of calibration queries that score at least `score`, interpolated between rows.
    ///
    /// `None` without a table; 1 below its first row; the last row's share above its last, which overstates it.
    pub fn small_share(&self, score: f64) -> Option<f64> {
        let above = self.rows.partition_point(|row| row.threshold <= score);
        let next = self.rows.get(above);
        let Some(row) = above.checked_sub(1).and_then(|index| self.rows.get(index)) else {
            return next.map(|_| 1.0);
        };
        let Some(next) = next else {
            return Some(row.small_share);
        };
        let part = (score - row.threshold) / (next.threshold - row.threshold);
        let share = row.small_share + part * (next.small_share - row.small_share);
        Some(share.clamp(next.small_share, row.small_share))
    }

    /// The quality drop measured at the nearest threshold at or below `score`: never a smaller drop than the one that
    /// was measured, since drops do not increase with the threshold.
    ///
    /// `None` without such a row: below the first threshold nothing was measured.
    pub fn quality_drop(&self, score: f64) -> Option<f64> {
        let above = self.rows.partition_point(|row| row.threshold <= score);
        self.rows.iter().take(above).rev().find_map(Row::drop)
    }
}

impl TryFrom<Vec<Row>> for Calibration {
    type Error = CalibrationError;

    fn try_from(rows: Vec<Row>) -> Result<Self, CalibrationError> {
        Self::new(rows)
    }
}

impl From<Calibration> for Vec<Row> {
    fn from(calibration: Calibration) -> Self {
        calibration.rows
    }
}

fn unit(row: usize, key: &'static str, value: f64) -> Result<(), CalibrationError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(CalibrationError::Range { row, key, value, must: "between 0 and 1" })
}

fn finite(row: usize, key: &'static str, value: Option<f64>) -> Result<(), CalibrationError> {
    match value {
        Some(value) if !value.is_finite() => Err(CalibrationError::Range { row, key, value, must: "finite" }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(threshold: f64, small_share: f64, drop: Option<f64>, upper: Option<f64>) -> Row {
        Row { threshold, small_share, quality_drop: drop, quality_drop_upper95: upper }
    }

    fn table() -> Calibration {
        Calibration::new(vec![
            row(0.2, 0.9, Some(0.10), None),
            row(0.4, 0.5, Some(0.03), Some(0.05)),
            row(0.6, 0.5, None, None),
            row(0.8, 0.1, Some(0.01), Some(0.02)),
        ])
        .unwrap()
    }

    #[test]
    fn shares_are_interpolated_and_clamped_at_both_ends() {
        let table = table();
        assert_eq!(table.small_share(0.1), Some(1.0));
        assert_eq!(table.small_share(0.2), Some(0.9));
        assert!((table.small_share(0.3).unwrap() - 0.7).abs() < 1e-12);
        assert_eq!(table.small_share(0.5), Some(0.5));
        assert_eq!(table.small_share(1.0), Some(0.1));
    }

    #[test]
    fn drops_come_from_the_row_at_or_below_and_are_bounded_where_known() {
        let table = table();
        assert_eq!(table.quality_drop(0.1), None);
        assert_eq!(table.quality_drop(0.39), Some(0.10));
        assert_eq!(table.quality_drop(0.4), Some(0.05));
        assert_eq!(table.quality_drop(0.7), Some(0.05), "a row without a drop defers to the one below");
        assert_eq!(table.quality_drop(0.8), Some(0.02));
    }

    #[test]
    fn an_empty_table_knows_nothing() {
        let table = Calibration::new(Vec::new()).unwrap();
        assert_eq!(table.small_share(0.5), None);
        assert_eq!(table.quality_drop(0.5), None);
    }

    #[test]
    fn faults_name_row_key_and_value() {
        let fault = |rows: Vec<Row>| Calibration::new(rows).unwrap_err().to_string();
        insta::assert_snapshot!(fault(vec![row(0.1, 1.2, None, None)]), @"row 0: small_share is 1.2, but must be between 0 and 1");
        insta::assert_snapshot!(fault(vec![row(f64::NAN, 1.0, None, None)]), @"row 0: threshold is NaN, but must be between 0 and 1");
        insta::assert_snapshot!(fault(vec![row(0.1, 1.0, Some(f64::INFINITY), None)]), @"row 0: quality_drop is inf, but must be finite");
        insta::assert_snapshot!(fault(vec![row(0.1, 1.0, None, None), row(0.1, 0.9, None, None)]), @"row 1: threshold is 0.1 after 0.1, but must increase from row to row");
        insta::assert_snapshot!(fault(vec![row(0.1, 0.5, None, None), row(0.2, 0.6, None, None)]), @"row 1: small_share is 0.6 after 0.5, but must not increase from row to row");
        insta::assert_snapshot!(fault(vec![row(0.1, 0.5, Some(0.0), Some(0.1)), row(0.2, 0.4, Some(0.0), Some(0.2))]), @"row 1: quality_drop_upper95 is 0.2 after 0.1, but must not increase from row to row");
    }

    /// Any valid table: thresholds made ascending and distinct, shares and drops sorted downwards.
    fn tables() -> impl Strategy<Value = Calibration> {
        let cell = (0.0..=1.0_f64, 0.0..=1.0_f64, -1.0..1.0_f64, any::<bool>(), any::<bool>());
        proptest::collection::vec(cell, 0..40).prop_map(|cells| {
            let sorted = |mut values: Vec<f64>| {
                values.sort_by(f64::total_cmp);
                values
            };
            let mut thresholds = sorted(cells.iter().map(|cell| cell.0).collect());
            thresholds.dedup();
            let shares = sorted(cells.iter().map(|cell| cell.1).collect());
            let drops = sorted(cells.iter().map(|cell| cell.2).collect());
            let rows = thresholds.iter().zip(shares.iter().rev()).zip(drops.iter().rev());
            let rows = rows.zip(&cells).map(|(((threshold, share), drop), cell)| {
                row(*threshold, *share, cell.3.then_some(*drop), cell.4.then_some(*drop))
            });
            Calibration::new(rows.collect()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn look_ups_do_not_increase_with_the_score(table in tables(), a in 0.0..=1.0_f64, b in 0.0..=1.0_f64) {
            let (low, high) = (a.min(b), a.max(b));
            if let Some(share) = table.small_share(low) {
                prop_assert!(table.small_share(high).unwrap() <= share);
                prop_assert!((0.0..=1.0).contains(&share));
            }
            if let Some(drop) = table.quality_drop(low) {
                prop_assert!(table.quality_drop(high).unwrap() <= drop);
            }
        }

        #[test]
        fn look_ups_at_a_row_give_the_row(table in tables()) {
            for row in table.rows() {
                prop_assert_eq!(table.small_share(row.threshold), Some(row.small_share));
                if let Some(drop) = row.drop() {
                    prop_assert_eq!(table.quality_drop(row.threshold), Some(drop));
                }
            }
        }
    }
}
