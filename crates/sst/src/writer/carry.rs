//! Data blocks that are taken over from another table.

use std::io;

use stratal_block::SortedCursor;
use stratal_slab::Shared;
use stratal_types::{Counter, FileUid, key_hash};

use super::{TableWriter, Unfenced, beside::compression_name};
use crate::{Error, StoredBlock, Table, section::TableBlock};

/// What a writer remembers for the next block that it may take over.
#[derive(Debug, Default)]
pub(super) struct CarryState {
    /// The table asked about last, and whether its blocks are as this table's.
    asked: Option<(FileUid, bool)>,
    /// Bytes of data blocks that were taken over.
    carried_len: u64,
    /// Bytes that blocks lack because they were ended early for it.
    lacking_len: u64,
    rows: Option<SortedCursor<Shared>>,
}

/// Blocks that are ended early lack, beyond one block, at most this part of what was taken over.
const LACKING_PART: u64 = 8;

impl<W: io::Write> TableWriter<W> {
    /// Adds all entries of `block` by taking it over: its payload goes into this table as it was
    /// compressed in the other. They stand behind all entries added before, as those of [`add`](Self::add).
    ///
    /// `false`, and nothing is added, if that cannot be or does not pay: because the other table's
    /// blocks were made by other options, or with another dictionary; because the block is short; or
    /// because the block at hand would have to be ended early, and that has been done too often for what
    /// was gained. Then its entries are to be added one by one.
    ///
    /// Keys are still read, for the filter and the properties.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add); each ends the table.
    pub fn add_block(&mut self, block: &StoredBlock<'_>) -> Result<bool, Error> {
        if self.training.is_some() || !self.takes_blocks_of(block.table) {
            return Ok(false);
        }
        let target = u64::from(self.spec.options().block_len_target);
        let len = block.rows.as_bytes().len() as u64;
        let begun_len =
            if self.block.is_empty() { target } else { self.block.estimated_len() as u64 };
        let lacking_len = self.carry.lacking_len + target.saturating_sub(begun_len);
        if len < target / 2 || lacking_len > target + self.carry.carried_len / LACKING_PART {
            return Ok(false);
        }
        let id = |uid, ordinal| TableBlock::Data.id(uid, ordinal);
        let from = id(block.table.contents().header.uid, block.handle.ordinal);
        let to = id(self.header.uid, self.next_data_ordinal + u64::from(!self.block.is_empty()));
        let mut stored = self.queue.buffer();
        let dictionary = block.table.dictionary_codec()?;
        let source = dictionary.as_ref().map_or(block.table.codec(), |cached| &cached.0);
        let carried = self.codecs.data.carry_into(source, from, to, block.stored, &mut stored);
        if carried.map_err(|source| self.abandon_block(TableBlock::Data, source))?.is_none() {
            self.queue.recycle(stored);
            return Ok(false);
        }
        if !self.block.is_empty() {
            self.complete_block()?;
        }
        self.carry.lacking_len = lacking_len;
        self.carry.carried_len += len;
        self.count_rows(block)?;
        let completed = self.completed()?;
        self.unfenced = Some((Unfenced::Sealed(stored), completed));
        self.ctx.metrics.add(Counter::BlocksCarried, 1);
        Ok(true)
    }

    fn count_rows(&mut self, block: &StoredBlock<'_>) -> Result<(), Error> {
        let mut rows = match self.carry.rows.take() {
            Some(mut rows) => {
                rows.set_block(block.rows.clone());
                rows
            }
            None => SortedCursor::new(block.rows.clone()),
        };
        rows.seek_to_first();
        self.fence_before(rows.entry().map(|entry| entry.key))?;
        while let Some(entry) = rows.entry() {
            let following = match self.check_order(entry) {
                Ok(following) => following,
                Err(error) => {
                    self.output = super::Output::Failed;
                    return Err(error);
                }
            };
            self.count(entry, key_hash(entry.key), following.new_key);
            // No row is added, so that the block at hand has no last key.
            self.last_key.clear();
            self.last_key.extend_from_slice(entry.key);
            rows.advance();
        }
        self.carry.rows = Some(rows);
        Ok(())
    }

    /// Whether the blocks of `table` were made as those of this one are.
    fn takes_blocks_of(&mut self, table: &Table) -> bool {
        let uid = table.contents().header.uid;
        if let Some((asked, takes)) = self.carry.asked
            && asked == uid
        {
            return takes;
        }
        let (options, properties) = (self.spec.options(), table.properties());
        let dictionary = self.dictionary.as_ref().map(|dictionary| dictionary.id().to_string());
        let has_dictionary = properties.dictionary_bytes > 0;
        let takes = properties.block_len_target == u64::from(options.block_len_target)
            && properties.entry_digests == u64::from(options.entry_digests)
            && properties.comparator == self.ctx.comparator.name()
            && properties.compression == compression_name(options.compression)
            && dictionary.as_deref() == has_dictionary.then_some(&*properties.dictionary);
        self.carry.asked = Some((uid, takes));
        takes
    }
}
