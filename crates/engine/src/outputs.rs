//! The tables that a job writes.

use std::path::PathBuf;

use stratal_fs::{FileSynced, NewFile, Synced, sync_dirs};
use stratal_manifest::TableMeta;
use stratal_sst::{Finished, TableFiles, TableIdentity, TableInfo};
use stratal_types::{FileUid, SeqNo};

use crate::{Error, JobSummary, Tree, files::JobLedger};

/// The files of the tables that a job writes, one after the other.
pub(crate) struct Outputs<'a> {
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
    pub(crate) fn new(
        tree: &'a Tree,
        level: usize,
        lineage: Vec<FileUid>,
        created_at_ms: u64,
    ) -> Self {
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
    pub(crate) fn sync(self) -> Result<(Vec<Synced<TableMeta>>, JobLedger), Error> {
        let files = &self.tree.store.files;
        let synced = sync_dirs(files.fs.as_ref(), self.done)
            .map_err(|error| Error::io("sync", files.tables_dir(), error))?;
        Ok((synced, self.ledger))
    }
}

pub(crate) fn summary(inputs: usize, tables: &[Synced<TableMeta>]) -> JobSummary {
    let written_len = tables.iter().map(Synced::len).sum();
    JobSummary { inputs, outputs: tables.len(), written_len }
}
