use std::sync::Arc;

use bytes::Bytes;
use stratal_merge::{Row, RowIter};

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
    /// Keeps the tables' files.
    _state: Arc<ReadState>,
}

impl TreeRange {
    pub(crate) fn new(rows: RowIter<SourceCursor>, state: Arc<ReadState>) -> Self {
        Self { rows, _state: state }
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
        self.rows.next_back().map(pair)
    }
}

impl std::iter::FusedIterator for TreeRange {}
