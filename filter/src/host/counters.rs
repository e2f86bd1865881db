//! A worker's counters, by route and pair, defined with the proxy the first time each is needed.

use crate::decision::Decision;
use crate::terms::{Reason, Tier};
use crate::wire::stats;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Far above the routes of a real configuration, and a bound where names come and go. The proxy keeps what was counted.
const MOST_ROUTES: usize = 4096;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Counter {
    Request(bool, Reason),
    Shadow(bool),
}

/// The proxy's ids of one pair's counters on one route; `None` where it has refused one.
type Ids = BTreeMap<Counter, Option<u32>>;

#[derive(Default)]
pub(super) struct Counters {
    /// By the route's name, then by the pair's.
    routes: RefCell<BTreeMap<Vec<u8>, BTreeMap<String, Ids>>>,
}

impl Counters {
    pub(super) fn count(&self, route: &[u8], pair: &str, decision: &Decision) {
        let mut routes = self.routes.borrow_mut();
        let ids = match routes.get_mut(route).and_then(|pairs| pairs.get_mut(pair)) {
            Some(ids) => ids,
            None => {
                if routes.len() >= MOST_ROUTES {
                    routes.clear();
                }
                routes.entry(route.to_vec()).or_default().entry(pair.to_owned()).or_default()
            }
        };
        let route = || String::from_utf8_lossy(route);
        let Decision { tier, reason, would_be, .. } = *decision;
        increment(ids, Counter::Request(tier == Tier::Small, reason), || stats::requests(&route(), pair, tier, reason));
        if let Some(tier) = would_be {
            increment(ids, Counter::Shadow(tier == Tier::Small), || stats::shadow(&route(), pair, tier));
        }
    }
}

fn increment(ids: &mut Ids, counter: Counter, name: impl FnOnce() -> String) {
    let define = || hostcalls::define_metric(MetricType::Counter, &name()).ok();
    if let Some(id) = *ids.entry(counter).or_insert_with(define) {
        let _ = hostcalls::increment_metric(id, 1);
    }
}
