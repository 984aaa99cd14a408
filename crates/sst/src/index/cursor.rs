use std::{ops::Range, sync::Arc};

use stratal_types::{SeqNo, Trailer};

use crate::{Error, Table, block::CachedBlock, handle::BlockHandle};

use super::BlockFence;

/// A place in a table's index: on the fence of one data block, or on none.
///
/// Blocks of the index are loaded when a step first needs them, and held from then on, also when the
/// cache has dropped them. The table is given to each step, and is always the same. After an error
/// the cursor stands on no fence. Cloning it, to look ahead, costs a reference count.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexCursor {
    leaf: Option<Arc<CachedBlock>>,
    /// The fence's row in `leaf`.
    row: Option<usize>,
    /// Blocks whose entries are all older than this are passed over.
    since: SeqNo,
}

impl IndexCursor {
    /// A cursor that passes over blocks without entries of `since` or newer.
    pub(crate) fn since(since: SeqNo) -> Self {
        Self { since, ..Self::default() }
    }

    /// Goes to the first block whose fence is at or behind (`key`, `bound`) in internal order: the
    /// only one that can hold the place, or the one before it.
    pub(crate) fn seek(&mut self, table: &Table, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        let Some(leaf) = self.load(table)? else { return Ok(()) };
        let row = leaf.seek(key, bound, table.comparator());
        self.settle_forward(table, row)
    }

    pub(crate) fn seek_to_first(&mut self, table: &Table) -> Result<(), Error> {
        self.load(table)?;
        self.settle_forward(table, 0)
    }

    pub(crate) fn seek_to_last(&mut self, table: &Table) -> Result<(), Error> {
        let len = self.load(table)?.map_or(0, CachedBlock::len);
        self.settle_backward(table, len)
    }

    /// Goes to the next block's fence; behind the last, to none.
    pub(crate) fn advance(&mut self, table: &Table) -> Result<(), Error> {
        let Some(row) = self.row.take() else { return Ok(()) };
        self.settle_forward(table, row.saturating_add(1))
    }

    /// Goes to the fence of the block before; before the first, to none.
    pub(crate) fn retreat(&mut self, table: &Table) -> Result<(), Error> {
        let Some(row) = self.row.take() else { return Ok(()) };
        self.settle_backward(table, row)
    }

    /// Goes to the first row from `row` on that is not passed over.
    fn settle_forward(&mut self, table: &Table, row: usize) -> Result<(), Error> {
        let Some(leaf) = &self.leaf else { return Ok(()) };
        for row in row..leaf.len() {
            if !self.is_passed_over(leaf, row, table)? {
                self.row = Some(row);
                break;
            }
        }
        Ok(())
    }

    /// Goes to the last row before `row` that is not passed over.
    fn settle_backward(&mut self, table: &Table, row: usize) -> Result<(), Error> {
        let Some(leaf) = &self.leaf else { return Ok(()) };
        for row in (0..row).rev() {
            if !self.is_passed_over(leaf, row, table)? {
                self.row = Some(row);
                break;
            }
        }
        Ok(())
    }

    fn is_passed_over(&self, leaf: &CachedBlock, row: usize, table: &Table) -> Result<bool, Error> {
        Ok(self.since > SeqNo::ZERO
            && fence_of(leaf, row, table)?.stats.seqno_max < self.since.get())
    }

    /// Whether it stands on a fence.
    pub(crate) fn is_inside(&self) -> bool {
        self.row.is_some()
    }

    /// Where the data block is that the cursor stands for.
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block).
    pub(crate) fn handle(&self, table: &Table) -> Result<BlockHandle, Error> {
        self.block(table).map(|block| block.handle)
    }

    /// What the index says of the data block that the cursor stands for.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if that makes no sense, [`Error::CursorFailed`] if the cursor stands on
    /// no fence.
    pub(crate) fn block(&self, table: &Table) -> Result<BlockFence, Error> {
        let (leaf, row) = self.inside().ok_or(Error::CursorFailed)?;
        fence_of(leaf, row, table)
    }

    /// The fence the cursor stands on: no entry of the block is behind it, and every entry of the
    /// next block is.
    pub(crate) fn fence(&self) -> Option<(Vec<u8>, Trailer)> {
        let (block, row) = self.inside()?;
        Some((block.key(row), block.trailer(row)))
    }

    /// Whether the fence's user key is `key`: only then do versions of `key` go on in the next block.
    pub(crate) fn is_fence_of(&self, key: &[u8]) -> bool {
        self.inside().is_some_and(|(block, row)| block.rows().key_eq(row, key))
    }

    /// Entries of the data blocks between the one that this cursor stands for and the one that
    /// `other`, at or behind it, stands for; from a sample if these are many.
    pub(crate) fn entries_between(&self, table: &Table, other: &Self) -> Result<u64, Error> {
        let (leaf, first) = self.inside().ok_or(Error::CursorFailed)?;
        let (_, last) = other.inside().ok_or(Error::CursorFailed)?;
        let rows = first.saturating_add(1)..last;
        sampled_sum(rows, |row| Ok(fence_of(leaf, row, table)?.stats.rows))
    }

    /// Bytes of the same data blocks as stored.
    pub(crate) fn bytes_between(&self, table: &Table, other: &Self) -> Result<u64, Error> {
        let (first, last) = (self.handle(table)?, other.handle(table)?);
        Ok(last.offset.saturating_sub(first.range().end))
    }

    fn inside(&self) -> Option<(&CachedBlock, usize)> {
        self.leaf.as_deref().zip(self.row)
    }

    /// The index; `None` if the table has no entries. The cursor leaves its place.
    fn load(&mut self, table: &Table) -> Result<Option<&CachedBlock>, Error> {
        self.row = None;
        if self.leaf.is_none() {
            self.leaf = table.index()?;
        }
        Ok(self.leaf.as_deref())
    }
}

fn fence_of(leaf: &CachedBlock, row: usize, table: &Table) -> Result<BlockFence, Error> {
    leaf.fence(row).ok_or_else(|| Error::Malformed {
        what: "an index row does not describe a block",
        offset: table.index_offset(),
    })
}

/// The sum of `count` over `rows`, from at most [`SAMPLE_MAX`] of them, evenly spread.
fn sampled_sum(
    rows: Range<usize>,
    count: impl Fn(usize) -> Result<u64, Error>,
) -> Result<u64, Error> {
    let (len, step) = (rows.len() as u128, rows.len().div_ceil(SAMPLE_MAX).max(1));
    let (mut sum, mut counted) = (0u128, 0u128);
    for row in rows.step_by(step) {
        sum += u128::from(count(row)?);
        counted += 1;
    }
    Ok(u64::try_from(sum * len / counted.max(1)).unwrap_or(u64::MAX))
}

/// Most rows of one block of the index that an estimate reads.
const SAMPLE_MAX: usize = 1024;
