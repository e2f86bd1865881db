//! A pair of models, as it is configured.

use super::affinity::{Affinity, RawAffinity};
use super::dial::{Dial, RawDial};
use super::dial_limits::{DialLimits, RawLimits};
use super::error::{ConfigError, header_safe, invalid, request_header};
use super::explore::Explore;
use super::query::RawQuery;
use super::source::Decimal;
use super::target::{RawTarget, Target};
use crate::request::query::QueryPolicy;
use crate::terms::Tier;
use serde::Deserialize;

/// A small and a large model that answer for each other.
#[derive(Debug, PartialEq)]
pub struct Pair {
    /// The name routes use.
    pub name: String,
    /// The small model.
    pub small: Target,
    /// The large model.
    pub large: Target,
    /// Names that a request must ask for to be routed; empty: every request is routed.
    pub models: Vec<String>,
    /// The dial of routes that set none of their own.
    pub dial: Option<Dial>,
    /// Whether a request may set its own tier or dial by header.
    pub allow_override: bool,
    /// How far such a dial may go.
    pub override_limits: DialLimits,
    /// What is scored.
    pub query: QueryPolicy,
    /// Whether conversations keep their tier.
    pub affinity: Affinity,
    /// The request header whose value tells conversations apart, in lower case.
    pub affinity_header: Option<String>,
    /// The share of scored requests that goes to the other tier at random.
    pub explore: Explore,
}

impl Pair {
    /// Whether a request that asks for this model is to be routed.
    #[must_use]
    pub fn routes(&self, model: Option<&str>) -> bool {
        self.models.is_empty() || model.is_some_and(|model| self.models.iter().any(|alias| alias == model))
    }

    /// The model of a tier.
    #[must_use]
    pub fn target(&self, tier: Tier) -> &Target {
        match tier {
            Tier::Small => &self.small,
            Tier::Large => &self.large,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPair {
    small: RawTarget,
    large: RawTarget,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    dial: RawDial,
    #[serde(default)]
    allow_override: bool,
    #[serde(default)]
    override_limits: RawLimits,
    #[serde(default)]
    query: RawQuery,
    #[serde(default)]
    affinity: RawAffinity,
    affinity_header: Option<String>,
    explore: Option<Decimal>,
}

impl RawPair {
    pub(super) fn check(self, name: &str) -> Result<Pair, ConfigError> {
        let at = format!("pairs.{name}");
        let explore = self.explore.map_or(0.0, |Decimal(share)| share);
        let header = self.affinity_header.map(|header| request_header(&format!("{at}.affinity_header"), header));
        if name.contains(',') {
            return Err(invalid("pairs", format!("{name:?}"), "is no name; a comma parts the pairs of a route"));
        }
        let override_limits = self.override_limits.check(&format!("{at}.override_limits"))?;
        if !(self.allow_override || override_limits.is_free()) {
            let mend =
                "lets no request turn a dial, and so override_limits limit nothing; set it to true, or remove them";
            return Err(invalid(&format!("{at}.allow_override"), false, mend));
        }
        Ok(Pair {
            name: header_safe("pairs", name.to_owned())?,
            small: self.small.check(&format!("{at}.small"))?,
            large: self.large.check(&format!("{at}.large"))?,
            models: self.models,
            dial: self.dial.check().map_err(|error| ConfigError::Dial { at: format!("{at}.dial"), error })?,
            allow_override: self.allow_override,
            override_limits,
            query: self.query.check(&format!("{at}.query"))?,
            affinity: self.affinity.0,
            affinity_header: header.transpose()?,
            explore: Explore::new(explore)
                .ok_or_else(|| invalid(&format!("{at}.explore"), explore, "is no share; use a number from 0 to 1"))?,
        })
    }
}
