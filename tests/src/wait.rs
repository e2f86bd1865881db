//! Waiting for a state, and not for a time: on a busy machine nothing is sure to have happened after any number of seconds.

use std::time::{Duration, Instant};

/// The longest that anything is waited for: what takes longer never comes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked for.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until there is a value.
///
/// # Panics
/// There is none within [`PATIENCE`]; the message says `what` was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}
