//! The head: logistic regression on frozen embeddings, with soft labels.
//!
//! With labels yᵢ in `[0, 1]` it minimises mean binary cross-entropy + ½·λ·‖w‖², w being the weights of the standardised
//! embedding (each number with mean 0 and variance 1 over the training rows), so that one λ means the same for every
//! encoder. The problem is strictly convex: the minimum is one, it depends on no seed, and there are no epochs to choose.
//! Stopping early and the penalty hold weights back alike; here the penalty does it alone, and λ is what validation chooses
//! ([`choose`]).
//!
//! Each source (a pair of models) has its own intercept while training, so that the weights learn which queries of a pair are
//! hard and not which pair a query was from. A served query is of the router's own pair, the first source, and its score is the
//! predicted probability for that pair: it gets the one bias at which the mean score over that pair's training rows is their
//! mean label ([`base_rate`]). How often the small models of other pairs keep up says nothing about this one.
//!
//! The expected gap is learnt by the same loss, on an affine map of it, centred on each pair's mean gap: cross-entropy is smallest
//! where the score is the label's expectation, whatever the label's distribution, so the score orders queries by E[H(x)]. Squared error on the
//! gap itself, with λ chosen alike, ranked no better in five-fold cross-validation: APGR .651 and .651 on 1,591 rows of MMLU,
//! .683 and .682 on 304 of GSM8K, .812 and .814 on 5,308 mixed ones (all-MiniLM-L6-v2, int8).

mod choose;
#[cfg(test)]
mod tests;

use super::minimise::{Limits, Minimum, minimise};
use crate::lab::figures::measure::{bce_of, sigmoid};

pub use self::choose::{Choice, STRENGTHS, Tried, choose, fits, ranking};

/// The penalty of what should be free (intercepts, the length's weight): just enough to keep them finite where the labels
/// of a source are all the same.
const FREE: f64 = 1e-6;
/// How close to the minimum a head must come that is only compared with others: their cross-entropies differ by more.
const COMPARED: Limits = Limits { gradient: 1e-4, steps: 200 };
/// And a head that is kept.
const KEPT: Limits = Limits { gradient: 1e-7, steps: 2000 };
/// Served biases are looked for between minus this and this.
const STEEPEST: f64 = 50.0;

/// What a head is trained on. All lists are in the rows' order.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// How many numbers an embedding has.
    pub dim: usize,
    /// The embeddings, one after the other.
    pub embeddings: Vec<f32>,
    /// How many tokens were read of each query.
    pub tokens: Vec<u32>,
    /// In `[0, 1]`.
    pub labels: Vec<f64>,
    /// Counted from zero.
    pub sources: Vec<usize>,
}

/// One row of [`Examples`].
#[derive(Debug, Clone, Copy)]
pub struct Example<'a> {
    /// Its embedding.
    pub embedding: &'a [f32],
    /// ln(1 + tokens).
    pub log_tokens: f64,
    /// Its label.
    pub label: f64,
    /// Its source.
    pub source: usize,
}

/// What validation chooses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// λ, above zero: the larger, the smaller the weights.
    pub strength: f64,
    /// Whether the logarithm of the token count is among the features; its weight is free.
    pub length: bool,
}

/// A trained head, in the embedding's own scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// One weight for each number of the embedding.
    pub weights: Vec<f64>,
    /// The weight of ln(1 + tokens).
    pub log_tokens: Option<f64>,
    /// What is added for each source.
    pub intercepts: Vec<f64>,
    /// What is added for a served query.
    pub bias: f64,
}

impl Examples {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// A row, if there is one of that number.
    pub fn get(&self, row: usize) -> Option<Example<'_>> {
        Some(Example {
            embedding: self.embeddings.get(row * self.dim..(row + 1) * self.dim)?,
            log_tokens: f64::from(*self.tokens.get(row)?).ln_1p(),
            label: *self.labels.get(row)?,
            source: *self.sources.get(row)?,
        })
    }

    fn iter<'a>(&'a self, rows: &'a [usize]) -> impl Iterator<Item = Example<'a>> {
        rows.iter().filter_map(|row| self.get(*row))
    }
}

impl Head {
    /// The logit without an intercept.
    pub fn margin(&self, example: &Example<'_>) -> f64 {
        dot(&self.weights, example.embedding) + self.log_tokens.unwrap_or(0.0) * example.log_tokens
    }

    /// The logit of a served query; its sigmoid is the score.
    pub fn logit(&self, example: &Example<'_>) -> f64 {
        self.margin(example) + self.bias
    }

    /// Makes every served logit `factor` times what it was, plus `offset`.
    pub fn map(&mut self, factor: f64, offset: f64) {
        self.weights.iter_mut().chain(self.log_tokens.as_mut()).for_each(|weight| *weight *= factor);
        self.bias = factor * self.bias + offset;
    }

    /// The logit with the intercept of the row's source.
    pub fn source_logit(&self, example: &Example<'_>) -> f64 {
        self.margin(example) + self.intercepts.get(example.source).copied().unwrap_or(self.bias)
    }
}

/// The training problem of some rows.
pub(super) struct Problem<'a> {
    examples: &'a Examples,
    rows: &'a [usize],
    length: bool,
    /// Mean and deviation of each feature over the rows: the embedding's numbers, then the logarithm of the token count.
    scales: Vec<(f64, f64)>,
    sources: usize,
}

impl<'a> Problem<'a> {
    pub(super) fn new(examples: &'a Examples, rows: &'a [usize], length: bool) -> Self {
        let sources = examples.sources.iter().max().map_or(0, |last| last + 1);
        Self { examples, rows, length, scales: scales(examples, rows), sources }
    }

    /// The head at the minimum, and where the search ended, to begin the next one from.
    pub(super) fn fit(&self, strength: f64, limits: Limits, start: Option<&Minimum>) -> (Head, Minimum) {
        // The weights of the standardised features, then the intercepts.
        let zeros = || vec![0.0; self.features() + self.sources];
        let start = start.map_or_else(zeros, |start| start.point.clone());
        let minimum = minimise(start, limits, |point, gradient| self.loss(strength, point, gradient));
        (self.head(&minimum.point), minimum)
    }

    fn features(&self) -> usize {
        self.examples.dim + usize::from(self.length)
    }

    /// Mean cross-entropy plus penalties, and its gradient. Rows are not standardised one by one: with u = w ÷ deviation,
    /// w·(x − mean) ÷ deviation is u·x less a constant, and the gradient's sums can be put right at the end.
    fn loss(&self, strength: f64, point: &[f64], gradient: &mut [f64]) -> f64 {
        let head = self.head(point);
        let n = self.rows.len().max(1) as f64;
        gradient.fill(0.0);
        let (mut value, mut residuals) = (0.0, 0.0);
        let (features, intercepts) = gradient.split_at_mut(self.features());
        let (embedding, log_tokens) = features.split_at_mut(self.examples.dim);
        for example in self.examples.iter(self.rows) {
            let logit = head.source_logit(&example);
            value += bce_of(logit, example.label);
            let residual = sigmoid(logit) - example.label;
            residuals += residual;
            for (sum, x) in embedding.iter_mut().zip(example.embedding) {
                *sum += residual * f64::from(*x);
            }
            log_tokens.iter_mut().for_each(|sum| *sum += residual * example.log_tokens);
            intercepts.iter_mut().skip(example.source).take(1).for_each(|sum| *sum += residual);
        }
        value /= n;
        for (sum, (mean, deviation)) in features.iter_mut().zip(&self.scales) {
            *sum = (*sum - mean * residuals) / deviation;
        }
        let penalised = self.examples.dim;
        for (at, (slope, x)) in gradient.iter_mut().zip(point).enumerate() {
            let penalty = if at < penalised { strength } else { FREE };
            *slope = *slope / n + penalty * x;
            value += 0.5 * penalty * x * x;
        }
        value
    }

    /// The head of a point; its bias is that of the first source's intercept, and to be set by [`Self::serve`].
    fn head(&self, point: &[f64]) -> Head {
        let (features, intercepts) = point.split_at_checked(self.features()).unwrap_or((point, &[]));
        let raw: Vec<f64> = features.iter().zip(&self.scales).map(|(w, (_, deviation))| w / deviation).collect();
        let shift: f64 = raw.iter().zip(&self.scales).map(|(u, (mean, _))| u * mean).sum();
        let intercepts: Vec<f64> = intercepts.iter().map(|intercept| intercept - shift).collect();
        let log_tokens = raw.get(self.examples.dim).copied();
        let weights = raw.into_iter().take(self.examples.dim).collect();
        let bias = intercepts.first().copied().unwrap_or_default();
        Head { weights, log_tokens, intercepts, bias }
    }

    /// Sets the bias at which the mean score over the rows of the first source is their [`base_rate`]; the mean grows with the
    /// bias, so halving finds it.
    pub(super) fn serve(&self, head: &mut Head) {
        let (own, target) = base_rate(self.examples, self.rows);
        let margins: Vec<f64> = self.examples.iter(&own).map(|example| head.margin(&example)).collect();
        let n = margins.len().max(1) as f64;
        let centre = -margins.iter().sum::<f64>() / n;
        let (mut low, mut high) = (centre - STEEPEST, centre + STEEPEST);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            let mean = margins.iter().map(|margin| sigmoid(margin + middle)).sum::<f64>() / n;
            if mean < target { low = middle } else { high = middle }
        }
        head.bias = f64::midpoint(low, high);
    }
}

/// Those of the rows that are of the first source, the router's own pair, and their mean label; of all rows where none is.
///
/// The mean is kept half a label away from 0 and 1: labels of the own pair that are all the same (others may differ) are no
/// reason for scores that are all 0 or 1, which would order nothing.
pub fn base_rate(examples: &Examples, rows: &[usize]) -> (Vec<usize>, f64) {
    let of_first = |row: &usize| examples.sources.get(*row) == Some(&0);
    let own: Vec<usize> = rows.iter().copied().filter(of_first).collect();
    let own = if own.is_empty() { rows.to_vec() } else { own };
    let n = own.len().max(1) as f64;
    let sum: f64 = examples.iter(&own).map(|example| example.label).sum();
    (own, sum.clamp(0.5, n - 0.5) / n)
}

/// The head of one setting, trained on `rows`; `false` where the search stopped short of the minimum.
pub fn train(examples: &Examples, rows: &[usize], setting: Setting) -> (Head, bool) {
    let problem = Problem::new(examples, rows, setting.length);
    let (mut head, minimum) = problem.fit(setting.strength, KEPT, None);
    problem.serve(&mut head);
    (head, minimum.converged)
}

/// Mean and standard deviation of each feature; a feature that does not vary has deviation 1 and so no influence.
fn scales(examples: &Examples, rows: &[usize]) -> Vec<(f64, f64)> {
    let n = rows.len().max(1) as f64;
    let features = |example: &Example<'_>| -> Vec<f64> {
        example.embedding.iter().map(|x| f64::from(*x)).chain([example.log_tokens]).collect()
    };
    let mut means = vec![0.0; examples.dim + 1];
    for example in examples.iter(rows) {
        means.iter_mut().zip(features(&example)).for_each(|(mean, x)| *mean += x / n);
    }
    let mut variances = vec![0.0; means.len()];
    for example in examples.iter(rows) {
        let parts = variances.iter_mut().zip(&means).zip(features(&example));
        parts.for_each(|((variance, mean), x)| *variance += (x - mean) * (x - mean) / n);
    }
    let deviation = |variance: f64| if variance > f64::from(f32::EPSILON).powi(2) { variance.sqrt() } else { 1.0 };
    means.into_iter().zip(variances.into_iter().map(deviation)).collect()
}

/// In eight sums side by side, which the processor adds at once; the order is always the same.
fn dot(weights: &[f64], embedding: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (w, x) = (weights.chunks_exact(LANES), embedding.chunks_exact(LANES));
    let rest: f64 = w.remainder().iter().zip(x.remainder()).map(|(w, x)| w * f64::from(*x)).sum();
    for (w, x) in w.zip(x) {
        for ((sum, w), x) in sums.iter_mut().zip(w).zip(x) {
            *sum += w * f64::from(*x);
        }
    }
    sums.iter().sum::<f64>() + rest
}
