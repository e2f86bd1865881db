//! Scores in bins: their histogram by outcome, and the calibration curve.

use super::Figure;
use crate::lab::figures::shares::{self, BINS, wilson};

/// How many queries scored how much, by outcome, in [`BINS`] bins of equal width over [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScoreHistogram {
    /// Queries whose small response is good enough: q(S) ≥ q(L), on the means.
    pub good: [u64; BINS],
    /// The others.
    pub poor: [u64; BINS],
}

/// Makes a histogram of scores, each with whether the small response was good enough. A score outside [0, 1] counts in the
/// nearest bin; one that is no number counts nowhere.
impl FromIterator<(f64, bool)> for ScoreHistogram {
    fn from_iter<I: IntoIterator<Item = (f64, bool)>>(scores: I) -> Self {
        let (good, poor): (Vec<_>, Vec<_>) = scores.into_iter().partition(|(_, good)| *good);
        let counts = |scores: Vec<(f64, bool)>| shares::counts(scores.into_iter().map(|(score, _)| score));
        Self { good: counts(good), poor: counts(poor) }
    }
}

/// A point of the calibration curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// The number of queries.
    pub n: usize,
    /// Their mean score.
    pub predicted: f64,
    /// The share of them whose small response is good enough, in [0, 1].
    pub observed: Figure,
}

/// The calibration curve: `bins` bins of equal count by ascending score, each with Wilson's 95 % interval (Wilson 1927).
/// An outcome is the share of a query's pairs of responses in which small is good enough: 0 or 1 with one response a model.
pub fn calibration_curve(scores: &[(f64, f64)], bins: usize) -> Vec<CalibrationBin> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bins = bins.clamp(1, sorted.len().max(1));
    // The first bins get one more where the count does not divide.
    let (size, rest) = (sorted.len() / bins, sorted.len() % bins);
    let mut left = sorted.as_slice();
    let mut curve = Vec::with_capacity(bins);
    for index in 0..bins {
        let (bin, others) = left.split_at((size + usize::from(index < rest)).min(left.len()));
        left = others;
        if !bin.is_empty() {
            let n = bin.len() as f64;
            let predicted = bin.iter().map(|row| row.0).sum::<f64>() / n;
            let observed = bin.iter().map(|row| row.1).sum::<f64>() / n;
            curve.push(CalibrationBin { n: bin.len(), predicted, observed: wilson(observed, bin.len()) });
        }
    }
    curve
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scores_fall_into_bins_by_outcome() {
        let scores =
            [(0.0, true), (0.049, true), (0.05, false), (1.0, true), (1.5, false), (-0.2, false), (f64::NAN, true)];
        let histogram: ScoreHistogram = scores.into_iter().collect();
        assert_eq!((histogram.good[0], histogram.good[19], histogram.good.iter().sum::<u64>()), (2, 1, 3));
        assert_eq!((histogram.poor[0], histogram.poor[1], histogram.poor[19]), (1, 1, 1));
    }

    #[test]
    fn few_scores_make_few_bins() {
        assert!(calibration_curve(&[], 10).is_empty());
        let curve = calibration_curve(&[(0.7, 1.0)], 10);
        assert_eq!(curve.len(), 1);
        assert_eq!((curve[0].n, curve[0].predicted, curve[0].observed.value), (1, 0.7, 1.0));
    }

    proptest! {
        #[test]
        fn bins_are_equal_ascending_and_complete(
            scores in proptest::collection::vec((0.0..=1.0_f64, 0.0..=1.0_f64), 1..200),
            bins in 1_usize..12,
        ) {
            let curve = calibration_curve(&scores, bins);
            prop_assert_eq!(curve.iter().map(|bin| bin.n).sum::<usize>(), scores.len());
            let sizes = (curve.iter().map(|bin| bin.n).min().unwrap(), curve.iter().map(|bin| bin.n).max().unwrap());
            prop_assert!(sizes.1 - sizes.0 <= 1);
            prop_assert!(curve.windows(2).all(|pair| pair[0].predicted <= pair[1].predicted));
            for bin in curve {
                let Figure { value, low, high } = bin.observed;
                prop_assert!(0.0 <= low && low <= value && value <= high && high <= 1.0 + 1e-12, "{:?}", bin);
            }
        }
    }
}
