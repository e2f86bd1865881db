//! A real Envoy on the project's reference configuration, with ports, paths and what a test changes put in.

use crate::artifacts;
use crate::fetch;
use crate::http::{self, Endpoint, Error};
use crate::process::Process;
use crate::wait::in_time;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const LISTENER: &str = "/static_resources/listeners/0";
const HTTP_FILTERS: &str = "/filter_chains/0/filters/0/typed_config/http_filters";
/// What a patient setup waits for a connection, a score and a body.
const PATIENT_SECONDS: u32 = 30;

/// What to start: the reference configuration, changed.
#[derive(Debug, Clone)]
pub struct Setup {
    bootstrap: Value,
    routes: Value,
    concurrency: usize,
    core: Option<usize>,
    dynamic_listener: bool,
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
        let read = |name: &str| -> Value {
            let path = artifacts::workspace().join("envoy").join(name);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
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

    /// Replaces the Wasm filter, to measure what it is compared with; null takes it out.
    #[must_use]
    pub fn instead_of_wasm(mut self, filter: Value) -> Self {
        let filters = self.http_filters();
        if filter.is_null() {
            drop(filters.remove(0))
        } else {
            filters[0] = filter
        }
        self
    }

    /// Puts another HTTP filter at the front of the chain.
    #[must_use]
    pub fn http_filter_before(mut self, filter: Value) -> Self {
        self.http_filters().insert(0, filter);
        self
    }

    fn http_filters(&mut self) -> &mut Vec<Value> {
        let filters = self.bootstrap.pointer_mut(&format!("{LISTENER}{HTTP_FILTERS}")).and_then(Value::as_array_mut);
        filters.expect("the reference has HTTP filters")
    }

    /// The Wasm filter's place in the chain, as a JSON pointer; `None` where it has been taken out.
    fn plugin_place(&self) -> Option<String> {
        let filters = self.bootstrap.pointer(&format!("{LISTENER}{HTTP_FILTERS}"))?.as_array()?;
        let index = filters.iter().position(|filter| filter["name"] == "hybrid-llm")?;
        Some(format!("{LISTENER}{HTTP_FILTERS}/{index}/typed_config/config"))
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
        let list = "/resources/0/virtual_hosts/0/routes";
        let model = self.routes.pointer(&format!("{list}/0")).cloned().expect("the reference has a route");
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
        set(&mut self.routes, list, routes);
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

    /// Delivers the listener by LDS, so that [`Envoy::update`] can change the plugin's configuration.
    #[must_use]
    pub fn dynamic_listener(mut self) -> Self {
        self.dynamic_listener = true;
        self
    }

    /// Starts Envoy and waits until it serves.
    ///
    /// # Errors
    /// A part can't be had, or Envoy refuses the configuration; the message ends with its last lines.
    pub async fn start(self) -> Result<Envoy, Error> {
        let dir = tempfile::tempdir()?;
        self.write(dir.path())?;
        let admin_file = dir.path().join("admin-address");
        let mut command = match self.core {
            None => Command::new(fetch::envoy()?),
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(fetch::envoy()?);
                command
            }
        };
        command.arg("--config-path").arg(dir.path().join("envoy.yaml"));
        command.args([
            "--log-level",
            "warning",
            "--disable-hot-restart",
            "--concurrency",
            &self.concurrency.to_string(),
            // Where the filter says how much memory it has.
            "--component-log-level",
            "wasm:info",
            // How long a line of the access log may wait to be written.
            "--file-flush-interval-msec",
            "50",
        ]);
        command.arg("--admin-address-path").arg(&admin_file);
        let log = dir.path().join("envoy.log");
        let mut process = Process::start(&mut command, &log).map_err(|error| format!("{command:?}: {error}"))?;
        let found = process.wait_for(async || find_endpoints(&admin_file).await).await;
        let (listener, admin) = found.map_err(|error| format!("Envoy {error}"))?;
        Ok(Envoy { process, dir, setup: self, listener, admin })
    }

    /// Writes the configuration's files, each moved into place as a whole.
    fn write(&self, dir: &Path) -> Result<(), Error> {
        let mut setup = self.clone();
        if setup.plugin_place().is_some() {
            setup = setup.wasm("/vm_config/code/local/filename", json!(artifacts::filter()?));
        }
        let rds = "/filter_chains/0/filters/0/typed_config/rds/config_source/path_config_source";
        let source = |name: &str| json!({"path": dir.join(name), "watched_directory": {"path": dir}});
        set(&mut setup.bootstrap, &format!("{LISTENER}{rds}"), source("routes.yaml"));
        put(dir, "routes.yaml", &setup.routes)?;
        if setup.dynamic_listener {
            let mut listener = setup.bootstrap["static_resources"]["listeners"].take();
            listener[0]["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
            setup.bootstrap["dynamic_resources"] =
                json!({"lds_config": {"path_config_source": source("listeners.yaml")}});
            put(dir, "listeners.yaml", &json!({"resources": listener}))?;
            setup.bootstrap["static_resources"]["listeners"] = json!([]);
        }
        put(dir, "envoy.yaml", &setup.bootstrap)
    }
}

/// Writes a file whose content is new: moving any file into the folder makes Envoy read all that it watches there.
fn put(dir: &Path, name: &str, content: &Value) -> Result<(), Error> {
    let (staged, file) = (dir.join(format!(".{name}.new")), dir.join(name));
    // JSON is YAML too, and leaves no doubt about what is a string: a bare `off` would be read as a boolean.
    let text = serde_json::to_string_pretty(content)?;
    if std::fs::read_to_string(&file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(&staged, text)?;
    Ok(std::fs::rename(staged, file)?)
}

fn set(document: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = document.pointer_mut(pointer) {
        *place = value;
        return;
    }
    let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}: no such place"));
    parent[key] = value;
}

/// The addresses of a listener and of the admin interface, once Envoy serves.
async fn find_endpoints(admin_file: &PathBuf) -> Option<(Endpoint, Endpoint)> {
    let admin = Endpoint::Tcp(std::fs::read_to_string(admin_file).ok()?.trim().parse().ok()?);
    if http::get(&admin, "/ready").await.ok()?.status != 200 {
        return None;
    }
    let listeners = http::get(&admin, "/listeners?format=json").await.ok()?.json();
    let address = listeners.pointer("/listener_statuses/0/local_address/socket_address")?;
    let port = u16::try_from(address["port_value"].as_u64()?).ok()?;
    Some((Endpoint::Tcp((address["address"].as_str()?.parse::<std::net::IpAddr>().ok()?, port).into()), admin))
}

/// A running Envoy; it stops when dropped.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    dir: TempDir,
    setup: Setup,
    /// Where clients connect.
    pub listener: Endpoint,
    /// Envoy's admin interface.
    pub admin: Endpoint,
}

impl Envoy {
    /// The program.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The most memory that a worker's VM has taken so far, in KiB, as the filter has logged it.
    #[must_use]
    pub fn vm_memory_kib(&self) -> Option<usize> {
        let log = self.log();
        let grown = log.lines().filter_map(|line| line.split_once("memory of this worker's VM: ")?.1.split(' ').next());
        grown.filter_map(|kib| kib.parse().ok()).max()
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The folder with its configuration: the file `routes.yaml` there may be replaced while Envoy runs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a changed configuration, as an operator would, and waits until Envoy has taken it or refused it.
    ///
    /// # Errors
    /// Envoy did neither within [`PATIENCE`](crate::wait::PATIENCE).
    pub async fn update(&mut self, change: impl FnOnce(Setup) -> Setup) -> Result<Update, Error> {
        let before = self.updates().await?;
        self.setup = change(self.setup.clone());
        self.setup.write(self.dir.path())?;
        let seen = in_time(async || match self.updates().await {
            Err(error) => Some(Err(error)),
            Ok(now) if now.refused > before.refused => Some(Ok(Update::Refused)),
            Ok(now) => (now.taken > before.taken).then_some(Ok(Update::Taken)),
        });
        seen.await.unwrap_or_else(|| Err("Envoy did not see the new configuration".into()))
    }

    async fn updates(&self) -> Result<Updates, Error> {
        let stats = http::get(&self.admin, "/stats?filter=(rds|lds)").await?.text();
        let count = |ending: &str| -> u64 {
            let values =
                stats.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| name.ends_with(ending));
            values.filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
        };
        let taken = count(".rds.llm.config_reload") + count("listener_manager.lds.update_success");
        Ok(Updates { taken, refused: count(".update_rejected") })
    }

    /// Sends one request and reads the whole response.
    ///
    /// # Errors
    /// The connection failed: never because of the filter, and so tests unwrap it.
    pub async fn send<B>(&self, request: hyper::Request<B>) -> Result<http::Reply, Error>
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        http::send(&self.listener, request).await
    }

    /// The text of `/stats/prometheus`.
    ///
    /// # Errors
    /// The admin interface does not answer.
    pub async fn stats(&self) -> Result<String, Error> {
        Ok(http::get(&self.admin, "/stats/prometheus").await?.text())
    }
}

/// What Envoy did with a changed configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// It is in force.
    Taken,
    /// The old one stays in force.
    Refused,
}

struct Updates {
    taken: u64,
    refused: u64,
}
