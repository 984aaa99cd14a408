//! What benches of reads have in common: a tree of random rows in files, and cases that are timed in
//! interleaved rounds.

use std::{
    hint::black_box,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use stratal_block::Compression;
use stratal_engine::{Store, StoreContext, Tree, TreeOptions, WriteBatch};
use stratal_fs::StdFs;
use stratal_sst::TableOptions;
use stratal_testkit::{Rng, value};

/// In a tree.
pub(crate) const ROWS: u64 = 1_000_000;
/// Bytes of a cache that holds all of them, and of one that holds half.
pub(crate) const LARGE_CACHE: u64 = 1 << 30;
pub(crate) const SMALL_CACHE: u64 = 64 << 20;
const ROUNDS: usize = 9;
/// Rows written at once.
const BATCH: u64 = 1000;

pub(crate) type Key = [u8; 16];

/// Reads at these keys and says how many rows it saw.
pub(crate) type Work = Box<dyn Fn(&[Key]) -> usize>;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) work: Work,
    /// Which of the keys drawn for a round it is given.
    pub(crate) keys: usize,
    /// What the time is divided by, and how many rows are seen.
    pub(crate) ops: usize,
    pub(crate) rows: usize,
}

/// Whether the command line names a case of this name, by a part of it, or none at all.
pub(crate) fn is_wanted(name: &str) -> bool {
    let mut wanted = std::env::args().skip(1).filter(|arg| arg != "--bench").peekable();
    wanted.peek().is_none() || wanted.any(|part| name.contains(part.as_str()))
}

/// Prints the least of each case's rounds, in nanoseconds of the processor per operation. `draw` gives
/// the keys of a round.
pub(crate) fn measure<const N: usize>(
    cases: &[Case],
    mut draw: impl FnMut(&mut Rng) -> [Vec<Key>; N],
) {
    let mut rng = Rng::new(7);
    let mut least = vec![f64::MAX; cases.len()];
    for _ in 0..ROUNDS {
        let keys = draw(&mut rng);
        for (case, least) in cases.iter().zip(&mut least) {
            let (begun, on_processor) = (Instant::now(), processor_ns());
            let rows = black_box((case.work)(&keys[case.keys]));
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

/// Key `number`, of which any two are in random order.
pub(crate) fn key(number: u64) -> Key {
    let mut key = [0; 16];
    Rng::new(number).fill(&mut key);
    key
}

/// A tree in files that go with it.
pub(crate) struct Files {
    pub(crate) tree: Arc<Tree>,
    pub(crate) dir: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

impl Files {
    /// A tree of [`ROWS`] rows with values of 100 bytes in so many runs, each over all of the key space.
    /// Merges nothing by itself. All rows were read once.
    pub(crate) fn new(runs: u64, cache_capacity: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir();
        let dir = dir.join(format!("stratal-bench-{}-{number}", std::process::id()));
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
