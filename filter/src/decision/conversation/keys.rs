//! The keys under which a request's conversation is known.

use super::set::WAYS;
use crate::config::Memory;
use crate::request::api::{Request, Turn};
use crate::request::bytes::count_visible;
use crate::request::query::{QueryPolicy, Said};
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
    /// The user's turn before it.
    previous: Option<Key>,
    /// The request continues this turn, and not the one before.
    in_loop: bool,
}

impl Keys {
    /// The keys of a request, which is `in_loop` where the user has said nothing since a tool gave its result. Blank ids and
    /// headers are none: strangers would share them. Nor does a client's cache key stand alone, unless the user has said
    /// nothing at all: applications give one to all prompts that begin alike. `last` is what was said
    /// in the last user turn, where that is known already.
    #[must_use]
    pub fn of(
        pair: &str,
        query: &QueryPolicy,
        header: Option<&[u8]>,
        request: &Request<'_>,
        last: Option<&Said>,
        in_loop: bool,
    ) -> Self {
        let ids = &request.ids;
        if let Some(id) = ids.stored {
            return Self { stored: id.decode().map(|id| Key::of_stored(pair, &id)), ..Self::default() };
        }
        let header = header.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty());
        let cache_key = ids.cache_key.and_then(|key| key.decode());
        let user = ids.user.and_then(|user| user.decode());
        let key = |first: &Ends, last: &Ends| Key::hash((pair, 2_u8, header, &cache_key, &user, first, last));
        let said = |turn: &Turn<'_>| ends(&query.said(turn).ok()?.words);
        let (before, last) = match request.users.split_last() {
            Some((turn, before)) => (before, last.map_or_else(|| said(turn), |last| ends(&last.words))),
            None => (<&[Turn<'_>]>::default(), None),
        };
        let mut latest = before.iter().rev().filter_map(said);
        let (last, previous) = match last {
            None => (latest.next(), latest.next()),
            Some(last) => (Some(last), latest.next()),
        };
        let (turn, previous) = match last {
            Some(last) => {
                // With no words before the last there are none before the first.
                let first = previous.as_ref().and_then(|_| before.iter().find_map(said));
                let first = first.as_ref().unwrap_or(&last);
                (Some(key(first, &last)), previous.map(|previous| key(first, &previous)))
            }
            None => {
                let nothing = Ends::default();
                let turn = cache_key.as_ref().map(|_| key(&nothing, &nothing));
                (turn, turn)
            }
        };
        let header = header.map(|value| Key::hash((pair, 1_u8, value)));
        Self { stored: None, header, turn, previous, in_loop }
    }

    /// Whether the upstream stores the conversation.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// Where to look for the turn that this one continues, the surest first. Words that were put into a loop make it another turn;
    /// one that brings no words, but an image, say, has the key of the turn before it.
    pub fn continued(&self) -> impl Iterator<Item = Key> {
        let (near, far) = if self.in_loop { (self.turn, self.previous) } else { (self.previous, self.turn) };
        [self.stored, near, far, self.header].into_iter().flatten()
    }

    /// Where to look for the tier that the conversation keeps. A header tells conversations apart by the operator's own choice.
    #[must_use]
    pub fn of_affinity(&self) -> Option<Key> {
        self.stored.or(self.header).or(if self.in_loop { self.turn } else { self.previous })
    }

    /// Under which the turn is remembered.
    pub fn remembered(&self) -> impl Iterator<Item = Key> {
        [self.stored, self.turn, self.header].into_iter().flatten()
    }
}

/// What tells one text from another.
#[derive(Default, Hash)]
struct Ends {
    /// Its bytes, blanks left out.
    length: usize,
    /// The first and the last of them.
    bytes: Vec<u8>,
}

/// What tells one text from another, however it is spaced: its length, and how it begins and ends. Harnesses begin many texts with the
/// same words, and users end them with their own; to hash all of a long text would cost more than all else that is done with it.
fn ends(text: &str) -> Option<Ends> {
    const END: usize = 256;
    if text.is_empty() {
        return None;
    }
    let is_visible = |byte: &u8| *byte > b' ';
    let mut bytes = Vec::with_capacity(2 * END);
    bytes.extend(text.bytes().filter(is_visible).take(END));
    if text.len() > END {
        bytes.extend(text.bytes().rev().filter(is_visible).take(END));
    }
    Some(Ends { length: count_visible(text.as_bytes()), bytes })
}
