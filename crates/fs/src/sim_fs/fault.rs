use std::{io, path::Path};

use rustix::io::Errno;

use super::trace::OpKind;

/// What the simulated system says when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OsError {
    /// `EIO`: the device failed.
    Io,
    /// `ENOSPC`: no space.
    NoSpace,
    /// `EDQUOT`: the user's share of the space is used up.
    Quota,
    /// `EINTR`: a signal came first. Reads and writes may be tried again.
    Interrupted,
    /// `EAGAIN`: not now.
    Again,
    /// `EMFILE`: too many open files.
    TooManyFiles,
    /// `EROFS`: the file system has become read-only.
    ReadOnly,
    /// `EACCES`: not allowed.
    Access,
    /// `ESTALE`: the file is gone from the server.
    Stale,
}

impl OsError {
    /// Every error.
    pub const ALL: [Self; 9] = [
        Self::Io,
        Self::NoSpace,
        Self::Quota,
        Self::Interrupted,
        Self::Again,
        Self::TooManyFiles,
        Self::ReadOnly,
        Self::Access,
        Self::Stale,
    ];

    /// As a caller of [`Fs`](crate::Fs) gets it.
    pub fn to_io(self) -> io::Error {
        let errno = match self {
            Self::Io => Errno::IO,
            Self::NoSpace => Errno::NOSPC,
            Self::Quota => Errno::DQUOT,
            Self::Interrupted => Errno::INTR,
            Self::Again => Errno::AGAIN,
            Self::TooManyFiles => Errno::MFILE,
            Self::ReadOnly => Errno::ROFS,
            Self::Access => Errno::ACCESS,
            Self::Stale => Errno::STALE,
        };
        errno.into()
    }
}

/// What goes wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// It fails and does nothing.
    ///
    /// A sync that fails has one more effect, as on Linux: the pages of the file count as clean.
    /// They stay visible, they may or may not have reached the disk, and no later sync takes them
    /// there, though it succeeds.
    Error(OsError),
    /// Like `Error`; a sync that fails also drops the pages, so that reads show what is on the disk.
    ErrorDroppingPages(OsError),
    /// It is done, and then reported as failed. An operation that does not change the disk, and a
    /// lock, just fails.
    ErrorWhenDone(OsError),
    /// A read or write moves half of the bytes, rounded up. Other operations do not notice.
    Short,
}

/// An operation, or several, that will go wrong.
///
/// ```
/// use std::path::Path;
/// use stratal_fs::{Fs, SimFs, sim_fs::{Fault, FaultKind, OpKind, OsError}};
///
/// let fs = SimFs::new(0);
/// // The second write to any log and everything written to it after that.
/// fs.inject(Fault::on(OpKind::Write, FaultKind::Error(OsError::Io)).path("log").after(1).sticky());
/// let log = fs.create(Path::new("/log"))?;
/// assert!(log.write_at(b"one", 0).is_ok());
/// assert!(log.write_at(b"two", 3).is_err() && log.write_at(b"two", 3).is_err());
/// assert_eq!(fs.violations().writes_after_failure, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    kind: FaultKind,
    only: Option<OpKind>,
    path_suffix: String,
    first_op: u64,
    skip: u64,
    times: u64,
}

impl Fault {
    /// The operation with this index goes wrong, whatever it is.
    pub fn at(op: u64, kind: FaultKind) -> Self {
        Self { kind, only: None, path_suffix: String::new(), first_op: op, skip: 0, times: 1 }
    }

    /// The next operation of this sort goes wrong.
    pub fn on(only: OpKind, kind: FaultKind) -> Self {
        Self { only: Some(only), ..Self::at(0, kind) }
    }

    /// Only on paths that end like this.
    #[must_use]
    pub fn path(self, suffix: impl Into<String>) -> Self {
        Self { path_suffix: suffix.into(), ..self }
    }

    /// Lets `count` operations that match pass first.
    #[must_use]
    pub fn after(self, count: u64) -> Self {
        Self { skip: count, ..self }
    }

    /// That many operations that match go wrong, one after another.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { times: count, ..self }
    }

    /// Every operation that matches goes wrong from then on.
    #[must_use]
    pub fn sticky(self) -> Self {
        self.times(u64::MAX)
    }

    /// What goes wrong with this operation, if anything does.
    pub(super) fn strike(&mut self, op: u64, kind: OpKind, paths: [&Path; 2]) -> Option<FaultKind> {
        let on_path = || {
            let ends = |path: &Path| path.to_string_lossy().ends_with(&self.path_suffix);
            self.path_suffix.is_empty() || paths.into_iter().any(ends)
        };
        let noticed = self.kind != FaultKind::Short || kind.moves_bytes();
        if op < self.first_op
            || self.only.is_some_and(|only| only != kind)
            || !noticed
            || !on_path()
        {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = if self.times == u64::MAX { self.times } else { self.times.checked_sub(1)? };
        Some(self.kind)
    }

    /// Whether it may still strike.
    pub(super) fn is_live(&self) -> bool {
        self.times > 0
    }
}
