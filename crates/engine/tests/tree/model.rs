use std::sync::Arc;

use stratal_engine::{Error, Snapshot, Tree};
use stratal_fs::{
    MemFs, SimFs,
    sim_fs::{Fault, FaultKind, OsError},
};
use stratal_testkit::Rng;
use stratal_types::SeqNo;

use crate::histories::ingest;
use crate::support::{Reference, check, open_store, open_tree, small, write};

/// A history of `steps` batches under random options, with everything that may happen in between.
/// Returns how many jobs were stopped midway.
fn run(seed: u64, steps: usize) -> u64 {
    let mut rng = Rng::new(seed);
    let comparator = ["bytewise", "reverse", "shortlex"][rng.index(3)];
    let fs = Arc::new(SimFs::new(seed));
    let mut spec = small(&mut rng);
    let (mut store, _) = open_store(fs.clone(), seed).unwrap();
    let mut tree = open_tree(&store, comparator, spec.clone()).unwrap();
    let mut stopped = 0;
    let mut reference = Reference::new(comparator);
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let mut reopened = 0;
    for step in 0..steps {
        write(&tree, &mut reference, &mut rng).unwrap();
        match rng.below(40) {
            0..=3 => drop(tree.flush().unwrap()),
            4..=9 => run_one_job(&tree, rng.chance(1, 8)),
            10 => drop(tree.compact(rng.chance(1, 2)).unwrap()),
            11..=13 => snapshots.push(tree.snapshot()),
            14..=16 if !snapshots.is_empty() => {
                snapshots.swap_remove(rng.index(snapshots.len()));
            }
            19..=20 => stopped += u64::from(stop_midway(&fs, &tree, &mut rng)),
            21..=23 => drop(ingest(&store, &tree, &mut reference, &mut rng).unwrap()),
            // Another strategy, other lengths, other filters, while it is open.
            18 => tree.set_spec(small(&mut rng)).unwrap(),
            17 if rng.chance(1, 3) => {
                tree.flush().unwrap();
                snapshots.clear();
                drop(tree);
                let report;
                if rng.chance(1, 2) {
                    Arc::into_inner(store).unwrap().close().unwrap();
                }
                reopened += 1;
                spec = small(&mut rng);
                (store, report) = open_store(fs.clone(), seed ^ (reopened << 32)).unwrap();
                store.remove_orphans(&report, &std::collections::BTreeSet::new()).unwrap();
                tree = open_tree(&store, comparator, spec.clone()).unwrap();
            }
            _ => {}
        }
        if step % 8 == 0 || step + 1 == steps {
            let context = format!("seed {seed}, step {step}");
            check(&tree, &reference, None, &mut rng, &context);
            if !snapshots.is_empty() {
                let snapshot = &snapshots[rng.index(snapshots.len())];
                check(&tree, &reference, Some(snapshot), &mut rng, &context);
            }
        }
    }
    stopped
}

/// Begins a job of which some operation of the disk fails, and tells whether that was its end.
fn stop_midway(fs: &SimFs, tree: &Tree, rng: &mut Rng) -> bool {
    fs.inject(Fault::at(fs.op_count() + rng.below(16), FaultKind::Error(OsError::Io)));
    let done = match rng.below(3) {
        0 => tree.flush().map(drop),
        1 => tree.compact(false).map(drop),
        _ => tree.compact(true).map(drop),
    };
    fs.clear_faults();
    assert!(!matches!(done, Err(Error::StaleJob(_))), "{done:?}");
    done.is_err()
}

fn run_one_job(tree: &Tree, major: bool) {
    let job = if major { tree.plan_major() } else { tree.plan() };
    if let Some(job) = job {
        tree.run(&job).unwrap();
    }
}

#[test]
fn a_tree_answers_as_the_model_does() {
    let stopped: u64 = (0..60).map(|seed| run(seed, 200)).sum();
    println!("{stopped} jobs were stopped midway");
    assert!(stopped > 100, "{stopped}");
}

/// `STRATAL_SOAK_SECS` says for how long, `STRATAL_SOAK_SEED` where to begin.
#[test]
#[ignore = "runs as long as it is told to"]
fn soak_model() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("STRATAL_SOAK_SECS").unwrap_or(60);
    let first = number("STRATAL_SOAK_SEED").unwrap_or(1_000_000);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut seed = first;
    while std::time::Instant::now() < end {
        run(seed, 1000);
        seed += 1;
    }
    println!("{} histories of 1,000 batches from seed {first}", seed - first);
}

#[test]
fn nothing_is_left_of_a_compacted_tree_of_deleted_keys() {
    let mut rng = Rng::new(1);
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs, 1).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut rng)).unwrap();
    for i in 0..500u32 {
        tree.put(&i.to_le_bytes(), &[7; 40]).unwrap();
    }
    tree.flush().unwrap();
    tree.delete_range(&[0], &[255; 5]).unwrap();
    tree.put(b"kept", b"1").unwrap();
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    let stats = tree.stats();
    let entries: u64 =
        stats.levels.iter().map(|level| level.entries + level.range_tombstones).sum();
    // The range tombstone covers the key behind it as well, whose number is therefore not zeroed; it
    // itself has nothing left to hide.
    assert_eq!(entries, 1, "{stats:?}");
}

#[test]
fn only_what_is_below_the_bound_is_flushed() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs, 1).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut Rng::new(1))).unwrap();
    let sealed = ["a", "b", "c"].map(|key| {
        tree.put(key.as_bytes(), b"1").unwrap();
        tree.seal();
        tree.sealed_to().unwrap()
    });
    assert_eq!(tree.flush_sealed_to(SeqNo::ZERO).unwrap().outputs, 0);
    tree.flush_sealed_to(sealed[1]).unwrap();
    assert_eq!((tree.flushed(), tree.stats().sealed), (sealed[1], 1));
    assert_eq!(tree.stats().levels.iter().map(|level| level.entries).sum::<u64>(), 2);
    tree.flush_sealed().unwrap();
    assert_eq!((tree.flushed(), tree.stats().sealed), (sealed[2], 0));
    assert_eq!(tree.get(b"c").unwrap().as_deref(), Some(&b"1"[..]));
}
