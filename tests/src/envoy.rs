//! A real Envoy on the project's reference configuration, with ports, paths and what a test changes put in.

use crate::artifacts;
use crate::fetch;
use crate::http::{self, Endpoint, Error};
use crate::process::Process;
use crate::wait::in_time;
use serde_json::{Value, json};
use setup::{LISTENER, MODULE, replace_text, set};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

mod setup;

pub use setup::{Route, Setup};

impl Setup {
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
        let mut module = || artifacts::filter().map(|path| path.display().to_string());
        replace_text(&mut setup.bootstrap, MODULE, &mut module)?;
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
