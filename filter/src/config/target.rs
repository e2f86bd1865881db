//! One of a pair's two models, as it is configured.

use super::error::{ConfigError, header_safe, invalid, positive};
use super::refusals::{RawRefusals, Refusals};
use super::source::Decimal;
use crate::request::api::{Needs, Request};
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
    /// The most that it can write in one answer; `None`: no limit.
    pub output_tokens: Option<u64>,
    /// What it can do beyond text; `None`: everything.
    pub capabilities: Option<Needs>,
    /// What it refuses whatever its capabilities are.
    pub refuses: Refusals,
}

impl Target {
    /// Whether the model can answer a request that has these `needs`: it has the capabilities, can write as much as the client
    /// lets it, and refuses nothing that the request has. `header` gives a request header's values, with commas between them.
    #[must_use]
    pub fn can_answer(&self, request: &Request<'_>, needs: Needs, header: &dyn Fn(&str) -> Option<Vec<u8>>) -> bool {
        self.capabilities.is_none_or(|capabilities| needs.within(capabilities))
            && self.output_tokens.is_none_or(|most| request.max_output_tokens <= most)
            && !self.refuses.refuse(request, header)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    cluster: String,
    model: String,
    context_tokens: Option<u64>,
    output_tokens: Option<u64>,
    capabilities: Option<Vec<RawCapability>>,
    #[serde(default)]
    refuses: RawRefusals,
    price: Option<RawPrice>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum RawCapability {
    Vision,
    Audio,
    Files,
    Tools,
    HostedTools,
    JsonSchema,
    Thinking,
    Prefill,
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
        let tokens = |key: &str, limit: Option<u64>| limit.map(|n| positive(&format!("{at}.{key}"), n)).transpose();
        Ok(Target {
            cluster: header_safe(&format!("{at}.cluster"), self.cluster)?,
            model: header_safe(&format!("{at}.model"), self.model)?,
            context_tokens: tokens("context_tokens", self.context_tokens)?,
            output_tokens: tokens("output_tokens", self.output_tokens)?,
            refuses: self.refuses.check(&format!("{at}.refuses"))?,
            capabilities: self.capabilities.map(|list| capabilities(&list)),
        })
    }
}

fn capabilities(list: &[RawCapability]) -> Needs {
    let has = |capability| list.contains(&capability);
    Needs {
        vision: has(RawCapability::Vision),
        audio: has(RawCapability::Audio),
        files: has(RawCapability::Files),
        tools: has(RawCapability::Tools),
        hosted_tools: has(RawCapability::HostedTools),
        json_schema: has(RawCapability::JsonSchema),
        thinking: has(RawCapability::Thinking),
        prefill: has(RawCapability::Prefill),
        // Nothing that a list could name.
        unknown: false,
    }
}
