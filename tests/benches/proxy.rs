//! What the filter costs: Envoy with it, against Envoy's own `ext_authz` callout and Envoy alone, in one run.
//!
//! All three face the same client, model and scorer, which answer at once; each Envoy has one worker on a core of its
//! own. They take turns, and the ratios are medians over the turns, so that the machine's moods hit all alike.
//!
//! ```text
//! cargo bench -p hybrid-llm-tests --bench proxy [-- --seconds 3 --rounds 5 --other-module BEFORE.wasm]
//! ```
//!
//! `--other-module` (an absolute path) puts another build of the filter beside this one: how it was before a change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hybrid_llm_tests::envoy::{Envoy, Route, Setup};
use hybrid_llm_tests::http::{connect, post};
use hybrid_llm_tests::upstream::{StandIn, reply};
use hybrid_llm_tests::{artifacts, scorer};
use serde_json::json;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 16;
const MEMORY_REQUESTS: usize = 100_000;

fn main() {
    if std::env::var_os("HYBRID_LLM_BENCH_PINNED").is_none() && pin_and_run_again() {
        return;
    }
    artifacts::filter().unwrap();
    let text = |name: &str| {
        let arguments: Vec<String> = std::env::args().collect();
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1).cloned())
    };
    let argument = |name: &str, default: u64| text(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, rounds, other) = (argument("--seconds", 3), argument("--rounds", 5), text("--other-module"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(Duration::from_secs(seconds), rounds as usize, other));
}

/// Runs this program once more on core 1, so that core 0 is Envoy's; false where that is not possible.
fn pin_and_run_again() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let has_taskset = Command::new("taskset").arg("--version").output().is_ok();
    if cores < 2 || !has_taskset {
        println!("note: not pinned to cores (needs two cores and taskset); the figures will vary more");
        return false;
    }
    let mut again = Command::new("taskset");
    again.args(["-c", "1"]).arg(std::env::current_exe().unwrap()).args(std::env::args().skip(1));
    let status = again.env("HYBRID_LLM_BENCH_PINNED", "1").status().unwrap();
    assert!(status.success(), "the benchmark failed: {status}");
    true
}

struct Contender {
    name: &'static str,
    envoy: Envoy,
    /// Each request begins a conversation that was not seen before, which the filter has to remember.
    begins_anew: bool,
}

impl Contender {
    fn cpu_seconds(&self) -> f64 {
        self.envoy.process().cpu_seconds().unwrap_or_default()
    }
}

async fn run(turn: Duration, rounds: usize, other: Option<String>) {
    let model = StandIn::start(|_, _| async { reply(200, r#"{"object":"chat.completion"}"#) }).await;
    let scorer = scorer::instant().await;
    let contenders = contenders(&model, &scorer, other).await;

    println!("{CONNECTIONS} connections, {rounds} rounds of {turn:?} each, one Envoy worker; requests a second");
    for (label, size) in [("700 B", 700), ("32 KiB", 32 << 10)] {
        let body = body(size);
        let mut rates = vec![Vec::new(); contenders.len()];
        let mut costs = vec![Vec::new(); contenders.len()];
        for contender in &contenders {
            load(contender, &body, Limit::Time(Duration::from_secs(1))).await;
            forget(&model, &scorer);
        }
        for _ in 0..rounds {
            for ((contender, rates), costs) in contenders.iter().zip(&mut rates).zip(&mut costs) {
                let cpu = contender.cpu_seconds();
                let (requests, took) = load(contender, &body, Limit::Time(turn)).await;
                rates.push(requests as f64 / took.as_secs_f64());
                costs.push((contender.cpu_seconds() - cpu) * 1e6 / requests as f64);
                forget(&model, &scorer);
            }
        }
        for ((contender, rates), costs) in contenders.iter().zip(&rates).zip(&costs) {
            let (rate, cost) = (median(rates.clone()), median(costs.clone()));
            println!("  {label:>7}  {:<28} {rate:>7.0}   {cost:>5.0} µs of CPU a request", contender.name);
        }
        let ratio = |a: usize, b: usize| median(rates[a].iter().zip(&rates[b]).map(|(a, b)| a / b).collect());
        println!("  {label:>7}  filter / ext_authz = {:.3}   filter / bare = {:.3}", ratio(2, 1), ratio(2, 0));
        if contenders.len() > OTHER {
            println!("  {label:>7}  filter / other module = {:.3}", ratio(2, OTHER));
        }
    }
    latency(&contenders, &model, &scorer).await;
    memory(&contenders[2], &model, &scorer).await;
    let size = std::fs::metadata(artifacts::filter().unwrap()).unwrap().len();
    println!("module: {:.0} KiB", size as f64 / 1024.0);
}

/// Where the other module stands among the contenders, if there is one.
const OTHER: usize = 4;

async fn contenders(model: &StandIn, scorer: &StandIn, other: Option<String>) -> Vec<Contender> {
    let setup = || {
        Setup::reference()
            .cluster("llama-8b", &model.endpoint())
            .cluster("gpt", &model.endpoint())
            .cluster("hybrid-llm-scorer", &scorer.endpoint())
            .routes(&[Route::new("chat", "/", json!({"pair": "chat", "threshold": 0.5}))])
            .on_core(std::env::var_os("HYBRID_LLM_BENCH_PINNED").map(|_| 0))
    };
    let ext_authz = json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "with_request_body": {"max_request_bytes": 1_048_576},
            "http_service": {
                "server_uri": {"uri": "http://scorer", "cluster": "hybrid-llm-scorer", "timeout": "5s"},
            },
        },
    });
    let start =
        async |name, setup: Setup, begins_anew| Contender { name, envoy: setup.start().await.unwrap(), begins_anew };
    let mut contenders = vec![
        start("Envoy alone", setup().instead_of_wasm(json!(null)), false).await,
        start("ext_authz with body", setup().instead_of_wasm(ext_authz), false).await,
        start("filter (rewrites the model)", setup(), false).await,
        start("filter, new conversations", setup(), true).await,
    ];
    if let Some(module) = other {
        let setup = setup().wasm("/vm_config/code/local/filename", json!(module));
        contenders.push(start("filter, other module", setup, false).await);
    }
    contenders
}

fn body(size: usize) -> Bytes {
    let frame = json!({"model": "auto", "messages": [{"role": "user", "content": ""}]}).to_string().len();
    let words: String = "How many apples are left? ".chars().cycle().take(size - frame).collect();
    json!({"model": "auto", "messages": [{"role": "user", "content": words}]}).to_string().into()
}

/// The same body, as long as before, of a conversation that begins with other words.
fn renamed(body: &Bytes) -> Bytes {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let text = std::str::from_utf8(body).unwrap();
    text.replacen("How many ", &format!("{:08x} ", NUMBER.fetch_add(1, Ordering::Relaxed)), 1).into()
}

/// A conversation of 200 turns; the name of the model stands at its end.
fn conversation(size: usize) -> Bytes {
    let words: String = "How many apples – \"ripe\" ones – are left?\n".chars().cycle().take(size / 210).collect();
    let role = |turn: usize| if turn.is_multiple_of(2) { "user" } else { "assistant" };
    let turns: Vec<_> = (0..199).map(|turn| json!({"role": role(turn), "content": words})).collect();
    let body = json!({"messages": turns, "model": "auto"}).to_string();
    assert!((950_000..1 << 20).contains(&body.len()), "{}", body.len());
    body.into()
}

enum Limit {
    Time(Duration),
    Requests(usize),
}

/// Keeps every connection busy until the limit; gives the requests answered and the time taken.
async fn load(contender: &Contender, body: &Bytes, limit: Limit) -> (usize, Duration) {
    let (envoy, begins_anew) = (&contender.envoy, contender.begins_anew);
    let done = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let (until, most) = match limit {
        Limit::Time(time) => (start + time, usize::MAX),
        Limit::Requests(most) => (start + Duration::from_secs(600), most),
    };
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (endpoint, body, done) = (envoy.listener.clone(), body.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut sender = connect::<Full<Bytes>>(&endpoint).await.unwrap();
                while Instant::now() < until && done.fetch_add(1, Ordering::Relaxed) < most {
                    let body = if begins_anew { &renamed(&body) } else { &body };
                    ask(&mut sender, body).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    (done.load(Ordering::Relaxed).min(most), start.elapsed())
}

async fn ask(sender: &mut hyper::client::conn::http1::SendRequest<Full<Bytes>>, body: &Bytes) {
    let request = post("/v1/chat/completions", body.clone(), &[]);
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap();
}

/// One request at a time: what a client waits for.
async fn latency(contenders: &[Contender], model: &StandIn, scorer: &StandIn) {
    one_at_a_time("700 B", body(700), 100, contenders, model, scorer).await;
    // Just under the reference's max_body_bytes.
    one_at_a_time("1 MiB, 200 turns", conversation(870_000), 5, contenders, model, scorer).await;
}

async fn one_at_a_time(
    label: &str,
    body: Bytes,
    asks: usize,
    contenders: &[Contender],
    model: &StandIn,
    scorer: &StandIn,
) {
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..20 {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let mut sender = connect::<Full<Bytes>>(&contender.envoy.listener).await.unwrap();
            for _ in 0..asks {
                let start = Instant::now();
                ask(&mut sender, &body).await;
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
            forget(model, scorer);
        }
    }
    for (contender, times) in contenders.iter().zip(times) {
        println!("  one at a time, {label}  {:<28} p50 {:.0} µs", contender.name, median(times));
    }
}

async fn memory(contender: &Contender, model: &StandIn, scorer: &StandIn) {
    let body = body(700);
    let resident = || contender.envoy.process().resident_kib().unwrap_or_default() as f64 / 1024.0;
    let before = resident();
    for _ in 0..10 {
        load(contender, &body, Limit::Requests(MEMORY_REQUESTS / 10)).await;
        forget(model, scorer);
    }
    println!(
        "memory of Envoy with the filter: {before:.1} MiB, and {MEMORY_REQUESTS} requests later {:.1} MiB",
        resident()
    );
    load(contender, &conversation(870_000), Limit::Requests(200)).await;
    forget(model, scorer);
    println!("memory of Envoy and 200 requests of 1 MiB later, 16 at a time: {:.1} MiB", resident());
}

/// The stand-ins record every request; a benchmark has no use for that.
fn forget(model: &StandIn, scorer: &StandIn) {
    drop((model.take(), scorer.take()));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
