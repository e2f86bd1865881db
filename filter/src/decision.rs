//! The decision: which tier a request goes to, and the reason. Plain functions; nothing here does I/O.
//!
//! The order is fixed: what stops a body from being read, then what needs no score, then the score, and without a
//! score the large model.

use crate::affinity::{Affinity, Step, Trail};
use crate::api::{Request, Unparsable};
use crate::config::{Config, Pair, Target};
use crate::dial::Dial;
use crate::fit;
use crate::headers::{Overrides, RequestHead};
use crate::policy::Policy;
use crate::query::NonText;
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

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Small => Self::Large,
            Self::Large => Self::Small,
        }
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
    /// Only one of the models can do what the request needs: see images, call tools, and so on.
    Capability = "capability",
    /// The request's conversation went there before.
    Affinity = "affinity",
    /// It goes on with a tool loop, signed reasoning or a stored conversation, and nobody remembers where that went.
    ToolLoop = "tool_loop",
    /// Scored, and then sent to the other tier at random.
    Explore = "explore",
    /// The scored turns hold images, recordings or files, which the router can't read; or earlier turns do, and the
    /// small model is not known to read them.
    NonText = "non_text",
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
    /// By a dial that the client chose, and not the route's own.
    pub by_wish: bool,
}

impl Decision {
    /// To large because something stands in the way of a score: the request is served all the same.
    #[must_use]
    pub fn fail_open(reason: Reason) -> Self {
        Self::unscored(Tier::Large, reason)
    }

    fn unscored(tier: Tier, reason: Reason) -> Self {
        Self { tier, reason, score: None, would_be: None, by_wish: false }
    }
}

/// What is to be done with a request whose body has been read.
#[derive(Debug, PartialEq)]
pub enum Plan {
    /// Decided without a score.
    Decided(Decision),
    /// Ask the scorer for this query, then compare with the dial.
    Ask {
        /// The text to score.
        query: String,
        /// What to compare the score with.
        dial: Dial,
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

/// Where a request goes that asks for a model which is no alias of its route's pairs: to the first tier that has this very
/// model, and any other is left to the first pair's large one.
#[must_use]
pub fn pass_through<'a>(pairs: impl Iterator<Item = &'a Pair> + Clone, model: Option<&str>) -> Option<&'a Target> {
    let mut tiers = pairs.clone().flat_map(|pair| [&pair.small, &pair.large]);
    let first = pairs.map(|pair| &pair.large).next();
    model.and_then(|model| tiers.find(|target| target.model == model)).or(first)
}

/// What to do once the body of a request that the pair routes has been read. `recall` tells what is remembered of the request's
/// conversation; it is asked only where the answer matters. `asked` holds what the client may ask for and does.
///
/// # Errors
/// The text to score can't be read after all.
pub fn before_score(
    policy: &Policy,
    asked: Overrides,
    request: &Request<'_>,
    recall: impl FnOnce() -> Option<Trail>,
) -> Result<Plan, Unparsable> {
    let pair = &policy.pair;
    let decided = |tier, reason| Ok(Plan::Decided(Decision::unscored(tier, reason)));
    // In shadow mode every request goes to large, and so no conversation can be torn apart.
    let continuation = !policy.shadow && (request.is_bound() || pair.query.in_tool_loop(request)?);
    let query = pair.query.query(request)?;
    if query.text.is_empty() && !continuation {
        return decided(Tier::Large, Reason::NoText);
    }
    if let Some(tier) = asked.tier {
        return decided(tier, Reason::Forced);
    }
    if pair.small.context_tokens.is_some_and(|tokens| !fit::fits(request, tokens)) {
        return decided(Tier::Large, Reason::Context);
    }
    match (pair.small.can(request.needs), pair.large.can(request.needs)) {
        (true, false) if !policy.shadow => return decided(Tier::Small, Reason::Capability),
        (true, _) => {}
        (false, _) => return decided(Tier::Large, Reason::Capability),
    }
    // A small model of which nobody says what it can do is shown no images, whoever brought them and when.
    let keeps_media = pair.query.non_text == NonText::Large;
    let small_is_blind = keeps_media && request.media > 0 && pair.small.capabilities.is_none();
    if continuation {
        return match recall() {
            None => decided(Tier::Large, Reason::ToolLoop),
            // Large can take a bare tool loop over. It can't take a signature, and small may see after all.
            Some(trail) if trail.went == Tier::Small && small_is_blind && !request.is_bound() => {
                decided(Tier::Large, Reason::NonText)
            }
            Some(trail) => decided(trail.went, Reason::Affinity),
        };
    }
    if request.in_background {
        return decided(Tier::Large, Reason::Capability);
    }
    if small_is_blind || (keeps_media && query.has_media) {
        return decided(Tier::Large, Reason::NonText);
    }
    if pair.affinity != Affinity::Off
        && !policy.shadow
        && let Some(tier) = pair.affinity.binds(recall())
    {
        return decided(tier, Reason::Affinity);
    }
    Ok(Plan::Ask { query: query.text, dial: asked.dial.unwrap_or(policy.dial) })
}

/// Whether it is worth remembering where this request goes.
#[must_use]
pub fn is_to_be_remembered(policy: &Policy, request: &Request<'_>) -> bool {
    !policy.shadow && (policy.pair.affinity != Affinity::Off || request.may_be_continued())
}

/// What to remember of a decision. A tool loop has to follow wherever it went. For the user's turns to come only those count
/// that say where the conversation belongs: not what a client forced or turned its own dial for, an experiment, or a scorer's
/// bad minute, nor what went on with one of these; a turn that went by affinity leaves what is known as it is. A conversation
/// is `kept` where it is known by an id under which the upstream has it.
#[must_use]
pub fn step(policy: &Policy, decision: &Decision, kept: bool) -> Step {
    let binds = match decision.reason {
        Reason::Score => !decision.by_wish,
        reason => matches!(reason, Reason::Context | Reason::Capability | Reason::ToolLoop | Reason::NonText),
    };
    Step { tier: decision.tier, binds, affinity: policy.pair.affinity, goes_on: kept }
}

/// The decision once the scorer has answered, or could not. The dial is the route's, or the one that the client may have; the
/// request's id decides whether it explores.
#[must_use]
pub fn after_score(policy: &Policy, dial: Dial, answer: Result<Score, Reason>, request_id: &[u8]) -> Decision {
    let score = match answer {
        Ok(score) => score,
        Err(reason) => return Decision::fail_open(reason),
    };
    let tier = match dial.admits(&score) {
        Some(true) => Tier::Small,
        Some(false) => Tier::Large,
        None => return Decision { score: Some(score.score), ..Decision::fail_open(Reason::BadScore) },
    };
    let scored = |tier, reason, would_be| Decision {
        tier,
        reason,
        score: Some(score.score),
        would_be,
        by_wish: dial != policy.dial,
    };
    if policy.shadow {
        scored(Tier::Large, Reason::Shadow, Some(tier))
    } else if policy.pair.explore.takes(request_id) {
        scored(tier.other(), Reason::Explore, None)
    } else {
        scored(tier, Reason::Score, None)
    }
}

#[cfg(test)]
mod tests;
