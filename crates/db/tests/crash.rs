//! Power fails at every operation, and again during recovery: what was promised is there, what is
//! there is a prefix of what was committed over all keyspaces, and the database goes on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Generator, Run, State, options, seed_asked_for, small, soak_secs};
use stratal::{Database, Durability, Error, Executor};
use stratal_fs::{CrashPolicy, SimFs, sim_fs::Violations};
use stratal_testkit::Rng;

#[derive(Debug, Default)]
struct Counts {
    histories: u64,
    ops: u64,
    moments: u64,
    images: u64,
    distinct: u64,
    went_on: u64,
    killed: u64,
    nested: u64,
}

/// How thoroughly a history is examined.
#[derive(Clone, Copy)]
struct Depth {
    policies: (usize, usize),
    /// Every so many distinct images, the database goes on and its recovery is crashed.
    every: u64,
    /// Crashes of such a recovery.
    nested: usize,
}

const DEFAULT: Depth = Depth { policies: (12, 4), every: 4, nested: 8 };
const SOAK: Depth = Depth { policies: (60, 16), every: 1, nested: 8 };

fn open(fs: &SimFs) -> Result<Database, Error> {
    small(Arc::new(fs.clone())).open()
}

/// Opens the database, reads everything, and leaves it as a killed process does.
fn recover(fs: &SimFs) -> Result<(Database, State), Error> {
    let db = open(fs)?;
    let state = State::read(&db)?;
    Ok((db, state))
}

fn check_history(seed: u64, depth: Depth, counts: &mut Counts) {
    let mut generator = Generator::new(seed, 24, 60);
    let len = 40 + generator.rng.index(80);
    let steps = generator.steps(len);
    let fs = SimFs::new(seed);
    fs.record_moments();
    let clock = fs.clone();
    let mut run = Run::new(small(Arc::new(fs.clone())), move || clock.op_count()).unwrap();
    for (number, step) in steps.iter().enumerate() {
        run.step(step)
            .unwrap_or_else(|error| panic!("seed {seed}, step {number} {step:?}: {error}"));
    }
    assert_eq!(State::read(run.db()).unwrap(), *run.state(), "seed {seed}: before any crash");
    assert_eq!(fs.violations(), Violations::default(), "seed {seed}");
    counts.histories += 1;
    counts.ops += fs.op_count();
    let moments = fs.take_moments();
    let marks: Vec<u64> = run.states.iter().map(State::fingerprint).collect();

    let mut known = HashSet::new();
    let mut rng = Rng::new(!seed);
    for moment in &moments {
        counts.moments += 1;
        let (promised, begun) = (run.promised_at(moment.op + 1), run.begun_at(moment.op));
        let check = |found: &State, why: &dyn Fn() -> String| {
            let found_mark = found.fingerprint();
            let is_prefix = marks[promised..=begun].contains(&found_mark);
            if !is_prefix {
                let at: Vec<_> = (0..marks.len()).filter(|i| marks[*i] == found_mark).collect();
                panic!(
                    "{}: found the state after {at:?} changes, not after {promised} to {begun}\n\
                     steps: {steps:#?}\n{}",
                    why(),
                    moment.fs.trace_text(40)
                );
            }
        };
        for policy in moment.fs.crash_policies(depth.policies.0, depth.policies.1) {
            let image = moment.fs.image(&policy);
            counts.images += 1;
            if !known.insert((image.fingerprint(), promised)) {
                continue;
            }
            counts.distinct += 1;
            let why = || format!("seed {seed}, crashed at op {} with {policy:?}", moment.op);
            let is_examined = counts.distinct.is_multiple_of(depth.every);
            if is_examined {
                image.record_moments();
            }
            let (db, found) = recover(&image).unwrap_or_else(|error| panic!("{}: {error}", why()));
            check(&found, &why);
            if is_examined {
                let inner = image.take_moments();
                go_on(&image, db, &found, &why);
                counts.went_on += 1;
                for _ in 0..depth.nested.min(inner.len()) {
                    let again = rng.choose(&inner);
                    let policies: Vec<_> = again.fs.crash_policies(8, 4).collect();
                    let policy = rng.choose(&policies);
                    let image = again.fs.image(policy);
                    let why = || {
                        format!("{}, then in recovery at op {} with {policy:?}", why(), again.op)
                    };
                    let (_db, refound) =
                        recover(&image).unwrap_or_else(|error| panic!("{}: {error}", why()));
                    assert_eq!(refound, found, "{}", why());
                    counts.nested += 1;
                }
            }
        }
        // The process is killed, and the system goes on. What the next process says is there stays.
        if moment.op.is_multiple_of(depth.every / 2 + 1) {
            kill(seed, moment, &check, counts);
        }
    }
}

/// The process is killed at this moment, the next one recovers, and then power fails.
fn kill(
    seed: u64,
    moment: &stratal_fs::sim_fs::Moment,
    check: &dyn Fn(&State, &dyn Fn() -> String),
    counts: &mut Counts,
) {
    let why = || format!("seed {seed}, killed at op {}", moment.op);
    let (db, found) = recover(&moment.fs).unwrap_or_else(|error| panic!("{}: {error}", why()));
    check(&found, &why);
    for policy in moment.fs.crash_policies(12, 4) {
        let image = moment.fs.image(&policy);
        let why = || format!("{}, then power failed with {policy:?}", why());
        let (_db, refound) = recover(&image).unwrap_or_else(|error| panic!("{}: {error}", why()));
        assert_eq!(refound, found, "{}", why());
    }
    drop(db);
    counts.killed += 1;
}

/// The recovered database writes, flushes, merges, is whole, and is found again.
fn go_on(fs: &SimFs, db: Database, found: &State, why: &dyn Fn() -> String) {
    let attempt = || -> Result<(), Error> {
        let mut expected = found.clone();
        let keyspace = db.open_keyspace("default")?;
        for i in 0..3u8 {
            keyspace.put([b'z', i], [i; 40])?.durable()?;
            expected.0.get_mut("default").unwrap().insert(vec![b'z', i], vec![i; 40]);
        }
        db.flush()?;
        while db.step()? {}
        db.compact()?;
        assert_eq!(State::read(&db)?, expected, "{}: after a merge", why());
        let verified = db.verify()?;
        assert!(verified.is_ok(), "{}: {verified:?}", why());
        drop(keyspace);
        db.close()?;
        let (_db, refound) = recover(&fs.image(&CrashPolicy::LoseAll))?;
        assert_eq!(refound, expected, "{}: after closing", why());
        Ok(())
    };
    attempt().unwrap_or_else(|error| panic!("{}: going on: {error}", why()));
    assert_eq!(fs.violations(), Violations::default(), "{}", why());
}

#[test]
fn every_crash_leaves_a_prefix_with_all_that_was_promised() {
    let mut counts = Counts::default();
    match seed_asked_for() {
        Some(seed) => check_history(seed, SOAK, &mut counts),
        None => (0..13).for_each(|seed| check_history(seed, DEFAULT, &mut counts)),
    }
    println!("{counts:?}");
    assert!(
        seed_asked_for().is_some() || counts.distinct > 10_000 && counts.nested > 10_000,
        "{counts:?}"
    );
}

/// Writers on threads, flushes and merges on others, and power fails at any operation. Each row is
/// written to two keyspaces in one batch; those of a writer come one after another.
fn check_threads(seed: u64) -> u64 {
    const WRITERS: usize = 4;
    let mut rng = Rng::new(seed);
    let fs = SimFs::new(seed);
    let builder = small(Arc::new(fs.clone())).executor(Executor::Threads);
    let db = builder.open().unwrap();
    let other = db.keyspace("backwards", options(1)).unwrap();
    let first = db.open_keyspace("default").unwrap();
    fs.crash_at(fs.op_count() + 1 + rng.below(1500));
    let acknowledged = std::thread::scope(|scope| {
        let write = |writer: usize| {
            let (db, first, other, mut rng) = (&db, &first, &other, Rng::new(seed + writer as u64));
            move || {
                let mut durable = 0;
                for row in 0..2000u32 {
                    let key = format!("{writer}/{row:05}");
                    let mut batch = db.batch();
                    batch.put(first, &*key, vec![7; 60]).put(other, &*key, vec![8; 30]);
                    let durability =
                        *rng.choose(&[Durability::Memory, Durability::Os, Durability::Sync]);
                    match batch.durability(durability).commit() {
                        Ok(_) if durability == Durability::Sync => durable = row + 1,
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
                durable
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write(writer))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    fs.crash_now();
    drop((first, other, db));
    let mut images = 0;
    for policy in fs.crash_policies(20, 10) {
        let why = || format!("seed {seed} with {policy:?}");
        let (_db, found) = recover(&fs.image(&policy))
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", why(), fs.trace_text(60)));
        let keys = |name: &str| found.0[name].keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys("default"), keys("backwards"), "{}: part of a batch", why());
        for (writer, durable) in acknowledged.iter().enumerate() {
            let prefix = format!("{writer}/");
            let rows = keys("default");
            let rows: Vec<_> =
                rows.iter().filter(|key| key.starts_with(prefix.as_bytes())).collect();
            let is_prefix = (0u32..)
                .zip(&rows)
                .all(|(row, key)| ***key == *format!("{writer}/{row:05}").as_bytes());
            assert!(is_prefix, "{}: a hole in what writer {writer} wrote: {rows:?}", why());
            assert!(rows.len() >= *durable as usize, "{}: {} of {durable}", why(), rows.len());
        }
        images += 1;
    }
    images
}

#[test]
fn a_crash_under_threads_leaves_a_prefix_of_what_each_writer_wrote() {
    let images: u64 = match seed_asked_for() {
        Some(seed) => (0..20).map(|_| check_threads(seed)).sum(),
        None => (0..60).map(check_threads).sum(),
    };
    println!("{images} images");
    assert!(images > 300, "{images}");
}

#[test]
#[ignore = "takes STRATAL_SOAK_SECS seconds"]
fn soak_crash() {
    let end = Instant::now() + Duration::from_secs(soak_secs());
    let mut counts = Counts::default();
    let first = seed_asked_for().unwrap_or(1000);
    for seed in first.. {
        if Instant::now() > end {
            break;
        }
        check_history(seed, SOAK, &mut counts);
    }
    println!("{counts:?}");
}
