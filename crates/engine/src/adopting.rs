//! Tables that were written apart from any tree.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_archive::ArchiveHeader;
use stratal_fs::{FileSynced, Origin, ReopenedFile};
use stratal_manifest::TableMeta;
use stratal_sst::{FileSource, OpenOptions, Table};
use stratal_types::SeqNo;

use crate::{
    Error, ReadyTables, Tree,
    outputs::{JobContext, Outputs, Provenance},
    paced_file::PacedFile,
};

/// Bytes copied at once.
const COPY_LEN: usize = 1 << 20;

impl Tree {
    /// Copies the tables at `paths`, which were written apart from any tree, and gives the copies, ready
    /// to be [ingested](Self::ingest). The files stay as they are.
    ///
    /// Each is read from end to end before, so that nothing damaged comes in.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], saying which and why, unless every sequence number in a table is 0,
    /// every key is there once, its values are in it, and no two tables overlap or are in the database
    /// already; [`Error::NoOperator`] for operands that could not be folded; [`Error::Table`] for a
    /// table that is damaged, or sorted in another order; [`Error::Io`]. Nothing is left behind then.
    ///
    /// ```
    /// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// # use stratal_engine::{Store, StoreContext, Tree, TreeOptions};
    /// # let count = AtomicU64::new(0);
    /// # let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    /// # let fs = Arc::new(stratal_fs::MemFs::new());
    /// # let (store, _) =
    /// #     Store::open(StoreContext::new(fs.clone(), "/db", 8 << 20, unique))?;
    /// # let id = store.create_tree("places", "bytewise", &[])?;
    /// # let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
    /// use stratal_fs::NewFile;
    /// use stratal_sst::{TableContext, TableOptions, TableWriter};
    /// use stratal_types::FileUid;
    ///
    /// let spec = Arc::new(TableOptions::default().validate()?);
    /// let file = NewFile::create(&*fs, "/andorra.sst")?;
    /// let mut writer = TableWriter::new(&TableContext::default(), file, FileUid([7; 16]), spec)?;
    /// writer.put(b"AD/Canillo", b"3292")?;
    /// drop(writer.finish()?.sink.finish()?);
    ///
    /// let tables = tree.adopt(&["/andorra.sst".into()])?;
    /// assert_eq!(tree.ingest(tables)?.rows, 1);
    /// assert_eq!(tree.get(b"AD/Canillo")?.as_deref(), Some(&b"3292"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn adopt(&self, paths: &[PathBuf]) -> Result<ReadyTables, Error> {
        let context = JobContext::new(self, Origin::Ingest);
        let copied = self.copy_all(paths, &context).and_then(|(rows, tables)| {
            let tables = context.sync(tables)?;
            Ok(ReadyTables::new(self, rows, tables, Arc::clone(&context.ledger)))
        });
        if copied.is_err() {
            context.ledger.give_up();
            self.store.files.remove_unused();
        }
        copied
    }

    fn copy_all(
        &self,
        paths: &[PathBuf],
        context: &JobContext,
    ) -> Result<(u64, Vec<FileSynced<TableMeta>>), Error> {
        let comparator = self.comparator.as_ref();
        let created_at_ms = (self.store.context.time)();
        let provenance = Provenance { level: 0, lineage: &[], created_at_ms, judged_to: None };
        let outputs = Outputs::new(context, provenance);
        let mut tables: Vec<(&PathBuf, Table)> = Vec::new();
        for path in paths {
            let table = self.open_apart(path)?;
            let span = table.properties().span(comparator);
            let overlaps = |other: &&(&PathBuf, Table)| {
                let uid = other.1.info().uid;
                uid == table.info().uid
                    || other.1.properties().span(comparator).overlaps(&span, comparator)
            };
            if let Some((other, _)) = tables.iter().find(overlaps) {
                let what = format!("it overlaps {}, or is the same", other.display());
                return Err(refused(path, &what));
            }
            tables.push((path, table));
        }
        tables.sort_by(|(_, a), (_, b)| {
            let start = |table: &Table| {
                let properties = table.properties();
                let bounds = [&properties.first_key, &properties.tombstones_start];
                let given = bounds.into_iter().filter(|key| !key.is_empty());
                given.min_by(|a, b| comparator.compare(a, b)).cloned().unwrap_or_default()
            };
            comparator.compare(&start(a), &start(b))
        });
        let (mut rows, mut copies) = (0, Vec::new());
        for (path, table) in tables {
            let (number, copy) = context.ledger.next_table();
            rows += table.properties().entries;
            let meta = outputs.meta(number, table.info());
            copies.push(self.copy(path, &copy, context)?.map(|()| meta));
        }
        Ok((rows, copies))
    }

    /// Opens a table that may become part of the tree, and reads all of it.
    fn open_apart(&self, path: &Path) -> Result<Table, Error> {
        let fail = |source| Error::Table { path: path.to_owned(), source };
        let files = &self.store.files;
        let source = FileSource::reopened(&files.open, &files.fs, path)
            .map_err(|error| Error::io("open", path, error))?;
        // Refused if a number is not 0.
        let options = OpenOptions { overlay: Some(SeqNo::ZERO), ..OpenOptions::default() };
        let context = files.context(&self.comparator);
        let table = Table::open_with(&context, Arc::new(source), options);
        let table = table.map_err(|error| match error {
            error @ stratal_sst::Error::OverlayRefused { .. } => refused(path, &error.to_string()),
            error => fail(error),
        })?;
        let properties = table.properties();
        if properties.entries == 0 && properties.range_tombstones == 0 {
            return Err(refused(path, "it holds nothing"));
        }
        if properties.keys != properties.entries {
            return Err(refused(path, "it holds several versions of a key"));
        }
        if properties.pointers > 0 {
            return Err(refused(path, "some of its values are in other files"));
        }
        if properties.merges > 0 {
            self.folding.needed()?;
        }
        let uid = table.info().uid;
        let version = self.store.version();
        let mut known = version.trees.values().flat_map(|tree| tree.tables());
        if known.any(|(_, known)| known.uid == uid) {
            return Err(refused(path, "it is in the database already"));
        }
        let report = table.verify().map_err(fail)?;
        match report.damage.into_iter().next() {
            Some(damage) => Err(fail(damage.error)),
            None => Ok(table),
        }
    }

    fn copy(&self, from: &Path, to: &Path, context: &JobContext) -> Result<FileSynced, Error> {
        let files = &self.store.files;
        let read = |error| Error::io("read", from, error);
        let source = ReopenedFile::open(&files.open, &files.fs, from, ArchiveHeader::LEN);
        let source = source.map_err(read)?;
        let len = source.len();
        let mut file = PacedFile::create(to, context)?;
        let mut piece = vec![0; COPY_LEN];
        let mut at = 0;
        while at < len {
            let here = usize::try_from(len - at).unwrap_or(COPY_LEN).min(COPY_LEN);
            let piece = piece.get_mut(..here).unwrap_or_default();
            source.read(|file| file.read_exact_at(piece, at)).map_err(read)?;
            file.write_all(piece).map_err(|error| Error::io("write", to, error))?;
            at += here as u64;
        }
        file.finish().map_err(|error| Error::io("sync", to, error))
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::InvalidArgument(format!("{} cannot be ingested: {why}", path.display()))
}
