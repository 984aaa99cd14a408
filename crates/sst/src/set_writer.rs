//! Entries of any length as a sequence of tables.

use std::{io, sync::Arc};

use stratal_types::{Comparator, EntryDigest, EntryRef, Fragments, OutputCutter, Piece};

use crate::{
    Error, Finished, StoredBlock, TableContext, TableIdentity, TableSpec, TableWriter,
    carried::Carried,
};

/// Where the tables of a [`TableSetWriter`] go.
///
/// Files are begun and ended one after the other, so that each can be synced and closed before the
/// next is opened.
pub trait TableFiles {
    /// What one table is written to.
    type Sink: io::Write;
    /// Why a set of tables cannot be written.
    type Error;

    /// Opens the next file, and draws its identity.
    ///
    /// # Errors
    ///
    /// Whatever stands in the way; the set is given up then.
    fn begin(&mut self) -> Result<(Self::Sink, TableIdentity), Self::Error>;

    /// Takes the file that was begun last, for syncing and for its name.
    ///
    /// # Errors
    ///
    /// Whatever stands in the way; the set is given up then.
    fn end(&mut self, finished: Finished<Self::Sink>) -> Result<(), Self::Error>;

    /// What `error` of the table that was begun last is to the caller: the place to say which file it
    /// is about.
    fn fail(&mut self, error: Error) -> Self::Error;
}

/// Writes a sequence of entries as tables that follow one another without overlap, each begun when
/// the one before is long enough.
///
/// An [`OutputCutter`] says where: by length, at the fences of a level below, and only ever between
/// user keys. Each table carries the range tombstones of the span it is responsible for, which is wider
/// than the keys in it: the first from the start of the set's piece, each up to where the next begins, the
/// last up to the end. Tombstones without any entry make a table of their own.
///
/// What tombstones take counts for a table's length. Where many begin and end between two entries, tables
/// end among them: a table has about 4 MiB of bounds at most, unless tombstones lie over one another by the
/// ten thousand. Those that lie over the end of a table are in the next one too, and a table grows until it
/// is worth what it has of those.
///
/// Holds what one [`TableWriter`] does, and the range tombstones twice.
///
/// ```
/// use std::sync::Arc;
/// use stratal_sst::{
///     Error, Finished, TableContext, TableFiles, TableIdentity, TableOptions, TableSetWriter,
/// };
/// use stratal_types::{CutOptions, FileUid, OutputCutter, Piece};
///
/// /// Keeps tables in memory.
/// #[derive(Default)]
/// struct Kept(Vec<Vec<u8>>);
///
/// impl TableFiles for Kept {
///     type Sink = Vec<u8>;
///     type Error = Error;
///
///     fn begin(&mut self) -> Result<(Vec<u8>, TableIdentity), Error> {
///         Ok((Vec::new(), FileUid([self.0.len() as u8; 16]).into()))
///     }
///     fn end(&mut self, finished: Finished<Vec<u8>>) -> Result<(), Error> {
///         self.0.push(finished.sink);
///         Ok(())
///     }
///     fn fail(&mut self, error: Error) -> Error {
///         error
///     }
/// }
///
/// let ctx = TableContext::default();
/// let spec = Arc::new(TableOptions::default().validate()?);
/// let cut = CutOptions { table_len: 4_000, ..CutOptions::default() };
/// let cutter = OutputCutter::new(cut, &[], Piece::default(), ctx.comparator.as_ref());
/// let mut set = TableSetWriter::new(&ctx, spec, cutter, Kept::default());
/// for i in 0..1_000u32 {
///     set.put(&i.to_be_bytes(), &[7; 100])?;
/// }
/// let tables = set.finish()?.0;
/// assert!(tables.len() > 1);
/// # Ok::<(), stratal_sst::Error>(())
/// ```
#[derive(Debug)]
pub struct TableSetWriter<'a, F: TableFiles> {
    ctx: TableContext,
    spec: Arc<TableSpec>,
    cutter: OutputCutter<'a>,
    files: F,
    current: Option<TableWriter<F::Sink>>,
    tombstones: Carried,
    /// Where the span of the table at hand begins, if tables have ended.
    start: Option<Vec<u8>>,
    /// Buffers for keys.
    ends: (Vec<u8>, Vec<u8>),
    failed: bool,
}

impl<'a, F: TableFiles> TableSetWriter<'a, F> {
    /// Starts a set of tables in `files`, cut by `cutter`, which has the context's comparator.
    pub fn new(
        ctx: &TableContext,
        spec: Arc<TableSpec>,
        cutter: OutputCutter<'a>,
        files: F,
    ) -> Self {
        let tombstones = Carried::EMPTY;
        let (current, start, ends) = (None, None, Default::default());
        Self {
            ctx: ctx.clone(),
            spec,
            cutter,
            files,
            current,
            tombstones,
            start,
            ends,
            failed: false,
        }
    }

    /// As [`add`](Self::add), for tables without versions: each key once, ascending.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), F::Error> {
        use stratal_types::{EntryKind, SeqNo, Trailer};
        self.add(EntryRef::new(key, Trailer::new(SeqNo::ZERO, EntryKind::Put), value))
    }

    /// Adds an entry, which stands behind all others in internal order; a table may end before it.
    ///
    /// # Errors
    ///
    /// Those of [`TableWriter::add`] and of the files. After an error the set is to be given up: every
    /// call fails.
    pub fn add(&mut self, entry: EntryRef<'_>) -> Result<(), F::Error> {
        self.add_checked(entry, None)
    }

    /// Like [`add`](Self::add), for a caller to whom the entry's digest came with the entry. See
    /// [`TableWriter::add_with_digest`].
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), and [`Error::Damaged`].
    pub fn add_with_digest(
        &mut self,
        entry: EntryRef<'_>,
        digest: EntryDigest,
    ) -> Result<(), F::Error> {
        self.add_checked(entry, Some(digest))
    }

    fn add_checked(
        &mut self,
        entry: EntryRef<'_>,
        digest: Option<EntryDigest>,
    ) -> Result<(), F::Error> {
        self.go_on(|set| {
            if !set.goes_on_before(entry.key) {
                set.cut_before(entry)?;
            }
            let added = set.current()?.add_checked(entry, digest);
            added.map_err(|error| set.files.fail(error))
        })
    }

    /// Adds all entries of `block` at once, as [`TableWriter::add_block`] does; a table may end before
    /// it. `false` also if the set might better be cut within the block.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_block(&mut self, block: &StoredBlock<'_>) -> Result<bool, F::Error> {
        self.go_on(|set| {
            let (mut first, mut last) = std::mem::take(&mut set.ends);
            block.ends_into(&mut first, &mut last);
            if let Some(trailer) = block.rows.trailer(0) {
                set.cut_before(EntryRef::new(&first, trailer, &[]))?;
            }
            let is_one_piece = !set.cutter.has_fence_to(&last);
            let added = if is_one_piece { set.current()?.add_block(block) } else { Ok(false) };
            let added = added.map_err(|error| set.files.fail(error))?;
            if added {
                set.tombstones.pass(&last, set.ctx.comparator.as_ref());
            }
            set.ends = (first, last);
            Ok(added)
        })
    }

    /// Adds range tombstones to those given before. They come before the entries that they lie beside:
    /// tables that have ended are not written again.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfOrder`] if they begin before the table at hand does, and the tables before it have
    /// ended. Bounds that no table takes are refused when the table ends.
    pub fn add_tombstones(&mut self, fragments: &Fragments) -> Result<(), F::Error> {
        self.go_on(|set| {
            let comparator = set.comparator();
            // The first stretch ends where the first tombstone begins.
            let first = fragments.stretch(0).end.map(<[u8]>::to_vec);
            if let (Some(first), Some(start)) = (first, &set.start)
                && comparator.compare(&first, start).is_lt()
            {
                let error = Error::OutOfOrder { previous: start.clone(), key: first };
                return Err(set.files.fail(error));
            }
            let comparator = comparator.as_ref();
            let all = Fragments::merge([set.tombstones.fragments(), fragments], comparator);
            // What lies outside of the set's piece is another's, or in tables that have ended.
            let piece = set.cutter.piece();
            let all = piece.clip(&all, comparator);
            set.tombstones = Carried::new(all, piece.start.as_deref(), comparator);
            if let Some(writer) = set.current.as_ref().filter(|writer| writer.entries() > 0) {
                set.tombstones.pass(writer.last_key(), comparator);
            }
            Ok(())
        })
    }

    /// Ends the last table and gives the files back.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn finish(mut self) -> Result<F, F::Error> {
        if self.failed {
            return Err(self.files.fail(Error::WriterFailed));
        }
        let (comparator, end) = (self.comparator(), self.cutter.piece().end.clone());
        let is_before_end =
            |bound: &[u8]| end.as_deref().is_none_or(|end| comparator.compare(bound, end).is_lt());
        while self.cut_at_bound(is_before_end)? {}
        let piece = self.cutter.piece().clone();
        self.end_table(&piece)?;
        Ok(self.files)
    }

    /// Takes a step, unless an earlier one failed.
    #[inline]
    fn go_on<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, F::Error>,
    ) -> Result<T, F::Error> {
        if self.failed {
            return Err(self.files.fail(Error::WriterFailed));
        }
        let done = step(self);
        self.failed = done.is_err();
        done
    }

    fn comparator(&self) -> Arc<dyn Comparator> {
        Arc::clone(&self.ctx.comparator)
    }

    /// The table at hand, begun if there is none. A writer is large: it stays where it is.
    #[inline]
    fn current(&mut self) -> Result<&mut TableWriter<F::Sink>, F::Error> {
        if self.current.is_none() {
            self.begin()?;
        }
        self.current.as_mut().ok_or_else(|| self.files.fail(Error::WriterFailed))
    }

    fn begin(&mut self) -> Result<(), F::Error> {
        let (sink, identity) = self.files.begin()?;
        let writer = TableWriter::new(&self.ctx, sink, identity, Arc::clone(&self.spec));
        self.current = Some(writer.map_err(|error| self.files.fail(error))?);
        Ok(())
    }

    /// Whether no table ends before `key`, and nothing has to be noted of it: what is so of almost all
    /// entries, found out as fast as it can be.
    #[inline]
    fn goes_on_before(&self, key: &[u8]) -> bool {
        let Some(writer) = &self.current else { return false };
        let len_max = self.tombstones.add_to(writer.len_max());
        self.cutter.is_far_from_end(key, len_max)
            && !self.tombstones.has_bound_to(key, self.ctx.comparator.as_ref())
    }

    /// Ends tables, if it is time, between the last entry and `entry`.
    fn cut_before(&mut self, entry: EntryRef<'_>) -> Result<(), F::Error> {
        let check = |set: &mut Self| match &set.current {
            Some(writer) => writer.check_order(entry).map(drop).map_err(|it| set.files.fail(it)),
            None => Ok(()),
        };
        let comparator = self.comparator();
        while self.tombstones.has_bound_to(entry.key, comparator.as_ref()) {
            // Bounds up to a key are passed with it, so that this is behind the last key.
            check(self)?;
            if !self.cut_at_bound(|bound| comparator.compare(bound, entry.key).is_le())? {
                break;
            }
        }
        let len = self.current.as_ref().map_or(0, TableWriter::estimated_len);
        if let Some(piece) = self.cutter.before(entry.key, self.tombstones.add_to(len)) {
            check(self)?;
            self.end_table(&piece)?;
            self.start = piece.end;
        }
        Ok(())
    }

    /// Ends the table at hand at a bound of range tombstones, if one that is `within` is right for that;
    /// otherwise passes all those.
    fn cut_at_bound(&mut self, within: impl Fn(&[u8]) -> bool) -> Result<bool, F::Error> {
        let table_len = self.cutter.options().table_len;
        let Some(bound) = self.tombstones.cut(table_len, within) else { return Ok(false) };
        let piece = self.cutter.end_before(&bound);
        self.end_table(&piece)?;
        self.start = piece.end;
        Ok(true)
    }

    /// Ends the table that is responsible for `piece`, if it holds anything.
    fn end_table(&mut self, piece: &Piece) -> Result<(), F::Error> {
        let comparator = self.comparator();
        let carried = piece.clip(self.tombstones.fragments(), comparator.as_ref());
        self.tombstones.begin();
        if self.current.is_none() && carried.is_empty() {
            return Ok(());
        }
        let added = self.current()?.add_tombstones(&carried);
        added.map_err(|error| self.files.fail(error))?;
        let Some(writer) = self.current.take() else { return Ok(()) };
        let finished = writer.finish().map_err(|error| self.files.fail(error))?;
        self.files.end(finished)
    }
}
