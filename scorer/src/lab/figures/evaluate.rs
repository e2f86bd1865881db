//! Evaluation: a router's figures on graded queries with 95 % bootstrap intervals, beside the baselines.

pub use super::{
    figure::{Bootstrap, Figure},
    ranking::{Agreement, CurvePoint, Ranking},
};
use super::{
    figure::{draw, figure, interval},
    samples::{Measure, Samples},
    sweep::{Order, Outcomes},
};

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

/// Measures routers by their scores of the queries, and the baselines. `lengths` are the queries' lengths in characters; with
/// `column` the rank correlation is with it instead of E[H(x)]. All slices are in the order of `outcomes`. `done` is called after
/// each draw.
pub fn evaluate(
    outcomes: &Outcomes,
    scores: &[Vec<f64>],
    lengths: &[u32],
    column: Option<&[f64]>,
    bootstrap: Bootstrap,
    done: impl Fn(),
) -> Evaluation {
    let n = outcomes.len();
    let shortest: Vec<f64> = lengths.iter().map(|length| -f64::from(*length)).collect();
    let gaps = outcomes.gaps();
    let measure = Measure::new(outcomes, column.unwrap_or(&gaps));
    let mut orders: Vec<Order> = vec![Order::by(&shortest), Order::by(&gaps)];
    orders.extend(scores.iter().map(|scores| Order::by(scores)));

    let mut rng = fastrand::Rng::with_seed(bootstrap.seed);
    let once = measure.on(vec![1; n]);
    let mut samples: Vec<Samples> = orders.iter().map(|order| Samples::new(once.of(order))).collect();
    let whole = orders.first().map_or((0.0, 0.0), |order| order.sweep(outcomes, &vec![1; n]).means());
    let mut random = Samples::by_chance(once.random(whole), whole);
    let mut means = (Vec::new(), Vec::new());
    for _ in 0..bootstrap.draws {
        let drawn = measure.on(draw(n, &mut rng));
        for (order, samples) in orders.iter().zip(&mut samples) {
            samples.push(drawn.of(order));
        }
        let by_chance = drawn.of(&Order::random(n, &mut rng));
        means.0.push(by_chance.1.means().0);
        means.1.push(by_chance.1.means().1);
        random.push(by_chance);
        done();
    }
    let oracle = samples.get(1);
    let first = samples.get(2);
    let length = samples.first();
    let above = |than: Option<&Samples>| samples.iter().skip(2).map(|s| s.apgr_above(than?)).collect();
    Evaluation {
        n,
        quality_small: figure(whole.0, &mut means.0),
        quality_large: figure(whole.1, &mut means.1),
        above_first: above(first),
        above_length: above(length),
        routers: samples.iter().skip(2).map(|samples| samples.ranking(oracle)).collect(),
        baselines: Baselines {
            random: random.ranking(oracle),
            length: samples.first().unwrap_or(&random).ranking(oracle),
            oracle: oracle.unwrap_or(&random).ranking(oracle),
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
        let found = evaluate(&outcomes, &[good, noise], &lengths, None, BOOTSTRAP, || ticks.set(ticks.get() + 1));
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

    #[test]
    fn agreement_is_that_of_the_definitions() {
        let (outcomes, good, lengths) = set(400, 0.8, 1);
        let found = evaluate(&outcomes, std::slice::from_ref(&good), &lengths, None, BOOTSTRAP, || {});
        let (router, oracle, random) = (&found.routers[0], &found.baselines.oracle, &found.baselines.random);
        let value = |figure: Option<Figure>| figure.unwrap().value;
        let gain = |ranking: &Ranking| value(ranking.apgr) - 0.5;
        assert!((value(router.agreement.oracle_share) - gain(router) / gain(oracle)).abs() < 1e-12);
        assert_eq!(oracle.agreement.oracle_share, Some(Figure { value: 1.0, low: 1.0, high: 1.0 }));
        assert_eq!((value(oracle.agreement.auc), value(oracle.agreement.spearman)), (1.0, 1.0));
        let by_chance = random.agreement;
        assert_eq!([by_chance.oracle_share, by_chance.auc, by_chance.spearman].map(value), [0.0, 0.5, 0.0]);
        for figure in [by_chance.oracle_share, by_chance.auc, by_chance.spearman].map(Option::unwrap) {
            assert!(
                figure.low < figure.value && figure.value < figure.high && figure.high - figure.low < 0.5,
                "{figure:?}"
            );
        }
        // A column of one's own takes the gap's place in the rank correlation alone.
        let against: Vec<f64> = good.iter().map(|score| -score).collect();
        let other = evaluate(&outcomes, &[good], &lengths, Some(&against), BOOTSTRAP, || {});
        assert_eq!(value(other.routers[0].agreement.spearman), -1.0);
        assert_eq!(other.routers[0].agreement.auc, router.agreement.auc);
    }

    /// The interval of a mean is known: half the width is 1.96 σ ÷ √n.
    #[test]
    fn intervals_have_the_width_of_theory() {
        let (outcomes, scores, lengths) = set(2_000, 0.5, 3);
        let found = evaluate(&outcomes, &[scores], &lengths, None, BOOTSTRAP, || {});
        let half = (found.quality_small.high - found.quality_small.low) / 2.0;
        let theory = 1.96 * 0.5 / 2_000_f64.sqrt();
        assert!((half / theory - 1.0).abs() < 0.15, "{half} {theory}");
    }

    #[test]
    fn equal_seeds_give_equal_intervals() {
        let (outcomes, scores, lengths) = set(100, 0.5, 5);
        let again = |seed| {
            evaluate(&outcomes, std::slice::from_ref(&scores), &lengths, None, Bootstrap { draws: 50, seed }, || {})
        };
        assert_eq!(again(1), again(1));
        assert_ne!(again(1), again(2));
    }

    #[test]
    fn drops_at_thresholds_are_those_of_their_shares() {
        let (outcomes, scores, lengths) = set(500, 0.5, 9);
        let found = drops_at(&outcomes, &scores, &[0.0, 0.5, 2.0], BOOTSTRAP);
        assert_eq!((found[0].0, found[2].0), (1.0, 0.0));
        let whole = evaluate(&outcomes, &[scores], &lengths, None, BOOTSTRAP, || {}).routers[0].curve[40].drop;
        assert_eq!((found[0].1.unwrap().value, found[2].1.unwrap().high), (whole.value, 0.0));
        let half = found[1].1.unwrap();
        assert!(half.low < half.value && half.value < half.high && half.value < whole.value);
    }

    #[test]
    fn figures_without_meaning_are_left_out() {
        let outcomes = Outcomes { small: vec![1.0, 0.0, 1.0], large: vec![1.0, 0.0, 0.0] };
        let found = evaluate(&outcomes, &[vec![0.1, 0.2, 0.3]], &[1, 2, 3], None, BOOTSTRAP, || {});
        assert_eq!((found.routers[0].apgr, found.baselines.random.cpt50), (None, None));
        let worthless = Outcomes { small: vec![1.0, 0.0], large: vec![0.0, 0.0] };
        let found = evaluate(&worthless, &[vec![0.1, 0.2]], &[1, 2], None, BOOTSTRAP, || {});
        assert_eq!(found.routers[0].drop_at[0], None);
        assert!(found.routers[0].curve.is_empty());
    }

    /// In one of 27 draws on average every quality is zero, and in more of them the large model is not better.
    #[test]
    fn a_figure_that_many_draws_do_not_define_has_no_interval() {
        let outcomes = Outcomes { small: vec![0.0, 1.0, 0.0], large: vec![1.0, 1.0, 0.0] };
        let found = evaluate(&outcomes, &[vec![0.1, 0.2, 0.3]], &[1, 2, 3], None, BOOTSTRAP, || {});
        for figure in [found.routers[0].apgr, found.routers[0].drop_at[2], found.baselines.random.apgr] {
            let figure = figure.unwrap();
            assert!(figure.value.is_finite() && figure.low.is_nan() && figure.high.is_nan(), "{figure:?}");
        }
        let json = serde_json::to_value(found.routers[0].apgr).unwrap();
        assert!(json["value"].is_number() && json["low"].is_null() && json["high"].is_null(), "{json}");
    }
}
