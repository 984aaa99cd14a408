//! What a row costs on its way into a table.
//!
//! `cargo bench -p stratal-sst --bench writing [-- CASE…]` prints the least of many rounds, in
//! nanoseconds of the processor per row, into a sink that copies what it is given; `CASE` picks by a part
//! of the name. With `-- digests` it prints a digest of the files of many tables of rows and options drawn
//! from seeds, so that two builds can be compared: what a table's bytes are does not change with how fast
//! they are made.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{io, ops::Range, sync::Arc, time::Instant};

use bytes::Bytes;
use stratal_block::{Checksum, Compression, Parity};
use stratal_cache::Cache;
use stratal_filter::{FilterKind, FilterSize, FilterSpec};
use stratal_sst::{
    Error, FileDigest, FilterMembership, Finished, Keep, Partitioning, Table, TableContext,
    TableDictionary, TableFiles, TableIdentity, TableOptions, TableSetWriter, merge_tables,
};
use stratal_testkit::{KeyShape, Rng, sorted_keys, value};
use stratal_types::{
    Bytewise, Comparator, CutOptions, DelimitedPrefix, EntryKind, EntryRef, Fence, FileUid,
    Fragments, OutputCutter, Piece, RangeTombstone, Reverse, SeqNo, Trailer,
};

const ROUNDS: usize = 9;

struct Case {
    name: &'static str,
    shape: KeyShape,
    rows: usize,
    value_len: usize,
    compression: Compression,
}

const CASES: [Case; 7] = [
    case("random 16 B + 100 B", KeyShape::Random16, 400_000, 100),
    case("random 16 B + 8 B", KeyShape::Random16, 1_000_000, 8),
    case("random 16 B + 1,000 B", KeyShape::Random16, 50_000, 1000),
    case("integers 8 B + 100 B", KeyShape::Integer, 400_000, 100),
    case("places + 100 B", KeyShape::Place, 200_000, 100),
    case("long prefixes + 8 B", KeyShape::LongPrefix, 200_000, 8),
    Case {
        compression: Compression::Lz4,
        ..case("lz4, random 16 B + 100 B", KeyShape::Random16, 400_000, 100)
    },
];

const fn case(name: &'static str, shape: KeyShape, rows: usize, value_len: usize) -> Case {
    Case { name, shape, rows, value_len, compression: Compression::None }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if wanted.iter().any(|arg| arg == "digests") {
        (0..150).for_each(print_digests);
        return;
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    for case in CASES.iter().filter(|case| is_wanted(case.name)) {
        println!("{:30} {:7.1} ns", case.name, measure(case));
    }
}

/// A row: key, trailer, value, where they are in the bytes of all rows.
struct Rows {
    bytes: Vec<u8>,
    rows: Vec<(Range<usize>, Trailer, Range<usize>)>,
}

impl Rows {
    fn new(rows: impl Iterator<Item = (Vec<u8>, Trailer, Vec<u8>)>) -> Self {
        let mut all = Self { bytes: Vec::new(), rows: Vec::new() };
        let mut place = |part: &[u8]| {
            let start = all.bytes.len();
            all.bytes.extend_from_slice(part);
            start..all.bytes.len()
        };
        for (key, trailer, value) in rows {
            all.rows.push((place(&key), trailer, place(&value)));
        }
        all
    }

    fn entries(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.rows.iter().map(|(key, trailer, value)| {
            EntryRef::new(&self.bytes[key.clone()], *trailer, &self.bytes[value.clone()])
        })
    }
}

/// Copies into a buffer of 64 KiB, as a file that is being written does.
#[derive(Default)]
struct Copied(Vec<u8>);

impl io::Write for Copied {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > 64 << 10 {
            self.0.clear();
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins sinks, and keeps what was written.
struct Files<W> {
    begun: u8,
    done: Vec<Finished<W>>,
}

impl<W> Files<W> {
    const fn new(first: u8) -> Self {
        Self { begun: first, done: Vec::new() }
    }
}

impl<W: io::Write + Default> TableFiles for Files<W> {
    type Sink = W;
    type Error = Error;

    fn begin(&mut self) -> Result<(W, TableIdentity), Error> {
        self.begun += 1;
        Ok((W::default(), FileUid([self.begun; 16]).into()))
    }

    fn end(&mut self, finished: Finished<W>) -> Result<(), Error> {
        self.done.push(finished);
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Error {
        error
    }
}

fn measure(case: &Case) -> f64 {
    let mut rng = Rng::new(1);
    let keys = sorted_keys(case.shape, case.rows, &mut rng);
    let values: Vec<Vec<u8>> = keys.iter().map(|_| value(case.value_len, 50, &mut rng)).collect();
    let trailer = |_| {
        let seqno = SeqNo::from(rng.below(1 << 20) as u32);
        Trailer::new(seqno, EntryKind::Put)
    };
    let trailers: Vec<Trailer> = (0..keys.len()).map(trailer).collect();
    let rows = keys.into_iter().zip(values).zip(trailers);
    let rows = Rows::new(rows.map(|((key, value), trailer)| (key, trailer, value)));
    let ctx = TableContext::default();
    let options = TableOptions { compression: case.compression, ..TableOptions::default() };
    let spec = Arc::new(options.validate().unwrap());
    let round = |_| {
        let (begun, on_processor) = (Instant::now(), processor_ns());
        let cutter = OutputCutter::new(CutOptions::default(), &[], Piece::default(), &Bytewise);
        let mut set = TableSetWriter::new(&ctx, Arc::clone(&spec), cutter, Files::<Copied>::new(0));
        for entry in rows.entries() {
            set.add(entry).unwrap();
        }
        let done = set.finish().unwrap().done;
        assert!(!done.is_empty());
        let elapsed = begun.elapsed().as_nanos() as f64;
        let ns = processor_ns().zip(on_processor).map(|(end, start)| (end - start) as f64);
        ns.unwrap_or(elapsed) / rows.rows.len() as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

/// Nanoseconds that this thread has run, where the system tells.
fn processor_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok()
}

/// Rows as they come: of every kind, in versions, some of them long.
fn drawn_rows(comparator: &dyn Comparator, rng: &mut Rng) -> Rows {
    let shape = *rng.choose(&KeyShape::ALL);
    let count_max = if rng.chance(1, 4) { 20_000 } else { 3_000 };
    let count = 1 + rng.index(count_max);
    let mut keys = sorted_keys(shape, count, rng);
    keys.sort_by(|a, b| comparator.compare(a, b));
    let one_len = rng.chance(1, 2).then(|| rng.index(130));
    let len_max = *rng.choose(&[4, 300, 3_000]);
    let (are_puts, versions_max) = (rng.chance(1, 2), *rng.choose(&[1, 1, 2, 40]));
    let seqno_max = *rng.choose(&[1, 200, 1 << 16, 1 << 40]);
    let mut rows = Vec::new();
    for key in keys {
        let versions = 1 + rng.index(versions_max);
        let mut seqnos: Vec<u64> = (0..versions).map(|_| rng.below(seqno_max)).collect();
        seqnos.sort_unstable_by(|a, b| b.cmp(a));
        seqnos.dedup();
        for seqno in seqnos {
            let kinds =
                [EntryKind::Put, EntryKind::Delete, EntryKind::WeakDelete, EntryKind::Merge];
            let kind = if are_puts { EntryKind::Put } else { *rng.choose(&kinds) };
            let len = if kind.is_delete() {
                0
            } else if rng.chance(1, 2_000) {
                40_000
            } else {
                one_len.unwrap_or_else(|| rng.index(len_max))
            };
            let trailer = Trailer::new(SeqNo::new(seqno).unwrap(), kind);
            rows.push((key.clone(), trailer, value(len, 50, rng)));
        }
    }
    Rows::new(rows.into_iter())
}

fn drawn_options(rng: &mut Rng) -> TableOptions {
    let zstd = Compression::Zstd { level: 1 };
    let size = FilterSize::BitsPerKey(*rng.choose(&[4.0, 10.0]));
    let kind = *rng.choose(&[FilterKind::BlockedBloom, FilterKind::Burr]);
    let trained = TableDictionary::Train { len_max: 1 << 10, sample_len: 32 << 10 };
    TableOptions {
        block_len_target: *rng.choose(&[512, 1 << 10, 4 << 10, 4 << 10, 16 << 10, 128 << 10]),
        compression: *rng.choose(&[Compression::None, Compression::None, Compression::Lz4, zstd]),
        dictionary: if rng.chance(1, 4) { trained } else { TableDictionary::None },
        checksum: *rng.choose(&[Checksum::Xxh3, Checksum::Xxh3, Checksum::Crc32c]),
        parity: *rng.choose(&[Parity::None, Parity::None, Parity::SecDed, Parity::Xor { data: 4 }]),
        entry_digests: rng.chance(1, 4),
        filter: rng.chance(5, 6).then_some(FilterSpec { kind, size }),
        filter_membership: *rng.choose(&[
            FilterMembership::Keys,
            FilterMembership::Prefixes,
            FilterMembership::Both,
        ]),
        locator: rng.chance(1, 4),
        partitioning: *rng.choose(&[
            Partitioning::default(),
            Partitioning::Always,
            Partitioning::Auto { keys: 500 },
        ]),
        partition_len_target: *rng.choose(&[512, 4 << 10, 64 << 10]),
        ..TableOptions::default()
    }
}

fn digests(seed: u64, what: &str, files: &[Finished<Vec<u8>>]) {
    let all: Vec<FileDigest> = files.iter().filter_map(|file| file.info.as_ref()?.digest).collect();
    let len: usize = files.iter().map(|file| file.sink.len()).sum();
    println!("{seed} {what}: {} tables of {len} bytes, {all:?}", files.len());
}

/// Tables of rows and options that follow from `seed`, and then those merged.
fn print_digests(seed: u64) {
    let mut rng = Rng::new(seed);
    let comparator: Arc<dyn Comparator> =
        if rng.chance(1, 5) { Arc::new(Reverse) } else { Arc::new(Bytewise) };
    let ctx = TableContext {
        comparator: Arc::clone(&comparator),
        prefix_extractor: rng.chance(1, 2).then(|| Arc::new(DelimitedPrefix::new(b'/')) as _),
        cache: Arc::new(Cache::new(1 << 20)),
        ..TableContext::default()
    };
    let spec = Arc::new(drawn_options(&mut rng).validate().unwrap());
    let cut = CutOptions {
        table_len: *rng.choose(&[4 << 10, 100 << 10, 1 << 30]),
        below_len_max: 1 << 20,
    };
    let mut sets = Vec::new();
    for first in [0, 100] {
        let rows = drawn_rows(comparator.as_ref(), &mut rng);
        let some = |rng: &mut Rng| rows.bytes[rng.choose(&rows.rows).0.clone()].to_vec();
        let mut starts: Vec<Vec<u8>> = (0..rng.index(5)).map(|_| some(&mut rng)).collect();
        starts.sort_by(|a, b| comparator.compare(a, b));
        starts.dedup();
        let fences: Vec<Fence> =
            starts.into_iter().map(|start| Fence { start, len: 100 << 10 }).collect();
        let cutter = OutputCutter::new(cut, &fences, Piece::default(), comparator.as_ref());
        let mut set =
            TableSetWriter::new(&ctx, Arc::clone(&spec), cutter, Files::<Vec<u8>>::new(first));
        if rng.chance(1, 4) {
            let ranges: Vec<RangeTombstone> = (0..20u32)
                .filter_map(|number| {
                    let (start, end) = (some(&mut rng), some(&mut rng));
                    let is_range = comparator.compare(&start, &end).is_lt();
                    is_range.then(|| RangeTombstone::new(start, end, SeqNo::from(number)))
                })
                .collect();
            set.add_tombstones(&Fragments::build(&ranges, comparator.as_ref())).unwrap();
        }
        for entry in rows.entries() {
            set.add(entry).unwrap();
        }
        sets.push(set.finish().unwrap().done);
        digests(seed, "written", sets.last().unwrap());
    }
    let open = |file: &Finished<Vec<u8>>| {
        Table::open(&ctx, Arc::new(Bytes::from(file.sink.clone()))).unwrap()
    };
    let tables: Vec<Table> = sets.iter().flatten().map(open).collect();
    let cutter = OutputCutter::new(cut, &[], Piece::default(), comparator.as_ref());
    let mut set = TableSetWriter::new(&ctx, spec, cutter, Files::<Vec<u8>>::new(200));
    if merge_tables(&tables, Keep::Versions, &mut set).is_ok() {
        digests(seed, "merged", &set.finish().unwrap().done);
    }
}
