use stratal_types::{SeqNo, varint};

use crate::handle::BlockHandle;

/// What is known of entries without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stats {
    /// How many there are.
    pub(crate) rows: u64,
    /// Lowest sequence number, as a number.
    pub(crate) seqno_min: u64,
    /// Highest sequence number, as a number.
    pub(crate) seqno_max: u64,
}

impl Stats {
    /// Of no entries.
    pub(crate) const NONE: Self = Self { rows: 0, seqno_min: SeqNo::MAX.get(), seqno_max: 0 };

    /// Of these entries and `other` ones.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(other.rows),
            seqno_min: self.seqno_min.min(other.seqno_min),
            seqno_max: self.seqno_max.max(other.seqno_max),
        }
    }

    /// Counts one more entry.
    pub(crate) fn count(&mut self, seqno: SeqNo) {
        self.rows = self.rows.saturating_add(1);
        self.seqno_min = self.seqno_min.min(seqno.get());
        self.seqno_max = self.seqno_max.max(seqno.get());
    }

    /// Three varints: `rows`, `seqno_min`, and what `seqno_max` is more.
    fn encode_into(self, out: &mut Vec<u8>) {
        varint::put(out, self.rows);
        varint::put(out, self.seqno_min);
        varint::put(out, self.seqno_max.saturating_sub(self.seqno_min));
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let rows = varint::take(bytes)?;
        let seqno_min = varint::take(bytes)?;
        let seqno_max = seqno_min.checked_add(varint::take(bytes)?)?;
        SeqNo::new(seqno_max)?;
        Some(Self { rows, seqno_min, seqno_max })
    }
}

/// What a fence says of its data block: the value of an index row.
///
/// # Layout
///
/// Six varints: the [`BlockHandle`], then the number of entries in the block, their lowest sequence
/// number, and how much higher the highest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockFence {
    pub(crate) handle: BlockHandle,
    pub(crate) stats: Stats,
}

impl BlockFence {
    pub(crate) fn encode_into(self, out: &mut Vec<u8>) {
        self.handle.encode_into(out);
        self.stats.encode_into(out);
    }

    /// `None` unless `bytes` are exactly one of these, and consistent.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let handle = BlockHandle::take(&mut bytes)?;
        let stats = Stats::take(&mut bytes)?;
        bytes.is_empty().then_some(Self { handle, stats })
    }
}

/// What a fence of the upper level says of its partition of the index.
///
/// # Layout
///
/// Varints: the [`BlockHandle`] of the partition of the index, the number of its data blocks, then of
/// all their entries what a [`BlockFence`] says of those of one; then the [`BlockHandle`] of the
/// partition's filter, unless there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionFence {
    pub(crate) handle: BlockHandle,
    pub(crate) blocks: u64,
    pub(crate) stats: Stats,
    pub(crate) filter: Option<BlockHandle>,
}

impl PartitionFence {
    pub(crate) fn encode_into(self, out: &mut Vec<u8>) {
        self.handle.encode_into(out);
        varint::put(out, self.blocks);
        self.stats.encode_into(out);
        if let Some(filter) = self.filter {
            filter.encode_into(out);
        }
    }

    /// `None` unless `bytes` are exactly one of these, and consistent.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let handle = BlockHandle::take(&mut bytes)?;
        let blocks = varint::take(&mut bytes)?;
        let stats = Stats::take(&mut bytes)?;
        let filter = match bytes {
            [] => None,
            _ => Some(BlockHandle::take(&mut bytes)?),
        };
        bytes.is_empty().then_some(Self { handle, blocks, stats, filter })
    }

    /// Where its blocks begin, which stand behind the data blocks: filter and index, in this order.
    pub(crate) fn start(&self) -> u64 {
        self.filter.map_or(self.handle.offset, |filter| filter.offset.min(self.handle.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_read_back_and_nothing_else_reads() {
        let mut stats = Stats::NONE;
        for seqno in [7, 300, 9u32] {
            stats.count(seqno.into());
        }
        assert_eq!(stats, Stats { rows: 3, seqno_min: 7, seqno_max: 300 });
        let fence =
            BlockFence { handle: BlockHandle { offset: 1 << 40, len: 4096, ordinal: 19 }, stats };
        let mut bytes = Vec::new();
        fence.encode_into(&mut bytes);
        assert_eq!(BlockFence::decode(&bytes), Some(fence));
        for len in 0..bytes.len() {
            assert_eq!(BlockFence::decode(&bytes[..len]), None, "{len}");
        }
        bytes.push(0);
        assert_eq!(BlockFence::decode(&bytes), None);
        let beyond = Stats { seqno_max: SeqNo::MAX.get() + 1, ..stats };
        bytes.clear();
        BlockFence { stats: beyond, ..fence }.encode_into(&mut bytes);
        assert_eq!(BlockFence::decode(&bytes), None);

        let filter = BlockHandle { offset: 1 << 39, len: 300, ordinal: 18 };
        for filter in [None, Some(filter)] {
            let fence = PartitionFence { handle: fence.handle, blocks: 900, stats, filter };
            bytes.clear();
            fence.encode_into(&mut bytes);
            assert_eq!(PartitionFence::decode(&bytes), Some(fence));
            assert_eq!(PartitionFence::decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
