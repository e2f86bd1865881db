//! `router.json`: what a router is, how to read its output, and what it was measured to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calibration::Calibration;

/// The most tokens a router may read; beyond this a "router" is no small encoder.
const MAX_TOKENS: usize = 32_768;
/// The longest name, which is also a metric label and part of the API.
const MAX_NAME: usize = 64;

/// A manifest that has been read and checked. Unknown keys are ignored, so that newer manifests still load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// What requests call the router; letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Changes whenever the scores do; part of the cache's key.
    pub version: String,
    /// The pretrained encoder it was made from, in words.
    pub encoder: String,
    /// Longer queries are cut to this many tokens, special tokens included.
    pub max_tokens: usize,
    /// How a score is read from the logits.
    pub output: Output,
    /// What the score's value is, beside its order; unknown in manifests that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Which training label the score predicts.
    pub label: Label,
    /// The relaxation t* of a `trans` label.
    #[serde(default)]
    pub relaxation: Option<f64>,
    /// The small model of the pair it was trained for.
    pub small: String,
    /// The large model of the pair it was trained for.
    pub large: String,
    /// What it was trained on; shown, not interpreted.
    #[serde(default)]
    pub trained_on: Value,
    /// How well it does; shown, not interpreted.
    #[serde(default)]
    pub metrics: Value,
    /// What scores mean in shares and quality drops.
    #[serde(default)]
    pub calibration: Calibration,
    /// How scores were distributed when it was calibrated, to see drift against.
    #[serde(default)]
    pub reference_histogram: Option<Histogram>,
    /// Hex SHA-256 by file name; checked when the router is opened.
    #[serde(default)]
    pub sha256: BTreeMap<String, String>,
}

/// How a score is read from the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// One logit; the score is its sigmoid.
    Sigmoid,
    /// Two logits; the score is the softmax of the one at this index.
    Softmax(usize),
}

impl Output {
    /// How many logits the model must give a query.
    pub fn logits(self) -> usize {
        match self {
            Self::Sigmoid => 1,
            Self::Softmax(_) => 2,
        }
    }

    /// The score of one query's logits, or `None` when there are not [`Self::logits`] of them or one is not finite.
    pub fn score(self, logits: &[f32]) -> Option<f64> {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let score = match (self, logits) {
            (Self::Sigmoid, [logit]) => sigmoid(f64::from(*logit)),
            // The softmax of two is the sigmoid of their difference.
            (Self::Softmax(0), [first, second]) => sigmoid(f64::from(*first) - f64::from(*second)),
            (Self::Softmax(1), [first, second]) => sigmoid(f64::from(*second) - f64::from(*first)),
            _ => return None,
        };
        (logits.iter().all(|logit| logit.is_finite()) && score.is_finite()).then_some(score)
    }
}

/// What the value of a score says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The predicted probability that the small model's response is good enough.
    Probability,
    /// About the share of queries, of those kept out of training, that score lower.
    Quantile,
    /// Something else, of a version to come.
    #[serde(other)]
    Other,
}

/// Which label a router was trained on (the paper's three, and the expected gap).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Is one response of the small model at least as good as one of the large?
    Det,
    /// The probability that it is, over several responses.
    Prob,
    /// The probability that it is at most t* worse.
    Trans,
    /// The expected gap in quality.
    Gap,
}

/// Counts of scores between edges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Ascending; one more than there are counts.
    pub edges: Vec<f64>,
    /// How many scores fell between each edge and the next.
    pub counts: Vec<u64>,
}

/// What is wrong with a manifest: a key, and what it must be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ManifestError {
    /// The key, as a path such as `calibration[3].threshold`; `.` for the whole.
    pub key: String,
    /// What was found there and what must be.
    pub problem: String,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] names the first key at fault.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        let deserializer = &mut serde_json::Deserializer::from_slice(json);
        let manifest: Self = serde_path_to_error::deserialize(deserializer)
            .map_err(|error| ManifestError { key: error.path().to_string(), problem: error.inner().to_string() })?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks what the types leave open.
    ///
    /// # Errors
    /// [`ManifestError`] names the first key at fault.
    pub fn check(&self) -> Result<(), ManifestError> {
        let fault = |key: &str, problem: String| Err(ManifestError { key: key.to_owned(), problem });
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.name.is_empty() || self.name.len() > MAX_NAME || !self.name.chars().all(plain) {
            let must = format!("must be 1 to {MAX_NAME} letters, digits, '.', '_' or '-', for requests");
            return fault("name", format!("{:?} {must} to name it", self.name));
        }
        if self.version.is_empty() {
            return fault("version", "must not be empty: cached scores are told apart by it".into());
        }
        if !(2..=MAX_TOKENS).contains(&self.max_tokens) {
            return fault("max_tokens", format!("{} must be 2 to {MAX_TOKENS}", self.max_tokens));
        }
        if let Output::Softmax(index @ 2..) = self.output {
            return fault("output.softmax", format!("{index} must be 0 or 1, the logit of the small model"));
        }
        if let Some(histogram) = &self.reference_histogram {
            let ascending = histogram.edges.is_sorted_by(|a, b| a < b);
            if !ascending || histogram.edges.len() != histogram.counts.len() + 1 {
                let (edges, counts) = (histogram.edges.len(), histogram.counts.len());
                let must = "must be ascending, and one more than the counts";
                return fault("reference_histogram", format!("{edges} edges {must} ({counts})"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn valid() -> Value {
        json!({
            "name": "default", "version": "1", "encoder": "all-MiniLM-L6-v2", "max_tokens": 512,
            "output": "sigmoid", "label": "prob", "relaxation": null, "small": "s", "large": "l",
            "trained_on": ["mmlu"], "metrics": {"auroc": 0.7}, "added_later": true,
            "calibration": [{"threshold": 0.0, "small_share": 1.0}, {"threshold": 0.5, "small_share": 0.4}],
        })
    }

    fn with(key: &str, value: Value) -> Result<Manifest, ManifestError> {
        let mut manifest = valid();
        manifest[key] = value;
        Manifest::parse(manifest.to_string().as_bytes())
    }

    fn fault(key: &str, value: Value) -> String {
        let error = with(key, value).unwrap_err().to_string();
        // Where it stands depends on the order of keys in the test's own JSON.
        error.split(" at line").next().unwrap().to_owned()
    }

    #[test]
    fn a_manifest_with_unknown_keys_loads() {
        let manifest = Manifest::parse(valid().to_string().as_bytes()).unwrap();
        assert_eq!(manifest.output, Output::Sigmoid);
        assert_eq!(manifest.label, Label::Prob);
        assert_eq!(manifest.calibration.rows().len(), 2);
    }

    #[test]
    fn both_outputs_are_read() {
        assert_eq!(with("output", json!({"softmax": 1})).unwrap().output, Output::Softmax(1));
    }

    #[test]
    fn what_a_score_is_may_be_unsaid_or_of_a_later_version() {
        let score = |value: Value| with("score", value).unwrap().score;
        assert_eq!((with("name", json!("n")).unwrap().score, score(json!("quantile"))), (None, Some(Score::Quantile)));
        assert_eq!((score(json!("probability")), score(json!("odds"))), (Some(Score::Probability), Some(Score::Other)));
    }

    #[test]
    fn faults_name_the_key_and_the_value() {
        insta::assert_snapshot!(fault("max_tokens", json!("many")), @r#"max_tokens: invalid type: string "many", expected usize"#);
        insta::assert_snapshot!(fault("max_tokens", json!(0)), @"max_tokens: 0 must be 2 to 32768");
        insta::assert_snapshot!(fault("name", json!("a b")), @r#"name: "a b" must be 1 to 64 letters, digits, '.', '_' or '-', for requests to name it"#);
        insta::assert_snapshot!(fault("version", json!("")), @"version: must not be empty: cached scores are told apart by it");
        insta::assert_snapshot!(fault("output", json!({"softmax": 2})), @"output.softmax: 2 must be 0 or 1, the logit of the small model");
        insta::assert_snapshot!(fault("label", json!("best")), @"label: unknown variant `best`, expected one of `det`, `prob`, `trans`, `gap`");
        insta::assert_snapshot!(fault("calibration", json!([{"threshold": 0.5, "small_share": 0.4}, {"threshold": 0.4, "small_share": 0.4}])), @"calibration: row 1: threshold is 0.4 after 0.5, but must increase from row to row");
        insta::assert_snapshot!(fault("calibration", json!([{"threshold": 0.5}])), @"calibration[0]: missing field `small_share`");
        insta::assert_snapshot!(fault("reference_histogram", json!({"edges": [0, 1], "counts": [1, 2]})), @"reference_histogram: 2 edges must be ascending, and one more than the counts (2)");
    }

    #[test]
    fn text_that_is_not_json_is_an_error() {
        insta::assert_snapshot!(Manifest::parse(b"{\"name\": ").unwrap_err(), @"name: EOF while parsing a value at line 1 column 9");
    }

    #[test]
    fn scores_are_probabilities_or_nothing() {
        let close = |score: Option<f64>, want: f64| (score.unwrap() - want).abs() < 1e-6;
        assert!(close(Output::Sigmoid.score(&[0.0]), 0.5));
        assert!(close(Output::Sigmoid.score(&[1000.0]), 1.0));
        assert!(close(Output::Sigmoid.score(&[-1000.0]), 0.0));
        assert!(close(Output::Softmax(1).score(&[0.0, 3.0_f32.ln()]), 0.75));
        assert!(close(Output::Softmax(0).score(&[2.0, 2.0]), 0.5));
        assert_eq!(Output::Sigmoid.score(&[f32::NAN]), None);
        assert_eq!(Output::Sigmoid.score(&[f32::INFINITY]), None);
        assert_eq!(Output::Sigmoid.score(&[0.0, 1.0]), None, "two logits are not one");
        assert_eq!(Output::Softmax(0).score(&[0.0]), None);
    }
}
