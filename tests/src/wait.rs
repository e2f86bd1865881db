//! Waiting for a state, and not for a time: on a busy machine nothing is sure to have happened after any number of seconds.

use std::time::{Duration, Instant};

/// The longest that anything is waited for: what takes longer never comes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until there is a value.
///
/// # Panics
/// There is none within [`PATIENCE`]; the message says `what` was waited for.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    in_time(look).await.unwrap_or_else(|| panic!("{what}: not within {PATIENCE:?}"))
}

/// The same; `None` where there is no value within [`PATIENCE`].
pub async fn in_time<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = look().await;
        if found.is_some() || start.elapsed() >= PATIENCE {
            return found;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
