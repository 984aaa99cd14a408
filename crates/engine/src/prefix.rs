//! Reads of keys that have a prefix in common, and what tables know about them.

use std::{ops::Bound, sync::Arc};

use stratal_sst::TableContext;
use stratal_types::{Comparator, KeyRange};

use crate::{Tree, TreeSpec, files::Files};

impl TreeSpec {
    /// What tables are written with.
    pub(crate) fn table_context(
        &self,
        files: &Arc<Files>,
        comparator: &Arc<dyn Comparator>,
    ) -> TableContext {
        TableContext {
            prefix_extractor: self.options().prefix.clone(),
            ..files.context(comparator)
        }
    }
}

impl Tree {
    /// What all keys of `range` begin with, if filters may know something about it.
    pub(crate) fn prefix_of(&self, range: &KeyRange) -> Option<Arc<[u8]>> {
        self.spec.load().options().prefix.as_ref()?;
        common_prefix(range, self.comparator.as_ref()).map(Arc::from)
    }

    /// The prefix itself, if filters may know something about it.
    pub(crate) fn asked(&self, prefix: &[u8]) -> Option<Arc<[u8]>> {
        self.spec.load().options().prefix.as_ref().map(|_| Arc::from(prefix))
    }
}

/// The longest bytes with which, as the bounds alone show, every key of `range` begins. A range that
/// is open at one end has none.
fn common_prefix<'r>(range: &'r KeyRange, comparator: &dyn Comparator) -> Option<&'r [u8]> {
    let (start, end) = (key(&range.start)?, key(&range.end)?);
    let shared = start.iter().zip(end).take_while(|(a, b)| a == b).count();
    // A bound may be the first key behind all those with a prefix, and then has one byte of it less.
    let candidates = [start.get(..=shared), end.get(..=shared), start.get(..shared)];
    candidates.into_iter().flatten().find(|prefix| {
        let found = comparator.prefix_range(prefix);
        let all = KeyRange { start: found.start, end: found.end };
        found.exact && !prefix.is_empty() && all.covers(range, comparator)
    })
}

fn key(bound: &Bound<Vec<u8>>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

#[cfg(test)]
mod tests {
    use stratal_types::{Bytewise, Reverse, Shortlex};

    use super::*;

    #[test]
    fn a_range_has_the_prefix_that_its_bounds_show() {
        let half_open = |from: &str, to: &str| KeyRange::half_open(from, to);
        let cases: [(KeyRange, &dyn Comparator, Option<&str>); 10] = [
            (half_open("AD/", "AD0"), &Bytewise, Some("AD/")),
            (half_open("AD/Vila", "AD0"), &Bytewise, Some("AD/")),
            (half_open("AD/A", "AD/V"), &Bytewise, Some("AD/")),
            (KeyRange::closed("AD/A", "AD0"), &Bytewise, Some("AD")),
            (half_open("AD/A", "AE"), &Bytewise, Some("AD")),
            (half_open("AD/A", "B"), &Bytewise, Some("A")),
            (half_open("A", "C"), &Bytewise, None),
            (KeyRange { end: Bound::Unbounded, ..half_open("A", "") }, &Bytewise, None),
            (half_open("AD/V", "AD/A"), &Reverse, Some("AD/")),
            (half_open("AD/A", "AD/V"), &Shortlex, None),
        ];
        for (range, comparator, expected) in cases {
            let found = common_prefix(&range, comparator);
            assert_eq!(found, expected.map(str::as_bytes), "{range:?} {comparator:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_key_of_a_range_begins_with_its_prefix(
            from in proptest::collection::vec(0u8..3, 0..4),
            to in proptest::collection::vec(0u8..3, 0..4),
            keys in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..5), 30),
        ) {
            for comparator in [&Bytewise as &dyn Comparator, &Reverse, &Shortlex] {
                for range in [
                    KeyRange::half_open(from.clone(), to.clone()),
                    KeyRange::closed(from.clone(), to.clone()),
                ] {
                    let Some(prefix) = common_prefix(&range, comparator) else { continue };
                    let inside = keys.iter().filter(|key| range.contains(key, comparator));
                    for key in inside {
                        proptest::prop_assert!(key.starts_with(prefix), "{key:?} {range:?}");
                    }
                }
            }
        }
    }
}
