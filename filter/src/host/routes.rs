//! The policies of the routes that this worker has seen, resolved once for each version of a route's metadata.

use super::proxy;
use crate::config::{Config, Pair, ResolvedRoute, RouteError, RouteMetadata, RoutePolicy, readable_route};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Every change of a route's metadata adds an entry; far above the routes of a real configuration, and a bound.
const MOST: usize = 4096;

/// What the metadata of a route says that names pairs, or seems to.
#[derive(PartialEq)]
pub(super) struct Route {
    /// What is done for each pair, in the order of the metadata. None where no pair that it names exists: requests go on as they
    /// came.
    pub(super) pairs: Vec<Rc<RoutedPair>>,
    /// What stands in the place of the pairs.
    pub(super) named: String,
    /// What is wrong with the metadata.
    pub(super) error: Option<RouteError>,
}

/// One pair of a route.
#[derive(PartialEq)]
pub(super) struct RoutedPair {
    pub(super) pair: Rc<Pair>,
    /// `None` where the route's metadata is wrong: to large.
    pub(super) policy: Option<RoutePolicy>,
}

impl Route {
    /// The pair that routes requests for this model; `None` where it is no pair's alias.
    pub(super) fn pair_for(&self, model: Option<&str>) -> Option<&Rc<RoutedPair>> {
        self.pairs.iter().find(|routed| routed.pair.routes(model))
    }

    /// The pair that takes requests whose model is not known.
    pub(super) fn first(&self) -> Option<&Rc<RoutedPair>> {
        self.pairs.first()
    }

    fn resolve(config: &Config, metadata: &[u8]) -> Option<Self> {
        let metadata = RouteMetadata::decode(metadata);
        let named = String::from_utf8_lossy(metadata.pair.unwrap_or_default()).into_owned();
        let routed = |pair: Rc<Pair>, policy| Rc::new(RoutedPair { pair, policy });
        let (pairs, error) = match metadata.resolve(config) {
            ResolvedRoute::NotRouted => return None,
            ResolvedRoute::Routed(policies) => {
                let pairs = policies.into_iter().map(|policy| routed(Rc::clone(&policy.pair), Some(policy)));
                (pairs.collect(), None)
            }
            ResolvedRoute::Invalid { pairs, error } => {
                (pairs.into_iter().map(|pair| routed(pair, None)).collect(), Some(error))
            }
        };
        Some(Self { pairs, named, error })
    }
}

/// The routes by their metadata, as the proxy gives it.
#[derive(Default)]
pub(super) struct Routes {
    /// `None` for a route that is to be left alone.
    known: RefCell<BTreeMap<Vec<u8>, Option<Rc<Route>>>>,
}

impl Routes {
    /// The request's route as the proxy has it now: before the request goes on that is the one chosen last, which an earlier filter
    /// may have made obsolete; afterwards the one that was taken. `None` when the filter is to leave it alone.
    pub(super) fn current(&self, config: &Config) -> Option<Rc<Route>> {
        const METADATA: [&str; 4] = ["xds", "route_metadata", "filter_metadata", "hybrid_llm"];
        let [xds, route, filters, ours] = METADATA;
        let metadata =
            readable_route(proxy::metadata(&METADATA), |key| proxy::metadata(&[xds, route, filters, ours, key]))?;
        let mut known = self.known.borrow_mut();
        if let Some(route) = known.get(&metadata) {
            return route.clone();
        }
        if known.len() >= MOST {
            known.clear();
        }
        let route = Route::resolve(config, &metadata).map(Rc::new);
        known.insert(metadata, route.clone());
        route
    }
}
