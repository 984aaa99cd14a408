//! Nodes of the tree: up to [`SLOTS`] rows in the order in which they came, and the order they have.
//!
//! A node is written by one thread and read by any number without waiting. What it has at a moment is its
//! [`State`]: a number of rows and a version. A row goes into a free slot. Behind the others, it is one
//! row more of the same version; else the next version has an order with it. Of a full node the next
//! version has the lower half, and the slots of the upper half, which are in another node by then, are
//! free again. There is room for the orders of two versions, and for what follows the node in each.
//!
//! The `SAFETY` comments refer to these invariants, beside those of [`arena`](crate::arena):
//!
//! * **N1 versions**: while a state's version is the node's, nothing writes to its order, nor to the
//!   slots of its rows. Who reads a node takes its state, reads,
//!   and [asks](Node::is_still) whether the version is the same: if not, what was read may be of several
//!   versions, or of none, and counts for nothing.
//! * **N2 alive**: a row or a node that a slot ever pointed to lives until the memtable is dropped, and
//!   was written before the slot was: whatever a slot holds may be followed.

use std::{array, ptr::NonNull};

use stratal_types::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};

use crate::{
    order::{Order, Place, common_prefix, head},
    row::{Header, LINE_LEN, Row, prefetch},
    slots::{SLOTS, SlotOrder, Slots, State},
};

/// Bytes of a prefix that stand in the node itself.
const PREFIX_NEAR: usize = 20;

/// Prefixes are as long as this, or twice, and so on: so that where keys are random they are empty, and
/// where not, those of neighbours are the same.
const PREFIX_UNIT: usize = 4;

/// A leaf, whose slots are rows, or an inner node, whose slots are separators with children: below a
/// child is what is not before its separator, and before the next.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Node {
    // What every visit reads stands first, in one cache line.
    /// A [`State`].
    state: AtomicU64,
    prefix_len: u32,
    prefix: [u8; PREFIX_NEAR],
    /// `None` in a leaf.
    inner: Option<Box<Inner>>,
    /// The first row, where nothing before it ever belongs into the node. Begins with the prefix, if that is
    /// longer than what stands here.
    lower: Option<NonNull<Header>>,
    /// What follows on the same level, from the end of this node on; null behind the last. One for each
    /// side.
    next: [AtomicPtr<Node>; 2],
    orders: [SlotOrder; 2],
    /// Heads of the rows' keys behind the prefix.
    heads: [AtomicU64; SLOTS],
    /// Null for a separator that is before everything.
    rows: [AtomicPtr<Header>; SLOTS],
}

/// What an inner node has beside.
#[derive(Debug)]
struct Inner {
    /// Whether the children are leaves.
    is_lowest: bool,
    children: [AtomicPtr<Node>; SLOTS],
}

// SAFETY: N1 and N2: everything that more than one thread touches is atomic, and what the pointers
// point to is not written any more, or is itself a node.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

/// What a node is made of: rows, in order, with their children in an inner node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) row: Option<Row<'a>>,
    pub(crate) child: Option<&'a Node>,
    /// Of the row, in the node that it comes from.
    pub(crate) head: u64,
}

/// Where a node stands: nothing before `lower` belongs into it, nor anything that `next` begins with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stand<'a> {
    pub(crate) lower: Option<Row<'a>>,
    pub(crate) next: Option<&'a Node>,
}

impl Node {
    /// A node of `parts`, which are in order; `before` had them, or stands before. Where they have no
    /// children it is a leaf.
    pub(crate) fn new(
        order: &Order,
        parts: &[Part<'_>],
        before: Option<&Self>,
        Stand { lower, next }: Stand<'_>,
    ) -> Self {
        let child = parts.first().and_then(|part| part.child);
        let mut node = Self {
            state: AtomicU64::new(State::first(parts.len()).bits()),
            prefix_len: 0,
            prefix: [0; PREFIX_NEAR],
            inner: child.map(|child| Box::new(Inner::new(child.is_leaf()))),
            lower: lower.map(Row::header),
            next: array::from_fn(|_| AtomicPtr::new(pointer_to(next))),
            orders: array::from_fn(|_| SlotOrder::new()),
            heads: array::from_fn(|_| AtomicU64::new(0)),
            rows: array::from_fn(|_| AtomicPtr::default()),
        };
        let first = parts.iter().find_map(|part| part.row);
        let prefix_len = Self::prefix_len(order, parts, before, lower.is_some());
        if let (Some(first), Some(prefix)) = (first, node.prefix.get_mut(..prefix_len)) {
            prefix.copy_from_slice(&first.key()[..prefix_len]);
        }
        #[expect(clippy::cast_possible_truncation, reason = "no longer than a key")]
        let prefix_len = prefix_len as u32;
        node.prefix_len = prefix_len;
        let heads_hold = before.is_some_and(|before| before.prefix() == node.prefix());
        for (slot, Part { row, child, head }) in parts.iter().enumerate() {
            // Else from the row, which may be far away.
            let head = if heads_hold { *head } else { node.head_of(*row) };
            node.fill(slot, *row, *child, head);
        }
        node
    }

    /// How long the prefix of a node of `parts` is.
    fn prefix_len(
        order: &Order,
        parts: &[Part<'_>],
        before: Option<&Self>,
        has_lower: bool,
    ) -> usize {
        let mut rows = parts.iter().filter_map(|part| part.row);
        let Some(first) = rows.next().filter(|_| order.is_bytewise) else { return 0 };
        // One key says nothing about those that will come, but what they come behind does.
        let other = rows.next_back().or_else(|| before?.first_row());
        let common = other.map_or(0, |other| common_prefix(first.key(), other.key()));
        let common = if has_lower { common } else { common.min(PREFIX_NEAR) };
        common - common % PREFIX_UNIT
    }

    /// Whether its rows have more in common than they had when it was made, so that a new node of them
    /// would tell them apart better.
    pub(crate) fn is_stale(&self, order: &Order, parts: &[Part<'_>]) -> bool {
        let prefix_len = Self::prefix_len(order, parts, Some(self), self.lower.is_some());
        prefix_len > self.prefix_len as usize
    }

    /// Bytes that it has elsewhere.
    pub(crate) fn memory_elsewhere(&self) -> usize {
        self.inner.as_deref().map_or(0, size_of_val)
    }

    // Reading: what depends on a state holds if the node is still of its version.

    pub(crate) fn state(&self) -> State {
        State::from_bits(self.state.load(Ordering::Acquire))
    }

    /// Whether what was read since it had this state is true of that.
    pub(crate) fn is_still(&self, state: State) -> bool {
        // Whoever has seen something that was written under a later version sees that version.
        fence(Ordering::Acquire);
        State::from_bits(self.state.load(Ordering::Relaxed)).is_version_of(state)
    }

    /// Whether nothing was added since, either.
    pub(crate) fn is_same(&self, state: State) -> bool {
        fence(Ordering::Acquire);
        self.state.load(Ordering::Relaxed) == state.bits()
    }

    pub(crate) const fn is_leaf(&self) -> bool {
        self.inner.is_none()
    }

    /// Whether it is an inner node whose children are leaves.
    pub(crate) fn is_lowest(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.is_lowest)
    }

    /// Asks for all of it to be brought near, and waits for nothing: a search alone would find out line by
    /// line what it needs.
    pub(crate) fn prefetch(&self) {
        let start = std::ptr::from_ref(self).cast::<u8>();
        for at in (0..size_of::<Self>()).step_by(LINE_LEN) {
            prefetch(start.wrapping_add(at));
        }
    }

    pub(crate) fn lower(&self) -> Option<Row<'_>> {
        // SAFETY: N2.
        self.lower.map(|row| unsafe { Row::new(row) })
    }

    pub(crate) fn next(&self, state: State) -> Option<&Self> {
        let next = self.next[state.side()].load(Ordering::Acquire);
        // SAFETY: N2.
        unsafe { next.as_ref() }
    }

    /// Where the node ends.
    pub(crate) fn upper(&self, state: State) -> Option<Row<'_>> {
        self.next(state)?.lower()
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        let len = self.prefix_len as usize;
        match self.prefix.get(..len) {
            Some(near) => near,
            None => self.lower().map_or(&[], |row| &row.key()[..len]),
        }
    }

    pub(crate) fn order(&self, state: State) -> &SlotOrder {
        &self.orders[state.side()]
    }

    /// The head of the row that is number `at` in order.
    pub(crate) fn head(&self, state: State, at: usize) -> u64 {
        self.heads[self.order(state).slot(at)].load(Ordering::Relaxed)
    }

    /// The row that is number `at` in order.
    pub(crate) fn row(&self, state: State, at: usize) -> Option<Row<'_>> {
        let row = self.rows[self.order(state).slot(at)].load(Ordering::Acquire);
        // SAFETY: N2.
        NonNull::new(row).map(|row| unsafe { Row::new(row) })
    }

    /// The child that is number `at` in order; `None` in a leaf.
    pub(crate) fn child(&self, state: State, at: usize) -> Option<&Self> {
        let inner = self.inner.as_ref()?;
        let child = inner.children[self.order(state).slot(at)].load(Ordering::Acquire);
        // SAFETY: N2.
        unsafe { child.as_ref() }
    }

    /// Everything in it.
    pub(crate) fn parts(&self, state: State) -> Vec<Part<'_>> {
        let part = |at| Part {
            row: self.row(state, at),
            child: self.child(state, at),
            head: self.head(state, at),
        };
        (0..state.count()).map(part).collect()
    }

    fn first_row(&self) -> Option<Row<'_>> {
        let state = self.state();
        (0..state.count()).find_map(|at| self.row(state, at))
    }

    // Writing: by one thread at a time.

    fn head_of(&self, row: Option<Row<'_>>) -> u64 {
        row.map_or(0, |row| head(self.prefix(), row.key()))
    }

    fn fill(&self, slot: usize, row: Option<Row<'_>>, child: Option<&Self>, head: u64) {
        self.heads[slot].store(head, Ordering::Relaxed);
        let row = row.map_or(std::ptr::null_mut(), |row| row.header().as_ptr());
        self.rows[slot].store(row, Ordering::Release);
        if let Some(inner) = &self.inner {
            inner.children[slot].store(pointer_to(child), Ordering::Release);
        }
    }

    /// Adds a row, and in an inner node its child. The node is not full.
    pub(crate) fn append(&self, order: &Order, row: Row<'_>, child: Option<&Self>) {
        let state = self.state();
        let count = state.count();
        let head = self.head_of(Some(row));
        let slot = self.order(state).slot(count);
        let is_last = self.is_behind(order, state, head, Place::of(row));
        // The slot and the order may have been of versions before this one.
        fence(Ordering::Release);
        self.fill(slot, Some(row), child, head);
        if is_last {
            self.set_state(state.longer());
            return;
        }
        let at = self.rank_of(order, state, head, Place::of(row), true);
        let mut slots = self.order(state).load();
        slots[at..=count].rotate_right(1);
        self.step(state, &slots, self.next(state), count + 1);
    }

    /// Leaves `count` rows in it; the others are in `next`, or behind.
    pub(crate) fn cut(&self, count: usize, next: &Self) {
        let state = self.state();
        fence(Ordering::Release);
        self.step(state, &self.order(state).load(), Some(next), count);
    }

    /// Steps to the next version.
    fn step(&self, state: State, slots: &Slots, next: Option<&Self>, count: usize) {
        let after = state.next(count);
        self.order(after).store(slots);
        self.next[after.side()].store(pointer_to(next), Ordering::Release);
        self.set_state(after);
    }

    fn set_state(&self, state: State) {
        self.state.store(state.bits(), Ordering::Release);
    }

    /// Puts another node behind this one, that begins where the one did that was there.
    pub(crate) fn set_next(&self, next: &Self) {
        self.next[self.state().side()].store(pointer_to(Some(next)), Ordering::Release);
    }

    /// Puts another child in the place of one that is number `at` in order.
    pub(crate) fn set_child(&self, at: usize, child: &Self) {
        if let Some(inner) = &self.inner {
            let slot = self.order(self.state()).slot(at);
            inner.children[slot].store(pointer_to(Some(child)), Ordering::Release);
            self.restate();
        }
    }

    /// Says to whoever is in the node that another one, which its parent has by now, stands for it.
    pub(crate) fn retire(&self) {
        self.restate();
    }

    /// Steps to another version of the same.
    fn restate(&self) {
        let state = self.state();
        fence(Ordering::Release);
        self.step(state, &self.order(state).load(), self.next(state), state.count());
    }
}

impl Inner {
    fn new(is_lowest: bool) -> Self {
        Self { is_lowest, children: array::from_fn(|_| AtomicPtr::default()) }
    }
}

fn pointer_to(node: Option<&Node>) -> *mut Node {
    node.map_or(std::ptr::null_mut(), |node| std::ptr::from_ref(node).cast_mut())
}
