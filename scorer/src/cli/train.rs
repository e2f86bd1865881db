//! `hybrid-llm train`: from graded responses to a router's folder.

mod report;

use std::{
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use self::report::Report;
use super::{
    Failure,
    args::{LogFormat, LogLevel, RuntimeArgs},
    graded::Speed,
};
use crate::{
    encode,
    lab::{
        data::{
            corpus::{Corpus, Source, Text},
            query_data::Incomplete,
            split::Sides,
        },
        pair::Pair,
        training::{
            encoder::{Embeddings, Encoder, EncoderFiles, Wanted},
            folder::Target,
            head,
            publish::{CHECKED, Router, Title},
            train::{self, Task},
        },
    },
    model::Sessions,
    router::Label,
};
use indicatif::ProgressBar;

/// Train a router: a linear head on a frozen encoder, from graded responses of both models
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Query data is JSON, one object a line: {\"id\", \"source\", \"query\", \"quality\": {\"MODEL\": [q, ...]}}, higher is better, one \
number a response.\n\n\
The encoder is any folder with model.onnx and tokenizer.json: a router of this project, an encoder whose output is \
sentence_embedding, or a feature-extraction export whose output is last_hidden_state (its mean over the tokens is taken). It \
is not changed: training takes as long as embedding every query once. The penalty of the head's weights, and whether the \
query's length helps, are chosen by cross-validation on the rows that do not validate.\n\n\
The folder appears when it is complete and its scores have been checked. Then: hybrid-llm calibrate.\n\n\
Examples:\n  \
hybrid-llm train --encoder routers/default --data graded.jsonl --small llama-3.1-8b --large gpt-4.1 --label prob --out routers/mine\n  \
hybrid-llm train --encoder ./all-MiniLM-L6-v2 --data a.jsonl b.jsonl --small s --large l --label gap --out mine --also c.jsonl s2 l2")]
pub(super) struct Args {
    /// The folder with the encoder's model.onnx and tokenizer.json
    #[arg(long, value_name = "DIR")]
    encoder: PathBuf,

    /// Files of query data with the pair's qualities
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    data: Vec<PathBuf>,

    /// The small model, by its name in the data
    #[arg(long, value_name = "MODEL")]
    small: String,

    /// The large model, by its name in the data
    #[arg(long, value_name = "MODEL")]
    large: String,

    /// What the score is to predict
    #[arg(long, value_enum)]
    label: Label,

    /// The router's folder, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Replace the router that is in the folder
    #[arg(long)]
    force: bool,

    /// Learn from another pair too; it gets its own base rate while training. Can be given several times
    #[arg(long, num_args = 3, value_names = ["FILE", "SMALL", "LARGE"], action = clap::ArgAction::Append)]
    also: Vec<String>,

    /// Judge the router on this file of query data, and learn from none of its queries [default: on a fifth of the queries,
    /// by a hash of their text]
    #[arg(long, value_name = "FILE")]
    validation: Option<PathBuf>,

    /// The router's name in requests [default: the name of its folder]
    #[arg(long)]
    name: Option<String>,

    /// The router's version [default: the beginning of its model's SHA-256]
    #[arg(long)]
    version: Option<String>,

    /// The most tokens of a query that are read [default: that of the encoder's own router.json, else 256]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,

    /// The tensor of the encoder's graph with the embedding, [batch, dim] or [batch, tokens, dim]
    /// [default: the first there is of sentence_embedding, embedding, last_hidden_state, token_embeddings]
    #[arg(long, value_name = "TENSOR")]
    embedding: Option<String>,

    /// Leave out rows that lack one of the models, which are otherwise an error
    #[arg(long)]
    skip_incomplete: bool,

    /// Splits the queries otherwise, and draws other intervals; equal seeds give equal routers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    runtime: RuntimeArgs,
}

/// Trains, writes, reports.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log(LogFormat::Text, LogLevel::Warn);
    if args.small == args.large {
        return Err(Failure::Usage(format!("--small and --large are both {}: a pair has two models", args.small)));
    }
    let title = title(args);
    title.check(args.max_tokens).map_err(|error| Failure::Usage(error.to_string()))?;
    let target = Target::check(&args.out, args.force)?;
    let wanted = Wanted { folder: &args.encoder, embedding: args.embedding.as_deref(), max_tokens: args.max_tokens };
    let files = EncoderFiles::read(wanted)?;
    let sources = sources(args);
    let incomplete = if args.skip_incomplete { Incomplete::Skip } else { Incomplete::Refuse };
    let corpus = Corpus::read(&sources, incomplete, args.seed)?;
    let sides = match corpus.parts.last().filter(|_| args.validation.is_some()) {
        Some(apart) => Sides::apart(corpus.hashes(), apart.range.start),
        None => Sides::by_hash(corpus.hashes()),
    };
    let task = Task::new(&corpus, &sides, args.label)?;
    let mut warnings = task.warnings();
    warnings.iter().for_each(|warning| warn(warning));

    let runtime = args.runtime.load()?;
    let workers = args.runtime.workers().min(corpus.rows.len());
    let sessions = Sessions { count: workers, threads: args.runtime.threads() };
    let mut encoder = Encoder::load(files, &runtime, sessions)?;
    let (embeddings, checks, speed) = embed(&mut encoder, &corpus, &task)?;
    let bar = progress("train", head::fits());
    let start = Instant::now();
    let trained = train::train(&task, &corpus, embeddings, encoder.dim, (workers, args.seed), || bar.inc(1));
    let head_seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    for warning in report::after(&trained) {
        warn(&warning);
        warnings.push(warning);
    }
    let router = Router { title: &title, task: &task, corpus: &corpus, encoder: &encoder, trained: &trained };
    let manifest = router.write(&target, &checks, &runtime, workers)?;
    let report = Report::new(&args.out, router, &manifest, (speed, head_seconds), (checks.len(), &warnings));
    Ok(report::print(io::BufWriter::new(io::stdout().lock()), args.json, &report)?)
}

fn title(args: &Args) -> Title {
    let folder = || args.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Title { name: args.name.clone().unwrap_or_else(folder), version: args.version.clone() }
}

/// What to train on, the router's own pair first, and last what to validate on.
fn sources(args: &Args) -> Vec<Source> {
    let own = |file: &PathBuf| {
        let pair = Pair { small: args.small.clone(), large: args.large.clone() };
        Source { file: file.clone(), pair }
    };
    let also = args.also.chunks_exact(3).filter_map(|also| match also {
        [file, small, large] => {
            Some(Source { file: file.into(), pair: Pair { small: small.clone(), large: large.clone() } })
        }
        _ => None,
    });
    args.data.iter().map(own).chain(also).chain(args.validation.as_ref().map(own)).collect()
}

/// The embeddings, some texts of validation rows to check the router with, and how fast it went.
fn embed(encoder: &mut Encoder, corpus: &Corpus, task: &Task) -> Result<(Embeddings, Vec<Text>, Speed), Failure> {
    let bar = progress("embed", corpus.rows.len());
    let checks = Mutex::new(Vec::with_capacity(CHECKED));
    let start = Instant::now();
    let max_tokens = encoder.files.max_tokens;
    let embeddings = encoder.embed(corpus, |mut text| {
        bar.inc(1);
        if task.validation.binary_search(&text.row).is_ok() {
            let mut checks = checks.lock().unwrap_or_else(PoisonError::into_inner);
            if checks.len() < CHECKED {
                text.query.truncate(encode::cut(&text.query, max_tokens).len());
                checks.push(text);
            }
        }
    });
    let speed = Speed::since(start, corpus.rows.len());
    bar.finish_and_clear();
    Ok((embeddings?, checks.into_inner().unwrap_or_else(PoisonError::into_inner), speed))
}

fn warn(warning: &str) {
    super::aside(format_args!("warning: {warning}"));
}

/// A bar for a part of the work.
fn progress(what: &'static str, steps: usize) -> ProgressBar {
    super::bar(steps as u64, "{msg:5} {bar:40} {pos}/{len}, {per_sec}, {eta} left").with_message(what)
}
