use std::{ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use stratal_types::{
    Comparator, EntryDigest, EntryRef, Fragments, KEY_LEN_MAX, KeyRange, RangeTombstone, SeqNo,
    Trailer, VALUE_LEN_MAX,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use crate::{Error, MemtableCursor, tombstones::Tombstones, tree::Tree};

/// Entries and range tombstones in memory.
///
/// One thread applies at a time (more of them wait for one another), any number read meanwhile.
/// Applying and searching take time logarithmic in the number of entries.
#[derive(Debug)]
pub struct Memtable {
    id: u64,
    pub(crate) tree: Tree,
    tombstones: Tombstones,
    counts: Counts,
}

/// Written by whoever holds the tree's writer.
#[derive(Debug)]
struct Counts {
    /// Of the rows.
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
            tree: Tree::new(comparator),
            tombstones: Tombstones::new(),
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
        self.tree.order().comparator()
    }

    /// Stores an entry. If the key has one of this number already, that one stays and this one is
    /// dropped: the two are taken to be the same, applied twice.
    ///
    /// # Errors
    ///
    /// [`Error::Length`], exactly when [`check_entry`] says so.
    pub fn apply(&self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<(), Error> {
        self.store(EntryRef::new(key, trailer, value), None)
    }

    /// Like [`apply`](Self::apply), and keeps the digest that came with the entry beside it, in four
    /// bytes more: the [cursor](stratal_types::Cursor::digest) hands it out again. The copy that is kept
    /// is checked against it.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply), and [`Error::Damaged`].
    pub fn apply_with_digest(
        &self,
        key: &[u8],
        trailer: Trailer,
        value: &[u8],
        digest: EntryDigest,
    ) -> Result<(), Error> {
        self.store(EntryRef::new(key, trailer, value), Some(digest))
    }

    fn store(&self, entry: EntryRef<'_>, digest: Option<EntryDigest>) -> Result<(), Error> {
        check_entry(entry.key, entry.value)?;
        let mut writer = self.tree.writer();
        self.counts.note(entry.seqno());
        let inserted = self.tree.insert(&mut writer, entry, digest);
        self.counts.memory.store(inserted.memory, Ordering::Relaxed);
        if !inserted.fits {
            return Err(Error::Damaged { seqno: entry.seqno() });
        }
        if inserted.is_new {
            let entries = self.counts.entries.load(Ordering::Relaxed);
            self.counts.entries.store(entries + 1, Ordering::Relaxed);
        }
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
        if !tombstone.is_empty(self.comparator().as_ref()) {
            let _writer = self.tree.writer();
            self.counts.note(seqno);
            self.tombstones.push(tombstone);
        }
        Ok(())
    }

    /// The newest version of `key` with a number below `bound`. Range tombstones are not looked at.
    ///
    /// Holding the value keeps nothing else alive: short ones are copied, longer than 1 KiB shared.
    pub fn get(&self, key: &[u8], bound: SeqNo) -> Option<(Trailer, Bytes)> {
        self.tree.newest(key, bound).map(|row| (row.trailer(), row.value_bytes()))
    }

    /// The range tombstones stored before the call, as fragments.
    ///
    /// Cheap while no tombstone is added; the first call after one takes time linear in what there
    /// is. The fragments stay as they are.
    pub fn tombstones(&self) -> Arc<Fragments> {
        self.tombstones.fragments(self.comparator().as_ref())
    }

    /// Whether there is a range tombstone.
    pub fn has_tombstones(&self) -> bool {
        !self.tombstones.is_empty()
    }

    /// The highest number below `bound` of a range tombstone that covers `key`. Free while there is none;
    /// the first call after one takes amortized O(log² n) time, and every other about as long.
    pub fn covering(&self, key: &[u8], bound: SeqNo) -> Option<SeqNo> {
        if self.tombstones.is_empty() {
            return None;
        }
        self.tombstones.covering(key, bound, self.comparator().as_ref())
    }

    /// A cursor over every version, before the first.
    pub fn cursor(self: &Arc<Self>) -> MemtableCursor {
        MemtableCursor::new(Arc::clone(self))
    }

    /// Bytes held, as allocated: rows, the tree over them, and the range tombstones as written. Never
    /// decreases.
    pub fn memory_used(&self) -> usize {
        self.counts.memory.load(Ordering::Relaxed) + self.tombstones.memory()
    }

    /// How many entries there are. Range tombstones do not count.
    pub fn entries(&self) -> usize {
        self.counts.entries.load(Ordering::Relaxed)
    }

    /// Whether there is neither an entry nor a range tombstone.
    pub fn is_empty(&self) -> bool {
        self.entries() == 0 && self.tombstones.is_empty()
    }

    /// The lowest and the highest number stored, range tombstones included.
    pub fn seqno_range(&self) -> Option<RangeInclusive<SeqNo>> {
        let min = SeqNo::new(self.counts.seqno_min.load(Ordering::Acquire))?;
        let max = SeqNo::new(self.counts.seqno_max.load(Ordering::Acquire))?;
        Some(min..=max)
    }

    /// From the first key stored to the last, range tombstones included.
    pub fn span(&self) -> Option<KeyRange> {
        let ends = self.tree.end_row(true).zip(self.tree.end_row(false));
        let keys = ends.map(|(first, last)| KeyRange::closed(first.key(), last.key()));
        let deleted = self.tombstones.span(self.comparator().as_ref());
        match (keys, deleted) {
            (Some(keys), Some(deleted)) => Some(keys.hull(&deleted, self.comparator().as_ref())),
            (keys, deleted) => keys.or(deleted),
        }
    }
}

impl Counts {
    /// Widens the range of numbers. A reader that sees the entry sees a range that holds its number.
    fn note(&self, seqno: SeqNo) {
        // The maximum first, so that the range is never inside out.
        if self.seqno_max.load(Ordering::Relaxed) < seqno.get() {
            self.seqno_max.store(seqno.get(), Ordering::Release);
        }
        if self.seqno_min.load(Ordering::Relaxed) > seqno.get() {
            self.seqno_min.store(seqno.get(), Ordering::Release);
        }
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
