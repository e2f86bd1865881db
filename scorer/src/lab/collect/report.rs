//! The summary of a collection: responses, requests, tokens, dollars.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Model;
use crate::lab::{
    data::responses::Response,
    endpoint::{
        account::{End, Losses},
        client::Counters,
    },
    pair::ByTier,
};

/// What a collection came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How many queries there are.
    pub queries: usize,
    /// How many responses of each model each of them is to have.
    pub samples: u32,
    /// How long this run took.
    pub seconds: f64,
    /// The models.
    #[serde(flatten)]
    pub models: ByTier<ModelReport>,
    /// How it ended.
    #[serde(flatten)]
    pub end: End,
}

/// What one model's part came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelReport {
    /// The model's name.
    pub model: String,
    /// Responses in the file, of this run and those before.
    pub responses: u64,
    /// Responses that are not in the file.
    pub missing: u64,
    /// Why this run could not get some of them, and how many.
    pub failures: BTreeMap<String, u64>,
    /// Requests of this run.
    pub requests: u64,
    /// How many of them were not the first for their response.
    pub retries: u64,
    /// Prompt tokens of the responses in the file.
    pub input_tokens: u64,
    /// Response tokens of the responses in the file.
    pub output_tokens: u64,
    /// Responses in the file for which the server told no tokens; they are in no sum.
    pub without_tokens: u64,
    /// Prompt tokens of this run's answers that were of no use, since they were empty, filtered or broken off; no file keeps those of
    /// the runs before.
    pub wasted_input_tokens: u64,
    /// Response tokens of the same.
    pub wasted_output_tokens: u64,
    /// What all these tokens cost, in US dollars, where a price is known.
    pub cost_usd: Option<f64>,
    /// Responses in the file that the limit of tokens cut off.
    pub cut: u64,
    /// The mean length of a response in the file, in characters.
    pub mean_characters: Option<f64>,
}

/// What is counted of one model.
#[derive(Debug, Default)]
pub(super) struct Tally {
    responses: u64,
    input_tokens: u64,
    output_tokens: u64,
    without_tokens: u64,
    cut: u64,
    characters: u64,
}

impl Tally {
    /// Counts a response.
    pub(super) fn add(&mut self, response: &Response) {
        self.responses += 1;
        self.input_tokens += response.input_tokens.unwrap_or(0);
        self.output_tokens += response.output_tokens.unwrap_or(0);
        self.without_tokens += u64::from(response.input_tokens.or(response.output_tokens).is_none());
        self.cut += u64::from(response.finish_reason.as_deref() == Some("length"));
        self.characters += response.response.chars().count() as u64;
    }

    /// How many responses are in the file.
    pub(super) fn responses(&self) -> u64 {
        self.responses
    }

    /// What it came to, of so many responses expected.
    pub(super) fn report(&self, model: &Model, expected: u64, counters: &Counters, losses: &Losses) -> ModelReport {
        let wasted = counters.wasted();
        let (input, output) = (self.input_tokens + wasted.input, self.output_tokens + wasted.output);
        ModelReport {
            model: model.endpoint.model.clone(),
            responses: self.responses,
            missing: expected.saturating_sub(self.responses),
            failures: losses.reasons().clone(),
            requests: counters.requests(),
            retries: counters.retries(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            without_tokens: self.without_tokens,
            wasted_input_tokens: wasted.input,
            wasted_output_tokens: wasted.output,
            cost_usd: model.price.map(|price| price.of(input as f64, output as f64)),
            cut: self.cut,
            mean_characters: (self.responses > 0).then(|| self.characters as f64 / self.responses as f64),
        }
    }
}
