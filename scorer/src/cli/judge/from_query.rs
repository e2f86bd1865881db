//! `hybrid-llm judge --from-query`: the quality that a judge expects of both models, from queries alone.

use super::{Args, Failure, ask};
use crate::lab::{
    data::queries::{self, Format},
    judge::{
        Graded,
        ask::{AskReport, Config},
        from_query::Expectation,
    },
    pair::Pair,
};

/// Rating queries without responses.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "By a judge, from the query alone")]
pub(super) struct FromQueryArgs {
    /// FILE has queries and no responses: the judge rates, from the query alone, what it expects of a small and of a large model.
    /// Of a query of more than 12,000 characters it is shown the beginning and the end
    #[arg(long, requires = "judge_url")]
    pub(super) from_query: bool,

    /// The small model's name in the output
    #[arg(long, value_name = "NAME", default_value = "small", requires = "from_query")]
    small: String,

    /// What the small model is, as the judge is told
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "an open model with 7 to 8 billion parameters",
        requires = "from_query"
    )]
    small_is: String,

    /// The large model's name in the output
    #[arg(long, value_name = "NAME", default_value = "large", requires = "from_query")]
    large: String,

    /// What the large model is, as the judge is told
    #[arg(long, value_name = "TEXT", default_value = "a frontier model", requires = "from_query")]
    large_is: String,

    /// What a line of FILE is. `auto` goes by the first line: JSONL where it begins with `{`
    #[arg(long, value_enum, default_value_t = Format::Auto, requires = "from_query")]
    format: Format,
}

/// Asks for the ratings that are missing, and makes query data of all there are.
pub(super) fn rate(args: &Args, config: &Config) -> Result<(Graded, AskReport), Failure> {
    let FromQueryArgs { small, small_is, large, large_is, format, .. } = &args.from_query;
    if small == large {
        return Err(Failure::Usage(format!("--small and --large are both {small}: a pair has two models")));
    }
    let expectation = args.judge.rubric(|own| Expectation::new(own, small_is, large_is))?;
    let (queries, repeated) = queries::read_log(&args.input, *format)?;
    if repeated > 0 {
        crate::cli::aside(format_args!("{repeated} lines repeat a query of an earlier one, and are left out"));
    }
    let prompts = (expectation.digests(&queries), expectation.digest());
    let asked = ask(&args.out, config, (prompts.0, &prompts.1), expectation.jobs(&queries));
    let (ratings, report) = asked?;
    let pair = Pair { small: small.clone(), large: large.clone() };
    Ok((expectation.graded(&queries, &ratings, &pair), report))
}
