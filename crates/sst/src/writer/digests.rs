//! Digests that came with entries.

use std::io;

use stratal_block::SortedBlock;
use stratal_types::{EntryDigest, EntryRef};

use super::{Output, TableWriter};
use crate::{Error, section::TableBlock};

impl<W: io::Write> TableWriter<W> {
    /// Like [`add`](Self::add), for a caller to whom the entry's digest came with the entry, perhaps
    /// since it was inserted: it is stored as it is, so that [`verify`](crate::Table::verify) finds
    /// what happens to the entry from now on. What has happened before is found when the block that
    /// holds the entry is complete: digests are checked against its bytes before they are sealed. Without
    /// [`entry_digests`](crate::TableOptions::entry_digests) nothing is checked or stored.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), and [`Error::Damaged`], of this entry or of one before it, which ends the
    /// table; [`finish`](Self::finish) says so of the last ones.
    pub fn add_with_digest(
        &mut self,
        entry: EntryRef<'_>,
        digest: EntryDigest,
    ) -> Result<(), Error> {
        self.add_checked(entry, Some(digest))
    }

    /// Checks the rows of a block that is not sealed yet against the digests that came with them.
    pub(super) fn check_digests(&mut self, plain: &[u8]) -> Result<(), Error> {
        let rows = SortedBlock::parse(plain)
            .map_err(|source| self.abandon_block(TableBlock::Data, source))?;
        let mut key = Vec::new();
        for row in 0..rows.len() {
            if rows.verify_entry(row, &mut key).is_err() {
                self.output = Output::Failed;
                rows.key_into(row, &mut key);
                return Err(Error::Damaged { key });
            }
        }
        Ok(())
    }
}
