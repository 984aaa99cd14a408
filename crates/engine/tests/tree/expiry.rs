//! Tables that expire: who still finds them, and when they go.

use std::sync::Arc;

use stratal_compaction::plan::{FifoOptions, JobKind, LeveledOptions};
use stratal_engine::{Error, Snapshot, StrategyOptions, Tree};
use stratal_fs::MemFs;
use stratal_testkit::Rng;
use stratal_types::Cursor;

use crate::{
    strategies::{files, flush, key, rows, spec, tables},
    support::{open_store, open_tree},
};

fn forgetting(len_max: u64) -> FifoOptions {
    FifoOptions { len_max, ..FifoOptions::default() }
}

/// Rows that every sort of read finds, of keys below 100.
fn rows_at(tree: &Tree, snapshot: &Snapshot) -> Result<usize, Error> {
    let keys: Vec<_> = (0..100).map(key).collect();
    let forward = tree.range_at::<&[u8]>(.., snapshot)?.count();
    let backward = tree.range_at::<&[u8]>(.., snapshot)?.rev().count();
    let prefix = tree.prefix_at(b"0", snapshot)?.count();
    let together = tree.multi_get_at(&keys, snapshot)?.iter().flatten().count();
    let mut alone = 0;
    for key in &keys {
        alone += usize::from(tree.get_at(key, snapshot)?.is_some());
    }
    let mut cursor = tree.cursor_at::<&[u8]>(.., snapshot)?;
    let mut stepped = 0;
    cursor.seek_to_first()?;
    while cursor.key().is_some() {
        stepped += 1;
        cursor.advance()?;
    }
    let all = [forward, backward, prefix, together, alone, stepped];
    assert!(all.iter().all(|count| *count == forward), "{all:?}");
    Ok(forward)
}

#[test]
fn who_read_before_a_table_expired_finds_it_until_he_has_gone() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs.clone(), 1).unwrap();
    let tree = open_tree(&store, "bytewise", spec(StrategyOptions::Fifo(forgetting(1)))).unwrap();
    flush(&tree, 0..10);
    let job = tree.plan().unwrap();
    // Between the plan and its execution too.
    let before = tree.snapshot();
    tree.run(&job).unwrap();
    let same = tree.snapshot();
    assert_eq!((rows_at(&tree, &before).unwrap(), rows_at(&tree, &same).unwrap()), (10, 10));
    flush(&tree, 20..25);
    let after = tree.snapshot();
    let found = |snapshot: &Snapshot| rows_at(&tree, snapshot).unwrap();
    assert_eq!((found(&before), found(&same), found(&after), rows(&tree)), (10, 10, 5, 5));
    assert_eq!(tree.get(&key(3)).unwrap(), None);
    // The newer table expires too, for those who come later still.
    tree.compact(false).unwrap();
    tree.put(&key(30), b"1").unwrap();
    assert_eq!((found(&before), found(&after), rows(&tree)), (10, 5, 1));
    assert_eq!((tables(&tree), tree.plan()), (2, None), "both are read");
    drop(same);
    assert_eq!(tree.plan(), None);
    drop(before);
    let job = tree.plan().unwrap();
    assert_eq!((job.kind, job.inputs.len()), (JobKind::Forget(None), 1));
    tree.run(&job).unwrap();
    assert_eq!((found(&after), tables(&tree), files(&*fs)), (5, 1, 1));
    drop(after);
    tree.compact(false).unwrap();
    assert_eq!((rows(&tree), tables(&tree), files(&*fs)), (1, 0, 0));
}

/// A lookup that has met an operand goes on below its number, at which the table was still found.
#[test]
fn operands_do_not_find_what_has_expired_under_them() {
    let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
    let tree = open_tree(&store, "bytewise", spec(StrategyOptions::Fifo(forgetting(1)))).unwrap();
    tree.put(&key(1), b"base").unwrap();
    tree.flush().unwrap();
    tree.merge(&key(1), b"-1").unwrap();
    tree.merge(&key(1), b"-2").unwrap();
    // Who reads here finds the base, and keeps it where it is.
    let before = tree.snapshot();
    tree.compact(false).unwrap();
    tree.merge(&key(1), b"-3").unwrap();
    let value = |snapshot: Option<&Snapshot>| {
        let keys = [key(1)];
        let (alone, together) = match snapshot {
            Some(at) => (tree.get_at(&key(1), at), tree.multi_get_at(&keys, at)),
            None => (tree.get(&key(1)), tree.multi_get(&keys)),
        };
        let alone = alone.unwrap().unwrap();
        assert_eq!(together.unwrap(), [Some(alone.clone())]);
        alone
    };
    for is_flushed in [false, true] {
        assert_eq!(value(None), &b"-1-2-3"[..], "flushed: {is_flushed}");
        assert_eq!(value(Some(&before)), &b"base-1-2"[..], "flushed: {is_flushed}");
        assert_eq!(tree.range::<&[u8]>(..).unwrap().next().unwrap().unwrap().1, &b"-1-2-3"[..]);
        tree.flush().unwrap();
    }
}

#[test]
fn what_has_expired_does_not_come_back_with_an_open() {
    let fs = Arc::new(MemFs::new());
    let leveled = spec(StrategyOptions::Leveled(LeveledOptions {
        level0_runs: 2,
        ..LeveledOptions::default()
    }));
    {
        let (store, _) = open_store(fs.clone(), 1).unwrap();
        let fifo = spec(StrategyOptions::Fifo(forgetting(1)));
        let tree = open_tree(&store, "bytewise", fifo).unwrap();
        flush(&tree, 0..10);
        let reader = tree.snapshot();
        tree.compact(false).unwrap();
        // Under another strategy too it is not merged into what is found.
        tree.set_spec(leveled.clone()).unwrap();
        flush(&tree, 5..15);
        flush(&tree, 10..20);
        flush(&tree, 15..20);
        tree.compact(true).unwrap();
        assert_eq!((rows(&tree), rows_at(&tree, &reader).unwrap()), (15, 10));
    }
    let (store, _) = open_store(fs.clone(), 2).unwrap();
    let tree = open_tree(&store, "bytewise", leveled).unwrap();
    assert_eq!(rows(&tree), 15);
    assert_eq!(tree.get(&key(3)).unwrap(), None);
    tree.compact(true).unwrap();
    assert_eq!((rows(&tree), files(&*fs)), (15, tables(&tree)));
    let numbers: Vec<u64> = tree.version().tables().map(|(_, table)| table.entries).collect();
    assert_eq!(numbers.iter().sum::<u64>(), 15, "nobody reads at the old moment any more");
}

#[test]
fn readers_are_refused_when_what_they_hold_takes_too_much_room() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs.clone(), 1).unwrap();
    let fifo = FifoOptions { held_len_max: 60_000, ..forgetting(1) };
    let tree = open_tree(&store, "bytewise", spec(StrategyOptions::Fifo(fifo))).unwrap();
    let mut readers = Vec::new();
    for number in 0..50 {
        flush(&tree, number..number + 1);
        readers.push(tree.snapshot());
        tree.compact(false).unwrap();
        let len: u64 = tree.stats().levels.iter().map(|level| level.len).sum();
        assert!(len <= 80_000, "{len} bytes");
    }
    assert_eq!(files(&*fs), tables(&tree));
    let mut counts = (0, 0);
    let mut last = true;
    for (number, reader) in readers.iter().enumerate() {
        match rows_at(&tree, reader) {
            // Each finds what was there when it was taken: one row, that of the moment.
            Ok(rows) => {
                assert_eq!(rows, 1, "reader {number}");
                counts.1 += 1;
                last = false;
            }
            Err(Error::SnapshotTooOld { bound, floor }) => {
                assert!(last && bound < floor, "the oldest are refused first");
                counts.0 += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(counts.0 > 10 && counts.1 > 2, "{counts:?}");
    drop(readers);
    tree.compact(false).unwrap();
    assert_eq!((tables(&tree), files(&*fs)), (0, 0));
}

/// Snapshots come and go while tables expire; each finds for ever what it found first, or is refused.
#[test]
fn a_snapshot_finds_the_same_as_long_as_it_is_served() {
    let mut refused = 0;
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let (store, _) = open_store(Arc::new(MemFs::new()), seed).unwrap();
        let held_len_max = *rng.choose(&[u64::MAX, 5_000, 0]);
        let fifo = FifoOptions { held_len_max, ..forgetting(1 + rng.below(8_000)) };
        let tree = open_tree(&store, "bytewise", spec(StrategyOptions::Fifo(fifo))).unwrap();
        let mut readers: Vec<(Snapshot, Vec<_>)> = Vec::new();
        let all = |snapshot: &Snapshot| -> Result<Vec<_>, Error> {
            tree.range_at::<&[u8]>(.., snapshot)?.collect()
        };
        for step in 0..150 {
            match rng.below(8) {
                0 | 1 => {
                    let from = u32::try_from(rng.below(80)).unwrap();
                    for number in from..from + 5 {
                        let value = format!("{step} {}", "x".repeat(rng.index(100)));
                        tree.put(&key(number), value.as_bytes()).unwrap();
                    }
                }
                2 => tree.delete_range(&key(10), &key(30)).map(drop).unwrap(),
                3 => tree.flush().map(drop).unwrap(),
                4 if !readers.is_empty() => drop(readers.swap_remove(rng.index(readers.len()))),
                5 => {
                    let reader = tree.snapshot();
                    let found = all(&reader).unwrap();
                    readers.push((reader, found));
                }
                _ => {
                    if let Some(job) = tree.plan() {
                        tree.run(&job).unwrap();
                    }
                }
            }
            readers.retain(|(reader, found)| match all(reader) {
                Ok(again) => {
                    assert_eq!(again, *found, "seed {seed}, step {step}");
                    true
                }
                Err(Error::SnapshotTooOld { .. }) => {
                    assert_ne!(held_len_max, u64::MAX, "seed {seed}");
                    refused += 1;
                    false
                }
                Err(error) => panic!("seed {seed}: {error}"),
            });
        }
        readers.clear();
        tree.compact(false).unwrap();
        assert!(tree.version().tables().all(|(_, table)| table.expired_at.is_none()));
    }
    assert!(refused > 20, "{refused} readers were refused");
}
