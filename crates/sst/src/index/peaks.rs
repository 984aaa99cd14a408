//! The highest numbers under the fences of a block of the index, so that those who pass over what is old
//! do not ask fence by fence.

use std::ops::Range;

use stratal_types::{Direction, sync::OnceLock};

use crate::block::CachedBlock;

/// Of each stretch of rows the highest sequence number of an entry under any of them, made when first
/// asked for.
#[derive(Debug, Default)]
pub(crate) struct LazyPeaks {
    of_stretches: OnceLock<Vec<u64>>,
}

impl LazyPeaks {
    /// Rows of a stretch: to ask a row takes as long as to look at dozens of peaks.
    const STRETCH: usize = 8;
    /// As few rows are asked one by one: all of a block are for the peaks.
    pub(crate) const ROWS_MIN: usize = 32;

    /// Bytes that the peaks of so many rows take.
    pub(crate) const fn weight(rows: usize) -> usize {
        rows.div_ceil(Self::STRETCH) * size_of::<u64>()
    }

    /// The first in `direction` of `rows` of `fences` under which there may be an entry numbered `since`
    /// or higher.
    pub(crate) fn first(
        &self,
        fences: &CachedBlock,
        rows: Range<usize>,
        since: u64,
        direction: Direction,
    ) -> Option<usize> {
        let peaks = self.of_stretches.get_or_init(|| Self::of(fences));
        let mut rest = rows;
        while !rest.is_empty() {
            let at = match direction {
                Direction::Forward => rest.start,
                Direction::Backward => rest.end.saturating_sub(1),
            } / Self::STRETCH;
            let stretch = at.saturating_mul(Self::STRETCH);
            let stretch = stretch..stretch.saturating_add(Self::STRETCH);
            let here = rest.start.max(stretch.start)..rest.end.min(stretch.end);
            if peaks.get(at).is_none_or(|peak| *peak >= since) {
                let mut here = here.clone();
                let reaches = |row: &usize| fences.seqno_max_under(*row) >= since;
                let found = match direction {
                    Direction::Forward => here.find(reaches),
                    Direction::Backward => here.rfind(reaches),
                };
                if found.is_some() {
                    return found;
                }
            }
            rest = match direction {
                Direction::Forward => here.end..rest.end,
                Direction::Backward => rest.start..here.start,
            };
        }
        None
    }

    fn of(fences: &CachedBlock) -> Vec<u64> {
        let stretch = |start: usize| {
            let rows = start..start.saturating_add(Self::STRETCH).min(fences.len());
            rows.map(|row| fences.seqno_max_under(row)).max().unwrap_or(u64::MAX)
        };
        (0..fences.len()).step_by(Self::STRETCH).map(stretch).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use stratal_block::{SortedBlockBuilder, SortedBlockOptions};
    use stratal_testkit::Rng;
    use stratal_types::{EntryKind, SeqNo, Trailer};

    use super::*;
    use crate::{
        handle::BlockHandle,
        index::{BlockFence, Stats},
    };

    fn fences(highest: &[u32]) -> CachedBlock {
        let mut builder = SortedBlockBuilder::new(SortedBlockOptions::default());
        for (n, highest) in (0u32..).zip(highest) {
            let mut stats = Stats::NONE;
            stats.count(SeqNo::from(*highest));
            let handle = BlockHandle { offset: n.into(), len: 1, ordinal: n.into() };
            let mut value = Vec::new();
            BlockFence { handle, stats }.encode_into(&mut value);
            let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
            builder.add(format!("{n:06}").as_bytes(), trailer, &value).unwrap();
        }
        let mut bytes = Vec::new();
        builder.finish_into(&mut bytes);
        CachedBlock::parse(Bytes::from(bytes).into()).unwrap().with_fences(true)
    }

    #[test]
    fn the_first_row_that_is_new_enough_is_found_both_ways() {
        let mut rng = Rng::new(5);
        for rows in [1, 7, 8, 9, 65, 500] {
            // Few reach far, so that whole stretches do not.
            let highest: Vec<u32> =
                (0..rows).map(|_| if rng.chance(1, 30) { 100 } else { 7 }).collect();
            let fences = fences(&highest);
            let peaks = LazyPeaks::default();
            for _ in 0..200 {
                let (a, b) = (rng.index(rows + 1), rng.index(rows + 1));
                let (start, end) = (a.min(b), a.max(b));
                for since in [0, 7, 8, 100, 101] {
                    let reaches = |row: &usize| highest[*row] >= since;
                    let find =
                        |direction| peaks.first(&fences, start..end, since.into(), direction);
                    assert_eq!(find(Direction::Forward), (start..end).find(reaches));
                    assert_eq!(find(Direction::Backward), (start..end).rfind(reaches));
                }
            }
        }
    }
}
