use stratal_engine::{IngestSummary, ReadyTables};
use stratal_types::sync::Arc;

use crate::{
    Error, Keyspace,
    inner::{Core, Inner},
    log::Log,
    work::Role,
};

/// Sorted rows on their way into a keyspace in one piece, straight into tables.
///
/// Rows come in the keyspace's order, each key once. They are visible, all at once, and durable when
/// [`finish`](Self::finish) returns, and then they replace what was there, as a batch would. They are
/// neither logged nor held in memory: for many rows at once this is the cheapest way in. Dropped
/// unfinished, it leaves nothing behind.
///
/// ```
/// use stratal::Database;
/// # let dir = tempfile::tempdir()?;
/// let db = Database::builder(dir.path()).open()?;
/// let places = db.open_keyspace("default")?;
/// places.put("AD/Encamp", "11223")?;
///
/// let mut andorra = places.ingestion()?;
/// andorra.excise_prefix(b"AD/")?;          // what was there goes
/// andorra.put(b"AD/Canillo", b"3292")?;
/// andorra.put(b"AD/Vila", b"1418")?;
/// assert_eq!(andorra.finish()?.rows, 2);
///
/// assert_eq!(places.get("AD/Encamp")?, None);
/// assert_eq!(places.get("AD/Vila")?.as_deref(), Some(&b"1418"[..]));
/// # db.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ingestion<'a> {
    rows: stratal_engine::Ingestion<'a>,
    inner: &'a Inner,
    core: &'a Arc<Core>,
}

impl Keyspace {
    /// Begins an ingestion. What is committed before it is finished is older than its rows.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`].
    pub fn ingestion(&self) -> Result<Ingestion<'_>, Error> {
        let (inner, core) = (self.inner(), self.core());
        inner.check_writable()?;
        Ok(Ingestion { rows: core.tree.ingestion(), inner, core })
    }
}

impl Ingestion<'_> {
    /// Gives `key` a value.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `key` does not stand behind the one before; [`Error::TooLarge`];
    /// whatever writing said. The ingestion is of no use then but to be dropped.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.rows.put(key, value).map_err(|error| self.inner.engine_error(error))
    }

    /// Takes the value of `key` away that the keyspace holds.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Error> {
        self.rows.delete(key).map_err(|error| self.inner.engine_error(error))
    }

    /// Takes the value of `key` away, which was put exactly once since its last delete.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn weak_delete(&mut self, key: &[u8]) -> Result<(), Error> {
        self.rows.weak_delete(key).map_err(|error| self.inner.engine_error(error))
    }

    /// Lets the keyspace's merge operator apply `operand` to the value that `key` has in it, or to
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and [`Error::InvalidArgument`] if there is no merge operator.
    /// [`Error::NotMergeable`] if the operand makes no sense on its own and `key` is a prefix that was
    /// [excised](Self::excise_prefix), in an order in which it is the last key of it: then it is folded
    /// here and now.
    pub fn merge(&mut self, key: &[u8], operand: &[u8]) -> Result<(), Error> {
        self.rows.merge(key, operand).map_err(|error| self.inner.engine_error(error))
    }

    /// Takes away what the keyspace holds from `from` up to, and without, `to`; rows of this ingestion
    /// stay. To be called before the rows that lie in the range. Costs the same for any number of keys.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), about `from`.
    pub fn excise(&mut self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        self.rows.excise(from, to).map_err(|error| self.inner.engine_error(error))
    }

    /// Takes away what the keyspace holds under keys that begin with `prefix`: everything, if it is
    /// empty. As [`excise`](Self::excise).
    ///
    /// # Errors
    ///
    /// As [`excise`](Self::excise), and [`Error::InvalidArgument`] where keys with a prefix do not stand
    /// together.
    pub fn excise_prefix(&mut self, prefix: &[u8]) -> Result<(), Error> {
        self.rows.excise_prefix(prefix).map_err(|error| self.inner.engine_error(error))
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.rows()
    }

    /// Makes all of it visible and durable. Without rows and excises it does nothing.
    ///
    /// Commits wait while it takes its place among them: for a sync of the log, for a flush if memory
    /// holds something in the span of the rows, and for the manifest.
    ///
    /// # Errors
    ///
    /// Whatever writing said; none of it is visible then. [`Error::UnknownOutcome`] if it may be there
    /// when the database is opened again.
    pub fn finish(self) -> Result<IngestSummary, Error> {
        let Self { rows, inner, core } = self;
        let tables = rows.ready().map_err(|error| inner.engine_error(error))?;
        if tables.is_empty() {
            return Ok(IngestSummary::default());
        }
        inner.ingest(core, tables)
    }
}

impl Inner {
    /// Gives `tables` their place among the commits.
    fn ingest(&self, core: &Arc<Core>, tables: ReadyTables) -> Result<IngestSummary, Error> {
        self.check_writable()?;
        self.pace(&std::iter::once(core.as_ref()), 0, 0)?;
        if core.tree.is_in_memory(&tables) {
            // Most of what is older, while others may still commit.
            self.flush(core, true)?;
        }
        let ingested = {
            let mut log = self.log.lock();
            self.ingest_next(&mut log, core, tables)
        };
        self.memory.note(core);
        core.note_pressure();
        self.work.wake_all();
        self.work.want(Role::Merge);
        // What was flushed for it needs no log. If that cannot be put down now, the next flush does it; the
        // rows are there all the same, so that it is told as what goes wrong in the background is.
        self.work.note(&self.retire().map(|()| false));
        ingested
    }

    /// Ingests `tables` behind everything that was committed. For whoever holds the log.
    ///
    /// All that is older is durable before: after a power failure there is nothing of which something
    /// older is missing.
    fn ingest_next(
        &self,
        log: &mut Log,
        core: &Core,
        tables: ReadyTables,
    ) -> Result<IngestSummary, Error> {
        self.check_open()?;
        if core.is_dropped() {
            return Err(Error::no_keyspace(&core.name));
        }
        self.sync_held(log)?;
        if core.tree.is_in_memory(&tables) {
            core.tree.seal();
            core.tree.flush_sealed().map_err(|error| self.engine_error(error))?;
        }
        let clock = self.store.clock();
        let seqno = clock.allocate(1).map_err(|error| self.engine_error(error))?;
        let installed = core.tree.install_ingested(tables, seqno);
        // Also if it failed: nothing has that number then, and nothing ever will.
        clock.publish(clock.next());
        installed.map_err(|error| match self.engine_error(error) {
            error if self.store.is_settled() => error,
            error => Error::UnknownOutcome { why: error.to_string() },
        })
    }

    /// Makes everything that was committed durable. For whoever holds the log.
    fn sync_held(&self, log: &mut Log) -> Result<(), Error> {
        let (Some(syncer), Some(wal)) = (&self.syncer, log.wal.as_mut()) else {
            return self.check_open();
        };
        let end = wal.end_lsn();
        let mut tried = Ok(());
        // More than once: a segment that fails is closed, and the next one is another file.
        for _ in 0..3 {
            tried = wal.flush().and_then(|()| syncer.sync().map(drop));
            if syncer.durable_lsn() >= end {
                return Ok(());
            }
        }
        tried.map_err(|error| {
            self.note_log_failure(&error);
            self.wal_error(error)
        })?;
        Err(Error::ReadOnly { why: "the log cannot be synced".into() })
    }
}
