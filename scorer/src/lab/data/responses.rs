//! Responses: the lines that `collect` writes and `judge` reads.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    error::DataError,
    lines::{Lines, MAX_OWN_LINE},
    names::{digest, name},
};
use crate::lab::{pair::Tier, thoughts};

/// What a line must be, for messages.
const SHAPE: &str = r#"{"id", "source"?, "query", "reference"?, "model", "sample"?, "response"}"#;

/// A sampled response of a model to a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The query's name.
    pub id: String,
    /// Where the query is from.
    pub source: String,
    /// The query.
    pub query: String,
    /// The right answer, or a pattern of it, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The model's name.
    pub model: String,
    /// Which of the pair it is.
    pub tier: Tier,
    /// Which of the model's responses to this query, from zero.
    pub sample: u32,
    /// The response, without thoughts.
    pub response: String,
    /// The thoughts before it, where the server shows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thoughts: Option<String>,
    /// Why it ended: `stop`, `length`, …
    pub finish_reason: Option<String>,
    /// Tokens of the prompt, if the server told.
    pub input_tokens: Option<u64>,
    /// Tokens of the response, if the server told.
    pub output_tokens: Option<u64>,
}

/// A line to be graded: what `collect` wrote, or what somebody else has of the kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Its line in the file, from one.
    pub line: usize,
    /// The query's name; without one, named by its text ([`digest`]).
    pub id: String,
    /// Where the query is from; without a word of its own, the file's name.
    pub source: String,
    /// The query; never blank.
    pub query: String,
    /// The right answer, or a pattern of it.
    pub reference: Option<String>,
    /// The model's name.
    pub model: String,
    /// Which of a pair the model is, if the line says so.
    pub tier: Option<Tier>,
    /// Which of the model's responses to this query; without one, the order of the lines tells.
    pub sample: Option<u32>,
    /// The response without thoughts, which a line that brings its own grade may leave out.
    pub response: Option<String>,
    /// The value under the key that was asked for.
    pub column: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "name")]
    id: Option<String>,
    source: Option<String>,
    query: String,
    #[serde(default, deserialize_with = "name")]
    reference: Option<String>,
    model: String,
    tier: Option<Tier>,
    sample: Option<u32>,
    response: Option<String>,
}

/// The responses of a file, one in memory at a time; after an error there are no more.
#[derive(Debug)]
pub struct Responses {
    lines: Lines,
    source: String,
    column: Option<String>,
    ended: bool,
}

impl Responses {
    /// Opens a file. `column` is a key whose value is wanted, too.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub fn open(file: &Path, column: Option<&str>) -> Result<Self, DataError> {
        let source = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let lines = Lines::open(file, MAX_OWN_LINE)?;
        Ok(Self { lines, source, column: column.map(str::to_owned), ended: false })
    }

    /// What is wrong with the line that was given last, as an error that names file and line.
    pub fn fault(&self, problem: impl Into<String>) -> DataError {
        self.lines.fault(problem)
    }

    fn parse(&mut self) -> Result<Option<Answered>, DataError> {
        if self.lines.advance()?.is_none() {
            return Ok(None);
        }
        let line: Line = self.lines.whole_json(SHAPE)?;
        if line.query.trim().is_empty() {
            return Err(self.fault("query: must not be empty"));
        }
        let column = match &self.column {
            Some(name) => self.lines.whole_json::<serde_json::Map<_, _>>(SHAPE)?.remove(name),
            None => None,
        };
        Ok(Some(Answered {
            line: self.lines.number(),
            id: line.id.unwrap_or_else(|| digest(&line.query)),
            source: line.source.unwrap_or_else(|| self.source.clone()),
            query: line.query,
            reference: line.reference,
            model: line.model,
            tier: line.tier,
            sample: line.sample,
            // Files of earlier versions, and of others, have the thoughts in it.
            response: line.response.map(|response| thoughts::split(&response).answer),
            column,
        }))
    }
}

impl Iterator for Responses {
    type Item = Result<Answered, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.parse().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}
