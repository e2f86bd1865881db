//! What `evaluate --json` prints. Tools rely on the keys.

use std::collections::BTreeMap;

use serde::Serialize;

use super::found::{Found, Grouped};
use crate::{
    cli::graded::Speed,
    lab::figures::evaluate::{Evaluation, Figure, Ranking},
};

/// The figures of a ranking under their names in JSON.
#[derive(Debug, Serialize)]
struct RankingJson {
    apgr: Option<Figure>,
    cpt50: Option<Figure>,
    cpt80: Option<Figure>,
    drop_at: DropsJson,
    oracle_share: Option<Figure>,
    auc: Option<Figure>,
    spearman: Option<Figure>,
}

#[derive(Debug, Serialize)]
struct DropsJson {
    #[serde(rename = "10")]
    ten: Option<Figure>,
    #[serde(rename = "20")]
    twenty: Option<Figure>,
    #[serde(rename = "40")]
    forty: Option<Figure>,
}

#[derive(Debug, Serialize)]
struct BaselinesJson {
    random: RankingJson,
    length: RankingJson,
    oracle: RankingJson,
}

#[derive(Debug, Serialize)]
struct RouterJson<'a> {
    router: &'a str,
    #[serde(flatten)]
    ranking: RankingJson,
    apgr_above_first: Option<Figure>,
    apgr_above_length: Option<Figure>,
}

/// The first router's figures stand at the top, under the names that tools rely on; each router's are in `routers`.
#[derive(Debug, Serialize)]
struct EvaluationJson<'a> {
    n: usize,
    quality_small: Figure,
    quality_large: Figure,
    #[serde(flatten)]
    first: Option<RankingJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baselines: Option<BaselinesJson>,
    routers: Vec<RouterJson<'a>>,
}

/// All that is printed. What was measured on all queries stands at the top.
#[derive(Debug, Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    all: EvaluationJson<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by: BTreeMap<&'static str, Vec<GroupJson<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    against: Vec<CarriedJson<'a>>,
    scoring: Speed,
}

/// A part of the queries.
#[derive(Debug, Serialize)]
struct GroupJson<'a> {
    name: &'a str,
    #[serde(flatten)]
    found: EvaluationJson<'a>,
}

/// Routers on another pair, on the queries that have all four models: the first router's figures at the top.
#[derive(Debug, Serialize)]
struct CarriedJson<'a> {
    small: &'a str,
    large: &'a str,
    gap_correlation: Option<Figure>,
    #[serde(flatten)]
    other: EvaluationJson<'a>,
    /// The routers on their own pair, on the same queries.
    own: EvaluationJson<'a>,
}

impl From<&Ranking> for RankingJson {
    fn from(ranking: &Ranking) -> Self {
        let [ten, twenty, forty] = ranking.drop_at;
        Self {
            apgr: ranking.apgr,
            cpt50: ranking.cpt50,
            cpt80: ranking.cpt80,
            drop_at: DropsJson { ten, twenty, forty },
            oracle_share: ranking.agreement.oracle_share,
            auc: ranking.agreement.auc,
            spearman: ranking.agreement.spearman,
        }
    }
}

/// What was measured, for machines.
pub(super) fn json(found: &Found<'_>, baselines: bool, scoring: Speed) -> impl Serialize {
    let one = |evaluation: &Evaluation| evaluation_json(evaluation, found.names, baselines);
    let mut by = BTreeMap::<&str, Vec<GroupJson<'_>>>::new();
    for Grouped { by: key, name, evaluation } in &found.groups {
        by.entry(key.key()).or_default().push(GroupJson { name, found: one(evaluation) });
    }
    let against = found.carried.iter().map(|(pair, carried)| CarriedJson {
        small: &pair.small,
        large: &pair.large,
        gap_correlation: carried.correlation,
        other: one(&carried.other),
        own: one(&carried.own),
    });
    Json { all: one(&found.evaluation), by, against: against.collect(), scoring }
}

fn evaluation_json<'a>(evaluation: &Evaluation, names: &[&'a str], baselines: bool) -> EvaluationJson<'a> {
    let above = evaluation.above_first.iter().zip(&evaluation.above_length);
    let routers = names.iter().zip(&evaluation.routers).zip(above);
    EvaluationJson {
        n: evaluation.n,
        quality_small: evaluation.quality_small,
        quality_large: evaluation.quality_large,
        first: evaluation.routers.first().map(RankingJson::from),
        baselines: baselines.then(|| BaselinesJson {
            random: (&evaluation.baselines.random).into(),
            length: (&evaluation.baselines.length).into(),
            oracle: (&evaluation.baselines.oracle).into(),
        }),
        routers: routers
            .map(|((router, ranking), (first, length))| RouterJson {
                router,
                ranking: ranking.into(),
                apgr_above_first: *first,
                apgr_above_length: *length,
            })
            .collect(),
    }
}
