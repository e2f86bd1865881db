//! The API over real sockets, with scripted models behind it.

mod api;
mod client;
mod lifecycle;

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

use self::client::Client;
use super::*;
use crate::{
    engine::{self, Engine},
    metrics::Metrics,
    model::scripted::{ScriptedModel, Stage},
    router::Manifest,
};

/// A server, and the ends of what makes it do things.
struct Server {
    scorer: Arc<Scorer>,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

/// A Unix socket that every user may open.
fn open_to_all(path: &Path) -> UnixAddress {
    UnixAddress { path: path.to_owned(), mode: 0o666 }
}

impl Server {
    /// A server without routers, on a free port.
    async fn loading(drain: Duration, unix: Option<&Path>) -> Self {
        let limits = Limits { max_body_bytes: 1000, deadline: Duration::from_secs(20) };
        let scorer = Arc::new(Scorer::new(Metrics::new().unwrap(), limits));
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners::bind(Some(any), unix.map(open_to_all).as_ref()).await.unwrap();
        let address = listeners.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { _ = stopped.await };
        let done = tokio::spawn(run(listeners, Arc::clone(&scorer), stopped, drain));
        Self { scorer, address, stop, done }
    }

    /// A server with the router `default`, of one worker and a queue of one, and the uncalibrated router `plain`.
    async fn ready() -> (Self, Stage) {
        let server = Self::loading(Duration::from_secs(20), None).await;
        let stage = server.load();
        (server, stage)
    }

    fn load(&self) -> Stage {
        let (model, stage) = ScriptedModel::new();
        let (other, _) = ScriptedModel::new();
        let calibration = json!([
            {"threshold": 0.25, "small_share": 0.5, "quality_drop": 0.05, "quality_drop_upper95": 0.0625},
            {"threshold": 0.75, "small_share": 0.25, "quality_drop": 0.01, "quality_drop_upper95": 0.03125},
        ]);
        self.scorer
            .set_routers(vec![self.served("default", calibration, model), self.served("plain", json!([]), other)]);
        stage
    }

    fn served(&self, name: &str, calibration: serde_json::Value, model: ScriptedModel) -> ServedRouter {
        let manifest = json!({
            "name": name, "version": "7", "encoder": "scripted", "max_tokens": 64, "output": "sigmoid",
            "label": "prob", "small": "s", "large": "l", "calibration": calibration,
        });
        let config = engine::Config {
            router: name.to_owned(),
            version: "7".to_owned(),
            max_tokens: 64,
            max_batch_tokens: 0,
            queue: 1,
            cache_entries: 10,
        };
        let metrics = self.scorer.metrics().engine(name);
        ServedRouter {
            manifest: Manifest::parse(manifest.to_string().as_bytes()).unwrap(),
            engine: Engine::start(config, vec![model], metrics).unwrap(),
        }
    }

    async fn client(&self) -> Client {
        Client::tcp(self.address).await
    }

    /// Sends a query on a connection of its own, and returns without its answer.
    async fn begin(&self, query: &'static str) -> JoinHandle<client::Answer> {
        let mut client = self.client().await;
        tokio::spawn(async move { client.score(query).await })
    }

    /// Waits until the metrics have this line.
    async fn until(&self, line: &str) {
        let mut client = self.client().await;
        while !client.get("/metrics").await.text().lines().any(|found| found == line) {
            tokio::task::yield_now().await;
        }
    }
}
