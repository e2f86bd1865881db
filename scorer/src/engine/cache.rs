//! Scores by text, and one computation for equal texts at the same time.

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

/// A hash of router, version and text: prompts themselves are not kept.
pub(super) type Key = [u8; 32];

/// How a score was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It was in the cache.
    Hit,
    /// It was computed.
    Miss,
    /// An equal text was being scored; its score was waited for.
    Joined,
}

/// A cache of scores. Failures are not kept.
#[derive(Debug)]
pub(super) struct ScoreCache(Cache<Key, f64>);

impl ScoreCache {
    /// A cache of about `entries` scores; about 100 bytes each.
    pub(super) fn new(entries: usize) -> Self {
        Self(Cache::new(entries))
    }

    /// The score under `key`: from the cache, from an equal computation that is under way, or from `compute`.
    ///
    /// When a computation fails or its caller goes away, one of those who wait for it takes over with its own `compute`,
    /// so everyone keeps their own deadline: wrap the call in a timeout.
    pub(super) async fn get_or<E>(
        &self,
        key: &Key,
        compute: impl AsyncFnOnce() -> Result<f64, E>,
    ) -> (Source, Result<f64, E>) {
        if let Some(score) = self.0.get(key) {
            return (Source::Hit, Ok(score));
        }
        match self.0.get_value_or_guard_async(key).await {
            Ok(score) => (Source::Joined, Ok(score)),
            Err(guard) => {
                let result = compute().await;
                if let Ok(score) = result {
                    // Fails only when the placeholder was evicted meanwhile, and then there is nothing to keep.
                    let _ = guard.insert(score);
                }
                (Source::Miss, result)
            }
        }
    }
}

/// The key of `text` under a router's name and version.
pub(super) fn key(router: &str, version: &str, text: &str) -> Key {
    let mut hasher = Sha256::new();
    for part in [router, version] {
        // Lengths first, so that no two triples run together into the same bytes.
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.update(text);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;

    const KEY: Key = [7; 32];

    /// Polls everything that is ready, on tokio's single-threaded test runtime.
    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn keys_tell_every_part_apart() {
        let keys = [key("a", "b", "c"), key("ab", "", "c"), key("a", "bc", ""), key("a", "b", "d")];
        for (index, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(index + 1).all(|other| other != one));
        }
    }

    #[tokio::test]
    async fn a_score_is_computed_once_and_then_kept() {
        let cache = ScoreCache::new(10);
        let first = cache.get_or(&KEY, async || Ok::<_, ()>(0.5)).await;
        assert_eq!(first, (Source::Miss, Ok(0.5)));
        let second = cache.get_or(&KEY, async || -> Result<f64, ()> { panic!("it is in the cache") }).await;
        assert_eq!(second, (Source::Hit, Ok(0.5)));
    }

    #[tokio::test]
    async fn equal_texts_at_the_same_time_share_one_computation() {
        let cache = Arc::new(ScoreCache::new(10));
        let (finish, finished) = oneshot::channel();
        let leader = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.get_or(&KEY, async || finished.await.map_err(|_| ())).await }
        });
        settle().await;
        let joiner = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.get_or(&KEY, async || -> Result<f64, ()> { panic!("it is under way") }).await }
        });
        settle().await;
        finish.send(0.25).unwrap();
        assert_eq!(leader.await.unwrap(), (Source::Miss, Ok(0.25)));
        assert_eq!(joiner.await.unwrap(), (Source::Joined, Ok(0.25)));
    }

    #[tokio::test]
    async fn one_who_waits_takes_over_when_the_leader_is_cancelled_or_fails() {
        let cache = Arc::new(ScoreCache::new(10));
        for cancelled in [true, false] {
            let key = [u8::from(cancelled); 32];
            let (finish, finished) = oneshot::channel::<f64>();
            let leader = tokio::spawn({
                let cache = Arc::clone(&cache);
                async move { cache.get_or(&key, async || finished.await.map_err(|_| ())).await }
            });
            settle().await;
            let waiter = tokio::spawn({
                let cache = Arc::clone(&cache);
                async move { cache.get_or(&key, async || Ok::<_, ()>(0.75)).await }
            });
            settle().await;
            if cancelled {
                leader.abort();
                assert!(leader.await.unwrap_err().is_cancelled());
            } else {
                drop(finish);
                assert_eq!(leader.await.unwrap(), (Source::Miss, Err(())));
            }
            assert_eq!(waiter.await.unwrap(), (Source::Miss, Ok(0.75)));
        }
    }
}
