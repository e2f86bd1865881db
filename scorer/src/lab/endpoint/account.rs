//! The progress of a run, its failures, and when they end it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hyper::Uri;
use serde::Serialize;

use super::{
    client::Client,
    fault::{CallError, Refusal},
};

/// After so many answers in a row that an endpoint was given up on, the run stops: it is down.
const DOWN_AFTER: u32 = 5;
/// After so many requests without a usable answer the run stops if there has never been one: every request is at fault.
const USELESS_AFTER: u64 = 20;
/// After so many different queries in a row that are refused for the same reason the run stops, whatever went well before.
const SAME_AFTER: usize = 20;

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
        /// What is wrong with it, and how to fix it.
        why: String,
    },
}

/// The answers of one endpoint that a run could not get.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    reasons: BTreeMap<String, u64>,
    /// How many in a row were given up.
    given_up: u32,
    /// The refusal that came last, and the queries in a row that met it.
    same: Option<(String, BTreeSet<String>)>,
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
        self.same = None;
    }

    /// Notes an answer to a query that could not be had, where `recorded` could, and says why the run should stop, if it
    /// should. `query` tells the query from others.
    pub(crate) fn lost(&mut self, error: CallError, query: &str, url: &Uri, recorded: u64) -> Option<String> {
        let text = error.to_string();
        let refusal = match error {
            CallError::Stopped => return None,
            CallError::Useless(why) => return Some(why),
            CallError::GaveUp { .. } => {
                self.given_up += 1;
                self.same = None;
                if self.given_up == DOWN_AFTER {
                    *self.reasons.entry(text.clone()).or_default() += 1;
                    return Some(format!("{url} {text}, and so for {DOWN_AFTER} responses in a row"));
                }
                return self.note(text, url, recorded);
            }
            CallError::Refused(refusal) => refusal,
        };
        let same = if refusal.is_of_the_query() { None } else { self.repeated(&text, query, url) };
        self.given_up = 0;
        let stops = self.note(text, url, recorded).or(same)?;
        let told = matches!(refusal, Refusal::Status(_));
        Some(if told { format!("{stops}; --show-errors prints what it says") } else { stops })
    }

    /// Notes an answer that is of no use, and says why the run should stop, if it should.
    pub(crate) fn unusable(&mut self, why: String, query: &str, url: &Uri, recorded: u64) -> Option<String> {
        // The endpoint is there: it did answer.
        self.given_up = 0;
        let same = self.repeated(&why, query, url);
        self.note(why, url, recorded).or(same)
    }

    /// Notes a refusal that is not about the query; enough of the same, for different queries in a row, are about all of them.
    fn repeated(&mut self, why: &str, query: &str, url: &Uri) -> Option<String> {
        let (last, queries) = self.same.get_or_insert_with(|| (why.to_owned(), BTreeSet::new()));
        if last != why {
            (*last, *queries) = (why.to_owned(), BTreeSet::new());
        }
        queries.insert(query.to_owned());
        let all = queries.len() == SAME_AFTER;
        all.then(|| format!("{url} refused {SAME_AFTER} queries in a row for the same reason: {why}"))
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
    use crate::lab::endpoint::fault::Unavailable;

    /// Notes losses one after the other (`r`efused, `u`nusable, `g`iven up), and tells after how many the run stops, and why.
    fn stops(losses: impl IntoIterator<Item = char>, recorded: u64) -> Option<(usize, String)> {
        let (mut account, url) = (Losses::default(), Uri::from_static("http://j/v1"));
        losses.into_iter().zip(1..).find_map(|(loss, count)| {
            // Each query is asked twice.
            let query = (count / 2).to_string();
            let why = match loss {
                'a' => {
                    account.answered();
                    None
                }
                'r' => account.lost(CallError::Refused(Refusal::Filtered), &query, &url, recorded),
                'e' => account.lost(CallError::Refused(Refusal::Empty { cut: true }), &query, &url, recorded),
                'u' => account.unusable("no rating".to_owned(), &query, &url, recorded),
                _ => account.lost(CallError::GaveUp { why: Unavailable::Broken, requests: 7 }, &query, &url, recorded),
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
        assert_eq!(after("r", 1), None, "a filter is about the query");
    }

    #[test]
    fn the_same_refusal_of_many_queries_ends_the_run_whatever_was_recorded() {
        let after = |text: &str| stops(text.chars().cycle().take(200), 1).map(|(count, _)| count);
        assert_eq!((after("e"), after("u")), (Some(38), Some(38)), "twenty queries, two samples each");
        assert_eq!((after("eeeeeeeea"), after("eu")), (None, None), "an answer, or another reason, in between");
        assert_eq!(after("er"), Some(39), "one that is about its query says nothing of the others");
        insta::assert_snapshot!(stops("e".repeat(99).chars(), 1).unwrap().1, @"http://j/v1 refused 20 queries in a row for the same reason: the response was empty (cut off by the limit of tokens before it began)");
    }

    #[test]
    fn an_endpoint_that_is_down_ends_the_run_and_one_that_answers_in_between_does_not() {
        let after = |text: &str| stops(text.chars().cycle().take(200), 1).map(|(count, _)| count);
        assert_eq!((after("g"), after("ggggu"), after("ggggr")), (Some(5), None, None));
    }
}
