//! One route's counters, defined with the proxy the first time each is needed.

use crate::decision::Decision;
use crate::terms::{Reason, Tier};
use crate::wire::stats;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Counter {
    Request(bool, Reason),
    Shadow(bool),
}

pub(super) struct Counters {
    route: String,
    pair: String,
    ids: RefCell<BTreeMap<Counter, Option<u32>>>,
}

impl Counters {
    pub(super) fn new(route: &str, pair: &str) -> Self {
        Self { route: route.to_owned(), pair: pair.to_owned(), ids: RefCell::default() }
    }

    pub(super) fn count(&self, decision: &Decision) {
        let Decision { tier, reason, would_be, .. } = *decision;
        self.increment(Counter::Request(tier == Tier::Small, reason), || {
            stats::requests(&self.route, &self.pair, tier, reason)
        });
        if let Some(tier) = would_be {
            self.increment(Counter::Shadow(tier == Tier::Small), || stats::shadow(&self.route, &self.pair, tier));
        }
    }

    fn increment(&self, counter: Counter, name: impl FnOnce() -> String) {
        let id = *(self.ids.borrow_mut().entry(counter))
            .or_insert_with(|| hostcalls::define_metric(MetricType::Counter, &name()).ok());
        if let Some(id) = id {
            let _ = hostcalls::increment_metric(id, 1);
        }
    }
}
