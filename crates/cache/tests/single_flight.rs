//! Of all who miss a key at the same time one loads; what goes wrong is that one's alone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use common::{File, KIB, MIB, Weighted, weighing};
use stratal_cache::{Cache, Priority, Resident};

const THREADS: usize = 8;

#[test]
fn many_threads_load_once_into_a_shard() {
    assert_eq!(loads_of_many_threads(64 * MIB, 4 * KIB), 1);
}

#[test]
fn many_threads_load_once_into_the_large_area() {
    assert_eq!(loads_of_many_threads(64 * MIB, 20 * MIB), 1);
}

#[test]
fn what_is_not_kept_is_shared_with_those_who_wait() {
    assert!(loads_of_many_threads(64 * MIB, 40 * MIB) < THREADS);
    assert!(loads_of_many_threads(0, 4 * KIB) < THREADS);
}

#[test]
fn a_failed_load_is_the_error_of_one_and_the_next_tries_again() {
    const FAILURES: usize = 3;
    let (cache, key) = (Cache::new(MIB), File::new().block(0));
    let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(THREADS));
    let load = || {
        let load = loads.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(10));
        if load < FAILURES { Err(load) } else { Ok(weighing(KIB)) }
    };
    let results = in_threads(|_| {
        barrier.wait();
        cache.get_or_load(&key, Priority::Normal, load).map(|value| value.weight)
    });
    let mut errors: Vec<usize> = results.into_iter().filter_map(Result::err).collect();
    errors.sort_unstable();
    assert_eq!(errors, [0, 1, 2], "each failure is seen by the thread it happened to");
    assert_eq!(loads.into_inner(), FAILURES + 1);
    assert!(cache.get::<Weighted>(&key).is_some());
}

#[test]
fn when_every_load_fails_nothing_is_kept() {
    let (cache, key, barrier) = (Cache::new(MIB), File::new().block(0), Barrier::new(THREADS));
    let results = in_threads(|thread| {
        barrier.wait();
        cache.get_or_load(&key, Priority::High, || Err::<Weighted, _>(thread)).map(drop)
    });
    assert_eq!(results, (0..THREADS).map(Err).collect::<Vec<_>>());
    assert!(cache.is_empty() && cache.used() == 0 && cache.stats().protected == 0);
}

#[test]
fn a_panic_in_a_load_releases_those_who_wait() {
    let (cache, key) = (Cache::new(MIB), File::new().block(0));
    let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(THREADS));
    let load = || {
        let first = loads.fetch_add(1, SeqCst) == 0;
        thread::sleep(Duration::from_millis(20));
        assert!(!first, "the first load panics");
        Ok::<_, ()>(weighing(KIB))
    };
    let results = in_threads(|_| {
        barrier.wait();
        catch_unwind(AssertUnwindSafe(|| cache.get_or_load(&key, Priority::Normal, load).is_ok()))
    });
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
    assert_eq!(results.iter().filter(|result| matches!(result, Ok(true))).count(), THREADS - 1);
    assert_eq!(loads.into_inner(), 2);
}

#[test]
fn a_load_may_load_something_else() {
    let (cache, file) = (Cache::new(MIB), File::new());
    let outer = cache.get_or_load(&file.block(0), Priority::Normal, || {
        let inner =
            cache.get_or_load(&file.block(1), Priority::Normal, || Ok::<_, ()>(weighing(300)))?;
        Ok::<_, ()>(weighing(inner.weight + 1))
    });
    assert_eq!(outer.unwrap().weight, 301);
    assert_eq!(cache.len(), 2);
}

#[test]
fn what_happens_to_a_key_while_it_is_loaded_does_not_disturb_the_load() {
    let (cache, key) = (Cache::new(MIB), File::new().block(0));
    let insert =
        || cache.insert(&key, Priority::Normal, &Arc::new(Weighted { weight: 500, version: 9 }));
    let remove = || assert!(!cache.remove(&key), "nothing is there yet");
    let close_and_open = || [0, MIB].into_iter().for_each(|capacity| cache.set_capacity(capacity));
    for disturbance in [&insert as &dyn Fn(), &remove, &close_and_open] {
        let loaded = cache.get_or_load(&key, Priority::Normal, || {
            disturbance();
            Ok::<_, ()>(weighing(400))
        });
        assert_eq!(loaded.unwrap().weight, 400);
        let kept = cache.get::<Weighted>(&key);
        assert_eq!(cache.used(), kept.map_or(0, |value| value.weight));
        cache.remove(&key);
    }
}

#[test]
fn another_type_is_a_miss_and_takes_the_place() {
    #[derive(Debug, PartialEq)]
    struct Other;
    impl Resident for Other {
        fn weight(&self) -> usize {
            1
        }
    }
    for weight in [KIB, 10 * MIB] {
        let (cache, key) = (Cache::new(64 * MIB), File::new().block(0));
        cache.insert(&key, Priority::Normal, &Arc::new(weighing(weight)));
        assert_eq!(cache.get::<Other>(&key), None);
        assert!(
            cache.get::<Weighted>(&key).is_some(),
            "asking for the wrong type takes nothing away"
        );
        let loaded = cache.get_or_load(&key, Priority::Normal, || Ok::<_, ()>(Other));
        assert_eq!(*loaded.unwrap(), Other);
        assert_eq!(cache.get::<Other>(&key).as_deref(), Some(&Other));
        assert_eq!(cache.used(), 1 + Cache::ENTRY_OVERHEAD, "the old value is gone");
    }
}

#[test]
fn hits_and_misses_are_counted() {
    let (cache, file) = (Cache::new(MIB), File::new());
    let count = || (cache.stats().hits, cache.stats().misses);
    assert!(cache.get::<Weighted>(&file.block(0)).is_none());
    assert_eq!(count(), (0, 1));
    assert!(common::read(&cache, &file.block(0)));
    assert_eq!(count(), (0, 2));
    assert!(!common::read(&cache, &file.block(0)));
    assert!(cache.get::<Weighted>(&file.block(0)).is_some());
    assert_eq!(count(), (2, 2));
    assert!(
        cache.get_or_load(&file.block(1), Priority::Normal, || Err::<Weighted, _>(())).is_err()
    );
    assert_eq!(count(), (2, 3));
}

/// How many loads it took until every thread had the same value.
fn loads_of_many_threads(capacity: u64, weight: u64) -> usize {
    let (cache, key) = (Cache::new(capacity), File::new().block(0));
    let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(THREADS));
    let values = in_threads(|_| {
        barrier.wait();
        cache.get_or_load(&key, Priority::Normal, || {
            loads.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_millis(100));
            Ok::<_, ()>(weighing(weight))
        })
    });
    assert!(values.iter().all(|value| value.as_ref().is_ok_and(|value| value.weight == weight)));
    assert_eq!(cache.stats().hits + cache.stats().misses, THREADS as u64);
    assert_eq!(cache.stats().misses, loads.load(SeqCst) as u64);
    loads.into_inner()
}

fn in_threads<T: Send>(run: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS).map(|i| scope.spawn(move || run(i))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
