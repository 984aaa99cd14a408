use std::ops::Bound;

use bytes::Bytes;
use stratal_types::{Cursor, EntryKind, KeyRange, SeqNo, Trailer};

use crate::{Error, Table, TableCursor};

/// The live keys and values of a range, in order: an iterator from both ends that owns what it
/// yields and may be sent to another thread.
///
/// Each key is yielded once, by its newest version; deleted keys are not. An entry whose value only
/// a tree can resolve is an error, and after an error the iterator ends.
#[derive(Debug)]
pub struct TableRange {
    front: Side,
    back: Side,
    range: KeyRange,
    /// What keys must begin with, if the range alone does not say.
    prefix: Option<Vec<u8>>,
    /// The prefix for which the filter is still to be asked.
    unasked: Option<Vec<u8>>,
    yields: Yields,
    done: bool,
}

/// The live keys of a range, in order: an iterator from both ends that owns what it yields and may be
/// sent to another thread.
///
/// Each key is yielded once, if its newest version is no delete. What only a tree can resolve, an
/// operand or a pointer, is a live key like others. After an error the iterator ends.
#[derive(Debug)]
pub struct TableKeys {
    rows: TableRange,
}

/// What is wanted of each live key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Yields {
    Rows,
    /// Values stay where they are; those of the rows are empty.
    Keys,
}

/// One end of what is left to yield.
#[derive(Debug)]
struct Side {
    cursor: TableCursor,
    /// The key this end passed last; `None` before it has begun.
    passed: Option<Bytes>,
}

type Row = (Bytes, Bytes);

impl TableRange {
    pub(crate) fn new(table: &Table, range: KeyRange) -> Self {
        let side = || Side { cursor: table.cursor(), passed: None };
        let done = range.is_empty(table.context().comparator.as_ref());
        let (prefix, unasked, yields) = (None, None, Yields::Rows);
        Self { front: side(), back: side(), range, prefix, unasked, yields, done }
    }

    /// The keys alone.
    pub(crate) fn into_keys(self) -> TableKeys {
        TableKeys { rows: Self { yields: Yields::Keys, ..self } }
    }

    pub(crate) fn of_prefix(table: &Table, prefix: &[u8]) -> Self {
        let found = table.comparator().prefix_range(prefix);
        let range = KeyRange { start: found.start, end: found.end };
        Self {
            prefix: (!found.exact).then(|| prefix.to_vec()),
            unasked: Some(prefix.to_vec()),
            ..Self::new(table, range)
        }
    }

    /// Whether the filter says that there is nothing.
    fn is_denied(&mut self) -> Result<bool, Error> {
        let Some(prefix) = self.unasked.take() else { return Ok(false) };
        self.front.cursor.table().may_contain_prefix(&prefix).map(|may| !may)
    }

    /// The next live row from the front.
    fn forward(&mut self) -> Result<Option<Row>, Error> {
        if self.is_denied()? {
            return Ok(None);
        }
        loop {
            self.front.enter_next_key(&self.range.start)?;
            let comparator = self.front.cursor.table().context().comparator.as_ref();
            let Some(entry) = self.front.cursor.entry() else { return Ok(None) };
            let met = |back: &Bytes| comparator.compare(entry.key, back).is_ge();
            if self.range.is_before(entry.key, comparator)
                || self.back.passed.as_ref().is_some_and(met)
            {
                return Ok(None);
            }
            let trailer = entry.trailer;
            let key = Bytes::copy_from_slice(entry.key);
            self.front.passed = Some(key.clone());
            if self.wants(&key)
                && let Some(row) =
                    self.front.live_row(key, trailer, self.front.value(self.yields), self.yields)?
            {
                return Ok(Some(row));
            }
        }
    }

    /// The next live row from the back.
    fn backward(&mut self) -> Result<Option<Row>, Error> {
        if self.is_denied()? {
            return Ok(None);
        }
        loop {
            self.back.enter_previous_key(&self.range.end)?;
            let comparator = self.back.cursor.table().context().comparator.as_ref();
            let Some(entry) = self.back.cursor.entry() else { return Ok(None) };
            let met = |front: &Bytes| comparator.compare(entry.key, front).is_le();
            if self.range.is_after(entry.key, comparator)
                || self.front.passed.as_ref().is_some_and(met)
            {
                return Ok(None);
            }
            let key = Bytes::copy_from_slice(entry.key);
            self.back.passed = Some(key.clone());
            let (trailer, value) = self.back.newest_version(&key, self.yields)?;
            if self.wants(&key)
                && let Some(row) = self.back.live_row(key, trailer, value, self.yields)?
            {
                return Ok(Some(row));
            }
        }
    }

    fn wants(&self, key: &[u8]) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix))
    }

    /// Yields what a step found; ends after nothing or an error.
    fn report(&mut self, found: Result<Option<Row>, Error>) -> Option<Result<Row, Error>> {
        self.done = !matches!(found, Ok(Some(_)));
        found.transpose()
    }
}

impl Side {
    /// Goes to the newest version of the first key behind the one passed last, or of the first key
    /// of a range that begins at `start`.
    fn enter_next_key(&mut self, start: &Bound<Vec<u8>>) -> Result<(), Error> {
        let Some(passed) = &self.passed else {
            return match start {
                Bound::Included(key) => self.cursor.seek(key, SeqNo::MAX),
                Bound::Excluded(key) => self.cursor.seek(key, SeqNo::ZERO),
                Bound::Unbounded => self.cursor.seek_to_first(),
            };
        };
        loop {
            self.cursor.advance()?;
            if self.cursor.entry().is_none_or(|entry| entry.key != passed) {
                return Ok(());
            }
        }
    }

    /// Goes to the oldest version of the last key of a range that ends at `end`. Later calls stay
    /// where [`newest_version`](Self::newest_version) has gone.
    fn enter_previous_key(&mut self, end: &Bound<Vec<u8>>) -> Result<(), Error> {
        if self.passed.is_some() {
            return Ok(());
        }
        match end {
            Bound::Included(key) => self.cursor.seek(key, SeqNo::ZERO)?,
            Bound::Excluded(key) => self.cursor.seek(key, SeqNo::MAX)?,
            Bound::Unbounded => return self.cursor.seek_to_last(),
        }
        self.cursor.retreat()
    }

    /// Walks back over every version of `key`, on the oldest of which the cursor stands; returns the
    /// newest and leaves the cursor on the key before.
    fn newest_version(
        &mut self,
        key: &[u8],
        yields: Yields,
    ) -> Result<(Trailer, Option<Bytes>), Error> {
        let mut newest = (Trailer::new(SeqNo::ZERO, EntryKind::Delete), None);
        while let Some(entry) = self.cursor.entry().filter(|entry| entry.key == key) {
            newest = (entry.trailer, self.value(yields));
            self.cursor.retreat()?;
        }
        Ok(newest)
    }

    /// The row that a key's newest version makes, if it makes one.
    fn live_row(
        &self,
        key: Bytes,
        trailer: Trailer,
        value: Option<Bytes>,
        yields: Yields,
    ) -> Result<Option<Row>, Error> {
        match trailer.kind() {
            kind if kind.is_delete() => Ok(None),
            _ if self.cursor.table().hides(&key, trailer)? => Ok(None),
            EntryKind::Put | EntryKind::PutOverDelete => Ok(value.map(|value| (key, value))),
            _ if yields == Yields::Keys => Ok(Some((key, Bytes::new()))),
            kind => Err(Error::NotAValue(kind)),
        }
    }

    /// The value that the cursor stands on, if it is wanted.
    fn value(&self, yields: Yields) -> Option<Bytes> {
        match yields {
            Yields::Rows => self.cursor.value(),
            Yields::Keys => Some(Bytes::new()),
        }
    }
}

impl Iterator for TableRange {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let found = self.forward();
        self.report(found)
    }
}

impl DoubleEndedIterator for TableRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let found = self.backward();
        self.report(found)
    }
}

impl std::iter::FusedIterator for TableRange {}

impl Iterator for TableKeys {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next().map(|row| row.map(|(key, _)| key))
    }
}

impl DoubleEndedIterator for TableKeys {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.rows.next_back().map(|row| row.map(|(key, _)| key))
    }
}

impl std::iter::FusedIterator for TableKeys {}
