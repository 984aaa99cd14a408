//! Something fails at any operation: it is said, nothing is lost, and the tree goes on.

use std::{collections::BTreeSet, sync::Arc};

use stratal_engine::Error;
use stratal_fs::{
    SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_testkit::Rng;
use stratal_types::{KeyRange, SeqNo};

use crate::histories::ingest;
use crate::support::{Reference, check, open_store, open_tree, small, write};

/// Writes, flushes and merges with `fault` injected once the tree is open; then without it.
fn run(seed: u64, fault: Option<Fault>) -> (u64, u64) {
    let fs = SimFs::new(seed);
    let mut rng = Rng::new(seed);
    let (store, _) = open_store(Arc::new(fs.clone()), seed).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut rng)).unwrap();
    let mut reference = Reference::new("bytewise");
    let opened = fs.op_count();
    let context = format!("seed {seed}, {fault:?}");
    if let Some(fault) = fault {
        fs.inject(fault);
    }
    let mut errors = 0;
    for step in 0..12 {
        write(&tree, &mut reference, &mut rng).unwrap();
        let before = reference.clone();
        let ingested = match step % 6 {
            0 => ingest(&store, &tree, &mut reference, &mut rng).map(drop),
            _ => Ok(()),
        };
        if ingested.is_err() {
            reference = before;
        }
        for result in [ingested, tree.flush().map(drop), tree.compact(false).map(drop)] {
            match result {
                Ok(()) => {}
                Err(error) => {
                    errors += 1;
                    assert!(!matches!(error, Error::StaleJob(_)), "{context}: {error}");
                }
            }
        }
    }
    // Reads meet the fault too; they may fail, and do not lie.
    if let Ok(rows) = tree.range::<&[u8]>(..)
        && let Ok(rows) = rows.collect::<Result<Vec<_>, _>>()
    {
        let rows: Vec<_> =
            rows.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        assert_eq!(rows, reference.model.scan(&KeyRange::ALL, SeqNo::MAX), "{context}");
    }
    fs.clear_faults();
    check(&tree, &reference, None, &mut rng, &context);
    tree.flush().unwrap_or_else(|error| panic!("{context}: {error}\n{}", fs.trace_text(20)));
    tree.compact(true).unwrap_or_else(|error| panic!("{context}: {error}\n{}", fs.trace_text(20)));
    check(&tree, &reference, None, &mut rng, &context);
    let ops = fs.op_count() - opened;
    let violations = fs.violations();
    assert_eq!((violations.retried_syncs, violations.writes_after_failure), (0, 0), "{context}");

    // Reopened, it is the same.
    drop((tree, store));
    let (store, report) = open_store(Arc::new(fs.clone()), seed ^ 1).unwrap();
    store.remove_orphans(&report, &BTreeSet::new()).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut rng)).unwrap();
    check(&tree, &reference, None, &mut rng, &context);
    (ops, errors)
}

#[test]
fn a_fault_at_any_operation_is_said_and_loses_nothing() {
    let (mut cases, mut errors) = (0, 0);
    for seed in 0..2 {
        let (ops, none) = run(seed, None);
        assert_eq!(none, 0);
        let fs = SimFs::new(seed);
        let mut rng = Rng::new(seed);
        let (store, _) = open_store(Arc::new(fs.clone()), seed).unwrap();
        open_tree(&store, "bytewise", small(&mut rng)).unwrap();
        let opened = fs.op_count();
        for op in opened..opened + ops {
            for error in [OsError::Io, OsError::NoSpace] {
                let kinds = [
                    FaultKind::Error(error),
                    FaultKind::ErrorDroppingPages(error),
                    FaultKind::ErrorWhenDone(error),
                ];
                for kind in kinds {
                    let (_, said) = run(seed, Some(Fault::at(op, kind)));
                    cases += 1;
                    errors += said;
                }
            }
        }
    }
    println!("{cases} faults, {errors} errors said");
    assert!(errors > cases / 10);
}

/// A disk that stays full, or stays broken, for a while.
#[test]
fn a_fault_that_stays_is_survived_when_it_goes() {
    for seed in 0..6 {
        for error in [OsError::NoSpace, OsError::Io] {
            for after in [0, 3, 20] {
                for op in [OpKind::Write, OpKind::Create, OpKind::SyncDir] {
                    run(seed, Some(Fault::on(op, FaultKind::Error(error)).after(after).sticky()));
                }
            }
        }
    }
}
