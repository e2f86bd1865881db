//! Labels: what a router learns to predict, from the qualities of both models' responses.
//!
//! The definitions are those of Hybrid LLM (Ding et al., ICLR 2024), section 3; `gap` is ours. With S and L the number of
//! sampled responses, all S·L differences h = q(S(x)) − q(L(x)) stand for the random variable H(x).

use serde::Serialize;

use crate::lab::{data::query_data::PairRow, figures::shares};
use crate::router::Label;

/// The most values of t that the search for t* looks at.
const GRID: usize = 256;
/// The most losses that are sorted to make the grid.
const MOST_LOSSES: usize = 1_000_000;
/// Differences of quality closer than this part of them are one: .8 − .7 and .2 − .1 differ in their last bits, and the
/// search for t* must not tell them apart.
const SAME: f64 = 1e-9;
/// Where this share of the labels is 0, or 1, there is little to learn from.
const ONE_SIDED: f64 = 0.9;

/// The labels of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// In the rows' order: in `[0, 1]`, but for [`Label::Gap`], where it is E[H(x)] in the quality's own unit.
    pub labels: Vec<f64>,
    /// t*, for [`Label::Trans`] only; zero where relaxing spreads nothing.
    pub relaxation: Option<f64>,
    /// What the search for t* saw, for [`Label::Trans`] only.
    pub curve: Vec<Spread>,
}

/// How far the labels lie apart at one relaxation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The relaxation t, at least zero, in the quality's own unit.
    pub t: f64,
    /// (1/N²) Σᵢ Σⱼ |yᵢ(t) − yⱼ(t)|, in `[0, 0.5]`: the paper's equation for t*.
    pub difference: f64,
}

/// Why two kinds of label are the same on some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Same {
    /// Each model has one response a query, so r_prob's probability is r_det's 0 or 1.
    OneSample,
    /// There are only two qualities, so y(t) does not change until every label is 1; r_trans is r_prob.
    TwoQualities,
    /// No t > 0 spreads the labels more than t = 0 does; r_trans is r_prob.
    NoSpread,
}

/// How labels are distributed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Balance {
    /// How many labels.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// The share that is at most 0: the small model never keeps up.
    pub zeros: f64,
    /// The share that is at least 1: it always does.
    pub ones: f64,
    /// How many labels fall into each of equal bins of `[0, 1]`.
    pub histogram: Vec<u64>,
}

/// Labels of a kind. r_trans searches its own t*.
pub fn labels(rows: &[PairRow], kind: Label) -> Labelled {
    let plain = |label: fn(&PairRow) -> f64| Labelled {
        labels: rows.iter().map(label).collect(),
        relaxation: None,
        curve: Vec::new(),
    };
    match kind {
        Label::Det => plain(det),
        Label::Gap => plain(PairRow::gap),
        Label::Prob => plain(|row| Sorted::new(row).at_least(0.0)),
        Label::Trans => trans(rows),
    }
}

/// y = 1[q(S(x)) ≥ q(L(x))], of the first response of each model.
fn det(row: &PairRow) -> f64 {
    match (row.small.first(), row.large.first()) {
        (Some(small), Some(large)) if small >= large => 1.0,
        _ => 0.0,
    }
}

/// y(t) = Pr[H(x) ≥ −t], at a t* that a search has found.
pub fn relaxed(row: &PairRow, t: f64) -> f64 {
    Sorted::new(row).relaxed(t)
}

/// r_trans: y(t*) with t* = argmax of the spread over the grid, the smallest where several are best.
fn trans(rows: &[PairRow]) -> Labelled {
    let sorted: Vec<_> = rows.iter().map(Sorted::new).collect();
    let at = |t: f64| -> Vec<f64> { sorted.iter().map(|row| row.relaxed(t)).collect() };
    let curve: Vec<_> = grid(&sorted).into_iter().map(|t| Spread { t, difference: spread(at(t)) }).collect();
    let best = curve.iter().copied().reduce(|best, next| if next.difference > best.difference { next } else { best });
    let relaxation = best.map_or(0.0, |best| best.t);
    Labelled { labels: at(relaxation), relaxation: Some(relaxation), curve }
}

/// A row's qualities, ascending. All S·L differences can be counted in S + L steps, and need not be kept.
struct Sorted {
    small: Vec<f64>,
    large: Vec<f64>,
}

impl Sorted {
    fn new(row: &PairRow) -> Self {
        let ascending = |qualities: &[f64]| {
            let mut sorted = qualities.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted
        };
        Self { small: ascending(&row.small), large: ascending(&row.large) }
    }

    /// y(t) = Pr[H(x) ≥ −t].
    fn relaxed(&self, t: f64) -> f64 {
        self.at_least(-t * (1.0 + SAME))
    }

    /// Pr[H(x) ≥ h].
    fn at_least(&self, h: f64) -> f64 {
        let (mut kept_up, mut count) = (0, 0);
        for small in &self.small {
            // A better response keeps up with all that a worse one does.
            let more = self.large.iter().skip(kept_up).take_while(|large| small - **large >= h);
            kept_up += more.count();
            count += kept_up;
        }
        count as f64 / (self.small.len() * self.large.len()).max(1) as f64
    }

    /// What the small model's responses lose to the large one's, where they do.
    fn losses(&self) -> impl Iterator<Item = f64> + '_ {
        let pairs = self.small.iter().flat_map(|small| self.large.iter().map(move |large| large - small));
        pairs.filter(|loss| *loss > 0.0)
    }
}

fn alike(value: &f64, next: &f64) -> bool {
    *next <= *value * (1.0 + SAME)
}

/// The values of t to look at, ascending from zero. y(t) changes only where t is one of the losses: those are the grid, or
/// evenly ranked ones of them where there are many. Of very many rows, one in so many is asked.
fn grid(rows: &[Sorted]) -> Vec<f64> {
    let pairs: usize = rows.iter().map(|row| row.small.len() * row.large.len()).sum();
    let every = pairs.div_ceil(MOST_LOSSES).max(1);
    let mut values: Vec<f64> = rows.iter().step_by(every).flat_map(Sorted::losses).collect();
    values.extend(rows.iter().flat_map(Sorted::losses).max_by(f64::total_cmp));
    values.sort_by(f64::total_cmp);
    // A loss counts as often as it occurs: labels move most where losses are frequent.
    let all_fit = values.chunk_by(alike).count() < GRID;
    let step = if all_fit { 1 } else { values.len().div_ceil(GRID - 1) };
    // The last of each step, so that the largest is always there.
    let mut chosen: Vec<f64> = values.chunks(step).filter_map(|chunk| chunk.last().copied()).collect();
    chosen.dedup_by(|next, value| alike(value, next));
    std::iter::once(0.0).chain(chosen).collect()
}

/// (1/N²) Σᵢ Σⱼ |yᵢ − yⱼ| in O(N log N): in ascending order, yᵢ is the larger one of i pairs and the smaller of N − 1 − i.
fn spread(mut labels: Vec<f64>) -> f64 {
    labels.sort_by(f64::total_cmp);
    let n = labels.len() as f64;
    let sum: f64 = labels.iter().zip(0_u32..).map(|(label, i)| label * (2.0 * f64::from(i) + 1.0 - n)).sum();
    if labels.is_empty() { 0.0 } else { 2.0 * sum / (n * n) }
}

/// Why `kind` cannot differ on these rows from the kind before it (prob from det, trans from prob), if so.
pub fn same(rows: &[PairRow], kind: Label, labelled: &Labelled) -> Option<Same> {
    let one_sample = || rows.iter().all(|row| row.small.len() == 1 && row.large.len() == 1);
    match kind {
        Label::Det | Label::Gap => None,
        Label::Prob => one_sample().then_some(Same::OneSample),
        Label::Trans if two_qualities(rows) => Some(Same::TwoQualities),
        Label::Trans => labelled.relaxation.is_none_or(|t| t <= 0.0).then_some(Same::NoSpread),
    }
}

/// Whether there are no more than two qualities, such as right and wrong.
pub fn two_qualities(rows: &[PairRow]) -> bool {
    let mut seen: Vec<f64> = Vec::new();
    for quality in rows.iter().flat_map(|row| row.small.iter().chain(&row.large)) {
        if !seen.contains(quality) {
            seen.push(*quality);
            if seen.len() > 2 {
                return false;
            }
        }
    }
    true
}

impl Same {
    /// For the user.
    pub fn explain(self) -> &'static str {
        match self {
            Self::OneSample => {
                "each model has one response a query, so prob is the same as det here: collect more, --samples 10"
            }
            Self::TwoQualities => {
                "there are only two qualities (right or wrong), so trans is the same as prob here: it needs graded quality"
            }
            Self::NoSpread => "no relaxation spreads the labels more than none, so trans is the same as prob here",
        }
    }
}

/// Labels moved into `[0, 1]`, where they are not in it: a gap by (1 + gap ÷ largest absolute gap) ÷ 2.
pub fn in_unit(kind: Label, labels: &[f64]) -> Vec<f64> {
    let largest = labels.iter().fold(0.0_f64, |largest, gap| largest.max(gap.abs()));
    match kind {
        Label::Gap if largest > 0.0 => labels.iter().map(|gap| (1.0 + gap / largest) / 2.0).collect(),
        Label::Gap => vec![0.5; labels.len()],
        Label::Det | Label::Prob | Label::Trans => labels.to_vec(),
    }
}

/// Whether a share of the labels is so large that the others are too few to learn from.
pub fn is_most(share: f64) -> bool {
    share >= ONE_SIDED
}

impl Balance {
    /// Of labels in `[0, 1]`; see [`in_unit`].
    pub fn of(labels: &[f64]) -> Self {
        let n = labels.len();
        let share = |count: usize| count as f64 / n.max(1) as f64;
        Self {
            n,
            mean: labels.iter().sum::<f64>() / n.max(1) as f64,
            zeros: share(labels.iter().filter(|label| **label <= 0.0).count()),
            ones: share(labels.iter().filter(|label| **label >= 1.0).count()),
            histogram: shares::counts(labels.iter().copied()).to_vec(),
        }
    }

    /// Whether nearly all labels are 0, or nearly all are 1, so that there is little to learn from.
    pub fn one_sided(&self) -> bool {
        is_most(self.zeros) || is_most(self.ones)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(small: &[f64], large: &[f64]) -> PairRow {
        let (id, source, query) = (String::new(), String::new(), "q".to_owned());
        PairRow { id, source, query, tags: Default::default(), small: small.to_vec(), large: large.to_vec() }
    }

    /// The paper's definitions, word by word: every pair of responses, every pair of rows.
    mod naive {
        use super::PairRow;

        pub(super) fn at(rows: &[PairRow], t: f64) -> Vec<f64> {
            let label = |row: &PairRow| {
                let mut good = 0;
                for small in &row.small {
                    for large in &row.large {
                        good += usize::from(small - large >= -t);
                    }
                }
                good as f64 / (row.small.len() * row.large.len()) as f64
            };
            rows.iter().map(label).collect()
        }

        pub(super) fn spread(labels: &[f64]) -> f64 {
            let sum: f64 = labels.iter().flat_map(|a| labels.iter().map(move |b| (a - b).abs())).sum();
            sum / (labels.len() * labels.len()) as f64
        }
    }

    fn rows() -> impl Strategy<Value = Vec<PairRow>> {
        // Few distinct qualities make ties, many make none.
        let quality = prop_oneof![(0..4_u8).prop_map(f64::from), -1.0..1.0_f64];
        let samples = proptest::collection::vec(quality, 1..6);
        proptest::collection::vec((samples.clone(), samples).prop_map(|(small, large)| row(&small, &large)), 1..20)
    }

    proptest! {
        #[test]
        fn prob_is_the_share_of_all_pairs(rows in rows()) {
            prop_assert_eq!(labels(&rows, Label::Prob).labels, naive::at(&rows, 0.0));
        }

        #[test]
        fn trans_is_the_definition_at_its_own_t(rows in rows()) {
            let found = labels(&rows, Label::Trans);
            let t = found.relaxation.unwrap();
            prop_assert_eq!(&found.labels, &naive::at(&rows, t * (1.0 + SAME)));
            // No t does better: beyond the grid, also halfway between its values and far above them.
            let best = naive::spread(&found.labels);
            for candidate in found.curve.iter().flat_map(|spread| [spread.t, spread.t * 0.5, spread.t * 1.01 + 0.01]) {
                prop_assert!(naive::spread(&naive::at(&rows, candidate)) <= best + 1e-12);
            }
        }

        #[test]
        fn the_spread_is_the_mean_over_all_pairs(labels in proptest::collection::vec(0.0..=1.0_f64, 1..40)) {
            prop_assert!((spread(labels.clone()) - naive::spread(&labels)).abs() < 1e-12);
        }

        #[test]
        fn labels_are_probabilities_and_relaxing_only_raises_them(rows in rows()) {
            let (prob, trans) = (labels(&rows, Label::Prob).labels, labels(&rows, Label::Trans).labels);
            for (prob, trans) in prob.iter().zip(&trans) {
                prop_assert!((0.0..=1.0).contains(prob) && prob <= trans && *trans <= 1.0);
            }
        }
    }

    #[test]
    fn det_looks_at_the_first_responses_and_ties_go_to_small() {
        let rows = [row(&[1.0, 0.0], &[1.0, 1.0]), row(&[0.0, 9.0], &[1.0]), row(&[2.0], &[1.0, 9.0])];
        assert_eq!(labels(&rows, Label::Det).labels, [1.0, 0.0, 1.0]);
        assert_eq!(labels(&rows, Label::Gap).labels, [-0.5, 3.5, -3.0]);
    }

    #[test]
    fn relaxing_finds_the_t_that_parts_the_rows() {
        // The small model always loses: by a little in half of the rows, by much in the others.
        let rows = [row(&[0.9], &[1.0]), row(&[0.9], &[1.0]), row(&[0.1], &[1.0]), row(&[0.2], &[1.0])];
        let found = labels(&rows, Label::Trans);
        assert_eq!(labels(&rows, Label::Prob).labels, [0.0; 4]);
        assert_eq!((found.labels.as_slice(), found.relaxation), (&[1.0, 1.0, 0.0, 0.0][..], Some(1.0 - 0.9)));
        assert_eq!(found.curve.iter().map(|spread| spread.difference).fold(0.0, f64::max), 0.5);
        assert_eq!(same(&rows, Label::Trans, &found), None);
        assert_eq!(same(&rows, Label::Prob, &found), Some(Same::OneSample));
    }

    #[test]
    fn the_last_bits_of_a_difference_are_no_relaxation() {
        // Every gap is -0.1, but for rounding.
        let rows: Vec<_> = (0..40).map(|i| if i < 20 { row(&[0.7], &[0.8]) } else { row(&[0.1], &[0.2]) }).collect();
        let found = labels(&rows, Label::Trans);
        assert_eq!(same(&rows, Label::Trans, &found), Some(Same::NoSpread), "{found:?}");
    }

    #[test]
    fn kinds_that_cannot_differ_are_told() {
        let right_or_wrong = [row(&[0.0, 1.0], &[1.0, 1.0]), row(&[0.0, 0.0], &[1.0, 1.0])];
        let found = labels(&right_or_wrong, Label::Trans);
        assert_eq!(
            (found.relaxation, same(&right_or_wrong, Label::Trans, &found)),
            (Some(0.0), Some(Same::TwoQualities))
        );
        let graded = [row(&[3.0, 1.0], &[2.0, 2.0]), row(&[2.0, 2.0], &[2.0, 2.0])];
        let found = labels(&graded, Label::Trans);
        assert_eq!((found.relaxation, same(&graded, Label::Trans, &found)), (Some(0.0), Some(Same::NoSpread)));
        assert_eq!(same(&graded, Label::Det, &found), None);
    }

    #[test]
    fn many_differences_leave_a_grid_of_bounded_size() {
        let rows: Vec<_> = (0..5_000).map(|i| row(&[0.0], &[f64::from(i)])).collect();
        let found = labels(&rows, Label::Trans);
        assert!(found.curve.len() <= GRID);
        assert_eq!(found.curve.last().map(|spread| spread.t), Some(4_999.0));
        // Where losses are frequent the grid is close.
        let often = (0..5_000).map(|_| row(&[0.0], &[0.5]));
        let found = labels(&rows.iter().cloned().chain(often).collect::<Vec<_>>(), Label::Trans);
        assert!(found.curve.len() <= GRID && found.curve.iter().any(|spread| spread.t == 0.5));
    }

    #[test]
    fn balance_counts() {
        let balance = Balance::of(&[0.0, 0.0, 0.5, 1.0]);
        assert_eq!((balance.n, balance.mean, balance.zeros, balance.ones), (4, 0.375, 0.5, 0.25));
        assert_eq!((balance.histogram[0], balance.histogram[10], balance.histogram[19]), (2, 1, 1));
        assert!(!balance.one_sided() && Balance::of(&[1.0; 10]).one_sided() && !Balance::of(&[]).one_sided());
    }
}
