use stratal_types::{BlockCursor, BlockFacts, Cursor, Direction, EntryDigest, EntryRef, SeqNo};

use crate::{Error, source::SourceCursor};

/// A cursor that fails on an entry that does not fit the digest that came with it. Entries without one it
/// lends as they are.
#[derive(Debug)]
pub(crate) struct CheckedCursor {
    cursor: SourceCursor,
    has_failed: bool,
}

impl CheckedCursor {
    pub(crate) const fn new(cursor: SourceCursor) -> Self {
        Self { cursor, has_failed: false }
    }

    /// What is checked.
    pub(crate) const fn cursor(&self) -> &SourceCursor {
        &self.cursor
    }

    /// Moves to a place, whatever was before, and looks at the entry there.
    fn place(
        &mut self,
        place: impl FnOnce(&mut SourceCursor) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.has_failed = true;
        place(&mut self.cursor)?;
        if let (Some(entry), Some(digest)) = (self.cursor.entry(), self.cursor.digest())
            && !digest.fits(entry)
        {
            return Err(self.cursor.damaged(entry.key));
        }
        self.has_failed = false;
        Ok(())
    }

    fn step(
        &mut self,
        step: impl FnOnce(&mut SourceCursor) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.has_failed { Err(Error::CursorFailed) } else { self.place(step) }
    }
}

impl Cursor for CheckedCursor {
    type Error = Error;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        self.place(|cursor| cursor.seek(key, bound))
    }

    fn seek_to_first(&mut self) -> Result<(), Error> {
        self.place(Cursor::seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<(), Error> {
        self.place(Cursor::seek_to_last)
    }

    fn advance(&mut self) -> Result<(), Error> {
        self.step(Cursor::advance)
    }

    fn retreat(&mut self) -> Result<(), Error> {
        self.step(Cursor::retreat)
    }

    fn pass_older(
        &mut self,
        direction: Direction,
        seqno: SeqNo,
        limit: &[u8],
    ) -> Result<bool, Error> {
        let mut has_left = false;
        self.step(|cursor| {
            has_left = cursor.pass_older(direction, seqno, limit)?;
            Ok(())
        })?;
        Ok(has_left)
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        self.cursor.entry().filter(|_| !self.has_failed)
    }

    fn digest(&self) -> Option<EntryDigest> {
        self.cursor.digest().filter(|_| !self.has_failed)
    }
}

/// A block that is taken over whole is not looked at row by row: its digests go with it.
impl BlockCursor for CheckedCursor {
    fn begins_block(&self) -> bool {
        !self.has_failed && self.cursor.begins_block()
    }

    fn block_end(&self, last: &mut Vec<u8>) -> bool {
        !self.has_failed && self.cursor.block_end(last)
    }

    fn block_facts(&self) -> Option<BlockFacts> {
        self.cursor.block_facts()
    }

    fn pass_block(&mut self) -> Result<(), Error> {
        self.step(BlockCursor::pass_block)
    }
}
