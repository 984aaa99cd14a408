//! Range deletes whose space is wanted back at once.

use crate::{Error, JobSummary, Tree, job::JobBoard};

impl Tree {
    /// Takes the value of every key from `from` up to, and without, `to` away, as
    /// [`delete_range`](Self::delete_range) does, and removes the tables of which that hides everything,
    /// unread. Flushes what is in memory for it: a tombstone that may be lost hides no table for good.
    ///
    /// Older versions never show: what stands across the edges stays under the tombstone until it is
    /// merged. Readers of snapshots still see everything, and as long as there are any, nothing goes that
    /// they see; it goes with [`remove_hidden`](Self::remove_hidden), or the next
    /// [`plan`](Self::plan), when they have gone.
    ///
    /// ```
    /// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// # use stratal_engine::{Store, StoreContext, Tree, TreeOptions};
    /// # let count = AtomicU64::new(0);
    /// # let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    /// # let fs = Arc::new(stratal_fs::MemFs::new());
    /// # let (store, _) = Store::open(StoreContext::new(fs, "/db", 8 << 20, unique))?;
    /// # let id = store.create_tree("places", "bytewise", &[])?;
    /// # let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
    /// tree.put(b"AD/Vila", b"1418")?;
    /// tree.flush()?;
    /// let gone = tree.drop_range(b"AD/", b"AE/")?;
    /// assert_eq!((gone.inputs, tree.get(b"AD/Vila")?), (1, None));
    /// # Ok::<(), stratal_engine::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), [`flush`](Self::flush) and [`run`](Self::run). If the write succeeded
    /// nothing in the range is found any more, whatever failed afterwards.
    pub fn drop_range(&self, from: &[u8], to: &[u8]) -> Result<JobSummary, Error> {
        self.delete_range(from, to)?;
        self.flush()?;
        self.remove_hidden()
    }

    /// Removes every table of which range tombstones in other tables hide everything from every read,
    /// unread; returns how many went.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn remove_hidden(&self) -> Result<JobSummary, Error> {
        let mut all = JobSummary::default();
        while let Some(job) = self.plan_removal() {
            match self.run(&job) {
                Ok(one) => all.inputs += one.inputs,
                // Another job took the tables.
                Err(Error::StaleJob(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn plan_removal(&self) -> Option<stratal_compaction::plan::Job> {
        let mut jobs = self.jobs.lock();
        let view = std::sync::Arc::clone(&self.state.load().view);
        let shape = self.shape(&view, &jobs);
        let JobBoard { searched, running, .. } = &mut *jobs;
        let job = self.plan_hidden(&view, &shape, searched)?;
        running.push(job.clone());
        Some(job)
    }
}
