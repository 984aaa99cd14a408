use std::{fmt, sync::Arc};

use stratal_types::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    CacheKey, FileId, Lease, Pin, Priority, Resident, Slots,
    area::Entry,
    held::Held,
    hits::Hits,
    shard::{Claim, Shard, Turn},
    slots::drop_retired,
    turn::{Asked, SlotTurn},
};

/// What a cache has done and holds. Counters of one cache, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Requests answered from memory, be it after waiting for somebody else's load.
    pub hits: u64,
    /// Requests that were not: each a `None`, or a load begun.
    pub misses: u64,
    /// Values held.
    pub entries: usize,
    /// Bytes held, as [`Cache::used`].
    pub used: u64,
    /// Bytes held that have high priority and are protected for it.
    pub protected: u64,
    /// Bytes held that are pinned, of those.
    pub pinned: u64,
    /// Bytes that may be held.
    pub capacity: u64,
}

/// Values read from files, within one budget of bytes. See the [crate](crate) for the rules.
///
/// Shared by reference or `Arc`; every method may be called from any thread.
pub struct Cache {
    /// A power of two of them.
    shards: Box<[Shard]>,
    /// Values too heavy for a shard. Takes its room from the shards, half of all at most.
    large: Shard,
    /// Bytes in `large`, so that nobody looks there in vain while it is empty.
    large_used: AtomicU64,
    capacity: AtomicU64,
    /// Requests that slots answered.
    slot_hits: Hits,
    /// Held while room moves between `large` and the shards.
    balance: Mutex<()>,
    /// Files whose values are to be removed.
    dead_files: Mutex<Vec<FileId>>,
}

/// Where a value of some weight goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Shard,
    Large,
    Nowhere,
}

impl Cache {
    /// Bytes counted for each value on top of its own weight: what keeping it takes.
    pub const ENTRY_OVERHEAD: u64 = Held::OVERHEAD;

    /// Bytes counted instead for each value of normal priority that a slot shows.
    pub const SHOWN_OVERHEAD: u64 = Entry::OVERHEAD;

    /// Below this capacity, in bytes, a cache is not divided.
    const SHARDED_FROM: u64 = 32 << 20;
    /// Least bytes of a shard of a new cache.
    const SHARD_CAPACITY_MIN: u64 = 8 << 20;
    /// Most shards.
    const SHARDS_MAX: u64 = 64;
    /// Capacity from which a cache that is made smaller takes its proportions, in bytes.
    const CAPACITY_NOMINAL_MIN: u64 = 1 << 20;
    /// The part of a shard's capacity for values that were used again.
    const HOT_SHARE: f64 = 0.97;
    /// Values looked at, on average, for each file that is removed.
    const VALUES_SWEPT_PER_FILE: usize = 16 << 10;

    /// A cache for `capacity` bytes, which may be zero.
    ///
    /// The number of shards follows from it and does not change with
    /// [`set_capacity`](Self::set_capacity): one below 32 MiB, above that as many as leave each
    /// 8 MiB or more, up to 64. More shards let more threads in at once.
    pub fn new(capacity: u64) -> Self {
        let shards = match capacity {
            ..Self::SHARDED_FROM => 1,
            _ => (capacity / Self::SHARD_CAPACITY_MIN).min(Self::SHARDS_MAX),
        };
        let shards = if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 };
        let nominal = capacity.max(Self::CAPACITY_NOMINAL_MIN);
        let shard = |_| Shard::new(nominal / shards, Self::HOT_SHARE);
        let cache = Self {
            shards: (0..shards).map(shard).collect(),
            large: Shard::new(nominal / 2, 1.0),
            large_used: AtomicU64::new(0),
            capacity: AtomicU64::new(capacity),
            slot_hits: Hits::default(),
            balance: Mutex::new(()),
            dead_files: Mutex::new(Vec::new()),
        };
        cache.set_capacity(capacity);
        cache
    }

    /// The value of `key`, if it is there and a `T`.
    pub fn get<T: Resident>(&self, key: &CacheKey) -> Option<Arc<T>> {
        let shard = self.shard_of(key);
        let found = self.find(shard, key);
        match found {
            Some(_) => shard.count_hit(),
            None => shard.count_miss(),
        }
        found
    }

    /// The value of `key`; loads and keeps it if it is not there.
    ///
    /// Of all who ask for a missing key at the same time one loads, and the others wait and share
    /// the result, whether or not it is kept. If the load fails, with an error or a panic, it fails
    /// for that caller alone: nothing is kept, and one of those who wait goes on with its own
    /// `load`. The load runs without any lock held. It may use the cache, but loads must not wait
    /// for one another in a circle: one that asks for its own key waits for ever.
    ///
    /// # Errors
    ///
    /// What `load` returns.
    pub fn get_or_load<T: Resident, E>(
        &self,
        key: &CacheKey,
        priority: Priority<'_>,
        load: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        self.get_or_load_in(None, key, priority, load)
    }

    /// The value that slot `at` shows, which whoever gave it to the cache did under `key`. `None` says
    /// no more than that the slot is empty.
    ///
    /// Counts as a use of the value, as [`get`](Self::get) does, and takes two loads if that was told
    /// before.
    #[inline]
    pub fn get_shown<'p, T: Resident>(
        &self,
        slots: &Slots<T>,
        at: usize,
        key: impl FnOnce() -> CacheKey,
        pin: &'p Pin,
    ) -> Option<&'p T> {
        let (value, is_news) = slots.get(at, pin)?;
        self.slot_hits.add();
        if is_news {
            self.note_use(&key());
        }
        Some(value)
    }

    /// As [`get_shown`](Self::get_shown), for those who keep the value for longer than a pin: takes a
    /// count of references.
    #[inline]
    pub fn share_shown<T: Resident>(
        &self,
        slots: &Slots<T>,
        at: usize,
        key: impl FnOnce() -> CacheKey,
    ) -> Option<Arc<T>> {
        let (value, is_news) = slots.share(at, &Pin::new())?;
        self.slot_hits.add();
        if is_news {
            self.note_use(&key());
        }
        Some(value)
    }

    /// As [`get_or_load`](Self::get_or_load), and shows the value in slot `at` from now on, for as long
    /// as the cache holds it.
    ///
    /// With normal priority the slot is where the value is looked for, and where those meet who would load
    /// it at the same time; it is [not found by its key](crate#without-a-lookup).
    ///
    /// # Errors
    ///
    /// What `load` returns.
    pub fn get_or_load_shown<T: Resident, E>(
        &self,
        (slots, at): (&Slots<T>, usize),
        key: &CacheKey,
        priority: Priority<'_>,
        load: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let shard = self.shard_of(key);
        let is_normal = matches!(priority, Priority::Normal);
        let asked = if is_normal { slots.ask(at, &shard.waiting) } else { None };
        let turn = match asked {
            None => return self.get_or_load_in(Some((slots, at)), key, priority, load),
            Some(Asked::Shown(value, is_news)) => {
                if is_news {
                    self.note_use(key);
                }
                shard.count_hit();
                return Ok(value);
            }
            Some(Asked::Shared(value)) => {
                shard.count_hit();
                return Ok(value);
            }
            Some(Asked::Mine(turn)) => turn,
        };
        shard.count_miss();
        let value = Arc::new(load()?);
        self.show(turn, (slots, at), key, &value);
        Ok(value)
    }

    fn get_or_load_in<T: Resident, E>(
        &self,
        slot: Option<(&Slots<T>, usize)>,
        key: &CacheKey,
        priority: Priority<'_>,
        load: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let shard = self.shard_of(key);
        // Whoever has slots has looked there, and finds nothing by the key either, but for what came by
        // somebody who has no slots, or has others.
        let is_hidden = slot.is_some_and(|(slots, at)| !slots.shows(at));
        if !is_hidden && let Some(value) = self.find(shard, key) {
            shard.count_hit();
            return Ok(value);
        }
        let (found, turn) = match shard.claim(key) {
            Claim::Found(held) => (held.downcast(), None),
            // Whoever had the turn before may have put the value there.
            Claim::Mine(turn) => match self.find_large(key) {
                Some(value) => (Some(value), None),
                None => (None, Some(turn)),
            },
        };
        if let Some(value) = found {
            shard.count_hit();
            // Whoever loaded it just now may have shown it.
            if slot.is_some_and(|(slots, at)| !slots.shows(at)) {
                self.insert_in(slot, key, priority, &value);
            }
            return Ok(value);
        }
        shard.count_miss();
        let value = Arc::new(load()?);
        match turn {
            Some(turn) => self.fulfil(turn, slot, key, &value, priority),
            // In place of a value of another type.
            None => self.insert_in(slot, key, priority, &value),
        }
        Ok(value)
    }

    /// Keeps `value`, in place of any that `key` had, if it is light enough.
    ///
    /// Several values of one key should be interchangeable: if they are put in at the same time,
    /// any of them may remain.
    pub fn insert<T: Resident>(&self, key: &CacheKey, priority: Priority<'_>, value: &Arc<T>) {
        self.insert_in(None, key, priority, value);
    }

    /// As [`insert`](Self::insert), and shows the value in slot `at` for as long as the cache holds it. With
    /// normal priority, what the slot shows already, or is loaded for it, stays there instead.
    pub fn insert_shown<T: Resident>(
        &self,
        (slots, at): (&Slots<T>, usize),
        key: &CacheKey,
        priority: Priority<'_>,
        value: &Arc<T>,
    ) {
        if !matches!(priority, Priority::Normal) || at >= slots.len() {
            self.insert_in(Some((slots, at)), key, priority, value);
        } else if let Some(turn) = slots.claim(at, &self.shard_of(key).waiting) {
            self.show(turn, (slots, at), key, value);
        }
    }

    /// Keeps what was loaded for a slot, if it is light enough, and gives it to those who wait.
    fn show<T: Resident>(
        &self,
        mut turn: SlotTurn<'_>,
        (slots, at): (&Slots<T>, usize),
        key: &CacheKey,
        value: &Arc<T>,
    ) {
        let weight = u64::try_from(value.weight()).unwrap_or(u64::MAX);
        let weight = weight.saturating_add(Entry::OVERHEAD);
        match (self.place_of(weight), u32::try_from(weight)) {
            (Place::Shard, Ok(weight)) => {
                if let Some(hidden) = slots.hide(at, value) {
                    let shard = self.shard_of(key);
                    shard.show(&mut turn, Entry::new(hidden, weight, key.file));
                    if self.capacity() == 0 {
                        shard.clear_area();
                    }
                }
                turn.finish(value);
            }
            (Place::Shard | Place::Large, _) => {
                turn.finish(value);
                self.insert_in(Some((slots, at)), key, Priority::Normal, value);
            }
            (Place::Nowhere, _) => turn.finish(value),
        }
    }

    fn insert_in<T: Resident>(
        &self,
        slot: Option<(&Slots<T>, usize)>,
        key: &CacheKey,
        priority: Priority<'_>,
        value: &Arc<T>,
    ) {
        let mut held = Held::new(value);
        let place = self.place_of(held.weight());
        if let Some((slots, at)) = slot.filter(|_| place != Place::Nowhere) {
            held.show(value, slots, at);
        }
        match place {
            Place::Shard => {
                self.remove_large(key);
                self.shard_of(key).insert(*key, held, priority);
                self.undo_if_closed(key);
            }
            Place::Large => {
                self.shard_of(key).remove(key);
                self.insert_large(key, held, priority);
            }
            Place::Nowhere => {
                self.remove(key);
            }
        }
    }

    /// Pins the value of `key` under `lease`, if there is one, as if it had been put in so; whether there
    /// is. Others may miss it while this is done.
    pub fn pin(&self, key: &CacheKey, lease: &Lease) -> bool {
        if self.shard_of(key).pin(key, lease) {
            self.undo_if_closed(key);
            return true;
        }
        if self.large_used.load(Ordering::Acquire) == 0 {
            return false;
        }
        let _turn = self.balance.lock();
        let is_there = self.large.pin(key, lease);
        self.settle();
        is_there
    }

    /// Forgets the value of `key`; whether there was one. A load that is under way may still put
    /// its value there.
    pub fn remove(&self, key: &CacheKey) -> bool {
        let from_shard = self.shard_of(key).remove(key);
        self.remove_large(key) || from_shard
    }

    /// Forgets every value of `file`, not at once, but before they are worth the effort.
    ///
    /// Nobody asks for them any more, as the id is never given again, so all that is at stake is
    /// their memory, which they would lose in the end without this call too. Most calls only take
    /// note; once in a while one looks through all values, on average at 16,384 or fewer per call.
    pub fn remove_file(&self, file: FileId) {
        let mut dead_files = self.dead_files.lock();
        dead_files.push(file);
        if dead_files.len().saturating_mul(Self::VALUES_SWEPT_PER_FILE) < self.len() {
            return;
        }
        let mut files = std::mem::take(&mut *dead_files);
        drop(dead_files);
        files.sort_unstable();
        for shard in &self.shards {
            shard.remove_files(&files);
        }
        let _turn = self.balance.lock();
        self.large.remove_files(&files);
        self.settle();
    }

    /// Bytes that may be held.
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::SeqCst)
    }

    /// Changes the bytes that may be held, and evicts what is too much. At zero nothing is held.
    ///
    /// What readers may be looking at that moment goes when they are done.
    pub fn set_capacity(&self, capacity: u64) {
        let entries = self.len();
        self.resize(capacity);
        drop_retired(entries.saturating_sub(self.len()));
    }

    fn resize(&self, capacity: u64) {
        let _turn = self.balance.lock();
        self.capacity.store(capacity, Ordering::SeqCst);
        if capacity == 0 {
            self.shards.iter().for_each(Shard::clear);
            self.large.clear();
            self.large_used.store(0, Ordering::Release);
            return;
        }
        self.large.set_capacity(capacity / 2);
        self.settle();
    }

    /// Bytes held: the weight of every value that can be got, and
    /// [`ENTRY_OVERHEAD`](Self::ENTRY_OVERHEAD) for each. Never more than the capacity while no
    /// other thread is at work.
    pub fn used(&self) -> u64 {
        self.all_shards().map(Shard::used).sum()
    }

    /// Values held.
    pub fn len(&self) -> usize {
        self.all_shards().map(Shard::len).sum()
    }

    /// Whether no value is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the cache has done and holds.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.all_shards().map(Shard::hits).sum::<u64>() + self.slot_hits.sum(),
            misses: self.all_shards().map(Shard::misses).sum(),
            entries: self.len(),
            used: self.used(),
            protected: self.all_shards().map(Shard::protected).sum(),
            pinned: self.all_shards().map(Shard::pinned).sum(),
            capacity: self.capacity(),
        }
    }

    fn shard_of(&self, key: &CacheKey) -> &Shard {
        &self.shards[key.shard(self.shards.len())]
    }

    fn all_shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().chain([&self.large])
    }

    fn find<T: Resident>(&self, shard: &Shard, key: &CacheKey) -> Option<Arc<T>> {
        match shard.get(key) {
            Some(held) => held.downcast(),
            None => self.find_large(key),
        }
    }

    /// Lets the value of `key` count as used.
    fn note_use(&self, key: &CacheKey) {
        if self.shard_of(key).get(key).is_none() && self.large_used.load(Ordering::Acquire) > 0 {
            drop(self.large.get(key));
        }
    }

    fn find_large<T: Resident>(&self, key: &CacheKey) -> Option<Arc<T>> {
        if self.large_used.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.large.get(key)?.downcast()
    }

    /// A value of more than half of the capacity is not kept. One of more than a quarter of its
    /// shard would crowd out everything there, and more would not even fit: it goes to `large`,
    /// which leaves every shard at least half of its room.
    fn place_of(&self, weight: u64) -> Place {
        let capacity = self.capacity();
        let shard_capacity = capacity / self.shards.len() as u64;
        match weight {
            weight if weight > capacity / 2 => Place::Nowhere,
            weight if weight > shard_capacity / 4 && self.shards.len() > 1 => Place::Large,
            _ => Place::Shard,
        }
    }

    fn fulfil<T: Resident>(
        &self,
        turn: Turn<'_>,
        slot: Option<(&Slots<T>, usize)>,
        key: &CacheKey,
        value: &Arc<T>,
        priority: Priority<'_>,
    ) {
        let mut held = Held::new(value);
        let shard = self.shard_of(key);
        let place = self.place_of(held.weight());
        if let Some((slots, at)) = slot.filter(|_| place != Place::Nowhere) {
            held.show(value, slots, at);
        }
        match place {
            Place::Shard => {
                // One of another type.
                self.remove_large(key);
                shard.fulfil(turn, key, held, priority);
                self.undo_if_closed(key);
            }
            Place::Large => {
                // Before those who come later may take a turn of their own.
                let handed_over = held.to_hand_over();
                self.insert_large(key, held, priority);
                shard.fulfil(turn, key, handed_over, Priority::Normal);
            }
            Place::Nowhere => {
                self.remove_large(key);
                shard.fulfil(turn, key, held.to_hand_over(), Priority::Normal);
            }
        }
    }

    /// Keeps a heavy value: takes its room from the shards first, so that the sum never exceeds the
    /// capacity, and gives back what was not needed.
    fn insert_large(&self, key: &CacheKey, held: Held, priority: Priority<'_>) {
        let _turn = self.balance.lock();
        let capacity = self.capacity();
        if held.weight() > capacity / 2 {
            return;
        }
        let large_used = (self.large.used() + held.weight()).min(capacity / 2);
        self.share_among_shards(capacity - large_used);
        // There it is as heavy as all that could be protected.
        let is_high = matches!(priority, Priority::High);
        let priority = if is_high { Priority::Normal } else { priority };
        self.large.insert(*key, held, priority);
        self.settle();
    }

    fn remove_large(&self, key: &CacheKey) -> bool {
        if self.large_used.load(Ordering::Acquire) == 0 || !self.large.contains(key) {
            return false;
        }
        let _turn = self.balance.lock();
        let removed = self.large.remove(key);
        self.settle();
        removed
    }

    /// Gives the shards what `large` does not use. `balance` is held.
    ///
    /// A cache that is closed, with a capacity of zero, keeps the proportions of its shards for the
    /// time when it is opened again.
    fn settle(&self) {
        let large_used = self.large.used();
        self.large_used.store(large_used, Ordering::Release);
        match self.capacity() {
            0 => {}
            capacity => self.share_among_shards(capacity.saturating_sub(large_used)),
        }
    }

    fn share_among_shards(&self, capacity: u64) {
        for shard in &self.shards {
            shard.set_capacity(capacity / self.shards.len() as u64);
        }
    }

    /// A value may enter a shard just after the capacity became zero and the shards were cleared.
    /// Either the clearing finds it there, or the zero is visible here.
    fn undo_if_closed(&self, key: &CacheKey) {
        if self.capacity() == 0 {
            self.shard_of(key).remove(key);
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cache").field(&self.stats()).finish()
    }
}
