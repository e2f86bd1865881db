//! `hybrid-llm collect`: asks both models of a pair and keeps what they say.

use std::{fmt::Write as _, num::NonZeroU32, num::NonZeroUsize, path::PathBuf};

use hyper::Uri;
use serde_json::{Map, Value};

use super::{
    Failure,
    args::{LogFormat, LogLevel},
    asking::{self, AskArgs, Display},
};
use crate::lab::{
    collect::{Collection, Config, Model, ModelReport, Report},
    data::queries::{self, Format},
    endpoint::{account::End, retry::Stopper},
    pair::{ByTier, Tier},
    price::Price,
};

/// Send queries to a small and a large model, several times each, and keep their responses
///
/// Every response is written as soon as it is there. The same command continues a run that was stopped or killed: it asks only
/// for what is missing, so nothing is paid for twice but what was under way. Unusable answers (empty, stopped by a filter, broken
/// off by the provider, reasoning without an answer) are not kept and are requested again; their tokens are reported and included
/// in the cost. Reasoning, such as between <think> and </think>, is stored separately under "thoughts".
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Both endpoints take POST {URL}/chat/completions, as OpenAI, vLLM, Ollama, llama.cpp and most others do. \
https:// ones are reached through the proxy of HTTPS_PROXY, unless NO_PROXY holds their host.\n\n\
Examples:\n  \
hybrid-llm collect queries.jsonl --out responses.jsonl \\\n      \
--small-url http://127.0.0.1:8000/v1 --small-model llama-3.1-8b \\\n      \
--large-url https://api.openai.com/v1 --large-model gpt-4.1 --large-price 2,8\n  \
hybrid-llm collect queries.txt --out responses.jsonl --samples 1 --temperature 0 ...\n\n\
A line of the output:\n  \
{\"id\", \"source\", \"query\", \"reference\", \"model\", \"tier\", \"sample\", \"response\", \"thoughts\"?, \"finish_reason\",\n   \
\"input_tokens\", \"output_tokens\"}\n\
FILE.settings beside it says how it was made. Next: hybrid-llm judge."
)]
pub(super) struct Args {
    /// The queries: text, one a line, or JSONL with {"id"?, "source"?, "query", "reference"?}
    #[arg(value_name = "QUERIES")]
    queries: PathBuf,

    /// Where the responses go; an existing file is continued
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// What a line of QUERIES is. `auto` goes by the first line: JSONL where it begins with `{`
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,

    /// Responses of each model to each query; the paper's r_prob and r_trans take 10, r_det 1
    #[arg(long, value_name = "N", default_value = "10")]
    samples: NonZeroU32,

    /// The sampling temperature, of both models
    #[arg(long, value_name = "T", default_value = "0.7", value_parser = temperature)]
    temperature: f64,

    /// The most tokens of a response [default: the servers' limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,

    /// A system message before every query
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    /// Print the totals as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    small: SmallArgs,

    #[command(flatten)]
    large: LargeArgs,

    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The small model")]
struct SmallArgs {
    /// Its API: with /v1 or another path, or without, which means /v1
    #[arg(long, value_name = "URL", value_parser = asking::base_url)]
    small_url: Uri,

    /// Its name there
    #[arg(long, value_name = "NAME")]
    small_model: String,

    /// The environment variable that holds its API key [default: OPENAI_API_KEY for api.openai.com, else no key]
    #[arg(long, value_name = "NAME")]
    small_key_env: Option<String>,

    /// US dollars per million input and output tokens
    #[arg(long, value_name = "IN,OUT")]
    small_price: Option<Price>,

    /// JSON that is laid over each request's body; null takes a key out, as in {"temperature": null}
    #[arg(long, value_name = "JSON", value_parser = asking::json_object)]
    small_extra_body: Option<Map<String, Value>>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The large model")]
struct LargeArgs {
    /// Its API, as for the small model
    #[arg(long, value_name = "URL", value_parser = asking::base_url)]
    large_url: Uri,

    /// Its name there
    #[arg(long, value_name = "NAME")]
    large_model: String,

    /// The environment variable that holds its API key [default: OPENAI_API_KEY for api.openai.com, else no key]
    #[arg(long, value_name = "NAME")]
    large_key_env: Option<String>,

    /// US dollars per million input and output tokens
    #[arg(long, value_name = "IN,OUT")]
    large_price: Option<Price>,

    /// JSON that is laid over each request's body
    #[arg(long, value_name = "JSON", value_parser = asking::json_object)]
    large_extra_body: Option<Map<String, Value>>,
}

fn temperature(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=2.0).contains(value));
    value.ok_or_else(|| "must be a number from 0 to 2".to_owned())
}

impl Args {
    fn config(&self) -> Result<Config, Failure> {
        let (small, large) = (&self.small, &self.large);
        if small.small_model == large.large_model {
            let problem = "--small-model and --large-model are the same: their responses could not be told apart";
            return Err(Failure::Usage(problem.to_owned()));
        }
        if self.samples.get() > 1 && self.temperature == 0.0 {
            let problem =
                "--temperature 0 gives the same response again and again: add --samples 1, or sample with more";
            return Err(Failure::Usage(problem.to_owned()));
        }
        let (key, extra) = (small.small_key_env.as_deref(), small.small_extra_body.as_ref());
        let small_endpoint = asking::endpoint(&small.small_url, &small.small_model, key, extra)?;
        let (key, extra) = (large.large_key_env.as_deref(), large.large_extra_body.as_ref());
        let large_endpoint = asking::endpoint(&large.large_url, &large.large_model, key, extra)?;
        Ok(Config {
            models: ByTier {
                small: Model { endpoint: small_endpoint, price: small.small_price },
                large: Model { endpoint: large_endpoint, price: large.large_price },
            },
            samples: self.samples,
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            system: self.system.clone(),
            concurrency: NonZeroUsize::new(self.ask.concurrency()).unwrap_or(NonZeroUsize::MIN),
            patience: self.ask.patience(),
        })
    }
}

/// Reads the queries, asks, and says what it came to.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log(LogFormat::Text, LogLevel::Warn);
    let config = args.config()?;
    let queries = queries::read(&args.queries, args.format)?;
    let (stopper, stop) = Stopper::new();
    let collection = Collection::open(&queries, &config, &args.out, stop)?;
    let display = Display::new(collection.expected(), "responses");
    let report = asking::run_until_signal(&stopper, collection.run(|progress| display.show(progress)))?;
    display.end();
    let out = args.out.display();
    let Some(report) = report else {
        return Err(format!("stopped at once; run the same command again to continue {out}").into());
    };
    let report = report?;
    let said = if args.json { serde_json::to_string(&report)? + "\n" } else { text(&report) };
    super::print(&said)?;
    let there: u64 = report.models.iter().map(|model| model.responses).sum();
    let missing: u64 = report.models.iter().map(|model| model.missing).sum();
    let (all, again) = (there + missing, "run the same command again");
    match report.end {
        End::Complete => Ok(()),
        End::Incomplete => {
            Err(format!("{missing} of {all} responses are missing; {again} to ask for them again").into())
        }
        End::Interrupted => {
            Err(format!("interrupted: {there} of {all} responses are in {out}; {again} to continue").into())
        }
        End::Stopped { why } => {
            Err(format!("{why}\n{there} of {all} responses are in {out}; fix this and {again} to continue").into())
        }
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let each = report.samples;
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} queries, {each} responses a model, {:.1} s", report.queries, report.seconds);
    for tier in Tier::ALL {
        let model = report.models.get(tier);
        let _ = writeln!(text, "{} {}: {}", tier.name(), model.model, line(model));
        for (why, count) in &model.failures {
            let _ = writeln!(text, "  {count} missing: {why}");
        }
    }
    text
}

fn line(model: &ModelReport) -> String {
    let (asked, again) = (model.requests, model.retries);
    let mut line = format!("{} responses in the file; {asked} requests now, {again} of them retries", model.responses);
    let _ = write!(line, "; {} tokens in, {} out", model.input_tokens, model.output_tokens);
    if model.without_tokens > 0 {
        let _ = write!(line, " ({} responses came without a count)", model.without_tokens);
    }
    line.push_str(&asking::wasted(model.wasted_input_tokens, model.wasted_output_tokens));
    if let Some(cost) = model.cost_usd {
        let _ = write!(line, "; ${cost:.4}");
    }
    if let Some(mean) = model.mean_characters {
        let _ = write!(line, "; {mean:.0} characters a response");
    }
    if model.cut > 0 {
        let _ = write!(line, "; {} cut off at the limit of tokens", model.cut);
    }
    line
}
