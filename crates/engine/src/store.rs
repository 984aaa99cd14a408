use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_archive::ArchiveHeader;
use stratal_cache::Cache;
use stratal_fs::{Access, Fs, OpenFiles, RateLimiter, create_dir_synced};
use stratal_manifest::{
    FileName, Manifest, ManifestContext, ManifestOptions, NewTree, Orphan, RecoveryMode,
    RecoveryReport, Timeline, TreeId, Version, VersionEdit, last_number, orphans,
};
use stratal_merge::{MergeOperator, operator_named};
use stratal_sst::{BlockPool, TableContext, TableIdentity};
use stratal_types::{
    Comparator, DbId, FileUid, Metrics, NoMetrics, PrefixExtractor, comparator_named,
    prefix_extractor_named,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    Clock, Error, Snapshot, TreeOptions, TreeSettings, files::Files, identity, times::Times,
};

/// Gives a comparator for its name.
pub type Comparators = Arc<dyn Fn(&str) -> Option<Arc<dyn Comparator>> + Send + Sync>;

/// Gives a merge operator for its name.
pub type Operators = Arc<dyn Fn(&str) -> Option<Arc<dyn MergeOperator>> + Send + Sync>;

/// Gives a prefix extractor for its name.
pub type PrefixExtractors = Arc<dyn Fn(&str) -> Option<Arc<dyn PrefixExtractor>> + Send + Sync>;

/// Gives 16 bytes that nothing has been given before: from the operating system in production, from a
/// seed in a simulation.
pub type Randomness = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// Tells the time in milliseconds since 1970: the system's in production, any in a simulation. It says
/// when tables were written, and when they are too old.
pub type Time = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What the process brings to a [`Store`].
#[derive(Clone)]
pub struct StoreContext {
    /// The file system.
    pub fs: Arc<dyn Fs>,
    /// The directory. It need not exist.
    pub dir: PathBuf,
    /// Keeps what is read, for all trees.
    pub cache: Arc<Cache>,
    /// Where counts go.
    pub metrics: Arc<dyn Metrics>,
    /// Comparators by name.
    pub comparators: Comparators,
    /// Merge operators by name.
    pub operators: Operators,
    /// Prefix extractors by name.
    pub prefix_extractors: PrefixExtractors,
    /// Identities of new files.
    pub randomness: Randomness,
    /// The time of day.
    pub time: Time,
    /// Threads that help with flushes and merges: with parts of them, and with making blocks ready.
    /// What comes out is the same without any, though tables may be cut elsewhere. The engine has none of
    /// its own.
    pub pool: Option<Arc<dyn BlockPool>>,
    /// Counts what flushes, merges and ingestions write, and keeps them to a rate. Other stores may have
    /// the same. Default: no limit.
    pub limiter: Arc<RateLimiter>,
    /// How many table files are open at once, for reading and for writing, of all trees. Other stores may
    /// have the same. A table that is not open is opened again when something has to be read from it
    /// that the cache does not hold. Default [`OpenFiles::MAX_DEFAULT`].
    pub open_files: OpenFiles,
}

impl StoreContext {
    /// A context with a cache of `cache_len` bytes, the comparators of `stratal-types`, the merge
    /// operators of `stratal-merge`, the system's time, and no metrics.
    pub fn new(
        fs: Arc<dyn Fs>,
        dir: impl Into<PathBuf>,
        cache_len: u64,
        randomness: Randomness,
    ) -> Self {
        Self {
            fs,
            dir: dir.into(),
            cache: Arc::new(Cache::new(cache_len)),
            metrics: Arc::new(NoMetrics),
            comparators: Arc::new(comparator_named),
            operators: Arc::new(operator_named),
            prefix_extractors: Arc::new(prefix_extractor_named),
            randomness,
            time: Arc::new(system_time_ms),
            pool: None,
            limiter: Arc::new(RateLimiter::new(0)),
            open_files: OpenFiles::default(),
        }
    }
}

fn system_time_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What trees of one database share: the clock, the manifest, the files.
///
/// Opening it reads the manifest and opens no table. It has no threads.
pub struct Store {
    pub(crate) context: StoreContext,
    pub(crate) clock: Arc<Clock>,
    pub(crate) files: Arc<Files>,
    /// One installer at a time.
    pub(crate) manifest: Mutex<Manifest>,
    /// Files of jobs whose edit may be durable or not. They go once the manifest is settled.
    limbo: Mutex<Vec<PathBuf>>,
    /// No job begins or goes on.
    is_stopped: AtomicBool,
    /// When numbers were given out. A leaf.
    pub(crate) times: Mutex<Times>,
    db_id: DbId,
}

/// What an open found.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether the directory was empty and a database was made.
    pub created: bool,
    /// What the manifest had to say; `None` if it was made.
    pub manifest: Option<RecoveryReport>,
}

impl Store {
    /// Opens the database in the context's directory, or makes one.
    ///
    /// Files that nothing names stay where they are until [`remove_orphans`](Self::remove_orphans),
    /// which the owner calls once it has recovered what only its log names.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] and [`Error::Manifest`] if there is something that is no database, or a
    /// damaged one; [`Error::Io`].
    pub fn open(context: StoreContext) -> Result<(Arc<Self>, OpenReport), Error> {
        let (fs, dir) = (context.fs.as_ref(), &context.dir);
        let tables = dir.join("tables");
        let make_dirs =
            || create_dir_synced(fs, &tables).map_err(|error| Error::io("create", dir, error));
        let db_id = if let Some(db_id) = identity::read(fs, dir)? {
            db_id
        } else {
            make_dirs()?;
            let db_id = DbId((context.randomness)());
            identity::write(fs, dir, db_id)?;
            db_id
        };
        let manifest = match open_manifest(&context, db_id) {
            Err(Error::Manifest(stratal_manifest::Error::Missing { .. })) => {
                make_dirs()?;
                let context = manifest_context(&context, db_id);
                (Manifest::create(context, ManifestOptions::default())?, None)
            }
            opened => {
                // Whoever made a manifest had made the directories before, durably. An empty one may
                // have been left out by who copied them.
                let opened = opened?;
                if fs.metadata(&tables).is_err() {
                    make_dirs()?;
                }
                opened
            }
        };
        Self::with(context, db_id, manifest)
    }

    /// Opens the database in the context's directory, which must be there. Writes nothing, and goes on
    /// writing nothing as long as nothing is changed.
    ///
    /// # Errors
    ///
    /// [`Error::NoDatabase`], and those of [`open`](Self::open).
    pub fn open_existing(context: StoreContext) -> Result<(Arc<Self>, OpenReport), Error> {
        let found = identity::read(context.fs.as_ref(), &context.dir)?;
        let db_id = found.ok_or_else(|| Error::NoDatabase { dir: context.dir.clone() })?;
        let manifest = open_manifest(&context, db_id)?;
        Self::with(context, db_id, manifest)
    }

    fn with(
        context: StoreContext,
        db_id: DbId,
        (manifest, report): (Manifest, Option<RecoveryReport>),
    ) -> Result<(Arc<Self>, OpenReport), Error> {
        let version = manifest.version();
        let clock = Clock::new(version.clock, version.retention_floor);
        let times = Times::new(Timeline::clone(&version.times));
        version.held.iter().for_each(|(holder, bound)| clock.set_held(holder, *bound));
        let names = file_names(&context)?;
        let last_number = last_number(names.iter().map(String::as_str));
        let next_file = version.next_file.max(last_number.saturating_add(1));
        let table_context = TableContext {
            cache: Arc::clone(&context.cache),
            metrics: Arc::clone(&context.metrics),
            pool: context.pool.clone(),
            db_id,
            ..TableContext::default()
        };
        let fs = (Arc::clone(&context.fs), context.open_files.clone());
        let dir = context.dir.clone();
        let store = Self {
            clock: Arc::new(clock),
            files: Arc::new(Files::new(
                fs,
                dir,
                table_context,
                Arc::clone(&context.prefix_extractors),
                next_file,
            )),
            manifest: Mutex::new(manifest),
            limbo: Mutex::default(),
            times: Mutex::new(times),
            is_stopped: AtomicBool::new(false),
            db_id,
            context,
        };
        let report = OpenReport { created: report.is_none(), manifest: report };
        Ok((Arc::new(store), report))
    }

    /// The database.
    pub fn db_id(&self) -> DbId {
        self.db_id
    }

    /// The clock of all trees.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// What the database consists of now.
    pub fn version(&self) -> Arc<Version> {
        Arc::clone(self.manifest.lock().version())
    }

    /// The present moment, over all trees.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::now(&self.clock)
    }

    /// A moment of the past.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotTooOld`] if what it would see may be collected.
    pub fn snapshot_at(&self, bound: stratal_types::SeqNo) -> Result<Snapshot, Error> {
        Snapshot::at(&self.clock, bound)
    }

    /// Makes a tree, durably; returns its id. `options` are its [settings](crate::TreeSettings), as
    /// they are stored; none are no bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Manifest`], if the name is taken among others.
    pub fn create_tree(
        &self,
        name: &str,
        comparator: &str,
        options: &[u8],
    ) -> Result<TreeId, Error> {
        let mut manifest = self.manifest.lock();
        let id = manifest.version().next_tree;
        let mut edit = VersionEdit::new();
        edit.create_tree(NewTree { options: options.into(), ..NewTree::new(id, name, comparator) });
        self.append(&mut manifest, &edit)?;
        Ok(id)
    }

    /// Whether the merge operator called `name` is known.
    ///
    /// # Errors
    ///
    /// [`Error::NoOperator`] if it is not.
    pub fn check_operator(&self, name: &str) -> Result<(), Error> {
        let unknown = || Error::NoOperator { name: Some(name.to_owned()) };
        (self.context.operators)(name).map(drop).ok_or_else(unknown)
    }

    /// What is stored about a tree beside its name and order.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchTree`]; [`Error::Settings`] if it cannot be read or needs a newer version.
    pub fn settings(&self, id: TreeId) -> Result<TreeSettings, Error> {
        settings_of(&self.version(), id)
    }

    /// The options that a tree was told to keep, with those of `base` for what is not kept; `None` if
    /// it was told none, and goes by whatever it is opened with.
    ///
    /// # Errors
    ///
    /// As [`settings`](Self::settings).
    pub fn kept_options(
        &self,
        id: TreeId,
        base: &TreeOptions,
    ) -> Result<Option<TreeOptions>, Error> {
        let named = |name: &str| self.files.extractor_named(name);
        Ok(self.settings(id)?.options.map(|kept| kept.over(base, named)))
    }

    /// Makes `change` to a tree's settings, durably, and then does `then`, both before another change.
    pub(crate) fn change_settings(
        &self,
        id: TreeId,
        change: impl FnOnce(&mut TreeSettings),
        then: impl FnOnce(),
    ) -> Result<(), Error> {
        let mut manifest = self.manifest.lock();
        let before = settings_of(manifest.version(), id)?;
        let mut settings = before.clone();
        change(&mut settings);
        if settings != before {
            let mut edit = VersionEdit::new();
            edit.set_options(id, settings.encode());
            self.append(&mut manifest, &edit)?;
        }
        then();
        Ok(())
    }

    /// Drops a tree with all its tables, durably. Reads that have begun go on.
    ///
    /// # Errors
    ///
    /// [`Error::Manifest`].
    pub fn drop_tree(&self, id: TreeId) -> Result<(), Error> {
        let mut manifest = self.manifest.lock();
        let mut edit = VersionEdit::new();
        edit.drop_tree(id);
        self.append(&mut manifest, &edit).map(drop)
    }

    /// Notes, durably, that the log below `segment` is not needed any more, and that it is durable up to
    /// the position `synced`. Segments below may be removed then.
    ///
    /// # Errors
    ///
    /// [`Error::Manifest`].
    pub fn note_log(&self, segment: u64, synced: u64) -> Result<(), Error> {
        let mut manifest = self.manifest.lock();
        let mut edit = VersionEdit::new();
        edit.set_wal_floor(segment).set_log_synced(synced).set_clock(self.clock.next());
        self.append(&mut manifest, &edit).map(drop)
    }

    /// Makes an edit durable and current.
    pub(crate) fn append(
        &self,
        manifest: &mut Manifest,
        edit: &VersionEdit,
    ) -> Result<Arc<Version>, Error> {
        let appended = manifest.append(edit);
        if manifest.is_settled() {
            for path in self.limbo.lock().drain(..) {
                self.files.give_up(path);
            }
        }
        appended?;
        Ok(Arc::clone(manifest.version()))
    }

    /// Whether it is known which edits are durable. After an edit that failed it may not be, until the
    /// next one is made.
    pub fn is_settled(&self) -> bool {
        self.manifest.lock().is_settled()
    }

    /// Keeps the files of a job of which nobody knows whether it is durable.
    pub(crate) fn keep_in_limbo(&self, files: Vec<PathBuf>) {
        self.limbo.lock().extend(files);
    }

    /// Removes what nothing names: files of jobs that were under way when the process ended, and
    /// manifests that were replaced. `logged_tables` are the numbers of tables that only the owner's
    /// log names.
    ///
    /// A file that does not carry this database's identity, nor is blank, is moved to `lost/` instead.
    /// So is every file if recovery had to cut anything: what is left of the manifest may lack names.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a directory cannot be listed or a file cannot be moved.
    pub fn remove_orphans(
        &self,
        report: &OpenReport,
        logged_tables: &BTreeSet<u64>,
    ) -> Result<usize, Error> {
        let names = file_names(&self.context)?;
        let (version, generation) = {
            let mut manifest = self.manifest.lock();
            // Until then the manifest that was read may be one that is only in the system's memory, and
            // what it does not name may be named by the one that is found after a power failure.
            manifest.settle()?;
            (Arc::clone(manifest.version()), manifest.generation())
        };
        let names = names.iter().map(String::as_str);
        let found = orphans(&version, generation, logged_tables, names);
        let is_whole = report.manifest.as_ref().is_none_or(|report| report.cut_len == 0);
        for Orphan(name) in &found {
            let path = self.files.dir().join(name.to_string());
            let is_table = matches!(name, FileName::Table(_));
            if is_table && !(is_whole && self.is_ours(&path)?) {
                self.set_aside(&path)?;
            } else {
                self.files.give_up(path);
            }
        }
        self.files.remove_unused();
        Ok(found.len())
    }

    /// Whether a table's header carries this database's identity, or nothing at all.
    fn is_ours(&self, path: &Path) -> Result<bool, Error> {
        let mut header = [0; ArchiveHeader::LEN];
        let fs = self.context.fs.as_ref();
        let _place = self.files.open.hold();
        let read = fs.open(path, Access::Read).and_then(|file| {
            let len = usize::try_from(file.len()?).unwrap_or(usize::MAX).min(header.len());
            file.read_exact_at(&mut header[..len], 0)
        });
        read.map_err(|error| Error::io("read", path, error))?;
        let is_blank = header.iter().all(|&byte| byte == 0);
        Ok(is_blank
            || ArchiveHeader::decode(&header).is_ok_and(|header| header.db_id == self.db_id))
    }

    /// Moves a file to `lost/`.
    fn set_aside(&self, path: &Path) -> Result<(), Error> {
        let (fs, lost) = (self.context.fs.as_ref(), self.files.dir().join("lost"));
        let name = path.file_name().unwrap_or_default();
        create_dir_synced(fs, &lost)
            .and_then(|()| fs.rename(path, &lost.join(name)))
            .and_then(|()| fs.sync_dir(&lost))
            .map_err(|error| Error::io("set aside", path, error))
    }

    /// Ends the flushes and merges of all trees that are under way, and those that begin later: they
    /// fail with [`Error::Stopped`], as if [told so](crate::Tree::stop_jobs) one by one. For an owner who
    /// is about to close. Does not wait.
    pub fn stop_jobs(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.context.limiter.wake();
    }

    /// What counts and limits what jobs write.
    pub fn limiter(&self) -> &Arc<RateLimiter> {
        &self.context.limiter
    }

    /// Which table files are open, and how many may be.
    pub fn open_files(&self) -> &OpenFiles {
        &self.context.open_files
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Who a new table is.
    pub(crate) fn new_identity(&self) -> TableIdentity {
        let draw = || (self.context.randomness)();
        let uid = FileUid(draw());
        let mut salt = [0; 32];
        salt.as_chunks_mut().0.fill_with(draw);
        TableIdentity { uid, salt }
    }

    /// Ends the manifest, so that damage to it will be told from an unfinished write. To be called when
    /// no tree of it is open any more.
    ///
    /// # Errors
    ///
    /// [`Error::Manifest`].
    pub fn close(self) -> Result<(), Error> {
        self.files.remove_unused();
        Ok(self.manifest.into_inner().close()?)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.context.dir).finish_non_exhaustive()
    }
}

fn settings_of(version: &Version, id: TreeId) -> Result<TreeSettings, Error> {
    let tree = version.trees.get(&id).ok_or(Error::NoSuchTree(id))?;
    TreeSettings::decode(&tree.options).map_err(|source| Error::Settings { tree: id, source })
}

fn open_manifest(
    context: &StoreContext,
    db_id: DbId,
) -> Result<(Manifest, Option<RecoveryReport>), Error> {
    let (options, mode) = (ManifestOptions::default(), RecoveryMode::Tail);
    let (manifest, report) = Manifest::open(manifest_context(context, db_id), options, mode)?;
    Ok((manifest, Some(report)))
}

fn manifest_context(context: &StoreContext, db_id: DbId) -> ManifestContext {
    let randomness = Arc::clone(&context.randomness);
    let comparators = Arc::clone(&context.comparators);
    ManifestContext {
        fs: Arc::clone(&context.fs),
        dir: context.dir.clone(),
        db_id,
        salts: Arc::new(move || {
            let [a, b, c, d, ..] = randomness();
            u32::from_le_bytes([a, b, c, d])
        }),
        comparators: Arc::new(move |name: &str| comparators(name)),
    }
}

/// Names of all files, relative to the directory.
fn file_names(context: &StoreContext) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for folder in ["", "tables"] {
        let dir = context.dir.join(folder);
        let entries = context.fs.list(&dir).map_err(|error| Error::io("list", &dir, error))?;
        let files = entries.into_iter().filter(|entry| entry.kind == stratal_fs::FileKind::File);
        names.extend(files.filter_map(|entry| {
            let name = entry.name.to_str()?;
            Some(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") })
        }));
    }
    Ok(names)
}
