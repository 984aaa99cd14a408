//! Tables that reads stop finding, and that go when no read finds them any more.
//!
//! ```text
//! expire ─▶ reads above e do not find the table, those up to e do ─▶ nobody reads up to e ─▶ it goes
//! ```
//!
//! Nothing is written for it but the manifest's edit. A read's bound says whether it finds the table, so
//! that a snapshot goes on finding what it found, and one that is taken later never does.

use std::sync::Arc;

use stratal_compaction::plan::{Forget, Job, JobKind, Shape, Strategy};
use stratal_manifest::VersionEdit;
use stratal_types::SeqNo;

use crate::{
    Error, JobSummary, Tree, files::JobLedger, job::JobBoard, read_state::ReadState, view::View,
};

impl Tree {
    /// A job that removes tables that have expired and that nobody finds any more, if there are any.
    pub(crate) fn plan_forget(&self, view: &View, shape: &Shape) -> Option<Job> {
        if !view.has_expired() {
            return None;
        }
        let shape = Shape { watermark: self.store.clock().horizon(), ..shape.clone() };
        Forget { held_len_max: u64::MAX }.plan(&shape, self.comparator.as_ref())
    }

    /// Lets the job's tables expire, or removes those that have.
    ///
    /// Reads stop finding them before that is durable: a snapshot that is taken meanwhile must not find
    /// what it would miss afterwards.
    pub(crate) fn run_expiry(&self, job: &Job) -> Result<JobSummary, Error> {
        let ledger = JobLedger::new(&self.store.files);
        let mut manifest = self.store.manifest.lock();
        let view = Arc::clone(&self.state.load().view);
        let shape = self.shape(&view, &JobBoard::default());
        job.check(&shape, self.comparator.as_ref())
            .map_err(|invalid| Error::StaleJob(invalid.to_string()))?;
        let found_to = self.hide(&view, job)?;
        let mut edit = VersionEdit::new();
        self.stamp(&mut edit);
        for number in &job.inputs {
            match found_to {
                Some(at) => edit.expire_table(self.id, *number, at),
                None => edit.remove_table(self.id, *number),
            };
        }
        let committed = self.commit(&mut manifest, &edit, &ledger);
        // If it failed it is as before: what the manifest still has is found again.
        self.swap_view(manifest.version(), |_| {});
        committed?;
        Ok(JobSummary { inputs: job.inputs.len(), ..JobSummary::default() })
    }

    /// Lets no read that begins from now on find the job's tables, all at one stroke. Returns the highest
    /// bound at which they are still found; `None` if nobody reads there.
    fn hide(&self, view: &View, job: &Job) -> Result<Option<SeqNo>, Error> {
        let _swap = self.swap.lock();
        let before = self.state.load_full();
        let hide = |at| {
            let view = Arc::new(view.expiring(&job.inputs, at));
            self.state.store(Arc::new(ReadState { view, ..ReadState::clone(&before) }));
        };
        let clock = self.store.clock();
        let is_unread = match job.kind {
            JobKind::Forget(None) => clock.forget(view.last_finding(&job.inputs), hide),
            JobKind::Forget(Some(bound)) => clock.refuse(bound),
            _ => {
                let (at, is_unread) = clock.expire(hide);
                return Ok((!is_unread).then_some(at));
            }
        };
        if is_unread { Ok(None) } else { Err(Error::StaleJob("somebody reads the tables".into())) }
    }
}
