//! Query data of a pair of models, as several commands take it: their arguments, and the scores of a router.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, args::RuntimeArgs};
use crate::{
    encode,
    lab::{
        figures::Outcomes,
        log,
        query_data::{DataError, Incomplete, Pair, PairData, PairRow},
    },
    model::OnnxModel,
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
    /// response, higher is better. Several files count as one
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
    /// The rows of all files, in their order.
    pub(super) fn read(&self) -> Result<PairData, DataError> {
        let pair = Pair { small: self.small.clone(), large: self.large.clone() };
        read(&self.data, &pair, self.skip_incomplete)
    }
}

/// The rows of all `files`, in their order.
pub(super) fn read(files: &[PathBuf], pair: &Pair, skip_incomplete: bool) -> Result<PairData, DataError> {
    let incomplete = if skip_incomplete { Incomplete::Skip } else { Incomplete::Refuse };
    let mut all = PairData { pair: pair.clone(), rows: Vec::new(), skipped: 0 };
    for file in files {
        let data = PairData::read(file, pair, incomplete)?;
        all.rows.extend(data.rows);
        all.skipped += data.skipped;
    }
    if all.skipped > 0 {
        eprintln!("{} rows left out: they lack one of the two models", all.skipped);
    }
    Ok(all)
}

/// Mean qualities, in the rows' order.
pub(super) fn outcomes(rows: &[PairRow]) -> Outcomes {
    Outcomes {
        small: rows.iter().map(PairRow::small_mean).collect(),
        large: rows.iter().map(PairRow::large_mean).collect(),
    }
}

/// Scores texts with a router, in their order, with a progress bar. `place` says where a text stands, for an error.
pub(super) fn score(
    router: &Router,
    runtime: &Runtime,
    args: &RuntimeArgs,
    texts: &[&str],
    place: impl Fn(usize) -> String,
) -> Result<Vec<f64>, Failure> {
    let manifest = router.manifest();
    let workers = args.workers().min(texts.len());
    let mut models = OnnxModel::load(runtime, router, workers, args.threads())?;
    let cut: Vec<&str> = texts.iter().map(|text| encode::cut(text, manifest.max_tokens)).collect();
    let bar = progress(texts.len(), "queries");
    let scores = offline::score_all(&mut models, &cut, || bar.inc(1));
    bar.finish_and_clear();
    scores.map_err(|(index, error)| format!("{}: {error}", place(index)).into())
}

/// Writes a file whole or not at all.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = log::write_whole(path, |out| out.write_all(content));
    Ok(written.map_err(|error| format!("cannot write {}: {error}", path.display()))?)
}

/// A progress bar on a terminal, for work of some length.
pub(super) fn progress(steps: usize, unit: &str) -> ProgressBar {
    if steps < LONG || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style)
}
