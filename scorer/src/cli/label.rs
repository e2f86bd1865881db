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
        label::{self, Balance, Labelled, Same, Spread},
        query_data::PairData,
        report::{self, LabelReport},
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
    let data = args.data.read()?;
    let labelled = label::labels(&data.rows, args.kind);
    let report = Report::new(args.kind, &data, &labelled);
    if let Some(out) = &args.out {
        graded::write_whole(out, &lines(&data, &labelled)?)?;
    }
    let search = search(&data, &labelled);
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

/// What the search for t* saw and did, for a picture; only for trans.
fn search(data: &PairData, labelled: &Labelled) -> Option<LabelReport> {
    let before = label::labels(&data.rows, Label::Prob).labels;
    Some(LabelReport {
        title: format!("{} → {}: relaxed labels", data.pair.small, data.pair.large),
        small: data.pair.small.clone(),
        large: data.pair.large.clone(),
        n: data.rows.len(),
        binary: label::same(&data.rows, Label::Trans, labelled) == Some(Same::TwoQualities),
        chosen: labelled.relaxation?,
        curve: labelled.curve.clone(),
        before: report::label_histogram(before),
        after: report::label_histogram(labelled.labels.iter().copied()),
    })
}

/// One label a line.
fn lines(data: &PairData, labelled: &Labelled) -> Result<Vec<u8>, serde_json::Error> {
    let mut lines = Vec::new();
    for (row, label) in data.rows.iter().zip(&labelled.labels) {
        serde_json::to_writer(
            &mut lines,
            &Line { id: &row.id, source: &row.source, query: &row.query, label: *label },
        )?;
        lines.push(b'\n');
    }
    Ok(lines)
}

impl Report {
    fn new(kind: Label, data: &PairData, labelled: &Labelled) -> Self {
        let balance = Balance::of(&label::in_unit(kind, &labelled.labels));
        let before = (kind == Label::Trans).then(|| Balance::of(&label::labels(&data.rows, Label::Prob).labels));
        let same = label::same(&data.rows, kind, labelled);
        let mut notes = Vec::new();
        notes.extend(same.map(|same| same.explain().to_owned()));
        if balance.one_sided() {
            let share = 100.0 * balance.zeros.max(balance.ones);
            let which = if balance.zeros > balance.ones {
                "0: the small model hardly ever keeps up"
            } else {
                "1: the small model nearly always keeps up"
            };
            let mend =
                if kind == Label::Trans { "try another pair of models" } else { "--kind trans may spread the labels" };
            notes.push(format!("{share:.0} % of the labels are {which}; there is little to learn from: {mend}"));
        }
        Self {
            kind,
            n: data.rows.len(),
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
