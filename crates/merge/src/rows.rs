use std::{iter::FusedIterator, sync::Arc};

use bytes::Bytes;
use stratal_types::{Comparator, Cursor, EntryRef, KeyRange, PrefixRange, SeqNo, Trailer};

use crate::{Fold, Source, VisibleCursor};

/// A row that a read found, owning its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The user key.
    pub key: Bytes,
    /// Which version it is, and whether `value` is one, a pointer to one, or an operand. What was
    /// folded is a put, of the number of its newest operand.
    pub trailer: Trailer,
    /// The stored bytes.
    pub value: Bytes,
}

impl From<EntryRef<'_>> for Row {
    fn from(entry: EntryRef<'_>) -> Self {
        let copy = Bytes::copy_from_slice;
        Self { key: copy(entry.key), trailer: entry.trailer, value: copy(entry.value) }
    }
}

/// The rows of a range that a read finds, in order, from both ends. Each row is yielded once.
///
/// After an error, which is yielded, the iterator ends.
#[derive(Debug)]
pub struct RowIter<C: Cursor> {
    front: Side<C>,
    /// `None` until its sources are given.
    back: Option<Side<C>>,
    /// What keys must begin with, where the range alone does not say.
    prefix: Option<Vec<u8>>,
    done: bool,
}

/// One end of what is left to yield. Once begun, it stands on the row that it yielded last.
#[derive(Debug)]
struct Side<C: Cursor> {
    cursor: VisibleCursor<C>,
    begun: bool,
}

impl<C: Cursor> RowIter<C> {
    /// The rows with keys in `range` that a read at `bound` finds. `sources` are given twice, since
    /// the ends move apart from one another; see [`VisibleCursor::new`].
    ///
    /// No source is moved before the first row is asked for, and those of the back not before a row
    /// from the back is.
    pub fn range(
        sources: [Vec<Source<C>>; 2],
        comparator: &Arc<dyn Comparator>,
        bound: SeqNo,
        range: KeyRange,
    ) -> Self {
        let [front, back] = sources;
        let mut rows = Self::range_from_front(front, comparator, bound, range);
        rows.set_back(back);
        rows
    }

    /// A [`range`](Self::range) whose sources for the back are [given](Self::set_back) before a row from
    /// the back is asked for, if one ever is.
    pub fn range_from_front(
        sources: Vec<Source<C>>,
        comparator: &Arc<dyn Comparator>,
        bound: SeqNo,
        range: KeyRange,
    ) -> Self {
        let done = range.is_empty(comparator.as_ref());
        let cursor = VisibleCursor::new(sources, Arc::clone(comparator), bound).with_range(range);
        Self { front: Side { cursor, begun: false }, back: None, prefix: None, done }
    }

    /// Whether the back has its sources.
    pub fn has_back(&self) -> bool {
        self.back.is_some()
    }

    /// Gives the back its sources, which hold what those of the front do. The second time nothing happens.
    pub fn set_back(&mut self, sources: Vec<Source<C>>) {
        let front = &self.front.cursor;
        self.back.get_or_insert_with(|| Side { cursor: front.of_same(sources), begun: false });
    }

    /// Yields nothing more.
    pub fn end(&mut self) {
        self.done = true;
    }

    /// The rows with keys that begin with `prefix`. Where the comparator does not keep these
    /// together, all of the range that it names is searched.
    pub fn prefix(
        sources: [Vec<Source<C>>; 2],
        comparator: &Arc<dyn Comparator>,
        bound: SeqNo,
        prefix: &[u8],
    ) -> Self {
        let PrefixRange { start, end, exact } = comparator.prefix_range(prefix);
        let rows = Self::range(sources, comparator, bound, KeyRange { start, end });
        rows.with_prefix((!exact).then(|| prefix.to_vec()))
    }

    /// Of these rows, those whose keys begin with `prefix`. Operands of other keys are not folded.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Option<Vec<u8>>) -> Self {
        for side in [&mut self.front].into_iter().chain(&mut self.back) {
            side.cursor.fold_only(prefix.as_deref().unwrap_or_default());
        }
        Self { prefix, ..self }
    }

    /// Folds operands with `fold`. Without, they are rows as they are stored.
    #[must_use]
    pub fn with_fold(mut self, fold: &Arc<dyn Fold<C::Error>>) -> Self {
        for side in [&mut self.front].into_iter().chain(&mut self.back) {
            side.cursor.fold_with(Arc::clone(fold));
        }
        self
    }

    /// Whether both ends have passed all rows between them.
    fn have_met(&self) -> bool {
        let Some(back) = self.back.as_ref().and_then(Side::passed) else { return false };
        let Some(front) = self.front.passed() else { return false };
        self.front.cursor.comparator().compare(front, back).is_ge()
    }

    fn next_row(&mut self, from: End) -> Result<Option<Row>, C::Error> {
        loop {
            let side = match (from, &mut self.back) {
                (End::Front, _) => &mut self.front,
                (End::Back, Some(back)) => back,
                (End::Back, None) => return Ok(None),
            };
            match (from, std::mem::replace(&mut side.begun, true)) {
                (End::Front, false) => side.cursor.seek_to_first()?,
                (End::Front, true) => side.cursor.advance()?,
                (End::Back, false) => side.cursor.seek_to_last()?,
                (End::Back, true) => side.cursor.retreat()?,
            }
            let row = match from {
                End::Front => self.front.cursor.entry(),
                End::Back => self.back.as_ref().and_then(|back| back.cursor.entry()),
            };
            let Some(row) = row.filter(|_| !self.have_met()) else { return Ok(None) };
            if self.prefix.as_ref().is_none_or(|prefix| row.key.starts_with(prefix)) {
                return Ok(Some(row.into()));
            }
        }
    }

    /// Yields what a step found; ends after nothing or an error.
    fn yield_from(&mut self, end: End) -> Option<Result<Row, C::Error>> {
        if self.done {
            return None;
        }
        let found = self.next_row(end);
        self.done = !matches!(found, Ok(Some(_)));
        found.transpose()
    }
}

impl<C: Cursor> Side<C> {
    fn passed(&self) -> Option<&[u8]> {
        self.cursor.entry().filter(|_| self.begun).map(|entry| entry.key)
    }
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl<C: Cursor> Iterator for RowIter<C> {
    type Item = Result<Row, C::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.yield_from(End::Front)
    }
}

impl<C: Cursor> DoubleEndedIterator for RowIter<C> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.yield_from(End::Back)
    }
}

impl<C: Cursor> FusedIterator for RowIter<C> {}
