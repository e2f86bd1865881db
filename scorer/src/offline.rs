//! Working through many texts at once, for the commands that need no server.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::{
    encode,
    model::{Model, ModelError},
};

/// Does all the jobs, one thread a worker. A worker takes the next job when it has done one, so jobs may come from a file
/// that is read as they are needed: no more of them are in memory than there are workers.
///
/// # Errors
/// The first failure, of a job or of its coming; jobs that are left are not begun then.
pub fn each<W: Send, J: Send, E: Send>(
    workers: &mut [W],
    jobs: impl Iterator<Item = Result<J, E>> + Send,
    work: impl Fn(&mut W, J) -> Result<(), E> + Sync,
) -> Result<(), E> {
    /// What the workers share: `None` in place of the jobs when one has failed.
    struct Queue<I, E> {
        jobs: Option<I>,
        failure: Option<E>,
    }
    impl<I, E> Queue<I, E> {
        fn fail(&mut self, error: E) {
            self.jobs = None;
            self.failure.get_or_insert(error);
        }
    }
    let queue = Mutex::new(Queue { jobs: Some(jobs), failure: None });
    let (queue, work) = (&queue, &work);
    let take = || {
        let mut queue = lock(queue);
        match queue.jobs.as_mut().and_then(Iterator::next) {
            Some(Ok(job)) => Some(job),
            Some(Err(error)) => {
                queue.fail(error);
                None
            }
            None => None,
        }
    };
    thread::scope(|scope| {
        for worker in workers {
            scope.spawn(move || {
                while let Some(job) = take() {
                    if let Err(error) = work(worker, job) {
                        lock(queue).fail(error);
                    }
                }
            });
        }
    });
    let failure = lock(queue).failure.take();
    failure.map_or(Ok(()), Err)
}

/// Scores queries on all the models at once, one thread a model and one query at a time, and gives the scores in the order
/// in which `queries` gives them; no more of them are in memory than there are models. `text` is a query's text, of which a
/// router of `max_tokens` sees the beginning; `fault` makes an error of a failure, and `done` is called after each query.
///
/// # Errors
/// The first failure, of a query or of its coming; the rest is not scored then.
pub fn score_all<M: Model, Q: Send, E: Send>(
    models: &mut [M],
    max_tokens: usize,
    queries: impl Iterator<Item = Result<Q, E>> + Send,
    text: fn(&Q) -> &str,
    fault: impl Fn(Q, ModelError) -> E + Sync,
    done: impl Fn() + Sync,
) -> Result<Vec<f64>, E> {
    let scores = Mutex::new(Vec::new());
    let numbered = queries.enumerate().map(|(index, query)| query.map(|query| (index, query)));
    each(models, numbered, |model, (index, query)| {
        let score = match score_one(model, encode::cut(text(&query), max_tokens)) {
            Ok(score) => score,
            Err(error) => return Err(fault(query, error)),
        };
        let mut scores = lock(&scores);
        if scores.len() <= index {
            scores.resize(index + 1, 0.0);
        }
        if let Some(slot) = scores.get_mut(index) {
            *slot = score;
        }
        drop(scores);
        done();
        Ok(())
    })?;
    Ok(scores.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn score_one(model: &mut impl Model, text: &str) -> Result<f64, ModelError> {
    let tokens = model.encode(text)?;
    let scores = model.score(&[&tokens])?;
    scores
        .first()
        .copied()
        .ok_or_else(|| ModelError::Output { found: "no score".to_owned(), expected: "one".to_owned() })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_job_is_done_once() {
        let sum = AtomicUsize::new(0);
        let jobs = (1..=100).map(Ok::<usize, ()>);
        let add = |_: &mut (), job| {
            sum.fetch_add(job, Ordering::Relaxed);
            Ok(())
        };
        each(&mut [(), (), ()], jobs, add).unwrap();
        assert_eq!(sum.into_inner(), 5050);
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let begun = AtomicUsize::new(0);
        let work = |_: &mut (), job| {
            begun.fetch_add(1, Ordering::Relaxed);
            if job == 3 { Err("job") } else { Ok(()) }
        };
        assert_eq!(each(&mut [()], (1..).map(Ok), work), Err("job"));
        assert_eq!(begun.swap(0, Ordering::Relaxed), 3);
        let jobs = [Ok(1), Err("source"), Ok(2)];
        assert_eq!(each(&mut [()], jobs.into_iter(), work), Err("source"));
        assert_eq!(begun.into_inner(), 1);
    }
}
