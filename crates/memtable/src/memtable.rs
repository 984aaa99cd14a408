use std::{ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use crossbeam_skiplist::SkipSet;
use stratal_types::{
    Comparator, Fragments, KEY_LEN_MAX, KeyRange, RangeTombstone, SeqNo, Trailer, VALUE_LEN_MAX,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::{
    Error, MemtableCursor,
    chunk::Chunks,
    row::{Order, Row},
    tombstones::Tombstones,
};

/// What a stored entry takes beside its key and value, in bytes: the row, the skip list's node with
/// the two links it has on average, and the allocator's share.
pub const ENTRY_OVERHEAD: usize = size_of::<Row>() + 4 * size_of::<usize>() + 16;

/// Entries and range tombstones in memory.
///
/// One thread applies at a time (more of them wait for one another), any number read meanwhile.
/// Applying and searching take time logarithmic in the number of entries.
#[derive(Debug)]
pub struct Memtable {
    id: u64,
    comparator: Arc<dyn Comparator>,
    pub(crate) order: Order,
    pub(crate) rows: SkipSet<Row>,
    tombstones: Tombstones,
    /// Taken by writers only.
    chunks: Mutex<Chunks>,
    counts: Counts,
}

/// Written under the lock of `chunks`, read by anyone.
#[derive(Debug)]
struct Counts {
    memory: AtomicUsize,
    entries: AtomicUsize,
    /// Greater than `seqno_max` while there is none.
    seqno_min: AtomicU64,
    seqno_max: AtomicU64,
}

impl Memtable {
    /// An empty memtable. `id` is for the caller to tell memtables apart.
    pub fn new(id: u64, comparator: Arc<dyn Comparator>) -> Self {
        Self {
            id,
            order: Order::new(&comparator),
            comparator,
            rows: SkipSet::new(),
            tombstones: Tombstones::new(),
            chunks: Mutex::new(Chunks::default()),
            counts: Counts {
                memory: AtomicUsize::new(0),
                entries: AtomicUsize::new(0),
                seqno_min: AtomicU64::new(u64::MAX),
                seqno_max: AtomicU64::new(0),
            },
        }
    }

    /// The number given at creation.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The order of keys.
    pub fn comparator(&self) -> &Arc<dyn Comparator> {
        &self.comparator
    }

    /// Stores an entry. If the key has one of this number already, that one stays and this one is
    /// dropped: the two are taken to be the same, applied twice.
    ///
    /// # Errors
    ///
    /// [`Error::Length`], exactly when [`check_entry`] says so.
    pub fn apply(&self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<(), Error> {
        check_entry(key, value)?;
        let mut chunks = self.chunks.lock();
        let row = Row::new(&self.order, chunks.copy(key, value), key.len(), trailer);
        self.counts.note(trailer.seqno());
        let stored = self.rows.get_or_insert(row.clone()).value().is(&row);
        if stored {
            self.counts.entries.fetch_add(1, Ordering::Relaxed);
        }
        self.count_memory(&chunks);
        Ok(())
    }

    /// Stores a range tombstone: it hides what is older than `seqno` of every key from `start` up to,
    /// and without, `end`. One that is empty in this memtable's order is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if either key has a length that no key may have.
    pub fn delete_range(&self, start: &[u8], end: &[u8], seqno: SeqNo) -> Result<(), Error> {
        check_entry(start, &[])?;
        check_entry(end, &[])?;
        let tombstone = RangeTombstone::new(start, end, seqno);
        if tombstone.is_empty(&*self.comparator) {
            return Ok(());
        }
        let chunks = self.chunks.lock();
        self.counts.note(seqno);
        self.tombstones.push(tombstone);
        self.count_memory(&chunks);
        Ok(())
    }

    /// The newest version of `key` with a number below `bound`. Range tombstones are not looked at.
    ///
    /// The value shares the memtable's memory: holding it keeps up to 128 KiB beside it alive.
    pub fn get(&self, key: &[u8], bound: SeqNo) -> Option<(Trailer, Bytes)> {
        let row = self.first_below(key, bound)?;
        (row.key() == key).then(|| (row.trailer(), row.value()))
    }

    /// The range tombstones stored before the call, as fragments.
    ///
    /// Cheap while no tombstone is added; the first call after one takes time linear in what there
    /// is. The fragments stay as they are.
    pub fn tombstones(&self) -> Arc<Fragments> {
        self.tombstones.fragments(&*self.comparator)
    }

    /// A cursor over every version, before the first.
    pub fn cursor(self: &Arc<Self>) -> MemtableCursor {
        MemtableCursor::new(Arc::clone(self))
    }

    /// Bytes held: the chunks that keys and values were copied into, as allocated,
    /// [`ENTRY_OVERHEAD`] for each entry, and the range tombstones as written. Never decreases.
    pub fn memory_used(&self) -> usize {
        self.counts.memory.load(Ordering::Relaxed)
    }

    /// How many entries there are. Range tombstones do not count.
    pub fn entries(&self) -> usize {
        self.counts.entries.load(Ordering::Relaxed)
    }

    /// Whether there is neither an entry nor a range tombstone.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.tombstones.is_empty()
    }

    /// The lowest and the highest number stored, range tombstones included.
    pub fn seqno_range(&self) -> Option<RangeInclusive<SeqNo>> {
        let min = SeqNo::new(self.counts.seqno_min.load(Ordering::Acquire))?;
        let max = SeqNo::new(self.counts.seqno_max.load(Ordering::Acquire))?;
        Some(min..=max)
    }

    /// From the first key stored to the last, range tombstones included.
    pub fn span(&self) -> Option<KeyRange> {
        let ends = self.rows.front().zip(self.rows.back());
        let keys =
            ends.map(|(first, last)| KeyRange::closed(first.value().key(), last.value().key()));
        let deleted = self.tombstones().span();
        match (keys, deleted) {
            (Some(keys), Some(deleted)) => Some(keys.hull(&deleted, &*self.comparator)),
            (keys, deleted) => keys.or(deleted),
        }
    }

    fn count_memory(&self, chunks: &Chunks) {
        let memory = chunks.allocated + self.entries() * ENTRY_OVERHEAD + self.tombstones.memory();
        self.counts.memory.store(memory, Ordering::Relaxed);
    }
}

impl Counts {
    /// Widens the range of numbers. A reader that sees the entry sees a range that holds its number.
    fn note(&self, seqno: SeqNo) {
        // The maximum first, so that the range is never inside out.
        self.seqno_max.fetch_max(seqno.get(), Ordering::AcqRel);
        self.seqno_min.fetch_min(seqno.get(), Ordering::AcqRel);
    }
}

/// Whether a memtable can store `key` with `value`: what [`Memtable::apply`] asks first, for callers
/// who have to know before they write a log.
///
/// # Errors
///
/// [`Error::Length`] unless the key has 1 to [`KEY_LEN_MAX`] bytes and the value no more than
/// [`VALUE_LEN_MAX`].
pub fn check_entry(key: &[u8], value: &[u8]) -> Result<(), Error> {
    check_len("key", key.len(), 1, KEY_LEN_MAX)?;
    check_len("value", value.len(), 0, VALUE_LEN_MAX)
}

fn check_len(what: &'static str, len: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&len) { Ok(()) } else { Err(Error::Length { what, len, min, max }) }
}
