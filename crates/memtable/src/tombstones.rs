use std::sync::Arc;

use stratal_types::{
    Comparator, Fragments, RangeTombstone,
    sync::{
        Mutex, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The range tombstones of a memtable: a list that the writer appends to, and the fragments of what
/// it held when a reader last asked.
///
/// The writer holds the list's lock for one push, a reader for copying what is new to it; fragments
/// are merged outside of it. Readers wait for one another only while fragments are out of date.
#[derive(Debug)]
pub(crate) struct Tombstones {
    written: Mutex<Vec<RangeTombstone>>,
    /// Length of `written`, stored after each push.
    count: AtomicUsize,
    /// Bytes that `written` takes: keys, and a tombstone's own size each.
    memory: AtomicUsize,
    cut: RwLock<Cut>,
    /// Held by the reader that brings `cut` up to date.
    cutting: Mutex<()>,
}

/// The fragments of the first `count` tombstones.
#[derive(Clone, Debug)]
struct Cut {
    count: usize,
    fragments: Arc<Fragments>,
}

impl Tombstones {
    pub(crate) fn new() -> Self {
        let cut = Cut { count: 0, fragments: Arc::new(Fragments::EMPTY) };
        Self {
            written: Mutex::new(Vec::new()),
            count: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            cut: RwLock::new(cut),
            cutting: Mutex::new(()),
        }
    }

    pub(crate) fn push(&self, tombstone: RangeTombstone) {
        let keys_len = tombstone.start.len() + tombstone.end.len();
        self.memory.fetch_add(keys_len + size_of::<RangeTombstone>(), Ordering::Relaxed);
        let mut written = self.written.lock();
        written.push(tombstone);
        self.count.store(written.len(), Ordering::Release);
    }

    /// Bytes that the tombstones take as written.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// The fragments of every tombstone pushed before the call.
    pub(crate) fn fragments(&self, comparator: &dyn Comparator) -> Arc<Fragments> {
        let wanted = self.count.load(Ordering::Acquire);
        if let Some(fragments) = self.cut_of(wanted) {
            return fragments;
        }
        let _cutting = self.cutting.lock();
        if let Some(fragments) = self.cut_of(wanted) {
            return fragments; // brought up to date while this reader waited
        }
        let Cut { count, fragments: before } = self.cut.read().clone();
        let new = self.written.lock()[count..].to_vec();
        let added = Fragments::build(&new, comparator);
        let fragments = Arc::new(Fragments::merge([&*before, &added], comparator));
        *self.cut.write() = Cut { count: count + new.len(), fragments: Arc::clone(&fragments) };
        fragments
    }

    /// The fragments, if they hold the first `wanted` tombstones.
    fn cut_of(&self, wanted: usize) -> Option<Arc<Fragments>> {
        let cut = self.cut.read();
        (cut.count >= wanted).then(|| Arc::clone(&cut.fragments))
    }
}
