//! A pair of models, as it is configured.

use super::source::Decimal;
use super::{ConfigError, header_safe, invalid, positive};
use crate::affinity::Affinity;
use crate::api::Needs;
use crate::dial::{Dial, DialError, DialLimits, DialParts};
use crate::explore::Explore;
use crate::headers;
use crate::query::{Context, NonText, QueryPolicy};
use crate::wrappers::Wrapper;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;
use std::num::NonZeroUsize;

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
    /// How far such a dial may go.
    pub override_limits: DialLimits,
    /// What is scored.
    pub query: QueryPolicy,
    /// Whether conversations keep their tier.
    pub affinity: Affinity,
    /// The request header whose value tells conversations apart, in lower case.
    pub affinity_header: Option<String>,
    /// The share of scored requests that goes to the other tier at random.
    pub explore: Explore,
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
    /// What it can do beyond text; `None`: everything.
    pub capabilities: Option<Needs>,
}

impl Target {
    /// Whether the model can do what a request needs.
    #[must_use]
    pub fn can(&self, needs: Needs) -> bool {
        self.capabilities.is_none_or(|capabilities| needs.within(capabilities))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPair {
    small: RawTarget,
    large: RawTarget,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    dial: RawDial,
    #[serde(default)]
    allow_override: bool,
    #[serde(default)]
    override_limits: RawLimits,
    #[serde(default)]
    query: RawQuery,
    #[serde(default)]
    affinity: RawAffinity,
    affinity_header: Option<String>,
    explore: Option<Decimal>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawDial {
    threshold: Option<Decimal>,
    small_share: Option<Decimal>,
    quality_drop: Option<Decimal>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    threshold: Option<RawRange>,
    small_share: Option<RawRange>,
    quality_drop: Option<RawRange>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields, default)]
struct RawRange {
    floor: Decimal,
    ceiling: Decimal,
}

impl Default for RawRange {
    fn default() -> Self {
        Self { floor: Decimal(0.0), ceiling: Decimal(1.0) }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawQuery {
    context: RawContext,
    non_text: RawNonText,
    wrappers: Option<Vec<RawWrapper>>,
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
#[serde(deny_unknown_fields)]
struct RawMarks {
    start: String,
    end: String,
}

#[derive(Default)]
struct RawAffinity(Affinity);

impl<'de> Deserialize<'de> for RawAffinity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = RawAffinity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off, sticky or only_up")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<RawAffinity, E> {
                // A bare `off` in YAML is a boolean.
                if on {
                    Err(E::invalid_type(serde::de::Unexpected::Bool(on), &self))
                } else {
                    Ok(RawAffinity::default())
                }
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<RawAffinity, E> {
                match word {
                    "off" => Ok(RawAffinity(Affinity::Off)),
                    "sticky" => Ok(RawAffinity(Affinity::Sticky)),
                    "only_up" => Ok(RawAffinity(Affinity::OnlyUp)),
                    _ => Err(E::unknown_variant(word, &["off", "sticky", "only_up"])),
                }
            }
        }
        deserializer.deserialize_any(Word)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    cluster: String,
    model: String,
    context_tokens: Option<u64>,
    capabilities: Option<Vec<RawCapability>>,
    price: Option<RawPrice>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum RawCapability {
    Vision,
    Audio,
    Files,
    Tools,
    JsonSchema,
}

/// US dollars for a million tokens. Dashboards and reports read it from the same file; the filter only checks it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    input: Decimal,
    output: Decimal,
}

impl RawPair {
    pub(super) fn check(self, name: &str) -> Result<Pair, ConfigError> {
        let at = format!("pairs.{name}");
        let explore = self.explore.map_or(0.0, |Decimal(share)| share);
        let header = self.affinity_header.map(|header| request_header(&format!("{at}.affinity_header"), header));
        if name.contains(',') {
            return Err(invalid("pairs", format!("{name:?}"), "is no name; a comma parts the pairs of a route"));
        }
        let override_limits = self.override_limits.check(&format!("{at}.override_limits"))?;
        if !(self.allow_override || override_limits.is_free()) {
            let mend =
                "lets no request turn a dial, and so override_limits limit nothing; set it to true, or remove them";
            return Err(invalid(&format!("{at}.allow_override"), false, mend));
        }
        Ok(Pair {
            name: header_safe("pairs", name.to_owned())?,
            small: self.small.check(&format!("{at}.small"))?,
            large: self.large.check(&format!("{at}.large"))?,
            models: self.models,
            dial: self.dial.check().map_err(|error| ConfigError::Dial { at: format!("{at}.dial"), error })?,
            allow_override: self.allow_override,
            override_limits,
            query: self.query.check(&format!("{at}.query"))?,
            affinity: self.affinity.0,
            affinity_header: header.transpose()?,
            explore: Explore::new(explore)
                .ok_or_else(|| invalid(&format!("{at}.explore"), explore, "is no share; use a number from 0 to 1"))?,
        })
    }
}

/// A header that clients may send, in lower case.
fn request_header(key: &str, name: String) -> Result<String, ConfigError> {
    let name = header_safe(key, name)?.to_ascii_lowercase();
    if name.starts_with(headers::PREFIX) {
        return Err(invalid(
            key,
            format!("{name:?}"),
            "never arrives: headers of this prefix are removed from requests",
        ));
    }
    Ok(name)
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

impl RawLimits {
    fn check(&self, at: &str) -> Result<DialLimits, ConfigError> {
        let range = |key: &str, raw: Option<RawRange>| {
            let Some(RawRange { floor: Decimal(floor), ceiling: Decimal(ceiling) }) = raw else { return Ok(None) };
            if 0.0 <= floor && floor <= ceiling && ceiling <= 1.0 {
                return Ok(Some((floor, ceiling)));
            }
            let value = format!("floor {floor}, ceiling {ceiling}");
            Err(invalid(&format!("{at}.{key}"), value, "is no range; use 0 <= floor <= ceiling <= 1"))
        };
        Ok(DialLimits {
            threshold: range("threshold", self.threshold)?,
            small_share: range("small_share", self.small_share)?,
            quality_drop: range("quality_drop", self.quality_drop)?,
        })
    }
}

impl RawQuery {
    fn check(self, at: &str) -> Result<QueryPolicy, ConfigError> {
        let default = QueryPolicy::default();
        let context = match self.context {
            RawContext::LastUser => Context::LastUser,
            RawContext::System => Context::System,
            RawContext::Turns(turns) => {
                let turns = usize::try_from(positive(&format!("{at}.context.turns"), turns)?).unwrap_or(usize::MAX);
                Context::Turns(NonZeroUsize::new(turns).unwrap_or(NonZeroUsize::MIN))
            }
        };
        let wrappers = self.wrappers.map(|raw| raw.into_iter().map(|raw| raw.check(at)).collect::<Result<_, _>>());
        Ok(QueryPolicy {
            context,
            non_text: match self.non_text {
                RawNonText::Large => NonText::Large,
                RawNonText::Score => NonText::Score,
            },
            wrappers: wrappers.transpose()?.unwrap_or(default.wrappers),
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
            Self::Marks(RawMarks { start, end }) => Wrapper::marks(&start, &end)
                .ok_or_else(|| invalid(&key, format!("{{start: {start:?}, end: {end:?}}}"), "has an empty mark")),
        }
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
            capabilities: self.capabilities.map(|list| capabilities(&list)),
        })
    }
}

fn capabilities(list: &[RawCapability]) -> Needs {
    Needs {
        vision: list.contains(&RawCapability::Vision),
        audio: list.contains(&RawCapability::Audio),
        files: list.contains(&RawCapability::Files),
        tools: list.contains(&RawCapability::Tools),
        json_schema: list.contains(&RawCapability::JsonSchema),
    }
}
