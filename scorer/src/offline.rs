//! Scoring many texts at once, for the commands that need no server.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::model::{Model, ModelError};

/// Scores the texts on all the models at once, one thread a model and one text at a time, and gives the scores in the
/// texts' order. Texts should be cut ([`crate::encode::cut`]). `done` is called from those threads after each text.
///
/// # Errors
/// The first failure, with the position of its text; the rest is not scored then.
pub fn score_all<M: Model, T: AsRef<str> + Sync>(
    models: &mut [M],
    texts: &[T],
    done: impl Fn() + Sync,
) -> Result<Vec<f64>, (usize, ModelError)> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new((vec![0.0; texts.len()], None));
    let (next, results, done) = (&next, &results, &done);
    thread::scope(|scope| {
        for model in models {
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(text) = texts.get(index) else { break };
                    let score = score_one(model, text.as_ref());
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    match (score, results.0.get_mut(index)) {
                        (Ok(score), Some(slot)) => *slot = score,
                        (Ok(_), None) => {}
                        (Err(error), _) => {
                            results.1.get_or_insert((index, error));
                            next.store(texts.len(), Ordering::Relaxed);
                        }
                    }
                    drop(results);
                    done();
                }
            });
        }
    });
    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
    match results.1.take() {
        Some(failure) => Err(failure),
        None => Ok(std::mem::take(&mut results.0)),
    }
}

fn score_one(model: &mut impl Model, text: &str) -> Result<f64, ModelError> {
    let tokens = model.encode(text)?;
    let scores = model.score(&[&tokens])?;
    scores
        .first()
        .copied()
        .ok_or_else(|| ModelError::Output { found: "no score".to_owned(), expected: "one".to_owned() })
}
