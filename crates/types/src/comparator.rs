use alloc::{sync::Arc, vec::Vec};
use core::{cmp::Ordering, fmt::Debug, ops::Bound};

/// A total order of user keys.
///
/// # Contract
///
/// * The order is total and never changes for a given [`name`](Self::name): the name is stored with
///   the data, and data written under one name is not opened under another.
/// * Keys that compare equal are equal byte for byte. Filters, key tags and caches hash the bytes.
/// * `compare` neither panics nor depends on anything but its arguments. It may be called with any
///   bytes, keys read from a damaged file among them.
pub trait Comparator: Debug + Send + Sync {
    /// The name stored with data in this order.
    fn name(&self) -> &str;

    /// Compares two user keys.
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering;

    /// Whether the order is that of unsigned bytes, which has a faster search.
    fn is_bytewise(&self) -> bool {
        false
    }

    /// Bounds, in this order, of the keys that begin with `prefix`.
    ///
    /// The default says nothing about where they are: the whole range, to be filtered.
    fn prefix_range(&self, prefix: &[u8]) -> PrefixRange {
        PrefixRange { start: Bound::Unbounded, end: Bound::Unbounded, exact: prefix.is_empty() }
    }
}

/// Where the keys with some prefix lie in a comparator's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixRange {
    /// No key with the prefix stands before this.
    pub start: Bound<Vec<u8>>,
    /// No key with the prefix stands after this.
    pub end: Bound<Vec<u8>>,
    /// Whether every key between the bounds has the prefix. If not, the reader must look.
    pub exact: bool,
}

/// Unsigned bytes, shorter first among keys of which one begins with the other. The default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytewise;

/// The opposite of [`Bytewise`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reverse;

/// Shorter keys first; keys of one length as in [`Bytewise`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortlex;

impl Comparator for Bytewise {
    fn name(&self) -> &'static str {
        "bytewise"
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        a.cmp(b)
    }

    fn is_bytewise(&self) -> bool {
        true
    }

    fn prefix_range(&self, prefix: &[u8]) -> PrefixRange {
        PrefixRange {
            start: Bound::Included(prefix.to_vec()),
            end: prefix_successor(prefix).map_or(Bound::Unbounded, Bound::Excluded),
            exact: true,
        }
    }
}

impl Comparator for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }

    fn prefix_range(&self, prefix: &[u8]) -> PrefixRange {
        PrefixRange {
            start: prefix_successor(prefix).map_or(Bound::Unbounded, Bound::Excluded),
            end: Bound::Included(prefix.to_vec()),
            exact: true,
        }
    }
}

impl Comparator for Shortlex {
    fn name(&self) -> &'static str {
        "shortlex"
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
    }

    /// Keys with a prefix stand in one stretch per length, with others between.
    fn prefix_range(&self, prefix: &[u8]) -> PrefixRange {
        PrefixRange {
            start: Bound::Included(prefix.to_vec()),
            end: Bound::Unbounded,
            exact: prefix.is_empty(),
        }
    }
}

/// The comparator of this crate that stores itself under `name`.
///
/// ```
/// use stratal_types::comparator_named;
/// assert!(comparator_named("shortlex").unwrap().compare(b"b", b"aa").is_lt());
/// assert!(comparator_named("by moonlight").is_none());
/// ```
pub fn comparator_named(name: &str) -> Option<Arc<dyn Comparator>> {
    let known: [Arc<dyn Comparator>; 3] =
        [Arc::new(Bytewise), Arc::new(Reverse), Arc::new(Shortlex)];
    known.into_iter().find(|comparator| comparator.name() == name)
}

/// The first key, bytewise, after every key that begins with `prefix`; `None` if there is none.
fn prefix_successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut successor = prefix.get(..=last)?.to_vec();
    *successor.last_mut()? += 1;
    Some(successor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyRange;
    use alloc::vec;
    use proptest::prelude::*;

    fn comparators() -> [&'static dyn Comparator; 3] {
        [&Bytewise, &Reverse, &Shortlex]
    }

    /// Keys over three bytes, among them the one that carries over when a prefix is incremented.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 7, 255]), 0..5)
    }

    proptest! {
        #[test]
        fn orders_are_total_and_equal_keys_are_equal_bytes(a in key(), b in key(), c in key()) {
            for order in comparators() {
                prop_assert_eq!(order.compare(&a, &b), order.compare(&b, &a).reverse());
                prop_assert_eq!(order.compare(&a, &b).is_eq(), a == b);
                if order.compare(&a, &b).is_le() && order.compare(&b, &c).is_le() {
                    prop_assert!(order.compare(&a, &c).is_le(), "{}", order.name());
                }
            }
        }

        #[test]
        fn prefix_ranges_hold_every_key_with_the_prefix(prefix in key(), key in key()) {
            for order in comparators() {
                let PrefixRange { start, end, exact } = order.prefix_range(&prefix);
                let within = KeyRange { start, end }.contains(&key, order);
                if key.starts_with(&prefix) {
                    prop_assert!(within, "{}", order.name());
                } else {
                    prop_assert!(!(within && exact), "{}", order.name());
                }
            }
        }
    }

    #[test]
    fn comparators_are_found_by_their_own_name() {
        for order in comparators() {
            assert_eq!(comparator_named(order.name()).unwrap().name(), order.name());
        }
    }
}
