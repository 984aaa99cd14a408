use std::{io, path::PathBuf};

use stratal_manifest::TreeId;
use stratal_types::{EntryKind, SeqNo};

/// Why a tree could not do what it was asked to.
///
/// File and offset are added here, once: what lies below knows neither.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is there but cannot be read or written.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A table is damaged, or a table's operation failed.
    #[error("{}: {source}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What the table said; it names the offset.
        #[source]
        source: stratal_sst::Error,
    },

    /// A file has another length, identity or content than the manifest says.
    #[error("{}: {what}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },

    /// There is no database in the directory.
    #[error("there is no database in {}", dir.display())]
    NoDatabase {
        /// The directory.
        dir: PathBuf,
    },

    /// A file that the manifest names is not there.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },

    /// The manifest failed or refused.
    #[error(transparent)]
    Manifest(#[from] stratal_manifest::Error),

    /// The identity file does not identify a database.
    #[error("{}: {what}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
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

    /// An option is out of range, or an argument makes no sense. Nothing was done.
    #[error("{0}")]
    InvalidArgument(String),

    /// There is no tree of that name or number.
    #[error("there is no tree {0}")]
    NoSuchTree(TreeId),

    /// Nobody of that name holds history.
    #[error("no history is held for {0:?}")]
    NoSuchHolder(String),

    /// A read asked for history that is not kept any more.
    #[error("reads at {bound} are not served any more, only from {floor} on")]
    SnapshotTooOld {
        /// The bound asked for.
        bound: SeqNo,
        /// The lowest bound served.
        floor: SeqNo,
    },

    /// The caller's own sequence number is not above the last one applied.
    #[error("sequence number {given} is not above {last}")]
    SeqNoNotAbove {
        /// The number given.
        given: SeqNo,
        /// The last one applied.
        last: SeqNo,
    },

    /// A row of an ingestion does not stand behind the one before it. Nothing was ingested.
    #[error("key \"{}\" does not stand behind \"{}\"", key.escape_ascii(), previous.escape_ascii())]
    OutOfOrder {
        /// The row before.
        previous: Vec<u8>,
        /// The row refused.
        key: Vec<u8>,
    },

    /// An entry does not fit the digest that was taken when it was written: memory has changed since. In
    /// a table it is [`Error::Table`].
    #[error("the entry of key \"{}\" does not fit its digest: memory has changed", key.escape_ascii())]
    Damaged {
        /// The key, as it is now.
        key: Vec<u8>,
    },

    /// A batch was cut short while it was applied: by a comparator that panicked, or by memory that had
    /// changed. What was applied of it is not visible and not durable, and nothing more is written
    /// until the store is opened again.
    #[error("a batch was cut short: nothing is written until the store is opened again")]
    Torn,

    /// Sequence numbers are used up.
    #[error("there are no more sequence numbers")]
    OutOfSeqNos,

    /// The newest version of a key is of a kind that this build cannot resolve.
    #[error("the newest entry is a {0}, not a value")]
    NotAValue(EntryKind),

    /// A key has merge operands, or one was to be written, and there is no merge operator to fold them.
    #[error("{}", no_operator(name.as_deref()))]
    NoOperator {
        /// The name stored with the tree, which nobody here knows; `None` if none was ever chosen.
        name: Option<String>,
    },

    /// The operands of a key cannot be folded. They stay as they are.
    #[error("key \"{}\", operator {operator}: {source}", key.escape_ascii())]
    Operator {
        /// Name of the operator.
        operator: String,
        /// The key.
        key: Vec<u8>,
        /// What the operator says.
        #[source]
        source: stratal_merge::OperatorError,
    },

    /// The tree has operands of another merge operator.
    #[error("the tree has merge operator {found:?}, not {expected:?}")]
    OperatorMismatch {
        /// The one asked for.
        expected: String,
        /// The one it has.
        found: String,
    },

    /// What is stored about how to read a tree cannot be read itself.
    #[error("tree {tree}: {source}")]
    Settings {
        /// The tree.
        tree: TreeId,
        /// What is wrong.
        #[source]
        source: crate::SettingsError,
    },

    /// A job did not fit the tree any more when it was to be installed. Its outputs are gone; the tree
    /// is as it was.
    #[error("the job does not fit the tree any more: {0}")]
    StaleJob(String),

    /// A flush or merge was told to end before it was done. The tree is as it was.
    #[error("the job was told to end")]
    Stopped,

    /// A cursor failed before and has not been placed again since.
    #[error("an earlier step of this cursor failed")]
    CursorFailed,
}

impl Error {
    /// Whether stored bytes are wrong or missing.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Table { source, .. } => source.is_corruption(),
            Self::Manifest(error) => error.is_corruption(),
            Self::Settings { source, .. } => {
                matches!(source, crate::SettingsError::Malformed { .. })
            }
            Self::Mismatch { .. } | Self::Missing { .. } | Self::Identity { .. } => true,
            _ => false,
        }
    }

    /// Whether an entry has changed in memory since its digest was taken.
    pub fn is_memory_damage(&self) -> bool {
        let in_table = |source: &_| matches!(source, stratal_sst::Error::Damaged { .. });
        match self {
            Self::Table { source, .. } => in_table(source),
            Self::Damaged { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn io(op: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { op, path: path.into(), source }
    }
}

fn no_operator(name: Option<&str>) -> String {
    match name {
        Some(name) => format!("merge operator {name:?} is not known here"),
        None => "there are merge operands, but no merge operator".to_owned(),
    }
}
