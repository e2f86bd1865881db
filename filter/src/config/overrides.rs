//! Client overrides: what a request may ask for by header, and what its route's pair grants of it.

use super::dial::{Dial, DialParts};
use super::route::RoutePolicy;
use crate::terms::{Reason, Tier};

/// What a client asks for by header.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Overrides {
    /// `x-hybrid-llm-tier`.
    pub tier: Option<Tier>,
    /// `x-hybrid-llm-threshold`, `-small-share` or `-quality-drop`.
    pub dial: Option<Dial>,
}

/// What became of a client's overrides, for the response header `x-hybrid-llm-override`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideNote {
    /// They apply as they are.
    Taken,
    /// The dial was brought within the pair's limits.
    Clamped,
    /// They would apply, but something else decided: the prompt's length, its conversation, a scorer that did
    /// not answer.
    Unused,
    /// A value makes no sense, or there are two dials; what makes no sense is ignored.
    BadValue,
    /// The pair does not let requests override, or not by this header, or the route is in shadow mode.
    NotAllowed,
}

impl OverrideNote {
    /// The word used in the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Clamped => "clamped",
            Self::Unused => "unused",
            Self::BadValue => "bad_value",
            Self::NotAllowed => "not_allowed",
        }
    }

    /// What there is to tell once the request is decided.
    #[must_use]
    pub fn after(self, decided: Reason) -> Self {
        let could_apply = matches!(decided, Reason::Forced | Reason::Score | Reason::Explore);
        match self {
            Self::Taken | Self::Clamped if !could_apply => Self::Unused,
            _ => self,
        }
    }
}

/// The client's overrides as they were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RequestedOverrides {
    overrides: Overrides,
    /// A value makes no sense.
    bad: bool,
    /// There is an override at all.
    any: bool,
}

impl RequestedOverrides {
    /// Notes the tier that a client asks for; `None` for a value that makes no sense.
    pub fn set_tier(&mut self, tier: Option<Tier>) {
        self.note(tier.is_none());
        self.overrides.tier = tier;
    }

    /// Notes one of the three dials, of which `dial` collects the parts; `None` for a value that is not a number.
    pub fn set_dial(&mut self, value: Option<f64>, dial: &mut Option<f64>) {
        self.note(value.is_none());
        *dial = value;
    }

    /// Takes the dial that was collected, once all headers are read.
    pub fn finish(&mut self, parts: DialParts) {
        match Dial::from_parts(parts) {
            Ok(dial) => self.overrides.dial = dial,
            Err(_) => self.bad = true,
        }
    }

    /// The tier and the dial, before the pair has a say.
    #[must_use]
    pub fn as_sent(self) -> Overrides {
        self.overrides
    }

    fn note(&mut self, bad: bool) {
        self.any = true;
        self.bad |= bad;
    }

    /// The overrides that apply on this route, and what to tell the client; nothing when it sent none.
    #[must_use]
    pub fn granted(self, policy: &RoutePolicy) -> (Overrides, Option<OverrideNote>) {
        if !self.any {
            return (Overrides::default(), None);
        }
        if !policy.pair.allow_override || policy.shadow {
            return (Overrides::default(), Some(OverrideNote::NotAllowed));
        }
        let (asked, limits) = (self.overrides, &policy.pair.override_limits);
        let granted = Overrides {
            tier: asked.tier.filter(|_| limits.is_free()),
            dial: asked.dial.and_then(|dial| limits.apply(dial)),
        };
        let note = match () {
            () if self.bad => OverrideNote::BadValue,
            () if granted.tier != asked.tier || granted.dial.is_some() != asked.dial.is_some() => {
                OverrideNote::NotAllowed
            }
            () if granted.dial != asked.dial => OverrideNote::Clamped,
            () => OverrideNote::Taken,
        };
        (granted, Some(note))
    }
}
