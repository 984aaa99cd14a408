use std::{io, path::PathBuf};

use stratal_types::DbId;

/// Why the log, or a part of it, cannot be used.
///
/// Segments are named by their numbers; offsets are bytes from the start of the segment's file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system failed. Of an append: the group is not in the log of this process; whether a
    /// restart before the next segment is durable would find it is unknown, and after that it is
    /// gone. Call [`Wal::flush`](crate::Wal::flush) or append again to begin that segment.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// With what.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },

    /// There is nothing to sync to: a segment was closed after a failure and no other has been begun
    /// yet, which appending, flushing or marking does.
    #[error("the log segment was closed after a failure, and no other is open")]
    Closed,

    /// The group is longer than a record may be. Nothing was written.
    #[error("a group of {len} bytes is longer than a record may be, {limit} bytes")]
    TooLarge {
        /// Bytes of the group.
        len: u64,
        /// Bytes that fit.
        limit: u64,
    },

    /// The options contradict each other or themselves.
    #[error("{what}")]
    InvalidOptions {
        /// What is wrong.
        what: &'static str,
    },

    /// A log was to be created where there is one.
    #[error("there is a log already: segment {segment}")]
    AlreadyExists {
        /// One of its segments.
        segment: u64,
    },

    /// Bytes below what is known to have been synced are damaged or missing.
    #[error("log segment {segment} is damaged at offset {offset}, below what was synced: {what}")]
    Corruption {
        /// The segment.
        segment: u64,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },

    /// Every segment belongs to another database.
    #[error("log segment {segment} belongs to database {actual}, not {expected}")]
    WrongDatabase {
        /// The segment.
        segment: u64,
        /// The database that was opened.
        expected: DbId,
        /// The one that the segment belongs to.
        actual: DbId,
    },

    /// Made by a newer version. Nothing is wrong with the file.
    #[error("{what} {found}, this build knows {known}")]
    Unsupported {
        /// What is too new.
        what: &'static str,
        /// What was found.
        found: u32,
        /// What this build knows.
        known: u32,
    },

    /// The bytes end before the record or header does.
    #[error("{needed} bytes needed, {available} available")]
    Truncated {
        /// Bytes it takes.
        needed: u64,
        /// Bytes at hand.
        available: u64,
    },

    /// The stored check does not match the stored bytes.
    #[error("check is {actual:#x}, expected {expected:#x}")]
    Checksum {
        /// The check as stored.
        expected: u64,
        /// The check of the bytes as they are.
        actual: u64,
    },

    /// The bytes are no such thing, or stand where they do not belong.
    #[error("{what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

impl Error {
    /// Whether the stored bytes are wrong, as opposed to out of reach or too new.
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            Self::Corruption { .. }
                | Self::Truncated { .. }
                | Self::Checksum { .. }
                | Self::Malformed { .. }
        )
    }
}

impl From<stratal_types::fields::Short> for Error {
    fn from(short: stratal_types::fields::Short) -> Self {
        Self::Truncated { needed: short.needed, available: short.available }
    }
}
