//! `hybrid-llm score`: scores the lines of a file, without a server.

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
};

use indicatif::ProgressBar;
use serde::Serialize;

use super::{
    Failure,
    args::{LogFormat, LogLevel, RuntimeArgs},
    graded::{Prompt, Scorer},
};
use crate::{
    lab::data::queries::{Format, Queries, Query, QueryError},
    router::{Manifest, Router, Verdict},
};

/// How much of a line the table shows, in characters.
const SHOWN: usize = 60;
/// So many queries are read, scored and printed together: enough to keep all cores at work, and few enough to hold.
const TOGETHER: usize = 1024;

/// Score the lines of a file or of standard input, without a server, and print them as they come
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  echo 'What is the capital of France?' | hybrid-llm score --router routers/default\n  \
                  hybrid-llm score --router routers/default --json queries.jsonl > scores.jsonl"
)]
pub(super) struct Args {
    /// The file; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// The router's folder, with router.json, model.onnx and tokenizer.json
    #[arg(long, value_name = "DIR", env = "HYBRID_LLM_ROUTER")]
    router: PathBuf,

    /// What a line is: a query (text), or a JSON object with the key "query" (jsonl). `auto` goes by the first line
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,

    /// Print one JSON object a line instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    runtime: RuntimeArgs,
}

/// A line of the output with `--json`.
#[derive(Debug, Serialize)]
struct Scored {
    /// Counted from 1, in the input.
    line: usize,
    #[serde(flatten)]
    verdict: Verdict,
}

/// Reads, scores, prints, some queries at a time.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log(LogFormat::Text, LogLevel::Warn);
    let router = Router::open(&args.router)?;
    let mut queries = Queries::open(&args.file, args.format)?;
    let mut together: Vec<Query> = queries.by_ref().take(TOGETHER).collect::<Result<_, _>>()?;
    if together.is_empty() {
        return Err(QueryError::Empty(queries.file().to_owned()).into());
    }
    let runtime = args.runtime.load()?;
    let mut scorer = Scorer::load(&router, &runtime, &args.runtime, together.len())?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    head(&mut out, args.json)?;
    // On a terminal the rows themselves show how far it has come.
    let bar = match io::stdout().is_terminal() {
        true => ProgressBar::hidden(),
        false => super::bar(0, "{spinner} {pos} queries, {per_sec}"),
    };
    while !together.is_empty() {
        let prompt =
            |query: &Query| Ok(Prompt { file: queries.file().to_owned(), line: query.line, text: query.text.clone() });
        let scores = scorer.score(together.iter().map(prompt), || bar.inc(1))?;
        print(&mut out, args.json, router.manifest(), &together, &scores)?;
        together = queries.by_ref().take(TOGETHER).collect::<Result<_, _>>()?;
    }
    bar.finish_and_clear();
    Ok(())
}

fn head(out: &mut impl Write, json: bool) -> io::Result<()> {
    if json { Ok(()) } else { writeln!(out, "score  small_share  quality_drop  query") }
}

fn print(out: &mut impl Write, json: bool, manifest: &Manifest, queries: &[Query], scores: &[f64]) -> io::Result<()> {
    for (query, score) in queries.iter().zip(scores) {
        let verdict = manifest.verdict(*score);
        if json {
            let line = query.line;
            serde_json::to_writer(&mut *out, &Scored { line, verdict })?;
            writeln!(out)?;
        } else {
            let share = number(verdict.small_share, 3);
            let drop = number(verdict.quality_drop, 4);
            let text = shown(&query.text);
            writeln!(out, "{score:.3}  {share:>11}  {drop:>12}  {text}")?;
        }
    }
    out.flush()
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// The beginning of a query, on one line and without characters that would move the cursor.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(SHOWN).map(plain).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_one_line_a_query() {
        let manifest = Manifest::parse(
            br#"{"name": "r", "version": "1", "encoder": "e", "max_tokens": 8, "output": "sigmoid", "label": "det",
                "small": "s", "large": "l", "calibration": [{"threshold": 0.5, "small_share": 0.4, "quality_drop": 0.01}]}"#,
        )
        .unwrap();
        let query =
            |line, text: String| Query { line, id: String::new(), source: String::new(), text, reference: None };
        let queries = [query(1, "first\tquery".to_owned()), query(3, "é".repeat(61))];
        let printed = |json| {
            let mut out = Vec::new();
            head(&mut out, json).unwrap();
            print(&mut out, json, &manifest, &queries, &[0.25, 0.75]).unwrap();
            String::from_utf8(out).unwrap()
        };
        insta::assert_snapshot!(printed(false), @r"
        score  small_share  quality_drop  query
        0.250        1.000             -  first query
        0.750        0.400        0.0100  éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé…
        ");
        insta::assert_snapshot!(printed(true), @r#"
        {"line":1,"score":0.25,"small_share":1.0}
        {"line":3,"score":0.75,"small_share":0.4,"quality_drop":0.01}
        "#);
    }
}
