//! The plugin's configuration: read from JSON, checked as a whole, and turned into objects that need no further checks.

use super::error::{ConfigError, header_safe, invalid, positive};
use super::pair::{Pair, RawPair};
use super::source;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Period of the filter's clock: how exactly `body_timeout_ms` and `breaker.open_ms` are kept.
pub const TICK: Duration = Duration::from_millis(100);

/// The checked configuration.
#[derive(Debug)]
pub struct Config {
    /// How to reach the scorer.
    pub scorer: Scorer,
    /// Bodies over this many bytes are not read; such requests go to large.
    pub max_body_bytes: usize,
    /// Ticks a request may wait for the rest of its body before it is released to large.
    pub body_timeout_ticks: u64,
    /// Only requests whose path starts with one of these are read as an LLM API's; empty: all.
    pub path_prefixes: Vec<String>,
    /// How much is remembered of where conversations went.
    pub memory: Memory,
    /// The pairs that routes name, by name.
    pub pairs: BTreeMap<String, Rc<Pair>>,
}

impl Config {
    /// Whether requests with this path are read.
    #[must_use]
    pub fn reads(&self, path: &str) -> bool {
        self.path_prefixes.is_empty() || self.path_prefixes.iter().any(|prefix| path.starts_with(prefix))
    }
}

/// How to reach the scorer.
#[derive(Debug, PartialEq)]
pub struct Scorer {
    /// Envoy cluster of the sidecar.
    pub cluster: String,
    /// How long a request waits for its score.
    pub timeout: Duration,
    /// Name of the router to score with.
    pub router: String,
    /// The most characters of a query that it is sent.
    pub max_query_characters: usize,
    /// When to leave a failing scorer alone.
    pub breaker: BreakerPolicy,
}

/// When the breaker opens and how long it stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it; 0 never opens it.
    pub failures: u32,
    /// Ticks of the filter's clock that it stays open.
    pub open_ticks: u64,
}

/// How much is remembered of where conversations went, by all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The most conversations, rounded up to whole sets.
    pub conversations: u32,
    /// Seconds after which a conversation is forgotten.
    pub ttl: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    scorer: RawScorer,
    #[serde(default = "default_max_body_bytes")]
    max_body_bytes: u64,
    #[serde(default = "default_body_timeout_ms")]
    body_timeout_ms: u64,
    #[serde(default)]
    path_prefixes: Vec<String>,
    #[serde(default)]
    memory: RawMemory,
    pairs: BTreeMap<String, RawPair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMemory {
    conversations: u32,
    ttl_s: u32,
}

impl Default for RawMemory {
    fn default() -> Self {
        Self { conversations: 65_536, ttl_s: 3_600 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScorer {
    cluster: String,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
    #[serde(default = "default_router")]
    router: String,
    #[serde(default = "default_max_query_characters")]
    max_query_characters: u64,
    #[serde(default)]
    breaker: RawBreaker,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBreaker {
    failures: u32,
    open_ms: u64,
}

impl Default for RawBreaker {
    fn default() -> Self {
        Self { failures: 10, open_ms: 1000 }
    }
}

fn default_max_body_bytes() -> u64 {
    1_048_576
}

fn default_body_timeout_ms() -> u64 {
    5_000
}

fn default_timeout_ms() -> u64 {
    100
}

/// What the scorer reads of a text for a router of 512 tokens, at 24 characters a token.
fn default_max_query_characters() -> u64 {
    12_288
}

fn default_router() -> String {
    "default".to_owned()
}

impl Config {
    /// Reads and checks the configuration that the proxy hands over: JSON text, or the bytes of a protobuf `Struct`.
    ///
    /// # Errors
    /// The first thing that is wrong, by key and value.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.trim_ascii().is_empty() {
            return Err(ConfigError::Empty);
        }
        // Both forms become one kind of tree, so that the module holds one copy of what reads it.
        let tree = match source::protobuf_struct(bytes) {
            Some(tree) => tree,
            None => serde_json::from_slice::<serde_json::Value>(bytes).map_err(ConfigError::Syntax)?,
        };
        // Where a key may be left out, serde takes null for that, and an operator who began to set it would never know.
        if let Some(key) = source::null_key(&tree) {
            return Err(ConfigError::Null(key));
        }
        let raw: RawConfig = serde_path_to_error::deserialize(tree).map_err(ConfigError::from)?;
        raw.check()
    }
}

impl RawConfig {
    fn check(self) -> Result<Config, ConfigError> {
        if self.pairs.is_empty() {
            return Err(invalid("pairs", "{}", "names no pair; add one with a small and a large model"));
        }
        let max_body_bytes = positive("max_body_bytes", self.max_body_bytes)?;
        let pairs = self.pairs.into_iter().map(|(name, raw)| {
            let pair = raw.check(&name)?;
            Ok((name, Rc::new(pair)))
        });
        Ok(Config {
            scorer: self.scorer.check()?,
            max_body_bytes: usize::try_from(max_body_bytes).unwrap_or(usize::MAX),
            body_timeout_ticks: ticks(positive("body_timeout_ms", self.body_timeout_ms)?),
            path_prefixes: self.path_prefixes.into_iter().map(path_prefix).collect::<Result<_, _>>()?,
            memory: self.memory.check()?,
            pairs: pairs.collect::<Result<_, ConfigError>>()?,
        })
    }
}

impl RawMemory {
    fn check(&self) -> Result<Memory, ConfigError> {
        // 16 million conversations take some 220 MB of the proxy's memory.
        if self.conversations > 1 << 24 {
            return Err(invalid(
                "memory.conversations",
                self.conversations,
                "is too many to keep; use at most 16777216",
            ));
        }
        positive("memory.conversations", u64::from(self.conversations))?;
        positive("memory.ttl_s", u64::from(self.ttl_s))?;
        Ok(Memory { conversations: self.conversations, ttl: self.ttl_s })
    }
}

impl RawScorer {
    fn check(self) -> Result<Scorer, ConfigError> {
        if self.timeout_ms > 60_000 {
            return Err(invalid(
                "scorer.timeout_ms",
                self.timeout_ms,
                "is too long to hold a request; use at most 60000",
            ));
        }
        Ok(Scorer {
            cluster: header_safe("scorer.cluster", self.cluster)?,
            timeout: Duration::from_millis(positive("scorer.timeout_ms", self.timeout_ms)?),
            router: header_safe("scorer.router", self.router)?,
            max_query_characters: usize::try_from(positive("scorer.max_query_characters", self.max_query_characters)?)
                .unwrap_or(usize::MAX),
            breaker: BreakerPolicy {
                failures: self.breaker.failures,
                open_ticks: ticks(positive("scorer.breaker.open_ms", self.breaker.open_ms)?),
            },
        })
    }
}

fn path_prefix(prefix: String) -> Result<String, ConfigError> {
    if prefix.starts_with('/') {
        return Ok(prefix);
    }
    Err(invalid("path_prefixes", format!("{prefix:?}"), "is no path; it must start with a slash"))
}

fn ticks(ms: u64) -> u64 {
    let tick = u64::try_from(TICK.as_millis()).unwrap_or(1);
    ms.div_ceil(tick)
}

#[cfg(test)]
mod tests;
