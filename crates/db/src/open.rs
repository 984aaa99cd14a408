//! Opening and recovery.
//!
//! ```text
//! LOCK ─▶ identity, manifest ─▶ replay of the log into memtables ─▶ what is not proven synced is
//!     written to a new segment, synced ─▶ manifest settled ─▶ orphans removed ─▶ open for writes
//! ```
//!
//! Each step can be interrupted, and everything done again.

use std::{collections::BTreeSet, io, path::Path};

use stratal_engine::{Error as EngineError, Store, StoreContext, Tree, TreeId, TreeSettings};
use stratal_fs::{Fs, Lock, LockMode, create_dir_synced};
use stratal_manifest::FileName;
use stratal_types::{
    SeqNo,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use stratal_wal::{Lsn, Replay, ReplayReport, WalContext, WalOptions};

use crate::{
    Builder, Database, Error, Executor, Health, OpenReport,
    commit::Queue,
    database::{DEFAULT_KEYSPACE, create},
    inner::{Core, Inner},
    log::Log,
    memory::WriteMemory,
    pacing::Pacing,
    proof::Unproven,
    record,
    tree_choice::TreeChoice,
    work::Work,
};

/// Segments of the log that are kept before somebody is flushed for it.
const LOG_SEGMENTS_MAX: u64 = 16;

/// Bytes of log that may be unsynced, however small the memory budget.
const UNSYNCED_LEN_MIN: usize = 1 << 20;

pub(crate) fn open(builder: &Builder) -> Result<Database, Error> {
    let (fs, dir) = (Arc::clone(&builder.fs), builder.dir.clone());
    if builder.memory_budget < Builder::MEMORY_BUDGET_MIN {
        return Err(Error::invalid("memory_budget is below 1 MiB"));
    }
    let share = usize::try_from(builder.memory_budget / 8).unwrap_or(usize::MAX);
    let unsynced_len_max = builder.wal.unsynced_len_max.min(share.max(UNSYNCED_LEN_MIN));
    let wal_options = WalOptions { unsynced_len_max, ..builder.wal };
    let wal_spec = wal_options.validate().map_err(|error| Error::of_wal(error, &dir))?;
    let trees = TreeChoice::of(builder).map_err(|error| Error::of_engine(error, &dir))?;

    let lock = take_lock(builder)?;
    let names = file_names(fs.as_ref(), &dir)?;
    if !has_data(&names) && !builder.read_only {
        clear_unfinished_creation(fs.as_ref(), &dir)?;
    }
    check_manifest_is_there(&names, &dir)?;
    let context = store_context(builder);
    let opened =
        if builder.read_only { Store::open_existing(context) } else { Store::open(context) };
    let (store, report) = opened.map_err(|error| match error {
        EngineError::NoDatabase { .. } => not_found(&dir),
        error => Error::of_engine(error, &dir),
    })?;

    let mut inner = Inner {
        executor: builder.executor,
        keyspaces: RwLock::default(),
        queue: Queue::default(),
        log: Mutex::new(Log::default()),
        syncer: None,
        health: Mutex::new(Health::Healthy),
        is_unwell: AtomicBool::new(false),
        is_read_only: builder.read_only,
        proven: None,
        is_closed: AtomicBool::new(false),
        work: Work::default(),
        naming: Mutex::new(()),
        compacting: Mutex::new(()),
        helpers: builder.helpers(),
        background_nice: builder.background_nice,
        retiring: Mutex::new(()),
        floor: AtomicU64::new(store.version().wal_floor),
        memory: WriteMemory::new(builder.memory_budget, trees.write_buffer_len()),
        pacing: Pacing::default(),
        unsynced_len_max: unsynced_len_max as u64 / 4,
        report: OpenReport::default(),
        log_len_max: builder.wal.segment_len.saturating_mul(LOG_SEGMENTS_MAX),
        store,
        trees,
        dir,
        fs,
        _lock: lock,
    };
    open_trees(&mut inner)?;
    let (replay, unproven) = inner.replay(builder)?;
    let log_report = if builder.read_only {
        let log_report = replay.finish().map_err(|error| inner.wal_error(error))?;
        inner.proven = Some(inner.proven_by(&log_report, unproven));
        log_report
    } else {
        let (wal, log_report) =
            replay.into_wal(wal_spec).map_err(|error| inner.wal_error(error))?;
        inner.syncer = Some(wal.syncer());
        inner.log.lock().wal = Some(wal);
        log_report
    };
    let manifest = report.manifest.as_ref();
    inner.report = OpenReport {
        created: report.created,
        was_closed: log_report.was_closed && manifest.is_some_and(|manifest| manifest.was_closed),
        groups: log_report.groups,
        log_cut_len: log_report.cut_len,
        manifest_cut_len: manifest.map_or(0, |manifest| manifest.cut_len),
        orphans: 0,
    };
    if !builder.read_only {
        // After a process was killed, what was read may never have reached the disk: the manifest is
        // written anew before anything goes that it does not name.
        let removed = inner.store.remove_orphans(&report, &BTreeSet::new());
        inner.report.orphans = removed.map_err(|error| inner.engine_error(error))? as u64;
        if inner.core_named(DEFAULT_KEYSPACE).is_none() {
            let core = create(
                &inner.store,
                DEFAULT_KEYSPACE,
                "bytewise",
                &TreeSettings::default(),
                &inner,
            )?;
            inner.keyspaces.write().insert(core.id, core);
        }
    }
    for core in inner.cores() {
        inner.memory.note(&core);
    }
    let has_threads = builder.executor == Executor::Threads && !builder.read_only;
    Ok(Database::new(inner, has_threads))
}

fn store_context(builder: &Builder) -> StoreContext {
    let mut context = StoreContext::new(
        Arc::clone(&builder.fs),
        &builder.dir,
        builder.memory_budget / 2,
        Arc::clone(&builder.randomness),
    );
    context.comparators = Arc::new(stratal_types::comparator_named);
    context.operators = builder.operators();
    context.prefix_extractors = builder.extractors();
    context.metrics = Arc::clone(&builder.metrics);
    context.limiter = builder.limiter_of();
    context.open_files = builder.open_files_of();
    context.pool.clone_from(&builder.pool);
    context
}

fn not_found(dir: &Path) -> Error {
    Error::NotFound { what: format!("database in {}", dir.display()) }
}

fn exists(fs: &dyn Fs, path: &Path) -> Result<bool, Error> {
    match fs.metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look up", path, error)),
    }
}

/// Makes the directory if it is to be made, and locks it.
///
/// A database that is opened for reading and has no lock file was copied without it: nobody can be
/// writing to it, and nothing is created.
fn take_lock(builder: &Builder) -> Result<Option<Box<dyn Lock>>, Error> {
    let (fs, dir) = (builder.fs.as_ref(), &builder.dir);
    let path = dir.join(FileName::Lock.to_string());
    let identity = dir.join(FileName::Identity.to_string());
    let has_data = has_data(&file_names(fs, dir)?);
    if has_data && !exists(fs, &identity)? {
        return Err(Error::Missing { file: identity });
    }
    // An identity alone is what is left of a database that was not made to its end.
    if !has_data && (builder.read_only || !builder.create) {
        return Err(not_found(dir));
    }
    if builder.read_only && !exists(fs, &path)? {
        return Ok(None);
    }
    // Whoever made what is in it had made its name durable before.
    if !has_data {
        create_dir_synced(fs, dir).map_err(|error| Error::io("create", dir, error))?;
    }
    let mode = if builder.read_only { LockMode::Shared } else { LockMode::Exclusive };
    fs.lock(&path, mode).map(Some).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { path },
        _ => Error::io("lock", path, error),
    })
}

/// Names of files in the directory and in `tables`.
fn file_names(fs: &dyn Fs, dir: &Path) -> Result<Vec<FileName>, Error> {
    let mut names = Vec::new();
    for folder in ["", "tables"] {
        let path = dir.join(folder);
        let entries = match fs.list(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("list", path, error)),
        };
        names.extend(entries.iter().filter_map(|entry| {
            let name = entry.name.to_str()?;
            FileName::parse(&if folder.is_empty() {
                name.into()
            } else {
                format!("{folder}/{name}")
            })
        }));
    }
    Ok(names)
}

/// Whether the directory holds what only a database holds that was made to the end.
fn has_data(names: &[FileName]) -> bool {
    names.iter().any(|name| {
        matches!(
            name,
            FileName::Marker(_) | FileName::Wal(_) | FileName::Table(_) | FileName::ValueFile(_)
        )
    })
}

/// Removes the identity of a database that was not made to its end, if there is one: it may be damaged,
/// or not be durable though it can be read. Nothing else carries it yet but a manifest that is not
/// current.
fn clear_unfinished_creation(fs: &dyn Fs, dir: &Path) -> Result<(), Error> {
    let path = dir.join(FileName::Identity.to_string());
    if !exists(fs, &path)? {
        return Ok(());
    }
    let removed = fs.remove_file(&path).and_then(|()| fs.sync_dir(dir));
    removed.map_err(|error| Error::io("remove", path, error))
}

/// Refuses a directory that has data and no manifest: it must not be taken for a new one.
fn check_manifest_is_there(names: &[FileName], dir: &Path) -> Result<(), Error> {
    let has_marker = names.iter().any(|name| matches!(name, FileName::Marker(_)));
    if has_data(names) && !has_marker {
        return Err(Error::Missing { file: dir.join("MANIFEST.*") });
    }
    Ok(())
}

fn open_trees(inner: &mut Inner) -> Result<(), Error> {
    let version = inner.store.version();
    let mut cores = Vec::new();
    for tree in version.trees.values() {
        let spec = inner.trees.spec(&inner.store, tree.id, &tree.name);
        let opened = Tree::open(&inner.store, tree.id, spec?);
        let opened = opened.map_err(|error| inner.engine_error(error))?;
        cores.push((tree.id, Core::new(tree.id, &*tree.name, opened)));
    }
    inner.keyspaces.write().extend(cores);
    Ok(())
}

impl Inner {
    /// Reads the log into memtables.
    fn replay(&self, builder: &Builder) -> Result<(Replay, Unproven), Error> {
        let fail = |error| self.wal_error(error);
        let floor = self.floor.load(Ordering::Acquire);
        let context = self.wal_context(builder);
        let mut replay = Replay::open(context, floor).map_err(fail)?;
        let next_tree = self.store.version().next_tree;
        let keyspaces = self.keyspaces.read();
        let mut log = self.log.lock();
        let mut next = self.store.clock().next();
        let mut unproven = Unproven::default();
        while let Some(found) = replay.next_record().map_err(fail)? {
            let file = || self.dir.join(stratal_wal::segment_file_name(found.segment));
            let batches = record::decode(found.payload).map_err(|error| match error {
                record::Error::Malformed { .. } => Error::corruption(file(), 0, error),
                record::Error::Unsupported { .. } => {
                    Error::Unsupported { what: format!("{}: {error}", file().display()) }
                }
            })?;
            log.note_segment(found.segment, found.lsn);
            let first = batches.first().map(|batch| batch.first);
            for batch in batches {
                next = next.max(Self::apply_logged(
                    batch,
                    &file(),
                    |tree| keyspaces.get(&tree),
                    |tree, bound| log.note_need(tree, found.segment, bound),
                    |tree| {
                        let what = format!("it names keyspace {tree}, which never was");
                        if tree < next_tree {
                            Ok(())
                        } else {
                            Err(Error::corruption(file(), 0, what))
                        }
                    },
                )?);
            }
            if let Some(first) = first {
                unproven.note(replay.end_lsn(), first);
            }
            unproven.prove(replay.synced_lsn());
        }
        self.check_log_end(&replay)?;
        if builder.read_only {
            log.read_to = replay.end_lsn();
        }
        self.store.clock().raise(next);
        self.store.clock().publish(self.store.clock().next());
        Ok((replay, unproven))
    }

    /// The bound below which everything that was replayed is proven to be on stable storage.
    fn proven_by(&self, report: &ReplayReport, mut unproven: Unproven) -> SeqNo {
        unproven.prove(report.synced.max(Lsn(self.store.version().log_synced)));
        let first = unproven.first().filter(|_| !report.was_closed);
        first.unwrap_or_else(|| self.store.clock().visible())
    }

    /// Refuses a log that was read to its end and ends before what the manifest knows to be durable:
    /// without its newest segment a log looks like one that was never written further.
    pub(crate) fn check_log_end(&self, replay: &Replay) -> Result<(), Error> {
        let (end, synced) = (replay.end_lsn().0, self.store.version().log_synced);
        if end >= synced {
            return Ok(());
        }
        // It need not be part of the log any more.
        let names = file_names(self.fs.as_ref(), &self.dir)?;
        let newest = names.iter().filter(|name| matches!(name, FileName::Wal(_))).max();
        let file = self.dir.join(newest.map_or_else(|| "wal-*".into(), FileName::to_string));
        let what = format!("the log ends at position {end}, but was durable up to {synced}");
        Err(Error::corruption(file, 0, what))
    }

    /// Applies a batch of the log to the trees that are there; `missing` judges one that is not.
    /// Returns the bound above its numbers.
    fn apply_logged<'a>(
        batch: record::LoggedBatch,
        file: &Path,
        core_of: impl Fn(TreeId) -> Option<&'a Arc<Core>>,
        mut note_need: impl FnMut(TreeId, SeqNo),
        missing: impl Fn(TreeId) -> Result<(), Error>,
    ) -> Result<SeqNo, Error> {
        let not_applied = |error: EngineError| Error::corruption(file, 0, error);
        let mut seqno = batch.first;
        for (tree, operation) in batch.operations {
            let next = seqno.next().unwrap_or(SeqNo::MAX);
            if let Some(core) = core_of(tree) {
                core.tree.apply(&[operation], seqno).map_err(not_applied)?;
                note_need(tree, next);
                // Between batches of one group would be as good: nothing is flushed before all is
                // replayed.
                if core.tree.is_full() {
                    core.tree.seal();
                }
            } else {
                missing(tree)?;
            }
            seqno = next;
        }
        Ok(seqno)
    }

    pub(crate) fn wal_context(&self, builder: &Builder) -> WalContext {
        let randomness = Arc::clone(&builder.randomness);
        WalContext {
            fs: Arc::clone(&self.fs),
            dir: self.dir.clone(),
            db_id: self.store.db_id(),
            salts: Arc::new(move || {
                let [a, b, c, d, ..] = randomness();
                u32::from_le_bytes([a, b, c, d])
            }),
        }
    }
}
