//! A circuit breaker for the scorer: after a run of failures it is left alone for a while, then tried with one request.

use crate::config::BreakerPolicy;

/// The state of one worker's breaker. Time is the filter's tick count, so that no clock is asked per request.
#[derive(Debug, Default)]
pub struct Breaker {
    failures_in_a_row: u32,
    /// While open: the tick from which one request may try again.
    retry_at: Option<u64>,
}

impl Breaker {
    /// Whether the scorer may be asked now. While open, each elapsed period lets exactly one request through.
    pub fn allows(&mut self, policy: BreakerPolicy, now: u64) -> bool {
        match self.retry_at {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                self.retry_at = Some(now.saturating_add(policy.open_ticks));
                true
            }
        }
    }

    /// Records an answer: any proof of life closes the breaker.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Records an outage.
    pub fn failed(&mut self, policy: BreakerPolicy, now: u64) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if policy.failures > 0 && self.failures_in_a_row >= policy.failures {
            self.retry_at = Some(now.saturating_add(policy.open_ticks));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy { failures: 3, open_ticks: 10 };

    #[test]
    fn opens_after_a_run_of_failures_and_probes_once_a_period() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            assert!(breaker.allows(POLICY, 100));
            breaker.failed(POLICY, 100);
        }
        assert!(!breaker.allows(POLICY, 109));
        assert!(breaker.allows(POLICY, 110), "one probe");
        assert!(!breaker.allows(POLICY, 111), "but only one");
        breaker.failed(POLICY, 112);
        assert!(!breaker.allows(POLICY, 121));
        assert!(breaker.allows(POLICY, 122));
        breaker.succeeded();
        assert!(breaker.allows(POLICY, 122));
        breaker.failed(POLICY, 123);
        assert!(breaker.allows(POLICY, 123), "the count starts again");
    }

    #[test]
    fn a_success_in_between_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(POLICY, 0);
            breaker.failed(POLICY, 0);
            breaker.succeeded();
        }
        assert!(breaker.allows(POLICY, 0));
    }

    #[test]
    fn zero_failures_turns_it_off() {
        let mut breaker = Breaker::default();
        let off = BreakerPolicy { failures: 0, open_ticks: 10 };
        for _ in 0..100 {
            breaker.failed(off, 0);
        }
        assert!(breaker.allows(off, 0));
    }
}
