//! Evaluates a router on a pair of models that it was not trained on (the paper, section 4.7).
//!
//! A router generalises to another pair as far as the quality gaps of the two pairs correlate: then the same queries are easy
//! for both small models.

use super::{
    agreement::correlation,
    evaluate::{self, Evaluation},
    figure::{Bootstrap, Figure, draw, interval},
    sweep::Outcomes,
};

/// What became of routers on another pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Carried {
    /// Pearson's correlation of the quality gaps E[H(x)] of the two pairs; `None` where one of them does not vary.
    pub correlation: Option<Figure>,
    /// The routers on their own pair, on the queries that have all four models.
    pub own: Evaluation,
    /// The routers on the other pair, on the same queries.
    pub other: Evaluation,
}

/// Measures routers on another pair. All slices are in the order of the queries, which are the same for both pairs.
pub fn carry_over(
    own: &Outcomes,
    other: &Outcomes,
    scores: &[Vec<f64>],
    lengths: &[u32],
    bootstrap: Bootstrap,
    done: impl Fn(),
) -> Carried {
    Carried {
        correlation: gap_correlation(own, other, bootstrap),
        own: evaluate::evaluate(own, scores, lengths, None, bootstrap, &done),
        other: evaluate::evaluate(other, scores, lengths, None, bootstrap, &done),
    }
}

/// Pearson's correlation of the quality gaps of two pairs on the same queries.
fn gap_correlation(own: &Outcomes, other: &Outcomes, bootstrap: Bootstrap) -> Option<Figure> {
    let (own, other) = (own.gaps(), other.gaps());
    let mut rng = fastrand::Rng::with_seed(bootstrap.seed);
    let drawn = (0..bootstrap.draws).map(|_| correlation(&own, &other, &draw(own.len(), &mut rng)));
    interval(correlation(&own, &other, &vec![1; own.len()]), drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { draws: 200, seed: 1 };

    /// Queries of which the first are easy for the small model, and the scores know it.
    fn set(n: usize, easy: usize) -> (Outcomes, Vec<f64>) {
        let small = (0..n).map(|row| f64::from(u8::from(row < easy))).collect();
        (Outcomes { small, large: vec![1.0; n] }, (0..n).map(|row| (n - row) as f64).collect())
    }

    #[test]
    fn a_router_serves_a_pair_whose_gaps_go_with_its_own_and_fails_one_whose_gaps_go_against_them() {
        let (own, scores) = set(200, 100);
        let opposite =
            Outcomes { small: own.small.iter().map(|small| 1.0 - small).collect(), large: own.large.clone() };
        let lengths = vec![1; 200];
        let carry =
            |other: &Outcomes| carry_over(&own, other, std::slice::from_ref(&scores), &lengths, BOOTSTRAP, || {});
        let drops = |found: &Evaluation| found.routers[0].drop_at.map(|drop| drop.unwrap().value);
        let same = carry(&own);
        assert!((same.correlation.unwrap().value - 1.0).abs() < 1e-12);
        assert_eq!((same.own.clone(), drops(&same.other)), (same.other, [0.0; 3]));
        let against = carry(&opposite);
        assert!((against.correlation.unwrap().value + 1.0).abs() < 1e-12);
        for (found, expected) in drops(&against.other).into_iter().zip([0.1, 0.2, 0.4]) {
            assert!((found - expected).abs() < 1e-12, "all that is sent to small is lost: {found}");
        }
        let flat = Outcomes { small: vec![0.5; 200], large: vec![1.0; 200] };
        assert_eq!(carry(&flat).correlation, None);
    }

    /// The standard error of r is (1 − r²) ÷ √n where both are normal; here it is of that size.
    #[test]
    fn the_interval_of_a_correlation_is_of_the_size_of_theory() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut normal = || (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        let shared: Vec<f64> = (0..1000).map(|_| normal()).collect();
        let mut gaps =
            || Outcomes { small: shared.iter().map(|shared| shared + normal()).collect(), large: vec![0.0; 1000] };
        let (own, other) = (gaps(), gaps());
        let found = gap_correlation(&own, &other, BOOTSTRAP).unwrap();
        let theory = 1.96 * (1.0 - 0.25) / 1000_f64.sqrt();
        assert!((found.value - 0.5).abs() < 2.0 * theory, "{found:?}");
        assert!(((found.high - found.low) / 2.0 / theory - 1.0).abs() < 0.3, "{found:?}");
    }
}
