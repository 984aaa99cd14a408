use std::{convert::Infallible, ptr::NonNull, sync::Arc};

use stratal_types::{Cursor, EntryDigest, EntryRef, SeqNo};

use crate::{
    Memtable,
    node::Node,
    order::Place,
    row::{Header, Row},
    slots::State,
};

/// A place among all stored versions of a memtable. See [`Cursor`] for how it moves; it cannot fail.
///
/// It owns what it needs and may be sent to another thread. It finds everything applied before the
/// cursor was made, or before its last `seek…`; what is applied later may or may not show, in its
/// place.
///
/// A step forwards is an index into the order of a leaf, or goes to the first row of the next one; a step
/// back out of a leaf is a search.
#[derive(Debug)]
pub struct MemtableCursor {
    memtable: Arc<Memtable>,
    stand: Stand,
}

#[derive(Clone, Copy, Debug)]
enum Stand {
    BeforeFirst,
    On(Spot),
    BehindLast,
}

/// A row, and where it was in its leaf. All of the cursor's memtable, which the cursor keeps.
#[derive(Clone, Copy, Debug)]
struct Spot {
    row: NonNull<Header>,
    leaf: NonNull<Node>,
    state: State,
    /// The number of the row in order.
    at: usize,
}

// SAFETY: it is two shared references, to a row that is not written any more and to a node, which is
// `Sync`, and the memtable beside it keeps both alive.
unsafe impl Send for Spot {}
// SAFETY: as above.
unsafe impl Sync for Spot {}

/// Rows that are on their way from memory while the cursor stands on one.
const PREFETCHED_ROWS: usize = 6;

/// What comes of looking for a row in a leaf.
enum Look {
    Found(Spot),
    /// There is none with this number.
    End,
    /// The leaf was changed meanwhile.
    Changed,
}

impl Spot {
    /// Row number `at` of a leaf.
    fn look(leaf: &Node, state: State, at: usize) -> Look {
        if at >= state.count() {
            return if leaf.is_still(state) { Look::End } else { Look::Changed };
        }
        match leaf.row(state, at) {
            Some(row) if leaf.is_still(state) => {
                Look::Found(Self { row: row.header(), leaf: NonNull::from(leaf), state, at })
            }
            _ => Look::Changed,
        }
    }

    /// # Safety
    ///
    /// The memtable is not dropped during `'a`.
    unsafe fn leaf<'a>(self) -> &'a Node {
        // SAFETY: nodes live as long as the memtable.
        unsafe { &*self.leaf.as_ptr() }
    }

    /// # Safety
    ///
    /// The memtable is not dropped during `'a`.
    unsafe fn row<'a>(self) -> Row<'a> {
        // SAFETY: rows live as long as the memtable.
        unsafe { Row::new(self.row) }
    }
}

/// Asks for a row to be brought near, `distance` rows behind `at`, in the leaf or in the next one.
fn prefetch_behind(leaf: &Node, state: State, at: usize, distance: usize) {
    let at = at + distance;
    let row = match at.checked_sub(state.count()) {
        None => leaf.row(state, at),
        Some(at) => leaf.next(state).and_then(|next| next.row(next.state(), at)),
    };
    if let Some(row) = row {
        row.prefetch();
    }
}

impl MemtableCursor {
    pub(crate) const fn new(memtable: Arc<Memtable>) -> Self {
        Self { memtable, stand: Stand::BeforeFirst }
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
        let Stand::On(spot) = self.stand else { return None };
        // SAFETY: this cursor keeps the memtable.
        Some(unsafe { spot.row() })
    }

    /// Stands on a spot that is not behind the one before.
    fn enter(&mut self, spot: Spot) {
        // SAFETY: this cursor keeps the memtable.
        let leaf = unsafe { spot.leaf() };
        if let Some(next) = leaf.next(spot.state) {
            next.prefetch();
        }
        for distance in 1..=PREFETCHED_ROWS.min(spot.state.count() - spot.at - 1) {
            prefetch_behind(leaf, spot.state, spot.at, distance);
        }
        self.stand = Stand::On(spot);
    }

    /// Goes to the first row that is behind `key` at `seqno`, or, if `or_at`, there.
    fn go_to(&mut self, key: &[u8], seqno: SeqNo, or_at: bool) {
        let memtable = Arc::clone(&self.memtable);
        let tree = &memtable.tree;
        let place = Place { key, seqno };
        loop {
            let (leaf, state) = tree.leaf_of(place, true);
            let at = leaf.rank(tree.order(), state, place, !or_at);
            match Spot::look(leaf, state, at) {
                Look::Found(spot) => return self.enter(spot),
                Look::End => {
                    let next = leaf.next(state);
                    if leaf.is_still(state) {
                        return self.go_to_first_of(next);
                    }
                }
                Look::Changed => {}
            }
        }
    }

    /// Goes to the first row of a leaf, or of one behind it.
    fn go_to_first_of(&mut self, leaf: Option<&Node>) {
        let mut leaf = leaf;
        while let Some(node) = leaf {
            let state = node.state();
            match Spot::look(node, state, 0) {
                Look::Found(spot) => return self.enter(spot),
                Look::End => {
                    let next = node.next(state);
                    if node.is_still(state) {
                        leaf = next;
                    }
                }
                Look::Changed => {}
            }
        }
        self.stand = Stand::BehindLast;
    }

    /// Goes to the last row that is before `lower`, with which a leaf begins.
    fn go_before(&mut self, lower: Option<Row<'_>>) {
        let memtable = Arc::clone(&self.memtable);
        let tree = &memtable.tree;
        let mut lower = lower;
        while let Some(row) = lower {
            let (leaf, state) = tree.leaf_of(Place::of(row), false);
            let before = leaf.rank(tree.order(), state, Place::of(row), false);
            match before.checked_sub(1).map(|at| Spot::look(leaf, state, at)) {
                Some(Look::Found(spot)) => return self.stand = Stand::On(spot),
                None if leaf.is_still(state) => lower = leaf.lower(),
                _ => {}
            }
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
        let (leaf, _) = memtable.tree.end_leaf(true);
        self.go_to_first_of(Some(leaf));
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<(), Infallible> {
        let memtable = Arc::clone(&self.memtable);
        self.stand = loop {
            let (leaf, state) = memtable.tree.end_leaf(false);
            let Some(last) = state.count().checked_sub(1) else { break Stand::BeforeFirst };
            if let Look::Found(spot) = Spot::look(leaf, state, last) {
                break Stand::On(spot);
            }
        };
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Infallible> {
        let spot = match self.stand {
            Stand::BeforeFirst => return self.seek_to_first(),
            Stand::On(spot) => spot,
            Stand::BehindLast => return Ok(()),
        };
        // SAFETY: this cursor keeps the memtable while it stands on something of it.
        let (leaf, row) = unsafe { (spot.leaf(), spot.row()) };
        let Spot { state, at, .. } = spot;
        match Spot::look(leaf, state, at + 1) {
            Look::Found(next) => {
                prefetch_behind(leaf, state, at, 1 + PREFETCHED_ROWS);
                self.stand = Stand::On(next);
            }
            Look::End => {
                let next = leaf.next(state);
                if leaf.is_still(state) {
                    self.go_to_first_of(next);
                } else {
                    self.go_to(row.key(), row.seqno(), false);
                }
            }
            Look::Changed => self.go_to(row.key(), row.seqno(), false),
        }
        Ok(())
    }

    fn retreat(&mut self) -> Result<(), Infallible> {
        let spot = match self.stand {
            Stand::BeforeFirst => return Ok(()),
            Stand::On(spot) => spot,
            Stand::BehindLast => return self.seek_to_last(),
        };
        // SAFETY: this cursor keeps the memtable while it stands on something of it.
        let (leaf, row) = unsafe { (spot.leaf(), spot.row()) };
        match spot.at.checked_sub(1).map(|at| Spot::look(leaf, spot.state, at)) {
            Some(Look::Found(before)) => self.stand = Stand::On(before),
            _ => self.go_before(Some(row)),
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
