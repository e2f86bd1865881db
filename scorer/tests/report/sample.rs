//! A report from made-up queries: their gaps of quality and their scores are spread evenly, without chance.

use hybrid_llm::lab::report::{
    Agreement, Baselines, CarriedReport, CurvePoint, Figure, GroupReport, LabelReport, OperatingPoint, Price, Prices,
    Promise, Ranking, Report, RouterReport, SetReport, calibration_curve,
};
use hybrid_llm::lab::{figures::shares::counts, training::label::Spread};

/// A made-up query: its score and both qualities.
#[derive(Clone, Copy)]
struct Query {
    score: f64,
    small: f64,
    large: f64,
}

/// Evenly spread numbers in [0, 1): multiples of the golden ratio.
fn spread(index: usize, step: f64) -> f64 {
    (index as f64 * step).fract()
}

/// Queries whose scores tell as much of the gap as `skill`, from 0 to 1.
fn queries(n: usize, skill: f64, base: f64) -> Vec<Query> {
    let query = |index| {
        let ease = spread(index + 1, 0.618_033_988_749_894_9);
        let noise = spread(index + 1, 0.414_213_562_373_095);
        let luck = spread(index + 1, 0.259_921_049_894_873);
        let large = base + 0.6 + 0.35 * spread(index + 1, 0.732_050_807_568_877);
        let small = large + 0.4 * (ease - 0.6) + 0.2 * (luck - 0.5);
        // The ease, as far as the router sees it, as a probability.
        let seen = skill * ease + (1.0 - skill) * noise;
        let score = 1.0 / (1.0 + (-8.0 * skill * (seen - 0.58)).exp());
        Query { score, small, large }
    };
    (0..n).map(query).collect()
}

fn figure(value: f64, half: f64) -> Figure {
    Figure { value, low: value - half, high: value + half * 1.15 }
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// Drops of routing the queries in this order, one for each count of queries at small.
fn drops(ranked: &[Query]) -> Vec<f64> {
    let large = mean(ranked.iter().map(|query| query.large));
    let mut lost = 0.0;
    let mut drops = vec![0.0];
    for query in ranked {
        lost += query.large - query.small;
        drops.push(lost / ranked.len() as f64 / large.abs());
    }
    drops
}

fn ranking(mut queries: Vec<Query>, key: impl Fn(&Query) -> f64, banded: bool) -> Ranking {
    queries.sort_by(|a, b| key(b).total_cmp(&key(a)));
    let drops = drops(&queries);
    let n = queries.len();
    let half = |share: f64| 0.03 * (share * (1.1 - share)).sqrt() * (500.0 / n as f64).sqrt();
    let at = |share: f64| figure(drops[(share * n as f64).round() as usize], half(share));
    let point = |(index, drop): (usize, &f64)| {
        let share = index as f64 / n as f64;
        let half = if banded { half(share) } else { 0.0 };
        CurvePoint { small_share: share, drop: figure(*drop, half) }
    };
    let total = drops[n];
    let apgr = 1.0 - mean((0..=10).map(|decile| drops[decile * n / 10])) / total;
    let calls = |recovered: f64| {
        1.0 - drops.iter().rposition(|drop| *drop <= (1.0 - recovered) * total).unwrap_or_default() as f64 / n as f64
    };
    Ranking {
        apgr: Some(figure(apgr, 0.03)),
        cpt50: Some(figure(100.0 * calls(0.5), 4.0)),
        cpt80: Some(figure(100.0 * calls(0.8), 4.0)),
        drop_at: [Some(at(0.1)), Some(at(0.2)), Some(at(0.4))],
        agreement: Agreement {
            oracle_share: Some(figure(0.4, 0.1)),
            auc: Some(figure(0.7, 0.02)),
            spearman: Some(figure(0.3, 0.05)),
        },
        curve: drops.iter().enumerate().map(point).collect(),
    }
}

fn router(name: &str, queries: &[Query]) -> RouterReport {
    let ranking = ranking(queries.to_vec(), |query| query.score, true);
    let mut scores: Vec<_> = queries.iter().map(|query| query.score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let n = scores.len();
    let at = |share: f64| ranking.curve[(share * n as f64).round() as usize];
    let drop = |point: CurvePoint| point.drop;
    let threshold = |share: f64| ((share * n as f64).round() as usize).checked_sub(1).map(|last| scores[last]);
    let points = (0..=20).map(|step| f64::from(step) / 20.0);
    let operating_points = points
        .map(|share| OperatingPoint {
            small_share: share,
            threshold: threshold(share),
            quality_drop: Some(drop(at(share))),
        })
        .collect();
    let promises = (1..30).map(|step| f64::from(step) / 30.0).rev().map(|share| {
        let measured = drop(at(share));
        let promised = (share - 0.015 + 0.03 * spread((share * 90.0) as usize, 0.618)).clamp(0.0, 1.0);
        let promised_drop = measured.value * 0.97 - 0.001;
        Promise {
            threshold: threshold(share).unwrap(),
            promised_share: promised,
            promised_drop: Some(promised_drop),
            promised_upper: Some(promised_drop + 0.008 * (1.1 - share)),
            measured_share: share,
            measured_drop: Some(measured),
        }
    });
    let outcome = |query: &Query| query.small >= query.large;
    let pairs: Vec<_> = queries.iter().map(|query| (query.score, f64::from(u8::from(outcome(query))))).collect();
    RouterReport {
        name: name.to_owned(),
        scores: queries.iter().map(|query| (query.score, outcome(query))).collect(),
        calibration: calibration_curve(&pairs, 10),
        promises: promises.collect(),
        operating_points,
        ranking,
    }
}

fn rankings(n: usize, skills: &[(&str, f64)]) -> Vec<Ranking> {
    skills.iter().map(|(_, skill)| ranking(queries(n, *skill, 0.0), |query| query.score, true)).collect()
}

fn group(by: &'static str, name: &str, skills: &[(&str, f64)]) -> GroupReport {
    GroupReport {
        by,
        name: name.to_owned(),
        n: 120,
        quality_small: figure(0.55, 0.02),
        quality_large: figure(0.8, 0.02),
        routers: rankings(120, skills),
    }
}

fn carried(small: &str, correlation: f64, skills: &[(&str, f64)]) -> CarriedReport {
    CarriedReport {
        small: small.to_owned(),
        large: "claude".to_owned(),
        n: 200,
        correlation: Some(figure(correlation, 0.05)),
        own: rankings(200, skills),
        other: rankings(240, skills),
    }
}

fn set(name: &str, n: usize, skills: &[(&str, f64)]) -> SetReport {
    let all = queries(n, 0.5, 0.0);
    let noise = |query: &Query| spread((query.large * 1e6) as usize, 0.618_033_988_749_894_9);
    SetReport {
        name: name.to_owned(),
        n,
        quality_small: figure(mean(all.iter().map(|query| query.small)), 0.012),
        quality_large: figure(mean(all.iter().map(|query| query.large)), 0.009),
        routers: skills.iter().map(|(name, skill)| router(name, &queries(n, *skill, 0.0))).collect(),
        baselines: Some(Baselines {
            random: ranking(all.clone(), noise, false),
            length: ranking(all.clone(), |query| 0.15 * (query.small - query.large) + noise(query), false),
            oracle: ranking(all.clone(), |query| query.small - query.large, false),
        }),
        groups: [("kind", "code"), ("kind", "chat"), ("language", "en")]
            .map(|(by, name)| group(by, name, skills))
            .into(),
        carried: [("qwen-7b", 0.7), ("gemma-2b", -0.1)]
            .map(|(small, correlation)| carried(small, correlation, skills))
            .into(),
    }
}

/// Two sets, two routers side by side, prices known.
pub(super) fn report() -> Report {
    Report {
        title: "Two routers on two sets of queries".to_owned(),
        small: "llama-3.1-8b".to_owned(),
        large: "gpt-4.1".to_owned(),
        prices: Some(Prices {
            small: Price { input: 0.05, output: 0.08 },
            large: Price { input: 2.0, output: 8.0 },
            input_tokens: 412.0,
            output_tokens: 268.0,
        }),
        sets: vec![
            set("mixed-instructions-test.jsonl", 2000, &[("r_prob on MiniLM", 0.62), ("r_det on MiniLM", 0.4)]),
            set("support-tickets.jsonl", 240, &[("r_prob on MiniLM", 0.35), ("r_det on MiniLM", 0.12)]),
        ],
    }
}

/// Labels of a pair whose small model is seldom as good as the large one.
pub(super) fn labels() -> LabelReport {
    let label = |index: usize, t: f64| {
        let gap = 0.45 - 1.6 * spread(index + 1, 0.618_033_988_749_894_9);
        // The share of ten by ten pairs whose gap is at least −t, with a spread of its own for every query.
        let width = 0.1 + 0.5 * spread(index + 1, 0.414_213_562_373_095);
        (((gap - 0.35 + t) / width + 0.5).clamp(0.0, 1.0) * 100.0).round() / 100.0
    };
    let n = 600;
    let labels = |t: f64| (0..n).map(|index| label(index, t)).collect::<Vec<_>>();
    let curve = (0..=50).map(|step| f64::from(step) / 25.0).map(|t| {
        let labels = labels(t);
        let differences = labels.iter().flat_map(|a| labels.iter().map(move |b| (a - b).abs()));
        Spread { t, difference: differences.sum::<f64>() / (n * n) as f64 }
    });
    let curve: Vec<_> = curve.collect();
    let chosen = curve.iter().max_by(|a, b| a.difference.total_cmp(&b.difference)).unwrap().t;
    LabelReport {
        title: "Labels of flan-t5-800m against llama-2-13b".to_owned(),
        small: "flan-t5-800m".to_owned(),
        large: "llama-2-13b".to_owned(),
        n,
        binary: false,
        curve,
        chosen,
        before: counts(labels(0.0)),
        after: counts(labels(chosen)),
    }
}
