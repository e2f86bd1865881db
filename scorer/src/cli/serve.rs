//! `hybrid-llm serve`: the sidecar.

use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    Failure,
    args::{LogFormat, LogLevel, RuntimeArgs},
};
use crate::{
    engine::{self, Engine},
    http::{self, Limits, Listeners, Scorer, ServedRouter, UnixAddress},
    metrics::Metrics,
    model::OnnxModel,
    router::Router,
    runtime::{Provider, Runtime},
};

/// Threads for connections; the models have their own. One serves far more requests than models can score, and a lone
/// request crosses fewer threads.
const HTTP_THREADS: usize = 1;

/// Serve routers to Envoy, over TCP on this machine or a Unix socket
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  hybrid-llm serve --router routers/default --unix /run/hybrid-llm.sock --listen none\n\n\
                  Envoy often runs as a different user than the scorer. By default every local user can connect to the Unix \
                  socket, as with a TCP port on loopback. To restrict access, use the permissions of its directory, or \
                  --unix-mode 0660 with a group that both are members of. The directory must exist.\n\n\
                  It is ready when GET /readyz answers 200. SIGTERM drains it: /readyz answers 503, no connection is \
                  accepted, and what is under way is answered."
)]
pub(super) struct Args {
    /// A router's folder, with router.json, model.onnx and tokenizer.json; repeat it for several. Requests name a router by
    /// the name in its router.json; the first is used where they name none
    #[arg(long = "router", value_name = "DIR", required = true, value_delimiter = ',', env = "HYBRID_LLM_ROUTER")]
    routers: Vec<PathBuf>,

    /// The TCP address, or `none`
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8088", value_parser = listen, env = "HYBRID_LLM_LISTEN")]
    listen: Listen,

    /// Let --listen be an address that other machines reach. There is no authentication
    #[arg(long, env = "HYBRID_LLM_ALLOW_REMOTE")]
    allow_remote: bool,

    /// A Unix socket to listen on
    #[arg(long, value_name = "PATH", env = "HYBRID_LLM_UNIX")]
    unix: Option<PathBuf>,

    /// The permissions of the Unix socket, in octal; Envoy's user needs write permission
    #[arg(long, value_name = "MODE", default_value = "0666", value_parser = mode, env = "HYBRID_LLM_UNIX_MODE")]
    unix_mode: u32,

    #[command(flatten)]
    runtime: RuntimeArgs,

    /// The most tokens of a batch, with padding; 0 runs queries one by one, which is best on processors [default: 0; with
    /// cuda 16384]
    #[arg(long, value_name = "N", help_heading = "Inference", env = "HYBRID_LLM_MAX_BATCH_TOKENS")]
    max_batch_tokens: Option<usize>,

    /// The most queries that wait, for each router; more are answered 429
    #[arg(long, value_name = "N", default_value = "1024", help_heading = "Limits", env = "HYBRID_LLM_QUEUE")]
    queue: NonZeroUsize,

    /// How long a query may take whose request has no x-envoy-expected-rq-timeout-ms
    #[arg(long, value_name = "MS", default_value = "1000", help_heading = "Limits", value_parser = clap::value_parser!(u64).range(1..=60_000), env = "HYBRID_LLM_DEADLINE_MS")]
    deadline_ms: u64,

    /// The most scores that are kept, for each router; 0 turns the cache off
    #[arg(long, value_name = "N", default_value = "100000", help_heading = "Limits", env = "HYBRID_LLM_CACHE_ENTRIES")]
    cache_entries: usize,

    /// How long a drain may take
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "10",
        help_heading = "Limits",
        env = "HYBRID_LLM_DRAIN_SECONDS"
    )]
    drain_seconds: u64,

    /// The largest request; larger ones are answered 413
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "2097152",
        help_heading = "Limits",
        env = "HYBRID_LLM_MAX_BODY_BYTES"
    )]
    max_body_bytes: NonZeroUsize,

    /// How the log on stderr is written
    #[arg(long, value_enum, default_value_t = LogFormat::Text, help_heading = "Log", env = "HYBRID_LLM_LOG")]
    log: LogFormat,

    /// What is logged; never a query
    #[arg(long, value_enum, default_value_t = LogLevel::Info, help_heading = "Log", env = "HYBRID_LLM_LOG_LEVEL")]
    log_level: LogLevel,
}

/// `--listen`.
#[derive(Debug, Clone, Copy)]
enum Listen {
    None,
    Address(SocketAddr),
}

fn listen(text: &str) -> Result<Listen, String> {
    if text == "none" {
        return Ok(Listen::None);
    }
    let parsed = text.parse().map(Listen::Address);
    parsed.map_err(|_| "must be an IP address and port such as 127.0.0.1:8088, or none".to_owned())
}

fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let mode = octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| {
        "must be permissions in octal, such as 0660 (the owner and the group) or 0666 (everybody)".to_owned()
    })
}

/// The arguments, checked.
#[derive(Debug)]
struct Config {
    tcp: Option<SocketAddr>,
    unix: Option<UnixAddress>,
    routers: Vec<PathBuf>,
    runtime: RuntimeArgs,
    max_batch_tokens: usize,
    queue: usize,
    cache_entries: usize,
    limits: Limits,
    drain: Duration,
    log: LogFormat,
}

impl Args {
    fn check(self) -> Result<Config, Failure> {
        let tcp = match self.listen {
            Listen::None => None,
            Listen::Address(address) => Some(address),
        };
        if tcp.is_none() && self.unix.is_none() {
            let problem = "--listen none needs --unix: there is nothing to listen on";
            return Err(Failure::Usage(problem.to_owned()));
        }
        if let Some(address) = tcp.filter(|address| !address.ip().is_loopback())
            && !self.allow_remote
        {
            return Err(Failure::Usage(format!(
                "--listen {address} would let other machines send queries: use 127.0.0.1, or add --allow-remote"
            )));
        }
        let default = match self.runtime.provider() {
            Provider::Cpu => 0,
            Provider::Cuda => 16_384,
        };
        Ok(Config {
            tcp,
            unix: self.unix.map(|path| UnixAddress { path, mode: self.unix_mode }),
            routers: self.routers,
            max_batch_tokens: self.max_batch_tokens.unwrap_or(default),
            runtime: self.runtime,
            queue: self.queue.get(),
            cache_entries: self.cache_entries,
            limits: Limits {
                max_body_bytes: self.max_body_bytes.get(),
                deadline: Duration::from_millis(self.deadline_ms),
            },
            drain: Duration::from_secs(self.drain_seconds),
            log: self.log,
        })
    }
}

/// Serves until a signal.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    super::log(args.log, args.log_level);
    let config = args.check()?;
    let routers = open(&config.routers)?;
    let runtime = config.runtime.load()?;
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("http")
        .enable_all()
        .build()?;
    tokio.block_on(serve(config, routers, runtime))
}

/// Opens the routers' folders; their names must differ.
fn open(folders: &[PathBuf]) -> Result<Vec<Router>, Failure> {
    let mut names = HashSet::new();
    let mut routers = Vec::new();
    for folder in folders {
        let router = Router::open(folder)?;
        let name = router.manifest().name.clone();
        if names.contains(&name) {
            let folder = folder.display();
            return Err(format!("two routers are named {name}; change \"name\" in {folder}/router.json").into());
        }
        names.insert(name);
        routers.push(router);
    }
    Ok(routers)
}

async fn serve(config: Config, routers: Vec<Router>, runtime: Runtime) -> Result<(), Failure> {
    // Before anything else that takes time, so that a signal while loading is not lost.
    let mut stopped = pin!(stop_signal()?);
    let listeners = Listeners::bind(config.tcp, config.unix.as_ref()).await?;
    let place = listeners.to_string();
    let metrics = Metrics::new()?;
    metrics.set_build(&runtime.version(), runtime.provider().name());
    let scorer = Arc::new(Scorer::new(metrics, config.limits));
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(http::run(listeners, Arc::clone(&scorer), async { _ = stopping.await }, config.drain));
    let loading = tokio::task::spawn_blocking({
        let scorer = Arc::clone(&scorer);
        move || load(&config, routers, &runtime, &scorer, &place)
    });
    let loaded = tokio::select! {
        loaded = loading => Some(loaded?),
        // Loading cannot be interrupted, so the program ends when it is through.
        () = &mut stopped => None,
    };
    let result = match loaded {
        Some(Ok(())) => {
            stopped.await;
            Ok(())
        }
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    drop(stop);
    server.await?;
    result
}

/// Loads and warms every router, and says that the scorer is ready.
fn load(config: &Config, routers: Vec<Router>, runtime: &Runtime, scorer: &Scorer, place: &str) -> Result<(), Failure> {
    let started = Instant::now();
    let shares = share(config.runtime.workers(), routers.len());
    let mut served = Vec::new();
    for (router, workers) in routers.iter().zip(shares) {
        let manifest = router.manifest().clone();
        let models = OnnxModel::load(runtime, router, workers, config.runtime.threads())?;
        let engine = engine::Config {
            router: manifest.name.clone(),
            version: manifest.version.clone(),
            max_tokens: manifest.max_tokens,
            max_batch_tokens: config.max_batch_tokens,
            queue: config.queue,
            cache_entries: config.cache_entries,
        };
        let metrics = scorer.metrics().engine(&manifest.name);
        let engine = Engine::start(engine, models, metrics)?;
        tracing::info!(
            router = manifest.name,
            version = manifest.version,
            workers,
            tokens_per_second = engine.status().tokens_per_second.round(),
            "router warmed"
        );
        served.push(ServedRouter { manifest, engine });
    }
    scorer.set_routers(served);
    if scorer.open().is_err() {
        return Ok(());
    }
    let took = started.elapsed().as_secs_f64();
    match config.log {
        LogFormat::Text => super::aside(format_args!("hybrid-llm is ready on {place} (loaded in {took:.1} s)")),
        LogFormat::Json => tracing::info!(listen = place, seconds = took, "ready"),
    }
    Ok(())
}

/// Divides the workers evenly between the routers: at least one each, and the first get what is left over.
fn share(workers: usize, routers: usize) -> impl Iterator<Item = usize> {
    let (each, over) = (workers / routers.max(1), workers % routers.max(1));
    (0..routers).map(move |router| (each + usize::from(router < over)).max(1))
}

/// Completes at SIGTERM or SIGINT.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_shared_evenly_and_every_router_has_one() {
        let shares = |workers, routers| share(workers, routers).collect::<Vec<_>>();
        assert_eq!(shares(8, 1), [8]);
        assert_eq!(shares(8, 3), [3, 3, 2]);
        assert_eq!(shares(1, 3), [1, 1, 1]);
    }
}
