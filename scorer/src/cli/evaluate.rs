//! `hybrid-llm evaluate`: how good routers are on graded queries.

mod found;
mod json;
mod page;
mod text;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use self::{
    found::Set,
    page::{Page, Scored},
};
use super::{
    Failure,
    args::{LogFormat, LogLevel, RuntimeArgs},
    graded::{self, DataArgs, Prompt, Speed},
};
use crate::{
    lab::{
        figures::evaluate::Bootstrap,
        report::{self, Price, Prices},
    },
    router::Router,
};

/// About how many characters a token has, for the cost of reading a query.
const CHARS_PER_TOKEN: f64 = 4.0;

/// Measure routers on graded queries: APGR, CPT and the quality drop, with 95 % intervals
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hybrid-llm evaluate --router routers/default --data graded.jsonl --small llama-8b --large gpt-4.1 --baselines\n  \
                  hybrid-llm evaluate --router a --router b --data graded.jsonl --small s --large l --baselines --report out.html\n\n\
                  APGR: the area under the recovered part of the quality gap over the share of calls to the large model; random is \
                  0.5.\nCPT50, CPT80: per cent of calls to the large model that recover 50 and 80 % of the gap.\nDrop at N %: the part of the \
                  large model's mean quality that is lost when N % of the queries go to the small one.\nOf the oracle's gain: (APGR - 0.5) / (the \
                  oracle's APGR - 0.5).\nAUC: how often a query whose small response is as good as the large one's scores above one whose \
                  is not.\nRank correlation: Spearman's, of the score with the quality gap.\n\nWhere lines have the keys \"kind\" or \"lang\", \
                  the results are also shown for each of their values."
)]
pub(super) struct Args {
    /// A router's folder; repeat it to compare several
    #[arg(long = "router", value_name = "DIR", required = true)]
    routers: Vec<PathBuf>,

    #[command(flatten)]
    data: DataArgs,

    /// Show a random order, the shortest queries first, and the oracle, which knows the outcome, beside the routers
    #[arg(long)]
    baselines: bool,

    /// How often the queries are drawn anew for the intervals
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    draws: u32,

    /// Seed of the draws
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,

    /// Write a page with error-cost curves, score histograms, the calibration curve and a table of costs
    #[arg(long, value_name = "OUT.html", help_heading = "Report")]
    report: Option<PathBuf>,

    /// The small model's price, for the report: dollars per million input and output tokens, such as 0.05,0.08
    #[arg(long, value_name = "IN,OUT", requires_all = ["report", "large_price"], help_heading = "Report")]
    small_price: Option<Price>,

    /// The large model's price
    #[arg(long, value_name = "IN,OUT", requires_all = ["report", "small_price"], help_heading = "Report")]
    large_price: Option<Price>,

    /// The mean length of a response in tokens, for the report; queries are counted
    #[arg(long, value_name = "N", default_value = "300", requires = "report", help_heading = "Report")]
    output_tokens: u32,

    /// Correlate the scores with the number under this key of each line, instead of with the quality gap
    #[arg(long, value_name = "NAME")]
    column: Option<String>,

    /// Also evaluate the routers on another pair of models in the data: the correlation of its quality gaps with those of
    /// --small and --large, and the quality drops. Repeat it for several pairs
    #[arg(long, value_name = "SMALL:LARGE")]
    against: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    runtime: RuntimeArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log(LogFormat::Text, LogLevel::Warn);
    let routers = args.routers.iter().map(|folder| Router::open(folder)).collect::<Result<Vec<_>, _>>()?;
    let read: Vec<&Path> = args.data.data.iter().map(PathBuf::as_path).collect();
    super::keep_apart(args.report.as_deref(), &read)?;
    let corpus = args.data.read()?;
    let runtime = args.runtime.load()?;
    let count = corpus.rows.len();
    let start = Instant::now();
    let mut scores = Vec::new();
    for router in &routers {
        let prompts = corpus.texts().map(|text| text.map(Prompt::from));
        scores.push(graded::score(router, &runtime, &args.runtime, prompts, count)?);
    }
    let speed = Speed::since(start, count * routers.len());
    let (lengths, outcomes) = (&corpus.characters, graded::outcomes(&corpus.rows));
    let column = args.column.as_deref().map(|name| corpus.column(name)).transpose()?;
    let bootstrap = Bootstrap { draws: args.draws as usize, seed: args.seed };
    let names = names(&args.routers, &routers);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let set = Set { corpus: &corpus, outcomes: &outcomes, scores: &scores, column: column.as_deref(), bootstrap };
    let found = set.measure(&names, &args.against)?;
    if let Some(path) = &args.report {
        let scored = names.iter().zip(&routers).zip(&scores);
        let scored: Vec<Scored<'_>> =
            scored.map(|((name, router), scores)| Scored { name, manifest: router.manifest(), scores }).collect();
        let page = Page {
            name: args.name(),
            pair: args.data.pair(),
            rows: &corpus.rows,
            outcomes: &outcomes,
            found: &found,
            bootstrap,
            prices: args.prices(lengths),
        };
        let report = page.report(&scored);
        graded::write_whole(path, report::page(&report).as_bytes())?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &json::json(&found, args.baselines, speed))?;
        writeln!(out)?;
    } else {
        write!(out, "{}", text::text(&found, &args.data.pair(), args.baselines))?;
    }
    Ok(())
}

/// What each router is called: its name, with its folder where several have the same.
fn names(folders: &[PathBuf], routers: &[Router]) -> Vec<String> {
    let name = |router: &Router| router.manifest().name.clone();
    let shared = |name: &str| routers.iter().filter(|router| router.manifest().name == name).count() > 1;
    let named = routers.iter().zip(folders).map(|(router, folder)| match name(router) {
        name if shared(&name) => format!("{name} ({})", folder.display()),
        name => name,
    });
    named.collect()
}

impl Args {
    /// What the data is called on the page.
    fn name(&self) -> String {
        let stem = |file: &PathBuf| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.data.data.iter().map(stem).collect::<Vec<_>>().join(" + ")
    }

    fn prices(&self, lengths: &[u32]) -> Option<Prices> {
        let characters = lengths.iter().copied().map(f64::from).sum::<f64>() / lengths.len().max(1) as f64;
        Some(Prices {
            small: self.small_price?,
            large: self.large_price?,
            input_tokens: (characters / CHARS_PER_TOKEN).ceil(),
            output_tokens: f64::from(self.output_tokens),
        })
    }
}
