//! Calibration: from a sample of scored queries to the table that maps a threshold to a small share and a quality drop,
//! and to the thresholds that keep a promise.
//!
//! The paper (section 4.5) takes the threshold with the highest cost advantage whose drop on 500 queries is under the
//! target. That rule looks at many thresholds and keeps the luckiest, so on new queries its promise is broken about every
//! second time. Beside it stands a bound that keeps a promise with 95 % confidence:
//!
//! - At one threshold, the drop is a ratio of means, r = A ÷ |B| with A the quality that the queries at the small model
//!   lose and B the large model's quality. Its upper bound is r + 1.645 · s ÷ (√n · |B|), with s the standard deviation of
//!   Aᵢ − r·|Bᵢ| (delta method, one-sided). A sample in which few queries or none
//!   lose anything looks safer than it is, so one and a half imagined queries are added that lose all they can: the range of
//!   quality, or the large model's whole mean where that is more. Without any loss that gives 1.5 + 1.645 · √1.5 = 3.5 losses,
//!   where the exact bound of Poisson's distribution is 3.0.
//! - Over thresholds, they are tested in a fixed sequence, from the one that sends least to the small model down, and the
//!   search ends at the first whose bound is over the target (fixed-sequence testing, as in Learn then Test, Angelopoulos et
//!   al. 2021): the error does not add up over thresholds. In the table this is a running maximum, so that every dial,
//!   whatever its value, gets this rule.

use super::{
    figure::draw_without_replacement,
    shares::{self, BINS},
    sweep::Outcomes,
};
use crate::router::{Histogram, Row};

/// Steps of the table: per cents of the sample.
const STEPS: usize = 100;
/// Digits after the point of a threshold.
const DIGITS: f64 = 1e6;
/// Quantile of the normal distribution for a one-sided bound of 95 %.
const Z_ONE_SIDED: f64 = 1.644_853_626_951_472;
/// How many imagined queries lose all they can.
const IMAGINED: f64 = 1.5;

/// What the table says of some share or drop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// A query goes to the small model when it scores at least this; `None`: none does.
    pub threshold: Option<f64>,
    /// The share of the sample that goes to the small model.
    pub small_share: f64,
    /// The drop on the sample, where qualities are known.
    pub quality_drop: Option<f64>,
    /// Its upper bound, 95 % confidence.
    pub quality_drop_upper95: Option<f64>,
}

/// How often the promise "the drop is at most the target" was broken on queries that a rule had not seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// The share of resplits in which the drop on the rest was over the target.
    pub broken: f64,
    /// The mean drop on the rest.
    pub mean_drop: f64,
    /// The mean share that went to the small model on the rest.
    pub mean_share: f64,
    /// The share of resplits in which the rule sent nothing to the small model.
    pub nothing: f64,
}

/// A threshold's numbers on a sample.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    lost: f64,
    lost_squared: f64,
    lost_by_large: f64,
}

/// Scores of a sample, highest first, with what each query loses at the small model and its quality at the large one.
struct Sorted {
    scores: Vec<f64>,
    qualities: Option<Qualities>,
}

struct Qualities {
    /// Aᵢ, and Bᵢ with the sign of their mean turned positive.
    rows: Vec<(f64, f64)>,
    large_mean: f64,
    large_squared: f64,
    /// What a query can lose: the range of the qualities in the sample, and no less than their mean.
    range: f64,
}

impl Sorted {
    fn new(scores: &[f64], outcomes: Option<&Outcomes>) -> Self {
        let mut rows: Vec<usize> = (0..scores.len()).collect();
        let score = |row: &usize| scores.get(*row).copied().unwrap_or_default();
        rows.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let qualities = outcomes.map(|outcomes| {
            let quality = |values: &[f64], row: &usize| values.get(*row).copied().unwrap_or_default();
            let mean = outcomes.large.iter().sum::<f64>() / outcomes.len().max(1) as f64;
            let sign = if mean < 0.0 { -1.0 } else { 1.0 };
            let all = || outcomes.small.iter().chain(&outcomes.large).copied();
            Qualities {
                rows: rows
                    .iter()
                    .map(|row| {
                        let (small, large) = (quality(&outcomes.small, row), quality(&outcomes.large, row));
                        (large - small, sign * large)
                    })
                    .collect(),
                large_mean: mean.abs(),
                large_squared: outcomes.large.iter().map(|large| large * large).sum(),
                range: (all().fold(f64::NEG_INFINITY, f64::max) - all().fold(f64::INFINITY, f64::min)).max(mean.abs()),
            }
        });
        Self { scores: rows.iter().map(score).collect(), qualities }
    }

    fn n(&self) -> f64 {
        self.scores.len() as f64
    }

    /// Thresholds, descending: at every hundredth of the sample, and zero, which sends everything to the small model.
    fn thresholds(&self) -> Vec<f64> {
        let at = |step: usize| {
            let rank = (step * self.scores.len()).div_ceil(STEPS);
            self.scores.get(rank.checked_sub(1)?).map(|score| (score * DIGITS).floor() / DIGITS)
        };
        let mut thresholds: Vec<f64> = (1..STEPS).filter_map(at).chain([0.0]).collect();
        thresholds.dedup();
        thresholds
    }

    /// The sums over the queries that score at least each of the thresholds, which descend.
    fn sums(&self, thresholds: &[f64]) -> Vec<Sums> {
        let mut sums = Sums::default();
        let mut next = 0;
        let mut at = |threshold: &f64| {
            while self.scores.get(next).is_some_and(|score| score >= threshold) {
                sums.count += 1.0;
                if let Some((lost, large)) = self.qualities.as_ref().and_then(|qualities| qualities.rows.get(next)) {
                    sums.lost += lost;
                    sums.lost_squared += lost * lost;
                    sums.lost_by_large += lost * large;
                }
                next += 1;
            }
            sums
        };
        thresholds.iter().map(&mut at).collect()
    }
}

impl Qualities {
    fn drop(&self, sums: Sums, n: f64) -> Option<f64> {
        (self.large_mean > 0.0).then(|| sums.lost / n / self.large_mean)
    }

    /// The bound of the module's text, at one threshold.
    fn upper95(&self, sums: Sums, n: f64) -> Option<f64> {
        if self.large_mean <= 0.0 {
            return None;
        }
        // For an imagined query, the large model's quality is the mean.
        let (n, lost) = (n + IMAGINED, sums.lost + IMAGINED * self.range);
        let lost_squared = sums.lost_squared + IMAGINED * self.range * self.range;
        let lost_by_large = sums.lost_by_large + IMAGINED * self.range * self.large_mean;
        let large_squared = self.large_squared + IMAGINED * self.large_mean * self.large_mean;
        let r = lost / n / self.large_mean;
        let squares = lost_squared - 2.0 * r * lost_by_large + r * r * large_squared;
        let deviation = (squares.max(0.0) / (n - 1.0)).sqrt();
        Some(r + Z_ONE_SIDED * deviation / n.sqrt() / self.large_mean)
    }
}

/// The calibration table of a sample: ascending thresholds, from zero on. Both drops are a running maximum from the highest
/// threshold down, from zero on: an operator's dial needs one answer, which never gets better as more goes to the small
/// model. Without `outcomes` it has shares only. Scores are in `[0, 1]`; `outcomes` are in their order.
pub fn table(scores: &[f64], outcomes: Option<&Outcomes>) -> Vec<Row> {
    let sorted = Sorted::new(scores, outcomes);
    let n = sorted.n();
    let thresholds = sorted.thresholds();
    let (mut drop, mut upper) = (0.0_f64, 0.0_f64);
    let row = |(threshold, sums): (&f64, Sums)| {
        let measured = sorted.qualities.as_ref().and_then(|qualities| qualities.drop(sums, n));
        let bound = sorted.qualities.as_ref().and_then(|qualities| qualities.upper95(sums, n));
        drop = drop.max(measured.unwrap_or(0.0));
        upper = upper.max(bound.unwrap_or(0.0)).max(drop);
        Row {
            threshold: *threshold,
            small_share: round(sums.count / n.max(1.0)),
            quality_drop: measured.map(|_| round(drop)),
            quality_drop_upper95: bound.map(|_| round(upper)),
        }
    };
    let mut rows: Vec<Row> = thresholds.iter().zip(sorted.sums(&thresholds)).map(row).collect();
    rows.reverse();
    rows
}

/// Up, so that a bound stays one.
fn round(value: f64) -> f64 {
    (value * DIGITS).ceil() / DIGITS
}

/// The row of a table with the largest share that is at most `share`.
pub fn for_small_share(table: &[Row], share: f64) -> Choice {
    choice(table.iter().find(|row| row.small_share <= share))
}

/// The row of a table with the largest share whose bound (`upper95` of the table) is at most `drop`.
pub fn for_quality_drop(table: &[Row], drop: f64) -> Choice {
    choice(table.iter().find(|row| row.quality_drop_upper95.is_some_and(|upper| upper <= drop)))
}

fn choice(row: Option<&Row>) -> Choice {
    Choice {
        threshold: row.map(|row| row.threshold),
        small_share: row.map_or(0.0, |row| row.small_share),
        quality_drop: row.map_or(Some(0.0), |row| row.quality_drop),
        quality_drop_upper95: row.map_or(Some(0.0), |row| row.quality_drop_upper95),
    }
}

/// The paper's point rule: of all thresholds, the one with the highest cost advantage whose drop on the sample is under
/// `drop`.
pub fn point_rule(scores: &[f64], outcomes: &Outcomes, drop: f64) -> Choice {
    let sorted = Sorted::new(scores, Some(outcomes));
    let mut thresholds = sorted.scores.clone();
    thresholds.dedup();
    let n = sorted.n();
    let mut best = choice(None);
    for (threshold, sums) in thresholds.iter().zip(sorted.sums(&thresholds)) {
        let measured = sorted.qualities.as_ref().and_then(|qualities| qualities.drop(sums, n));
        if measured.is_some_and(|measured| measured < drop) {
            best = Choice {
                threshold: Some(*threshold),
                small_share: sums.count / n,
                quality_drop: measured,
                // A bound at one threshold says nothing of a threshold that was picked for its luck.
                quality_drop_upper95: None,
            };
        }
    }
    best
}

/// The smallest drop that a sample can promise: the bound where nothing goes to the small model and nothing is lost. A
/// smaller target needs a larger sample. `None` where drops are not defined.
pub fn least_drop(outcomes: &Outcomes) -> Option<f64> {
    let sorted = Sorted::new(&vec![0.0; outcomes.len()], Some(outcomes));
    sorted.qualities.as_ref()?.upper95(Sums::default(), sorted.n())
}

/// How the scores of a sample are spread over `[0, 1]`: what a server compares live scores with, to notice drift.
pub fn histogram(scores: &[f64]) -> Histogram {
    let edge = |edge: usize| edge as f64 / BINS as f64;
    Histogram { edges: (0..=BINS).map(edge).collect(), counts: shares::counts(scores.iter().copied()).to_vec() }
}

/// Calibrates on `sample` of the queries, measures on the rest, `resplits` times, and says how the paper's point rule and
/// the bound kept the promise of at most `drop`.
pub fn resplit(
    scores: &[f64],
    outcomes: &Outcomes,
    (sample, resplits): (usize, usize),
    drop: f64,
    seed: u64,
    done: impl Fn(),
) -> (Kept, Kept) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut point, mut bound) = (Vec::new(), Vec::new());
    for _ in 0..resplits {
        let (seen, rest) = draw_without_replacement(scores.len(), sample, &mut rng);
        let (seen_scores, seen_outcomes) = pick(scores, outcomes, &seen);
        let (rest_scores, rest_outcomes) = pick(scores, outcomes, &rest);
        let measure = |choice: Choice| measured(&rest_scores, &rest_outcomes, choice.threshold);
        point.push(measure(point_rule(&seen_scores, &seen_outcomes, drop)));
        bound.push(measure(for_quality_drop(&table(&seen_scores, Some(&seen_outcomes)), drop)));
        done();
    }
    (kept(&point, drop), kept(&bound, drop))
}

/// The rows at some positions.
pub fn pick(scores: &[f64], outcomes: &Outcomes, rows: &[usize]) -> (Vec<f64>, Outcomes) {
    let pick = |values: &[f64]| rows.iter().filter_map(|row| values.get(*row).copied()).collect();
    (pick(scores), Outcomes { small: pick(&outcomes.small), large: pick(&outcomes.large) })
}

/// The drop and the small share at a threshold; no drop where it is not defined.
pub fn measured(scores: &[f64], outcomes: &Outcomes, threshold: Option<f64>) -> (Option<f64>, f64) {
    let Some(threshold) = threshold else { return (Some(0.0), 0.0) };
    let (mut count, mut lost, mut large_sum) = (0.0, 0.0, 0.0);
    for ((score, small), large) in scores.iter().zip(&outcomes.small).zip(&outcomes.large) {
        large_sum += large;
        if *score >= threshold {
            count += 1.0;
            lost += large - small;
        }
    }
    ((large_sum != 0.0).then(|| lost / large_sum.abs()), count / scores.len().max(1) as f64)
}

fn kept(measured: &[(Option<f64>, f64)], drop: f64) -> Kept {
    let n = measured.len().max(1) as f64;
    let over = |(found, _): &&(Option<f64>, f64)| found.is_none_or(|found| found > drop);
    Kept {
        broken: measured.iter().filter(over).count() as f64 / n,
        mean_drop: measured.iter().filter_map(|(found, _)| *found).sum::<f64>() / n,
        mean_share: measured.iter().map(|(_, share)| share).sum::<f64>() / n,
        nothing: measured.iter().filter(|(_, share)| *share <= 0.0).count() as f64 / n,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::router::Calibration;

    /// The chance that the small model is wrong where the large one is right falls as the score rises.
    fn traffic(n: usize, seed: u64) -> (Vec<f64>, Outcomes) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut outcomes = Outcomes { small: Vec::new(), large: Vec::new() };
        let mut scores = Vec::new();
        for _ in 0..n {
            let score = rng.f64();
            scores.push(score);
            outcomes.large.push(f64::from(u8::from(rng.f64() < 0.85)));
            outcomes.small.push(f64::from(u8::from(rng.f64() < 0.85 - 0.4 * (1.0 - score))));
        }
        (scores, outcomes)
    }

    fn arbitrary() -> impl Strategy<Value = (Vec<f64>, Outcomes)> {
        let row = ((0..=20_u8).prop_map(|score| f64::from(score) / 20.0), -2..=4_i8, -2..=4_i8);
        proptest::collection::vec(row, 1..120).prop_map(|rows| {
            let column = |f: fn(&(f64, i8, i8)) -> f64| rows.iter().map(f).collect::<Vec<_>>();
            (column(|r| r.0), Outcomes { small: column(|r| r.1.into()), large: column(|r| r.2.into()) })
        })
    }

    proptest! {
        #[test]
        fn tables_are_ones_that_the_scorer_accepts((scores, outcomes) in arbitrary()) {
            let rows = table(&scores, Some(&outcomes));
            prop_assert_eq!((rows[0].threshold, rows[0].small_share), (0.0, 1.0));
            for row in &rows {
                let share = scores.iter().filter(|score| **score >= row.threshold).count() as f64 / scores.len() as f64;
                prop_assert!((row.small_share - share).abs() < 2e-6);
                prop_assert!(row.quality_drop_upper95 >= row.quality_drop);
            }
            Calibration::new(rows).unwrap();
            Calibration::new(table(&scores, None)).unwrap();
        }

        #[test]
        fn the_point_rule_is_a_search_over_all_thresholds((scores, outcomes) in arbitrary(), target in 0.0..1.0_f64) {
            let best = scores.iter().map(|threshold| measured(&scores, &outcomes, Some(*threshold)));
            let best = best.filter(|(drop, _)| drop.is_some_and(|drop| drop < target - 1e-9)).map(|(_, share)| share).fold(0.0, f64::max);
            let found = point_rule(&scores, &outcomes, target);
            prop_assert!(found.small_share >= best - 1e-12);
            prop_assert!(found.quality_drop.unwrap() < target + 1e-9);
        }
    }

    #[test]
    fn the_bound_keeps_its_promise_where_the_point_rule_breaks_it() {
        let (scores, outcomes) = traffic(4_000, 7);
        let (point, bound) = resplit(&scores, &outcomes, (500, 200), 0.02, 11, || {});
        assert!(point.broken > 0.3, "{point:?}");
        assert!(bound.broken <= 0.05, "{bound:?}");
        assert!(bound.mean_share > 0.05, "and is of use: {bound:?}");
        assert!(bound.mean_drop <= 0.02 && bound.mean_share < point.mean_share);
    }

    /// Where all queries score alike and the small model only ever loses, the bound must cover the true drop in 95 % of samples.
    /// The chance that it does not is a sum of binomial probabilities, worst just above what a number of losses allows.
    #[test]
    fn the_bound_covers_the_true_drop_wherever_it_lies() {
        for n in [100_u32, 500, 2000] {
            let bound = |losses: u32| {
                let small = (0..n).map(|i| f64::from(u8::from(i >= losses))).collect();
                let outcomes = Outcomes { small, large: vec![1.0; n as usize] };
                table(&vec![0.5; n as usize], Some(&outcomes))[0].quality_drop_upper95.unwrap()
            };
            for losses in 0..20 {
                // The table's row is at most the target: so many losses or fewer let everything go to the small model.
                let drop = bound(losses);
                let mut chance = (1.0 - drop).powi(n as i32);
                let mut missed = chance;
                for k in 0..losses {
                    chance *= f64::from(n - k) / f64::from(k + 1) * drop / (1.0 - drop);
                    missed += chance;
                }
                assert!(missed <= 0.05, "{n} queries, {losses} losses: missed in {missed}");
            }
        }
    }

    #[test]
    fn a_sample_without_losses_promises_no_more_than_its_size_allows() {
        let n = 200;
        let scores: Vec<f64> = (0..n).map(|i| f64::from(i) / f64::from(n)).collect();
        let equal = Outcomes { small: vec![1.0; n as usize], large: vec![1.0; n as usize] };
        let least = least_drop(&equal).unwrap();
        assert!(least > 3.0 / 200.0 && least < 4.0 / 200.0, "no loss in 200 queries may still be one in 70: {least}");
        assert_eq!(for_quality_drop(&table(&scores, Some(&equal)), 0.01).threshold, None);
        assert_eq!(for_quality_drop(&table(&scores, Some(&equal)), 0.02).small_share, 1.0);
        let (_, outcomes) = traffic(200, 3);
        let least = least_drop(&outcomes).unwrap();
        assert!(least > 3.0 / 200.0 && least < 6.0 / 200.0, "{least}");
        let rows = table(&scores, Some(&outcomes));
        assert_eq!(for_quality_drop(&rows, least * 0.9), choice(None));
    }

    #[test]
    fn choices_are_the_largest_share_that_fits() {
        let (scores, outcomes) = traffic(1_000, 5);
        let rows = table(&scores, Some(&outcomes));
        let chosen = for_small_share(&rows, 0.4);
        assert!(chosen.small_share <= 0.4 && chosen.small_share > 0.38);
        let chosen = for_quality_drop(&rows, 0.1);
        assert!(chosen.quality_drop_upper95.unwrap() <= 0.1 && chosen.small_share > 0.2);
        assert_eq!(for_small_share(&rows, 0.0).threshold, None);
        assert_eq!(for_small_share(&table(&scores, None), 0.4).quality_drop, None);
        assert_eq!(for_quality_drop(&table(&scores, None), 0.4).threshold, None);
    }

    #[test]
    fn the_histogram_counts_every_score() {
        let found = histogram(&[0.0, 0.049, 0.05, 0.5, 1.0]);
        assert_eq!((found.counts[0], found.counts[1], found.counts[10], found.counts[19]), (2, 1, 1, 1));
        assert_eq!((found.edges.len(), found.edges[20]), (21, 1.0));
    }
}
