//! The fences of a block of the index as numbers, so that a search touches one word a step.

use std::ops::Range;

use bytes::Bytes;
use stratal_block::{SortedBlock, SortedCursor};
use stratal_types::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

/// The [heads](FenceHeads) of a block, made once it has been searched often enough to pay for it.
#[derive(Debug)]
pub(crate) struct LazyHeads {
    searches: AtomicU32,
    heads: OnceLock<FenceHeads>,
}

/// Of each fence the first eight bytes behind what all fences begin with, as a number that orders as
/// they do, zeros behind a shorter one. Only for keys in bytewise order.
#[derive(Debug)]
struct FenceHeads {
    prefix: Vec<u8>,
    heads: Vec<u64>,
}

impl LazyHeads {
    /// Searches after which heads are made: that takes some 20 ns a fence, which they save in this many
    /// searches of the smallest block that has them, and later of a larger one.
    const SEARCHES_MIN: u32 = 64;
    /// Fewer fences are found as fast without.
    const ROWS_MIN: usize = 64;

    /// For a block of so many rows; `None` if they would not pay.
    pub(crate) fn new(rows: usize) -> Option<Box<Self>> {
        let new = || Box::new(Self { searches: AtomicU32::new(0), heads: OnceLock::new() });
        (rows >= Self::ROWS_MIN).then(new)
    }

    /// Bytes that the heads of so many rows take, and this.
    pub(crate) const fn weight(rows: usize) -> usize {
        size_of::<Self>() + rows * size_of::<u64>()
    }

    /// Rows of which one is the first whose key is not before `key`, if it is not the one behind them:
    /// those that cannot be told from `key` by their heads. All rows before are before it, and all
    /// behind are behind. `None` while there are no heads.
    #[inline]
    pub(crate) fn search(&self, rows: &SortedBlock<Bytes>, key: &[u8]) -> Option<Range<usize>> {
        if let Some(heads) = self.heads.get() {
            return Some(heads.search(key));
        }
        if self.searches.fetch_add(1, Ordering::Relaxed) == Self::SEARCHES_MIN {
            return Some(self.heads.get_or_init(|| FenceHeads::of(rows)).search(key));
        }
        None
    }
}

impl FenceHeads {
    fn of(rows: &SortedBlock<Bytes>) -> Self {
        let mut cursor = SortedCursor::new(rows.clone());
        cursor.seek_to_last();
        let last = cursor.entry().map_or(Vec::new(), |entry| entry.key.to_vec());
        cursor.seek_to_first();
        let first = cursor.entry().map_or(&[][..], |entry| entry.key);
        let prefix_len = first.iter().zip(&last).take_while(|(a, b)| a == b).count();
        let prefix = first.get(..prefix_len).unwrap_or_default().to_vec();
        let mut heads = Vec::with_capacity(rows.len());
        while let Some(entry) = cursor.entry() {
            heads.push(head_of(entry.key.get(prefix_len..).unwrap_or_default()));
            cursor.advance();
        }
        Self { prefix, heads }
    }

    fn search(&self, key: &[u8]) -> Range<usize> {
        // An empty prefix is not compared: its address is no memory, from which some processors take
        // hundreds of nanoseconds to load nothing.
        let rest = match key.split_at_checked(self.prefix.len()) {
            Some((start, rest)) if start.is_empty() || *start == self.prefix[..] => rest,
            _ => {
                let at = if *key < self.prefix[..] { 0 } else { self.heads.len() };
                return at..at;
            }
        };
        let head = head_of(rest);
        let start = self.heads.partition_point(|&other| other < head);
        let ties = self.heads.get(start..).unwrap_or_default();
        // Mostly none, or one.
        let len = match ties.first() {
            Some(&other) if other == head => ties.partition_point(|&other| other == head),
            _ => 0,
        };
        start..start + len
    }
}

/// The first eight bytes of `rest` as a number that orders as they do.
#[inline]
fn head_of(rest: &[u8]) -> u64 {
    if let Some(chunk) = rest.first_chunk() {
        return u64::from_le_bytes(*chunk).swap_bytes();
    }
    let mut chunk = [0; 8];
    chunk.iter_mut().zip(rest).for_each(|(place, &byte)| *place = byte);
    u64::from_le_bytes(chunk).swap_bytes()
}

#[cfg(test)]
mod tests {
    use stratal_block::{SortedBlockBuilder, SortedBlockOptions};
    use stratal_testkit::{KeyShape, Rng, sorted_keys};
    use stratal_types::{EntryKind, SeqNo, Trailer};

    use super::*;

    /// Searches by heads and without lead to the same rows.
    fn check(keys: &[Vec<u8>], probes: &[Vec<u8>]) {
        let mut builder = SortedBlockBuilder::new(SortedBlockOptions::default());
        for key in keys {
            builder.add(key, Trailer::new(SeqNo::from(1u32), EntryKind::Put), b"").unwrap();
        }
        let mut bytes = Vec::new();
        builder.finish_into(&mut bytes);
        let rows = SortedBlock::parse(Bytes::from(bytes)).unwrap();
        let heads = FenceHeads::of(&rows);
        for probe in probes {
            let expected = rows.seek(probe, SeqNo::MAX);
            let Range { start, end } = heads.search(probe);
            assert!((start..=end).contains(&expected), "{probe:?}: {expected} in {start}..={end}");
            assert!(keys[..start].iter().all(|key| key < probe));
            assert!(keys[end..].iter().all(|key| key > probe));
        }
    }

    #[test]
    fn heads_lead_where_keys_do() {
        for shape in KeyShape::ALL {
            let mut rng = Rng::new(3);
            let mut probes = sorted_keys(shape, 2000, &mut rng);
            let keys: Vec<_> = probes.iter().step_by(3).cloned().collect();
            for key in &keys {
                probes.push(key[..key.len() / 2].to_vec());
                probes.push([&key[..], &[0]].concat());
                probes.push([&key[..key.len() - 1], &[0xff]].concat());
            }
            probes.extend([vec![], vec![0], vec![0xff; 20]]);
            check(&keys, &probes);
        }
        let zeros: Vec<Vec<u8>> = (1..20).map(|len| vec![0; len]).collect();
        check(&zeros, &zeros);
        check(&zeros[..1], &zeros);
    }
}
