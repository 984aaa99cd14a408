use std::sync::Arc;

use bytes::Bytes;
use stratal_merge::{Row, RowIter, Source};
use stratal_types::{KeyRange, SeqNo};

use crate::{
    Error,
    read_state::{ReadState, plain_value},
    source::SourceCursor,
};

/// Keys and values of a range at one moment, in order, from both ends. Owns what it yields, may be sent
/// to another thread, and keeps the files it reads. Ends after an error.
#[derive(Debug)]
pub struct TreeRange {
    rows: RowIter<SourceCursor>,
    read: RangeRead,
}

/// What a range is read from, and for what: the sources of an end are opened when the end is moved.
#[derive(Debug)]
pub(crate) struct RangeRead {
    /// Keeps the tables' files.
    pub(crate) state: Arc<ReadState>,
    pub(crate) range: KeyRange,
    /// What all keys of it begin with, if filters may know something about it.
    pub(crate) prefix: Option<Arc<[u8]>>,
    pub(crate) bound: SeqNo,
}

impl TreeRange {
    /// `rows` have their front from `read`.
    pub(crate) fn new(rows: RowIter<SourceCursor>, read: RangeRead) -> Self {
        Self { rows, read }
    }

    fn open_back(&mut self) -> Result<(), Error> {
        let sources = self.read.sources()?;
        self.rows.set_back(sources);
        Ok(())
    }
}

impl RangeRead {
    pub(crate) fn sources(&self) -> Result<Vec<Source<SourceCursor>>, Error> {
        self.state.sources_of(&self.range, self.prefix.as_ref(), self.bound)
    }
}

fn pair(row: Result<Row, Error>) -> Result<(Bytes, Bytes), Error> {
    let row = row?;
    Ok((row.key, plain_value(row.trailer.kind(), row.value)?))
}

impl Iterator for TreeRange {
    type Item = Result<(Bytes, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next().map(pair)
    }
}

impl DoubleEndedIterator for TreeRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        if !self.rows.has_back()
            && let Err(error) = self.open_back()
        {
            self.rows.end();
            return Some(Err(error));
        }
        self.rows.next_back().map(pair)
    }
}

impl std::iter::FusedIterator for TreeRange {}
