//! The engine of one router: cache, admission control, queue and workers.
//!
//! Every router has an engine of its own, with its own queue and workers, so a slow router cannot hold up another's
//! queries. A worker is an operating system thread with its own session; requests wait for it asynchronously.

mod admission;
mod batch;
mod cache;
mod queue;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::{
    admission::Throughput,
    cache::{ScoreCache, Source},
    queue::{Job, PushError, Queue},
};
use crate::{
    encode,
    metrics::{EngineMetrics, EngineStatus},
    model::{Model, ModelError},
};

/// How an engine works.
#[derive(Debug, Clone)]
pub struct Config {
    /// The router's name, part of the cache's key.
    pub router: String,
    /// The router's version, part of the cache's key.
    pub version: String,
    /// The router's length in tokens.
    pub max_tokens: usize,
    /// The most tokens of a batch, padding included; 0 for batches of one query.
    pub max_batch_tokens: usize,
    /// The most queries that wait.
    pub queue: usize,
    /// The most scores that are kept; 0 turns the cache off, and with it the sharing of equal queries.
    pub cache_entries: usize,
}

/// What requests and workers share.
#[derive(Debug)]
struct Inner {
    config: Config,
    queue: Queue,
    throughput: Throughput,
    metrics: EngineMetrics,
}

/// Scores texts on its workers until it is dropped; dropping it waits for the batches that run.
#[derive(Debug)]
pub struct Engine {
    inner: Arc<Inner>,
    cache: Option<ScoreCache>,
    workers: Vec<JoinHandle<()>>,
}

/// Why there is no score.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// As many queries wait as may.
    #[error("the queue is full")]
    QueueFull,
    /// The queries ahead would take longer than the caller waits.
    #[error("the queries ahead take too long for the deadline, by about {} ms", late.as_millis())]
    WouldMissDeadline {
        /// By how much.
        late: Duration,
    },
    /// The deadline passed before there was a score.
    #[error("no score before the deadline")]
    DeadlineExceeded,
    /// The engine is shutting down, or a worker has failed badly.
    #[error("the engine gave no answer")]
    Closed,
    /// The model failed.
    #[error(transparent)]
    Model(Arc<ModelError>),
}

/// An engine that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A worker's thread could not be started.
    #[error("cannot start a worker thread")]
    Thread(#[from] io::Error),
    /// The model fails even on warm-up batches.
    #[error("the model of router {router} fails its warm-up")]
    Warm {
        /// The router.
        router: String,
        /// How it fails.
        source: ModelError,
    },
    /// A worker died while it warmed up.
    #[error("a worker of router {0} died while it warmed up")]
    Died(String),
}

impl Engine {
    /// Starts a worker for each model, and returns when all have warmed up. Blocks for seconds with real models.
    ///
    /// # Errors
    /// [`StartError`], when a model fails its warm-up.
    pub fn start<M: Model + 'static>(
        config: Config,
        models: Vec<M>,
        metrics: EngineMetrics,
    ) -> Result<Self, StartError> {
        let cache = (config.cache_entries > 0).then(|| ScoreCache::new(config.cache_entries));
        let inner =
            Arc::new(Inner { queue: Queue::new(config.queue), throughput: Throughput::default(), config, metrics });
        let mut engine = Self { inner: Arc::clone(&inner), cache, workers: Vec::new() };
        let (warmed, results) = mpsc::channel();
        for (number, mut model) in models.into_iter().enumerate() {
            let inner = Arc::clone(&inner);
            let warmed = warmed.clone();
            let work = move || {
                let result = worker::warm(&inner, &mut model);
                let fit = result.is_ok();
                // Fails only when the engine has been given up.
                let _ = warmed.send(result);
                drop(warmed);
                if fit {
                    worker::run(&inner, &mut model);
                }
            };
            let thread = thread::Builder::new().name(format!("scorer-{number}"));
            engine.workers.push(thread.spawn(work)?);
        }
        drop(warmed);
        for _ in 0..engine.workers.len() {
            let router = inner.config.router.clone();
            match results.recv() {
                Ok(Ok(())) => {}
                Ok(Err(source)) => return Err(StartError::Warm { router, source }),
                Err(_) => return Err(StartError::Died(router)),
            }
        }
        Ok(engine)
    }

    /// The score of a text: from the cache, from an equal query under way, or from a worker.
    ///
    /// Dropping the future withdraws the query; a worker that has not begun it will not.
    ///
    /// # Errors
    /// [`ScoreError`], at the latest when the deadline has passed.
    pub async fn score(&self, text: &str, deadline: Instant) -> Result<f64, ScoreError> {
        let config = &self.inner.config;
        let text = encode::cut(text, config.max_tokens);
        let scored = async {
            let Some(cache) = &self.cache else {
                return self.enqueue(text, deadline).await;
            };
            let key = cache::key(&config.router, &config.version, text);
            let (source, result) = cache.get_or(&key, async || self.enqueue(text, deadline).await).await;
            let metrics = &self.inner.metrics;
            match source {
                Source::Hit => metrics.cache_hits.inc(),
                Source::Miss => metrics.cache_misses.inc(),
                Source::Joined => metrics.cache_joined.inc(),
            }
            result
        };
        let result =
            tokio::time::timeout_at(deadline.into(), scored).await.unwrap_or(Err(ScoreError::DeadlineExceeded));
        if let Ok(score) = result {
            self.inner.metrics.scores.inc();
            self.inner.metrics.score.observe(score);
        }
        result
    }

    /// Queues a job, if admission control accepts it, and waits for its score.
    async fn enqueue(&self, text: &str, deadline: Instant) -> Result<f64, ScoreError> {
        let inner = &self.inner;
        let weight = encode::estimate(text, inner.config.max_tokens);
        let arrived = Instant::now();
        let left = deadline.saturating_duration_since(arrived);
        let (reply, score) = oneshot::channel();
        let job = Job { text: text.to_owned(), tokens: None, weight, arrived, deadline, reply };
        let rate = inner.throughput.per_worker();
        let workers = self.workers.len();
        let admit = |load| match admission::misses_by(load, weight, rate, workers, left) {
            None => Ok(()),
            Some(late) => Err(late),
        };
        match inner.queue.push(job, admit) {
            Ok(()) => score.await.unwrap_or(Err(ScoreError::Closed)),
            Err(PushError::Closed) => Err(ScoreError::Closed),
            Err(PushError::Full) => {
                inner.metrics.refused_full.inc();
                Err(ScoreError::QueueFull)
            }
            Err(PushError::Refused(late)) => {
                inner.metrics.refused_deadline.inc();
                Err(ScoreError::WouldMissDeadline { late })
            }
        }
    }

    /// What the engine is at.
    pub fn status(&self) -> EngineStatus {
        let load = self.inner.queue.load();
        let rate = self.inner.throughput.per_worker().unwrap_or(0.0);
        EngineStatus {
            queued_jobs: load.jobs,
            queued_tokens: load.tokens,
            tokens_per_second: rate * self.workers.len() as f64,
        }
    }

    /// How many queries of one caller should wait at once: enough to keep the workers busy and to fill batches, without
    /// flooding the queue.
    pub fn concurrency(&self) -> usize {
        let rows = if self.inner.config.max_batch_tokens == 0 { 2 } else { 64 };
        (self.workers.len() * rows).min(self.inner.config.queue.max(1))
    }

    /// How long until what waits now will have been scored.
    pub fn backlog(&self) -> Duration {
        let status = self.status();
        Duration::try_from_secs_f64(status.queued_tokens as f64 / status.tokens_per_second).unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.inner.queue.close();
        for worker in self.workers.drain(..) {
            // A panic was reported where it happened.
            let _ = worker.join();
        }
    }
}
