//! The tables that a job writes.

use std::{path::PathBuf, sync::Arc};

use stratal_fs::{FileSynced, Origin, Synced, sync_dirs};
use stratal_manifest::TableMeta;
use stratal_sst::{Finished, TableFiles, TableIdentity, TableInfo};
use stratal_types::{Comparator, FileUid, SeqNo};

use crate::{
    Error, Helpers, JobSummary, Store, Tree, files::JobLedger, paced_file::PacedFile, stop::Stop,
};

/// What a job writes with. All of its parts share it.
#[derive(Clone)]
pub(crate) struct JobContext {
    pub(crate) store: Arc<Store>,
    pub(crate) comparator: Arc<dyn Comparator>,
    pub(crate) ledger: Arc<JobLedger>,
    pub(crate) stop: Stop,
    /// What its bytes are written for.
    pub(crate) origin: Origin,
    /// Threads of whoever waits for it.
    pub(crate) helpers: Option<Helpers>,
}

impl JobContext {
    pub(crate) fn new(tree: &Tree, origin: Origin) -> Self {
        Self {
            store: Arc::clone(&tree.store),
            comparator: Arc::clone(&tree.comparator),
            ledger: Arc::new(JobLedger::new(&tree.store.files)),
            stop: tree.stop(),
            origin,
            helpers: None,
        }
    }

    /// The same with the help of these threads.
    pub(crate) fn with_helpers(self, helpers: Option<&Helpers>) -> Self {
        Self { helpers: helpers.cloned(), ..self }
    }

    /// Makes the names of `tables` durable.
    pub(crate) fn sync(
        &self,
        tables: Vec<FileSynced<TableMeta>>,
    ) -> Result<Vec<Synced<TableMeta>>, Error> {
        self.stop.check()?;
        let files = &self.store.files;
        sync_dirs(files.fs.as_ref(), tables)
            .map_err(|error| Error::io("sync", files.tables_dir(), error))
    }
}

/// What tables have of the job that writes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provenance<'a> {
    /// The level it writes to.
    pub(crate) level: usize,
    /// The tables it replaces.
    pub(crate) lineage: &'a [FileUid],
    /// When the newest of its input was flushed.
    pub(crate) created_at_ms: u64,
    /// Values with lower numbers are judged by age.
    pub(crate) judged_to: Option<SeqNo>,
}

/// The files of tables that a job writes, one after the other.
pub(crate) struct Outputs<'a> {
    context: JobContext,
    provenance: Provenance<'a>,
    /// Number and path of the table at hand, or of the last one.
    current: (u64, PathBuf),
    done: Vec<FileSynced<TableMeta>>,
}

impl TableFiles for Outputs<'_> {
    type Sink = PacedFile;
    type Error = Error;

    fn begin(&mut self) -> Result<(PacedFile, TableIdentity), Error> {
        self.current = self.context.ledger.next_table();
        let file = PacedFile::create(&self.current.1, &self.context)?;
        Ok((file, self.context.store.new_identity()))
    }

    fn end(&mut self, finished: Finished<PacedFile>) -> Result<(), Error> {
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
    pub(crate) fn new(context: &JobContext, provenance: Provenance<'a>) -> Self {
        let (current, done) = (Default::default(), Vec::new());
        Self { context: context.clone(), provenance, current, done }
    }

    /// What the manifest says about a table.
    pub(crate) fn meta(&self, number: u64, info: TableInfo) -> TableMeta {
        let TableInfo { file_len, uid, properties, .. } = info;
        let seqno = |value| SeqNo::new(value).unwrap_or(SeqNo::MAX);
        TableMeta {
            number,
            uid,
            file_len,
            span: properties.span(self.context.comparator.as_ref()),
            seqno_min: seqno(properties.seqno_min),
            seqno_max: seqno(properties.seqno_max),
            entries: properties.entries,
            deletes: properties.deletes,
            range_tombstones: properties.range_tombstones,
            key_bytes: properties.key_bytes,
            value_bytes: properties.value_bytes,
            birth_level: u32::try_from(self.provenance.level).unwrap_or(u32::MAX),
            created_at_ms: self.provenance.created_at_ms,
            lineage: self.provenance.lineage.to_vec(),
            judged_to: self.provenance.judged_to,
            entry_seqno_max: (properties.entry_seqno_max < properties.seqno_max)
                .then(|| seqno(properties.entry_seqno_max)),
            ..TableMeta::default()
        }
    }

    /// The tables, in the order of keys. Their names are not durable yet.
    pub(crate) fn into_tables(self) -> Vec<FileSynced<TableMeta>> {
        self.done
    }
}

pub(crate) fn summary(inputs: usize, tables: &[Synced<TableMeta>]) -> JobSummary {
    let written_len = tables.iter().map(Synced::len).sum();
    JobSummary { inputs, outputs: tables.len(), written_len, parts: 1 }
}
