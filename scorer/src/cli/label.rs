//! `hybrid-llm label`: the labels that a router would be trained on, and what they are worth.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    Failure,
    graded::{self, DataArgs},
};
use crate::{
    lab::{
        data::{
            corpus::{Corpus, CorpusError},
            log,
            query_data::PairRow,
        },
        figures::shares,
        pair::Pair,
        report::{self, LabelReport},
        training::label::{self, Balance, Labelled, Same, Spread},
    },
    router::Label,
};

/// Columns of the terminal that the picture of the search may take.
const WIDTH: usize = 100;

/// Make training labels from graded responses, and show how well they part the queries
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hybrid-llm label --kind trans --data graded.jsonl --small llama-8b --large gpt-4.1\n  \
                  hybrid-llm label --kind prob --data graded.jsonl --small s --large l --out labels.jsonl\n\n\
                  Kinds, with H(x) the small model's quality less the large one's:\n  \
                  det    1 where the small model's first response is at least as good as the large one's, else 0\n  \
                  prob   Pr[H(x) >= 0], over all pairs of responses\n  \
                  trans  Pr[H(x) >= -t*], with the t* that spreads the labels most\n  \
                  gap    E[H(x)], in the quality's own unit"
)]
pub(super) struct Args {
    /// What is learnt
    #[arg(long, value_enum)]
    kind: Label,

    #[command(flatten)]
    data: DataArgs,

    /// Write the labels: JSON, one object a line, {"id", "source", "query", "label"}
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write a page with the search for t* and the labels before and after, for --kind trans
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A line of `--out`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'a str,
    source: &'a str,
    query: &'a str,
    label: f64,
}

/// What the command found.
#[derive(Debug, Serialize)]
struct Report {
    kind: Label,
    n: usize,
    relaxation: Option<f64>,
    /// Of the labels; gaps are moved into `[0, 1]` for it.
    balance: Balance,
    /// For trans: of the labels before relaxing, which are prob's.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Balance>,
    /// For trans: t against the mean absolute pairwise difference of the labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    curve: Vec<Spread>,
    /// Why the kind is the same as another here, if it is.
    same: Option<Same>,
    notes: Vec<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.report.is_some() && args.kind != Label::Trans {
        return Err(Failure::Usage("--report shows the search for t*: it needs --kind trans".to_owned()));
    }
    let read: Vec<&Path> = args.data.data.iter().map(PathBuf::as_path).collect();
    super::keep_apart(args.out.as_deref(), &read)?;
    super::keep_apart(args.report.as_deref(), &read)?;
    super::keep_apart(args.report.as_deref(), &args.out.as_deref().into_iter().collect::<Vec<_>>())?;
    let corpus = args.data.read()?;
    let rows = &corpus.rows;
    let labelled = label::labels(rows, args.kind);
    let before = (args.kind == Label::Trans).then(|| label::labels(rows, Label::Prob).labels);
    let report = Report::new(args.kind, rows, &labelled, before.as_deref());
    if let Some(out) = &args.out {
        write_labels(out, &corpus, &labelled)?;
    }
    let search = before.and_then(|before| search(args.data.pair(), rows, &labelled, before));
    if let (Some(path), Some(search)) = (&args.report, &search) {
        graded::write_whole(path, report::label_page(search).as_bytes())?;
    }
    let mut stdout = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut stdout, &report)?;
        writeln!(stdout)?;
    } else {
        report.write(&mut stdout, search.as_ref())?;
    }
    Ok(())
}

/// What the search for t* saw and did, for a picture; only for trans. `before` are the labels of prob.
fn search(pair: Pair, rows: &[PairRow], labelled: &Labelled, before: Vec<f64>) -> Option<LabelReport> {
    let Pair { small, large } = pair;
    Some(LabelReport {
        title: format!("{small} → {large}: relaxed labels"),
        small,
        large,
        n: rows.len(),
        binary: label::same(rows, Label::Trans, labelled) == Some(Same::TwoQualities),
        chosen: labelled.relaxation?,
        curve: labelled.curve.clone(),
        before: shares::counts(before),
        after: shares::counts(labelled.labels.iter().copied()),
    })
}

/// Writes one label a line; the texts are read again for it.
fn write_labels(out: &Path, corpus: &Corpus, labelled: &Labelled) -> Result<(), Failure> {
    let mut fault: Option<CorpusError> = None;
    let written = log::write_whole(out, |file| {
        for text in corpus.texts() {
            let text = text.map_err(|error| {
                fault = Some(error);
                io::Error::other("the data could not be read again")
            })?;
            let Some(label) = labelled.labels.get(text.row).copied() else { continue };
            let (id, source, query) = (&text.id, &text.source, &text.query);
            serde_json::to_writer(&mut *file, &Line { id, source, query, label })?;
            file.write_all(b"\n")?;
        }
        Ok(())
    });
    match (written, fault) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(fault)) => Err(fault.into()),
        (Err(error), None) => Err(format!("cannot write {}: {error}", out.display()).into()),
    }
}

/// What to say, and to do, where nearly all labels are the same.
fn little_to_learn(kind: Label, rows: &[PairRow], labels: &[f64], balance: &Balance) -> Option<String> {
    let equal = labels.iter().filter(|gap| **gap == 0.0).count() as f64 / labels.len().max(1) as f64;
    let (share, what, mend) = if kind == Label::Gap && label::is_most(equal) {
        (equal, "0: the models are equally good", "collect queries on which they differ, or take another pair")
    } else if kind == Label::Gap || !balance.one_sided() {
        return None;
    } else if balance.ones > balance.zeros {
        (balance.ones, "1: the small model nearly always keeps up", "send everything to it, or take a smaller one")
    } else if kind == Label::Trans || label::two_qualities(rows) {
        (balance.zeros, "0: the small model hardly ever keeps up", "take another pair of models")
    } else {
        (balance.zeros, "0: the small model hardly ever keeps up", "--kind trans may spread the labels")
    };
    Some(format!("{:.0} % of the labels are {what}; there is little to learn from: {mend}", share * 100.0))
}

impl Report {
    fn new(kind: Label, rows: &[PairRow], labelled: &Labelled, before: Option<&[f64]>) -> Self {
        let balance = Balance::of(&label::in_unit(kind, &labelled.labels));
        let before = before.map(Balance::of);
        let same = label::same(rows, kind, labelled);
        let mut notes = Vec::new();
        notes.extend(same.map(|same| same.explain().to_owned()));
        notes.extend(little_to_learn(kind, rows, &labelled.labels, &balance));
        Self {
            kind,
            n: rows.len(),
            relaxation: labelled.relaxation,
            balance,
            before,
            curve: labelled.curve.clone(),
            same,
            notes,
        }
    }

    fn write(&self, out: &mut impl Write, search: Option<&LabelReport>) -> io::Result<()> {
        writeln!(out, "{} labels", self.n)?;
        if let Some(before) = &self.before {
            writeln!(out, "before relaxing (prob): {}", line(before))?;
        }
        writeln!(out, "labels: {}", line(&self.balance))?;
        if let Some(search) = search {
            writeln!(out, "\n{}", report::label_text(search, WIDTH))?;
        }
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        Ok(())
    }
}

fn line(balance: &Balance) -> String {
    let Balance { mean, zeros, ones, .. } = balance;
    format!("mean {mean:.3}, {:.1} % are 0, {:.1} % are 1", zeros * 100.0, ones * 100.0)
}
