use std::{ops::Bound, sync::Arc};

use stratal_fs::Synced;
use stratal_manifest::{TableMeta, TreeId};
use stratal_memtable::Memtable;
use stratal_types::{Comparator, Cursor, KeyRange, SeqNo};

use crate::{
    Tree,
    files::{Files, JobLedger},
};

/// Tables that are complete and durable and in no tree yet. Their rows have no number of their own:
/// they get one when they [become part of the tree](Tree::install_ingested). Ascending, without overlap.
///
/// The files go with this value unless it was made part of the tree.
#[derive(Debug)]
#[must_use = "tables that are not ingested are removed"]
pub struct ReadyTables {
    tree: TreeId,
    pub(crate) rows: u64,
    pub(crate) tables: Vec<Synced<TableMeta>>,
    pub(crate) ledger: Arc<JobLedger>,
    files: Arc<Files>,
}

/// What an ingestion brought into the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngestSummary {
    /// Rows.
    pub rows: u64,
    /// Tables, those that hold nothing but what an excise left among them.
    pub tables: usize,
    /// Bytes of the tables' files.
    pub len: u64,
    /// The number of everything in them; reads from a bound above it see it. `None` if nothing was
    /// ingested.
    pub seqno: Option<SeqNo>,
}

impl ReadyTables {
    pub(crate) fn new(
        tree: &Tree,
        rows: u64,
        tables: Vec<Synced<TableMeta>>,
        ledger: Arc<JobLedger>,
    ) -> Self {
        Self { tree: tree.id, rows, tables, ledger, files: Arc::clone(&tree.store.files) }
    }

    pub(crate) fn none(tree: &Tree) -> Self {
        Self::new(tree, 0, Vec::new(), Arc::new(JobLedger::new(&tree.store.files)))
    }

    /// Whether there is no table, and nothing to be done.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Rows in the tables.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether they were written for `tree`.
    pub(crate) fn is_for(&self, tree: &Tree) -> bool {
        self.tree == tree.id && Arc::ptr_eq(&self.files, &tree.store.files)
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = &KeyRange> {
        self.tables.iter().map(|table| &table.span)
    }
}

impl Drop for ReadyTables {
    fn drop(&mut self) {
        self.ledger.give_up();
        self.files.remove_unused();
    }
}

/// Whether a key, or a range tombstone, of `memtable` may lie in `span`.
pub(crate) fn is_in(
    memtable: &Arc<Memtable>,
    span: &KeyRange,
    comparator: &dyn Comparator,
) -> bool {
    let deleted = memtable.tombstones().span();
    if deleted.is_some_and(|deleted| deleted.overlaps(span, comparator)) {
        return true;
    }
    let mut cursor = memtable.cursor();
    let found = match &span.start {
        Bound::Included(first) | Bound::Excluded(first) => cursor.seek(first, SeqNo::MAX),
        Bound::Unbounded => cursor.seek_to_first(),
    };
    let Ok(()) = found;
    cursor.entry().is_some_and(|entry| !span.is_before(entry.key, comparator))
}
