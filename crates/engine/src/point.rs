//! Where one key is looked up: memtables, and of the tables those that may have it.

use bytes::Bytes;
use stratal_cache::Pin;
use stratal_memtable::Memtable;
use stratal_merge::PointSource;
use stratal_sst::Table;
use stratal_types::{SeqNo, Trailer, key_hash};

use crate::{
    Error,
    files::TableHandle,
    view::{RunView, View},
};

/// A place to look one key up in.
pub(crate) enum Point<'a> {
    Memory(&'a Memtable),
    Table(Candidate<'a>),
}

/// The table of a run that may have the key, for a read at one bound.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    run: &'a RunView,
    handle: &'a TableHandle,
    hash: u64,
    filter: Asked,
}

/// What a table's filter said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Nothing yet: it was not in memory, or the lookup will ask it.
    Not,
    LetsThrough,
    /// The table is asked for its range tombstones alone.
    Rejects,
}

/// The candidates of a view, in search order, [`AT_ONCE`] runs at a time: the filters of so many are on
/// their way from memory before the first is asked. Nothing is done before the first is wanted, for the
/// memtables may know the key.
pub(crate) struct Candidates<'a, R> {
    runs: R,
    key: &'a [u8],
    bound: SeqNo,
    hash: Option<u64>,
    /// The first `len` of them were gathered last; those that cannot have the key are taken out again.
    found: [Option<Candidate<'a>>; AT_ONCE],
    len: usize,
    next: usize,
    /// Whether there are no more runs.
    is_over: bool,
}

/// More than most trees have runs.
const AT_ONCE: usize = 8;

/// The tables of `view` that may have `key` for a read at `bound`.
pub(crate) fn candidates<'a>(
    view: &'a View,
    key: &'a [u8],
    bound: SeqNo,
) -> impl Iterator<Item = Candidate<'a>> {
    let runs = view.levels.iter().flatten();
    let found = [None; AT_ONCE];
    Candidates { runs, key, bound, hash: None, found, len: 0, next: 0, is_over: false }
}

impl<'a, R: Iterator<Item = &'a RunView>> Candidates<'a, R> {
    /// Finds the tables of the next runs and asks their filters. Whether there was one.
    fn gather(&mut self) -> bool {
        if self.is_over {
            return false;
        }
        let hash = *self.hash.get_or_insert_with(|| key_hash(self.key));
        (self.next, self.len) = (0, 0);
        for place in &mut self.found {
            // A run without the key takes no place.
            let found = self.runs.find_map(|run| {
                let handle = run.table_of(self.key, self.bound)?;
                Some(Candidate { run, handle, hash, filter: Asked::Not })
            });
            if found.is_none() {
                self.is_over = true;
                break;
            }
            *place = found;
            self.len += 1;
        }
        // One table's filter is asked by its lookup, and waited for there.
        if self.len > 1 {
            self.ask_filters();
        }
        self.len > 0
    }

    fn ask_filters(&mut self) {
        let pin = Pin::new();
        let gathered = self.found.get_mut(..self.len).unwrap_or_default();
        let mut filters = [const { None }; AT_ONCE];
        for (filter, candidate) in filters.iter_mut().zip(gathered.iter().flatten()) {
            let table = candidate.handle.opened();
            *filter = table.and_then(|table| table.resident_filter(self.key, &pin));
            if let Some(filter) = filter {
                filter.prefetch(candidate.hash);
            }
        }
        for (place, filter) in gathered.iter_mut().zip(filters) {
            let (Some(candidate), Some(filter)) = (place.as_mut(), filter) else { continue };
            if filter.may_contain(self.key, candidate.hash) {
                candidate.filter = Asked::LetsThrough;
            } else if candidate.handle.meta.range_tombstones > 0 {
                candidate.filter = Asked::Rejects;
            } else {
                *place = None;
            }
        }
    }
}

impl<'a, R: Iterator<Item = &'a RunView>> Iterator for Candidates<'a, R> {
    type Item = Candidate<'a>;

    fn next(&mut self) -> Option<Candidate<'a>> {
        loop {
            while self.next < self.len {
                let place = self.found.get(self.next).copied().flatten();
                self.next += 1;
                if place.is_some() {
                    return place;
                }
            }
            if !self.gather() {
                return None;
            }
        }
    }
}

impl Candidate<'_> {
    fn table(&self) -> Result<&Table, Error> {
        self.handle.table()
    }

    fn covering(&self, key: &[u8], bound: SeqNo) -> Result<Option<SeqNo>, Error> {
        if self.handle.meta.range_tombstones == 0 {
            return Ok(None);
        }
        let tombstones = self.table()?.tombstones();
        let tombstones = tombstones.map_err(|source| self.handle.error(source))?;
        Ok(tombstones.covering(key, bound, self.run.comparator()))
    }

    fn newest(&self, key: &[u8], bound: SeqNo) -> Result<Option<(Trailer, Bytes)>, Error> {
        let found = match self.filter {
            Asked::Not => self.table()?.lookup_hashed(key, self.hash, bound),
            Asked::LetsThrough => self.table()?.lookup_past_filter(key, self.hash, bound),
            Asked::Rejects => return Ok(None),
        };
        let found = found.map_err(|source| self.handle.error(source))?;
        Ok(found.map(|version| (version.trailer, version.value)))
    }
}

impl PointSource for Point<'_> {
    type Value = Bytes;
    type Error = Error;

    fn covering(&self, key: &[u8], bound: SeqNo) -> Result<Option<SeqNo>, Error> {
        match self {
            Self::Memory(memtable) => Ok(memtable.covering(key, bound)),
            Self::Table(candidate) => candidate.covering(key, bound),
        }
    }

    fn newest(&self, key: &[u8], bound: SeqNo) -> Result<Option<(Trailer, Bytes)>, Error> {
        match self {
            Self::Memory(memtable) => Ok(memtable.get(key, bound)),
            Self::Table(candidate) => candidate.newest(key, bound),
        }
    }
}
