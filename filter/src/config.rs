//! The plugin's configuration: read from JSON, checked as a whole, and turned into objects that need no further checks.

mod source;

use crate::breaker::BreakerPolicy;
use crate::dial::{Dial, DialError, DialParts};
use serde::Deserialize;
use source::Decimal;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use thiserror::Error;

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
    /// The pairs that routes name, by name.
    pub pairs: BTreeMap<String, Rc<Pair>>,
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
    /// When to leave a failing scorer alone.
    pub breaker: BreakerPolicy,
}

/// A small and a large model that answer for each other.
#[derive(Debug, PartialEq)]
pub struct Pair {
    /// The name routes use.
    pub name: String,
    /// The small model.
    pub small: Target,
    /// The large model.
    pub large: Target,
    /// Names that a request must ask for to be routed; empty: every request is routed.
    pub models: Vec<String>,
    /// The dial of routes that set none of their own.
    pub dial: Option<Dial>,
    /// Whether a request may set its own tier or dial by header.
    pub allow_override: bool,
}

impl Pair {
    /// Whether a request that asks for this model is to be routed.
    #[must_use]
    pub fn routes(&self, model: Option<&str>) -> bool {
        self.models.is_empty() || model.is_some_and(|model| self.models.iter().any(|alias| alias == model))
    }
}

/// One of a pair's two models.
#[derive(Debug, PartialEq)]
pub struct Target {
    /// Envoy cluster that serves the model.
    pub cluster: String,
    /// The name that cluster knows it by, written into the request.
    pub model: String,
    /// Its context window; `None`: no limit.
    pub context_tokens: Option<u64>,
}

/// Why a configuration was refused: which key, what stands there, and what should.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Nothing was given.
    #[error("plugin configuration is empty; it needs at least scorer.cluster and one pair")]
    Empty,
    /// Not JSON.
    #[error("plugin configuration is not JSON: {0}")]
    Syntax(#[source] serde_json::Error),
    /// An unknown or missing key, or a value of the wrong type.
    #[error("plugin configuration: {key}: {message}")]
    Shape {
        /// Path of the key, such as `pairs.chat.small.cluster`.
        key: String,
        /// What is wrong with it; quotes the value.
        message: String,
    },
    /// A value that makes no sense.
    #[error("plugin configuration: {key}: {value} {mend}")]
    Value {
        /// Path of the key.
        key: String,
        /// What was written.
        value: String,
        /// What to write instead.
        mend: &'static str,
    },
    /// A dial that is none.
    #[error("plugin configuration: {at}.{error}")]
    Dial {
        /// Path of the dial.
        at: String,
        /// What is wrong with it.
        error: DialError,
    },
}

impl From<serde_path_to_error::Error<serde_json::Error>> for ConfigError {
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let key = error.path().to_string();
        match error.into_inner() {
            inner if inner.is_data() => Self::Shape { key, message: inner.to_string() },
            inner => Self::Syntax(inner),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    scorer: RawScorer,
    #[serde(default = "default_max_body_bytes")]
    max_body_bytes: u64,
    #[serde(default = "default_body_timeout_ms")]
    body_timeout_ms: u64,
    pairs: BTreeMap<String, RawPair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScorer {
    cluster: String,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
    #[serde(default = "default_router")]
    router: String,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPair {
    small: RawTarget,
    large: RawTarget,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    dial: RawDial,
    #[serde(default)]
    allow_override: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawDial {
    threshold: Option<Decimal>,
    small_share: Option<Decimal>,
    quality_drop: Option<Decimal>,
}

impl RawDial {
    fn check(self) -> Result<Option<Dial>, DialError> {
        let value = |decimal: Option<Decimal>| decimal.map(|Decimal(value)| value);
        Dial::from_parts(DialParts {
            threshold: value(self.threshold),
            small_share: value(self.small_share),
            quality_drop: value(self.quality_drop),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    cluster: String,
    model: String,
    context_tokens: Option<u64>,
    price: Option<RawPrice>,
}

/// US dollars for a million tokens. Dashboards and reports read it from the same file; the filter only checks it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    input: Decimal,
    output: Decimal,
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
        if let Some(value) = source::protobuf_struct(bytes) {
            let raw: RawConfig = serde_path_to_error::deserialize(value).map_err(ConfigError::from)?;
            return raw.check();
        }
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let raw: RawConfig = serde_path_to_error::deserialize(&mut reader).map_err(ConfigError::from)?;
        reader.end().map_err(ConfigError::Syntax)?;
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
            pairs: pairs.collect::<Result<_, ConfigError>>()?,
        })
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
            breaker: BreakerPolicy {
                failures: self.breaker.failures,
                open_ticks: ticks(positive("scorer.breaker.open_ms", self.breaker.open_ms)?),
            },
        })
    }
}

impl RawPair {
    fn check(self, name: &str) -> Result<Pair, ConfigError> {
        let at = format!("pairs.{name}");
        Ok(Pair {
            name: header_safe("pairs", name.to_owned())?,
            small: self.small.check(&format!("{at}.small"))?,
            large: self.large.check(&format!("{at}.large"))?,
            models: self.models,
            dial: self.dial.check().map_err(|error| ConfigError::Dial { at: format!("{at}.dial"), error })?,
            allow_override: self.allow_override,
        })
    }
}

impl RawTarget {
    fn check(self, at: &str) -> Result<Target, ConfigError> {
        if let Some(price) = self.price {
            for (key, Decimal(value)) in [("input", price.input), ("output", price.output)] {
                if !(value.is_finite() && value >= 0.0) {
                    return Err(invalid(
                        &format!("{at}.price.{key}"),
                        value,
                        "is no price; use dollars per million tokens",
                    ));
                }
            }
        }
        let context_tokens = self.context_tokens.map(|n| positive(&format!("{at}.context_tokens"), n)).transpose()?;
        Ok(Target {
            cluster: header_safe(&format!("{at}.cluster"), self.cluster)?,
            model: header_safe(&format!("{at}.model"), self.model)?,
            context_tokens,
        })
    }
}

fn invalid(key: &str, value: impl ToString, mend: &'static str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), value: value.to_string(), mend }
}

fn positive(key: &str, value: u64) -> Result<u64, ConfigError> {
    if value == 0 { Err(invalid(key, value, "must be at least 1")) } else { Ok(value) }
}

/// Names travel in HTTP headers and in the names of counters.
fn header_safe(key: &str, value: String) -> Result<String, ConfigError> {
    if value.is_empty() || value.chars().any(|c| c.is_control() || c == ' ') {
        return Err(invalid(key, format!("{value:?}"), "is no name; use printable characters without spaces"));
    }
    Ok(value)
}

fn ticks(ms: u64) -> u64 {
    let tick = u64::try_from(TICK.as_millis()).unwrap_or(1);
    ms.div_ceil(tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{
        "scorer": {"cluster": "hybrid-llm-scorer", "timeout_ms": 100, "router": "default"},
        "max_body_bytes": 1048576,
        "pairs": {"chat": {
            "small": {"cluster": "llama-8b", "model": "llama-3.1-8b", "context_tokens": 131072, "price": {"input": 0.05, "output": 0.08}},
            "large": {"cluster": "gpt", "model": "gpt-4.1", "context_tokens": 1000000, "price": {"input": 2.0, "output": 8.0}},
            "models": ["auto"], "dial": {"quality_drop": 0.01}, "allow_override": false}}}"#;

    #[test]
    fn the_documented_configuration_is_read() {
        let config = Config::parse(FULL.as_bytes()).unwrap();
        assert_eq!(config.scorer.cluster, "hybrid-llm-scorer");
        assert_eq!(config.scorer.timeout, Duration::from_millis(100));
        assert_eq!(config.scorer.breaker, BreakerPolicy { failures: 10, open_ticks: 10 });
        assert_eq!((config.max_body_bytes, config.body_timeout_ticks), (1_048_576, 50));
        let pair = &config.pairs["chat"];
        assert_eq!(pair.dial, Some(Dial::QualityDrop(0.01)));
        assert_eq!(pair.small.context_tokens, Some(131_072));
        assert!(pair.routes(Some("auto")) && !pair.routes(Some("gpt-4.1")) && !pair.routes(None));
    }

    /// Bytes of a protobuf `Struct`, as Envoy passes them on.
    fn protobuf(json: &serde_json::Value) -> prost_types::Struct {
        fn value(json: &serde_json::Value) -> prost_types::Value {
            use prost_types::value::Kind;
            let kind = match json {
                serde_json::Value::Null => Kind::NullValue(0),
                serde_json::Value::Bool(flag) => Kind::BoolValue(*flag),
                serde_json::Value::Number(n) if n.is_f64() => Kind::StringValue(n.to_string()),
                serde_json::Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap()),
                serde_json::Value::String(text) => Kind::StringValue(text.clone()),
                serde_json::Value::Array(list) => {
                    Kind::ListValue(prost_types::ListValue { values: list.iter().map(value).collect() })
                }
                serde_json::Value::Object(_) => Kind::StructValue(protobuf(json)),
            };
            prost_types::Value { kind: Some(kind) }
        }
        let members = json.as_object().unwrap();
        prost_types::Struct { fields: members.iter().map(|(key, member)| (key.clone(), value(member))).collect() }
    }

    #[test]
    fn a_struct_from_yaml_reads_as_the_same_configuration() {
        use prost::Message;
        let json: serde_json::Value = serde_json::from_str(FULL).unwrap();
        let config = Config::parse(&protobuf(&json).encode_to_vec()).unwrap();
        let same = Config::parse(FULL.as_bytes()).unwrap();
        assert_eq!(config.scorer, same.scorer);
        assert_eq!(config.pairs, same.pairs);

        let mut wrong = json;
        wrong["pairs"]["chat"]["small"]["model"] = 8.into();
        let error = Config::parse(&protobuf(&wrong).encode_to_vec()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugin configuration: pairs.chat.small.model: invalid type: integer `8`, expected a string"
        );
    }

    #[test]
    fn json_with_white_space_before_it_is_no_struct() {
        for pad in 0..200 {
            let text = format!("{}{FULL}", "\n".repeat(pad % 7) + &" ".repeat(pad));
            assert!(Config::parse(text.as_bytes()).is_ok(), "{pad}");
        }
    }

    #[test]
    fn defaults() {
        let text = r#"{"scorer":{"cluster":"s"},"pairs":{"p":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"b","model":"n"}}}}"#;
        let config = Config::parse(text.as_bytes()).unwrap();
        assert_eq!(config.scorer.router, "default");
        assert_eq!(config.scorer.timeout, Duration::from_millis(100));
        let pair = &config.pairs["p"];
        assert!(pair.dial.is_none() && !pair.allow_override && pair.routes(Some("anything")) && pair.routes(None));
    }

    /// Each mistake, and what the operator reads.
    #[test]
    fn errors_name_key_and_value() {
        let mistakes = [
            ("", ""),
            (r#""timeout_ms": 100"#, r#""timeout_ms": "fast""#),
            (r#""timeout_ms": 100"#, r#""timeout_ms": 0"#),
            (r#""timeout_ms": 100"#, r#""timeout": 100"#),
            (r#""cluster": "hybrid-llm-scorer", "#, ""),
            (r#""cluster": "gpt""#, r#""cluster": """#),
            (r#""model": "gpt-4.1""#, r#""model": "gpt 4.1""#),
            (r#"{"quality_drop": 0.01}"#, r#"{"quality_drop": 1.5}"#),
            (r#"{"quality_drop": 0.01}"#, r#"{"quality_drop": 0.01, "threshold": 0.5}"#),
            (r#"{"quality_drop": 0.01}"#, r#"{"quality": 0.01}"#),
            (r#"{"quality_drop": 0.01}"#, r#"{"small_share": "half"}"#),
            (r#""input": 2.0"#, r#""input": -2.0"#),
            (r#""context_tokens": 131072"#, r#""context_tokens": 0"#),
            (r#"["auto"]"#, r#""auto""#),
            (r#""max_body_bytes": 1048576"#, r#""max_body_bytes": -1"#),
            (r#"false}}}"#, r#"false}}"#),
            (r#"false}}}"#, r#"false}}} x"#),
        ];
        let mut report = String::new();
        for (old, new) in mistakes {
            let text = if old.is_empty() { new.to_owned() } else { FULL.replacen(old, new, 1) };
            assert_ne!(text, FULL, "{old} is not in the configuration");
            report += &format!("{}\n", Config::parse(text.as_bytes()).unwrap_err());
        }
        report += &format!("{}\n", Config::parse(br#"{"scorer":{"cluster":"s"},"pairs":{}}"#).unwrap_err());
        insta::assert_snapshot!(report);
    }
}
