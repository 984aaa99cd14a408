//! Range tombstones, split into disjoint fragments.
//!
//! A range tombstone `[start, end)@f` hides `K@s` from a read at `R` iff `start ≤ K < end`, `s < f`
//! and `f < R`, both strictly. Tombstones overlap as they please, so [`Fragments`] cuts them where any
//! of them begins or ends:
//!
//! ```text
//! tombstones   [a ───────── m)@7            bounds    a      f      m      p      t
//!                     [f ───────── p)@9     stretches │  7   │ 9 7  │  9   │  3   │
//!                                  [p ─ t)@3
//! ```
//!
//! Between two neighbouring bounds lies a *stretch*, over all of which the same tombstones hold. The
//! stretch of a key is found by binary search, and the newest tombstone that a read sees by another
//! one among its numbers, which stand newest first.
//!
//! # Invariants
//!
//! * Bounds strictly ascend by the comparator; every method wants the one given to
//!   [`Fragments::build`].
//! * Neighbouring stretches differ, and the first and last hold a tombstone: equal coverage has one
//!   representation, so `==` compares coverage.

use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::Range;

use crate::{Comparator, KeyRange, SeqNo};

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

/// Some keys and the tombstones that hold over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The first key.
    pub start: &'a [u8],
    /// The first key behind.
    pub end: &'a [u8],
    /// Numbers of the tombstones, newest first, each once; never empty.
    pub seqnos: &'a [SeqNo],
}

/// Keys between two neighbouring bounds of a [`Fragments`], or outside all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch<'a> {
    /// The first key; `None` before the first bound.
    pub start: Option<&'a [u8]>,
    /// The first key behind; `None` from the last bound on.
    pub end: Option<&'a [u8]>,
    /// Numbers of the tombstones over these keys, newest first; empty in a gap.
    pub seqnos: &'a [SeqNo],
}

impl Stretch<'_> {
    /// Whether `key` lies in the stretch.
    pub fn contains(&self, key: &[u8], comparator: &dyn Comparator) -> bool {
        self.start.is_none_or(|start| comparator.compare(start, key).is_le())
            && self.end.is_none_or(|end| comparator.compare(key, end).is_lt())
    }

    /// The newest tombstone here that a read at `bound` sees.
    pub fn newest_below(&self, bound: SeqNo) -> Option<SeqNo> {
        let seen_from = self.seqnos.partition_point(|seqno| !seqno.is_visible_at(bound));
        self.seqnos.get(seen_from).copied()
    }
}

/// Range tombstones as disjoint fragments in a comparator's order.
///
/// Immutable; holds three flat buffers however many tombstones there are. Where `n` tombstones lie
/// over one key their numbers are stored in up to `2n` fragments, so tombstones that all overlap take
/// quadratic space.
///
/// ```
/// use stratal_types::{Bytewise, Fragments, RangeTombstone, SeqNo};
///
/// let at = |seqno: u32| SeqNo::from(seqno);
/// let written = [RangeTombstone::new("a", "m", at(7)), RangeTombstone::new("f", "p", at(9))];
/// let fragments = Fragments::build(&written, &Bytewise);
/// assert_eq!(fragments.len(), 3);
/// assert_eq!(fragments.covering(b"g", SeqNo::MAX, &Bytewise), Some(at(9)));
/// assert_eq!(fragments.covering(b"g", at(9), &Bytewise), Some(at(7)), "9 is not below 9");
/// assert_eq!(fragments.covering(b"p", SeqNo::MAX, &Bytewise), None, "the end is excluded");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragments {
    /// The keys at the bounds, one behind the other.
    keys: Vec<u8>,
    /// Ascending by key. The last one ends the last fragment and holds no numbers.
    bounds: Vec<Bound>,
    /// The numbers of all fragments, one list behind the other.
    seqnos: Vec<SeqNo>,
}

/// Where a stretch begins, and the tombstones over it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    key: Range<usize>,
    seqnos: Range<usize>,
}

impl Fragments {
    /// No tombstone.
    pub const EMPTY: Self = Self { keys: Vec::new(), bounds: Vec::new(), seqnos: Vec::new() };

    /// Cuts `tombstones`, in any order, into fragments. Those that are empty in this order are
    /// dropped, equal ones are kept once.
    ///
    /// Takes time `n log n` plus what the result is long.
    pub fn build<'a>(
        tombstones: impl IntoIterator<Item = &'a RangeTombstone>,
        comparator: &dyn Comparator,
    ) -> Self {
        let parts = tombstones.into_iter();
        sweep(parts.map(|part| (&part.start[..], &part.end[..], part.seqno)), comparator)
    }

    /// The tombstones of all `parts` together.
    pub fn merge<'a>(
        parts: impl IntoIterator<Item = &'a Self>,
        comparator: &dyn Comparator,
    ) -> Self {
        let fragments = parts.into_iter().flat_map(Self::iter);
        let spans = fragments.flat_map(|fragment| {
            fragment.seqnos.iter().map(move |&seqno| (fragment.start, fragment.end, seqno))
        });
        sweep(spans, comparator)
    }

    /// The tombstones over keys from `start` (or from the first) up to, and without, `end` (or up to
    /// the last), cut at both.
    #[must_use]
    pub fn clip(
        &self,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
        comparator: &dyn Comparator,
    ) -> Self {
        let later = |key| match start {
            Some(start) if comparator.compare(start, key).is_gt() => start,
            _ => key,
        };
        let earlier = |key| match end {
            Some(end) if comparator.compare(end, key).is_lt() => end,
            _ => key,
        };
        let mut clipped = Builder::default();
        for fragment in self.iter() {
            let (start, end) = (later(fragment.start), earlier(fragment.end));
            if comparator.compare(start, end).is_lt() {
                clipped.bound(start, fragment.seqnos.iter().copied(), comparator);
                clipped.bound(end, [], comparator);
            }
        }
        clipped.fragments
    }

    /// The highest number below `bound` of a tombstone over `key`.
    ///
    /// `K@s` is hidden from a read at `bound` iff this is greater than `s`.
    pub fn covering(&self, key: &[u8], bound: SeqNo, comparator: &dyn Comparator) -> Option<SeqNo> {
        self.stretch(self.position(key, comparator)).newest_below(bound)
    }

    /// Which stretch `key` lies in: an argument for [`stretch`](Self::stretch).
    pub fn position(&self, key: &[u8], comparator: &dyn Comparator) -> usize {
        self.bounds.partition_point(|bound| comparator.compare(self.key(bound), key).is_le())
    }

    /// Stretch number `position`. Number 0 lies before the first bound; the last one, and every
    /// higher number, behind the last bound.
    pub fn stretch(&self, position: usize) -> Stretch<'_> {
        let begun = match position.checked_sub(1) {
            Some(before) => self.bounds.get(before).or(self.bounds.last()),
            None => None,
        };
        Stretch {
            start: begun.map(|bound| self.key(bound)),
            end: self.bounds.get(position).map(|bound| self.key(bound)),
            seqnos: begun.map(|bound| self.seqnos(bound)).unwrap_or_default(),
        }
    }

    /// The fragments in order. Gaps between them are not among them.
    pub fn iter(&self) -> impl Iterator<Item = Fragment<'_>> {
        self.bounds.array_windows().filter_map(|[from, to]| {
            let (start, end, seqnos) = (self.key(from), self.key(to), self.seqnos(from));
            (!seqnos.is_empty()).then_some(Fragment { start, end, seqnos })
        })
    }

    /// How many fragments there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no tombstone.
    pub fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// From the start of the first fragment to the end of the last.
    pub fn span(&self) -> Option<KeyRange> {
        let (first, last) = (self.bounds.first()?, self.bounds.last()?);
        Some(KeyRange::half_open(self.key(first), self.key(last)))
    }

    /// The lowest and the highest number of a tombstone.
    pub fn seqno_range(&self) -> Option<(SeqNo, SeqNo)> {
        Some((*self.seqnos.iter().min()?, *self.seqnos.iter().max()?))
    }

    /// Bytes allocated.
    pub fn memory_used(&self) -> usize {
        self.keys.capacity()
            + self.bounds.capacity() * size_of::<Bound>()
            + self.seqnos.capacity() * size_of::<SeqNo>()
    }

    fn key(&self, bound: &Bound) -> &[u8] {
        self.keys.get(bound.key.clone()).unwrap_or_default()
    }

    fn seqnos(&self, bound: &Bound) -> &[SeqNo] {
        self.seqnos.get(bound.seqnos.clone()).unwrap_or_default()
    }
}

/// Appends bounds in order, joining stretches that do not differ.
#[derive(Default)]
struct Builder {
    fragments: Fragments,
}

impl Builder {
    /// From `key` on, and up to the next bound, the tombstones `seqnos` hold. A second call with the
    /// same key replaces the first.
    fn bound(
        &mut self,
        key: &[u8],
        seqnos: impl IntoIterator<Item = SeqNo>,
        comparator: &dyn Comparator,
    ) {
        let Fragments { keys, bounds, seqnos: all } = &mut self.fragments;
        if let Some(last) = bounds.pop_if(|last| {
            let last = keys.get(last.key.clone()).unwrap_or_default();
            comparator.compare(last, key).is_eq()
        }) {
            keys.truncate(last.key.start);
            all.truncate(last.seqnos.start);
        }
        let from = all.len();
        all.extend(seqnos);
        let before = bounds.last().and_then(|last| all.get(last.seqnos.clone()));
        if before.unwrap_or_default() == all.get(from..).unwrap_or_default() {
            all.truncate(from);
            return;
        }
        let key_from = keys.len();
        keys.extend_from_slice(key);
        bounds.push(Bound { key: key_from..keys.len(), seqnos: from..all.len() });
    }
}

/// A tombstone, borrowed: start, end, number.
type Span<'a> = (&'a [u8], &'a [u8], SeqNo);

/// Goes over all starts and ends in order and notes at each which tombstones hold from there on.
fn sweep<'a>(spans: impl Iterator<Item = Span<'a>>, comparator: &dyn Comparator) -> Fragments {
    let spans = spans.filter(|(start, end, _)| comparator.compare(start, end).is_lt());
    let mut changes: Vec<(&[u8], Change, SeqNo)> = spans
        .flat_map(|(start, end, seqno)| [(start, Change::Begin, seqno), (end, Change::End, seqno)])
        .collect();
    // What begins stands before what ends at the same key, so no count falls below zero.
    changes.sort_unstable_by(|(a, x, _), (b, y, _)| comparator.compare(a, b).then(x.cmp(y)));

    let mut swept = Builder::default();
    let mut open: BTreeMap<SeqNo, usize> = BTreeMap::new();
    for at_one_key in changes.chunk_by(|(a, ..), (b, ..)| comparator.compare(a, b).is_eq()) {
        for &(_, change, seqno) in at_one_key {
            let count = open.entry(seqno).or_default();
            match change {
                Change::Begin => *count += 1,
                Change::End if *count > 1 => *count -= 1,
                Change::End => drop(open.remove(&seqno)),
            }
        }
        if let Some((key, ..)) = at_one_key.first() {
            swept.bound(key, open.keys().rev().copied(), comparator);
        }
    }
    swept.fragments
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Begin,
    End,
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
            assert!(fragment.seqnos.is_sorted_by(|a, b| a > b) && !fragment.seqnos.is_empty());
        }
        for [a, b] in all.array_windows() {
            let gap = order.compare(a.end, b.start);
            assert!(gap.is_lt() || gap.is_eq() && a.seqnos != b.seqnos, "not one piece: {all:?}");
        }
        let span = all.first().zip(all.last());
        let span = span.map(|(first, last)| KeyRange::half_open(first.start, last.end));
        assert_eq!(fragments.span(), span);

        for key in universe() {
            let expected = expected(&key);
            let position = fragments.position(&key, order);
            let stretch = fragments.stretch(position);
            assert!(stretch.contains(&key, order));
            assert_eq!(stretch.seqnos, expected, "{key:?}");
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
                let seqnos: Vec<_> = built.iter().flat_map(|part| part.seqnos.to_vec()).collect();
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
                    let span = Stretch { start: from.as_deref(), end: to.as_deref(), seqnos: &[] };
                    if span.contains(key, order) { naive(&written, key, order) } else { vec![] }
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
    fn nothing_covers_nothing() {
        assert_eq!(Fragments::EMPTY, Fragments::build(&[], &Bytewise));
        assert_eq!(Fragments::EMPTY.covering(b"k", SeqNo::MAX, &Bytewise), None);
        assert_eq!(Fragments::EMPTY.span(), None);
        for position in [0, 1, usize::MAX] {
            let everywhere = Stretch { start: None, end: None, seqnos: &[] };
            assert_eq!(Fragments::EMPTY.stretch(position), everywhere);
        }
        let backwards = RangeTombstone::new("b", "a", SeqNo::ZERO);
        assert!(backwards.is_empty(&Bytewise) && !backwards.is_empty(&Reverse));
        assert!(Fragments::build([&backwards], &Bytewise).is_empty());
    }
}
