//! From memory to tables.

use std::{collections::HashSet, sync::Arc};

use stratal_compaction::{SpanSet, plan::Job};
use stratal_fs::Origin;
use stratal_manifest::{Place, VersionEdit};
use stratal_types::{Fragments, KeyRange, SeqNo};

use crate::{
    Error, JobSummary, Tree,
    job::JobBoard,
    merging::{Merge, Merged},
    outputs::JobContext,
    parts::Source,
    read_state::Sealed,
};

impl Tree {
    /// Writes everything that waits in memory to tables, durably; returns what was written.
    ///
    /// # Errors
    ///
    /// Whatever writing or the manifest said; [`Error::Damaged`] and [`Error::Torn`]. The memtables are
    /// still there then.
    pub fn flush(&self) -> Result<JobSummary, Error> {
        self.seal_between_writes();
        self.flush_sealed()
    }

    /// Writes the memtables that are [sealed](Self::seal), and no other, to tables; as
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn flush_sealed(&self) -> Result<JobSummary, Error> {
        self.flush_sealed_to(SeqNo::MAX)
    }

    /// Writes the sealed memtables of which everything is below `bound` to tables, whatever is sealed
    /// meanwhile: for a caller who has made a log durable up to there and no further. See
    /// [`sealed_to`](Self::sealed_to).
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn flush_sealed_to(&self, bound: SeqNo) -> Result<JobSummary, Error> {
        let _turn = self.flushing.lock();
        self.store.clock().check_whole()?;
        // Also if there is nothing to flush: readers may have given files up since the last job.
        self.store.files.remove_unused();
        let state = self.state.load_full();
        let above = state.sealed.iter().take_while(|sealed| sealed.bound > bound).count();
        let sealed = state.sealed.get(above..).unwrap_or_default();
        let Some(newest) = sealed.first() else { return Ok(JobSummary::default()) };
        let _clean_up = self.store.files.clean_up();
        let merged = self.write_flush(sealed)?;
        let summary = self.install_flush(sealed, merged, newest.bound)?;
        self.traffic.flushed(summary.written_len);
        Ok(summary)
    }

    fn write_flush(&self, sealed: &[Sealed]) -> Result<Merged, Error> {
        let memtables = || sealed.iter().map(|sealed| &sealed.memtable);
        let sources = memtables().map(|memtable| Source::Memory(Arc::clone(memtable))).collect();
        let tombstones: Vec<_> = memtables().map(|memtable| memtable.tombstones()).collect();
        let tombstones =
            Fragments::merge(tombstones.iter().map(Arc::as_ref), self.comparator.as_ref());
        let merge = Merge {
            sources,
            tombstones,
            older: SpanSet::all(),
            covered_elsewhere: None,
            level: 0,
            fences: Vec::new(),
            lineage: Vec::new(),
            created_at_ms: (self.store.context.time)(),
            after: self.after(
                self.shape(&self.state.load().view, &JobBoard::default()),
                &Job::flush(KeyRange::ALL, u64::MAX),
                memtables().map(|memtable| memtable.entries() as u64).sum(),
            ),
        };
        self.merge_tables(merge, JobContext::new(self, Origin::Flush))
    }

    fn install_flush(
        &self,
        sealed: &[Sealed],
        merged: Merged,
        bound: SeqNo,
    ) -> Result<JobSummary, Error> {
        let summary = merged.summary(0);
        let mut manifest = self.store.manifest.lock();
        let view = Arc::clone(&self.state.load().view);
        let age = view.runs().map(|(place, _)| place.age).max().unwrap_or(0).saturating_add(1);
        let mut edit = VersionEdit::new();
        self.stamp(&mut edit);
        edit.set_flushed(self.id, bound);
        for table in merged.tables {
            edit.add_table(self.id, Place { level: 0, age }, table)?;
        }
        let version = self.commit(&mut manifest, &edit, &merged.ledger)?;
        let flushed: HashSet<u64> = sealed.iter().map(|sealed| sealed.memtable.id()).collect();
        self.swap_view(&version, |state| {
            state.sealed.retain(|sealed| !flushed.contains(&sealed.memtable.id()));
        });
        drop(manifest);
        self.warm_since(&view);
        Ok(summary)
    }
}
