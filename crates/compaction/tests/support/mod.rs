//! What the tests of this crate share: a cursor over rows in memory, an operator, short spellings.
#![allow(dead_code, reason = "every test uses some of it")]

use stratal_compaction::gc::{MergeOperator, OperatorError, ValueSource};
use stratal_types::{
    BlockCursor, BlockFacts, Comparator, Cursor, EntryDigest, EntryKind, EntryRef, SeqNo, Trailer,
};

/// A row that is its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) trailer: Trailer,
    pub(crate) value: Vec<u8>,
}

impl Row {
    pub(crate) fn new(key: &[u8], seqno: u64, kind: EntryKind, value: &[u8]) -> Self {
        let trailer = Trailer::new(SeqNo::new(seqno).unwrap(), kind);
        Self { key: key.to_vec(), trailer, value: value.to_vec() }
    }
}

impl From<EntryRef<'_>> for Row {
    fn from(entry: EntryRef<'_>) -> Self {
        Self { key: entry.key.to_vec(), trailer: entry.trailer, value: entry.value.to_vec() }
    }
}

/// Brings rows into internal order.
pub(crate) fn sort(rows: &mut [Row], comparator: &dyn Comparator) {
    rows.sort_by(|a, b| comparator.compare(&a.key, &b.key).then_with(|| b.trailer.cmp(&a.trailer)));
}

/// Rows in internal order. Fails for ever from row `fails_at` on.
#[derive(Clone, Debug)]
pub(crate) struct RowCursor<'a> {
    rows: &'a [Row],
    /// 0 is before the first row.
    at: usize,
    fails_at: usize,
}

impl<'a> RowCursor<'a> {
    pub(crate) fn new(rows: &'a [Row]) -> Self {
        Self { rows, at: 0, fails_at: usize::MAX }
    }

    pub(crate) fn failing_at(rows: &'a [Row], fails_at: usize) -> Self {
        Self { rows, at: 0, fails_at }
    }
}

/// The only way a [`RowCursor`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl Cursor for RowCursor<'_> {
    type Error = Broken;

    fn seek(&mut self, _key: &[u8], _bound: SeqNo) -> Result<(), Broken> {
        unreachable!("a merge only steps")
    }

    fn seek_to_first(&mut self) -> Result<(), Broken> {
        self.at = 0;
        self.advance()
    }

    fn seek_to_last(&mut self) -> Result<(), Broken> {
        unreachable!("a merge only steps")
    }

    fn advance(&mut self) -> Result<(), Broken> {
        if self.at >= self.fails_at {
            return Err(Broken);
        }
        self.at = (self.at + 1).min(self.rows.len() + 1);
        Ok(())
    }

    fn retreat(&mut self) -> Result<(), Broken> {
        unreachable!("a merge only steps")
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        let row = self.rows.get(self.at.checked_sub(1)?)?;
        Some(EntryRef::new(&row.key, row.trailer, &row.value))
    }

    fn digest(&self) -> Option<EntryDigest> {
        self.entry().map(unlike)
    }
}

/// Blocks of three rows, none of which can be taken over.
impl BlockCursor for RowCursor<'_> {
    fn begins_block(&self) -> bool {
        self.at % 3 == 1
    }

    fn block_end(&self, _last: &mut Vec<u8>) -> bool {
        false
    }

    fn block_facts(&self) -> Option<BlockFacts> {
        None
    }

    fn pass_block(&mut self) -> Result<(), Broken> {
        unreachable!("none was offered")
    }
}

/// A digest as of an entry that has changed since: whoever computes it anew gets another.
pub(crate) fn unlike(entry: EntryRef<'_>) -> EntryDigest {
    EntryDigest(EntryDigest::of(entry).0 ^ 1)
}

/// Appends operands; composes them if told so. Refuses an operand that begins with `!`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Append {
    pub(crate) composes: bool,
}

impl MergeOperator for Append {
    fn name(&self) -> &'static str {
        "append or fail"
    }

    fn full(
        &self,
        _key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        if is_refused(operands) {
            return Err(OperatorError::new("told to fail"));
        }
        Ok([base.unwrap_or_default(), &operands.concat()].concat())
    }

    fn partial(&self, _key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        (self.composes && !is_refused(operands)).then(|| operands.concat())
    }
}

fn is_refused(operands: &[&[u8]]) -> bool {
    operands.iter().any(|operand| operand.starts_with(b"!"))
}

/// Values that are their own pointers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Itself;

impl ValueSource for Itself {
    fn value(&self, pointer: &[u8]) -> Option<Vec<u8>> {
        Some(pointer.to_vec())
    }
}
