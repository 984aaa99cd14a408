//! How fast work in the background may write.

use std::{
    fmt::Debug,
    // Not from `types::sync`: that of a model checker holds no trait objects.
    sync::Arc,
    time::{Duration, Instant},
};

use stratal_types::sync::{
    Condvar, Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::byte_budget::{ByteBudget, Class};

/// What bytes are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// Memory becomes tables. Writers may be waiting for it, so it goes first.
    Flush,
    /// Tables become others.
    Merge,
    /// Tables are brought in.
    Ingest,
}

impl Origin {
    /// Every origin, by ascending [`index`](Self::index).
    pub const ALL: [Self; 3] = [Self::Flush, Self::Merge, Self::Ingest];

    /// A small number of its own, for what is kept in an array.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in reports, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Merge => "merge",
            Self::Ingest => "ingest",
        }
    }

    const fn class(self) -> Class {
        match self {
            Self::Flush => Class::Urgent,
            Self::Merge | Self::Ingest => Class::Patient,
        }
    }
}

/// Tells and waits for time: the system's in production, any in a simulation.
pub trait Timer: Debug + Send + Sync {
    /// Time since some moment. Never goes back.
    fn now(&self) -> Duration;

    /// Waits until `until`, or until `signal` was raised since it said `seen`.
    fn wait(&self, signal: &Signal, seen: u64, until: Duration);
}

/// Wakes those who wait for time to pass.
#[derive(Debug, Default)]
pub struct Signal {
    raised: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// How often it was raised.
    pub fn raised(&self) -> u64 {
        *self.raised.lock()
    }

    /// Wakes all who wait.
    pub fn raise(&self) {
        *self.raised.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until `end`, or until it was raised since it said `seen`.
    pub fn wait_until(&self, seen: u64, end: Instant) {
        let mut raised = self.raised.lock();
        while *raised == seen && !self.changed.wait_until(&mut raised, end).timed_out() {}
    }
}

/// The system's time.
#[derive(Clone, Copy, Debug)]
struct SystemTimer(Instant);

impl Timer for SystemTimer {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, signal: &Signal, seen: u64, until: Duration) {
        // Beyond what the clock can tell there is no moment; that of the signal is enough then.
        let end = self.0.checked_add(until);
        signal.wait_until(seen, end.unwrap_or_else(|| Instant::now() + Duration::from_secs(1)));
    }
}

/// Keeps what is written in the background to so many bytes a second, and counts it by origin.
///
/// One may serve any number of databases on a device. Whoever writes charges the bytes when they were
/// written, and is let go on when they are paid for; no lock is held meanwhile. Flushes are paid first,
/// but for an eighth of the rate while others owe too. An eighth of a second of unused rate is kept.
/// The rate can be changed at any time; those who wait go by the new one at once.
///
/// ```
/// use stratal_fs::{Origin, RateLimiter};
///
/// let limiter = RateLimiter::new(0);          // no limit: only counts
/// limiter.charge(Origin::Merge, 1 << 20, &|| false);
/// assert_eq!(limiter.written(Origin::Merge), 1 << 20);
/// limiter.set_rate(64 << 20);                 // 64 MiB/s from here on
/// ```
#[derive(Debug)]
pub struct RateLimiter {
    timer: Arc<dyn Timer>,
    budget: Mutex<ByteBudget>,
    signal: Signal,
    /// As in the budget, to be read without its lock.
    rate: AtomicU64,
    written: [AtomicU64; Origin::ALL.len()],
}

impl RateLimiter {
    /// Lets through `rate` bytes a second; any number if that is 0.
    pub fn new(rate: u64) -> Self {
        Self::with_timer(rate, Arc::new(SystemTimer(Instant::now())))
    }

    /// As [`new`](Self::new), by a time of the caller's.
    pub fn with_timer(rate: u64, timer: Arc<dyn Timer>) -> Self {
        let budget = Mutex::new(ByteBudget::new(rate, timer.now()));
        Self {
            timer,
            budget,
            signal: Signal::default(),
            rate: AtomicU64::new(rate),
            written: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Bytes a second; 0 if there is no limit.
    pub fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    /// Another rate, in bytes a second, from now on, also for those who wait; 0 for none.
    pub fn set_rate(&self, rate: u64) {
        {
            let mut budget = self.budget.lock();
            budget.set_rate(rate, self.timer.now());
            self.rate.store(rate, Ordering::Relaxed);
        }
        self.signal.raise();
    }

    /// Bytes written for `origin` so far, limited or not.
    pub fn written(&self, origin: Origin) -> u64 {
        self.written.get(origin.index()).map_or(0, |written| written.load(Ordering::Relaxed))
    }

    /// Charges `bytes` that were written for `origin`, and waits until they are paid for, or until
    /// `is_stopped`: asked at the beginning, and after each [`wake`](Self::wake).
    pub fn charge(&self, origin: Origin, bytes: u64, is_stopped: &dyn Fn() -> bool) {
        if let Some(written) = self.written.get(origin.index()) {
            written.fetch_add(bytes, Ordering::Relaxed);
        }
        if self.rate() == 0 {
            return;
        }
        let spending = self.budget.lock().spend(origin.class(), bytes, self.timer.now());
        loop {
            // Before the question: what comes after it raises the signal once more.
            let seen = self.signal.raised();
            if is_stopped() {
                return;
            }
            let due = self.budget.lock().due(spending, self.timer.now());
            let Some(due) = due else { return };
            self.timer.wait(&self.signal, seen, due);
        }
    }

    /// Lets everybody who waits ask again whether to stop.
    pub fn wake(&self) {
        self.signal.raise();
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicU64},
        thread,
    };

    use super::*;

    /// Time that passes when somebody waits for it, and only then.
    #[derive(Debug, Default)]
    struct Virtual {
        nanos: AtomicU64,
        waits: AtomicU64,
    }

    impl Timer for Virtual {
        fn now(&self) -> Duration {
            Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
        }

        fn wait(&self, _: &Signal, _: u64, until: Duration) {
            let until = u64::try_from(until.as_nanos()).unwrap();
            self.nanos.fetch_max(until, Ordering::SeqCst);
            self.waits.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn bytes_take_the_time_that_the_rate_says() {
        let timer = Arc::new(Virtual::default());
        let limiter = RateLimiter::with_timer(1 << 20, Arc::clone(&timer) as _);
        for _ in 0..160 {
            limiter.charge(Origin::Merge, 64 << 10, &|| false);
        }
        // Ten seconds, of which an eighth of one was to its credit.
        let elapsed = timer.now();
        assert_eq!(elapsed, Duration::from_millis(9_875));
        assert_eq!(timer.waits.load(Ordering::SeqCst), 158, "one each, but for the first two");
        assert_eq!(limiter.written(Origin::Merge), 10 << 20);
        assert_eq!(limiter.written(Origin::Flush), 0);
        limiter.set_rate(0);
        limiter.charge(Origin::Merge, u64::from(u32::MAX), &|| false);
        assert_eq!(timer.now(), elapsed);
    }

    #[test]
    fn a_flush_passes_merges_that_have_much_to_pay() {
        let timer = Arc::new(Virtual::default());
        let limiter = RateLimiter::with_timer(1 << 20, Arc::clone(&timer) as _);
        // It does not wait, but owes an hour.
        limiter.charge(Origin::Merge, 3600 << 20, &|| true);
        limiter.charge(Origin::Flush, 7 << 20, &|| false);
        let elapsed = timer.now();
        assert!(elapsed.abs_diff(Duration::from_secs(8)) < Duration::from_millis(1), "{elapsed:?}");
    }

    #[test]
    fn who_is_stopped_does_not_wait_any_longer() {
        let limiter = Arc::new(RateLimiter::new(1));
        let is_stopped = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (limiter, is_stopped) = (Arc::clone(&limiter), Arc::clone(&is_stopped));
            thread::spawn(move || {
                limiter.charge(Origin::Merge, 1 << 30, &|| is_stopped.load(Ordering::SeqCst));
            })
        };
        // Wherever the other is by now: before the question, behind it, or waiting for 34 years.
        while limiter.written(Origin::Merge) == 0 {
            thread::yield_now();
        }
        assert!(!waiter.is_finished());
        is_stopped.store(true, Ordering::SeqCst);
        limiter.wake();
        waiter.join().unwrap();
    }

    #[test]
    fn who_waits_goes_by_a_new_rate_at_once() {
        let limiter = Arc::new(RateLimiter::new(1));
        let waiters = [Origin::Flush, Origin::Merge, Origin::Merge].map(|origin| {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || limiter.charge(origin, 1 << 30, &|| false))
        });
        while limiter.written(Origin::Merge) < 2 << 30 {
            thread::yield_now();
        }
        limiter.set_rate(0);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    }
}
