//! The keys under which a request's conversation is known.

use super::set::WAYS;
use crate::config::Memory;
use crate::request::api::Request;
use crate::request::query::QueryPolicy;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A hash, since the store has no business with ids and texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub(super) u64);

impl Key {
    /// The key of a conversation that the upstream stores under this id.
    #[must_use]
    pub fn of_stored(pair: &str, id: &str) -> Self {
        Self::hash((pair, 0_u8, id))
    }

    /// The number of the set that the key belongs to.
    #[must_use]
    pub fn set(self, memory: Memory) -> u32 {
        let sets = u64::from(memory.conversations).div_ceil(WAYS as u64);
        // The entries hold the lower bits; the remainder is at most what `sets` is.
        u32::try_from((self.0 >> 32) % sets.max(1)).unwrap_or(0)
    }

    fn hash(value: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The keys of a request's conversation. None of them depends on the system prompt: agents put clocks, dates and request ids there.
///
/// A turn is known by what the user said first in the conversation and what the user said last. So the requests of one tool loop
/// share a key, two loops of one session do not, and a turn knows the key of the turn before it. Harness text counts for nothing,
/// since it changes from one request to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keys {
    /// The id under which the upstream stores the conversation. No other upstream knows it, and so nothing else counts.
    stored: Option<Key>,
    /// The value of the pair's `affinity_header`.
    header: Option<Key>,
    /// This turn.
    turn: Option<Key>,
    /// The turn that this one continues: in a tool loop the same, else the user's turn before.
    before: Option<Key>,
}

impl Keys {
    /// The keys of a request, which is `in_loop` where the user has said nothing since a tool gave its result. Blank ids and
    /// headers are none: strangers would share them. Nor does a client's cache key stand alone, unless the user has said
    /// nothing at all: applications give one to all prompts that begin alike.
    #[must_use]
    pub fn of(pair: &str, query: &QueryPolicy, header: Option<&[u8]>, request: &Request<'_>, in_loop: bool) -> Self {
        let ids = &request.ids;
        if let Some(id) = ids.stored {
            return Self { stored: id.decode().map(|id| Key::of_stored(pair, &id)), ..Self::default() };
        }
        let header = header.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty());
        let cache_key = ids.cache_key.and_then(|key| key.decode());
        let user = ids.user.and_then(|user| user.decode());
        let key = |first: &str, last: &str| Key::hash((pair, 2_u8, header, &cache_key, &user, ends(first), ends(last)));
        let said = |turn: &_| Some(query.words(turn).ok()?).filter(|text| !text.is_empty());
        let first = request.users.iter().find_map(said);
        let mut latest = request.users.iter().rev().filter_map(said);
        let (turn, before) = match (first, latest.next()) {
            (Some(first), Some(last)) => {
                let turn = key(&first, &last);
                (Some(turn), if in_loop { Some(turn) } else { latest.next().map(|previous| key(&first, &previous)) })
            }
            _ => {
                let turn = cache_key.as_ref().map(|_| key("", ""));
                (turn, turn)
            }
        };
        Self { stored: None, header: header.map(|value| Key::hash((pair, 1_u8, value))), turn, before }
    }

    /// Whether the upstream stores the conversation.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// Where to look for the turn that this one continues, the surest first.
    pub fn continued(&self) -> impl Iterator<Item = Key> {
        [self.stored, self.before, self.header].into_iter().flatten()
    }

    /// Where to look for the tier that the conversation keeps. A header tells conversations apart by the operator's own choice.
    #[must_use]
    pub fn of_affinity(&self) -> Option<Key> {
        self.stored.or(self.header).or(self.before)
    }

    /// Under which the turn is remembered.
    pub fn remembered(&self) -> impl Iterator<Item = Key> {
        [self.stored, self.turn, self.header].into_iter().flatten()
    }
}

/// What tells one long text from another: its length, and how it begins and ends. Harnesses begin many with the same words, and
/// users end them with their own; to hash all of it would cost more than all else that is done with a long text.
fn ends(text: &str) -> (usize, &[u8], &[u8]) {
    const END: usize = 1024;
    let (first, rest) = text.as_bytes().split_at_checked(END).unwrap_or((text.as_bytes(), &[]));
    (text.len(), first, rest.get(rest.len().saturating_sub(END)..).unwrap_or_default())
}
