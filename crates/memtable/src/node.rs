//! Nodes of the tree: up to [`SLOTS`] rows in the order in which they came, and the order they have.
//!
//! A node is written by one thread and read by any number without waiting. The `SAFETY` comments
//! refer to these invariants, beside those of [`arena`](crate::arena):
//!
//! * **N1 published**: slots below `count` of a `State` that was stored with release are never written
//!   again; a reader that loaded it with acquire sees them. Only a slot's child may change later.
//! * **N2 alive**: rows and nodes that a slot points to live until the memtable is dropped.

use std::{array, cmp::Ordering as Cmp, hint::select_unpredictable, mem::offset_of, ptr::NonNull};

use stratal_types::{
    SeqNo,
    sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use crate::{
    order::{Order, Place, common_prefix, head},
    row::{Header, LINE_LEN, Row, prefetch},
};

/// Rows that a node holds.
pub(crate) const SLOTS: usize = if cfg!(loom) { 4 } else { 64 };

/// Rows of a leaf that came after it was last sorted, at most.
const UNSORTED_MAX: usize = if cfg!(loom) { 2 } else { 16 };

/// Times that a leaf is sorted at most, once when it is made.
const ORDERS: usize = SLOTS / UNSORTED_MAX + 1;

/// Bytes of a prefix that stand in the node itself.
const PREFIX_NEAR: usize = 24;

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
    state: AtomicU32,
    prefix_len: u32,
    prefix: [u8; PREFIX_NEAR],
    /// `None` in a leaf.
    inner: Option<Box<Inner>>,
    /// Everything in the node is at or behind `lower` and before `upper`.
    lower: Option<NonNull<Header>>,
    upper: Option<NonNull<Header>>,
    /// Begins with the prefix, if that is longer than what stands here.
    prefix_row: Option<NonNull<Header>>,
    /// Heads of the rows' keys behind the prefix.
    heads: [AtomicU64; SLOTS],
    /// Null for a separator that is before everything.
    rows: [AtomicPtr<Header>; SLOTS],
    /// Of a leaf.
    orders: [SlotOrder; ORDERS],
}

/// Slots in the order of their rows. Not written again once a state names it.
type SlotOrder = [AtomicU8; SLOTS];

/// What an inner node has beside.
#[derive(Debug)]
struct Inner {
    /// Whether the children are leaves.
    is_lowest: bool,
    children: [AtomicPtr<Node>; SLOTS],
    /// One for each number of rows: a node that is searched by every insert is always sorted.
    orders: [SlotOrder; SLOTS + 1],
}

// SAFETY: N1 and N2: everything that more than one thread touches is atomic, and what the pointers
// point to is not written any more.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

/// How much of a node there is at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    count: usize,
    /// The first `sorted` slots are those that the order numbered `order` sorts.
    sorted: usize,
    order: usize,
}

/// Slots in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sorted {
    slots: [u8; SLOTS],
    len: usize,
}

/// What a node is made of: rows, in order, with their children in an inner node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) row: Option<Row<'a>>,
    pub(crate) child: Option<&'a Node>,
    /// Of the row, in the node that it comes from.
    pub(crate) head: u64,
}

impl Inner {
    fn new(is_lowest: bool) -> Self {
        Self {
            is_lowest,
            children: array::from_fn(|_| AtomicPtr::default()),
            orders: array::from_fn(|_| no_order()),
        }
    }
}

fn no_order() -> SlotOrder {
    array::from_fn(|_| AtomicU8::new(0))
}

impl State {
    const fn unpack(bits: u32) -> Self {
        let [count, sorted, order, _] = bits.to_le_bytes();
        Self { count: count as usize, sorted: sorted as usize, order: order as usize }
    }

    #[expect(clippy::cast_possible_truncation, reason = "each is at most SLOTS")]
    const fn pack(self) -> u32 {
        u32::from_le_bytes([self.count as u8, self.sorted as u8, self.order as u8, 0])
    }

    pub(crate) const fn is_full(self) -> bool {
        self.count == SLOTS
    }
}

impl Sorted {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The slot that is number `at` in order.
    pub(crate) fn slot(&self, at: usize) -> usize {
        usize::from(self.slots[at])
    }

    /// How many slots, from the first on, `is_before` holds for.
    pub(crate) fn count_while(&self, mut is_before: impl FnMut(usize) -> bool) -> usize {
        self.slots[..self.len].partition_point(|&slot| is_before(slot.into()))
    }

    fn insert(&mut self, at: usize, slot: usize) {
        self.slots.copy_within(at..self.len, at + 1);
        #[expect(clippy::cast_possible_truncation, reason = "slots are fewer than 256")]
        let slot = slot as u8;
        self.slots[at] = slot;
        self.len += 1;
    }
}

impl Node {
    /// A node of `parts`, which are in order and leave a slot free, between two fences; `before` had
    /// them. Where they have no children it is a leaf.
    pub(crate) fn new(
        order: &Order,
        parts: &[Part<'_>],
        before: Option<&Self>,
        lower: Option<Row<'_>>,
        upper: Option<Row<'_>>,
    ) -> Self {
        let child = parts.first().and_then(|part| part.child);
        let mut node = Self {
            state: AtomicU32::new(State { count: 0, sorted: 0, order: 0 }.pack()),
            prefix_len: 0,
            prefix: [0; PREFIX_NEAR],
            inner: child.map(|child| Box::new(Inner::new(child.is_leaf()))),
            lower: lower.map(Row::header),
            upper: upper.map(Row::header),
            prefix_row: None,
            heads: array::from_fn(|_| AtomicU64::new(0)),
            rows: array::from_fn(|_| AtomicPtr::default()),
            orders: array::from_fn(|_| no_order()),
        };
        let prefix_before = before.map_or(&[][..], Self::prefix);
        let mut keys = parts.iter().filter_map(|part| part.row);
        if order.is_bytewise
            && let Some(first) = keys.next()
        {
            // One key says nothing about those that will come, but the node that they would have come to.
            let other = keys.next_back().map_or(prefix_before, Row::key);
            node.set_prefix(first, common_prefix(first.key(), other));
        }
        let heads_hold = node.prefix() == prefix_before;
        for (slot, Part { row, child, head }) in parts.iter().enumerate() {
            node.fill(slot, *row, *child, heads_hold.then_some(*head));
            #[expect(clippy::cast_possible_truncation, reason = "slots are fewer than 256")]
            node.order(0)[slot].store(slot as u8, Ordering::Relaxed);
        }
        node.set_state(State { count: parts.len(), sorted: parts.len(), order: 0 });
        node
    }

    fn set_prefix(&mut self, row: Row<'_>, common: usize) {
        let len = common - common % PREFIX_UNIT;
        #[expect(clippy::cast_possible_truncation, reason = "no longer than a key")]
        let prefix_len = len as u32;
        self.prefix_len = prefix_len;
        match self.prefix.get_mut(..len) {
            Some(near) => near.copy_from_slice(&row.key()[..len]),
            None => self.prefix_row = Some(row.header()),
        }
    }

    /// Bytes that it has elsewhere.
    pub(crate) fn memory_elsewhere(&self) -> usize {
        self.inner.as_deref().map_or(0, size_of_val)
    }

    pub(crate) fn state(&self) -> State {
        State::unpack(self.state.load(Ordering::Acquire))
    }

    fn set_state(&self, state: State) {
        self.state.store(state.pack(), Ordering::Release);
    }

    pub(crate) const fn is_leaf(&self) -> bool {
        self.inner.is_none()
    }

    /// Whether it is an inner node whose children are leaves.
    pub(crate) fn is_lowest(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.is_lowest)
    }

    /// In a leaf that is not full, and so was never replaced: whether `place` belongs to it.
    pub(crate) fn covers(&self, order: &Order, place: Place<'_>) -> bool {
        self.lower().is_none_or(|lower| order.compare(lower, place).is_le())
            && self.upper().is_none_or(|upper| order.compare(upper, place).is_gt())
    }

    /// Asks for what a search looks at to be brought near, all of it at once, and waits for nothing: a
    /// search alone would find out line by line what it needs.
    pub(crate) fn prefetch(&self) {
        let start = std::ptr::from_ref(self).cast::<u8>();
        let end = offset_of!(Self, rows);
        (0..end).step_by(LINE_LEN).for_each(|at| prefetch(start.wrapping_add(at)));
    }

    pub(crate) fn lower(&self) -> Option<Row<'_>> {
        // SAFETY: N2.
        self.lower.map(|row| unsafe { Row::new(row) })
    }

    pub(crate) fn upper(&self) -> Option<Row<'_>> {
        // SAFETY: N2.
        self.upper.map(|row| unsafe { Row::new(row) })
    }

    fn prefix(&self) -> &[u8] {
        let len = self.prefix_len as usize;
        // SAFETY: N2.
        let far = self.prefix_row.map(|row| unsafe { Row::new(row) }.key());
        &far.unwrap_or(&self.prefix)[..len]
    }

    fn order(&self, number: usize) -> &SlotOrder {
        match &self.inner {
            Some(inner) => &inner.orders[number],
            None => &self.orders[number],
        }
    }

    /// The row of a published slot.
    pub(crate) fn row(&self, slot: usize) -> Option<Row<'_>> {
        let row = NonNull::new(self.rows[slot].load(Ordering::Relaxed));
        // SAFETY: N1 and N2: the slot is published, or this is the thread that wrote it.
        row.map(|row| unsafe { Row::new(row) })
    }

    /// A published slot.
    pub(crate) fn part(&self, slot: usize) -> Part<'_> {
        let head = self.heads[slot].load(Ordering::Relaxed);
        Part { row: self.row(slot), child: self.child(slot), head }
    }

    /// The child of a published slot of an inner node.
    pub(crate) fn child(&self, slot: usize) -> Option<&Self> {
        let child = self.inner.as_ref()?.children[slot].load(Ordering::Acquire);
        // SAFETY: N2: whoever stored the pointer had written the node before.
        unsafe { child.as_ref() }
    }

    /// The child in the slot that `choose` chooses; `None` in a leaf.
    ///
    /// A child that was replaced since covers less than the chosen slot did: what it lacks has a slot
    /// of its own by then, which the state shows.
    fn chosen_child(&self, choose: impl Fn(State) -> usize) -> Option<(usize, &Self)> {
        if self.is_leaf() {
            return None;
        }
        let mut bits = self.state.load(Ordering::Acquire);
        loop {
            let slot = choose(State::unpack(bits));
            let child = self.child(slot)?;
            let after = self.state.load(Ordering::Acquire);
            if after == bits {
                return Some((slot, child));
            }
            bits = after;
        }
    }

    /// The child that `place` belongs to, and its slot; if not `or_at`, the child that what is just
    /// before belongs to. `None` in a leaf.
    pub(crate) fn child_of(
        &self,
        order: &Order,
        place: Place<'_>,
        or_at: bool,
    ) -> Option<(usize, &Self)> {
        self.chosen_child(|state| self.slot_of(order, state, place, or_at))
    }

    /// The first child, or the last. `None` in a leaf.
    pub(crate) fn end_child(&self, order: &Order, first: bool) -> Option<&Self> {
        let end = |state| {
            let sorted = self.sort(order, state);
            sorted.slot(if first { 0 } else { sorted.len().saturating_sub(1) })
        };
        self.chosen_child(end).map(|(_, child)| child)
    }

    // Searching.

    #[inline]
    fn compare(&self, order: &Order, slot: usize, head: u64, place: Place<'_>) -> Cmp {
        if order.is_bytewise {
            let heads = self.heads[slot].load(Ordering::Relaxed).cmp(&head);
            if heads.is_ne() {
                return heads;
            }
        }
        self.row(slot).map_or(Cmp::Less, |row| order.compare(row, place))
    }

    #[inline]
    fn compare_slots(&self, order: &Order, a: usize, b: usize) -> Cmp {
        if order.is_bytewise {
            // First: the rows may be far away.
            let [a, b] = [a, b].map(|slot| self.heads[slot].load(Ordering::Relaxed));
            if a != b {
                return a.cmp(&b);
            }
        }
        let Some(row) = self.row(b) else { return Cmp::Greater };
        self.row(a).map_or(Cmp::Less, |a| order.compare(a, Place::of(row)))
    }

    /// In an inner node, which is sorted.
    fn slot_of(&self, order: &Order, state: State, place: Place<'_>, or_at: bool) -> usize {
        let slots = self.order(state.order);
        let slot_at = |at: usize| usize::from(slots[at].load(Ordering::Relaxed));
        let head = head(self.prefix(), place.key);
        // The first is before everything that belongs into the node.
        let (mut last_before, mut end) = (0, state.count);
        if order.is_bytewise {
            // The last whose head is lower. Where the halves go nobody can foresee: no jumps.
            let mut len = state.count;
            while len > 1 {
                let half = len / 2;
                let middle = last_before + half;
                let is_lower = self.heads[slot_at(middle)].load(Ordering::Relaxed) < head;
                last_before = select_unpredictable(is_lower, middle, last_before);
                len -= half;
            }
            let next = last_before + 1;
            if next == end || self.heads[slot_at(next)].load(Ordering::Relaxed) != head {
                end = next;
            }
        }
        // Among those that have the same head, or all of them.
        while last_before + 1 < end {
            let middle = usize::midpoint(last_before, end);
            let is_before = match self.compare(order, slot_at(middle), head, place) {
                Cmp::Less => true,
                Cmp::Equal => or_at,
                Cmp::Greater => false,
            };
            if is_before {
                last_before = middle;
            } else {
                end = middle;
            }
        }
        slot_at(last_before)
    }

    /// In a leaf, the newest version of `key` below `bound`.
    pub(crate) fn newest(&self, key: &[u8], bound: SeqNo) -> Option<Row<'_>> {
        let mut newest: Option<Row<'_>> = None;
        for row in self.versions(key).filter(|row| row.seqno() < bound) {
            if newest.is_none_or(|newest| newest.seqno() < row.seqno()) {
                newest = Some(row);
            }
        }
        newest
    }

    /// In a leaf, the version `place` itself.
    pub(crate) fn exact(&self, place: Place<'_>) -> Option<Row<'_>> {
        self.versions(place.key).find(|row| row.seqno() == place.seqno)
    }

    /// In a leaf, the versions of `key`, as they came.
    fn versions(&self, key: &[u8]) -> impl Iterator<Item = Row<'_>> {
        let head = head(self.prefix(), key);
        let heads = self.heads.iter().take(self.state().count).enumerate();
        heads
            .filter(move |(_, found)| found.load(Ordering::Relaxed) == head)
            .filter_map(|(slot, _)| self.row(slot))
            .filter(move |row| row.key() == key)
    }

    /// The slots there are, in order.
    pub(crate) fn sorted(&self, order: &Order) -> Sorted {
        self.sort(order, self.state())
    }

    fn sort(&self, order: &Order, state: State) -> Sorted {
        let mut sorted = Sorted { slots: [0; SLOTS], len: state.sorted };
        for (to, from) in sorted.slots.iter_mut().zip(self.order(state.order)).take(state.sorted) {
            *to = from.load(Ordering::Relaxed);
        }
        for slot in state.sorted..state.count {
            let is_before = |other| self.compare_slots(order, other, slot).is_lt();
            let last = sorted.len.checked_sub(1).map(|at| sorted.slot(at));
            let is_last = last.is_none_or(is_before);
            let at = if is_last { sorted.len } else { sorted.count_while(is_before) };
            sorted.insert(at, slot);
        }
        sorted
    }

    /// How many of `sorted` are before `place`, and, if `or_at`, at it.
    pub(crate) fn rank(
        &self,
        order: &Order,
        sorted: &Sorted,
        place: Place<'_>,
        or_at: bool,
    ) -> usize {
        let head = head(self.prefix(), place.key);
        sorted.count_while(|slot| match self.compare(order, slot, head, place) {
            Cmp::Less => true,
            Cmp::Equal => or_at,
            Cmp::Greater => false,
        })
    }

    // Writing: by one thread at a time.

    fn fill(
        &self,
        slot: usize,
        row: Option<Row<'_>>,
        child: Option<&Self>,
        known_head: Option<u64>,
    ) {
        if let Some(row) = row {
            // The row may be far away.
            let head = known_head.unwrap_or_else(|| head(self.prefix(), row.key()));
            self.heads[slot].store(head, Ordering::Relaxed);
            self.rows[slot].store(row.header().as_ptr(), Ordering::Relaxed);
        }
        if let Some(child) = child {
            self.set_child(slot, child);
        }
    }

    /// Adds a row, and in an inner node its child. The node is not full.
    pub(crate) fn append(&self, order: &Order, row: Row<'_>, child: Option<&Self>) {
        let mut state = self.state();
        self.fill(state.count, Some(row), child, None);
        state.count += 1;
        let unsorted_max = if self.is_leaf() { UNSORTED_MAX } else { 1 };
        if state.count - state.sorted == unsorted_max {
            let sorted = self.sort(order, state);
            state.order += 1;
            state.sorted = state.count;
            for (to, from) in self.order(state.order).iter().zip(&sorted.slots[..sorted.len]) {
                to.store(*from, Ordering::Relaxed);
            }
        }
        self.set_state(state);
    }

    /// Puts another child in the place of a slot's.
    pub(crate) fn set_child(&self, slot: usize, child: &Self) {
        if let Some(inner) = &self.inner {
            inner.children[slot].store(std::ptr::from_ref(child).cast_mut(), Ordering::Release);
        }
    }
}
