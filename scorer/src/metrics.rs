//! What `/metrics` says. Every label is bounded: endpoints, status codes, outcomes and the names of the served routers.

use std::time::Duration;

use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder, core::Collector, linear_buckets,
};

/// The content type of the text format.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// From half a millisecond, which a cache hit takes, to the longest deadlines.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// All metrics of a scorer, in a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    scores: IntCounterVec,
    score: HistogramVec,
    cache: IntCounterVec,
    queue_jobs: IntGauge,
    queue_tokens: IntGauge,
    queue_seconds: Histogram,
    inference_seconds: Histogram,
    batch_size: Histogram,
    tokens: IntCounter,
    tokens_per_second: Gauge,
    refused: IntCounterVec,
    dropped: IntCounterVec,
    ready: IntGauge,
    build_info: GaugeVec,
}

/// What one engine counts, with its labels already filled in.
#[derive(Debug, Clone)]
pub struct EngineMetrics {
    pub(crate) scores: IntCounter,
    pub(crate) score: Histogram,
    pub(crate) cache_hits: IntCounter,
    pub(crate) cache_misses: IntCounter,
    pub(crate) cache_joined: IntCounter,
    pub(crate) queue_seconds: Histogram,
    pub(crate) inference_seconds: Histogram,
    pub(crate) batch_size: Histogram,
    pub(crate) tokens: IntCounter,
    pub(crate) refused_full: IntCounter,
    pub(crate) refused_deadline: IntCounter,
    pub(crate) expired: IntCounter,
    pub(crate) abandoned: IntCounter,
}

/// The state of an engine at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineStatus {
    /// Queries that wait.
    pub queued_jobs: usize,
    /// Their tokens, partly estimated.
    pub queued_tokens: usize,
    /// What all workers manage together, by recent measurement.
    pub tokens_per_second: f64,
}

impl Metrics {
    /// Registers every metric, all at zero.
    ///
    /// # Errors
    /// None in practice: the names are fixed, valid and distinct, which every test that makes a `Metrics` sees.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("hybrid_llm_scorer".to_owned()), None)?;
        let keep = Register(&registry);
        Ok(Self {
            requests: keep.counters(
                "requests_total",
                "API requests answered; probes are not counted. Code 499: the client left first.",
                &["endpoint", "code"],
            )?,
            request_seconds: keep.histograms(
                "request_seconds",
                "Time from a request's head to its answer.",
                &SECONDS,
                &["endpoint"],
            )?,
            scores: keep.counters("scores_total", "Scores given.", &["router"])?,
            score: keep.histograms(
                "score",
                "Distribution of the scores given; compare with the router's reference histogram to see drift.",
                &linear_buckets(0.05, 0.05, 20)?,
                &["router"],
            )?,
            cache: keep.counters(
                "cache_total",
                "Queries by how their score was come by: kept from before (hit), computed (miss), or computed for an equal query at the same time (joined).",
                &["result"],
            )?,
            queue_jobs: keep.add(IntGauge::new("queue_jobs", "Queries that wait for a worker.")?)?,
            queue_tokens: keep.add(IntGauge::new(
                "queue_tokens",
                "Their tokens, estimated for those that are not tokenized yet.",
            )?)?,
            queue_seconds: keep.histogram(
                "queue_seconds",
                "Time that queries waited for a worker.",
                &SECONDS,
            )?,
            inference_seconds: keep.histogram(
                "inference_seconds",
                "Time of one batch in the model.",
                &SECONDS,
            )?,
            batch_size: keep.histogram(
                "batch_size",
                "Queries that ran together.",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            )?,
            tokens: keep.add(IntCounter::new("tokens_total", "Tokens scored, padding not counted.")?)?,
            tokens_per_second: keep.add(Gauge::new(
                "tokens_per_second",
                "Recent throughput of all workers together; admission control uses it.",
            )?)?,
            refused: keep.counters(
                "refused_total",
                "Queries refused by admission control: the queue was full (queue_full), or would have taken too long (deadline).",
                &["reason"],
            )?,
            dropped: keep.counters(
                "dropped_total",
                "Queries dropped from the queue: their deadline had passed (expired), or nobody waited any more (abandoned).",
                &["reason"],
            )?,
            ready: keep.add(IntGauge::new("ready", "1 when queries are scored, else 0.")?)?,
            build_info: keep.add(GaugeVec::new(
                Opts::new("build_info", "Always 1; the labels say what runs."),
                &["version", "onnxruntime", "provider"],
            )?)?,
            registry,
        })
    }

    /// The metrics of a router's engine.
    pub fn engine(&self, router: &str) -> EngineMetrics {
        EngineMetrics {
            scores: self.scores.with_label_values(&[router]),
            score: self.score.with_label_values(&[router]),
            cache_hits: self.cache.with_label_values(&["hit"]),
            cache_misses: self.cache.with_label_values(&["miss"]),
            cache_joined: self.cache.with_label_values(&["joined"]),
            queue_seconds: self.queue_seconds.clone(),
            inference_seconds: self.inference_seconds.clone(),
            batch_size: self.batch_size.clone(),
            tokens: self.tokens.clone(),
            refused_full: self.refused.with_label_values(&["queue_full"]),
            refused_deadline: self.refused.with_label_values(&["deadline"]),
            expired: self.dropped.with_label_values(&["expired"]),
            abandoned: self.dropped.with_label_values(&["abandoned"]),
        }
    }

    /// Says what runs, in `build_info`.
    pub fn set_build(&self, onnxruntime: &str, provider: &str) {
        let version = env!("CARGO_PKG_VERSION");
        self.build_info.with_label_values(&[version, onnxruntime, provider]).set(1.0);
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    pub(crate) fn request(&self, endpoint: &str, code: u16, took: Duration) {
        self.requests.with_label_values(&[endpoint, &code.to_string()]).inc();
        self.request_seconds.with_label_values(&[endpoint]).observe(took.as_secs_f64());
    }

    /// The text format, with the engines' state as it is now.
    pub(crate) fn render(&self, engines: impl Iterator<Item = EngineStatus>) -> Vec<u8> {
        let (mut jobs, mut tokens, mut rate) = (0, 0, 0.0);
        for status in engines {
            jobs += status.queued_jobs;
            tokens += status.queued_tokens;
            rate += status.tokens_per_second;
        }
        self.queue_jobs.set(i64::try_from(jobs).unwrap_or(i64::MAX));
        self.queue_tokens.set(i64::try_from(tokens).unwrap_or(i64::MAX));
        self.tokens_per_second.set(rate);
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }
}

/// Makes metrics and registers them.
struct Register<'a>(&'a Registry);

impl Register<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(Histogram::with_opts(options)?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(options, labels)?)
    }
}
