//! What the blocks among the data tell about each other when one of the index is lost.

use std::ops::Range;

use bytes::Bytes;
use stratal_archive::TocEntry;
use stratal_block::FrameHeader;
use stratal_types::{InternalKey, Trailer};

use super::{BlockFence, IndexBuilder, PartitionFence, Stats};
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
    ordinal: u64,
}

impl<'a> Frames<'a> {
    /// The blocks of `range`, which begin with the one of this ordinal.
    pub(crate) fn new(table: &'a Table, range: Range<u64>, ordinal: u64) -> Self {
        Self { table, left: range, ordinal }
    }

    /// All blocks among the data.
    pub(crate) fn of_data(table: &'a Table) -> Self {
        Self::new(table, data_range(table), ordinal::FIRST_FREE)
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
        // Partitions that waited for the table to be large stand behind the data of them all.
        let mut frames = loop {
            let end = fence.start();
            let Some(previous) = first.checked_sub(1) else {
                break Self::new(table, data_range(table).start..end, ordinal::FIRST_FREE);
            };
            let PartitionFence { handle, blocks, .. } = table.partition_fence(top, previous)?;
            let start = handle.range().end;
            if start != end {
                break Self::new(table, start..end, handle.ordinal.saturating_add(1));
            }
            before = before.saturating_add(blocks);
            (first, fence) = (previous, table.partition_fence(top, previous)?);
        };
        for _ in 0..before {
            if frames.next()?.is_none() {
                break;
            }
        }
        Ok(frames)
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
        let handle = BlockHandle { offset, len, ordinal: self.ordinal };
        self.left.start = handle.range().end;
        self.ordinal = self.ordinal.saturating_add(1);
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
            let last = InternalKey::new(&last, trailer);
            builder.add(fence, last, Some(&block.key(0)), comparator).map_err(unusable)?;
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
