//! The bounded queue between requests and workers.
//!
//! [`State`] is the queue itself, without threads or clocks; [`Queue`] adds the lock and the waiting. Both are plain
//! first in, first out. A worker that has tokenized more jobs than fit its batch puts the rest back at the front.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

use super::ScoreError;

/// One text that waits for its score.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) text: String,
    /// Filled by the first worker that looks at the job.
    pub(super) tokens: Option<Vec<i64>>,
    /// What the job counts for in the queue: estimated until it is tokenized, then exact.
    pub(super) weight: usize,
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    /// Closed when nobody waits any more.
    pub(super) reply: oneshot::Sender<Result<f64, ScoreError>>,
}

/// What waits and what runs, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Jobs in the queue.
    pub(super) jobs: usize,
    /// Their tokens.
    pub(super) tokens: usize,
    /// Tokens that workers have taken and not finished.
    pub(super) in_flight: usize,
}

/// How much a worker takes at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) jobs: usize,
    pub(super) tokens: usize,
}

/// What a worker took. `jobs` is empty when everything that was waiting had to be dropped.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The oldest live jobs, in order.
    pub(super) jobs: Vec<Job>,
    /// Jobs whose deadline has passed.
    pub(super) expired: Vec<Job>,
    /// How many jobs had nobody waiting for them.
    pub(super) abandoned: usize,
}

/// The queue without its lock.
#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    /// The sum of the jobs' weights.
    tokens: usize,
    in_flight: usize,
    closed: bool,
}

impl State {
    fn load(&self) -> Load {
        Load { jobs: self.jobs.len(), tokens: self.tokens, in_flight: self.in_flight }
    }

    fn push(&mut self, job: Job) {
        self.tokens += job.weight;
        self.jobs.push_back(job);
    }

    /// Takes the oldest live job, and those after it while they fit the window; drops the dead ones on the way.
    fn take(&mut self, now: Instant, window: Window) -> Taken {
        let mut taken = Taken::default();
        let mut tokens = 0;
        while let Some(job) = self.jobs.pop_front() {
            let full = taken.jobs.len() >= window.jobs || tokens + job.weight > window.tokens;
            if full && !taken.jobs.is_empty() {
                self.jobs.push_front(job);
                break;
            }
            self.tokens -= job.weight;
            if job.deadline <= now {
                taken.expired.push(job);
            } else if job.reply.is_closed() {
                taken.abandoned += 1;
            } else {
                tokens += job.weight;
                taken.jobs.push(job);
            }
        }
        self.in_flight += tokens;
        taken
    }

    /// Returns jobs to the front in their order. They were in the queue before, so its capacity does not apply.
    fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            self.tokens += job.weight;
            self.jobs.push_front(job);
        }
    }
}

/// Why a job was not queued. The job's sender is dropped with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PushError<E> {
    Full,
    Closed,
    /// The caller's own check said no.
    Refused(E),
}

/// The queue with its lock, shared by requests and workers.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    capacity: usize,
}

impl Queue {
    /// A queue that refuses a job when `capacity` jobs wait.
    pub(super) fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), ready: Condvar::new(), capacity }
    }

    /// Adds a job, if there is room and `admit` agrees to the load that it would wait behind.
    pub(super) fn push<E>(&self, job: Job, admit: impl FnOnce(Load) -> Result<(), E>) -> Result<(), PushError<E>> {
        let mut state = self.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        if state.jobs.len() >= self.capacity {
            return Err(PushError::Full);
        }
        admit(state.load()).map_err(PushError::Refused)?;
        state.push(job);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for jobs and takes some; `None` when the queue is closed. The tokens taken count as in flight until the
    /// guard is dropped.
    pub(super) fn take(&self, window: Window) -> Option<(Taken, InFlight<'_>)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if !state.jobs.is_empty() {
                break;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let taken = state.take(Instant::now(), window);
        let tokens = taken.jobs.iter().map(|job| job.weight).sum();
        Some((taken, InFlight { queue: self, tokens }))
    }

    /// What waits and what runs now.
    pub(super) fn load(&self) -> Load {
        self.lock().load()
    }

    /// Ends the queue: workers stop, waiting jobs are dropped (their callers see [`ScoreError::Closed`]), new ones are
    /// refused.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.jobs.clear();
        state.tokens = 0;
        drop(state);
        self.ready.notify_all();
    }

    /// The state stays whole when a thread panics: no method can panic between its changes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokens that a worker has taken. Dropping it, however the worker leaves, takes them off the load.
#[derive(Debug)]
pub(super) struct InFlight<'a> {
    queue: &'a Queue,
    tokens: usize,
}

impl InFlight<'_> {
    /// Returns jobs that the worker will not run now, and counts the rest as `kept` tokens.
    pub(super) fn put_back(&mut self, jobs: Vec<Job>, kept: usize) {
        let some = !jobs.is_empty();
        let mut state = self.queue.lock();
        if !state.closed {
            state.put_back(jobs);
        }
        state.in_flight = state.in_flight - self.tokens + kept;
        self.tokens = kept;
        drop(state);
        if some {
            self.queue.ready.notify_one();
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.queue.lock().in_flight -= self.tokens;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    type Reply = oneshot::Receiver<Result<f64, ScoreError>>;

    const ALL: Window = Window { jobs: usize::MAX, tokens: usize::MAX };

    fn job(name: &str, weight: usize, deadline: Instant) -> (Job, Reply) {
        let (reply, receiver) = oneshot::channel();
        let job = Job { text: name.to_owned(), tokens: None, weight, arrived: deadline, deadline, reply };
        (job, receiver)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn names(jobs: &[Job]) -> Vec<&str> {
        jobs.iter().map(|job| job.text.as_str()).collect()
    }

    fn agree(_: Load) -> Result<(), ()> {
        Ok(())
    }

    #[test]
    fn jobs_come_out_oldest_first_within_the_window() {
        let mut state = State::default();
        let _replies: Vec<_> = [("a", 10), ("b", 10), ("c", 10), ("d", 10)]
            .map(|(name, weight)| {
                let (job, reply) = job(name, weight, later());
                state.push(job);
                reply
            })
            .into();
        let take = |state: &mut State, jobs, tokens| {
            names(&state.take(Instant::now(), Window { jobs, tokens }).jobs).join("").clone()
        };
        assert_eq!(take(&mut state, 2, 1000), "ab");
        assert_eq!(take(&mut state, 9, 5), "c", "one job is taken even if it alone is too large");
        assert_eq!(state.load(), Load { jobs: 1, tokens: 10, in_flight: 30 });
    }

    #[test]
    fn expired_and_abandoned_jobs_are_dropped_when_taken() {
        let mut state = State::default();
        let now = Instant::now();
        let (dead, _late) = job("expired", 5, now);
        let (gone, receiver) = job("abandoned", 5, later());
        let (live, _wanted) = job("live", 5, later());
        drop(receiver);
        for job in [dead, gone, live] {
            state.push(job);
        }
        let one = Window { jobs: 1, tokens: 0 };
        let taken = state.take(now, one);
        assert_eq!(names(&taken.jobs), ["live"]);
        assert_eq!(names(&taken.expired), ["expired"]);
        assert_eq!(taken.abandoned, 1);
        assert_eq!(state.load(), Load { jobs: 0, tokens: 0, in_flight: 5 });
    }

    #[test]
    fn a_full_queue_and_a_closed_one_refuse() {
        let queue = Queue::new(1);
        let (first, mut waiting) = job("first", 1, later());
        let (second, _r2) = job("second", 1, later());
        let (third, _r3) = job("third", 1, later());
        assert_eq!(queue.push(first, agree), Ok(()));
        assert_eq!(queue.push(second, agree), Err(PushError::Full));
        queue.close();
        assert_eq!(queue.push(third, agree), Err(PushError::Closed));
        assert!(queue.take(ALL).is_none());
        assert!(
            waiting.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed),
            "who waits is told"
        );
    }

    #[test]
    fn the_check_at_the_door_sees_the_load_and_can_refuse() {
        let queue = Queue::new(9);
        let (first, _r1) = job("first", 7, later());
        let (second, _r2) = job("second", 1, later());
        queue.push(first, agree).unwrap();
        let refused = queue.push(second, Err);
        let load = Load { jobs: 1, tokens: 7, in_flight: 0 };
        assert_eq!(refused, Err(PushError::Refused(load)));
        assert_eq!(queue.load(), load);
    }

    #[test]
    fn jobs_put_back_keep_their_order_and_go_first() {
        let queue = Queue::new(9);
        let _replies: Vec<_> = ["a", "b", "c"]
            .map(|name| {
                let (job, reply) = job(name, 10, later());
                queue.push(job, agree).unwrap();
                reply
            })
            .into();
        let (taken, mut in_flight) = queue.take(ALL).unwrap();
        let (late, _reply) = job("late", 10, later());
        queue.push(late, agree).unwrap();
        let mut jobs = taken.jobs.into_iter();
        let kept = jobs.next().unwrap();
        let mut rest: Vec<_> = jobs.collect();
        rest.iter_mut().for_each(|job| job.weight = 4);
        in_flight.put_back(rest, 12);
        let load = Load { jobs: 3, tokens: 18, in_flight: 12 };
        assert_eq!(queue.load(), load, "weights may have become exact");
        drop((kept, in_flight));
        assert_eq!(queue.load().in_flight, 0);
        let (taken, _in_flight) = queue.take(ALL).unwrap();
        assert_eq!(names(&taken.jobs), ["b", "c", "late"]);
    }

    #[test]
    fn a_waiting_worker_wakes_for_a_job_and_for_the_end() {
        let queue = Queue::new(9);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let first = queue.take(ALL).map(|(taken, _)| taken.jobs.len());
                (first, queue.take(ALL).is_none())
            });
            let (job, _reply) = job("a", 1, later());
            queue.push(job, agree).unwrap();
            while queue.load().jobs > 0 {
                std::thread::yield_now();
            }
            queue.close();
            assert_eq!(worker.join().unwrap(), (Some(1), true));
        });
    }

    proptest! {
        /// Whatever is pushed, taken, put back and finished: nothing is lost or doubled, order holds, the sums are right.
        #[test]
        fn the_books_balance(
            weights in proptest::collection::vec(1_usize..50, 1..40),
            steps in proptest::collection::vec((1_usize..6, 1_usize..120, 0_usize..6), 1..60),
        ) {
            let mut state = State::default();
            let mut replies = Vec::new();
            for (index, weight) in weights.iter().enumerate() {
                let (job, reply) = job(&index.to_string(), *weight, later());
                replies.push(reply);
                state.push(job);
            }
            let mut done = Vec::new();
            for (jobs, tokens, kept) in steps {
                let mut taken = state.take(Instant::now(), Window { jobs, tokens }).jobs;
                prop_assert!(taken.len() <= jobs);
                let sum: usize = taken.iter().map(|job| job.weight).sum();
                prop_assert!(sum <= tokens || taken.len() == 1);
                let rest = taken.split_off(kept.max(1).min(taken.len()));
                state.put_back(rest);
                state.in_flight -= sum;
                done.extend(taken.into_iter().map(|job| job.text.parse::<usize>().unwrap()));
            }
            prop_assert!(done.iter().copied().eq(0..done.len()));
            prop_assert_eq!(state.jobs.len() + done.len(), weights.len());
            prop_assert_eq!(state.tokens, state.jobs.iter().map(|job| job.weight).sum::<usize>());
        }
    }
}
