//! `hybrid-llm score`: scores the lines of a file, without a server.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Write},
    path::PathBuf,
};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::{
    Failure,
    args::{LogFormat, LogLevel, RuntimeArgs},
};
use crate::{
    encode,
    model::OnnxModel,
    offline,
    router::{Manifest, Router, Verdict},
};

/// How much of a line the table shows, in characters.
const SHOWN: usize = 60;
/// From how many queries on a progress bar is worth its place.
const LONG: usize = 200;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Auto,
    Text,
    Jsonl,
}

/// A line of a JSONL file.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    query: Cow<'a, str>,
}

/// A line of the output with `--json`.
#[derive(Debug, Serialize)]
struct Scored {
    /// Counted from 1, in the input.
    line: usize,
    #[serde(flatten)]
    verdict: Verdict,
}

/// A query and where it came from.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    line: usize,
    text: String,
}

/// Input that cannot be scored.
#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error("cannot read {file}")]
    Read { file: String, source: io::Error },
    #[error(
        "{file}, line {line}: must be a JSON object with the key \"query\", a string (column {column}); --format text takes lines as they are"
    )]
    Line { file: String, line: usize, column: usize },
    #[error("{file} has no queries")]
    Empty { file: String },
}

/// Reads, scores, prints.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log(LogFormat::Text, LogLevel::Warn);
    let router = Router::open(&args.router)?;
    let manifest = router.manifest();
    let (file, queries) = open(args)?;
    let runtime = args.runtime.load()?;
    let workers = args.runtime.workers().min(queries.len());
    let mut models = OnnxModel::load(&runtime, &router, workers, args.runtime.threads())?;
    let texts: Vec<&str> = queries.iter().map(|query| encode::cut(&query.text, manifest.max_tokens)).collect();
    let bar = progress(texts.len());
    let scores = offline::score_all(&mut models, &texts, || bar.inc(1));
    bar.finish_and_clear();
    let scores = scores.map_err(|(index, error)| {
        let line = queries.get(index).map_or(0, |query| query.line);
        format!("{file}, line {line}: {error}")
    })?;
    let stdout = io::BufWriter::new(io::stdout().lock());
    match print(stdout, args.json, manifest, &queries, &scores) {
        // Whoever reads the output has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// The input's name for messages, and its queries.
fn open(args: &Args) -> Result<(String, Vec<Query>), InputError> {
    let (file, read) = if args.file.as_os_str() == "-" {
        let file = "standard input".to_owned();
        let read = read(io::stdin().lock(), &file, args.format);
        (file, read)
    } else {
        let file = args.file.display().to_string();
        let opened = File::open(&args.file).map_err(|source| InputError::Read { file: file.clone(), source })?;
        let read = read(BufReader::new(opened), &file, args.format);
        (file, read)
    };
    Ok((file, read?))
}

/// The queries of an input; blank lines are skipped.
fn read(input: impl BufRead, file: &str, format: Format) -> Result<Vec<Query>, InputError> {
    let mut queries = Vec::new();
    let mut jsonl = (format != Format::Auto).then_some(format == Format::Jsonl);
    for (index, text) in input.lines().enumerate() {
        let text = text.map_err(|source| InputError::Read { file: file.to_owned(), source })?;
        if text.trim().is_empty() {
            continue;
        }
        let line = index + 1;
        let parsed = serde_json::from_str::<Line<'_>>(&text);
        let text = match (*jsonl.get_or_insert(parsed.is_ok()), parsed) {
            (false, _) => text,
            (true, Ok(Line { query })) => query.into_owned(),
            // serde_json's own message may quote the line.
            (true, Err(error)) => {
                return Err(InputError::Line { file: file.to_owned(), line, column: error.column() });
            }
        };
        queries.push(Query { line, text });
    }
    if queries.is_empty() {
        let file = file.to_owned();
        return Err(InputError::Empty { file });
    }
    Ok(queries)
}

/// A bar on a terminal when there is much to do; else one that shows nothing.
fn progress(queries: usize) -> ProgressBar {
    if queries < LONG || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {pos}/{len} queries, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(queries as u64).with_style(style)
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

    fn lines(input: &str, format: Format) -> Result<Vec<(usize, String)>, String> {
        let queries = read(input.as_bytes(), "FILE", format).map_err(|error| error.to_string())?;
        Ok(queries.into_iter().map(|query| (query.line, query.text)).collect())
    }

    #[test]
    fn the_first_line_decides_what_the_file_is() {
        let jsonl = "{\"id\": 1, \"query\": \"a \\\"b\\\"\"}\n\n{\"query\": \"c\"}\n";
        assert_eq!(lines(jsonl, Format::Auto).unwrap(), [(1, "a \"b\"".to_owned()), (3, "c".to_owned())]);
        assert_eq!(lines(jsonl, Format::Text).unwrap().len(), 2);
        let text = "what is {\"query\": 1}?\n{\"query\": \"text after text\"}\n";
        assert_eq!(lines(text, Format::Auto).unwrap()[1].1, "{\"query\": \"text after text\"}");
    }

    #[test]
    fn faults_name_file_and_line_and_never_quote() {
        let fault = |input, format| lines(input, format).unwrap_err();
        insta::assert_snapshot!(fault("{\"query\": \"a\"}\n{\"query\": 1}\n", Format::Auto), @r#"FILE, line 2: must be a JSON object with the key "query", a string (column 11); --format text takes lines as they are"#);
        insta::assert_snapshot!(fault("secret\n", Format::Jsonl), @r#"FILE, line 1: must be a JSON object with the key "query", a string (column 1); --format text takes lines as they are"#);
        insta::assert_snapshot!(fault("\n \n", Format::Auto), @"FILE has no queries");
    }

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
