use std::{convert::Infallible, ops::Range, ptr::NonNull, sync::Arc};

use stratal_types::{Cursor, EntryDigest, EntryRef, SeqNo};

use crate::{
    Memtable,
    node::{Node, Sorted},
    order::Place,
    row::Row,
};

/// A place among all stored versions of a memtable. See [`Cursor`] for how it moves; it cannot fail.
///
/// It owns what it needs and may be sent to another thread. It finds everything applied before the
/// cursor was made, or before its last `seek…`; what is applied later may or may not show, in its
/// place.
///
/// A step is an index into the order of a leaf; leaving one is a search.
#[derive(Debug)]
pub struct MemtableCursor {
    memtable: Arc<Memtable>,
    stand: Stand,
    leaf: Option<Leaf>,
}

#[derive(Clone, Copy, Debug)]
enum Stand {
    BeforeFirst,
    /// On this one of the leaf's rows.
    On(usize),
    BehindLast,
}

/// A leaf as it was when the cursor came. Of the cursor's memtable, which the cursor keeps.
#[derive(Debug)]
struct Leaf {
    node: NonNull<Node>,
    sorted: Sorted,
}

// SAFETY: it is a shared reference to a node, which is `Sync`, and which the memtable beside it keeps
// alive.
unsafe impl Send for Leaf {}
// SAFETY: as above.
unsafe impl Sync for Leaf {}

/// Rows that are on their way from memory while the cursor stands on one.
const PREFETCHED_ROWS: usize = 6;

impl Leaf {
    /// Asks for those of its rows that have these numbers, as far as there are any.
    fn prefetch(&self, rows: Range<usize>) {
        // SAFETY: nodes live as long as the memtable of the cursor whose leaf this is.
        let node: &Node = unsafe { self.node.as_ref() };
        let rows = rows.start..rows.end.min(self.sorted.len());
        rows.filter_map(|at| node.row(self.sorted.slot(at))).for_each(Row::prefetch);
    }
}

impl MemtableCursor {
    pub(crate) const fn new(memtable: Arc<Memtable>) -> Self {
        Self { memtable, stand: Stand::BeforeFirst, leaf: None }
    }

    /// The value of the entry the cursor stands on, for longer than the memtable lives. Short ones are
    /// copied.
    pub fn value(&self) -> Option<bytes::Bytes> {
        self.row().map(Row::value_bytes)
    }

    /// The memtable.
    pub fn memtable(&self) -> &Arc<Memtable> {
        &self.memtable
    }

    fn row(&self) -> Option<Row<'_>> {
        let Stand::On(at) = self.stand else { return None };
        let leaf = self.leaf.as_ref()?;
        // SAFETY: nodes live as long as the memtable that this cursor keeps.
        let node: &Node = unsafe { leaf.node.as_ref() };
        node.row(leaf.sorted.slot(at))
    }

    /// Enters `leaf` at the row that is number `rank` of it; whether there is one.
    fn enter(&mut self, node: NonNull<Node>, sorted: Sorted, at: usize) -> bool {
        let is_there = at < sorted.len();
        if is_there {
            self.stand = Stand::On(at);
        }
        let leaf = self.leaf.insert(Leaf { node, sorted });
        leaf.prefetch(at..at + PREFETCHED_ROWS);
        is_there
    }

    /// Goes to the first row that is behind `key` at `seqno`, or, if `or_at`, there.
    fn go_to(&mut self, key: &[u8], seqno: SeqNo, or_at: bool) {
        let memtable = Arc::clone(&self.memtable);
        let tree = &memtable.tree;
        let mut place = Place { key, seqno };
        let mut counts_at = !or_at;
        loop {
            let node = tree.leaf_of(place, true);
            let sorted = node.sorted(tree.order());
            let at = node.rank(tree.order(), &sorted, place, counts_at);
            if self.enter(NonNull::from(node), sorted, at) {
                return;
            }
            let Some(upper) = node.upper() else { break };
            (place, counts_at) = (Place::of(upper), false);
        }
        self.stand = Stand::BehindLast;
    }

    /// Goes to the last row that is before the leaf the cursor is in.
    fn leave_backwards(&mut self) {
        let memtable = Arc::clone(&self.memtable);
        let tree = &memtable.tree;
        // SAFETY: as in `row`.
        let mut lower = self.leaf.as_ref().and_then(|leaf| unsafe { leaf.node.as_ref() }.lower());
        while let Some(row) = lower {
            let node = tree.leaf_of(Place::of(row), false);
            let sorted = node.sorted(tree.order());
            let before = node.rank(tree.order(), &sorted, Place::of(row), false);
            if before > 0 && self.enter(NonNull::from(node), sorted, before - 1) {
                return;
            }
            lower = node.lower();
        }
        self.stand = Stand::BeforeFirst;
    }
}

impl Cursor for MemtableCursor {
    type Error = Infallible;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Infallible> {
        self.go_to(key, bound, false);
        Ok(())
    }

    fn seek_to_first(&mut self) -> Result<(), Infallible> {
        let memtable = Arc::clone(&self.memtable);
        let node = memtable.tree.end_leaf(true);
        let sorted = node.sorted(memtable.tree.order());
        if !self.enter(NonNull::from(node), sorted, 0) {
            self.stand = Stand::BehindLast;
        }
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<(), Infallible> {
        let memtable = Arc::clone(&self.memtable);
        let node = memtable.tree.end_leaf(false);
        let sorted = node.sorted(memtable.tree.order());
        if !self.enter(NonNull::from(node), sorted, sorted.len().saturating_sub(1)) {
            self.stand = Stand::BeforeFirst;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Infallible> {
        match (self.stand, &self.leaf) {
            (Stand::BeforeFirst, _) => return self.seek_to_first(),
            (Stand::On(at), Some(leaf)) if at + 1 < leaf.sorted.len() => {
                let ahead = at + PREFETCHED_ROWS;
                leaf.prefetch(ahead..ahead + 1);
                self.stand = Stand::On(at + 1);
            }
            (Stand::On(_), Some(leaf)) => {
                let memtable = Arc::clone(&self.memtable);
                // SAFETY: as in `row`; `memtable` is the one that keeps it.
                let node: &Node = unsafe { &*leaf.node.as_ptr() };
                match node.upper() {
                    Some(upper) => self.go_to(upper.key(), upper.seqno(), true),
                    None => self.stand = Stand::BehindLast,
                }
                drop(memtable);
            }
            _ => self.stand = Stand::BehindLast,
        }
        Ok(())
    }

    fn retreat(&mut self) -> Result<(), Infallible> {
        match self.stand {
            Stand::BeforeFirst => {}
            Stand::On(0) => self.leave_backwards(),
            Stand::On(at) => self.stand = Stand::On(at - 1),
            Stand::BehindLast => return self.seek_to_last(),
        }
        Ok(())
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        self.row().map(Row::entry)
    }

    fn digest(&self) -> Option<EntryDigest> {
        self.row()?.digest()
    }
}
