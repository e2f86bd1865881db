//! The thin layer that talks to the proxy: the plugin's root context and its clock.

mod counters;
mod exchange;
mod memory;
mod proxy;
mod routes;
mod sent;
mod stream;
mod verify;

use crate::config::{Config, TICK};
use crate::decision::breaker::Breaker;
use counters::Counters;
use exchange::Exchange;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use routes::{Route, Routes};
use std::arch::wasm32;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use stream::Stream;
use verify::Verify;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { plugin: None, verifies: false }));
}}

const WASM_PAGE_KIB: usize = 64;
/// Far above the mistakes in a real configuration, and a bound.
const MOST_TOLD: usize = 4096;

/// What all requests of one worker share.
struct Plugin {
    config: Config,
    routes: Routes,
    counters: Counters,
    breaker: RefCell<Breaker>,
    /// Ticks since the plugin was configured.
    now: Cell<u64>,
    /// Requests that the clock looks at, by context: their body is still arriving, or nobody has seen yet where they went.
    open: RefCell<BTreeMap<u32, Rc<Exchange>>>,
    /// What has been logged about routes, which would be said again with every request.
    told: RefCell<BTreeSet<String>>,
    /// The VM's memory that the log knows of, in KiB.
    memory: Cell<usize>,
}

impl Plugin {
    /// Logs how much memory the VM has when that has grown. It never shrinks: what is logged is the peak so far.
    fn tell_memory(&self) {
        let now = wasm32::memory_size::<0>() * WASM_PAGE_KIB;
        if self.memory.replace(now) != now {
            proxy::log(LogLevel::Info, &format!("memory of this worker's VM: {now} KiB"));
        }
    }

    /// Logs what is wrong with a route's metadata.
    fn tell_invalid(&self, route: &Route, name: &[u8]) {
        if let Some(error) = &route.error {
            self.tell_once(format!("route {:?}: metadata hybrid_llm.{error}", String::from_utf8_lossy(name)));
        }
    }

    /// Logs a mistake of the operator's, unless it has been logged.
    fn tell_once(&self, message: String) {
        let mut told = self.told.borrow_mut();
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        if !told.contains(&message) {
            proxy::log(LogLevel::Error, &message);
            told.insert(message);
        }
    }
}

struct Root {
    plugin: Option<Rc<Plugin>>,
    /// It has the second role: see [`verify`].
    verifies: bool,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        self.verifies = proxy::property(&["plugin_root_id"]).is_some_and(|id| id == verify::ROOT_ID.as_bytes());
        let json = self.get_plugin_configuration().unwrap_or_default();
        match Config::parse(&json) {
            Ok(config) => {
                self.plugin = Some(Rc::new(Plugin {
                    config,
                    routes: Routes::default(),
                    counters: Counters::default(),
                    breaker: RefCell::default(),
                    now: Cell::new(0),
                    open: RefCell::default(),
                    told: RefCell::default(),
                    memory: Cell::default(),
                }));
                self.set_tick_period(TICK);
                true
            }
            Err(error) => {
                proxy::log(LogLevel::Error, &error.to_string());
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(plugin) = &self.plugin else { return };
        let now = plugin.now.get() + 1;
        plugin.now.set(now);
        plugin.tell_memory();
        let open: Vec<_> = plugin.open.borrow().iter().map(|(id, exchange)| (*id, Rc::clone(exchange))).collect();
        for (id, exchange) in open.into_iter().filter(|(_, exchange)| exchange.is_due(now)) {
            if hostcalls::set_effective_context(id).is_ok() {
                exchange.tick();
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        // A plugin that is not configured serves no traffic; were it ever asked, it would leave every request alone.
        if let Some(plugin) = self.plugin.as_ref().filter(|_| self.verifies) {
            return Some(Box::new(Verify::new(Rc::clone(plugin))));
        }
        let exchange = self.plugin.as_ref().map(|plugin| Rc::new(Exchange::new(context_id, Rc::clone(plugin))));
        Some(Box::new(Stream(exchange)))
    }
}
