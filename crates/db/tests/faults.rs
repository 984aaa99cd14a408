//! The disk fails at every operation, once or from then on: every error is said, nothing that was
//! promised is lost, and nothing that was refused appears.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    Generator, KEYSPACES, State, Step, add, ingest, options, seed_asked_for, small, soak_secs,
};
use stratal::{Database, Durability, Error, Ticket};
use stratal_fs::{
    CrashPolicy, SimFs,
    sim_fs::{Fault, FaultKind, OsError, Violations},
};
use stratal_testkit::Op;

#[derive(Debug, Default)]
struct Counts {
    cases: u64,
    struck: u64,
    crashed: u64,
    refused: u64,
    unknown: u64,
    resumed: u64,
}

/// What may be found: each change that was made or may have been.
#[derive(Clone, Debug)]
enum Change {
    Batch(Vec<(usize, Op)>),
    Create(usize),
    Drop(usize),
}

/// A change, and what is known about it.
struct Entry {
    change: Change,
    is_certain: bool,
}

/// What was done to a database whose disk fails, and how that went.
#[derive(Default)]
struct History {
    entries: Vec<Entry>,
    /// Changes up to here are promised.
    promised: usize,
    ticket: Option<Ticket>,
}

/// Above that many changes of unknown outcome, what may be found is not enumerated.
const UNKNOWN_MAX: usize = 8;

impl History {
    /// Every state that may be found at the next open: any prefix that is not shorter than what was
    /// promised, each change of unknown outcome in it or not.
    fn candidates(&self) -> Vec<State> {
        let mut candidates = vec![State::new()];
        let mut found = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if number >= self.promised {
                found.extend(candidates.iter().cloned());
            }
            candidates = entry.after(&candidates);
        }
        found.extend(candidates);
        found
    }

    fn unknowns(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.is_certain).count()
    }

    /// Notes how a change went. Returns whether it is done.
    fn note(&mut self, counts: &mut Counts, change: Change, result: &Result<(), Error>) -> bool {
        match result {
            Ok(()) => self.entries.push(Entry { change, is_certain: true }),
            Err(Error::UnknownOutcome { .. }) => {
                counts.unknown += 1;
                self.entries.push(Entry { change, is_certain: false });
            }
            Err(_) => counts.refused += 1,
        }
        result.is_ok()
    }

    fn has_keyspace(&self, number: usize) -> bool {
        let last = self.entries.iter().rev().find_map(|entry| match entry.change {
            Change::Create(it) if it == number => Some(true),
            Change::Drop(it) if it == number => Some(false),
            _ => None,
        });
        number == 0 || last.unwrap_or(false)
    }
}

impl Entry {
    /// What may be there after this change if it was one of `before`.
    fn after(&self, before: &[State]) -> Vec<State> {
        let with = before.iter().map(|state| self.change.applied_to(state));
        let mut after: Vec<State> =
            if self.is_certain { with.collect() } else { with.chain(before.to_vec()).collect() };
        after.sort_by_key(State::fingerprint);
        after.dedup();
        after
    }
}

impl Change {
    fn applied_to(&self, state: &State) -> State {
        let mut next = state.clone();
        match self {
            Self::Batch(ops) => ops.iter().for_each(|(number, op)| next.apply(*number, op)),
            Self::Create(number) => {
                next.0.entry(KEYSPACES[*number].0.into()).or_default();
            }
            Self::Drop(number) => drop(next.0.remove(KEYSPACES[*number].0)),
        }
        next
    }
}

/// Does a step. What fails leaves the outcome in the history.
fn step(db: &Database, history: &mut History, step: &Step, counts: &mut Counts) {
    match step {
        Step::Batch(ops, durability) => {
            let mut batch = db.batch();
            batch.durability(*durability);
            for (number, op) in ops {
                let Ok(keyspace) = db.open_keyspace(KEYSPACES[*number].0) else { return };
                add(&mut batch, &keyspace, op);
            }
            let result = batch.commit();
            let done = result.as_ref().map(drop).map_err(copy);
            if history.note(counts, Change::Batch(ops.clone()), &done) {
                if *durability == Durability::Sync {
                    history.promised = history.entries.len();
                }
                history.ticket = result.ok();
            }
        }
        Step::Ingest(number, ops) => {
            let Ok(keyspace) = db.open_keyspace(KEYSPACES[*number].0) else { return };
            let ingested = || {
                let mut ingestion = keyspace.ingestion()?;
                ops.iter().try_for_each(|op| ingest(&mut ingestion, op))?;
                ingestion.finish().map(drop)
            };
            let ops = ops.iter().map(|op| (*number, op.clone())).collect();
            if history.note(counts, Change::Batch(ops), &ingested()) {
                history.promised = history.entries.len();
            }
        }
        Step::Durable => {
            let before = history.entries.len();
            if let Some(ticket) = &history.ticket
                && ticket.durable().is_ok()
                && history.entries.last().is_some_and(|entry| entry.is_certain)
            {
                history.promised = before;
            }
        }
        Step::Flush => drop(db.flush()),
        Step::Compact => drop(db.compact()),
        Step::Job => drop(db.step()),
        Step::Create(number) => {
            let (name, _) = KEYSPACES[*number];
            // If its drop was refused, this opens it and makes nothing durable.
            if db.open_keyspace(name).is_ok() {
                return;
            }
            let result = db.keyspace(name, options(*number)).map(drop);
            if history.note(counts, Change::Create(*number), &result) {
                history.promised = history.entries.len();
            }
        }
        Step::Drop(number) => {
            if !history.has_keyspace(*number) {
                return;
            }
            let result = db.drop_keyspace(KEYSPACES[*number].0);
            if history.note(counts, Change::Drop(*number), &result) {
                history.promised = history.entries.len();
            }
        }
        Step::Reopen => {}
    }
}

/// Enough of an error to tell what kind it is.
fn copy(error: &Error) -> Error {
    match error {
        Error::UnknownOutcome { why } => Error::UnknownOutcome { why: why.clone() },
        error => Error::ReadOnly { why: error.to_string() },
    }
}

fn check_case(
    seed: u64,
    steps: &[Step],
    op: u64,
    kind: FaultKind,
    sticky: bool,
    counts: &mut Counts,
) {
    let why = || format!("seed {seed}, {kind:?} at op {op}, sticky: {sticky}");
    let fs = SimFs::new(seed);
    let fault = Fault::at(op, kind);
    fs.inject(if sticky { fault.sticky() } else { fault });
    counts.cases += 1;
    let mut history = History::default();
    let mut expected = None;
    if let Ok(db) = small(Arc::new(fs.clone())).open() {
        // What reads may see. One state, unless they fail too.
        let mut visible = vec![State::new()];
        for it in steps {
            let before = history.entries.len();
            step(&db, &mut history, it, counts);
            for entry in &history.entries[before..] {
                visible = entry.after(&visible);
            }
            if let Ok(found) = State::read(&db) {
                assert!(
                    visible.is_empty() || visible.contains(&found),
                    "{}: after {it:?}: {found:#?}\n{visible:#?}\n{:?}\n{}",
                    why(),
                    db.health(),
                    fs.trace_text(30)
                );
                visible = vec![found];
            } else if visible.len() > 1 << UNKNOWN_MAX {
                visible.clear();
            }
        }
        if history.unknowns() <= UNKNOWN_MAX {
            let candidates = history.candidates();
            for policy in crashes(op) {
                let found = find(&fs, &policy, &why);
                assert!(
                    candidates.contains(&found),
                    "{}, {policy:?}: found {found:#?}\nnewest candidate {:#?}\n{}",
                    why(),
                    candidates.last(),
                    fs.trace_text(60)
                );
                counts.crashed += 1;
            }
        }
        let was_unwell = db.health() != stratal::Health::Healthy;
        // The disk works again.
        fs.clear_faults();
        let keyspace = db.open_keyspace("default").unwrap();
        let resumed = keyspace.put(*b"zz", *b"again").and_then(|ticket| ticket.durable());
        resumed.unwrap_or_else(|error| panic!("{}: does not resume: {error}", why()));
        counts.resumed += u64::from(was_unwell);
        db.flush().unwrap_or_else(|error| panic!("{}: does not flush: {error}", why()));
        // Nothing is unknown any more, unless a keyspace was dropped or made.
        let names = history.entries.iter().filter(|entry| !entry.is_certain);
        if names.clone().all(|entry| matches!(entry.change, Change::Batch(_))) {
            expected = Some(State::read(&db).unwrap());
        }
        // Power fails without a farewell.
        std::mem::forget((keyspace, db));
    } else {
        fs.clear_faults();
        expected = Some(State::new());
    }
    counts.struck += u64::from(fs.op_count() > op);
    // Names made after a directory's sync failed are synced anew; those from before are not relied on.
    let Violations { retried_syncs, writes_after_failure, .. } = fs.violations();
    assert_eq!((retried_syncs, writes_after_failure), (0, 0), "{}", why());
    for policy in crashes(op) {
        let found = find(&fs, &policy, &why);
        if let Some(expected) = &expected {
            assert_eq!(found, *expected, "{}, {policy:?}", why());
        }
    }
}

fn crashes(seed: u64) -> [CrashPolicy; 3] {
    [CrashPolicy::LoseAll, CrashPolicy::KeepAll, CrashPolicy::Random { seed }]
}

/// What the next process finds after power failed.
fn find(fs: &SimFs, policy: &CrashPolicy, why: &dyn Fn() -> String) -> State {
    let db = small(Arc::new(fs.image(policy))).open();
    let db = db.unwrap_or_else(|error| panic!("{}, {policy:?}: {error}", why()));
    State::read(&db).unwrap_or_else(|error| panic!("{}, {policy:?}: {error}", why()))
}

fn check_workload(seed: u64, len: usize, stride: usize, counts: &mut Counts) {
    let mut generator = Generator::new(seed, 16, 40);
    let steps = generator.steps(len);
    let steps: Vec<_> = steps.into_iter().filter(|it| !matches!(it, Step::Reopen)).collect();
    check_steps(seed, &steps, stride, counts);
}

fn check_steps(seed: u64, steps: &[Step], stride: usize, counts: &mut Counts) {
    let fs = SimFs::new(seed);
    {
        let db = small(Arc::new(fs.clone())).open().unwrap();
        let mut history = History::default();
        for it in steps {
            step(&db, &mut history, it, counts);
        }
    }
    let ops = fs.op_count();
    for op in (0..ops).step_by(stride) {
        for error in [OsError::Io, OsError::NoSpace] {
            for kind in [
                FaultKind::Error(error),
                FaultKind::ErrorDroppingPages(error),
                FaultKind::ErrorWhenDone(error),
            ] {
                check_case(seed, steps, op, kind, false, counts);
            }
            check_case(seed, steps, op, FaultKind::Error(error), true, counts);
        }
    }
}

#[test]
fn no_failure_of_the_disk_is_silent_or_costs_what_was_promised() {
    let mut counts = Counts::default();
    match seed_asked_for() {
        Some(seed) => check_workload(seed, 40, 1, &mut counts),
        None => (0..2).for_each(|seed| check_workload(seed, 30, 1, &mut counts)),
    }
    println!("{counts:?}");
    assert!(counts.struck > 1000 && counts.refused > 100 && counts.unknown > 100, "{counts:?}");
}

/// An ingestion that is found although it failed says that everything up to its number is in tables. So
/// what is committed behind it must have another one.
#[test]
fn a_commit_behind_an_ingestion_of_unknown_outcome_is_not_taken_for_flushed() {
    let put = |key: &[u8]| Op::Put { key: key.to_vec(), value: b"value".to_vec() };
    let steps = [
        Step::Ingest(0, vec![put(b"ingested")]),
        Step::Batch(vec![(0, put(b"committed"))], Durability::Sync),
    ];
    let mut counts = Counts::default();
    check_steps(1, &steps, 1, &mut counts);
    assert!(counts.unknown > 5 && counts.crashed > 100, "{counts:?}");
}

#[test]
#[ignore = "takes STRATAL_SOAK_SECS seconds"]
fn soak_faults() {
    let end = Instant::now() + Duration::from_secs(soak_secs());
    let mut counts = Counts::default();
    for seed in seed_asked_for().unwrap_or(1000).. {
        if Instant::now() > end {
            break;
        }
        check_workload(seed, 60, 3, &mut counts);
    }
    println!("{counts:?}");
}
