//! The engine with a scripted model: what callers see, what the model sees, and what is counted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use super::*;
use crate::{
    metrics::Metrics,
    model::scripted::{ScriptedModel, Stage},
};

fn config() -> Config {
    Config {
        router: "test".to_owned(),
        version: "1".to_owned(),
        max_tokens: 64,
        max_batch_tokens: 0,
        queue: 8,
        cache_entries: 100,
    }
}

fn start(config: Config) -> (Arc<Engine>, Stage) {
    let (model, stage) = ScriptedModel::new();
    let metrics = Metrics::new().unwrap().engine("test");
    let engine = Engine::start(config, vec![model], metrics).unwrap();
    (Arc::new(engine), stage)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Scores on a task, and returns once the query is under way: queued, or with its worker.
async fn begin(engine: &Arc<Engine>, text: &'static str) -> JoinHandle<Result<f64, ScoreError>> {
    let before = engine.inner.queue.load();
    let task = tokio::spawn({
        let engine = Arc::clone(engine);
        async move { engine.score(text, soon()).await }
    });
    while engine.inner.queue.load() == before {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test]
async fn scores_are_computed_once_then_kept_and_shared() {
    let (engine, mut stage) = start(config());
    assert_eq!(engine.score("query 0.25", soon()).await.unwrap(), 0.25);
    assert_eq!(engine.score("query 0.25", soon()).await.unwrap(), 0.25);
    let leader = begin(&engine, "hold 0.75").await;
    stage.held().await;
    let joiner = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.score("hold 0.75", soon()).await }
    });
    tokio::task::yield_now().await;
    stage.release();
    assert_eq!(leader.await.unwrap().unwrap(), 0.75);
    assert_eq!(joiner.await.unwrap().unwrap(), 0.75);
    assert_eq!(stage.batches(), [["query 0.25"], ["hold 0.75"]]);
    let metrics = &engine.inner.metrics;
    assert_eq!(metrics.cache_misses.get(), 2);
    assert_eq!(metrics.cache_hits.get() + metrics.cache_joined.get(), 2);
    assert_eq!(metrics.scores.get(), 4);
}

#[tokio::test]
async fn a_failure_is_an_error_for_its_query_only_and_is_not_kept() {
    let (engine, stage) = start(config());
    for _ in 0..2 {
        let failed = engine.score("fail", soon()).await;
        assert!(matches!(failed, Err(ScoreError::Model(_))));
        let garbled = engine.score("garble", soon()).await;
        assert!(matches!(garbled, Err(ScoreError::Model(_))));
        let panicked = engine.score("panic", soon()).await;
        assert!(matches!(panicked, Err(ScoreError::Closed)));
    }
    assert_eq!(engine.score("query 0.5", soon()).await.unwrap(), 0.5);
    assert_eq!(stage.batches().len(), 5, "failures are tried again");
    assert_eq!(engine.inner.queue.load(), queue::Load::default());
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let (engine, mut stage) = start(Config { queue: 1, ..config() });
    let held = begin(&engine, "hold").await;
    stage.held().await;
    let waiting = begin(&engine, "waiting").await;
    let refused = engine.score("refused", soon()).await;
    assert!(matches!(refused, Err(ScoreError::QueueFull)));
    assert_eq!(engine.inner.metrics.refused_full.get(), 1);
    stage.release();
    assert!(held.await.unwrap().is_ok() && waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_query_that_would_be_late_is_refused_at_the_door() {
    let (engine, mut stage) = start(config());
    let held = begin(&engine, "hold").await;
    stage.held().await;
    // A token a second, by far the greater part of what was measured.
    engine.inner.throughput.record(1_000_000, Duration::from_secs(1_000_000));
    let soon = Instant::now() + Duration::from_millis(900);
    let refused = engine.score("refused", soon).await;
    assert!(matches!(refused, Err(ScoreError::WouldMissDeadline { late }) if late > Duration::ZERO));
    assert_eq!(engine.inner.metrics.refused_deadline.get(), 1);
    stage.release();
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn queries_whose_time_is_up_or_whose_caller_left_are_never_run() {
    let (engine, mut stage) = start(config());
    let held = begin(&engine, "hold").await;
    stage.held().await;
    let left = begin(&engine, "left").await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    let deadline = Instant::now() + Duration::from_millis(20);
    let late = engine.score("late", deadline).await;
    assert!(matches!(late, Err(ScoreError::DeadlineExceeded)));
    assert!(Instant::now() >= deadline);
    let wanted = begin(&engine, "wanted").await;
    stage.release();
    assert!(held.await.unwrap().is_ok() && wanted.await.unwrap().is_ok());
    assert_eq!(stage.batches(), [["hold"], ["wanted"]]);
    let metrics = &engine.inner.metrics;
    assert_eq!((metrics.expired.get(), metrics.abandoned.get()), (1, 1));
}

#[tokio::test]
async fn near_equal_lengths_run_together_and_the_rest_keeps_its_turn() {
    let (engine, mut stage) = start(Config { max_batch_tokens: 64, ..config() });
    let mut tasks = vec![begin(&engine, "hold").await];
    stage.held().await;
    for text in ["ten.long.1", "a.much.longer.query", "ten.long.2", "eleven.lon3", "short"] {
        tasks.push(begin(&engine, text).await);
    }
    stage.release();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let batches = stage.batches();
    assert_eq!(batches[1], ["ten.long.1", "ten.long.2", "eleven.lon3"]);
    assert_eq!(batches[2], ["a.much.longer.query"]);
    assert_eq!(batches[3], ["short"]);
}

#[tokio::test]
async fn a_closed_engine_answers_those_who_wait() {
    let (engine, mut stage) = start(config());
    let held = begin(&engine, "hold").await;
    stage.held().await;
    let waiting = begin(&engine, "waiting").await;
    engine.inner.queue.close();
    assert!(matches!(waiting.await.unwrap(), Err(ScoreError::Closed)));
    stage.release();
    assert!(held.await.unwrap().is_ok(), "what runs is finished");
}

#[test]
fn a_model_that_fails_its_warm_up_is_no_engine() {
    struct Broken;
    impl Model for Broken {
        fn encode(&self, _: &str) -> Result<Vec<i64>, ModelError> {
            Ok(Vec::new())
        }
        fn score(&mut self, _: &[&[i64]]) -> Result<Vec<f64>, ModelError> {
            Err(ModelError::Output { found: "nothing".to_owned(), expected: "something".to_owned() })
        }
    }
    let metrics = Metrics::new().unwrap().engine("test");
    let failed = Engine::start(config(), vec![Broken, Broken], metrics).unwrap_err();
    insta::assert_snapshot!(failed, @"the model of router test fails its warm-up");
}
