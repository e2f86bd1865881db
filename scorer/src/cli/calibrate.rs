//! `hybrid-llm calibrate`: from a sample of traffic to the table behind a route's dial.

mod report;
mod traffic;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use serde::Serialize;
use serde_json::{Value, json};

use self::report::Report;
use super::{
    Failure,
    args::{LogFormat, LogLevel, RuntimeArgs},
    graded::{self, Speed},
};
use crate::{
    lab::{
        data::queries::Format,
        figures::{
            calibrate::{self, Kept},
            sweep::Outcomes,
        },
        pair::Pair,
    },
    router::{Manifest, Router},
};

/// Map a router's scores to shares and quality drops on a sample of your traffic, and write the table into router.json
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hybrid-llm calibrate --router routers/mine --data graded.jsonl --small llama-8b --large gpt-4.1 --quality-drop 0.01\n  \
                  hybrid-llm calibrate --router routers/mine --queries prompts.txt --small-share 0.4\n\n\
                  A route's dial small_share or quality_drop is compared with the table. The drop that it uses is an upper bound with \
                  95 % confidence: on traffic like the sample, a dial's promise is broken for at most one sample in twenty. That holds where \
                  quality has a floor and a ceiling, as ratings and right or wrong have; losses that are huge and too rare for a sample to show \
                  can break it oftener. The paper's point rule, shown beside it, takes the luckiest threshold and breaks its promise about every \
                  second time.\n\n\
                  The queries must not be those that the router was trained on: it knows them, and promises too much."
)]
pub(super) struct Args {
    /// The router's folder; its router.json is rewritten
    #[arg(long, value_name = "DIR")]
    router: PathBuf,

    /// Query data with both models' qualities: JSON, one object a line, {"query", "quality": {"MODEL": [q, ...]}}
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "queries", help_heading = "Data")]
    data: Vec<PathBuf>,

    /// Queries alone, for a table of shares without quality: text, one a line, or JSON lines with the key "query". They are read
    /// twice, so not from a pipe
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "quality_drops", "resplits"], help_heading = "Data")]
    queries: Option<PathBuf>,

    /// What a line of --queries is: a query (text), or a JSON object with the key "query" (jsonl). `auto` goes by the first line
    #[arg(long, value_enum, default_value_t = Format::Auto, requires = "queries", help_heading = "Data")]
    format: Format,

    /// The small model, by its name in the data [default: the one in router.json]
    #[arg(long, value_name = "MODEL", help_heading = "Data")]
    small: Option<String>,

    /// The large model, by its name in the data [default: the one in router.json]
    #[arg(long, value_name = "MODEL", help_heading = "Data")]
    large: Option<String>,

    /// Leave rows out that lack one of the two models, instead of refusing the file
    #[arg(long, help_heading = "Data")]
    skip_incomplete: bool,

    /// How many of the queries are used, drawn at random; 0 uses all
    #[arg(long, value_name = "N", default_value = "500", help_heading = "Data")]
    sample: usize,

    /// Seed of the draw
    #[arg(long, value_name = "N", default_value = "1", help_heading = "Data")]
    seed: u64,

    /// Show the threshold for this share of queries at the small model; repeat it for several
    #[arg(long = "small-share", value_name = "SHARE", value_parser = share)]
    small_shares: Vec<f64>,

    /// Show the thresholds for at most this quality drop, such as 0.01; repeat it for several
    #[arg(long = "quality-drop", value_name = "DROP", value_parser = drop)]
    quality_drops: Vec<f64>,

    /// Check the promises of --quality-drop: so many times, draw a sample of --sample queries, choose thresholds on it, and
    /// measure on the other queries. Writes nothing
    #[arg(long, value_name = "N", requires = "quality_drops", value_parser = clap::value_parser!(u32).range(1..))]
    resplits: Option<u32>,

    /// Replace a table that knows quality drops by one of shares only
    #[arg(long, requires = "queries")]
    force: bool,

    /// Write nothing
    #[arg(long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    runtime: RuntimeArgs,
}

fn share(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok();
    value.filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn drop(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok();
    let fits = value.filter(|value| (0.0..=1.0).contains(value));
    fits.ok_or_else(|| "must be a number from 0 to 1: 0.01 is one per cent of the large model's quality".to_owned())
}

impl Args {
    /// What can be said before any query is scored.
    fn check(&self, queries: usize, manifest: &Manifest) -> Result<(), Failure> {
        let sample = self.resplit_sample(queries);
        if self.resplits.is_some() && queries < 2 * sample {
            let need = "--resplits needs at least twice --sample queries, to measure on the rest";
            return Err(Failure::Usage(format!("{need}: {queries} are too few for {sample}")));
        }
        let drops = manifest.calibration.rows().iter().any(|row| row.quality_drop.is_some());
        if self.queries.is_some() && drops && !self.force && !self.dry_run {
            let lost = "the router's table knows quality drops, which a table of shares only would erase";
            return Err(Failure::Usage(format!("{lost}: give --data, or --force to erase them")));
        }
        Ok(())
    }

    fn resplit_sample(&self, queries: usize) -> usize {
        if self.sample == 0 { queries / 2 } else { self.sample }
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log(LogFormat::Text, LogLevel::Warn);
    let router = Router::open(&args.router)?;
    let manifest = router.manifest();
    let pair = Pair {
        small: args.small.clone().unwrap_or_else(|| manifest.small.clone()),
        large: args.large.clone().unwrap_or_else(|| manifest.large.clone()),
    };
    let traffic = traffic::read(args, &pair)?;
    let all = traffic.len();
    args.check(all, manifest)?;
    let sample = if args.resplits.is_some() { 0 } else { args.sample };
    let chosen = traffic::draw(all, sample, args.seed);
    let count = chosen.iter().filter(|chosen| **chosen).count();
    let runtime = args.runtime.load()?;
    let start = Instant::now();
    let scores = graded::score(&router, &runtime, &args.runtime, traffic.prompts(&chosen)?, count)?;
    let speed = Speed::since(start, count);
    let outcomes = traffic.outcomes(&chosen);
    if let (Some(resplits), Some(outcomes)) = (args.resplits, &outcomes) {
        return check(args, resplits as usize, &scores, outcomes);
    }
    let outcomes = outcomes.as_ref();
    let table = calibrate::table(&scores, outcomes);
    let mut report = Report::new(args, &scores, outcomes, &table, all, speed);
    report.warnings.extend(known_queries(args, manifest));
    if !args.dry_run {
        let on = json!({"queries": scores.len(), "of": all, "seed": args.seed, "small": pair.small, "large": pair.large,
            "quality": outcomes.is_some()});
        let entries = [
            ("calibration", serde_json::to_value(&table)?),
            ("reference_histogram", serde_json::to_value(calibrate::histogram(&scores))?),
            ("calibrated_on", on),
        ];
        rewrite(&args.router.join("router.json"), entries)?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        report.write(&mut out)?;
        if !args.dry_run {
            writeln!(out, "wrote {} rows into {}", table.len(), args.router.join("router.json").display())?;
        }
    }
    Ok(())
}

/// What to say where a file goes by the name of one that the router was trained on.
fn known_queries(args: &Args, manifest: &Manifest) -> Option<String> {
    let trained_on = manifest.trained_on.as_array()?;
    let keys = ["file", "source"];
    let known = |name: &str| {
        let is = |part: &Value| keys.iter().any(|key| part.get(key).and_then(Value::as_str) == Some(name));
        trained_on.iter().any(is)
    };
    let files = args.data.iter().chain(&args.queries);
    let names = files.filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()));
    let found = names.into_iter().find(|name| known(name))?;
    Some(format!(
        "the router was trained on a file of the name {found}: on queries that it knows, it promises too much"
    ))
}

/// Puts entries into a JSON file, keeping all others, by way of a new file beside it.
fn rewrite(path: &Path, entries: [(&str, Value); 3]) -> Result<(), Failure> {
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    if let Some(manifest) = manifest.as_object_mut() {
        manifest.extend(entries.map(|(key, value)| (key.to_owned(), value)));
    }
    let mut text = serde_json::to_string_pretty(&manifest)?;
    text.push('\n');
    graded::write_whole(path, text.as_bytes())
}

/// How a rule kept a promise, in JSON.
#[derive(Debug, Serialize)]
struct KeptJson {
    broken: f64,
    mean_drop: f64,
    mean_share: f64,
    nothing: f64,
}

impl From<Kept> for KeptJson {
    fn from(Kept { broken, mean_drop, mean_share, nothing }: Kept) -> Self {
        Self { broken, mean_drop, mean_share, nothing }
    }
}

fn check(args: &Args, resplits: usize, scores: &[f64], outcomes: &Outcomes) -> Result<(), Failure> {
    let sample = args.resplit_sample(scores.len());
    let mut found = Vec::new();
    for asked in &args.quality_drops {
        let bar = graded::progress(resplits, "resplits");
        let (point, bound) = calibrate::resplit(scores, outcomes, (sample, resplits), *asked, args.seed, || bar.inc(1));
        bar.finish_and_clear();
        found.push((asked, KeptJson::from(point), KeptJson::from(bound)));
    }
    let mut out = io::stdout().lock();
    if args.json {
        let entry = |(asked, point, bound)| json!({"asked": asked, "point": point, "bound": bound});
        let found: Vec<_> = found.into_iter().map(entry).collect();
        let report = json!({"queries": scores.len(), "sample": sample, "resplits": resplits, "quality_drops": found});
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "{resplits} times: {sample} of {} queries to choose on, the others to measure on", scores.len())?;
    if scores.len() < 5 * sample {
        writeln!(out, "note: the others are few, and chance in what is measured on them breaks promises too")?;
    }
    for (asked, point, bound) in found {
        for (rule, kept) in [("the paper's point rule", point), ("bound with 95 % confidence", bound)] {
            writeln!(
                out,
                "quality drop {asked}, {rule}: broken in {:.1} %; mean drop {:.2} %, mean small share {:.1} %, nothing to small in {:.1} %",
                kept.broken * 100.0,
                kept.mean_drop * 100.0,
                kept.mean_share * 100.0,
                kept.nothing * 100.0
            )?;
        }
    }
    Ok(())
}
