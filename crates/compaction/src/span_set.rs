use std::{cmp::Ordering, ops::Bound};

use stratal_types::{Comparator, KeyRange};

/// A set of keys as ascending ranges that do not overlap.
///
/// Made once, at the start of a job, of what must not be forgotten while the job drops versions:
/// the spans behind its output, or those of range tombstones elsewhere. Building costs
/// O(n log n) comparisons; a question costs O(log n), or O(1) amortized through a [`SpanFinger`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanSet {
    spans: Vec<KeyRange>,
}

impl SpanSet {
    /// The set of no key.
    pub const EMPTY: &'static Self = &Self { spans: Vec::new() };

    /// The set of every key: what a job assumes that may rule nothing out, such as a flush.
    pub fn all() -> Self {
        Self { spans: vec![KeyRange::ALL] }
    }

    /// Every key that lies in one of `spans`.
    pub fn of(spans: impl IntoIterator<Item = KeyRange>, comparator: &dyn Comparator) -> Self {
        let mut given: Vec<KeyRange> =
            spans.into_iter().filter(|span| !span.is_empty(comparator)).collect();
        given.sort_by(|a, b| compare_starts(a, b, comparator));
        let mut spans: Vec<KeyRange> = Vec::with_capacity(given.len());
        for span in given {
            match spans.last_mut() {
                Some(last) if last.overlaps(&span, comparator) => {
                    *last = last.hull(&span, comparator);
                }
                _ => spans.push(span),
            }
        }
        Self { spans }
    }

    /// The ranges, ascending.
    pub fn spans(&self) -> &[KeyRange] {
        &self.spans
    }

    /// Whether the set has no key.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Whether `key` is in the set.
    pub fn contains(&self, key: &[u8], comparator: &dyn Comparator) -> bool {
        let at = self.spans.partition_point(|span| span.is_before(key, comparator));
        self.spans.get(at).is_some_and(|span| !span.is_after(key, comparator))
    }

    /// Whether some key of `range` may be in the set.
    pub fn overlaps(&self, range: &KeyRange, comparator: &dyn Comparator) -> bool {
        // Spans that stand wholly before the range come first, those wholly behind it last.
        let at = self.spans.partition_point(|span| match &range.start {
            Bound::Unbounded => false,
            Bound::Included(start) => span.is_before(start, comparator),
            Bound::Excluded(start) => match &span.end {
                Bound::Unbounded => false,
                Bound::Included(end) | Bound::Excluded(end) => {
                    comparator.compare(end, start).is_le()
                }
            },
        });
        self.spans.get(at).is_some_and(|span| span.overlaps(range, comparator))
    }
}

/// A place in a [`SpanSet`] that follows ascending keys.
#[derive(Clone, Debug)]
pub struct SpanFinger<'a> {
    ahead: &'a [KeyRange],
}

impl<'a> SpanFinger<'a> {
    /// Stands before the first span.
    pub fn new(set: &'a SpanSet) -> Self {
        Self { ahead: &set.spans }
    }

    /// Whether `key`, which stands at or behind every key asked for before, is in the set.
    pub fn contains(&mut self, key: &[u8], comparator: &dyn Comparator) -> bool {
        while let Some((span, behind)) = self.ahead.split_first() {
            if !span.is_before(key, comparator) {
                return !span.is_after(key, comparator);
            }
            self.ahead = behind;
        }
        false
    }
}

impl SpanFinger<'_> {
    /// Whether every key from `first` to `last` is in the set, or none is; `None` if some may be and
    /// some not. `first` stands at or behind every key asked for before.
    pub fn contains_all(
        &mut self,
        first: &[u8],
        last: &[u8],
        comparator: &dyn Comparator,
    ) -> Option<bool> {
        let is_in = self.contains(first, comparator);
        let Some(span) = self.ahead.first() else { return Some(false) };
        if is_in {
            span.contains(last, comparator).then_some(true)
        } else {
            span.is_after(last, comparator).then_some(false)
        }
    }
}

/// Orders ranges by where they begin.
pub(crate) fn compare_starts(a: &KeyRange, b: &KeyRange, comparator: &dyn Comparator) -> Ordering {
    match (&a.start, &b.start) {
        (Bound::Unbounded, Bound::Unbounded) => Ordering::Equal,
        (Bound::Unbounded, _) => Ordering::Less,
        (_, Bound::Unbounded) => Ordering::Greater,
        (
            x @ (Bound::Included(from) | Bound::Excluded(from)),
            y @ (Bound::Included(to) | Bound::Excluded(to)),
        ) => {
            let excluded = |bound: &Bound<_>| matches!(bound, Bound::Excluded(_));
            comparator.compare(from, to).then(excluded(x).cmp(&excluded(y)))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use stratal_types::{Bytewise, Reverse, Shortlex};

    use super::*;

    fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
        let key = || vec(0u8..3, 1..3);
        prop_oneof![
            1 => Just(Bound::Unbounded),
            4 => key().prop_map(Bound::Included),
            4 => key().prop_map(Bound::Excluded),
        ]
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        (bound(), bound()).prop_map(|(start, end)| KeyRange { start, end })
    }

    fn universe() -> Vec<Vec<u8>> {
        let one = (0..4u8).map(|a| vec![a]);
        one.chain((0..16u8).map(|ab| vec![ab / 4, ab % 4])).collect()
    }

    proptest! {
        #[test]
        fn a_set_holds_the_keys_of_its_spans(given in vec(range(), 0..6), asked in range()) {
            for order in [&Bytewise as &dyn Comparator, &Reverse, &Shortlex] {
                let set = SpanSet::of(given.clone(), order);
                let mut finger = SpanFinger::new(&set);
                let mut keys = universe();
                keys.sort_by(|a, b| order.compare(a, b));
                for key in keys {
                    let within = given.iter().any(|span| span.contains(&key, order));
                    prop_assert_eq!(set.contains(&key, order), within);
                    prop_assert_eq!(finger.contains(&key, order), within);
                    prop_assert!(!(within && asked.contains(&key, order)) || set.overlaps(&asked, order));
                    let mut ahead = universe();
                    ahead.retain(|last| order.compare(last, &key).is_ge());
                    for last in &ahead {
                        let Some(is_in) = finger.clone().contains_all(&key, last, order) else {
                            let has_both = |span: &KeyRange| {
                                span.contains(&key, order) && span.contains(last, order)
                            };
                            prop_assert!(!set.is_empty() && !set.spans().iter().any(has_both));
                            continue;
                        };
                        let between = ahead.iter().filter(|it| order.compare(it, last).is_le());
                        for it in between {
                            prop_assert_eq!(set.contains(it, order), is_in);
                        }
                    }
                }
                let expected = given.iter().any(|span| span.overlaps(&asked, order));
                prop_assert_eq!(set.overlaps(&asked, order), expected);
            }
        }
    }
}
