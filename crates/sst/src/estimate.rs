//! How much a range holds, as far as the index knows.

use std::ops::{Bound, RangeBounds};

use stratal_types::{KeyRange, SeqNo};

use crate::{
    Error, Table,
    index::{BlockFence, IndexCursor},
};

/// What a range of keys is thought to hold. See [`Table::estimate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeEstimate {
    /// Stored versions, whatever their kind.
    pub entries: u64,
    /// Bytes of them as stored in data blocks.
    pub bytes: u64,
    /// By how many `entries` may differ from what is there, up or down, at most.
    pub entries_off: u64,
}

impl Table {
    /// How many entries of `range` the table has, and in how many bytes, judged by the index alone.
    ///
    /// Blocks that the range covers count whole; the two in which it begins and ends count half,
    /// and one in which it does both a quarter. So at either end it is off by half a block at most.
    /// Where the index has more than 1024 rows to count, an even sample of them is counted, and only the
    /// size of the table bounds what it may be off by. No data
    /// block is read. Range tombstones are not counted, nor is what they hide.
    ///
    /// # Errors
    ///
    /// Those of reading the index.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
    /// # use stratal_types::FileUid;
    /// # let ctx = TableContext::default();
    /// # let spec = Arc::new(TableOptions::default().validate()?);
    /// let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec)?;
    /// for i in 0..10_000 {
    ///     writer.put(format!("{i:05}").as_bytes(), b"some value")?;
    /// }
    /// let table = Table::open(&ctx, Arc::new(bytes::Bytes::from(writer.finish()?.sink)))?;
    /// let some = table.estimate("02000".as_bytes().."03000".as_bytes())?;
    /// assert!((800..1200).contains(&some.entries));
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn estimate<K: AsRef<[u8]>>(
        &self,
        range: impl RangeBounds<K>,
    ) -> Result<RangeEstimate, Error> {
        let range = KeyRange::from_bounds(&range);
        if range.is_empty(self.comparator()) {
            return Ok(RangeEstimate::default());
        }
        let mut first = IndexCursor::default();
        match &range.start {
            Bound::Unbounded => first.seek_to_first(self)?,
            Bound::Included(key) => first.seek(self, key, SeqNo::MAX)?,
            Bound::Excluded(key) => first.seek(self, key, SeqNo::ZERO)?,
        }
        if !first.is_inside() {
            return Ok(RangeEstimate::default());
        }
        let mut last = IndexCursor::default();
        match &range.end {
            Bound::Unbounded => {}
            Bound::Included(key) => last.seek(self, key, SeqNo::ZERO)?,
            Bound::Excluded(key) => last.seek(self, key, SeqNo::MAX)?,
        }
        let ends_inside = last.is_inside();
        if !ends_inside {
            last.seek_to_last(self)?;
        }
        let begins_inside = !matches!(range.start, Bound::Unbounded);
        let (one, other) = (first.block(self)?, last.block(self)?);
        let cuts = [begins_inside, ends_inside].map(u32::from);
        if one.handle == other.handle {
            return Ok(part(one, cuts[0] + cuts[1]));
        }
        let (entries, is_counted) = first.entries_between(self, &last)?;
        let bytes = first.bytes_between(self, &last)?;
        let between = RangeEstimate { entries, bytes, entries_off: 0 };
        let mut all = part(one, cuts[0]).plus(between).plus(part(other, cuts[1]));
        if !is_counted {
            let stored = self.properties().entries;
            all.entries_off = all.entries.max(stored.saturating_sub(all.entries));
        }
        Ok(all)
    }
}

impl RangeEstimate {
    fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
            entries_off: self.entries_off.saturating_add(other.entries_off),
        }
    }
}

/// What `block` holds, cut in half `cuts` times; one entry at least, since it might.
fn part(block: BlockFence, cuts: u32) -> RangeEstimate {
    let rows = block.stats.rows;
    let entries = (rows >> cuts).max(1);
    let entries_off = if cuts == 0 { 0 } else { entries.max(rows.saturating_sub(entries)) };
    RangeEstimate { entries, bytes: u64::from(block.handle.len) >> cuts, entries_off }
}
