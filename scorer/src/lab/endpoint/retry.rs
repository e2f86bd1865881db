//! Retries: exponential backoff with jitter, the server's own `Retry-After` first, and one pace for all requests.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::fault::{CallError, Fault};

/// How often to try again, and how long to wait before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often, after the first request.
    pub retries: u32,
    /// The first wait; each further one is twice as long.
    pub first: Duration,
    /// The longest wait, unless the server asks for more.
    pub longest: Duration,
}

/// Up to when an endpoint is left alone, for all requests to it.
#[derive(Debug, Default)]
pub struct Pace {
    open_at: Mutex<Option<Instant>>,
}

/// Ends waits. Clones end together.
#[derive(Debug, Clone)]
pub struct Stop(watch::Sender<bool>);

/// What makes a [`Stop`] happen.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl RetryPolicy {
    /// The wait before retry number `retry`, from zero. `chance` in [0, 1) takes up to half of it away, so that requests that
    /// failed together are not sent together again.
    fn wait(&self, retry: u32, chance: f64) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(retry));
        doubled.min(self.longest).mul_f64(1.0 - chance / 2.0)
    }
}

impl Pace {
    /// Leaves the endpoint alone for so long from now.
    fn close_for(&self, wait: Duration) {
        let Some(until) = Instant::now().checked_add(wait) else { return };
        let mut open_at = self.open_at.lock().unwrap_or_else(PoisonError::into_inner);
        *open_at = (*open_at).max(Some(until));
    }

    /// How long the endpoint is still to be left alone.
    pub fn remaining(&self) -> Option<Duration> {
        let open_at = *self.open_at.lock().unwrap_or_else(PoisonError::into_inner);
        open_at?.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    /// Waits until the endpoint need not be left alone; others may have made that later in the meantime.
    async fn open(&self) {
        while let Some(wait) = self.remaining() {
            tokio::time::sleep(wait).await;
        }
    }
}

impl Stopper {
    /// A pair that belongs together.
    pub fn new() -> (Self, Stop) {
        let sender = watch::Sender::new(false);
        (Self(sender.clone()), Stop(sender))
    }

    /// Ends all waits, now and later.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it has happened.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Makes it happen, from inside what it stops.
    pub(in crate::lab) fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Waits for it.
    pub async fn stopped(&self) {
        // It holds a sender itself, so there is always one that could make it happen.
        let _ = self.0.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Waits for something else, unless this happens before.
    async fn or(&self, wait: impl Future<Output = ()>) -> Result<(), CallError> {
        tokio::select! {
            biased;
            () = self.stopped() => Err(CallError::Stopped),
            () = wait => Ok(()),
        }
    }
}

/// Calls `request` until it succeeds, or a retry cannot help. It is told whether it is called again.
pub(super) async fn with_retries<T>(
    policy: &RetryPolicy,
    pace: &Pace,
    stop: &Stop,
    request: impl AsyncFn(bool) -> Result<T, Fault>,
) -> Result<T, CallError> {
    let mut retry = 0;
    loop {
        stop.or(pace.open()).await?;
        let (why, retry_after) = match request(retry > 0).await {
            Ok(response) => return Ok(response),
            Err(Fault::Refused(refusal)) => return Err(CallError::Refused(refusal)),
            Err(Fault::Useless(text)) => return Err(CallError::Useless(text)),
            Err(Fault::Unavailable { why, retry_after }) => (why, retry_after),
        };
        // The server's word is a least wait, and chance comes on top of it.
        let wait = policy.wait(retry, fastrand::f64());
        let wait = retry_after.map_or(wait, |asked| asked.saturating_add(wait / 4));
        if why.slows_all() || retry_after.is_some() {
            pace.close_for(retry_after.unwrap_or(wait));
        }
        if retry == policy.retries {
            return Err(CallError::GaveUp { why, requests: retry + 1 });
        }
        stop.or(tokio::time::sleep(wait)).await?;
        retry += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use hyper::StatusCode;

    use super::*;
    use crate::lab::endpoint::fault::{Refusal, StatusAndCode, Unavailable};

    const POLICY: RetryPolicy =
        RetryPolicy { retries: 3, first: Duration::from_millis(10), longest: Duration::from_millis(30) };

    /// An answer that asks to wait so many milliseconds.
    fn status(status: u16, retry_after: Option<u64>) -> Fault {
        let status = StatusCode::from_u16(status).unwrap();
        let why = Unavailable::Status(StatusAndCode { status, code: None });
        Fault::Unavailable { why, retry_after: retry_after.map(Duration::from_millis) }
    }

    /// Makes calls that fail as scripted, and gives the result and the times at which they were made.
    async fn script(faults: Vec<Fault>, pace: &Pace) -> (Result<usize, CallError>, Vec<Instant>) {
        let (times, faults) = (RefCell::new(Vec::new()), RefCell::new(faults.into_iter()));
        let (_stopper, stop) = Stopper::new();
        let result = with_retries(&POLICY, pace, &stop, async |again| {
            assert_eq!(again, !times.borrow().is_empty());
            times.borrow_mut().push(Instant::now());
            faults.borrow_mut().next().map_or(Ok(times.borrow().len()), Err)
        });
        (result.await, times.into_inner())
    }

    #[test]
    fn waits_double_up_to_the_longest_and_chance_takes_up_to_half() {
        let waits = |chance| [0, 1, 2, 9].map(|retry| POLICY.wait(retry, chance).as_millis());
        assert_eq!(waits(0.0), [10, 20, 30, 30]);
        assert_eq!(waits(0.5), [7, 15, 22, 22]);
    }

    #[tokio::test]
    async fn it_waits_before_each_retry_and_gives_up_after_the_last() {
        let (result, times) = script(vec![status(500, None); 9], &Pace::default()).await;
        assert!(matches!(result, Err(CallError::GaveUp { requests: 4, .. })), "{result:?}");
        for (pair, least) in times.windows(2).zip([5, 10, 15]) {
            assert!(pair[1] - pair[0] >= Duration::from_millis(least), "{times:?}");
        }
    }

    #[tokio::test]
    async fn the_servers_word_is_the_least_wait() {
        let (result, times) = script(vec![status(503, Some(80)), status(429, Some(0))], &Pace::default()).await;
        assert_eq!(result, Ok(3));
        assert!(times[1] - times[0] >= Duration::from_millis(80), "{times:?}");
    }

    #[tokio::test]
    async fn what_cannot_succeed_is_not_retried() {
        let (result, times) = script(vec![Fault::Refused(Refusal::Filtered)], &Pace::default()).await;
        assert_eq!((result, times.len()), (Err(CallError::Refused(Refusal::Filtered)), 1));
        let (result, times) = script(vec![Fault::Useless("u".to_owned())], &Pace::default()).await;
        assert_eq!((result, times.len()), (Err(CallError::Useless("u".to_owned())), 1));
    }

    #[tokio::test]
    async fn one_request_too_many_slows_all_of_them() {
        let pace = Pace::default();
        let (first, second) = tokio::join!(biased; script(vec![status(429, Some(100))], &pace), script(vec![], &pace));
        let least = Duration::from_millis(100);
        assert!(first.1[1] - first.1[0] >= least && second.1[0] - first.1[0] >= least, "{first:?} {second:?}");
        assert_eq!(pace.remaining(), None);
        let (alone, other) = tokio::join!(biased; script(vec![status(500, None)], &pace), script(vec![], &pace));
        assert!(other.1[0] < alone.1[1], "a 500 is that request's affair");
    }

    #[tokio::test]
    async fn a_stop_ends_waits_but_no_request() {
        let (stopper, stop) = Stopper::new();
        let pace = Pace::default();
        let asked = Cell::new(0);
        let call = with_retries(&POLICY, &pace, &stop, async |_| {
            asked.set(asked.get() + 1);
            tokio::time::sleep(Duration::from_millis(40)).await;
            Err::<(), _>(status(429, Some(3_600_000)))
        });
        let (result, ()) = tokio::join!(call, async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            stopper.stop();
        });
        assert_eq!((result, asked.get()), (Err(CallError::Stopped), 1));
        let after = with_retries(&POLICY, &pace, &stop, async |_| Ok(())).await;
        assert_eq!(after, Err(CallError::Stopped));
    }

    #[test]
    fn waits_do_not_overflow() {
        let policy = RetryPolicy { retries: u32::MAX, first: Duration::from_secs(1), longest: Duration::MAX };
        assert!(policy.wait(u32::MAX, 0.0) >= Duration::from_secs(1 << 31));
    }
}
