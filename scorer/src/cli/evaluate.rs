//! `hybrid-llm evaluate`: how good routers are on graded queries.

mod page;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use comfy_table::{ContentArrangement, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use self::page::{Page, Scored};
use super::{
    Failure,
    args::{LogFormat, LogLevel, RuntimeArgs},
    graded::{self, DataArgs, Prompt, Speed},
};
use crate::{
    lab::{
        figures::evaluate::{self, Baselines, Bootstrap, Evaluation, Figure, Ranking},
        pair::Pair,
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
                  large model's mean quality that is lost when N % of the queries go to the small one."
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
    let bar = graded::progress(args.draws as usize, "draws");
    let bootstrap = Bootstrap { draws: args.draws as usize, seed: args.seed };
    let evaluation = evaluate::evaluate(&outcomes, &scores, lengths, bootstrap, || bar.inc(1));
    bar.finish_and_clear();
    let names = names(&args.routers, &routers);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Some(path) = &args.report {
        let scored = names.iter().zip(&routers).zip(&scores);
        let scored: Vec<Scored<'_>> =
            scored.map(|((name, router), scores)| Scored { name, manifest: router.manifest(), scores }).collect();
        let page = Page {
            name: args.name(),
            pair: args.data.pair(),
            rows: &corpus.rows,
            outcomes: &outcomes,
            evaluation: &evaluation,
            bootstrap,
            prices: args.prices(lengths),
        };
        let report = page.report(&scored);
        graded::write_whole(path, report::page(&report).as_bytes())?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &json(&evaluation, &names, args.baselines, speed))?;
        writeln!(out)?;
    } else {
        write!(out, "{}", text(&evaluation, &names, &args.data.pair(), args.baselines))?;
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

/// The figures of a ranking under their names in JSON.
#[derive(Debug, Serialize)]
struct RankingJson {
    apgr: Option<Figure>,
    cpt50: Option<Figure>,
    cpt80: Option<Figure>,
    drop_at: DropsJson,
}

#[derive(Debug, Serialize)]
struct DropsJson {
    #[serde(rename = "10")]
    ten: Option<Figure>,
    #[serde(rename = "20")]
    twenty: Option<Figure>,
    #[serde(rename = "40")]
    forty: Option<Figure>,
}

#[derive(Debug, Serialize)]
struct BaselinesJson {
    random: RankingJson,
    length: RankingJson,
    oracle: RankingJson,
}

#[derive(Debug, Serialize)]
struct RouterJson<'a> {
    router: &'a str,
    #[serde(flatten)]
    ranking: RankingJson,
    apgr_above_first: Option<Figure>,
    apgr_above_length: Option<Figure>,
}

/// The first router's figures stand at the top, under the names that tools rely on; each router's are in `routers`.
#[derive(Debug, Serialize)]
struct EvaluationJson<'a> {
    n: usize,
    quality_small: Figure,
    quality_large: Figure,
    #[serde(flatten)]
    first: Option<RankingJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baselines: Option<BaselinesJson>,
    routers: Vec<RouterJson<'a>>,
    scoring: Speed,
}

impl From<&Ranking> for RankingJson {
    fn from(ranking: &Ranking) -> Self {
        let [ten, twenty, forty] = ranking.drop_at;
        Self {
            apgr: ranking.apgr,
            cpt50: ranking.cpt50,
            cpt80: ranking.cpt80,
            drop_at: DropsJson { ten, twenty, forty },
        }
    }
}

fn json<'a>(evaluation: &Evaluation, names: &[&'a str], baselines: bool, scoring: Speed) -> EvaluationJson<'a> {
    let above = evaluation.above_first.iter().zip(&evaluation.above_length);
    let routers = names.iter().zip(&evaluation.routers).zip(above);
    EvaluationJson {
        n: evaluation.n,
        quality_small: evaluation.quality_small,
        quality_large: evaluation.quality_large,
        first: evaluation.routers.first().map(RankingJson::from),
        baselines: baselines.then(|| BaselinesJson {
            random: (&evaluation.baselines.random).into(),
            length: (&evaluation.baselines.length).into(),
            oracle: (&evaluation.baselines.oracle).into(),
        }),
        routers: routers
            .map(|((router, ranking), (first, length))| RouterJson {
                router,
                ranking: ranking.into(),
                apgr_above_first: *first,
                apgr_above_length: *length,
            })
            .collect(),
        scoring,
    }
}

fn text(evaluation: &Evaluation, names: &[&str], pair: &Pair, baselines: bool) -> String {
    let quality = |figure| cell(Some(figure), 1.0, 3, "");
    let mut text = format!(
        "{} queries; mean quality {} at {}, {} at {}; 95 % intervals in parentheses\n",
        evaluation.n,
        quality(evaluation.quality_small),
        pair.small,
        quality(evaluation.quality_large),
        pair.large,
    );
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["routed by", "APGR", "CPT50 %", "CPT80 %", "drop at 10 %", "at 20 %", "at 40 %"]);
    let mut rows: Vec<(&str, &Ranking)> = names.iter().copied().zip(&evaluation.routers).collect();
    if baselines {
        let Baselines { random, length, oracle } = &evaluation.baselines;
        rows.extend([("random", random), ("length", length), ("oracle", oracle)]);
    }
    for (name, ranking) in rows {
        let mut cells = vec![
            name.to_owned(),
            cell(ranking.apgr, 1.0, 3, ""),
            cell(ranking.cpt50, 1.0, 1, ""),
            cell(ranking.cpt80, 1.0, 1, ""),
        ];
        cells.extend(ranking.drop_at.map(|drop| cell(drop, 100.0, 1, " %")));
        table.add_row(cells);
    }
    text.push_str(&format!("{table}\n"));
    let differences = names.iter().zip(&evaluation.above_first).zip(&evaluation.above_length).enumerate();
    for (index, ((name, first), length)) in differences {
        if baselines {
            let above = cell(*length, 1.0, 3, "");
            text.push_str(&format!("{name}: APGR above length's {above}\n"));
        }
        if let (true, Some(first_name)) = (index > 0, names.first()) {
            let above = cell(*first, 1.0, 3, "");
            text.push_str(&format!("{name}: APGR above {first_name}'s {above}\n"));
        }
    }
    let figures = |ranking: &Ranking| [ranking.apgr, ranking.drop_at[0]];
    if evaluation.routers.iter().flat_map(figures).any(|figure| figure.is_none_or(|figure| figure.low.is_nan())) {
        text.push_str("- : not defined, or not in too many draws for an interval: on these queries the large model is not clearly better (APGR, CPT), or its mean quality is near 0 (drops)\n");
    }
    text
}

fn cell(figure: Option<Figure>, factor: f64, digits: usize, unit: &str) -> String {
    let Some(Figure { value, low, high }) = figure else { return "-".to_owned() };
    let [value, low_text, high] = [value, low, high].map(|number| format!("{:.digits$}", number * factor));
    if low.is_nan() { format!("{value} (-){unit}") } else { format!("{value} ({low_text} to {high}){unit}") }
}
