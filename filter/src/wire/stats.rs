//! The names of the filter's counters. Envoy turns the dotted parts into labels by the `stats_tags` of envoy/envoy.yaml.

use crate::terms::{Reason, Tier};

/// Counter of requests: `hybrid_llm_requests_total{route, pair, tier, reason}` in Prometheus.
#[must_use]
pub fn requests(route: &str, pair: &str, tier: Tier, reason: Reason) -> String {
    let (tier, reason) = (tier.as_str(), reason.as_str());
    format!("hybrid_llm_requests_total.route.{}.pair.{}.tier.{tier}.reason.{reason}", label(route), label(pair))
}

/// Counter of scored requests in shadow mode, by the tier that the score would have chosen:
/// `hybrid_llm_shadow_total{route, pair, tier}` in Prometheus.
#[must_use]
pub fn shadow(route: &str, pair: &str, would_be: Tier) -> String {
    format!("hybrid_llm_shadow_total.route.{}.pair.{}.tier.{}", label(route), label(pair), would_be.as_str())
}

/// A name as it may stand between two dots.
fn label(name: &str) -> String {
    if name.is_empty() {
        return "-".to_owned();
    }
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            requests("chat", "pair.1", Tier::Small, Reason::Score),
            "hybrid_llm_requests_total.route.chat.pair.pair_1.tier.small.reason.score"
        );
        assert_eq!(shadow("", "é b", Tier::Large), "hybrid_llm_shadow_total.route.-.pair.__b.tier.large");
    }
}
