//! Collecting responses: every query goes to both models of a pair, several times each, and every response is kept at once.
//!
//! The responses are lines of a [`Log`], so that a run that ends early, for whatever reason, can be continued: only what is
//! missing is asked for. Requests in flight when the program is killed may be sent again; recorded responses never are.

mod report;

use std::{
    collections::{HashMap, HashSet},
    io,
    mem::take,
    num::{NonZeroU32, NonZeroUsize},
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Map, Value};

use self::report::Tally;
pub use self::report::{ModelReport, Report};
use crate::lab::{
    data::{
        log::{Log, LogError},
        queries::Query,
        responses::Response,
    },
    endpoint::{
        account::{End, Losses, Progress},
        address::Endpoint,
        client::{Client, Patience},
        message::{Completion, Prompt},
        retry::Stop,
    },
    pair::{ByTier, Tier},
    price::Price,
};

/// How often the progress is told, besides after every response.
const TICK: Duration = Duration::from_secs(1);

/// One of the pair's models.
#[derive(Debug, Clone)]
pub struct Model {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What its tokens cost, where that is to be counted.
    pub price: Option<Price>,
}

/// What is asked, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// The pair.
    pub models: ByTier<Model>,
    /// Responses of each model to each query.
    pub samples: NonZeroU32,
    /// The sampling temperature.
    pub temperature: f64,
    /// The most tokens of a response.
    pub max_tokens: Option<u32>,
    /// A system message before every query.
    pub system: Option<String>,
    /// Requests under way at once, for each model.
    pub concurrency: NonZeroUsize,
    /// How long to wait, and how often to try again.
    pub patience: Patience,
}

/// What decides on the responses: a file has those of one such set.
#[derive(Debug, Serialize)]
struct Settings<'a> {
    small: ModelSettings,
    large: ModelSettings,
    temperature: f64,
    max_tokens: Option<u32>,
    system: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ModelSettings {
    model: String,
    extra_body: Map<String, Value>,
}

/// Why a collection could not be opened or continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The file of responses cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A client cannot be made.
    #[error(transparent)]
    Client(#[from] io::Error),
}

/// What is known of one model's part.
#[derive(Debug, Default)]
struct Side<'a> {
    /// What is to be asked for: queries, and which of their samples.
    missing: Vec<(&'a Query, u32)>,
    tally: Tally,
    losses: Losses,
}

/// A collection that is open, but has not begun to ask.
#[derive(Debug)]
pub struct Collection<'a> {
    config: &'a Config,
    queries: usize,
    log: Log,
    stop: Stop,
    clients: ByTier<Client>,
    sides: ByTier<Side<'a>>,
}

impl<'a> Collection<'a> {
    /// Opens the file of responses, or makes it, and finds out what is missing. `stop` ends the run early, but lets requests
    /// that are under way come to their end. The queries' ids must differ, and so must the models' names.
    ///
    /// # Errors
    /// [`CollectError`]; nothing was asked, and no response written or lost.
    pub fn open(queries: &'a [Query], config: &'a Config, out: &Path, stop: Stop) -> Result<Self, CollectError> {
        let client = |tier| Client::new(config.models.get(tier).endpoint.clone(), config.patience, stop.clone());
        let clients = ByTier::try_new(client)?;
        let mut sides = ByTier::<Side<'_>>::default();
        let by_id: HashMap<_, _> = queries.iter().map(|query| (query.id.as_str(), query)).collect();
        let samples = config.samples.get();
        let mut recorded = HashSet::new();
        let log = Log::open(out, &config.settings(), |line: Response| {
            let Some(query) = by_id.get(line.id.as_str()) else {
                // Its query has been taken out of the file.
                return Ok(());
            };
            if query.text != line.query {
                return Err(
                    "has another query under its id than the file of queries: give the new one a new id".to_owned()
                );
            }
            // Responses to one query would be graded by different references.
            if query.reference != line.reference {
                return Err(
                    "has another reference than the file of queries under its id: make it the same in all lines of \
                            this id, which keeps their responses, or give the query a new id"
                        .to_owned(),
                );
            }
            if line.sample < samples {
                sides.get_mut(line.tier).tally.add(&line);
            }
            if recorded.insert((line.id, line.tier, line.sample)) {
                return Ok(());
            }
            Err("has the same id, tier and sample as a line before: take one of them out".to_owned())
        })?;
        for tier in Tier::ALL {
            let all = queries.iter().flat_map(|query| (0..samples).map(move |sample| (query, sample)));
            let missing = all.filter(|(query, sample)| !recorded.contains(&(query.id.clone(), tier, *sample)));
            sides.get_mut(tier).missing = missing.collect();
        }
        Ok(Self { config, queries: queries.len(), log, stop, clients, sides })
    }

    /// How many responses there will be in the end.
    pub fn expected(&self) -> u64 {
        2 * self.expected_each()
    }

    fn expected_each(&self) -> u64 {
        self.queries as u64 * u64::from(self.config.samples.get())
    }

    /// Asks for what is missing, and records each response as it comes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn run(self, mut progress: impl FnMut(Progress)) -> Result<Report, CollectError> {
        let (start, expected) = (Instant::now(), self.expected_each());
        let Self { config, queries, mut log, stop, clients, mut sides } = self;
        let ask = |tier: Tier, missing: Vec<(&'a Query, u32)>| {
            let client = clients.get(tier);
            stream::iter(missing).take_until(stop.stopped()).map(move |(query, sample)| async move {
                let completion = client.complete(&config.prompt(query)).await;
                (tier, query, sample, completion)
            })
        };
        let missing = ByTier { small: take(&mut sides.small.missing), large: take(&mut sides.large.missing) };
        // Each model has its own requests under way, so that a slow one holds back no other.
        let atonce = config.concurrency.get();
        let small = ask(Tier::Small, missing.small).buffer_unordered(atonce);
        let large = ask(Tier::Large, missing.large).buffer_unordered(atonce);
        let mut outcomes = pin!(stream::select(small, large));
        let mut ticks = tokio::time::interval(TICK);
        let mut stopped = None;
        loop {
            let part = |tier| {
                let side: &Side<'_> = sides.get(tier);
                Progress::of(clients.get(tier), side.tally.responses(), &side.losses)
            };
            progress(part(Tier::Small).and(part(Tier::Large)));
            let (tier, query, sample, completion) = tokio::select! {
                outcome = outcomes.next() => match outcome {
                    Some(outcome) => outcome,
                    None => break,
                },
                _ = ticks.tick() => continue,
            };
            let side = sides.get_mut(tier);
            match completion {
                Ok(completion) => {
                    let response = config.response(tier, query, sample, completion);
                    log.append(&response)?;
                    side.tally.add(&response);
                    side.losses.answered();
                }
                Err(error) => {
                    let (url, recorded) = (clients.get(tier).url(), side.tally.responses());
                    if let Some(why) = side.losses.lost(error, &query.id, url, recorded) {
                        // What is under way, to the other model above all, is paid for: it comes to its end.
                        stop.stop();
                        stopped
                            .get_or_insert_with(|| End::Stopped { why: format!("the {} model: {why}", tier.name()) });
                    }
                }
            }
        }
        log.sync()?;
        let report = |tier| {
            let Side { tally, losses, .. } = sides.get(tier);
            tally.report(config.models.get(tier), expected, clients.get(tier).counters(), losses)
        };
        let models = ByTier { small: report(Tier::Small), large: report(Tier::Large) };
        let missing = models.small.missing + models.large.missing;
        let end = match stopped {
            Some(end) => end,
            None if missing == 0 => End::Complete,
            None if stop.is_stopped() => End::Interrupted,
            None => End::Incomplete,
        };
        let seconds = start.elapsed().as_secs_f64();
        Ok(Report { queries, samples: config.samples.get(), seconds, models, end })
    }
}

impl Config {
    fn settings(&self) -> Settings<'_> {
        let model = |model: &'_ Model| ModelSettings {
            model: model.endpoint.model.clone(),
            extra_body: model.endpoint.extra_body.clone(),
        };
        Settings {
            small: model(&self.models.small),
            large: model(&self.models.large),
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            system: self.system.as_deref(),
        }
    }

    fn prompt<'p>(&'p self, query: &'p Query) -> Prompt<'p> {
        let system = self.system.as_deref();
        Prompt { system, user: &query.text, temperature: self.temperature, max_tokens: self.max_tokens }
    }

    fn response(&self, tier: Tier, query: &Query, sample: u32, completion: Completion) -> Response {
        Response {
            id: query.id.clone(),
            source: query.source.clone(),
            query: query.text.clone(),
            reference: query.reference.clone(),
            model: self.models.get(tier).endpoint.model.clone(),
            tier,
            sample,
            response: completion.text,
            thoughts: completion.thoughts,
            finish_reason: completion.finish_reason,
            input_tokens: completion.input_tokens,
            output_tokens: completion.output_tokens,
        }
    }
}
