use stratal_types::{EntryDigest, EntryKind, EntryRef, KEY_LEN_MAX, SeqNo, Trailer, VALUE_LEN_MAX};

use crate::{Error, Operation};

/// One change, of which key and value are somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationRef<'a> {
    /// The key gets a value.
    Put {
        /// The key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// The key has no value any more.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Like a delete, of a key that was put exactly once since its last delete.
    WeakDelete {
        /// The key.
        key: &'a [u8],
    },
    /// The tree's merge operator applies the operand to the key's value, or to nothing.
    Merge {
        /// The key.
        key: &'a [u8],
        /// What the operator is to do.
        operand: &'a [u8],
    },
    /// Every key from `from` up to, and without, `to` has no value any more.
    DeleteRange {
        /// The first key.
        from: &'a [u8],
        /// The first key behind.
        to: &'a [u8],
    },
}

impl<'a> OperationRef<'a> {
    /// Whether the change can be applied.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], naming what has the wrong length.
    pub fn check(self) -> Result<(), Error> {
        match self {
            Self::Put { key, value } => {
                check_len("value", value.len(), 0, VALUE_LEN_MAX)?;
                check_key("key", key)
            }
            Self::Merge { key, operand } => {
                check_len("operand", operand.len(), 0, VALUE_LEN_MAX)?;
                check_key("key", key)
            }
            Self::Delete { key } | Self::WeakDelete { key } => check_key("key", key),
            Self::DeleteRange { from, to } => {
                check_key("start of the range", from)?;
                check_key("end of the range", to)
            }
        }
    }

    /// As [`Operation::digest`].
    pub fn digest(self) -> EntryDigest {
        EntryDigest::of(self.entry(SeqNo::ZERO))
    }

    /// The same change with key and value of its own.
    pub fn to_operation(self) -> Operation {
        match self {
            Self::Put { key, value } => Operation::Put { key: key.into(), value: value.into() },
            Self::Delete { key } => Operation::Delete { key: key.into() },
            Self::WeakDelete { key } => Operation::WeakDelete { key: key.into() },
            Self::Merge { key, operand } => {
                Operation::Merge { key: key.into(), operand: operand.into() }
            }
            Self::DeleteRange { from, to } => {
                Operation::DeleteRange { from: from.into(), to: to.into() }
            }
        }
    }

    /// The entry under a number. Of a range delete, one that stands for it.
    pub(crate) fn entry(self, seqno: SeqNo) -> EntryRef<'a> {
        let (key, kind, value): (_, _, &[u8]) = match self {
            Self::Put { key, value } => (key, EntryKind::Put, value),
            Self::Delete { key } => (key, EntryKind::Delete, &[]),
            Self::WeakDelete { key } => (key, EntryKind::WeakDelete, &[]),
            Self::Merge { key, operand } => (key, EntryKind::Merge, operand),
            Self::DeleteRange { from, to } => (from, EntryKind::Delete, to),
        };
        EntryRef::new(key, Trailer::new(seqno, kind), value)
    }
}

impl<'a> From<&'a Operation> for OperationRef<'a> {
    fn from(operation: &'a Operation) -> Self {
        match operation {
            Operation::Put { key, value } => Self::Put { key, value },
            Operation::Delete { key } => Self::Delete { key },
            Operation::WeakDelete { key } => Self::WeakDelete { key },
            Operation::Merge { key, operand } => Self::Merge { key, operand },
            Operation::DeleteRange { from, to } => Self::DeleteRange { from, to },
        }
    }
}

pub(crate) fn check_key(what: &'static str, key: &[u8]) -> Result<(), Error> {
    check_len(what, key.len(), 1, KEY_LEN_MAX)
}

pub(crate) fn check_len(
    what: &'static str,
    len: usize,
    min: usize,
    max: usize,
) -> Result<(), Error> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    Err(Error::TooLarge { what, len: len as u64, min: min as u64, max: max as u64 })
}
