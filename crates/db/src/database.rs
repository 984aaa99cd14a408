use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use stratal_engine::{OpenFileStats, Origin, Snapshot, Store, Tree, TreeSettings, TreeStats};
use stratal_types::{
    SeqNo, comparator_named,
    sync::{Arc, Mutex, atomic::Ordering},
};

use crate::{
    Batch, Builder, Error, Health, Keyspace, KeyspaceInfo, KeyspaceOptions, VerifyReport,
    inner::{Core, Inner},
    keyspace::info,
    work::Threads,
};

/// Name of the keyspace that every database has.
pub const DEFAULT_KEYSPACE: &str = "default";

/// Longest name of a keyspace, in bytes.
pub const KEYSPACE_NAME_LEN_MAX: usize = 255;

/// A durable database in a directory. Clones are the same database.
///
/// It is open until the last clone, [`Keyspace`] and [`Ticket`](crate::Ticket) of it is gone, or
/// until [`close`](Self::close).
#[derive(Clone, Debug)]
pub struct Database {
    handle: Arc<Handle>,
}

/// Ends the database when it goes.
#[derive(Debug)]
pub(crate) struct Handle {
    /// `None` once it was ended.
    inner: Option<Arc<Inner>>,
    threads: Mutex<Threads>,
}

/// What an open found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether there was nothing, and the database was made.
    pub created: bool,
    /// Whether log and manifest were closed: nothing can be missing.
    pub was_closed: bool,
    /// Groups of batches replayed from the log.
    pub groups: u64,
    /// Bytes at the end of the log that could not be used: an unfinished write. After an unclean stop
    /// they may include the last group that was acknowledged as durable, if nothing was written after.
    pub log_cut_len: u64,
    /// The same of the manifest.
    pub manifest_cut_len: u64,
    /// Files removed, or set aside in `lost/`, that nothing named.
    pub orphans: u64,
}

/// What a database holds and has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseStats {
    /// Every keyspace, with what it holds.
    pub keyspaces: Vec<(String, TreeStats)>,
    /// The bound of a read that begins now.
    pub visible: SeqNo,
    /// Groups of batches committed since the database was opened; each is one record of the log.
    pub groups: u64,
    /// Batches committed since the database was opened.
    pub batches: u64,
    /// Bytes of log that are still needed.
    pub log_len: u64,
    /// Bytes of log that are not on stable storage.
    pub log_unsynced_len: u64,
    /// The oldest segment of the log that is needed.
    pub log_floor: u64,
    /// Why the last flush or merge failed, if none has succeeded since.
    pub job_failure: Option<String>,
    /// Table files that are open, and how often they were opened, by all who
    /// [share](Builder::open_files) the cap.
    pub open_files: OpenFileStats,
    /// For how long writers were slowed because flushes or merges were behind, all of them together.
    pub writers_slowed: Duration,
    /// For how long writers stood still because flushes or merges were too far behind, all of them
    /// together.
    pub writers_stopped: Duration,
}

impl Database {
    /// Begins to open, or make, the database in `dir`.
    pub fn builder(dir: impl Into<PathBuf>) -> Builder {
        Builder::new(dir.into())
    }

    pub(crate) fn new(inner: Inner, has_threads: bool) -> Self {
        let inner = Arc::new(inner);
        let threads = if has_threads { Threads::start(&inner) } else { Threads::default() };
        Self { handle: Arc::new(Handle { inner: Some(inner), threads: Mutex::new(threads) }) }
    }

    pub(crate) fn inner(&self) -> &Inner {
        // Taken away only when the last handle goes.
        match &self.handle.inner {
            Some(inner) => inner,
            None => unreachable!("a handle that is in use has not gone"),
        }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.inner().dir
    }

    /// What was found when it was opened.
    pub fn open_report(&self) -> &OpenReport {
        &self.inner().report
    }

    // Keyspaces.

    /// Opens a keyspace, or makes it, durably, if there is none of that name. A name has 1 to 255
    /// bytes, the first of which is not zero.
    ///
    /// # Errors
    ///
    /// [`Error::ComparatorMismatch`] if there is one with another order, [`Error::OperatorMismatch`] if
    /// there is one with another merge operator; [`Error::InvalidArgument`] for a name or comparator
    /// that cannot be, and [`Error::Unsupported`] for a merge operator that is not known; those of
    /// writing.
    pub fn keyspace(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace, Error> {
        let inner = self.inner();
        let _turn = inner.naming.lock();
        let KeyspaceOptions { comparator: expected, merge_operator, ttl } = options;
        if let Some(core) = inner.core_named(name) {
            let KeyspaceInfo { name, comparator: found, .. } = info(&core);
            if found != expected {
                return Err(Error::ComparatorMismatch { keyspace: name, expected, found });
            }
            if let Some(operator) = &merge_operator {
                inner.choose_operator(&core, operator)?;
            }
            let keyspace = Keyspace::new(self.clone(), core);
            if ttl.is_some() && ttl != keyspace.ttl() {
                keyspace.set_ttl(ttl)?;
            }
            return Ok(keyspace);
        }
        if let Some(operator) = &merge_operator {
            inner.store.check_operator(operator).map_err(|error| inner.engine_error(error))?;
        }
        if !(1..=KEYSPACE_NAME_LEN_MAX).contains(&name.len()) || name.starts_with('\0') {
            let what = format!("{name:?} cannot be the name of a keyspace");
            return Err(Error::InvalidArgument { what });
        }
        if comparator_named(&expected).is_none() {
            return Err(Error::invalid(format!("there is no comparator {expected:?}")));
        }
        inner.check_writable()?;
        inner.sync_all()?;
        let ttl = ttl.map(|ttl| inner.store.ttl_from_now(ttl)).transpose();
        let ttl = ttl.map_err(|error| inner.engine_error(error))?;
        let settings = TreeSettings { merge_operator, ttl, ..TreeSettings::default() };
        let core = create(&inner.store, name, &expected, &settings, inner)?;
        inner.keyspaces.write().insert(core.id, Arc::clone(&core));
        Ok(Keyspace::new(self.clone(), core))
    }

    /// Opens a keyspace that is there.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub fn open_keyspace(&self, name: &str) -> Result<Keyspace, Error> {
        let core = self.inner().core_named(name).ok_or_else(|| Error::no_keyspace(name))?;
        Ok(Keyspace::new(self.clone(), core))
    }

    /// The keyspaces, by name.
    pub fn keyspaces(&self) -> Vec<KeyspaceInfo> {
        let cores = self.inner().cores();
        let mut infos: Vec<_> =
            cores.iter().filter(|core| !core.is_dropped()).map(|core| info(core)).collect();
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        infos
    }

    /// Drops a keyspace with all that is in it, durably. Reads that have begun go on; handles of it
    /// read what they read before, and write nothing any more.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for the keyspace `default`, which is always there;
    /// [`Error::NotFound`]; those of writing. After [`Error::UnknownOutcome`] it cannot be used until
    /// the database is opened again, and may be there then or not.
    pub fn drop_keyspace(&self, name: &str) -> Result<(), Error> {
        let inner = self.inner();
        let _turn = inner.naming.lock();
        if name == DEFAULT_KEYSPACE {
            return Err(Error::invalid("the keyspace \"default\" cannot be dropped"));
        }
        inner.check_writable()?;
        let core = inner.core_named(name).ok_or_else(|| Error::no_keyspace(name))?;
        {
            // No group is under way, and none that comes will name it.
            let _log = inner.log.lock();
            core.is_dropped.store(true, Ordering::Release);
        }
        // Everything that is older than the drop is to be found after a crash if the drop is.
        inner.sync_all().inspect_err(|_| core.is_dropped.store(false, Ordering::Release))?;
        core.tree.stop_jobs();
        let _flushing = core.flushing.lock();
        let _compacting = inner.compacting.lock();
        let dropped = inner.store.drop_tree(core.id).map_err(|error| inner.engine_error(error));
        match dropped {
            Err(error @ Error::UnknownOutcome { .. }) => return Err(error),
            Err(error) => {
                core.is_dropped.store(false, Ordering::Release);
                return Err(error);
            }
            Ok(()) => {}
        }
        inner.keyspaces.write().remove(&core.id);
        inner.memory.forget(&core);
        inner.log.lock().forget(core.id);
        // Who waited for it to be flushed need not wait any longer.
        inner.work.wake_all();
        Ok(())
    }

    // Writes and reads over keyspaces.

    /// An empty batch.
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    /// The present moment, over all keyspaces. What it sees is kept as long as it lives.
    pub fn snapshot(&self) -> Snapshot {
        self.inner().store.snapshot()
    }

    /// A moment of the past: that of a bound from which history is [held](Self::hold_history), or of a
    /// snapshot that lives.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotTooOld`] if what it would see may be collected.
    pub fn snapshot_at(&self, bound: SeqNo) -> Result<Snapshot, Error> {
        let inner = self.inner();
        inner.store.snapshot_at(bound).map_err(|error| inner.engine_error(error))
    }

    // Maintenance.

    /// Writes what is in memory to tables, keyspace by keyspace, and retires the log as far as it is
    /// not needed then.
    ///
    /// # Errors
    ///
    /// Whatever writing said. Nothing is lost then.
    pub fn flush(&self) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_open()?;
        inner.cores().iter().try_for_each(|core| inner.flush_whole(core))
    }

    /// Flushes, and merges each keyspace into one run.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn compact(&self) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_open()?;
        inner
            .cores()
            .iter()
            .filter(|core| !core.is_dropped())
            .try_for_each(|core| inner.compact(core))
    }

    /// Does one job that is due, on this thread, and returns whether there was one: a flush, a merge,
    /// or a note in the log of how far it is synced. For [`Executor::Inline`](crate::Executor), where
    /// nobody else does.
    ///
    /// # Errors
    ///
    /// Whatever the job said. It is due again.
    pub fn step(&self) -> Result<bool, Error> {
        self.inner().step()
    }

    /// Waits until no flush and no merge is due or under way: what is sealed is in tables, and each
    /// keyspace has the shape that its options want. Does the work itself where nobody else does
    /// ([`Executor::Inline`](crate::Executor)).
    ///
    /// What is in memory stays there: [`flush`](Self::flush) first to have it in tables. If others
    /// write meanwhile, this waits for them too.
    ///
    /// # Errors
    ///
    /// Why the last job failed, if it did.
    pub fn wait_idle(&self) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_open()?;
        inner.wait_idle()
    }

    /// What it holds and has done.
    pub fn stats(&self) -> DatabaseStats {
        let inner = self.inner();
        let cores = inner.cores();
        let keyspaces = cores.iter().map(|core| (core.name.clone(), core.tree.stats())).collect();
        let (writers_slowed, writers_stopped) = inner.pacing.waited();
        let log = inner.log.lock();
        DatabaseStats {
            writers_slowed,
            writers_stopped,
            keyspaces,
            visible: inner.store.clock().visible(),
            groups: log.groups,
            batches: log.batches,
            log_len: log.len(),
            log_unsynced_len: log.wal.as_ref().map_or(0, stratal_wal::Wal::unsynced_len),
            log_floor: inner.floor.load(Ordering::Acquire),
            job_failure: inner.work.failure(),
            open_files: inner.store.open_files().stats(),
        }
    }

    /// How it is.
    pub fn health(&self) -> Health {
        let inner = self.inner();
        let health = inner.health.lock().clone();
        match (health, inner.why_throttled()) {
            (Health::Healthy, Some(why)) => Health::Throttled { why },
            (health, _) => health,
        }
    }

    /// Reads everything there is, and says what is wrong with it: every block of every table, the log,
    /// and the manifest. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read. Damage is not an error but in the report.
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        self.inner().verify()
    }

    /// Bytes a second that flushes, merges and ingestions may write from now on, also those under way; 0
    /// for any number. If the limiter is [shared](Builder::limiter), this goes for all who share it.
    pub fn set_background_write_rate(&self, bytes_per_second: u64) {
        self.inner().store.limiter().set_rate(bytes_per_second);
    }

    /// How many table files may be open at once from now on; 0 for any number. What is too much is closed.
    /// If the cap is [shared](Builder::open_files), this goes for all who share it.
    pub fn set_max_open_files(&self, files: usize) {
        self.inner().store.open_files().set_max(files);
    }

    /// Bytes a second that flushes, merges and ingestions may write; 0 for any number.
    pub fn background_write_rate(&self) -> u64 {
        self.inner().store.limiter().rate()
    }

    /// Bytes of tables written for `origin` since the limiter was made: with the database, unless it is
    /// [shared](Builder::limiter). What jobs wrote that ended early counts too.
    pub fn background_written(&self, origin: Origin) -> u64 {
        self.inner().store.limiter().written(origin)
    }

    /// Ends the database: ends jobs that run, which are done again when it is open, writes what is
    /// buffered, syncs the log, and notes in log and manifest that this was all, so that damage to them
    /// is told from an unfinished write. What is in memory is not flushed: the next open reads it from
    /// the log. After a [flush](Self::flush) there is nothing to be read, and the log takes no space.
    ///
    /// Other handles read on, and write nothing any more. If there are any, it is they who note the
    /// end in the manifest, when the last of them goes.
    ///
    /// Dropping the last handle does the same, but cannot say what failed.
    ///
    /// # Errors
    ///
    /// Whatever writing said. What was durable is.
    pub fn close(self) -> Result<(), Error> {
        let stopped = self.handle.stop();
        let finished = Arc::into_inner(self.handle).map_or(Ok(()), |mut handle| handle.finish());
        stopped.and(finished)
    }
}

impl Handle {
    /// Stops the threads and ends the log.
    fn stop(&self) -> Result<(), Error> {
        let Some(inner) = &self.inner else { return Ok(()) };
        inner.is_closed.store(true, Ordering::Release);
        self.threads.lock().stop(inner);
        let _retiring = inner.retiring.lock();
        let (wal, is_unneeded) = {
            let mut log = inner.log.lock();
            let is_unneeded = inner.is_log_unneeded(&mut log);
            (log.wal.take(), is_unneeded)
        };
        let Some(wal) = wal else { return Ok(()) };
        let floor = inner.floor.load(Ordering::Acquire);
        let closed =
            if is_unneeded { wal.close_unneeded() } else { wal.close().map(|end| (end, floor)) };
        let (end, floor) = closed.map_err(|error| inner.wal_error(error))?;
        if end.0 > inner.store.version().log_synced || is_unneeded {
            inner.store.note_log(floor, end.0).map_err(|error| inner.engine_error(error))?;
        }
        if is_unneeded {
            // Other handles may still verify what there is.
            inner.floor.store(floor, Ordering::Release);
            inner.remove_segments_below(floor)?;
        }
        Ok(())
    }

    /// Ends the manifest and gives the lock back. For the last handle.
    fn finish(&mut self) -> Result<(), Error> {
        let Some(inner) = self.inner.take().and_then(Arc::into_inner) else { return Ok(()) };
        let Inner { keyspaces, store, dir, is_read_only, _lock: lock, .. } = inner;
        drop(keyspaces);
        let closed = match Arc::into_inner(store) {
            Some(store) if !is_read_only => {
                store.close().map_err(|error| Error::of_engine(error, &dir))
            }
            _ => Ok(()),
        };
        drop(lock);
        closed
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Whoever wants to know closes.
        drop(self.stop());
        drop(self.finish());
    }
}

impl Inner {
    /// Gives a keyspace a merge operator, durably, before any record of the log can have operands for
    /// it. For whoever holds `naming`.
    fn choose_operator(&self, core: &Core, operator: &str) -> Result<(), Error> {
        match core.tree.merge_operator() {
            Some(found) if found == operator => Ok(()),
            Some(found) => Err(Error::OperatorMismatch {
                keyspace: core.name.clone(),
                expected: operator.to_owned(),
                found: found.to_owned(),
            }),
            None => {
                self.check_writable()?;
                core.tree.set_merge_operator(operator).map_err(|error| self.engine_error(error))
            }
        }
    }
}

/// Makes a keyspace, durably.
pub(crate) fn create(
    store: &Arc<Store>,
    name: &str,
    comparator: &str,
    settings: &TreeSettings,
    inner: &Inner,
) -> Result<Arc<Core>, Error> {
    let fail = |error| inner.engine_error(error);
    let id = store.create_tree(name, comparator, &settings.encode()).map_err(fail)?;
    let tree = Tree::open(store, id, inner.trees.new_spec()).map_err(fail)?;
    Ok(Core::new(id, name, tree))
}
