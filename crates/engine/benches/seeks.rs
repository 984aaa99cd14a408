//! What short and long reads of ranges cost, of files, with all blocks in the cache and with half of them.
//!
//! `cargo bench -p stratal-engine --bench seeks [-- PART…]` prints the least of interleaved rounds, in
//! nanoseconds of the processor per seek with the ten rows behind it, and per row of a scan: 1,000,000
//! random keys of 16 bytes with values of 100, in one merged run or in runs that were flushed one after
//! the other. The page cache has all files. `PART` picks cases by a part of their names. Beside them stand
//! the same in a `BTreeMap`, and what it takes to read the files and look at nothing.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    hint::black_box,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use stratal_block::Compression;
use stratal_engine::{Store, StoreContext, Tree, TreeOptions, WriteBatch};
use stratal_fs::{Access, Fs, StdFs};
use stratal_sst::TableOptions;
use stratal_testkit::{Rng, value};
use stratal_types::Cursor;

const ROWS: u64 = 1_000_000;
const ROUNDS: usize = 9;
/// Seeks of a round.
const SEEKS: usize = 20_000;
const ROWS_PER_SEEK: usize = 10;
/// Rows written at once.
const BATCH: u64 = 1000;
/// Of the cache that does not hold everything.
const SMALL_CACHE: u64 = 64 << 20;

type Key = [u8; 16];

/// Reads at these keys and says how many rows it saw.
type Work = Box<dyn Fn(&[Key]) -> usize>;

struct Case {
    name: String,
    work: Work,
    /// What the time is divided by, and how many rows are seen.
    ops: usize,
    rows: usize,
}

/// A tree in files that go with it.
struct Files {
    tree: Arc<Tree>,
    dir: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let rows = usize::try_from(ROWS).unwrap();
    let mut cases = Vec::new();
    for (what, capacity) in [("cached", 1 << 30), ("half cached", SMALL_CACHE)] {
        for runs in [1, 4] {
            let made = Rc::new(OnceCell::new());
            let mut add = |name: &str, ops, rows, work: fn(&Tree, &[Key]) -> usize| {
                let name = format!("{name}, {runs} runs, {what}");
                if is_wanted(&name) {
                    made.get_or_init(|| Files::new(runs, capacity));
                    let made = Rc::clone(&made);
                    let work = move |keys: &[Key]| work(&made.get().unwrap().tree, keys);
                    cases.push(Case { name, work: Box::new(work), ops, rows });
                }
            };
            add("seek + 10", SEEKS, SEEKS * ROWS_PER_SEEK, seek);
            add("seek + 10 in place", SEEKS, SEEKS * ROWS_PER_SEEK, seek_in_place);
            add("seek back + 10", SEEKS, SEEKS * ROWS_PER_SEEK, seek_back);
            add("scan", rows, rows, scan);
            add("scan back", rows, rows, scan_back);
        }
    }
    if is_wanted("BTreeMap") {
        let map: BTreeMap<Key, Box<[u8]>> =
            (0..ROWS).map(|number| (key(number), vec![1; 100].into())).collect();
        let work = move |keys: &[Key]| {
            let at = |key: &Key| {
                map.range(*key..)
                    .take(ROWS_PER_SEEK)
                    .filter(|row| black_box(row).1[99] == 1)
                    .count()
            };
            keys.iter().map(at).sum()
        };
        let (name, rows) = ("seek + 10, BTreeMap".into(), SEEKS * ROWS_PER_SEEK);
        cases.push(Case { name, work: Box::new(work), ops: SEEKS, rows });
    }
    if is_wanted("read of files") {
        let files = Files::new(1, SMALL_CACHE);
        let work = move |_: &[Key]| read_files(&files.dir.join("tables"));
        cases.push(Case { name: "read of files".into(), work: Box::new(work), ops: rows, rows });
    }
    measure(&cases);
}

fn measure(cases: &[Case]) {
    let mut rng = Rng::new(7);
    let mut keys: Vec<Key> = (0..ROWS).map(key).collect();
    keys.sort_unstable();
    let mut least = vec![f64::MAX; cases.len()];
    for _ in 0..ROUNDS {
        // Behind and before each there are rows enough.
        let among = keys.len() - 2 * ROWS_PER_SEEK;
        let sought: Vec<Key> = (0..SEEKS).map(|_| keys[ROWS_PER_SEEK + rng.index(among)]).collect();
        for (case, least) in cases.iter().zip(&mut least) {
            let (begun, on_processor) = (Instant::now(), processor_ns());
            let rows = black_box((case.work)(&sought));
            let elapsed = begun.elapsed().as_nanos() as f64;
            let ns = processor_ns().zip(on_processor).map(|(end, start)| (end - start) as f64);
            *least = least.min(ns.unwrap_or(elapsed) / case.ops as f64);
            assert_eq!(rows, case.rows, "{}", case.name);
        }
    }
    for (case, least) in cases.iter().zip(least) {
        println!("{:40} {least:7.1} ns", case.name);
    }
}

/// Nanoseconds that this thread has run, where the system tells.
fn processor_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok()
}

/// What is done with a row: it is not empty, and its ends are looked at.
fn weigh(key: &[u8], value: &[u8]) -> usize {
    black_box((key.first(), value.first(), value.last()));
    usize::from(!value.is_empty())
}

fn seek(tree: &Tree, keys: &[Key]) -> usize {
    let at = |key: &Key| {
        let mut rows = tree.cursor(&key[..]..).unwrap();
        rows.seek_to_first().unwrap();
        go_on(&mut rows)
    };
    keys.iter().map(at).sum()
}

/// One cursor for all of them.
fn seek_in_place(tree: &Tree, keys: &[Key]) -> usize {
    let mut rows = tree.cursor::<&[u8]>(..).unwrap();
    let at = |key: &Key| {
        rows.seek_to(key).unwrap();
        go_on(&mut rows)
    };
    keys.iter().map(at).sum()
}

fn go_on(rows: &mut stratal_engine::TreeCursor) -> usize {
    let mut count = 0;
    while let Some((key, value)) = rows.row().unwrap() {
        count += weigh(key, value);
        if count == ROWS_PER_SEEK {
            break;
        }
        rows.advance().unwrap();
    }
    count
}

fn seek_back(tree: &Tree, keys: &[Key]) -> usize {
    let at = |key: &Key| {
        let (mut rows, mut count) = (tree.cursor(..=&key[..]).unwrap(), 0);
        rows.seek_to_last().unwrap();
        while let Some((key, value)) = rows.row().unwrap() {
            count += weigh(key, value);
            if count == ROWS_PER_SEEK {
                break;
            }
            rows.retreat().unwrap();
        }
        count
    };
    keys.iter().map(at).sum()
}

fn scan(tree: &Tree, _: &[Key]) -> usize {
    let (mut rows, mut count) = (tree.cursor::<&[u8]>(..).unwrap(), 0);
    rows.seek_to_first().unwrap();
    while let Some((key, value)) = rows.row().unwrap() {
        count += weigh(key, value);
        rows.advance().unwrap();
    }
    count
}

fn scan_back(tree: &Tree, _: &[Key]) -> usize {
    let (mut rows, mut count) = (tree.cursor::<&[u8]>(..).unwrap(), 0);
    rows.seek_to_last().unwrap();
    while let Some((key, value)) = rows.row().unwrap() {
        count += weigh(key, value);
        rows.retreat().unwrap();
    }
    count
}

/// Reads the files of a folder in pieces that the processor keeps near.
fn read_files(dir: &Path) -> usize {
    let mut buf = vec![0; 256 << 10];
    for name in StdFs.list(dir).unwrap() {
        let file = StdFs.open(&dir.join(name.name), Access::Read).unwrap();
        let len = file.len().unwrap();
        let mut at = 0;
        while at < len {
            let part = usize::try_from(len - at).unwrap().min(buf.len());
            file.read_exact_at(&mut buf[..part], at).unwrap();
            black_box(&buf);
            at += part as u64;
        }
    }
    usize::try_from(ROWS).unwrap()
}

impl Files {
    /// A tree of so many runs, each over all of the key space. Merges nothing by itself.
    fn new(runs: u64, cache_capacity: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("stratal-bench-seeks-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        let unique = Arc::new(|| u128::from(COUNT.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
        let context = StoreContext::new(Arc::new(StdFs), &dir, cache_capacity, unique);
        let (store, _) = Store::open(context).unwrap();
        let id = store.create_tree("rows", "bytewise", &[]).unwrap();
        let options = TreeOptions {
            write_buffer_len: 1 << 30,
            table: TableOptions { compression: Compression::None, ..TableOptions::default() },
            ..TreeOptions::default()
        };
        let tree = Tree::open(&store, id, options.validate().unwrap()).unwrap();
        for run in 0..runs {
            let mut rng = Rng::new(run);
            let mut batch = WriteBatch::new();
            for number in (0..ROWS).filter(|number| number % runs == run) {
                batch.put(key(number), value(100, 50, &mut rng));
                if number % BATCH == run {
                    tree.write(&batch).unwrap();
                    batch = WriteBatch::new();
                }
            }
            tree.write(&batch).unwrap();
            tree.flush().unwrap();
        }
        if runs == 1 {
            tree.compact(true).unwrap();
        }
        for number in 0..ROWS {
            assert!(tree.get(&key(number)).unwrap().is_some());
        }
        Self { tree, dir }
    }
}

fn key(number: u64) -> Key {
    let mut key = [0; 16];
    Rng::new(number).fill(&mut key);
    key
}
