use std::sync::Arc;

use bytes::Bytes;
use stratal_block::SortedCursor;
use stratal_types::{Cursor, EntryRef, SeqNo};

use crate::{Error, Table, block::CachedBlock};

/// A place among all stored versions of a table. See [`Cursor`] for how it moves.
///
/// It holds the index and one data block, also when the cache has dropped them. Within a block a
/// step costs no more than putting the key together.
#[derive(Debug)]
pub struct TableCursor {
    table: Table,
    index: Option<Arc<CachedBlock>>,
    /// The block it is in, or was in last.
    loaded: Option<Loaded>,
    place: Place,
}

#[derive(Debug)]
struct Loaded {
    block_no: usize,
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

/// Which end of a block to go to.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

impl TableCursor {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, index: None, loaded: None, place: Place::BeforeFirst }
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

    fn inside(&self) -> Option<&Loaded> {
        self.loaded.as_ref().filter(|_| self.place == Place::Inside)
    }

    /// The index; `None` if the table has no entries.
    fn index(&mut self) -> Result<Option<Arc<CachedBlock>>, Error> {
        if self.index.is_none() {
            self.index = self.table.index()?;
        }
        Ok(self.index.clone())
    }

    /// The rows of block `block_no`, loaded if they are not.
    fn load(&mut self, block_no: usize) -> Result<&mut SortedCursor<Bytes>, Error> {
        if self.loaded.as_ref().is_none_or(|loaded| loaded.block_no != block_no) {
            let index = self.index()?.ok_or(Error::CursorFailed)?;
            let block = self.table.data_block(&index, block_no)?;
            let rows = match self.loaded.take() {
                Some(Loaded { mut rows, .. }) => {
                    rows.set_block(block.rows().clone());
                    rows
                }
                None => SortedCursor::new(block.rows().clone()),
            };
            self.loaded = Some(Loaded { block_no, block, rows });
        }
        match &mut self.loaded {
            Some(loaded) => Ok(&mut loaded.rows),
            None => Err(Error::CursorFailed),
        }
    }

    /// Stands on one end of block `block_no`, or outside if there is no such block.
    fn enter(&mut self, block_no: Option<usize>, end: End) -> Result<Place, Error> {
        let index = self.index()?;
        let Some(block_no) = block_no else { return Ok(Place::BeforeFirst) };
        if index.is_none_or(|index| block_no >= index.len()) {
            return Ok(Place::BehindLast);
        }
        let rows = self.load(block_no)?;
        match end {
            End::First => rows.seek_to_first(),
            End::Last => rows.seek_to_last(),
        }
        Ok(Place::Inside)
    }

    fn try_seek(&mut self, key: &[u8], bound: SeqNo) -> Result<Place, Error> {
        let comparator = Arc::clone(&self.table.context().comparator);
        let Some(index) = self.index()? else { return Ok(Place::BehindLast) };
        let block_no = index.seek(key, bound, comparator.as_ref());
        if block_no >= index.len() {
            return Ok(Place::BehindLast);
        }
        let rows = self.load(block_no)?;
        if comparator.is_bytewise() {
            rows.seek(key, bound);
        } else {
            rows.seek_by(key, bound, comparator.as_ref());
        }
        if rows.row().is_some() {
            return Ok(Place::Inside);
        }
        // A fence may stand behind its block's last entry, and the key between the two.
        self.enter(Some(block_no.saturating_add(1)), End::First)
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

    fn enter_last(&mut self) -> Result<Place, Error> {
        let last = self.index()?.and_then(|index| index.len().checked_sub(1));
        self.enter(last, End::Last)
    }
}

impl Cursor for TableCursor {
    type Error = Error;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        let place = self.try_seek(key, bound);
        self.stand(place)
    }

    fn seek_to_first(&mut self) -> Result<(), Error> {
        let place = self.enter(Some(0), End::First);
        self.stand(place)
    }

    fn seek_to_last(&mut self) -> Result<(), Error> {
        let place = self.enter_last();
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
                let next = Some(loaded.block_no.saturating_add(1));
                let place = self.enter(next, End::First);
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
                let previous = loaded.block_no.checked_sub(1);
                let place = self.enter(previous, End::Last);
                self.stand(place)
            }
            (Place::Failed, _) | (Place::Inside, None) => Err(Error::CursorFailed),
        }
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        self.inside()?.rows.entry()
    }
}
