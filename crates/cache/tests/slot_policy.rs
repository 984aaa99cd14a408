//! What stays of values that are found by slots, beside the same values found by keys.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and prints what it measured"
)]

mod common;

use std::{convert::Infallible, ops::Range};

use common::{File, KIB, MIB, Weighted, read, weighing};
use stratal_cache::{Cache, Pin, Priority, Slots};

const BLOCK: u64 = 4 * KIB;
const CAPACITIES: [u64; 3] = [4 * MIB, 40 * MIB, 256 * MIB];

/// A file whose blocks have slots.
struct Shown {
    file: File,
    slots: Slots<Weighted>,
}

impl Shown {
    fn new(blocks: u64) -> Self {
        Self { file: File::new(), slots: Slots::new(usize::try_from(blocks).unwrap()) }
    }

    /// Whether the block had to be loaded.
    fn read(&self, cache: &Cache, block: u64) -> bool {
        let (key, at) = (self.file.block(block), usize::try_from(block).unwrap());
        if cache.get_shown(&self.slots, at, || key, &Pin::new()).is_some() {
            return false;
        }
        let load = || Ok::<_, Infallible>(weighing(BLOCK));
        cache.get_or_load_shown((&self.slots, at), &key, Priority::Normal, load).unwrap();
        true
    }

    fn read_all(&self, cache: &Cache, blocks: Range<u64>) -> usize {
        blocks.filter(|&block| self.read(cache, block)).count()
    }

    /// Four times.
    fn read_often(&self, cache: &Cache, blocks: Range<u64>) {
        for _ in 0..4 {
            self.read_all(cache, blocks.clone());
        }
    }

    fn left(&self, blocks: Range<u64>) -> f64 {
        let pin = Pin::new();
        let is_left =
            |&block: &u64| self.slots.peek(usize::try_from(block).unwrap(), &pin).is_some();
        share(blocks.clone().filter(is_left).count(), blocks.end - blocks.start)
    }
}

fn share(count: usize, of: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / f64::from(u32::try_from(of).unwrap())
}

/// Reads so many bytes once.
fn scan(cache: &Cache, bytes: u64) {
    let blocks = bytes / BLOCK;
    Shown::new(blocks).read_all(cache, 0..blocks);
}

#[test]
fn a_scan_does_not_flush_what_is_in_use() {
    for (capacity, was_full) in CAPACITIES.into_iter().flat_map(|c| [(c, false), (c, true)]) {
        let cache = Cache::new(capacity);
        if was_full {
            scan(&cache, 2 * capacity);
        }
        let blocks = capacity / BLOCK / 3;
        let hot = Shown::new(blocks);
        hot.read_often(&cache, 0..blocks);
        scan(&cache, 10 * capacity);
        let left = hot.left(0..blocks);
        println!("{capacity}, full {was_full}: {left:.3} left after the scan");
        assert!(left > 0.9);
    }
}

#[test]
fn a_resized_cache_resists_scans_like_a_new_one() {
    let cache = Cache::new(64 * MIB);
    for capacity in [4 * MIB, 0, 16 * MIB, 64 * MIB] {
        cache.set_capacity(capacity);
        if capacity > 0 {
            let blocks = capacity / BLOCK / 3;
            let hot = Shown::new(blocks);
            hot.read_often(&cache, 0..blocks);
            scan(&cache, 10 * capacity);
            assert!(hot.left(0..blocks) > 0.9, "{capacity}");
            assert!(cache.used() > capacity / 10 * 9 && cache.used() <= capacity);
        }
    }
}

/// A set that fits is used for a while, and then another instead.
#[test]
fn what_is_not_used_any_more_makes_room_for_what_is() {
    for capacity in CAPACITIES {
        let (cache, blocks) = (Cache::new(capacity), capacity / BLOCK * 3 / 4);
        let [before, after] = [Shown::new(blocks), Shown::new(blocks)];
        before.read_often(&cache, 0..blocks);
        let rounds = (0..20).take_while(|_| after.read_all(&cache, 0..blocks) > 0).count();
        println!("{capacity}: {rounds} rounds with loads");
        assert!(rounds <= 6);
    }
}

/// Draws blocks of which some are used more than others, or all as much.
struct Draws {
    state: u64,
    blocks: u64,
    is_skewed: bool,
}

impl Iterator for Draws {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let mut random = || {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            self.state >> 11
        };
        // The density falls as 1/x: ranks of a power of two are as likely as those of the next.
        let bits = 64 - self.blocks.leading_zeros();
        let below = if self.is_skewed { 1u64 << (random() % u64::from(bits)) } else { self.blocks };
        let rank = (below - 1 + random() % below) % self.blocks;
        Some(rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.blocks)
    }
}

#[test]
fn as_much_is_found_by_slots_as_by_keys() {
    for (is_skewed, scans, part) in [
        (true, false, 10),
        (true, true, 10),
        (true, false, 3),
        (true, true, 30),
        (false, false, 2),
        (false, true, 2),
    ] {
        let capacity = 16 * MIB;
        let blocks = capacity / BLOCK * part;
        let draws = || Draws { state: 88_172_645_463_325_252, blocks, is_skewed };
        let (by_slot, by_key) = (Cache::new(capacity), Cache::new(capacity));
        let (shown, file) = (Shown::new(blocks), File::new());
        let mut found = [0, 0];
        for (turn, block) in draws().take(400_000).enumerate() {
            if scans && turn.is_multiple_of(50_000) {
                scan(&by_slot, capacity);
                let file = File::new();
                (0..capacity / BLOCK).for_each(|block| {
                    read(&by_key, &file.block(block));
                });
            }
            let [slot, key] = [!shown.read(&by_slot, block), !read(&by_key, &file.block(block))];
            if turn > 100_000 {
                found[0] += usize::from(slot);
                found[1] += usize::from(key);
            }
        }
        let [by_slot, by_key] = found.map(|found| share(found, 300_000));
        println!(
            "1 of {part}, skewed {is_skewed}, scans {scans}: slots {by_slot:.4}, keys {by_key:.4}"
        );
        assert!(by_slot > by_key - 0.01);
    }
}
