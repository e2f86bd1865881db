//! `hybrid-llm pick`: which of many logged queries to pay for.

use std::{
    collections::HashSet,
    io::Write as _,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    Failure,
    args::{LogFormat, LogLevel, RuntimeArgs},
    graded::{self, Prompt},
};
use crate::{
    lab::data::{
        log,
        names::digest,
        queries::{self, Format, Queries, Query},
        sample::systematic,
    },
    router::Router,
};

/// Choose queries of a log to collect and grade: few that stand for all, by a router's scores
///
/// Every query of the log is scored, and N are chosen evenly over the order of the scores, each with the same chance. So the chosen
/// have the shares of the whole log at every threshold, nearly exactly, and what calibrate measures on their grades holds for the
/// log.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:\n  \
hybrid-llm pick log.jsonl --router my-router -n 200 --out picked.jsonl\n  \
hybrid-llm collect picked.jsonl --out responses.jsonl ...\n\n\
Of 200 queries drawn at random, 3 % more or fewer lie above a threshold than of the log (standard error); of 200 chosen like this, \
0.2 %. Where quality is graded, as by a judge, the drop that 200 chosen ones show is as near the truth as that of 450 to 650 random \
ones; where it is 0 or 1, no nearer. A router learns as much from chosen ones as from random ones; queries near the dial alone \
teach less, and cannot calibrate. (Measured on llmrouter, MMLU-Pro and rated queries; examples/your-own-pair has the figures.)\n\n\
A line of the output: {\"id\", \"source\", \"query\", \"reference\"?, \"score\"}. Next: hybrid-llm collect.")]
pub(super) struct Args {
    /// The log: text, one query a line, or JSONL with {"id"?, "source"?, "query", "reference"?}; one that is repeated without an id
    /// is taken once
    #[arg(value_name = "QUERIES")]
    queries: PathBuf,

    /// The router's folder
    #[arg(long, value_name = "DIR", env = "HYBRID_LLM_ROUTER")]
    router: PathBuf,

    /// How many to choose
    #[arg(short, long = "number", value_name = "N")]
    number: NonZeroUsize,

    /// Where the chosen queries go, in the log's order
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// JSONL with queries that are not to be chosen, such as those that the router was trained on, or that have been graded. Can be
    /// given several times
    #[arg(long, value_name = "FILE")]
    except: Vec<PathBuf>,

    /// What a line of QUERIES is. `auto` goes by the first line: JSONL where it begins with `{`
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,

    /// Chooses others
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    runtime: RuntimeArgs,
}

/// A chosen query, as it is written.
#[derive(Debug, Serialize)]
struct Picked<'a> {
    id: &'a str,
    source: &'a str,
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    score: f64,
}

/// What was done, for machines.
#[derive(Debug, Serialize)]
struct Report {
    picked: usize,
    /// From so many queries.
    of: usize,
    /// Lines that repeat a query.
    repeated: usize,
    /// Queries that --except names.
    excepted: usize,
    /// The lowest, the median and the highest score of the chosen.
    scores: [f64; 3],
}

/// Reads, scores, chooses, writes.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log(LogFormat::Text, LogLevel::Warn);
    let inputs: Vec<&Path> = std::iter::once(&args.queries).chain(&args.except).map(PathBuf::as_path).collect();
    super::keep_apart(Some(&args.out), &inputs)?;
    let router = Router::open(&args.router)?;
    let (mut queries, repeated) = queries::read_log(&args.queries, args.format)?;
    let except = except(&args.except)?;
    let all = queries.len();
    queries.retain(|query| !except.contains(&digest(&query.text)));
    let excepted = all - queries.len();
    if queries.is_empty() {
        return Err("--except names all queries of the log: there is none to choose".into());
    }
    let runtime = args.runtime.load()?;
    let prompts = queries.iter().map(|query| {
        let Query { line, text, .. } = query;
        Ok(Prompt { file: args.queries.clone(), line: *line, text: text.clone() })
    });
    let scores = graded::score(&router, &runtime, &args.runtime, prompts, queries.len())?;
    let chosen = systematic(&scores, args.number.get(), &mut fastrand::Rng::with_seed(args.seed));
    let picked: Vec<Picked<'_>> =
        chosen.iter().filter_map(|row| Some(picked(queries.get(*row)?, *scores.get(*row)?))).collect();
    let written = log::write_whole(&args.out, |out| {
        for picked in &picked {
            serde_json::to_writer(&mut *out, picked)?;
            writeln!(out)?;
        }
        Ok(())
    });
    written.map_err(|error| format!("cannot write {}: {error}", args.out.display()))?;
    let report = Report { picked: picked.len(), of: queries.len(), repeated, excepted, scores: three(&picked) };
    let said = if args.json { serde_json::to_string(&report)? + "\n" } else { text(&report, &args.out) };
    Ok(super::print(&said)?)
}

/// The digests of the queries in some files.
fn except(files: &[PathBuf]) -> Result<HashSet<String>, Failure> {
    let mut except = HashSet::new();
    for file in files {
        for query in Queries::open(file, Format::Jsonl)? {
            except.insert(digest(&query?.text));
        }
    }
    Ok(except)
}

fn picked(query: &Query, score: f64) -> Picked<'_> {
    let Query { id, source, text, reference, .. } = query;
    Picked { id, source, query: text, reference: reference.as_deref(), score }
}

fn three(picked: &[Picked<'_>]) -> [f64; 3] {
    let mut scores: Vec<f64> = picked.iter().map(|picked| picked.score).collect();
    scores.sort_by(f64::total_cmp);
    let last = scores.len().saturating_sub(1);
    [0, last / 2, last].map(|at| scores.get(at).copied().unwrap_or_default())
}

fn text(report: &Report, out: &Path) -> String {
    let Report { picked, of, repeated, excepted, scores: [low, median, high] } = report;
    let mut left_out = String::new();
    for (count, why) in [(repeated, "lines repeat a query"), (excepted, "are excepted")] {
        if *count > 0 {
            left_out += &format!(", {count} {why}");
        }
    }
    let out = out.display();
    format!(
        "{picked} of {of} queries in {out}{left_out}; scores from {low:.3} to {high:.3}, median {median:.3}\n\
         Next: hybrid-llm collect {out}\n"
    )
}
