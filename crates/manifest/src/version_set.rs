#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
    sync::Arc,
};

use stratal_types::{Comparator, DbId, KeyRange, SeqNo};

use crate::{
    AddedTable, Error, ExpiredTable, Level, MovedTable, NewTree, Place, Run, TableMeta, TreeId,
    TreeVersion, Version, VersionEdit, version::ends_before,
};

/// Finds a comparator by name.
pub type Comparators = Arc<dyn Fn(&str) -> Option<Arc<dyn Comparator>> + Send + Sync>;

/// Levels that a tree may have.
pub const LEVELS_MAX: u32 = 64;

/// Longest name of a holder of history, in bytes.
pub const HOLDER_LEN_MAX: usize = 255;

/// The current version, and an index over it, so that an edit costs what it changes: the runs it
/// touches, and a list of pointers to the trees.
pub struct VersionSet {
    current: Arc<Version>,
    comparators: Comparators,
    places: HashMap<u64, (TreeId, Place)>,
    names: HashMap<Arc<str>, TreeId>,
}

impl std::fmt::Debug for VersionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VersionSet").field("current", &self.current).finish_non_exhaustive()
    }
}

/// What an edit does to the runs of one tree.
#[derive(Debug, Default)]
struct RunChanges {
    taken: BTreeMap<Place, Vec<u64>>,
    put: BTreeMap<Place, Vec<Arc<TableMeta>>>,
}

impl VersionSet {
    /// Begins with an empty version.
    pub fn new(db_id: DbId, comparators: Comparators) -> Self {
        let current = Arc::new(Version::empty(db_id));
        Self { current, comparators, places: HashMap::new(), names: HashMap::new() }
    }

    /// The current version.
    pub const fn current(&self) -> &Arc<Version> {
        &self.current
    }

    /// Where a table stands, if it is in the current version.
    pub fn find_table(&self, number: u64) -> Option<(TreeId, Place)> {
        self.places.get(&number).copied()
    }

    /// The version that `edit` makes of the current one. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEdit`], [`Error::UnknownComparator`].
    pub fn prepare(&self, edit: &VersionEdit) -> Result<Arc<Version>, Error> {
        let mut version = Version::clone(&self.current);
        drop_trees(edit, &mut version)?;
        self.create_trees(edit, &mut version)?;
        for (id, options) in &edit.options {
            tree_mut(&mut version, *id)?.options = Arc::clone(options);
        }
        for (id, bound) in &edit.flushed {
            let tree = tree_mut(&mut version, *id)?;
            if *bound < tree.flushed {
                return Err(invalid("the flushed bound would fall", *id, 0));
            }
            tree.flushed = *bound;
        }
        for (id, changes) in self.run_changes(edit, &mut version)? {
            changes.apply(tree_mut(&mut version, id)?)?;
        }
        raise(&mut version.clock, edit.clock);
        raise(&mut version.next_file, edit.next_file);
        raise(&mut version.next_tree, edit.next_tree);
        raise(&mut version.wal_floor, edit.wal_floor);
        raise(&mut version.retention_floor, edit.retention_floor);
        raise(&mut version.log_synced, edit.log_synced);
        hold_history(edit, &mut version)?;
        if !edit.times.is_empty() {
            Arc::make_mut(&mut version.times).extend(&edit.times);
        }
        Ok(Arc::new(version))
    }

    /// Makes `version` current, which [`prepare`](Self::prepare) made of `edit` and the version that
    /// is current now.
    pub(crate) fn commit(&mut self, edit: &VersionEdit, version: Arc<Version>) {
        for id in &edit.dropped {
            if let Some(tree) = self.current.trees.get(id) {
                self.names.remove(&tree.name);
                for (_, table) in tree.tables() {
                    self.places.remove(&table.number);
                }
            }
        }
        for tree in &edit.created {
            self.names.insert(Arc::clone(&tree.name), tree.id);
        }
        for (_, number) in &edit.removed {
            self.places.remove(number);
        }
        for MovedTable { tree, number, place } in &edit.moved {
            self.places.insert(*number, (*tree, *place));
        }
        for AddedTable { tree, place, table } in &edit.added {
            self.places.insert(table.number, (*tree, *place));
        }
        self.current = version;
    }

    /// Applies `edit` without making it durable: for tools and tests.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare), and nothing changed.
    pub fn apply(&mut self, edit: &VersionEdit) -> Result<Arc<Version>, Error> {
        let version = self.prepare(edit)?;
        self.commit(edit, Arc::clone(&version));
        Ok(version)
    }

    fn create_trees(&self, edit: &VersionEdit, version: &mut Version) -> Result<(), Error> {
        let mut names = HashSet::new();
        for NewTree { id, name, comparator, options } in &edit.created {
            if *id < version.next_tree {
                return Err(invalid("a tree's id has been given before", *id, 0));
            }
            if name.is_empty() {
                return Err(invalid("a tree's name is empty", *id, 0));
            }
            let is_kept = |id: &TreeId| version.trees.contains_key(id);
            if self.names.get(name).is_some_and(is_kept) || !names.insert(name) {
                return Err(invalid("a tree's name is taken", *id, 0));
            }
            let found = (self.comparators)(comparator);
            let comparator =
                found.ok_or_else(|| Error::UnknownComparator { name: comparator.to_string() })?;
            let tree = TreeVersion {
                id: *id,
                name: Arc::clone(name),
                comparator,
                options: Arc::clone(options),
                flushed: SeqNo::ZERO,
                levels: Vec::new(),
            };
            let next = id.0.checked_add(1).ok_or(invalid("there are no more ids", *id, 0))?;
            version.next_tree = TreeId(next);
            version.trees.insert(*id, Arc::new(tree));
        }
        Ok(())
    }

    /// Sorts what happens to tables by tree, checks each table, and raises the counters above all.
    fn run_changes(
        &self,
        edit: &VersionEdit,
        version: &mut Version,
    ) -> Result<BTreeMap<TreeId, RunChanges>, Error> {
        let mut changes: BTreeMap<TreeId, RunChanges> = BTreeMap::new();
        let mut touched = HashSet::new();
        let mut touch = |tree, number| {
            let is_new = touched.insert(number);
            if is_new { Ok(()) } else { Err(invalid("a table is changed twice", tree, number)) }
        };
        let place_in = |tree, number| {
            let found = self.find_table(number).filter(|(found, _)| *found == tree);
            let place = found.map(|(_, place)| place);
            place.ok_or(invalid("a table is not in the tree", tree, number))
        };
        for (tree, number) in &edit.removed {
            touch(*tree, *number)?;
            let taken = &mut changes.entry(*tree).or_default().taken;
            taken.entry(place_in(*tree, *number)?).or_default().push(*number);
        }
        for MovedTable { tree, number, place } in &edit.moved {
            touch(*tree, *number)?;
            check_place(*tree, *place, *number)?;
            let from = place_in(*tree, *number)?;
            let table = table_at(version, *tree, from, *number)?;
            let changes = changes.entry(*tree).or_default();
            changes.taken.entry(from).or_default().push(*number);
            changes.put.entry(*place).or_default().push(table);
        }
        for ExpiredTable { tree, number, at } in &edit.expired {
            touch(*tree, *number)?;
            let place = place_in(*tree, *number)?;
            let table = table_at(version, *tree, place, *number)?;
            let expired_at = Some(table.expired_at.map_or(*at, |before| before.min(*at)));
            raise(&mut version.clock, at.next());
            let changes = changes.entry(*tree).or_default();
            changes.taken.entry(place).or_default().push(*number);
            let table = Arc::new(TableMeta { expired_at, ..TableMeta::clone(&table) });
            changes.put.entry(place).or_default().push(table);
        }
        for AddedTable { tree, place, table } in &edit.added {
            touch(*tree, table.number)?;
            check_place(*tree, *place, table.number)?;
            // Its number may be that of a table in a tree that this edit drops, which is no less a
            // table of the version that the edit is made of.
            if self.places.contains_key(&table.number) {
                return Err(invalid("a table's number is taken", *tree, table.number));
            }
            let seqno = check_table(*tree, table)?;
            raise(&mut version.clock, seqno.next());
            raise(&mut version.next_file, table.number.checked_add(1));
            let put = &mut changes.entry(*tree).or_default().put;
            put.entry(*place).or_default().push(Arc::clone(table));
        }
        Ok(changes)
    }
}

impl RunChanges {
    fn apply(mut self, tree: &mut TreeVersion) -> Result<(), Error> {
        let comparator = Arc::clone(&tree.comparator);
        let places: Vec<Place> = self.taken.keys().chain(self.put.keys()).copied().collect();
        for place in places {
            let taken = self.taken.remove(&place).unwrap_or_default();
            let put = self.put.remove(&place).unwrap_or_default();
            if taken.is_empty() && put.is_empty() {
                continue;
            }
            let level = level_mut(tree, place.level)?;
            let at = level.runs.binary_search_by(|run| place.age.cmp(&run.age));
            let before = at.ok().and_then(|at| level.runs.get(at)).map(|run| &run.tables[..]);
            let kept = before.unwrap_or_default().iter();
            let kept = kept.filter(|table| !taken.contains(&table.number)).cloned();
            let mut tables: Vec<_> = kept.chain(put).collect();
            // Stable, and fast where nearly everything is in order already.
            tables.sort_by(|a, b| compare_starts(&a.span, &b.span, &*comparator));
            check_run(tree.id, &tables, &*comparator)?;
            let run = Run { age: place.age, tables: tables.into() };
            let level = level_mut(tree, place.level)?;
            match (at, run.tables.is_empty()) {
                (Ok(at), true) => drop(level.runs.remove(at)),
                (Ok(at), false) => level.runs.splice(at..=at, [run]).for_each(drop),
                (Err(_), true) => {}
                (Err(at), false) => level.runs.insert(at, run),
            }
        }
        while tree.levels.last().is_some_and(|level| level.runs.is_empty()) {
            tree.levels.pop();
        }
        Ok(())
    }
}

fn drop_trees(edit: &VersionEdit, version: &mut Version) -> Result<(), Error> {
    for id in &edit.dropped {
        if version.trees.remove(id).is_none() {
            return Err(invalid("a tree to be dropped is not there", *id, 0));
        }
    }
    Ok(())
}

/// Changes who holds history, and checks that nobody loses what is held.
fn hold_history(edit: &VersionEdit, version: &mut Version) -> Result<(), Error> {
    for holder in &edit.released {
        if version.held.remove(holder).is_none() {
            return Err(invalid("a holder of history to be released is not there", TreeId(0), 0));
        }
    }
    for (holder, bound) in &edit.held {
        if !(1..=HOLDER_LEN_MAX).contains(&holder.len()) {
            return Err(invalid("a holder's name has not 1 to 255 bytes", TreeId(0), 0));
        }
        let before = version.held.insert(Arc::clone(holder), *bound);
        if before.is_some_and(|before| before > *bound) {
            return Err(invalid("what is held for a holder would fall", TreeId(0), 0));
        }
    }
    if version.held.values().any(|bound| *bound < version.retention_floor) {
        return Err(invalid("the retention floor would be above held history", TreeId(0), 0));
    }
    Ok(())
}

fn tree_mut(version: &mut Version, id: TreeId) -> Result<&mut TreeVersion, Error> {
    let tree = version.trees.get_mut(&id).ok_or(invalid("there is no such tree", id, 0))?;
    Ok(Arc::make_mut(tree))
}

/// The table of this number, which stands at `place`.
fn table_at(
    version: &Version,
    id: TreeId,
    place: Place,
    number: u64,
) -> Result<Arc<TableMeta>, Error> {
    let table = version.trees.get(&id).and_then(|tree| {
        tree.run(place)?.tables.iter().find(|table| table.number == number).cloned()
    });
    table.ok_or(invalid("a table is not in the tree", id, number))
}

/// The level, which is there afterwards.
fn level_mut(tree: &mut TreeVersion, level: u32) -> Result<&mut Level, Error> {
    let id = tree.id;
    let index = usize::try_from(level).unwrap_or(usize::MAX);
    if level < LEVELS_MAX && tree.levels.len() <= index {
        tree.levels.resize_with(index + 1, Level::default);
    }
    tree.levels.get_mut(index).ok_or(invalid("a level is too deep", id, 0))
}

fn check_place(tree: TreeId, place: Place, number: u64) -> Result<(), Error> {
    if place.level < LEVELS_MAX {
        Ok(())
    } else {
        Err(invalid("a level is too deep", tree, number))
    }
}

/// Checks what can be told of a table alone. Returns the highest sequence number in it.
fn check_table(tree: TreeId, table: &TableMeta) -> Result<SeqNo, Error> {
    let what = if table.number == 0 || table.number == u64::MAX {
        "a table's number is out of range"
    } else if table.entries == 0 && table.range_tombstones == 0 {
        "a table holds nothing"
    } else if table.seqno_min > table.seqno_max {
        "a table's lowest sequence number is above its highest"
    } else if table.entry_seqno_max.is_some_and(|newest| newest > table.seqno_max) {
        "a table's entries have a higher sequence number than it has"
    } else if table.visible_seqno_max() == SeqNo::MAX {
        "a table's sequence number is out of range"
    } else {
        return Ok(table.seqno_max.max(table.visible_seqno_max()));
    };
    Err(invalid(what, tree, table.number))
}

/// Checks that tables are not empty, in order, and disjoint.
fn check_run(
    tree: TreeId,
    tables: &[Arc<TableMeta>],
    comparator: &dyn Comparator,
) -> Result<(), Error> {
    if let Some(table) = tables.iter().find(|table| table.span.is_empty(comparator)) {
        return Err(invalid("a table's span is empty", tree, table.number));
    }
    let overlap = tables.windows(2).find_map(|pair| match pair {
        [a, b] if !ends_before(&a.span, &b.span, comparator) => Some(b.number),
        _ => None,
    });
    overlap.map_or(Ok(()), |number| Err(invalid("tables of a run overlap", tree, number)))
}

fn compare_starts(a: &KeyRange, b: &KeyRange, comparator: &dyn Comparator) -> Ordering {
    match (&a.start, &b.start) {
        (Bound::Unbounded, Bound::Unbounded) => Ordering::Equal,
        (Bound::Unbounded, _) => Ordering::Less,
        (_, Bound::Unbounded) => Ordering::Greater,
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            comparator.compare(x, y)
        }
    }
}

fn raise<T: Ord>(counter: &mut T, to: Option<T>) {
    if let Some(to) = to.filter(|to| to > counter) {
        *counter = to;
    }
}

const fn invalid(what: &'static str, tree: TreeId, file: u64) -> Error {
    Error::InvalidEdit { what, tree, file }
}
