use alloc::vec::Vec;
use core::{
    cmp::Ordering,
    ops::{Bound, RangeBounds},
};

use crate::Comparator;

/// A stretch of user keys in some comparator's order.
///
/// The comparator is an argument of every question, since the range itself is plain data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// Where it begins.
    pub start: Bound<Vec<u8>>,
    /// Where it ends.
    pub end: Bound<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub const ALL: Self = Self { start: Bound::Unbounded, end: Bound::Unbounded };

    /// The range from `from` up to, and without, `to`.
    pub fn half_open(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        Self { start: Bound::Included(from.into()), end: Bound::Excluded(to.into()) }
    }

    /// The range from `first` up to and with `last`.
    pub fn closed(first: impl Into<Vec<u8>>, last: impl Into<Vec<u8>>) -> Self {
        Self { start: Bound::Included(first.into()), end: Bound::Included(last.into()) }
    }

    /// Copies any range of keys.
    pub fn from_bounds<K: AsRef<[u8]>>(range: &impl RangeBounds<K>) -> Self {
        let own = |bound: Bound<&K>| bound.map(|key| key.as_ref().to_vec());
        Self { start: own(range.start_bound()), end: own(range.end_bound()) }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8], comparator: &dyn Comparator) -> bool {
        !self.is_after(key, comparator) && !self.is_before(key, comparator)
    }

    /// Whether the whole range stands after `key`.
    pub fn is_after(&self, key: &[u8], comparator: &dyn Comparator) -> bool {
        match &self.start {
            Bound::Included(start) => comparator.compare(key, start).is_lt(),
            Bound::Excluded(start) => comparator.compare(key, start).is_le(),
            Bound::Unbounded => false,
        }
    }

    /// Whether the whole range stands before `key`.
    pub fn is_before(&self, key: &[u8], comparator: &dyn Comparator) -> bool {
        match &self.end {
            Bound::Included(end) => comparator.compare(key, end).is_gt(),
            Bound::Excluded(end) => comparator.compare(key, end).is_ge(),
            Bound::Unbounded => false,
        }
    }

    /// Whether no key can lie in the range. `false` where that cannot be told: between two keys
    /// that exclude both ends there may be none, and only the comparator's author knows.
    pub fn is_empty(&self, comparator: &dyn Comparator) -> bool {
        ends_before(&self.end, &self.start, comparator)
    }

    /// Whether some key may lie in both ranges.
    pub fn overlaps(&self, other: &Self, comparator: &dyn Comparator) -> bool {
        !ends_before(&self.end, &other.start, comparator)
            && !ends_before(&other.end, &self.start, comparator)
            && !self.is_empty(comparator)
            && !other.is_empty(comparator)
    }

    /// Whether every key of `other` lies in this range too, as far as the bounds tell.
    pub fn covers(&self, other: &Self, comparator: &dyn Comparator) -> bool {
        compare_starts(&self.start, &other.start, comparator).is_le()
            && compare_ends(&self.end, &other.end, comparator).is_ge()
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn hull(&self, other: &Self, comparator: &dyn Comparator) -> Self {
        let start = match compare_starts(&self.start, &other.start, comparator) {
            Ordering::Greater => &other.start,
            _ => &self.start,
        };
        let end = match compare_ends(&self.end, &other.end, comparator) {
            Ordering::Less => &other.end,
            _ => &self.end,
        };
        Self { start: start.clone(), end: end.clone() }
    }
}

/// Whether no key is both before `end` and after `start`.
fn ends_before(end: &Bound<Vec<u8>>, start: &Bound<Vec<u8>>, comparator: &dyn Comparator) -> bool {
    match (end, start) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(end), Bound::Included(start)) => comparator.compare(end, start).is_lt(),
        (
            Bound::Included(end) | Bound::Excluded(end),
            Bound::Included(start) | Bound::Excluded(start),
        ) => comparator.compare(end, start).is_le(),
    }
}

fn compare_starts(a: &Bound<Vec<u8>>, b: &Bound<Vec<u8>>, comparator: &dyn Comparator) -> Ordering {
    match (a, b) {
        (Bound::Unbounded, Bound::Unbounded) => Ordering::Equal,
        (Bound::Unbounded, _) => Ordering::Less,
        (_, Bound::Unbounded) => Ordering::Greater,
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            let excluded = |bound| matches!(bound, &Bound::Excluded(_));
            comparator.compare(x, y).then(excluded(a).cmp(&excluded(b)))
        }
    }
}

fn compare_ends(a: &Bound<Vec<u8>>, b: &Bound<Vec<u8>>, comparator: &dyn Comparator) -> Ordering {
    match (a, b) {
        (Bound::Unbounded, Bound::Unbounded) => Ordering::Equal,
        (Bound::Unbounded, _) => Ordering::Greater,
        (_, Bound::Unbounded) => Ordering::Less,
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            let included = |bound| matches!(bound, &Bound::Included(_));
            comparator.compare(x, y).then(included(a).cmp(&included(b)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytewise, Reverse, Shortlex};
    use alloc::vec;
    use proptest::prelude::*;

    fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
        let key = prop::collection::vec(0u8..3, 0..3);
        prop_oneof![
            Just(Bound::Unbounded),
            key.clone().prop_map(Bound::Included),
            key.prop_map(Bound::Excluded),
        ]
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        (bound(), bound()).prop_map(|(start, end)| KeyRange { start, end })
    }

    /// Every key up to three bytes long over the alphabet of [`range`] and one letter more.
    fn universe() -> Vec<Vec<u8>> {
        let mut keys = vec![vec![]];
        for len in 0..3 {
            let longer: Vec<Vec<u8>> = keys
                .iter()
                .filter(|key| key.len() == len)
                .flat_map(|key| (0..4).map(|byte| [key.as_slice(), &[byte]].concat()))
                .collect();
            keys.extend(longer);
        }
        keys
    }

    proptest! {
        #[test]
        fn ranges_agree_with_their_members(a in range(), b in range()) {
            for order in [&Bytewise as &dyn Comparator, &Reverse, &Shortlex] {
                let hull = a.hull(&b, order);
                prop_assert!(hull.covers(&a, order) && hull.covers(&b, order));
                for key in universe() {
                    let (in_a, in_b) = (a.contains(&key, order), b.contains(&key, order));
                    prop_assert!(!in_a || !a.is_empty(order));
                    prop_assert!(!(in_a && in_b) || a.overlaps(&b, order));
                    prop_assert!(!(in_a || in_b) || hull.contains(&key, order));
                    prop_assert!(!in_b || in_a || !a.covers(&b, order));
                }
            }
        }
    }

    #[test]
    fn touching_half_open_ranges_do_not_overlap() {
        let (low, high) = (KeyRange::half_open("a", "b"), KeyRange::half_open("b", "c"));
        assert!(!low.overlaps(&high, &Bytewise));
        assert!(low.overlaps(&KeyRange::closed("a", "a"), &Bytewise));
        assert!(KeyRange::half_open("b", "b").is_empty(&Bytewise));
        assert!(!KeyRange::closed("b", "b").is_empty(&Bytewise));
    }
}
