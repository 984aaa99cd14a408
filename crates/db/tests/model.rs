//! Random work on several keyspaces, compared with an oracle that keeps every version.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Generator, KEYSPACES, add, ingest, options, seed_asked_for, small, soak_secs};
use stratal::{Database, Durability, Snapshot};
use stratal_fs::MemFs;
use stratal_testkit::{Model, Rng, concatenate};
use stratal_types::{KeyRange, SeqNo, comparator_named};

/// The keyspaces that stay.
const KEPT: usize = 3;

#[derive(Debug, Default)]
struct Counts {
    ops: u64,
    reads: u64,
    rows: u64,
    snapshots: u64,
    flushes: u64,
    jobs: u64,
    compactions: u64,
    ingestions: u64,
    reopened: u64,
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn open(fs: &MemFs) -> Database {
    let db = small(Arc::new(fs.clone())).open().unwrap();
    for (number, (name, _)) in KEYSPACES[..KEPT].iter().enumerate() {
        db.keyspace(name, options(number)).unwrap();
    }
    db
}

fn check_model(seed: u64, ops: u64, counts: &mut Counts) {
    let fs = MemFs::new();
    let mut db = open(&fs);
    let mut generator = Generator::new(seed, 40, 80);
    let mut models: Vec<Model> = KEYSPACES[..KEPT]
        .iter()
        .map(|(_, comparator)| Model::new(comparator_named(comparator).unwrap(), concatenate))
        .collect();
    let mut snapshots: BTreeMap<u64, Snapshot> = BTreeMap::new();
    let end = counts.ops + ops;
    while counts.ops < end {
        let why = format!("seed {seed}, after {} operations", counts.ops);
        match generator.rng.below(100) {
            0..50 => {
                let ops = generator.batch();
                let mut batch = db.batch();
                let choices = [Durability::Memory, Durability::Os, Durability::Sync];
                batch.durability(*generator.rng.choose(&choices));
                for (number, op) in &ops {
                    add(&mut batch, &db.open_keyspace(KEYSPACES[*number].0).unwrap(), op);
                }
                let last = batch.commit().unwrap().seqno().get();
                let first = last + 1 - ops.len() as u64;
                for (seqno, (number, op)) in (first..).zip(&ops) {
                    models[*number].apply(SeqNo::new(seqno).unwrap(), op);
                }
                counts.ops += ops.len() as u64;
            }
            50..60 => check_reads(&db, &models, None, &mut generator, counts, &why),
            60..70 => {
                let chosen = generator.rng.index(snapshots.len());
                if let Some(snapshot) = snapshots.values().nth(chosen) {
                    check_reads(&db, &models, Some(snapshot), &mut generator, counts, &why);
                }
            }
            70..74 => {
                snapshots.insert(counts.ops, db.snapshot());
                counts.snapshots += 1;
            }
            74..78 => {
                let chosen = snapshots.keys().nth(generator.rng.index(snapshots.len())).copied();
                drop(chosen.and_then(|chosen| snapshots.remove(&chosen)));
            }
            78..80 => {
                db.flush().unwrap();
                counts.flushes += 1;
            }
            80 => {
                db.compact().unwrap();
                counts.compactions += 1;
            }
            81 => {
                // A snapshot lives as long as the process.
                snapshots.clear();
                if generator.rng.chance(1, 2) {
                    db.close().unwrap();
                } else {
                    drop(db);
                }
                db = open(&fs);
                counts.reopened += 1;
            }
            82..86 => {
                let number = generator.rng.index(KEPT);
                let ops = generator.ingestion(number);
                let keyspace = db.open_keyspace(KEYSPACES[number].0).unwrap();
                let mut ingestion = keyspace.ingestion().unwrap();
                for op in &ops {
                    ingest(&mut ingestion, op).unwrap();
                }
                let seqno = ingestion.finish().unwrap().seqno.unwrap();
                for op in &ops {
                    models[number].apply(seqno, op);
                }
                counts.ops += ops.len() as u64;
                counts.ingestions += 1;
            }
            _ => counts.jobs += u64::from(db.step().unwrap()),
        }
    }
    let report = db.verify().unwrap();
    assert!(report.is_ok(), "seed {seed}: {report:?}");
}

fn check_reads(
    db: &Database,
    models: &[Model],
    snapshot: Option<&Snapshot>,
    generator: &mut Generator,
    counts: &mut Counts,
    why: &str,
) {
    let number = generator.rng.index(KEPT);
    let (model, name) = (&models[number], KEYSPACES[number].0);
    let keyspace = db.open_keyspace(name).unwrap();
    let bound = snapshot.map_or(SeqNo::MAX, Snapshot::bound);
    counts.reads += 1;

    let key = generator.key();
    let found = match snapshot {
        Some(snapshot) => keyspace.get_at(&key, snapshot),
        None => keyspace.get(&key),
    };
    let expected = model.get(&key, bound);
    assert_eq!(found.unwrap().map(|value| value.to_vec()), expected, "{why}: {name} {key:?}");

    let keys: Vec<_> = (0..5).map(|_| generator.key()).collect();
    let found = match snapshot {
        Some(snapshot) => keyspace.multi_get_at(&keys, snapshot),
        None => keyspace.multi_get(&keys),
    };
    let found: Vec<_> =
        found.unwrap().iter().map(|value| value.as_ref().map(|v| v.to_vec())).collect();
    let expected: Vec<_> = keys.iter().map(|key| model.get(key, bound)).collect();
    assert_eq!(found, expected, "{why}: {name} {keys:?}");

    let (start, end) = (bound_of(generator), bound_of(generator));
    let range = KeyRange { start: start.clone(), end: end.clone() };
    let rows = match snapshot {
        Some(snapshot) => keyspace.range_at((start, end), snapshot),
        None => keyspace.range((start, end)),
    };
    let expected = model.scan(&range, bound);
    counts.rows += expected.len() as u64;
    assert_eq!(
        from_both_ends(rows.unwrap(), &mut generator.rng),
        expected,
        "{why}: {name} {range:?}"
    );

    let prefix = &key[..generator.rng.index(key.len() + 1)];
    let rows = match snapshot {
        Some(snapshot) => keyspace.prefix_at(prefix, snapshot),
        None => keyspace.prefix(prefix),
    };
    let mut expected = model.scan(&KeyRange::ALL, bound);
    expected.retain(|(key, _)| key.starts_with(prefix));
    assert_eq!(
        from_both_ends(rows.unwrap(), &mut generator.rng),
        expected,
        "{why}: {name} {prefix:?}"
    );
}

fn bound_of(generator: &mut Generator) -> Bound<Vec<u8>> {
    let key = generator.key();
    match generator.rng.below(3) {
        0 => Bound::Unbounded,
        1 => Bound::Included(key),
        _ => Bound::Excluded(key),
    }
}

/// The rows, taken from the front and the back by chance.
fn from_both_ends(mut rows: stratal::Range, rng: &mut Rng) -> Rows {
    let (mut front, mut back) = (Rows::new(), Rows::new());
    loop {
        let is_front = rng.chance(1, 2);
        let Some(row) = (if is_front { rows.next() } else { rows.next_back() }) else { break };
        let (key, value) = row.unwrap();
        let side = if is_front { &mut front } else { &mut back };
        side.push((key.to_vec(), value.to_vec()));
    }
    front.extend(back.into_iter().rev());
    front
}

#[test]
fn the_database_agrees_with_an_oracle_that_forgets_nothing() {
    let mut counts = Counts::default();
    match seed_asked_for() {
        Some(seed) => check_model(seed, 5000, &mut counts),
        None => (0..10).for_each(|seed| check_model(seed, 2000, &mut counts)),
    }
    println!("{counts:?}");
    assert!(
        seed_asked_for().is_some() || counts.ops >= 20_000 && counts.reopened > 50,
        "{counts:?}"
    );
}

#[test]
#[ignore = "takes STRATAL_SOAK_SECS seconds"]
fn soak_model() {
    let end = Instant::now() + Duration::from_secs(soak_secs());
    let mut counts = Counts::default();
    for seed in seed_asked_for().unwrap_or(1000).. {
        if Instant::now() > end {
            break;
        }
        check_model(seed, 4000, &mut counts);
    }
    println!("{counts:?}");
}
