//! The policies of the routes that this worker has seen, resolved once for each version of a route's metadata.

use super::counters::Counters;
use super::proxy;
use crate::config::{Config, Pair, ResolvedRoute, RouteMetadata, RoutePolicy};
use proxy_wasm::types::LogLevel;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Every change of a route's metadata adds an entry; far above the routes of a real configuration, and a bound.
const MOST: usize = 4096;

/// A route that names pairs, or seems to.
pub(super) enum Route {
    /// What is done for each pair, in the order of the route's metadata; never empty.
    Pairs(Vec<Rc<RoutedPair>>),
    /// No pair that it names exists: requests go on as they came.
    UnknownPair(Counters),
}

/// One pair of a route.
pub(super) struct RoutedPair {
    pub(super) pair: Rc<Pair>,
    /// `None` where the route's metadata is wrong: to large.
    pub(super) policy: Option<RoutePolicy>,
    pub(super) counters: Counters,
}

impl Route {
    /// The pair that routes requests for this model; `None` where it is no pair's alias.
    pub(super) fn pair_for(&self, model: Option<&str>) -> Option<&Rc<RoutedPair>> {
        match self {
            Self::Pairs(pairs) => pairs.iter().find(|routed| routed.pair.routes(model)),
            Self::UnknownPair(_) => None,
        }
    }

    /// The pair that takes requests whose model is not known.
    pub(super) fn first(&self) -> Option<&Rc<RoutedPair>> {
        match self {
            Self::Pairs(pairs) => pairs.first(),
            Self::UnknownPair(_) => None,
        }
    }
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
    let named = String::from_utf8_lossy(metadata.pair.unwrap_or_default());
    let routed = |pair: Rc<Pair>, policy| {
        let counters = Counters::new(route, &pair.name);
        Rc::new(RoutedPair { pair, policy, counters })
    };
    Some(Rc::new(match metadata.resolve(config) {
        ResolvedRoute::NotRouted => return None,
        ResolvedRoute::Routed(policies) => {
            Route::Pairs(policies.into_iter().map(|policy| routed(Rc::clone(&policy.pair), Some(policy))).collect())
        }
        ResolvedRoute::Invalid { pairs, error } => {
            proxy::log(LogLevel::Error, &format!("route {route:?}: metadata hybrid_llm.{error}"));
            if pairs.is_empty() {
                Route::UnknownPair(Counters::new(route, &named))
            } else {
                Route::Pairs(pairs.into_iter().map(|pair| routed(pair, None)).collect())
            }
        }
    }))
}
