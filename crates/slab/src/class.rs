//! Slots of one length, cut from spans.

use std::ptr::NonNull;

use crate::span::{PAGE, Span};

/// Lengths between one power of two and the next. What is taken is longer than what was asked for by a
/// seventeenth of itself at most.
const STEPS: usize = 16;
/// Shortest length that has a class is one more, in bytes.
pub(crate) const LEN_MIN: usize = 1 << 10;
/// Longest length that has a class, in bytes.
pub(crate) const LEN_MAX: usize = 32 << 10;
/// How many classes there are.
pub(crate) const CLASSES: usize = (LEN_MAX / LEN_MIN).ilog2() as usize * STEPS;

/// Slots of a span: so many at least, and what a word has bits for at most.
const SLOTS_MIN: usize = 8;
const SLOTS_MAX: usize = u64::BITS as usize;
/// No more than one part in so many of a span belongs to no slot.
const REST_PART: usize = 32;

/// The class for `len` bytes, from [`LEN_MIN`] (not included) to [`LEN_MAX`].
pub(crate) const fn class_of(len: usize) -> usize {
    let last = len - 1;
    let doubling = last.ilog2();
    let step = (1 << doubling) / STEPS;
    (doubling - LEN_MIN.ilog2()) as usize * STEPS + (last - (1 << doubling)) / step
}

/// Length of the slots of `class`, in bytes: a multiple of 64.
pub(crate) const fn slot_len(class: usize) -> usize {
    let base = LEN_MIN << (class / STEPS);
    base + base / STEPS * (class % STEPS + 1)
}

/// A slot that is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Which entry of the class.
    entry: u32,
    /// Which bit there.
    bit: u32,
}

/// The slots of one length.
///
/// Every entry is in `open` if and only if it has a span with a free slot; then `open_at` says where.
#[derive(Debug)]
pub(crate) struct Class {
    slot_len: usize,
    slots: usize,
    entries: Vec<Entry>,
    /// Entries with a free slot. The last is taken from.
    open: Vec<u32>,
    /// Entries without a span.
    vacant: Vec<u32>,
}

#[derive(Debug)]
struct Entry {
    span: Option<Span>,
    /// A bit for each free slot.
    free: u64,
    open_at: usize,
}

impl Class {
    pub(crate) fn new(class: usize) -> Self {
        let slot_len = slot_len(class);
        let fits = |pages: usize| pages * PAGE / slot_len;
        let is_fine = |pages: &usize| {
            let len = pages * PAGE;
            (SLOTS_MIN..=SLOTS_MAX).contains(&fits(*pages)) && len % slot_len <= len / REST_PART
        };
        let pages = (1..=SLOTS_MAX * slot_len / PAGE).find(is_fine);
        let slots = pages.map_or(SLOTS_MIN, fits);
        Self { slot_len, slots, entries: Vec::new(), open: Vec::new(), vacant: Vec::new() }
    }

    /// Bytes of a span.
    pub(crate) const fn span_len(&self) -> usize {
        self.slots * self.slot_len
    }

    /// Bytes that are taken.
    pub(crate) fn taken(&self) -> usize {
        let spans = self.entries.iter().filter(|entry| entry.span.is_some());
        let taken = spans.map(|entry| self.slots - entry.free.count_ones() as usize);
        taken.sum::<usize>() * self.slot_len
    }

    /// A free slot, if there is one, and where it begins.
    pub(crate) fn take(&mut self) -> Option<(NonNull<u8>, Slot)> {
        let &at = self.open.last()?;
        let entry = self.entries.get_mut(at as usize)?;
        let bit = entry.free.trailing_zeros();
        entry.free &= entry.free.wrapping_sub(1);
        if entry.free == 0 {
            self.open.pop();
        }
        let offset = bit as usize * self.slot_len;
        // SAFETY: R1: a span has room for all slots that an entry has bits for.
        let start = unsafe { entry.span.as_ref()?.start.add(offset) };
        Some((start, Slot { entry: at, bit }))
    }

    /// Cuts slots from `span`, which has [`span_len`](Self::span_len) bytes.
    pub(crate) fn add(&mut self, span: Span) {
        debug_assert!(span.len() >= self.span_len());
        let free = u64::MAX >> (SLOTS_MAX - self.slots);
        let entry = Entry { span: Some(span), free, open_at: self.open.len() };
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(Entry { span: None, free: 0, open_at: 0 });
            // 2^32 spans have more bytes than memory has.
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.entries.get_mut(at as usize) {
            *place = entry;
            self.open.push(at);
        }
    }

    /// Takes back what [`take`](Self::take) gave. Returns a span of which no slot is taken any more: kept
    /// for the next buffer of this length, it would keep a region.
    pub(crate) fn give_back(&mut self, slot: Slot) -> Option<Span> {
        let entry = self.entries.get_mut(slot.entry as usize)?;
        if entry.free == 0 {
            entry.open_at = self.open.len();
            self.open.push(slot.entry);
        }
        entry.free |= 1 << slot.bit;
        if entry.free.count_ones() as usize != self.slots {
            return None;
        }
        let (span, open_at) = (entry.span.take(), entry.open_at);
        entry.free = 0;
        self.open.swap_remove(open_at);
        if let Some(moved) = self.open.get(open_at)
            && let Some(moved) = self.entries.get_mut(*moved as usize)
        {
            moved.open_at = open_at;
        }
        self.vacant.push(slot.entry);
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_the_shortest_class_that_holds_it() {
        for len in LEN_MIN + 1..=LEN_MAX {
            let class = class_of(len);
            assert!(class < CLASSES && slot_len(class) >= len, "{len}");
            assert!(class == 0 || slot_len(class - 1) < len, "{len}");
            assert!(slot_len(class) - len <= slot_len(class) / (STEPS + 1), "{len}");
        }
        assert_eq!(slot_len(CLASSES - 1), LEN_MAX);
    }

    #[test]
    fn little_of_a_span_belongs_to_no_slot() {
        for class in 0..CLASSES {
            let class = Class::new(class);
            assert!((SLOTS_MIN..=SLOTS_MAX).contains(&class.slots));
            let rest = class.span_len().next_multiple_of(PAGE) - class.span_len();
            assert!(rest <= class.span_len() / (REST_PART - 1), "{class:?}");
            assert_eq!(class.slot_len % 64, 0);
        }
    }
}
