//! A measured value with its interval, and the draws that intervals are made from.

use serde::Serialize;

/// The quantiles of the draws that are a 95 % interval.
const INTERVAL: (f64, f64) = (0.025, 0.975);
/// A figure that is not defined in more than this share of the draws has no interval.
const UNDEFINED: f64 = 0.025;

/// A measured value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The value.
    pub value: f64,
    /// The interval's lower end; NaN, in JSON `null`, where there is no interval.
    pub low: f64,
    /// The interval's upper end, likewise.
    pub high: f64,
}

impl Figure {
    /// A value without an interval.
    pub fn bare(value: f64) -> Self {
        Self { value, low: f64::NAN, high: f64::NAN }
    }
}

/// How the intervals are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Bootstrap {
    /// How many times the queries are drawn anew, with replacement.
    pub draws: usize,
    /// Equal seeds give equal intervals.
    pub seed: u64,
}

/// How often each of `n` queries is drawn in `n` draws with replacement.
pub(crate) fn draw(n: usize, rng: &mut fastrand::Rng) -> Vec<u32> {
    let mut weights = vec![0; n];
    for _ in 0..n {
        if let Some(weight) = weights.get_mut(rng.usize(..n)) {
            *weight += 1;
        }
    }
    weights
}

/// `sample` of `n` positions at random, each at most once, and the others.
pub(crate) fn draw_without_replacement(n: usize, sample: usize, rng: &mut fastrand::Rng) -> (Vec<usize>, Vec<usize>) {
    let mut rows: Vec<usize> = (0..n).collect();
    rng.shuffle(&mut rows);
    let rest = rows.split_off(sample.min(n));
    (rows, rest)
}

/// A value with the interval of its draws. Where too many draws do not define it the interval has no end: what a gap is
/// divided by is then not clearly above zero.
pub(crate) fn interval(value: Option<f64>, drawn: impl Iterator<Item = Option<f64>>) -> Option<Figure> {
    let (mut defined, mut total) = (Vec::new(), 0);
    for value in drawn {
        total += 1;
        defined.extend(value);
    }
    let undefined = total - defined.len();
    let bounded = undefined as f64 <= UNDEFINED * total as f64;
    value.map(|value| if bounded { figure(value, &mut defined) } else { Figure::bare(value) })
}

/// A value with the interval of draws that all define it.
pub(crate) fn figure(value: f64, drawn: &mut [f64]) -> Figure {
    drawn.sort_by(f64::total_cmp);
    let at = |quantile: f64| sorted_quantile(drawn, quantile).unwrap_or(value);
    Figure { value, low: at(INTERVAL.0), high: at(INTERVAL.1) }
}

/// A quantile of ascending values, interpolated between neighbours; `None` without values.
pub(crate) fn sorted_quantile(values: &[f64], quantile: f64) -> Option<f64> {
    let rank = quantile * values.len().checked_sub(1)? as f64;
    let (low, high) = (values.get(rank.floor() as usize)?, values.get(rank.ceil() as usize)?);
    Some(low + (high - low) * rank.fract())
}
