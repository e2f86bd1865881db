//! What is scored, as an operator writes it under a pair's `query`.

use super::error::{ConfigError, invalid, positive};
use crate::request::query::{Context, NonText, QueryPolicy};
use crate::request::text_results::ResultMarks;
use crate::request::wrappers::{Wrapper, Wrappers};
use serde::Deserialize;
use std::num::NonZeroUsize;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawQuery {
    context: RawContext,
    non_text: RawNonText,
    wrappers: Option<Vec<RawWrapper>>,
    tool_results: Option<Vec<RawMarks>>,
    follow_up_words: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum RawContext {
    #[default]
    LastUser,
    Turns(u64),
    System,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum RawNonText {
    #[default]
    Large,
    Score,
}

/// The name of a tag, or two marks.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected the name of a tag, or {start, end}")]
enum RawWrapper {
    Tag(String),
    Marks(RawMarks),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "{start, end}")]
struct RawMarks {
    start: String,
    end: String,
}

impl RawQuery {
    pub(super) fn check(self, at: &str) -> Result<QueryPolicy, ConfigError> {
        let default = QueryPolicy::default();
        let context = match self.context {
            RawContext::LastUser => Context::LastUser,
            RawContext::System => Context::System,
            RawContext::Turns(turns) => {
                let turns = usize::try_from(positive(&format!("{at}.context.turns"), turns)?).unwrap_or(usize::MAX);
                Context::Turns(NonZeroUsize::new(turns).unwrap_or(NonZeroUsize::MIN))
            }
        };
        let wrappers =
            self.wrappers.map(|raw| raw.into_iter().map(|raw| raw.check(at)).collect::<Result<Wrappers, _>>());
        let results = self.tool_results.map(|raw| raw.into_iter().map(|raw| raw.check(at)).collect::<Result<_, _>>());
        Ok(QueryPolicy {
            context,
            non_text: match self.non_text {
                RawNonText::Large => NonText::Large,
                RawNonText::Score => NonText::Score,
            },
            wrappers: wrappers.transpose()?.unwrap_or(default.wrappers),
            tool_results: results.transpose()?.unwrap_or(default.tool_results),
            follow_up_words: self.follow_up_words.map_or(default.follow_up_words, |words| words as usize),
        })
    }
}

impl RawWrapper {
    fn check(self, at: &str) -> Result<Wrapper, ConfigError> {
        let key = format!("{at}.wrappers");
        match self {
            Self::Tag(name) if name.chars().all(|c| c.is_alphanumeric() || "-_:.".contains(c)) && !name.is_empty() => {
                Ok(Wrapper::tag(&name))
            }
            Self::Tag(name) => Err(invalid(&key, format!("{name:?}"), "is no tag's name; leave the brackets out")),
            Self::Marks(marks) => Wrapper::marks(&marks.start, &marks.end).ok_or_else(|| marks.empty(&key)),
        }
    }
}

impl RawMarks {
    fn check(self, at: &str) -> Result<ResultMarks, ConfigError> {
        ResultMarks::new(&self.start, &self.end).ok_or_else(|| self.empty(&format!("{at}.tool_results")))
    }

    fn empty(&self, key: &str) -> ConfigError {
        invalid(key, format!("{{start: {:?}, end: {:?}}}", self.start, self.end), "has an empty mark")
    }
}
