use bytes::Bytes;
use stratal_block::SortedBlock;
use stratal_slab::Shared;
use stratal_types::{BlockCursor, BlockFacts, Cursor, EntryKind, SeqNo, Trailer};

use crate::{Error, Table, TableCursor, handle::BlockHandle};

/// A data block of a table with its bytes as they are stored, and verified: for
/// [`TableWriter::add_block`](crate::TableWriter::add_block).
///
/// [`TableCursor::stored_block`] lends it, in front of its first entry.
#[derive(Clone, Copy, Debug)]
pub struct StoredBlock<'a> {
    pub(crate) table: &'a Table,
    pub(crate) handle: BlockHandle,
    pub(crate) stored: &'a Bytes,
    pub(crate) rows: &'a SortedBlock<Shared>,
}

impl StoredBlock<'_> {
    /// Entries in the block.
    pub fn entries(&self) -> usize {
        self.rows.len()
    }

    /// Makes `first` the key of the first entry, and `last` that of the last.
    pub fn ends_into(&self, first: &mut Vec<u8>, last: &mut Vec<u8>) {
        self.rows.key_into(0, first);
        self.rows.key_into(self.rows.len().saturating_sub(1), last);
    }
}

/// The trailer of a fence behind which the versions of no key go on.
const LOWEST: Trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);

impl TableCursor {
    /// The block on whose first entry the cursor stands, as it is stored; for cursors that read [past the
    /// cache](crate::CacheUse::Bypass). `None` if something of it had to be repaired, and in a table that
    /// is seen under another number or whose properties are lost.
    pub fn stored_block(&self) -> Option<StoredBlock<'_>> {
        let (rows, offset) = self.first_of_block()?;
        let table = self.table();
        if !table.is_as_stored() {
            return None;
        }
        let (handle, stored) = self.blocks().stored(offset)?;
        Some(StoredBlock { table, handle, stored, rows })
    }
}

impl BlockCursor for TableCursor {
    #[inline]
    fn begins_block(&self) -> bool {
        self.rows_from_first().is_some()
    }

    fn block_end(&self, last: &mut Vec<u8>) -> bool {
        let Some(block) = self.stored_block() else { return false };
        block.rows.key_into(block.rows.len().saturating_sub(1), last);
        self.index().fence_trailer() == Some(LOWEST)
    }

    fn block_facts(&self) -> Option<BlockFacts> {
        let block = self.stored_block()?;
        let stats = self.index().block(self.table()).ok()?.stats;
        let rows = block.rows;
        let facts = BlockFacts {
            rows: rows.len() as u64,
            seqno_min: SeqNo::new(stats.seqno_min)?,
            seqno_max: SeqNo::new(stats.seqno_max)?,
            kinds: rows.kinds(),
        };
        rows.has_one_version_per_key().then_some(facts)
    }

    fn pass_block(&mut self) -> Result<(), Error> {
        if self.rows_from_first().is_none() {
            return self.advance();
        }
        self.leave_block()
    }
}
