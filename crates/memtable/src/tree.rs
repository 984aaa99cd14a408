//! Rows in order: a tree that one thread adds to while any number search it.
//!
//! ```text
//! insert ─▶ descend, noting the way ─▶ row into the arena ─▶ a slot of the leaf ─▶ state published
//!                                          leaf full │
//!            two new leaves, sorted ◀────────────────┘
//!            └▶ the upper one: a new slot of the parent ─▶ the lower one: the old slot's new child
//! ```
//!
//! A node that was replaced is not written any more, and stays until the tree goes: a reader that is
//! in it finds what was there when it came. Between the two steps a reader finds a row in the upper
//! leaf, or in the old one, which still has everything. After them, a reader that chose the old slot
//! before the first step may come to the lower leaf for a row of the upper one; it sees that the
//! parent has changed, and chooses again.

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
    node::{Node, Part, SLOTS},
    order::{Order, Place, head},
    row::Row,
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

/// The nodes from the root to a leaf, each with the slot of the next.
#[derive(Debug, Default)]
struct Way<'a> {
    steps: [Option<(&'a Node, usize)>; DEPTH_MAX],
    len: usize,
}

/// Inner nodes on the way to a leaf, at most. There is one more whenever the root is full.
const DEPTH_MAX: usize = 16;

impl<'a> Way<'a> {
    fn push(&mut self, node: &'a Node, slot: usize) {
        self.steps[self.len] = Some((node, slot));
        self.len += 1;
    }

    fn pop(&mut self) -> Option<(&'a Node, usize)> {
        self.len = self.len.checked_sub(1)?;
        self.steps[self.len].take()
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
        let root = writer.keep(Node::new(&order, &[], None, None, None));
        Self { order, root: AtomicPtr::new(root.as_ptr()), writer: Mutex::new(writer) }
    }

    pub(crate) const fn order(&self) -> &Order {
        &self.order
    }

    // Reading.

    fn root(&self) -> &Node {
        let root = self.root.load(Ordering::Acquire);
        // SAFETY: never null, written before it was stored, and alive until the tree goes.
        unsafe { &*root }
    }

    /// The leaf that `place` belongs to; if not `or_at`, the one that holds what is just before.
    pub(crate) fn leaf_of(&self, place: Place<'_>, or_at: bool) -> &Node {
        let mut node = self.root();
        while let Some((_, child)) = node.child_of(&self.order, place, or_at) {
            if node.is_lowest() {
                child.prefetch();
                return child;
            }
            node = child;
        }
        node
    }

    /// The leaf with the first row, or, if not `first`, with the last.
    pub(crate) fn end_leaf(&self, first: bool) -> &Node {
        let mut node = self.root();
        while let Some(child) = node.end_child(&self.order, first) {
            node = child;
        }
        node
    }

    /// The newest version of `key` below `bound`.
    pub(crate) fn newest(&self, key: &[u8], bound: SeqNo) -> Option<Row<'_>> {
        let leaf = self.leaf_of(Place { key, seqno: bound }, true);
        // A leaf that has none may end just before it.
        leaf.newest(key, bound).or_else(|| leaf.upper().filter(|row| row.key() == key))
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
        let mut leaf = match writer.leaf_of_run(&self.order, place) {
            // SAFETY: kept until the tree goes.
            Some(leaf) => unsafe { &*leaf.as_ptr() },
            None => self.way_to(place, &mut way),
        };
        let is_new = place.seqno.get() >= writer.next || leaf.exact(place).is_none();
        if is_new {
            writer.next = writer.next.max(place.seqno.get() + 1);
            let row = writer.arena.push(entry, digest);
            // SAFETY: it was just pushed to the arena of this tree.
            let row = unsafe { Row::new(row) };
            if row.digest().is_some_and(|digest| !digest.fits(row.entry())) {
                return Inserted { is_new, fits: false, memory: writer.memory() };
            }
            let visited = NonNull::from(leaf);
            if leaf.state().is_full() {
                let (lower, upper, at) = self.split(writer, &mut way, leaf, place);
                leaf = if self.order.compare(at, place).is_le() { upper } else { lower };
            }
            leaf.append(&self.order, row, None);
            writer.is_run = writer.last == Some(visited);
            writer.last = Some(NonNull::from(leaf));
        }
        Inserted { is_new, fits: true, memory: writer.memory() }
    }

    /// The leaf that `place` belongs to, on its way from memory, and the way there.
    fn way_to<'a>(&'a self, place: Place<'_>, way: &mut Way<'a>) -> &'a Node {
        let mut node = self.root();
        while let Some((slot, child)) = node.child_of(&self.order, place, true) {
            way.push(node, slot);
            if node.is_lowest() {
                child.prefetch();
                return child;
            }
            node = child;
        }
        node
    }

    /// Puts two nodes in the place of a full one to which `place` is about to be added; returns them,
    /// and where the second begins.
    fn split<'a>(
        &'a self,
        writer: &mut Writer,
        way: &mut Way<'a>,
        node: &'a Node,
        place: Place<'_>,
    ) -> (&'a Node, &'a Node, Row<'a>) {
        let sorted = node.sorted(&self.order);
        let slots = (0..sorted.len()).map(|at| sorted.slot(at));
        let parts: Vec<Part<'a>> = slots.map(|slot| node.part(slot)).collect();
        // Where rows come in order, nothing will come before the last.
        let is_last =
            node.upper().is_none() && node.rank(&self.order, &sorted, place, true) == sorted.len();
        let middle = if is_last { SLOTS - 1 } else { SLOTS / 2 };
        let (left, right) = parts.split_at(middle);
        let Some(at) = right.first().and_then(|part| part.row) else {
            unreachable!("only the first slot of a node has no row")
        };
        let mut make = |parts, lower, upper| {
            let made = writer.keep(Node::new(&self.order, parts, Some(node), lower, upper));
            // SAFETY: kept until the tree goes.
            unsafe { &*made.as_ptr() }
        };
        let lower = make(left, node.lower(), Some(at));
        let upper = make(right, Some(at), node.upper());
        self.replace(writer, way, lower, at, upper);
        (lower, upper, at)
    }

    /// Lets readers find `lower` where `way` ends, and `upper` from `at` on.
    fn replace<'a>(
        &'a self,
        writer: &mut Writer,
        way: &mut Way<'a>,
        lower: &'a Node,
        at: Row<'a>,
        upper: &'a Node,
    ) {
        let Some((mut parent, mut slot)) = way.pop() else {
            let parts = [
                Part { row: None, child: Some(lower), head: 0 },
                Part { row: Some(at), child: Some(upper), head: head(&[], at.key()) },
            ];
            let root = writer.keep(Node::new(&self.order, &parts, None, None, None));
            self.root.store(root.as_ptr(), Ordering::Release);
            return;
        };
        if parent.state().is_full() {
            let place = Place::of(at);
            let (left, right, middle) = self.split(writer, way, parent, place);
            parent = if self.order.compare(middle, place).is_le() { right } else { left };
            slot = parent.child_of(&self.order, place, true).map_or(0, |(slot, _)| slot);
        }
        parent.append(&self.order, at, Some(upper));
        parent.set_child(slot, lower);
    }
}

impl Writer {
    /// The leaf that the last rows came to, if `place` belongs there too and there is room. A leaf that
    /// is not full was not replaced.
    fn leaf_of_run(&self, order: &Order, place: Place<'_>) -> Option<NonNull<Node>> {
        self.last.filter(|last| {
            // SAFETY: nodes are kept until the writer is dropped.
            let last = unsafe { last.as_ref() };
            self.is_run && !last.state().is_full() && last.covers(order, place)
        })
    }

    fn keep(&mut self, node: Node) -> NonNull<Node> {
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
