//! What asking came to: how far it is, and what was lost on the way.

use std::{collections::BTreeMap, time::Duration};

use hyper::Uri;
use serde::Serialize;

use super::{client::Client, fault::CallError, tokens::Tokens};

/// After so many answers in a row that an endpoint was given up on, the run stops: it is down.
const DOWN_AFTER: u32 = 5;
/// After so many requests without a usable answer the run stops if there has never been one: every request is at fault.
const USELESS_AFTER: u64 = 20;

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Answers recorded, now and before.
    pub recorded: u64,
    /// Answers that this run could not get.
    pub failed: u64,
    /// Requests that were not the first for their answer.
    pub retries: u64,
    /// How long an endpoint is to be left alone, if one asked for that.
    pub pause: Option<Duration>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ended", rename_all = "lowercase")]
pub enum End {
    /// Every answer is there.
    Complete,
    /// Some could not be had.
    Incomplete,
    /// The user stopped it.
    Interrupted,
    /// An endpoint is of no use.
    Stopped {
        /// What is wrong with it, and what to mend.
        why: String,
    },
}

/// The answers of one endpoint that a run could not get.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    reasons: BTreeMap<String, u64>,
    /// How many in a row were given up.
    given_up: u32,
    wasted: Tokens,
}

impl Progress {
    /// How far one client has come.
    pub(crate) fn of(client: &Client, recorded: u64, losses: &Losses) -> Self {
        let retries = client.counters().retries();
        Self { recorded, failed: losses.total(), retries, pause: client.pause() }
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            recorded: self.recorded + other.recorded,
            failed: self.failed + other.failed,
            retries: self.retries + other.retries,
            pause: self.pause.max(other.pause),
        }
    }
}

impl Losses {
    /// Notes that there was an answer.
    pub(crate) fn answered(&mut self) {
        self.given_up = 0;
    }

    /// Notes an answer that could not be had, where `recorded` could, and says why the run should stop, if it should.
    pub(crate) fn lost(&mut self, error: CallError, url: &Uri, recorded: u64) -> Option<String> {
        let text = error.to_string();
        match error {
            CallError::Stopped => return None,
            CallError::Useless(why) => return Some(why),
            CallError::GaveUp { .. } => self.given_up += 1,
            CallError::Refused(_, tokens) => {
                self.given_up = 0;
                self.waste(tokens);
            }
        }
        if self.given_up == DOWN_AFTER {
            *self.reasons.entry(text.clone()).or_default() += 1;
            return Some(format!("{url} {text}, and so for {DOWN_AFTER} responses in a row"));
        }
        self.note(text, url, recorded)
    }

    /// Notes an answer that is of no use, and says why the run should stop, if it should.
    pub(crate) fn unusable(&mut self, why: String, url: &Uri, recorded: u64) -> Option<String> {
        // The endpoint is there: it did answer.
        self.given_up = 0;
        self.note(why, url, recorded)
    }

    /// Notes tokens that an answer of no use took.
    pub(crate) fn waste(&mut self, tokens: Tokens) {
        self.wasted += tokens;
    }

    /// The tokens that answers of no use took.
    pub(crate) fn wasted(&self) -> Tokens {
        self.wasted
    }

    fn note(&mut self, why: String, url: &Uri, recorded: u64) -> Option<String> {
        *self.reasons.entry(why.clone()).or_default() += 1;
        // A query that is refused is that query's fault; when all are, the request is wrong. Where the last one was given up,
        // the endpoint may be going down, which is told otherwise.
        let total = self.total();
        let hopeless = recorded == 0 && total >= USELESS_AFTER && self.given_up == 0;
        hopeless.then(|| format!("{url} gave no usable answer to the first {total} requests; the last one: {why}"))
    }

    /// How many there are.
    pub(crate) fn total(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// Why, and how many each.
    pub(crate) fn reasons(&self) -> &BTreeMap<String, u64> {
        &self.reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::endpoint::fault::{Refusal, Unavailable};

    /// Notes losses one after the other (`r`efused, `u`nusable, `g`iven up), and tells after how many the run stops, and why.
    fn stops(losses: impl IntoIterator<Item = char>, recorded: u64) -> Option<(usize, String)> {
        let (mut account, url) = (Losses::default(), Uri::from_static("http://j/v1"));
        losses.into_iter().zip(1..).find_map(|(loss, count)| {
            let why = match loss {
                'r' => account.lost(CallError::Refused(Refusal::Filtered, Tokens::default()), &url, recorded),
                'u' => account.unusable("no rating".to_owned(), &url, recorded),
                _ => account.lost(CallError::GaveUp { why: Unavailable::Broken, requests: 7 }, &url, recorded),
            };
            why.map(|why| (count, why))
        })
    }

    #[test]
    fn an_endpoint_whose_every_answer_is_useless_ends_the_run() {
        let after = |text: &str, recorded| stops(text.chars().cycle().take(200), recorded).map(|(count, _)| count);
        assert_eq!((after("u", 0), after("r", 0), after("ur", 0)), (Some(20), Some(20), Some(20)));
        let one_given_up = stops("g".chars().chain("u".repeat(100).chars()), 0).unwrap();
        assert_eq!(one_given_up.0, 20, "a request that was given up once is forgotten when the endpoint answers");
        let at_the_limit = stops("u".repeat(19).chars().chain("gu".chars()), 0).unwrap();
        insta::assert_snapshot!(at_the_limit.1, @"http://j/v1 gave no usable answer to the first 21 requests; the last one: no rating");
        assert_eq!(after("u", 1), None, "an answer was of use");
    }

    #[test]
    fn an_endpoint_that_is_down_ends_the_run_and_one_that_answers_in_between_does_not() {
        let after = |text: &str| stops(text.chars().cycle().take(200), 1).map(|(count, _)| count);
        assert_eq!((after("g"), after("ggggu"), after("ggggr")), (Some(5), None, None));
    }
}
