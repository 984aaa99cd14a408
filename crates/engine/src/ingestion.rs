//! Sorted rows straight into tables, past the memtables.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use stratal_compaction::plan::Job;
use stratal_fs::Origin;
use stratal_merge::Fold;
use stratal_sst::TableSetWriter;
use stratal_types::{
    EntryDigest, EntryKind, EntryRef, Fragments, KEY_LEN_MAX, KeyRange, OutputCutter, Piece,
    RangeTombstone, SeqNo, Trailer, VALUE_LEN_MAX,
};

use crate::{
    Error, IngestSummary, Operation, Tree,
    operation_ref::{check_key, check_len},
    outputs::{JobContext, Outputs, Provenance},
    ready_tables::ReadyTables,
};

/// Rows on their way into a tree in one piece: written to tables as they come, and visible, all at
/// once, when [`finish`](Self::finish) returns.
///
/// Rows come in the order of the tree's comparator, each key once: a value, a delete, or an operand.
/// They replace what the tree held at the moment of the finish, as one batch of writes would. Before,
/// nobody sees any of them, and snapshots that are older never do.
///
/// Holds one table's writer and the range deletes, however many rows there are. Nothing is logged and
/// nothing goes through a memtable: each row is written once. Where no key of the tree lies in the
/// span of a table, in memory or at some level, the table goes to the lowest such level and is not
/// merged on its way there.
///
/// Dropping it unfinished leaves nothing behind, and so does every error.
///
/// ```
/// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// # use stratal_engine::{Store, StoreContext, Tree, TreeOptions};
/// # let count = AtomicU64::new(0);
/// # let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
/// # let fs = Arc::new(stratal_fs::MemFs::new());
/// # let (store, _) = Store::open(StoreContext::new(fs, "/db", 8 << 20, unique))?;
/// # let id = store.create_tree("places", "bytewise", &[])?;
/// # let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
/// tree.put(b"AD/Encamp", b"11223")?;
/// tree.put(b"AE/Dubai", b"1137347")?;
///
/// let mut andorra = tree.ingestion();
/// andorra.excise_prefix(b"AD/")?;          // what was there goes
/// andorra.put(b"AD/Canillo", b"3292")?;
/// andorra.put(b"AD/Vila", b"1418")?;
/// assert!(andorra.put(b"AD/Canillo", b"").is_err(), "not in order");
/// drop(andorra);                           // nothing has happened
/// assert_eq!(tree.len()?, 2);
///
/// let mut andorra = tree.ingestion();
/// andorra.excise_prefix(b"AD/")?;
/// andorra.put(b"AD/Canillo", b"3292")?;
/// andorra.put(b"AD/Vila", b"1418")?;
/// assert_eq!(andorra.finish()?.rows, 2);
/// assert_eq!(tree.get(b"AD/Encamp")?, None);
/// assert_eq!(tree.len()?, 3);
/// # Ok::<(), stratal_engine::Error>(())
/// ```
pub struct Ingestion<'a> {
    tree: &'a Tree,
    context: JobContext,
    /// `None` before the first row or excise: what is written goes by where it begins.
    set: Option<TableSetWriter<'a, Outputs<'a>>>,
    /// Empty before the first row.
    last_key: Vec<u8>,
    /// Ascending: last keys of prefixes that were excised, where no key can stand for the end of the
    /// range. Each gets a delete in its turn, unless a row has it.
    last_excised: VecDeque<Vec<u8>>,
    rows: u64,
    has_failed: bool,
    /// The files are somebody else's.
    is_ready: bool,
}

impl Tree {
    /// Begins an ingestion. Several may be under way at once; they become visible in the order in
    /// which they are finished.
    pub fn ingestion(&self) -> Ingestion<'_> {
        Ingestion {
            tree: self,
            context: JobContext::new(self, Origin::Ingest),
            set: None,
            last_key: Vec::new(),
            last_excised: VecDeque::new(),
            rows: 0,
            has_failed: false,
            is_ready: false,
        }
    }
}

impl<'a> Ingestion<'a> {
    /// Gives `key` a value.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfOrder`] if `key` does not stand behind the one before; [`Error::TooLarge`];
    /// whatever writing said. The ingestion is of no use then but to be dropped.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        check_len("value", value.len(), 0, VALUE_LEN_MAX)?;
        self.add(key, EntryKind::Put, value)
    }

    /// Takes the value of `key` away that the tree holds.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Error> {
        self.add(key, EntryKind::Delete, &[])
    }

    /// Takes the value of `key` away, which was put exactly once since its last delete.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn weak_delete(&mut self, key: &[u8]) -> Result<(), Error> {
        self.add(key, EntryKind::WeakDelete, &[])
    }

    /// Lets the tree's merge operator apply `operand` to the value that `key` has in the tree, or to
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and [`Error::NoOperator`]. [`Error::Operator`] if the operand makes no sense
    /// on its own and `key` is a prefix that was [excised](Self::excise_prefix), in an order in which it
    /// is the last key of it: then it is folded here and now.
    pub fn merge(&mut self, key: &[u8], operand: &[u8]) -> Result<(), Error> {
        self.tree.folding.needed()?;
        check_len("operand", operand.len(), 0, VALUE_LEN_MAX)?;
        self.add(key, EntryKind::Merge, operand)
    }

    /// Takes away what the tree holds from `from` up to, and without, `to`; rows of this ingestion stay,
    /// whether they lie in the range or not. Costs the same for any number of keys, and tables of which
    /// it hides everything go unread once no snapshot sees them. A range that is empty in the tree's
    /// order changes nothing.
    ///
    /// To be called before the rows that lie in the range: it belongs to the order.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), about `from`.
    pub fn excise(&mut self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        self.go_on(|ingestion| {
            check_key("start of the range", from)?;
            check_key("end of the range", to)?;
            ingestion.check_order(from)?;
            ingestion.delete_last_excised(Some(from))?;
            let range = RangeTombstone::new(from, to, SeqNo::ZERO);
            let comparator = ingestion.tree.comparator.as_ref();
            let fragments = Fragments::build([&range], comparator);
            if fragments.is_empty() {
                return Ok(());
            }
            ingestion.set(from).add_tombstones(&fragments)
        })
    }

    /// [Excises](Self::excise) every key that begins with `prefix`: all keys, if it is empty.
    ///
    /// # Errors
    ///
    /// As [`excise`](Self::excise), and [`Error::InvalidArgument`] if the tree's order does not keep
    /// such keys together.
    pub fn excise_prefix(&mut self, prefix: &[u8]) -> Result<(), Error> {
        for operation in Operation::delete_prefix(prefix, self.tree.comparator.as_ref())? {
            match operation {
                Operation::DeleteRange { from, to } => self.excise(&from, &to)?,
                Operation::Delete { key } => {
                    let comparator = self.tree.comparator.as_ref();
                    let at = self
                        .last_excised
                        .partition_point(|other| comparator.compare(other, &key).is_lt());
                    if self.last_excised.get(at) != Some(&key) {
                        self.last_excised.insert(at, key);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Lets everybody see all of it from now on, durably. An ingestion without rows or excises does
    /// nothing.
    ///
    /// What is in memory is flushed before, for it is older; whoever writes meanwhile waits for the last
    /// of it.
    ///
    /// # Errors
    ///
    /// Whatever writing or the manifest said; none of it is visible then. If nobody knows whether the
    /// manifest has it, it may be there when the store is opened again.
    pub fn finish(self) -> Result<IngestSummary, Error> {
        let tree = self.tree;
        tree.ingest(self.ready()?)
    }

    /// The tables, complete and durable and in no tree: for an owner of several trees, who gives out the
    /// numbers. See [`Tree::install_ingested`].
    ///
    /// # Errors
    ///
    /// Whatever writing said.
    pub fn ready(mut self) -> Result<ReadyTables, Error> {
        self.go_on(|ingestion| ingestion.delete_last_excised(None))?;
        let Some(set) = self.set.take() else { return Ok(ReadyTables::none(self.tree)) };
        let tables = set.finish()?.into_tables();
        // It is none of the jobs that were told to end since it began.
        self.context.stop = self.tree.stop();
        let tables = self.context.sync(tables)?;
        self.is_ready = true;
        Ok(ReadyTables::new(self.tree, self.rows, tables, Arc::clone(&self.context.ledger)))
    }

    fn add(&mut self, key: &[u8], kind: EntryKind, value: &[u8]) -> Result<(), Error> {
        self.go_on(|ingestion| {
            check_len("key", key.len(), 1, KEY_LEN_MAX)?;
            ingestion.check_order(key)?;
            ingestion.delete_last_excised(Some(key))?;
            let is_excised = ingestion.last_excised.pop_front_if(|last| last == key).is_some();
            // The row stands in the place of the delete, so that it has to hide what is older, also from a
            // weak delete that vanishes together with it.
            let (kind, value) = match kind {
                EntryKind::Put if is_excised => (EntryKind::PutOverDelete, Cow::Borrowed(value)),
                EntryKind::WeakDelete if is_excised => (EntryKind::Delete, Cow::Borrowed(value)),
                EntryKind::Merge if is_excised => {
                    let value = ingestion.tree.folding.fold(key, None, &[value])?;
                    check_len("value", value.len(), 0, VALUE_LEN_MAX)?;
                    (EntryKind::PutOverDelete, Cow::Owned(value))
                }
                kind => (kind, Cow::Borrowed(value)),
            };
            let entry = EntryRef::new(key, Trailer::new(SeqNo::ZERO, kind), &value);
            let digest = ingestion.tree.takes_digests().then(|| EntryDigest::of(entry));
            ingestion.write(entry, digest)?;
            ingestion.rows += 1;
            Ok(())
        })
    }

    fn write(&mut self, entry: EntryRef<'_>, digest: Option<EntryDigest>) -> Result<(), Error> {
        let set = self.set(entry.key);
        match digest {
            Some(digest) => set.add_with_digest(entry, digest)?,
            None => set.add(entry)?,
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(entry.key);
        Ok(())
    }

    /// Writes the deletes that stand before `next`, or all of them.
    fn delete_last_excised(&mut self, next: Option<&[u8]>) -> Result<(), Error> {
        let comparator = Arc::clone(&self.tree.comparator);
        let is_due = |last: &[u8]| next.is_none_or(|next| comparator.compare(last, next).is_lt());
        while let Some(last) = self.last_excised.pop_front_if(|last| is_due(last)) {
            let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Delete);
            self.write(EntryRef::new(&last, trailer, &[]), None)?;
        }
        Ok(())
    }

    /// Takes a step, unless an earlier one failed.
    fn go_on(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if self.has_failed {
            return Err(Error::InvalidArgument("an earlier row was refused".into()));
        }
        let done = step(self);
        self.has_failed = done.is_err();
        done
    }

    fn check_order(&self, key: &[u8]) -> Result<(), Error> {
        let is_behind =
            self.last_key.is_empty() || self.tree.comparator.compare(&self.last_key, key).is_lt();
        let out_of_order =
            || Error::OutOfOrder { previous: self.last_key.clone(), key: key.to_vec() };
        if is_behind { Ok(()) } else { Err(out_of_order()) }
    }

    /// The tables, begun with what stands at `first` if they are not yet. They are written for the level
    /// in which they will stand if nothing overlaps what follows there.
    fn set(&mut self, first: &[u8]) -> &mut TableSetWriter<'a, Outputs<'a>> {
        let tree = self.tree;
        self.set.get_or_insert_with(|| {
            let from_here = KeyRange::from_bounds(&(first..));
            let level = tree.expected_level(&from_here);
            let spec = tree.spec.load();
            let after = tree.after(tree.shape_now(), &Job::flush(from_here, u64::MAX), 0);
            let cut = spec.options().cut;
            let cutter = OutputCutter::new(cut, &[], Piece::default(), tree.comparator.as_ref());
            let now = (tree.store.context.time)();
            let provenance =
                Provenance { level, lineage: &[], created_at_ms: now, judged_to: None };
            let outputs = Outputs::new(&self.context, provenance);
            let context = spec.table_context(&tree.store.files, &tree.comparator);
            TableSetWriter::new(&context, spec.table(level, &after), cutter, outputs)
        })
    }
}

impl Drop for Ingestion<'_> {
    fn drop(&mut self) {
        // First what has a file open.
        drop(self.set.take());
        if !self.is_ready {
            self.context.ledger.give_up();
            self.tree.store.files.remove_unused();
        }
    }
}

impl std::fmt::Debug for Ingestion<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingestion").field("rows", &self.rows).finish_non_exhaustive()
    }
}
