//! What reads of single keys cost, everything in the cache.
//!
//! `cargo bench -p stratal-engine --bench gets [-- PART…]` prints the least of interleaved rounds, in
//! nanoseconds of the processor per key: 1,000,000 random keys of 16 bytes with values of 100, in one merged run or in
//! runs that were flushed one after the other, in files in memory. `PART` picks cases by a part of their
//! names. Beside them stand what a lookup in a `HashMap` of the same rows takes, which is what remains
//! if nothing is searched, and what one load that misses every cache of the processor takes.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{
    collections::HashMap,
    hint::black_box,
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
const ROUNDS: usize = 9;
/// Keys asked for in a round.
const PROBES: usize = 100_000;
/// Rows written at once.
const BATCH: u64 = 1000;
/// Keys asked for at once.
const MANY: usize = 32;

type Key = [u8; 16];

/// Asks for the keys and says how many are there.
type Ask = Box<dyn Fn(&[Key]) -> usize>;

struct Case {
    name: String,
    ask: Ask,
    /// Whether it is asked for keys that are there.
    hits: bool,
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let mut cases = Vec::new();
    for runs in [1, 4, 8] {
        let made = std::cell::OnceCell::new();
        let mut add = |what: &str, hits, ask: fn(&Tree, &[Key]) -> usize| {
            let name = format!("{what}, {runs} runs");
            if is_wanted(&name) {
                let tree = Arc::clone(made.get_or_init(|| tree(runs)));
                cases.push(Case { name, hits, ask: Box::new(move |keys| ask(&tree, keys)) });
            }
        };
        add("get", true, get);
        add("get of hot keys", true, get_hot);
        add("get absent", false, get);
        add("multi-get", true, multi_get);
        add("multi-get absent", false, multi_get);
    }
    if is_wanted("HashMap") {
        let rows: HashMap<Key, Box<[u8]>> =
            (0..ROWS).map(|number| (key(number), vec![1; 100].into())).collect();
        let ask = move |keys: &[Key]| {
            keys.iter().filter_map(|key| rows.get(key)).filter(|row| row[99] == 1).count()
        };
        cases.push(Case { name: "HashMap".into(), hits: true, ask: Box::new(ask) });
    }
    if is_wanted("miss") {
        cases.push(Case { name: "dependent miss".into(), hits: true, ask: misses() });
    }
    measure(&cases);
}

fn measure(cases: &[Case]) {
    let mut rng = Rng::new(7);
    let rows = usize::try_from(ROWS).unwrap();
    let mut least = vec![f64::MAX; cases.len()];
    for _ in 0..ROUNDS {
        let present: Vec<Key> = (0..PROBES).map(|_| key(rng.index(rows) as u64)).collect();
        let absent: Vec<Key> = (0..PROBES).map(|_| key(ROWS + rng.index(rows) as u64)).collect();
        for (case, least) in cases.iter().zip(&mut least) {
            let (keys, expected) = if case.hits { (&present, PROBES) } else { (&absent, 0) };
            let (begun, on_processor) = (Instant::now(), processor_ns());
            let found = black_box((case.ask)(keys));
            let elapsed = begun.elapsed().as_nanos() as f64;
            let ns = processor_ns().zip(on_processor).map(|(end, start)| (end - start) as f64);
            *least = least.min(ns.unwrap_or(elapsed) / PROBES as f64);
            assert_eq!(found, expected, "{}", case.name);
        }
    }
    for (case, least) in cases.iter().zip(least) {
        println!("{:28} {least:7.1} ns", case.name);
    }
}

/// Nanoseconds that this thread has run, where the system tells.
fn processor_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok()
}

fn get(tree: &Tree, keys: &[Key]) -> usize {
    keys.iter().filter(|key| black_box(tree.get(&key[..]).unwrap()).is_some()).count()
}

/// Asks for a hundredth of the keys, again and again.
fn get_hot(tree: &Tree, keys: &[Key]) -> usize {
    let hot = &keys[..keys.len() / 100];
    (0..100).map(|_| get(tree, hot)).sum()
}

fn multi_get(tree: &Tree, keys: &[Key]) -> usize {
    let found = |keys| black_box(tree.multi_get(keys).unwrap()).iter().flatten().count();
    keys.chunks(MANY).map(found).sum()
}

/// Follows a chain through more memory than the processor keeps near.
fn misses() -> Ask {
    let lines = 1usize << 22;
    let mut order: Vec<usize> = (0..lines).collect();
    let mut rng = Rng::new(3);
    for at in (1..lines).rev() {
        order.swap(at, rng.index(at)); // one cycle through all
    }
    let next: Vec<[usize; 8]> = order.into_iter().map(|next| [next; 8]).collect();
    Box::new(move |keys| {
        let mut at = 0;
        for _ in keys {
            at = next[at][0];
        }
        black_box(at);
        keys.len()
    })
}

/// A tree of so many runs, each over all of the key space and in the cache. Merges nothing by itself.
fn tree(runs: u64) -> Arc<Tree> {
    let count = AtomicU64::new(1);
    let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    let context = StoreContext::new(Arc::new(MemFs::new()), "/db", 512 << 20, unique);
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
    tree
}

fn key(number: u64) -> Key {
    let mut key = [0; 16];
    Rng::new(number).fill(&mut key);
    key
}
