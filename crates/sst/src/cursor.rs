use std::{cmp::Ordering::Less, ops::Range, sync::Arc};

use bytes::Bytes;
use stratal_block::{SortedBlock, SortedCursor};
use stratal_types::{Cursor, Direction, EntryDigest, EntryKind, EntryRef, KindSet, SeqNo};

use crate::{
    Error, Scan, Table,
    block::CachedBlock,
    index::{IndexCursor, Sought},
    read_ahead::BlockReader,
};

mod passing;

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

/// Kinds of entries that are values by themselves.
const VALUES: KindSet = KindSet::of(&[EntryKind::Put, EntryKind::PutOverDelete]);

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

    /// Whether it stands on an entry.
    #[inline]
    pub const fn is_on_entry(&self) -> bool {
        matches!(self.place, Place::Inside)
    }

    #[inline]
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
        self.seek_in_block(key, bound)
    }

    /// Goes where (`key`, `bound`) leads in the block that the index stands for, or to the next block.
    fn seek_in_block(&mut self, key: &[u8], bound: SeqNo) -> Result<Place, Error> {
        if self.seek_row(key, bound)?.row().is_some() {
            return Ok(Place::Inside);
        }
        // A fence may stand behind its block's last entry, and the key between the two.
        self.enter_next_block()
    }

    /// The rows of that block, at the place sought, which may be behind the last.
    fn seek_row(&mut self, key: &[u8], bound: SeqNo) -> Result<&mut SortedCursor<Bytes>, Error> {
        let comparator = Arc::clone(&self.table.context().comparator);
        let rows = self.load()?;
        if comparator.is_bytewise() {
            rows.seek(key, bound);
        } else {
            rows.seek_by(key, bound, comparator.as_ref());
        }
        Ok(rows)
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

    /// Goes on from behind the last row of a block, or from outside.
    #[cold]
    fn advance_block(&mut self) -> Result<(), Error> {
        let place = match self.place {
            Place::BehindLast => return Ok(()),
            Place::BeforeFirst => self.enter_first_block(),
            Place::Inside => self.enter_next_block(),
            Place::Failed => Err(Error::CursorFailed),
        };
        self.stand(place)
    }

    /// Goes back from before the first row of a block, or from outside.
    #[cold]
    fn retreat_block(&mut self) -> Result<(), Error> {
        let place = match self.place {
            Place::BeforeFirst => return Ok(()),
            Place::BehindLast => self.enter_last_block(),
            Place::Inside => self.enter_previous_block(),
            Place::Failed => Err(Error::CursorFailed),
        };
        self.stand(place)
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

    #[inline]
    fn advance(&mut self) -> Result<(), Error> {
        if let (Place::Inside, Some(loaded)) = (self.place, &mut self.loaded) {
            loaded.rows.advance();
            if loaded.rows.row().is_some() {
                return Ok(());
            }
        }
        self.advance_block()
    }

    #[inline]
    fn retreat(&mut self) -> Result<(), Error> {
        if let (Place::Inside, Some(loaded)) = (self.place, &mut self.loaded) {
            loaded.rows.retreat();
            if loaded.rows.row().is_some() {
                return Ok(());
            }
        }
        self.retreat_block()
    }

    fn pass_older(
        &mut self,
        direction: Direction,
        seqno: SeqNo,
        limit: &[u8],
    ) -> Result<bool, Error> {
        let passed = self.try_pass_older(direction, seqno, limit);
        match passed.transpose() {
            Some(place) => self.stand(place).map(|()| true),
            None => Ok(false),
        }
    }

    #[inline]
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

    /// As far as the block goes. Known only in bytewise order.
    fn simple_entries(&self, direction: Direction, bound: SeqNo, limit: Option<&[u8]>) -> usize {
        let Some((loaded, row)) = self.inside().and_then(|at| Some((at, at.rows.row()?))) else {
            return 0;
        };
        let rows = loaded.block.rows();
        let has_versions = self.table.has_versions();
        if !rows.kinds().is_within(VALUES)
            || !self.table.is_visible_at(bound)
            || !self.table.comparator().is_bytewise()
            || has_versions && !rows.has_one_version_per_key()
        {
            return 0;
        }
        let is_last_before =
            |limit: &[u8]| rows.compare_key(rows.len().saturating_sub(1), limit) == Some(Less);
        match (direction, limit) {
            (Direction::Forward, Some(limit)) if !is_last_before(limit) => {
                rows.seek(limit, SeqNo::MAX).saturating_sub(row)
            }
            (Direction::Forward, _) => rows.len().saturating_sub(row),
            (Direction::Backward, limit) => {
                let first = limit.map_or(0, |limit| rows.seek(limit, SeqNo::ZERO));
                // Newer versions of the first key may stand at the end of the block before.
                let first = first.max(usize::from(has_versions));
                row.saturating_add(1).saturating_sub(first)
            }
        }
    }
}
