use std::fmt::Debug;

/// Threads that a writer may have data blocks made ready on: compressed, encrypted, checked.
///
/// They come out in the order in which they went in, and in the same bytes as without. The writer
/// never waits for a thread to become free: a block that nobody has begun when its turn comes is made
/// ready by the writer itself. A pool without threads is therefore no faster, and not wrong; and a
/// writer may run on the very pool that it uses.
///
/// ```
/// use stratal_sst::BlockPool;
///
/// /// A thread for each block: only to show how little it takes.
/// #[derive(Debug)]
/// struct Threads;
///
/// impl BlockPool for Threads {
///     fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
///         std::thread::spawn(job);
///     }
/// }
///
/// # use std::sync::Arc;
/// # use stratal_sst::{TableContext, TableOptions, TableWriter};
/// # use stratal_types::FileUid;
/// let ctx = TableContext { pool: Some(Arc::new(Threads)), ..TableContext::default() };
/// let spec = Arc::new(TableOptions::default().validate()?);
/// let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec)?;
/// writer.put(b"AD/Vila", b"1418")?;
/// # writer.finish()?;
/// # Ok::<(), stratal_sst::Error>(())
/// ```
pub trait BlockPool: Debug + Send + Sync {
    /// Runs `job` soon, on some thread, and does not wait for it. A job that never runs, or is dropped,
    /// is done by the writer.
    fn spawn(&self, job: Box<dyn FnOnce() + Send>);

    /// Most bytes of payload that one writer has under way at once, so that its memory is bounded; a
    /// block that is longer goes alone. Default 1 MiB.
    fn payload_len_max(&self) -> usize {
        1 << 20
    }
}

/// The threads of a rayon pool.
#[cfg(feature = "rayon")]
#[derive(Clone, Debug)]
pub struct RayonPool {
    threads: Option<std::sync::Arc<rayon::ThreadPool>>,
}

#[cfg(feature = "rayon")]
impl RayonPool {
    /// The pool that all of the process shares.
    pub const fn global() -> Self {
        Self { threads: None }
    }

    /// A pool of the caller's.
    pub const fn new(threads: std::sync::Arc<rayon::ThreadPool>) -> Self {
        Self { threads: Some(threads) }
    }
}

#[cfg(feature = "rayon")]
impl BlockPool for RayonPool {
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        match &self.threads {
            Some(threads) => threads.spawn(job),
            None => rayon::spawn(job),
        }
    }
}
