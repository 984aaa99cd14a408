use std::{fmt, path::Path, sync::Arc};

/// A sort of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum OpKind {
    Create,
    Open,
    CreateDir,
    List,
    Metadata,
    RemoveFile,
    RemoveDir,
    Rename,
    HardLink,
    SyncDir,
    AvailableSpace,
    Lock,
    Read,
    Write,
    Len,
    SetLen,
    SyncData,
    SyncAll,
    Allocate,
    PunchHole,
}

impl OpKind {
    /// Every sort.
    pub const ALL: [Self; 20] = [
        Self::Create,
        Self::Open,
        Self::CreateDir,
        Self::List,
        Self::Metadata,
        Self::RemoveFile,
        Self::RemoveDir,
        Self::Rename,
        Self::HardLink,
        Self::SyncDir,
        Self::AvailableSpace,
        Self::Lock,
        Self::Read,
        Self::Write,
        Self::Len,
        Self::SetLen,
        Self::SyncData,
        Self::SyncAll,
        Self::Allocate,
        Self::PunchHole,
    ];

    /// Whether a crash at such an operation can leave another disk than a crash just before it.
    pub const fn changes_disk(self) -> bool {
        !matches!(
            self,
            Self::Open
                | Self::List
                | Self::Metadata
                | Self::AvailableSpace
                | Self::Read
                | Self::Len
        )
    }

    /// Whether all it leaves behind is on the disk: no handle, no lock, no answer.
    pub(super) const fn changes_disk_only(self) -> bool {
        self.changes_disk() && !matches!(self, Self::Lock)
    }

    /// Whether it makes something durable.
    pub const fn is_sync(self) -> bool {
        matches!(self, Self::SyncDir | Self::SyncData | Self::SyncAll)
    }

    /// Whether it changes a file's bytes or length.
    pub const fn changes_file(self) -> bool {
        matches!(self, Self::Write | Self::SetLen | Self::Allocate | Self::PunchHole)
    }

    /// Whether it can move fewer bytes than asked.
    pub const fn moves_bytes(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }
}

/// One operation, as it went.
#[derive(Clone, Debug)]
pub struct OpRecord {
    /// Its number, from 0.
    pub index: u64,
    /// What it was.
    pub kind: OpKind,
    /// The file or directory; the old path of a rename or link.
    pub path: Arc<Path>,
    /// The new path of a rename or link.
    pub to: Option<Arc<Path>>,
    /// Offset of a read, write, allocation or hole.
    pub offset: u64,
    /// Bytes asked for, or the length set.
    pub len: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was done.
    Done,
    /// It failed, with this message.
    Failed(String),
    /// The system died in it.
    Crashed,
}

impl fmt::Display for OpRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} {:?} {}", self.index, self.kind, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " -> {}", to.display())?;
        }
        match self.kind {
            OpKind::Read | OpKind::Write | OpKind::Allocate | OpKind::PunchHole => {
                write!(f, " {}+{}", self.offset, self.len)?;
            }
            OpKind::SetLen => write!(f, " {}", self.len)?,
            _ => {}
        }
        match &self.outcome {
            Outcome::Done => Ok(()),
            Outcome::Failed(why) => write!(f, ": {why}"),
            Outcome::Crashed => f.write_str(": crash"),
        }
    }
}
