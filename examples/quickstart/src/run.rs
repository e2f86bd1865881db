//! Builds and starts everything, sends the prompts, and stops everything again.

use crate::arguments::Arguments;
use crate::prompts::prompts;
use crate::report::{Outcome, Report};
use hybrid_llm_tests::artifacts::{self, Profile};
use hybrid_llm_tests::envoy::{Envoy, Route, Setup};
use hybrid_llm_tests::fetch;
use hybrid_llm_tests::http::{self, Endpoint, Error, post};
use hybrid_llm_tests::scorer::Scorer;
use hybrid_llm_tests::show;
use hybrid_llm_tests::upstream::StandIn;
use hyper::Uri;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::net::TcpListener;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

/// How the quickstart ended.
pub(crate) enum End {
    /// All prompts were sent.
    Done,
    /// The user stopped it.
    Interrupted,
}

/// Runs the whole quickstart.
///
/// # Errors
/// Something is missing, or in the way; the message says what to do.
pub(crate) fn run(arguments: &Arguments) -> Result<End, Error> {
    check_port(arguments.port)?;
    step("Envoy", fetch::envoy)?;
    step("ONNX Runtime", fetch::onnxruntime)?;
    step("the filter (WebAssembly)", artifacts::filter)?;
    step("the scorer", || artifacts::scorer(Profile::Dev))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            done = start_and_send(arguments) => done.map(|()| End::Done),
            _ = interrupt.recv() => Ok(End::Interrupted),
            _ = terminate.recv() => Ok(End::Interrupted),
        }
    })
}

fn check_port(port: u16) -> Result<(), Error> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(format!("port {port} can't be had ({error}); choose another with --port, or any with --port 0").into())
        }
    }
}

fn step<T, E: Into<Error>>(what: &str, make: impl FnOnce() -> Result<T, E>) -> Result<T, Error> {
    let start = Instant::now();
    let made = make().map_err(Into::into)?;
    show::aside(format_args!("✓ {what} ({:.1} s)", start.elapsed().as_secs_f64()));
    Ok(made)
}

/// Everything that runs; it all stops when this is dropped.
struct Running {
    envoy: Envoy,
    _scorer: Scorer,
    _models: [StandIn; 2],
}

async fn start_and_send(arguments: &Arguments) -> Result<(), Error> {
    let running = start(arguments).await?;
    let report = Report::new(send_all(&running.envoy, arguments).await?);
    let next = next_steps(&running.envoy, arguments);
    if !arguments.json {
        show::out(report.text(arguments))?;
        show::out(next)?;
    } else {
        show::out(report.json())?;
        if arguments.keep {
            show::aside(next);
        }
    }
    if arguments.keep {
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn start(arguments: &Arguments) -> Result<Running, Error> {
    let start = Instant::now();
    let scorer = Scorer::start(Profile::Dev, &[]).await?;
    let models = [StandIn::model("small").await, StandIn::model("large").await];
    let mut setup = Setup::reference()
        .cluster("hybrid-llm-scorer", &scorer.endpoint)
        .cluster("llama-8b", &models[0].endpoint())
        .cluster("gpt", &models[1].endpoint())
        // An unoptimised build on a busy laptop may need far longer than the 100 ms of production.
        .plugin("/scorer/timeout_ms", json!(10_000))
        .routes(&[Route::new("chat", "/", arguments.dial.metadata())])
        .listen(arguments.port);
    let real = [
        ("llama-8b", "small", &arguments.small_url, &arguments.small_model),
        ("gpt", "large", &arguments.large_url, &arguments.large_model),
    ];
    for (cluster, tier, url, model) in real {
        if let (Some(url), Some(model)) = (url, model) {
            let (host, port, tls) = address(url);
            setup = setup
                .remote_cluster(cluster, host, port, tls)
                .plugin(&format!("/pairs/chat/{tier}/model"), json!(model));
        }
    }
    let envoy = setup.start().await?;
    show::aside(format_args!("✓ scorer, Envoy and models started ({:.1} s)", start.elapsed().as_secs_f64()));
    Ok(Running { envoy, _scorer: scorer, _models: models })
}

fn address(url: &Uri) -> (&str, u16, bool) {
    let tls = url.scheme_str() == Some("https");
    (url.host().unwrap_or_default(), url.port_u16().unwrap_or(if tls { 443 } else { 80 }), tls)
}

async fn send_all(envoy: &Envoy, arguments: &Arguments) -> Result<Vec<Outcome>, Error> {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}")?;
    let bar = ProgressBar::new(prompts().len() as u64).with_style(style).with_message("sending prompts");
    let authorization = arguments.api_key.as_ref().map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
    let mut outcomes = Vec::with_capacity(prompts().len());
    for (expected, prompt) in prompts() {
        let body = json!({"model": "auto", "max_tokens": 64, "messages": [{"role": "user", "content": prompt}]});
        let start = Instant::now();
        let reply = http::send(&envoy.listener, post("/v1/chat/completions", body.to_string(), &headers)).await?;
        outcomes.push(Outcome::new(expected, prompt, &reply, start.elapsed()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(outcomes)
}

fn next_steps(envoy: &Envoy, arguments: &Arguments) -> String {
    if !arguments.keep {
        return "Next:\n  \
            cargo run -p quickstart -- --small-share 0.1    turn the dial and see the share move\n  \
            cargo run -p quickstart -- --keep               leave it running, to send prompts of your own\n  \
            envoy/envoy.yaml, envoy/routes.yaml             the configuration that just ran\n  \
            README.md                                       how to put it before your own models"
            .to_owned();
    }
    let (listener, admin) = (display(&envoy.listener), display(&envoy.admin));
    let routes = envoy.folder().join("routes.yaml");
    format!(
        "Running until Ctrl-C. Send a prompt of your own:\n\n  \
         curl -si http://{listener}/v1/chat/completions -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": \"auto\", \"messages\": [{{\"role\": \"user\", \"content\": \"What is the capital of Peru?\"}}]}}'\n\n\
         The x-hybrid-llm-* response headers say where it went and why. The counters:\n\n  \
         curl -s http://{admin}/stats/prometheus | grep ^hybrid_llm\n\n\
         Turn the dial while it runs: copy {routes}, change it, and move the copy over it.",
        routes = routes.display()
    )
}

fn display(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(addr) => addr.to_string(),
        Endpoint::Unix(path) => path.display().to_string(),
    }
}
