//! What `hybrid-llm calibrate` prints of the thresholds it found.

use std::io::{self, Write};

use serde::Serialize;

use super::Args;
use crate::{
    cli::graded::Speed,
    lab::figures::{
        calibrate::{self, Choice},
        shares::wilson,
        sweep::Outcomes,
    },
    router::Row,
};

/// A smaller sample says little.
const SMALL_SAMPLE: usize = 200;

/// A threshold and what it does, in JSON.
#[derive(Debug, Serialize)]
struct ChoiceJson {
    threshold: Option<f64>,
    small_share: f64,
    small_share_low: f64,
    small_share_high: f64,
    quality_drop: Option<f64>,
    quality_drop_upper95: Option<f64>,
}

#[derive(Debug, Serialize)]
struct ShareJson {
    asked: f64,
    choice: ChoiceJson,
}

#[derive(Debug, Serialize)]
struct DropJson {
    asked: f64,
    /// The paper's rule.
    point: ChoiceJson,
    /// What a route's dial does.
    bound: ChoiceJson,
}

/// What the command found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    queries: usize,
    of: usize,
    /// The smallest drop that this sample can promise.
    #[serde(skip_serializing_if = "Option::is_none")]
    least_drop: Option<f64>,
    small_shares: Vec<ShareJson>,
    quality_drops: Vec<DropJson>,
    pub(super) warnings: Vec<String>,
    scoring: Speed,
}

impl Report {
    pub(super) fn new(
        args: &Args,
        scores: &[f64],
        outcomes: Option<&Outcomes>,
        table: &[Row],
        all: usize,
        scoring: Speed,
    ) -> Self {
        let n = scores.len();
        let shown = |choice: Choice| {
            let interval = wilson(choice.small_share, n);
            ChoiceJson {
                threshold: choice.threshold,
                small_share: choice.small_share,
                small_share_low: interval.low,
                small_share_high: interval.high,
                quality_drop: choice.quality_drop,
                quality_drop_upper95: choice.quality_drop_upper95,
            }
        };
        let share = |asked: &f64| ShareJson { asked: *asked, choice: shown(calibrate::for_small_share(table, *asked)) };
        let drop = |asked: &f64| {
            Some(DropJson {
                asked: *asked,
                point: shown(calibrate::point_rule(scores, outcomes?, *asked)),
                bound: shown(calibrate::for_quality_drop(table, *asked)),
            })
        };
        let least_drop = outcomes.and_then(calibrate::least_drop);
        let mut warnings = Vec::new();
        if n < SMALL_SAMPLE {
            warnings.push(format!("{n} queries are few: take 500 or more, drawn at random from your traffic"));
        }
        if let Some(outcomes) = outcomes {
            warnings.extend(quality_warnings(args, outcomes, least_drop, all));
        }
        Self {
            queries: n,
            of: all,
            least_drop,
            small_shares: args.small_shares.iter().map(share).collect(),
            quality_drops: args.quality_drops.iter().filter_map(drop).collect(),
            warnings,
            scoring,
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "calibrated on {} of {} queries", self.queries, self.of)?;
        if let Some(least) = self.least_drop {
            let least = least * 100.0;
            writeln!(
                out,
                "least quality drop that they can promise: {least:.2} %; a lower dial sends everything to large"
            )?;
        }
        for ShareJson { asked, choice } in &self.small_shares {
            writeln!(out, "small share {asked}: {}", choice.line())?;
        }
        for DropJson { asked, point, bound } in &self.quality_drops {
            writeln!(out, "quality drop {asked}, the paper's point rule:      {}", point.line())?;
            writeln!(out, "quality drop {asked}, bound with 95 % confidence: {}", bound.line())?;
        }
        for warning in &self.warnings {
            writeln!(out, "note: {warning}")?;
        }
        Ok(())
    }
}

impl ChoiceJson {
    fn line(&self) -> String {
        let Some(threshold) = self.threshold else {
            return "no threshold; everything goes to the large model".to_owned();
        };
        let per_cent = |value: f64| format!("{:.1} %", value * 100.0);
        let mut line = format!(
            "threshold {threshold:.6}, small share {} ({} to {})",
            per_cent(self.small_share),
            per_cent(self.small_share_low),
            per_cent(self.small_share_high)
        );
        if let Some(drop) = self.quality_drop {
            line.push_str(&format!(", drop {:.2} %", drop * 100.0));
        }
        if let Some(upper) = self.quality_drop_upper95 {
            line.push_str(&format!(", at most {:.2} %", upper * 100.0));
        }
        line
    }
}

fn quality_warnings(args: &Args, outcomes: &Outcomes, least: Option<f64>, all: usize) -> Vec<String> {
    let n = outcomes.len();
    let mut warnings = Vec::new();
    let Some(least) = least else {
        return vec![
            "the large model's mean quality is zero, so that drops are not defined: the table has shares only"
                .to_owned(),
        ];
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    if mean(&outcomes.small) >= mean(&outcomes.large) {
        let text =
            "on these queries the small model is as good as the large one on average; is --small really the small one?";
        warnings.push(text.to_owned());
    }
    for asked in args.quality_drops.iter().filter(|asked| **asked < least) {
        // The least drop falls about as fast as the sample grows.
        let enough = if *asked > 0.0 { (least / asked * n as f64 * 1.1).ceil() } else { f64::INFINITY };
        let more = if all > n { format!("; --sample 0 uses all {all}") } else { String::new() };
        warnings.push(if enough.is_finite() {
            format!(
                "{n} queries cannot promise a drop of {asked}, only {least:.4} or more: it takes at least {enough:.0}{more}"
            )
        } else {
            format!("no sample can promise that nothing is lost: the least drop here is {least:.4}")
        });
    }
    warnings
}
