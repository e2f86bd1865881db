//! Where conversations went: the key of a conversation, and a bounded memory of what is known by key.
//!
//! The memory is a table of sets in the store that all workers share. A key has one set, a set has room for a few keys, and
//! where there is none left a key makes room for a new one: of those that were seen but once, which most are that come from
//! single questions, the one seen longest ago. An id under which an upstream keeps a conversation counts as seen before: it
//! is there to be named. So its size is fixed, and what is lost costs a decision anew.

use crate::config::{Affinity, Memory};
use crate::request::api::Request;
use crate::request::query::QueryPolicy;
use crate::terms::Tier;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What is remembered of a conversation. The two tiers differ after a turn that says nothing of the next: one that a client
/// forced, that explored, or that found no scorer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Where its last turn went: a tool loop and signed reasoning have to follow there.
    pub last_tier: Tier,
    /// The tier of later user turns, if any turn has assigned one.
    pub assigned: Option<Tier>,
}

impl Record {
    /// In a byte: the lowest bit is the last tier, the next two the assigned one.
    fn encode(self) -> u8 {
        let assigned = match self.assigned {
            None => 0,
            Some(Tier::Small) => 1 << 1,
            Some(Tier::Large) => 2 << 1,
        };
        assigned | u8::from(self.last_tier == Tier::Large)
    }

    fn decode(byte: u8) -> Option<Self> {
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

/// What a decided turn adds to its conversation's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Where it goes.
    pub tier: Tier,
    /// Whether that is the tier of later user turns too.
    pub assigns: bool,
    /// The pair's affinity.
    pub affinity: Affinity,
    /// More turns will follow, even where this is the first: the upstream stores the conversation, and no other has it.
    pub continues: bool,
}

impl Outcome {
    fn after(self, before: Option<Record>) -> Record {
        let before = before.and_then(|record| record.assigned);
        let assigned = match (self.assigns, self.affinity, before) {
            (false, ..) => before,
            // A conversation that may only go up stays with the large model.
            (true, Affinity::OnlyUp, Some(Tier::Large)) => before,
            (true, ..) => Some(self.tier),
        };
        Record { last_tier: self.tier, assigned }
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

    /// The number of the set that the key belongs to.
    #[must_use]
    pub fn set(self, memory: Memory) -> u32 {
        let sets = u64::from(memory.conversations).div_ceil(WAYS as u64);
        // The entries hold the lower bits; the remainder is at most what `sets` is.
        u32::try_from((self.0 >> 32) % sets.max(1)).unwrap_or(0)
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
    record: Record,
    /// It has had more turns than one, or surely will.
    continues: bool,
}

/// In an entry's last byte, above the record's bits.
const CONTINUES: u8 = 1 << 3;

/// One set, as it lies in the store: entries of key, time and record, little-endian, 13 bytes each.
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
            let record = Record::decode(last & !CONTINUES)?;
            let (key, seen) = (u64::from_le_bytes(*key), u32::from_le_bytes(*seen));
            Some(Entry { key, seen, record, continues: last & CONTINUES != 0 })
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
            bytes.push(entry.record.encode() | if entry.continues { CONTINUES } else { 0 });
        }
        bytes
    }

    /// What is known of a conversation, unless its last turn is more than `ttl` seconds ago.
    #[must_use]
    pub fn recall(&self, key: Key, now: u32, ttl: u32) -> Option<Record> {
        let entry = self.0.iter().find(|entry| entry.key == key.0)?;
        (now.saturating_sub(entry.seen) <= ttl).then_some(entry.record)
    }

    /// Notes a turn of a conversation; false when there is nothing new to store. The time is brought up to date only once a
    /// quarter of `ttl` is over, so that a busy conversation does not write at every turn.
    pub fn remember(&mut self, key: Key, outcome: Outcome, now: u32, ttl: u32) -> bool {
        let record = outcome.after(self.recall(key, now, ttl));
        let age = |entry: &Entry| now.saturating_sub(entry.seen);
        if let Some(known) = self.0.iter_mut().find(|entry| entry.key == key.0) {
            let fresh = known.continues && known.record == record && age(known) < ttl / 4;
            if !fresh {
                *known = Entry { key: key.0, seen: now, record, continues: true };
            }
            return !fresh;
        }
        let entry = Entry { key: key.0, seen: now, record, continues: outcome.continues };
        if self.0.len() < WAYS {
            self.0.push(entry);
        } else if let Some(least) =
            self.0.iter_mut().min_by_key(|entry| (entry.continues && age(entry) <= ttl, entry.seen))
        {
            *least = entry;
        }
        true
    }
}

#[cfg(test)]
mod tests;
