//! Table files: where they are, which are open, and when they go.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_fs::{FileReplaced, Fs, OpenFiles};
use stratal_manifest::{FileName, TableMeta};
use stratal_sst::{OpenOptions, PinnedParts, Table, TableContext};
use stratal_types::{
    Comparator, PrefixExtractor,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{Error, PrefixExtractors, table_file::TableFile};

/// The files of a database.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) fs: Arc<dyn Fs>,
    /// Which tables are open.
    pub(crate) open: OpenFiles,
    dir: PathBuf,
    /// Without a comparator: each tree brings its own.
    context: TableContext,
    extractors: Extractors,
    /// Those that trees were given and that may not be known by name. A leaf lock.
    given_extractors: Mutex<Vec<Arc<dyn PrefixExtractor>>>,
    next: AtomicU64,
    /// Files that nobody holds any more. A leaf lock.
    unused: Mutex<Vec<PathBuf>>,
}

struct Extractors(PrefixExtractors);

impl std::fmt::Debug for Extractors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extractors").finish_non_exhaustive()
    }
}

impl Files {
    pub(crate) fn new(
        (fs, open): (Arc<dyn Fs>, OpenFiles),
        dir: PathBuf,
        context: TableContext,
        extractors: PrefixExtractors,
        next: u64,
    ) -> Self {
        Self {
            fs,
            open,
            dir,
            context,
            extractors: Extractors(extractors),
            given_extractors: Mutex::default(),
            next: AtomicU64::new(next),
            unused: Mutex::default(),
        }
    }

    /// Lets filters that were built under `extractor` be asked from now on.
    pub(crate) fn note_extractor(&self, extractor: &Arc<dyn PrefixExtractor>) {
        let mut given = self.given_extractors.lock();
        if !given.iter().any(|known| known.name() == extractor.name()) {
            given.push(Arc::clone(extractor));
        }
    }

    /// The extractor that has this name.
    pub(crate) fn extractor_named(&self, name: &str) -> Option<Arc<dyn PrefixExtractor>> {
        let given = self.given_extractors.lock();
        let known = given.iter().find(|known| known.name() == name).cloned();
        drop(given);
        known.or_else(|| (self.extractors.0)(name))
    }

    /// A number that no file has had.
    pub(crate) fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn tables_dir(&self) -> PathBuf {
        self.dir.join("tables")
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn table_path(&self, number: u64) -> PathBuf {
        self.dir.join(FileName::Table(number).to_string())
    }

    pub(crate) fn context(&self, comparator: &Arc<dyn Comparator>) -> TableContext {
        TableContext { comparator: Arc::clone(comparator), ..self.context.clone() }
    }

    /// Notes that nobody holds the file any more.
    pub(crate) fn give_up(&self, path: PathBuf) {
        self.unused.lock().push(path);
    }

    /// Removes the files that were given up by the time that what is returned goes.
    pub(crate) fn clean_up(&self) -> CleanUp<'_> {
        CleanUp(self)
    }

    /// Removes the files that were given up.
    pub(crate) fn remove_unused(&self) {
        for path in self.take_unused() {
            self.remove(&path);
        }
    }

    /// The files that were given up, for the caller to remove.
    pub(crate) fn take_unused(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.unused.lock())
    }

    /// Removes a file that was given up. One that cannot be removed is an orphan that the next open
    /// finds; it is no reason to fail what was done.
    pub(crate) fn remove(&self, path: &Path) {
        drop(self.fs.remove_file(path));
    }
}

/// Removes, when it goes, what was given up meanwhile: also when a caller's own code panics in a job.
pub(crate) struct CleanUp<'a>(&'a Files);

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        self.0.remove_unused();
    }
}

/// A table of a version: opened when it is first read, removed when the last version that has it is
/// gone.
#[derive(Debug)]
pub(crate) struct TableHandle {
    pub(crate) meta: Arc<TableMeta>,
    file: Arc<TableFile>,
    comparator: Arc<dyn Comparator>,
    table: OnceLock<Table>,
    /// A leaf.
    pinned: Mutex<PinnedParts>,
}

impl TableHandle {
    pub(crate) fn new(
        meta: Arc<TableMeta>,
        files: Arc<Files>,
        comparator: Arc<dyn Comparator>,
    ) -> Self {
        let file = Arc::new(TableFile::new(files, meta.number));
        Self { meta, file, comparator, table: OnceLock::new(), pinned: Mutex::default() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.file.path()
    }

    /// Lets the file go as soon as nobody reads it.
    pub(crate) fn doom(&self) {
        self.file.doom();
    }

    /// The table, opened and compared with what the manifest says about it.
    pub(crate) fn table(&self) -> Result<&Table, Error> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let table = self.open()?;
        // Two readers may have opened it; one of the two is kept.
        let table = self.table.get_or_init(|| table);
        table.set_pinned(*self.pinned.lock());
        Ok(table)
    }

    /// Pins these parts of the table as soon as they are read.
    pub(crate) fn set_pinned(&self, parts: PinnedParts) {
        let mut pinned = self.pinned.lock();
        if *pinned != parts {
            *pinned = parts;
            if let Some(table) = self.table.get() {
                table.set_pinned(parts);
            }
        }
    }

    /// The table, if somebody has read it already.
    pub(crate) fn opened(&self) -> Option<&Table> {
        self.table.get()
    }

    /// Adds the file to what a table says.
    pub(crate) fn error(&self, source: stratal_sst::Error) -> Error {
        let path = self.path();
        match source {
            stratal_sst::Error::Read { source, .. } if is_missing(&source) => {
                Error::Missing { path }
            }
            stratal_sst::Error::Read { source, .. } if FileReplaced::is(&source) => {
                Error::Mismatch { path, what: "it is another file than was there before" }
            }
            source => Error::Table { path, source },
        }
    }

    fn open(&self) -> Result<Table, Error> {
        let path = self.path();
        let source = match self.file.source() {
            Ok(source) => source,
            Err(error) if is_missing(&error) => return Err(Error::Missing { path }),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let files = &self.file.files;
        let context = files.context(&self.comparator);
        let options = OpenOptions { overlay: self.meta.seqno_overlay, ..OpenOptions::default() };
        let named = |name: &str| files.extractor_named(name);
        let table = Table::open_named(&context, Arc::new(source), options, named);
        let table = table.map_err(|source| self.error(source))?;
        let info = table.info();
        let mismatch = |what| Err(Error::Mismatch { path: self.path(), what });
        if info.uid != self.meta.uid {
            return mismatch("it is another file than the manifest names");
        }
        if info.file_len != self.meta.file_len {
            return mismatch("it has another length than the manifest says");
        }
        Ok(table)
    }
}

/// Whether there is no such file.
fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}

/// Owns the files that a running job makes, all of its parts together, until they are part of a
/// version: whatever ends the job, what it leaves behind is given up.
#[derive(Debug)]
pub(crate) struct JobLedger {
    files: Arc<Files>,
    made: Mutex<Vec<PathBuf>>,
}

impl JobLedger {
    pub(crate) fn new(files: &Arc<Files>) -> Self {
        Self { files: Arc::clone(files), made: Mutex::default() }
    }

    /// A new file's number, which is the job's from now on.
    pub(crate) fn next_table(&self) -> (u64, PathBuf) {
        let number = self.files.next_number();
        let path = self.files.table_path(number);
        self.made.lock().push(path.clone());
        (number, path)
    }

    /// Nothing is the job's any more: a version has it, or nobody knows who does.
    pub(crate) fn release(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.made.lock())
    }

    /// Nobody wants them any more.
    pub(crate) fn give_up(&self) {
        for path in self.release() {
            self.files.give_up(path);
        }
    }
}

impl Drop for JobLedger {
    fn drop(&mut self) {
        self.give_up();
    }
}
