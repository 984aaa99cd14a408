use stratal_types::sync::atomic::{AtomicU64, Ordering};

/// Rows that a node holds.
pub(crate) const SLOTS: usize = if cfg!(loom) { 4 } else { 64 };

/// Slots that stand in one word.
const WORD_SLOTS: usize = size_of::<u64>();

const WORDS: usize = SLOTS.div_ceil(WORD_SLOTS);

/// How much of a node there is at a moment, and in which version of its order.
///
/// The version counts how often what a reader may look at was put elsewhere: it takes a row each time, and
/// 2^56 of them fit no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u64);

/// Every slot of a node: first those of its rows, in order, then those that are free.
#[derive(Debug)]
pub(crate) struct SlotOrder([AtomicU64; WORDS]);

/// The same, where nobody else looks at it.
pub(crate) type Slots = [u8; SLOTS];

impl State {
    pub(crate) const fn first(count: usize) -> Self {
        Self(count as u64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a byte")]
    pub(crate) const fn count(self) -> usize {
        self.0 as u8 as usize
    }

    const fn version(self) -> u64 {
        self.0 >> u8::BITS
    }

    /// Which of two places holds what this version is about.
    pub(crate) const fn side(self) -> usize {
        (self.version() & 1) as usize
    }

    pub(crate) const fn is_full(self) -> bool {
        self.count() == SLOTS
    }

    /// Whether rows only ever came behind those that there were.
    pub(crate) const fn is_in_order(self) -> bool {
        self.version() == 0
    }

    /// Whether nothing was put elsewhere between the two.
    pub(crate) const fn is_version_of(self, other: Self) -> bool {
        self.version() == other.version()
    }

    /// One more row, behind the others.
    pub(crate) const fn longer(self) -> Self {
        Self(self.0 + 1)
    }

    /// The next version, of so many rows.
    pub(crate) const fn next(self, count: usize) -> Self {
        Self(((self.version() + 1) << u8::BITS) | count as u64)
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
}

impl SlotOrder {
    /// Slots in the order of their numbers.
    pub(crate) fn new() -> Self {
        let order = Self(std::array::from_fn(|_| AtomicU64::new(0)));
        #[expect(clippy::cast_possible_truncation, reason = "slots are fewer than 256")]
        order.store(&std::array::from_fn(|slot| slot as u8));
        order
    }

    /// The slot at a place. What comes from a version that is over may be any slot.
    #[expect(clippy::cast_possible_truncation, reason = "a byte")]
    pub(crate) fn slot(&self, at: usize) -> usize {
        let word = self.0[at / WORD_SLOTS].load(Ordering::Relaxed);
        usize::from((word >> (at % WORD_SLOTS * 8)) as u8) % SLOTS
    }

    pub(crate) fn load(&self) -> Slots {
        let mut slots = [0; SLOTS];
        for (slots, word) in slots.chunks_mut(WORD_SLOTS).zip(&self.0) {
            let word = word.load(Ordering::Relaxed).to_le_bytes();
            slots.copy_from_slice(&word[..slots.len()]);
        }
        slots
    }

    pub(crate) fn store(&self, slots: &Slots) {
        for (slots, word) in slots.chunks(WORD_SLOTS).zip(&self.0) {
            let mut bytes = [0; WORD_SLOTS];
            bytes[..slots.len()].copy_from_slice(slots);
            word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_order_comes_back_as_it_was_stored() {
        let order = SlotOrder::new();
        assert!((0..SLOTS).all(|at| order.slot(at) == at));
        let mut slots = order.load();
        slots.reverse();
        order.store(&slots);
        assert_eq!(order.load(), slots);
        assert!((0..SLOTS).all(|at| order.slot(at) == SLOTS - 1 - at));
    }

    #[test]
    fn a_version_begins_at_another_side_and_counts_rows_apart() {
        let state = State::first(3).longer();
        let next = state.next(2).longer();
        assert_eq!((state.count(), next.count()), (4, 3));
        assert_eq!((state.side(), next.side(), next.next(0).side()), (0, 1, 0));
        assert!(state.is_version_of(State::first(3)) && !next.is_version_of(state));
        assert!(state.is_in_order() && !next.is_in_order());
        assert!(!state.is_full() && State::first(SLOTS).is_full());
    }
}
