//! Where conversations went: the key of a conversation, and a bounded memory of tiers by key.
//!
//! The memory is a table of sets in the store that all workers share. A key has one set, a set has room for a few keys, and
//! the key that was seen longest ago makes room for a new one. So its size is fixed, and what is lost costs a decision anew.

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
    /// Where a turn of a conversation has to go, given where the last one went; `None`: wherever it is decided.
    #[must_use]
    pub fn binds(self, remembered: Option<Tier>) -> Option<Tier> {
        match (self, remembered) {
            (Self::Sticky, tier) => tier,
            (Self::OnlyUp, Some(Tier::Large)) => Some(Tier::Large),
            (Self::OnlyUp | Self::Off, _) => None,
        }
    }

    /// What to remember of a conversation that now goes to `tier`: for one that may only go up, never less than before.
    #[must_use]
    pub fn keeps(self, remembered: Option<Tier>, tier: Tier) -> Tier {
        match (self, remembered) {
            (Self::OnlyUp, Some(Tier::Large)) => Tier::Large,
            _ => tier,
        }
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
            (None, Some(_), None) => (4_u8, query.text(&request.system).ok()?).hash(&mut hasher),
        }
        first.hash(&mut hasher);
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

/// How many conversations a set holds.
pub const WAYS: usize = 8;
const ENTRY: usize = 13;

/// What a set remembers of one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    key: u64,
    /// Seconds since 1970.
    seen: u32,
    tier: Tier,
}

/// One set, as it lies in the store: entries of key, time and tier, little-endian, 13 bytes each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Set(Vec<Entry>);

impl Set {
    /// Reads a set; what can't be read is forgotten.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let entries = bytes.chunks_exact(ENTRY).take(WAYS).filter_map(|chunk| {
            let (key, rest) = chunk.split_first_chunk::<8>()?;
            let (seen, rest) = rest.split_first_chunk::<4>()?;
            let tier = match rest {
                [0] => Tier::Small,
                [1] => Tier::Large,
                _ => return None,
            };
            Some(Entry { key: u64::from_le_bytes(*key), seen: u32::from_le_bytes(*seen), tier })
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
            bytes.push(u8::from(entry.tier == Tier::Large));
        }
        bytes
    }

    /// Where a conversation went, unless that is more than `ttl` seconds ago.
    #[must_use]
    pub fn recall(&self, key: Key, now: u32, ttl: u32) -> Option<Tier> {
        let entry = self.0.iter().find(|entry| entry.key == key.0)?;
        (now.saturating_sub(entry.seen) <= ttl).then_some(entry.tier)
    }

    /// Notes where a conversation went; false when there is nothing new to store. `affinity` says whether an earlier note
    /// outweighs this one. The time is brought up to date only once
    /// a quarter of `ttl` is over, so that a busy conversation does not write at every turn.
    pub fn remember(&mut self, affinity: Affinity, key: Key, tier: Tier, now: u32, ttl: u32) -> bool {
        let tier = affinity.keeps(self.recall(key, now, ttl), tier);
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.key == key.0) {
            let fresh = entry.tier == tier && now.saturating_sub(entry.seen) < ttl / 4;
            (entry.tier, entry.seen) = if fresh { (entry.tier, entry.seen) } else { (tier, now) };
            return !fresh;
        }
        let entry = Entry { key: key.0, seen: now, tier };
        if self.0.len() < WAYS {
            self.0.push(entry);
        } else if let Some(oldest) = self.0.iter_mut().min_by_key(|entry| entry.seen) {
            *oldest = entry;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Api;
    use proptest::prelude::*;

    const HOUR: u32 = 3600;

    fn key(header: Option<&str>, body: &str) -> Option<Key> {
        let request = Api::OpenAiResponses.read("/v1/responses", body.as_bytes()).unwrap();
        Key::of("chat", &QueryPolicy::default(), header.map(str::as_bytes), &request)
    }

    #[test]
    fn the_same_conversation_has_the_same_key() {
        let first = r#"{"instructions":"s","input":[{"role":"user","content":"hi"}]}"#;
        let later = r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},{"role":"assistant","content":"ho"},
            {"role":"user","content":"more"}],"instructions":"s","temperature":1}"#;
        assert_eq!(key(None, first), key(None, later));
        let others = [
            r#"{"instructions":"t","input":"hi"}"#,
            r#"{"instructions":"s","input":"ho"}"#,
            r#"{"instructions":"s","input":"hi","user":"u1"}"#,
            r#"{"instructions":"s","input":"hi","prompt_cache_key":"k"}"#,
            r#"{"instructions":"s","input":"hi","previous_response_id":"k"}"#,
            r#"{"instructions":"sh","input":"i"}"#,
        ];
        let mut keys: Vec<_> = others.iter().map(|body| key(None, body).unwrap().0).collect();
        keys.extend([key(None, first).unwrap().0, key(Some("k"), first).unwrap().0]);
        keys.push(Key::of_stored("other pair", "k").0);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 9);
    }

    /// As agents do: a system prompt that is never quite the same, and reminders that come and go.
    #[test]
    fn what_harnesses_change_does_not_change_the_key() {
        let body = |system: &str, reminder: &str| {
            format!(
                r#"{{"user":"u1","instructions":"{system}","input":[{{"role":"user","content":"<system-reminder>{reminder}</system-reminder>hi"}}]}}"#
            )
        };
        assert_eq!(key(None, &body("s 1", "a")), key(None, &body("s 2", "b")));
        let unnamed = |system: &str, reminder: &str| key(None, &body(system, reminder).replace(r#""user":"u1","#, ""));
        assert_eq!(unnamed("s", "a"), unnamed("s", "b"));
        assert_ne!(unnamed("s", "a"), unnamed("t", "a"));
    }

    #[test]
    fn ids_go_before_contents() {
        let with = |ids: &str, text: &str| format!(r#"{{"input":"{text}"{ids}}}"#);
        for ids in [r#","previous_response_id":"r""#, r#","conversation":{"id":"c"}"#] {
            assert_eq!(key(None, &with(ids, "a")), key(None, &with(ids, "b")), "{ids}");
            // The response is known to one upstream only, whatever the session.
            assert_eq!(key(Some("h"), &with(ids, "a")), key(None, &with(ids, "a")), "{ids}");
        }
        assert_eq!(key(Some("h"), &with("", "a")), key(Some("h"), &with(r#","prompt_cache_key":"k""#, "b")));
        assert_eq!(key(None, r#"{"input":[{"type":"function_call_output","output":"x"}]}"#), None);
        assert_eq!(key(None, &with(r#","previous_response_id":"r""#, "a")), Some(Key::of_stored("chat", "r")));
    }

    #[test]
    fn a_cache_key_is_shared_by_conversations() {
        let with = |input: &str| format!(r#"{{"input":{input},"prompt_cache_key":"the application's"}}"#);
        assert_ne!(key(None, &with(r#""a""#)), key(None, &with(r#""b""#)));
        let result = with(r#"[{"type":"function_call_output","output":"x"}]"#);
        assert!(key(None, &result).is_some(), "better than nothing");
        assert_ne!(key(None, &result), key(None, &with(r#""x""#)));
    }

    #[test]
    fn what_is_blank_is_shared_by_strangers() {
        let body = |text: &str, ids: &str| format!(r#"{{"instructions":"s","input":"{text}"{ids}}}"#);
        let plain = key(None, &body("hi", ""));
        assert_eq!(key(Some(""), &body("hi", "")), plain);
        assert_eq!(key(Some("  "), &body("hi", "")), plain);
        for ids in
            [r#","user":"""#, r#","prompt_cache_key":" ""#, r#","previous_response_id":"""#, r#","conversation":"""#]
        {
            assert_eq!(key(None, &body("hi", ids)), plain, "{ids}");
        }
        // The first thing that the user says, not the first turn: that may hold an image, or a harness's words alone.
        let image = r#"{"role":"user","content":[{"type":"input_image","image_url":"u"}]}"#;
        let note = r#"{"role":"user","content":"<system-reminder>now</system-reminder>"}"#;
        for first in [image, note] {
            let asks = |text: &str| {
                format!(r#"{{"instructions":"s","input":[{first},{{"role":"user","content":"{text}"}}]}}"#)
            };
            assert_eq!(key(None, &asks("hi")), plain, "{first}");
            assert_ne!(key(None, &asks("ho")), plain, "{first}");
        }
        assert_eq!(key(None, &format!(r#"{{"input":[{image}]}}"#)), None);
    }

    #[test]
    fn only_up_never_forgets_large() {
        use Tier::{Large, Small};
        for (affinity, after) in [(Affinity::OnlyUp, Large), (Affinity::Sticky, Small), (Affinity::Off, Small)] {
            let mut set = Set::default();
            set.remember(affinity, Key(7), Large, 1000, HOUR);
            set.remember(affinity, Key(7), Small, 1001, HOUR);
            assert_eq!(set.recall(Key(7), 1002, HOUR), Some(after), "{affinity:?}");
            // What has expired weighs nothing.
            set.remember(affinity, Key(7), Small, 1002 + HOUR, HOUR);
            assert_eq!(set.recall(Key(7), 1002 + HOUR, HOUR), Some(Small), "{affinity:?}");
        }
    }

    #[test]
    fn modes() {
        use Tier::{Large, Small};
        let table = [
            (Affinity::Off, None, None),
            (Affinity::Off, Some(Small), None),
            (Affinity::Off, Some(Large), None),
            (Affinity::Sticky, None, None),
            (Affinity::Sticky, Some(Small), Some(Small)),
            (Affinity::Sticky, Some(Large), Some(Large)),
            (Affinity::OnlyUp, None, None),
            (Affinity::OnlyUp, Some(Small), None),
            (Affinity::OnlyUp, Some(Large), Some(Large)),
        ];
        for (affinity, remembered, want) in table {
            assert_eq!(affinity.binds(remembered), want, "{affinity:?} {remembered:?}");
        }
    }

    #[test]
    fn a_set_remembers_until_the_time_is_over() {
        let mut set = Set::default();
        assert!(set.remember(Affinity::Off, Key(7), Tier::Small, 1000, HOUR));
        assert_eq!(set.recall(Key(7), 1000 + HOUR, HOUR), Some(Tier::Small));
        assert_eq!(set.recall(Key(7), 1001 + HOUR, HOUR), None);
        assert_eq!(set.recall(Key(8), 1000, HOUR), None);
        assert!(!set.remember(Affinity::Off, Key(7), Tier::Small, 1000 + HOUR / 8, HOUR), "nothing new");
        assert!(
            set.remember(Affinity::Off, Key(7), Tier::Small, 1000 + HOUR / 2, HOUR),
            "the time is brought up to date"
        );
        assert!(set.remember(Affinity::Off, Key(7), Tier::Large, 1001 + HOUR / 2, HOUR), "a change is stored at once");
        assert_eq!(set.recall(Key(7), 1001 + HOUR, HOUR), Some(Tier::Large));
    }

    #[test]
    fn a_full_set_forgets_the_one_seen_longest_ago() {
        let mut set = Set::default();
        for i in 0..100 {
            set.remember(Affinity::Off, Key(i), Tier::Small, i as u32, HOUR);
        }
        assert_eq!(set.encode().len(), WAYS * ENTRY);
        assert_eq!(set.recall(Key(91), 100, HOUR), None);
        for i in 92..100 {
            assert_eq!(set.recall(Key(i), 100, HOUR), Some(Tier::Small), "{i}");
        }
    }

    proptest! {
        #[test]
        fn a_set_comes_back_as_it_was_stored(keys in prop::collection::vec((any::<u64>(), any::<u32>(), any::<bool>()), 0..20)) {
            let mut set = Set::default();
            for (key, now, large) in keys {
                set.remember(Affinity::Off, Key(key), if large { Tier::Large } else { Tier::Small }, now, HOUR);
            }
            prop_assert_eq!(Set::decode(&set.encode()), set);
        }

        #[test]
        fn any_bytes_are_taken_calmly(bytes in prop::collection::vec(any::<u8>(), 0..256), key in any::<u64>(), sets in any::<u32>()) {
            let mut set = Set::decode(&bytes);
            set.remember(Affinity::Off, Key(key), Tier::Small, 0, HOUR);
            prop_assert!(set.encode().len() <= WAYS * ENTRY);
            prop_assert!(sets == 0 || Key(key).set(sets) < sets);
        }
    }
}
