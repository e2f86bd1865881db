//! Shares of a sample: counts in bins over [0, 1], and the interval of a share.

use super::figure::Figure;

/// Bins of every histogram of scores and labels.
pub const BINS: usize = 20;
/// The standard normal distribution's 97.5 % quantile.
const Z: f64 = 1.959_963_984_540_054;

/// The bin of a value in [0, 1]; values outside are in the nearest.
fn bin(value: f64) -> usize {
    // A cast saturates at both ends.
    ((value * BINS as f64) as usize).min(BINS - 1)
}

/// Counts values in [`BINS`] bins of equal width over [0, 1]; one that is no number counts nowhere.
pub fn counts(values: impl IntoIterator<Item = f64>) -> [u64; BINS] {
    let mut counts = [0; BINS];
    for value in values.into_iter().filter(|value| !value.is_nan()) {
        if let Some(count) = counts.get_mut(bin(value)) {
            *count += 1;
        }
    }
    counts
}

/// A share of a sample of `n` with its 95 % interval (Wilson 1927), which stays in [0, 1] and has a width at 0 and at 1.
pub fn wilson(share: f64, n: usize) -> Figure {
    let n = n.max(1) as f64;
    let z2 = Z * Z;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    // Rounding must not put the value outside its interval.
    Figure { value: share, low: (centre - half).clamp(0.0, share), high: (centre + half).clamp(share, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263, and 0 of 20.
        let figure = wilson(81.0 / 263.0, 263);
        assert!((figure.low - 0.2553).abs() < 5e-5 && (figure.high - 0.3662).abs() < 5e-5, "{figure:?}");
        let none = wilson(0.0, 20);
        assert!(none.low == 0.0 && (none.high - 0.1611).abs() < 5e-5, "{none:?}");
        assert_eq!(wilson(1.0, 20).high, 1.0);
        let part = wilson(0.4, 500);
        assert!((part.low - 0.3580).abs() < 1e-4 && (part.high - 0.4435).abs() < 1e-4, "{part:?}");
        assert_eq!(wilson(0.0, 50).low, 0.0);
    }

    #[test]
    fn edges_belong_to_the_bin_above_and_one_to_the_last() {
        let found = counts([0.0, 0.049, 0.05, 0.5, 1.0, 1.5, -1.0, f64::NAN]);
        assert_eq!((found[0], found[1], found[10], found[19]), (3, 1, 1, 2));
        assert_eq!(found.iter().sum::<u64>(), 7);
    }
}
