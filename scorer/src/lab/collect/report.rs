//! What a collection came to: responses, requests, tokens, dollars.

use std::{collections::BTreeMap, str::FromStr};

use serde::Serialize;

use super::Model;
use crate::lab::{
    openai::Counters,
    response::{ByTier, Response, Tier},
};

/// What tokens cost, in US dollars per million.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Of prompts.
    pub input: f64,
    /// Of responses.
    pub output: f64,
}

/// A price that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be two prices, of a million input and output tokens in US dollars, such as 0.05,0.08")]
pub struct PriceError;

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        let number = |text: &str| text.trim().parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
        let (input, output) = text.split_once(',').ok_or(PriceError)?;
        Ok(Self { input: number(input).ok_or(PriceError)?, output: number(output).ok_or(PriceError)? })
    }
}

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

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ended", rename_all = "lowercase")]
pub enum End {
    /// Every response is there.
    Complete,
    /// Some could not be had.
    Incomplete,
    /// The user stopped it.
    Interrupted,
    /// An endpoint is of no use.
    Stopped {
        /// Which.
        tier: Tier,
        /// What is wrong with it, and what to mend.
        why: String,
    },
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
    /// What the tokens cost, in US dollars, where a price is known.
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
    failures: BTreeMap<String, u64>,
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

    /// Counts a response that could not be had, and gives how many there are of them.
    pub(super) fn fail(&mut self, why: String) -> u64 {
        *self.failures.entry(why).or_default() += 1;
        self.failed()
    }

    /// How many responses are in the file.
    pub(super) fn responses(&self) -> u64 {
        self.responses
    }

    /// How many could not be had.
    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// What it came to, of so many responses expected.
    pub(super) fn report(&self, model: &Model, expected: u64, counters: &Counters) -> ModelReport {
        let cost = |price: Price| {
            (self.input_tokens as f64 * price.input + self.output_tokens as f64 * price.output) / 1_000_000.0
        };
        ModelReport {
            model: model.endpoint.model.clone(),
            responses: self.responses,
            missing: expected.saturating_sub(self.responses),
            failures: self.failures.clone(),
            requests: counters.requests(),
            retries: counters.retries(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            without_tokens: self.without_tokens,
            cost_usd: model.price.map(cost),
            cut: self.cut,
            mean_characters: (self.responses > 0).then(|| self.characters as f64 / self.responses as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_two_numbers() {
        assert_eq!("0.05, 0.08".parse(), Ok(Price { input: 0.05, output: 0.08 }));
        for bad in ["", "1", "1,", "1,x", "-1,2", "inf,1", "1,2,3"] {
            assert_eq!(bad.parse::<Price>(), Err(PriceError), "{bad}");
        }
    }
}
