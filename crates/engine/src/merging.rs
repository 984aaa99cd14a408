//! Merges of tables, from a job to what is installed.

use std::sync::Arc;

use stratal_compaction::{
    SpanSet,
    plan::{Job, Shape, Table},
};
use stratal_fs::{Origin, Synced};
use stratal_manifest::{Place, TableMeta};
use stratal_types::{Fence, FileUid, Fragments, KeyRange, SeqNo};

use crate::{
    Error, Helpers, JobSummary, Tree,
    files::JobLedger,
    job::JobBoard,
    outputs::{JobContext, summary},
    parts::{Merging, Source, do_parts},
    read_state::ReadState,
};

impl Tree {
    pub(crate) fn run_merge(
        &self,
        job: &Job,
        helpers: Option<&Helpers>,
    ) -> Result<JobSummary, Error> {
        let state = self.state.load_full();
        let comparator = self.comparator.as_ref();
        let shape = self.shape(&state.view, &JobBoard::default());
        job.check(&shape, comparator).map_err(|invalid| Error::StaleJob(invalid.to_string()))?;

        let (mut sources, mut tombstones, mut lineage) = (Vec::new(), Vec::new(), Vec::new());
        let (mut keys, mut created_at_ms, mut read_len) = (0, 0, 0);
        for (_, run) in state.view.runs() {
            let inputs = run.filtered(|table| job.takes(table.meta.number));
            if inputs.tables.is_empty() {
                continue;
            }
            tombstones.push(inputs.tombstones(&KeyRange::ALL)?);
            for table in inputs.tables.iter() {
                keys += table.meta.entries;
                read_len += table.meta.file_len;
                created_at_ms = table.meta.created_at_ms.max(created_at_ms);
            }
            lineage.extend(inputs.tables.iter().map(|table| table.meta.uid));
            sources.push(Source::Run(inputs));
        }
        let merge = Merge {
            sources,
            tombstones: Fragments::merge(tombstones.iter().map(Arc::as_ref), comparator),
            older: job.older(&shape, comparator),
            covered_elsewhere: Some(self.covered_elsewhere(job, &shape, &state)),
            level: job.output.level,
            fences: job.fences(&shape, comparator),
            lineage,
            created_at_ms,
            after: self.after(shape, job, keys),
        };
        drop(state);
        let context = JobContext::new(self, Origin::Merge).with_helpers(helpers);
        let merged = self.merge_tables(merge, context)?;
        let summary = merged.summary(job.inputs.len());
        let Merged { tables, ledger, .. } = merged;
        let place = manifest_place(job)?;
        self.install(job, &ledger, helpers, |edit| {
            for number in &job.inputs {
                edit.remove_table(self.id, *number);
            }
            for table in tables {
                edit.add_table(self.id, place, table)?;
            }
            Ok(())
        })?;
        self.traffic.merged(read_len, summary.written_len);
        Ok(summary)
    }

    pub(crate) fn run_move(&self, job: &Job) -> Result<JobSummary, Error> {
        let place = manifest_place(job)?;
        let ledger = JobLedger::new(&self.store.files);
        self.install(job, &ledger, None, |edit| {
            for number in &job.inputs {
                edit.move_table(self.id, *number, place);
            }
            Ok(())
        })?;
        Ok(JobSummary { inputs: job.inputs.len(), ..JobSummary::default() })
    }

    /// About the shape that a job leaves which brings at most `keys` keys to where its output goes.
    pub(crate) fn after(&self, mut shape: Shape, job: &Job, keys: u64) -> Shape {
        let all = Table {
            number: 0,
            span: job.span.clone(),
            len: 0,
            seqnos: (SeqNo::ZERO, SeqNo::ZERO),
            entries: keys,
            deletes: 0,
            tombstones: 0,
            created_at_ms: 0,
            expired_at: None,
            judged_to: SeqNo::ZERO,
            busy: false,
        };
        shape.apply(job, vec![all], self.comparator.as_ref());
        shape
    }

    /// Keys that range tombstones outside the job may cover, those in memory among them.
    fn covered_elsewhere(&self, job: &Job, shape: &Shape, state: &ReadState) -> SpanSet {
        let comparator = self.comparator.as_ref();
        let tables = job.covered_elsewhere(shape, comparator);
        let memory = state.memtables().filter_map(|memtable| memtable.tombstones().span());
        SpanSet::of(tables.spans().iter().cloned().chain(memory), comparator)
    }

    /// Merges `merge` into tables, which are synced and the ledger's.
    pub(crate) fn merge_tables(&self, merge: Merge, context: JobContext) -> Result<Merged, Error> {
        let done = do_parts(Merging::new(self, merge, context.clone()))?;
        let collected = done.collected;
        {
            let mut operands = self.operands.lock();
            operands.folds += collected.folds;
            operands.compositions += collected.compositions;
            operands.failures += collected.folds_failed;
        }
        let tables = context.sync(done.tables)?;
        Ok(Merged { tables, ledger: context.ledger, parts: done.parts })
    }
}

/// What a merge made.
pub(crate) struct Merged {
    /// In the order of keys.
    pub(crate) tables: Vec<Synced<TableMeta>>,
    /// Owns their files.
    pub(crate) ledger: Arc<JobLedger>,
    pub(crate) parts: usize,
}

impl Merged {
    pub(crate) fn summary(&self, inputs: usize) -> JobSummary {
        JobSummary { parts: self.parts, ..summary(inputs, &self.tables) }
    }
}

/// What a merge reads and what it knows.
pub(crate) struct Merge {
    /// In age order, the newest first.
    pub(crate) sources: Vec<Source>,
    pub(crate) tombstones: Fragments,
    pub(crate) older: SpanSet,
    pub(crate) covered_elsewhere: Option<SpanSet>,
    pub(crate) level: usize,
    pub(crate) fences: Vec<Fence>,
    pub(crate) lineage: Vec<FileUid>,
    /// When the newest of it was flushed.
    pub(crate) created_at_ms: u64,
    /// The tree that it leaves.
    pub(crate) after: Shape,
}

pub(crate) fn manifest_place(job: &Job) -> Result<Place, Error> {
    let level = u32::try_from(job.output.level)
        .map_err(|_| Error::StaleJob("the output's level is out of range".into()))?;
    Ok(Place { level, age: job.output.age })
}
