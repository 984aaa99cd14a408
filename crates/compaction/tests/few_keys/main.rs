//! The garbage-collection rules on a few neighbouring keys: range tombstones over some of them, tables cut
//! between them, jobs in parts, ingestions, filters, and seeks to and between keys.
//!
//! What the model of one key leaves out: that a job's fragments reach beyond the keys of its tables, that
//! outputs carry them clipped, and that a job takes some tables of a run and not others. Random histories,
//! and all small ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod model;
mod tree;
#[path = "../support/mod.rs"]
mod support;

use stratal_testkit::Rng;
use stratal_types::{EntryKind, SeqNo};

use EntryKind::{Delete, Merge, Put, ValuePointer, WeakDelete};
use Write::{Ingest, RangeDelete, Replace, Row};
use model::{KEYS, Write};
use tree::{Filter, Means, Tree};

const FILTERS: [Filter; 4] = [Filter::None, Filter::Remove, Filter::Replace, Filter::Destroy];

fn random_means(rng: &mut Rng) -> Means {
    Means {
        cuts: rng.chance(1, 2),
        parted: rng.chance(1, 4).then(|| 1 + rng.index(KEYS.len() - 1)),
        operator: rng.chance(7, 8),
        composes: rng.chance(1, 2),
        filter: if rng.chance(1, 6) { *rng.choose(&FILTERS) } else { Filter::None },
    }
}

/// One history; gives how many merges there were.
fn random_history(seed: u64, steps: u32) -> u64 {
    let mut rng = Rng::new(seed);
    let mut tree = Tree::new();
    let mut merges = 0;
    for _ in 0..steps {
        match rng.below(100) {
            0..50 => {
                let write = Write::random(&mut rng);
                if tree.log.allows(write) {
                    tree.write(write);
                }
            }
            50..65 => tree.flush(),
            65..72 => {
                let low = tree.shape.watermark.get();
                let raised = low + rng.below(tree.log.end() - low + 1);
                tree.shape.watermark = SeqNo::new(raised).unwrap();
            }
            _ => {
                let jobs = tree.jobs();
                if !jobs.is_empty() {
                    tree.run(rng.choose(&jobs), random_means(&mut rng));
                    merges += 1;
                }
            }
        }
        if let Err(wrong) = tree.check() {
            panic!("seed {seed}: {wrong:#?}");
        }
    }
    merges
}

#[test]
fn tables_of_neighbours_hold_in_random_histories() {
    let merges: u64 = (0..1_500).map(|seed| random_history(seed, 40)).sum();
    assert!(merges > 10_000, "{merges}");
}

/// Goes on for `STRATAL_SOAK_SECS` seconds (60 if unset) with new seeds, from `STRATAL_SOAK_SEED`.
#[test]
#[ignore = "runs for as long as it is told"]
fn soak() {
    let number = |name, default| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let time = std::time::Duration::from_secs(number("STRATAL_SOAK_SECS", 60));
    let start = std::time::Instant::now();
    let mut seed = number("STRATAL_SOAK_SEED", 1 << 40);
    while start.elapsed() < time {
        random_history(seed, 40 + u32::try_from(seed % 3).unwrap() * 30);
        seed += 1;
    }
    println!("histories up to seed {seed} hold");
}

/// Every history of up to `writes_max` writes, each a run of its own, and after it every sequence of up to
/// `merges_max` merges, all below the watermark or, if `every_watermark`, any part. Gives how many states
/// were read.
fn exhaustive(
    alphabet: &[Write],
    (writes_max, merges_max): (usize, usize),
    every_watermark: bool,
    means: &[Means],
) -> u64 {
    let mut states = 0;
    extend(&Tree::new(), alphabet, writes_max, &mut |tree| {
        let end = tree.log.end();
        for watermark in if every_watermark { 1..=end } else { end..=end } {
            let mut tree = tree.clone();
            tree.shape.watermark = SeqNo::new(watermark).unwrap();
            merge_all_ways(&tree, merges_max, means, &mut states);
        }
    });
    states
}

fn extend(tree: &Tree, alphabet: &[Write], left: usize, visit: &mut dyn FnMut(&Tree)) {
    if tree.log.writes.len() >= 2 {
        visit(tree);
    }
    if left == 0 {
        return;
    }
    for &write in alphabet.iter().filter(|write| tree.log.allows(**write)) {
        let mut longer = tree.clone();
        longer.write(write);
        longer.flush();
        extend(&longer, alphabet, left - 1, visit);
    }
}

fn merge_all_ways(tree: &Tree, left: usize, means: &[Means], states: &mut u64) {
    *states += 1;
    if let Err(wrong) = tree.check() {
        panic!("{wrong:#?}");
    }
    if left == 0 {
        return;
    }
    for job in tree.jobs() {
        for means in means {
            let mut merged = tree.clone();
            merged.run(&job, *means);
            // One way of doing what comes after is enough.
            merge_all_ways(&merged, left - 1, std::slice::from_ref(means), states);
        }
    }
}

const WHOLE_AND_CUT: [Means; 2] = [Means::PLAIN, Means { cuts: true, ..Means::PLAIN }];

#[test]
fn range_tombstones_over_neighbours_hold_in_every_small_history() {
    let rows = [Row(Put, 0), Row(Put, 1), Row(Delete, 0), Row(Merge, 1)];
    let ranges = [RangeDelete((0, 1)), RangeDelete((1, 2)), RangeDelete((0, 2))];
    let states = exhaustive(&[&rows[..], &ranges].concat(), (3, 2), false, &WHOLE_AND_CUT);
    let watermarks = [Row(Put, 0), Row(Put, 1), RangeDelete((0, 2)), RangeDelete((1, 2))];
    let states = states + exhaustive(&watermarks, (3, 1), true, &WHOLE_AND_CUT);
    println!("{states} states");
    assert!(states > 10_000, "{states}");
}

#[test]
fn parted_jobs_hold_in_every_small_history() {
    let parted = [1, 2].map(|key| Means { parted: Some(key), ..Means::PLAIN });
    let alphabet =
        [Row(Put, 0), Row(Put, 2), RangeDelete((0, 3)), RangeDelete((1, 3)), Row(Merge, 1)];
    let states = exhaustive(&alphabet, (3, 2), false, &parted);
    println!("{states} states");
    assert!(states > 5_000, "{states}");
}

#[test]
fn ingestions_beside_neighbours_hold_in_every_small_history() {
    let alphabet = [
        Row(Put, 0),
        Row(Put, 1),
        Row(WeakDelete, 1),
        Ingest(Put, 1),
        Ingest(Merge, 0),
        Replace((0, 2), Some((Put, 1))),
        Replace((0, 1), Some((Delete, 1))),
        Replace((1, 2), None),
    ];
    let states = exhaustive(&alphabet, (3, 1), false, &WHOLE_AND_CUT);
    let few = [Row(Put, 0), Replace((0, 2), Some((Put, 1))), Replace((0, 2), None)];
    let states = states + exhaustive(&few, (3, 2), true, &WHOLE_AND_CUT[1..]);
    println!("{states} states");
    assert!(states > 5_000, "{states}");
}

#[test]
fn filters_and_pointers_beside_neighbours_hold_in_every_small_history() {
    let alphabet =
        [Row(Put, 0), Row(ValuePointer, 1), Row(WeakDelete, 1), Row(Merge, 1), RangeDelete((0, 2))];
    for filter in FILTERS {
        let means = [true, false].map(|cuts| Means { cuts, filter, ..Means::PLAIN });
        let states = exhaustive(&alphabet, (3, 2), false, &means);
        println!("{filter:?}: {states} states");
        assert!(states > 1_000, "{states}");
    }
}
