//! What goes into a tree past its memtables, in every way there is.

use std::{path::PathBuf, sync::Arc};

use stratal_engine::{
    Error, IngestSummary, Ingestion, MergeOperator, Operation, ReadyTables, Store, Tree,
};
use stratal_fs::NewFile;
use stratal_sst::{TableContext, TableWriter};
use stratal_testkit::Rng;
use stratal_types::{
    Comparator, EntryKind, EntryRef, FileUid, Fragments, RangeTombstone, SeqNo, Trailer,
};

use crate::{
    hook_fs::{Hook, HookFs},
    options,
    subject::{During, Logged, Subject},
};

/// What is ingested in one piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct Brought {
    /// Ranges that are excised, in any order.
    pub(crate) ranges: Vec<(Vec<u8>, Vec<u8>)>,
    /// A prefix that is excised.
    pub(crate) prefix: Option<Vec<u8>>,
    /// What the excise of the prefix is: at most one range and deletes of keys behind it.
    pub(crate) of_prefix: Vec<Operation>,
    /// Ascending, each key once.
    pub(crate) rows: Vec<Operation>,
}

impl Brought {
    fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.of_prefix.is_empty() && self.rows.is_empty()
    }

    /// As a scan of changes tells it: ranges that meet are one, and rows come behind them. A row on the last
    /// key of the prefix stands for its delete, too.
    fn operations(&self, order: &dyn Comparator, operator: &dyn MergeOperator) -> Vec<Operation> {
        let mut ranges = self.ranges.clone();
        let mut rows = self.rows.clone();
        for operation in &self.of_prefix {
            match operation {
                Operation::DeleteRange { from, to } => ranges.push((from.clone(), to.clone())),
                last => match rows.iter_mut().find(|row| key_of(row) == key_of(last)) {
                    Some(row) => *row = over_nothing(row, operator),
                    None => rows.push(last.clone()),
                },
            }
        }
        ranges.sort_by(|a, b| order.compare(&a.0, &b.0));
        let mut joined: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (from, to) in ranges {
            match joined.last_mut() {
                Some(last) if order.compare(&last.1, &from).is_ge() => {
                    if order.compare(&last.1, &to).is_lt() {
                        last.1 = to;
                    }
                }
                _ => joined.push((from, to)),
            }
        }
        rows.sort_by(|a, b| order.compare(key_of(a), key_of(b)));
        let ranges = joined.into_iter().map(|(from, to)| Operation::DeleteRange { from, to });
        ranges.chain(rows).collect()
    }

    /// Gives all of it to an ingestion, in its order.
    fn fill(&self, ingestion: &mut Ingestion<'_>, order: &dyn Comparator) -> Result<(), Error> {
        if let Some(prefix) = &self.prefix {
            ingestion.excise_prefix(prefix)?;
        }
        let mut ranges: Vec<_> = self.ranges.iter().collect();
        ranges.sort_by(|a, b| order.compare(&a.0, &b.0));
        let mut ranges = ranges.into_iter().peekable();
        for row in &self.rows {
            let key = key_of(row);
            // An excise before the row with which it begins.
            while let Some((from, to)) =
                ranges.next_if(|(from, _)| order.compare(from, key).is_le())
            {
                ingestion.excise(from, to)?;
            }
            match row {
                Operation::Put { key, value } => ingestion.put(key, value)?,
                Operation::Delete { key } => ingestion.delete(key)?,
                Operation::WeakDelete { key } => ingestion.weak_delete(key)?,
                Operation::Merge { key, operand } => ingestion.merge(key, operand)?,
                other => panic!("{other:?}"),
            }
        }
        ranges.try_for_each(|(from, to)| ingestion.excise(from, to))
    }

    /// Ingests all of it at one stroke.
    fn ingest(&self, tree: &Tree) -> Result<IngestSummary, Error> {
        let mut ingestion = tree.ingestion();
        self.fill(&mut ingestion, tree.comparator().as_ref())?;
        ingestion.finish()
    }
}

/// What says the same as `row` where nothing is left under it.
fn over_nothing(row: &Operation, operator: &dyn MergeOperator) -> Operation {
    match row {
        Operation::WeakDelete { key } => Operation::Delete { key: key.clone() },
        Operation::Merge { key, operand } => {
            let value = operator.full(key, None, &[operand]).expect("it was ingested");
            Operation::Put { key: key.clone(), value }
        }
        row => row.clone(),
    }
}

fn key_of(operation: &Operation) -> &[u8] {
    match operation {
        Operation::Put { key, .. }
        | Operation::Delete { key }
        | Operation::WeakDelete { key }
        | Operation::Merge { key, .. }
        | Operation::DeleteRange { from: key, .. } => key,
        other => panic!("{other:?}"),
    }
}

/// Makes tables part of a tree as the owner of several trees does.
fn install(store: &Store, tree: &Tree, ready: ReadyTables) -> Result<IngestSummary, Error> {
    if tree.is_in_memory(&ready) {
        tree.flush()?;
    }
    let seqno = store.clock().allocate(1)?;
    let installed = tree.install_ingested(ready, seqno);
    store.clock().publish(store.clock().next());
    installed
}

impl Subject<'_> {
    /// Ingests in step `now`, in one way or another; with a seed, in the midst of a merge.
    pub(crate) fn ingest(&mut self, brought: &Brought, now: u64, inside: Option<u64>, seed: u64) {
        if brought.is_empty() {
            return;
        }
        let mut rng = self.rng(seed);
        let (first, done) = match self.try_to_ingest(brought, &mut rng) {
            Some(done) => done,
            None => self.ingest_somehow(brought, now, inside, &mut rng),
        };
        assert_eq!(done.seqno, Some(first), "{self}");
        assert_eq!(done.rows, brought.rows.len() as u64, "{self}");
        self.counts.add("ingestion");
        let kinds = brought.rows.iter().map(|row| match row {
            Operation::Put { .. } => "ingested put",
            Operation::Merge { .. } => "ingested operand",
            Operation::WeakDelete { .. } => "ingested weak delete",
            _ => "ingested delete",
        });
        kinds.for_each(|kind| self.counts.add(kind));
        brought.ranges.iter().for_each(|_| self.counts.add("excise"));
        let operations =
            brought.operations(self.world.comparator.as_ref(), self.world.operator.as_ref());
        self.log.push_back(Logged { first, operations, is_ingested: true });
        self.marks.push((now + 1, self.store().clock().visible()));
    }

    /// Ingests; gives the number that all of it has.
    fn ingest_somehow(
        &mut self,
        brought: &Brought,
        now: u64,
        inside: Option<u64>,
        rng: &mut Rng,
    ) -> (SeqNo, IngestSummary) {
        let (store, is_alone) = (Arc::clone(self.store()), rng.chance(1, 2));
        let as_it_is_owned = move |tree: &Tree, ready| {
            if is_alone { tree.ingest(ready) } else { install(&store, tree, ready) }
        };
        let whole = brought.clone();
        let (first, done);
        if brought.prefix.is_none() && rng.chance(1, 3) {
            let paths = self.write_apart(brought, now, rng);
            let ready = self.tree().adopt(&paths).unwrap_or_else(|error| panic!("{self}: {error}"));
            self.work_between(rng);
            first = self.store().clock().next();
            done = self.do_inside(inside, During::Merge, move |tree| as_it_is_owned(tree, ready));
            self.counts.add("adoption of tables");
        } else if rng.chance(1, 2) {
            let ready = {
                let mut ingestion = self.tree().ingestion();
                let order = self.world.comparator.as_ref();
                brought.fill(&mut ingestion, order).and_then(|()| ingestion.ready())
            };
            let ready = ready.unwrap_or_else(|error| panic!("{self}: {error}"));
            self.work_between(rng);
            first = self.store().clock().next();
            done = self.do_inside(inside, During::Merge, move |tree| as_it_is_owned(tree, ready));
        } else {
            first = self.store().clock().next();
            done = self.do_inside(inside, During::Merge, move |tree| whole.ingest(tree));
        }
        (first, done.unwrap_or_else(|error| panic!("{self}: {error}")))
    }

    /// What may happen to a tree while tables wait.
    fn work_between(&mut self, rng: &mut Rng) {
        match rng.below(6) {
            0 => self.flush(),
            1 => self.plan_and_run(false),
            2 => self.settle(false),
            _ => {}
        }
    }

    /// At times tries an ingestion that fails somewhere, unless the disk does not come to it, or that is
    /// given up when its tables are complete. Nothing of it is seen then.
    fn try_to_ingest(
        &mut self,
        brought: &Brought,
        rng: &mut Rng,
    ) -> Option<(SeqNo, IngestSummary)> {
        if !rng.chance(1, 5) {
            return None;
        }
        let is_given_up = rng.chance(1, 5);
        let first = self.store().clock().next();
        self.fs.arm(rng.below(24), Hook::Fail);
        let done = {
            let mut ingestion = self.tree().ingestion();
            let filled = brought.fill(&mut ingestion, self.world.comparator.as_ref());
            let ready = filled.and_then(|()| ingestion.ready());
            ready.and_then(|ready| {
                if is_given_up { Ok(IngestSummary::default()) } else { self.tree().ingest(ready) }
            })
        };
        self.fs.disarm();
        match done {
            Ok(_) if is_given_up => self.counts.add("ingestion that was given up"),
            Ok(done) => return Some((first, done)),
            Err(Error::Io { .. } | Error::Table { .. } | Error::Manifest(_)) => {
                self.counts.add("ingestion that failed");
            }
            Err(error) => panic!("{self}: {error}"),
        }
        None
    }

    /// Writes tables apart from the tree: one with everything, or several with rows alone.
    fn write_apart(&self, brought: &Brought, now: u64, rng: &mut Rng) -> Vec<PathBuf> {
        let order = &self.world.comparator;
        let count = if brought.ranges.is_empty() { 1 + rng.index(3) } else { 1 };
        let ranges: Vec<_> = brought
            .ranges
            .iter()
            .map(|(from, to)| RangeTombstone::new(from.as_slice(), to.as_slice(), SeqNo::ZERO))
            .collect();
        let fragments = Fragments::build(&ranges, order.as_ref());
        let each = brought.rows.len().div_ceil(count).max(1);
        let mut parts: Vec<&[Operation]> = brought.rows.chunks(each).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let mut paths = Vec::new();
        for (at, rows) in parts.into_iter().enumerate() {
            let path = PathBuf::from(format!("/apart-{now}-{at}"));
            let uid = FileUid(rng.bytes(16).try_into().unwrap());
            write_table(&self.fs, &path, uid, order, &fragments, rows, rng);
            paths.push(path);
        }
        if rng.chance(1, 2) {
            paths.reverse();
        }
        paths
    }
}

fn write_table(
    fs: &HookFs,
    path: &std::path::Path,
    uid: FileUid,
    order: &Arc<dyn Comparator>,
    fragments: &Fragments,
    rows: &[Operation],
    rng: &mut Rng,
) {
    let context = TableContext { comparator: Arc::clone(order), ..TableContext::default() };
    let spec = Arc::new(options::table(rng).validate().unwrap());
    let file = NewFile::create(fs, path).unwrap();
    let mut writer = TableWriter::new(&context, file, uid, spec).unwrap();
    writer.add_tombstones(fragments).unwrap();
    for row in rows {
        let (kind, value): (_, &[u8]) = match row {
            Operation::Put { value, .. } => (EntryKind::Put, value),
            Operation::Merge { operand, .. } => (EntryKind::Merge, operand),
            Operation::WeakDelete { .. } => (EntryKind::WeakDelete, &[]),
            _ => (EntryKind::Delete, &[]),
        };
        let trailer = Trailer::new(SeqNo::ZERO, kind);
        writer.add(EntryRef::new(key_of(row), trailer, value)).unwrap();
    }
    drop(writer.finish().unwrap().sink.finish().unwrap());
}
