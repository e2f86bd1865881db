//! A request that has gone on: which route it took, what is counted of it, and how its response is labelled.

use super::routes::{Route, RoutedPair};
use super::{Plugin, proxy};
use crate::config::OverrideNote;
use crate::decision::conversation::Record;
use crate::decision::{self, Decision};
use crate::terms::Reason;
use crate::wire::headers;
use crate::wire::response_id::ResponseId;
use std::rc::Rc;

/// An answer under whose id the upstream stores the conversation, and what to remember of it.
pub(super) struct StoredAnswer {
    pub(super) id: ResponseId,
    pub(super) record: Record,
}

impl StoredAnswer {
    pub(super) fn new(record: Record) -> Self {
        Self { id: ResponseId::default(), record }
    }
}

#[derive(Default)]
pub(super) struct Sent {
    /// The pair that it was decided for; `None` where the request was left alone.
    pub(super) routed: Option<Rc<RoutedPair>>,
    /// What was decided, and once that is settled, what became of it; `None` where there is nothing to count.
    pub(super) decision: Option<Decision>,
    note: Option<OverrideNote>,
    /// Where the upstream is to store the conversation.
    pub(super) stored: Option<StoredAnswer>,
    /// It has been seen which route the request took, and the request has been counted.
    pub(super) is_settled: bool,
    /// The request went to another cluster than the one decided, and nobody here knows which model it asked for there.
    is_diverted: bool,
}

impl Sent {
    /// A request that goes where its pair's policy has it go.
    pub(super) fn decided(
        routed: Rc<RoutedPair>,
        decision: Decision,
        note: Option<OverrideNote>,
        stored: Option<StoredAnswer>,
    ) -> Self {
        Self { routed: Some(routed), decision: Some(decision), note, stored, ..Self::default() }
    }

    /// A request that passes through unchanged, with what there is to count of it.
    pub(super) fn left_alone(decision: Option<Decision>) -> Self {
        Self { decision, ..Self::default() }
    }

    /// Sees which route the request took, and counts it; `decided_on` is the route that it was decided on. Where the proxy may not
    /// have chosen yet, that is left for later, unless this `is_final`.
    pub(super) fn settle(&mut self, plugin: &Plugin, decided_on: Option<&Rc<Route>>, is_final: bool) {
        if self.is_settled {
            return;
        }
        let taken = plugin.routes.current(&plugin.config);
        let is_same_route = match (decided_on, &taken) {
            (Some(decided), Some(taken)) => Rc::ptr_eq(decided, taken) || decided == taken,
            (decided, taken) => decided.is_none() && taken.is_none(),
        };
        if is_same_route && self.decision.is_none() {
            self.is_settled = true;
            return;
        }
        let cluster = proxy::cluster_name();
        let seen = self.seen(taken.as_deref(), is_same_route, &cluster);
        let is_mismatch = seen.is_some_and(|seen| seen.reason == Reason::RouteMismatch);
        if !is_mismatch {
            self.decision = seen;
        } else if proxy::has_upstream() {
            self.is_diverted = self.routed.as_ref().is_some_and(|routed| {
                self.decision.is_some_and(|decided| routed.pair.target(decided.tier).cluster.as_bytes() != cluster)
            });
            tell_mismatch(plugin, is_same_route, &cluster);
            self.decision = seen;
        } else if !is_final {
            return;
        }
        self.is_settled = true;
        if let Some(decision) = &self.decision {
            plugin.counters.count(&proxy::route_name(), self.pair_name(taken.as_deref()), decision);
        }
    }

    /// The decision, as the route taken shows it.
    fn seen(&self, taken: Option<&Route>, is_same_route: bool, cluster: &[u8]) -> Option<Decision> {
        let pair = self.routed.as_ref().or_else(|| taken?.first());
        let decided = self.decision.unwrap_or(Decision::fail_open(Reason::RouteMismatch));
        match pair {
            Some(routed) => Some(decision::as_taken(decided, &routed.pair, is_same_route, cluster)),
            // No pair that exists, neither here nor there.
            None => taken.map(|_| Decision::fail_open(Reason::RouteConfig)),
        }
    }

    /// The pair as the counters show it: the one that it was decided for, or else one of the route taken.
    fn pair_name<'a>(&'a self, taken: Option<&'a Route>) -> &'a str {
        let decided = self.routed.as_ref().filter(|routed| {
            taken.is_none_or(|taken| taken.pairs.iter().any(|other| other.pair.name == routed.pair.name))
        });
        let routed = decided.or_else(|| taken?.first()).map(|routed| routed.pair.name.as_str());
        routed.or_else(|| taken.map(|taken| taken.named.as_str())).unwrap_or_default()
    }

    /// Says on the response where the request went.
    pub(super) fn label_response(&self) {
        let Some(decision) = self.decision else { return };
        if self.routed.is_none() && decision.reason != Reason::RouteMismatch {
            return;
        }
        proxy::set_response_header(headers::TIER, decision.tier.as_str());
        proxy::set_response_header(headers::REASON, decision.reason.as_str());
        if let Some(routed) = self.routed.as_ref().filter(|_| !self.is_diverted) {
            proxy::set_response_header(headers::MODEL, &routed.pair.target(decision.tier).model);
        }
        if let Some(score) = decision.score {
            proxy::set_response_header(headers::SCORE, &format!("{score:.4}"));
        }
        if let Some(note) = self.note {
            proxy::set_response_header(headers::OVERRIDE, note.as_str());
        }
    }
}

/// Logs that requests take another route than they are decided for, or go to another cluster, and what to do.
fn tell_mismatch(plugin: &Plugin, is_same_route: bool, cluster: &[u8]) {
    let (route, cluster) = (proxy::route_name(), String::from_utf8_lossy(cluster));
    let route = String::from_utf8_lossy(&route);
    plugin.tell_once(if is_same_route {
        format!(
            "route {route:?} leads to cluster {cluster:?} whatever is decided; let it follow the header: cluster_header: {}",
            headers::CLUSTER
        )
    } else {
        format!(
            "route {route:?}: its requests are decided by another route's metadata, since a filter changes the choice of the route; \
             choose it anew right before this filter, as envoy/envoy.yaml does"
        )
    });
}
