//! Range tombstones: deletes of whole ranges of keys, and which of them hold over a key.
//!
//! A range tombstone `[start, end)@f` hides `K@s` from a read at `R` iff `start ≤ K < end`, `s < f`
//! and `f < R`, both strictly. Tombstones overlap as they please. [`Fragments`] keeps each whole, and
//! knows every key at which any of them begins or ends:
//!
//! ```text
//! tombstones   [a ───────── m)@7            bounds    a      f      m      p      t
//!                     [f ───────── p)@9     stretches │  7   │ 9 7  │  9   │  3   │
//!                                  [p ─ t)@3
//! ```
//!
//! Between two neighbouring bounds lies a *stretch*, over all of which the same tombstones hold. The
//! stretch of a key is found by binary search. What holds over it is not listed, since tombstones that
//! lie over one another would then take quadratic space: a tree over the stretches has each tombstone
//! at the few nodes that together make up its range, and a lookup goes from a stretch to the root.
//!
//! # Invariants
//!
//! * Bounds strictly ascend by the comparator; every method wants the one given to
//!   [`Fragments::build`].
//! * Fragments of one number neither overlap nor touch, and each bound is one of a fragment: equal
//!   coverage has one representation, so `==` compares coverage.

mod covers;

use alloc::vec::Vec;
use core::cmp;

use crate::{Comparator, KeyRange, SeqNo};
use covers::{Covers, Place, place};

/// A delete of every key from `start` up to, and without, `end`, as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RangeTombstone {
    /// The first key it may hide.
    pub start: Vec<u8>,
    /// The first key behind it.
    pub end: Vec<u8>,
    /// Its number: versions with a smaller one are hidden.
    pub seqno: SeqNo,
}

impl RangeTombstone {
    /// Puts the parts together.
    pub fn new(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>, seqno: SeqNo) -> Self {
        Self { start: start.into(), end: end.into(), seqno }
    }

    /// Whether it can hide no key at all.
    pub fn is_empty(&self, comparator: &dyn Comparator) -> bool {
        comparator.compare(&self.start, &self.end).is_ge()
    }
}

/// All of the range tombstones of one number that hang together: a [`RangeTombstone`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The first key.
    pub start: &'a [u8],
    /// The first key behind.
    pub end: &'a [u8],
    /// Its number.
    pub seqno: SeqNo,
}

impl<'a> From<&'a RangeTombstone> for Fragment<'a> {
    fn from(tombstone: &'a RangeTombstone) -> Self {
        Self { start: &tombstone.start, end: &tombstone.end, seqno: tombstone.seqno }
    }
}

/// Keys between two neighbouring bounds of a [`Fragments`], or outside all of them.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// The first key; `None` before the first bound.
    pub start: Option<&'a [u8]>,
    /// The first key behind; `None` from the last bound on.
    pub end: Option<&'a [u8]>,
    fragments: &'a Fragments,
    /// `None` outside all bounds.
    place: Option<Place>,
}

impl Stretch<'_> {
    /// Whether `key` lies in the stretch.
    pub fn contains(&self, key: &[u8], comparator: &dyn Comparator) -> bool {
        self.start.is_none_or(|start| comparator.compare(start, key).is_le())
            && self.end.is_none_or(|end| comparator.compare(key, end).is_lt())
    }

    /// The newest tombstone here that a read at `bound` sees.
    ///
    /// Takes constant time if the read sees all tombstones, wherever they are, and otherwise
    /// O(log² n).
    pub fn newest_below(&self, bound: SeqNo) -> Option<SeqNo> {
        let Fragments { parts, covers, .. } = self.fragments;
        let (place, newest) = (self.place?, parts.first()?);
        let part = if newest.seqno.is_visible_at(bound) {
            covers.first(place)
        } else {
            let unseen = parts.partition_point(|part| !part.seqno.is_visible_at(bound));
            covers.first_from(place, unseen)
        };
        part.and_then(|part| parts.get(part)).map(|part| part.seqno)
    }
}

/// Where fragments begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// The bound.
    pub key: &'a [u8],
    /// How many fragments begin here.
    pub begins: usize,
    /// How many end here.
    pub ends: usize,
}

/// Range tombstones in a comparator's order, and what holds over each key.
///
/// Immutable. Takes O(n log n) memory for n tombstones, however they lie over one another: about twice
/// the bytes of their bounds, and 100 to 250 bytes each.
///
/// ```
/// use stratal_types::{Bytewise, Fragments, RangeTombstone, SeqNo};
///
/// let at = |seqno: u32| SeqNo::from(seqno);
/// let written = [RangeTombstone::new("a", "m", at(7)), RangeTombstone::new("f", "p", at(9))];
/// let fragments = Fragments::build(&written, &Bytewise);
/// assert_eq!(fragments.len(), 2);
/// assert_eq!(fragments.covering(b"g", SeqNo::MAX, &Bytewise), Some(at(9)));
/// assert_eq!(fragments.covering(b"g", at(9), &Bytewise), Some(at(7)), "9 is not below 9");
/// assert_eq!(fragments.covering(b"p", SeqNo::MAX, &Bytewise), None, "the end is excluded");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragments {
    /// The keys at the bounds, one behind the other.
    keys: Vec<u8>,
    /// Where the key of each bound ends.
    bounds: Vec<usize>,
    /// Newest first, and those of one number ascending.
    parts: Vec<Part>,
    /// Which parts, by their place among them, hold over each stretch.
    covers: Covers,
}

/// A fragment by the numbers of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    seqno: SeqNo,
    from: Place,
    to: Place,
}

impl Fragments {
    /// No tombstone.
    pub const EMPTY: Self =
        Self { keys: Vec::new(), bounds: Vec::new(), parts: Vec::new(), covers: Covers::EMPTY };

    /// Puts together what is given, in any order: [`RangeTombstone`]s or [`Fragment`]s. Those that are
    /// empty in this order are dropped; those of one number that overlap or touch become one.
    ///
    /// Takes O(n log n) time.
    pub fn build<'a, T: Into<Fragment<'a>>>(
        tombstones: impl IntoIterator<Item = T>,
        comparator: &dyn Comparator,
    ) -> Self {
        let given = tombstones.into_iter().map(Into::into);
        let given = given.filter(|part| comparator.compare(part.start, part.end).is_lt());
        let (mut keys, mut parts) = (Vec::new(), Vec::new());
        for Fragment { start, end, seqno } in given {
            let from = place(keys.len());
            keys.extend([start, end]);
            parts.push(Part { seqno, from, to: from + 1 });
        }
        Self::assemble(&keys, parts, comparator)
    }

    /// The tombstones of all `parts` together.
    pub fn merge<'a>(
        parts: impl IntoIterator<Item = &'a Self>,
        comparator: &dyn Comparator,
    ) -> Self {
        let all: Vec<&Self> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        match all[..] {
            [] => return Self::EMPTY,
            [one] => return one.clone(),
            _ => {}
        }
        let (mut keys, mut merged) = (Vec::new(), Vec::new());
        for fragments in all {
            let before = place(keys.len());
            keys.extend((0..fragments.bounds.len()).map(|at| fragments.key(at)));
            let parts = fragments.parts.iter();
            // Each sum is the number of a key that has just been added.
            merged.extend(parts.map(|part| part.mapped(|bound| bound.saturating_add(before))));
        }
        Self::assemble(&keys, merged, comparator)
    }

    /// The tombstones over keys from `start` (or from the first) up to, and without, `end` (or up to
    /// the last), cut at both.
    ///
    /// Takes time linear in all tombstones, and as [`build`](Self::build) in those that are left.
    #[must_use]
    pub fn clip(
        &self,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
        comparator: &dyn Comparator,
    ) -> Self {
        let Some((first, last)) = self.ends() else { return Self::EMPTY };
        let (start, end) = (start.unwrap_or(first), end.unwrap_or(last));
        if comparator.compare(start, end).is_ge() {
            return Self::EMPTY;
        }
        if comparator.compare(start, first).is_le() && comparator.compare(last, end).is_le() {
            return self.clone();
        }
        // Bounds strictly between the ends stay.
        let from = self.position(start, comparator);
        let to = self.bounds_before(|bound| comparator.compare(bound, end).is_lt());
        let between = (from..to).map(|at| self.key(at));
        let keys: Vec<&[u8]> = [start].into_iter().chain(between).chain([end]).collect();
        let (from, to) = (place(from), place(to));
        let moved = |bound: Place| {
            // What lies before the start begins there, what lies behind the end ends there.
            if bound < from { 0 } else { bound.min(to).saturating_sub(from) + 1 }
        };
        let parts = self.parts.iter().map(|part| part.mapped(moved)).collect();
        Self::assemble(&keys, parts, comparator)
    }

    /// The highest number below `bound` of a tombstone over `key`.
    ///
    /// `K@s` is hidden from a read at `bound` iff this is greater than `s`.
    pub fn covering(&self, key: &[u8], bound: SeqNo, comparator: &dyn Comparator) -> Option<SeqNo> {
        self.stretch(self.position(key, comparator)).newest_below(bound)
    }

    /// Which stretch `key` lies in: an argument for [`stretch`](Self::stretch).
    pub fn position(&self, key: &[u8], comparator: &dyn Comparator) -> usize {
        self.bounds_before(|bound| comparator.compare(bound, key).is_le())
    }

    /// Stretch number `position`. Number 0 lies before the first bound; the last one, and every
    /// higher number, behind the last bound.
    pub fn stretch(&self, position: usize) -> Stretch<'_> {
        let count = self.bounds.len();
        let position = position.min(count);
        let begun = position.checked_sub(1);
        Stretch {
            start: begun.map(|at| self.key(at)),
            end: (position < count).then(|| self.key(position)),
            fragments: self,
            place: begun.filter(|_| position < count).map(place),
        }
    }

    /// Number of bounds, of which the first begins stretch number 1.
    pub fn bounds(&self) -> usize {
        self.bounds.len()
    }

    /// The fragments, newest first, and those of one number ascending.
    pub fn iter(&self) -> impl Iterator<Item = Fragment<'_>> + Clone {
        self.parts.iter().map(|part| Fragment {
            start: self.key(part.from as usize),
            end: self.key(part.to as usize),
            seqno: part.seqno,
        })
    }

    /// All bounds in order, with what begins and ends there.
    pub fn turns(&self) -> impl Iterator<Item = Turn<'_>> {
        let mut counts = alloc::vec![(0, 0); self.bounds.len()];
        let mut count = |bound: Place, begins: usize, ends: usize| {
            if let Some(counts) = counts.get_mut(bound as usize) {
                *counts = (counts.0 + begins, counts.1 + ends);
            }
        };
        for part in &self.parts {
            count(part.from, 1, 0);
            count(part.to, 0, 1);
        }
        let turn = |(at, (begins, ends))| Turn { key: self.key(at), begins, ends };
        counts.into_iter().enumerate().map(turn)
    }

    /// Bytes of the keys at all bounds.
    pub fn bounds_len(&self) -> usize {
        self.keys.len()
    }

    /// How many fragments there are.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is no tombstone.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// From the first bound to the last.
    pub fn span(&self) -> Option<KeyRange> {
        self.ends().map(|(first, last)| KeyRange::half_open(first, last))
    }

    /// The lowest and the highest number of a tombstone.
    pub fn seqno_range(&self) -> Option<(SeqNo, SeqNo)> {
        self.parts.last().zip(self.parts.first()).map(|(low, high)| (low.seqno, high.seqno))
    }

    /// Bytes allocated.
    pub fn memory_used(&self) -> usize {
        self.keys.capacity()
            + self.bounds.capacity() * size_of::<usize>()
            + self.parts.capacity() * size_of::<Part>()
            + self.covers.memory_used()
    }

    fn ends(&self) -> Option<(&[u8], &[u8])> {
        let last = self.bounds.len().checked_sub(1)?;
        Some((self.key(0), self.key(last)))
    }

    /// The key at bound number `at`.
    fn key(&self, at: usize) -> &[u8] {
        let before = at.checked_sub(1).and_then(|before| self.bounds.get(before));
        let end = self.bounds.get(at).copied().unwrap_or_default();
        self.keys.get(before.copied().unwrap_or_default()..end).unwrap_or_default()
    }

    /// How many bounds stand before the first for which `is_before` does not hold.
    fn bounds_before(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut from, mut to) = (0, self.bounds.len());
        while from < to {
            let middle = from.midpoint(to);
            if is_before(self.key(middle)) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }

    /// From parts whose bounds are numbers of `keys`, which stand in any order, more than once perhaps.
    fn assemble(keys: &[&[u8]], mut parts: Vec<Part>, comparator: &dyn Comparator) -> Self {
        // Stable, because that takes little where ascending runs follow one another.
        let mut order: Vec<(&[u8], usize)> = keys.iter().copied().zip(0..).collect();
        order.sort_by(|(a, _), (b, _)| comparator.compare(a, b));
        let distinct = || order.chunk_by(|(a, _), (b, _)| comparator.compare(a, b).is_eq());
        let mut ranks: Vec<Place> = alloc::vec![0; keys.len()];
        for (rank, alike) in distinct().enumerate() {
            for (_, at) in alike {
                set(&mut ranks, *at, place(rank));
            }
        }
        for part in &mut parts {
            *part = part.mapped(|bound| get(&ranks, bound));
        }
        parts.retain(|part| part.from < part.to);
        parts.sort_unstable_by_key(|part| (cmp::Reverse(part.seqno), part.from));
        parts.dedup_by(|next, part| {
            let hangs_together = next.seqno == part.seqno && next.from <= part.to;
            if hangs_together {
                part.to = part.to.max(next.to);
            }
            hangs_together
        });

        // Only where something begins or ends is a bound.
        let mut is_bound = alloc::vec![false; distinct().count()];
        for bound in parts.iter().flat_map(|part| [part.from, part.to]) {
            set(&mut is_bound, bound as usize, true);
        }
        let mut assembled = Self::EMPTY;
        ranks.clear();
        for (alike, is_bound) in distinct().zip(is_bound) {
            ranks.push(place(assembled.bounds.len()));
            if let (true, Some((key, _))) = (is_bound, alike.first()) {
                assembled.keys.extend_from_slice(key);
                assembled.bounds.push(assembled.keys.len());
            }
        }
        for part in &mut parts {
            *part = part.mapped(|bound| get(&ranks, bound));
        }
        parts.shrink_to_fit();
        let stretches = assembled.bounds.len().saturating_sub(1);
        assembled.covers = Covers::build(stretches, parts.iter().map(|part| part.from..part.to));
        assembled.parts = parts;
        assembled
    }
}

impl Part {
    fn mapped(self, to: impl Fn(Place) -> Place) -> Self {
        Self { seqno: self.seqno, from: to(self.from), to: to(self.to) }
    }
}

fn get(of: &[Place], at: Place) -> Place {
    of.get(at as usize).copied().unwrap_or_default()
}

fn set<T>(of: &mut [T], at: usize, value: T) {
    if let Some(place) = of.get_mut(at) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytewise, Reverse, Shortlex};
    use alloc::vec;
    use proptest::prelude::*;

    const ORDERS: [&dyn Comparator; 3] = [&Bytewise, &Reverse, &Shortlex];

    /// Every key of up to two bytes over the letters of [`tombstone`] and one more.
    fn universe() -> Vec<Vec<u8>> {
        let pairs = (0u8..6).flat_map(|a| (0u8..6).map(move |b| vec![a, b]));
        (0u8..6).map(|a| vec![a]).chain(pairs).chain([vec![]]).collect()
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0u8..5, 0..3)
    }

    fn tombstone() -> impl Strategy<Value = RangeTombstone> {
        (key(), key(), 1u32..12)
            .prop_map(|(start, end, seqno)| RangeTombstone::new(start, end, seqno.into()))
    }

    fn tombstones(count_max: usize) -> impl Strategy<Value = Vec<RangeTombstone>> {
        prop::collection::vec(tombstone(), 0..=count_max)
    }

    /// What holds over `key`, by asking each tombstone.
    fn naive(tombstones: &[RangeTombstone], key: &[u8], order: &dyn Comparator) -> Vec<SeqNo> {
        let over = tombstones.iter().filter(|tombstone| {
            order.compare(&tombstone.start, key).is_le()
                && order.compare(key, &tombstone.end).is_lt()
        });
        let mut seqnos: Vec<_> = over.map(|tombstone| tombstone.seqno).collect();
        seqnos.sort_unstable_by_key(|&seqno| core::cmp::Reverse(seqno));
        seqnos.dedup();
        seqnos
    }

    /// The one function that knows the API: `fragments` hold what `expected` says of every key.
    fn check(
        fragments: &Fragments,
        order: &dyn Comparator,
        expected: impl Fn(&[u8]) -> Vec<SeqNo>,
    ) {
        let all: Vec<_> = fragments.iter().collect();
        assert_eq!((all.len(), all.is_empty()), (fragments.len(), fragments.is_empty()));
        for fragment in &all {
            assert!(order.compare(fragment.start, fragment.end).is_lt());
        }
        for [a, b] in all.array_windows() {
            let gap = order.compare(a.end, b.start);
            assert!(a.seqno > b.seqno || a.seqno == b.seqno && gap.is_lt(), "{all:?}");
        }
        let mut bounds: Vec<_> = all.iter().flat_map(|part| [part.start, part.end]).collect();
        bounds.sort_by(|a, b| order.compare(a, b));
        bounds.dedup();
        assert_eq!(bounds.len(), fragments.bounds());
        let span = bounds.first().zip(bounds.last());
        assert_eq!(fragments.span(), span.map(|(a, b)| KeyRange::half_open(*a, *b)));
        let count = |key| {
            (
                all.iter().filter(|part| part.start == key).count(),
                all.iter().filter(|part| part.end == key).count(),
            )
        };
        let turns = bounds.iter().map(|&key| (key, count(key)));
        assert!(turns.eq(fragments.turns().map(|turn| (turn.key, (turn.begins, turn.ends)))));

        for key in universe() {
            let expected = expected(&key);
            let position = fragments.position(&key, order);
            let stretch = fragments.stretch(position);
            assert!(stretch.contains(&key, order));
            if let Some(other) = fragments.stretch(position + 1).start {
                assert!(stretch.end == Some(other) || stretch.end.is_none());
            }
            for bound in (0u32..14).map(SeqNo::from).chain([SeqNo::MAX]) {
                let newest = expected.iter().copied().find(|seqno| seqno.is_visible_at(bound));
                assert_eq!(fragments.covering(&key, bound, order), newest, "{key:?} {bound}");
            }
        }
    }

    proptest! {
        #[test]
        fn fragments_hold_what_a_list_of_tombstones_holds(written in tombstones(12)) {
            for order in ORDERS {
                let built = Fragments::build(&written, order);
                check(&built, order, |key| naive(&written, key, order));
                let held = written.iter().filter(|part| !part.is_empty(order));
                let seqnos: Vec<_> = held.map(|part| part.seqno).collect();
                let range = seqnos.iter().min().copied().zip(seqnos.iter().max().copied());
                prop_assert_eq!(built.seqno_range(), range);
            }
        }

        #[test]
        fn merged_parts_equal_what_is_built_in_one_go(
            parts in prop::collection::vec(tombstones(6), 0..4),
        ) {
            for order in ORDERS {
                let built: Vec<_> =
                    parts.iter().map(|part| Fragments::build(part, order)).collect();
                let merged = Fragments::merge(&built, order);
                prop_assert_eq!(&merged, &Fragments::build(parts.iter().flatten(), order));
            }
        }

        #[test]
        fn clipped_pieces_hold_the_same_inside_and_nothing_outside(
            written in tombstones(10),
            from in prop::option::of(key()),
            to in prop::option::of(key()),
        ) {
            for order in ORDERS {
                let whole = Fragments::build(&written, order);
                let clipped = whole.clip(from.as_deref(), to.as_deref(), order);
                check(&clipped, order, |key| {
                    let is_behind = |from: &Vec<u8>| order.compare(from, key).is_le();
                    let is_before = |to: &Vec<u8>| order.compare(key, to).is_lt();
                    let is_inside = from.as_ref().is_none_or(is_behind)
                        && to.as_ref().is_none_or(is_before);
                    if is_inside { naive(&written, key, order) } else { vec![] }
                });
            }
        }

        #[test]
        fn pieces_cut_at_a_key_merge_into_the_whole(written in tombstones(10), at in key()) {
            for order in ORDERS {
                let whole = Fragments::build(&written, order);
                let pieces =
                    [whole.clip(None, Some(&at), order), whole.clip(Some(&at), None, order)];
                prop_assert_eq!(Fragments::merge(&pieces, order), whole);
            }
        }
    }

    #[test]
    fn tombstones_that_lie_over_one_another_take_little_more_than_themselves() {
        // Each within the one before, so that all lie over the middle.
        let count = 2_000u32;
        let key = |i: u32| alloc::format!("key {i:08}");
        let nested: Vec<_> = (0..count)
            .map(|i| RangeTombstone::new(key(i), key(3 * count - i), SeqNo::from(i + 1)))
            .collect();
        let fragments = Fragments::build(&nested, &Bytewise);
        let of_keys = 2 * 12 * nested.len();
        assert!(fragments.memory_used() < of_keys + 250 * nested.len());
        for i in [0, 1, count / 2, count - 1, count, 2 * count, 3 * count - 1, 3 * count] {
            let at = key(i);
            let over = (i + 1).min(count).min((3 * count).saturating_sub(i));
            for bound in [0, 1, 2, count / 3, count, count + 1].map(SeqNo::from) {
                let newest = u64::from(over).min(bound.get().saturating_sub(1));
                let found = fragments.covering(at.as_bytes(), bound, &Bytewise);
                assert_eq!(found.map_or(0, SeqNo::get), newest, "{at} {bound}");
            }
        }
        let half = fragments.clip(None, Some(key(count / 2).as_bytes()), &Bytewise);
        assert_eq!((half.len(), half.bounds()), (count as usize / 2, count as usize / 2 + 1));
    }

    #[test]
    fn nothing_covers_nothing() {
        assert_eq!(Fragments::EMPTY, Fragments::build::<&RangeTombstone>([], &Bytewise));
        assert_eq!(Fragments::EMPTY.covering(b"k", SeqNo::MAX, &Bytewise), None);
        assert_eq!(Fragments::EMPTY.span(), None);
        let empty = Fragments::EMPTY;
        for position in [0, 1, usize::MAX] {
            let everywhere = empty.stretch(position);
            assert_eq!((everywhere.start, everywhere.end), (None, None));
            assert_eq!(everywhere.newest_below(SeqNo::MAX), None);
        }
        let backwards = RangeTombstone::new("b", "a", SeqNo::ZERO);
        assert!(backwards.is_empty(&Bytewise) && !backwards.is_empty(&Reverse));
        assert!(Fragments::build([&backwards], &Bytewise).is_empty());
    }
}
