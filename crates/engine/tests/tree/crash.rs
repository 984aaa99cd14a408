//! Power fails anywhere; what was flushed or ingested is there, and what is there is a state that was
//! flushed or ingested.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use stratal_fs::{CrashPolicy, Fs, SimFs};
use stratal_testkit::{Model, Rng};
use stratal_types::{KeyRange, SeqNo};

use crate::histories::ingest;
use crate::support::{Reference, open_store, open_tree, small, write};

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// A state that a flush made durable, and the operation count of the file system when it had returned.
struct Flushed {
    rows: Rows,
    ops: u64,
}

/// Runs a workload on a simulated disk; returns the states that were flushed, in order.
fn workload(fs: &SimFs, seed: u64, steps: usize) -> Vec<Flushed> {
    let mut rng = Rng::new(seed);
    let (store, _) = open_store(Arc::new(fs.clone()), seed).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut rng)).unwrap();
    let mut reference = Reference::new("bytewise");
    let mut flushed = vec![Flushed { rows: Vec::new(), ops: fs.op_count() }];
    for _ in 0..steps {
        write(&tree, &mut reference, &mut rng).unwrap();
        match rng.below(6) {
            0 => {
                // Sealed memtables are flushed with what is active, so this is one state.
                tree.flush().unwrap();
                let rows = rows_of(&reference.model);
                flushed.push(Flushed { rows, ops: fs.op_count() });
            }
            2 if rng.chance(1, 2) => {
                tree.flush().unwrap();
                let rows = rows_of(&reference.model);
                flushed.push(Flushed { rows, ops: fs.op_count() });
                ingest(&store, &tree, &mut reference, &mut rng).unwrap();
                let rows = rows_of(&reference.model);
                flushed.push(Flushed { rows, ops: fs.op_count() });
            }
            1 => {
                if let Some(job) = tree.plan() {
                    tree.run(&job).unwrap();
                }
            }
            _ => {}
        }
    }
    tree.compact(true).unwrap();
    flushed
}

fn rows_of(model: &Model) -> Rows {
    model.scan(&KeyRange::ALL, SeqNo::MAX)
}

/// Opens what a crash left, and compares it with the states that may be there: the last that was
/// acknowledged, or the one that was being flushed.
fn recover(
    fs: &SimFs,
    seed: u64,
    flushed: &[Flushed],
    op: u64,
    context: &dyn std::fmt::Display,
) -> u64 {
    let acknowledged = flushed.iter().rposition(|state| state.ops <= op + 1);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let (store, report) = match open_store(shared, seed ^ 0xdead) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(acknowledged.is_none(), "{context}: {error}");
            // A crash while the database is made may leave what has to be removed by hand.
            return fs.op_count();
        }
    };
    store
        .remove_orphans(&report, &BTreeSet::new())
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let mut rng = Rng::new(seed);
    let tree = open_tree(&store, "bytewise", small(&mut rng)).unwrap();
    let rows: Rows = tree
        .range::<&[u8]>(..)
        .and_then(|rows| {
            rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
        })
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let first = acknowledged.unwrap_or(0);
    let found = flushed[first..].iter().take(2).any(|state| state.rows == rows);
    assert!(found, "{context}: neither what was flushed nor what was being flushed");

    // It goes on.
    tree.put(b"after", b"the crash").unwrap();
    tree.flush().unwrap_or_else(|error| panic!("{context}: {error}"));
    tree.compact(true).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(tree.get(b"after").unwrap().as_deref(), Some(&b"the crash"[..]), "{context}");
    let tables: usize = tree.stats().levels.iter().map(|level| level.tables).sum();
    let files = fs.list(std::path::Path::new("/db/tables")).unwrap().len();
    assert_eq!(files, tables, "{context}: files that nothing names");
    assert_eq!(fs.violations(), stratal_fs::sim_fs::Violations::default(), "{context}");
    fs.op_count()
}

#[test]
fn what_was_flushed_survives_a_crash_at_any_operation() {
    let (mut images, mut distinct) = (0, HashSet::new());
    let (mut nested, mut workloads) = (0, 0);
    for seed in 0..12 {
        let fs = SimFs::new(seed);
        fs.record_moments();
        let flushed = workload(&fs, seed, 32);
        assert_eq!(fs.violations(), stratal_fs::sim_fs::Violations::default());
        workloads += 1;
        for moment in fs.take_moments() {
            for policy in moment.fs.crash_policies(24, 4) {
                let image = moment.fs.image(&policy);
                images += 1;
                let acknowledged =
                    flushed.iter().filter(|state| state.ops <= moment.op + 1).count();
                if !distinct.insert((seed, image.fingerprint(), acknowledged)) {
                    continue;
                }
                let context = format!("seed {seed}, crash at {}, {policy:?}", moment.op);
                // Every so often the recovery crashes too.
                if distinct.len() % 5 == 0 {
                    nested += crash_recovery(&image, seed, &flushed, moment.op, &context);
                }
                recover(&image, seed, &flushed, moment.op, &context);
            }
        }
    }
    println!(
        "{workloads} workloads, {images} images, {} distinct, {nested} of recoveries",
        distinct.len()
    );
    assert!(distinct.len() > 1000 && nested > 100);
}

/// Crashes the recovery of `image` at some operations, and recovers from that.
fn crash_recovery(image: &SimFs, seed: u64, flushed: &[Flushed], op: u64, context: &str) -> u64 {
    let trial = image.image(&CrashPolicy::KeepAll);
    let Ok((store, report)) = open_store(Arc::new(trial.clone()), seed ^ 0xbeef) else { return 0 };
    store.remove_orphans(&report, &BTreeSet::new()).unwrap();
    let ops = trial.op_count();
    let mut count = 0;
    for at in (0..ops).step_by((ops as usize / 4).max(1)) {
        let again = image.image(&CrashPolicy::KeepAll);
        again.crash_at(at);
        if let Ok((store, report)) = open_store(Arc::new(again.clone()), seed ^ 0xbeef) {
            drop(store.remove_orphans(&report, &BTreeSet::new()));
        }
        for policy in again.crash_policies(6, 1) {
            let context = format!("{context}, then recovery at {at}, {policy:?}");
            recover(&again.image(&policy), seed, flushed, op, &context);
            count += 1;
        }
    }
    count
}
