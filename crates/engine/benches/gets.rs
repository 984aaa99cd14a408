//! What reads of single keys cost, with everything in the cache and with half of it.
//!
//! `cargo bench -p stratal-engine --bench gets [-- PART…]` prints the least of interleaved rounds, in
//! nanoseconds of the processor per key: 1,000,000 random keys of 16 bytes with values of 100, in one merged run or in
//! runs that were flushed one after the other. The page cache has all files. `PART` picks cases by a part of
//! their names. Beside them stand what a lookup in a `HashMap` of the same rows takes, which is what remains
//! if nothing is searched, and what one load that misses every cache of the processor takes.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

mod rows;

use std::{cell::OnceCell, collections::HashMap, hint::black_box, rc::Rc};

use stratal_engine::Tree;
use stratal_testkit::Rng;

use rows::{Case, Files, Key, LARGE_CACHE, ROWS, SMALL_CACHE, Work, is_wanted, key, measure};

/// Keys asked for in a round.
const PROBES: usize = 100_000;
/// Keys asked for at once.
const MANY: usize = 32;
/// Which keys of a round are in the tree, and which are not.
const PRESENT: usize = 0;
const ABSENT: usize = 1;

fn main() {
    let mut cases = Vec::new();
    for (what, capacity) in [("all cached", LARGE_CACHE), ("half cached", SMALL_CACHE)] {
        for runs in [1, 4, 8] {
            let made = Rc::new(OnceCell::new());
            let mut add = |name: &str, keys, ask: fn(&Tree, &[Key]) -> usize| {
                let name = format!("{name}, {runs} runs, {what}");
                if is_wanted(&name) {
                    made.get_or_init(|| Files::new(runs, capacity));
                    let made = Rc::clone(&made);
                    let work = move |keys: &[Key]| ask(&made.get().unwrap().tree, keys);
                    let rows = if keys == PRESENT { PROBES } else { 0 };
                    cases.push(Case { name, work: Box::new(work), keys, ops: PROBES, rows });
                }
            };
            add("get", PRESENT, get);
            add("get of hot keys", PRESENT, get_hot);
            add("get absent", ABSENT, get);
            add("get of 32", PRESENT, multi_get);
            add("get of 32 absent", ABSENT, multi_get);
        }
    }
    let mut beside = |name: &str, work: fn() -> Work| {
        if is_wanted(name) {
            let name = name.into();
            cases.push(Case { name, work: work(), keys: PRESENT, ops: PROBES, rows: PROBES });
        }
    };
    beside("HashMap", hash_map);
    beside("dependent miss", misses);
    let rows = usize::try_from(ROWS).unwrap();
    measure(&cases, |rng| {
        [0, ROWS].map(|from| (0..PROBES).map(|_| key(from + rng.index(rows) as u64)).collect())
    });
}

/// The same rows where nothing is searched.
fn hash_map() -> Work {
    let rows: HashMap<Key, Box<[u8]>> =
        (0..ROWS).map(|number| (key(number), vec![1; 100].into())).collect();
    Box::new(move |keys| {
        keys.iter().filter_map(|key| rows.get(key)).filter(|row| row[99] == 1).count()
    })
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
fn misses() -> Work {
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
