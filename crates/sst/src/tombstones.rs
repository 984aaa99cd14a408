//! Range tombstones as a table stores them.
//!
//! Two rows for each, in internal order: one where it begins and one where it ends, both with its
//! number, kind delete and no value. A number neither ends and begins at one key, nor begins again before
//! it has ended, so that every other row of it begins a tombstone.
//!
//! Each bound is there as often as tombstones begin or end at it, and rows of one key share its bytes:
//! the block is about as long as its bounds, however the tombstones lie over one another.

use std::{cmp::Ordering, collections::HashMap};

use stratal_block::{SortedBlock, SortedBlockBuilder, SortedBlockOptions};
use stratal_cache::Resident;
use stratal_types::{Comparator, EntryKind, Fragment, Fragments, SeqNo, Trailer};

use crate::Error;

/// Bytes that the bounds in one block have together, each counted once: what whoever opens the table has
/// to hold, which may be far more than the block if the bounds share much.
pub(crate) const BOUNDS_LEN_MAX: usize = 256 << 20;

/// The sorted block that stores `fragments`.
pub(crate) fn encode(
    fragments: &Fragments,
    comparator: &dyn Comparator,
) -> Result<Vec<u8>, stratal_block::Error> {
    let options = SortedBlockOptions {
        tags: false,
        heads: comparator.is_bytewise(),
        ..SortedBlockOptions::default()
    };
    let mut block = SortedBlockBuilder::new(options);
    let rows =
        fragments.iter().flat_map(|Fragment { start, end, seqno }| [(start, seqno), (end, seqno)]);
    // Newest first as they are, so that a stable sort by keys puts them into internal order.
    let mut rows: Vec<(&[u8], SeqNo)> = rows.collect();
    rows.sort_by(|(a, _), (b, _)| comparator.compare(a, b));
    for (key, seqno) in rows {
        block.add(key, Trailer::new(seqno, EntryKind::Delete), &[])?;
    }
    let mut bytes = Vec::new();
    block.finish_into(&mut bytes);
    Ok(bytes)
}

/// Reads the fragments back from a block that begins at `offset`.
pub(crate) fn decode(
    bytes: &[u8],
    offset: u64,
    comparator: &dyn Comparator,
) -> Result<Fragments, Error> {
    decode_within(bytes, offset, comparator, BOUNDS_LEN_MAX)
}

/// As [`decode`], if the bounds have no more than `bounds_len_max` bytes.
fn decode_within(
    bytes: &[u8],
    offset: u64,
    comparator: &dyn Comparator,
    bounds_len_max: usize,
) -> Result<Fragments, Error> {
    let malformed = |what| Error::Malformed { what, offset };
    let block = SortedBlock::parse(bytes).map_err(|source| Error::Block {
        kind: "tombstones",
        offset,
        source,
    })?;
    // The bounds, one behind the other, and where each ends.
    let (mut keys, mut ends): (Vec<u8>, Vec<usize>) = Default::default();
    let mut key = Vec::new();
    let mut last: Option<SeqNo> = None;
    let mut begun: HashMap<SeqNo, usize> = HashMap::new();
    let mut ended: Vec<(usize, usize, SeqNo)> = Vec::new();
    for row in 0..block.len() {
        let trailer = block.trailer(row).unwrap_or(Trailer::new(SeqNo::ZERO, EntryKind::Put));
        if trailer.kind() != EntryKind::Delete || block.value(row).is_none_or(|it| !it.is_empty()) {
            return Err(malformed("a row of range tombstones is no bound of one"));
        }
        let seqno = trailer.seqno();
        block.key_into(row, &mut key);
        let known = bound(&keys, &ends, ends.len().wrapping_sub(1));
        let order = known.map_or(Ordering::Less, |known| comparator.compare(known, &key));
        if order.is_gt() || order.is_eq() && last.is_none_or(|last| last <= seqno) {
            return Err(malformed("bounds of range tombstones are not in order"));
        }
        if order.is_lt() {
            if keys.len() + key.len() > bounds_len_max {
                return Err(malformed("the bounds of range tombstones are too long"));
            }
            keys.extend_from_slice(&key);
            ends.push(keys.len());
        }
        last = Some(seqno);
        let here = ends.len() - 1;
        match begun.remove(&seqno) {
            None => drop(begun.insert(seqno, here)),
            Some(from) => ended.push((from, here, seqno)),
        }
    }
    if !begun.is_empty() {
        return Err(malformed("a range tombstone has no end"));
    }
    let fragment = |(from, to, seqno): &(usize, usize, SeqNo)| {
        let (start, end) = (bound(&keys, &ends, *from)?, bound(&keys, &ends, *to)?);
        Some(Fragment { start, end, seqno: *seqno })
    };
    Ok(Fragments::build(ended.iter().filter_map(fragment), comparator))
}

/// Bound number `at` of those in `keys`, of which each ends where `ends` says.
fn bound<'a>(keys: &'a [u8], ends: &[usize], at: usize) -> Option<&'a [u8]> {
    let start = at.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    keys.get(start..*ends.get(at)?)
}

/// The same keys, all deleted at `seqno`.
pub(crate) fn at_seqno(
    fragments: &Fragments,
    seqno: SeqNo,
    comparator: &dyn Comparator,
) -> Fragments {
    Fragments::build(fragments.iter().map(|part| Fragment { seqno, ..part }), comparator)
}

/// Fragments in the cache.
#[derive(Debug)]
pub(crate) struct CachedFragments(pub(crate) std::sync::Arc<Fragments>);

impl Resident for CachedFragments {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.0.memory_used()
    }
}

#[cfg(test)]
mod tests {
    use stratal_types::{Bytewise, RangeTombstone};

    use super::*;

    /// A row: key, number, kind, value.
    type Row = (&'static str, u32, EntryKind, &'static str);

    /// What is wrong with a block of `rows`, if anything is.
    fn check(rows: &[Row]) -> Option<&'static str> {
        let mut block = SortedBlockBuilder::new(SortedBlockOptions::default());
        for (key, seqno, kind, value) in rows {
            let trailer = Trailer::new(SeqNo::from(*seqno), *kind);
            block.add(key.as_bytes(), trailer, value.as_bytes()).unwrap();
        }
        let mut bytes = Vec::new();
        block.finish_into(&mut bytes);
        match decode(&bytes, 0, &Bytewise) {
            Ok(_) => None,
            Err(Error::Malformed { what, .. }) => Some(what),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn bounds_come_in_pairs_and_in_order() {
        use EntryKind::{Delete, Put};
        let [a1, b1, c1, d1] = ["a", "b", "c", "d"].map(|key| (key, 1, Delete, ""));
        let [a2, b2] = ["a", "b"].map(|key| (key, 2, Delete, ""));
        assert_eq!(check(&[]), None);
        assert_eq!(check(&[a1, b1]), None);
        assert_eq!(check(&[a1, b1, c1, d1]), None);
        assert_eq!(check(&[a2, a1, b2, b1]), None);
        assert_eq!(check(&[a2, b2, b1, c1]), None);
        assert_eq!(check(&[a1]), Some("a range tombstone has no end"));
        assert_eq!(check(&[a2, a1, b1]), Some("a range tombstone has no end"));
        let not_in_order = Some("bounds of range tombstones are not in order");
        assert_eq!(check(&[b1, a1]), not_in_order);
        assert_eq!(check(&[a1, a2, b1, b2]), not_in_order);
        assert_eq!(check(&[a1, a1]), not_in_order);
        assert_eq!(check(&[a1, b1, b1, c1]), not_in_order);
        let no_bound = Some("a row of range tombstones is no bound of one");
        assert_eq!(check(&[("a", 1, Put, ""), b1]), no_bound);
        assert_eq!(check(&[("a", 1, Delete, "b")]), no_bound);
    }

    #[test]
    fn a_block_is_about_as_long_as_its_bounds_however_tombstones_lie() {
        let key = |i: u32| format!("key {i:06}");
        for count in [1, 10, 1000] {
            let nested: Vec<_> = (0..count)
                .map(|i| RangeTombstone::new(key(i), key(3 * count - i), SeqNo::from(i)))
                .collect();
            let fragments = Fragments::build(&nested, &Bytewise);
            let bytes = encode(&fragments, &Bytewise).unwrap();
            assert!(bytes.len() < 64 + 32 * count as usize, "{} for {count}", bytes.len());
            assert_eq!(decode(&bytes, 0, &Bytewise).unwrap(), fragments);
        }
    }

    #[test]
    fn bounds_that_share_much_are_refused_before_they_take_much() {
        // All of one bound but for its end.
        let mut block = SortedBlockBuilder::new(SortedBlockOptions::default());
        let mut key = Vec::new();
        for i in 0..100 {
            key.resize(50_000, b'k');
            key.extend_from_slice(format!("{i:04}").as_bytes());
            block.add(&key, Trailer::new(SeqNo::ZERO, EntryKind::Delete), &[]).unwrap();
            key.truncate(50_000);
        }
        let mut bytes = Vec::new();
        block.finish_into(&mut bytes);
        assert!(bytes.len() < 60_000);
        let of = |len_max| decode_within(&bytes, 0, &Bytewise, len_max);
        assert_eq!(of(100 * 50_004).unwrap().len(), 50);
        let refused = of(100 * 50_004 - 1).unwrap_err().to_string();
        assert!(refused.contains("too long"), "{refused}");
    }
}
