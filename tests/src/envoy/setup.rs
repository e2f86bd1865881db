//! What a test's Envoy is started with: the reference configuration, and what the test changes in it.

use crate::artifacts;
use crate::http::Endpoint;
use serde_json::{Value, json};

pub(super) const LISTENER: &str = "/static_resources/listeners/0";
/// Where the files in `envoy/` have the filter's module.
pub(super) const MODULE: &str = "/etc/envoy/hybrid_llm_filter.wasm";
const HTTP_FILTERS: &str = "/filter_chains/0/filters/0/typed_config/http_filters";
const ROUTES: &str = "/resources/0/virtual_hosts/0/routes";
/// What a patient setup waits for a connection, a score and a body.
const PATIENT_SECONDS: u32 = 30;

/// What to start: the reference configuration, changed.
#[derive(Debug, Clone)]
pub struct Setup {
    pub(super) bootstrap: Value,
    pub(super) routes: Value,
    pub(super) concurrency: usize,
    pub(super) core: Option<usize>,
    pub(super) dynamic_listener: bool,
}

/// A route: which paths, and the `hybrid_llm` metadata (null: none).
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name, as counters show it.
    pub name: &'static str,
    /// Paths that start so; taken off before the request goes on, so that each route can lead to the same API.
    pub prefix: &'static str,
    /// What stands under `filter_metadata.hybrid_llm`.
    pub metadata: Value,
}

impl Route {
    /// A route.
    #[must_use]
    pub fn new(name: &'static str, prefix: &'static str, metadata: Value) -> Self {
        Self { name, prefix, metadata }
    }
}

impl Setup {
    /// The configuration in `envoy/`, listening on free loopback ports.
    ///
    /// # Panics
    /// The files in `envoy/` can't be read: the checkout is broken.
    #[must_use]
    pub fn reference() -> Self {
        let setup = Self {
            bootstrap: read("envoy.yaml"),
            routes: read("routes.yaml"),
            concurrency: 1,
            core: None,
            dynamic_listener: false,
        };
        let loopback = |port| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
        setup.bootstrap("/admin/address", loopback(0)).bootstrap(&format!("{LISTENER}/address"), loopback(0))
    }

    /// Takes the routes of another file in `envoy/`.
    ///
    /// # Panics
    /// The file can't be read.
    #[must_use]
    pub fn routes_file(mut self, name: &str) -> Self {
        self.routes = read(name);
        self
    }

    /// Changes the list of routes: whole routes, as Envoy reads them.
    ///
    /// # Panics
    /// The routes' file has no list of routes.
    #[must_use]
    pub fn change_routes(mut self, change: impl FnOnce(&mut Vec<Value>)) -> Self {
        change(self.routes.pointer_mut(ROUTES).and_then(Value::as_array_mut).expect("a list of routes"));
        self
    }

    /// Changes one value, by JSON pointer; adds it where only its parent exists.
    ///
    /// # Panics
    /// The parent does not exist.
    #[must_use]
    pub fn bootstrap(mut self, pointer: &str, value: Value) -> Self {
        set(&mut self.bootstrap, pointer, value);
        self
    }

    /// Changes one value of the plugin's settings beside its configuration, such as `/allow_on_headers_stop_iteration`.
    #[must_use]
    pub fn wasm(self, pointer: &str, value: Value) -> Self {
        let place = self.plugin_place().expect("the filter is there to be changed");
        self.bootstrap(&format!("{place}{pointer}"), value)
    }

    /// Changes one value of the plugin's own configuration, such as `/scorer/timeout_ms`.
    #[must_use]
    pub fn plugin(self, pointer: &str, value: Value) -> Self {
        self.wasm(&format!("/configuration/value{pointer}"), value)
    }

    /// Waits for connections, scores and bodies as long as a starved machine may need: nothing times out that would come.
    #[must_use]
    pub fn patient(mut self) -> Self {
        let clusters = self.bootstrap.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
        for cluster in clusters.expect("the reference has clusters") {
            cluster["connect_timeout"] = json!(format!("{PATIENT_SECONDS}s"));
        }
        let milliseconds = json!(PATIENT_SECONDS * 1000);
        self.plugin("/scorer/timeout_ms", milliseconds.clone()).plugin("/body_timeout_ms", milliseconds)
    }

    /// Replaces the Wasm filter and the two before it that it needs, to measure what it is compared with; null takes them out.
    #[must_use]
    pub fn instead_of_wasm(mut self, filter: Value) -> Self {
        let index = self.plugin_index().expect("the filter is there to be replaced");
        let filters = self.http_filters();
        filters.splice(index..=index, Some(filter).filter(|filter| !filter.is_null()));
        filters.retain(|filter| filter["name"] != "forget-route" && filter["name"] != "choose-route");
        self
    }

    /// Puts another HTTP filter at the front of the chain.
    #[must_use]
    pub fn http_filter_before(mut self, filter: Value) -> Self {
        self.http_filters().insert(0, filter);
        self
    }

    /// Puts another HTTP filter right before the Wasm filter.
    ///
    /// # Panics
    /// There is no Wasm filter.
    #[must_use]
    pub fn http_filter_right_before(mut self, filter: Value) -> Self {
        let index = self.plugin_index().expect("the filter is there");
        self.http_filters().insert(index, filter);
        self
    }

    /// Puts the HTTP filter of a file in `envoy/` right before the router.
    ///
    /// # Panics
    /// The file can't be read.
    #[must_use]
    pub fn last_http_filter_file(mut self, name: &str) -> Self {
        let filters = self.http_filters();
        let router = filters.len().saturating_sub(1);
        filters.insert(router, read(name));
        self
    }

    fn http_filters(&mut self) -> &mut Vec<Value> {
        let filters = self.bootstrap.pointer_mut(&format!("{LISTENER}{HTTP_FILTERS}")).and_then(Value::as_array_mut);
        filters.expect("the reference has HTTP filters")
    }

    /// The Wasm filter's place in the chain, as a JSON pointer; `None` where it has been taken out.
    pub(super) fn plugin_place(&self) -> Option<String> {
        self.plugin_index().map(|index| format!("{LISTENER}{HTTP_FILTERS}/{index}/typed_config/config"))
    }

    fn plugin_index(&self) -> Option<usize> {
        let filters = self.bootstrap.pointer(&format!("{LISTENER}{HTTP_FILTERS}"))?.as_array()?;
        filters.iter().position(|filter| filter["name"] == "hybrid-llm")
    }

    /// Sends a cluster's traffic somewhere else.
    ///
    /// # Panics
    /// The reference has no such cluster.
    #[must_use]
    pub fn cluster(mut self, name: &str, endpoint: &Endpoint) -> Self {
        let address = match endpoint {
            Endpoint::Tcp(addr) => {
                json!({"socket_address": {"address": addr.ip().to_string(), "port_value": addr.port()}})
            }
            Endpoint::Unix(path) => json!({"pipe": {"path": path}}),
        };
        let cluster = self.find_cluster(name);
        set(cluster, "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address", address);
        cluster["type"] = json!("STATIC");
        self
    }

    /// Sends a cluster's traffic to a server by name, over TLS or in plain text.
    ///
    /// # Panics
    /// The reference has no such cluster.
    #[must_use]
    pub fn remote_cluster(self, name: &str, host: &str, port: u16, tls: bool) -> Self {
        let mut setup = self.cluster(name, &Endpoint::Tcp(([127, 0, 0, 1], port).into()));
        let cluster = setup.find_cluster(name);
        let address = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/address";
        set(cluster, address, json!(host));
        cluster["type"] = json!("STRICT_DNS");
        if tls {
            let context = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
            cluster["transport_socket"] = json!({
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": context,
                    "sni": host,
                    "common_tls_context": {"validation_context": {
                        "trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"},
                        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": host}}],
                    }},
                },
            });
        }
        setup
    }

    /// Adds a cluster, like one of the reference's but for its name and endpoint.
    ///
    /// # Panics
    /// The reference has no such cluster.
    #[must_use]
    pub fn cluster_like(mut self, like: &str, name: &str, endpoint: &Endpoint) -> Self {
        let mut cluster = self.find_cluster(like).clone();
        cluster["name"] = json!(name);
        cluster["load_assignment"]["cluster_name"] = json!(name);
        let clusters = self.bootstrap.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
        clusters.expect("the reference has clusters").push(cluster);
        self.cluster(name, endpoint)
    }

    fn find_cluster(&mut self, name: &str) -> &mut Value {
        let clusters = self.bootstrap.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
        let cluster = clusters.and_then(|all| all.iter_mut().find(|cluster| cluster["name"] == name));
        cluster.unwrap_or_else(|| panic!("no cluster {name} in envoy/envoy.yaml"))
    }

    /// Listens on this loopback port instead of a free one.
    #[must_use]
    pub fn listen(self, port: u16) -> Self {
        self.bootstrap(&format!("{LISTENER}/address/socket_address/port_value"), json!(port))
    }

    /// The admin interface on this loopback port instead of a free one.
    #[must_use]
    pub fn admin(self, port: u16) -> Self {
        self.bootstrap("/admin/address/socket_address/port_value", json!(port))
    }

    /// Replaces the routes; each is the reference's route with another name, prefix and metadata.
    #[must_use]
    pub fn routes(mut self, routes: &[Route]) -> Self {
        let model = self.routes.pointer(&format!("{ROUTES}/0")).cloned().expect("the reference has a route");
        let routes = routes.iter().map(|route| {
            let mut value = model.clone();
            value["name"] = json!(route.name);
            value["match"] = json!({"prefix": route.prefix});
            if route.prefix != "/" {
                value["route"]["prefix_rewrite"] = json!("/");
            }
            match &route.metadata {
                Value::Null => drop(value.as_object_mut().map(|route| route.remove("metadata"))),
                metadata => value["metadata"]["filter_metadata"]["hybrid_llm"] = metadata.clone(),
            }
            value
        });
        let routes = routes.collect();
        set(&mut self.routes, ROUTES, routes);
        self
    }

    /// Workers; 1 unless set.
    #[must_use]
    pub fn concurrency(mut self, workers: usize) -> Self {
        self.concurrency = workers;
        self
    }

    /// Runs on this processor core only, for measurements.
    #[must_use]
    pub fn on_core(mut self, core: Option<usize>) -> Self {
        self.core = core;
        self
    }

    /// Delivers the listener by LDS, so that [`Envoy::update`](super::Envoy::update) can change the plugin's configuration.
    #[must_use]
    pub fn dynamic_listener(mut self) -> Self {
        self.dynamic_listener = true;
        self
    }
}

/// Replaces a text wherever a document has it as a whole value. The new one is made where there is anything to replace.
///
/// # Errors
/// It can't be made.
pub(super) fn replace_text<E>(
    document: &mut Value,
    old: &str,
    new: &mut impl FnMut() -> Result<String, E>,
) -> Result<(), E> {
    match document {
        Value::String(text) if text == old => *text = new()?,
        Value::Array(values) => return values.iter_mut().try_for_each(|value| replace_text(value, old, new)),
        Value::Object(members) => return members.values_mut().try_for_each(|value| replace_text(value, old, new)),
        _ => {}
    }
    Ok(())
}

/// Reads a file of `envoy/`.
fn read(name: &str) -> Value {
    let path = artifacts::workspace().join("envoy").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(super) fn set(document: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = document.pointer_mut(pointer) {
        *place = value;
        return;
    }
    let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}: no such place"));
    parent[key] = value;
}
