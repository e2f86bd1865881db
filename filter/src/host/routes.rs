//! The policies of the routes that this worker has seen, resolved once for each version of a route's metadata.

use super::counters::Counters;
use super::proxy;
use crate::config::{Config, Pair};
use crate::policy::{Policy, RouteMetadata, RoutePolicy};
use proxy_wasm::types::LogLevel;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Every change of a route's metadata adds an entry; far above the routes of a real configuration, and a bound.
const MOST: usize = 4096;

/// A route that names a pair.
pub(super) struct Route {
    pub(super) plan: RoutePlan,
    pub(super) counters: Counters,
}

impl Route {
    /// The route's pair; `None` where the metadata names one that does not exist.
    pub(super) fn pair(&self) -> Option<&Pair> {
        match &self.plan {
            RoutePlan::Apply(policy) => Some(&policy.pair),
            RoutePlan::Broken(pair) => pair.as_deref(),
        }
    }
}

pub(super) enum RoutePlan {
    Apply(Policy),
    /// The metadata is wrong: to large of this pair, or on as it came where the pair is unknown.
    Broken(Option<Rc<Pair>>),
}

/// A route's metadata and name, as the proxy gives them.
type Key = (Vec<u8>, Vec<u8>);

#[derive(Default)]
pub(super) struct Routes {
    /// `None` for a route that is to be left alone.
    known: RefCell<BTreeMap<Key, Option<Rc<Route>>>>,
}

impl Routes {
    /// The request's route; `None` when the filter is to leave it alone.
    pub(super) fn current(&self, config: &Config) -> Option<Rc<Route>> {
        let metadata = proxy::property(&["xds", "route_metadata", "filter_metadata", "hybrid_llm"])?;
        let name = proxy::property(&["xds", "route_name"]).unwrap_or_default();
        let mut known = self.known.borrow_mut();
        if known.len() >= MOST {
            known.clear();
        }
        known
            .entry((metadata, name))
            .or_insert_with_key(|(metadata, name)| resolve(config, metadata, &String::from_utf8_lossy(name)))
            .clone()
    }
}

fn resolve(config: &Config, metadata: &[u8], route: &str) -> Option<Rc<Route>> {
    let metadata = RouteMetadata::decode(metadata);
    let pair = String::from_utf8_lossy(metadata.pair?);
    let plan = match metadata.resolve(config) {
        RoutePolicy::Leave => return None,
        RoutePolicy::Apply(policy) => RoutePlan::Apply(policy),
        RoutePolicy::Broken { pair, error } => {
            proxy::log(LogLevel::Error, &format!("route {route:?}: metadata hybrid_llm.{error}"));
            RoutePlan::Broken(pair)
        }
    };
    Some(Rc::new(Route { plan, counters: Counters::new(route, &pair) }))
}
