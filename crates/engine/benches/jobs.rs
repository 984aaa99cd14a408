//! What flushes and merges cost per row.
//!
//! `cargo bench -p stratal-engine --bench jobs [-- PART…]` prints medians of interleaved rounds, in
//! nanoseconds of the processor per row of 16 + 100 bytes, half of it compressible, in files in memory.
//! `PART` picks cases by a part of their names. Cases that end in `rows` carry no blocks.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use stratal_block::Compression;
use stratal_engine::{Store, StoreContext, Tree, TreeOptions, WriteBatch};
use stratal_fs::MemFs;
use stratal_sst::TableOptions;
use stratal_testkit::{Rng, value};

const ROWS: u64 = 1_000_000;
const ROUNDS: usize = 3;
/// Rows written at once.
const BATCH: u64 = 1000;

struct Case {
    name: &'static str,
    measure: fn() -> f64,
}

/// How a case is compressed and whether blocks are carried.
type How = (Compression, bool);

const NONE: Compression = Compression::None;
const ZSTD: Compression = Compression::Zstd { level: 1 };

const CASES: [Case; 12] = [
    Case { name: "flush", measure: flush },
    Case { name: "merge 2 runs, none", measure: || merge(2, (NONE, true)) },
    Case { name: "merge 2 runs, none, rows", measure: || merge(2, (NONE, false)) },
    Case { name: "merge 4 runs, none", measure: || merge(4, (NONE, true)) },
    Case { name: "merge 2 runs, lz4", measure: || merge(2, (Compression::Lz4, true)) },
    Case { name: "merge 2 runs, zstd", measure: || merge(2, (ZSTD, true)) },
    Case { name: "touch 1%, none", measure: || touch((NONE, true), true) },
    Case { name: "touch 1%, none, rows", measure: || touch((NONE, false), true) },
    Case { name: "touch 1%, lz4", measure: || touch((Compression::Lz4, true), true) },
    Case { name: "touch 1%, lz4, rows", measure: || touch((Compression::Lz4, false), true) },
    Case { name: "touch 1%, zstd", measure: || touch((ZSTD, true), true) },
    Case { name: "touch 0.1% anywhere, lz4", measure: || touch((Compression::Lz4, true), false) },
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_wanted =
        |case: &&Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part));
    let cases: Vec<&Case> = CASES.iter().filter(is_wanted).collect();
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter().zip(&mut times) {
            times.push((case.measure)());
        }
    }
    for (case, times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{:30} {:7.1} ns", case.name, times.get(ROUNDS / 2).unwrap());
    }
}

/// A tree that merges only when it is told to.
fn tree((compression, carry_blocks): How) -> Arc<Tree> {
    let count = AtomicU64::new(1);
    let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    let context = StoreContext::new(Arc::new(MemFs::new()), "/db", 256 << 20, unique);
    let (store, _) = Store::open(context).unwrap();
    let id = store.create_tree("rows", "bytewise", &[]).unwrap();
    let options = TreeOptions {
        write_buffer_len: 1 << 30,
        table: TableOptions { compression, ..TableOptions::default() },
        carry_blocks,
        ..TreeOptions::default()
    };
    Tree::open(&store, id, options.validate().unwrap()).unwrap()
}

/// Writes the rows `from..to`, whose keys are those numbers mixed by `key`.
fn write(tree: &Tree, from: u64, to: u64, key: fn(u64) -> [u8; 16]) {
    let mut rng = Rng::new(from);
    let mut batch = WriteBatch::new();
    for number in from..to {
        batch.put(key(number), value(100, 50, &mut rng));
        if number % BATCH == BATCH - 1 {
            tree.write(&batch).unwrap();
            batch = WriteBatch::new();
        }
    }
    tree.write(&batch).unwrap();
}

fn random_key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    Rng::new(number).fill(&mut key);
    key
}

fn counted_key(number: u64) -> [u8; 16] {
    let mut key = *b"row 000000000000";
    let digits = format!("{number:012}");
    key[4..].copy_from_slice(digits.as_bytes());
    key
}

fn per_row(work: impl FnOnce()) -> f64 {
    let (begun, on_processor) = (Instant::now(), processor_ns());
    work();
    let elapsed = begun.elapsed().as_nanos() as f64;
    let ns = processor_ns().zip(on_processor).map(|(end, start)| (end - start) as f64);
    ns.unwrap_or(elapsed) / ROWS as f64
}

/// Nanoseconds that this thread has run, where the system tells.
fn processor_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok()
}

fn flush() -> f64 {
    let tree = tree((NONE, true));
    write(&tree, 0, ROWS, random_key);
    per_row(|| {
        let _summary = tree.flush().unwrap();
    })
}

/// Runs that lie wholly across each other.
fn merge(runs: u64, how: How) -> f64 {
    let tree = tree(how);
    for run in 0..runs {
        write(&tree, run * ROWS / runs, (run + 1) * ROWS / runs, random_key);
        tree.flush().unwrap();
    }
    per_row(|| {
        let _summary = tree.compact(true).unwrap();
    })
}

/// A last level, of which a few rows are written anew: all in one place, or anywhere.
fn touch(how: How, in_one_place: bool) -> f64 {
    let tree = tree(how);
    write(&tree, 0, ROWS, counted_key);
    tree.flush().unwrap();
    // From end to end, so that nothing is moved as it is.
    let write_ends = || {
        write(&tree, 0, 1, counted_key);
        write(&tree, ROWS - 1, ROWS, counted_key);
    };
    write_ends();
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    write_ends();
    if in_one_place {
        write(&tree, ROWS / 2, ROWS / 2 + ROWS / 100, counted_key);
    } else {
        let mut batch = WriteBatch::new();
        (0..ROWS).step_by(1000).for_each(|number| {
            batch.put(counted_key(number), b"new");
        });
        tree.write(&batch).unwrap();
    }
    tree.flush().unwrap();
    per_row(|| {
        let _summary = tree.compact(true).unwrap();
    })
}
