//! Several tables into one, or into a set.

use std::io;

use stratal_merge::MergingCursor;
use stratal_types::{Cursor, EntryDigest, EntryKind, EntryRef, Fragments, SeqNo, Trailer};

use crate::{Error, Table, TableCursor, TableFiles, TableSetWriter, TableWriter};

/// Which entries of the inputs a merge writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Every version of every key and every range tombstone: a read at any bound finds in the output
    /// what it found in the inputs.
    Versions,
    /// What a read of the newest state needs, while older tables may exist that are not among the
    /// inputs: of each key the newest version (with the operands that stand on it), deletes and range
    /// tombstones included, because they hide what those tables hold.
    ///
    /// A weak delete becomes a plain one and a put under which a delete is dropped a put over delete, so
    /// that a tree may go on with the result.
    #[default]
    Newest,
    /// What a read of the newest state finds, where nothing older exists anywhere: deletes and range
    /// tombstones are applied and dropped.
    Live,
}

/// What a merge read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeSummary {
    /// Entries of the inputs, each counted once however many inputs have it.
    pub read: u64,
    /// Entries written.
    pub written: u64,
}

/// Why tables could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError<E> {
    /// An input failed.
    #[error("input {number}: {source}")]
    Input {
        /// Which one; the first, and newest, is 0.
        number: usize,
        /// What the table said.
        source: Error,
    },
    /// The output failed.
    #[error(transparent)]
    Output(E),
}

/// What takes entries in order: a [`TableWriter`] or a [`TableSetWriter`].
pub trait TableOutput {
    /// Why it cannot.
    type Error;

    /// Adds an entry behind all others.
    ///
    /// # Errors
    ///
    /// Those of the output; the merge ends.
    fn add(&mut self, entry: EntryRef<'_>) -> Result<(), Self::Error>;

    /// Adds an entry behind all others, with the digest that came with it. An output that stores digests
    /// stores that one; the others, as here, do without.
    ///
    /// # Errors
    ///
    /// Those of the output; the merge ends.
    fn add_with_digest(
        &mut self,
        entry: EntryRef<'_>,
        digest: EntryDigest,
    ) -> Result<(), Self::Error> {
        let _ = digest;
        self.add(entry)
    }

    /// Adds range tombstones, all of them before the first entry.
    ///
    /// # Errors
    ///
    /// Those of the output; the merge ends.
    fn add_tombstones(&mut self, fragments: &Fragments) -> Result<(), Self::Error>;
}

impl<W: io::Write> TableOutput for TableWriter<W> {
    type Error = Error;

    fn add(&mut self, entry: EntryRef<'_>) -> Result<(), Error> {
        Self::add(self, entry)
    }

    fn add_with_digest(&mut self, entry: EntryRef<'_>, digest: EntryDigest) -> Result<(), Error> {
        Self::add_with_digest(self, entry, digest)
    }

    fn add_tombstones(&mut self, fragments: &Fragments) -> Result<(), Error> {
        Self::add_tombstones(self, fragments)
    }
}

impl<F: TableFiles> TableOutput for TableSetWriter<'_, F> {
    type Error = F::Error;

    fn add(&mut self, entry: EntryRef<'_>) -> Result<(), F::Error> {
        Self::add(self, entry)
    }

    fn add_with_digest(
        &mut self,
        entry: EntryRef<'_>,
        digest: EntryDigest,
    ) -> Result<(), F::Error> {
        Self::add_with_digest(self, entry, digest)
    }

    fn add_tombstones(&mut self, fragments: &Fragments) -> Result<(), F::Error> {
        Self::add_tombstones(self, fragments)
    }
}

/// Writes what `inputs` hold, newest first and all of one comparator, to `output`, which the caller
/// finishes.
///
/// Entries stand in internal order. Of entries with the same key and sequence number the newest
/// input's is taken; in tables without versions that is the newest input's of each key. `keep` says
/// which of a key's versions are written. Operands are written as they are: folding them is for a tree.
///
/// Streams: holds one data block and the index of each input, all range tombstones and one entry. A
/// step costs some `log₂ inputs` comparisons. Entries keep the digests that they have.
///
/// # Errors
///
/// [`MergeError::Input`] if an input cannot be read, or its comparator is not that of the first;
/// [`MergeError::Output`] if the output refuses. What was written then is not to be used.
///
/// ```
/// use std::sync::Arc;
/// use bytes::Bytes;
/// use stratal_sst::{Keep, MergeError, Table, TableContext, TableOptions, TableWriter, merge_tables};
/// use stratal_types::FileUid;
///
/// let ctx = TableContext::default();
/// let spec = Arc::new(TableOptions::default().validate()?);
/// let writer = |uid| TableWriter::new(&ctx, Vec::new(), FileUid([uid; 16]), Arc::clone(&spec));
/// let table = |uid, rows: &[(&str, &str)]| {
///     let mut writer = writer(uid)?;
///     for (key, value) in rows {
///         writer.put(key.as_bytes(), value.as_bytes())?;
///     }
///     Table::open(&ctx, Arc::new(Bytes::from(writer.finish()?.sink)))
/// };
/// let older = table(1, &[("AD/Canillo", "3292"), ("AD/Vila", "1418")])?;
/// let newer = table(2, &[("AD/Vila", "1420"), ("AE/Warisan", "108759")])?;
///
/// let mut merged = writer(3)?;
/// let summary = merge_tables(&[newer, older], Keep::Live, &mut merged)?;
/// assert_eq!(summary.written, 3);
/// let merged = Table::open(&ctx, Arc::new(Bytes::from(merged.finish()?.sink)))?;
/// assert_eq!(merged.get(b"AD/Vila")?.as_deref(), Some(&b"1420"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn merge_tables<O: TableOutput>(
    inputs: &[Table],
    keep: Keep,
    output: &mut O,
) -> Result<MergeSummary, MergeError<O::Error>> {
    let Some(first) = inputs.first() else { return Ok(MergeSummary::default()) };
    let comparator = &first.context().comparator;
    let (mut cursors, mut fragments) = (Vec::new(), Vec::new());
    for (number, table) in inputs.iter().enumerate() {
        let failed = |source| MergeError::Input { number, source };
        let (expected, found) = (comparator.name(), table.comparator().name());
        if expected != found {
            let (expected, found) = (expected.to_owned(), found.to_owned());
            return Err(failed(Error::ComparatorMismatch { expected, found }));
        }
        fragments.push(table.tombstones().map_err(failed)?);
        cursors.push(Input { number, cursor: table.scanner() });
    }
    let tombstones = Fragments::merge(fragments.iter().map(AsRef::as_ref), comparator.as_ref());
    if keep != Keep::Live && !tombstones.is_empty() {
        output.add_tombstones(&tombstones).map_err(MergeError::Output)?;
    }

    let mut merging = MergingCursor::new(cursors, comparator.clone());
    let mut newest = Newest::new(keep, output);
    let mut read = 0;
    loop {
        merging.advance().map_err(|(number, source)| MergeError::Input { number, source })?;
        let Some(entry) = merging.entry() else { break };
        read += 1;
        let covering = || tombstones.covering(entry.key, SeqNo::MAX, comparator.as_ref());
        let is_hidden = || covering().is_some_and(|newest| newest > entry.seqno());
        newest.take(entry, merging.digest(), is_hidden).map_err(MergeError::Output)?;
    }
    let written = newest.finish().map_err(MergeError::Output)?;
    Ok(MergeSummary { read, written })
}

/// A cursor that says which input failed.
struct Input {
    number: usize,
    cursor: TableCursor,
}

impl Input {
    fn step(
        &mut self,
        step: impl FnOnce(&mut TableCursor) -> Result<(), Error>,
    ) -> Result<(), (usize, Error)> {
        step(&mut self.cursor).map_err(|error| (self.number, error))
    }
}

impl Cursor for Input {
    type Error = (usize, Error);

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Self::Error> {
        self.step(|cursor| cursor.seek(key, bound))
    }

    fn seek_to_first(&mut self) -> Result<(), Self::Error> {
        self.step(TableCursor::seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<(), Self::Error> {
        self.step(TableCursor::seek_to_last)
    }

    fn advance(&mut self) -> Result<(), Self::Error> {
        self.step(TableCursor::advance)
    }

    fn retreat(&mut self) -> Result<(), Self::Error> {
        self.step(TableCursor::retreat)
    }

    fn entry(&self) -> Option<EntryRef<'_>> {
        self.cursor.entry()
    }

    fn digest(&self) -> Option<EntryDigest> {
        self.cursor.digest()
    }
}

/// Passes on what is to be kept. Of the key at hand it holds one entry back, until it is known what
/// is dropped beneath.
struct Newest<'a, O> {
    keep: Keep,
    output: &'a mut O,
    written: u64,
    /// The key at hand; empty before the first.
    key: Vec<u8>,
    held: Option<(Trailer, Option<EntryDigest>)>,
    value: Vec<u8>,
    /// Whether nothing older of the key matters.
    settled: bool,
    /// Whether a delete was dropped under the entry held.
    over_delete: bool,
}

impl<'a, O: TableOutput> Newest<'a, O> {
    fn new(keep: Keep, output: &'a mut O) -> Self {
        let (key, value) = (Vec::new(), Vec::new());
        let (held, written) = (None, 0);
        Self { keep, output, written, key, held, value, settled: false, over_delete: false }
    }

    fn take(
        &mut self,
        entry: EntryRef<'_>,
        digest: Option<EntryDigest>,
        is_hidden: impl FnOnce() -> bool,
    ) -> Result<(), O::Error> {
        if self.keep == Keep::Versions {
            self.written += 1;
            return add(self.output, entry, digest);
        }
        if self.key != entry.key {
            self.write_held()?;
            self.key.clear();
            self.key.extend_from_slice(entry.key);
            self.settled = false;
        }
        if self.settled || is_hidden() {
            self.settled = true;
            self.over_delete |= entry.kind().is_delete();
            return Ok(());
        }
        self.write_held()?;
        self.value.clear();
        self.value.extend_from_slice(entry.value);
        self.held = Some((entry.trailer, digest));
        self.settled = entry.kind() != EntryKind::Merge;
        Ok(())
    }

    fn finish(mut self) -> Result<u64, O::Error> {
        self.write_held()?;
        Ok(self.written)
    }

    fn write_held(&mut self) -> Result<(), O::Error> {
        let over_delete = std::mem::take(&mut self.over_delete);
        let Some((held, digest)) = self.held.take() else { return Ok(()) };
        let kind = match (self.keep, held.kind()) {
            (Keep::Live, kind) if kind.is_delete() => return Ok(()),
            // It may have met the one put that it was meant for, and must hide what is older.
            (Keep::Newest, EntryKind::WeakDelete) => EntryKind::Delete,
            (Keep::Newest, EntryKind::Put) if over_delete => EntryKind::PutOverDelete,
            (Keep::Newest, EntryKind::ValuePointer) if over_delete => {
                EntryKind::ValuePointerOverDelete
            }
            (_, kind) => kind,
        };
        self.written += 1;
        let trailer = Trailer::new(held.seqno(), kind);
        let digest = digest.map(|digest| digest.moved(held, trailer));
        let entry = EntryRef::new(&self.key, trailer, &self.value);
        add(self.output, entry, digest)
    }
}

fn add<O: TableOutput>(
    output: &mut O,
    entry: EntryRef<'_>,
    digest: Option<EntryDigest>,
) -> Result<(), O::Error> {
    match digest {
        Some(digest) => output.add_with_digest(entry, digest),
        None => output.add(entry),
    }
}
