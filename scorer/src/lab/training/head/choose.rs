//! Choosing a head's setting by cross-validation: the one whose held-back cross-entropy is lowest.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::{COMPARED, Examples, Problem, Setting};
use crate::{
    lab::{
        data::split::FOLDS,
        figures::measure::{auc, bce},
    },
    offline,
};

/// The strengths that are tried, from strong to weak.
pub const STRENGTHS: [f64; 8] = [30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01];

/// What a setting did on rows that its heads had not seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tried {
    /// λ.
    pub strength: f64,
    /// Whether the token count was among the features.
    pub length: bool,
    /// Mean binary cross-entropy, with the intercepts of the rows' own sources.
    pub bce: f64,
    /// [`ranking`]; `None` where no two labels of a source differ.
    pub auc: Option<f64>,
}

/// The setting to train with, and what it was chosen from.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The one with the lowest cross-entropy; where several have it, the strongest.
    pub setting: Setting,
    /// All that were tried: without length and with it, strong to weak.
    pub path: Vec<Tried>,
}

/// One fold's heads along the strengths, each search beginning where the one before ended.
struct Job {
    fold: usize,
    length: bool,
}

/// Tries all [`STRENGTHS`], with and without the token count, on [`FOLDS`] folds of the rows; `fold` says to which one a row
/// belongs. Works on `threads` threads; the result does not depend on how many. `done` is called after each of
/// [`fits`] fits.
pub fn choose(
    examples: &Examples,
    rows: &[usize],
    fold: impl Fn(usize) -> usize + Sync,
    threads: usize,
    done: impl Fn() + Sync,
) -> Choice {
    let settings = settings();
    let held_back = Mutex::new(vec![vec![0.0; rows.len()]; settings.len()]);
    let jobs = [false, true].into_iter().flat_map(|length| (0..FOLDS).map(move |fold| Job { fold, length }));
    let work = |_: &mut (), job: Job| {
        let inside: Vec<usize> = rows.iter().copied().filter(|row| fold(*row) != job.fold).collect();
        let problem = Problem::new(examples, &inside, job.length);
        let mut last = None;
        for (at, setting) in settings.iter().enumerate().filter(|(_, setting)| setting.length == job.length) {
            let (head, minimum) = problem.fit(setting.strength, COMPARED, last.as_ref());
            last = Some(minimum);
            let logit = |row: usize| examples.get(row).map_or(0.0, |example| head.source_logit(&example));
            let mut held_back = held_back.lock().unwrap_or_else(PoisonError::into_inner);
            let slots = held_back.get_mut(at).into_iter().flatten().zip(rows);
            slots.filter(|(_, row)| fold(**row) == job.fold).for_each(|(slot, row)| *slot = logit(*row));
            done();
        }
        Ok::<(), std::convert::Infallible>(())
    };
    // The jobs cannot fail.
    let _ = offline::each(&mut vec![(); threads.max(1)], jobs.map(Ok), work);
    let labels: Vec<f64> = examples.iter(rows).map(|example| example.label).collect();
    let sources: Vec<usize> = examples.iter(rows).map(|example| example.source).collect();
    let held_back = held_back.into_inner().unwrap_or_else(PoisonError::into_inner);
    let tried = settings.iter().zip(&held_back).map(|(setting, logits)| Tried {
        strength: setting.strength,
        length: setting.length,
        bce: bce(logits, &labels),
        auc: ranking(logits, &labels, &sources),
    });
    let path: Vec<Tried> = tried.collect();
    let best = path.iter().copied().reduce(|best, next| {
        let lower = next.bce < best.bce || (next.bce == best.bce && next.strength > best.strength);
        if lower { next } else { best }
    });
    let setting = best.map_or(Setting { strength: 1.0, length: false }, |best| Setting {
        strength: best.strength,
        length: best.length,
    });
    Choice { setting, path }
}

/// How many heads [`choose`] trains.
pub fn fits() -> usize {
    settings().len() * FOLDS
}

fn settings() -> Vec<Setting> {
    let lengths = [false, true].into_iter();
    lengths.flat_map(|length| STRENGTHS.map(|strength| Setting { strength, length })).collect()
}

/// [`auc`] inside each source, averaged by their rows: telling the sources apart does not count.
pub fn ranking(scores: &[f64], labels: &[f64], sources: &[usize]) -> Option<f64> {
    let (mut sum, mut rows) = (0.0, 0.0);
    for source in 0..=sources.iter().max().copied().unwrap_or_default() {
        let of_source = |values: &[f64]| -> Vec<f64> {
            values.iter().zip(sources).filter(|(_, of)| **of == source).map(|(value, _)| *value).collect()
        };
        let (scores, labels) = (of_source(scores), of_source(labels));
        if let Some(auc) = auc(&scores, &labels) {
            sum += auc * labels.len() as f64;
            rows += labels.len() as f64;
        }
    }
    (rows > 0.0).then(|| sum / rows)
}
