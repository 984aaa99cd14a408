//! What the database puts into a record of its log: a group of batches.
//!
//! The codec is a total function over bytes: it neither panics nor allocates more than a few times
//! what it was given.
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use stratal_engine::{Operation, OperationRef, TreeId};
use stratal_types::{KEY_LEN_MAX, SeqNo, VALUE_LEN_MAX, dump::Dump, varint};

#[doc = include_str!("../FORMAT.md")]
pub mod format {}

/// The version of the format that this build writes, and the only one it reads.
pub const VERSION: u8 = 1;

/// Tags of operations on disk. Never renumbered.
mod tag {
    pub(super) const PUT: u8 = 1;
    pub(super) const DELETE: u8 = 2;
    pub(super) const WEAK_DELETE: u8 = 3;
    pub(super) const DELETE_RANGE: u8 = 4;
    pub(super) const MERGE: u8 = 5;
}

/// A batch as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedBatch {
    /// The number of its first operation. The others follow without gaps.
    pub first: SeqNo,
    /// What it does, and to which tree. Never empty.
    pub operations: Vec<(TreeId, Operation)>,
}

/// Why bytes are no group of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Made by a newer version. Nothing is wrong with the record.
    #[error("log record version {found}, this build knows {known}")]
    Unsupported {
        /// What was found.
        found: u8,
        /// What this build knows.
        known: u8,
    },
    /// The bytes make no sense.
    #[error("{what}, at offset {offset} of the record's payload")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from the start of the payload.
        offset: usize,
    },
}

impl Error {
    /// Whether the stored bytes are wrong, as opposed to too new.
    pub const fn is_corruption(&self) -> bool {
        matches!(self, Self::Malformed { .. })
    }
}

/// Appends an operation, as it stands in a batch. Returns `false`, and appends nothing, if this
/// version has no form for it.
pub fn encode_operation(tree: TreeId, operation: OperationRef<'_>, out: &mut Vec<u8>) -> bool {
    let mut put = |tag, fields: [Option<&[u8]>; 2]| {
        out.push(tag);
        varint::put(out, tree.0);
        for field in fields.into_iter().flatten() {
            varint::put(out, field.len() as u64);
            out.extend_from_slice(field);
        }
        true
    };
    match operation {
        OperationRef::Put { key, value } => put(tag::PUT, [Some(key), Some(value)]),
        OperationRef::Delete { key } => put(tag::DELETE, [Some(key), None]),
        OperationRef::WeakDelete { key } => put(tag::WEAK_DELETE, [Some(key), None]),
        OperationRef::DeleteRange { from, to } => put(tag::DELETE_RANGE, [Some(from), Some(to)]),
        OperationRef::Merge { key, operand } => put(tag::MERGE, [Some(key), Some(operand)]),
        _ => false,
    }
}

/// Bytes that an operation takes, at most, as it stands in a batch.
pub(crate) fn operation_len_max(operation: OperationRef<'_>) -> usize {
    // The tag, the tree, and the lengths of both fields.
    const BESIDE: usize = 1 + 10 + 5 + 5;
    let (a, b): (&[u8], &[u8]) = match operation {
        OperationRef::Put { key, value } => (key, value),
        OperationRef::Merge { key, operand } => (key, operand),
        OperationRef::DeleteRange { from, to } => (from, to),
        OperationRef::Delete { key } | OperationRef::WeakDelete { key } => (key, &[]),
        _ => (&[], &[]),
    };
    BESIDE.saturating_add(a.len()).saturating_add(b.len())
}

/// Appends what stands before the `count` operations of a batch.
pub fn encode_batch_head(first: SeqNo, count: u64, out: &mut Vec<u8>) {
    varint::put(out, first.get());
    varint::put(out, count);
}

/// The payload of a record with these batches.
pub fn encode(batches: &[LoggedBatch]) -> Vec<u8> {
    let mut out = vec![VERSION];
    for batch in batches {
        encode_batch_head(batch.first, batch.operations.len() as u64, &mut out);
        for (tree, operation) in &batch.operations {
            encode_operation(*tree, operation.into(), &mut out);
        }
    }
    out
}

/// Reads the payload of a record.
///
/// # Errors
///
/// [`Error`]. Batches are not empty, their numbers ascend from batch to batch, and every length is
/// within the limits of a key or value.
pub fn decode(payload: &[u8]) -> Result<Vec<LoggedBatch>, Error> {
    let mut reader = Reader::new(payload)?;
    let mut batches = Vec::new();
    while let Some((first, count)) = reader.batch_head()? {
        let mut operations = Vec::new();
        for _ in 0..count {
            let fields = reader.operation()?;
            operations.push((fields.1, operation_of(fields).to_operation()));
        }
        batches.push(LoggedBatch { first, operations });
    }
    Ok(batches)
}

/// Operations as they stand in a batch, one after the other, without what stands before them. Ends where
/// there is none.
pub(crate) fn operations(bytes: &[u8]) -> impl Iterator<Item = OperationRef<'_>> {
    let mut reader = Reader { payload: bytes, rest: bytes, next: 0 };
    std::iter::from_fn(move || reader.operation().ok().map(operation_of))
}

fn operation_of((tag, _, key, second): Fields<'_>) -> OperationRef<'_> {
    match tag {
        tag::PUT => OperationRef::Put { key, value: second },
        tag::DELETE => OperationRef::Delete { key },
        tag::WEAK_DELETE => OperationRef::WeakDelete { key },
        tag::MERGE => OperationRef::Merge { key, operand: second },
        _ => OperationRef::DeleteRange { from: key, to: second },
    }
}

/// Describes the payload of a record field by field, as far as it can be read.
pub fn annotate(dump: &mut Dump<'_>) {
    let payload = dump.remaining();
    let Ok(mut reader) = Reader::new(payload) else { return };
    dump.field(1, "version");
    let mut described = 1;
    let mut describe = |reader: &Reader<'_>, what: String| {
        let at = reader.offset();
        dump.field(at.saturating_sub(described), what);
        described = at;
    };
    while let Ok(Some((first, count))) = reader.batch_head() {
        describe(&reader, format!("batch: first seqno {first}, {count} operations"));
        for _ in 0..count {
            let Ok((tag, tree, a, b)) = reader.operation() else { return };
            let (name, has_second) = match tag {
                tag::PUT => ("put", true),
                tag::DELETE => ("delete", false),
                tag::WEAK_DELETE => ("weak delete", false),
                tag::MERGE => ("merge", true),
                _ => ("delete range", true),
            };
            let second =
                if has_second { format!(" \"{}\"", b.escape_ascii()) } else { String::new() };
            describe(&reader, format!("{name}, tree {tree}, \"{}\"{second}", a.escape_ascii()));
        }
    }
}

/// Tag, tree, key, and value, operand or second key.
type Fields<'a> = (u8, TreeId, &'a [u8], &'a [u8]);

struct Reader<'a> {
    payload: &'a [u8],
    rest: &'a [u8],
    /// The lowest number that the next batch may begin with.
    next: u64,
}

impl<'a> Reader<'a> {
    fn new(payload: &'a [u8]) -> Result<Self, Error> {
        match payload.split_first() {
            Some((&VERSION, rest)) => Ok(Self { payload, rest, next: 0 }),
            Some((&found, _)) => Err(Error::Unsupported { found, known: VERSION }),
            None => Err(Error::Malformed { what: "the payload is empty", offset: 0 }),
        }
    }

    fn offset(&self) -> usize {
        self.payload.len().saturating_sub(self.rest.len())
    }

    fn malformed(&self, what: &'static str) -> Error {
        Error::Malformed { what, offset: self.offset() }
    }

    fn varint(&mut self) -> Result<u64, Error> {
        varint::take(&mut self.rest).ok_or_else(|| self.malformed("no number"))
    }

    /// First number and count of the next batch, or `None` at the end.
    fn batch_head(&mut self) -> Result<Option<(SeqNo, u64)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (first, count) = (self.varint()?, self.varint()?);
        if count == 0 {
            return Err(self.malformed("a batch is empty"));
        }
        // An operation takes four bytes at least.
        if count > self.rest.len() as u64 / 4 {
            return Err(self.malformed("a batch ends too early"));
        }
        if first < self.next {
            return Err(self.malformed("a batch's numbers are not above those before"));
        }
        let next = first.checked_add(count).filter(|next| *next <= SeqNo::MAX.get());
        self.next = next.ok_or_else(|| self.malformed("a batch's numbers are out of range"))?;
        let first = SeqNo::new(first).ok_or_else(|| self.malformed("a number is out of range"))?;
        Ok(Some((first, count)))
    }

    fn operation(&mut self) -> Result<Fields<'a>, Error> {
        let Some((&tag, rest)) = self.rest.split_first() else {
            return Err(self.malformed("a batch ends too early"));
        };
        if !(tag::PUT..=tag::MERGE).contains(&tag) {
            return Err(self.malformed("there is no such operation"));
        }
        self.rest = rest;
        let tree = TreeId(self.varint()?);
        let key = self.bytes(1, KEY_LEN_MAX)?;
        let second = match tag {
            tag::PUT | tag::MERGE => self.bytes(0, VALUE_LEN_MAX)?,
            tag::DELETE_RANGE => self.bytes(1, KEY_LEN_MAX)?,
            _ => &[],
        };
        Ok((tag, tree, key, second))
    }

    fn bytes(&mut self, min: usize, max: usize) -> Result<&'a [u8], Error> {
        let len = varint::take_usize(&mut self.rest).ok_or_else(|| self.malformed("no length"))?;
        if !(min..=max).contains(&len) {
            return Err(self.malformed("a length is out of range"));
        }
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.malformed("a key or value ends too early"));
        };
        self.rest = rest;
        Ok(bytes)
    }
}
