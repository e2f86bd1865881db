//! Where conversations went: the key of a conversation, and a bounded memory of what is known by key.
//!
//! The memory is a table of sets in the store that all workers share. A key has one set, a set has room for a few keys, and
//! where there is none left a key makes room for a new one: of those that were seen but once, which most are that come from
//! single questions, the one seen longest ago. An id under which an upstream keeps a conversation counts as seen before: it
//! is there to be named. So its size is fixed, and what is lost costs a decision anew.

use crate::api::Request;
use crate::decision::Tier;
use crate::query::QueryPolicy;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Whether a conversation keeps its tier from one user turn to the next. Within a tool loop it always does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Every user turn is decided on its own.
    #[default]
    Off,
    /// A conversation stays where it first went.
    Sticky,
    /// A conversation may go from small to large, and then stays there.
    OnlyUp,
}

impl Affinity {
    /// Where a user's turn has to go, given what is remembered of its conversation; `None`: wherever it is decided.
    #[must_use]
    pub fn binds(self, remembered: Option<Trail>) -> Option<Tier> {
        match (self, remembered.and_then(|trail| trail.belongs)) {
            (Self::Sticky, tier) => tier,
            (Self::OnlyUp, Some(Tier::Large)) => Some(Tier::Large),
            (Self::OnlyUp | Self::Off, _) => None,
        }
    }

    /// Where a conversation belongs once a turn of it was decided to belong to `tier`: one that may only go up, never to
    /// less than before.
    fn keeps(self, before: Option<Tier>, tier: Tier) -> Tier {
        match (self, before) {
            (Self::OnlyUp, Some(Tier::Large)) => Tier::Large,
            _ => tier,
        }
    }
}

/// What is remembered of a conversation. The two differ after a turn that says nothing of the next: one that a client forced,
/// that explored, or that found no scorer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trail {
    /// Where its last turn went: a tool loop and reasoning have to follow there.
    pub went: Tier,
    /// Where the user's turns to come belong, if any turn has decided that.
    pub belongs: Option<Tier>,
}

impl Trail {
    /// In a byte: the lowest bit says where it went, the next two where it belongs.
    fn encode(self) -> u8 {
        let belongs = match self.belongs {
            None => 0,
            Some(Tier::Small) => 1 << 1,
            Some(Tier::Large) => 2 << 1,
        };
        belongs | u8::from(self.went == Tier::Large)
    }

    fn decode(byte: u8) -> Option<Self> {
        let belongs = match byte >> 1 {
            0 => None,
            1 => Some(Tier::Small),
            2 => Some(Tier::Large),
            _ => return None,
        };
        Some(Self { went: if byte & 1 == 0 { Tier::Small } else { Tier::Large }, belongs })
    }
}

/// A turn that is to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Where it goes.
    pub tier: Tier,
    /// Whether that says where the conversation belongs.
    pub binds: bool,
    /// How far it binds.
    pub affinity: Affinity,
    /// More turns are to come, even where this is the first: the upstream keeps the conversation, and no other has it.
    pub goes_on: bool,
}

impl Step {
    fn after(self, before: Option<Trail>) -> Trail {
        let belonged = before.and_then(|trail| trail.belongs);
        let belongs = if self.binds { Some(self.affinity.keeps(belonged, self.tier)) } else { belonged };
        Trail { went: self.tier, belongs }
    }
}

/// The key of a conversation: a hash, since the store has no business with ids and texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The key of a request's conversation, by the first of these that there is: the id under which the upstream keeps the
    /// conversation, which no other upstream knows; the header's value; or what the user said first, together with the
    /// client's cache key, or who asks, or the system prompt. `None` for a request that has none of them. Blank ids and
    /// headers are none: strangers would share them.
    ///
    /// A cache key is no conversation: applications give one to all prompts that begin alike. It stands alone only where
    /// there is nothing that a user said. Harness text counts for nothing: it changes from one request to the next. So do
    /// the system prompts of some agents, whose requests say who asks.
    #[must_use]
    pub fn of(pair: &str, query: &QueryPolicy, header: Option<&[u8]>, request: &Request<'_>) -> Option<Self> {
        let ids = &request.ids;
        let mut hasher = DefaultHasher::new();
        pair.hash(&mut hasher);
        if let Some(id) = ids.stored {
            return Some(Self::of_stored(pair, &id.decode()?));
        }
        if let Some(value) = header.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()) {
            (0_u8, value).hash(&mut hasher);
            return Some(Self(hasher.finish()));
        }
        let first = request.users.iter().filter_map(|turn| query.text(&turn.texts).ok()).find(|text| !text.is_empty());
        match (ids.cache_key, &first, ids.user) {
            (Some(key), ..) => (2_u8, key.decode()).hash(&mut hasher),
            (None, None, _) => return None,
            (None, Some(_), Some(user)) => (3_u8, user.decode()).hash(&mut hasher),
            (None, Some(_), None) => (4_u8, ends(&query.text(&request.system).ok()?)).hash(&mut hasher),
        }
        first.as_deref().map(ends).hash(&mut hasher);
        Some(Self(hasher.finish()))
    }

    /// The key of a conversation that the upstream keeps under this id.
    #[must_use]
    pub fn of_stored(pair: &str, id: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        pair.hash(&mut hasher);
        (1_u8, id).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Which of `sets` sets the key belongs to.
    #[must_use]
    pub fn set(self, sets: u32) -> u32 {
        // The entries hold the lower bits; the remainder is at most what `sets` is.
        u32::try_from((self.0 >> 32) % u64::from(sets.max(1))).unwrap_or(0)
    }
}

/// What tells one long text from another: its length, and how it begins and ends. Harnesses begin many with the same words, and
/// users end them with their own; to hash all of it would cost more than all else that is done with a long text.
fn ends(text: &str) -> (usize, &[u8], &[u8]) {
    const END: usize = 1024;
    let (first, rest) = text.as_bytes().split_at_checked(END).unwrap_or((text.as_bytes(), &[]));
    (text.len(), first, rest.get(rest.len().saturating_sub(END)..).unwrap_or_default())
}

/// How many conversations a set holds.
pub const WAYS: usize = 8;
const ENTRY: usize = 13;

/// What a set remembers of one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    key: u64,
    /// Seconds since 1970.
    seen: u32,
    trail: Trail,
    /// It has had more turns than one, or surely will.
    goes_on: bool,
}

/// In an entry's last byte, above the trail's bits.
const GOES_ON: u8 = 1 << 3;

/// One set, as it lies in the store: entries of key, time and trail, little-endian, 13 bytes each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Set(Vec<Entry>);

impl Set {
    /// Reads a set; what can't be read is forgotten.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let entries = bytes.chunks_exact(ENTRY).take(WAYS).filter_map(|chunk| {
            let (key, rest) = chunk.split_first_chunk::<8>()?;
            let (seen, rest) = rest.split_first_chunk::<4>()?;
            let last = *rest.first()?;
            let trail = Trail::decode(last & !GOES_ON)?;
            let (key, seen) = (u64::from_le_bytes(*key), u32::from_le_bytes(*seen));
            Some(Entry { key, seen, trail, goes_on: last & GOES_ON != 0 })
        });
        Self(entries.collect())
    }

    /// The set as it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * ENTRY);
        for entry in &self.0 {
            bytes.extend_from_slice(&entry.key.to_le_bytes());
            bytes.extend_from_slice(&entry.seen.to_le_bytes());
            bytes.push(entry.trail.encode() | if entry.goes_on { GOES_ON } else { 0 });
        }
        bytes
    }

    /// What is known of a conversation, unless its last turn is more than `ttl` seconds ago.
    #[must_use]
    pub fn recall(&self, key: Key, now: u32, ttl: u32) -> Option<Trail> {
        let entry = self.0.iter().find(|entry| entry.key == key.0)?;
        (now.saturating_sub(entry.seen) <= ttl).then_some(entry.trail)
    }

    /// Notes a turn of a conversation; false when there is nothing new to store. The time is brought up to date only once a
    /// quarter of `ttl` is over, so that a busy conversation does not write at every turn.
    pub fn remember(&mut self, key: Key, step: Step, now: u32, ttl: u32) -> bool {
        let trail = step.after(self.recall(key, now, ttl));
        let age = |entry: &Entry| now.saturating_sub(entry.seen);
        if let Some(known) = self.0.iter_mut().find(|entry| entry.key == key.0) {
            let fresh = known.goes_on && known.trail == trail && age(known) < ttl / 4;
            if !fresh {
                *known = Entry { key: key.0, seen: now, trail, goes_on: true };
            }
            return !fresh;
        }
        let entry = Entry { key: key.0, seen: now, trail, goes_on: step.goes_on };
        if self.0.len() < WAYS {
            self.0.push(entry);
        } else if let Some(least) =
            self.0.iter_mut().min_by_key(|entry| (entry.goes_on && age(entry) <= ttl, entry.seen))
        {
            *least = entry;
        }
        true
    }
}

#[cfg(test)]
mod tests;
