//! What the cache holds of a value, and how long it protects it.

use std::{any::Any, fmt, sync::Arc};

use quick_cache::{Lifecycle, Weighter};
use stratal_types::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::{CacheKey, Lease, Slots, lease::Reservation, ripe::Value, slots::Shown};

/// Something that can be kept in a [`Cache`](crate::Cache).
///
/// A value of a type must not use the cache while it is dropped: it may be the cache that drops it.
pub trait Resident: Any + Send + Sync {
    /// Bytes of memory the value takes, and nothing else does. Asked once, when the value enters.
    fn weight(&self) -> usize;

    /// Asks the processor for what dropping the value looks at beside the value itself, and waits for none
    /// of it: the cache says so shortly before it drops one. By default nothing.
    fn prefetch_for_drop(&self) {}
}

impl fmt::Debug for dyn Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident").field("weight", &self.weight()).finish_non_exhaustive()
    }
}

impl Resident for Vec<u8> {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.capacity()
    }
}

/// How hard the cache tries to keep a value.
#[derive(Clone, Copy, Debug, Default)]
pub enum Priority<'a> {
    /// It stays as long as it is used more than others are. Data blocks.
    #[default]
    Normal,
    /// It outlives values of normal priority that are used as often, while such values take no more
    /// than half of the capacity. Indexes and filters: every read of their file needs them.
    High,
    /// As high, and it is not evicted before the lease ends, as far as that may be: see [`Lease`].
    Pinned(&'a Lease),
}

/// A value and what it weighs.
///
/// The cache hands out clones of what it holds, and only on a hit. Hence a clone is a use: it renews
/// the protection of the original, and has none itself.
#[derive(Debug)]
pub(crate) struct Held {
    value: Owned,
    weight: u64,
    protection: Option<Protection>,
}

/// A value, and whether a slot shows it.
#[derive(Debug)]
enum Owned {
    Plain(Value),
    Shown(Shown),
}

impl Owned {
    fn value(&self) -> Value {
        match self {
            Self::Plain(value) => Arc::clone(value),
            Self::Shown(shown) => shown.value(),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Plain(value) => value,
            Self::Shown(shown) => shown.value(),
        }
    }
}

impl Held {
    /// Memory that a value takes on top of its own weight, in bytes: its slot and the share of the
    /// slots for keys lately evicted, its place in the hash table, its reference counts, and which slot
    /// shows it.
    pub(crate) const OVERHEAD: u64 = 224;

    /// A weight that no shard admits.
    const REFUSED: u64 = u64::MAX;

    pub(crate) fn new<T: Resident>(value: &Arc<T>) -> Self {
        let weight = u64::try_from(value.weight()).unwrap_or(Self::REFUSED);
        let value: Arc<T> = Arc::clone(value);
        let weight = weight.saturating_add(Self::OVERHEAD);
        Self { value: Owned::Plain(value), weight, protection: None }
    }

    /// Shows the value, which is `value`, in slot `at`.
    pub(crate) fn show<T: Resident>(&mut self, value: &Arc<T>, slots: &Slots<T>, at: usize) {
        if let Some(shown) = slots.show(at, value) {
            self.value = Owned::Shown(shown);
        }
    }

    /// Bytes it counts for, overhead included.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    /// The same value, made so heavy that it is handed to those who wait for it, and not kept.
    pub(crate) fn to_hand_over(&self) -> Self {
        Self { weight: Self::REFUSED, ..self.clone() }
    }

    /// Protects it, if `budget` has room.
    pub(crate) fn protect(&mut self, budget: &Arc<ProtectedBytes>) {
        self.protection = Protection::reserve(budget, self.weight);
    }

    /// Pins it, or if that cannot be protects it, if `budget` has room.
    pub(crate) fn pin(&mut self, budget: &Arc<ProtectedBytes>, lease: &Lease) {
        // What it took before is free for what it takes now.
        self.protection = None;
        self.protection = match lease.reserve(budget, self.weight) {
            Some(reservation) => Some(Protection::pinned(reservation)),
            None => Protection::reserve(budget, self.weight),
        };
    }

    /// The value, if it is a `T`.
    pub(crate) fn downcast<T: Resident>(self) -> Option<Arc<T>> {
        let value: Arc<dyn Any + Send + Sync> = self.value.into_value();
        Arc::downcast(value).ok()
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        if let Some(protection) = &self.protection {
            protection.renew();
        }
        Self { value: Owned::Plain(self.value.value()), weight: self.weight, protection: None }
    }
}

/// How many bytes of one shard are protected, and may be.
#[derive(Debug, Default)]
pub(crate) struct ProtectedBytes {
    /// What is pinned included.
    used: AtomicU64,
    pinned: AtomicU64,
    /// Of either.
    max: AtomicU64,
}

impl ProtectedBytes {
    /// Bytes protected now.
    pub(crate) fn effective(&self) -> u64 {
        if self.is_exceeded() { self.pinned() } else { self.used.load(Ordering::Relaxed) }
    }

    /// Bytes pinned now.
    pub(crate) fn pinned(&self) -> u64 {
        if self.keeps_pinned() { self.pinned.load(Ordering::Relaxed) } else { 0 }
    }

    /// Whether what is pinned stays: it does not while there is more of it than `max`.
    pub(crate) fn keeps_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed) <= self.max.load(Ordering::Relaxed)
    }

    /// Pins so much more, if it may be.
    pub(crate) fn pin(&self, bytes: u64) -> bool {
        add_below(&self.pinned, bytes, self.max.load(Ordering::Relaxed))
    }

    pub(crate) fn unpin(&self, bytes: u64) {
        self.pinned.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// If more is protected than `max`, nothing is until so much is gone.
    pub(crate) fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.max.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: u64) -> bool {
        add_below(&self.used, bytes, self.max.load(Ordering::Relaxed))
    }
}

/// Adds `bytes` to `used` if that is at most `max` then.
fn add_below(used: &AtomicU64, bytes: u64, max: u64) -> bool {
    let add = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= max);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
}

/// Keeps one value from eviction, and counts against the shard's budget for as long as it exists.
#[derive(Debug)]
enum Protection {
    /// For some passes of the hand since it was last used.
    Used { budget: Arc<ProtectedBytes>, bytes: u64, passes_left: AtomicU8 },
    /// For as long as the reservation holds, and then in the same way.
    Pinned { reservation: Arc<Reservation>, passes_left: AtomicU8 },
}

impl Protection {
    /// Passes of the hand. It comes by about three times while every hot value is replaced by one
    /// that is used as much as counts, and less often when new values are used less.
    const PASSES: u8 = 16;

    fn reserve(budget: &Arc<ProtectedBytes>, bytes: u64) -> Option<Self> {
        let budget = budget.reserve(bytes).then(|| Arc::clone(budget))?;
        Some(Self::Used { budget, bytes, passes_left: AtomicU8::new(Self::PASSES) })
    }

    /// Takes its room from what is not pinned, if it must.
    fn pinned(reservation: Arc<Reservation>) -> Self {
        reservation.budget.used.fetch_add(reservation.bytes, Ordering::Relaxed);
        Self::Pinned { reservation, passes_left: AtomicU8::new(Self::PASSES) }
    }

    fn passes_left(&self) -> &AtomicU8 {
        match self {
            Self::Used { passes_left, .. } | Self::Pinned { passes_left, .. } => passes_left,
        }
    }

    fn budget(&self) -> (&ProtectedBytes, u64) {
        match self {
            Self::Used { budget, bytes, .. } => (budget, *bytes),
            Self::Pinned { reservation, .. } => (&reservation.budget, reservation.bytes),
        }
    }

    /// Written only when it changes something: many threads use the same index at once.
    fn renew(&self) {
        if self.passes_left().load(Ordering::Relaxed) != Self::PASSES {
            self.passes_left().store(Self::PASSES, Ordering::Relaxed);
        }
    }

    /// Whether it survives a pass of the hand. The hand moves under the shard's lock.
    fn survives_pass(&self) -> bool {
        if matches!(self, Self::Pinned { reservation, .. } if reservation.holds()) {
            return true;
        }
        let left = self.passes_left().load(Ordering::Relaxed);
        self.passes_left().store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0 && !self.budget().0.is_exceeded()
    }
}

impl Drop for Protection {
    fn drop(&mut self) {
        let (budget, bytes) = self.budget();
        budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Tells a shard what values weigh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights;

impl Weighter<CacheKey, Held> for Weights {
    fn weight(&self, _: &CacheKey, held: &Held) -> u64 {
        held.weight
    }
}

/// Tells a shard what is protected, and takes what it evicts, to be dropped once its lock is free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evictions;

impl Lifecycle<CacheKey, Held> for Evictions {
    type RequestState = Vec<Held>;

    fn is_pinned(&self, _: &CacheKey, held: &Held) -> bool {
        // Uses of a value that is not protected were counted when its slot told of them.
        let was_used = matches!(&held.value, Owned::Shown(shown) if shown.take_uses());
        held.protection.as_ref().is_some_and(|protection| {
            if was_used {
                protection.renew();
            }
            protection.survives_pass()
        })
    }

    fn on_evict(&self, evicted: &mut Self::RequestState, _: CacheKey, mut held: Held) {
        // At once: whether the budget is exceeded decides about the next candidate.
        held.protection = None;
        evicted.push(held);
    }
}
