//! What is remembered of a turn, and the tier that affinity makes of it.

use crate::config::Affinity;
use crate::terms::Tier;

/// What is remembered of a conversation at one of its turns. The two tiers differ after a turn that says nothing of the next: one that a client
/// forced, that explored, or that found no scorer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Where its last turn went: a tool loop and signed reasoning have to follow there.
    pub last_tier: Tier,
    /// The tier of later user turns, if any turn has assigned one.
    pub assigned: Option<Tier>,
}

impl Record {
    /// The record of a turn that went to `tier`, given that of the turn before it. Where the turn `assigns`, `tier` is that of
    /// later user turns too, unless the conversation may only go up.
    #[must_use]
    pub fn after(before: Option<Self>, tier: Tier, assigns: bool, affinity: Affinity) -> Self {
        let before = before.and_then(|record| record.assigned);
        let assigned = match (assigns, affinity, before) {
            (false, ..) | (true, Affinity::OnlyUp, Some(Tier::Large)) => before,
            (true, ..) => Some(tier),
        };
        Self { last_tier: tier, assigned }
    }

    /// In a byte: the lowest bit is the last tier, the next two the assigned one.
    pub(super) fn encode(self) -> u8 {
        let assigned = match self.assigned {
            None => 0,
            Some(Tier::Small) => 1 << 1,
            Some(Tier::Large) => 2 << 1,
        };
        assigned | u8::from(self.last_tier == Tier::Large)
    }

    pub(super) fn decode(byte: u8) -> Option<Self> {
        let assigned = match byte >> 1 {
            0 => None,
            1 => Some(Tier::Small),
            2 => Some(Tier::Large),
            _ => return None,
        };
        Some(Self { last_tier: if byte & 1 == 0 { Tier::Small } else { Tier::Large }, assigned })
    }
}

/// The tier that affinity gives a user's turn; `None`: it is decided on its own.
#[must_use]
pub fn assigned_tier(affinity: Affinity, record: Option<Record>) -> Option<Tier> {
    match (affinity, record.and_then(|record| record.assigned)) {
        (Affinity::Sticky, tier) => tier,
        (Affinity::OnlyUp, Some(Tier::Large)) => Some(Tier::Large),
        (Affinity::OnlyUp | Affinity::Off, _) => None,
    }
}
