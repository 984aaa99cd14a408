//! Values that are found without their keys.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    convert::Infallible,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use common::{File, KIB, MIB, Weighted, read_all, weighing};
use stratal_cache::{Cache, Pin, Priority, Resident, Slots};

/// What slot `at` shows, of the block of that number.
fn shown(cache: &Cache, slots: &Slots<Weighted>, file: File, at: usize) -> Option<u64> {
    let pin = Pin::new();
    cache.get_shown(slots, at, || file.block(at as u64), &pin).map(|value| value.weight)
}

/// Has the block `at` of 4 KiB in its slot, loading it if need be. Whether it had to be loaded.
fn load(cache: &Cache, slots: &Slots<Weighted>, file: File, at: usize) -> bool {
    if shown(cache, slots, file, at).is_some() {
        return false;
    }
    let mut loaded = false;
    let key = file.block(at as u64);
    let value = cache.get_or_load_shown((slots, at), &key, Priority::Normal, || {
        loaded = true;
        Ok::<_, Infallible>(weighing(4 * KIB))
    });
    assert_eq!(value.unwrap().weight, 4 * KIB);
    loaded
}

/// Has the block 0 of high priority in its slot.
fn load_high(cache: &Cache, slots: &Slots<Weighted>, file: File) {
    let load = || Ok::<_, Infallible>(weighing(4 * KIB));
    cache.get_or_load_shown((slots, 0), &file.block(0), Priority::High, load).unwrap();
}

#[test]
fn a_slot_shows_what_the_cache_holds_and_no_longer() {
    type LetGo = fn(&Cache, File);
    fn displace(cache: &Cache, file: File, from: usize) {
        let slots = Slots::new(30_000);
        for at in from..30_000 {
            load(cache, &slots, file, at);
            load(cache, &slots, file, at);
        }
    }
    let by_key: [(&str, LetGo); 5] = [
        ("resized", |cache, _| cache.set_capacity(0)),
        ("removed", |cache, file| assert!(cache.remove(&file.block(0)))),
        ("replaced", |cache, file| {
            cache.insert(&file.block(0), Priority::Normal, &Arc::new(weighing(KIB)));
        }),
        ("of another type", |cache, file| {
            cache.insert(&file.block(0), Priority::Normal, &Arc::new(vec![1u8]));
        }),
        ("of a removed file", |cache, file| cache.remove_file(file.0)),
    ];
    for (name, let_go) in by_key {
        let (cache, file, slots) = (Cache::new(40 * MIB), File::new(), Slots::new(1));
        assert_eq!(shown(&cache, &slots, file, 0), None);
        load_high(&cache, &slots, file);
        assert_eq!(shown(&cache, &slots, file, 0), Some(4 * KIB));
        let_go(&cache, file);
        assert_eq!(shown(&cache, &slots, file, 0), None, "{name}");
    }
    let by_slot: [(&str, LetGo); 4] = [
        ("resized", |cache, _| cache.set_capacity(0)),
        ("displaced", |cache, file| displace(cache, file, 1)),
        ("displaced by others", |cache, _| displace(cache, File::new(), 0)),
        ("of a removed file", |cache, file| cache.remove_file(file.0)),
    ];
    for (name, let_go) in by_slot {
        let (cache, file, slots) = (Cache::new(40 * MIB), File::new(), Slots::new(1));
        assert_eq!(shown(&cache, &slots, file, 0), None);
        assert!(load(&cache, &slots, file, 0));
        assert_eq!(shown(&cache, &slots, file, 0), Some(4 * KIB));
        let_go(&cache, file);
        assert_eq!(shown(&cache, &slots, file, 0), None, "{name}");
        assert!(load(&cache, &slots, file, 0) || cache.capacity() == 0);
    }
}

#[test]
fn large_values_are_shown_and_those_that_are_not_kept_are_not() {
    let (cache, file, slots) = (Cache::new(64 * MIB), File::new(), Slots::new(2));
    for (at, weight, is_kept) in [(0, 30 * MIB, true), (1, 33 * MIB, false)] {
        let key = file.block(at as u64);
        let value = cache.get_or_load_shown((&slots, at), &key, Priority::High, || {
            Ok::<_, Infallible>(weighing(weight))
        });
        assert_eq!(value.unwrap().weight, weight);
        assert_eq!(shown(&cache, &slots, file, at).is_some(), is_kept);
    }
    assert!(cache.remove(&file.block(0)));
    assert_eq!(shown(&cache, &slots, file, 0), None);
}

#[test]
fn what_has_high_priority_and_came_without_a_slot_is_shown_when_it_is_asked_for_with_one() {
    let (cache, file) = (Cache::new(MIB), File::new());
    read_all(&cache, file, 0..1);
    let (before, after) = (Slots::new(1), Slots::new(1));
    load_high(&cache, &before, file);
    assert!(shown(&cache, &before, file, 0).is_some());
    // Its owner was evicted and came back.
    load_high(&cache, &after, file);
    assert!(shown(&cache, &after, file, 0).is_some());
    assert_eq!((cache.len(), cache.stats().misses), (1, 1));
    drop(before);
    assert!(cache.remove(&file.block(0)));
    assert_eq!(shown(&cache, &after, file, 0), None);
}

#[test]
fn what_slots_that_are_gone_have_shown_makes_room_for_others_though_it_was_used() {
    let (cache, file, kept) = (Cache::new(4 * MIB), File::new(), File::new());
    let (slots, others) = (Slots::new(400), Slots::new(1500));
    let use_all = |slots: &Slots<Weighted>, file, len| {
        for at in 0..len {
            load(&cache, slots, file, at);
        }
    };
    for _ in 0..3 {
        use_all(&others, kept, 300);
        use_all(&slots, file, 400);
    }
    drop(slots);
    assert!(cache.len() > 680, "nobody was told");
    for at in 300..1500 {
        load(&cache, &others, kept, at);
        use_all(&others, kept, 300);
    }
    let left = (0..1500).filter(|&at| shown(&cache, &others, kept, at).is_some()).count();
    assert_eq!(cache.len(), left, "of the others all have gone");
    assert!(left > 1000, "{left}");
}

#[test]
fn what_a_slot_shows_stays_there_when_more_comes_for_it() {
    let (cache, file, slots) = (Cache::new(4 * MIB), File::new(), Slots::new(1));
    for weight in [2 * KIB, 3 * KIB] {
        let value = Arc::new(weighing(weight));
        cache.insert_shown((&slots, 0), &file.block(0), Priority::Normal, &value);
        assert_eq!(shown(&cache, &slots, file, 0), Some(2 * KIB));
    }
    assert_eq!(cache.used(), 2 * KIB - Cache::ENTRY_OVERHEAD + Cache::SHOWN_OVERHEAD);
    load_high(&cache, &slots, file);
    assert_eq!(shown(&cache, &slots, file, 0), Some(4 * KIB), "of high priority");
}

#[test]
fn a_slot_that_is_not_there_shows_nothing_and_hinders_nothing() {
    let (cache, file, slots) = (Cache::new(MIB), File::new(), Slots::new(0));
    assert!(load(&cache, &slots, file, 3));
    assert!(!load(&cache, &slots, file, 3));
    assert_eq!(shown(&cache, &slots, file, 3), None);
}

/// A third of the cache is in use through slots, and ten times the cache is read once.
#[test]
fn what_is_used_through_slots_stays() {
    for capacity in [4 * MIB, 40 * MIB] {
        let cache = Cache::new(capacity);
        let (file, others) = (File::new(), File::new());
        let hot = usize::try_from(capacity / 4 / KIB / 3).unwrap();
        let slots = Slots::new(hot);
        let use_all = || (0..hot).filter(|&at| load(&cache, &slots, file, at)).count();
        (0..3).for_each(|_| {
            use_all();
        });
        let (mut loads, rounds) = (0, 10);
        for round in 0..rounds {
            let from = round * (capacity / 4 / KIB);
            read_all(&cache, others, from..from + capacity / 4 / KIB);
            loads += use_all();
        }
        let uses = hot * usize::try_from(rounds).unwrap();
        assert!(loads * 10 < uses, "{loads} loads of {uses} uses");
        assert!(cache.used() <= capacity);
    }
}

#[test]
fn hits_of_slots_are_counted_and_the_budget_stays_exact() {
    let (cache, file, slots) = (Cache::new(4 * MIB), File::new(), Slots::new(3000));
    for at in 0..3000 {
        load(&cache, &slots, file, at);
    }
    let held = (0..3000).filter(|&at| shown(&cache, &slots, file, at).is_some()).count();
    let weight = 4 * KIB - Cache::ENTRY_OVERHEAD + Cache::SHOWN_OVERHEAD;
    assert!(held > 1000 && held as u64 * weight <= 4 * MIB, "{held}");
    assert_eq!((cache.len(), cache.used()), (held, held as u64 * weight));
    let before = cache.stats();
    for at in 0..3000 {
        shown(&cache, &slots, file, at);
    }
    let after = cache.stats();
    assert_eq!((after.hits - before.hits, after.misses), (held as u64, before.misses));
}

#[test]
fn what_is_shared_stays_when_the_cache_lets_go_and_what_is_peeked_at_is_not_used() {
    let (cache, file, slots) = (Cache::new(4 * MIB), File::new(), Slots::new(2));
    load(&cache, &slots, file, 0);
    let share = |at| cache.share_shown(&slots, at, || file.block(at as u64));
    let before = cache.stats().hits;
    let shared = share(0).unwrap();
    assert!(share(1).is_none() && share(2).is_none());
    assert_eq!(cache.stats().hits, before + 1);
    let pin = Pin::new();
    assert_eq!(slots.peek(0, &pin).map(|value| value.weight), Some(4 * KIB));
    assert!(slots.peek(1, &pin).is_none() && slots.peek(2, &pin).is_none());
    assert_eq!(cache.stats().hits, before + 1);
    drop(pin);
    cache.set_capacity(0);
    assert!(share(0).is_none() && slots.peek(0, &Pin::new()).is_none());
    assert_eq!(shared.weight, 4 * KIB);
}

/// A value that says so when it is looked at after it was dropped.
struct Alive {
    magic: AtomicU64,
    padding: [u64; 63],
}

const MAGIC: u64 = 0x600d_600d_600d_600d;

impl Alive {
    fn new(number: u64) -> Self {
        Self { magic: AtomicU64::new(MAGIC), padding: [number; 63] }
    }
}

impl Resident for Alive {
    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.magic.store(0, Ordering::SeqCst);
    }
}

/// Threads that read through slots what others displace all the time.
#[test]
fn what_is_looked_at_is_not_dropped() {
    const BLOCKS: usize = 512;
    let cache = Arc::new(Cache::new(64 * KIB));
    let (file, slots) = (File::new(), Slots::<Alive>::new(BLOCKS));
    let stop = AtomicBool::new(false);
    let mut seen = 0;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let (cache, slots, stop) = (&cache, &slots, &stop);
                scope.spawn(move || {
                    let mut seen = 0u64;
                    while !stop.load(Ordering::Relaxed) {
                        if reader == 2 {
                            let share = |at| {
                                let key = || file.block(at as u64);
                                Some((at, cache.share_shown(slots, at, key)?))
                            };
                            let found: Vec<_> = (0..BLOCKS).filter_map(share).collect();
                            thread::yield_now();
                            for (at, value) in found {
                                assert_eq!(value.magic.load(Ordering::SeqCst), MAGIC);
                                assert!(value.padding.iter().all(|&number| number == at as u64));
                                seen += 1;
                            }
                            continue;
                        }
                        let pin = Pin::new();
                        let found: Vec<_> = (0..BLOCKS)
                            .filter_map(|at| {
                                let key = || file.block(at as u64);
                                Some((at, cache.get_shown(slots, at, key, &pin)?))
                            })
                            .collect();
                        if reader == 1 {
                            thread::yield_now();
                        }
                        for (at, value) in found {
                            assert_eq!(value.magic.load(Ordering::SeqCst), MAGIC);
                            assert!(value.padding.iter().all(|&number| number == at as u64));
                            seen += 1;
                        }
                    }
                    seen
                })
            })
            .collect();
        for round in 0..40_000usize {
            let at = round.wrapping_mul(0x9e37_79b9) % BLOCKS;
            let key = file.block(at as u64);
            let load = || Ok::<_, Infallible>(Alive::new(at as u64));
            cache.get_or_load_shown((&slots, at), &key, Priority::Normal, load).unwrap();
            if round % 5000 == 0 {
                cache.set_capacity(if round % 10_000 == 0 { 64 * KIB } else { 8 * KIB });
            }
        }
        stop.store(true, Ordering::Relaxed);
        seen = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
    });
    assert!(seen > 0);
}

#[test]
fn memory_that_is_given_back_is_free_when_nobody_reads() {
    let (cache, file) = (Cache::new(8 * MIB), File::new());
    let slots = Slots::<Vec<u8>>::new(1500);
    let watched: Vec<Weak<Vec<u8>>> = (0..1500)
        .map(|at| {
            let value = Arc::new(vec![0; 4 << 10]);
            let key = file.block(at as u64);
            cache.insert_shown((&slots, at), &key, Priority::Normal, &value);
            Arc::downgrade(&value)
        })
        .collect();
    let alive = || watched.iter().filter(|value| value.strong_count() > 0).count();
    assert_eq!(alive(), 1500);
    cache.set_capacity(0);
    // Other tests of this process may be reading.
    for _ in 0..10_000 {
        if alive() == 0 {
            return;
        }
        thread::yield_now();
        cache.set_capacity(MIB);
        load_one(&cache, file);
        cache.set_capacity(0);
    }
    panic!("{} values are left", alive());
}

fn load_one(cache: &Cache, file: File) {
    let slots = Slots::new(1);
    cache.insert_shown((&slots, 0), &file.block(9999), Priority::Normal, &Arc::new(vec![0u8; 10]));
}
