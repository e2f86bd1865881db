//! The decision: which tier a request goes to, and the reason. Plain functions; nothing here does I/O.
//!
//! The order is fixed: what stops a body from being read, then what needs no score, then the score, and without a
//! score the large model.

pub mod breaker;
pub mod conversation;
pub mod explore;
mod taken;

use crate::config::{Affinity, Config, Dial, Overrides, Pair, RoutePolicy, Target};
use crate::request::api::{Needs, Request, Unparsable};
use crate::request::fit;
use crate::request::query::{NonText, Said};
use crate::terms::{Reason, Score, Tier};
use conversation::{Key, Keys, Record};

pub use taken::{as_taken, name_for};

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
    pub by_client_dial: bool,
}

impl Decision {
    /// To large because something stands in the way of a score: the request is served all the same.
    #[must_use]
    pub fn fail_open(reason: Reason) -> Self {
        Self::unscored(Tier::Large, reason)
    }

    fn unscored(tier: Tier, reason: Reason) -> Self {
        Self { tier, reason, score: None, would_be: None, by_client_dial: false }
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

/// What a request's headers say of its body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnnouncedBody {
    /// `content-length`, when it is there and a number.
    pub length: Option<u64>,
    /// The body is compressed (`content-encoding` other than `identity`).
    pub is_encoded: bool,
}

/// What the headers alone say against reading the body; `body_follows` is false when the request ends with them.
#[must_use]
pub fn before_body(config: &Config, body: AnnouncedBody, body_follows: bool) -> Option<Reason> {
    if body.length.is_some_and(|length| length > config.max_body_bytes as u64) {
        Some(Reason::BodyTooLarge)
    } else if body.is_encoded {
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

/// What a decision may look up, and does only where it matters.
pub trait Lookup {
    /// What is remembered under a key.
    fn record(&self, key: Key) -> Option<Record>;
    /// A request header's value; the name is in lower case.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    /// The values of all lines of a request header, with commas between them; the name is in lower case.
    fn header_list(&self, name: &str) -> Option<Vec<u8>>;
}

/// How a request stands to the conversation that it belongs to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// It continues a tool loop, signed reasoning or a stored response, and has to follow where that went.
    pub is_continued: bool,
    /// Under which it is known; none where it is not worth remembering.
    pub keys: Keys,
    /// What was said in the last user turn, where that was looked at.
    pub last: Option<Said>,
}

impl Conversation {
    /// Reads it from a request that the pair routes. In shadow mode every request goes to large, and so no conversation can be
    /// torn apart.
    ///
    /// # Errors
    /// The text that might end a tool loop can't be read after all.
    pub fn of(policy: &RoutePolicy, request: &Request<'_>, lookup: &impl Lookup) -> Result<Self, Unparsable> {
        if policy.shadow {
            return Ok(Self::default());
        }
        let pair = &policy.pair;
        let last = request.users.last().map(|turn| pair.query.said(turn)).transpose()?;
        let in_loop = pair.query.in_tool_loop(request, last.as_ref())?;
        let is_continued = in_loop || request.is_bound();
        if pair.affinity == Affinity::Off && !request.may_be_continued() {
            return Ok(Self { is_continued, keys: Keys::default(), last });
        }
        let header = pair.affinity_header.as_deref().and_then(|name| lookup.header(name));
        let keys = Keys::of(&pair.name, &pair.query, header.as_deref(), request, last.as_ref(), in_loop);
        Ok(Self { is_continued, keys, last })
    }
}

/// What to do once the body of a request that the pair routes has been read. `asked` holds the client overrides that apply.
///
/// # Errors
/// The text to score can't be read after all.
pub fn before_score(
    policy: &RoutePolicy,
    asked: Overrides,
    request: &Request<'_>,
    conversation: Conversation,
    lookup: &impl Lookup,
) -> Result<Plan, Unparsable> {
    let pair = &policy.pair;
    let decided = |tier, reason| Ok(Plan::Decided(Decision::unscored(tier, reason)));
    // What continues is not scored, and its text need not be read.
    let query = if conversation.is_continued { None } else { Some(pair.query.query_with(request, conversation.last)?) };
    if query.as_ref().is_some_and(|query| query.text.is_empty()) {
        return decided(Tier::Large, Reason::NoText);
    }
    if let Some(tier) = asked.tier {
        return decided(tier, Reason::Forced);
    }
    if pair.small.context_tokens.is_some_and(|tokens| !fit::fits(request, tokens)) {
        return decided(Tier::Large, Reason::Context);
    }
    let can_answer = |target: &Target, needs| target.can_answer(request, needs, &|name| lookup.header_list(name));
    if !can_answer(&pair.small, request.needs) {
        return decided(Tier::Large, Reason::Capability);
    }
    // A part of unknown kind is nothing that a list could name: it counts against small alone, or both would refuse it.
    if !policy.shadow && !can_answer(&pair.large, Needs { unknown: false, ..request.needs }) {
        return decided(Tier::Small, Reason::Capability);
    }
    // A small model of which nobody says what it can do is shown no images, whoever brought them and when.
    let keeps_media = pair.query.non_text == NonText::Large;
    let small_is_blind = keeps_media && request.media > 0 && pair.small.capabilities.is_none();
    let Some(query) = query else {
        return match conversation.keys.continued().find_map(|key| lookup.record(key)) {
            None => decided(Tier::Large, Reason::ToolLoop),
            // Large can take a bare tool loop over. It can't take a signature, and small may see after all.
            Some(record) if record.last_tier == Tier::Small && small_is_blind && !request.is_bound() => {
                decided(Tier::Large, Reason::NonText)
            }
            Some(record) => decided(record.last_tier, Reason::Affinity),
        };
    };
    if request.in_background {
        return decided(Tier::Large, Reason::Capability);
    }
    if small_is_blind || (keeps_media && query.has_media) {
        return decided(Tier::Large, Reason::NonText);
    }
    if pair.affinity != Affinity::Off && !policy.shadow {
        let record = conversation.keys.of_affinity().and_then(|key| lookup.record(key));
        if let Some(tier) = conversation::assigned_tier(pair.affinity, record) {
            return decided(tier, Reason::Affinity);
        }
    }
    Ok(Plan::Ask { query: query.text, dial: asked.dial.unwrap_or(policy.dial) })
}

/// What to remember of a decision, given the record of the turn before. A tool loop follows the last turn, whatever decided
/// that. The tier of later user turns is assigned only by decisions about the conversation itself: not by a tier or a dial that
/// the client set, by exploration, by a failure of the scorer, or by a turn that followed one of these. A turn that affinity
/// decided leaves the assigned tier as it is.
#[must_use]
pub fn record(policy: &RoutePolicy, decision: &Decision, before: Option<Record>) -> Record {
    let assigns = match decision.reason {
        Reason::Score => !decision.by_client_dial,
        reason => matches!(reason, Reason::Context | Reason::Capability | Reason::ToolLoop | Reason::NonText),
    };
    Record::after(before, decision.tier, assigns, policy.pair.affinity)
}

/// The decision once the scorer has answered, or could not. The dial is the route's, or the one that the client may have; the
/// request's id decides whether it explores.
#[must_use]
pub fn after_score(policy: &RoutePolicy, dial: Dial, answer: Result<Score, Reason>, request_id: &[u8]) -> Decision {
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
        by_client_dial: dial != policy.dial,
    };
    if policy.shadow {
        scored(Tier::Large, Reason::Shadow, Some(tier))
    } else if explore::takes(policy.pair.explore, request_id) {
        scored(tier.other(), Reason::Explore, None)
    } else {
        scored(tier, Reason::Score, None)
    }
}

#[cfg(test)]
mod tests;
