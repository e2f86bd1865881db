//! How well scores predict labels: cross-entropy, and the area under the ROC curve for labels that need not be 0 or 1.

/// Mean binary cross-entropy of logits against labels in `[0, 1]`, in nats; zero for no rows.
pub fn bce(logits: &[f64], labels: &[f64]) -> f64 {
    let sum: f64 = logits.iter().zip(labels).map(|(logit, label)| bce_of(*logit, *label)).sum();
    sum / labels.len().max(1) as f64
}

/// ln(1 + eᶻ) − y·z, which is −y·ln σ(z) − (1 − y)·ln(1 − σ(z)), without overflow.
pub(in crate::lab) fn bce_of(logit: f64, label: f64) -> f64 {
    logit.max(0.0) + (-logit.abs()).exp().ln_1p() - label * logit
}

/// 1 ÷ (1 + e⁻ᶻ).
pub fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// The chance that of two rows the one with the higher label has the higher score, each pair weighted by how far its labels
/// lie apart; equal scores count half. With labels 0 and 1 that is the area under the ROC curve. With expected gaps it orders
/// routers as the area under the curve of mean quality over the small model's share does. `None` if all labels are equal.
pub fn auc(scores: &[f64], labels: &[f64]) -> Option<f64> {
    let mut rows: Vec<(f64, f64)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = rows.len() as f64;
    let (mut below, mut agreement) = (0.0, 0.0);
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        let above = n - below - tied.len() as f64;
        agreement += tied.iter().map(|(_, label)| label).sum::<f64>() * (below - above);
        below += tied.len() as f64;
    }
    let mut labels = labels.to_vec();
    labels.sort_by(f64::total_cmp);
    let spread: f64 = labels.iter().zip(0_u32..).map(|(label, i)| label * (2.0 * f64::from(i) + 1.0 - n)).sum();
    (spread > 0.0).then(|| f64::midpoint(1.0, agreement / spread))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cross_entropy_is_that_of_the_definition_and_never_overflows() {
        for (logit, label) in [(0.3, 1.0), (-2.0, 0.25), (5.0, 0.0)] {
            let p = sigmoid(logit);
            let expected = -label * f64::ln(p) - (1.0 - label) * f64::ln(1.0 - p);
            assert!((bce_of(logit, label) - expected).abs() < 1e-12);
        }
        assert_eq!(bce_of(1000.0, 0.0), 1000.0);
        assert_eq!(bce_of(-1000.0, 0.0), 0.0);
        assert_eq!(bce(&[], &[]), 0.0);
    }

    #[test]
    fn order_is_all_that_counts() {
        assert_eq!(auc(&[0.1, 0.2, 0.8, 0.9], &[0.0, 0.0, 1.0, 1.0]), Some(1.0));
        assert_eq!(auc(&[0.9, 0.2], &[0.0, 1.0]), Some(0.0));
        assert_eq!(auc(&[0.5, 0.5, 0.5], &[0.0, 0.3, 1.0]), Some(0.5));
        assert_eq!(auc(&[1.0, 2.0], &[0.7, 0.7]), None);
        assert_eq!(auc(&[], &[]), None);
    }

    proptest! {
        #[test]
        fn it_is_the_share_of_pairs_in_order(rows in prop::collection::vec((0..6_u8, 0..5_u8), 2..40)) {
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let labels: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 4.0).collect();
            let (mut right, mut all) = (0.0, 0.0);
            for i in 0..rows.len() {
                for j in 0..rows.len() {
                    let apart = labels[i] - labels[j];
                    if apart > 0.0 {
                        all += apart;
                        right += apart * if scores[i] > scores[j] { 1.0 } else if scores[i] < scores[j] { 0.0 } else { 0.5 };
                    }
                }
            }
            match auc(&scores, &labels) {
                Some(found) => prop_assert!((found - right / all).abs() < 1e-9),
                None => prop_assert_eq!(all, 0.0),
            }
        }
    }
}
