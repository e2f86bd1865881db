//! What `evaluate --report` puts on its page: the evaluation, and what can be seen from the scores alone.

use crate::{
    lab::{
        calibrate,
        evaluate::{self, Evaluation},
        figures::{Order, Outcomes},
        query_data::PairData,
        report::{
            Baselines, CurvePoint, Figure, OperatingPoint, Prices, Promise, Ranking, Report, RouterReport, SetReport,
            calibration_curve,
        },
    },
    router::{Label, Manifest, Router},
};

/// Bins of the calibration curve.
const BINS: usize = 10;
/// Operating points: every so many per cent of the queries at the small model.
const STEP: usize = 5;
/// The most rows of a router's calibration table that are compared with what was measured.
const PROMISES: usize = 20;

/// Everything that the page shows.
pub(super) fn report(
    name: String,
    data: &PairData,
    outcomes: &Outcomes,
    evaluation: &Evaluation,
    routers: &[(&Router, &[f64])],
    (baselines, prices): (bool, Option<Prices>),
) -> Report {
    let shown = routers.iter().zip(&evaluation.routers);
    let set = SetReport {
        name,
        n: evaluation.n,
        quality_small: figure(evaluation.quality_small),
        quality_large: figure(evaluation.quality_large),
        routers: shown.map(|((router, scores), found)| one(router.manifest(), scores, data, outcomes, found)).collect(),
        baselines: baselines.then(|| Baselines {
            random: ranking(&evaluation.baselines.random),
            length: ranking(&evaluation.baselines.length),
            oracle: ranking(&evaluation.baselines.oracle),
        }),
    };
    let pair = &data.pair;
    Report {
        title: format!("{} → {}", pair.small, pair.large),
        small: pair.small.clone(),
        large: pair.large.clone(),
        prices,
        sets: vec![set],
    }
}

fn figure(evaluate::Figure { value, low, high }: evaluate::Figure) -> Figure {
    Figure { value, low, high }
}

fn ranking(found: &evaluate::Ranking) -> Ranking {
    let share = |per_cent: evaluate::Figure| Figure {
        value: per_cent.value / 100.0,
        low: per_cent.low / 100.0,
        high: per_cent.high / 100.0,
    };
    Ranking {
        apgr: found.apgr.map(figure),
        cpt50: found.cpt50.map(share),
        cpt80: found.cpt80.map(share),
        drop_at: found.drop_at.map(|drop| drop.map(figure)),
        curve: found
            .curve
            .iter()
            .map(|point| CurvePoint {
                small_share: point.small_share,
                quality_drop: point.drop.value,
                band: Some((point.drop.low, point.drop.high)),
            })
            .collect(),
    }
}

fn one(
    manifest: &Manifest,
    scores: &[f64],
    data: &PairData,
    outcomes: &Outcomes,
    found: &evaluate::Ranking,
) -> RouterReport {
    let good = crate::lab::label::labels(&data.rows, Label::Prob).labels;
    let scored: Vec<(f64, f64)> = scores.iter().copied().zip(good).collect();
    let better = outcomes.small.iter().zip(&outcomes.large).map(|(small, large)| small >= large);
    RouterReport {
        name: manifest.name.clone(),
        ranking: ranking(found),
        scores: scores.iter().copied().zip(better).collect(),
        calibration: calibration_curve(&scored, BINS),
        promises: promises(manifest, scores, outcomes),
        operating_points: operating_points(scores, outcomes, found),
    }
}

/// Rows of the router's table, evenly chosen, beside what came of them here.
fn promises(manifest: &Manifest, scores: &[f64], outcomes: &Outcomes) -> Vec<Promise> {
    let rows = manifest.calibration.rows();
    let every = rows.len().div_ceil(PROMISES).max(1);
    let promise = |row: &crate::router::Row| {
        let (drop, share) = calibrate::measured(scores, outcomes, Some(row.threshold));
        Promise {
            threshold: row.threshold,
            promised_share: row.small_share,
            promised_drop: row.quality_drop,
            promised_upper: row.quality_drop_upper95,
            measured_share: share,
            measured_drop: drop.map(|value| Figure { value, low: value, high: value }),
        }
    };
    rows.iter().step_by(every).map(promise).collect()
}

/// Shares from none to all, each with the threshold that gives it.
fn operating_points(scores: &[f64], outcomes: &Outcomes, found: &evaluate::Ranking) -> Vec<OperatingPoint> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let sweep = Order::by(scores).sweep(outcomes, &vec![1; scores.len()]);
    let point = |per_cent: usize| {
        let share = per_cent as f64 / 100.0;
        let rank = (per_cent * sorted.len()).div_ceil(100);
        let on_curve = found.curve.iter().find(|point| (point.small_share - share).abs() < 1e-9);
        let drop = sweep.drop_at(share).map(|value| Figure { value, low: value, high: value });
        OperatingPoint {
            small_share: share,
            threshold: rank.checked_sub(1).and_then(|last| sorted.get(last).copied()),
            quality_drop: on_curve.map(|point| figure(point.drop)).or(drop),
        }
    };
    (0..=100).step_by(STEP).map(point).collect()
}
