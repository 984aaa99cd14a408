//! What scans, seeks and merging cost, beside what nothing could beat.
//!
//! `cargo bench -p stratal-engine --bench scans [-- PART…]` prints medians of interleaved rounds, in
//! nanoseconds of the processor per row of 16 + 100 bytes, per key of a merge, or per seek with the ten
//! rows behind it. Files are in memory, and the cache holds all of them. `PART` picks cases by a part of
//! their names.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use stratal_engine::{Store, StoreContext, Tree, TreeOptions, WriteBatch};
use stratal_fs::MemFs;
use stratal_merge::{Entry, MergingCursor, SliceCursor};
use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
use stratal_testkit::{Rng, value};
use stratal_types::{Bytewise, Cursor, EntryKind, FileUid, SeqNo, Trailer};

const ROWS: usize = 400_000;
const ROUNDS: usize = 5;
const SEEKS: usize = 20_000;
const ROWS_PER_SEEK: usize = 10;

type Row = ([u8; 16], Vec<u8>);

/// What the cases read.
struct Data {
    /// In order.
    rows: Vec<Row>,
    table: Table,
    /// All rows in one run.
    settled: Arc<Tree>,
    /// In runs that lie wholly across each other.
    runs: Arc<Tree>,
}

struct Case {
    name: &'static str,
    measure: fn(&Data) -> f64,
}

const CASES: [Case; 17] = [
    Case { name: "ceiling: rows of a slice", measure: slice_walk },
    Case { name: "ceiling: rows copied", measure: copies },
    Case { name: "ceiling: table scanner", measure: |data| table_walk(&data.table) },
    Case { name: "cursor, 1 run", measure: |data| cursor_walk(&data.settled) },
    Case { name: "cursor back, 1 run", measure: |data| cursor_walk_back(&data.settled) },
    Case { name: "iterator, 1 run", measure: |data| iterate(&data.settled) },
    Case { name: "iterator back, 1 run", measure: |data| iterate_back(&data.settled) },
    Case { name: "cursor, 3 runs", measure: |data| cursor_walk(&data.runs) },
    Case { name: "cursor back, 3 runs", measure: |data| cursor_walk_back(&data.runs) },
    Case { name: "iterator, 3 runs", measure: |data| iterate(&data.runs) },
    Case { name: "seek + 10, 1 run", measure: |data| seek(data, &data.settled) },
    Case { name: "seek + 10, 3 runs", measure: |data| seek(data, &data.runs) },
    Case { name: "merge 1 way", measure: |data| merge(data, 1) },
    Case { name: "merge 2 ways", measure: |data| merge(data, 2) },
    Case { name: "merge 4 ways", measure: |data| merge(data, 4) },
    Case { name: "merge 8 ways", measure: |data| merge(data, 8) },
    Case { name: "merge 16 ways", measure: |data| merge(data, 16) },
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_wanted =
        |case: &&Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part));
    let cases: Vec<&Case> = CASES.iter().filter(is_wanted).collect();
    let data = data();
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter().zip(&mut times) {
            times.push((case.measure)(&data));
        }
    }
    for (case, times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{:26} {:7.1} ns", case.name, times.get(ROUNDS / 2).unwrap());
    }
}

fn data() -> Data {
    let mut rng = Rng::new(1);
    let mut written: Vec<Row> = (0..ROWS)
        .map(|_| {
            let mut key = [0; 16];
            rng.fill(&mut key);
            (key, value(100, 50, &mut rng))
        })
        .collect();
    let (settled, runs) = (tree(), tree());
    for rows in written.chunks(ROWS.div_ceil(3)) {
        for tree in [&settled, &runs] {
            for rows in rows.chunks(1000) {
                let mut batch = WriteBatch::new();
                for (key, value) in rows {
                    batch.put(*key, value.clone());
                }
                tree.write(&batch).unwrap();
            }
            assert!(tree.flush().unwrap().outputs > 0);
        }
    }
    assert_eq!(settled.compact(true).unwrap().inputs, 3);
    written.sort();
    let context = TableContext::default();
    let spec = Arc::new(TableOptions::default().validate().unwrap());
    let mut writer = TableWriter::new(&context, Vec::new(), FileUid([7; 16]), spec).unwrap();
    for (key, value) in &written {
        writer.put(key, value).unwrap();
    }
    let bytes = bytes::Bytes::from(writer.finish().unwrap().sink);
    let table = Table::open(&context, Arc::new(bytes)).unwrap();
    Data { rows: written, table, settled, runs }
}

/// A tree that merges only when it is told to.
fn tree() -> Arc<Tree> {
    let count = AtomicU64::new(1);
    let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    let context = StoreContext::new(Arc::new(MemFs::new()), "/db", 256 << 20, unique);
    let (store, _) = Store::open(context).unwrap();
    let id = store.create_tree("rows", "bytewise", &[]).unwrap();
    let options = TreeOptions { write_buffer_len: 1 << 30, ..TreeOptions::default() };
    Tree::open(&store, id, options.validate().unwrap()).unwrap()
}

/// Nanoseconds of the processor for each of `count` pieces of `work`.
fn per(count: usize, work: impl FnOnce()) -> f64 {
    let (begun, on_processor) = (Instant::now(), processor_ns());
    work();
    let elapsed = begun.elapsed().as_nanos() as f64;
    let ns = processor_ns().zip(on_processor).map(|(end, start)| (end - start) as f64);
    ns.unwrap_or(elapsed) / count as f64
}

/// Nanoseconds that this thread has run, where the system tells.
fn processor_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok()
}

/// What is done with a row: its ends are looked at.
fn weigh(key: &[u8], value: &[u8]) -> usize {
    let byte = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or(0));
    key.len() + value.len() + byte(key.first()) + byte(value.last())
}

fn slice_walk(data: &Data) -> f64 {
    per(ROWS, || {
        let weights = data.rows.iter().map(|(key, value)| weigh(key, value));
        black_box(weights.sum::<usize>());
    })
}

fn copies(data: &Data) -> f64 {
    let mut copy = Vec::with_capacity(ROWS * 116);
    per(ROWS, || {
        for (key, value) in &data.rows {
            copy.extend_from_slice(key);
            copy.extend_from_slice(value);
        }
        black_box(&copy);
    })
}

fn table_walk(table: &Table) -> f64 {
    per(ROWS, || {
        let (mut rows, mut sum) = (table.scanner(), 0);
        rows.seek_to_first().unwrap();
        while let Some(row) = rows.entry() {
            sum += weigh(row.key, row.value);
            rows.advance().unwrap();
        }
        black_box(sum);
    })
}

fn cursor_walk(tree: &Tree) -> f64 {
    per(ROWS, || {
        let (mut rows, mut sum, mut count) = (tree.cursor::<&[u8]>(..).unwrap(), 0, 0);
        rows.seek_to_first().unwrap();
        while let Some((key, value)) = rows.row().unwrap() {
            sum += weigh(key, value);
            count += 1;
            rows.advance().unwrap();
        }
        assert_eq!(count, ROWS);
        black_box(sum);
    })
}

fn cursor_walk_back(tree: &Tree) -> f64 {
    per(ROWS, || {
        let (mut rows, mut sum, mut count) = (tree.cursor::<&[u8]>(..).unwrap(), 0, 0);
        rows.seek_to_last().unwrap();
        while let Some((key, value)) = rows.row().unwrap() {
            sum += weigh(key, value);
            count += 1;
            rows.retreat().unwrap();
        }
        assert_eq!(count, ROWS);
        black_box(sum);
    })
}

fn iterate(tree: &Tree) -> f64 {
    per(ROWS, || {
        let rows = tree.range::<&[u8]>(..).unwrap().map(Result::unwrap);
        black_box(rows.map(|(key, value)| weigh(&key, &value)).sum::<usize>());
    })
}

fn iterate_back(tree: &Tree) -> f64 {
    per(ROWS, || {
        let rows = tree.range::<&[u8]>(..).unwrap().rev().map(Result::unwrap);
        black_box(rows.map(|(key, value)| weigh(&key, &value)).sum::<usize>());
    })
}

fn seek(data: &Data, tree: &Tree) -> f64 {
    let mut rng = Rng::new(3);
    per(SEEKS, || {
        for _ in 0..SEEKS {
            let (from, _) = rng.choose(&data.rows);
            let mut rows = tree.cursor(&from[..]..).unwrap();
            rows.seek_to_first().unwrap();
            for _ in 0..ROWS_PER_SEEK {
                let Some((key, value)) = rows.row().unwrap() else { break };
                black_box(weigh(key, value));
                rows.advance().unwrap();
            }
        }
    })
}

/// The rows dealt to `ways` sources at random, which lie in memory.
fn merge(data: &Data, ways: usize) -> f64 {
    let mut rng = Rng::new(2);
    let mut dealt: Vec<Vec<Entry>> = vec![Vec::new(); ways];
    let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
    for (key, _) in &data.rows {
        dealt.get_mut(rng.index(ways)).unwrap().push((key.to_vec(), trailer, Vec::new()));
    }
    let sources = dealt.into_iter().map(|entries| SliceCursor::new(entries, Arc::new(Bytewise)));
    let mut merged = MergingCursor::new(sources.collect(), Arc::new(Bytewise));
    per(ROWS, || {
        let mut count = 0;
        merged.seek_to_first().unwrap();
        while let Some(entry) = merged.entry() {
            black_box(entry.key.first());
            count += 1;
            merged.advance().unwrap();
        }
        assert_eq!(count, ROWS);
    })
}
