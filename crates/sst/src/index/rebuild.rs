//! What the blocks among the data tell about each other when one of the index is lost.

use std::ops::Range;

use bytes::Bytes;
use stratal_archive::TocEntry;
use stratal_block::FrameHeader;
use stratal_types::{InternalKey, Trailer};

use super::{BlockFence, IndexBuilder, PartitionFence, Stats, fence_between};
use crate::{
    Error, Table,
    block::CachedBlock,
    handle::BlockHandle,
    section::{self, TableBlock, ordinal},
    table::parse_sorted,
};

/// The most that a frame's header takes, and what may stand behind it.
const HEADER_LEN_MAX: u64 = 64;

/// Blocks that stand back to back, found by the headers of their frames, which are not checked: a
/// block is only known to be of its kind when it has been opened as such.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    table: &'a Table,
    left: Range<u64>,
    /// Of the next data block.
    data_ordinal: u64,
    /// Of the next block of another kind.
    partition_ordinal: u64,
}

impl<'a> Frames<'a> {
    /// All blocks among the data.
    pub(crate) fn of_data(table: &'a Table) -> Self {
        let (data_ordinal, partition_ordinal) = (ordinal::FIRST_DATA, ordinal::FIRST_PARTITION);
        Self { table, left: data_range(table), data_ordinal, partition_ordinal }
    }

    /// The data blocks of partition `n`. The partitions whose blocks stand before its own are not
    /// looked at, nor need they be whole.
    pub(crate) fn of_partition(
        table: &'a Table,
        top: &CachedBlock,
        n: usize,
    ) -> Result<Self, Error> {
        let (mut first, mut fence) = (n, table.partition_fence(top, n)?);
        let mut before = 0u64;
        let all = Self::of_data(table);
        // Partitions that waited for the table to be large stand behind the data of them all.
        let left = loop {
            let end = fence.start();
            let Some(previous) = first.checked_sub(1) else { break all.left.start..end };
            let partition = table.partition_fence(top, previous)?;
            let start = partition.handle.range().end;
            if start != end {
                break start..end;
            }
            before = before.saturating_add(partition.blocks);
            (first, fence) = (previous, partition);
        };
        let mut data_ordinal = all.data_ordinal;
        for earlier in 0..first {
            let PartitionFence { blocks, .. } = table.partition_fence(top, earlier)?;
            data_ordinal = data_ordinal.saturating_add(blocks);
        }
        let mut frames = Self { left, data_ordinal, ..all };
        for _ in 0..before {
            if frames.next()?.is_none() {
                break;
            }
        }
        Ok(frames)
    }

    /// Counts as data block the block behind the others, which its header says to be of another kind;
    /// returns its handle as that.
    pub(crate) fn count_as_data(&mut self, handle: BlockHandle) -> BlockHandle {
        self.partition_ordinal = self.partition_ordinal.saturating_sub(1);
        let ordinal = self.data_ordinal;
        self.data_ordinal = ordinal.saturating_add(1);
        BlockHandle { ordinal, ..handle }
    }

    /// So many of the blocks counted as data were none.
    pub(crate) fn uncount_data(&mut self, blocks: u64) {
        self.data_ordinal = self.data_ordinal.saturating_sub(blocks);
        self.partition_ordinal = self.partition_ordinal.saturating_add(blocks);
    }

    /// Where the next block begins.
    pub(crate) fn offset(&self) -> u64 {
        self.left.start
    }

    /// The next block and its kind; `None` behind the last.
    ///
    /// # Errors
    ///
    /// [`Error::Block`] and [`Error::Malformed`] if the header makes no sense; what stands behind it
    /// cannot be found then.
    pub(crate) fn next(&mut self) -> Result<Option<(TableBlock, BlockHandle)>, Error> {
        let offset = self.left.start;
        let left = self.left.end.saturating_sub(offset);
        if left == 0 {
            return Ok(None);
        }
        let malformed = |what| Error::Malformed { what, offset };
        let bytes = self.table.read_stored(offset, left.min(HEADER_LEN_MAX))?;
        let (header, _) = FrameHeader::split_from(&bytes).map_err(|source| Error::Block {
            kind: TableBlock::Data.name(),
            offset,
            source,
        })?;
        let kind = TableBlock::from_tag(header.kind.0)
            .filter(|kind| kind.section() == section::DATA)
            .ok_or(malformed("a block among the data is of another kind"))?;
        let len = u32::try_from(header.frame_len()).ok().filter(|len| u64::from(*len) <= left);
        let len = len.ok_or(malformed("a block is longer than what is left of its section"))?;
        let next = match kind {
            TableBlock::Data => &mut self.data_ordinal,
            _ => &mut self.partition_ordinal,
        };
        let handle = BlockHandle { offset, len, ordinal: *next };
        *next = next.saturating_add(1);
        self.left.start = handle.range().end;
        Ok(Some((kind, handle)))
    }
}

fn data_range(table: &Table) -> Range<u64> {
    table.contents().find(section::DATA).next().map_or(0..0, TocEntry::range)
}

/// The payload of partition `n` of the index, made again from its data blocks: the same bytes.
///
/// Reads all of them. Fails if one of them is damaged too.
pub(crate) fn rebuilt_partition(
    table: &Table,
    top: &CachedBlock,
    n: usize,
) -> Result<Bytes, Error> {
    let partition = table.partition_fence(top, n)?;
    let offset = partition.handle.offset;
    let malformed = |what| Error::Malformed { what, offset };
    let unusable =
        |source| Error::Block { kind: TableBlock::IndexPartition.name(), offset, source };
    let comparator = table.comparator();
    let mut frames = Frames::of_partition(table, top, n)?;
    let mut builder = IndexBuilder::new(comparator);
    let mut found = Stats::NONE;
    // The block before, whose fence waits for the key behind it.
    let mut unfenced: Option<(BlockFence, Vec<u8>, Trailer)> = None;
    for _ in 0..partition.blocks {
        let kind = TableBlock::Data;
        let (TableBlock::Data, handle) =
            frames.next()?.ok_or(malformed("a partition has fewer blocks than the index says"))?
        else {
            return Err(malformed("a partition has fewer blocks than the index says"));
        };
        let block = parse_sorted(table.open_block(handle, kind)?, kind, handle.offset)?;
        if let Some((fence, last, trailer)) = unfenced.take() {
            let (last, next) = (InternalKey::new(&last, trailer), block.key(0));
            let key = fence_between(last, Some(&next), comparator);
            builder.add_block(key, fence).map_err(unusable)?;
        }
        let mut stats = Stats::NONE;
        (0..block.len()).for_each(|row| stats.count(block.trailer(row).seqno()));
        found = found.with(stats);
        let last = block.len().saturating_sub(1);
        unfenced = Some((BlockFence { handle, stats }, block.key(last), block.trailer(last)));
    }
    let (fence, ..) = unfenced.ok_or(malformed("a partition has no blocks"))?;
    if found != partition.stats {
        return Err(malformed("the index counts other entries than the partition has"));
    }
    let last = top.key(n);
    builder.add_block(InternalKey::new(&last, top.trailer(n)), fence).map_err(unusable)?;
    Ok(builder.finish().into())
}
