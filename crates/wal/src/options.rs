use std::{fmt, path::PathBuf, sync::Arc};

use stratal_fs::Fs;
use stratal_types::DbId;

use crate::Error;

/// What the process brings.
#[derive(Clone)]
pub struct WalContext {
    /// Where files live.
    pub fs: Arc<dyn Fs>,
    /// The directory of the log. It must exist, durably.
    pub dir: PathBuf,
    /// The database that the log belongs to.
    pub db_id: DbId,
    /// Gives the salt of a new segment. In production: from the operating system, afresh for each
    /// call. Two segments with one salt could be taken for each other where a disk shows old blocks.
    pub salts: Arc<dyn Fn() -> u32 + Send + Sync>,
}

impl fmt::Debug for WalContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fs, dir, db_id, salts: _ } = self;
        f.debug_struct("WalContext")
            .field("fs", fs)
            .field("dir", dir)
            .field("db_id", db_id)
            .finish_non_exhaustive()
    }
}

/// How a log is kept. None of this is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// Bytes after which a segment is followed by another. A longer record gets a longer segment.
    /// Default: 16 MiB.
    pub segment_len: u64,
    /// Whether space is reserved ahead of what is written, where the file system can: at first a 64th of a
    /// segment, and more as it fills, so that a sync seldom has to note that the file is longer. Default:
    /// yes.
    pub preallocate: bool,
    /// Bytes that [`Buffered`](crate::AppendMode::Buffered) appends leave unwritten, at most.
    /// Default: 64 KiB.
    pub buffer_len: usize,
    /// Bytes of log that may be unsynced, which are kept in memory. An append beyond that syncs
    /// first. Default: 64 MiB.
    pub unsynced_len_max: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            segment_len: 16 << 20,
            preallocate: true,
            buffer_len: 64 << 10,
            unsynced_len_max: 64 << 20,
        }
    }
}

impl WalOptions {
    /// Checks the options together.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`] if a segment would not hold its own header and a record, or is
    /// longer than 4 GiB.
    pub fn validate(self) -> Result<WalSpec, Error> {
        if !(2048..=4 << 30).contains(&self.segment_len) {
            return Err(Error::InvalidOptions { what: "segment_len is not in 2 KiB..=4 GiB" });
        }
        Ok(WalSpec(self))
    }
}

/// Options that were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalSpec(pub(crate) WalOptions);

impl WalSpec {
    /// The options.
    pub const fn options(&self) -> &WalOptions {
        &self.0
    }
}
