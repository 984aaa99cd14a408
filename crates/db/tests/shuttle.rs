//! The commit queue under schedules that a checker chooses: leaders and followers, tickets that wait
//! for the disk, the threads that flush, merge and sync, the end of the database, and a disk that fails.
//!
//! `cargo xtask shuttle`; longer with `cargo xtask soak shuttle-db --for SECONDS`
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use stratal::{
    Builder, Database, Durability, Error, Executor, Keyspace, KeyspaceOptions, LeveledOptions,
    StrategyOptions, TreeOptions,
};
use stratal_fs::{
    CrashPolicy, Fs, MemFs, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_testkit::schedules;
use stratal_types::{SeqNo, sync::thread};

const DURABILITIES: [Durability; 3] = [Durability::Memory, Durability::Sync, Durability::Os];

/// What became of each batch: its name, and how far it was promised to go, or that nobody knows.
#[derive(Default)]
struct Outcomes {
    /// By the number of the last operation.
    committed: Mutex<Vec<(SeqNo, String, Durability)>>,
    refused: Mutex<BTreeSet<String>>,
    unknown: Mutex<BTreeSet<String>>,
}

fn small(fs: Arc<dyn Fs>) -> Builder {
    let mut options = TreeOptions { write_buffer_len: 1500, ..TreeOptions::default() };
    options.table.block_len_target = 512;
    options.cut.table_len = 2000;
    options.strategy = StrategyOptions::Leveled(LeveledOptions {
        levels: 3,
        level0_runs: 2,
        level_base_len: 4000,
        ratio: 3,
        ..LeveledOptions::default()
    });
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let count = AtomicU64::new(OPENED.fetch_add(1 << 32, Ordering::Relaxed));
    let unique = move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
    Database::builder("/db")
        .fs(fs)
        .randomness(Arc::new(unique))
        .memory_budget(1 << 20)
        .wal_segment_len(2048)
        .tree_options(options)
}

fn keyspaces(db: &Database) -> [Keyspace; 2] {
    ["a", "b"].map(|name| db.keyspace(name, KeyspaceOptions::default()).unwrap())
}

/// Batches that put one row each into two keyspaces.
fn write(db: &Database, outcomes: &Outcomes, writer: usize, batches: usize) {
    let keyspaces = keyspaces_of(db);
    for number in 0..batches {
        let name = format!("{writer}/{number}");
        let durability = DURABILITIES[(writer + number) % DURABILITIES.len()];
        let mut batch = db.batch();
        for keyspace in &keyspaces {
            batch.put(keyspace, &*name, [b'.'; 200]);
        }
        match batch.durability(durability).commit() {
            Ok(ticket) => {
                for keyspace in &keyspaces {
                    assert!(keyspace.get(&name).unwrap().is_some(), "own writes are seen");
                }
                // Now and then somebody waits for it who did not ask for it before.
                let promised = if number % 2 == 1 && ticket.durable().is_ok() {
                    Durability::Sync
                } else {
                    durability
                };
                outcomes.committed.lock().unwrap().push((ticket.seqno(), name, promised));
            }
            Err(Error::ReadOnly { .. }) => {
                outcomes.refused.lock().unwrap().insert(name);
            }
            Err(Error::UnknownOutcome { .. } | Error::Io { .. }) => {
                outcomes.unknown.lock().unwrap().insert(name);
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

fn keyspaces_of(db: &Database) -> [Keyspace; 2] {
    ["a", "b"].map(|name| db.open_keyspace(name).unwrap())
}

fn names(keyspace: &Keyspace) -> BTreeSet<String> {
    let rows = keyspace.range::<&[u8]>(..).unwrap().map(Result::unwrap);
    rows.map(|(key, _)| String::from_utf8(key.into()).unwrap()).collect()
}

/// Both keyspaces have the same rows at every moment, and none goes.
fn read(db: &Database, times: usize) {
    let [a, b] = keyspaces_of(db);
    let mut before = BTreeSet::new();
    for _ in 0..times {
        let now = db.snapshot();
        let rows = |keyspace: &Keyspace| -> BTreeSet<_> {
            let rows = keyspace.range_at::<&[u8]>(.., &now).unwrap();
            rows.map(|row| row.unwrap().0).collect()
        };
        let (in_a, in_b) = (rows(&a), rows(&b));
        assert_eq!(in_a, in_b, "a batch was seen in part");
        assert!(in_a.is_superset(&before), "what was visible is gone");
        before = in_a;
    }
}

/// What is found is a prefix of what was committed, with all that reaches `promised` and nothing that
/// was refused.
fn judge(db: &Database, outcomes: &Outcomes, promised: Durability) {
    let [a, b] = keyspaces_of(db).map(|keyspace| names(&keyspace));
    assert_eq!(a, b, "a batch was found in part");
    let mut committed = std::mem::take(&mut *outcomes.committed.lock().unwrap());
    committed.sort();
    assert!(committed.is_sorted_by(|one, next| one.0 < next.0), "one number twice");
    let found = committed.iter().take_while(|(_, name, _)| a.contains(name)).count();
    for (_, name, durability) in &committed[found..] {
        assert!(!a.contains(name), "{name} is there, and what came before it is not");
        assert!(*durability < promised, "{name} was promised, and is lost");
    }
    let refused = outcomes.refused.lock().unwrap();
    assert!(refused.is_disjoint(&a), "what was refused is there");
    let known: BTreeSet<_> = committed.into_iter().map(|(_, name, _)| name).collect();
    let unknown = outcomes.unknown.lock().unwrap();
    assert!(a.iter().all(|name| known.contains(name) || unknown.contains(name)), "{a:?}");
}

/// Three writers, a reader and a flush beside the threads of the database, which is closed by one of
/// them while the others go on.
fn commits_and_a_close() {
    let fs = MemFs::new();
    let db = small(Arc::new(fs.clone())).executor(Executor::Threads).open().unwrap();
    keyspaces(&db);
    let outcomes = Arc::new(Outcomes::default());
    let mut threads: Vec<_> = (0..3)
        .map(|writer| {
            let (db, outcomes) = (db.clone(), Arc::clone(&outcomes));
            thread::spawn(move || write(&db, &outcomes, writer, 4))
        })
        .collect();
    threads.push({
        let db = db.clone();
        thread::spawn(move || read(&db, 2))
    });
    threads.push({
        let db = db.clone();
        thread::spawn(move || match db.flush().and_then(|()| db.compact()) {
            Ok(()) | Err(Error::ReadOnly { .. }) => {}
            Err(error) => panic!("{error}"),
        })
    });
    db.close().unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(outcomes.unknown.lock().unwrap().is_empty());
    let db = small(Arc::new(fs)).executor(Executor::Inline).open().unwrap();
    judge(&db, &outcomes, Durability::Memory);
    assert!(db.verify().unwrap().is_ok());
}

/// As before, and nobody closes before all is done. Without threads of the database, one of the test
/// does its jobs.
fn commits_and_jobs(executor: Executor) {
    let fs = MemFs::new();
    let db = small(Arc::new(fs.clone())).executor(executor).open().unwrap();
    keyspaces(&db);
    let outcomes = Arc::new(Outcomes::default());
    let mut threads: Vec<_> = (0..3)
        .map(|writer| {
            let (db, outcomes) = (db.clone(), Arc::clone(&outcomes));
            thread::spawn(move || write(&db, &outcomes, writer, 6))
        })
        .collect();
    if executor == Executor::Inline {
        let db = db.clone();
        threads.push(thread::spawn(move || {
            for _ in 0..8 {
                db.step().unwrap();
                thread::yield_now();
            }
        }));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    db.wait_idle().unwrap();
    assert!(outcomes.refused.lock().unwrap().is_empty());
    db.close().unwrap();
    let db = small(Arc::new(fs)).executor(Executor::Inline).open().unwrap();
    judge(&db, &outcomes, Durability::Memory);
}

/// Writers on a disk on which a few writes and syncs of the log fail; then the power goes.
fn a_disk_that_fails() {
    let fs = SimFs::new(1);
    let db = small(Arc::new(fs.clone())).executor(Executor::Threads).open().unwrap();
    keyspaces(&db);
    let outcomes = Arc::new(Outcomes::default());
    for (op, segment, after) in [(OpKind::SyncData, 1, 1), (OpKind::Write, 2, 2)] {
        let fault = Fault::on(op, FaultKind::Error(OsError::Io));
        fs.inject(fault.path(format!("wal-{segment:010}")).after(after));
    }
    let threads: Vec<_> = (0..3)
        .map(|writer| {
            let (db, outcomes) = (db.clone(), Arc::clone(&outcomes));
            thread::spawn(move || write(&db, &outcomes, writer, 4))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let found = Arc::new(fs.image(&CrashPolicy::LoseAll));
    let found = small(found).executor(Executor::Inline).open().unwrap();
    judge(&found, &outcomes, Durability::Sync);
}

/// A keyspace is dropped, and another of its name made, while batches name it and another keyspace:
/// each is refused, or committed in both.
fn a_keyspace_that_is_dropped() {
    let fs = MemFs::new();
    let db = small(Arc::new(fs.clone())).executor(Executor::Threads).open().unwrap();
    keyspaces(&db);
    let outcomes = Arc::new(Outcomes::default());
    let mut threads: Vec<_> = (0..2)
        .map(|writer| {
            let (db, outcomes) = (db.clone(), Arc::clone(&outcomes));
            let keyspaces = keyspaces_of(&db);
            thread::spawn(move || {
                for number in 0..5 {
                    let name = format!("{writer}/{number}");
                    let mut batch = db.batch();
                    for keyspace in &keyspaces {
                        batch.put(keyspace, &*name, [b'.'; 200]);
                    }
                    match batch.commit() {
                        Ok(ticket) => {
                            let committed = (ticket.seqno(), name, Durability::Os);
                            outcomes.committed.lock().unwrap().push(committed);
                        }
                        Err(Error::NotFound { .. }) => {
                            outcomes.refused.lock().unwrap().insert(name);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    threads.push({
        let db = db.clone();
        thread::spawn(move || db.flush().unwrap())
    });
    db.drop_keyspace("b").unwrap();
    db.keyspace("b", KeyspaceOptions::default()).unwrap().put("fresh", "1").unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    let committed = outcomes.committed.lock().unwrap();
    let committed: BTreeSet<_> = committed.iter().map(|(_, name, _)| name.clone()).collect();
    let fresh = BTreeSet::from(["fresh".to_owned()]);
    let expected = [committed, fresh];
    assert_eq!(keyspaces_of(&db).map(|keyspace| names(&keyspace)), expected);
    db.close().unwrap();
    let db = small(Arc::new(fs)).executor(Executor::Inline).open().unwrap();
    assert_eq!(keyspaces_of(&db).map(|keyspace| names(&keyspace)), expected, "opened again");
}

#[test]
fn a_dropped_keyspace_takes_its_rows_and_no_others() {
    schedules::check("a keyspace that is dropped", 60, a_keyspace_that_is_dropped);
}

#[test]
fn batches_are_whole_and_none_is_lost_by_a_close() {
    schedules::check("commits and a close", 60, commits_and_a_close);
}

#[test]
fn writers_are_never_left_waiting() {
    schedules::check("commits and background jobs", 60, || commits_and_jobs(Executor::Threads));
}

#[test]
fn jobs_are_done_beside_writers_by_whoever_steps() {
    schedules::check("commits and steps", 60, || commits_and_jobs(Executor::Inline));
}

#[test]
fn what_was_durable_survives_a_disk_that_fails() {
    schedules::check("a disk that fails", 60, a_disk_that_fails);
}
