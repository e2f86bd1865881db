//! `hybrid-llm judge`: from responses, or queries alone, to query data.

mod from_query;

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use hyper::Uri;
use regex::Regex;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Failure,
    args::{LogFormat, LogLevel},
    asking::{self, AskArgs, Display},
};
use crate::lab::{
    data::{names::digest, responses::Answered},
    endpoint::{account::End, retry::Stopper},
    judge::{
        Distribution, Graded, Summary,
        ask::{AskReport, Asking, Config, Job, Rated, Ratings},
        column_quality, grade_all,
        rating::Rating,
        reference::Check,
        rubric::{Rubric, RubricError},
    },
    price::Price,
};

/// Grade the responses that collect kept: by a model, by a reference, or by a column of your own; or queries without responses
///
/// Writes query data, one line a query with the quality of every sampled response, in the order of the ids. Queries that lack a
/// response, or a grade, are left out and counted.
///
/// With --from-query there are no responses: a judge says what quality it expects of both models, from the query alone. One short
/// answer a query is all it costs. `train` makes a first router of it, and `calibrate --queries` its shares; what the small model
/// really loses, only graded responses tell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Which one? A reference that can be compared is cheap and exact: use it for questions with one right answer. A judge \
takes any query; it should be a better model than both, and an https:// URL is reached through the proxy of HTTPS_PROXY unless NO_PROXY \
holds its host. A column is for grades that you have, such as BARTScore or thumbs. For a log of queries, before anything is \
collected, --from-query.\n\n\
Examples:\n  \
hybrid-llm judge responses.jsonl --out data.jsonl --contains\n  \
hybrid-llm judge responses.jsonl --out data.jsonl --regex '-?[0-9][0-9,]*(?:\\.[0-9]+)?'    # the last number, as in GSM8K\n  \
hybrid-llm judge responses.jsonl --out data.jsonl --regex '(?i)answer is \\(?([A-J])\\b'     # multiple choice\n  \
hybrid-llm judge responses.jsonl --out data.jsonl --judge-url https://api.openai.com/v1 --judge-model gpt-4.1\n  \
hybrid-llm judge responses.jsonl --out data.jsonl --column bartscore\n  \
hybrid-llm judge --from-query log.jsonl --out rated.jsonl --judge-url https://api.openai.com/v1 --judge-model gpt-4.1 \\\n      \
--small llama-3.1-8b --small-is 'Llama 3.1 8B Instruct' --large gpt-4.1 --large-is 'GPT-4.1'\n\n\
A line of the output:\n  \
{\"id\", \"source\", \"query\", \"quality\": {\"MODEL\": [q, ...]}}\n\
A judge's ratings are kept in OUT.grades as they come: the same command continues a run that was stopped or killed. Next: \
hybrid-llm label."
)]
#[command(group = clap::ArgGroup::new("grader").required(true).args(["judge_url", "exact", "contains", "regex", "column"]))]
pub(super) struct Args {
    /// The responses: JSONL with {"id", "source"?, "query", "reference"?, "model", "sample"?, "response"}. With --from-query the
    /// queries: text, one a line, or JSONL with {"id"?, "source"?, "query"}; one that is repeated without an id is taken once
    #[arg(value_name = "FILE")]
    input: PathBuf,

    /// Where the query data goes; a file that is there is replaced when the new one is whole
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reference: ReferenceArgs,

    #[command(flatten)]
    judge: JudgeArgs,

    #[command(flatten)]
    from_query: from_query::FromQueryArgs,

    #[command(flatten)]
    ask: AskArgs,
}

/// Grading without a model: 1 or 0, or what a column says.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "By a reference, or a column")]
struct ReferenceArgs {
    /// 1 where the response is the reference; case, blanks, and quotes and punctuation around it do not matter, and numbers
    /// are compared as numbers: 1,000 is 1000.0, but 3,5 is not 35
    #[arg(long)]
    exact: bool,

    /// 1 where the reference stands in the response, as whole words and whole numbers: 4 stands neither in -4 nor in 3.4 or
    /// 4,500
    #[arg(long)]
    contains: bool,

    /// 1 where what the pattern finds last in the response (its first group, or all of it) is the reference, compared as by
    /// --exact. Where the pattern finds something in the reference, too, that is what counts there
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    regex: Option<Regex>,

    /// The quality stands under this key of each line: a number, higher is better, or true (1) and false (0)
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
}

/// Grading by a model.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "By a judge, who rates from 1 to 10")]
struct JudgeArgs {
    /// Its API: with /v1 or another path, or without, which means /v1
    #[arg(long, value_name = "URL", value_parser = asking::base_url, requires = "judge_model")]
    judge_url: Option<Uri>,

    /// Its name there
    #[arg(long, value_name = "NAME", requires = "judge_url")]
    judge_model: Option<String>,

    /// The environment variable that holds its API key [default: OPENAI_API_KEY for api.openai.com, else no key]
    #[arg(long, value_name = "NAME", requires = "judge_url")]
    judge_key_env: Option<String>,

    /// US dollars per million input and output tokens
    #[arg(long, value_name = "IN,OUT", requires = "judge_url")]
    judge_price: Option<Price>,

    /// JSON that is laid over each request's body; null takes a key out, as in {"temperature": null}
    #[arg(long, value_name = "JSON", value_parser = asking::json_object, requires = "judge_url")]
    judge_extra_body: Option<Map<String, Value>>,

    /// A prompt of your own, with {query} and {response}, and perhaps {reference}, in their places; it must ask for a rating
    /// from 1 to 10. With --from-query: with {query}, and perhaps {small_is} and {large_is}; it must ask for two ratings from 1 to
    /// 10, in the form {"small": 6, "large": 9}
    #[arg(long, value_name = "FILE", requires = "judge_url")]
    rubric: Option<PathBuf>,
}

/// The whole result, for machines.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    summary: Option<&'a Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<&'a AskReport>,
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| error.to_string())
}

impl ReferenceArgs {
    /// The check by reference that was asked for.
    fn check(&self) -> Option<Check> {
        match (self.exact, self.contains, &self.regex) {
            (true, ..) => Some(Check::Exact),
            (_, true, _) => Some(Check::Contains),
            (_, _, Some(pattern)) => Some(Check::Last(pattern.clone())),
            _ => None,
        }
    }
}

impl JudgeArgs {
    fn config(&self, url: &Uri, ask: &AskArgs) -> Result<Config, Failure> {
        let model = self.judge_model.as_deref().unwrap_or_default();
        let endpoint = asking::endpoint(url, model, self.judge_key_env.as_deref(), self.judge_extra_body.as_ref())?;
        let concurrency = NonZeroUsize::new(ask.concurrency()).unwrap_or(NonZeroUsize::MIN);
        Ok(Config { endpoint, price: self.judge_price, concurrency, patience: ask.patience() })
    }

    /// What was named with --rubric, made into what is asked.
    fn rubric<T>(&self, make: impl FnOnce(Option<String>) -> Result<T, RubricError>) -> Result<T, Failure> {
        let Some(file) = &self.rubric else { return Ok(make(None)?) };
        let shown = file.display();
        let text = fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
        make(Some(text)).map_err(|error| format!("{shown} {error}").into())
    }
}

/// Grades, writes, and says what it came to.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::log(LogFormat::Text, LogLevel::Warn);
    super::keep_apart(Some(&args.out), &[&args.input])?;
    let (graded, judge) = match (&args.judge.judge_url, args.reference.check(), &args.reference.column) {
        (Some(url), ..) => {
            let config = args.judge.config(url, &args.ask)?;
            let rated = if args.from_query.from_query { from_query::rate(args, &config) } else { rate(args, &config) };
            let (graded, report) = rated?;
            (graded, Some(report))
        }
        (None, Some(check), _) => (grade_all(&args.input, None, |answered| by_reference(&check, answered))?, None),
        (None, None, column) => {
            let column = column.as_deref().unwrap_or_default();
            let grade = |answered: &Answered| column_quality(column, answered.column.as_ref()).map(Some);
            (grade_all(&args.input, Some(column), grade)?, None)
        }
    };
    let ended = judge.as_ref().map_or(&End::Complete, |judge| &judge.end);
    let finished = matches!(ended, End::Complete | End::Incomplete);
    let summary = graded.summary();
    let written = if finished { graded.write(&args.out) } else { Ok(()) };
    let report = Report { summary: (finished && written.is_ok()).then_some(&summary), judge: judge.as_ref() };
    let report = if args.json { serde_json::to_string(&report)? + "\n" } else { text(&report, &args.out) };
    super::print(&report)?;
    written?;
    warn(&graded, finished);
    let Some(judge) = &judge else { return Ok(()) };
    let (there, missing, all) = (judge.ratings, judge.missing, judge.ratings + judge.missing);
    let (kept, again) = (format!("{there} of {all} ratings are kept"), "run the same command again");
    match ended {
        End::Complete => Ok(()),
        End::Incomplete => Err(format!("{missing} of {all} ratings are missing; {again} to ask for them again").into()),
        End::Interrupted => Err(format!("interrupted: {kept}; {again} to continue").into()),
        End::Stopped { why } => Err(format!("the judge: {why}\n{kept}; fix this and {again} to continue").into()),
    }
}

fn by_reference(check: &Check, answered: &Answered) -> Result<Option<f64>, String> {
    let lacks = |key: &str, what: &str| format!("has no key {key:?}, which is {what}");
    let response = answered.response.as_ref().ok_or_else(|| lacks("response", "to be graded"))?;
    let reference = answered.reference.as_ref().ok_or_else(|| lacks("reference", "to be compared with"))?;
    if reference.trim().is_empty() {
        return Err("reference: must not be empty".to_owned());
    }
    Ok(Some(f64::from(u8::from(check.agrees(response, reference)))))
}

/// Asks for the ratings of responses that are missing, and grades with all there are.
fn rate(args: &Args, config: &Config) -> Result<(Graded, AskReport), Failure> {
    let rubric = args.judge.rubric(|own| own.map_or(Ok(Rubric::BuiltIn), Rubric::own))?;
    let prompts = rubric.digests(&args.input)?;
    let jobs = rubric.jobs(&args.input)?;
    let (ratings, report) = ask::<Rating>(&args.out, config, (prompts, &rubric.digest()), jobs)?;
    let rating = |answered: &Answered| {
        let digest = digest(&rubric.prompt(answered)?);
        Ok(ratings.of(&digest).map(|rated| rated.rating))
    };
    Ok((grade_all(&args.input, None, rating)?, report))
}

/// Asks for what is missing, and keeps it beside the output. `prompts` are all that there are, with what stands for the rubric.
fn ask<R: Rated>(
    out: &Path,
    config: &Config,
    (prompts, rubric_digest): (HashSet<String>, &str),
    jobs: impl Iterator<Item = Job>,
) -> Result<(Ratings<R>, AskReport), Failure> {
    let mut kept = out.as_os_str().to_owned();
    kept.push(".grades");
    let (stopper, stop) = Stopper::new();
    let asking = Asking::open(config, prompts, rubric_digest, Path::new(&kept), stop)?;
    let display = Display::new(asking.expected(), "ratings");
    let asked = asking::run_until_signal(&stopper, asking.run(jobs, |progress| display.show(progress)))?;
    display.end();
    match asked {
        Some(asked) => Ok(asked?),
        None => Err("stopped at once; run the same command again to continue".into()),
    }
}

/// Says what the user would rather know now than after training.
fn warn(graded: &Graded, finished: bool) {
    if graded.left_out > 0 && finished {
        let (left_out, all) = (graded.left_out, graded.left_out + graded.rows.len());
        super::aside(format_args!("warning: left out {left_out} of {all} queries, which lack a response or a grade"));
    }
    if let Some(grade) = graded.only_grade().filter(|_| finished) {
        super::aside(format_args!(
            "warning: every grade is {grade}: there is nothing to learn from them; look at the references, or the judge"
        ));
    }
}

fn text(report: &Report<'_>, out: &Path) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some(judge) = report.judge {
        let (requests, retries) = (judge.requests, judge.retries);
        let _ = write!(
            text,
            "judge {}: {} ratings; {requests} requests now, {retries} of them retries",
            judge.model, judge.ratings
        );
        let _ = write!(text, "; {} tokens in, {} out", judge.input_tokens, judge.output_tokens);
        text.push_str(&asking::wasted(judge.wasted_input_tokens, judge.wasted_output_tokens));
        if let Some(cost) = judge.cost_usd {
            let _ = write!(text, "; ${cost:.4}");
        }
        let _ = writeln!(text, "; {:.1} s", judge.seconds);
        for (why, count) in &judge.failures {
            let _ = writeln!(text, "  {count} missing: {why}");
        }
    }
    let Some(summary) = report.summary else { return text };
    let _ = writeln!(text, "{} queries in {}, {} left out", summary.queries, out.display(), summary.left_out);
    for model in &summary.models {
        let spread = distribution(&model.distribution);
        let _ = writeln!(
            text,
            "{}: mean quality {:.4} of {} responses ({spread})",
            model.model, model.mean, model.responses
        );
    }
    if let (Some(pair), [first, second]) = (&summary.pair, summary.models.as_slice()) {
        let share = |share: f64| share * 100.0;
        let _ = writeln!(
            text,
            "{} is better on {:.1} % of the queries, {} on {:.1} %; on {:.1} % they are equal",
            first.model,
            share(pair.first_better),
            second.model,
            share(pair.second_better),
            share(pair.equal)
        );
    }
    text
}

fn distribution(distribution: &Distribution) -> String {
    match distribution {
        Distribution::Counts(counts) => {
            let counts: Vec<_> = counts.iter().map(|(quality, count)| format!("{quality}: {count}")).collect();
            counts.join(", ")
        }
        Distribution::Quartiles([least, first, median, third, most]) => {
            format!("from {least:.3} to {most:.3}, quartiles {first:.3}, {median:.3}, {third:.3}")
        }
    }
}
