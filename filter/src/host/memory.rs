//! What a decision looks up: the memory of where conversations went, in the proxy's store that all workers share, and headers.

use super::proxy;
use crate::config;
use crate::decision::Lookup;
use crate::decision::conversation::{Key, Record, Set};
use proxy_wasm::hostcalls;
use std::time::UNIX_EPOCH;

/// Two workers may write one set at a time; the one that loses reads again. What is lost after that is a decision anew, and
/// so is what two workers write at once into a set that was empty: its first write has no version to be compared with.
const TRIES: usize = 3;

/// The store, and what the operator set of its size and age.
pub(super) struct Memory(pub(super) config::Memory);

impl Lookup for Memory {
    fn record(&self, key: Key) -> Option<Record> {
        let (bytes, _) = hostcalls::get_shared_data(&self.name(key)).ok()?;
        Set::decode(&bytes?).recall(key, now(), self.0.ttl)
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        proxy::request_header(name)
    }

    fn header_list(&self, name: &str) -> Option<Vec<u8>> {
        proxy::request_header_list(name)
    }
}

impl Memory {
    /// Notes a turn. A conversation that the upstream stores `continues` for sure.
    pub(super) fn remember(&self, key: Key, record: Record, continues: bool) {
        let name = self.name(key);
        for _ in 0..TRIES {
            let Ok((bytes, cas)) = hostcalls::get_shared_data(&name) else { return };
            let mut set = Set::decode(&bytes.unwrap_or_default());
            if !set.remember(key, record, continues, now(), self.0.ttl)
                || hostcalls::set_shared_data(&name, Some(&set.encode()), cas).is_ok()
            {
                return;
            }
        }
    }

    fn name(&self, key: Key) -> String {
        format!("hybrid_llm.affinity.{}", key.set(self.0))
    }
}

fn now() -> u32 {
    let now = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    now.map_or(0, |now| u32::try_from(now.as_secs()).unwrap_or(u32::MAX))
}
