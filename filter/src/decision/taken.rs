//! What becomes of a decision where the request takes another route than it was decided for.

use super::Decision;
use crate::config::{Pair, Target};
use crate::terms::{Reason, Tier};

/// What became of a decision once the request has gone. The proxy may choose its route after the decision, and by headers that
/// the decision did not know of: `is_same_route` tells whether the route taken has the policy that decided, and `cluster` is where
/// it leads (empty: not known). The tier is then the one whose cluster that is, if any, and the reason says that something is wrong.
#[must_use]
pub fn as_taken(decided: Decision, pair: &Pair, is_same_route: bool, cluster: &[u8]) -> Decision {
    let leads_to = |tier: &Tier| pair.target(*tier).cluster.as_bytes() == cluster;
    let is_decided_cluster = cluster.is_empty() || leads_to(&decided.tier);
    if is_same_route && is_decided_cluster {
        return decided;
    }
    let tier =
        Some(decided.tier.other()).filter(|other| !is_decided_cluster && leads_to(other)).unwrap_or(decided.tier);
    Decision { tier, reason: Reason::RouteMismatch, would_be: None, ..decided }
}

/// The name to put in the place of `model` in a request that was decided for one cluster while its route leads to another: that of
/// the pair's other model where it is there, or else of any model that is, or else the pair's alias, which names no model at all.
/// `None` where the name was not the decision's, or where there is no better one.
pub fn name_for<'a>(
    pairs: impl Iterator<Item = &'a Pair> + Clone,
    decided: &[u8],
    taken: &[u8],
    model: &str,
) -> Option<&'a str> {
    let tiers = |pair: &'a Pair| [&pair.small, &pair.large];
    let is_decided = |target: &&Target| target.cluster.as_bytes() == decided && target.model == model;
    let is_taken = |target: &&Target| target.cluster.as_bytes() == taken;
    let pair = pairs.clone().find(|pair| tiers(pair).iter().any(is_decided))?;
    let own = tiers(pair).into_iter().find(is_taken);
    let other = own.or_else(|| pairs.flat_map(tiers).find(is_taken)).map(|target| target.model.as_str());
    other.or_else(|| pair.models.first().map(String::as_str))
}
