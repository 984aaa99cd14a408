//! The fences of a block of the index as numbers, so that a search touches one word a step.

use std::ops::Range;

use stratal_block::{SortedBlock, SortedCursor};
use stratal_simd::Simd;
use stratal_slab::Shared;
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
    /// Levels, little-endian. The last has the heads of all fences; the one before the last head of
    /// each group of the next; the first is no longer than a group.
    levels: Vec<Vec<[u8; 8]>>,
    simd: Simd,
}

impl LazyHeads {
    /// Searches after which heads are made: that takes some 20 ns a fence, which they save in this many
    /// searches of the smallest block that has them, and later of a larger one.
    const SEARCHES_MIN: u32 = 64;
    /// Fewer fences are found as fast without.
    const ROWS_MIN: usize = 64;

    /// For a block of so many rows; `None` if they would not pay.
    pub(crate) fn new(rows: usize) -> Option<Self> {
        let new = || Self { searches: AtomicU32::new(0), heads: OnceLock::new() };
        (rows >= Self::ROWS_MIN).then(new)
    }

    /// Bytes that the heads of so many rows take.
    pub(crate) const fn weight(rows: usize) -> usize {
        (rows + rows / (FenceHeads::GROUP_LEN - 1)) * size_of::<u64>()
    }

    /// Makes them, for a block that will be searched.
    pub(crate) fn make(&self, rows: &SortedBlock<Shared>) {
        self.heads.get_or_init(|| FenceHeads::of(rows));
    }

    /// Rows of which one is the first whose key is not before `key`, if it is not the one behind them:
    /// those that cannot be told from `key` by their heads. All rows before are before it, and all
    /// behind are behind. `None` while there are no heads.
    #[inline]
    pub(crate) fn search(&self, rows: &SortedBlock<Shared>, key: &[u8]) -> Option<Range<usize>> {
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
    /// Heads that are looked at together: some lines side by side, which come at once.
    const GROUP_LEN: usize = 64;

    fn of(rows: &SortedBlock<Shared>) -> Self {
        let mut cursor = SortedCursor::new(rows.clone());
        cursor.seek_to_last();
        let last = cursor.entry().map_or(Vec::new(), |entry| entry.key.to_vec());
        cursor.seek_to_first();
        let first = cursor.entry().map_or(&[][..], |entry| entry.key);
        let prefix_len = first.iter().zip(&last).take_while(|(a, b)| a == b).count();
        let prefix = first.get(..prefix_len).unwrap_or_default().to_vec();
        let mut heads = Vec::with_capacity(rows.len());
        while let Some(entry) = cursor.entry() {
            let head = head_of(entry.key.get(prefix_len..).unwrap_or_default());
            heads.push(head.to_le_bytes());
            cursor.advance();
        }
        let mut levels = vec![heads];
        while let Some(lasts) = levels.last().and_then(|level| Self::lasts(level)) {
            levels.push(lasts);
        }
        levels.reverse();
        Self { prefix, levels, simd: Simd::detect() }
    }

    /// The last head of each group of a level; `None` if it is a group itself.
    fn lasts(level: &[[u8; 8]]) -> Option<Vec<[u8; 8]>> {
        let lasts = || level.chunks(Self::GROUP_LEN).filter_map(|group| group.last()).copied();
        (level.len() > Self::GROUP_LEN).then(|| lasts().collect())
    }

    /// The number of heads below `head`.
    #[inline]
    fn rank(&self, head: u64) -> usize {
        self.levels.iter().fold(0, |group, level| {
            let start = level.len().min(group * Self::GROUP_LEN);
            let heads = level.get(start..).unwrap_or_default();
            let heads = heads.get(..Self::GROUP_LEN).unwrap_or(heads);
            start + self.simd.rank_u64(heads.as_flattened(), head)
        })
    }

    fn search(&self, key: &[u8]) -> Range<usize> {
        let heads = self.levels.last().map_or(&[][..], |heads| heads);
        // An empty prefix is not compared: its address is no memory, from which some processors take
        // hundreds of nanoseconds to load nothing.
        let rest = match key.split_at_checked(self.prefix.len()) {
            Some((start, rest)) if start.is_empty() || *start == self.prefix[..] => rest,
            _ => {
                let at = if *key < self.prefix[..] { 0 } else { heads.len() };
                return at..at;
            }
        };
        let head = head_of(rest);
        let start = self.rank(head);
        let ties = heads.get(start..).unwrap_or_default();
        // Mostly none, or one.
        let is_tie = |other: &[u8; 8]| u64::from_le_bytes(*other) == head;
        let len = if ties.first().is_some_and(is_tie) { ties.partition_point(is_tie) } else { 0 };
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
    use bytes::Bytes;
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
        let rows = SortedBlock::parse(Shared::from(Bytes::from(bytes))).unwrap();
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
            // So many that their heads have three levels.
            let mut probes = sorted_keys(shape, 14_000, &mut rng);
            let keys: Vec<_> = probes.iter().step_by(3).cloned().collect();
            probes = probes.into_iter().step_by(5).collect();
            for key in keys.iter().step_by(11) {
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
