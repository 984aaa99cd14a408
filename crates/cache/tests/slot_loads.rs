//! Of all who miss what a slot shows at the same time one loads; what goes wrong is that one's alone.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use common::{File, KIB, MIB, Weighted, weighing};
use stratal_cache::{Cache, Pin, Priority, Slots};

const THREADS: usize = 8;

fn get<E>(
    cache: &Cache,
    (slots, at): (&Slots<Weighted>, usize),
    file: File,
    load: impl FnOnce() -> Result<Weighted, E>,
) -> Result<u64, E> {
    let key = file.block(at as u64);
    let value = cache.get_or_load_shown((slots, at), &key, Priority::Normal, load)?;
    Ok(value.weight)
}

fn is_shown(slots: &Slots<Weighted>, at: usize) -> bool {
    slots.peek(at, &Pin::new()).is_some()
}

fn in_threads<T: Send>(run: impl Fn() -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        let (run, barrier) = (&run, &barrier);
        let start = |_| {
            scope.spawn(move || {
                barrier.wait();
                run()
            })
        };
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// What is too heavy for a shard, or for the cache, is shared by those who wait as well.
#[test]
fn many_threads_load_once() {
    for (capacity, weight, is_kept) in [
        (64 * MIB, 4 * KIB, true),
        (64 * MIB, 20 * MIB, true),
        (64 * MIB, 40 * MIB, false),
        (0, 4 * KIB, false),
    ] {
        let (cache, file, slots) = (Cache::new(capacity), File::new(), Slots::new(1));
        let loads = AtomicUsize::new(0);
        let found = in_threads(|| {
            get(&cache, (&slots, 0), file, || {
                loads.fetch_add(1, SeqCst);
                thread::sleep(Duration::from_millis(100));
                Ok::<_, ()>(weighing(weight))
            })
        });
        assert_eq!(found, [Ok(weight); THREADS]);
        let loads = loads.into_inner();
        assert!(loads == 1 || !is_kept && loads < THREADS, "{loads} of {weight} in {capacity}");
        assert_eq!(is_shown(&slots, 0), is_kept);
        assert_eq!(cache.stats().hits + cache.stats().misses, THREADS as u64);
        assert_eq!(cache.stats().misses, loads as u64);
    }
}

#[test]
fn a_failed_load_is_the_error_of_one_and_the_next_tries_again() {
    const FAILURES: usize = 3;
    let (cache, file, slots) = (Cache::new(MIB), File::new(), Slots::new(1));
    let loads = AtomicUsize::new(0);
    let load = || {
        let load = loads.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(10));
        if load < FAILURES { Err(load) } else { Ok(weighing(KIB)) }
    };
    let results = in_threads(|| get(&cache, (&slots, 0), file, load));
    let mut errors: Vec<usize> = results.into_iter().filter_map(Result::err).collect();
    errors.sort_unstable();
    assert_eq!(errors, [0, 1, 2], "each failure is seen by the thread it happened to");
    assert_eq!(loads.into_inner(), FAILURES + 1);
    assert!(is_shown(&slots, 0));
}

#[test]
fn when_every_load_fails_nothing_is_kept() {
    let (cache, file, slots) = (Cache::new(MIB), File::new(), Slots::new(1));
    let results = in_threads(|| get(&cache, (&slots, 0), file, || Err(())));
    assert_eq!(results, [Err(()); THREADS]);
    assert!(cache.is_empty() && cache.used() == 0 && !is_shown(&slots, 0));
}

#[test]
fn a_panic_in_a_load_releases_those_who_wait() {
    let (cache, file, slots) = (Cache::new(MIB), File::new(), Slots::new(1));
    let loads = AtomicUsize::new(0);
    let load = || {
        let first = loads.fetch_add(1, SeqCst) == 0;
        thread::sleep(Duration::from_millis(20));
        assert!(!first, "the first load panics");
        Ok::<_, ()>(weighing(KIB))
    };
    let results =
        in_threads(|| catch_unwind(AssertUnwindSafe(|| get(&cache, (&slots, 0), file, load))));
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
    assert_eq!(results.iter().filter(|r| matches!(r, Ok(Ok(KIB)))).count(), THREADS - 1);
    assert_eq!(loads.into_inner(), 2);
}

#[test]
fn a_load_may_load_for_another_slot() {
    let (cache, file, slots) = (Cache::new(MIB), File::new(), Slots::new(2));
    let outer = get(&cache, (&slots, 0), file, || {
        let inner = get(&cache, (&slots, 1), file, || Ok::<_, ()>(weighing(300)))?;
        Ok::<_, ()>(weighing(inner + 1))
    });
    assert_eq!(outer, Ok(301));
    assert!(is_shown(&slots, 0) && is_shown(&slots, 1));
}

#[test]
fn what_happens_to_a_slot_while_it_is_loaded_does_not_disturb_the_load() {
    let (cache, file, slots) = (Cache::new(MIB), File::new(), Slots::new(1));
    let insert = |priority| {
        let value = Arc::new(Weighted { weight: 500, version: 9 });
        cache.insert_shown((&slots, 0), &file.block(0), priority, &value);
        assert!(!is_shown(&slots, 0), "somebody loads for it");
    };
    let normal = || insert(Priority::Normal);
    let high = || insert(Priority::High);
    let remove_file = || cache.remove_file(file.0);
    let close_and_open = || [0, MIB].into_iter().for_each(|capacity| cache.set_capacity(capacity));
    for disturbance in [&normal as &dyn Fn(), &high, &remove_file, &close_and_open] {
        let loaded = get(&cache, (&slots, 0), file, || {
            disturbance();
            Ok::<_, ()>(weighing(400))
        });
        assert_eq!(loaded, Ok(400));
        assert!(is_shown(&slots, 0));
        cache.set_capacity(0);
        assert!(!is_shown(&slots, 0) && cache.used() == 0);
        cache.set_capacity(MIB);
    }
}

/// Threads that load, insert and look at more than there is room for, of many weights, beside values with
/// keys and a capacity that changes.
#[test]
fn what_threads_leave_behind_is_counted_exactly() {
    const SLOTS: usize = 3000;
    let (cache, files) = (Cache::new(40 * MIB), [File::new(), File::new()]);
    let slots = [Slots::new(SLOTS), Slots::new(SLOTS)];
    let seed = AtomicU64::new(1);
    in_threads(|| {
        let mut random = seed.fetch_add(1, SeqCst);
        for version in 0..15_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (which, at) = ((random >> 60 & 1) as usize, (random >> 8) as usize % SLOTS);
            let (slots, file) = (&slots[which], files[which]);
            let key = file.block(at as u64);
            let weight = 4 * KIB + (random >> 32 & 0x7fff);
            match random >> 24 & 0xff {
                0..180 => {
                    let load = || if random & 64 == 0 { Err(()) } else { Ok(weighing(weight)) };
                    let fails = random & 64 == 0;
                    assert!(get(&cache, (slots, at), file, load).is_ok() || fails);
                }
                180..220 => {
                    let value = Arc::new(Weighted { weight, version });
                    cache.insert_shown((slots, at), &key, Priority::Normal, &value);
                }
                220..240 => {
                    let other = File(file.0).block(at as u64 + 100_000);
                    cache.insert(&other, Priority::High, &Arc::new(weighing(weight)));
                }
                240 => cache.remove_file(files[0].0),
                241 => cache.set_capacity((random >> 40 & 63) * MIB),
                _ => drop(cache.share_shown(slots, at, || key)),
            }
        }
    });
    assert!(cache.used() <= cache.capacity(), "{cache:?}");
    let shown = slots.iter().map(|slots| (0..SLOTS).filter(|&at| is_shown(slots, at)).count());
    let keys = files.iter().flat_map(|file| (0..SLOTS as u64).map(|at| file.block(at + 100_000)));
    let with_keys = keys.filter(|key| cache.get::<Weighted>(key).is_some()).count();
    assert_eq!(cache.len(), shown.sum::<usize>() + with_keys, "{cache:?}");
    cache.set_capacity(0);
    assert_eq!((cache.used(), cache.len()), (0, 0));
    assert!(slots.iter().all(|slots| (0..SLOTS).all(|at| !is_shown(slots, at))));
}
