//! What an insert, a lookup and a step cost, beside `BTreeMap` in the same run, in nanoseconds per
//! operation on as many rows of 16 + 100 bytes as fill a write buffer, and on a million.
//!
//! `cargo bench -p stratal-memtable` prints the least of interleaved rounds.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Instant};

use stratal_memtable::Memtable;
use stratal_testkit::Rng;
use stratal_types::{Bytewise, Cursor, EntryKind, SeqNo, Trailer};

const ROUNDS: usize = 5;
const VALUE: [u8; 100] = [7; 100];

/// Nanoseconds per operation of inserts, lookups in another order, and steps.
type Costs = [f64; 3];

fn time(keys: &[Vec<u8>], work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64() * 1e9 / keys.len() as f64
}

/// Every key once, far from the one before.
fn shuffled(keys: &[Vec<u8>]) -> impl Iterator<Item = &Vec<u8>> {
    (0..keys.len()).map(|at| &keys[(at * 7919) % keys.len()])
}

fn memtable(keys: &[Vec<u8>]) -> Costs {
    let memtable = Arc::new(Memtable::new(1, Arc::new(Bytewise)));
    let insert = time(keys, || {
        for (seqno, key) in (1u32..).zip(keys) {
            memtable.apply(key, Trailer::new(seqno.into(), EntryKind::Put), &VALUE).unwrap();
        }
    });
    let get = time(keys, || {
        for key in shuffled(keys) {
            assert!(black_box(memtable.get(key, SeqNo::MAX)).is_some());
        }
    });
    let mut cursor = memtable.cursor();
    let next = time(keys, || {
        let Ok(()) = cursor.seek_to_first();
        while black_box(cursor.entry()).is_some() {
            let Ok(()) = cursor.advance();
        }
    });
    [insert, get, next]
}

fn map(keys: &[Vec<u8>]) -> Costs {
    let mut map = BTreeMap::new();
    let insert = time(keys, || {
        for key in keys {
            map.insert(key.clone(), VALUE.to_vec());
        }
    });
    let get = time(keys, || {
        for key in shuffled(keys) {
            assert!(black_box(map.get(key)).is_some());
        }
    });
    let next = time(keys, || {
        for row in &map {
            black_box(row);
        }
    });
    [insert, get, next]
}

fn main() {
    let mut rng = Rng::new(1);
    for count in [300_000, 1_000_000] {
        let random: Vec<_> = (0..count).map(|_| rng.bytes(16)).collect();
        let mut ascending = random.clone();
        ascending.sort();
        for (order, keys) in [("random", &random), ("ascending", &ascending)] {
            let mut least = [[f64::MAX; 3]; 2];
            for _ in 0..ROUNDS {
                for (least, costs) in least.iter_mut().zip([memtable(keys), map(keys)]) {
                    for (least, cost) in least.iter_mut().zip(costs) {
                        *least = least.min(cost);
                    }
                }
            }
            for (what, [insert, get, next]) in ["memtable", "BTreeMap"].iter().zip(least) {
                println!(
                    "{count:>9} {order:<9}  {what}: insert {insert:6.1}  get {get:6.1}  next {next:5.1}"
                );
            }
        }
    }
}
