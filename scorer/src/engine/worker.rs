//! A worker: one thread, one model, batches until the queue ends.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Inner, ScoreError, batch,
    queue::{InFlight, Job, Taken, Window},
};
use crate::model::{Model, ModelError};

/// The lengths that a worker runs before it takes work, up to the router's own. The first inference at a length
/// allocates, and on a GPU tunes; no request should pay for that.
const WARM_LENGTHS: [usize; 6] = [8, 16, 32, 64, 128, 256];
/// The rows of those batches, where batches are allowed.
const WARM_ROWS: [usize; 3] = [1, 4, 16];

/// Runs the grid of batches that [`WARM_LENGTHS`] and [`WARM_ROWS`] span within the token budget, twice: first to warm,
/// then to measure the throughput that admission control uses.
pub(super) fn warm(inner: &Inner, model: &mut dyn Model) -> Result<(), ModelError> {
    let max = inner.config.max_tokens;
    let lengths = WARM_LENGTHS.into_iter().filter(|length| *length < max).chain([max]);
    let budget = inner.config.max_batch_tokens;
    let grid: Vec<(usize, usize)> = lengths
        .flat_map(|length| WARM_ROWS.map(|rows| (length, rows)))
        .filter(|(length, rows)| *rows == 1 || length * rows <= budget)
        .collect();
    model.encode("The first text builds the tokenizer's caches.")?;
    for measured in [false, true] {
        for (length, rows) in &grid {
            // Token 0 is in every vocabulary, and what a token is makes no difference to the time.
            let row = vec![0; *length];
            let batch = vec![row.as_slice(); *rows];
            let started = Instant::now();
            model.score(&batch)?;
            // The longest texts are rare, and slow per token.
            if measured && *length <= 256 {
                inner.throughput.record(length * rows, started.elapsed());
            }
        }
    }
    Ok(())
}

/// Takes and answers jobs until the queue is closed.
pub(super) fn run(inner: &Inner, model: &mut dyn Model) {
    let window = inner.config.window();
    while let Some((taken, in_flight)) = inner.queue.take(window) {
        // The tokenizer and the bindings are other people's code. If one panics, its jobs' senders are dropped, which
        // their callers see as an error, and the worker continues.
        let outcome = catch_unwind(AssertUnwindSafe(|| step(inner, model, taken, in_flight)));
        if outcome.is_err() {
            tracing::error!("a worker panicked over a batch; its queries were answered with an error");
        }
    }
}

/// Answers what was taken: the dropped, the ones that cannot be encoded, and one batch; the rest goes back.
fn step(inner: &Inner, model: &mut dyn Model, taken: Taken, mut in_flight: InFlight<'_>) {
    let metrics = &inner.metrics;
    metrics.expired.inc_by(taken.expired.len() as u64);
    metrics.abandoned.inc_by(taken.abandoned as u64);
    for job in taken.expired {
        answer(job, Err(ScoreError::DeadlineExceeded));
    }
    let started = Instant::now();
    let jobs = encode(model, taken.jobs);
    let lengths: Vec<usize> = jobs.iter().map(|job| job.weight).collect();
    let chosen = batch::choose(&lengths, inner.config.max_batch_tokens);
    let (jobs, rest) = split(jobs, &chosen);
    let tokens = jobs.iter().map(|job| job.weight).sum();
    in_flight.put_back(rest, tokens);
    if jobs.is_empty() {
        return;
    }
    for job in &jobs {
        let waited = started.saturating_duration_since(job.arrived);
        metrics.queue_seconds.observe(waited.as_secs_f64());
    }
    let rows: Vec<&[i64]> = jobs.iter().map(|job| job.tokens.as_deref().unwrap_or_default()).collect();
    let inferred = Instant::now();
    let scores = model.score(&rows);
    let inference: Duration = inferred.elapsed();
    metrics.inference_seconds.observe(inference.as_secs_f64());
    metrics.batch_size.observe(jobs.len() as f64);
    metrics.tokens.inc_by(tokens as u64);
    inner.throughput.record(tokens, started.elapsed());
    // Off the load before anyone hears of it: a caller's next request must not wait for this one's tokens.
    drop(in_flight);
    match scores {
        Ok(scores) => {
            for (job, score) in jobs.into_iter().zip(scores) {
                answer(job, Ok(score));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for job in jobs {
                answer(job, Err(ScoreError::Model(Arc::clone(&error))));
            }
        }
    }
}

/// Tokenizes the jobs that no worker has tokenized yet; those that cannot be are answered and left out.
fn encode(model: &dyn Model, jobs: Vec<Job>) -> Vec<Job> {
    let encode = |mut job: Job| {
        if job.tokens.is_none() {
            match model.encode(&job.text) {
                Ok(tokens) => {
                    job.weight = tokens.len();
                    job.tokens = Some(tokens);
                }
                Err(error) => {
                    answer(job, Err(ScoreError::Model(Arc::new(error))));
                    return None;
                }
            }
        }
        Some(job)
    };
    jobs.into_iter().filter_map(encode).collect()
}

/// The jobs at the chosen positions (ascending), and the others, each in their order.
fn split(jobs: Vec<Job>, chosen: &[usize]) -> (Vec<Job>, Vec<Job>) {
    let mut chosen = chosen.iter().copied().peekable();
    let (mut batch, mut rest) = (Vec::new(), Vec::new());
    for (position, job) in jobs.into_iter().enumerate() {
        if chosen.next_if_eq(&position).is_some() {
            batch.push(job);
        } else {
            rest.push(job);
        }
    }
    (batch, rest)
}

fn answer(job: Job, result: Result<f64, ScoreError>) {
    // Fails only when nobody waits any more.
    let _ = job.reply.send(result);
}

impl super::Config {
    /// What a worker looks at to form one batch. With batches, four times the budget gives it lengths to choose from,
    /// at a few milliseconds of tokenizing that the jobs put back keep.
    pub(super) fn window(&self) -> Window {
        if self.max_batch_tokens == 0 {
            return Window { jobs: 1, tokens: 0 };
        }
        Window { jobs: 256, tokens: self.max_batch_tokens.saturating_mul(4) }
    }
}
