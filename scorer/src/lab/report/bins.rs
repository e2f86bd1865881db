//! Scores in bins: their histogram by outcome, and the calibration curve.

use super::Figure;

/// The number of bins of a histogram over [0, 1].
pub const BINS: usize = 20;

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
        let mut histogram = Self::default();
        for (score, good) in scores.into_iter().filter(|(score, _)| !score.is_nan()) {
            let bins = if good { &mut histogram.good } else { &mut histogram.poor };
            if let Some(count) = bins.get_mut(bin(score)) {
                *count += 1;
            }
        }
        histogram
    }
}

/// The bin of a value in [0, 1]; values outside are in the nearest.
pub(super) fn bin(value: f64) -> usize {
    // A cast saturates at both ends.
    ((value * BINS as f64) as usize).min(BINS - 1)
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
            curve.push(CalibrationBin { n: bin.len(), predicted, observed: wilson(observed, n) });
        }
    }
    curve
}

/// A share of `n` with Wilson's interval, which stays in [0, 1] and has a width at 0 and at 1.
fn wilson(share: f64, n: f64) -> Figure {
    const Z: f64 = 1.959_963_984_540_054;
    let z2 = Z * Z;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    // Rounding must not put the value outside its interval.
    Figure { value: share, low: (centre - half).clamp(0.0, share), high: (centre + half).clamp(share, 1.0) }
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
    fn wilsons_interval_is_the_published_one() {
        // Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263, and 0 of 20.
        let figure = wilson(81.0 / 263.0, 263.0);
        assert!((figure.low - 0.2553).abs() < 5e-5 && (figure.high - 0.3662).abs() < 5e-5, "{figure:?}");
        let none = wilson(0.0, 20.0);
        assert!(none.low == 0.0 && (none.high - 0.1611).abs() < 5e-5, "{none:?}");
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
