//! Keys that divide a table into stretches of about the same length.

use crate::{Error, Table};

impl Table {
    /// At most `count` keys, ascending, that divide the data blocks into stretches of about the same
    /// number: where work on the table may be divided. No block, and of a large table's index no
    /// partition, is read for them. A key need not be in the table, and versions of one key are on one
    /// side of it. Fewer where there are no more blocks, or partitions of the index.
    ///
    /// Costs a load of the index, of a large table of its upper level, and O(`count`).
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
    /// let quarters = table.fences(3)?;
    /// assert_eq!(quarters.len(), 3);
    /// assert!((b"045".to_vec()..b"055".to_vec()).contains(&quarters[1]));
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn fences(&self, count: usize) -> Result<Vec<Vec<u8>>, Error> {
        // Of a table of two levels the upper one, which has a row for each partition.
        let Some(index) = self.index()? else { return Ok(Vec::new()) };
        let stretches = index.len();
        // Behind the last block there is nothing to divide.
        let count = count.min(stretches.saturating_sub(1));
        let mut fences: Vec<Vec<u8>> = Vec::with_capacity(count);
        for n in 1..=count {
            let key = index.key((stretches * n / (count + 1)).saturating_sub(1));
            // One key's versions may fill several blocks.
            if fences.last() != Some(&key) {
                fences.push(key);
            }
        }
        Ok(fences)
    }
}
