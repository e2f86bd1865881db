//! What the quickstart shows: the table of prompts, the share, and where to look next.

use crate::arguments::Arguments;
use crate::prompts::Expected;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use hybrid_llm_tests::http::Reply;
use serde_json::json;
use std::time::Duration;

/// Where one prompt went.
#[derive(Debug)]
pub(crate) struct Outcome {
    expected: Expected,
    prompt: &'static str,
    status: u16,
    tier: String,
    reason: String,
    score: String,
    model: String,
    took: Duration,
}

impl Outcome {
    pub(crate) fn new(expected: Expected, prompt: &'static str, reply: &Reply, took: Duration) -> Self {
        let header = |name: &str| reply.header(&format!("x-hybrid-llm-{name}")).to_owned();
        Self {
            expected,
            prompt,
            status: reply.status,
            tier: header("tier"),
            reason: header("reason"),
            score: header("score"),
            model: header("model"),
            took,
        }
    }

    /// Whether something stood in the way of a score, so that the large model answered to be safe.
    fn failed_open(&self) -> bool {
        !matches!(self.reason.as_str(), "score" | "shadow" | "forced" | "context")
    }
}

/// All outcomes, counted.
pub(crate) struct Report {
    outcomes: Vec<Outcome>,
    small: usize,
    fail_open: usize,
    p50_ms: f64,
    p99_ms: f64,
}

impl Report {
    pub(crate) fn new(outcomes: Vec<Outcome>) -> Self {
        let mut times: Vec<f64> = outcomes.iter().map(|outcome| outcome.took.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        // Nearest rank: the smallest time that at least this share of the requests did not exceed.
        let quantile = |share: f64| {
            let rank = (share * times.len() as f64).ceil() as usize;
            times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self {
            small: outcomes.iter().filter(|outcome| outcome.tier == "small").count(),
            fail_open: outcomes.iter().filter(|outcome| outcome.failed_open()).count(),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            outcomes,
        }
    }

    pub(crate) fn json(&self) -> String {
        let requests = self.outcomes.len();
        let round = |ms: f64| (ms * 100.0).round() / 100.0;
        let group = |expected| {
            let (prompts, small) = self.group(expected);
            json!({"prompts": prompts, "small": small})
        };
        json!({
            "requests": requests, "small": self.small, "large": requests - self.small, "fail_open": self.fail_open,
            "easy": group(Expected::Easy), "hard": group(Expected::Hard),
            "p50_ms": round(self.p50_ms), "p99_ms": round(self.p99_ms),
        })
        .to_string()
    }

    /// How many prompts a person expects this of, and how many of them went to the small model.
    fn group(&self, expected: Expected) -> (usize, usize) {
        let group = || self.outcomes.iter().filter(|outcome| outcome.expected == expected);
        (group().count(), group().filter(|outcome| outcome.tier == "small").count())
    }

    pub(crate) fn text(&self, arguments: &Arguments) -> String {
        let requests = self.outcomes.len();
        let (key, value) = arguments.dial.chosen();
        let share = 100.0 * self.small as f64 / requests.max(1) as f64;
        let mut text = format!("{}\n\n", self.table());
        text += &format!(
            "{} of {requests} prompts went to the small model ({share:.0} %), {} to the large one; {} failed open.\n",
            self.small,
            requests - self.small,
            self.fail_open
        );
        let ((easy, easy_small), (hard, hard_small)) = (self.group(Expected::Easy), self.group(Expected::Hard));
        text += &format!(
            "Of {easy} prompts that a person would call easy, {easy_small} went to the small model; of {hard} hard ones, {hard_small}.\n"
        );
        text += &format!("p50 {:.1} ms, p99 {:.1} ms through Envoy; dial: {key} {value}.\n", self.p50_ms, self.p99_ms);
        let errors = self.outcomes.iter().filter(|outcome| outcome.status != 200).count();
        if errors > 0 {
            text += &format!("{errors} answers were not a 200: that is the model's own answer, passed on.\n");
        }
        if arguments.small_url.is_none() || arguments.large_url.is_none() {
            text += "A model without a URL is a stand-in: it says which model it was asked for, and nothing else.\n";
        }
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["prompt", "expected", "score", "tier", "reason", "model", "ms"]);
        for outcome in &self.outcomes {
            table.add_row([
                shorten(outcome.prompt, 44),
                outcome.expected.as_str().to_owned(),
                outcome.score.clone(),
                outcome.tier.clone(),
                outcome.reason.clone(),
                outcome.model.clone(),
                format!("{:.1}", outcome.took.as_secs_f64() * 1e3),
            ]);
        }
        if let Some(column) = table.column_mut(6) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(tier: &str, reason: &str, ms: u64) -> Outcome {
        Outcome {
            expected: if tier == "small" { Expected::Easy } else { Expected::Hard },
            prompt: "p",
            status: 200,
            tier: tier.to_owned(),
            reason: reason.to_owned(),
            score: String::new(),
            model: String::new(),
            took: Duration::from_millis(ms),
        }
    }

    #[test]
    fn counts_and_quantiles() {
        let mut outcomes: Vec<_> = (1..=98).map(|ms| outcome("large", "score", ms)).collect();
        outcomes.push(outcome("small", "score", 99));
        outcomes.push(outcome("large", "timeout", 100));
        let json: serde_json::Value = serde_json::from_str(&Report::new(outcomes).json()).unwrap_or_default();
        let want = json!({"requests": 100, "small": 1, "large": 99, "fail_open": 1, "p50_ms": 50.0, "p99_ms": 99.0,
            "easy": {"prompts": 1, "small": 1}, "hard": {"prompts": 99, "small": 0}});
        assert_eq!(json, want);
    }

    #[test]
    fn long_prompts_are_shortened_by_characters() {
        assert_eq!(shorten("日本語のとても長い文", 4), "日本語…");
        assert_eq!(shorten("short", 5), "short");
    }
}
