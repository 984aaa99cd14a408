//! The budget is exact, whatever is done to the cache.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{collections::BTreeMap, sync::Arc, thread};

use common::{File, KIB, MIB, Weighted, read_all, weighing};
use proptest::prelude::*;
use stratal_cache::{Cache, CacheKey, Lease, Priority};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every value that can be got is the last that was put there, and `used` is the sum of their
    /// weights: nothing is counted that cannot be got, and nothing is got that is not counted.
    #[test]
    fn used_is_the_weight_of_what_can_be_got(
        start in capacity(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let cache = Cache::new(start);
        let files: [File; 3] = std::array::from_fn(|_| File::new());
        let lease = Lease::new();
        let mut model = BTreeMap::new();
        for (version, step) in (1..).zip(steps) {
            apply((&cache, &lease), &files, &mut model, step, version);
            check(&cache, &model)?;
            let is_over = matches!(step, Step::Lease { begins: false });
            prop_assert!(!is_over || cache.stats().pinned == 0);
        }
    }
}

#[test]
fn room_for_large_values_is_taken_from_the_shards_and_given_back() {
    let (cache, file) = (Cache::new(64 * MIB), File::new());
    let read_more = |from| assert_eq!(read_all(&cache, file, from..from + 40_000), 40_000);
    read_more(0);
    let full = cache.used();
    assert!(full > 60 * MIB && full <= 64 * MIB, "{full}");

    let large = File::new().block(0);
    cache.insert(&large, Priority::Normal, &Arc::new(weighing(30 * MIB)));
    assert!(cache.used() > 60 * MIB && cache.used() <= 64 * MIB, "{}", cache.used());
    read_more(100_000);
    assert!(cache.used() <= 64 * MIB);
    assert!(cache.get::<Weighted>(&large).is_some(), "blocks do not displace it");

    assert!(cache.remove(&large));
    assert!(cache.used() < 35 * MIB);
    read_more(200_000);
    assert!(cache.used() > 60 * MIB && cache.used() <= 64 * MIB, "{}", cache.used());
}

#[test]
fn a_smaller_capacity_evicts_and_a_larger_one_admits() {
    let (cache, file) = (Cache::new(64 * MIB), File::new());
    for capacity in [64 * MIB, 1000 * KIB, 300, 0, 7 * MIB, 0, 64 * MIB, 1, 128 * MIB] {
        cache.set_capacity(capacity);
        assert_eq!(cache.capacity(), capacity);
        assert!(cache.used() <= capacity);
        let loads = read_all(&cache, file, 0..16_384);
        assert!(loads > 0 && cache.used() <= capacity);
        let wanted = capacity.min(64 * MIB);
        assert!(cache.used() >= wanted - wanted / 10 || capacity < 4 * KIB, "{cache:?}");
    }
}

#[test]
fn any_capacity_can_be_asked_for() {
    for capacity in [0, 1, 191, 192, 193, 32 * MIB - 1, 32 * MIB, 100 * MIB, 1 << 40, u64::MAX] {
        let (cache, key) = (Cache::new(capacity), File::new().block(0));
        assert_eq!(cache.capacity(), capacity);
        cache.insert(&key, Priority::High, &Arc::new(weighing(Cache::ENTRY_OVERHEAD)));
        assert_eq!(cache.used() > 0, capacity / 2 >= Cache::ENTRY_OVERHEAD, "{capacity}");
        assert!(cache.used() <= capacity);
    }
}

/// Removal may be put off, but not for ever.
#[test]
fn removed_files_give_their_memory_back() {
    let (cache, kept) = (Cache::new(256 * MIB), File::new());
    read_all(&cache, kept, 0..20_000);
    let before = cache.used();
    for _ in 0..50 {
        let file = File::new();
        read_all(&cache, file, 0..100);
        cache.remove_file(file.0);
        let left_over = cache.used() - before;
        assert!(left_over <= 2 * 100 * 4 * KIB, "{left_over}");
    }
    assert_eq!(read_all(&cache, kept, 0..20_000), 0);
}

#[test]
fn what_threads_leave_behind_is_counted_exactly() {
    let (cache, lease) = (Cache::new(48 * MIB), Lease::new());
    let files: [File; 3] = std::array::from_fn(|_| File::new());
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let (cache, files, lease) = (&cache, &files, &lease);
            scope.spawn(move || {
                let mut random = thread + 1;
                for version in 0..20_000 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let key = files[(random % 3) as usize].block(random >> 8 & 0x3fff);
                    let weight =
                        if random % 97 == 0 { 3 * MIB } else { 4 * KIB + (random >> 32 & 0xfff) };
                    let priority = match random % 5 {
                        0 => Priority::High,
                        1 => Priority::Pinned(lease),
                        _ => Priority::Normal,
                    };
                    match random >> 24 & 0xff {
                        0..200 => {
                            let load = || {
                                if random & 64 == 0 {
                                    Err(())
                                } else {
                                    Ok(Weighted { weight, version })
                                }
                            };
                            drop(cache.get_or_load(&key, priority, load));
                        }
                        200..230 => {
                            cache.insert(&key, priority, &Arc::new(Weighted { weight, version }));
                        }
                        230..250 => {
                            cache.remove(&key);
                        }
                        250 => cache.remove_file(files[0].0),
                        251 => cache.set_capacity((random >> 40 & 63) * MIB),
                        _ => drop(cache.get::<Weighted>(&key)),
                    }
                }
            });
        }
    });
    let keys = files.iter().flat_map(|file| (0..0x4000).map(|block| file.block(block)));
    let found: Vec<_> = keys.filter_map(|key| cache.get::<Weighted>(&key)).collect();
    assert_eq!(cache.used(), found.iter().map(|value| value.weight).sum::<u64>());
    assert_eq!(cache.len(), found.len());
    assert!(cache.used() <= cache.capacity(), "{cache:?}");

    drop(lease);
    assert_eq!(cache.stats().pinned, 0);
    cache.set_capacity(0);
    assert_eq!((cache.used(), cache.len(), cache.stats().protected), (0, 0, 0));
}

#[derive(Clone, Copy, Debug)]
enum Rank {
    Normal,
    High,
    Pinned,
}

impl Rank {
    fn under(self, lease: &Lease) -> Priority<'_> {
        match self {
            Self::Normal => Priority::Normal,
            Self::High => Priority::High,
            Self::Pinned => Priority::Pinned(lease),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Get { key: (usize, u64) },
    Insert { key: (usize, u64), weight: u64, priority: Rank },
    Load { key: (usize, u64), weight: u64, priority: Rank, fails: bool },
    Pin { key: (usize, u64) },
    Lease { begins: bool },
    Remove { key: (usize, u64) },
    RemoveFile { file: usize },
    Resize { capacity: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let key = || (0..3usize, 0..8u64);
    let priority = || prop::sample::select(vec![Rank::Normal, Rank::High, Rank::Pinned]);
    prop_oneof![
        2 => key().prop_map(|key| Step::Get { key }),
        6 => (key(), weight(), priority())
            .prop_map(|(key, weight, priority)| Step::Insert { key, weight, priority }),
        6 => (key(), weight(), priority(), prop::bool::weighted(0.2))
            .prop_map(|(key, weight, priority, fails)| Step::Load { key, weight, priority, fails }),
        2 => key().prop_map(|key| Step::Remove { key }),
        1 => key().prop_map(|key| Step::Pin { key }),
        1 => any::<bool>().prop_map(|begins| Step::Lease { begins }),
        1 => (0..3usize).prop_map(|file| Step::RemoveFile { file }),
        1 => capacity().prop_map(|capacity| Step::Resize { capacity }),
    ]
}

/// From the overhead alone to more than any capacity.
fn weight() -> impl Strategy<Value = u64> {
    (0..20u32, any::<u32>()).prop_map(|(bits, extra)| {
        Cache::ENTRY_OVERHEAD + (1u64 << bits << 8) - 256 + u64::from(extra % (1 << bits))
    })
}

/// One shard and several, more than enough and not enough for anything.
fn capacity() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        0..2 * KIB,
        0..MIB,
        MIB..64 * MIB,
        prop::sample::select(vec![16 * MIB, 33 * MIB, 64 * MIB, 256 * MIB]),
    ]
}

type Model = BTreeMap<CacheKey, Weighted>;

fn apply(
    (cache, lease): (&Cache, &Lease),
    files: &[File; 3],
    model: &mut Model,
    step: Step,
    version: u64,
) {
    let key_of = |(file, block): (usize, u64)| files[file].block(block);
    match step {
        Step::Get { key } => drop(cache.get::<Weighted>(&key_of(key))),
        Step::Insert { key, weight, priority } => {
            let priority = priority.under(lease);
            cache.insert(&key_of(key), priority, &Arc::new(Weighted { weight, version }));
            model.insert(key_of(key), Weighted { weight, version });
        }
        Step::Load { key, weight, priority, fails } => {
            let mut loads = 0;
            let found = cache.get::<Weighted>(&key_of(key));
            let result = cache.get_or_load(&key_of(key), priority.under(lease), || {
                loads += 1;
                if fails { Err(version) } else { Ok(Weighted { weight, version }) }
            });
            assert_eq!(loads, usize::from(found.is_none()));
            match (found, result) {
                (Some(found), result) => assert_eq!(result, Ok(found)),
                (None, Ok(loaded)) => {
                    assert_eq!(*loaded, Weighted { weight, version });
                    model.insert(key_of(key), Weighted { weight, version });
                }
                (None, Err(error)) => assert_eq!((error, fails), (version, true)),
            }
        }
        Step::Pin { key } => {
            let was_there = cache.get::<Weighted>(&key_of(key)).is_some();
            assert_eq!(cache.pin(&key_of(key), lease), was_there);
        }
        Step::Lease { begins: true } => drop(lease.begin()),
        Step::Lease { begins: false } => lease.end(),
        Step::Remove { key } => {
            let was_there = cache.get::<Weighted>(&key_of(key)).is_some();
            assert_eq!(cache.remove(&key_of(key)), was_there);
            model.remove(&key_of(key));
        }
        Step::RemoveFile { file } => {
            // So few values are swept at once.
            cache.remove_file(files[file].0);
            model.retain(|key, _| key.file != files[file].0);
        }
        Step::Resize { capacity } => cache.set_capacity(capacity),
    }
}

fn check(cache: &Cache, model: &Model) -> Result<(), TestCaseError> {
    let (mut used, mut len) = (0, 0);
    for (key, last) in model {
        if let Some(value) = cache.get::<Weighted>(key) {
            prop_assert_eq!(&*value, last);
            used += value.weight;
            len += 1;
        }
    }
    prop_assert_eq!(cache.used(), used);
    prop_assert_eq!(cache.len(), len);
    prop_assert!(used <= cache.capacity(), "{:?}", cache);
    let stats = cache.stats();
    prop_assert!(stats.pinned <= stats.protected, "{:?}", cache);
    prop_assert!(stats.protected <= cache.capacity() / 2, "{:?}", cache);
    Ok(())
}
