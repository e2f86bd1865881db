//! The memory of where conversations went, in the proxy's store that all workers share.

use crate::config::Memory;
use crate::decision::conversation::{Key, Outcome, Record, Set};
use proxy_wasm::hostcalls;
use std::time::UNIX_EPOCH;

/// Two workers may write one set at a time; the one that loses reads again. What is lost after that is a decision anew, and
/// so is what two workers write at once into a set that was empty: its first write has no version to be compared with.
const TRIES: usize = 3;

/// What is known of the conversation.
pub(super) fn recall(memory: Memory, key: Key) -> Option<Record> {
    let (bytes, _) = hostcalls::get_shared_data(&name(memory, key)).ok()?;
    Set::decode(&bytes?).recall(key, now(), memory.ttl)
}

/// Notes where the conversation goes.
pub(super) fn remember(memory: Memory, key: Key, outcome: Outcome) {
    let name = name(memory, key);
    for _ in 0..TRIES {
        let Ok((bytes, cas)) = hostcalls::get_shared_data(&name) else { return };
        let mut set = Set::decode(&bytes.unwrap_or_default());
        if !set.remember(key, outcome, now(), memory.ttl)
            || hostcalls::set_shared_data(&name, Some(&set.encode()), cas).is_ok()
        {
            return;
        }
    }
}

fn name(memory: Memory, key: Key) -> String {
    format!("hybrid_llm.affinity.{}", key.set(memory))
}

fn now() -> u32 {
    let now = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    now.map_or(0, |now| u32::try_from(now.as_secs()).unwrap_or(u32::MAX))
}
