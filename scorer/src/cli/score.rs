//! `hybrid-llm score`: scores the lines of a file, without a server.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::{
    Failure,
    args::{LogFormat, LogLevel, RuntimeArgs},
    graded,
    queries::{self, Format, Query},
};
use crate::router::{Manifest, Router, Verdict};

/// How much of a line the table shows, in characters.
const SHOWN: usize = 60;

/// Score the lines of a file or of standard input, without a server
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

/// Reads, scores, prints.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log(LogFormat::Text, LogLevel::Warn);
    let router = Router::open(&args.router)?;
    let manifest = router.manifest();
    let (file, queries) = queries::open(&args.file, args.format)?;
    let runtime = args.runtime.load()?;
    let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
    let place = |index| format!("{file}, line {}", queries.get(index).map_or(0, |query: &Query| query.line));
    let scores = graded::score(&router, &runtime, &args.runtime, &texts, place)?;
    let stdout = io::BufWriter::new(io::stdout().lock());
    Ok(print(stdout, args.json, manifest, &queries, &scores)?)
}

fn print(mut out: impl Write, json: bool, manifest: &Manifest, queries: &[Query], scores: &[f64]) -> io::Result<()> {
    if !json {
        writeln!(out, "score  small_share  quality_drop  query")?;
    }
    for (query, score) in queries.iter().zip(scores) {
        let verdict = manifest.verdict(*score);
        if json {
            let line = query.line;
            serde_json::to_writer(&mut out, &Scored { line, verdict })?;
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
        let queries = [Query { line: 1, text: "first\tquery".to_owned() }, Query { line: 3, text: "é".repeat(61) }];
        let printed = |json| {
            let mut out = Vec::new();
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
