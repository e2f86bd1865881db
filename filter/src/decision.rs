//! The decision: which tier a request goes to, and the reason. Plain functions; nothing here does I/O.
//!
//! The order is fixed: what stops a body from being read, then what needs no score, then the score, and without a
//! score the large model.

use crate::api::{ModelName, Prompt, Unparsable};
use crate::config::{Config, Pair, Target};
use crate::dial::Dial;
use crate::fit;
use crate::headers::{Overrides, RequestHead};
use crate::policy::Policy;
use crate::score::Score;

/// One of a pair's two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The small, cheap model.
    Small,
    /// The large model.
    Large,
}

impl Tier {
    /// The word used in headers and counters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    /// Reads the word; `None` when it is neither.
    #[must_use]
    pub fn parse(word: &[u8]) -> Option<Self> {
        [Self::Small, Self::Large].into_iter().find(|tier| tier.as_str().as_bytes() == word)
    }

    /// This tier's model of the pair.
    #[must_use]
    pub fn target(self, pair: &Pair) -> &Target {
        match self {
            Self::Small => &pair.small,
            Self::Large => &pair.large,
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+) => {
        /// Why a request went where it went: a closed set, used in the response header and as a counter's label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word used in headers and counters.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

reasons! {
    /// By the score and the dial.
    Score = "score",
    /// Shadow mode: scored and recorded, sent to large.
    Shadow = "shadow",
    /// The client set the tier, and may.
    Forced = "forced",
    /// The prompt does not fit the small model's context window.
    Context = "context",
    /// The body is over `max_body_bytes`.
    BodyTooLarge = "body_too_large",
    /// The body is compressed.
    EncodedBody = "encoded_body",
    /// The body is not a request of the API.
    Unparsable = "unparsable",
    /// The request holds no text to score.
    NoText = "no_text",
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout",
    /// The route's metadata is wrong.
    RouteConfig = "route_config",
    /// The scorer did not answer in time.
    Timeout = "timeout",
    /// No connection to the scorer.
    ScorerUnreachable = "scorer_unreachable",
    /// The scorer answered with an error.
    ScorerError = "scorer_error",
    /// The scorer's answer holds no usable score.
    BadScore = "bad_score",
    /// The scorer refused: it has more to do than it can in time.
    Overloaded = "overloaded",
    /// The scorer failed often and is left alone for a moment.
    BreakerOpen = "breaker_open",
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// The model it goes to.
    pub tier: Tier,
    /// Why.
    pub reason: Reason,
    /// The score, when there is one.
    pub score: Option<f64>,
    /// In shadow mode: the tier that the score would have chosen.
    pub would_be: Option<Tier>,
}

impl Decision {
    /// To large because something stands in the way of a score: the request is served all the same.
    #[must_use]
    pub fn fail_open(reason: Reason) -> Self {
        Self::unscored(Tier::Large, reason)
    }

    fn unscored(tier: Tier, reason: Reason) -> Self {
        Self { tier, reason, score: None, would_be: None }
    }
}

/// What is to be done with a request whose body has been read.
#[derive(Debug, PartialEq)]
pub enum Plan<'a> {
    /// The client asks for a model that the pair does not route: to the large model's cluster, as it came.
    PassThrough,
    /// Decided without a score.
    Decided(Decision, Option<ModelName<'a>>),
    /// Ask the scorer for this query, then compare with the dial.
    Ask {
        /// The text to score, as JSON string contents.
        query: Vec<&'a str>,
        /// What to compare the score with.
        dial: Dial,
        /// The model name to rewrite.
        model: Option<ModelName<'a>>,
    },
}

/// What the headers alone say against reading the body; `body_follows` is false when the request ends with them.
#[must_use]
pub fn before_body(config: &Config, head: &RequestHead, body_follows: bool) -> Option<Reason> {
    if head.content_length.is_some_and(|length| length > config.max_body_bytes as u64) {
        Some(Reason::BodyTooLarge)
    } else if head.encoded {
        Some(Reason::EncodedBody)
    } else if !body_follows {
        Some(Reason::Unparsable)
    } else {
        None
    }
}

/// What to do once the body has been read.
#[must_use]
pub fn before_score<'a>(policy: &Policy, asked: Overrides, prompt: Result<Prompt<'a>, Unparsable>) -> Plan<'a> {
    let Ok(prompt) = prompt else { return Plan::Decided(Decision::fail_open(Reason::Unparsable), None) };
    if !policy.pair.routes(prompt.model.as_ref().map(|model| model.name.as_ref())) {
        return Plan::PassThrough;
    }
    // Shadow mode promises that nothing but the large model answers, whatever the client wishes.
    let asked = if policy.pair.allow_override && !policy.shadow { asked } else { Overrides::default() };
    let decided = |tier, reason, model| Plan::Decided(Decision::unscored(tier, reason), model);
    if prompt.query.is_empty() {
        return decided(Tier::Large, Reason::NoText, prompt.model);
    }
    if let Some(tier) = asked.tier {
        return decided(tier, Reason::Forced, prompt.model);
    }
    if policy.pair.small.context_tokens.is_some_and(|tokens| !fit::fits(&prompt, tokens)) {
        return decided(Tier::Large, Reason::Context, prompt.model);
    }
    Plan::Ask { query: prompt.query, dial: asked.dial.unwrap_or(policy.dial), model: prompt.model }
}

/// What to do on a route whose metadata is wrong: to large, with the alias made a real name all the same.
#[must_use]
pub fn without_policy<'a>(pair: &Pair, prompt: Result<Prompt<'a>, Unparsable>) -> Plan<'a> {
    let model = prompt.ok().map(|prompt| prompt.model);
    match model {
        Some(model) if !pair.routes(model.as_ref().map(|model| model.name.as_ref())) => Plan::PassThrough,
        model => Plan::Decided(Decision::fail_open(Reason::RouteConfig), model.flatten()),
    }
}

/// The decision once the scorer has answered, or could not.
#[must_use]
pub fn after_score(policy: &Policy, dial: Dial, answer: Result<Score, Reason>) -> Decision {
    let score = match answer {
        Ok(score) => score,
        Err(reason) => return Decision::fail_open(reason),
    };
    let tier = match dial.admits(&score) {
        Some(true) => Tier::Small,
        Some(false) => Tier::Large,
        None => return Decision { score: Some(score.score), ..Decision::fail_open(Reason::BadScore) },
    };
    if policy.shadow {
        let would_be = Some(tier);
        Decision { tier: Tier::Large, reason: Reason::Shadow, score: Some(score.score), would_be }
    } else {
        Decision { tier, reason: Reason::Score, score: Some(score.score), would_be: None }
    }
}

#[cfg(test)]
mod tests;
