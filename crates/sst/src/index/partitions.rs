use std::mem;

use stratal_block::SortedBlock;
use stratal_types::{Comparator, EntryKind, InternalKey, SeqNo, Trailer};

use super::{BlockFence, IndexBuilder, Stats};

/// Fences and filter hashes of the data blocks written so far, in partitions, until it is known
/// whether the table is large enough to be divided.
///
/// A partition holds its fences as the block of the index that they become, and 8 bytes per hash.
#[derive(Debug)]
pub(crate) struct Partitions {
    limits: PartitionLimits,
    index: IndexBuilder,
    /// What is gathered for the partition at hand, whose fences are still in `index`.
    open: Partition,
    /// Complete, in order.
    waiting: Vec<Partition>,
    /// Bytes in `waiting`.
    waiting_len: usize,
}

/// A partition that is complete.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Its block of the index.
    pub(crate) index: Vec<u8>,
    /// Of its keys, or of what else the filter is over; the same may stand twice.
    pub(crate) hashes: Vec<u64>,
    /// Data blocks.
    pub(crate) blocks: u64,
    /// Of their entries.
    pub(crate) stats: Stats,
    /// The last of its fences.
    fence_key: Vec<u8>,
    fence_trailer: Trailer,
}

/// When a partition is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartitionLimits {
    /// Bytes of its block of the index.
    pub(crate) index_len: usize,
    /// Hashes of its filter.
    pub(crate) hashes: usize,
}

impl Partition {
    const EMPTY: Self = Self {
        index: Vec::new(),
        hashes: Vec::new(),
        blocks: 0,
        stats: Stats::NONE,
        fence_key: Vec::new(),
        fence_trailer: Trailer::new(SeqNo::ZERO, EntryKind::Put),
    };

    /// The fence over all of it.
    pub(crate) fn fence(&self) -> InternalKey<'_> {
        InternalKey::new(&self.fence_key, self.fence_trailer)
    }

    fn memory(&self) -> usize {
        let hashes = self.hashes.capacity().saturating_mul(size_of::<u64>());
        size_of::<Self>() + self.index.capacity() + hashes + self.fence_key.capacity()
    }
}

impl Partitions {
    /// How many times as many bytes the fences of a partition may take in memory as in the file: more
    /// if they are long and begin alike.
    const HELD_PER_LEN: usize = 16;

    pub(crate) fn new(limits: PartitionLimits, comparator: &dyn Comparator) -> Self {
        Self {
            limits,
            index: IndexBuilder::new(comparator),
            open: Partition::EMPTY,
            waiting: Vec::new(),
            waiting_len: 0,
        }
    }

    /// Adds a hash to the partition at hand.
    pub(crate) fn add_hash(&mut self, hash: u64) {
        if self.open.hashes.last() != Some(&hash) {
            self.open.hashes.push(hash);
        }
    }

    /// Whether the partition at hand has no hash yet.
    pub(crate) fn has_no_hashes(&self) -> bool {
        self.open.hashes.is_empty()
    }

    /// Adds the fence of the next data block.
    pub(crate) fn add_fence(
        &mut self,
        fence: InternalKey<'_>,
        block: BlockFence,
    ) -> Result<(), stratal_block::Error> {
        self.index.add_block(fence, block)?;
        self.open.fence_key.clear();
        self.open.fence_key.extend_from_slice(fence.user_key);
        self.open.fence_trailer = fence.trailer;
        self.open.stats = self.open.stats.with(block.stats);
        self.open.blocks += 1;
        Ok(())
    }

    /// Whether the partition at hand is as large as one should be.
    pub(crate) fn is_full(&self) -> bool {
        let held_max = self.limits.index_len.saturating_mul(Self::HELD_PER_LEN);
        self.index.estimated_len() >= self.limits.index_len
            || self.index.memory() >= held_max
            || self.open.hashes.len() >= self.limits.hashes
    }

    /// Completes the partition at hand, if it has any fence, and begins the next.
    pub(crate) fn close(&mut self) {
        if self.index.is_empty() {
            return;
        }
        let mut partition = mem::replace(&mut self.open, Partition::EMPTY);
        partition.index = self.index.finish();
        partition.index.shrink_to_fit();
        partition.hashes.shrink_to_fit();
        self.waiting_len = self.waiting_len.saturating_add(partition.memory());
        self.waiting.push(partition);
    }

    /// The partitions that are complete, which are forgotten.
    pub(crate) fn take_closed(&mut self) -> Vec<Partition> {
        self.waiting_len = 0;
        mem::take(&mut self.waiting)
    }

    /// The block of an index over all of `partitions`, which are in order.
    pub(crate) fn whole_index(
        &mut self,
        partitions: &[Partition],
    ) -> Result<Vec<u8>, stratal_block::Error> {
        for partition in partitions {
            self.index.add_rows(&SortedBlock::parse(&partition.index[..])?)?;
        }
        Ok(self.index.finish())
    }

    /// Bytes of partitions that are complete and wait.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting_len
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.waiting_len.saturating_add(self.index.memory()).saturating_add(self.open.memory())
    }
}
