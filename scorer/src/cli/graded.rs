//! Query data of a pair of models, as several commands take it: their arguments, and the scores of a router.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use indicatif::ProgressBar;
use serde::Serialize;

use super::{Failure, args::RuntimeArgs};
use crate::{
    lab::{
        data::{
            corpus::{Corpus, CorpusError, Source, Text},
            log,
            query_data::{Incomplete, PairRow},
        },
        figures::sweep::Outcomes,
        pair::Pair,
    },
    model::{ModelError, OnnxModel},
    offline,
    router::Router,
    runtime::Runtime,
};

/// Less work than this is done before anyone looks at a progress bar.
const LONG: usize = 200;

/// Files of query data, and the pair.
#[derive(Debug, clap::Args)]
pub(super) struct DataArgs {
    /// Query data: JSON, one object a line, {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, one number a sampled
    /// response, higher is better. Several files count as one. They are read twice, so not from a pipe
    #[arg(long, value_name = "FILE", num_args = 1.., required = true, help_heading = "Data")]
    pub(super) data: Vec<PathBuf>,

    /// Leave rows out that lack one of the two models, instead of refusing the file
    #[arg(long, help_heading = "Data")]
    skip_incomplete: bool,

    /// The small model, by its name in the data
    #[arg(long, value_name = "MODEL", help_heading = "Data")]
    small: String,

    /// The large model, by its name in the data
    #[arg(long, value_name = "MODEL", help_heading = "Data")]
    large: String,
}

impl DataArgs {
    /// The pair.
    pub(super) fn pair(&self) -> Pair {
        Pair { small: self.small.clone(), large: self.large.clone() }
    }

    /// The rows of all files, in their order.
    pub(super) fn read(&self) -> Result<Corpus, CorpusError> {
        read(&self.data, &self.pair(), self.skip_incomplete)
    }
}

/// The rows of all `files`, in their order.
pub(super) fn read(files: &[PathBuf], pair: &Pair, skip_incomplete: bool) -> Result<Corpus, CorpusError> {
    let incomplete = if skip_incomplete { Incomplete::Skip } else { Incomplete::Refuse };
    let sources: Vec<Source> = files.iter().map(|file| Source { file: file.clone(), pair: pair.clone() }).collect();
    let corpus = Corpus::read(&sources, incomplete, 0)?;
    if corpus.skipped() > 0 {
        super::aside(format_args!("{} rows left out: they lack one of the two models", corpus.skipped()));
    }
    Ok(corpus)
}

/// Mean qualities, in the rows' order.
pub(super) fn outcomes(rows: &[PairRow]) -> Outcomes {
    Outcomes {
        small: rows.iter().map(PairRow::small_mean).collect(),
        large: rows.iter().map(PairRow::large_mean).collect(),
    }
}

/// A query to score, and where it stands, for an error.
#[derive(Debug)]
pub(super) struct Prompt {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) text: String,
}

impl From<Text> for Prompt {
    fn from(Text { file, line, query, .. }: Text) -> Self {
        Self { file, line, text: query }
    }
}

/// A query that could not be had or scored.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScoreError {
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error("{file}, line {line}")]
    Query { file: PathBuf, line: usize, source: ModelError },
}

/// A router ready to score many queries.
pub(super) struct Scorer {
    models: Vec<OnnxModel>,
    max_tokens: usize,
}

impl Scorer {
    /// Loads a router for about so many queries.
    pub(super) fn load(router: &Router, runtime: &Runtime, args: &RuntimeArgs, count: usize) -> Result<Self, Failure> {
        let workers = args.workers().min(count.max(1));
        let models = OnnxModel::load(runtime, router, workers, args.threads())?;
        Ok(Self { models, max_tokens: router.manifest().max_tokens })
    }

    /// Scores queries as they come, in their order; only those that are being scored are in memory. `done` is called after
    /// each.
    pub(super) fn score(
        &mut self,
        prompts: impl Iterator<Item = Result<Prompt, CorpusError>> + Send,
        done: impl Fn() + Sync,
    ) -> Result<Vec<f64>, ScoreError> {
        let fault = |Prompt { file, line, .. }, source| ScoreError::Query { file, line, source };
        let prompts = prompts.map(|prompt| prompt.map_err(ScoreError::from));
        offline::score_all(&mut self.models, self.max_tokens, prompts, |prompt| &prompt.text, fault, done)
    }
}

/// Scores `count` queries as they come, with a progress bar.
pub(super) fn score(
    router: &Router,
    runtime: &Runtime,
    args: &RuntimeArgs,
    prompts: impl Iterator<Item = Result<Prompt, CorpusError>> + Send,
    count: usize,
) -> Result<Vec<f64>, Failure> {
    let mut scorer = Scorer::load(router, runtime, args, count)?;
    let bar = progress(count, "queries");
    let scores = scorer.score(prompts, || bar.inc(1));
    bar.finish_and_clear();
    Ok(scores?)
}

/// How fast queries were worked through, and what memory that took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Speed {
    pub(super) queries: usize,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    /// The most memory that the process has had until now, in MiB, where the system tells.
    pub(super) peak_memory_mib: Option<f64>,
}

impl Speed {
    /// Of queries that were begun at `start` and are done now.
    pub(super) fn since(start: Instant, queries: usize) -> Self {
        let seconds = start.elapsed().as_secs_f64();
        Self { queries, seconds, per_second: queries as f64 / seconds, peak_memory_mib: peak_memory_mib() }
    }
}

/// Linux's high-water mark of resident memory.
fn peak_memory_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    Some(kib.parse::<f64>().ok()? / 1024.0)
}

/// Writes a file whole or not at all.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = log::write_whole(path, |out| out.write_all(content));
    Ok(written.map_err(|error| format!("cannot write {}: {error}", path.display()))?)
}

/// A progress bar on a terminal, for work of some length.
pub(super) fn progress(steps: usize, unit: &str) -> ProgressBar {
    if steps < LONG {
        return ProgressBar::hidden();
    }
    super::bar(steps as u64, &format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left"))
}
