use std::{convert::Infallible, ops::Bound, sync::Arc};

use stratal_types::{Cursor, EntryRef, SeqNo};

use crate::{
    Memtable,
    row::{Row, Sought},
};

/// Most rows fetched by one search when the cursor is stepped forward.
const FETCH_MAX: usize = 32;

/// A place among all stored versions of a memtable. See [`Cursor`] for how it moves; it cannot fail.
///
/// It owns what it needs and may be sent to another thread. It finds everything applied before the
/// cursor was made, or before its last `seek…`; what is applied later may or may not show, in its
/// place.
///
/// A step forward looks at rows fetched together, twice as many each time; a step back is a search.
#[derive(Debug)]
pub struct MemtableCursor {
    memtable: Arc<Memtable>,
    place: Place,
    /// Neighbouring rows in order. Empty unless the cursor stands on one of them.
    fetched: Vec<Row>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    BeforeFirst,
    /// On this one of the rows fetched.
    On(usize),
    BehindLast,
}

impl MemtableCursor {
    pub(crate) fn new(memtable: Arc<Memtable>) -> Self {
        Self { memtable, place: Place::BeforeFirst, fetched: Vec::new() }
    }

    /// The value of the entry the cursor stands on, sharing the memtable's memory.
    pub fn value(&self) -> Option<bytes::Bytes> {
        self.row().map(Row::value)
    }

    /// The memtable.
    pub fn memtable(&self) -> &Arc<Memtable> {
        &self.memtable
    }

    fn row(&self) -> Option<&Row> {
        match self.place {
            Place::On(at) => self.fetched.get(at),
            _ => None,
        }
    }

    /// Stands on `found`, or else at `otherwise`.
    fn stand_on(&mut self, found: Option<Row>, otherwise: Place) {
        self.fetched.clear();
        self.place = if found.is_some() { Place::On(0) } else { otherwise };
        self.fetched.extend(found);
    }
}

impl Cursor for MemtableCursor {
    type Error = Infallible;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Infallible> {
        let found = self.memtable.first_below(key, bound);
        self.stand_on(found, Place::BehindLast);
        Ok(())
    }

    fn seek_to_first(&mut self) -> Result<(), Infallible> {
        let first = self.memtable.rows.front();
        self.stand_on(first.map(|row| row.value().clone()), Place::BehindLast);
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<(), Infallible> {
        let last = self.memtable.rows.back();
        self.stand_on(last.map(|row| row.value().clone()), Place::BeforeFirst);
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Infallible> {
        match self.place {
            Place::BeforeFirst => return self.seek_to_first(),
            Place::On(at) if at + 1 < self.fetched.len() => self.place = Place::On(at + 1),
            Place::On(_) => {
                let count = (2 * self.fetched.len()).min(FETCH_MAX);
                let last = self.fetched.pop();
                self.fetched.clear();
                if let Some(last) = last {
                    let behind = (Bound::Excluded(last), Bound::Unbounded);
                    let rows = self.memtable.rows.range::<Row, _>(behind);
                    self.fetched.extend(rows.take(count).map(|row| row.value().clone()));
                }
                self.place = if self.fetched.is_empty() { Place::BehindLast } else { Place::On(0) };
            }
            Place::BehindLast => {}
        }
        Ok(())
    }

    fn retreat(&mut self) -> Result<(), Infallible> {
        match self.place {
            Place::BeforeFirst => {}
            Place::On(0) => {
                let before = self
                    .fetched
                    .first()
                    .and_then(|row| self.memtable.rows.upper_bound::<Row>(Bound::Excluded(row)));
                let before = before.map(|row| row.value().clone());
                self.stand_on(before, Place::BeforeFirst);
            }
            Place::On(at) => self.place = Place::On(at - 1),
            Place::BehindLast => return self.seek_to_last(),
        }
        Ok(())
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        self.row().map(Row::entry)
    }
}

impl Memtable {
    /// The row a [`Cursor::seek`] goes to.
    pub(crate) fn first_below(&self, key: &[u8], bound: SeqNo) -> Option<Row> {
        let behind: &dyn crate::row::Place = &Sought { order: &self.order, key, seqno: bound };
        let found = self.rows.lower_bound(Bound::Excluded(behind))?;
        Some(found.value().clone())
    }
}
