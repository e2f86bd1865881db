//! A bounded memory of what is known by key.
//!
//! The memory is a table of sets in the store that all workers share. A key has one set, a set has room for a few keys, and
//! where there is none left a key makes room for a new one: of those that were seen but once, which most are that come from
//! single questions, the one seen longest ago. An id under which an upstream stores a conversation counts as seen before: it
//! is there to be named. So its size is fixed, and what is lost costs a decision anew.

use super::keys::Key;
use super::record::Record;

/// How many conversations a set holds.
pub const WAYS: usize = 8;
pub(super) const ENTRY: usize = 13;

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

    /// Notes a turn; false when there is nothing new to store. The time is brought up to date only once a quarter of `ttl` is
    /// over, so that a busy conversation does not write at every request. `continues` says that more turns will follow, even
    /// where this is the first: the upstream stores the conversation.
    pub fn remember(&mut self, key: Key, record: Record, continues: bool, now: u32, ttl: u32) -> bool {
        let age = |entry: &Entry| now.saturating_sub(entry.seen);
        if let Some(known) = self.0.iter_mut().find(|entry| entry.key == key.0) {
            let fresh = known.continues && known.record == record && age(known) < ttl / 4;
            if !fresh {
                *known = Entry { key: key.0, seen: now, record, continues: true };
            }
            return !fresh;
        }
        let entry = Entry { key: key.0, seen: now, record, continues };
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
