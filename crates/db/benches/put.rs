//! What the commit of one put costs at each durability that waits for no device, beside what its parts
//! would cost alone, in nanoseconds per put of 16 + 100 bytes by one thread, random keys and ascending.
//!
//! `cargo bench -p stratal --bench put` prints the least of interleaved rounds. Rounds are shorter than a
//! write buffer: nothing is flushed.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{fs::File, os::unix::fs::FileExt, sync::Arc, time::Instant};

use stratal::{Database, Durability, KeyspaceOptions};
use stratal_fs::{Fs, Hint, StdFs};
use stratal_testkit::Rng;
use tempfile::TempDir;

const ROWS: u64 = 200_000;
const ROUNDS: usize = 5;
const VALUE: [u8; 100] = [7; 100];
/// What a put takes in the log.
const RECORD: [u8; 168] = [7; 168];

type Key = [u8; 16];
/// Nanoseconds per key of a piece of work.
type Cost = fn(&[Key]) -> f64;

fn time(keys: &[Key], mut work: impl FnMut(u64, &Key)) -> f64 {
    let begun = Instant::now();
    (0u64..).zip(keys).for_each(|(at, key)| work(at, key));
    begun.elapsed().as_secs_f64() * 1e9 / keys.len() as f64
}

fn puts(keys: &[Key], durability: Durability) -> f64 {
    let dir = TempDir::new().unwrap();
    let db = Database::builder(dir.path()).memory_budget(512 << 20).open().unwrap();
    let keyspace = db.keyspace("t", KeyspaceOptions::default()).unwrap();
    let cost = time(keys, |_, key| {
        let mut batch = db.batch();
        batch.durability(durability).put(&keyspace, &key[..], &VALUE[..]);
        batch.commit().unwrap();
    });
    drop(keyspace);
    db.close().unwrap();
    cost
}

/// The rows into an ordered map under a lock.
fn map(keys: &[Key]) -> f64 {
    let map = stratal_types::sync::Mutex::new(std::collections::BTreeMap::new());
    time(keys, |_, key| drop(map.lock().insert(key.to_vec(), VALUE.to_vec())))
}

/// The bytes into a file that has space for them, with a system call for each put.
fn writes(keys: &[Key]) -> f64 {
    let dir = TempDir::new().unwrap();
    let file = File::create_new(dir.path().join("log")).unwrap();
    file.set_len(ROWS * RECORD.len() as u64).unwrap();
    time(keys, |at, _| file.write_all_at(&RECORD, at * RECORD.len() as u64).unwrap())
}

/// The same as the log does it.
fn small_writes(keys: &[Key]) -> f64 {
    let dir = TempDir::new().unwrap();
    let file = Arc::new(StdFs).create(&dir.path().join("log")).unwrap();
    file.allocate(0, ROWS * RECORD.len() as u64).unwrap();
    file.hint(Hint::SmallWrites);
    time(keys, |at, _| file.write_all_at(&RECORD, at * RECORD.len() as u64).unwrap())
}

fn main() {
    let mut rng = Rng::new(1);
    let random: Vec<Key> = (0..ROWS).map(|_| rng.bytes(16).try_into().unwrap()).collect();
    let mut ascending = random.clone();
    ascending.sort_unstable();
    let rows: [(&str, Cost); 5] = [
        ("put, os", |keys| puts(keys, Durability::Os)),
        ("put, memory", |keys| puts(keys, Durability::Memory)),
        ("BTreeMap under a lock", map),
        ("write(2)", writes),
        ("small write", small_writes),
    ];
    for (order, keys) in [("random", &random), ("ascending", &ascending)] {
        let mut least = [f64::MAX; 5];
        for _ in 0..ROUNDS {
            for (least, (_, cost)) in least.iter_mut().zip(rows) {
                *least = least.min(cost(keys));
            }
        }
        for ((what, _), least) in rows.iter().zip(least) {
            println!("{order:<9}  {what:<22} {least:6.0}");
        }
    }
}
