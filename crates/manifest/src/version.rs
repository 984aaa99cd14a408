use std::{collections::BTreeMap, fmt, ops::Bound, sync::Arc};

use stratal_types::{Comparator, DbId, KeyRange, SeqNo};

use crate::{AddedTable, NewTree, Place, TableMeta, Timeline, VersionEdit};

/// Which tree of a database. Given once, never again, not after the tree is dropped either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(pub u64);

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All that a database consists of, at one moment. Never changes; clones share everything below the
/// list of trees.
#[derive(Clone, Debug)]
pub struct Version {
    /// The database.
    pub db_id: DbId,
    /// The next sequence number: above every one in any table.
    pub clock: SeqNo,
    /// The next file number: above every one in use.
    pub next_file: u64,
    /// The next tree's id.
    pub next_tree: TreeId,
    /// The oldest log segment that is needed.
    pub wal_floor: u64,
    /// The lowest bound at which history can be read.
    pub retention_floor: SeqNo,
    /// The log is durable up to this position at least.
    pub log_synced: u64,
    /// For whom history is held, by name, and from which bound on. The retention floor is above none
    /// of them.
    pub held: BTreeMap<Arc<str>, SeqNo>,
    /// When sequence numbers were given out, as far as that was put down.
    pub times: Arc<Timeline>,
    /// The trees.
    pub trees: BTreeMap<TreeId, Arc<TreeVersion>>,
}

/// One tree at one moment.
#[derive(Clone, Debug)]
pub struct TreeVersion {
    /// The tree.
    pub id: TreeId,
    /// Its name.
    pub name: Arc<str>,
    /// What sorts it.
    pub comparator: Arc<dyn Comparator>,
    /// How it is kept, as the layer above encodes it.
    pub options: Arc<[u8]>,
    /// Everything written to the tree below this bound is in its tables.
    pub flushed: SeqNo,
    /// The levels, newest data first. The last one is not empty.
    pub levels: Vec<Level>,
}

/// The runs of a level, newest first: by descending age.
#[derive(Clone, Debug, Default)]
pub struct Level {
    /// The runs.
    pub runs: Vec<Run>,
}

/// Tables that do not overlap, in the order of their keys. Never empty.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is newer has a higher age.
    pub age: u64,
    /// The tables.
    pub tables: Arc<[Arc<TableMeta>]>,
}

impl Version {
    /// A database with nothing in it.
    pub fn empty(db_id: DbId) -> Self {
        Self {
            db_id,
            clock: SeqNo::from(1),
            next_file: 1,
            next_tree: TreeId(1),
            wal_floor: 0,
            retention_floor: SeqNo::ZERO,
            log_synced: 0,
            held: BTreeMap::new(),
            times: Arc::default(),
            trees: BTreeMap::new(),
        }
    }

    /// The tree of that name.
    pub fn tree_named(&self, name: &str) -> Option<&Arc<TreeVersion>> {
        self.trees.values().find(|tree| &*tree.name == name)
    }

    /// The edit that makes this version out of an empty one: what a snapshot holds.
    pub fn to_edit(&self) -> VersionEdit {
        let mut edit = VersionEdit {
            clock: Some(self.clock),
            next_file: Some(self.next_file),
            next_tree: Some(self.next_tree),
            wal_floor: Some(self.wal_floor),
            retention_floor: Some(self.retention_floor),
            log_synced: (self.log_synced > 0).then_some(self.log_synced),
            held: self.held.iter().map(|(holder, bound)| (Arc::clone(holder), *bound)).collect(),
            times: self.times.marks().to_vec(),
            ..VersionEdit::default()
        };
        for tree in self.trees.values() {
            edit.created.push(NewTree {
                id: tree.id,
                name: Arc::clone(&tree.name),
                comparator: tree.comparator.name().into(),
                options: Arc::clone(&tree.options),
            });
            edit.flushed.push((tree.id, tree.flushed));
            edit.added.extend(tree.tables().map(|(place, table)| AddedTable {
                tree: tree.id,
                place,
                table: Arc::clone(table),
            }));
        }
        edit
    }
}

impl TreeVersion {
    /// Every table with its place: levels from the newest, runs from the newest, tables by key.
    pub fn tables(&self) -> impl Iterator<Item = (Place, &Arc<TableMeta>)> {
        (0..).zip(&self.levels).flat_map(|(level, runs)| {
            runs.runs.iter().flat_map(move |run| {
                let place = Place { level, age: run.age };
                run.tables.iter().map(move |table| (place, table))
            })
        })
    }

    /// The run at a place.
    pub fn run(&self, place: Place) -> Option<&Run> {
        let level = self.levels.get(usize::try_from(place.level).ok()?)?;
        level.runs.iter().find(|run| run.age == place.age)
    }
}

impl Run {
    /// The table in whose span `key` lies. By search.
    pub fn table_for(&self, key: &[u8], comparator: &dyn Comparator) -> Option<&Arc<TableMeta>> {
        let first = self.tables.partition_point(|table| table.span.is_before(key, comparator));
        self.tables.get(first).filter(|table| table.span.contains(key, comparator))
    }

    /// The tables whose spans may share a key with `range`. By search.
    pub fn overlapping(&self, range: &KeyRange, comparator: &dyn Comparator) -> &[Arc<TableMeta>] {
        let start = self.tables.partition_point(|it| ends_before(&it.span, range, comparator));
        let rest = self.tables.get(start..).unwrap_or_default();
        let len = rest.partition_point(|it| !ends_before(range, &it.span, comparator));
        rest.get(..len).unwrap_or_default()
    }
}

/// Whether every key of `a` stands before every key of `b`.
pub(crate) fn ends_before(a: &KeyRange, b: &KeyRange, comparator: &dyn Comparator) -> bool {
    match (&a.end, &b.start) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(end), Bound::Included(start)) => comparator.compare(end, start).is_lt(),
        (
            Bound::Included(end) | Bound::Excluded(end),
            Bound::Included(start) | Bound::Excluded(start),
        ) => comparator.compare(end, start).is_le(),
    }
}
