//! The figures of an order of the queries on all of them, and on each bootstrap draw.

use super::{
    agreement,
    figure::{Figure, interval},
    ranking::{Agreement, CurvePoint, Ranking},
    sweep::{Figures, Order, Outcomes, Sweep},
};

/// Steps of an error–cost curve.
const CURVE: u32 = 40;
/// The APGR of a random order.
const RANDOM_APGR: f64 = 0.5;
/// An oracle that gains less APGR than this over a random order is no measure.
const LEAST_GAIN: f64 = 1e-3;

/// The small shares of a curve.
fn shares() -> impl Iterator<Item = f64> {
    (0..=CURVE).map(|step| f64::from(step) / f64::from(CURVE))
}

/// What orders are measured by.
pub(super) struct Measure<'a> {
    outcomes: &'a Outcomes,
    /// Whether the small response is as good as the large one.
    good: Vec<bool>,
    /// The order of what scores are to be correlated with.
    target: Order,
}

/// The same on the queries of one draw.
pub(super) struct Drawn<'m> {
    measure: &'m Measure<'m>,
    weights: Vec<u32>,
    target_ranks: Vec<f64>,
}

/// What one order comes to on one draw.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    figures: Figures,
    auc: Option<f64>,
    spearman: Option<f64>,
}

impl<'a> Measure<'a> {
    pub(super) fn new(outcomes: &'a Outcomes, target: &[f64]) -> Self {
        let good = outcomes.small.iter().zip(&outcomes.large).map(|(small, large)| small >= large).collect();
        Self { outcomes, good, target: Order::by(target) }
    }

    /// The queries of one draw.
    pub(super) fn on(&self, weights: Vec<u32>) -> Drawn<'_> {
        let target_ranks = agreement::ranks(&self.target, &weights);
        Drawn { measure: self, weights, target_ranks }
    }
}

impl Drawn<'_> {
    /// What an order comes to.
    pub(super) fn of(&self, order: &Order) -> (Measured, Sweep) {
        let Self { measure, weights, target_ranks } = self;
        let sweep = order.sweep(measure.outcomes, weights);
        let ranks = agreement::ranks(order, weights);
        let measured = Measured {
            figures: sweep.figures(),
            auc: agreement::auc(order, &measure.good, weights),
            spearman: agreement::correlation(&ranks, target_ranks, weights),
        };
        (measured, sweep)
    }

    /// What a random order comes to on average, where so much is the mean quality of small and large.
    pub(super) fn random(&self, (small, large): (f64, f64)) -> Measured {
        let varies = agreement::correlation(&self.target_ranks, &self.target_ranks, &self.weights).is_some();
        let both = self.measure.good.contains(&true) && self.measure.good.contains(&false);
        Measured { figures: Figures::random(small, large), auc: both.then_some(0.5), spearman: varies.then_some(0.0) }
    }
}

/// The figures of one order: on all queries, and in every draw.
#[derive(Default)]
pub(super) struct Samples {
    value: Measured,
    curve: Vec<Option<f64>>,
    drawn: Vec<Measured>,
    drawn_curves: Vec<Vec<Option<f64>>>,
}

impl Samples {
    pub(super) fn new((value, sweep): (Measured, Sweep)) -> Self {
        let curve = shares().map(|share| sweep.drop_at(share)).collect();
        Self { value, curve, drawn: Vec::new(), drawn_curves: Vec::new() }
    }

    /// A random order, by what it comes to on average.
    pub(super) fn by_chance(value: Measured, (small, large): (f64, f64)) -> Self {
        let curve = shares().map(|share| Figures::random_drop(share, small, large)).collect();
        Self { value, curve, ..Self::default() }
    }

    /// Adds what the order came to on a draw.
    pub(super) fn push(&mut self, (measured, sweep): (Measured, Sweep)) {
        self.drawn.push(measured);
        self.drawn_curves.push(shares().map(|share| sweep.drop_at(share)).collect());
    }

    /// The figures with their intervals, beside the oracle's.
    pub(super) fn ranking(&self, oracle: Option<&Self>) -> Ranking {
        let one = |pick: fn(&Figures) -> Option<f64>| {
            interval(pick(&self.value.figures), self.drawn.iter().map(|measured| pick(&measured.figures)))
        };
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
            agreement: Agreement {
                oracle_share: oracle.and_then(|oracle| self.compared(oracle, oracle_share)),
                auc: interval(self.value.auc, self.drawn.iter().map(|measured| measured.auc)),
                spearman: interval(self.value.spearman, self.drawn.iter().map(|measured| measured.spearman)),
            },
            curve: shares().enumerate().filter_map(point).collect(),
        }
    }

    /// By how much its APGR is above another's.
    pub(super) fn apgr_above(&self, other: &Self) -> Option<Figure> {
        self.compared(other, |apgr, other| Some(apgr - other))
    }

    /// A figure of both APGRs, drawn in pairs.
    fn compared(&self, other: &Self, figure: fn(f64, f64) -> Option<f64>) -> Option<Figure> {
        let both = |a: &Measured, b: &Measured| figure(a.figures.apgr?, b.figures.apgr?);
        let drawn = self.drawn.iter().zip(&other.drawn).map(|(a, b)| both(a, b));
        interval(both(&self.value, &other.value), drawn)
    }
}

/// The share of the oracle's gain over a random order's APGR. An oracle that gains next to nothing has no share to give.
fn oracle_share(apgr: f64, oracle: f64) -> Option<f64> {
    let gain = oracle - RANDOM_APGR;
    (gain > LEAST_GAIN).then(|| (apgr - RANDOM_APGR) / gain)
}
