use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use stratal_block::{SortedBlock, SortedCursor};
use stratal_types::{Cursor, EntryDigest, EntryRef, SeqNo};

use crate::{
    Error, Scan, Table,
    block::CachedBlock,
    index::{IndexCursor, Sought},
    read_ahead::BlockReader,
};

/// A place among all stored versions of a table. See [`Cursor`] for how it moves.
///
/// It holds what it uses of the index and one data block, also when the cache has dropped them, and
/// what it has [read ahead](crate::ReadAhead). Within a block a step costs no more than putting the
/// key together.
#[derive(Debug)]
pub struct TableCursor {
    table: Table,
    /// On the fence of the block it is in, while it is inside.
    index: IndexCursor,
    blocks: BlockReader,
    /// The block it is in, or was in last.
    loaded: Option<Loaded>,
    place: Place,
}

#[derive(Debug)]
struct Loaded {
    /// Where the block begins in the file.
    offset: u64,
    block: Arc<CachedBlock>,
    rows: SortedCursor<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BeforeFirst,
    /// On a row of the loaded block.
    Inside,
    BehindLast,
    Failed,
}

impl TableCursor {
    pub(crate) fn new(table: Table, sought: Sought, scan: Scan) -> Self {
        Self {
            table,
            index: IndexCursor::of(sought),
            blocks: BlockReader::new(scan),
            loaded: None,
            place: Place::BeforeFirst,
        }
    }

    /// Looks only for versions with these numbers from now on, whatever it was made for: from the next
    /// block on, blocks that have none are not read.
    pub fn look_for(&mut self, seqnos: &Range<SeqNo>) {
        self.index.want(self.table.sought(seqnos));
    }

    /// The value of the entry the cursor stands on, sharing the block's memory.
    pub fn value(&self) -> Option<Bytes> {
        let loaded = self.inside()?;
        Some(loaded.block.share(loaded.rows.entry()?.value))
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The rows of the block on whose first it stands, and where that begins in the file.
    pub(crate) fn first_of_block(&self) -> Option<(&SortedBlock<Bytes>, u64)> {
        let loaded = self.inside()?;
        (loaded.rows.row() == Some(0)).then(|| (loaded.block.rows(), loaded.offset))
    }

    /// The index, on the fence of the block that the cursor is in.
    pub(crate) const fn index(&self) -> &IndexCursor {
        &self.index
    }

    pub(crate) const fn blocks(&self) -> &BlockReader {
        &self.blocks
    }

    /// Goes to the first entry behind the block it is in.
    pub(crate) fn leave_block(&mut self) -> Result<(), Error> {
        let place = self.enter_next_block();
        self.stand(place)
    }

    fn inside(&self) -> Option<&Loaded> {
        self.loaded.as_ref().filter(|_| self.place == Place::Inside)
    }

    /// The rows of the block whose fence the index stands on, loaded if they are not.
    fn load(&mut self) -> Result<&mut SortedCursor<Bytes>, Error> {
        let handle = self.index.handle(&self.table)?;
        if self.loaded.as_ref().is_none_or(|loaded| loaded.offset != handle.offset) {
            let block = self.blocks.block(&self.table, handle)?;
            let rows = match self.loaded.take() {
                Some(Loaded { mut rows, .. }) => {
                    rows.set_block(block.rows().clone());
                    rows
                }
                None => SortedCursor::new(block.rows().clone()),
            };
            self.loaded = Some(Loaded { offset: handle.offset, block, rows });
        }
        match &mut self.loaded {
            Some(loaded) => Ok(&mut loaded.rows),
            None => Err(Error::CursorFailed),
        }
    }

    /// Stands on the first row of the block that the index stands for, or behind the last block.
    fn enter_first_row(&mut self) -> Result<Place, Error> {
        if !self.index.is_inside() {
            return Ok(Place::BehindLast);
        }
        self.load()?.seek_to_first();
        Ok(Place::Inside)
    }

    /// Stands on the last row of the block that the index stands for, or before the first block.
    fn enter_last_row(&mut self) -> Result<Place, Error> {
        if !self.index.is_inside() {
            return Ok(Place::BeforeFirst);
        }
        self.load()?.seek_to_last();
        Ok(Place::Inside)
    }

    fn try_seek(&mut self, key: &[u8], bound: SeqNo) -> Result<Place, Error> {
        let bound = self.table.stored_bound(bound);
        self.index.seek(&self.table, key, bound)?;
        if !self.index.is_inside() {
            return Ok(Place::BehindLast);
        }
        let comparator = Arc::clone(&self.table.context().comparator);
        let rows = self.load()?;
        if comparator.is_bytewise() {
            rows.seek(key, bound);
        } else {
            rows.seek_by(key, bound, comparator.as_ref());
        }
        if rows.row().is_some() {
            return Ok(Place::Inside);
        }
        // A fence may stand behind its block's last entry, and the key between the two.
        self.enter_next_block()
    }

    fn enter_first_block(&mut self) -> Result<Place, Error> {
        self.index.seek_to_first(&self.table)?;
        self.enter_first_row()
    }

    fn enter_last_block(&mut self) -> Result<Place, Error> {
        self.index.seek_to_last(&self.table)?;
        self.enter_last_row()
    }

    fn enter_next_block(&mut self) -> Result<Place, Error> {
        self.index.advance(&self.table)?;
        self.enter_first_row()
    }

    fn enter_previous_block(&mut self) -> Result<Place, Error> {
        self.index.retreat(&self.table)?;
        self.enter_last_row()
    }

    /// Takes the place that a step has led to; if it failed the cursor stands nowhere.
    fn stand(&mut self, place: Result<Place, Error>) -> Result<(), Error> {
        match place {
            Ok(place) => {
                self.place = place;
                Ok(())
            }
            Err(error) => {
                self.place = Place::Failed;
                Err(error)
            }
        }
    }
}

impl Cursor for TableCursor {
    type Error = Error;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        let place = self.try_seek(key, bound);
        self.stand(place)
    }

    fn seek_to_first(&mut self) -> Result<(), Error> {
        let place = self.enter_first_block();
        self.stand(place)
    }

    fn seek_to_last(&mut self) -> Result<(), Error> {
        let place = self.enter_last_block();
        self.stand(place)
    }

    fn advance(&mut self) -> Result<(), Error> {
        match (self.place, &mut self.loaded) {
            (Place::BehindLast, _) => Ok(()),
            (Place::BeforeFirst, _) => self.seek_to_first(),
            (Place::Inside, Some(loaded)) => {
                loaded.rows.advance();
                if loaded.rows.row().is_some() {
                    return Ok(());
                }
                let place = self.enter_next_block();
                self.stand(place)
            }
            (Place::Failed, _) | (Place::Inside, None) => Err(Error::CursorFailed),
        }
    }

    fn retreat(&mut self) -> Result<(), Error> {
        match (self.place, &mut self.loaded) {
            (Place::BeforeFirst, _) => Ok(()),
            (Place::BehindLast, _) => self.seek_to_last(),
            (Place::Inside, Some(loaded)) => {
                loaded.rows.retreat();
                if loaded.rows.row().is_some() {
                    return Ok(());
                }
                let place = self.enter_previous_block();
                self.stand(place)
            }
            (Place::Failed, _) | (Place::Inside, None) => Err(Error::CursorFailed),
        }
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        let EntryRef { key, trailer, value, .. } = self.inside()?.rows.entry()?;
        Some(EntryRef::new(key, self.table.seen_trailer(trailer), value))
    }

    fn digest(&self) -> Option<EntryDigest> {
        let rows = &self.inside()?.rows;
        let digest = rows.block().digest(rows.row()?)?;
        let stored = rows.entry()?.trailer;
        Some(digest.moved(stored, self.table.seen_trailer(stored)))
    }
}
