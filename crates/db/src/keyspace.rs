use std::{ops::RangeBounds, time::Duration};

use bytes::Bytes;
use stratal_engine::{
    Debt, OperationRef, Pressure, Snapshot, TableStats, TreeEstimate, TreeOptions, TreeRange,
    TreeStats,
};
use stratal_types::sync::Arc;

use crate::{
    Database, Durability, Error, Ticket,
    draft::Draft,
    inner::{Core, Inner},
    work::Role,
};

/// How a keyspace is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceOptions {
    /// Name of the order of its keys: `bytewise` (the default), `reverse` or `shortlex`.
    pub comparator: String,
    /// Name of its merge operator: `add-u64`, `append`, `json-patch`, or one that the
    /// [`Builder`](crate::Builder::merge_operator) was given. Where a keyspace has none it gets this
    /// one, and keeps it. `None` (the default) leaves it as it is.
    pub merge_operator: Option<String>,
    /// For how long it keeps values, as [`Keyspace::set_ttl`] says. `None` (the default) leaves it as it
    /// is: for ever, if it is new.
    pub ttl: Option<Duration>,
}

impl Default for KeyspaceOptions {
    fn default() -> Self {
        Self { comparator: "bytewise".into(), merge_operator: None, ttl: None }
    }
}

/// What is known about a keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceInfo {
    /// Its name.
    pub name: String,
    /// Name of the order of its keys.
    pub comparator: String,
    /// Name of its merge operator, if it has one.
    pub merge_operator: Option<String>,
    /// For how long it keeps values; `None` for ever.
    pub ttl: Option<Duration>,
}

/// A sorted set of keys of a [`Database`], apart from those of other keyspaces. Clones are the same.
///
/// Reads wait for nobody. A read sees the changes of whole batches, and all of those that were
/// committed before it began.
#[derive(Clone, Debug)]
pub struct Keyspace {
    database: Database,
    core: Arc<Core>,
}

impl Keyspace {
    pub(crate) fn new(database: Database, core: Arc<Core>) -> Self {
        Self { database, core }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn inner(&self) -> &Inner {
        self.database.inner()
    }

    pub(crate) fn is_of(&self, database: &Database) -> bool {
        self.database.is_same(database)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// What is known about it.
    pub fn info(&self) -> KeyspaceInfo {
        info(&self.core)
    }

    // Writes: batches of one change.

    /// Gives `key` a value, at [`Durability::Os`](crate::Durability::Os).
    ///
    /// # Errors
    ///
    /// As [`Batch::commit`](crate::Batch::commit).
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Ticket, Error> {
        self.write(OperationRef::Put { key: key.as_ref(), value: value.as_ref() })
    }

    /// Another name for [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// As [`Batch::commit`](crate::Batch::commit).
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Ticket, Error> {
        self.put(key, value)
    }

    /// Takes the value of `key` away.
    ///
    /// # Errors
    ///
    /// As [`Batch::commit`](crate::Batch::commit).
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<Ticket, Error> {
        self.write(OperationRef::Delete { key: key.as_ref() })
    }

    /// Lets the keyspace's merge operator apply `operand` to the value of `key`, or to nothing, when it is
    /// read or merged.
    ///
    /// # Errors
    ///
    /// As [`Batch::commit`](crate::Batch::commit).
    pub fn merge(&self, key: impl AsRef<[u8]>, operand: impl AsRef<[u8]>) -> Result<Ticket, Error> {
        self.write(OperationRef::Merge { key: key.as_ref(), operand: operand.as_ref() })
    }

    /// Takes the value of every key away that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Batch::commit`](crate::Batch::commit); [`Error::InvalidArgument`] where keys with a prefix
    /// do not stand together.
    pub fn delete_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Ticket, Error> {
        self.database.batch().delete_prefix(self, prefix).commit()
    }

    /// Takes the value of every key away.
    ///
    /// # Errors
    ///
    /// As [`Batch::commit`](crate::Batch::commit).
    pub fn clear(&self) -> Result<Ticket, Error> {
        self.database.batch().clear(self).commit()
    }

    /// Takes the value of every key from `from` up to, and without, `to` away.
    ///
    /// # Errors
    ///
    /// As [`Batch::commit`](crate::Batch::commit).
    pub fn delete_range(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
    ) -> Result<Ticket, Error> {
        self.write(OperationRef::DeleteRange { from: from.as_ref(), to: to.as_ref() })
    }

    /// Takes the value of every key from `from` up to, and without, `to` away, and removes the tables
    /// unread of which that hides everything: what [`delete_range`](Self::delete_range) does, with the
    /// space back at once. Flushes the keyspace for it. What snapshots still see goes when they have gone.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let db = stratal::Database::builder(dir.path()).open()?;
    /// let events = db.open_keyspace("default")?;
    /// events.put("2023-07-01", "...")?;
    /// events.flush()?;
    /// events.drop_range("2023", "2024")?;
    /// assert_eq!(events.get("2023-07-01")?, None);
    /// # db.close()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Batch::commit`](crate::Batch::commit) and [`flush`](Self::flush). If the latter fails, the
    /// values are gone all the same.
    pub fn drop_range(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
    ) -> Result<Ticket, Error> {
        let ticket = self.delete_range(from, to)?;
        self.flush()?;
        self.database.inner().remove_hidden(&self.core)?;
        Ok(ticket)
    }

    /// Keeps values for `ttl` from when they were written, durably, or for ever. They go when tables are
    /// merged, which they are for it in the background, and may be read until then: never before their
    /// time, and no later than a quarter of it after. See [`Tree::set_ttl`](stratal_engine::Tree::set_ttl).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for less than a millisecond, and what writing the manifest said. Nothing
    /// has changed then.
    pub fn set_ttl(&self, ttl: Option<Duration>) -> Result<(), Error> {
        let inner = self.database.inner();
        inner.check_writable()?;
        self.core.tree.set_ttl(ttl).map_err(|error| inner.engine_error(error))?;
        inner.work.want(Role::Merge);
        Ok(())
    }

    /// For how long values are kept; `None` for ever.
    pub fn ttl(&self) -> Option<Duration> {
        self.core.tree.ttl()
    }

    fn write(&self, operation: OperationRef<'_>) -> Result<Ticket, Error> {
        let mut draft = Draft::default();
        draft.push(&self.core, operation)?;
        let committed = self.inner().commit(draft, Durability::Os)?;
        Ok(Ticket::new(self.database.clone(), committed))
    }

    // Reads.

    /// The value of `key` now.
    ///
    /// # Errors
    ///
    /// Damage and read errors, naming the file: never an older value, never "not found" instead.
    /// [`Error::NotMergeable`] if the key has operands that make no sense to the merge operator, and
    /// [`Error::Unsupported`] if that is not known here.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, Error> {
        Ok(self.core.tree.get(key.as_ref())?)
    }

    /// The value of `key` at a snapshot.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_at(
        &self,
        key: impl AsRef<[u8]>,
        snapshot: &Snapshot,
    ) -> Result<Option<Bytes>, Error> {
        Ok(self.core.tree.get_at(key.as_ref(), snapshot)?)
    }

    /// The values of `keys` now, in the order in which they are given, all of one moment.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), for any of them.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, Error> {
        Ok(self.core.tree.multi_get(keys)?)
    }

    /// The values of `keys` at a snapshot.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), for any of them.
    pub fn multi_get_at<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        snapshot: &Snapshot,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        Ok(self.core.tree.multi_get_at(keys, snapshot)?)
    }

    /// Whether `key` has a value now.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        Ok(self.core.tree.contains(key.as_ref())?)
    }

    /// Length of the value of `key` now, in bytes.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn size_of(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>, Error> {
        Ok(self.core.tree.size_of(key.as_ref())?)
    }

    /// Number of keys that have a value now, exactly. Reads all of them.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn len(&self) -> Result<u64, Error> {
        Ok(self.core.tree.len()?)
    }

    /// Whether no key has a value now.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.core.tree.is_empty()?)
    }

    /// The first key that has a value now, with it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn first_key_value(&self) -> Result<Option<(Bytes, Bytes)>, Error> {
        Ok(self.core.tree.first_key_value()?)
    }

    /// The last key that has a value now, with it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn last_key_value(&self) -> Result<Option<(Bytes, Bytes)>, Error> {
        Ok(self.core.tree.last_key_value()?)
    }

    /// Whether any key that begins with `prefix` has a value now.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<bool, Error> {
        Ok(self.core.tree.contains_prefix(prefix.as_ref())?)
    }

    /// The rows of `range` now, in order, from both ends. They are those of one moment. For all of
    /// them write `range::<&[u8]>(..)`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); further ones come from the iterator.
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Range, Error> {
        Ok(Range(self.core.tree.range(range)?))
    }

    /// The rows of `range` at a snapshot.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn range_at<K: AsRef<[u8]>>(
        &self,
        range: impl RangeBounds<K>,
        snapshot: &Snapshot,
    ) -> Result<Range, Error> {
        Ok(Range(self.core.tree.range_at(range, snapshot)?))
    }

    /// The rows whose keys begin with `prefix` now.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Range, Error> {
        Ok(Range(self.core.tree.prefix(prefix.as_ref())?))
    }

    /// The rows whose keys begin with `prefix` at a snapshot.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn prefix_at(&self, prefix: impl AsRef<[u8]>, snapshot: &Snapshot) -> Result<Range, Error> {
        Ok(Range(self.core.tree.prefix_at(prefix.as_ref(), snapshot)?))
    }

    // Maintenance.

    /// Writes what is in memory to tables, so that the log is not needed for it any more.
    ///
    /// # Errors
    ///
    /// Whatever writing said. Nothing is lost then.
    pub fn flush(&self) -> Result<(), Error> {
        self.database.inner().flush_whole(&self.core)
    }

    /// Flushes, and merges everything into one run: the least space, and the fastest reads.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn compact(&self) -> Result<(), Error> {
        self.database.inner().compact(&self.core)
    }

    /// Keeps it in another way from now on, durably: another strategy, other lengths, other compression
    /// or filters. What is flushed or merged next goes by `options`; nothing that is there is rewritten
    /// for them.
    ///
    /// A later open goes by them too, unless its [builder](crate::Builder::tree_options) says otherwise;
    /// but the write buffer is then as that open has it, and compaction filters and a given dictionary
    /// are brought again by whoever wants them.
    ///
    /// ```
    /// use stratal::{Database, LazyLeveledOptions, StrategyOptions, TreeOptions};
    /// # let dir = tempfile::tempdir()?;
    /// let db = Database::builder(dir.path()).open()?;
    /// let strategy = StrategyOptions::LazyLeveled(LazyLeveledOptions::default());
    /// let options = TreeOptions { strategy, ..TreeOptions::default() };
    /// db.open_keyspace("default")?.set_options(options)?;
    /// # db.close()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], naming the option, and those of writing; then nothing has changed.
    pub fn set_options(&self, options: TreeOptions) -> Result<(), Error> {
        let inner = self.database.inner();
        inner.check_writable()?;
        let spec = options.validate().map_err(|error| inner.engine_error(error))?;
        self.core.tree.set_spec(spec).map_err(|error| inner.engine_error(error))?;
        self.core.note_pressure();
        inner.work.want(Role::Merge);
        Ok(())
    }

    /// How it is kept.
    pub fn options(&self) -> TreeOptions {
        self.core.tree.spec().options().clone()
    }

    /// How many versions of keys of `range` there are, and how many bytes they take, without reading
    /// data, and by how much that may be off. See [`Tree::estimate`](stratal_engine::Tree::estimate).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn estimate<K: AsRef<[u8]>>(
        &self,
        range: impl RangeBounds<K>,
    ) -> Result<TreeEstimate, Error> {
        Ok(self.core.tree.estimate(range)?)
    }

    /// How far it is behind with merges.
    pub fn pressure(&self) -> Pressure {
        self.core.tree.pressure()
    }

    /// What merges have left to write until it has the shape that its options want. Plans every job that
    /// is due: for reports, not for every write.
    pub fn debt(&self) -> Debt {
        self.core.tree.debt()
    }

    /// Its tables, in the order in which reads ask them, with details of those that are open.
    pub fn tables(&self) -> Vec<TableStats> {
        self.core.tree.tables()
    }

    /// Its tables, all with details: reads the ends of those files that are not open.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn tables_in_detail(&self) -> Result<Vec<TableStats>, Error> {
        Ok(self.core.tree.tables_in_detail()?)
    }

    /// What it holds.
    pub fn stats(&self) -> TreeStats {
        self.core.tree.stats()
    }
}

/// What is known about a keyspace.
pub(crate) fn info(core: &Core) -> KeyspaceInfo {
    KeyspaceInfo {
        name: core.name.clone(),
        comparator: core.tree.comparator().name().to_owned(),
        merge_operator: core.tree.merge_operator().map(str::to_owned),
        ttl: core.tree.ttl(),
    }
}

/// Keys and values in order, from both ends. Owns what it yields, may be sent to another thread, and
/// keeps the files it reads. Ends after an error.
#[derive(Debug)]
pub struct Range(TreeRange);

impl Range {
    pub(crate) fn new(rows: TreeRange) -> Self {
        Self(rows)
    }
}

impl Iterator for Range {
    type Item = Result<(Bytes, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|row| Ok(row?))
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|row| Ok(row?))
    }
}

impl std::iter::FusedIterator for Range {}
