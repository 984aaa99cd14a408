//! Where the entries of a read or a job come from.

use std::{
    convert::Infallible,
    ops::{Bound, Range},
    sync::Arc,
};

use bytes::Bytes;
use stratal_memtable::{Memtable, MemtableCursor};
use stratal_merge::PointSource;
use stratal_sst::{Scan, StoredBlock, TableCursor};
use stratal_types::{
    BlockCursor, BlockFacts, Cursor, Direction, EntryDigest, EntryKind, EntryRef, SeqNo, Trailer,
};

use crate::{Error, checked::CheckedCursor, files::TableHandle, view::RunView};

mod passing;

/// A cursor over one source.
#[derive(Debug)]
pub(crate) enum SourceCursor {
    Memory(MemtableCursor),
    Run(Box<RunCursor>),
    Checked(Box<CheckedCursor>),
}

impl Cursor for SourceCursor {
    type Error = Error;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        match self {
            Self::Memory(cursor) => cursor.seek(key, bound).map_err(never),
            Self::Run(cursor) => cursor.seek(key, bound),
            Self::Checked(cursor) => cursor.seek(key, bound),
        }
    }

    fn prepare_seek(&mut self, key: &[u8], bound: SeqNo, step: usize) {
        match self {
            Self::Memory(cursor) => cursor.prepare_seek(key, bound, step),
            Self::Run(cursor) => cursor.prepare_seek(key, bound, step),
            Self::Checked(cursor) => cursor.prepare_seek(key, bound, step),
        }
    }

    fn seek_prepared(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        match self {
            Self::Memory(cursor) => cursor.seek_prepared(key, bound).map_err(never),
            Self::Run(cursor) => cursor.seek_prepared(key, bound),
            Self::Checked(cursor) => cursor.seek_prepared(key, bound),
        }
    }

    #[inline]
    fn is_bound(&self) -> bool {
        match self {
            Self::Run(cursor) => cursor.is_bound(),
            Self::Memory(_) | Self::Checked(_) => false,
        }
    }

    fn settle(&mut self) -> Result<(), Error> {
        match self {
            Self::Run(cursor) => cursor.settle(),
            Self::Memory(_) | Self::Checked(_) => Ok(()),
        }
    }

    fn seek_to_first(&mut self) -> Result<(), Error> {
        match self {
            Self::Memory(cursor) => cursor.seek_to_first().map_err(never),
            Self::Run(cursor) => cursor.seek_to_first(),
            Self::Checked(cursor) => cursor.seek_to_first(),
        }
    }

    fn seek_to_last(&mut self) -> Result<(), Error> {
        match self {
            Self::Memory(cursor) => cursor.seek_to_last().map_err(never),
            Self::Run(cursor) => cursor.seek_to_last(),
            Self::Checked(cursor) => cursor.seek_to_last(),
        }
    }

    #[inline]
    fn advance(&mut self) -> Result<(), Error> {
        match self {
            Self::Memory(cursor) => cursor.advance().map_err(never),
            Self::Run(cursor) => cursor.advance(),
            Self::Checked(cursor) => cursor.advance(),
        }
    }

    #[inline]
    fn retreat(&mut self) -> Result<(), Error> {
        match self {
            Self::Memory(cursor) => cursor.retreat().map_err(never),
            Self::Run(cursor) => cursor.retreat(),
            Self::Checked(cursor) => cursor.retreat(),
        }
    }

    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        match self {
            Self::Memory(cursor) => cursor.entry(),
            Self::Run(cursor) => cursor.entry(),
            Self::Checked(cursor) => cursor.entry(),
        }
    }

    fn digest(&self) -> Option<EntryDigest> {
        match self {
            Self::Memory(cursor) => cursor.digest(),
            Self::Run(cursor) => cursor.digest(),
            Self::Checked(cursor) => cursor.digest(),
        }
    }

    fn simple_entries(&self, direction: Direction, bound: SeqNo, limit: Option<&[u8]>) -> usize {
        match self {
            Self::Memory(cursor) => cursor.simple_entries(direction, bound, limit),
            Self::Run(cursor) => cursor.simple_entries(direction, bound, limit),
            Self::Checked(cursor) => cursor.simple_entries(direction, bound, limit),
        }
    }

    fn pass_older(
        &mut self,
        direction: Direction,
        seqno: SeqNo,
        limit: &[u8],
    ) -> Result<bool, Error> {
        match self {
            Self::Memory(cursor) => cursor.pass_older(direction, seqno, limit).map_err(never),
            Self::Run(cursor) => cursor.pass_older(direction, seqno, limit),
            Self::Checked(cursor) => cursor.pass_older(direction, seqno, limit),
        }
    }
}

impl SourceCursor {
    /// The block of a table on whose first entry the cursor stands, if it can be taken over.
    pub(crate) fn stored_block(&self) -> Option<StoredBlock<'_>> {
        match self {
            Self::Memory(_) => None,
            Self::Run(cursor) => cursor.table_cursor()?.stored_block(),
            Self::Checked(cursor) => cursor.cursor().stored_block(),
        }
    }

    /// The same, failing on entries that do not fit their digests.
    pub(crate) fn checked(self) -> Self {
        Self::Checked(Box::new(CheckedCursor::new(self)))
    }

    /// What to say of the entry that the cursor stands on, of this key, if it does not fit its digest.
    pub(crate) fn damaged(&self, key: &[u8]) -> Error {
        let key = key.to_vec();
        match self {
            Self::Memory(_) => Error::Damaged { key },
            Self::Run(cursor) => cursor.damaged(key),
            Self::Checked(cursor) => cursor.cursor().damaged(&key),
        }
    }
}

/// In memory there are no blocks.
impl BlockCursor for SourceCursor {
    #[inline]
    fn begins_block(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Run(cursor) => cursor.begins_block(),
            Self::Checked(cursor) => cursor.begins_block(),
        }
    }

    fn block_end(&self, last: &mut Vec<u8>) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Run(cursor) => cursor.block_end(last),
            Self::Checked(cursor) => cursor.block_end(last),
        }
    }

    fn block_facts(&self) -> Option<BlockFacts> {
        match self {
            Self::Memory(_) => None,
            Self::Run(cursor) => cursor.block_facts(),
            Self::Checked(cursor) => cursor.block_facts(),
        }
    }

    fn pass_block(&mut self) -> Result<(), Error> {
        match self {
            Self::Memory(cursor) => cursor.advance().map_err(never),
            Self::Run(cursor) => cursor.pass_block(),
            Self::Checked(cursor) => cursor.pass_block(),
        }
    }
}

/// A step in memory cannot fail.
fn never(error: Infallible) -> Error {
    match error {}
}

/// All entries of a run, table after table. A table is opened when the cursor comes to it.
#[derive(Debug)]
pub(crate) struct RunCursor {
    run: RunView,
    /// The numbers of the tables that it goes over.
    window: Range<usize>,
    /// Tables that a read at this bound does not find are passed over.
    bound: SeqNo,
    /// How tables are read.
    scan: Scan,
    /// Tables whose filters know that no key begins with this are passed over.
    prefix: Option<Arc<[u8]>>,
    /// In front of a table that it comes to from before it stands on a bound, and does not open it.
    is_lazy: bool,
    /// The table it is in, and where.
    inside: Option<(usize, TableCursor)>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BeforeFirst,
    /// In front of this table, before whose start the run has no entry that was not passed.
    Bound(usize),
    Inside,
    BehindLast,
    Failed,
}

impl RunCursor {
    pub(crate) fn new(run: RunView) -> Self {
        Self {
            window: 0..run.tables.len(),
            run,
            bound: SeqNo::ZERO,
            scan: Scan::default(),
            prefix: None,
            is_lazy: false,
            inside: None,
            place: Place::BeforeFirst,
        }
    }

    /// The same over those of the tables `window` that a read at `bound` finds.
    #[inline]
    pub(crate) fn within(self, window: Range<usize>, bound: SeqNo) -> Self {
        Self { window, bound, ..self }
    }

    /// The same for a read of nothing but keys that begin with `prefix`.
    #[inline]
    pub(crate) fn of_prefix(self, prefix: Option<Arc<[u8]>>) -> Self {
        Self { prefix, ..self }
    }

    /// The same for merging, standing on [bounds](Cursor::is_bound) where it can.
    #[inline]
    pub(crate) fn lazy(self) -> Self {
        Self { is_lazy: true, ..self }
    }

    /// For a job that goes through the run once: reads large pieces, past the cache.
    pub(crate) fn scanner(run: RunView) -> Self {
        Self { scan: Scan::once(), ..Self::new(run) }
    }

    /// A cursor over table `at`, kept from before if it is the same; `None` if nothing in it is wanted.
    fn enter(&mut self, at: usize) -> Result<Option<&mut TableCursor>, Error> {
        let is_there = self.inside.as_ref().is_some_and(|(table, _)| *table == at);
        if !is_there {
            let handle = self.run.tables.get(at).ok_or(Error::CursorFailed)?;
            // A job takes everything, at bound 0; a read passes over what is newer than it as a whole.
            let is_newer = self.bound > SeqNo::ZERO
                && !handle.meta.visible_seqno_min().is_visible_at(self.bound);
            if is_newer || !self.run.shows(handle, self.bound) {
                return Ok(None);
            }
            let table = handle.table()?;
            if let Some(prefix) = &self.prefix
                && !table.may_contain_prefix(prefix).map_err(|source| handle.error(source))?
            {
                return Ok(None);
            }
            self.inside = Some((at, table.cursor_with(self.scan)));
        }
        self.inside.as_mut().map(|(_, cursor)| Some(cursor)).ok_or(Error::CursorFailed)
    }

    /// Stands on the first entry of table `at` or a later one, or in front of it.
    fn first_from(&mut self, mut at: usize) -> Result<Place, Error> {
        while at < self.window.end {
            if self.is_lazy && self.start_of(at).is_some() {
                return Ok(Place::Bound(at));
            }
            if self.step(at, Cursor::seek_to_first)? {
                return Ok(Place::Inside);
            }
            at += 1;
        }
        Ok(Place::BehindLast)
    }

    /// Stands on the first entry of table `at`, opened if it is not, or of a later one, or in front of
    /// that.
    fn first_of(&mut self, at: usize) -> Result<Place, Error> {
        if self.step(at, Cursor::seek_to_first)? {
            return Ok(Place::Inside);
        }
        self.first_from(at + 1)
    }

    /// The key before which table `at` has nothing, if there is such a key.
    fn start_of(&self, at: usize) -> Option<&[u8]> {
        match &self.run.tables.get(at)?.meta.span.start {
            Bound::Included(key) | Bound::Excluded(key) => Some(key),
            Bound::Unbounded => None,
        }
    }

    /// Stands on the last entry of a table before table `end`.
    fn last_before(&mut self, mut end: usize) -> Result<Place, Error> {
        while let Some(at) = end.checked_sub(1).filter(|at| *at >= self.window.start) {
            if self.step(at, Cursor::seek_to_last)? {
                return Ok(Place::Inside);
            }
            end = at;
        }
        Ok(Place::BeforeFirst)
    }

    /// Moves within table `at`; whether the cursor then stands on an entry of it.
    fn step(
        &mut self,
        at: usize,
        step: impl FnOnce(&mut TableCursor) -> Result<(), stratal_sst::Error>,
    ) -> Result<bool, Error> {
        let Some(cursor) = self.enter(at)? else { return Ok(false) };
        let stepped = step(cursor);
        let is_on_entry = cursor.is_on_entry();
        match stepped {
            Ok(()) => Ok(is_on_entry),
            Err(source) => Err(self.error(at, source)),
        }
    }

    /// What `source` is as an error of table `at`.
    fn error(&self, at: usize, source: stratal_sst::Error) -> Error {
        match self.run.tables.get(at) {
            Some(handle) => handle.error(source),
            None => Error::CursorFailed,
        }
    }

    /// Seeks by `seek` in the table that may have `key`.
    fn try_seek(
        &mut self,
        key: &[u8],
        seek: impl FnOnce(&mut TableCursor) -> Result<(), stratal_sst::Error>,
    ) -> Result<Place, Error> {
        let at = self.run.position(key).max(self.window.start);
        if at >= self.window.end {
            return Ok(Place::BehindLast);
        }
        if self.is_before(key, at) {
            return self.first_from(at);
        }
        if self.step(at, seek)? {
            return Ok(Place::Inside);
        }
        self.first_from(at + 1)
    }

    /// Whether `key` lies in front of table `at`, and it does with that.
    fn is_before(&self, key: &[u8], at: usize) -> bool {
        let is_after =
            |handle: &Arc<TableHandle>| handle.meta.span.is_after(key, self.run.comparator());
        self.is_lazy && self.run.tables.get(at).is_some_and(is_after)
    }

    fn stand(&mut self, place: Result<Place, Error>) -> Result<(), Error> {
        self.place = *place.as_ref().unwrap_or(&Place::Failed);
        place.map(drop)
    }

    /// The cursor in the table it is in, on whose entry it stands.
    #[inline]
    fn table_cursor(&self) -> Option<&TableCursor> {
        self.inside.as_ref().filter(|_| self.place == Place::Inside).map(|(_, cursor)| cursor)
    }

    fn damaged(&self, key: Vec<u8>) -> Error {
        let handle = self.inside.as_ref().and_then(|(at, _)| self.run.tables.get(*at));
        let damaged = |handle: &TableHandle| handle.error(stratal_sst::Error::Damaged { key });
        handle.map_or(Error::CursorFailed, |handle| damaged(handle))
    }

    /// Takes `step`, which goes in `direction`, within the table it is in, or enters the next one.
    #[inline]
    fn go(
        &mut self,
        direction: Direction,
        step: impl FnOnce(&mut TableCursor) -> Result<(), stratal_sst::Error>,
    ) -> Result<(), Error> {
        let (Place::Inside, Some((at, cursor))) = (self.place, &mut self.inside) else {
            return self.enter_end(direction);
        };
        let stepped = step(cursor);
        if stepped.is_ok() && cursor.is_on_entry() {
            return Ok(());
        }
        let at = *at;
        self.leave_table(at, direction, stepped)
    }

    /// Goes on from table `at`, in which `stepped` led to no entry.
    #[cold]
    fn leave_table(
        &mut self,
        at: usize,
        direction: Direction,
        stepped: Result<(), stratal_sst::Error>,
    ) -> Result<(), Error> {
        let place = match (stepped, direction) {
            (Ok(()), Direction::Forward) => self.first_from(at + 1),
            (Ok(()), Direction::Backward) => self.last_before(at),
            (Err(source), _) => Err(self.error(at, source)),
        };
        self.stand(place)
    }

    /// Goes to the first entry from before it, or to the last from behind it.
    #[cold]
    fn enter_end(&mut self, direction: Direction) -> Result<(), Error> {
        let place = match (self.place, direction) {
            (Place::Bound(at), Direction::Forward) => self.first_of(at),
            (Place::Bound(at), Direction::Backward) => self.last_before(at),
            (Place::BeforeFirst, Direction::Backward) | (Place::BehindLast, Direction::Forward) => {
                return Ok(());
            }
            (Place::BeforeFirst, Direction::Forward) => self.first_from(self.window.start),
            (Place::BehindLast, Direction::Backward) => self.last_before(self.window.end),
            (Place::Inside | Place::Failed, _) => Err(Error::CursorFailed),
        };
        self.stand(place)
    }
}

/// In front of every version of a key.
const HIGHEST: Trailer = Trailer::new(SeqNo::MAX, EntryKind::Put);

impl Cursor for RunCursor {
    type Error = Error;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        let place = self.try_seek(key, |cursor| cursor.seek(key, bound));
        self.stand(place)
    }

    fn prepare_seek(&mut self, key: &[u8], bound: SeqNo, step: usize) {
        // Until the seek it stands nowhere.
        self.place = Place::Failed;
        let at = self.run.position(key).max(self.window.start);
        let is_open = |handle: &Arc<TableHandle>| handle.opened().is_some();
        // Opening a table reads, and so may a filter.
        if at < self.window.end
            && !self.is_before(key, at)
            && self.prefix.is_none()
            && self.run.tables.get(at).is_some_and(is_open)
            && let Ok(Some(cursor)) = self.enter(at)
        {
            cursor.prepare_seek(key, bound, step);
        }
    }

    fn seek_prepared(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        let place = self.try_seek(key, |cursor| cursor.seek_prepared(key, bound));
        self.stand(place)
    }

    fn seek_to_first(&mut self) -> Result<(), Error> {
        let place = self.first_from(self.window.start);
        self.stand(place)
    }

    fn seek_to_last(&mut self) -> Result<(), Error> {
        let place = self.last_before(self.window.end);
        self.stand(place)
    }

    #[inline]
    fn advance(&mut self) -> Result<(), Error> {
        self.go(Direction::Forward, Cursor::advance)
    }

    #[inline]
    fn retreat(&mut self) -> Result<(), Error> {
        self.go(Direction::Backward, Cursor::retreat)
    }

    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        match self.place {
            Place::Bound(at) => Some(EntryRef::new(self.start_of(at)?, HIGHEST, &[])),
            _ => self.table_cursor()?.entry(),
        }
    }

    #[inline]
    fn is_bound(&self) -> bool {
        matches!(self.place, Place::Bound(_))
    }

    fn settle(&mut self) -> Result<(), Error> {
        let Place::Bound(at) = self.place else { return Ok(()) };
        let place = self.first_of(at);
        self.stand(place)
    }

    fn digest(&self) -> Option<EntryDigest> {
        self.table_cursor()?.digest()
    }

    fn simple_entries(&self, direction: Direction, bound: SeqNo, limit: Option<&[u8]>) -> usize {
        self.table_cursor().map_or(0, |cursor| cursor.simple_entries(direction, bound, limit))
    }

    fn pass_older(
        &mut self,
        direction: Direction,
        seqno: SeqNo,
        limit: &[u8],
    ) -> Result<bool, Error> {
        match self.try_pass_older(direction, seqno, limit).transpose() {
            Some(place) => self.stand(place).map(|()| true),
            None => Ok(false),
        }
    }
}

impl BlockCursor for RunCursor {
    #[inline]
    fn begins_block(&self) -> bool {
        self.table_cursor().is_some_and(BlockCursor::begins_block)
    }

    fn block_end(&self, last: &mut Vec<u8>) -> bool {
        self.table_cursor().is_some_and(|cursor| cursor.block_end(last))
    }

    fn block_facts(&self) -> Option<BlockFacts> {
        self.table_cursor()?.block_facts()
    }

    fn pass_block(&mut self) -> Result<(), Error> {
        self.go(Direction::Forward, BlockCursor::pass_block)
    }
}

/// A place to look one key up in.
pub(crate) enum Lookup<'a> {
    Memory(&'a Arc<Memtable>),
    /// For a read at a bound, whichever version below it is asked for.
    Run(&'a RunView, SeqNo),
}

impl PointSource for Lookup<'_> {
    type Value = Bytes;
    type Error = Error;

    fn covering(&self, key: &[u8], bound: SeqNo) -> Result<Option<SeqNo>, Error> {
        match self {
            Self::Memory(memtable) => Ok(memtable.covering(key, bound)),
            Self::Run(run, reader) => run.covering(key, bound, *reader),
        }
    }

    fn newest(&self, key: &[u8], bound: SeqNo) -> Result<Option<(Trailer, Bytes)>, Error> {
        match self {
            Self::Memory(memtable) => Ok(memtable.get(key, bound)),
            Self::Run(run, reader) => run.newest(key, bound, *reader),
        }
    }
}
