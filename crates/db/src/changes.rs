//! What was done to a keyspace since a moment, and for whom history is held.

use stratal_engine::{Change, ChangeOptions};
use stratal_types::SeqNo;

use crate::{Database, Error, Keyspace, inner::Inner};

/// Changes of a keyspace in the order of their numbers. Owns what it yields, may be sent to another
/// thread, and ends after an error. See [`stratal_engine::Changes`] for what it costs.
#[derive(Debug)]
pub struct Changes(stratal_engine::Changes);

impl Changes {
    /// The first number that it does not yield any more, fixed when it began: where the next scan goes
    /// on.
    pub fn until(&self) -> SeqNo {
        self.0.until()
    }
}

impl Iterator for Changes {
    type Item = Result<Change, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|change| Ok(change?))
    }
}

impl std::iter::FusedIterator for Changes {}

impl Keyspace {
    /// Every change that was made to the keyspace since `since`, itself included, and is durable, in the
    /// order of their numbers. What is visible when it begins is made durable first, so that nothing it
    /// gives is taken back by a power failure; a database that was opened for reading gives what is
    /// proven to be durable. The next scan goes on from [`Changes::until`].
    ///
    /// Operations of one batch follow one another, each with its own number, and those on other
    /// keyspaces are left out. History is collected unless it is [held](Database::hold_history).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use stratal::{Database, Operation};
    /// # use stratal_fs::MemFs;
    ///
    /// let db = Database::builder("/places").fs(Arc::new(MemFs::new())).open()?;
    /// let towns = db.open_keyspace("default")?;
    /// let begin = db.hold_history("search index")?;
    /// towns.put("AD/Vila", "1418")?;
    /// towns.put("AD/Vila", "1419")?;
    /// db.compact()?;
    ///
    /// let mut changes = towns.changes_since(begin)?;
    /// let until = changes.until();
    /// assert_eq!(
    ///     changes.next().transpose()?.map(|change| change.operation),
    ///     Some(Operation::Put { key: b"AD/Vila".into(), value: b"1418".into() }),
    /// );
    /// assert_eq!(changes.count(), 1);
    /// db.advance_history("search index", until)?;
    /// # drop(towns);
    /// # db.close()?;
    /// # Ok::<(), stratal::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotTooOld`], which names the floor, if any change since `since` may have been
    /// collected: there is never a gap. Those of making the log durable. Damage and read errors come
    /// from the iterator.
    pub fn changes_since(&self, since: SeqNo) -> Result<Changes, Error> {
        self.changes_with(since, ChangeOptions::default())
    }

    /// As [`changes_since`](Self::changes_since), as `options` say.
    ///
    /// # Errors
    ///
    /// As [`changes_since`](Self::changes_since).
    pub fn changes_with(&self, since: SeqNo, options: ChangeOptions) -> Result<Changes, Error> {
        let (inner, tree) = (self.database().inner(), &self.core().tree);
        // What was flushed is in tables, and was synced before.
        let durable = inner.durable_bound()?.max(tree.flushed());
        let options = ChangeOptions { until: options.until.min(durable), ..options };
        let changes = tree.changes_with(since, options);
        changes.map(Changes).map_err(|error| inner.engine_error(error))
    }
}

impl Database {
    /// Holds history for `holder` from the present on, durably, and returns that bound: changes with
    /// this number and higher ones stay, in every keyspace, until the holder
    /// [goes on](Self::advance_history) or [lets go](Self::release_history), and the database may be
    /// closed meanwhile. For one who holds already nothing changes, and the bound is where he is.
    ///
    /// What is held takes space, however long the holder stays away.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a name that has not 1 to 255 bytes; those of writing.
    pub fn hold_history(&self, holder: &str) -> Result<SeqNo, Error> {
        let inner = self.inner();
        inner.check_writable()?;
        inner.store.hold_history(holder).map_err(|error| inner.engine_error(error))
    }

    /// Notes, durably, that `holder` needs no history below `bound` any more. A bound that is not above
    /// his own changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if nothing is held for him; [`Error::InvalidArgument`] for a bound above the
    /// present; those of writing. History is held as before then.
    pub fn advance_history(&self, holder: &str, bound: SeqNo) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_writable()?;
        inner.store.advance_history(holder, bound).map_err(|error| inner.engine_error(error))
    }

    /// Holds nothing for `holder` any more, durably; returns whether anything was held for him.
    ///
    /// # Errors
    ///
    /// Those of writing. History is held as before then.
    pub fn release_history(&self, holder: &str) -> Result<bool, Error> {
        let inner = self.inner();
        inner.check_writable()?;
        inner.store.release_history(holder).map_err(|error| inner.engine_error(error))
    }

    /// For whom history is held, by name, and from which bound on.
    pub fn held_history(&self) -> Vec<(String, SeqNo)> {
        self.inner().store.held_history()
    }
}

impl Inner {
    /// Makes everything visible durable; returns the bound below which all is.
    fn durable_bound(&self) -> Result<SeqNo, Error> {
        if let Some(bound) = self.proven {
            return Ok(bound);
        }
        // In this order: a group is in the log before it is visible.
        let visible = self.store.clock().visible();
        self.sync_all()?;
        Ok(visible)
    }
}
