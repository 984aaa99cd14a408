use std::{
    hash::{BuildHasher, RandomState},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stratal_engine::{
    BlockPool, MergeOperator, OpenFiles, Operators, Pinning, PrefixExtractors, Randomness,
    RateLimiter, StrategyOptions, TreeOptions, operator_named,
};
use stratal_fs::{Access, Fs, StdFs};
use stratal_types::{Metrics, NoMetrics, PrefixExtractor, prefix_extractor_named};
use stratal_wal::WalOptions;

use crate::{Database, Error, open::open};

/// Who does flushes and merges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// Four threads of the database: one flushes, one merges, one keeps the log synced and marked, one
    /// prepares space for it. Writers wait when the first two fall behind.
    #[default]
    Threads,
    /// Whoever calls [`Database::step`], [`flush`](Database::flush) or
    /// [`compact`](Database::compact). Nothing happens otherwise, so that every run repeats.
    Inline,
}

/// How a database is opened.
#[derive(Clone)]
#[must_use = "a builder does nothing until it opens"]
pub struct Builder {
    pub(crate) dir: PathBuf,
    pub(crate) memory_budget: u64,
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) randomness: Randomness,
    pub(crate) executor: Executor,
    pub(crate) wal: WalOptions,
    pub(crate) tree_options: Option<TreeOptions>,
    pub(crate) strategy: Option<StrategyOptions>,
    pub(crate) metrics: Arc<dyn Metrics>,
    merge_operators: Vec<Arc<dyn MergeOperator>>,
    prefix_extractors: Vec<Arc<dyn PrefixExtractor>>,
    background_write_rate: u64,
    shared_limiter: Option<Arc<RateLimiter>>,
    pinning: Option<Pinning>,
    max_open_files: Option<usize>,
    shared_open_files: Option<OpenFiles>,
    pub(crate) pool: Option<Arc<dyn BlockPool>>,
    pub(crate) compaction_threads: Option<NonZero<usize>>,
    pub(crate) background_nice: u8,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Builder {
    /// Default of [`memory_budget`](Self::memory_budget): 256 MiB.
    pub const MEMORY_BUDGET: u64 = 256 << 20;
    /// Least that [`memory_budget`](Self::memory_budget) may be: 1 MiB.
    pub const MEMORY_BUDGET_MIN: u64 = 1 << 20;

    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            memory_budget: Self::MEMORY_BUDGET,
            create: true,
            read_only: false,
            fs: Arc::new(StdFs),
            randomness: system_randomness(),
            executor: Executor::default(),
            wal: WalOptions::default(),
            tree_options: None,
            strategy: None,
            metrics: Arc::new(NoMetrics),
            merge_operators: Vec::new(),
            prefix_extractors: Vec::new(),
            background_write_rate: 0,
            shared_limiter: None,
            pinning: None,
            max_open_files: None,
            shared_open_files: None,
            pool: None,
            compaction_threads: None,
            background_nice: 0,
        }
    }

    /// Bytes of memory for caches and for what is written. Half is the cache's. The memtables of all
    /// keyspaces may have the other half: one takes writes until it holds a quarter, or 64 MiB, and
    /// writers wait for a flush when all is full. Up to an eighth more, or 1 MiB, holds what of the log is not
    /// synced. Default 256 MiB.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// Whether a database is made where there is none. Default: yes.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether it is opened for reading alone: along with any number of other readers, with no writer,
    /// and without changing anything on disk. Default: no.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// The file system. Default: that of the operating system.
    pub fn fs(mut self, fs: Arc<dyn Fs>) -> Self {
        self.fs = fs;
        self
    }

    /// Gives 16 bytes that were never given before, for identities of files. Default: from the
    /// operating system.
    pub fn randomness(mut self, randomness: Randomness) -> Self {
        self.randomness = randomness;
        self
    }

    /// Who does flushes and merges. Default: threads of the database.
    pub fn executor(mut self, executor: Executor) -> Self {
        self.executor = executor;
        self
    }

    /// Bytes after which a segment of the log is followed by another. Sixteen segments are kept before
    /// the keyspace that holds the oldest is flushed. Default 16 MiB.
    pub fn wal_segment_len(mut self, bytes: u64) -> Self {
        self.wal.segment_len = bytes;
        self
    }

    /// How all keyspaces are kept until the database is closed, whatever they were
    /// [told to keep](crate::Keyspace::set_options). Default: as each was told; those that were told
    /// nothing by the defaults of [`TreeOptions`], with write buffers that fit the memory budget.
    pub fn tree_options(mut self, options: TreeOptions) -> Self {
        self.tree_options = Some(options);
        self
    }

    /// Makes a merge operator known by its name, beside those that Stratal brings. Keyspaces that were
    /// given it before need it to read operands.
    pub fn merge_operator(mut self, operator: Arc<dyn MergeOperator>) -> Self {
        self.merge_operators.push(operator);
        self
    }

    /// Makes a prefix extractor known by its name, beside those that Stratal brings. Where it is not known
    /// filters that were built under it are not asked for prefixes.
    pub fn prefix_extractor(mut self, extractor: Arc<dyn PrefixExtractor>) -> Self {
        self.prefix_extractors.push(extractor);
        self
    }

    /// Where counts go of what is read from files and cache, and what filters say. Default: nowhere.
    pub fn metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Bytes a second that flushes, merges and ingestions may write together; 0 for any number. Flushes go
    /// first. Can be [changed](Database::set_background_write_rate) at any time. Default 0.
    pub fn background_write_rate(mut self, bytes_per_second: u64) -> Self {
        self.background_write_rate = bytes_per_second;
        self
    }

    /// By how many steps, 0 to 19, the threads that flush and merge go behind all others of the system that
    /// want the processor, on Linux: a read that wakes up beside them waits less for its turn. With 5 they
    /// get a third of what another thread gets, with 10 a tenth; where processors are free they are as fast
    /// as before, and where none is, writers have to wait for them. Default 0.
    pub fn background_nice(mut self, steps: u8) -> Self {
        self.background_nice = steps;
        self
    }

    /// Keeps what is written in the background, together with all others that have the same limiter, to
    /// its rate: for several databases on one device.
    /// [`background_write_rate`](Self::background_write_rate) is of no account then.
    pub fn limiter(mut self, limiter: Arc<RateLimiter>) -> Self {
        self.shared_limiter = Some(limiter);
        self
    }

    /// What of the tables of all keyspaces stays in the cache until the database is closed; nothing else of
    /// their options changes. Default: as [`tree_options`](Self::tree_options) have it, which is nothing.
    pub fn pinning(mut self, pinning: Pinning) -> Self {
        self.pinning = Some(pinning);
        self
    }

    /// How many table files may be open at once, those that are written among them; 0 for any number. One
    /// that was closed for others is opened again when something is read from it that is not in the cache.
    /// The log and the manifest do not count: they are some few files. Can be
    /// [changed](Database::set_max_open_files) at any time. Default 1000, or half of what the system lets
    /// the process have open if that is less.
    pub fn max_open_files(mut self, files: usize) -> Self {
        self.max_open_files = Some(files);
        self
    }

    /// Lets no more table files be open at once, together with those of all others that have the same
    /// `open_files`, than these allow: for several databases in one process.
    /// [`max_open_files`](Self::max_open_files) is of no account then.
    pub fn open_files(mut self, open_files: OpenFiles) -> Self {
        self.shared_open_files = Some(open_files);
        self
    }

    /// Threads that help with flushes and merges: they compress blocks, and do parts of merges that are
    /// large, if [`TreeOptions::max_subcompactions`] allows several. A job never waits for a thread of
    /// the pool to become free. Default: none.
    pub fn pool(mut self, pool: Arc<dyn BlockPool>) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Threads, the caller's own among them, that a [`compact`](Database::compact) uses, where merges are
    /// [long enough](TreeOptions::subcompaction_len_min) to be divided. They are those of the
    /// [`pool`](Self::pool) if there is one, and else begin and end with the merge. Merges in the background
    /// are [divided](TreeOptions::max_subcompactions) only if that is asked for, so that they leave the
    /// processors to reads and writes. What is read is the same in any case; where tables end is not.
    /// Default: as many as there are processors; 1 with [`Executor::Inline`].
    pub fn compaction_threads(mut self, threads: NonZero<usize>) -> Self {
        self.compaction_threads = Some(threads);
        self
    }

    /// How tables of all keyspaces are merged until the database is closed; nothing else of their options
    /// changes. Every strategy takes over what another has left. Default: as
    /// [`tree_options`](Self::tree_options) have it.
    pub fn strategy(mut self, strategy: StrategyOptions) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// Opens the database: reads the manifest, and replays the log.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`], [`Error::NotFound`] if there is none and none is to be made,
    /// [`Error::Corruption`] and [`Error::Missing`] for damage, [`Error::InvalidArgument`] for an
    /// option that cannot be, [`Error::Unsupported`] for what a newer version has made.
    pub fn open(self) -> Result<Database, Error> {
        open(&self)
    }

    /// What keeps background writes to a rate.
    pub(crate) fn limiter_of(&self) -> Arc<RateLimiter> {
        let own = || Arc::new(RateLimiter::new(self.background_write_rate));
        self.shared_limiter.clone().unwrap_or_else(own)
    }

    /// Which table files are open.
    pub(crate) fn open_files_of(&self) -> OpenFiles {
        let own = || match (self.max_open_files, OpenFiles::system_max()) {
            (Some(max), _) => OpenFiles::new(max),
            (None, Some(most)) => OpenFiles::new(OpenFiles::MAX_DEFAULT.min((most / 2).max(1))),
            (None, None) => OpenFiles::default(),
        };
        self.shared_open_files.clone().unwrap_or_else(own)
    }

    /// Merge operators by name.
    pub(crate) fn operators(&self) -> Operators {
        let known = self.merge_operators.clone();
        Arc::new(move |name| {
            let of_caller = known.iter().find(|operator| operator.name() == name);
            of_caller.cloned().or_else(|| operator_named(name))
        })
    }

    /// Prefix extractors by name.
    pub(crate) fn extractors(&self) -> PrefixExtractors {
        let known = self.prefix_extractors.clone();
        Arc::new(move |name| {
            let of_caller = known.iter().find(|extractor| extractor.name() == name);
            of_caller.cloned().or_else(|| prefix_extractor_named(name))
        })
    }

    /// The options of keyspaces that keep none of their own.
    pub(crate) fn options(&self) -> TreeOptions {
        let options = self.tree_options.clone().unwrap_or_else(|| {
            let buffer = usize::try_from(self.memory_budget / 4).unwrap_or(usize::MAX);
            let write_buffer_len = buffer.min(TreeOptions::WRITE_BUFFER_LEN);
            TreeOptions { write_buffer_len, ..TreeOptions::default() }
        });
        TreeOptions {
            strategy: self.strategy.unwrap_or(options.strategy),
            pinning: self.pinning.unwrap_or(options.pinning),
            ..options
        }
    }
}

/// 16 bytes from the operating system at each call; if it gives none, from a process-wide secret of
/// which the standard library sees to it that it is random.
fn system_randomness() -> Randomness {
    let (keys, count) = ([RandomState::new(), RandomState::new()], AtomicU64::new(0));
    Arc::new(move || {
        let mut bytes = [0; 16];
        let device = StdFs.open(Path::new("/dev/urandom"), Access::Read);
        if device.and_then(|device| device.read_exact_at(&mut bytes, 0)).is_ok() {
            return bytes;
        }
        let count = count.fetch_add(1, Ordering::Relaxed);
        let [a, b] = keys.each_ref().map(|key| key.hash_one((count, std::process::id())));
        (u128::from(a) << 64 | u128::from(b)).to_le_bytes()
    })
}
