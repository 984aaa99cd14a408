//! Loading what every lookup begins with, before the first of them.

use crate::{Error, Table};

impl Table {
    /// Loads into the cache what every lookup begins with: the index, ready to be searched, the filter,
    /// the locator and the range tombstones; of a large table, whose index and filter are in
    /// partitions, the upper level of the index alone. No data block is read.
    ///
    /// For a table that was just written and is about to be read: without this its first reader waits
    /// for all of it. Reads at most what the cache is then asked to keep before data blocks, and costs
    /// some 20 ns for each data block beside.
    ///
    /// # Errors
    ///
    /// Those of reading and parsing these; what is loaded by then stays.
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
    /// table.warm()?;
    /// let held = ctx.cache.len();
    /// assert!(held >= 2, "index and filter");
    /// assert_eq!(table.get(b"04711")?.unwrap(), "some value");
    /// assert_eq!(ctx.cache.len(), held + 1, "a data block was all that it took");
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn warm(&self) -> Result<(), Error> {
        if let Some(index) = self.inner.index()? {
            index.prepare_search();
        }
        if !self.is_divided() {
            self.inner.filter()?;
            self.inner.locator()?;
        }
        self.tombstones().map(drop)
    }
}
