//! Admission control: whether a job can be finished before its deadline, at the throughput that was measured recently.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::queue::Load;

/// How much one batch's measurement leaves of the earlier ones: the last 50 batches or so count.
const KEEP: f64 = 0.98;

/// How fast one worker is, as decayed sums of tokens and of seconds.
///
/// Sums, and not an average of rates: short texts run at fewer tokens a second, and must not count as much as long ones.
#[derive(Debug, Default)]
pub(super) struct Throughput(Mutex<(f64, f64)>);

impl Throughput {
    /// Adds one batch: its tokens, and how long one worker was busy with it.
    pub(super) fn record(&self, tokens: usize, busy: Duration) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.0 = sums.0 * KEEP + tokens as f64;
        sums.1 = sums.1 * KEEP + busy.as_secs_f64();
    }

    /// Tokens a second, of one worker; `None` before anything was measured.
    pub(super) fn per_worker(&self) -> Option<f64> {
        let (tokens, seconds) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (tokens > 0.0 && seconds > 0.0).then(|| tokens / seconds)
    }
}

/// Says by how much a job would miss its deadline, if it would.
///
/// `rate` is one worker's, in tokens a second; `own` is the job's tokens; `left` is the time to its deadline. What waits
/// is shared by all workers, what runs is taken to be half done, and the job itself runs on one worker.
///
/// An idle engine takes any job: were it to refuse by a rate that one bad moment has spoilt, it would never measure a
/// better one.
pub(super) fn misses_by(load: Load, own: usize, rate: Option<f64>, workers: usize, left: Duration) -> Option<Duration> {
    let ahead = load.tokens as f64 + load.in_flight as f64 / 2.0;
    let rate = rate?;
    if ahead <= 0.0 {
        return None;
    }
    let seconds = ahead / (rate * workers as f64) + own as f64 / rate;
    let expected = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    expected.checked_sub(left).filter(|late| !late.is_zero())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn load(tokens: usize, in_flight: usize) -> Load {
        Load { jobs: 1, tokens, in_flight }
    }

    #[test]
    fn a_job_is_refused_when_the_tokens_ahead_take_longer_than_its_deadline() {
        // 8,000 tokens waiting and 2,000 half done, on 2 workers of 10,000 a second: 450 ms, and 50 for the job itself.
        let late = |left| misses_by(load(8000, 2000), 500, Some(10_000.0), 2, Duration::from_millis(left));
        assert_eq!(late(501), None);
        assert_eq!(late(400), Some(Duration::from_millis(100)));
    }

    #[test]
    fn an_idle_engine_and_an_unmeasured_one_take_any_job() {
        assert_eq!(misses_by(load(0, 0), 500, Some(0.001), 1, Duration::ZERO), None);
        assert_eq!(misses_by(load(9, 9), 500, None, 1, Duration::ZERO), None);
    }

    #[test]
    fn throughput_weighs_batches_by_their_size_and_forgets() {
        let throughput = Throughput::default();
        assert_eq!(throughput.per_worker(), None);
        throughput.record(0, Duration::ZERO);
        assert_eq!(throughput.per_worker(), None);
        throughput.record(1000, Duration::from_millis(100));
        assert!((throughput.per_worker().unwrap() - 10_000.0).abs() < 1e-6);
        for _ in 0..500 {
            throughput.record(1000, Duration::from_millis(200));
        }
        assert!((throughput.per_worker().unwrap() - 5000.0).abs() < 10.0);
    }

    proptest! {
        #[test]
        fn more_ahead_never_helps(
            tokens in 0_usize..100_000, more in 0_usize..100_000, own in 1_usize..512,
            rate in 1.0..1e6_f64, workers in 1_usize..64, left in 0_u64..5000,
        ) {
            let left = Duration::from_millis(left);
            let late = |tokens| misses_by(load(tokens, 0), own, Some(rate), workers, left);
            prop_assert!(late(tokens + more) >= late(tokens));
        }
    }
}
