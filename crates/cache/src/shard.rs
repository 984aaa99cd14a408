use std::sync::Arc;

use quick_cache::{
    OptionsBuilder,
    sync::{Cache as Entries, GuardResult, PlaceholderGuard},
};
use stratal_types::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    CacheKey, FileId, Lease, Priority,
    area::{Area, Entry, Gone},
    held::{Evictions, Held, ProtectedBytes, Weights},
    key::KeyHasher,
    turn::{SlotTurn, Waiting},
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

/// A part of the cache with locks, hands and a capacity of its own.
///
/// It has a table of values that are found by their keys, and an [`Area`] of those that slots show. Each has
/// room of its own, and the two together never more than the shard: whoever gives room away evicts first.
/// What one does not use the other gets, and both want more than there is the table gets half, or a quarter
/// more than what is protected there, so that room for other values is left.
///
/// The lock of the area is taken before that of the table, and also whenever room moves.
///
/// Aligned so that the counters of neighbours do not share cache lines.
#[repr(align(128))]
pub(crate) struct Shard {
    entries: Entries<CacheKey, Held, Weights, KeyHasher, Evictions>,
    area: Mutex<Area>,
    /// Bytes in the area, for those who do not change it.
    area_used: AtomicU64,
    /// Of table and area. Changed under the lock of the area.
    capacity: AtomicU64,
    /// Those who wait for what others load for slots.
    pub(crate) waiting: Waiting,
    protected: Arc<ProtectedBytes>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Shard {
    /// Room moves between table and area by one part of so many, or more.
    const STEPS: u64 = 128;

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
            area: Mutex::new(Area::new()),
            area_used: AtomicU64::new(0),
            capacity: AtomicU64::new(0),
            waiting: Waiting::default(),
            protected: Arc::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        };
        shard.set_capacity(capacity);
        shard
    }

    /// Evicts what no longer fits. At most half may be protected.
    ///
    /// The table underneath loses its proportions at zero, hence the single byte, in which nothing
    /// fits.
    pub(crate) fn set_capacity(&self, capacity: u64) {
        let capacity = capacity.max(1);
        self.protected.set_max(capacity / 2);
        let mut area = self.area.lock();
        if self.capacity.swap(capacity, Ordering::Relaxed) == capacity {
            return;
        }
        let used = area.used();
        let gone = self.set_area_room(&mut area, used.min(self.area_room_max(capacity)));
        drop((area, gone));
    }

    /// Shows what `hidden` owns and keeps it, unless it is too heavy for what room there is.
    pub(crate) fn show(&self, turn: &mut SlotTurn<'_>, entry: Entry) {
        let mut area = self.area.lock();
        let missing = (area.used() + entry.weight()).saturating_sub(area.budget());
        let mut more = Gone::default();
        let capacity = self.capacity.load(Ordering::Relaxed);
        if missing > 0 && (area.budget() < capacity / 4 || area.is_to_ask()) {
            let wanted = area.budget().saturating_add(missing.max(capacity / Self::STEPS));
            let room = wanted.min(self.area_room_max(capacity));
            if room > area.budget() {
                more = self.set_area_room(&mut area, room);
            }
        }
        let gone = area.keep(turn, entry);
        self.area_used.store(area.used(), Ordering::Relaxed);
        drop(area);
        drop((gone, more));
    }

    /// Makes room in the table for one value more, as far as that goes.
    fn make_room(&self, weight: u64) {
        let mut area = self.area.lock();
        let capacity = self.capacity.load(Ordering::Relaxed);
        if area.budget() == 0 {
            return;
        }
        let wanted = Self::table_room(capacity, self.entries.weight().saturating_add(weight));
        let room = wanted.min(self.table_share(capacity).max(capacity.saturating_sub(area.used())));
        let mut gone = Gone::default();
        if room > capacity.saturating_sub(area.budget()) {
            gone = self.set_area_room(&mut area, capacity.saturating_sub(room));
        }
        drop(area);
        drop(gone);
    }

    /// Gives so many bytes to the area, and the rest to the table. What has to go goes first.
    fn set_area_room(&self, area: &mut MutexGuard<'_, Area>, room: u64) -> Gone {
        let capacity = self.capacity.load(Ordering::Relaxed);
        let table = capacity.saturating_sub(room).max(1);
        let gone = if room < area.budget() { area.set_budget(room) } else { Gone::default() };
        if self.entries.capacity() != table {
            self.entries.set_capacity(table);
        }
        if room > area.budget() {
            drop(area.set_budget(room));
        }
        self.area_used.store(area.used(), Ordering::Relaxed);
        gone
    }

    /// What the area may take: what the table does not use, or else what it may not take.
    fn area_room_max(&self, capacity: u64) -> u64 {
        let table = Self::table_room(capacity, self.entries.weight());
        capacity.saturating_sub(table.min(self.table_share(capacity)))
    }

    /// What the table needs for so many bytes: a little more, so that it is not changed for each value.
    fn table_room(capacity: u64, used: u64) -> u64 {
        let step = capacity / Self::STEPS;
        used.checked_div(step).map_or(used, |steps| (steps + 2).saturating_mul(step))
    }

    /// What the table may take from the area.
    fn table_share(&self, capacity: u64) -> u64 {
        (capacity / 2).max(self.protected.effective().saturating_add(capacity / 4)).min(capacity)
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
        self.make_room(held.weight());
        drop(turn.insert(held));
        self.welcome(key, priority);
    }

    /// Keeps a value, in place of any that `key` had.
    pub(crate) fn insert(&self, key: CacheKey, mut held: Held, priority: Priority<'_>) {
        self.prepare(&mut held, priority);
        self.make_room(held.weight());
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
        let mut area = self.area.lock();
        let gone = area.remove_files(files);
        self.area_used.store(area.used(), Ordering::Relaxed);
        drop(area);
        drop(gone);
    }

    pub(crate) fn clear(&self) {
        self.entries.clear();
        self.clear_area();
    }

    pub(crate) fn clear_area(&self) {
        let mut area = self.area.lock();
        let gone = area.clear();
        self.area_used.store(0, Ordering::Relaxed);
        drop(area);
        drop(gone);
    }

    /// Bytes held.
    pub(crate) fn used(&self) -> u64 {
        self.entries.weight() + self.area_used.load(Ordering::Relaxed)
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
        self.entries.len() + self.area.lock().len()
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
