//! What all handles of an open database share.

use std::{collections::BTreeMap, path::PathBuf};

use stratal_engine::{Helpers, Store, Tree, TreeId};
use stratal_fs::{Fs, Lock};
use stratal_types::{
    SeqNo,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use stratal_wal::Syncer;

use crate::{
    Error, Executor, Health, OpenReport,
    commit::Queue,
    log::Log,
    memory::WriteMemory,
    pacing::{Pacing, fill},
    tree_choice::TreeChoice,
    work::Work,
};

/// A keyspace, for all its handles.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) id: TreeId,
    pub(crate) name: String,
    pub(crate) tree: Arc<Tree>,
    /// Set under the lock of the log. No batch that names it is accepted any more.
    pub(crate) is_dropped: AtomicBool,
    /// Bytes in its memtables, as [`WriteMemory`] last noted.
    pub(crate) memory: AtomicU64,
    /// Whether writers wait.
    pub(crate) is_stalled: AtomicBool,
    /// Sealed memtables, as last noted.
    sealed: AtomicU64,
    /// Runs in level 0, as last noted.
    level0_runs: AtomicU64,
    /// Held across a flush.
    pub(crate) flushing: Mutex<()>,
    /// Held while it is noted what the tree holds: what is noted last was seen last. Otherwise one who
    /// saw a full tree could note it after another who saw it empty, and writers would wait for ever.
    pub(crate) noting: Mutex<()>,
}

/// Sealed memtables of a keyspace above which writers to it are slowed.
const SEALED_SLOW: u64 = 1;
/// Sealed memtables of a keyspace from which on writers to it wait.
const SEALED_STOP: u64 = 4;
/// Runs in level 0 of a keyspace above which writers to it are slowed.
const LEVEL0_RUNS_SLOW: u64 = 20;
/// Runs in level 0 of a keyspace from which on writers to it wait.
const LEVEL0_RUNS_STOP: u64 = 36;

impl Core {
    pub(crate) fn new(id: TreeId, name: impl Into<String>, tree: Arc<Tree>) -> Arc<Self> {
        Arc::new(Self {
            id,
            name: name.into(),
            tree,
            is_dropped: AtomicBool::new(false),
            memory: AtomicU64::new(0),
            is_stalled: AtomicBool::new(false),
            sealed: AtomicU64::new(0),
            level0_runs: AtomicU64::new(0),
            flushing: Mutex::new(()),
            noting: Mutex::new(()),
        })
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Acquire)
    }

    /// Looks again whether writers must wait.
    pub(crate) fn note_pressure(&self) {
        let _turn = self.noting.lock();
        let sealed = self.tree.stats().sealed as u64;
        let runs = self.tree.pressure().level0_runs as u64;
        self.sealed.store(sealed, Ordering::Release);
        self.level0_runs.store(runs, Ordering::Release);
        let is_stalled = sealed >= SEALED_STOP || runs >= LEVEL0_RUNS_STOP;
        self.is_stalled.store(is_stalled, Ordering::Release);
    }

    pub(crate) fn level0_runs(&self) -> u64 {
        self.level0_runs.load(Ordering::Acquire)
    }

    /// How far it is behind with flushes and with merges, from where writers are slowed to where they
    /// wait.
    pub(crate) fn fills(&self) -> (f64, f64) {
        let sealed = self.sealed.load(Ordering::Acquire);
        let runs = self.level0_runs();
        (fill(sealed, SEALED_SLOW, SEALED_STOP), fill(runs, LEVEL0_RUNS_SLOW, LEVEL0_RUNS_STOP))
    }
}

pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) executor: Executor,
    pub(crate) trees: TreeChoice,
    pub(crate) keyspaces: RwLock<BTreeMap<TreeId, Arc<Core>>>,
    pub(crate) queue: Queue,
    pub(crate) log: Mutex<Log>,
    /// `None` in a database that was opened for reading.
    pub(crate) syncer: Option<Syncer>,
    pub(crate) health: Mutex<Health>,
    /// Whether `health` is anything but healthy.
    pub(crate) is_unwell: AtomicBool,
    pub(crate) is_read_only: bool,
    /// In a database that was opened for reading: everything below is proven to be durable.
    pub(crate) proven: Option<SeqNo>,
    pub(crate) is_closed: AtomicBool,
    pub(crate) work: Work,
    /// Held by whoever creates or drops keyspaces.
    pub(crate) naming: Mutex<()>,
    /// By how many steps the threads that flush and merge go behind others.
    pub(crate) background_nice: u8,
    /// Held across a merge.
    pub(crate) compacting: Mutex<()>,
    /// Who helps with a compaction that somebody waits for.
    pub(crate) helpers: Option<Helpers>,
    /// Held while segments are retired.
    pub(crate) retiring: Mutex<()>,
    /// Segments below are retired.
    pub(crate) floor: AtomicU64,
    /// Bytes of log above which the keyspace that holds it is flushed.
    pub(crate) log_len_max: u64,
    pub(crate) memory: WriteMemory,
    pub(crate) pacing: Pacing,
    /// Bytes of log above which it is synced in the background.
    pub(crate) unsynced_len_max: u64,
    pub(crate) report: OpenReport,
    pub(crate) store: Arc<Store>,
    /// Goes last. `None` if there was no lock file in a database opened for reading.
    pub(crate) _lock: Option<Box<dyn Lock>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Inner {
    /// The keyspaces, in the order in which they were made.
    pub(crate) fn cores(&self) -> Vec<Arc<Core>> {
        self.keyspaces.read().values().cloned().collect()
    }

    pub(crate) fn core_named(&self, name: &str) -> Option<Arc<Core>> {
        let keyspaces = self.keyspaces.read();
        keyspaces.values().find(|core| core.name == name && !core.is_dropped()).cloned()
    }

    pub(crate) fn engine_error(&self, error: stratal_engine::Error) -> Error {
        Error::of_engine(error, &self.dir)
    }

    pub(crate) fn wal_error(&self, error: stratal_wal::Error) -> Error {
        Error::of_wal(error, &self.dir)
    }

    // Health.

    pub(crate) fn set_health(&self, health: Health) {
        let mut current = self.health.lock();
        if matches!(*current, Health::Failed { .. }) {
            return;
        }
        self.is_unwell.store(health != Health::Healthy, Ordering::Release);
        *current = health;
    }

    /// Nothing will be written any more. Reads go on.
    pub(crate) fn fail(&self, why: &str) {
        self.set_health(Health::Failed { why: why.into() });
        self.work.wake_all();
    }

    /// Notes that the log could not be written.
    pub(crate) fn note_log_failure(&self, error: &stratal_wal::Error) {
        let why = format!("the log cannot be written: {error}");
        self.set_health(Health::ReadOnly { why });
    }

    /// Notes that the log was written.
    pub(crate) fn recovered_from_log_failure(&self) {
        if self.is_unwell.load(Ordering::Acquire) {
            self.set_health(Health::Healthy);
        }
    }

    /// Whether anything can be written at all.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.is_read_only {
            return Err(Error::ReadOnly { why: "it was opened for reading".into() });
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Error::ReadOnly { why: "it is closed".into() });
        }
        if self.is_unwell.load(Ordering::Acquire)
            && let Health::Failed { why } = &*self.health.lock()
        {
            return Err(Error::ReadOnly { why: why.clone() });
        }
        Ok(())
    }

    /// Whether a write makes sense now. If the log failed before, tries to go on in another segment
    /// with all that is not durable.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        self.check_open()?;
        if !self.is_unwell.load(Ordering::Acquire) {
            return Ok(());
        }
        let why = match &*self.health.lock() {
            Health::ReadOnly { why } => why.clone(),
            _ => return Ok(()),
        };
        let end = {
            let mut log = self.log.lock();
            let Some(wal) = log.wal.as_mut() else { return Err(Error::ReadOnly { why }) };
            match wal.flush() {
                Ok(()) => wal.end_lsn(),
                Err(error) => {
                    self.note_log_failure(&error);
                    return Err(match self.wal_error(error) {
                        Error::NoSpace { op, path } => Error::NoSpace { op, path },
                        error => Error::ReadOnly { why: format!("{why}; {error}") },
                    });
                }
            }
        };
        match self.sync_through(end) {
            Ok(()) => {
                self.set_health(Health::Healthy);
                Ok(())
            }
            Err(error) => Err(Error::ReadOnly { why: format!("{why}; {error}") }),
        }
    }

    /// Makes everything committed so far durable.
    pub(crate) fn sync_all(&self) -> Result<(), Error> {
        let end = {
            let mut log = self.log.lock();
            let Some(wal) = log.wal.as_mut() else { return self.check_open() };
            wal.flush().map_err(|error| {
                self.note_log_failure(&error);
                self.wal_error(error)
            })?;
            wal.end_lsn()
        };
        self.sync_through(end)
    }
}
