//! Asking a model for ratings. Every rating is kept at once, so that a run that ends early can be continued.
//!
//! A rating belongs to a prompt: responses that read the same, to the same query, are rated once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    num::NonZeroUsize,
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{JudgeError, grade_all, rating, rubric::Rubric};
use crate::lab::{
    data::{
        log::{Log, LogError},
        names::digest,
        responses::{Answered, Responses},
    },
    endpoint::{
        account::{End, Losses, Progress},
        address::Endpoint,
        client::{Client, Patience},
        fault::CallError,
        message::Prompt,
        retry::Stop,
        tokens::Tokens,
    },
    price::Price,
};

/// How often a judge is asked for one rating, until it gives one that can be read.
pub const ASKS: u32 = 3;
/// The temperature after the first time, which is asked at 0: the same question would get the same answer.
const ASK_AGAIN_TEMPERATURE: f64 = 0.7;
/// How often the progress is told, besides after every rating.
const TICK: Duration = Duration::from_secs(1);

/// The judge, and how it is asked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What its tokens cost, where that is to be counted.
    pub price: Option<Price>,
    /// What it is asked.
    pub rubric: Rubric,
    /// Requests under way at once.
    pub concurrency: NonZeroUsize,
    /// How long to wait, and how often to try again.
    pub patience: Patience,
}

/// What decides on the ratings: a file has those of one such set.
#[derive(Debug, Serialize)]
struct Settings<'a> {
    model: &'a str,
    extra_body: &'a Map<String, Value>,
    rubric_digest: String,
}

/// A rating, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Rating {
    /// Stands for the prompt.
    digest: String,
    /// The query, model and sample that it was asked for, for people.
    id: String,
    model: String,
    sample: Option<u32>,
    rating: f64,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

/// Why there are no ratings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The responses cannot be graded.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The file of ratings cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] io::Error),
}

/// What asking came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AskReport {
    /// The judge's name.
    pub model: String,
    /// Ratings that there are, of this run and those before.
    pub ratings: u64,
    /// Ratings that there are not.
    pub missing: u64,
    /// Why this run could not get some of them, and how many.
    pub failures: BTreeMap<String, u64>,
    /// Requests of this run.
    pub requests: u64,
    /// How many of them followed a request that failed.
    pub retries: u64,
    /// Prompt tokens of all the ratings that there are.
    pub input_tokens: u64,
    /// Answer tokens of all the ratings that there are.
    pub output_tokens: u64,
    /// Prompt tokens of this run's answers that led to no rating, since they were empty, filtered or not to be read; no file keeps
    /// those of the runs before.
    pub wasted_input_tokens: u64,
    /// Answer tokens of the same.
    pub wasted_output_tokens: u64,
    /// What all these tokens cost, in US dollars, where a price is known.
    pub cost_usd: Option<f64>,
    /// How long this run took.
    pub seconds: f64,
    /// How it ended.
    #[serde(flatten)]
    pub end: End,
}

/// What is known of the ratings.
#[derive(Debug, Default)]
pub struct Ratings {
    known: HashMap<String, f64>,
    input_tokens: u64,
    output_tokens: u64,
}

/// A round of asking that is open, but has not begun.
#[derive(Debug)]
pub struct Asking<'a> {
    config: &'a Config,
    responses: &'a Path,
    log: Log,
    stop: Stop,
    client: Client,
    ratings: Ratings,
    /// How many ratings are to be asked for.
    missing: u64,
}

/// Why there is no rating.
enum NoRating {
    Call(CallError),
    Unreadable,
}

impl Ratings {
    /// The rating of a response, if there is one.
    ///
    /// # Errors
    /// What the line lacks to be rated.
    pub fn of(&self, answered: &Answered, rubric: &Rubric) -> Result<Option<f64>, String> {
        Ok(self.known.get(&digest(&rubric.prompt(answered)?)).copied())
    }

    fn add(&mut self, rating: Rating) {
        self.input_tokens += rating.input_tokens.unwrap_or(0);
        self.output_tokens += rating.output_tokens.unwrap_or(0);
        self.known.insert(rating.digest, rating.rating);
    }
}

impl<'a> Asking<'a> {
    /// Opens the file of ratings, or makes it, reads all responses, and finds out which have no rating yet. `stop` ends the run
    /// early, but lets requests that are under way come to their end.
    ///
    /// # Errors
    /// [`AskError`]; nothing was asked, and no rating written or lost.
    pub fn open(config: &'a Config, responses: &'a Path, ratings_file: &Path, stop: Stop) -> Result<Self, AskError> {
        let client = Client::new(config.endpoint.clone(), config.patience, stop.clone())?;
        let mut ratings = Ratings::default();
        // The responses first: what is wrong with them should leave no new file behind.
        let mut prompts = HashSet::new();
        grade_all(responses, None, |answered| {
            prompts.insert(digest(&config.rubric.prompt(answered)?));
            Ok(None)
        })?;
        let settings = Settings {
            model: &config.endpoint.model,
            extra_body: &config.endpoint.extra_body,
            rubric_digest: digest(&config.rubric.text()),
        };
        let log = Log::open(ratings_file, &settings, |rating: Rating| {
            if prompts.remove(&rating.digest) {
                ratings.add(rating);
            }
            Ok(())
        })?;
        let missing = prompts.len() as u64;
        Ok(Self { config, responses, log, stop, client, ratings, missing })
    }

    /// How many ratings there will be in the end.
    pub fn expected(&self) -> u64 {
        self.ratings.known.len() as u64 + self.missing
    }

    /// Asks for what is missing, and records each rating as it comes.
    ///
    /// # Errors
    /// The responses cannot be read again, or the ratings not be written.
    pub async fn run(self, mut progress: impl FnMut(Progress)) -> Result<(Ratings, AskReport), AskError> {
        let (start, expected) = (Instant::now(), self.expected());
        let Self { config, responses, mut log, stop, client, mut ratings, .. } = self;
        let mut seen: HashSet<_> = ratings.known.keys().cloned().collect();
        let unrated = Responses::open(responses, None).map_err(JudgeError::from)?.filter_map(|answered| {
            // What is wrong with a line was found before.
            let answered = answered.ok()?;
            let prompt = config.rubric.prompt(&answered).ok()?;
            let digest = digest(&prompt);
            seen.insert(digest.clone()).then_some((answered, digest, prompt))
        });
        let client = &client;
        let asked = stream::iter(unrated).take_until(stop.stopped()).map(|(answered, digest, prompt)| async move {
            let rated = rate(client, &prompt).await;
            let Answered { id, model, sample, .. } = answered;
            match rated {
                Ok((rating, [input_tokens, output_tokens])) => {
                    Ok(Rating { digest, id, model, sample, rating, input_tokens, output_tokens })
                }
                Err(why) => Err((id, why)),
            }
        });
        let mut asked = pin!(asked.buffer_unordered(config.concurrency.get()));
        let (mut losses, mut ticks) = (Losses::default(), tokio::time::interval(TICK));
        let mut stopped = None;
        loop {
            let recorded = ratings.known.len() as u64;
            progress(Progress::of(client, recorded, &losses));
            let rated = tokio::select! {
                rated = asked.next() => match rated {
                    Some(rated) => rated,
                    None => break,
                },
                _ = ticks.tick() => continue,
            };
            let why = match rated {
                Ok(rating) => {
                    log.append(&rating)?;
                    ratings.add(rating);
                    losses.answered();
                    None
                }
                Err((query, NoRating::Call(error))) => losses.lost(error, &query, client.url(), recorded),
                Err((query, NoRating::Unreadable)) => {
                    let why = format!("no rating from 1 to 10 in any of {ASKS} answers");
                    losses.unusable(why, &query, client.url(), recorded)
                }
            };
            if let Some(why) = why {
                // What is under way is paid for: it comes to its end.
                stop.stop();
                stopped.get_or_insert(why);
            }
        }
        log.sync()?;
        let missing = expected.saturating_sub(ratings.known.len() as u64);
        let end = match stopped {
            Some(why) => End::Stopped { why },
            None if missing == 0 => End::Complete,
            None if stop.is_stopped() => End::Interrupted,
            None => End::Incomplete,
        };
        let wasted = client.counters().wasted();
        let (input, output) = (ratings.input_tokens + wasted.input, ratings.output_tokens + wasted.output);
        let report = AskReport {
            model: config.endpoint.model.clone(),
            ratings: ratings.known.len() as u64,
            missing,
            failures: losses.reasons().clone(),
            requests: client.counters().requests(),
            retries: client.counters().retries(),
            input_tokens: ratings.input_tokens,
            output_tokens: ratings.output_tokens,
            wasted_input_tokens: wasted.input,
            wasted_output_tokens: wasted.output,
            cost_usd: config.price.map(|price| price.of(input as f64, output as f64)),
            seconds: start.elapsed().as_secs_f64(),
            end,
        };
        Ok((ratings, report))
    }
}

/// Asks until there is a rating that can be read; gives it with the tokens that all the answers took. Without one these are
/// wasted.
async fn rate(client: &Client, prompt: &str) -> Result<(f64, [Option<u64>; 2]), NoRating> {
    let mut tokens = [None, None];
    let waste = |[input, output]: [Option<u64>; 2]| client.counters().waste(Tokens::told(input, output));
    for ask in 0..ASKS {
        let temperature = if ask == 0 { 0.0 } else { ASK_AGAIN_TEMPERATURE };
        let prompt = Prompt { system: None, user: prompt, temperature, max_tokens: None };
        let answer = client.complete(&prompt).await.map_err(|error| {
            waste(tokens);
            NoRating::Call(error)
        })?;
        for (sum, more) in tokens.iter_mut().zip([answer.input_tokens, answer.output_tokens]) {
            *sum = sum.map_or(more, |sum: u64| Some(sum + more.unwrap_or(0)));
        }
        if let Some(rating) = rating::read_rating(&answer.text) {
            return Ok((rating, tokens));
        }
    }
    waste(tokens);
    Err(NoRating::Unreadable)
}
