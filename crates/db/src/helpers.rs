//! Threads that help with a compaction that somebody waits for.

use std::{num::NonZero, sync::Arc, thread};

use stratal_engine::{BlockPool, Helpers};

use crate::{Builder, Executor};

/// A thread for each job, which ends with it.
#[derive(Debug)]
struct OwnThreads;

impl BlockPool for OwnThreads {
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        // Without another thread whoever waits does the job.
        drop(thread::Builder::new().name("stratal-compact".into()).spawn(job));
    }
}

impl Builder {
    /// Who helps with [`compact`](crate::Database::compact), beside the thread that calls it.
    pub(crate) fn helpers(&self) -> Option<Helpers> {
        let threads = match (self.compaction_threads, self.executor) {
            (Some(threads), _) => threads.get(),
            (None, Executor::Threads) => thread::available_parallelism().map_or(1, NonZero::get),
            (None, Executor::Inline) => 1,
        };
        let count = threads.checked_sub(1).filter(|count| *count > 0)?;
        let pool = self.pool.clone().unwrap_or_else(|| Arc::new(OwnThreads));
        Some(Helpers { pool, count })
    }
}
