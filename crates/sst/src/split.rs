//! One table into several that follow one another.

use std::io;

use stratal_types::Cursor;

use crate::{Error, Finished, Table, TableWriter};

impl Table {
    /// Writes what the table holds, every version of it, into one table more than there are keys in
    /// `at`, which ascend: the first up to, and without, the first of them, the last from the last of
    /// them on. Each has the range tombstones of its stretch, clipped to it. A stretch that holds
    /// nothing leaves its sink untouched.
    ///
    /// `next` gives the writers, one when the one before has ended, in the table's order.
    ///
    /// Streams: holds one data block, the index and the range tombstones.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfOrder`] if `at` does not ascend, before anything is written; those of reading, of
    /// the writers and of `next`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bytes::Bytes;
    /// use stratal_sst::{Error, Table, TableContext, TableOptions, TableWriter};
    /// use stratal_types::FileUid;
    ///
    /// let ctx = TableContext::default();
    /// let spec = Arc::new(TableOptions::default().validate()?);
    /// let writer = |uid| TableWriter::new(&ctx, Vec::new(), FileUid([uid; 16]), Arc::clone(&spec));
    /// let mut whole = writer(0)?;
    /// for key in ["AD/Vila", "AE/Warisan", "AF/Kabul"] {
    ///     whole.put(key.as_bytes(), b"")?;
    /// }
    /// let whole = Table::open(&ctx, Arc::new(Bytes::from(whole.finish()?.sink)))?;
    ///
    /// let mut uids = 1..;
    /// let pieces = whole.split(&["AE/", "AF/"], || writer(uids.next().unwrap()))?;
    /// assert_eq!(pieces.len(), 3);
    /// let second = pieces[1].info.as_ref().unwrap();
    /// assert_eq!(second.properties.first_key, b"AE/Warisan");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn split<W: io::Write, E: From<Error>>(
        &self,
        at: &[impl AsRef<[u8]>],
        mut next: impl FnMut() -> Result<TableWriter<W>, E>,
    ) -> Result<Vec<Finished<W>>, E> {
        let comparator = self.comparator();
        for [a, b] in at.array_windows() {
            let (previous, key) = (a.as_ref(), b.as_ref());
            if comparator.compare(previous, key).is_ge() {
                let (previous, key) = (previous.to_vec(), key.to_vec());
                return Err(Error::OutOfOrder { previous, key }.into());
            }
        }
        let tombstones = self.tombstones()?;
        let mut cursor = self.scanner();
        cursor.advance()?;
        let mut pieces = Vec::with_capacity(at.len().saturating_add(1));
        let ends = at.iter().map(|key| Some(key.as_ref())).chain([None]);
        let mut start = None;
        for end in ends {
            let mut writer = next()?;
            writer.add_tombstones(&tombstones.clip(start, end, comparator))?;
            while let Some(entry) = cursor.entry()
                && end.is_none_or(|end| comparator.compare(entry.key, end).is_lt())
            {
                writer.add(entry)?;
                cursor.advance()?;
            }
            pieces.push(writer.finish()?);
            start = end;
        }
        Ok(pieces)
    }
}
