use std::{
    io,
    path::{Path, PathBuf},
};

use stratal_manifest::FileName;
use stratal_types::SeqNo;
use stratal_wal::segment_file_name;

/// Why the database could not do what it was asked to: one list, by what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another handle, in this process or another, has the database open.
    #[error("{} is in use", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },

    /// Nothing can be written: the database was opened so, is closed, or had to stop. Nothing was
    /// written. Reads go on.
    #[error("the database is read-only: {why}")]
    ReadOnly {
        /// Why.
        why: String,
    },

    /// The disk is full. Nothing was changed; trying again makes sense once there is space.
    #[error("cannot {op} {}: there is no space", path.display())]
    NoSpace {
        /// What was tried.
        op: &'static str,
        /// With what.
        path: PathBuf,
    },

    /// The system failed.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// Stored bytes are wrong.
    #[error("{} is damaged at offset {offset}: {what}", file.display())]
    Corruption {
        /// The file.
        file: PathBuf,
        /// Where, in bytes; 0 if that cannot be told.
        offset: u64,
        /// What is wrong.
        what: String,
    },

    /// An entry has changed in memory since it was written, and the keyspace was told to
    /// [look](stratal_engine::TreeOptions::digests_at_insert). Of a batch nothing was changed; what was
    /// found in a flush or merge is not stored. The machine's memory is not to be trusted.
    #[error("{what}")]
    MemoryDamage {
        /// Which entry, and where.
        what: String,
    },

    /// A file that belongs to the database is not there.
    #[error("{} is missing", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },

    /// Made by a newer version, or needs something that this build lacks. Nothing is wrong with it.
    #[error("{what}")]
    Unsupported {
        /// What.
        what: String,
    },

    /// The keyspace is sorted by another comparator.
    #[error("keyspace {keyspace:?} is sorted by comparator {found:?}, not {expected:?}")]
    ComparatorMismatch {
        /// The keyspace.
        keyspace: String,
        /// The one asked for.
        expected: String,
        /// The one it has.
        found: String,
    },

    /// The keyspace has operands of another merge operator.
    #[error("keyspace {keyspace:?} has merge operator {found:?}, not {expected:?}")]
    OperatorMismatch {
        /// The keyspace.
        keyspace: String,
        /// The one asked for.
        expected: String,
        /// The one it has.
        found: String,
    },

    /// The operands of a key cannot be folded. They stay as they are, and can be overwritten or deleted.
    #[error("{what}")]
    NotMergeable {
        /// Key, operator, and what that says.
        what: String,
    },

    /// There is no such database, keyspace or holder of history.
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },

    /// An option is out of range, or an argument makes no sense. Nothing was done.
    #[error("{what}")]
    InvalidArgument {
        /// What is wrong.
        what: String,
    },

    /// A key, value or batch is too long, or a key is empty. Nothing was written.
    #[error("{what} is {len} bytes, must be in {min}..={max}")]
    TooLarge {
        /// What has the wrong length.
        what: &'static str,
        /// Its length, in bytes.
        len: u64,
        /// Shortest allowed, in bytes.
        min: u64,
        /// Longest allowed, in bytes.
        max: u64,
    },

    /// A read asked for history that is not kept any more.
    #[error("reads at {bound} are not served any more, only from {floor} on")]
    SnapshotTooOld {
        /// The bound asked for.
        bound: SeqNo,
        /// The lowest bound served.
        floor: SeqNo,
    },

    /// The disk failed at a moment when nobody can tell whether the change will be found after a
    /// restart. It is found whole or not at all, and never later than the next time the database is
    /// opened.
    #[error("the change may or may not survive a restart: {why}")]
    UnknownOutcome {
        /// What failed.
        why: String,
    },
}

impl Error {
    /// Whether stored bytes are wrong or missing.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corruption { .. } | Self::Missing { .. })
    }

    pub(crate) fn io(op: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { op, path },
            _ => Self::Io { op, path, source },
        }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::InvalidArgument { what: what.into() }
    }

    pub(crate) fn no_keyspace(name: &str) -> Self {
        Self::NotFound { what: format!("keyspace {name:?}") }
    }

    pub(crate) fn corruption(
        file: impl Into<PathBuf>,
        offset: u64,
        what: impl std::fmt::Display,
    ) -> Self {
        Self::Corruption { file: file.into(), offset, what: format!("{what}") }
    }

    /// An error of the log in `dir`.
    pub(crate) fn of_wal(error: stratal_wal::Error, dir: &Path) -> Self {
        use stratal_wal::Error as Wal;
        match error {
            Wal::Io { op, path, source } => Self::io(op, path, source),
            Wal::TooLarge { len, limit } => {
                Self::TooLarge { what: "the batch", len, min: 0, max: limit }
            }
            Wal::InvalidOptions { what } => Self::invalid(what),
            Wal::Corruption { segment, offset, what } => {
                Self::corruption(dir.join(segment_file_name(segment)), offset, what)
            }
            Wal::WrongDatabase { segment, .. } | Wal::AlreadyExists { segment } => {
                Self::corruption(dir.join(segment_file_name(segment)), 0, error)
            }
            error if error.is_corruption() => Self::corruption(dir, 0, error),
            Wal::Unsupported { .. } => Self::Unsupported { what: error.to_string() },
            error => Self::UnknownOutcome { why: error.to_string() },
        }
    }

    /// An error of the manifest in `dir`.
    pub(crate) fn of_manifest(error: stratal_manifest::Error, dir: &Path) -> Self {
        use stratal_manifest::Error as Manifest;
        match error {
            Manifest::Io { op, path, source } => Self::io(op, path, source),
            Manifest::UnknownOutcome { .. } => Self::UnknownOutcome { why: error.to_string() },
            Manifest::Missing { path } => Self::Missing { file: path },
            Manifest::Corruption { generation, offset, what } => {
                let name = FileName::Manifest(generation).to_string();
                Self::corruption(dir.join(name), offset, what)
            }
            Manifest::UnknownComparator { .. } | Manifest::Unsupported { .. } => {
                Self::Unsupported { what: error.to_string() }
            }
            Manifest::InvalidEdit { .. } => Self::InvalidArgument { what: error.to_string() },
            error => Self::corruption(dir, 0, error),
        }
    }

    /// An error of a tree or the store in `dir`.
    pub(crate) fn of_engine(error: stratal_engine::Error, dir: &Path) -> Self {
        use stratal_engine::Error as Engine;
        match error {
            Engine::Io { op, path, source } => Self::io(op, path, source),
            Engine::Table { path, source } => Self::of_table(source, path),
            Engine::Mismatch { path, what } | Engine::Identity { path, what } => {
                Self::corruption(path, 0, what)
            }
            Engine::Missing { path } => Self::Missing { file: path },
            Engine::Manifest(error) => Self::of_manifest(error, dir),
            Engine::TooLarge { what, len, min, max } => Self::TooLarge { what, len, min, max },
            Engine::InvalidArgument(what) => Self::InvalidArgument { what },
            Engine::NoSuchTree(_) => Self::NotFound { what: error.to_string() },
            Engine::NoSuchHolder(name) => {
                Self::NotFound { what: format!("holder of history {name:?}") }
            }
            Engine::SnapshotTooOld { bound, floor } => Self::SnapshotTooOld { bound, floor },
            Engine::NotAValue(_) | Engine::NoOperator { name: Some(_) } => {
                Self::Unsupported { what: error.to_string() }
            }
            Engine::Operator { .. } => Self::NotMergeable { what: error.to_string() },
            Engine::Settings { .. } if error.is_corruption() => Self::corruption(dir, 0, error),
            Engine::Settings { .. } => Self::Unsupported { what: error.to_string() },
            Engine::Damaged { .. } => Self::MemoryDamage { what: error.to_string() },
            Engine::OutOfSeqNos | Engine::Stopped | Engine::Torn => {
                Self::ReadOnly { why: error.to_string() }
            }
            error => Self::InvalidArgument { what: error.to_string() },
        }
    }

    /// An error of the table at `path`.
    pub(crate) fn of_table(error: stratal_sst::Error, path: PathBuf) -> Self {
        use stratal_archive::Error as Archive;
        use stratal_sst::Error as Table;
        let offset = match &error {
            Table::Block { offset, .. }
            | Table::Malformed { offset, .. }
            | Table::Archive(
                Archive::Checksum { offset, .. } | Archive::Malformed { offset, .. },
            ) => *offset,
            _ => 0,
        };
        match error {
            Table::Read { source, .. } => Self::io("read", path, source),
            Table::Write(source) => Self::io("write", path, source),
            error if error.is_corruption() => Self::corruption(path, offset, error),
            error @ Table::NotATable { .. } => Self::corruption(path, 0, error),
            error @ Table::Damaged { .. } => {
                Self::MemoryDamage { what: format!("{}: {error}", path.display()) }
            }
            error => Self::Unsupported { what: format!("{}: {error}", path.display()) },
        }
    }
}

/// For reads, which never fail for the manifest.
impl From<stratal_engine::Error> for Error {
    fn from(error: stratal_engine::Error) -> Self {
        Self::of_engine(error, Path::new(""))
    }
}
