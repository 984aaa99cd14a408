//! Looking one key up: with what is in memory, and by reading what is not.

use stratal_cache::Pin;
use stratal_types::SeqNo;

use crate::{Error, Table, Version, block::CachedBlock, index::IndexCursor, section::TableBlock};

/// What a lookup comes to that reads nothing.
pub(super) enum Resident {
    /// The newest version, as it is stored, if there is one.
    Found(Option<Version>),
    /// Something must be read: from this data block on, or if the place of that is not known either,
    /// from the filter on.
    Wanted(Option<BlockPlace>),
}

/// Which data block: the row of a partition of the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockPlace {
    partition: usize,
    row: usize,
}

impl Table {
    /// Looks `key` up where everything that it takes is in memory.
    pub(super) fn lookup_resident(
        &self,
        key: &[u8],
        hash: u64,
        bound: SeqNo,
        pin: &Pin,
    ) -> Result<Resident, Error> {
        const ABSENT: Result<Resident, Error> = Ok(Resident::Found(None));
        const WANTED: Result<Resident, Error> = Ok(Resident::Wanted(None));
        let inner = &*self.inner;
        if self.is_divided() {
            let Some(top) = inner.resident_index(pin) else { return WANTED };
            let partition = top.seek(key, bound, self.comparator(), &mut Vec::new());
            if partition >= top.len() {
                return ABSENT;
            }
            let fence = self.partition_fence(top, partition)?;
            let Some((leaves, filters)) = top.partitions() else { return WANTED };
            if let Some(filter) = fence.filter {
                let at = (TableBlock::FilterPartition, || filter.offset);
                let Some(filter) = inner.shown(filters, partition, at, pin) else { return WANTED };
                if !self.ask(filter, key, hash) {
                    return ABSENT;
                }
            }
            let at = (TableBlock::IndexPartition, || fence.handle.offset);
            let Some(leaf) = inner.shown(leaves, partition, at, pin) else { return WANTED };
            let row = leaf.seek(key, bound, self.comparator(), &mut Vec::new());
            return Ok(self.find_resident((leaf, partition, row), key, hash, bound, pin));
        }
        if inner.has_filter() {
            let Some(filter) = inner.resident_filter(pin) else { return WANTED };
            if !self.ask(filter, key, hash) {
                return ABSENT;
            }
        }
        let Some(index) = inner.resident_index(pin) else { return WANTED };
        let mut number = None;
        if inner.has_locator() {
            let Some(locator) = inner.resident_locator(pin) else { return WANTED };
            number = locator.block_number(hash);
        }
        let row =
            number.unwrap_or_else(|| index.seek(key, bound, self.comparator(), &mut Vec::new()));
        Ok(self.find_resident((index, 0, row), key, hash, bound, pin))
    }

    /// Looks for `key` from data block `row` of a partition on.
    fn find_resident(
        &self,
        (fences, partition, mut row): (&CachedBlock, usize, usize),
        key: &[u8],
        hash: u64,
        bound: SeqNo,
        pin: &Pin,
    ) -> Resident {
        let is_last = !self.is_divided();
        while row < fences.len() {
            let at = || fences.handle(row).map_or(0, |handle| handle.offset);
            let shown = fences
                .blocks()
                .and_then(|blocks| self.inner.shown(blocks, row, (TableBlock::Data, at), pin));
            let Some(block) = shown else {
                return Resident::Wanted(Some(BlockPlace { partition, row }));
            };
            if let Some(found) = block.rows().find(key, hash, bound) {
                return Resident::Found(Some(block.version(found)));
            }
            // Versions of a key may go on in the next block only if the fence is the key itself.
            if !fences.rows().key_eq(row, key) {
                self.note_absent();
                return Resident::Found(None);
            }
            row = row.saturating_add(1);
        }
        if is_last {
            self.note_absent();
            return Resident::Found(None);
        }
        Resident::Wanted(Some(BlockPlace { partition, row }))
    }

    /// Looks `key` up and reads what that takes, from `place` on if it is known.
    pub(super) fn lookup_loading(
        &self,
        key: &[u8],
        hash: u64,
        bound: SeqNo,
        place: Option<BlockPlace>,
    ) -> Result<Option<Version>, Error> {
        let mut index = IndexCursor::default();
        if let Some(BlockPlace { partition, row }) = place {
            index.seek_to_row(self, partition, row)?;
        } else if self.is_divided() {
            index.seek_partition(self, key, bound)?;
            if !self.may_contain_in(&index, key, hash)? {
                return Ok(None);
            }
            index.seek_in_partition(self, key, bound)?;
        } else {
            if !self.may_contain_in_whole(key, hash)? {
                return Ok(None);
            }
            match self.inner.locator()?.and_then(|locator| locator.block_number(hash)) {
                Some(number) => index.seek_to_row(self, 0, number)?,
                None => index.seek(self, key, bound)?,
            }
        }
        while index.is_inside() {
            let block = self.inner.data_block(index.handle(self)?, index.fences())?;
            if let Some(row) = block.rows().find(key, hash, bound) {
                return Ok(Some(self.seen(block.version(row))));
            }
            if !index.is_fence_of(key) {
                break;
            }
            index.advance(self)?;
        }
        self.note_absent();
        Ok(None)
    }
}
