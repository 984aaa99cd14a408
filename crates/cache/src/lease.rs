//! What keeps values in the cache though nobody asks for them.

use std::sync::{Arc, Weak};

use stratal_types::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use crate::held::ProtectedBytes;

/// What is put into a cache [under it](crate::Priority::Pinned) is not evicted before this ends, or goes.
///
/// It does not make room: of each shard no more than half can be pinned, and of the area for large values
/// no more than half, which is a quarter of the cache. What does not fit there has high priority, as all
/// of it has once this has ended. So it is when the cache is made smaller, for as long as too much is
/// pinned; at capacity zero nothing is held at all.
///
/// ```
/// use std::sync::Arc;
/// use stratal_cache::{Cache, CacheKey, FileId, Lease, Priority};
///
/// let cache = Cache::new(1 << 20);
/// let lease = Lease::new();
/// let key = CacheKey { file: FileId::next(), offset: 0, role: 0 };
/// cache.insert(&key, Priority::Pinned(&lease), &Arc::new(b"an index".to_vec()));
/// assert!(cache.stats().pinned > 0);
/// drop(lease);
/// assert_eq!(cache.stats().pinned, 0);
/// assert!(cache.get::<Vec<u8>>(&key).is_some());
/// ```
#[derive(Debug, Default)]
pub struct Lease {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_over: bool,
    /// What is pinned, and some of what is not any more.
    pinned: Vec<Weak<Reservation>>,
    /// How many there were when those that are gone were last taken out.
    swept: usize,
}

impl Lease {
    /// Reservations looked at in vain, for each that is made.
    const SWEEP_FROM: usize = 16;

    /// One that has begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets what was put in under it be evicted, and what is put in from now on, until it
    /// [begins](Self::begin) again.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.is_over = true;
        let pinned = std::mem::take(&mut state.pinned);
        drop(state);
        for reservation in pinned.iter().filter_map(Weak::upgrade) {
            reservation.end();
        }
    }

    /// Keeps what is put in from now on; whether it did not before.
    pub fn begin(&self) -> bool {
        std::mem::replace(&mut self.state.lock().is_over, false)
    }

    /// Pins so many bytes of what `budget` is for; `None` if that is too much, or this has ended.
    pub(crate) fn reserve(
        &self,
        budget: &Arc<ProtectedBytes>,
        bytes: u64,
    ) -> Option<Arc<Reservation>> {
        let mut state = self.state.lock();
        if state.is_over || !budget.pin(bytes) {
            return None;
        }
        let (budget, is_pinned) = (Arc::clone(budget), AtomicBool::new(true));
        let reservation = Arc::new(Reservation { budget, bytes, is_pinned });
        if state.pinned.len() >= state.swept.saturating_mul(2).max(Self::SWEEP_FROM) {
            state.pinned.retain(|reservation| reservation.strong_count() > 0);
            state.swept = state.pinned.len();
        }
        state.pinned.push(Arc::downgrade(&reservation));
        Some(reservation)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end();
    }
}

/// Bytes that are pinned, of one value, until its lease ends or it goes.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) budget: Arc<ProtectedBytes>,
    pub(crate) bytes: u64,
    is_pinned: AtomicBool,
}

impl Reservation {
    /// Whether the value must stay.
    pub(crate) fn holds(&self) -> bool {
        self.is_pinned.load(Ordering::Relaxed) && self.budget.keeps_pinned()
    }

    fn end(&self) {
        if self.is_pinned.swap(false, Ordering::Relaxed) {
            self.budget.unpin(self.bytes);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.end();
    }
}
