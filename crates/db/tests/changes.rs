//! Changes are given in order and whole, and none that was given is taken back by a power failure.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::sync::Arc;

use common::{DIR, options, small};
use stratal::{Change, ChangeOptions, Database, Durability, Error, Keyspace, Operation};
use stratal_fs::{CrashPolicy, MemFs, SimFs};
use stratal_testkit::Rng;
use stratal_types::SeqNo;

/// The keyspaces that are written to: the first of [`common::KEYSPACES`], which are bytewise and
/// reverse.
const WRITTEN: [&str; 2] = ["default", "backwards"];

fn open(fs: &SimFs) -> (Database, Vec<Keyspace>) {
    let db = small(Arc::new(fs.clone())).open().unwrap();
    let keyspaces = (0..WRITTEN.len()).map(|i| db.keyspace(WRITTEN[i], options(i)).unwrap());
    let keyspaces = keyspaces.collect();
    (db, keyspaces)
}

fn all(keyspace: &Keyspace, since: SeqNo) -> (Vec<Change>, SeqNo) {
    let options = ChangeOptions { memory_len: 3000, ..ChangeOptions::default() };
    let changes = keyspace.changes_with(since, options).unwrap();
    let until = changes.until();
    (changes.map(Result::unwrap).collect(), until)
}

/// Whoever follows a keyspace: what he was given, and where he goes on.
struct Follower {
    changes: Vec<Change>,
    until: SeqNo,
}

impl Follower {
    fn follow(&mut self, keyspace: &Keyspace) {
        let (changes, until) = all(keyspace, self.until);
        assert!(until >= self.until);
        self.changes.extend(changes);
        self.until = until;
    }
}

fn write(db: &Database, keyspaces: &[Keyspace], rng: &mut Rng) -> Result<(), Error> {
    let mut batch = db.batch();
    for _ in 0..=rng.index(4) {
        let keyspace = rng.choose(keyspaces);
        let key = format!("key{:02}", rng.below(30));
        let other = format!("key{:02}", rng.below(30));
        match rng.below(8) {
            0..=4 => {
                let len = rng.index(80);
                batch.put(keyspace, key, rng.bytes(len));
            }
            5 => drop(batch.delete(keyspace, key)),
            6 if keyspace.name() == WRITTEN[1] => drop(batch.merge(keyspace, key, "+")),
            _ => drop(batch.delete_range(keyspace, key, other)),
        }
    }
    let durability = [Durability::Memory, Durability::Os, Durability::Sync][rng.index(3)];
    batch.durability(durability).commit().map(drop)
}

#[test]
fn what_was_given_survives_a_power_failure_and_no_number_is_given_twice() {
    let (mut given, mut images, mut behind) = (0, 0, 0);
    for seed in 0..24 {
        let mut rng = Rng::new(seed);
        let fs = SimFs::new(seed);
        let (db, keyspaces) = open(&fs);
        let begin = db.hold_history("follower").unwrap();
        let follower = || Follower { changes: Vec::new(), until: begin };
        let mut followers = [follower(), follower()];
        for step in 0..60 {
            write(&db, &keyspaces, &mut rng).unwrap();
            match rng.below(8) {
                0 => db.flush().unwrap(),
                1 => db.compact().unwrap(),
                2 => drop(db.step().unwrap()),
                3..=4 => {
                    let i = rng.index(2);
                    followers[i].follow(&keyspaces[i]);
                }
                _ => {}
            }
            if step % 7 != 0 {
                continue;
            }
            // A process that is killed leaves everything to whoever reads then, who must not give what a
            // power failure may still take away.
            let read_only = small(Arc::new(fs.image(&CrashPolicy::KeepAll))).read_only(true);
            let reader = read_only.open().unwrap();
            let seen: Vec<_> = WRITTEN
                .iter()
                .map(|name| all(&reader.open_keyspace(name).unwrap(), begin))
                .collect();
            let visible = reader.stats().visible;
            behind += seen.iter().filter(|(_, until)| *until < visible).count();
            for policy in fs.crash_policies(6, 2) {
                images += 1;
                let context = format!("seed {seed}, step {step}, {policy:?}");
                let (db, keyspaces) = open(&fs.image(&policy));
                assert_eq!(db.held_history(), [("follower".to_owned(), begin)], "{context}");
                let next = keyspaces[0].put("after", "the crash").unwrap().seqno();
                for (i, keyspace) in keyspaces.iter().enumerate() {
                    let (found, _) = all(keyspace, begin);
                    for known in [&followers[i].changes, &seen[i].0] {
                        assert!(found.starts_with(known), "{context}: {}", WRITTEN[i]);
                        given += known.len();
                    }
                    assert!(next >= followers[i].until, "{context}");
                }
            }
        }
    }
    println!(
        "{images} images, {given} changes found again, {behind} reads held back unproven ones"
    );
    assert!(images > 500 && given > 10_000 && behind > 20, "{images} {given} {behind}");
}

#[test]
fn a_gap_is_an_error_and_a_holder_never_meets_one() {
    let fs = Arc::new(MemFs::new());
    let db = small(fs.clone()).open().unwrap();
    let towns = db.open_keyspace("default").unwrap();
    let put = |value: &str| towns.put("AD/Vila", value).unwrap().seqno();
    let first = put("1");
    db.flush().unwrap();
    // Nobody held it.
    match towns.changes_since(first) {
        Err(Error::SnapshotTooOld { bound, floor }) => assert!(bound == first && floor > first),
        other => panic!("{other:?}"),
    }
    let held = db.hold_history("feed").unwrap();
    let (second, third) = (put("2"), put("3"));
    db.compact().unwrap();
    drop(towns);
    db.close().unwrap();

    for read_only in [true, false] {
        let db = small(fs.clone()).read_only(read_only).open().unwrap();
        let towns = db.open_keyspace("default").unwrap();
        let seqnos = |since| all(&towns, since).0.iter().map(|it| it.seqno).collect::<Vec<_>>();
        assert_eq!(seqnos(held), [second, third]);
        assert_eq!(seqnos(third), [third]);
        let snapshot = db.snapshot_at(third).unwrap();
        assert_eq!(towns.at(&snapshot).get("AD/Vila").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!((towns.at(&snapshot).len().unwrap(), towns.len().unwrap()), (1, 1));
        if read_only {
            assert!(matches!(db.hold_history("other"), Err(Error::ReadOnly { .. })));
            continue;
        }
        assert!(matches!(db.advance_history("other", held), Err(Error::NotFound { .. })));
        db.advance_history("feed", third).unwrap();
        db.compact().unwrap();
        drop(snapshot);
        assert_eq!(seqnos(third), [third]);
        assert!(db.release_history("feed").unwrap());
    }
    assert!(Database::builder(DIR).fs(fs).open().unwrap().held_history().is_empty());
}

#[test]
fn changes_applied_to_another_database_make_the_same() {
    let db = small(Arc::new(MemFs::new())).open().unwrap();
    let copy = small(Arc::new(MemFs::new())).open().unwrap();
    let keyspaces: Vec<_> = (0..2).map(|i| db.keyspace(WRITTEN[i], options(i)).unwrap()).collect();
    let copies: Vec<_> = (0..2).map(|i| copy.keyspace(WRITTEN[i], options(i)).unwrap()).collect();
    let mut until = [db.hold_history("copy").unwrap(); 2];
    let mut rng = Rng::new(7);
    for step in 0..400 {
        write(&db, &keyspaces, &mut rng).unwrap();
        while db.step().unwrap() {}
        if step % 20 != 19 {
            continue;
        }
        for i in 0..2 {
            let (changes, next) = all(&keyspaces[i], until[i]);
            until[i] = next;
            for change in changes {
                let mut batch = copy.batch();
                match change.operation {
                    Operation::Put { key, value } => batch.put(&copies[i], key, value),
                    Operation::Delete { key } => batch.delete(&copies[i], key),
                    Operation::Merge { key, operand } => batch.merge(&copies[i], key, operand),
                    Operation::DeleteRange { from, to } => batch.delete_range(&copies[i], from, to),
                    other => panic!("{other:?}"),
                };
                batch.commit().unwrap();
            }
            let rows = |keyspace: &Keyspace| {
                keyspace.range::<&[u8]>(..).unwrap().map(Result::unwrap).collect::<Vec<_>>()
            };
            assert_eq!(rows(&copies[i]), rows(&keyspaces[i]), "step {step}");
        }
        db.advance_history("copy", until[0].min(until[1])).unwrap();
    }
}
