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
    /// The run cannot have the key, nor a range tombstone over it.
    Nothing,
}

/// The candidates of a view, in search order, [`AT_ONCE`] runs at a time: the filters of so many are on
/// their way from memory before the first is asked. Nothing is done before the first is wanted, for the
/// memtables may know the key.
pub(crate) struct Candidates<'a> {
    /// Those that were not come to.
    runs: &'a [RunView],
    key: &'a [u8],
    bound: SeqNo,
    hash: Option<u64>,
    /// What the filters of the next runs said. Those that were asked stand at the end.
    asked: [Asked; AT_ONCE],
    /// How many were asked.
    ahead: usize,
}

/// More than most trees have runs.
const AT_ONCE: usize = 8;

/// The tables of `view` that may have `key` for a read at `bound`.
pub(crate) fn candidates<'a>(view: &'a View, key: &'a [u8], bound: SeqNo) -> Candidates<'a> {
    let asked = [Asked::Not; AT_ONCE];
    Candidates { runs: view.in_order(), key, bound, hash: None, asked, ahead: 0 }
}

impl Candidates<'_> {
    /// Asks the filters of the next runs.
    #[inline(never)]
    fn ask_ahead(&mut self, hash: u64) {
        let runs = self.runs.get(..AT_ONCE).unwrap_or(self.runs);
        let start = AT_ONCE.saturating_sub(runs.len());
        self.ahead = runs.len();
        let pin = Pin::new();
        let mut filters = [const { None }; AT_ONCE];
        let places = self.asked.iter_mut().zip(&mut filters).skip(start);
        for (run, (asked, filter)) in runs.iter().zip(places) {
            *asked = Asked::Nothing;
            let Some(handle) = run.table_of(self.key, self.bound) else { continue };
            *asked = Asked::Not;
            let resident = handle.opened().and_then(|table| table.resident_filter(self.key, &pin));
            if let Some(resident) = resident {
                resident.prefetch(hash);
                *filter = Some((resident, handle.meta.range_tombstones > 0));
            }
        }
        for (asked, filter) in self.asked.iter_mut().zip(filters) {
            let Some((filter, has_tombstones)) = filter else { continue };
            *asked = match filter.may_contain(self.key, hash) {
                true => Asked::LetsThrough,
                false if has_tombstones => Asked::Rejects,
                false => Asked::Nothing,
            };
        }
    }
}

impl<'a> Iterator for Candidates<'a> {
    type Item = Candidate<'a>;

    #[inline]
    fn next(&mut self) -> Option<Candidate<'a>> {
        loop {
            if self.runs.is_empty() {
                return None;
            }
            let hash = *self.hash.get_or_insert_with(|| key_hash(self.key));
            // One table's filter is asked by its lookup, and waited for there.
            if self.ahead == 0 && self.runs.len() > 1 {
                self.ask_ahead(hash);
            }
            let (run, runs) = self.runs.split_first()?;
            self.runs = runs;
            let at = AT_ONCE.saturating_sub(self.ahead);
            let filter = self.asked.get(at).copied().unwrap_or(Asked::Not);
            self.ahead = self.ahead.saturating_sub(1);
            if filter == Asked::Nothing {
                continue;
            }
            if let Some(handle) = run.table_of(self.key, self.bound) {
                return Some(Candidate { run, handle, hash, filter });
            }
        }
    }
}

impl Candidate<'_> {
    fn table(&self) -> Result<&Table, Error> {
        self.handle.table()
    }

    #[inline]
    fn covering(&self, key: &[u8], bound: SeqNo) -> Result<Option<SeqNo>, Error> {
        if self.handle.meta.range_tombstones == 0 {
            return Ok(None);
        }
        let tombstones = self.table()?.tombstones();
        let tombstones = tombstones.map_err(|source| self.handle.error(source))?;
        Ok(tombstones.covering(key, bound, self.run.comparator()))
    }

    #[inline]
    fn newest(&self, key: &[u8], bound: SeqNo) -> Result<Option<(Trailer, Bytes)>, Error> {
        let found = match self.filter {
            Asked::Not => self.table()?.lookup_hashed(key, self.hash, bound),
            Asked::LetsThrough => self.table()?.lookup_past_filter(key, self.hash, bound),
            Asked::Rejects | Asked::Nothing => return Ok(None),
        };
        let found = found.map_err(|source| self.handle.error(source))?;
        Ok(found.map(|version| (version.trailer, version.value)))
    }
}

impl PointSource for Point<'_> {
    type Value = Bytes;
    type Error = Error;

    #[inline]
    fn covering(&self, key: &[u8], bound: SeqNo) -> Result<Option<SeqNo>, Error> {
        match self {
            Self::Memory(memtable) => Ok(memtable.covering(key, bound)),
            Self::Table(candidate) => candidate.covering(key, bound),
        }
    }

    #[inline]
    fn newest(&self, key: &[u8], bound: SeqNo) -> Result<Option<(Trailer, Bytes)>, Error> {
        match self {
            Self::Memory(memtable) => Ok(memtable.get(key, bound)),
            Self::Table(candidate) => candidate.newest(key, bound),
        }
    }
}
