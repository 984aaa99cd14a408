//! Work on a tree's tables: flushes and merges, from plan to install.
//!
//! ```text
//! plan ─▶ job on the board ─▶ sources ─▶ GcStream ─▶ tables, owned by the ledger ─▶ synced
//!            │                                                                        │
//!            └◀──────── off the board ◀── new read state ◀── manifest edit ◀── checked again
//! ```

use std::sync::Arc;

use stratal_compaction::plan::{Aging, Job, JobKind, Pressure, Shape, Strategy};
use stratal_types::SeqNo;

use crate::{Error, Helpers, Tree, reclaiming::Reclaimed, removal::Searched, view::View};

/// The jobs of a tree that are under way.
#[derive(Debug, Default)]
pub(crate) struct JobBoard {
    pub(crate) running: Vec<Job>,
    pub(crate) searched: Searched,
    pub(crate) reclaimed: Reclaimed,
}

/// What a flush or merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobSummary {
    /// Tables that were replaced or moved.
    pub inputs: usize,
    /// Tables written.
    pub outputs: usize,
    /// Bytes written.
    pub written_len: u64,
    /// Parts that it was done in; none if nothing was written.
    pub parts: usize,
}

impl Tree {
    /// The most useful merge that can begin now. It belongs to the caller, who gives it to
    /// [`run`](Self::run) or back to [`give_back`](Self::give_back); until then its tables are spoken
    /// for.
    pub fn plan(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        let view = Arc::clone(&self.state.load().view);
        let mut shape = self.shape(&view, &jobs);
        let has_deletes = shape.tables().any(|(_, table)| table.has_deletes());
        if has_deletes || shape.stale > SeqNo::ZERO {
            // What is collected for its own sake is, as soon as nobody reads it.
            shape.watermark = self.store.clock().watermark();
        }
        let comparator = self.comparator.as_ref();
        let job = self
            .plan_forget(&view, &shape)
            .or_else(|| self.plan_hidden(&view, &shape, &mut jobs.searched))
            .or_else(|| self.spec.load().policy().plan(&shape, comparator))
            .or_else(|| self.plan_reclaim(&view, &shape, &mut jobs.reclaimed))
            .or_else(|| Aging.plan(&shape, comparator))?;
        jobs.running.push(job.clone());
        Some(job)
    }

    /// The next merge towards a tree of one run in its last level; as [`plan`](Self::plan).
    pub fn plan_major(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        let view = Arc::clone(&self.state.load().view);
        let shape = self.shape(&view, &jobs);
        let job = self.plan_forget(&view, &shape).or_else(|| {
            let major = self.spec.load().policy().major();
            major.plan(&shape, self.comparator.as_ref())
        })?;
        jobs.running.push(job.clone());
        Some(job)
    }

    /// The merge of exactly the tables numbered `tables` into `level`, for a caller who plans for
    /// himself; as [`plan`](Self::plan). They join the newest run of that level, or become one.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], saying why, if the job would change what reads find, or something
    /// it needs belongs to a job that runs.
    pub fn plan_tables(&self, tables: &[u64], level: usize) -> Result<Job, Error> {
        let mut jobs = self.jobs.lock();
        let shape = self.shape(&self.state.load().view, &jobs);
        let ages = shape.tables().filter(|(_, table)| tables.contains(&table.number));
        let oldest = ages.map(|(place, _)| place.age).min().unwrap_or(0);
        let age = shape.level(level).first().map_or(oldest, |run| run.age);
        let output = stratal_compaction::plan::Place { level, age };
        let job = Job::exactly(&shape, tables, output, self.comparator.as_ref())
            .map_err(|blocked| Error::InvalidArgument(blocked.to_string()))?;
        jobs.running.push(job.clone());
        Ok(job)
    }

    /// How far the tree is behind with its merges.
    pub fn pressure(&self) -> Pressure {
        let shape = self.shape(&self.state.load().view, &JobBoard::default());
        self.spec.load().policy().pressure(&shape)
    }

    /// Ends the claim of a job that will not be run.
    pub fn give_back(&self, job: &Job) {
        let mut jobs = self.jobs.lock();
        if let Some(at) = jobs.running.iter().position(|running| running == job) {
            jobs.running.swap_remove(at);
        }
    }

    pub(crate) fn shape(&self, view: &View, jobs: &JobBoard) -> Shape {
        let mut shape = view.shape(self.store.clock().floor());
        shape.refuse_below = self.store.clock().refusable();
        shape.now_ms = (self.store.context.time)();
        self.note_ages(&mut shape);
        for job in &jobs.running {
            shape.start(job);
        }
        shape
    }

    /// Does a job that [`plan`](Self::plan) gave.
    ///
    /// # Errors
    ///
    /// Whatever reading, writing or the manifest said; [`Error::StaleJob`] if the tree has changed so
    /// that the job does not fit; [`Error::Stopped`] if it was [told to](Self::stop_jobs) end. The tree
    /// is as it was then, and nothing is left behind. The same holds if an operator, filter or comparator
    /// of the caller's panics.
    pub fn run(&self, job: &Job) -> Result<JobSummary, Error> {
        self.run_with(job, None)
    }

    fn run_with(&self, job: &Job, helpers: Option<&Helpers>) -> Result<JobSummary, Error> {
        let _clean_up = self.store.files.clean_up();
        let _claim = Claim { tree: self, job };
        match job.kind {
            JobKind::TrivialMove => self.run_move(job),
            JobKind::Drop(_) => self.run_removal(job),
            JobKind::Expire | JobKind::Forget(_) => self.run_expiry(job),
            _ => self.run_merge(job, helpers),
        }
    }

    /// Merges until the tree is as its options want it; `major` until it is one run.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn compact(&self, major: bool) -> Result<JobSummary, Error> {
        self.compact_with(major, None)
    }

    /// As [`compact`](Self::compact), for a caller who has threads that help with it: each merge is done
    /// in as many parts as there are threads, or
    /// [`max_subcompactions`](crate::TreeOptions::max_subcompactions) if that is more, as far as it is
    /// [long enough](crate::TreeOptions::subcompaction_len_min).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn compact_with(
        &self,
        major: bool,
        helpers: Option<&Helpers>,
    ) -> Result<JobSummary, Error> {
        let mut all = JobSummary::default();
        // Also if there is nothing to merge: readers may have given files up since the last job.
        self.store.files.remove_unused();
        while let Some(job) = if major { self.plan_major() } else { self.plan() } {
            let one = self.run_with(&job, helpers)?;
            all.inputs += one.inputs;
            all.outputs += one.outputs;
            all.written_len += one.written_len;
            all.parts += one.parts;
        }
        Ok(all)
    }
}

/// Ends the claim of a job when it goes, however the job ends.
struct Claim<'a> {
    tree: &'a Tree,
    job: &'a Job,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.tree.give_back(self.job);
    }
}
