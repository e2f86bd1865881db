//! How well a score's order agrees with a label or with other numbers: the area under the ROC curve, and correlations.
//!
//! Every row has a weight, the number of times that a bootstrap draw contains it. The result is the same as on rows that are
//! repeated so often.

use super::sweep::Order;

/// The chance that a row with the label scores above one without it; equal scores count half (Hanley and McNeil 1982). `None`
/// where all rows have it, or none.
pub fn auc(order: &Order, label: &[bool], weights: &[u32]) -> Option<f64> {
    let (mut above, mut won, mut without_all) = (0.0, 0.0, 0.0);
    for tie in order.ties() {
        let (mut with, mut without) = (0.0, 0.0);
        for row in tie {
            let weight = f64::from(weights.get(*row).copied().unwrap_or_default());
            if label.get(*row).copied().unwrap_or_default() { with += weight } else { without += weight }
        }
        // Those without it meet all with it that score higher, and half of those that score the same.
        won += without * (above + with / 2.0);
        above += with;
        without_all += without;
    }
    let pairs = above * without_all;
    (pairs > 0.0).then(|| won / pairs)
}

/// Ranks from one, highest first, in the rows' order; equal ones share the mean of their ranks.
pub fn ranks(order: &Order, weights: &[u32]) -> Vec<f64> {
    let mut ranks = vec![0.0; weights.len()];
    let mut before = 0.0;
    for tie in order.ties() {
        let weight = |row: &usize| f64::from(weights.get(*row).copied().unwrap_or_default());
        let all: f64 = tie.iter().map(weight).sum();
        for row in tie {
            if let Some(rank) = ranks.get_mut(*row) {
                *rank = before + (all + 1.0) / 2.0;
            }
        }
        before += all;
    }
    ranks
}

/// Pearson's correlation. `None` where one of them does not vary. Of ranks it is Spearman's.
pub fn correlation(left: &[f64], right: &[f64], weights: &[u32]) -> Option<f64> {
    let rows =
        || left.iter().zip(right).zip(weights).map(|((left, right), weight)| (*left, *right, f64::from(*weight)));
    let n: f64 = rows().map(|(.., weight)| weight).sum();
    let (mean_left, mean_right) =
        rows().fold((0.0, 0.0), |(a, b), (left, right, weight)| (a + weight * left / n, b + weight * right / n));
    let (mut both, mut own_left, mut own_right) = (0.0, 0.0, 0.0);
    for (left, right, weight) in rows() {
        let (left, right) = (left - mean_left, right - mean_right);
        both += weight * left * right;
        own_left += weight * left * left;
        own_right += weight * right * right;
    }
    let scale = (own_left * own_right).sqrt();
    // What rounding leaves of no variation is none.
    let varies = own_left > 1e-12 * n * mean_left.powi(2) && own_right > 1e-12 * n * mean_right.powi(2);
    (varies && scale > 0.0).then(|| (both / scale).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spearman(left: &[f64], right: &[f64]) -> Option<f64> {
        let ones = vec![1; left.len()];
        correlation(&ranks(&Order::by(left), &ones), &ranks(&Order::by(right), &ones), &ones)
    }

    #[test]
    fn known_correlations_are_found() {
        // The example of SciPy's documentation of spearmanr, and one with ties by hand.
        let found = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]).unwrap();
        assert!((found - 0.820_782_681_668_123_3).abs() < 1e-12, "{found}");
        // Anscombe's first quartet (1973): r = 0.816.
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let found = correlation(&x, &y, &[1; 11]).unwrap();
        assert!((found - 0.816_42).abs() < 1e-5, "{found}");
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[9.0, 4.0, 1.0]), Some(-1.0));
        for flat in [&[0.1; 3][..], &[0.0; 3], &[1e9; 3]] {
            assert_eq!(spearman(flat, &[1.0, 2.0, 3.0]), None);
            assert_eq!(correlation(flat, &[1.0, 2.0, 3.0], &[1; 3]), None);
        }
    }

    #[test]
    fn the_area_counts_pairs() {
        let auc = |scores: &[f64], label: &[bool]| auc(&Order::by(scores), label, &vec![1; scores.len()]);
        assert_eq!(auc(&[0.9, 0.8, 0.2, 0.1], &[true, true, false, false]), Some(1.0));
        // Of the four pairs three are in order.
        assert_eq!(auc(&[0.9, 0.5, 0.6, 0.1], &[true, true, false, false]), Some(0.75));
        assert_eq!(auc(&[0.5, 0.5], &[true, false]), Some(0.5));
        assert_eq!(auc(&[0.5, 0.6], &[true, true]), None);
        assert_eq!(auc(&[], &[]), None);
    }

    proptest! {
        /// A weight is as good as so many copies of a row.
        #[test]
        fn weights_are_copies(rows in prop::collection::vec((0_u8..5, 0_u8..5, any::<bool>(), 0_u32..4), 1..12)) {
            let number = |value: u8| f64::from(value);
            let left: Vec<f64> = rows.iter().map(|row| number(row.0)).collect();
            let right: Vec<f64> = rows.iter().map(|row| number(row.1)).collect();
            let label: Vec<bool> = rows.iter().map(|row| row.2).collect();
            let weights: Vec<u32> = rows.iter().map(|row| row.3).collect();
            let copies: Vec<_> = rows.iter().flat_map(|row| vec![*row; row.3 as usize]).collect();
            let (left_copies, right_copies): (Vec<f64>, Vec<f64>) = copies.iter().map(|row| (number(row.0), number(row.1))).unzip();
            let labels: Vec<bool> = copies.iter().map(|row| row.2).collect();
            let ones = vec![1; copies.len()];
            let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                (a, b) => a == b,
            };
            prop_assert!(close(auc(&Order::by(&left), &label, &weights), auc(&Order::by(&left_copies), &labels, &ones)));
            let ranked = |values: &[f64], weights: &[u32]| ranks(&Order::by(values), weights);
            let weighted = correlation(&ranked(&left, &weights), &ranked(&right, &weights), &weights);
            prop_assert!(close(weighted, spearman(&left_copies, &right_copies)));
        }
    }
}
