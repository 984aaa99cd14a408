use std::{cmp::Ordering::Less, ops::Range, sync::Arc};

use bytes::Bytes;
use stratal_block::{SortedBlock, SortedPlace};
use stratal_cache::Pin;
use stratal_slab::Shared;
use stratal_types::{Cursor, Direction, EntryDigest, EntryKind, EntryRef, KindSet, SeqNo};

use crate::{
    Error, Scan, Table,
    block::CachedBlock,
    index::{IndexCursor, Sought},
    read_ahead::{BlockReader, FenceAt},
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
    loaded: Option<(FenceAt, Arc<CachedBlock>)>,
    /// The row of that block.
    row: SortedPlace,
    place: Place,
    ready: Ready,
}

/// How far a seek is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ready {
    No,
    /// The index stands on the fence of the block.
    Fence,
    /// The block is loaded.
    Block,
    /// This is the row in it.
    Row(usize),
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
            row: SortedPlace::new(),
            place: Place::BeforeFirst,
            ready: Ready::No,
        }
    }

    /// Looks only for versions with these numbers from now on, whatever it was made for: from the next
    /// block on, blocks that have none are not read.
    pub fn look_for(&mut self, seqnos: &Range<SeqNo>) {
        self.index.want(self.table.sought(seqnos));
    }

    /// The value of the entry the cursor stands on, sharing the block's memory.
    pub fn value(&self) -> Option<Bytes> {
        let block = self.inside()?;
        Some(block.share(self.row.entry(block.rows())?.value))
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The rows of the block on whose first it stands.
    #[inline]
    pub(crate) fn rows_from_first(&self) -> Option<&SortedBlock<Shared>> {
        self.inside().map(CachedBlock::rows).filter(|rows| self.row.row(rows) == Some(0))
    }

    /// The same, and where the block begins in the file.
    pub(crate) fn first_of_block(&self) -> Option<(&SortedBlock<Shared>, u64)> {
        let rows = self.rows_from_first()?;
        Some((rows, self.index.handle(&self.table).ok()?.offset))
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

    /// The block it is in.
    #[inline]
    fn inside(&self) -> Option<&CachedBlock> {
        let (_, block) = self.loaded.as_ref().filter(|_| self.place == Place::Inside)?;
        Some(block)
    }

    /// The rows of the block whose fence the index stands on, loaded if they are not, and a place in it.
    fn load(&mut self) -> Result<(&SortedBlock<Shared>, &mut SortedPlace), Error> {
        let at = self.index.place().ok_or(Error::CursorFailed)?;
        if self.loaded.as_ref().is_none_or(|(before, _)| *before != at) {
            // Gives back the memory of what was read ahead, in which the next piece may have a place.
            self.loaded = None;
            self.row.leave();
            let block = self.blocks.block(&self.table, &self.index)?;
            self.loaded = Some((at, block));
        }
        match &self.loaded {
            Some((_, block)) => Ok((block.rows(), &mut self.row)),
            None => Err(Error::CursorFailed),
        }
    }

    /// Stands on the first row of the block that the index stands for, or behind the last block.
    fn enter_first_row(&mut self) -> Result<Place, Error> {
        if !self.index.is_inside() {
            return Ok(Place::BehindLast);
        }
        let (rows, row) = self.load()?;
        row.seek_to_first(rows);
        Ok(Place::Inside)
    }

    /// Stands on the last row of the block that the index stands for, or before the first block.
    fn enter_last_row(&mut self) -> Result<Place, Error> {
        if !self.index.is_inside() {
            return Ok(Place::BeforeFirst);
        }
        let (rows, row) = self.load()?;
        row.seek_to_last(rows);
        Ok(Place::Inside)
    }

    /// Seeks from where it is [ready](Ready).
    fn try_seek(&mut self, key: &[u8], bound: SeqNo, ready: Ready) -> Result<Place, Error> {
        let bound = self.table.stored_bound(bound);
        if ready == Ready::No {
            self.index.seek(&self.table, key, bound)?;
        }
        if !self.index.is_inside() {
            return Ok(Place::BehindLast);
        }
        self.seek_in_block(key, bound, ready)
    }

    /// Goes where (`key`, `bound`) leads in the block that the index stands for, or to the next block.
    fn seek_in_block(&mut self, key: &[u8], bound: SeqNo, ready: Ready) -> Result<Place, Error> {
        if self.seek_row(key, bound, ready)? {
            return Ok(Place::Inside);
        }
        // A fence may stand behind its block's last entry, and the key between the two.
        self.enter_next_block()
    }

    /// Goes there in that block; whether it has such a row.
    fn seek_row(&mut self, key: &[u8], bound: SeqNo, ready: Ready) -> Result<bool, Error> {
        self.load()?;
        let (Some((_, block)), comparator) = (&self.loaded, self.table.comparator()) else {
            return Err(Error::CursorFailed);
        };
        let rows = block.rows();
        match ready {
            Ready::Row(found) => self.row.seek_to(rows, found),
            _ if comparator.is_bytewise() => {
                rows.prefetch_heads();
                let found = rows.seek(key, bound);
                rows.prefetch_rows_from(found);
                self.row.seek_to(rows, found);
            }
            _ => self.row.seek_by(rows, key, bound, comparator),
        }
        Ok(self.row.row(rows).is_some())
    }

    /// Does another step of a seek, if it takes no reads, and loads what the next one looks at.
    fn get_ready(&mut self, key: &[u8], bound: SeqNo) -> Ready {
        let (table, bound) = (&self.table, self.table.stored_bound(bound));
        match self.ready {
            Ready::No => {
                if !table.comparator().is_bytewise() || !self.index.seek_resident(table, key, bound)
                {
                    return Ready::No;
                }
                if let Some((fences, row)) = self.index.fences() {
                    fences.prefetch_block(row, &Pin::new());
                }
                Ready::Fence
            }
            Ready::Fence => {
                let Some(at) = self.index.place() else { return Ready::Fence };
                if self.loaded.as_ref().is_none_or(|(before, _)| *before != at) {
                    let Some(block) = self.blocks.resident(table, &self.index) else {
                        return Ready::Fence;
                    };
                    self.row.leave();
                    self.loaded = Some((at, block));
                }
                if let Some((_, block)) = &self.loaded {
                    block.rows().prefetch_heads();
                }
                Ready::Block
            }
            Ready::Block => {
                let Some((_, block)) = &self.loaded else { return Ready::Block };
                let found = block.rows().seek(key, bound);
                block.rows().prefetch_rows_from(found);
                Ready::Row(found)
            }
            Ready::Row(_) => self.ready,
        }
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
        self.ready = Ready::No;
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
        let place = self.try_seek(key, bound, Ready::No);
        self.stand(place)
    }

    fn prepare_seek(&mut self, key: &[u8], bound: SeqNo, step: usize) {
        if step == 0 {
            self.ready = Ready::No;
        }
        // Until the seek it stands nowhere.
        self.place = Place::Failed;
        self.ready = self.get_ready(key, bound);
    }

    fn seek_prepared(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        let place = self.try_seek(key, bound, self.ready);
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
        if let (Place::Inside, Some((_, block))) = (self.place, &self.loaded) {
            let rows = block.rows();
            self.row.advance(rows);
            if self.row.row(rows).is_some() {
                return Ok(());
            }
        }
        self.advance_block()
    }

    #[inline]
    fn retreat(&mut self) -> Result<(), Error> {
        if let (Place::Inside, Some((_, block))) = (self.place, &self.loaded) {
            let rows = block.rows();
            self.row.retreat(rows);
            if self.row.row(rows).is_some() {
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
        let EntryRef { key, trailer, value, .. } = self.row.entry(self.inside()?.rows())?;
        Some(EntryRef::new(key, self.table.seen_trailer(trailer), value))
    }

    fn digest(&self) -> Option<EntryDigest> {
        let rows = self.inside()?.rows();
        let digest = rows.digest(self.row.row(rows)?)?;
        let stored = self.row.entry(rows)?.trailer;
        Some(digest.moved(stored, self.table.seen_trailer(stored)))
    }

    /// As far as the block goes. Known only in bytewise order.
    fn simple_entries(&self, direction: Direction, bound: SeqNo, limit: Option<&[u8]>) -> usize {
        let Some(rows) = self.inside().map(CachedBlock::rows) else { return 0 };
        let Some(row) = self.row.row(rows) else { return 0 };
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
