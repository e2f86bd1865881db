//! The queries to calibrate on: drawn from a file, and read when they are scored.

use std::path::PathBuf;

use super::Args;
use crate::{
    cli::{
        Failure,
        graded::{self, Prompt},
    },
    lab::{
        data::{
            corpus::{self, Corpus, CorpusError},
            queries::{Format, Queries, Query, QueryError},
        },
        figures::{figure::draw_without_replacement, sweep::Outcomes},
        pair::Pair,
    },
};

/// The queries to calibrate on. Their texts are read when they are scored.
pub(super) enum Traffic {
    Graded(Corpus),
    /// Queries without quality: so many, in a file.
    Queries(PathBuf, Format, usize),
}

/// What `args` name, checked whole before anything is scored.
pub(super) fn read(args: &Args, pair: &Pair) -> Result<Traffic, Failure> {
    let Some(file) = &args.queries else {
        return Ok(Traffic::Graded(graded::read(&args.data, pair, args.skip_incomplete)?));
    };
    corpus::regular(file)?;
    let mut count = 0;
    for query in Queries::open(file, args.format)? {
        query?;
        count += 1;
    }
    if count == 0 {
        return Err(QueryError::Empty(file.clone()).into());
    }
    Ok(Traffic::Queries(file.clone(), args.format, count))
}

/// Whether each of `n` queries is among `sample` drawn at random; all are where there are no more, or `sample` is zero.
pub(super) fn draw(n: usize, sample: usize, seed: u64) -> Vec<bool> {
    let all = sample == 0 || sample >= n;
    let mut chosen = vec![all; n];
    if !all {
        let mut rng = fastrand::Rng::with_seed(seed);
        for row in draw_without_replacement(n, sample, &mut rng).0 {
            chosen.iter_mut().skip(row).take(1).for_each(|chosen| *chosen = true);
        }
    }
    chosen
}

impl Traffic {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Graded(corpus) => corpus.rows.len(),
            Self::Queries(_, _, count) => *count,
        }
    }

    /// The chosen queries, read as they are needed.
    pub(super) fn prompts<'a>(
        &'a self,
        chosen: &'a [bool],
    ) -> Result<Box<dyn Iterator<Item = Result<Prompt, CorpusError>> + Send + 'a>, CorpusError> {
        let is_chosen = |row: usize| chosen.get(row).copied().unwrap_or_default();
        Ok(match self {
            Self::Graded(corpus) => {
                let texts = corpus.texts();
                let wanted = texts.filter(move |text| text.as_ref().map_or(true, |text| is_chosen(text.row)));
                Box::new(wanted.map(|text| text.map(Prompt::from)))
            }
            Self::Queries(file, format, count) => {
                let queries = corpus::again(file.clone(), 0..*count, Queries::open(file, *format)?, |_, _| true);
                let wanted = queries.filter(move |query| query.as_ref().map_or(true, |(row, _)| is_chosen(*row)));
                let prompt =
                    |(_, query): (usize, Query)| Prompt { file: file.clone(), line: query.line, text: query.text };
                Box::new(wanted.map(move |query| query.map(prompt)))
            }
        })
    }

    /// The chosen queries' qualities; `None` where there are none.
    pub(super) fn outcomes(&self, chosen: &[bool]) -> Option<Outcomes> {
        let Self::Graded(corpus) = self else { return None };
        let keep = |values: Vec<f64>| {
            values.into_iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(value, _)| value).collect()
        };
        let Outcomes { small, large } = graded::outcomes(&corpus.rows);
        Some(Outcomes { small: keep(small), large: keep(large) })
    }
}
