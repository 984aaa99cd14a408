//! What stays and what goes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and prints what it measured"
)]

mod common;

use std::sync::Arc;

use common::{File, KIB, MIB, Weighted, read, read_all, read_weighing, weighing};
use stratal_cache::{Cache, Lease, Priority};

const BLOCK: u64 = 4 * KIB;
const CAPACITIES: [u64; 3] = [4 * MIB, 40 * MIB, 512 * MIB];

/// A third of the cache is in use, and ten times the cache is read once.
#[test]
fn a_scan_does_not_flush_what_is_in_use() {
    for capacity in CAPACITIES {
        let cache = Cache::new(capacity);
        assert!(hits_after_scan(&cache, capacity) > 0.9);
    }
}

#[test]
fn a_cache_that_was_full_of_a_scan_takes_up_what_is_in_use() {
    for capacity in CAPACITIES {
        let cache = Cache::new(capacity);
        scan(&cache, 2 * capacity);
        assert!(hits_after_scan(&cache, capacity) > 0.9);
    }
}

#[test]
fn a_resized_cache_resists_scans_like_a_new_one() {
    let cache = Cache::new(64 * MIB);
    for capacity in [4 * MIB, 0, 16 * MIB, 64 * MIB] {
        cache.set_capacity(capacity);
        if capacity > 0 {
            scan(&cache, 2 * capacity);
            assert!(hits_after_scan(&cache, capacity) > 0.9, "{capacity}");
        }
    }
}

/// Indexes that nobody asks for any more, among blocks that are all used again and again.
#[test]
fn high_priority_outlasts_normal_and_not_for_ever() {
    for capacity in CAPACITIES {
        let (cache, file) = (Cache::new(capacity), File::new());
        let few = capacity / BLOCK / 10;
        let (high, normal) = (0..few, few..2 * few);
        for block in high.clone() {
            read_weighing(&cache, &file.block(block), Priority::High, BLOCK);
        }
        read_all(&cache, file, normal.clone());

        used_blocks_pass_through(&cache, 2 * capacity);
        let (high_left, normal_left) =
            (left(&cache, file, high.clone()), left(&cache, file, normal));
        println!("{capacity}: {high_left:.3} of high left, {normal_left:.3} of normal");
        assert!(high_left > 0.99, "{high_left}");
        assert!(normal_left < 0.5, "{normal_left}");

        used_blocks_pass_through(&cache, 20 * capacity);
        let high_left = left(&cache, file, high);
        assert!(high_left < 0.1, "{high_left} of high are stuck");
    }
}

#[test]
fn high_priority_protects_half_of_the_cache_at_most() {
    for capacity in CAPACITIES {
        let (cache, file) = (Cache::new(capacity), File::new());
        for block in 0..2 * capacity / BLOCK {
            read_weighing(&cache, &file.block(block), Priority::High, BLOCK);
            assert!(cache.stats().protected <= capacity / 2);
        }
        assert!(cache.stats().protected > capacity * 4 / 10, "{cache:?}");
        cache.set_capacity(capacity / 4);
        used_blocks_pass_through(&cache, capacity);
        assert!(cache.stats().protected <= capacity / 8, "{cache:?}");
        cache.set_capacity(0);
        assert_eq!(cache.stats().protected, 0);
    }
}

/// Filters and indexes of large tables are heavier than a shard admits.
#[test]
fn a_value_of_up_to_half_of_the_capacity_is_not_loaded_at_each_get() {
    for capacity in CAPACITIES {
        for weight in [capacity / 2, capacity / 3, capacity / 9, capacity / 33, capacity / 300] {
            for priority in [Priority::Normal, Priority::High] {
                let (cache, heavy) = (Cache::new(capacity), File::new().block(0));
                scan(&cache, 2 * capacity);
                let loads = (0..100)
                    .filter(|_| {
                        scan(&cache, capacity / 100);
                        read_weighing(&cache, &heavy, priority, weight)
                    })
                    .count();
                assert!(loads <= 2, "{weight} of {capacity}, {priority:?}: {loads} loads");
                assert!(cache.used() <= capacity);
            }
        }
    }
}

#[test]
fn a_value_of_more_than_half_of_the_capacity_is_returned_and_not_kept() {
    for capacity in CAPACITIES {
        let (cache, key) = (Cache::new(capacity), File::new().block(0));
        let small = File::new().block(1);
        read(&cache, &small);
        for priority in [Priority::Normal, Priority::High] {
            for _ in 0..3 {
                assert!(read_weighing(&cache, &key, priority, capacity / 2 + 1));
            }
            cache.insert(&key, priority, &Arc::new(weighing(capacity / 2 + 1)));
            assert!(cache.get::<Weighted>(&key).is_none());
        }
        assert_eq!(cache.used(), BLOCK, "nor does it displace anything");
    }
}

#[test]
fn a_value_that_became_too_heavy_takes_its_predecessor_away() {
    let (cache, key) = (Cache::new(64 * MIB), File::new().block(0));
    for weight in [KIB, 20 * MIB, KIB, 40 * MIB, 20 * MIB, 40 * MIB] {
        cache.insert(&key, Priority::Normal, &Arc::new(weighing(weight)));
        let kept = if weight > 32 * MIB { 0 } else { weight };
        assert_eq!(cache.used(), kept);
        assert_eq!(cache.get::<Weighted>(&key).map_or(0, |value| value.weight), kept);
    }
}

/// The large area keeps what is used, too.
#[test]
fn heavy_values_that_are_read_once_do_not_flush_one_that_is_in_use() {
    let (cache, file) = (Cache::new(64 * MIB), File::new());
    let reread = || read_weighing(&cache, &file.block(0), Priority::High, 10 * MIB);
    assert_eq!((0..5).filter(|_| reread()).count(), 1);
    for block in 1..50 {
        read_weighing(&cache, &file.block(block), Priority::Normal, 10 * MIB);
        assert!(!reread(), "after {block}");
    }
}

#[test]
fn a_new_file_never_finds_what_another_left() {
    let (cache, old, new) = (Cache::new(MIB), File::new(), File::new());
    read(&cache, &old.block(0));
    assert!(cache.get::<Weighted>(&new.block(0)).is_none());
}

/// Share of a set of a third of the capacity that is found after ten times the capacity was
/// scanned. Before that, the set is read until the cache knows it.
fn hits_after_scan(cache: &Cache, capacity: u64) -> f64 {
    let (file, blocks) = (File::new(), 0..capacity / BLOCK / 3);
    for _ in 0..3 {
        read_all(cache, file, blocks.clone());
    }
    scan(cache, 10 * capacity);
    let hits = left(cache, file, blocks);
    println!("{capacity}: {hits:.3} of the set in use left after the scan");
    hits
}

/// Reads so many bytes once, in blocks nobody asks for again.
fn scan(cache: &Cache, bytes: u64) {
    read_all(cache, File::new(), 0..bytes / BLOCK);
}

/// Reads so many bytes, each block several times before it is forgotten.
fn used_blocks_pass_through(cache: &Cache, bytes: u64) {
    let file = File::new();
    for block in 0..bytes / BLOCK {
        for again in [0, 1, 2, 3] {
            read(cache, &file.block(block.saturating_sub(again)));
        }
    }
}

fn left(cache: &Cache, file: File, blocks: std::ops::Range<u64>) -> f64 {
    let all = u32::try_from(blocks.end - blocks.start).unwrap();
    let found = blocks.filter(|&block| cache.get::<Weighted>(&file.block(block)).is_some()).count();
    f64::from(u32::try_from(found).unwrap()) / f64::from(all)
}

/// Blocks that are all used again and again pass through, several times the cache.
#[test]
fn what_is_pinned_stays_until_its_lease_ends() {
    for capacity in CAPACITIES {
        let (cache, file) = (Cache::new(capacity), File::new());
        let pinned = 0..capacity / BLOCK / 3;
        let lease = Lease::new();
        for block in pinned.clone() {
            read_weighing(&cache, &file.block(block), Priority::Pinned(&lease), BLOCK);
        }
        let weight = pinned.end * BLOCK;
        assert_eq!(cache.stats().pinned, weight);
        used_blocks_pass_through(&cache, 4 * capacity);
        assert!(cache.used() <= capacity);
        assert!(left(&cache, file, pinned.clone()) > 0.999, "{capacity}");
        assert_eq!(cache.stats().pinned, weight);
        // A third is pinned, a third is in use.
        assert!(hits_after_scan(&cache, capacity) > 0.7, "there is room for others");

        drop(lease);
        assert_eq!(cache.stats().pinned, 0);
        // What this takes grows with the cache.
        if capacity > 40 * MIB {
            continue;
        }
        used_blocks_pass_through(&cache, 24 * capacity);
        let left = left(&cache, file, pinned);
        assert!(left < 0.1, "{capacity}: {left} are stuck");
    }
}

#[test]
fn half_of_the_cache_is_pinned_at_most_and_the_rest_has_high_priority() {
    for capacity in CAPACITIES {
        let (cache, file, lease) = (Cache::new(capacity), File::new(), Lease::new());
        // Takes what can be protected, and gives way.
        for block in 0..capacity / BLOCK {
            read_weighing(&cache, &File::new().block(block), Priority::High, BLOCK);
        }
        for block in 0..2 * capacity / BLOCK {
            read_weighing(&cache, &file.block(block), Priority::Pinned(&lease), BLOCK);
            assert!(cache.stats().pinned <= capacity / 2 && cache.used() <= capacity);
        }
        assert!(cache.stats().pinned > capacity * 4 / 10, "{cache:?}");
        // Smaller: nothing is pinned until so much is gone.
        cache.set_capacity(capacity / 4);
        assert!(cache.used() <= capacity / 4);
        used_blocks_pass_through(&cache, capacity);
        assert!(cache.stats().pinned <= capacity / 8, "{cache:?}");
        cache.set_capacity(0);
        assert_eq!((cache.stats().pinned, cache.used()), (0, 0));
    }
}

#[test]
fn what_is_there_already_is_pinned_as_it_is() {
    for capacity in CAPACITIES {
        let (cache, file, lease) = (Cache::new(capacity), File::new(), Lease::new());
        // A heavy one too, for which there is an area of its own.
        for (block, weight) in [(0, BLOCK), (1, capacity / 6)] {
            read_weighing(&cache, &file.block(block), Priority::High, weight);
            let used = cache.used();
            assert!(cache.pin(&file.block(block), &lease));
            assert_eq!(cache.used(), used);
            assert!(cache.stats().pinned >= weight);
        }
        assert!(!cache.pin(&file.block(2), &lease));
        used_blocks_pass_through(&cache, 3 * capacity);
        assert!(left(&cache, file, 0..2) > 0.999, "{capacity}");
        lease.end();
        assert_eq!(cache.stats().pinned, 0);
        assert!(cache.pin(&file.block(0), &lease), "it is there");
        assert_eq!(cache.stats().pinned, 0, "and is not pinned");
        assert!(lease.begin() && !lease.begin());
        assert!(cache.pin(&file.block(0), &lease) && cache.stats().pinned > 0);
        assert!(cache.remove(&file.block(0)));
        assert_eq!(cache.stats().pinned, 0);
    }
}
