use stratal_block::{SortedBlock, SortedBlockBuilder, SortedBlockOptions};
use stratal_types::{Comparator, EntryKind, InternalKey, SeqNo, Trailer};

use super::{BlockFence, PartitionFence};

/// Behind every version of its key that a read can see.
const LOWEST: Trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);

/// Collects the fences of one block of the index.
#[derive(Debug)]
pub(crate) struct IndexBuilder {
    block: SortedBlockBuilder,
    value: Vec<u8>,
    /// Bytes that the rows take until they are written, when what they have in common goes.
    held: usize,
}

/// Bytes that a row takes in memory beside key and value.
const ROW_OVERHEAD: usize = 32;

impl IndexBuilder {
    pub(crate) fn new(comparator: &dyn Comparator) -> Self {
        let options = SortedBlockOptions {
            tags: false,
            heads: comparator.is_bytewise(),
            ..SortedBlockOptions::default()
        };
        Self { block: SortedBlockBuilder::new(options), value: Vec::new(), held: 0 }
    }

    /// Adds the fence of a data block.
    pub(crate) fn add_block(
        &mut self,
        fence: InternalKey<'_>,
        block: BlockFence,
    ) -> Result<(), stratal_block::Error> {
        self.value.clear();
        block.encode_into(&mut self.value);
        self.add_row(fence)
    }

    /// Adds a fence of the upper level, of a partition.
    pub(crate) fn add_partition(
        &mut self,
        fence: InternalKey<'_>,
        partition: PartitionFence,
    ) -> Result<(), stratal_block::Error> {
        self.value.clear();
        partition.encode_into(&mut self.value);
        self.add_row(fence)
    }

    fn add_row(&mut self, fence: InternalKey<'_>) -> Result<(), stratal_block::Error> {
        let len = fence.user_key.len().saturating_add(self.value.len());
        self.held = self.held.saturating_add(len).saturating_add(ROW_OVERHEAD);
        self.block.add(fence.user_key, fence.trailer, &self.value)
    }

    /// Adds the fences of a block of the index that was written before.
    pub(crate) fn add_rows(
        &mut self,
        rows: &SortedBlock<&[u8]>,
    ) -> Result<(), stratal_block::Error> {
        let mut key = Vec::new();
        for i in 0..rows.len() {
            let Some((trailer, value)) = rows.trailer(i).zip(rows.value(i)) else { break };
            key.clear();
            rows.key_into(i, &mut key);
            self.block.add(&key, trailer, value)?;
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// Bytes that [`finish`](Self::finish) would give now, or a few more.
    pub(crate) fn estimated_len(&self) -> usize {
        if self.is_empty() { 0 } else { self.block.estimated_len() }
    }

    /// Bytes that the rows take in memory.
    pub(crate) fn memory(&self) -> usize {
        self.held
    }

    /// The block's bytes. The builder is empty then, and may be used again.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.block.finish_into(&mut bytes);
        self.held = 0;
        bytes
    }
}

/// The fence between a data block that ends with `last` and one that begins with the user key `next`,
/// if anything follows.
pub(crate) fn fence_between<'a>(
    last: InternalKey<'a>,
    next: Option<&'a [u8]>,
    comparator: &dyn Comparator,
) -> InternalKey<'a> {
    match next {
        Some(next) if next == last.user_key => last,
        Some(next) if comparator.is_bytewise() => {
            InternalKey::new(shortest_separator(last.user_key, next), LOWEST)
        }
        _ => InternalKey::new(last.user_key, LOWEST),
    }
}

/// The shortest start of `high` that is behind `low` and before `high`, or else `low` itself.
fn shortest_separator<'a>(low: &'a [u8], high: &'a [u8]) -> &'a [u8] {
    let common = low.iter().zip(high).take_while(|(a, b)| a == b).count();
    match high.get(..=common) {
        Some(start) if common < low.len() && start.len() < high.len() => start,
        _ => low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_separate_and_are_short() {
        let cases: [(&[u8], &[u8], &[u8]); 6] = [
            (b"AD/08/les Escaldes", b"AE/03/Warisan", b"AE"),
            (b"abc", b"abd", b"abc"),
            (b"abc", b"abdx", b"abd"),
            (b"ab", b"abc", b"ab"),
            (b"a\xff\xff", b"b", b"a\xff\xff"),
            (b"a", b"b\x00", b"b"),
        ];
        for (low, high, expected) in cases {
            let fence = shortest_separator(low, high);
            assert_eq!(fence, expected, "{low:?} {high:?}");
            assert!(low <= fence && fence < high);
        }
    }
}
