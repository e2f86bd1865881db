//! One of a pair's two models, as it is configured.

use super::error::{ConfigError, header_safe, invalid, positive};
use super::source::Decimal;
use crate::request::api::Needs;
use serde::Deserialize;

/// One of a pair's two models.
#[derive(Debug, PartialEq)]
pub struct Target {
    /// Envoy cluster that serves the model.
    pub cluster: String,
    /// The name that cluster knows it by, written into the request.
    pub model: String,
    /// Its context window; `None`: no limit.
    pub context_tokens: Option<u64>,
    /// What it can do beyond text; `None`: everything.
    pub capabilities: Option<Needs>,
}

impl Target {
    /// Whether the model can do what a request needs.
    #[must_use]
    pub fn can(&self, needs: Needs) -> bool {
        self.capabilities.is_none_or(|capabilities| needs.within(capabilities))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    cluster: String,
    model: String,
    context_tokens: Option<u64>,
    capabilities: Option<Vec<RawCapability>>,
    price: Option<RawPrice>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum RawCapability {
    Vision,
    Audio,
    Files,
    Tools,
    JsonSchema,
}

/// US dollars for a million tokens. Dashboards and reports read it from the same file; the filter only checks it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    input: Decimal,
    output: Decimal,
}

impl RawTarget {
    pub(super) fn check(self, at: &str) -> Result<Target, ConfigError> {
        if let Some(price) = self.price {
            for (key, Decimal(value)) in [("input", price.input), ("output", price.output)] {
                if !(value.is_finite() && value >= 0.0) {
                    return Err(invalid(
                        &format!("{at}.price.{key}"),
                        value,
                        "is no price; use dollars per million tokens",
                    ));
                }
            }
        }
        let context_tokens = self.context_tokens.map(|n| positive(&format!("{at}.context_tokens"), n)).transpose()?;
        Ok(Target {
            cluster: header_safe(&format!("{at}.cluster"), self.cluster)?,
            model: header_safe(&format!("{at}.model"), self.model)?,
            context_tokens,
            capabilities: self.capabilities.map(|list| capabilities(&list)),
        })
    }
}

fn capabilities(list: &[RawCapability]) -> Needs {
    Needs {
        vision: list.contains(&RawCapability::Vision),
        audio: list.contains(&RawCapability::Audio),
        files: list.contains(&RawCapability::Files),
        tools: list.contains(&RawCapability::Tools),
        json_schema: list.contains(&RawCapability::JsonSchema),
    }
}
