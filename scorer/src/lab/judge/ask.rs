//! Asking a model for ratings. Every rating is kept at once, so that a run that ends early can be continued.
//!
//! What is asked for is a [`Rated`]: one rating of a response, or two that are expected of a query. It belongs to a prompt: prompts
//! that read the same are asked once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    num::NonZeroUsize,
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::JudgeError;
use crate::lab::{
    data::log::{Log, LogError},
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
    /// Requests under way at once.
    pub concurrency: NonZeroUsize,
    /// How long to wait, and how often to try again.
    pub patience: Patience,
}

/// What a judge is asked for.
pub trait Rated: Copy + Serialize + DeserializeOwned {
    /// Its name, for messages.
    const NAME: &'static str;

    /// Reads it from the judge's answer; `None` where the answer does not say clearly what it is.
    fn read(answer: &str) -> Option<Self>;
}

/// A prompt, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Stands for the prompt.
    pub digest: String,
    /// The name of the query.
    pub id: String,
    /// Which response to it is rated, where it is one.
    pub response: Option<OfResponse>,
    /// What the judge is asked.
    pub prompt: String,
}

/// Which response to a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfResponse {
    /// The model that gave it.
    pub model: String,
    /// Which of the model's responses.
    pub sample: Option<u32>,
}

/// What decides on the ratings: a file has those of one such set.
#[derive(Debug, Serialize)]
struct Settings<'a> {
    model: &'a str,
    extra_body: &'a Map<String, Value>,
    rubric_digest: &'a str,
}

/// A rating, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept<R> {
    /// Stands for the prompt.
    digest: String,
    /// The query, and the response where it is one, that it was asked for, for people.
    id: String,
    #[serde(flatten)]
    response: Option<OfResponse>,
    #[serde(flatten)]
    rated: R,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

/// Why there are no ratings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// What is to be rated cannot be used.
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
#[derive(Debug)]
pub struct Ratings<R> {
    known: HashMap<String, R>,
    input_tokens: u64,
    output_tokens: u64,
}

/// A round of asking that is open, but has not begun.
#[derive(Debug)]
pub struct Asking<'a, R> {
    config: &'a Config,
    log: Log,
    stop: Stop,
    client: Client,
    ratings: Ratings<R>,
    /// How many ratings are to be asked for.
    missing: u64,
}

/// Why there is no rating.
enum NoRating {
    Call(CallError),
    Unreadable,
}

impl<R> Default for Ratings<R> {
    fn default() -> Self {
        Self { known: HashMap::new(), input_tokens: 0, output_tokens: 0 }
    }
}

impl<R: Rated> Ratings<R> {
    /// What the prompt that this digest stands for was answered with, if it was.
    pub fn of(&self, digest: &str) -> Option<R> {
        self.known.get(digest).copied()
    }

    fn add(&mut self, kept: Kept<R>) {
        self.input_tokens += kept.input_tokens.unwrap_or(0);
        self.output_tokens += kept.output_tokens.unwrap_or(0);
        self.known.insert(kept.digest, kept.rated);
    }
}

impl<'a, R: Rated> Asking<'a, R> {
    /// Opens the file of ratings, or makes it, and finds out which of the prompts have no rating yet. `prompts` are their digests,
    /// and `rubric_digest` stands for what they have in common. `stop` ends the run early, but lets requests that are under way
    /// come to their end.
    ///
    /// # Errors
    /// [`AskError`]; nothing was asked, and no rating written or lost.
    pub fn open(
        config: &'a Config,
        mut prompts: HashSet<String>,
        rubric_digest: &str,
        ratings_file: &Path,
        stop: Stop,
    ) -> Result<Self, AskError> {
        let client = Client::new(config.endpoint.clone(), config.patience, stop.clone())?;
        let mut ratings = Ratings::default();
        let Endpoint { model, extra_body, .. } = &config.endpoint;
        let log = Log::open(ratings_file, &Settings { model, extra_body, rubric_digest }, |kept: Kept<R>| {
            if prompts.remove(&kept.digest) {
                ratings.add(kept);
            }
            Ok(())
        })?;
        let missing = prompts.len() as u64;
        Ok(Self { config, log, stop, client, ratings, missing })
    }

    /// How many ratings there will be in the end.
    pub fn expected(&self) -> u64 {
        self.ratings.known.len() as u64 + self.missing
    }

    /// Asks for what is missing, and records each rating as it comes. `jobs` are all prompts, each once or more often.
    ///
    /// # Errors
    /// The ratings cannot be written.
    pub async fn run(
        self,
        jobs: impl Iterator<Item = Job>,
        mut progress: impl FnMut(Progress),
    ) -> Result<(Ratings<R>, AskReport), AskError> {
        let (start, expected) = (Instant::now(), self.expected());
        let Self { config, mut log, stop, client, mut ratings, .. } = self;
        let mut seen: HashSet<_> = ratings.known.keys().cloned().collect();
        let unrated = jobs.filter(|job| seen.insert(job.digest.clone()));
        let client = &client;
        let asked = stream::iter(unrated).take_until(stop.stopped()).map(|job| async move {
            let Job { digest, id, response, prompt } = job;
            match rate(client, &prompt).await {
                Ok((rated, [input_tokens, output_tokens])) => {
                    Ok(Kept::<R> { digest, id, response, rated, input_tokens, output_tokens })
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
                Ok(kept) => {
                    log.append(&kept)?;
                    ratings.add(kept);
                    losses.answered();
                    None
                }
                Err((query, NoRating::Call(error))) => losses.lost(error, &query, client.url(), recorded),
                Err((query, NoRating::Unreadable)) => {
                    let why = format!("no {} in any of {ASKS} answers", R::NAME);
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
async fn rate<R: Rated>(client: &Client, prompt: &str) -> Result<(R, [Option<u64>; 2]), NoRating> {
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
        if let Some(rated) = R::read(&answer.text) {
            return Ok((rated, tokens));
        }
    }
    waste(tokens);
    Err(NoRating::Unreadable)
}
