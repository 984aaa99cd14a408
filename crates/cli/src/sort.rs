//! Sorting more records than fit in memory.
//!
//! ```text
//! records ─▶ Batch ──full──▶ sorted ─▶ run, a table beside the output ─▶ merge_tables ─▶ output
//! ```
//!
//! A batch that stands wholly behind the run before goes on with that run: input that is sorted already
//! makes one run, however long it is, and is never merged with anything.

use std::{
    cmp::Ordering,
    io::Write,
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_block::{Compression, Seal};
use stratal_cache::Cache;
use stratal_fs::{Access, Fs, NewFile, StdFs};
use stratal_sst::{
    FileSource, Keep, MergeError, Table, TableContext, TableOptions, TableOutput, TableSpec,
    TableWriter, merge_tables,
};
use stratal_types::{Comparator, EntryKind, EntryRef, FileUid, SeqNo, Trailer};

use crate::{
    failure::Failure,
    file::{self, remove_leftover},
    input::{Record, Records},
    progress::Bar,
    secret,
};

/// Bytes in a block of a run: large, because runs are read from end to end.
const RUN_BLOCK_LEN: u32 = 64 << 10;

/// Bytes that a record costs in a batch beside key and value, and while the batch is sorted.
const SLOT_LEN: usize = 2 * size_of::<Slot>();

/// Bytes of a key that stand in its slot.
const HEAD_LEN: usize = 8;

/// What all values are written as.
const PUT: Trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);

/// Records by ascending key, each key once: of records with one key the last that was read.
pub(crate) enum Sorted {
    Memory(Batch),
    Runs(Vec<Run>),
}

/// Where a sort takes place.
pub(crate) struct Place<'a> {
    /// About how many bytes it takes in memory.
    pub(crate) memory: u64,
    /// Beside which file it puts what does not fit there.
    pub(crate) beside: &'a Path,
    /// How that is encrypted, under a key that nobody learns.
    pub(crate) seal: Seal,
}

impl Sorted {
    /// Reads all records. Files that it takes are gone when this is dropped.
    pub(crate) fn read(
        records: &mut Records<'_>,
        comparator: &Arc<dyn Comparator>,
        place: &Place<'_>,
        bar: &Bar,
    ) -> Result<Self, Failure> {
        let progress = records.progress().clone();
        Self::gather(|| records.next(), comparator, place, || bar.set(progress.read()))
    }

    /// Takes all records that `next` gives; `noted` hears of each piece that is done. As
    /// [`read`](Self::read).
    pub(crate) fn gather(
        mut next: impl FnMut() -> Result<Option<Record>, Failure>,
        comparator: &Arc<dyn Comparator>,
        place: &Place<'_>,
        mut noted: impl FnMut(),
    ) -> Result<Self, Failure> {
        let memory = usize::try_from(place.memory).unwrap_or(usize::MAX);
        let batch_len_max = memory / 2;
        let mut batch = Batch::default();
        let mut runs = Runs::new(comparator, memory, place)?;
        while let Some(record) = next()? {
            if !batch.slots.is_empty() && batch.memory_with(&record) > batch_len_max {
                batch.sort(comparator.as_ref());
                runs.append(&batch)?;
                batch.clear();
                noted();
            }
            batch.push(&record);
        }
        batch.sort(comparator.as_ref());
        if runs.is_empty() {
            return Ok(Self::Memory(batch));
        }
        runs.append(&batch)?;
        drop(batch);
        Ok(Self::Runs(runs.finish()?))
    }

    /// Hands every record to `output`, in order.
    pub(crate) fn write<O: TableOutput>(
        &self,
        output: &mut O,
        fail: impl Fn(O::Error) -> Failure,
    ) -> Result<(), Failure> {
        match self {
            Self::Memory(batch) => {
                let mut records = batch.records();
                records.try_for_each(|(key, value)| output.add(EntryRef::new(key, PUT, value)))
            }
            .map_err(fail),
            Self::Runs(runs) => merge(runs, output, fail),
        }
    }

    /// Records, those counted that stand in two runs.
    pub(crate) fn len_max(&self) -> u64 {
        match self {
            Self::Memory(batch) => batch.slots.len() as u64,
            Self::Runs(runs) => runs.iter().map(|run| run.table.properties().entries).sum(),
        }
    }
}

/// Records in memory.
#[derive(Default)]
pub(crate) struct Batch {
    /// Keys and values, one after the other.
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

/// Where a record is.
#[derive(Clone, Copy)]
struct Slot {
    /// The first bytes of the key, zeros behind a shorter one, for comparing.
    head: [u8; HEAD_LEN],
    offset: usize,
    key_len: u32,
    value_len: u32,
}

impl Batch {
    fn push(&mut self, (key, value): &Record) {
        let mut head = [0; HEAD_LEN];
        head.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        // Both are bounded by what a table takes, which is checked when a record is read.
        let len = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot {
            head,
            offset: self.bytes.len(),
            key_len: len(key),
            value_len: len(value),
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
    }

    /// Bytes in use with one more record.
    fn memory_with(&self, (key, value): &Record) -> usize {
        self.bytes.len() + key.len() + value.len() + (self.slots.len() + 1) * SLOT_LEN
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.slots.clear();
    }

    fn record(&self, slot: Slot) -> (&[u8], &[u8]) {
        let Slot { offset, key_len, value_len, .. } = slot;
        let key_end = offset + key_len as usize;
        let key = self.bytes.get(offset..key_end).unwrap_or_default();
        (key, self.bytes.get(key_end..key_end + value_len as usize).unwrap_or_default())
    }

    /// Puts records in order, and drops all but the last of each key.
    fn sort(&mut self, comparator: &dyn Comparator) {
        let mut slots = mem::take(&mut self.slots);
        let is_bytewise = comparator.is_bytewise();
        // The later of two records with one key first: the first of equal ones stays.
        slots.sort_unstable_by(|a, b| {
            let by_head = if is_bytewise { a.head.cmp(&b.head) } else { Ordering::Equal };
            let by_key = || comparator.compare(self.record(*a).0, self.record(*b).0);
            by_head.then_with(by_key).then_with(|| b.offset.cmp(&a.offset))
        });
        slots.dedup_by(|a, b| self.record(*a).0 == self.record(*b).0);
        self.slots = slots;
    }

    fn records(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.slots.iter().map(|slot| self.record(*slot))
    }
}

/// A sorted part of the input in a file of its own.
pub(crate) struct Run {
    table: Table,
    file: Temporary,
}

/// A file that goes with this value.
struct Temporary {
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed is replaced when the same output is written again.
        drop(StdFs.remove_file(&self.path));
    }
}

/// A run that may still grow.
struct Growing {
    writer: TableWriter<NewFile>,
    file: Temporary,
    last_key: Vec<u8>,
}

/// The runs made so far, of different ages.
struct Runs {
    ctx: TableContext,
    spec: Arc<TableSpec>,
    output: PathBuf,
    /// How many runs are merged at once: as many as have a block each in memory.
    fan_in: usize,
    growing: Option<Growing>,
    /// Runs of a level are about as long as `fan_in` of the level before, and older. Within a level
    /// the oldest stand first.
    levels: Vec<Vec<Run>>,
    made: u64,
}

impl Runs {
    fn new(
        comparator: &Arc<dyn Comparator>,
        memory: usize,
        place: &Place<'_>,
    ) -> Result<Self, Failure> {
        let options = TableOptions {
            block_len_target: RUN_BLOCK_LEN,
            compression: Compression::Lz4,
            seal: place.seal,
            filter: None,
            ..TableOptions::default()
        };
        let spec = options.validate().map_err(|error| Failure::table(place.beside, &error))?;
        let cache = Arc::new(Cache::new(memory as u64 / 8));
        let comparator = Arc::clone(comparator);
        let keys = match place.seal {
            Seal::None => Arc::default(),
            _ => secret::passing_keys()?,
        };
        Ok(Self {
            ctx: TableContext { cache, comparator, keys, ..TableContext::default() },
            spec: Arc::new(spec),
            output: place.beside.to_owned(),
            fan_in: (memory / 4 / (2 * RUN_BLOCK_LEN as usize)).clamp(8, 512),
            growing: None,
            levels: vec![Vec::new()],
            made: 0,
        })
    }

    fn is_empty(&self) -> bool {
        self.made == 0
    }

    /// Adds a sorted batch: to the last run if it stands behind that, else as a new one.
    fn append(&mut self, batch: &Batch) -> Result<(), Failure> {
        let (Some((first, _)), Some((last, _))) =
            (batch.records().next(), batch.records().next_back())
        else {
            return Ok(());
        };
        let comparator = Arc::clone(&self.ctx.comparator);
        let goes_on = |growing: &Growing| comparator.compare(&growing.last_key, first).is_lt();
        if !self.growing.as_ref().is_some_and(goes_on) {
            self.end_run()?;
            self.growing = Some(self.begin_run()?);
        }
        let Some(growing) = &mut self.growing else { return Ok(()) };
        for (key, value) in batch.records() {
            let put = growing.writer.put(key, value);
            put.map_err(|error| Failure::table(&growing.file.path, &error))?;
        }
        growing.last_key = last.to_vec();
        Ok(())
    }

    /// Every run there is, the newest first, as few as can be merged at once.
    fn finish(mut self) -> Result<Vec<Run>, Failure> {
        self.end_run()?;
        let mut level = 0;
        while self.levels.iter().map(Vec::len).sum::<usize>() > self.fan_in {
            self.merge_level(level)?;
            level += 1;
        }
        let runs = self.levels.into_iter().flat_map(|level| level.into_iter().rev());
        Ok(runs.collect())
    }

    fn begin_run(&mut self) -> Result<Growing, Failure> {
        self.made += 1;
        let path = file::beside(&self.output, &format!("run-{}", self.made))?.1;
        remove_leftover(&path)?;
        let sink =
            NewFile::create(&StdFs, &path).map_err(|error| Failure::io(&path, "create", &error))?;
        let file = Temporary { path };
        let uid = FileUid(u128::from(self.made).to_le_bytes());
        let id = secret::identity(uid, self.spec.options().seal)?;
        let writer = TableWriter::new(&self.ctx, sink, id, Arc::clone(&self.spec))
            .map_err(|error| Failure::table(&file.path, &error))?;
        Ok(Growing { writer, file, last_key: Vec::new() })
    }

    /// Ends the run that grows, and merges levels that are full.
    fn end_run(&mut self) -> Result<(), Failure> {
        let Some(growing) = self.growing.take() else { return Ok(()) };
        let run = self.close(growing)?;
        self.add(0, run);
        let mut level = 0;
        while self.levels.get(level).is_some_and(|runs| runs.len() >= self.fan_in) {
            self.merge_level(level)?;
            level += 1;
        }
        Ok(())
    }

    fn add(&mut self, level: usize, run: Run) {
        if self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        if let Some(runs) = self.levels.get_mut(level) {
            runs.push(run);
        }
    }

    /// Makes one run of a level's, for the next level.
    fn merge_level(&mut self, level: usize) -> Result<(), Failure> {
        let Some(mut runs) = self.levels.get_mut(level).map(mem::take) else { return Ok(()) };
        runs.reverse();
        let mut growing = self.begin_run()?;
        let path = growing.file.path.clone();
        merge(&runs, &mut growing.writer, |error| Failure::table(&path, &error))?;
        let run = self.close(growing)?;
        self.add(level + 1, run);
        Ok(())
    }

    fn close(&self, growing: Growing) -> Result<Run, Failure> {
        let Growing { writer, file, .. } = growing;
        let path = &file.path;
        let fail = |error: &_| Failure::table(path, error);
        let mut sink = writer.finish().map_err(|error| fail(&error))?.sink;
        let io = |error| Failure::io(path, "write", &error);
        // Nobody needs it after a crash, so it is not synced.
        sink.flush().map_err(io)?;
        let source = StdFs.open(path, Access::Read).and_then(FileSource::new).map_err(io)?;
        let table = Table::open(&self.ctx, Arc::new(source)).map_err(|error| fail(&error))?;
        Ok(Run { table, file })
    }
}

/// Hands what `runs` hold, the newest first, to `output`.
fn merge<O: TableOutput>(
    runs: &[Run],
    output: &mut O,
    fail: impl Fn(O::Error) -> Failure,
) -> Result<(), Failure> {
    let tables: Vec<_> = runs.iter().map(|run| run.table.clone()).collect();
    match merge_tables(&tables, Keep::Versions, output) {
        Ok(_) => Ok(()),
        Err(MergeError::Output(error)) => Err(fail(error)),
        Err(MergeError::Input { number, source }) => {
            let path = runs.get(number).map(|run| run.file.path.as_path());
            Err(Failure::table(path.unwrap_or(Path::new("run")), &source))
        }
    }
}
