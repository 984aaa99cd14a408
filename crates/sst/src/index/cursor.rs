use std::sync::Arc;

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
}

impl IndexCursor {
    /// Goes to the first block whose fence is at or behind (`key`, `bound`) in internal order: the
    /// only one that can hold the place, or the one before it.
    pub(crate) fn seek(&mut self, table: &Table, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        let Some(block) = self.load(table)? else { return Ok(()) };
        let row = block.seek(key, bound, table.comparator());
        self.row = (row < block.len()).then_some(row);
        Ok(())
    }

    pub(crate) fn seek_to_first(&mut self, table: &Table) -> Result<(), Error> {
        self.row = self.load(table)?.map(|_| 0);
        Ok(())
    }

    pub(crate) fn seek_to_last(&mut self, table: &Table) -> Result<(), Error> {
        self.row = self.load(table)?.and_then(|block| block.len().checked_sub(1));
        Ok(())
    }

    /// Goes to the next block's fence; behind the last, to none.
    #[expect(clippy::unnecessary_wraps, reason = "a step may load a block of the index")]
    pub(crate) fn advance(&mut self, _: &Table) -> Result<(), Error> {
        let len = self.leaf.as_ref().map_or(0, |block| block.len());
        self.row = self.row.map(|row| row.saturating_add(1)).filter(|&row| row < len);
        Ok(())
    }

    /// Goes to the fence of the block before; before the first, to none.
    #[expect(clippy::unnecessary_wraps, reason = "a step may load a block of the index")]
    pub(crate) fn retreat(&mut self, _: &Table) -> Result<(), Error> {
        self.row = self.row.and_then(|row| row.checked_sub(1));
        Ok(())
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
        let (block, row) = self.inside().ok_or(Error::CursorFailed)?;
        block.fence(row).ok_or_else(|| Error::Malformed {
            what: "an index row does not describe a block",
            offset: table.index_offset(),
        })
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
