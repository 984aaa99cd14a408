use std::{
    mem,
    ops::{Bound, Range},
    sync::Arc,
};

use stratal_types::{SeqNo, Trailer};

use crate::{
    Error, Table,
    block::{CachedBlock, CachedFilter},
    handle::BlockHandle,
    read_ahead::FenceAt,
};

use super::{BlockFence, PartitionFence, Sought};

mod passing;

/// A place in a table's index: on the fence of one data block, or on none.
///
/// Blocks of the index are loaded when a step first needs them; the upper level and one partition are
/// held from then on, also when the cache has dropped them. The table is given to each step, and is
/// always the same. After an error the cursor stands on no fence. Cloning it, to look ahead, costs
/// two reference counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexCursor {
    top: Option<Arc<CachedBlock>>,
    /// In a table of two levels: the partition that the cursor is in, or went to last.
    partition: usize,
    /// The fences of one partition, and which it is; `None` in a table of one level, whose only block
    /// of fences is `top`.
    leaf: Option<(usize, Arc<CachedBlock>)>,
    /// The fence's row in its block.
    row: Option<usize>,
    /// Blocks without any of these numbers are passed over.
    sought: Sought,
    /// For keys, while they are searched in another order than that of their bytes.
    scratch: Vec<u8>,
}

impl IndexCursor {
    /// A cursor that passes over blocks without any of the numbers `sought`.
    pub(crate) fn of(sought: Sought) -> Self {
        Self { sought, ..Self::default() }
    }

    /// Looks for other numbers from the next step on.
    pub(crate) fn want(&mut self, sought: Sought) {
        self.sought = sought;
    }

    /// Goes to the first block whose fence is at or behind (`key`, `bound`) in internal order: the
    /// only one that can hold the place, or the one before it.
    pub(crate) fn seek(&mut self, table: &Table, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        self.seek_partition(table, key, bound)?;
        self.seek_in_partition(table, key, bound)
    }

    /// A [`seek`](Self::seek), if it reads nothing; whether it is done. Otherwise the cursor stands on no
    /// fence.
    pub(crate) fn seek_resident(&mut self, table: &Table, key: &[u8], bound: SeqNo) -> bool {
        self.row = None;
        if self.top.is_none() {
            self.top = table.shared_index();
        }
        let Some(top) = self.top.as_ref().filter(|_| self.sought.is_all()) else { return false };
        let (comparator, scratch) = (table.comparator(), &mut self.scratch);
        if !table.is_divided() {
            self.partition = 0;
            let row = top.seek(key, bound, comparator, scratch);
            self.row = (row < top.len()).then_some(row);
            return true;
        }
        let n = top.seek(key, bound, comparator, scratch);
        if n >= top.len() {
            self.partition = n;
            return true;
        }
        if self.leaf.as_ref().is_none_or(|(known, _)| *known != n) {
            let Some(leaf) = table.shared_partition(top, n) else { return false };
            self.leaf = Some((n, leaf));
        }
        let Some((_, leaf)) = &self.leaf else { return false };
        let row = leaf.seek(key, bound, comparator, scratch);
        // Behind its last fence the next partition begins, which is rare, and left to `seek`.
        (self.partition, self.row) = (n, (row < leaf.len()).then_some(row));
        self.row.is_some()
    }

    /// The first half of a [`seek`](Self::seek): finds the partition, and does not read it. The
    /// cursor stands on no fence.
    pub(crate) fn seek_partition(
        &mut self,
        table: &Table,
        key: &[u8],
        bound: SeqNo,
    ) -> Result<(), Error> {
        let mut scratch = mem::take(&mut self.scratch);
        let partition = self.load_top(table).map(|top| match top {
            Some(top) if table.is_divided() => {
                top.seek(key, bound, table.comparator(), &mut scratch)
            }
            _ => 0,
        });
        self.scratch = scratch;
        self.partition = partition?;
        Ok(())
    }

    /// Finds the partition in which a range that begins at `start` begins, and does not read it. The
    /// cursor stands on no fence.
    pub(crate) fn seek_partition_of_start(
        &mut self,
        table: &Table,
        start: &Bound<Vec<u8>>,
    ) -> Result<(), Error> {
        match start {
            Bound::Included(key) => self.seek_partition(table, key, SeqNo::MAX),
            Bound::Excluded(key) => self.seek_partition(table, key, SeqNo::ZERO),
            Bound::Unbounded => {
                self.partition = 0;
                self.load_top(table).map(drop)
            }
        }
    }

    /// The number of the partition that the cursor is in, or went to last: 0 in a table of one level.
    pub(crate) fn partition(&self) -> usize {
        self.partition
    }

    /// The second half of a [`seek`](Self::seek).
    pub(crate) fn seek_in_partition(
        &mut self,
        table: &Table,
        key: &[u8],
        bound: SeqNo,
    ) -> Result<(), Error> {
        let mut scratch = mem::take(&mut self.scratch);
        let row = self
            .load_leaf(table)
            .map(|leaf| leaf.map(|leaf| leaf.seek(key, bound, table.comparator(), &mut scratch)));
        self.scratch = scratch;
        let Some(row) = row? else { return Ok(()) };
        self.settle_forward(table, row)
    }

    pub(crate) fn seek_to_first(&mut self, table: &Table) -> Result<(), Error> {
        self.seek_to_partition(table, 0)
    }

    /// Goes to `row` of partition `n`, the only one of which is 0 in a table of one level; to none if
    /// there is no such row.
    pub(crate) fn seek_to_row(&mut self, table: &Table, n: usize, row: usize) -> Result<(), Error> {
        self.partition = n;
        self.load_top(table)?;
        let rows = self.load_leaf(table)?.map_or(0, CachedBlock::len);
        if row < rows || !table.is_divided() {
            self.row = (row < rows).then_some(row);
            return Ok(());
        }
        // The rows before may end with a fence of the key that is looked for.
        self.settle_forward(table, row)
    }

    /// Goes to the first fence of partition `n`, if the table has so many; the only one is 0 in a
    /// table of one level.
    pub(crate) fn seek_to_partition(&mut self, table: &Table, n: usize) -> Result<(), Error> {
        self.load_top(table)?;
        self.partition = n;
        self.settle_forward(table, 0)
    }

    pub(crate) fn seek_to_last(&mut self, table: &Table) -> Result<(), Error> {
        self.load_top(table)?;
        self.partition = self.partitions(table);
        self.settle_backward(table, 0)
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

    /// Goes to the first row that is not passed over, from `row` of the partition at hand on.
    fn settle_forward(&mut self, table: &Table, row: usize) -> Result<(), Error> {
        let mut row = row;
        while self.partition < self.partitions(table) {
            if !self.is_partition_passed_over(table)? {
                let sought = self.sought;
                let Some(leaf) = self.load_leaf(table)? else { break };
                let found = first_not_passed_over(leaf, row..leaf.len(), sought, table)?;
                if found.is_some() {
                    self.row = found;
                    break;
                }
            }
            self.partition = self.partition.saturating_add(1);
            row = 0;
        }
        Ok(())
    }

    /// Goes to the last row that is not passed over, before `row` of the partition at hand.
    fn settle_backward(&mut self, table: &Table, row: usize) -> Result<(), Error> {
        let mut end = Some(row);
        loop {
            if self.partition < self.partitions(table) && !self.is_partition_passed_over(table)? {
                let sought = self.sought;
                let Some(leaf) = self.load_leaf(table)? else { break };
                let rows = 0..end.unwrap_or(leaf.len());
                let found = first_not_passed_over(leaf, rows.rev(), sought, table)?;
                if found.is_some() {
                    self.row = found;
                    break;
                }
            }
            let Some(before) = self.partition.checked_sub(1) else { break };
            self.partition = before;
            end = None;
        }
        Ok(())
    }

    fn is_partition_passed_over(&self, table: &Table) -> Result<bool, Error> {
        if self.sought.is_all() {
            return Ok(false);
        }
        let fence = self.partition_fence(table)?;
        Ok(fence.is_some_and(|fence| !self.sought.meets(fence.stats)))
    }

    /// How many partitions there are, if the index is loaded; one in a table of one level.
    pub(crate) fn partitions(&self, table: &Table) -> usize {
        match &self.top {
            Some(top) if table.is_divided() => top.len(),
            top => usize::from(top.is_some()),
        }
    }

    /// What the upper level says of the partition that the cursor is in; `None` in a table of one
    /// level, and behind the last.
    pub(crate) fn partition_fence(&self, table: &Table) -> Result<Option<PartitionFence>, Error> {
        match &self.top {
            Some(top) if table.is_divided() && self.partition < top.len() => {
                table.partition_fence(top, self.partition).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The last fence of the partition that the cursor is in; `None` in a table of one level, and
    /// behind the last.
    pub(crate) fn partition_end(&self, table: &Table) -> Option<(Vec<u8>, Trailer)> {
        let top = self.top.as_ref()?;
        let is_inside = table.is_divided() && self.partition < top.len();
        is_inside.then(|| (top.key(self.partition), top.trailer(self.partition)))
    }

    /// Goes to the next partition, and does not read it. The cursor stands on no fence.
    pub(crate) fn advance_partition(&mut self) {
        self.row = None;
        self.partition = self.partition.saturating_add(1);
    }

    /// Whether it stands on a fence.
    pub(crate) fn is_inside(&self) -> bool {
        self.row.is_some()
    }

    /// Whether it stands on a fence of partition `n`.
    pub(crate) fn is_inside_partition(&self, n: usize) -> bool {
        self.row.is_some() && self.partition == n
    }

    /// Where the data block is that the cursor stands for.
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block).
    pub(crate) fn handle(&self, table: &Table) -> Result<BlockHandle, Error> {
        let (leaf, row) = self.inside().ok_or(Error::CursorFailed)?;
        leaf.handle(row).ok_or_else(|| no_fence(table))
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
        let (leaf, row) = self.inside()?;
        Some((leaf.key(row), leaf.trailer(row)))
    }

    /// The trailer of that fence.
    pub(crate) fn fence_trailer(&self) -> Option<Trailer> {
        let (leaf, row) = self.inside()?;
        Some(leaf.trailer(row))
    }

    /// Whether the fence's user key is `key`: only then do versions of `key` go on in the next block.
    pub(crate) fn is_fence_of(&self, key: &[u8]) -> bool {
        self.inside().is_some_and(|(leaf, row)| leaf.rows().key_eq(row, key))
    }

    /// Entries of the data blocks between the one that this cursor stands for and the one that
    /// `other`, behind it, stands for; from a sample if these are many. Whether all were counted too.
    pub(crate) fn entries_between(
        &self,
        table: &Table,
        other: &Self,
    ) -> Result<(u64, bool), Error> {
        let (leaf, first) = self.inside().ok_or(Error::CursorFailed)?;
        let (other_leaf, last) = other.inside().ok_or(Error::CursorFailed)?;
        let first = first.saturating_add(1);
        let rows_of = |leaf: &CachedBlock, rows: Range<usize>| {
            let is_counted = rows.len() <= SAMPLE_MAX;
            let sum = sampled_sum(rows, |row| Ok(fence_of(leaf, row, table)?.stats.rows))?;
            Ok::<_, Error>((sum, is_counted))
        };
        if self.partition == other.partition {
            return rows_of(leaf, first..last);
        }
        let top = self.top.as_deref().ok_or(Error::CursorFailed)?;
        let between = self.partition.saturating_add(1)..other.partition;
        let is_counted = between.len() <= SAMPLE_MAX;
        let whole = sampled_sum(between, |n| Ok(table.partition_fence(top, n)?.stats.rows))?;
        let (begin, end) = (rows_of(leaf, first..leaf.len())?, rows_of(other_leaf, 0..last)?);
        let all = whole.saturating_add(begin.0).saturating_add(end.0);
        Ok((all, is_counted && begin.1 && end.1))
    }

    /// Bytes of the same data blocks as stored, from a sample if partitions stand between many.
    pub(crate) fn bytes_between(&self, table: &Table, other: &Self) -> Result<u64, Error> {
        let range = self.handle(table)?.range().end..other.handle(table)?.offset;
        let mut bytes = range.end.saturating_sub(range.start);
        if let (true, Some(top)) = (table.is_divided(), &self.top) {
            let first = first_partition_from(table, top, range.start)?;
            let end = first_partition_from(table, top, range.end)?;
            let among = sampled_sum(first..end, |n| {
                let PartitionFence { handle, filter, .. } = table.partition_fence(top, n)?;
                let filter_len = filter.map_or(0, |filter| filter.len.into());
                Ok(u64::from(handle.len).saturating_add(filter_len))
            })?;
            bytes = bytes.saturating_sub(among);
        }
        Ok(bytes)
    }

    /// The filter of the partition that the cursor is in, if it has one; `None` too where there is no
    /// partition.
    pub(crate) fn filter(&self, table: &Table) -> Result<Option<Arc<CachedFilter>>, Error> {
        match &self.top {
            Some(top) if table.is_divided() && self.partition < top.len() => {
                table.filter_partition(top, self.partition)
            }
            _ => Ok(None),
        }
    }

    /// The block of fences that the cursor is in, and the row on which it stands.
    pub(crate) fn fences(&self) -> Option<(&CachedBlock, usize)> {
        self.inside()
    }

    /// Where in the index that is.
    pub(crate) fn place(&self) -> Option<FenceAt> {
        Some(FenceAt { partition: self.partition, row: self.row? })
    }

    /// As [`fences`](Self::fences), with a count of references.
    pub(crate) fn shared_fences(&self) -> Option<(Arc<CachedBlock>, usize)> {
        let leaf = self.leaf.as_ref().map(|(_, leaf)| leaf).or(self.top.as_ref());
        leaf.cloned().zip(self.row)
    }

    fn inside(&self) -> Option<(&CachedBlock, usize)> {
        let leaf = self.leaf.as_ref().map(|(_, leaf)| leaf).or(self.top.as_ref());
        leaf.map(|leaf| &**leaf).zip(self.row)
    }

    /// The index, or its upper level; `None` if the table has no entries. The cursor leaves its place.
    fn load_top(&mut self, table: &Table) -> Result<Option<&CachedBlock>, Error> {
        self.row = None;
        if self.top.is_none() {
            self.top = table.index()?;
        }
        Ok(self.top.as_deref())
    }

    /// The fences of the partition at hand; `None` if there is no such partition.
    fn load_leaf(&mut self, table: &Table) -> Result<Option<&CachedBlock>, Error> {
        let Some(top) = &self.top else { return Ok(None) };
        if !table.is_divided() {
            return Ok((self.partition == 0).then_some(top));
        }
        if self.partition >= top.len() {
            return Ok(None);
        }
        if self.leaf.as_ref().is_none_or(|(n, _)| *n != self.partition) {
            self.leaf = Some((self.partition, table.index_partition(top, self.partition)?));
        }
        Ok(self.leaf.as_ref().map(|(_, leaf)| &**leaf))
    }
}

fn fence_of(leaf: &CachedBlock, row: usize, table: &Table) -> Result<BlockFence, Error> {
    leaf.fence(row).ok_or_else(|| no_fence(table))
}

fn no_fence(table: &Table) -> Error {
    let what = "an index row does not describe a block";
    Error::Malformed { what, offset: table.index_offset() }
}

/// Number of the first partition whose block of the index stands at `offset` or behind.
fn first_partition_from(table: &Table, top: &CachedBlock, offset: u64) -> Result<usize, Error> {
    let (mut low, mut high) = (0, top.len());
    while low < high {
        let middle = low.midpoint(high);
        if table.partition_fence(top, middle)?.handle.offset < offset {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The first of `rows` whose block may have entries with a number that is sought.
fn first_not_passed_over(
    leaf: &CachedBlock,
    mut rows: impl Iterator<Item = usize>,
    sought: Sought,
    table: &Table,
) -> Result<Option<usize>, Error> {
    if sought.is_all() {
        return Ok(rows.next());
    }
    for row in rows {
        if sought.meets(fence_of(leaf, row, table)?.stats) {
            return Ok(Some(row));
        }
    }
    Ok(None)
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
