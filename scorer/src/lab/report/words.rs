//! The figures in plain words.

use super::{
    CalibrationBin, DROP_SHARES, Figure, Promise, RouterReport, ScoreHistogram, SetReport,
    format::{self, interval, number, percent, percent_interval, quality, whole_percent},
};

/// The place in [`DROP_SHARES`] that the reading is about.
const READ_AT: usize = 1;
/// Below this, the reading says that intervals are wide because queries are few.
const FEW: usize = 100;

/// What a set says, in a paragraph.
pub(super) fn reading(set: &SetReport, small: &str, large: &str) -> String {
    let mean = |figure: Figure| match figure.has_interval() {
        true => format!("{} ({})", quality(figure.value), interval(figure, quality)),
        false => quality(figure.value),
    };
    let (of_small, of_large) = (mean(set.quality_small), mean(set.quality_large));
    let mut text =
        format!("{}: the mean quality of {small} is {of_small}, of {large} {of_large}.", format::queries(set.n));
    let (mean_small, mean_large) = (set.quality_small.value, set.quality_large.value);
    if mean_large == 0.0 {
        text.push_str(
            " The large model’s mean quality is 0, and the quality drop is measured relative to it, so no drop is defined \
             on this set. A scale of quality that is above 0 for most responses mends that.",
        );
    } else if mean_small == mean_large {
        text.push_str(
            " Both are the same, so there is no gap for a router to recover, and APGR and CPT are not defined on this set.",
        );
    } else if mean_small > mean_large {
        text.push_str(" The small model is better here on average: without a router, all queries could go to it.");
    }
    text.push_str(&at_share(set));
    if set.n < FEW {
        text.push_str(" The queries are few, so every interval is wide.");
    }
    text
}

/// What the routers lose at one share, beside chance and the best possible order.
fn at_share(set: &SetReport) -> String {
    let at = |drops: &[Option<Figure>; 3]| drops.get(READ_AT).copied().flatten().filter(|drop| drop.value.is_finite());
    let baselines = set.baselines.as_ref();
    let random = baselines.and_then(|baselines| at(&baselines.random.drop_at));
    let oracle = baselines.and_then(|baselines| at(&baselines.oracle.drop_at));
    let routers = set.routers.iter().filter_map(|router| Some((router, at(&router.ranking.drop_at)?)));
    let mut parts: Vec<_> = routers.map(|(router, drop)| at_share_of(router, drop, random)).collect();
    if parts.is_empty() {
        return String::new();
    }
    if let Some(random) = random {
        parts.push(format!("a random split {}", loss(random)));
    }
    if let Some(oracle) = oracle {
        parts.push(format!("the best possible order {}", loss(oracle)));
    }
    let share = DROP_SHARES.get(READ_AT).copied().unwrap_or_default();
    format!(" With {} of the queries at the small model, {}.", whole_percent(share), parts.join("; "))
}

fn at_share_of(router: &RouterReport, drop: Figure, random: Option<Figure>) -> String {
    let against_chance = match random.filter(|random| drop.has_interval() && random.has_interval()) {
        Some(random) if drop.high < random.low => ", better than chance",
        Some(random) if drop.low > random.high => ", worse than chance",
        Some(_) => ", an interval that overlaps with that of chance",
        None => "",
    };
    format!("{} {}{against_chance}", router.name, loss(drop))
}

/// A drop and its interval as a loss or, where it is negative, as a gain.
fn loss(drop: Figure) -> String {
    let Figure { value, low, high } = drop;
    let (verb, figure) =
        if value < 0.0 { ("gains", Figure { value: -value, low: -high, high: -low }) } else { ("loses", drop) };
    let interval = if drop.has_interval() { format!(" ({})", percent_interval(figure)) } else { String::new() };
    format!("{verb} {} of the quality{interval}", percent(figure.value))
}

/// How well a histogram's outcomes are told apart.
pub(super) fn separation(scores: &ScoreHistogram) -> String {
    let Some(share) = concordance(scores) else {
        return "All queries have the same outcome, so there is nothing to tell apart.".to_owned();
    };
    let verdict = match share {
        share if share >= 0.8 => "well separated",
        share if share >= 0.65 => "partly separated",
        share if share >= 0.55 => "hardly separated",
        _ => "not separated",
    };
    format!(
        "The outcomes are {verdict}: of two queries, one of each outcome, the one whose small response is good enough has the \
         higher score in about {} of cases (chance: 50\u{a0}%).",
        whole_percent(share)
    )
}

/// The share of pairs, one query of each outcome, in which the good one scores higher, ties by half: the area under the ROC
/// curve, from the histogram's bins. `None`: there are no such pairs.
fn concordance(scores: &ScoreHistogram) -> Option<f64> {
    let (good, poor) = (scores.good.iter().sum::<u64>() as f64, scores.poor.iter().sum::<u64>() as f64);
    let mut poor_below = 0.0;
    let mut wins = 0.0;
    for (good, poor) in scores.good.iter().zip(&scores.poor) {
        wins += *good as f64 * (poor_below + *poor as f64 / 2.0);
        poor_below += *poor as f64;
    }
    (good * poor > 0.0).then(|| wins / (good * poor))
}

/// How far scores are from what came true.
pub(super) fn calibration(bins: &[CalibrationBin]) -> String {
    let total: usize = bins.iter().map(|bin| bin.n).sum();
    let off: f64 = bins.iter().map(|bin| bin.n as f64 * (bin.predicted - bin.observed.value).abs()).sum();
    let inside = |bin: &&CalibrationBin| (bin.observed.low..=bin.observed.high).contains(&bin.predicted);
    format!(
        "On average a score is {} percentage points from the share that came true; in {} of {} bins the score lies within the \
         interval.",
        number(off / total.max(1) as f64 * 100.0, 1),
        bins.iter().filter(inside).count(),
        bins.len()
    )
}

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The measured drop is not above the promised bound.
    Kept,
    /// It is above, but its interval reaches down to the bound: chance may explain it.
    WithinChance,
    /// It is above, by how much beyond chance is not known: it has no interval.
    Exceeded,
    /// Its whole interval is above.
    Broken,
    /// There was no promise, or the drop is not defined.
    Unknown,
}

impl Outcome {
    /// Of one row of a calibration table. The bound is the promise; without one it is the drop itself.
    pub(super) fn of(promise: &Promise) -> Self {
        let bound = promise.promised_upper.or(promise.promised_drop).filter(|bound| bound.is_finite());
        let drop = promise.measured_drop.filter(|drop| drop.value.is_finite());
        match (bound, drop) {
            (Some(bound), Some(drop)) if drop.value <= bound => Self::Kept,
            (Some(_), Some(drop)) if !drop.has_interval() => Self::Exceeded,
            (Some(bound), Some(drop)) if drop.low <= bound => Self::WithinChance,
            (Some(_), Some(_)) => Self::Broken,
            _ => Self::Unknown,
        }
    }

    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::WithinChance => "exceeded, within chance",
            Self::Exceeded => "exceeded",
            Self::Broken => "broken",
            Self::Unknown => format::UNDEFINED,
        }
    }
}

/// How many promises were kept.
pub(super) fn promises(promises: &[Promise]) -> String {
    let count = |outcome| promises.iter().filter(|promise| Outcome::of(promise) == outcome).count();
    let others = [
        ("exceeded within chance", count(Outcome::WithinChance)),
        ("exceeded", count(Outcome::Exceeded)),
        ("broken", count(Outcome::Broken)),
    ];
    let kept = count(Outcome::Kept);
    let all = kept + others.iter().map(|(_, count)| count).sum::<usize>();
    if all == 0 {
        return "No row of the calibration table can be compared with this set.".to_owned();
    }
    let others = others.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!(", {name} at {count}"));
    format!("The promise is kept at {kept} of {all} thresholds{}.", others.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Agreement, Baselines, Ranking},
        *,
    };

    #[test]
    fn concordance_is_the_area_under_the_curve() {
        let histogram = |rows: &[(f64, bool)]| rows.iter().copied().collect::<ScoreHistogram>();
        let apart = histogram(&[(0.9, true), (0.8, true), (0.1, false)]);
        assert_eq!(concordance(&apart), Some(1.0));
        let tied = histogram(&[(0.5, true), (0.5, false)]);
        assert_eq!(concordance(&tied), Some(0.5));
        // Of the six pairs, good wins (0.9, 0.1), (0.9, 0.5), (0.3, 0.1) and (0.9, 0.7).
        let mixed = histogram(&[(0.9, true), (0.3, true), (0.1, false), (0.5, false), (0.7, false)]);
        assert_eq!(concordance(&mixed), Some(4.0 / 6.0));
        assert_eq!(concordance(&histogram(&[(0.5, true)])), None);
    }

    fn at(value: f64, half: f64) -> Figure {
        Figure { value, low: value - half, high: value + half }
    }

    fn ranking(drop: Option<Figure>) -> Ranking {
        Ranking {
            apgr: None,
            cpt50: None,
            cpt80: None,
            drop_at: [None, drop, None],
            agreement: Agreement::default(),
            curve: Vec::new(),
        }
    }

    /// A set with a router of this drop at 20 %, and one of chance.
    fn set(drop: Option<Figure>, random: Option<Figure>) -> SetReport {
        let router = RouterReport {
            name: "R".to_owned(),
            ranking: ranking(drop),
            scores: ScoreHistogram::default(),
            calibration: Vec::new(),
            promises: Vec::new(),
            operating_points: Vec::new(),
        };
        let baselines = random.map(|random| Baselines {
            random: ranking(Some(random)),
            length: ranking(None),
            oracle: ranking(Some(at(0.001, 0.001))),
        });
        SetReport {
            name: "set".to_owned(),
            n: 500,
            quality_small: at(0.6, 0.02),
            quality_large: at(0.8, 0.01),
            routers: vec![router],
            baselines,
            groups: Vec::new(),
            carried: Vec::new(),
        }
    }

    #[test]
    fn readings_compare_with_chance_where_chance_was_measured() {
        let chance = Some(at(0.032, 0.004));
        let read = |set: &SetReport| reading(set, "S", "L");
        insta::assert_snapshot!(read(&set(Some(at(0.012, 0.006)), chance)), @"500 queries: the mean quality of S is 0.600 (0.580 to 0.620), of L 0.800 (0.790 to 0.810). With 20 % of the queries at the small model, R loses 1.2 % of the quality (0.6 to 1.8), better than chance; a random split loses 3.2 % of the quality (2.8 to 3.6); the best possible order loses 0.1 % of the quality (0.0 to 0.2).");
        assert!(
            read(&set(Some(at(0.05, 0.006)), chance))
                .contains("R loses 5.0\u{a0}% of the quality (4.4 to 5.6), worse than chance")
        );
        assert!(read(&set(Some(at(0.03, 0.006)), chance)).contains("an interval that overlaps with that of chance"));
        insta::assert_snapshot!(read(&set(Some(at(0.012, 0.006)), None)), @"500 queries: the mean quality of S is 0.600 (0.580 to 0.620), of L 0.800 (0.790 to 0.810). With 20 % of the queries at the small model, R loses 1.2 % of the quality (0.6 to 1.8).");
        insta::assert_snapshot!(read(&set(None, chance)), @"500 queries: the mean quality of S is 0.600 (0.580 to 0.620), of L 0.800 (0.790 to 0.810).");
    }

    #[test]
    fn readings_explain_unusual_qualities() {
        let mut odd = set(None, None);
        odd.n = 20;
        odd.quality_large = at(0.5, 0.1);
        insta::assert_snapshot!(reading(&odd, "S", "L"), @"20 queries: the mean quality of S is 0.600 (0.580 to 0.620), of L 0.500 (0.400 to 0.600). The small model is better here on average: without a router, all queries could go to it. The queries are few, so every interval is wide.");
        odd.quality_large.value = 0.6;
        insta::assert_snapshot!(reading(&odd, "S", "L"), @"20 queries: the mean quality of S is 0.600 (0.580 to 0.620), of L 0.600 (0.400 to 0.600). Both are the same, so there is no gap for a router to recover, and APGR and CPT are not defined on this set. The queries are few, so every interval is wide.");
        odd.quality_large.value = 0.0;
        insta::assert_snapshot!(reading(&odd, "S", "L"), @"20 queries: the mean quality of S is 0.600 (0.580 to 0.620), of L 0.000 (0.400 to 0.600). The large model’s mean quality is 0, and the quality drop is measured relative to it, so no drop is defined on this set. A scale of quality that is above 0 for most responses mends that. The queries are few, so every interval is wide.");
    }

    #[test]
    fn losses_and_gains_read_forwards() {
        let read = |value, low, high| loss(Figure { value, low, high });
        insta::assert_snapshot!(read(0.012, -0.006, 0.019), @"loses 1.2 % of the quality (−0.6 to 1.9)");
        insta::assert_snapshot!(read(0.012, 0.012, 0.012), @"loses 1.2 % of the quality");
        insta::assert_snapshot!(read(-0.012, -0.019, 0.006), @"gains 1.2 % of the quality (−0.6 to 1.9)");
    }

    #[test]
    fn a_promise_is_kept_exceeded_or_broken() {
        let promise = |upper: Option<f64>, drop: Option<(f64, f64)>| Promise {
            threshold: 0.5,
            promised_share: 0.2,
            promised_drop: Some(0.01),
            promised_upper: upper,
            measured_share: 0.2,
            measured_drop: drop.map(|(value, low)| Figure { value, low, high: 0.1 }),
        };
        let outcomes = [
            (promise(Some(0.02), Some((0.02, 0.0))), Outcome::Kept),
            (promise(Some(0.02), Some((0.03, 0.01))), Outcome::WithinChance),
            (promise(Some(0.02), Some((0.1, 0.1))), Outcome::Exceeded),
            (promise(Some(0.02), Some((0.05, 0.03))), Outcome::Broken),
            (promise(None, Some((0.02, 0.0))), Outcome::WithinChance),
            (promise(Some(0.02), None), Outcome::Unknown),
            (promise(Some(0.02), Some((f64::NAN, 0.0))), Outcome::Unknown),
        ];
        for (promise, outcome) in &outcomes {
            assert_eq!(Outcome::of(promise), *outcome, "{promise:?}");
        }
        let all: Vec<_> = outcomes.iter().map(|(promise, _)| *promise).collect();
        insta::assert_snapshot!(promises(&all), @"The promise is kept at 1 of 5 thresholds, exceeded within chance at 2, exceeded at 1, broken at 1.");
    }
}
