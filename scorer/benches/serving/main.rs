//! How much of bare ONNX Runtime's speed the server keeps.
//!
//!     cargo bench -p hybrid-llm --bench serving -- --onnxruntime /absolute/path/to/onnxruntime/capi
//!
//! The same texts, at batch 1 on the same number of threads, once in a bare loop over token ids and once through
//! `hybrid-llm serve` on a socket, its cache off. Both take turns within one run, query by query when alone and in rounds
//! of seconds under load, and the first turn goes back and forth, so that whatever else the machine does hits both. The
//! verdicts are the ratio of the medians of all lone queries, and the median of the rounds' ratios of throughput.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bare;
mod mix;
mod served;

use std::{error::Error, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use hybrid_llm::{encode::Encoder, router::Router};

/// Anything that stops the benchmark.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What the server may add to the median of a lone query.
const MAX_LATENCY_RATIO: f64 = 1.15;
/// What the server must keep of the throughput.
const MIN_THROUGHPUT_RATIO: f64 = 0.9;
/// How many queries are under way at once in the throughput runs.
const CONCURRENCY: usize = 32;

/// Compare `hybrid-llm serve` with a bare ONNX Runtime loop
#[derive(Debug, Parser)]
struct Args {
    /// The router's folder
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/routers/default"))]
    router: PathBuf,
    /// The ONNX Runtime library, or its folder
    #[arg(long, value_name = "PATH", env = "HYBRID_LLM_ONNXRUNTIME")]
    onnxruntime: PathBuf,
    /// How often both take their turn
    #[arg(long, default_value_t = 25)]
    rounds: usize,
    /// Texts that a round scores one at a time
    #[arg(long, default_value_t = 48)]
    lone: usize,
    /// Texts that a round scores many at once
    #[arg(long, default_value_t = 192)]
    many: usize,
    /// Single-threaded sessions, bare and served [default: the number of cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Talk to the server over a Unix socket instead of TCP
    #[arg(long)]
    unix: bool,
    /// Cargo passes this
    #[arg(long, hide = true)]
    bench: bool,
}

/// One round's figures.
struct Round {
    bare_alone: Vec<Duration>,
    served_alone: Vec<Duration>,
    /// Queries a second.
    bare_rate: f64,
    served: served::Load,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs and reports; says whether the goals are met.
fn run(args: &Args) -> Result<bool, Failure> {
    let cores = std::thread::available_parallelism()?.get();
    let threads = args.threads.unwrap_or(cores);
    let router = Router::open(&args.router)?;
    let encoder = Encoder::open(&router.tokenizer_path(), router.manifest().max_tokens)?;
    let mix = mix::Mix::new(&router, &encoder, args.rounds * args.many)?;
    println!("{}", mix.describe());
    let mut bare = bare::Bare::load(&args.onnxruntime, &router, threads)?;
    let server = served::Server::start(args, threads)?;
    let mut rounds = Vec::new();
    for number in 0..args.rounds {
        let round = take_turns(&mix, args, number, &mut bare, &server)?;
        println!(
            "round {}: c=1 p50 {:.2} ms bare, {:.2} ms served; c={CONCURRENCY} {:.0}/s bare, {:.0}/s served",
            number + 1,
            millis(quantile(&round.bare_alone, 0.5)),
            millis(quantile(&round.served_alone, 0.5)),
            round.bare_rate,
            round.served.rate,
        );
        rounds.push(round);
    }
    let wide = bare.wide(&mix.slice(0, args.rounds * args.lone))?;
    Ok(report(&rounds, &wide, threads))
}

/// One round; the bare loop goes first every other time.
fn take_turns(
    mix: &mix::Mix,
    args: &Args,
    number: usize,
    bare: &mut bare::Bare,
    server: &served::Server,
) -> Result<Round, Failure> {
    let mut lone = server.lone()?;
    let (mut bare_alone, mut served_alone) = (Vec::new(), Vec::new());
    for (index, text) in mix.slice(number * args.lone, args.lone).into_iter().enumerate() {
        if index.is_multiple_of(2) {
            bare_alone.push(bare.alone(text)?);
            served_alone.push(lone.score(text)?);
        } else {
            served_alone.push(lone.score(text)?);
            bare_alone.push(bare.alone(text)?);
        }
    }
    let many = mix.slice(number * args.many, args.many);
    let (bare_rate, served) = if number.is_multiple_of(2) {
        (bare.throughput(&many)?, server.load(&many, CONCURRENCY)?)
    } else {
        let served = server.load(&many, CONCURRENCY)?;
        (bare.throughput(&many)?, served)
    };
    Ok(Round { bare_alone, served_alone, bare_rate, served })
}

fn report(rounds: &[Round], wide: &[Duration], threads: usize) -> bool {
    let all = |of: fn(&Round) -> &[Duration]| rounds.iter().flat_map(of).copied().collect();
    let (bare, served): (Vec<_>, Vec<_>) = (all(|r| &r.bare_alone), all(|r| &r.served_alone));
    let loaded: Vec<_> = all(|r| &r.served.latencies);
    println!("\n{:<34} {:>8} {:>8} {:>8}", "", "p50 ms", "p95 ms", "p99 ms");
    row("bare, c=1, 1 thread", &bare);
    row("served, c=1, 1 thread", &served);
    row(&format!("bare, c=1, 1 session, {threads} threads"), wide);
    row(&format!("served, c={CONCURRENCY}, {threads} workers"), &loaded);
    let rate = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let (bare_rate, served_rate) = (rate(|r| r.bare_rate), rate(|r| r.served.rate));
    println!("queries a second, {threads} sessions of 1 thread: {bare_rate:.0} bare, {served_rate:.0} served");
    let latency = millis(quantile(&served, 0.5)) / millis(quantile(&bare, 0.5));
    let throughput = median(rounds.iter().map(|r| r.served.rate / r.bare_rate).collect());
    let met = |fine| if fine { "met" } else { "NOT met" };
    let (fast, strong) = (latency <= MAX_LATENCY_RATIO, throughput >= MIN_THROUGHPUT_RATIO);
    println!("p50 at c=1, served ÷ bare: {latency:.3} (goal ≤ {MAX_LATENCY_RATIO}: {})", met(fast));
    println!(
        "throughput at c={CONCURRENCY}, served ÷ bare: {throughput:.3} (goal ≥ {MIN_THROUGHPUT_RATIO}: {})",
        met(strong)
    );
    fast && strong
}

fn row(name: &str, times: &[Duration]) {
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|q| millis(quantile(times, q)));
    println!("{name:<34} {p50:>8.2} {p95:>8.2} {p99:>8.2}");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn quantile(times: &[Duration], q: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = (times.len().saturating_sub(1) as f64 * q).round() as usize;
    times.get(at).copied().unwrap_or_default()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
