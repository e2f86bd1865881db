//! The figures of a router on graded queries: RouteLLM's APGR and CPT, and the paper's quality drop at a cost advantage.
//!
//! A router is an order of the queries: the first go to the small model. Everything here is computed from that order in one
//! walk, so that a bootstrap draw, which gives every query a weight, costs no sorting. Queries with equal scores cannot be
//! told apart by a threshold: within such a tie figures are interpolated, which is the mean over all its orders.

/// RouteLLM's number of quantiles between thresholds.
const CUTS: usize = 10;
/// A difference of so small a part of two means is what their additions left.
const ROUNDING: f64 = 1e-12;
/// The cost advantages at which the drop is reported, as shares.
pub const SHARES: [f64; 3] = [0.1, 0.2, 0.4];

/// The qualities of both models' responses to some queries, in the queries' order; both of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    /// Mean quality of the small model's responses.
    pub small: Vec<f64>,
    /// Mean quality of the large model's responses.
    pub large: Vec<f64>,
}

/// An order of the queries by a score, highest first: what goes to the small model first.
#[derive(Debug, Clone)]
pub struct Order {
    /// Positions of the queries.
    rows: Vec<usize>,
    /// Where ties end in `rows`, ascending; the last is the number of rows.
    ends: Vec<usize>,
}

/// What happens to the quality as more goes to the small model. One step a tie.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// After each tie, from none on: how many queries (by weight) are at the small model, and how much quality is lost.
    steps: Vec<Step>,
    /// Mean quality with all at small, and all at large.
    small: f64,
    large: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    count: f64,
    lost: f64,
}

/// A router's figures on some queries. `None` where one is not defined: APGR and CPT where the large model is not better
/// on average, drops where its mean quality is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Average performance gap recovered, from RouteLLM: the area under the recovered part of the gap between the models
    /// over the share of calls to the large model; 0.5 is random, more is better.
    pub apgr: Option<f64>,
    /// Per cent of calls to the large model that recover half of the gap; less is better.
    pub cpt50: Option<f64>,
    /// Per cent of calls to the large model that recover 80 % of the gap.
    pub cpt80: Option<f64>,
    /// The quality drop, as a part of the large model's mean quality, at each of [`SHARES`].
    pub drop_at: [Option<f64>; SHARES.len()],
}

impl Outcomes {
    /// How many queries.
    pub fn len(&self) -> usize {
        self.small.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.small.is_empty()
    }

    /// E[H(x)] of each query.
    pub fn gaps(&self) -> Vec<f64> {
        self.small.iter().zip(&self.large).map(|(small, large)| small - large).collect()
    }

    /// Those of some queries, by their places.
    #[must_use]
    pub fn of(&self, rows: &[usize]) -> Self {
        let at = |values: &[f64]| rows.iter().filter_map(|row| values.get(*row)).copied().collect();
        Self { small: at(&self.small), large: at(&self.large) }
    }

    /// What each query loses at the small model: −H(x).
    fn loss(&self, row: usize) -> f64 {
        self.large.get(row).unwrap_or(&0.0) - self.small.get(row).unwrap_or(&0.0)
    }
}

impl Order {
    /// By `scores`, one a query, highest first.
    pub fn by(scores: &[f64]) -> Self {
        let mut rows: Vec<usize> = (0..scores.len()).collect();
        let score = |row: usize| scores.get(row).copied().unwrap_or_default();
        rows.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
        let mut ends: Vec<usize> = (1..rows.len())
            .filter(|end| rows.get(end - 1).map(|row| score(*row)) != rows.get(*end).map(|row| score(*row)))
            .collect();
        ends.push(rows.len());
        Self { rows, ends }
    }

    /// The queries with equal scores, highest first.
    pub fn ties(&self) -> impl Iterator<Item = &[usize]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.rows.get(start..*end))
    }

    /// A random order.
    pub fn random(n: usize, rng: &mut fastrand::Rng) -> Self {
        let mut rows: Vec<usize> = (0..n).collect();
        rng.shuffle(&mut rows);
        Self { rows, ends: (1..=n).collect() }
    }

    /// Sends the queries to the small model in this order, each as often as its weight says.
    pub fn sweep(&self, outcomes: &Outcomes, weights: &[u32]) -> Sweep {
        let weight = |row: &usize| f64::from(weights.get(*row).copied().unwrap_or_default());
        let mut steps = vec![Step::default()];
        let mut step = Step::default();
        let mut start = 0;
        for end in &self.ends {
            for row in self.rows.get(start..*end).unwrap_or_default() {
                step.count += weight(row);
                step.lost += weight(row) * outcomes.loss(*row);
            }
            steps.push(step);
            start = *end;
        }
        let mean = |values: &[f64]| {
            let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * f64::from(*weight)).sum();
            sum / step.count
        };
        Sweep { steps, small: mean(&outcomes.small), large: mean(&outcomes.large) }
    }
}

impl Sweep {
    /// Mean quality with every query at the small model, and at the large one.
    pub fn means(&self) -> (f64, f64) {
        (self.small, self.large)
    }

    fn count(&self) -> f64 {
        self.steps.last().map_or(0.0, |step| step.count)
    }

    /// The mean quality lost with `share` of the queries at the small model.
    fn lost_at(&self, share: f64) -> f64 {
        let count = share * self.count();
        let after = self.steps.partition_point(|step| step.count < count).max(1);
        let (Some(from), Some(to)) = (self.steps.get(after - 1), self.steps.get(after)) else {
            return 0.0;
        };
        let width = to.count - from.count;
        let part = if width > 0.0 { (count - from.count) / width } else { 0.0 };
        (from.lost + part * (to.lost - from.lost)) / self.count()
    }

    /// The quality drop with `share` of the queries at the small model, from DESIGN's formula
    /// (mean q(all large) − mean q(routed)) ÷ |mean q(all large)|. `None` where the large model's mean quality is zero.
    pub fn drop_at(&self, share: f64) -> Option<f64> {
        (self.large != 0.0).then(|| self.lost_at(share) / self.large.abs())
    }

    /// The share of calls to the large model and the part of the gap that they recover, calls ascending, at RouteLLM's
    /// eleven thresholds: strictly above the highest, then at the quantiles. `None` where the large model is not better.
    fn recovered(&self) -> Option<Vec<(f64, f64)>> {
        let (n, gap) = (self.count(), self.large - self.small);
        if gap <= ROUNDING * self.large.abs().max(self.small.abs()) {
            return None;
        }
        let whole = (n, self.large - self.steps.last()?.lost / n);
        let at = |cut: usize| {
            // A threshold between two scores sends the higher one to the small model: all ties before this rank's go.
            let rank = (cut as f64 / CUTS as f64 * (n - 1.0)).ceil();
            let tie = self.steps.partition_point(|step| step.count <= rank);
            let step = tie.checked_sub(1).and_then(|tie| self.steps.get(tie)).copied().unwrap_or_default();
            (step.count, self.large - step.lost / n)
        };
        let points = std::iter::once(whole).chain((0..CUTS).rev().map(at));
        Some(points.map(|(count, quality)| (1.0 - count / n, (quality - self.small) / gap)).collect())
    }

    /// The figures of this sweep.
    pub fn figures(&self) -> Figures {
        let curve = self.recovered();
        let calls_for = |part: f64| curve.as_deref().map(|curve| calls_for(curve, part));
        let area = |curve: &[(f64, f64)]| {
            let pairs = curve.iter().zip(curve.iter().skip(1));
            pairs.map(|((x, y), (next_x, next_y))| (next_x - x) * (y + next_y) / 2.0).sum::<f64>()
        };
        Figures {
            apgr: curve.as_deref().map(area),
            cpt50: calls_for(0.5),
            cpt80: calls_for(0.8),
            drop_at: SHARES.map(|share| self.drop_at(share)),
        }
    }
}

/// Per cent of calls to the large model at which the curve first recovers `part` of the gap. RouteLLM interpolates the
/// inverse curve, which is defined only while it rises; there the first crossing is the same.
fn calls_for(curve: &[(f64, f64)], part: f64) -> f64 {
    for ((x, y), (next_x, next_y)) in curve.iter().zip(curve.iter().skip(1)) {
        if *next_y >= part {
            let rise = next_y - y;
            let within = if rise > 0.0 { ((part - y) / rise).max(0.0) } else { 0.0 };
            return 100.0 * (x + within * (next_x - x));
        }
    }
    100.0
}

impl Figures {
    /// What a random order gives on average: known without drawing one.
    pub fn random(small: f64, large: f64) -> Self {
        let better = large > small;
        Self {
            apgr: better.then_some(0.5),
            cpt50: better.then_some(50.0),
            cpt80: better.then_some(80.0),
            drop_at: SHARES.map(|share| Self::random_drop(share, small, large)),
        }
    }

    /// The drop that a random order gives on average.
    pub(crate) fn random_drop(share: f64, small: f64, large: f64) -> Option<f64> {
        (large != 0.0).then(|| share * (large - small) / large.abs())
    }

    #[cfg(test)]
    fn to_array(self) -> [Option<f64>; 3 + SHARES.len()] {
        let [ten, twenty, forty] = self.drop_at;
        [self.apgr, self.cpt50, self.cpt80, ten, twenty, forty]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcomes(small: &[f64], large: &[f64]) -> Outcomes {
        Outcomes { small: small.to_vec(), large: large.to_vec() }
    }

    fn sweep(scores: &[f64], small: &[f64], large: &[f64]) -> Sweep {
        Order::by(scores).sweep(&outcomes(small, large), &vec![1; scores.len()])
    }

    /// RouteLLM's procedure as it is published: quantiles of the need for the large model, a threshold at each, and each
    /// query sent by comparing with it.
    fn published(scores: &[f64], small: &[f64], large: &[f64]) -> f64 {
        let n = scores.len();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / n as f64;
        let mut need: Vec<f64> = scores.iter().map(|score| -score).collect();
        let unsorted = need.clone();
        need.sort_by(f64::total_cmp);
        let mut points = vec![(0.0, mean(small))];
        for cut in (0..CUTS).rev() {
            let rank = cut as f64 / CUTS as f64 * (n - 1) as f64;
            let (low, high) = (need[rank.floor() as usize], need[rank.ceil() as usize]);
            let threshold = if rank.fract() == 0.0 { low } else { low + (high - low) * rank.fract() };
            let strong: Vec<bool> = unsorted.iter().map(|need| *need >= threshold).collect();
            let quality: Vec<f64> = (0..n).map(|i| if strong[i] { large[i] } else { small[i] }).collect();
            points.push((strong.iter().filter(|strong| **strong).count() as f64 / n as f64, mean(&quality)));
        }
        let gap = mean(large) - mean(small);
        let recovered = |quality: f64| (quality - mean(small)) / gap;
        points.windows(2).map(|w| (w[1].0 - w[0].0) * (recovered(w[0].1) + recovered(w[1].1)) / 2.0).sum()
    }

    fn cases() -> impl Strategy<Value = Vec<(f64, f64, f64)>> {
        // A dozen scores make ties.
        let score = (0..12_u8).prop_map(|score| f64::from(score) / 16.0);
        proptest::collection::vec((score, (0..2_u8).prop_map(f64::from), (0..3_u8).prop_map(f64::from)), 2..60)
    }

    proptest! {
        #[test]
        fn apgr_is_routellms(cases in cases()) {
            let (scores, rest): (Vec<_>, Vec<_>) = cases.into_iter().map(|(a, b, c)| (a, (b, c))).unzip();
            let (small, large): (Vec<_>, Vec<_>) = rest.into_iter().unzip();
            match sweep(&scores, &small, &large).figures().apgr {
                Some(apgr) => prop_assert!((apgr - published(&scores, &small, &large)).abs() < 1e-9),
                None => prop_assert!(large.iter().sum::<f64>() <= small.iter().sum::<f64>()),
            }
        }

        #[test]
        fn a_weight_is_a_repeated_row(cases in cases(), weights in proptest::collection::vec(0..4_u32, 60)) {
            let n = cases.len();
            let column = |f: fn(&(f64, f64, f64)) -> f64| cases.iter().map(f).collect::<Vec<_>>();
            let (scores, small, large) = (column(|c| c.0), column(|c| c.1), column(|c| c.2));
            let repeat = |values: &[f64]| -> Vec<f64> {
                values.iter().zip(&weights).flat_map(|(value, weight)| vec![*value; *weight as usize]).collect()
            };
            prop_assume!(weights[..n].iter().sum::<u32>() > 1);
            let weighted = Order::by(&scores).sweep(&outcomes(&small, &large), &weights[..n]).figures();
            let repeated = sweep(&repeat(&scores), &repeat(&small), &repeat(&large)).figures();
            for (a, b) in weighted.to_array().into_iter().zip(repeated.to_array()) {
                prop_assert!(a == b || (a.unwrap() - b.unwrap()).abs() < 1e-9, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_drop_counts_what_small_loses() {
        let sweep = sweep(&[0.9, 0.8, 0.7, 0.1, 0.0], &[1.0, 1.0, 0.0, 0.0, 0.0], &[1.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(sweep.drop_at(0.2), Some(0.0));
        assert!((sweep.drop_at(0.4).unwrap() + 0.25).abs() < 1e-12, "the small model was better there");
        assert!((sweep.drop_at(0.5).unwrap() + 0.125).abs() < 1e-12, "between two queries");
        assert!((sweep.drop_at(1.0).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(sweep.means(), (0.4, 0.8));
    }

    #[test]
    fn a_tie_is_the_mean_of_its_orders() {
        let sweep = sweep(&[0.5; 4], &[0.0, 1.0, 0.0, 1.0], &[1.0; 4]);
        assert!((sweep.drop_at(0.5).unwrap() - 0.25).abs() < 1e-12);
        assert!((sweep.figures().apgr.unwrap() - 0.5).abs() < 1e-12, "a constant score is random");
    }

    #[test]
    fn negative_qualities_have_a_drop_too() {
        let sweep = sweep(&[1.0, 0.0], &[-4.0, -4.0], &[-2.0, -2.0]);
        assert_eq!(sweep.drop_at(0.5), Some(0.5), "one more below, of two");
        let zero = super::tests::sweep(&[1.0, 0.0], &[-1.0, -1.0], &[1.0, -1.0]);
        assert_eq!(zero.drop_at(0.5), None);
    }

    #[test]
    fn there_is_no_gap_to_recover_where_large_is_not_better() {
        let figures = sweep(&[1.0, 0.0], &[1.0, 1.0], &[1.0, 0.0]).figures();
        assert_eq!((figures.apgr, figures.cpt50, figures.drop_at[2]), (None, None, Some(0.0)));
        // These tenths do not add up to the same in both orders.
        let tenths = sweep(&[1.0, 0.5, 0.0], &[0.3, 0.2, 0.1], &[0.1, 0.2, 0.3]);
        assert!(tenths.large > tenths.small && tenths.figures().apgr.is_none());
    }

    #[test]
    fn cpt_is_the_first_crossing() {
        let curve = [(0.0, 0.0), (0.2, 0.4), (0.4, 0.6), (0.7, 0.5), (1.0, 1.0)];
        assert!((calls_for(&curve, 0.5) - 30.0).abs() < 1e-9);
        assert!((calls_for(&curve, 0.8) - 88.0).abs() < 1e-9);
        assert_eq!(calls_for(&[(0.0, 0.0)], 0.5), 100.0);
    }

    #[test]
    fn the_oracle_recovers_more_than_all() {
        let (small, large) = ([1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]);
        let gaps: Vec<f64> = small.iter().zip(&large).map(|(small, large)| small - large).collect();
        let oracle = sweep(&gaps, &small, &large);
        assert!(oracle.figures().apgr.unwrap() > sweep(&[0.0, 1.0, 2.0, 3.0], &small, &large).figures().apgr.unwrap());
    }
}
