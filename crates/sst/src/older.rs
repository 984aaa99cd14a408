//! How much of a table is older than something that hides it.

use stratal_types::SeqNo;

use crate::{Error, Table, index::IndexCursor};

impl Table {
    /// Bytes of the data blocks, as stored, that hold nothing but keys from `from` on and before `to`, and
    /// nothing but entries that a read sees numbered below `seqno`: what a range tombstone of that number
    /// and over these keys hides for certain.
    ///
    /// The two blocks in which the range begins and ends do not count. Only the index is read: of a table
    /// of which everything is older its ends, otherwise all of it between them.
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
    /// let quarter = table.older_len(b"02500", b"05000", 1u32.into())?;
    /// assert!(quarter > table.properties().data_bytes / 5);
    /// assert_eq!(table.older_len(b"02500", b"05000", 0u32.into())?, 0, "nothing is older than all");
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn older_len(&self, from: &[u8], to: &[u8], seqno: SeqNo) -> Result<u64, Error> {
        let since = match self.overlay() {
            // All entries are seen at one number.
            Some(seen) if seen < seqno => SeqNo::MAX,
            Some(_) => return Ok(0),
            None => seqno,
        };
        if self.comparator().compare(from, to).is_ge() {
            return Ok(0);
        }
        let mut block = IndexCursor::default();
        block.seek(self, from, SeqNo::MAX)?;
        if !block.is_inside() {
            return Ok(0);
        }
        let mut last = IndexCursor::default();
        last.seek(self, to, SeqNo::MAX)?;
        if !last.is_inside() {
            last.seek_to_last(self)?;
        }
        let (begin, end) = (block.handle(self)?.offset, last.handle(self)?.offset);
        if begin >= end {
            return Ok(0);
        }
        let is_all_older = self.properties().entry_seqno_max < since.get() && self.is_as_stored();
        if is_all_older || self.overlay().is_some() {
            return block.bytes_between(self, &last);
        }
        let mut len: u64 = 0;
        block.advance(self)?;
        while block.is_inside() && block.handle(self)?.offset < end {
            let fence = block.block(self)?;
            if fence.stats.seqno_max < since.get() {
                len = len.saturating_add(fence.handle.len.into());
            }
            block.advance(self)?;
        }
        Ok(len)
    }
}
