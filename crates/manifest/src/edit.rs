#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use std::sync::Arc;

use stratal_fs::Synced;
use stratal_types::{SeqNo, varint};

use crate::{
    Error, FileName, TableMeta, TimeMark, TreeId,
    bytes::{
        end, put_field, put_prefixed, skip_unknown, take_field, take_number, take_prefixed,
        take_seqno, take_text,
    },
    table_meta::take_level,
};

/// What changes from one version to the next. All of it becomes durable and visible, or none.
///
/// Counters and floors only ever rise: an edit that names a lower one leaves them as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionEdit {
    pub(crate) clock: Option<SeqNo>,
    pub(crate) next_file: Option<u64>,
    pub(crate) next_tree: Option<TreeId>,
    pub(crate) wal_floor: Option<u64>,
    pub(crate) retention_floor: Option<SeqNo>,
    pub(crate) log_synced: Option<u64>,
    pub(crate) created: Vec<NewTree>,
    pub(crate) dropped: Vec<TreeId>,
    pub(crate) options: Vec<(TreeId, Arc<[u8]>)>,
    pub(crate) flushed: Vec<(TreeId, SeqNo)>,
    pub(crate) removed: Vec<(TreeId, u64)>,
    pub(crate) moved: Vec<MovedTable>,
    pub(crate) added: Vec<AddedTable>,
    pub(crate) held: Vec<(Arc<str>, SeqNo)>,
    pub(crate) released: Vec<Arc<str>>,
    pub(crate) expired: Vec<ExpiredTable>,
    pub(crate) times: Vec<TimeMark>,
}

/// A tree to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTree {
    /// Its id: at least [`Version::next_tree`](crate::Version::next_tree).
    pub id: TreeId,
    /// Its name: not empty, and no other tree's.
    pub name: Arc<str>,
    /// The name of the comparator that sorts it.
    pub comparator: Arc<str>,
    /// How it is kept, as the layer above encodes it.
    pub options: Arc<[u8]>,
}

impl NewTree {
    /// A tree without options.
    pub fn new(id: TreeId, name: impl Into<Arc<str>>, comparator: impl Into<Arc<str>>) -> Self {
        Self { id, name: name.into(), comparator: comparator.into(), options: Arc::new([]) }
    }
}

/// Where a table stands in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The level, 0 the newest.
    pub level: u32,
    /// Which run of the level: the newer, the higher.
    pub age: u64,
}

/// A table that becomes part of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedTable {
    /// The tree.
    pub tree: TreeId,
    /// Where in the tree.
    pub place: Place,
    /// The table.
    pub table: Arc<TableMeta>,
}

/// A table that goes to another place of its tree, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedTable {
    /// The tree.
    pub tree: TreeId,
    /// The table's number.
    pub number: u64,
    /// Where it goes.
    pub place: Place,
}

/// A table that reads above a bound do not find any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiredTable {
    /// The tree.
    pub tree: TreeId,
    /// The table's number.
    pub number: u64,
    /// The highest bound at which reads find it.
    pub at: SeqNo,
}

/// Tags on disk. Odd: a reader that does not know the field refuses the edit.
mod tag {
    pub(super) const CLOCK: u64 = 1;
    pub(super) const NEXT_FILE: u64 = 3;
    pub(super) const NEXT_TREE: u64 = 5;
    pub(super) const WAL_FLOOR: u64 = 7;
    pub(super) const RETENTION_FLOOR: u64 = 9;
    pub(super) const CREATE_TREE: u64 = 11;
    pub(super) const DROP_TREE: u64 = 13;
    pub(super) const SET_OPTIONS: u64 = 15;
    pub(super) const SET_FLUSHED: u64 = 17;
    pub(super) const REMOVE_TABLE: u64 = 19;
    pub(super) const MOVE_TABLE: u64 = 21;
    pub(super) const ADD_TABLE: u64 = 23;
    pub(super) const LOG_SYNCED: u64 = 25;
    pub(super) const HOLD_HISTORY: u64 = 27;
    pub(super) const RELEASE_HISTORY: u64 = 29;
    pub(super) const EXPIRE_TABLE: u64 = 31;
    pub(super) const TIME_MARK: u64 = 32;
}

impl VersionEdit {
    /// An edit that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the next sequence number.
    pub fn set_clock(&mut self, next: SeqNo) -> &mut Self {
        self.clock = Some(next);
        self
    }

    /// Raises the next file number.
    pub fn set_next_file(&mut self, next: u64) -> &mut Self {
        self.next_file = Some(next);
        self
    }

    /// Raises the oldest log segment that is needed.
    pub fn set_wal_floor(&mut self, segment: u64) -> &mut Self {
        self.wal_floor = Some(segment);
        self
    }

    /// Raises the lowest bound at which history can still be read.
    pub fn set_retention_floor(&mut self, bound: SeqNo) -> &mut Self {
        self.retention_floor = Some(bound);
        self
    }

    /// Raises the position up to which the log is known to be durable, so that a log that ends before
    /// it is known to have lost something.
    pub fn set_log_synced(&mut self, position: u64) -> &mut Self {
        self.log_synced = Some(position);
        self
    }

    /// Creates a tree.
    pub fn create_tree(&mut self, tree: NewTree) -> &mut Self {
        self.created.push(tree);
        self
    }

    /// Drops a tree with all its tables.
    pub fn drop_tree(&mut self, tree: TreeId) -> &mut Self {
        self.dropped.push(tree);
        self
    }

    /// Replaces the options of a tree.
    pub fn set_options(&mut self, tree: TreeId, options: impl Into<Arc<[u8]>>) -> &mut Self {
        self.options.push((tree, options.into()));
        self
    }

    /// Raises the bound below which everything written to a tree is in its tables.
    pub fn set_flushed(&mut self, tree: TreeId, bound: SeqNo) -> &mut Self {
        self.flushed.push((tree, bound));
        self
    }

    /// Takes a table out of a tree.
    pub fn remove_table(&mut self, tree: TreeId, number: u64) -> &mut Self {
        self.removed.push((tree, number));
        self
    }

    /// Moves a table of a tree to another place.
    pub fn move_table(&mut self, tree: TreeId, number: u64, place: Place) -> &mut Self {
        self.moved.push(MovedTable { tree, number, place });
        self
    }

    /// Lets a table of a tree expire: it stays, and reads with a bound above `at` do not find it. One that
    /// has expired already keeps the lower of the two bounds. Raises the clock above `at`.
    pub fn expire_table(&mut self, tree: TreeId, number: u64, at: SeqNo) -> &mut Self {
        self.expired.push(ExpiredTable { tree, number, at });
        self
    }

    /// Notes what time it was when a sequence number was the next to be given out. A mark whose number is
    /// not above the last one's, or whose time is below, changes nothing.
    pub fn mark_time(&mut self, mark: TimeMark) -> &mut Self {
        self.times.push(mark);
        self
    }

    /// Puts a table into a tree.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEdit`] if the file that was synced has not the name or the length that `table`
    /// gives.
    pub fn add_table(
        &mut self,
        tree: TreeId,
        place: Place,
        table: Synced<TableMeta>,
    ) -> Result<&mut Self, Error> {
        let name = table.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file = table.number;
        if FileName::parse(&format!("tables/{name}")) != Some(FileName::Table(file)) {
            let what = "the table's file is not named by its number";
            return Err(Error::InvalidEdit { what, tree, file });
        }
        if table.len() != table.file_len {
            let what = "the table's file is not as long as the table";
            return Err(Error::InvalidEdit { what, tree, file });
        }
        self.added.push(AddedTable { tree, place, table: Arc::new(table.into_inner()) });
        Ok(self)
    }

    /// Holds history from `bound` on for `holder`: the retention floor does not rise above. A holder
    /// that is there already goes to `bound`, which is not lower than before.
    pub fn hold_history(&mut self, holder: impl Into<Arc<str>>, bound: SeqNo) -> &mut Self {
        self.held.push((holder.into(), bound));
        self
    }

    /// Holds nothing for `holder` any more.
    pub fn release_history(&mut self, holder: impl Into<Arc<str>>) -> &mut Self {
        self.released.push(holder.into());
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The tables it adds.
    pub fn added(&self) -> &[AddedTable] {
        &self.added
    }

    /// The tables it removes, with their trees.
    pub fn removed(&self) -> &[(TreeId, u64)] {
        &self.removed
    }

    /// Reads an edit.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a critical field that this build does not know, otherwise one for
    /// which [`Error::is_corruption`] holds.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, Error> {
        let input = &mut bytes;
        let mut edit = Self::default();
        let mut last = 0;
        while !input.is_empty() {
            let (tag, mut value) = take_field(input, &mut last)?;
            let value = &mut value;
            match tag {
                tag::CLOCK => once(&mut edit.clock, take_seqno(value)?)?,
                tag::NEXT_FILE => once(&mut edit.next_file, take_number(value)?)?,
                tag::NEXT_TREE => once(&mut edit.next_tree, take_tree(value)?)?,
                tag::WAL_FLOOR => once(&mut edit.wal_floor, take_number(value)?)?,
                tag::RETENTION_FLOOR => once(&mut edit.retention_floor, take_seqno(value)?)?,
                tag::CREATE_TREE => edit.created.push(take_new_tree(value)?),
                tag::DROP_TREE => edit.dropped.push(take_tree(value)?),
                tag::SET_OPTIONS => {
                    edit.options.push((take_tree(value)?, take_prefixed(value)?.into()));
                }
                tag::SET_FLUSHED => edit.flushed.push((take_tree(value)?, take_seqno(value)?)),
                tag::REMOVE_TABLE => edit.removed.push((take_tree(value)?, take_number(value)?)),
                tag::MOVE_TABLE => {
                    let (tree, number) = (take_tree(value)?, take_number(value)?);
                    edit.moved.push(MovedTable { tree, number, place: take_place(value)? });
                }
                tag::ADD_TABLE => {
                    let (tree, place) = (take_tree(value)?, take_place(value)?);
                    let table = Arc::new(TableMeta::decode(std::mem::take(value))?);
                    edit.added.push(AddedTable { tree, place, table });
                }
                tag::LOG_SYNCED => once(&mut edit.log_synced, take_number(value)?)?,
                tag::HOLD_HISTORY => {
                    edit.held.push((take_text(value)?.into(), take_seqno(value)?));
                }
                tag::RELEASE_HISTORY => edit.released.push(take_text(value)?.into()),
                tag::EXPIRE_TABLE => {
                    let (tree, number) = (take_tree(value)?, take_number(value)?);
                    edit.expired.push(ExpiredTable { tree, number, at: take_seqno(value)? });
                }
                tag::TIME_MARK => {
                    let (seqno, time_ms) = (take_seqno(value)?, take_number(value)?);
                    edit.times.push(TimeMark { seqno, time_ms });
                }
                tag => {
                    skip_unknown(tag, tag::EXPIRE_TABLE, "edit field")?;
                    continue;
                }
            }
            end(value)?;
        }
        Ok(edit)
    }

    /// Appends the edit to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let scalars = [
            (tag::CLOCK, self.clock.map(SeqNo::get)),
            (tag::NEXT_FILE, self.next_file),
            (tag::NEXT_TREE, self.next_tree.map(|TreeId(id)| id)),
            (tag::WAL_FLOOR, self.wal_floor),
            (tag::RETENTION_FLOOR, self.retention_floor.map(SeqNo::get)),
        ];
        for (tag, value) in scalars {
            if let Some(value) = value {
                put_field(out, tag, |out| varint::put(out, value));
            }
        }
        for NewTree { id, name, comparator, options } in &self.created {
            put_field(out, tag::CREATE_TREE, |out| {
                varint::put(out, id.0);
                put_prefixed(out, name.as_bytes());
                put_prefixed(out, comparator.as_bytes());
                put_prefixed(out, options);
            });
        }
        for TreeId(id) in &self.dropped {
            put_field(out, tag::DROP_TREE, |out| varint::put(out, *id));
        }
        for (TreeId(id), options) in &self.options {
            put_field(out, tag::SET_OPTIONS, |out| {
                varint::put(out, *id);
                put_prefixed(out, options);
            });
        }
        for (TreeId(id), bound) in &self.flushed {
            put_field(out, tag::SET_FLUSHED, |out| {
                varint::put(out, *id);
                varint::put(out, bound.get());
            });
        }
        for (TreeId(id), number) in &self.removed {
            put_field(out, tag::REMOVE_TABLE, |out| {
                varint::put(out, *id);
                varint::put(out, *number);
            });
        }
        for MovedTable { tree: TreeId(id), number, place } in &self.moved {
            put_field(out, tag::MOVE_TABLE, |out| {
                varint::put(out, *id);
                varint::put(out, *number);
                put_place(out, *place);
            });
        }
        for AddedTable { tree: TreeId(id), place, table } in &self.added {
            put_field(out, tag::ADD_TABLE, |out| {
                varint::put(out, *id);
                put_place(out, *place);
                table.encode(out);
            });
        }
        if let Some(position) = self.log_synced {
            put_field(out, tag::LOG_SYNCED, |out| varint::put(out, position));
        }
        for (holder, bound) in &self.held {
            put_field(out, tag::HOLD_HISTORY, |out| {
                put_prefixed(out, holder.as_bytes());
                varint::put(out, bound.get());
            });
        }
        for holder in &self.released {
            put_field(out, tag::RELEASE_HISTORY, |out| put_prefixed(out, holder.as_bytes()));
        }
        for ExpiredTable { tree: TreeId(id), number, at } in &self.expired {
            put_field(out, tag::EXPIRE_TABLE, |out| {
                varint::put(out, *id);
                varint::put(out, *number);
                varint::put(out, at.get());
            });
        }
        for TimeMark { seqno, time_ms } in &self.times {
            put_field(out, tag::TIME_MARK, |out| {
                varint::put(out, seqno.get());
                varint::put(out, *time_ms);
            });
        }
    }
}

/// Fills a field that may stand once.
fn once<T>(field: &mut Option<T>, value: T) -> Result<(), Error> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::Malformed { what: "a field stands twice" }),
    }
}

fn take_tree(input: &mut &[u8]) -> Result<TreeId, Error> {
    take_number(input).map(TreeId)
}

fn take_place(input: &mut &[u8]) -> Result<Place, Error> {
    Ok(Place { level: take_level(input)?, age: take_number(input)? })
}

fn put_place(out: &mut Vec<u8>, Place { level, age }: Place) {
    varint::put(out, level.into());
    varint::put(out, age);
}

fn take_new_tree(input: &mut &[u8]) -> Result<NewTree, Error> {
    Ok(NewTree {
        id: take_tree(input)?,
        name: take_text(input)?.into(),
        comparator: take_text(input)?.into(),
        options: take_prefixed(input)?.into(),
    })
}
