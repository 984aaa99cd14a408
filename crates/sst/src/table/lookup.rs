//! Looking one key up: with what is in memory, and by reading what is not.

use stratal_cache::Pin;
use stratal_types::SeqNo;

use crate::{
    Error, Table, Version,
    block::{CachedBlock, CachedFilter},
    guess,
    index::IndexCursor,
    section::TableBlock,
};

/// What a lookup comes to that reads nothing.
pub(super) enum Resident {
    /// The newest version, as it is stored, if there is one.
    Found(Option<Version>),
    /// Something must be read, from this step on.
    Wanted(Step),
}

/// Where a key must be.
pub(crate) enum Placed<'p> {
    /// In the data block of this fence, if there is such a row.
    At { fences: &'p CachedBlock, partition: usize, row: usize },
    /// It is not in the table.
    Nowhere,
    /// Something must be read to tell, from this step on.
    Wanted(Step),
}

/// How far a lookup has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Nothing is done yet.
    Filter,
    /// The filter has let the key through.
    Index,
    /// It is to be looked for from this data block on: the row of a partition of the index.
    Block { partition: usize, row: usize },
}

/// The filter of a table, or of the partition that may have a key.
#[derive(Clone, Copy, Debug)]
pub struct ResidentFilter<'p> {
    table: &'p Table,
    filter: &'p CachedFilter,
}

impl ResidentFilter<'_> {
    /// Loads what [`may_contain`](Self::may_contain) would look at, and waits for none of it.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.filter.prefetch(hash);
    }

    /// Whether the filter lets through `key`, whose [`key_hash`](stratal_types::key_hash) is `hash`.
    #[inline]
    pub fn may_contain(&self, key: &[u8], hash: u64) -> bool {
        self.table.ask_ahead(self.filter, key, hash)
    }
}

impl Table {
    /// Looks `key` up where everything that it takes is in memory.
    ///
    /// The filter over the whole table is asked first, or if the key will rather be there, when the block's
    /// description is on its way.
    pub(super) fn lookup_resident(
        &self,
        key: &[u8],
        hash: u64,
        bound: SeqNo,
        step: Step,
        pin: &Pin,
    ) -> Result<Resident, Error> {
        let mut filter = match step {
            Step::Filter => match self.resident_whole_filter(pin) {
                Ok(filter) => filter,
                Err(step) => return Ok(Resident::Wanted(step)),
            },
            Step::Index | Step::Block { .. } => None,
        };
        let lets_through = |filter: &CachedFilter| {
            let may = self.ask(filter, key, hash);
            guess::note(may);
            may
        };
        match filter.take_if(|_| guess::is_absent()) {
            Some(filter) if !lets_through(filter) => return Ok(Resident::Found(None)),
            Some(_) => {}
            None => filter.iter().for_each(|filter| filter.prefetch(hash)),
        }
        let (fences, partition, row) = match self.place_resident(key, hash, bound, step, pin)? {
            Placed::At { fences, partition, row } => (fences, partition, row),
            Placed::Nowhere => return Ok(Resident::Found(None)),
            // It is still to be asked.
            Placed::Wanted(_) if filter.is_some() => return Ok(Resident::Wanted(step)),
            Placed::Wanted(step) => return Ok(Resident::Wanted(step)),
        };
        if let Some(filter) = filter {
            fences.prefetch_block(row, pin);
            if !lets_through(filter) {
                return Ok(Resident::Found(None));
            }
        }
        Ok(self.find_resident((fences, partition, row), key, hash, bound, pin))
    }

    /// Finds the data block in which `key` must be, if what tells it is in memory. A filter over the
    /// whole table has let the key through; that of a partition is asked here, if it was not.
    pub(crate) fn place_resident<'p>(
        &self,
        key: &[u8],
        hash: u64,
        bound: SeqNo,
        step: Step,
        pin: &'p Pin,
    ) -> Result<Placed<'p>, Error> {
        let (inner, comparator) = (&*self.inner, self.comparator());
        let Some(index) = inner.resident_index(pin) else { return Ok(Placed::Wanted(step)) };
        if !self.is_divided() {
            let mut number = None;
            if inner.has_locator() {
                let Some(locator) = inner.resident_locator(pin) else {
                    return Ok(Placed::Wanted(Step::Index));
                };
                number = locator.block_number(hash);
            }
            let row = number.unwrap_or_else(|| index.seek(key, bound, comparator, &mut Vec::new()));
            return Ok(Placed::At { fences: index, partition: 0, row });
        }
        let partition = index.seek(key, bound, comparator, &mut Vec::new());
        if partition >= index.len() {
            return Ok(Placed::Nowhere);
        }
        let fence = self.partition_fence(index, partition)?;
        let Some((leaves, filters)) = index.partitions() else { return Ok(Placed::Wanted(step)) };
        if let (Some(filter), Step::Filter) = (fence.filter, step) {
            let at = (TableBlock::FilterPartition, || filter.offset);
            let Some(filter) = inner.shown(filters, partition, at, pin) else {
                return Ok(Placed::Wanted(step));
            };
            if !self.ask(filter, key, hash) {
                return Ok(Placed::Nowhere);
            }
        }
        let at = (TableBlock::IndexPartition, || fence.handle.offset);
        let Some(fences) = inner.shown(leaves, partition, at, pin) else {
            return Ok(Placed::Wanted(Step::Index));
        };
        let row = fences.seek(key, bound, comparator, &mut Vec::new());
        Ok(Placed::At { fences, partition, row })
    }

    /// The data block that `row` of `fences` stands for, if it is in memory.
    #[inline]
    pub(crate) fn resident_block<'p>(
        &self,
        fences: &CachedBlock,
        row: usize,
        pin: &'p Pin,
    ) -> Option<&'p CachedBlock> {
        let at = || fences.handle(row).map_or(0, |handle| handle.offset);
        self.inner.shown(fences.blocks()?, row, (TableBlock::Data, at), pin)
    }

    /// The filter over the whole table, if there is one.
    ///
    /// # Errors
    ///
    /// The step that it takes, if it must be read.
    pub(crate) fn resident_whole_filter<'p>(
        &self,
        pin: &'p Pin,
    ) -> Result<Option<&'p CachedFilter>, Step> {
        if self.is_divided() || !self.inner.has_filter() {
            return Ok(None);
        }
        self.inner.resident_filter(pin).map(Some).ok_or(Step::Filter)
    }

    /// The filter that tells whether the table has `key`, if that is in memory: for a caller who asks
    /// several tables for one key, and has all of their filters on the way before the first answers.
    /// `None` if there is no such filter, or it must be read.
    pub fn resident_filter<'p>(&'p self, key: &[u8], pin: &'p Pin) -> Option<ResidentFilter<'p>> {
        let inner = &*self.inner;
        let filter = if self.is_divided() {
            let top = inner.resident_index(pin)?;
            let partition = top.seek(key, SeqNo::MAX, self.comparator(), &mut Vec::new());
            let at = || {
                let fence = top.partition(partition).and_then(|fence| fence.filter);
                fence.map_or(0, |filter| filter.offset)
            };
            let (_, filters) = top.partitions()?;
            inner.shown(filters, partition, (TableBlock::FilterPartition, at), pin)?
        } else {
            inner.resident_filter(pin)?
        };
        Some(ResidentFilter { table: self, filter })
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
            // For who finds no block there, and reads it.
            fences.rows().prefetch_row(row);
            let Some(block) = self.resident_block(fences, row, pin) else {
                return Resident::Wanted(Step::Block { partition, row });
            };
            if let Some(found) = block.find(key, hash, bound) {
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
        Resident::Wanted(Step::Block { partition, row })
    }

    /// Looks `key` up and reads what that takes, from `step` on.
    pub(super) fn lookup_loading(
        &self,
        key: &[u8],
        hash: u64,
        bound: SeqNo,
        step: Step,
    ) -> Result<Option<Version>, Error> {
        let mut index = IndexCursor::default();
        let is_asked = !matches!(step, Step::Filter);
        if let Step::Block { partition, row } = step {
            index.seek_to_row(self, partition, row)?;
        } else if self.is_divided() {
            index.seek_partition(self, key, bound)?;
            if !is_asked && !self.may_contain_in(&index, key, hash)? {
                return Ok(None);
            }
            index.seek_in_partition(self, key, bound)?;
        } else {
            if !is_asked && !self.may_contain_in_whole(key, hash)? {
                return Ok(None);
            }
            match self.inner.locator()?.and_then(|locator| locator.block_number(hash)) {
                Some(number) => index.seek_to_row(self, 0, number)?,
                None => index.seek(self, key, bound)?,
            }
        }
        while index.is_inside() {
            let block = self.inner.data_block(index.handle(self)?, index.fences())?;
            if let Some(row) = block.find(key, hash, bound) {
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
