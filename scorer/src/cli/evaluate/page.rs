//! What `evaluate --report` puts on its page: the evaluation, and what can be seen from the scores alone.

use super::found::{Found, Grouped};
use crate::{
    lab::{
        data::query_data::PairRow,
        figures::{
            carried::Carried,
            evaluate::{self, Bootstrap},
            sweep::{Order, Outcomes},
        },
        pair::Pair,
        report::{
            CarriedReport, Figure, GroupReport, OperatingPoint, Prices, Promise, Ranking, Report, RouterReport,
            SetReport, calibration_curve,
        },
        training::label,
    },
    router::{Label, Manifest, Row},
};

/// Bins of the calibration curve.
const BINS: usize = 10;
/// Operating points: every so many per cent of the queries at the small model.
const STEP: usize = 5;
/// The most rows of a router's calibration table that are compared with what was measured.
const PROMISES: usize = 20;

/// A router's scores of the data's rows.
pub(super) struct Scored<'a> {
    /// What it is called here: unlike any other.
    pub(super) name: &'a str,
    pub(super) manifest: &'a Manifest,
    pub(super) scores: &'a [f64],
}

/// Everything that the page shows.
pub(super) struct Page<'a> {
    /// What the data is called.
    pub(super) name: String,
    pub(super) pair: Pair,
    pub(super) rows: &'a [PairRow],
    pub(super) outcomes: &'a Outcomes,
    pub(super) found: &'a Found<'a>,
    pub(super) bootstrap: Bootstrap,
    pub(super) prices: Option<Prices>,
}

impl Page<'_> {
    /// The report of routers, in the evaluation's order. The baselines are always there: they cost nothing, and a curve alone
    /// says little.
    pub(super) fn report(self, routers: &[Scored<'_>]) -> Report {
        let shown = routers.iter().zip(&self.found.evaluation.routers);
        let set = SetReport {
            name: self.name.clone(),
            n: self.found.evaluation.n,
            quality_small: self.found.evaluation.quality_small,
            quality_large: self.found.evaluation.quality_large,
            routers: shown.map(|(scored, found)| self.one(scored, found)).collect(),
            baselines: Some(self.found.evaluation.baselines.clone()),
            groups: self.groups(),
            carried: self.carried(),
        };
        let Pair { small, large } = self.pair;
        Report { title: format!("{small} → {large}"), small, large, prices: self.prices, sets: vec![set] }
    }

    fn groups(&self) -> Vec<GroupReport> {
        let group = |group: &Grouped| GroupReport {
            by: group.by.name(),
            name: group.name.clone(),
            n: group.evaluation.n,
            quality_small: group.evaluation.quality_small,
            quality_large: group.evaluation.quality_large,
            routers: group.evaluation.routers.clone(),
        };
        self.found.groups.iter().map(group).collect()
    }

    fn carried(&self) -> Vec<CarriedReport> {
        let carried = |(pair, carried): &(Pair, Carried)| CarriedReport {
            small: pair.small.clone(),
            large: pair.large.clone(),
            n: carried.other.n,
            correlation: carried.correlation,
            own: carried.own.routers.clone(),
            other: carried.other.routers.clone(),
        };
        self.found.carried.iter().map(carried).collect()
    }

    fn one(&self, scored: &Scored<'_>, found: &Ranking) -> RouterReport {
        let Scored { name, manifest, scores } = *scored;
        let good = label::labels(self.rows, Label::Prob).labels;
        let scored: Vec<(f64, f64)> = scores.iter().copied().zip(good).collect();
        let better = self.outcomes.small.iter().zip(&self.outcomes.large).map(|(small, large)| small >= large);
        RouterReport {
            name: name.to_owned(),
            ranking: found.clone(),
            scores: scores.iter().copied().zip(better).collect(),
            calibration: calibration_curve(&scored, BINS),
            promises: self.promises(manifest, scores),
            operating_points: operating_points(scores, self.outcomes, found),
        }
    }

    /// Rows of the router's table, evenly chosen, beside what came of them here.
    fn promises(&self, manifest: &Manifest, scores: &[f64]) -> Vec<Promise> {
        let rows = manifest.calibration.rows();
        let every = rows.len().div_ceil(PROMISES).max(1);
        let rows: Vec<Row> = rows.iter().step_by(every).copied().collect();
        let thresholds: Vec<f64> = rows.iter().map(|row| row.threshold).collect();
        let found = evaluate::drops_at(self.outcomes, scores, &thresholds, self.bootstrap);
        let promise = |(row, (share, drop)): (Row, (f64, Option<Figure>))| Promise {
            threshold: row.threshold,
            promised_share: row.small_share,
            promised_drop: row.quality_drop,
            promised_upper: row.quality_drop_upper95,
            measured_share: share,
            measured_drop: drop,
        };
        rows.into_iter().zip(found).map(promise).collect()
    }
}

/// Shares from none to all, each with the threshold that gives it.
fn operating_points(scores: &[f64], outcomes: &Outcomes, found: &Ranking) -> Vec<OperatingPoint> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let sweep = Order::by(scores).sweep(outcomes, &vec![1; scores.len()]);
    let point = |per_cent: usize| {
        let share = per_cent as f64 / 100.0;
        let rank = (per_cent * sorted.len()).div_ceil(100);
        let on_curve = found.curve.iter().find(|point| (point.small_share - share).abs() < 1e-9);
        let drop = sweep.drop_at(share).map(Figure::bare);
        OperatingPoint {
            small_share: share,
            threshold: rank.checked_sub(1).and_then(|last| sorted.get(last).copied()),
            quality_drop: on_curve.map(|point| point.drop).or(drop),
        }
    };
    (0..=100).step_by(STEP).map(point).collect()
}
