//! Work on a tree's tables: flushes and merges, from plan to install.
//!
//! ```text
//! plan ─▶ job on the board ─▶ sources ─▶ GcStream ─▶ tables, owned by the ledger ─▶ synced
//!            │                                                                        │
//!            └◀──────── off the board ◀── new read state ◀── manifest edit ◀── checked again
//! ```

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use stratal_compaction::{
    SpanSet,
    gc::{GcContext, GcStream, JobTombstones},
    plan::{Job, JobKind, Pressure, Shape, Strategy, Table},
};
use stratal_fs::{FileSynced, NewFile, Synced, sync_dirs};
use stratal_manifest::{Place, TableMeta, Version, VersionEdit};
use stratal_merge::MergingCursor;
use stratal_sst::{Finished, TableFiles, TableIdentity, TableInfo, TableSetWriter};
use stratal_types::{Fence, FileUid, Fragments, KeyRange, OutputCutter, Piece, SeqNo};

use crate::{
    CompactionFilters, Error, Tree,
    files::{JobLedger, TableHandle},
    read_state::{ReadState, Sealed},
    removal::Searched,
    source::{RunCursor, SourceCursor},
    view::View,
};

/// The jobs of a tree that are under way.
#[derive(Debug, Default)]
pub(crate) struct JobBoard {
    running: Vec<Job>,
    searched: Searched,
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
}

impl Tree {
    /// The most useful merge that can begin now. It belongs to the caller, who gives it to
    /// [`run`](Self::run) or back to [`give_back`](Self::give_back); until then its tables are spoken
    /// for.
    pub fn plan(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        let view = Arc::clone(&self.state.load().view);
        let shape = self.shape(&view, &jobs);
        let job = self.plan_hidden(&view, &shape, &mut jobs.searched).or_else(|| {
            let spec = self.spec.load();
            spec.policy().plan(&shape, self.comparator.as_ref())
        })?;
        jobs.running.push(job.clone());
        Some(job)
    }

    /// The next merge towards a tree of one run in its last level; as [`plan`](Self::plan).
    pub fn plan_major(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        let shape = self.shape(&self.state.load().view, &jobs);
        let major = self.spec.load().policy().major();
        let job = major.plan(&shape, self.comparator.as_ref())?;
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
        shape.held = self.store.clock().is_read();
        shape.now_ms = (self.store.context.time)();
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
    /// that the job does not fit. The tree is as it was then, and nothing is left behind.
    pub fn run(&self, job: &Job) -> Result<JobSummary, Error> {
        let done = match job.kind {
            JobKind::TrivialMove => self.run_move(job),
            kind if kind.removes() => self.run_removal(job),
            _ => self.run_merge(job),
        };
        self.give_back(job);
        self.store.files.remove_unused();
        done
    }

    /// Writes everything that waits in memory to tables, durably; returns what was written.
    ///
    /// # Errors
    ///
    /// Whatever writing or the manifest said. The memtables are still there then.
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
        let state = self.state.load_full();
        let above = state.sealed.iter().take_while(|sealed| sealed.bound > bound).count();
        let sealed = state.sealed.get(above..).unwrap_or_default();
        let Some(newest) = sealed.first() else { return Ok(JobSummary::default()) };
        let flushed = self.write_flush(sealed).and_then(|(tables, mut ledger)| {
            self.install_flush(sealed, tables, newest.bound, &mut ledger)
        });
        self.store.files.remove_unused();
        flushed
    }

    /// Merges until the tree is as its options want it; `major` until it is one run.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn compact(&self, major: bool) -> Result<JobSummary, Error> {
        let mut all = JobSummary::default();
        while let Some(job) = if major { self.plan_major() } else { self.plan() } {
            let one = self.run(&job)?;
            all.inputs += one.inputs;
            all.outputs += one.outputs;
            all.written_len += one.written_len;
        }
        Ok(all)
    }

    // Flush.

    fn write_flush(&self, sealed: &[Sealed]) -> Result<(Vec<Synced<TableMeta>>, JobLedger), Error> {
        let memtables = || sealed.iter().map(|sealed| &sealed.memtable);
        let sources = memtables().map(|memtable| SourceCursor::Memory(memtable.cursor())).collect();
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
        self.merge_tables(merge)
    }

    fn install_flush(
        &self,
        sealed: &[Sealed],
        tables: Vec<Synced<TableMeta>>,
        bound: SeqNo,
        ledger: &mut JobLedger,
    ) -> Result<JobSummary, Error> {
        let summary = summary(0, &tables);
        let mut manifest = self.store.manifest.lock();
        let view = Arc::clone(&self.state.load().view);
        let age = view.runs().map(|(place, _)| place.age).max().unwrap_or(0).saturating_add(1);
        let mut edit = VersionEdit::new();
        self.stamp(&mut edit);
        edit.set_flushed(self.id, bound);
        for table in tables {
            edit.add_table(self.id, Place { level: 0, age }, table)?;
        }
        let version = self.commit(&mut manifest, &edit, ledger)?;
        let flushed: HashSet<u64> = sealed.iter().map(|sealed| sealed.memtable.id()).collect();
        self.swap_view(&version, |state| {
            state.sealed.retain(|sealed| !flushed.contains(&sealed.memtable.id()));
        });
        Ok(summary)
    }

    // Merges.

    fn run_merge(&self, job: &Job) -> Result<JobSummary, Error> {
        let state = self.state.load_full();
        let comparator = self.comparator.as_ref();
        let shape = self.shape(&state.view, &JobBoard::default());
        job.check(&shape, comparator).map_err(|invalid| Error::StaleJob(invalid.to_string()))?;

        let (mut sources, mut tombstones, mut lineage) = (Vec::new(), Vec::new(), Vec::new());
        let (mut keys, mut created_at_ms) = (0, 0);
        for (_, run) in state.view.runs() {
            let inputs = run.filtered(|table| job.takes(table.meta.number));
            if inputs.tables.is_empty() {
                continue;
            }
            tombstones.push(inputs.tombstones(&KeyRange::ALL)?);
            for table in inputs.tables.iter() {
                keys += table.meta.entries;
                created_at_ms = table.meta.created_at_ms.max(created_at_ms);
            }
            lineage.extend(inputs.tables.iter().map(|table| table.meta.uid));
            sources.push(SourceCursor::Run(Box::new(RunCursor::scanner(inputs))));
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
        let (tables, mut ledger) = self.merge_tables(merge)?;
        let summary = summary(job.inputs.len(), &tables);
        let place = manifest_place(job)?;
        self.install(job, &mut ledger, |edit| {
            for number in &job.inputs {
                edit.remove_table(self.id, *number);
            }
            for table in tables {
                edit.add_table(self.id, place, table)?;
            }
            Ok(())
        })?;
        Ok(summary)
    }

    fn run_move(&self, job: &Job) -> Result<JobSummary, Error> {
        let place = manifest_place(job)?;
        let mut ledger = JobLedger::new(&self.store.files);
        self.install(job, &mut ledger, |edit| {
            for number in &job.inputs {
                edit.move_table(self.id, *number, place);
            }
            Ok(())
        })?;
        Ok(JobSummary { inputs: job.inputs.len(), ..JobSummary::default() })
    }

    /// About the shape that a job leaves which brings at most `keys` keys to where its output goes.
    fn after(&self, mut shape: Shape, job: &Job, keys: u64) -> Shape {
        let all = Table {
            number: 0,
            span: job.span.clone(),
            len: 0,
            seqnos: (SeqNo::ZERO, SeqNo::ZERO),
            entries: keys,
            deletes: 0,
            tombstones: 0,
            created_at_ms: 0,
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

    fn install(
        &self,
        job: &Job,
        ledger: &mut JobLedger,
        change: impl FnOnce(&mut VersionEdit) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut manifest = self.store.manifest.lock();
        let view = Arc::clone(&self.state.load().view);
        // Without the board: the job itself is on it.
        let shape = self.shape(&view, &JobBoard::default());
        job.check(&shape, self.comparator.as_ref())
            .map_err(|invalid| Error::StaleJob(invalid.to_string()))?;
        let mut edit = VersionEdit::new();
        self.stamp(&mut edit);
        change(&mut edit)?;
        let version = self.commit(&mut manifest, &edit, ledger)?;
        self.swap_view(&version, |_| {});
        Ok(())
    }

    /// What every edit carries.
    pub(crate) fn stamp(&self, edit: &mut VersionEdit) {
        edit.set_clock(self.store.clock().next());
        edit.set_retention_floor(self.store.clock().floor());
    }

    /// Makes `edit` durable. If nobody knows whether it is, its files stay until somebody does.
    pub(crate) fn commit(
        &self,
        manifest: &mut stratal_manifest::Manifest,
        edit: &VersionEdit,
        ledger: &mut JobLedger,
    ) -> Result<Arc<Version>, Error> {
        match self.store.append(manifest, edit) {
            Ok(version) => {
                ledger.release();
                Ok(version)
            }
            Err(error) => {
                if !manifest.is_settled() {
                    self.store.keep_in_limbo(ledger.release());
                }
                Err(error)
            }
        }
    }

    /// Lets reads see `version`, and `change` what is in memory, at one stroke. For the installer.
    pub(crate) fn swap_view(&self, version: &Version, change: impl FnOnce(&mut ReadState)) {
        let Some(tree) = version.trees.get(&self.id) else { return };
        let _swap = self.swap.lock();
        let before = self.state.load_full();
        let view = View::new(Arc::clone(tree), Some(&before.view), &self.store.files);
        let kept: HashSet<u64> = view.tables().map(|(_, table)| table.meta.number).collect();
        let mut state = ReadState { view: Arc::new(view), ..ReadState::clone(&before) };
        change(&mut state);
        self.state.store(Arc::new(state));
        let gone = |table: &&Arc<TableHandle>| !kept.contains(&table.meta.number);
        before.view.tables().map(|(_, table)| table).filter(gone).for_each(|table| table.doom());
    }

    // Writing tables.

    /// Merges `merge` into tables, which are synced and the ledger's.
    fn merge_tables(&self, merge: Merge) -> Result<(Vec<Synced<TableMeta>>, JobLedger), Error> {
        let comparator = self.comparator.as_ref();
        let watermark = self.store.clock().watermark();
        let tombstones = JobTombstones::new(merge.tombstones, watermark, &merge.older, comparator);
        let mut context = GcContext::new(comparator, watermark, &tombstones, &merge.older);
        context.covered_elsewhere = merge.covered_elsewhere.as_ref();
        context.operator = self.folding.operator();
        let mut departed = |_: &[u8], _: &[u8]| {};
        let input = MergingCursor::new(merge.sources, Arc::clone(&self.comparator));
        let tree_spec = self.spec.load_full();
        let mut filter =
            tree_spec.options().compaction_filters.as_ref().map(CompactionFilters::make);
        let mut stream = GcStream::new(input, context, &mut departed);
        if let Some(filter) = &mut filter {
            stream = stream.with_filter(filter.as_mut());
        }
        let files = self.store.files.context(&self.comparator);
        let spec = tree_spec.table(merge.level, &merge.after);
        let options = tree_spec.options().cut;
        let cutter = OutputCutter::new(options, &merge.fences, Piece::default(), comparator);
        let outputs = Outputs::new(self, merge.level, merge.lineage, merge.created_at_ms);
        let mut set = TableSetWriter::new(&files, spec, cutter, outputs);
        set.add_tombstones(tombstones.kept())?;

        loop {
            stream.advance()?;
            let Some(entry) = stream.entry() else { break };
            set.add(entry)?;
        }
        let Some(collected) = stream.finish() else {
            return Err(Error::StaleJob("the merge did not reach its end".into()));
        };
        {
            let mut operands = self.operands.lock();
            operands.folds += collected.folds;
            operands.compositions += collected.compositions;
            operands.failures += collected.folds_failed;
        }
        set.finish()?.sync()
    }
}

/// What a merge reads and what it knows.
struct Merge {
    /// In age order, the newest first.
    sources: Vec<SourceCursor>,
    tombstones: Fragments,
    older: SpanSet,
    covered_elsewhere: Option<SpanSet>,
    level: usize,
    fences: Vec<Fence>,
    lineage: Vec<FileUid>,
    /// When the newest of it was flushed.
    created_at_ms: u64,
    /// The tree that it leaves.
    after: Shape,
}

/// The files of the tables that a job writes, one after the other.
struct Outputs<'a> {
    tree: &'a Tree,
    level: usize,
    lineage: Vec<FileUid>,
    created_at_ms: u64,
    ledger: JobLedger,
    /// Number and path of the table at hand, or of the last one.
    current: (u64, PathBuf),
    done: Vec<FileSynced<TableMeta>>,
}

impl TableFiles for Outputs<'_> {
    type Sink = NewFile;
    type Error = Error;

    fn begin(&mut self) -> Result<(NewFile, TableIdentity), Error> {
        self.current = self.ledger.next_table();
        let path = &self.current.1;
        let file = NewFile::create(self.tree.store.files.fs.as_ref(), path)
            .map_err(|error| Error::io("create", path, error))?;
        Ok((file, self.tree.store.new_identity()))
    }

    fn end(&mut self, finished: Finished<NewFile>) -> Result<(), Error> {
        let Some(info) = finished.info else { return Ok(()) };
        let (number, path) = &self.current;
        let meta = self.meta(*number, info);
        let synced = finished.sink.finish().map_err(|error| Error::io("sync", path, error))?;
        self.done.push(synced.map(|()| meta));
        Ok(())
    }

    fn fail(&mut self, source: stratal_sst::Error) -> Error {
        Error::Table { path: self.current.1.clone(), source }
    }
}

impl<'a> Outputs<'a> {
    fn new(tree: &'a Tree, level: usize, lineage: Vec<FileUid>, created_at_ms: u64) -> Self {
        let ledger = JobLedger::new(&tree.store.files);
        let (current, done) = (Default::default(), Vec::new());
        Self { tree, level, lineage, created_at_ms, ledger, current, done }
    }

    fn meta(&self, number: u64, info: TableInfo) -> TableMeta {
        let TableInfo { file_len, uid, properties, .. } = info;
        let seqno = |value| SeqNo::new(value).unwrap_or(SeqNo::MAX);
        TableMeta {
            number,
            uid,
            file_len,
            span: properties.span(self.tree.comparator.as_ref()),
            seqno_min: seqno(properties.seqno_min),
            seqno_max: seqno(properties.seqno_max),
            entries: properties.entries,
            deletes: properties.deletes,
            range_tombstones: properties.range_tombstones,
            key_bytes: properties.key_bytes,
            value_bytes: properties.value_bytes,
            birth_level: u32::try_from(self.level).unwrap_or(u32::MAX),
            created_at_ms: self.created_at_ms,
            lineage: self.lineage.clone(),
            ..TableMeta::default()
        }
    }

    /// Makes the tables' names durable.
    fn sync(self) -> Result<(Vec<Synced<TableMeta>>, JobLedger), Error> {
        let files = &self.tree.store.files;
        let synced = sync_dirs(files.fs.as_ref(), self.done)
            .map_err(|error| Error::io("sync", files.tables_dir(), error))?;
        Ok((synced, self.ledger))
    }
}

fn manifest_place(job: &Job) -> Result<Place, Error> {
    let level = u32::try_from(job.output.level)
        .map_err(|_| Error::StaleJob("the output's level is out of range".into()))?;
    Ok(Place { level, age: job.output.age })
}

fn summary(inputs: usize, tables: &[Synced<TableMeta>]) -> JobSummary {
    let written_len = tables.iter().map(Synced::len).sum();
    JobSummary { inputs, outputs: tables.len(), written_len }
}
