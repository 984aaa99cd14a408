use std::{io, path::PathBuf};

use stratal_types::DbId;

use crate::TreeId;

/// Why a manifest, or an edit of one, cannot be used.
///
/// Files are named by generation; offsets are bytes from the start of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system failed. Of an append: the edit is not durable and never will be.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// With what.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },

    /// The file system failed when the edit may already have been written. A restart might find it
    /// or not; the version in memory is without it. Whatever the edit names or drops must stay until
    /// [`Manifest::is_settled`](crate::Manifest::is_settled).
    #[error("cannot {op} {}, and the edit may be durable or not: {source}", path.display())]
    UnknownOutcome {
        /// What was tried.
        op: &'static str,
        /// With what.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },

    /// The edit does not fit the version, or would break it. Nothing has changed.
    #[error("the edit does not fit: {what} (tree {tree}, file {file})")]
    InvalidEdit {
        /// What is wrong.
        what: &'static str,
        /// The tree concerned, 0 if none.
        tree: TreeId,
        /// The file concerned, 0 if none.
        file: u64,
    },

    /// There is no manifest, or the current one's file is missing.
    #[error("{} is missing", path.display())]
    Missing {
        /// What should be there.
        path: PathBuf,
    },

    /// A manifest was to be created where there is one.
    #[error("there is a manifest already, of generation {generation}")]
    AlreadyExists {
        /// Its generation.
        generation: u64,
    },

    /// The manifest belongs to another database.
    #[error("the manifest belongs to database {actual}, not {expected}")]
    WrongDatabase {
        /// The database that was opened.
        expected: DbId,
        /// The one that the manifest belongs to.
        actual: DbId,
    },

    /// A tree is sorted by a comparator that the process did not bring.
    #[error("comparator {name:?} is not known here")]
    UnknownComparator {
        /// The name stored.
        name: String,
    },

    /// Made by a newer version. Nothing is wrong with the file.
    #[error("{what} {found} is newer than this build, which knows {known}")]
    Unsupported {
        /// What is too new.
        what: &'static str,
        /// What was found.
        found: u64,
        /// What this build knows.
        known: u64,
    },

    /// The manifest is damaged where it was synced, or anywhere in absolute mode.
    #[error("manifest {generation} is damaged at offset {offset}: {what}")]
    Corruption {
        /// The generation of the file.
        generation: u64,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },

    /// The bytes end too early.
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

    /// The bytes make no sense.
    #[error("{what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

impl Error {
    /// Whether the stored bytes are wrong or missing, as opposed to out of reach or too new.
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Corruption { .. }
                | Self::Truncated { .. }
                | Self::Checksum { .. }
                | Self::Malformed { .. }
        )
    }

    /// What is wrong, for a place that is reported with it.
    pub(crate) const fn what(&self) -> &'static str {
        match self {
            Self::InvalidEdit { what, .. } | Self::Malformed { what } => what,
            Self::Checksum { .. } => "a record's check does not hold",
            Self::Truncated { .. } => "it ends too early",
            _ => "it cannot be read",
        }
    }
}

impl From<stratal_types::fields::Short> for Error {
    fn from(short: stratal_types::fields::Short) -> Self {
        Self::Truncated { needed: short.needed, available: short.available }
    }
}
