//! Rows in order: a tree that one thread adds to while any number search it.
//!
//! ```text
//! insert ─▶ descend, noting the way ─▶ row into the arena ─▶ a slot of the leaf ─▶ state published
//!                                          leaf full │
//!            a leaf of the upper half ◀──────────────┘
//!            └▶ a slot of the parent (first) ─▶ the old leaf's next version, without that half (then)
//! ```
//!
//! Between the two steps a reader finds a row of the upper half in either leaf. A reader that chose the
//! old leaf before the first step and comes to it behind the second would miss such a row. So whoever
//! goes down takes the state of a child, and then looks whether its parent has not changed since it was
//! asked for the child: a child that was cut has a parent that changed before, and then the way begins
//! again. The root that is cut has a parent that was not there before, and is not the root any more.
//!
//! Where rows come in order, nothing is cut: what comes behind a full leaf begins the next one.
//!
//! A node whose rows have more in common than when it was made is replaced by a new one. It has no rows
//! that are not in that one too, and stays for whoever comes to it; who was on the way through it begins
//! again.

use std::{ptr::NonNull, sync::Arc};

use stratal_types::{
    Comparator, EntryDigest, EntryRef, SeqNo,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicPtr, Ordering},
    },
};

use crate::{
    arena::Arena,
    node::{Node, Stand},
    order::{Order, Place},
    row::Row,
    slots::State,
};

/// The rows of a memtable.
#[derive(Debug)]
pub(crate) struct Tree {
    order: Order,
    root: AtomicPtr<Node>,
    writer: Mutex<Writer>,
}

/// What the writing thread has.
#[derive(Debug)]
pub(crate) struct Writer {
    arena: Arena,
    /// Every node that was ever made. Each was placed in the arena once, and is listed once.
    nodes: Vec<NonNull<Node>>,
    /// Bytes that they have elsewhere.
    nodes_memory: usize,
    /// Above the number of every row; 0 while there is none.
    next: u64,
    /// The leaf that the last row came to.
    last: Option<NonNull<Node>>,
    /// Whether the row before that one came there too: keys come in order, or near one another.
    is_run: bool,
}

// SAFETY: A2; nodes belong to the writer as the arena does, and nothing is written through these pointers
// before they are dropped.
unsafe impl Send for Writer {}

/// What became of an insert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inserted {
    /// Whether the row was not there before.
    pub(crate) is_new: bool,
    /// Whether the row, as it was copied, fits the digest that came with it. One that does not is not
    /// in the tree.
    pub(crate) fits: bool,
    /// Bytes that the tree takes now.
    pub(crate) memory: usize,
}

/// The inner nodes from the root to a leaf.
#[derive(Debug, Default)]
pub(crate) struct Way<'a> {
    nodes: [Option<&'a Node>; DEPTH_MAX],
    len: usize,
}

/// Inner nodes on the way to a leaf, at most. There is one more whenever the root is full.
const DEPTH_MAX: usize = 16;

impl<'a> Way<'a> {
    pub(crate) fn push(&mut self, node: &'a Node) {
        self.nodes[self.len] = Some(node);
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<&'a Node> {
        self.len = self.len.checked_sub(1)?;
        self.nodes[self.len].take()
    }
}

impl Tree {
    pub(crate) fn new(comparator: Arc<dyn Comparator>) -> Self {
        let order = Order::new(comparator);
        let mut writer = Writer {
            arena: Arena::new(),
            nodes: Vec::new(),
            nodes_memory: 0,
            next: 0,
            last: None,
            is_run: false,
        };
        let root = writer.keep(Node::new(&order, &[], None, Stand::default()));
        Self { order, root: AtomicPtr::new(root.as_ptr()), writer: Mutex::new(writer) }
    }

    pub(crate) const fn order(&self) -> &Order {
        &self.order
    }

    // Reading.

    pub(crate) fn root(&self) -> &Node {
        let root = self.root.load(Ordering::Acquire);
        // SAFETY: never null, written before it was stored, and alive until the tree goes.
        unsafe { &*root }
    }

    pub(crate) fn set_root(&self, root: &Node) {
        self.root.store(std::ptr::from_ref(root).cast_mut(), Ordering::Release);
    }

    /// Goes down from the root, at each inner node to the child that is number `choose` in order. Returns
    /// the leaf, and the state that it had when the way led there.
    fn descend(&self, choose: impl Fn(&Node, State) -> usize) -> (&Node, State) {
        'down: loop {
            let mut node = self.root();
            let mut state = node.state();
            if !std::ptr::eq(node, self.root()) {
                continue;
            }
            while !node.is_leaf() {
                let child = node.child(state, choose(node, state));
                if node.is_lowest() {
                    child.inspect(|leaf| leaf.prefetch());
                }
                let below = child.map(|child| (child, child.state()));
                let Some(below) = below.filter(|_| node.is_same(state)) else { continue 'down };
                (node, state) = below;
            }
            return (node, state);
        }
    }

    /// The leaf that `place` belongs to; if not `or_at`, the one that holds what is just before.
    pub(crate) fn leaf_of(&self, place: Place<'_>, or_at: bool) -> (&Node, State) {
        self.descend(|node, state| {
            // The first is before everything that belongs into the node.
            node.rank(&self.order, state, place, or_at).saturating_sub(1)
        })
    }

    /// The leaf with the first row, or, if not `first`, with the last.
    pub(crate) fn end_leaf(&self, first: bool) -> (&Node, State) {
        self.descend(|_, state| if first { 0 } else { state.count().saturating_sub(1) })
    }

    /// The newest version of `key` below `bound`.
    pub(crate) fn newest(&self, key: &[u8], bound: SeqNo) -> Option<Row<'_>> {
        loop {
            let (leaf, state) = self.leaf_of(Place { key, seqno: bound }, true);
            let found = leaf.newest(&self.order, state, key, bound);
            if leaf.is_still(state) {
                return found;
            }
        }
    }

    /// The first row, or, if not `first`, the last.
    pub(crate) fn end_row(&self, first: bool) -> Option<Row<'_>> {
        loop {
            let (leaf, state) = self.end_leaf(first);
            let last = state.count().checked_sub(1)?;
            let row = leaf.row(state, if first { 0 } else { last });
            if leaf.is_still(state) {
                return row;
            }
        }
    }

    // Writing.

    /// For one writer at a time.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// Adds a row. If there is one of this key and number, that one stays.
    pub(crate) fn insert(
        &self,
        writer: &mut Writer,
        entry: EntryRef<'_>,
        digest: Option<EntryDigest>,
    ) -> Inserted {
        let place = Place { key: entry.key, seqno: entry.seqno() };
        let mut way = Way::default();
        let leaf = match writer.leaf_of_run(&self.order, place) {
            // SAFETY: kept until the tree goes.
            Some(leaf) => unsafe { &*leaf.as_ptr() },
            None => self.way_to(place, &mut way),
        };
        let is_new =
            place.seqno.get() >= writer.next || !leaf.has(&self.order, leaf.state(), place);
        if is_new {
            writer.next = writer.next.max(place.seqno.get() + 1);
            let row = writer.arena.push(entry, digest);
            // SAFETY: it was just pushed to the arena of this tree.
            let row = unsafe { Row::new(row) };
            if row.digest().is_some_and(|digest| !digest.fits(row.entry())) {
                return Inserted { is_new, fits: false, memory: writer.memory() };
            }
            let visited = NonNull::from(leaf);
            let leaf = self.add(writer, &mut way, leaf, row, None);
            writer.is_run = writer.last == Some(visited);
            writer.last = Some(NonNull::from(leaf));
        }
        Inserted { is_new, fits: true, memory: writer.memory() }
    }

    /// For the writer: the leaf that `place` belongs to, on its way from memory, and the way there.
    pub(crate) fn way_to<'a>(&'a self, place: Place<'_>, way: &mut Way<'a>) -> &'a Node {
        let mut node = self.root();
        loop {
            let state = node.state();
            let at = node.rank(&self.order, state, place, true).saturating_sub(1);
            let Some(child) = node.child(state, at) else { return node };
            way.push(node);
            if node.is_lowest() {
                child.prefetch();
                return child;
            }
            node = child;
        }
    }
}

impl Writer {
    /// The leaf that the last rows came to, if `place` belongs there too and there is room. A leaf that
    /// is not full was not replaced.
    fn leaf_of_run(&self, order: &Order, place: Place<'_>) -> Option<NonNull<Node>> {
        self.last.filter(|last| {
            // SAFETY: nodes are kept until the writer is dropped.
            let last = unsafe { last.as_ref() };
            let state = last.state();
            self.is_run && !state.is_full() && last.covers(order, state, place)
        })
    }

    pub(crate) fn keep(&mut self, node: Node) -> NonNull<Node> {
        self.nodes_memory += node.memory_elsewhere();
        let node = self.arena.place(node);
        self.nodes.push(node);
        node
    }

    const fn memory(&self) -> usize {
        self.arena.memory() + self.nodes_memory
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        for node in self.nodes.drain(..) {
            // SAFETY: each was placed once, and is listed once. The arena is still there, and readers are
            // not: they borrow the tree.
            unsafe { node.drop_in_place() };
        }
    }
}
