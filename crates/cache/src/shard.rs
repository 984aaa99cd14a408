use std::sync::Arc;

use quick_cache::{
    OptionsBuilder,
    sync::{Cache as Entries, GuardResult, PlaceholderGuard},
};
use stratal_types::sync::atomic::{AtomicU64, Ordering};

use crate::{
    CacheKey, FileId, Lease, Priority,
    held::{Evictions, Held, ProtectedBytes, Weights},
    key::KeyHasher,
};

/// Bytes of a typical value; how many keys a shard remembers after eviction follows from it.
const VALUE_LEN_TYPICAL: u64 = 4 << 10;

/// The right to put in the value that others wait for. Dropped unused, it passes to one of them.
pub(crate) type Turn<'a> = PlaceholderGuard<'a, CacheKey, Held, Weights, KeyHasher, Evictions>;

/// What a shard answers to somebody who would load the value himself.
pub(crate) enum Claim<'a> {
    Found(Held),
    Mine(Turn<'a>),
}

/// A part of the cache with a lock, a hand and a capacity of its own.
///
/// Aligned so that the counters of neighbours do not share cache lines.
#[repr(align(128))]
pub(crate) struct Shard {
    entries: Entries<CacheKey, Held, Weights, KeyHasher, Evictions>,
    protected: Arc<ProtectedBytes>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Shard {
    /// `hot_share`: the part of the capacity kept for values that were used again, which is also
    /// the heaviest value admitted.
    pub(crate) fn new(capacity: u64, hot_share: f64) -> Self {
        let values = usize::try_from(capacity / VALUE_LEN_TYPICAL).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(capacity)
            .estimated_items_capacity(values)
            .hot_allocation(hot_share)
            .build();
        let Ok(options) = options else { unreachable!("every required option is given") };
        let entries = Entries::with_options(options, Weights, KeyHasher::default(), Evictions);
        let shard = Self {
            entries,
            protected: Arc::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        };
        shard.set_capacity(capacity);
        shard
    }

    /// Evicts what no longer fits. At most half may be protected.
    ///
    /// The shard underneath loses its proportions at zero, hence the single byte, in which nothing
    /// fits.
    pub(crate) fn set_capacity(&self, capacity: u64) {
        let capacity = capacity.max(1);
        self.protected.set_max(capacity / 2);
        if self.entries.capacity() != capacity {
            self.entries.set_capacity(capacity);
        }
    }

    pub(crate) fn get(&self, key: &CacheKey) -> Option<Held> {
        self.entries.get(key)
    }

    /// Whether there is a value, without counting as a use of it.
    pub(crate) fn contains(&self, key: &CacheKey) -> bool {
        self.entries.contains_key(key)
    }

    /// The value, or the right to load it; waits while somebody else has that right.
    pub(crate) fn claim(&self, key: &CacheKey) -> Claim<'_> {
        loop {
            match self.entries.get_value_or_guard(key, None) {
                GuardResult::Value(held) => return Claim::Found(held),
                GuardResult::Guard(turn) => return Claim::Mine(turn),
                // Only with a timeout.
                GuardResult::Timeout => {}
            }
        }
    }

    /// Ends the wait for a value and keeps it.
    pub(crate) fn fulfil(
        &self,
        turn: Turn<'_>,
        key: &CacheKey,
        mut held: Held,
        priority: Priority<'_>,
    ) {
        self.prepare(&mut held, priority);
        drop(turn.insert(held));
        self.welcome(key, priority);
    }

    /// Keeps a value, in place of any that `key` had.
    pub(crate) fn insert(&self, key: CacheKey, mut held: Held, priority: Priority<'_>) {
        self.prepare(&mut held, priority);
        self.entries.insert(key, held);
        self.welcome(&key, priority);
    }

    pub(crate) fn remove(&self, key: &CacheKey) -> bool {
        self.entries.remove(key).is_some()
    }

    /// Pins the value of `key`, if there is one; whether there is. It is not there for a moment.
    pub(crate) fn pin(&self, key: &CacheKey, lease: &Lease) -> bool {
        let Some((key, held)) = self.entries.remove(key) else { return false };
        self.insert(key, held, Priority::Pinned(lease));
        true
    }

    /// Removes the values of `files`, which are sorted.
    pub(crate) fn remove_files(&self, files: &[FileId]) {
        self.entries.retain(|key, _| files.binary_search(&key.file).is_err());
    }

    pub(crate) fn clear(&self) {
        self.entries.clear();
    }

    /// Bytes held.
    pub(crate) fn used(&self) -> u64 {
        self.entries.weight()
    }

    /// Bytes held that are protected.
    pub(crate) fn protected(&self) -> u64 {
        self.protected.effective()
    }

    /// Bytes held that are pinned.
    pub(crate) fn pinned(&self) -> u64 {
        self.protected.pinned()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(crate) fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    fn prepare(&self, held: &mut Held, priority: Priority<'_>) {
        match priority {
            Priority::Normal => {}
            Priority::High => held.protect(&self.protected),
            Priority::Pinned(lease) => held.pin(&self.protected, lease),
        }
    }

    /// A new value of high priority counts as used, so that the hand moves it on to the hot ones
    /// and does not judge it by its first moments.
    fn welcome(&self, key: &CacheKey, priority: Priority<'_>) {
        if !matches!(priority, Priority::Normal) {
            drop(self.entries.get(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference counts of a value, and what the allocator adds to it.
    const PER_VALUE: usize = 2 * size_of::<usize>() + 16;

    #[test]
    fn the_overhead_counted_for_each_value_is_what_keeping_it_takes() {
        let (file, shard) = (FileId::next(), Shard::new(16 << 20, 0.97));
        for i in 0..12_288 {
            let key = CacheKey { file, offset: i * VALUE_LEN_TYPICAL, role: 0 };
            let value = Arc::new(Vec::<u8>::with_capacity(4 << 10));
            shard.insert(key, Held::new(&value), Priority::Normal);
        }
        let taken = shard.entries.memory_used().total() / shard.len() + PER_VALUE;
        let counted = usize::try_from(Held::OVERHEAD).unwrap();
        assert!(shard.len() > 3_500, "{}", shard.len());
        assert!(taken <= counted && taken * 4 > counted * 3, "{taken} bytes, counted {counted}");
    }
}
