use std::io;

use stratal_types::EntryKind;

/// Why a table could not be written or read.
///
/// Offsets are bytes from the start of the file. Whoever knows the file's path adds it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file's contents cannot be found, or it is no table at all.
    #[error(transparent)]
    Archive(#[from] stratal_archive::Error),

    /// The file is an archive, but not of this type.
    #[error("the file's type is {found:?}, a table's is {expected:?}")]
    NotATable {
        /// The type a table carries.
        expected: String,
        /// The type found.
        found: String,
    },

    /// The table is encrypted, or is to be, and the context has not the key for it.
    #[error("the table needs {}", needed_key(*.epoch))]
    KeyNeeded {
        /// Epoch of the root key that it is encrypted under; of a new table, which would take any,
        /// `None`.
        epoch: Option<u32>,
    },

    /// The table is encrypted under another root key than the context's of that epoch.
    #[error("the root key of epoch {epoch} is not the one that the table was encrypted under")]
    WrongKey {
        /// The epoch.
        epoch: u32,
    },

    /// A block does not open: it is damaged, misplaced, or needs a codec this build lacks.
    #[error("{kind} block at offset {offset}: {source}")]
    Block {
        /// What the block should hold.
        kind: &'static str,
        /// Where it begins, in bytes.
        offset: u64,
        /// What the block codec found.
        #[source]
        source: stratal_block::Error,
    },

    /// Checks held, but what they cover makes no sense: a writer's bug or a forged file.
    #[error("{what}, at offset {offset}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes.
        offset: u64,
    },

    /// A section that every table has is not in the contents.
    #[error("the table has no {0} section")]
    MissingSection(&'static str),

    /// The source could not be read. Says nothing about the data.
    #[error("cannot read {len} bytes at offset {offset}: {source}")]
    Read {
        /// First byte wanted.
        offset: u64,
        /// Bytes wanted.
        len: u64,
        /// What the source reported.
        #[source]
        source: io::Error,
    },

    /// The sink failed. The file is unusable and should be removed.
    #[error("cannot write table: {0}")]
    Write(#[source] io::Error),

    /// An entry did not stand behind the one before it.
    #[error("key {key:?} does not stand behind {previous:?}", key = key.escape_ascii().to_string(), previous = previous.escape_ascii().to_string())]
    OutOfOrder {
        /// The key added last.
        previous: Vec<u8>,
        /// The key refused.
        key: Vec<u8>,
    },

    /// An entry does not fit the digest that came with it: memory has changed since that was taken.
    #[error("the entry of key {key:?} does not fit its digest: memory has changed", key = key.escape_ascii().to_string())]
    Damaged {
        /// The key, as it is now.
        key: Vec<u8>,
    },

    /// A key or value is longer than a table may hold, or a key is empty.
    #[error("{what} is {len} bytes, must be in {min}..={max}")]
    Length {
        /// What has the wrong length.
        what: &'static str,
        /// Its length, in bytes.
        len: u64,
        /// Shortest allowed, in bytes.
        min: u64,
        /// Longest allowed, in bytes.
        max: u64,
    },

    /// An option, or a part of a table's identity, is out of range.
    #[error("{option} is {value}, must be {allowed}")]
    InvalidOption {
        /// Field of [`TableOptions`](crate::TableOptions) or [`TableIdentity`](crate::TableIdentity).
        option: &'static str,
        /// The value given.
        value: String,
        /// What would be accepted.
        allowed: String,
    },

    /// The table is sorted by another comparator than the context brings.
    #[error("the table is sorted by comparator {found:?}, the context brings {expected:?}")]
    ComparatorMismatch {
        /// Name of the context's comparator.
        expected: String,
        /// Name stored in the table.
        found: String,
    },

    /// An overlay was wanted for a table whose sequence numbers are not all 0, or are not known.
    #[error(
        "an overlay needs a table whose sequence numbers are all 0, the highest is {seqno_max}"
    )]
    OverlayRefused {
        /// The highest number stored; 0 if the properties that say so are lost.
        seqno_max: u64,
    },

    /// A plain `get` met an entry whose value is not in the table.
    #[error("the newest entry is a {0}, not a value")]
    NotAValue(EntryKind),

    /// The cursor failed before and has not been placed again since.
    #[error("an earlier step of this cursor failed")]
    CursorFailed,

    /// A thread of the pool died while it made a block ready. The file is unusable.
    #[error("a thread of the pool died while it made a block ready")]
    PoolFailed,

    /// The writer failed before; the file is unusable.
    #[error("an earlier write to this table failed")]
    WriterFailed,
}

impl Error {
    /// Whether stored bytes are wrong, as opposed to unreadable, foreign, too new or misused.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Archive(error) => error.is_corruption(),
            Self::Block { source, .. } => source.is_corruption(),
            Self::Malformed { .. } | Self::MissingSection(_) => true,
            _ => false,
        }
    }
}

fn needed_key(epoch: Option<u32>) -> String {
    match epoch {
        Some(epoch) => format!("the root key of epoch {epoch}"),
        None => "a root key, and there is none".to_owned(),
    }
}
