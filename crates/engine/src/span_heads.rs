//! Where the tables of a run begin and end, as numbers that stand together.

use std::ops::{Bound, Range};

use stratal_types::KeyRange;

/// Of each table of a run, in order, where its span begins and ends: the first eight bytes behind what
/// all of them begin with, as a number. Keys that differ in it are in its order; those that do not,
/// only the comparator can tell apart. For keys in bytewise order.
///
/// The table that may have a key is found in them without following a pointer to any.
#[derive(Debug, Default)]
pub(crate) struct SpanHeads {
    prefix: Vec<u8>,
    starts: Vec<u64>,
    ends: Vec<u64>,
}

impl SpanHeads {
    /// Of spans that ascend and do not overlap.
    pub(crate) fn of<'s>(spans: impl Iterator<Item = &'s KeyRange> + Clone) -> Self {
        let first = spans.clone().next().and_then(|span| key_of(&span.start));
        let last = spans.clone().last().and_then(|span| key_of(&span.end));
        let prefix = match (first, last) {
            (Some(first), Some(last)) => {
                let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
                first.get(..shared).unwrap_or_default().to_vec()
            }
            _ => Vec::new(),
        };
        let mut heads = Self { prefix, starts: Vec::new(), ends: Vec::new() };
        for span in spans {
            let start = key_of(&span.start).map_or(u64::MIN, |key| heads.head(key));
            let end = key_of(&span.end).map_or(u64::MAX, |key| heads.head(key));
            heads.starts.push(start);
            heads.ends.push(end);
        }
        heads
    }

    /// The number of `key`, which is no lower than that of any key before it.
    #[inline]
    pub(crate) fn head(&self, key: &[u8]) -> u64 {
        // No bytes are not compared: they have no address.
        if self.prefix.is_empty() {
            return head_of(key);
        }
        match key.strip_prefix(&self.prefix[..]) {
            Some(rest) => head_of(rest),
            None if *key < self.prefix[..] => u64::MIN,
            None => u64::MAX,
        }
    }

    /// The tables of which heads do not tell whether they end before a key with this head. All that
    /// stand before them do, and none behind.
    #[inline]
    pub(crate) fn ends_at(&self, head: u64) -> Range<usize> {
        let start = self.ends.partition_point(|&end| end < head);
        let ties = self.ends.get(start..).unwrap_or_default();
        start..start + ties.iter().take_while(|&&end| end == head).count()
    }

    /// Whether table `i` begins behind a key with this head; `None` if heads do not tell.
    #[inline]
    pub(crate) fn begins_behind(&self, i: usize, head: u64) -> Option<bool> {
        let start = *self.starts.get(i)?;
        (start != head).then_some(start > head)
    }
}

fn key_of(bound: &Bound<Vec<u8>>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

/// The first eight bytes of `key` as a number that orders as they do, zeros behind a shorter one.
#[inline]
pub(crate) fn head_of(key: &[u8]) -> u64 {
    if let Some(chunk) = key.first_chunk() {
        return u64::from_le_bytes(*chunk).swap_bytes();
    }
    let mut chunk = [0; 8];
    chunk.iter_mut().zip(key).for_each(|(place, &byte)| *place = byte);
    u64::from_le_bytes(chunk).swap_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stratal_types::Bytewise;

    use super::*;

    /// What heads tell of `key` is true of the spans.
    fn check(spans: &[KeyRange], key: &[u8]) {
        let heads = SpanHeads::of(spans.iter());
        let Range { start, end } = heads.ends_at(heads.head(key));
        for (i, span) in spans.iter().enumerate() {
            let ends_before = span.is_before(key, &Bytewise);
            assert!(i >= start || ends_before, "{key:?} {spans:?}");
            assert!(i < end || !ends_before, "{key:?} {spans:?}");
            if let Some(is_behind) = heads.begins_behind(i, heads.head(key)) {
                assert_eq!(is_behind, span.is_after(key, &Bytewise), "{key:?} {spans:?}");
            }
        }
    }

    fn bound(at: usize, key: &[u8]) -> Bound<Vec<u8>> {
        if at.is_multiple_of(2) {
            Bound::Included(key.to_vec())
        } else {
            Bound::Excluded(key.to_vec())
        }
    }

    proptest! {
        #[test]
        fn heads_tell_what_spans_do(
            prefix in proptest::collection::vec(any::<u8>(), 0..10),
            ends in proptest::collection::btree_set(
                proptest::collection::vec(0u8..3, 0..12), 1..12,
            ),
            keys in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..14), 1..20),
            is_open in any::<[bool; 2]>(),
        ) {
            let keyed = |rest: &[u8]| [&prefix[..], rest].concat();
            let ends: Vec<Vec<u8>> = ends.iter().map(|end| keyed(end)).collect();
            let mut spans: Vec<KeyRange> = ends
                .chunks(2)
                .enumerate()
                .map(|(at, ends)| KeyRange {
                    start: bound(at, &ends[0]),
                    end: bound(at / 2, ends.last().unwrap()),
                })
                .collect();
            if is_open[0] {
                spans[0].start = Bound::Unbounded;
            }
            if is_open[1] {
                spans.last_mut().unwrap().end = Bound::Unbounded;
            }
            for key in &keys {
                check(&spans, &keyed(key));
                check(&spans, key);
            }
            for end in ends {
                check(&spans, &end);
            }
        }
    }
}
