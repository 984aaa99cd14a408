//! Readers, a writer and jobs at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use stratal_engine::{ChangeOptions, Operation, WriteBatch};
use stratal_fs::MemFs;
use stratal_testkit::Rng;

use crate::support::{open_store, open_tree, small};

/// Each batch gives every key the batch's number, so a read that sees two numbers saw half a batch.
#[test]
fn readers_see_whole_batches_while_jobs_run() {
    const KEYS: u32 = 16;
    const BATCHES: u32 = 1500;
    let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut Rng::new(3))).unwrap();
    let (written, done) = (AtomicU32::new(0), AtomicBool::new(false));
    let mut first = WriteBatch::new();
    for key in 0..KEYS {
        first.put(key.to_le_bytes(), 0u32.to_le_bytes());
    }
    tree.write(&first).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=BATCHES {
                let mut batch = WriteBatch::new();
                for key in 0..KEYS {
                    batch.put(key.to_le_bytes(), number.to_le_bytes());
                }
                tree.write(&batch).unwrap();
                written.store(number, Ordering::Release);
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                tree.flush_sealed().unwrap();
                if let Some(job) = tree.plan() {
                    tree.run(&job).unwrap();
                }
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reads = 0;
                while !done.load(Ordering::Acquire) || reads == 0 {
                    let at_least = written.load(Ordering::Acquire);
                    let snapshot = tree.snapshot();
                    let rows: Vec<_> =
                        tree.range::<&[u8]>(..).unwrap().map(Result::unwrap).collect();
                    assert_eq!(rows.len(), KEYS as usize);
                    assert!(rows.iter().all(|(_, value)| *value == rows[0].1), "half a batch");
                    let number = u32::from_le_bytes(rows[0].1[..].try_into().unwrap());
                    assert!(number >= at_least, "a batch that was visible is gone");
                    let held: Vec<_> = (0..KEYS)
                        .map(|key| tree.get_at(&key.to_le_bytes(), &snapshot).unwrap().unwrap())
                        .collect();
                    assert!(
                        held.iter().all(|value| *value == held[0]),
                        "a snapshot of half a batch"
                    );
                    reads += 1;
                }
            });
        }
    });
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    assert_eq!(tree.range::<&[u8]>(..).unwrap().count(), KEYS as usize);
}

/// Every batch puts its number under one of a few keys. Who follows the changes meets each number once,
/// in order, whatever jobs do to the versions meanwhile.
#[test]
fn a_follower_meets_every_change_once_while_jobs_run() {
    const BATCHES: u32 = 6000;
    let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut Rng::new(3))).unwrap();
    let mut next = store.hold_history("follower").unwrap();
    let (followed, done) = (AtomicU32::new(0), AtomicBool::new(false));
    let (mut met, mut scans) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..BATCHES {
                // So that neither is done before the other has begun.
                while number > followed.load(Ordering::Acquire) + 300 {
                    thread::yield_now();
                }
                tree.put(&(number % 16).to_le_bytes(), &number.to_le_bytes()).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    tree.flush_sealed().unwrap();
                    if let Some(job) = tree.plan() {
                        tree.run(&job).unwrap();
                    }
                }
            });
        }
        while met < BATCHES {
            let options = ChangeOptions { memory_len: 10_000, ..ChangeOptions::default() };
            let changes = tree.changes_with(next, options).unwrap();
            next = changes.until();
            for change in changes {
                let Operation::Put { key, value } = change.unwrap().operation else { panic!() };
                assert_eq!(
                    (key, value),
                    ((met % 16).to_le_bytes().to_vec(), met.to_le_bytes().to_vec(),)
                );
                met += 1;
            }
            store.advance_history("follower", next).unwrap();
            followed.store(met, Ordering::Release);
            scans += 1;
        }
    });
    println!("{scans} scans");
    assert!(scans >= BATCHES / 301 && tree.changes_since(next).unwrap().next().is_none());
}
