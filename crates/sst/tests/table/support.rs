//! What the tests of this crate share: making a table and asking it everything.

use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use stratal_sst::{
    Error, ReadAt, RootKey, Table, TableContext, TableIdentity, TableOptions, TableWriter,
};
use stratal_testkit::Model;
use stratal_types::{Comparator, Cursor, EntryRef, FileUid, Fragments, RangeTombstone, Trailer};

/// A stored version, owned.
pub(crate) type Entry = (Vec<u8>, Trailer, Vec<u8>);

pub(crate) const UID: FileUid = FileUid([0xa5; 16]);
pub(crate) const IDENTITY: TableIdentity = TableIdentity { uid: UID, salt: [0x5a; 32] };

/// A context of its own, in the order of `comparator`, with a root key.
pub(crate) fn context(comparator: Arc<dyn Comparator>) -> TableContext {
    let keys = [RootKey::new(3, [0xcc; 32])].into_iter().collect();
    TableContext { comparator, keys: Arc::new(keys), ..TableContext::default() }
}

/// The file that holds `entries`, which stand in internal order.
pub(crate) fn write(
    ctx: &TableContext,
    options: TableOptions,
    entries: &[Entry],
) -> Result<Vec<u8>, Error> {
    let spec = Arc::new(options.validate()?);
    let mut writer = TableWriter::new(ctx, Vec::new(), IDENTITY, spec)?;
    for (key, trailer, value) in entries {
        writer.add(EntryRef::new(key, *trailer, value))?;
    }
    Ok(writer.finish()?.sink)
}

/// The file that holds everything that was ever written to `model`.
pub(crate) fn write_model(
    ctx: &TableContext,
    options: TableOptions,
    model: &Model,
) -> Result<Vec<u8>, Error> {
    let spec = Arc::new(options.validate()?);
    let mut writer = TableWriter::new(ctx, Vec::new(), IDENTITY, spec)?;
    for (key, trailer, value) in model.entries() {
        writer.add(EntryRef::new(&key, trailer, &value))?;
    }
    writer.add_tombstones(&fragments_of(model))?;
    Ok(writer.finish()?.sink)
}

pub(crate) fn fragments_of(model: &Model) -> Fragments {
    let tombstones = model.tombstones().iter();
    let tombstones: Vec<_> = tombstones
        .map(|(from, to, seqno)| RangeTombstone::new(from.clone(), to.clone(), *seqno))
        .collect();
    Fragments::build(&tombstones, model.comparator())
}

pub(crate) fn open(ctx: &TableContext, file: &[u8]) -> Result<Table, Error> {
    Table::open(ctx, Arc::new(Bytes::copy_from_slice(file)))
}

/// Every stored version, front to back.
pub(crate) fn forward(table: &Table) -> Result<Vec<Entry>, Error> {
    let mut cursor = table.cursor();
    let mut entries = Vec::new();
    cursor.advance()?;
    while let Some(entry) = cursor.entry() {
        entries.push(owned(entry));
        cursor.advance()?;
    }
    Ok(entries)
}

/// Every stored version, back to front.
pub(crate) fn backward(table: &Table) -> Result<Vec<Entry>, Error> {
    let mut cursor = table.cursor();
    let mut entries = Vec::new();
    cursor.seek_to_last()?;
    while let Some(entry) = cursor.entry() {
        entries.push(owned(entry));
        cursor.retreat()?;
    }
    Ok(entries)
}

pub(crate) fn owned(entry: EntryRef<'_>) -> Entry {
    (entry.key.to_vec(), entry.trailer, entry.value.to_vec())
}

/// A source that notes which ranges are read.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    bytes: Bytes,
    reads: Mutex<Vec<Range<u64>>>,
}

impl Counted {
    pub(crate) fn new(file: &[u8]) -> Arc<Self> {
        Arc::new(Self { bytes: Bytes::copy_from_slice(file), ..Self::default() })
    }

    /// What was read since this was asked last.
    pub(crate) fn take(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.reads.lock().unwrap())
    }
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        ReadAt::len(&self.bytes)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.reads.lock().unwrap().push(range.clone());
        self.bytes.read(range)
    }
}
