//! Evaluation: a router's figures on graded queries with 95 % bootstrap intervals, beside the baselines.

use serde::Serialize;

use super::sweep::{Figures, Order, Outcomes, SHARES, Sweep};

/// Steps of an error–cost curve.
const CURVE: u32 = 40;
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

/// The figures of one way to rank queries; see [`Figures`] for what each means. `None`: not defined on these queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Average performance gap recovered: 0.5 is random, more is better.
    pub apgr: Option<Figure>,
    /// Per cent of calls to the large model that recover half of the gap; less is better.
    pub cpt50: Option<Figure>,
    /// Per cent of calls to the large model that recover 80 % of the gap; less is better.
    pub cpt80: Option<Figure>,
    /// The quality drop at each of [`SHARES`], as a part of the large model's mean quality.
    pub drop_at: [Option<Figure>; SHARES.len()],
    /// The error–cost curve, by ascending small share; empty where drops are not defined.
    pub curve: Vec<CurvePoint>,
}

/// A point of an error–cost curve: the paper's figure 5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// The cost advantage: the share of queries sent to the small model, in `[0, 1]`.
    pub small_share: f64,
    /// The quality drop there.
    pub drop: Figure,
}

/// What routers are compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Baselines {
    /// By chance: the expected value, and the interval of one random order.
    pub random: Ranking,
    /// The shortest queries, in characters, to the small model.
    pub length: Ranking,
    /// By the true E[H(x)]: no router can do better.
    pub oracle: Ranking,
}

/// What was measured on one set of queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// How many queries.
    pub n: usize,
    /// Mean quality with every query at the small model.
    pub quality_small: Figure,
    /// Mean quality with every query at the large model.
    pub quality_large: Figure,
    /// One a router, in the order of the scores.
    pub routers: Vec<Ranking>,
    /// For each router, how much its APGR is above the first router's, drawn in pairs. The first one's own is all zeros.
    pub above_first: Vec<Option<Figure>>,
    /// For each router, how much its APGR is above that of the length baseline, drawn in pairs.
    pub above_length: Vec<Option<Figure>>,
    /// The baselines.
    pub baselines: Baselines,
}

/// How the intervals are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Bootstrap {
    /// How many times the queries are drawn anew, with replacement.
    pub draws: usize,
    /// Equal seeds give equal intervals.
    pub seed: u64,
}

/// Measures routers by their scores of the queries, and the baselines. `lengths` are the queries' lengths in characters; all
/// slices are in the order of `outcomes`. `done` is called after each draw.
pub fn evaluate(
    outcomes: &Outcomes,
    scores: &[Vec<f64>],
    lengths: &[u32],
    bootstrap: Bootstrap,
    done: impl Fn(),
) -> Evaluation {
    let n = outcomes.len();
    let shortest: Vec<f64> = lengths.iter().map(|length| -f64::from(*length)).collect();
    let gaps: Vec<f64> = outcomes.small.iter().zip(&outcomes.large).map(|(small, large)| small - large).collect();
    let mut orders: Vec<Order> = vec![Order::by(&shortest), Order::by(&gaps)];
    orders.extend(scores.iter().map(|scores| Order::by(scores)));

    let mut rng = fastrand::Rng::with_seed(bootstrap.seed);
    let mut samples: Vec<Samples> =
        orders.iter().map(|order| Samples::new(&order.sweep(outcomes, &vec![1; n]))).collect();
    let whole = orders.first().map_or((0.0, 0.0), |order| order.sweep(outcomes, &vec![1; n]).means());
    let mut random = Samples { value: Figures::random(whole.0, whole.1), ..Samples::default() };
    random.curve = shares().map(|share| Figures::random_drop(share, whole.0, whole.1)).collect();
    let mut means = (Vec::new(), Vec::new());
    for _ in 0..bootstrap.draws {
        let weights = draw(n, &mut rng);
        for (order, samples) in orders.iter().zip(&mut samples) {
            samples.push(&order.sweep(outcomes, &weights));
        }
        let sweep = Order::random(n, &mut rng).sweep(outcomes, &weights);
        means.0.push(sweep.means().0);
        means.1.push(sweep.means().1);
        random.push(&sweep);
        done();
    }
    let first = samples.get(2);
    let length = samples.first();
    let above = |than: Option<&Samples>| samples.iter().skip(2).map(|s| s.apgr_above(than?)).collect();
    Evaluation {
        n,
        quality_small: figure(whole.0, &mut means.0),
        quality_large: figure(whole.1, &mut means.1),
        above_first: above(first),
        above_length: above(length),
        routers: samples.iter().skip(2).map(Samples::ranking).collect(),
        baselines: Baselines {
            random: random.ranking(),
            length: samples.first().unwrap_or(&random).ranking(),
            oracle: samples.get(1).unwrap_or(&random).ranking(),
        },
    }
}

/// The quality drop with the queries at the small model that score at least each of some thresholds, which have any order.
pub fn drops_at(
    outcomes: &Outcomes,
    scores: &[f64],
    thresholds: &[f64],
    bootstrap: Bootstrap,
) -> Vec<(f64, Option<Figure>)> {
    let order = Order::by(scores);
    let shares: Vec<f64> = thresholds
        .iter()
        .map(|threshold| {
            let at_small = scores.iter().filter(|score| *score >= threshold).count();
            at_small as f64 / scores.len().max(1) as f64
        })
        .collect();
    let mut rng = fastrand::Rng::with_seed(bootstrap.seed);
    let mut drawn = vec![Vec::new(); thresholds.len()];
    for _ in 0..bootstrap.draws {
        let weights = draw(outcomes.len(), &mut rng);
        let sweep = order.sweep(outcomes, &weights);
        for (threshold, drawn) in thresholds.iter().zip(&mut drawn) {
            // In a draw, another share of the queries is above the same threshold.
            let at_small: u32 =
                scores.iter().zip(&weights).filter(|(score, _)| *score >= threshold).map(|(_, weight)| weight).sum();
            drawn.push(sweep.drop_at(f64::from(at_small) / outcomes.len().max(1) as f64));
        }
    }
    let whole = order.sweep(outcomes, &vec![1; outcomes.len()]);
    let found =
        shares.iter().zip(drawn).map(|(share, drawn)| (*share, interval(whole.drop_at(*share), drawn.into_iter())));
    found.collect()
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

fn shares() -> impl Iterator<Item = f64> {
    (0..=CURVE).map(|step| f64::from(step) / f64::from(CURVE))
}

/// The figures of one order: on all queries, and in every draw.
#[derive(Default)]
struct Samples {
    value: Figures,
    curve: Vec<Option<f64>>,
    drawn: Vec<Figures>,
    drawn_curves: Vec<Vec<Option<f64>>>,
}

impl Samples {
    fn new(sweep: &Sweep) -> Self {
        let curve = shares().map(|share| sweep.drop_at(share)).collect();
        Self { value: sweep.figures(), curve, drawn: Vec::new(), drawn_curves: Vec::new() }
    }

    fn push(&mut self, sweep: &Sweep) {
        self.drawn.push(sweep.figures());
        self.drawn_curves.push(shares().map(|share| sweep.drop_at(share)).collect());
    }

    fn ranking(&self) -> Ranking {
        let one = |pick: fn(&Figures) -> Option<f64>| interval(pick(&self.value), self.drawn.iter().map(pick));
        let [ten, twenty, forty] =
            [one(|figures| figures.drop_at[0]), one(|figures| figures.drop_at[1]), one(|figures| figures.drop_at[2])];
        let point = |(index, small_share)| {
            let drawn = self.drawn_curves.iter().map(|curve| curve.get(index).copied().flatten());
            let drop = interval(self.curve.get(index).copied().flatten(), drawn)?;
            Some(CurvePoint { small_share, drop })
        };
        Ranking {
            apgr: one(|figures| figures.apgr),
            cpt50: one(|figures| figures.cpt50),
            cpt80: one(|figures| figures.cpt80),
            drop_at: [ten, twenty, forty],
            curve: shares().enumerate().filter_map(point).collect(),
        }
    }

    fn apgr_above(&self, other: &Self) -> Option<Figure> {
        let difference = |a: &Figures, b: &Figures| Some(a.apgr? - b.apgr?);
        let drawn = self.drawn.iter().zip(&other.drawn).map(|(a, b)| difference(a, b));
        interval(difference(&self.value, &other.value), drawn)
    }
}

/// A value with the interval of its draws. Where too many draws do not define it the interval has no end: what a gap is
/// divided by is then not clearly above zero.
fn interval(value: Option<f64>, drawn: impl Iterator<Item = Option<f64>>) -> Option<Figure> {
    let (mut defined, mut total) = (Vec::new(), 0);
    for value in drawn {
        total += 1;
        defined.extend(value);
    }
    let undefined = total - defined.len();
    let bounded = undefined as f64 <= UNDEFINED * total as f64;
    value.map(|value| if bounded { figure(value, &mut defined) } else { Figure::bare(value) })
}

fn figure(value: f64, drawn: &mut [f64]) -> Figure {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the queries are easy for both, the others only for the large model. `skill` of the scores know which.
    fn set(n: usize, skill: f64, seed: u64) -> (Outcomes, Vec<f64>, Vec<u32>) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut small, mut scores) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let easy = rng.bool();
            small.push(f64::from(u8::from(easy)));
            scores.push(if rng.f64() < skill { f64::from(u8::from(easy)) } else { rng.f64() });
        }
        let lengths = (0..n).map(|_| rng.u32(..100)).collect();
        (Outcomes { small, large: vec![1.0; n] }, scores, lengths)
    }

    const BOOTSTRAP: Bootstrap = Bootstrap { draws: 400, seed: 1 };

    #[test]
    fn good_routers_are_above_bad_ones_and_random_is_a_half() {
        let (outcomes, good, lengths) = set(1_000, 0.8, 1);
        let noise: Vec<f64> = (0..1_000).map(|i| f64::from(i % 7)).collect();
        let ticks = std::cell::Cell::new(0);
        let found = evaluate(&outcomes, &[good, noise], &lengths, BOOTSTRAP, || ticks.set(ticks.get() + 1));
        assert_eq!((found.n, ticks.get()), (1_000, 400));
        let apgr = |ranking: &Ranking| ranking.apgr.unwrap();
        assert!(apgr(&found.routers[0]).low > apgr(&found.baselines.length).high);
        assert!(found.above_first[1].unwrap().high < 0.0 && found.above_length[0].unwrap().low > 0.0);
        assert_eq!(found.above_first[0], Some(Figure { value: 0.0, low: 0.0, high: 0.0 }));
        let random = apgr(&found.baselines.random);
        assert_eq!(random.value, 0.5);
        assert!(random.low < 0.5 && random.high > 0.5 && random.low > 0.4 && random.high < 0.6);
        assert!(apgr(&found.baselines.oracle).value >= apgr(&found.routers[0]).value);
        assert_eq!(found.quality_large, Figure { value: 1.0, low: 1.0, high: 1.0 });
        for ranking in [&found.routers[0], &found.baselines.random, &found.baselines.oracle] {
            assert_eq!(ranking.curve.len(), 41);
            assert_eq!((ranking.curve[0].drop.value, ranking.curve[0].small_share), (0.0, 0.0));
            assert!((ranking.curve[40].drop.value - (1.0 - found.quality_small.value)).abs() < 1e-12);
            assert!(ranking.curve.iter().all(|point| point.drop.low <= point.drop.high));
        }
    }

    /// The interval of a mean is known: half the width is 1.96 σ ÷ √n.
    #[test]
    fn intervals_have_the_width_of_theory() {
        let (outcomes, scores, lengths) = set(2_000, 0.5, 3);
        let found = evaluate(&outcomes, &[scores], &lengths, BOOTSTRAP, || {});
        let half = (found.quality_small.high - found.quality_small.low) / 2.0;
        let theory = 1.96 * 0.5 / 2_000_f64.sqrt();
        assert!((half / theory - 1.0).abs() < 0.15, "{half} {theory}");
    }

    #[test]
    fn equal_seeds_give_equal_intervals() {
        let (outcomes, scores, lengths) = set(100, 0.5, 5);
        let again =
            |seed| evaluate(&outcomes, std::slice::from_ref(&scores), &lengths, Bootstrap { draws: 50, seed }, || {});
        assert_eq!(again(1), again(1));
        assert_ne!(again(1), again(2));
    }

    #[test]
    fn drops_at_thresholds_are_those_of_their_shares() {
        let (outcomes, scores, lengths) = set(500, 0.5, 9);
        let found = drops_at(&outcomes, &scores, &[0.0, 0.5, 2.0], BOOTSTRAP);
        assert_eq!((found[0].0, found[2].0), (1.0, 0.0));
        let whole = evaluate(&outcomes, &[scores], &lengths, BOOTSTRAP, || {}).routers[0].curve[40].drop;
        assert_eq!((found[0].1.unwrap().value, found[2].1.unwrap().high), (whole.value, 0.0));
        let half = found[1].1.unwrap();
        assert!(half.low < half.value && half.value < half.high && half.value < whole.value);
    }

    #[test]
    fn figures_without_meaning_are_left_out() {
        let outcomes = Outcomes { small: vec![1.0, 0.0, 1.0], large: vec![1.0, 0.0, 0.0] };
        let found = evaluate(&outcomes, &[vec![0.1, 0.2, 0.3]], &[1, 2, 3], BOOTSTRAP, || {});
        assert_eq!((found.routers[0].apgr, found.baselines.random.cpt50), (None, None));
        let worthless = Outcomes { small: vec![1.0, 0.0], large: vec![0.0, 0.0] };
        let found = evaluate(&worthless, &[vec![0.1, 0.2]], &[1, 2], BOOTSTRAP, || {});
        assert_eq!(found.routers[0].drop_at[0], None);
        assert!(found.routers[0].curve.is_empty());
    }

    /// In one of 27 draws on average every quality is zero, and in more of them the large model is not better.
    #[test]
    fn a_figure_that_many_draws_do_not_define_has_no_interval() {
        let outcomes = Outcomes { small: vec![0.0, 1.0, 0.0], large: vec![1.0, 1.0, 0.0] };
        let found = evaluate(&outcomes, &[vec![0.1, 0.2, 0.3]], &[1, 2, 3], BOOTSTRAP, || {});
        for figure in [found.routers[0].apgr, found.routers[0].drop_at[2], found.baselines.random.apgr] {
            let figure = figure.unwrap();
            assert!(figure.value.is_finite() && figure.low.is_nan() && figure.high.is_nan(), "{figure:?}");
        }
        let json = serde_json::to_value(found.routers[0].apgr).unwrap();
        assert!(json["value"].is_number() && json["low"].is_null() && json["high"].is_null(), "{json}");
    }
}
