//! Training a router's head: labels, the choice of a setting, and how the head does on rows kept back.

#[cfg(test)]
mod tests;

use serde::Serialize;

use super::{
    encoder::Embeddings,
    head::{self, Choice, Examples, Head},
    label::{self, Same},
};
use crate::lab::{
    data::{
        corpus::Corpus,
        query_data::PairRow,
        split::{Side, Sides},
    },
    figures::{
        evaluate::{Bootstrap, Figure, evaluate},
        measure::{auc, bce, sigmoid},
        sweep::Outcomes,
    },
};
use crate::router::Label;

/// Fewer rows to learn from than this cannot be cut into folds that mean anything.
pub const FEWEST: usize = 20;
/// Fewer rows than this on one side of the label teach little.
const SCARCE: usize = 50;
/// Differences of so small a part of a value are what additions left.
const ROUNDING: f64 = 1e-9;
/// What a standard normal value is multiplied with, so that its sigmoid is about its quantile.
const NORMAL_AS_LOGISTIC: f64 = 1.702;
/// Draws of a validation figure's interval.
const DRAWS: usize = 500;

/// What the rows of a corpus teach.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Which kind of label.
    pub kind: Label,
    /// One a row, in `[0, 1]`; for [`Label::Gap`] an affine map of E[H(x)] a pair, 0.5 at its mean.
    pub labels: Vec<f64>,
    /// t* of the router's own pair, for [`Label::Trans`]; other pairs have their own.
    pub relaxation: Option<f64>,
    /// Why the kind is no other than the one before it on the training rows of every pair, if so: the own pair's reason.
    pub same: Option<Same>,
    /// The rows to learn from.
    pub train: Vec<usize>,
    /// The rows to judge on, of the router's own pair.
    pub validation: Vec<usize>,
    /// How many rows are for nothing, since their query is among those that validate.
    pub left_out: usize,
}

/// Rows that nothing can be learnt from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// There are too few.
    #[error(
        "{found} rows to learn from (validation apart) are too few: {FEWEST} are the least, some hundreds begin to help"
    )]
    Few {
        /// How many.
        found: usize,
    },
    /// There is nothing to judge on.
    #[error("no row is left to validate on: give more data, or a file with --validation")]
    NoValidation,
    /// All labels are the same.
    #[error(
        "every label is {label}: there is nothing to learn. With graded quality another --label may differ (gap grades the comparison, and trans relaxes it where labels are 0); else collect data on which the models differ"
    )]
    Alike {
        /// The label.
        label: f64,
    },
}

/// A trained head and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The head.
    pub head: Head,
    /// Its setting, and what it was chosen from.
    pub choice: Choice,
    /// Whether the search for its weights reached the minimum.
    pub converged: bool,
    /// How it does on the rows kept back.
    pub validation: Validation,
    /// Its scores of those rows, in [`Task::validation`]'s order.
    pub scores: Vec<f64>,
}

/// How a router does on rows that it was not trained on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    /// How many rows.
    pub n: usize,
    /// Mean binary cross-entropy of its predictions of the labels, in nats.
    pub bce: f64,
    /// The same of a router that gives every query the mean label of the own pair's training rows.
    pub bce_constant: f64,
    /// See [`auc`].
    pub auc: Option<f64>,
    /// The mean quality with every query at the small model.
    pub quality_small: f64,
    /// The mean quality with every query at the large model.
    pub quality_large: f64,
    /// Average performance gap recovered.
    pub apgr: Option<Figure>,
    /// The same of sending the shortest queries, in characters, to the small model.
    pub apgr_length: Option<Figure>,
}

impl Validation {
    /// Whether the head predicts better than the own pair's mean label does.
    pub fn learnt(&self) -> bool {
        self.bce < self.bce_constant
    }
}

impl Task {
    /// Labels the rows, and says which are for what.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn new(corpus: &Corpus, sides: &Sides, kind: Label) -> Result<Self, TaskError> {
        let (pairs, sources) = corpus.pairs();
        let train = sides.rows(Side::Train);
        let learnt: Vec<Learnt> =
            (0..pairs.len()).map(|source| Learnt::new(corpus, &train, &sources, source, kind)).collect();
        let relaxation = learnt.first().and_then(|own| own.relaxation);
        let same: Option<Vec<Same>> = learnt.iter().filter_map(|pair| pair.same).collect();
        let same = same.and_then(|same| same.first().copied());
        let labels = match kind {
            Label::Gap => scaled(&label::labels(&corpus.rows, kind).labels, &sources, &train),
            Label::Det | Label::Prob => label::labels(&corpus.rows, kind).labels,
            Label::Trans => {
                let t = |source: &usize| learnt.get(*source).and_then(|pair| pair.relaxation).unwrap_or_default();
                corpus.rows.iter().zip(&sources).map(|(row, source)| label::relaxed(row, t(source))).collect()
            }
        };
        let own = |row: &usize| sources.get(*row) == Some(&0);
        let validation: Vec<usize> = sides.rows(Side::Validate).into_iter().filter(own).collect();
        if train.len() < FEWEST {
            return Err(TaskError::Few { found: train.len() });
        }
        if validation.is_empty() {
            return Err(TaskError::NoValidation);
        }
        let left_out = sides.rows(Side::LeftOut).len();
        let task = Self { kind, labels, relaxation, same, train, validation, left_out };
        let first = task.of(&task.train).next().unwrap_or_default();
        let alike = task.of(&task.train).all(|label| label == first);
        if alike { Err(TaskError::Alike { label: first }) } else { Ok(task) }
    }

    fn of<'a>(&'a self, rows: &'a [usize]) -> impl Iterator<Item = f64> + 'a {
        rows.iter().filter_map(|row| self.labels.get(*row).copied())
    }

    /// How many rows there are of what must differ for something to be learnt, and what that is.
    fn sides(&self) -> Vec<(usize, &'static str)> {
        let all = self.train.len();
        if self.kind == Label::Gap {
            // A gap has no side: where the small model is always worse, there is still a more and a less.
            let mut labels: Vec<f64> = self.of(&self.train).collect();
            labels.sort_by(f64::total_cmp);
            let commonest = labels.chunk_by(|a, b| a == b).map(<[f64]>::len).max().unwrap_or_default();
            return vec![(all - commonest, "gap other than the commonest one")];
        }
        let high = self.of(&self.train).filter(|label| *label >= 0.5).count();
        vec![(high, "label at least 0.5"), (all - high, "label below 0.5")]
    }

    /// What a user should know before long work begins.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.same {
            None => {}
            Some(Same::OneSample) => {
                warnings.push("each model has one response a query, so prob is the same as det here".to_owned());
            }
            Some(Same::TwoQualities) => {
                warnings.push("qualities have only two values, so trans is the same as prob here".to_owned());
            }
            Some(Same::NoSpread) => {
                warnings.push("no relaxation spreads the labels, so trans is the same as prob here".to_owned());
            }
        }
        for (rows, what) in self.sides() {
            if rows < SCARCE {
                let all = self.train.len();
                warnings.push(format!("only {rows} of {all} rows have a {what}: there is little to learn from"));
            }
        }
        if self.validation.len() < 2 * SCARCE {
            warnings.push(format!("only {} rows validate: the figures will be rough", self.validation.len()));
        }
        warnings
    }
}

/// What the training rows of one pair say of the kind of label.
struct Learnt {
    /// t*, for [`Label::Trans`].
    relaxation: Option<f64>,
    /// Why the kind is no other than the one before it, if so; `None` without rows to tell by.
    same: Option<Option<Same>>,
}

impl Learnt {
    /// Looks at no row that does not train, so that t* is not fitted to what it is judged on, nor to a scale that is another
    /// pair's.
    fn new(corpus: &Corpus, train: &[usize], sources: &[usize], source: usize, kind: Label) -> Self {
        let of_source = train.iter().filter(|row| sources.get(**row) == Some(&source));
        let rows: Vec<PairRow> = of_source.filter_map(|row| corpus.rows.get(*row)).cloned().collect();
        let labelled = label::labels(&rows, kind);
        let same = (!rows.is_empty()).then(|| label::same(&rows, kind, &labelled));
        Self { relaxation: labelled.relaxation, same }
    }
}

/// Gaps as labels: 0.5 where a gap is the mean of its pair's training rows, and 0 or 1 where it is furthest from it. An affine map
/// a pair, so that the order of expected gaps is kept, whatever the pair's scale; centred, so that labels lie apart also where
/// the small model is always worse by nearly as much.
fn scaled(gaps: &[f64], sources: &[usize], train: &[usize]) -> Vec<f64> {
    let last = sources.iter().max().copied().unwrap_or_default();
    let scale = |source: usize| {
        let of_source = train.iter().filter(|row| sources.get(**row) == Some(&source));
        let of_source: Vec<f64> = of_source.filter_map(|row| gaps.get(*row).copied()).collect();
        let mean = of_source.iter().sum::<f64>() / of_source.len().max(1) as f64;
        let furthest = of_source.iter().map(|gap| (gap - mean).abs()).fold(0.0, f64::max);
        // What rounding made different is equal.
        let alike = furthest <= ROUNDING * mean.abs();
        (mean, if alike { f64::INFINITY } else { furthest })
    };
    let scales: Vec<(f64, f64)> = (0..=last).map(scale).collect();
    let label = |(gap, source): (&f64, &usize)| {
        let (mean, furthest) = scales.get(*source).copied().unwrap_or((0.0, 1.0));
        // Rows that validate set no scale, and can lie outside.
        f64::midpoint(1.0, (gap - mean) / furthest).clamp(0.0, 1.0)
    };
    gaps.iter().zip(sources).map(label).collect()
}

/// The factor and the offset that make a logit's sigmoid about the share of `logits` that are lower: those of a normal
/// distribution with their mean and standard deviation, whose distribution function is nearly σ(1.702 z) (Bowling et al., A
/// logistic approximation to the cumulative normal distribution, 2009). None where they are all the same.
fn to_quantile(logits: &[f64]) -> Option<(f64, f64)> {
    let n = logits.len().max(1) as f64;
    let mean = logits.iter().sum::<f64>() / n;
    let deviation = (logits.iter().map(|logit| (logit - mean) * (logit - mean)).sum::<f64>() / n).sqrt();
    let factor = NORMAL_AS_LOGISTIC / deviation;
    (deviation > ROUNDING * mean.abs() && factor.is_finite()).then_some((factor, -factor * mean))
}

/// Chooses a setting on the training rows, trains the head on all of them, and judges it on the validation rows. The score of a
/// router of [`Label::Gap`] is then mapped to the quantile among the validation rows. `done` is called [`head::fits`] times.
pub fn train(
    task: &Task,
    corpus: &Corpus,
    embeddings: Embeddings,
    dim: usize,
    (threads, seed): (usize, u64),
    done: impl Fn() + Sync,
) -> Trained {
    let (_, sources) = corpus.pairs();
    let Embeddings { numbers, tokens } = embeddings;
    let examples = Examples { dim, embeddings: numbers, tokens, labels: task.labels.clone(), sources };
    let fold = |row: usize| corpus.hashes().get(row).map_or(0, |hash| hash.fold());
    let choice = head::choose(&examples, &task.train, fold, threads, done);
    let (mut head, converged) = head::train(&examples, &task.train, choice.setting);

    let logit = |row: &usize| examples.get(*row).map_or(0.0, |example| head.logit(&example));
    let logits: Vec<f64> = task.validation.iter().map(logit).collect();
    // A gap's label is no probability: what its score can say is where a query stands among others.
    let quantile = if task.kind == Label::Gap { to_quantile(&logits) } else { None };
    let (factor, offset) = quantile.unwrap_or((1.0, 0.0));
    head.map(factor, offset);
    let scores: Vec<f64> = logits.iter().map(|logit| sigmoid(factor * logit + offset)).collect();
    let labels: Vec<f64> = task.of(&task.validation).collect();
    let (_, mean) = head::base_rate(&examples, &task.train);
    let constant = vec![(mean / (1.0 - mean)).ln(); labels.len()];
    let rows = || task.validation.iter().filter_map(|row| corpus.rows.get(*row));
    let outcomes =
        Outcomes { small: rows().map(PairRow::small_mean).collect(), large: rows().map(PairRow::large_mean).collect() };
    let lengths: Vec<u32> = task.validation.iter().filter_map(|row| corpus.characters.get(*row).copied()).collect();
    let bootstrap = Bootstrap { draws: DRAWS, seed };
    let evaluation = evaluate(&outcomes, std::slice::from_ref(&scores), &lengths, None, bootstrap, || {});
    let validation = Validation {
        n: labels.len(),
        bce: bce(&logits, &labels),
        bce_constant: bce(&constant, &labels),
        auc: auc(&scores, &labels),
        quality_small: evaluation.quality_small.value,
        quality_large: evaluation.quality_large.value,
        apgr: evaluation.routers.first().and_then(|router| router.apgr),
        apgr_length: evaluation.baselines.length.apgr,
    };
    Trained { head, choice, converged, validation, scores }
}
