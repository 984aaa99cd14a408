//! The file of a table, for as long as somebody may read it.

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use stratal_slab::Shared;
use stratal_sst::{FileSource, ReadAt};
use stratal_types::sync::atomic::{AtomicBool, Ordering};

use crate::files::Files;

/// A table's file, which need not be open. Whoever may read it has this; when nobody has it any more, a
/// doomed file is given up.
#[derive(Debug)]
pub(crate) struct TableFile {
    pub(crate) files: Arc<Files>,
    number: u64,
    /// No version that will ever be current has it.
    is_doomed: AtomicBool,
}

impl TableFile {
    pub(crate) fn new(files: Arc<Files>, number: u64) -> Self {
        Self { files, number, is_doomed: AtomicBool::new(false) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.files.table_path(self.number)
    }

    /// Lets the file go as soon as nobody reads it.
    pub(crate) fn doom(&self) {
        self.is_doomed.store(true, Ordering::Relaxed);
    }

    /// Opens it for reading: among the files of which only so many are open at once.
    pub(crate) fn source(self: &Arc<Self>) -> io::Result<TableSource> {
        let source = FileSource::reopened(&self.files.open, &self.files.fs, self.path())?;
        Ok(TableSource { source, _file: Arc::clone(self) })
    }
}

impl Drop for TableFile {
    fn drop(&mut self) {
        if self.is_doomed.load(Ordering::Relaxed) {
            self.files.give_up(self.path());
        }
    }
}

/// What a table is read from. It may have to open the file again at any time, so the file has to stay.
#[derive(Debug)]
pub(crate) struct TableSource {
    /// Closed first.
    source: FileSource,
    _file: Arc<TableFile>,
}

impl ReadAt for TableSource {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.source.read(range)
    }

    fn read_into(&self, range: Range<u64>, memory: Bytes) -> io::Result<Bytes> {
        self.source.read_into(range, memory)
    }

    fn read_kept(&self, range: Range<u64>) -> io::Result<Shared> {
        self.source.read_kept(range)
    }

    fn read_many(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Shared>> {
        self.source.read_many(ranges)
    }
}
