use std::sync::Arc;

use stratal_types::{
    Comparator, Fragments, KeyRange, RangeTombstone, SeqNo,
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
///
/// Fragments are in parts, of which each has more than twice as many as the next: a tombstone is merged
/// O(log n) times however often writes and lookups take turns, and a lookup asks O(log n) parts.
#[derive(Debug)]
pub(crate) struct Tombstones {
    written: Mutex<Vec<RangeTombstone>>,
    /// Length of `written`, stored after each push.
    count: AtomicUsize,
    /// Bytes that `written` takes: keys, and a tombstone's own size each.
    memory: AtomicUsize,
    cut: RwLock<Arc<Cut>>,
    /// Held by the reader that brings `cut` up to date.
    cutting: Mutex<()>,
}

/// The fragments of the first `count` tombstones.
#[derive(Debug, Default)]
struct Cut {
    count: usize,
    /// None is empty.
    parts: Vec<Arc<Fragments>>,
}

impl Tombstones {
    pub(crate) fn new() -> Self {
        Self {
            written: Mutex::new(Vec::new()),
            count: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            cut: RwLock::new(Arc::default()),
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
        if let [one] = &self.cut(comparator).parts[..] {
            return Arc::clone(one);
        }
        let _cutting = self.cutting.lock();
        let before = Arc::clone(&self.cut.read());
        if let [one] = &before.parts[..] {
            return Arc::clone(one); // joined while this reader waited
        }
        let all = Fragments::merge(before.parts.iter().map(Arc::as_ref), comparator);
        let (count, all) = (before.count, Arc::new(all));
        let parts = if all.is_empty() { Vec::new() } else { vec![Arc::clone(&all)] };
        *self.cut.write() = Arc::new(Cut { count, parts });
        all
    }

    /// The highest number below `bound` of a tombstone over `key` that was pushed before the call.
    pub(crate) fn covering(
        &self,
        key: &[u8],
        bound: SeqNo,
        comparator: &dyn Comparator,
    ) -> Option<SeqNo> {
        let cut = self.cut(comparator);
        cut.parts.iter().filter_map(|part| part.covering(key, bound, comparator)).max()
    }

    /// From the first start to the last end of every tombstone pushed before the call.
    pub(crate) fn span(&self, comparator: &dyn Comparator) -> Option<KeyRange> {
        let cut = self.cut(comparator);
        let spans = cut.parts.iter().filter_map(|part| part.span());
        spans.reduce(|a, b| a.hull(&b, comparator))
    }

    /// All that was pushed before the call, in parts.
    fn cut(&self, comparator: &dyn Comparator) -> Arc<Cut> {
        let wanted = self.count.load(Ordering::Acquire);
        if let Some(cut) = self.cut_of(wanted) {
            return cut;
        }
        let _cutting = self.cutting.lock();
        if let Some(cut) = self.cut_of(wanted) {
            return cut; // brought up to date while this reader waited
        }
        let before = Arc::clone(&self.cut.read());
        let new = self.written.lock()[before.count..].to_vec();
        let mut added = Arc::new(Fragments::build(&new, comparator));
        let mut parts = before.parts.clone();
        while let Some(last) = parts.pop_if(|last| last.len() <= 2 * added.len()) {
            added = Arc::new(Fragments::merge([&*last, &*added], comparator));
        }
        // Tombstones may be empty in this order.
        parts.extend((!added.is_empty()).then_some(added));
        let cut = Arc::new(Cut { count: before.count + new.len(), parts });
        *self.cut.write() = Arc::clone(&cut);
        cut
    }

    /// The parts, if they hold the first `wanted` tombstones.
    fn cut_of(&self, wanted: usize) -> Option<Arc<Cut>> {
        let cut = self.cut.read();
        (cut.count >= wanted).then(|| Arc::clone(&cut))
    }
}
