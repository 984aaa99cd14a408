//! Lookups of cached values, and what a miss costs beside its load.
#![allow(missing_docs, reason = "criterion's macros")]

use std::{convert::Infallible, hint::black_box, sync::Arc, thread, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stratal_cache::{Cache, CacheKey, FileId, Pin, Priority, Resident, Slots};

/// Claims 4 KiB and takes a cache line, so that what is measured is the cache.
struct Block(u64);

impl Resident for Block {
    fn weight(&self) -> usize {
        4 << 10
    }
}

const LOOKUPS: usize = 1 << 18;

fn filled(capacity: u64, file: FileId, blocks: u64, priority: Priority<'_>) -> Cache {
    let cache = Cache::new(capacity);
    for block in 0..blocks {
        cache.insert(&key(file, block), priority, &Arc::new(Block(block)));
    }
    cache
}

fn key(file: FileId, block: u64) -> CacheKey {
    CacheKey { file, offset: block << 12, role: 1 }
}

fn keys(file: FileId, blocks: u64) -> Vec<CacheKey> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) % blocks
    };
    (0..LOOKUPS).map(|_| key(file, next())).collect()
}

fn look_up(cache: &Cache, keys: &[CacheKey]) -> u64 {
    keys.iter().filter_map(|key| cache.get::<Block>(key)).map(|block| block.0).sum()
}

/// The same through slots, with a pin for so many lookups each.
fn look_up_shown(cache: &Cache, slots: &Slots<Block>, keys: &[CacheKey], per_pin: usize) -> u64 {
    let shown = |keys: &[CacheKey]| {
        let pin = Pin::new();
        let at = |key: &CacheKey| usize::try_from(key.offset >> 12).unwrap_or(usize::MAX);
        let found = keys.iter().filter_map(|key| cache.get_shown(slots, at(key), || *key, &pin));
        found.map(|block| block.0).sum::<u64>()
    };
    keys.chunks(per_pin).map(shown).sum()
}

fn filled_slots(cache: &Cache, file: FileId, blocks: u64) -> Slots<Block> {
    let slots = Slots::new(usize::try_from(blocks).unwrap_or(0));
    for (at, block) in (0..blocks).enumerate() {
        let value = Arc::new(Block(block));
        cache.insert_shown((&slots, at), &key(file, block), Priority::Normal, &value);
    }
    slots
}

fn lookups_shown(c: &mut Criterion) {
    let mut group = c.benchmark_group("get_shown");
    group.sample_size(20).warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Elements(LOOKUPS as u64));
    let (cache, file) = (Cache::new(512 << 20), FileId::next());
    for (name, blocks) in [("1 MiB hot", 256), ("256 MiB at random", 65_536)] {
        let (slots, keys) = (filled_slots(&cache, file, blocks), keys(file, blocks));
        for per_pin in [1, 32] {
            group.bench_function(format!("{name}, {per_pin} per pin"), |b| {
                b.iter(|| look_up_shown(&cache, &slots, black_box(&keys), per_pin));
            });
        }
    }
    let (slots, hot) = (filled_slots(&cache, file, 256), keys(file, 256));
    group.bench_function("1 MiB hot beside another thread, 1 per pin", |b| {
        let stop = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    black_box(look_up_shown(&cache, &slots, &hot, 1));
                }
            });
            b.iter(|| look_up_shown(&cache, &slots, black_box(&hot), 1));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

fn lookups(c: &mut Criterion) {
    let mut group = c.benchmark_group("get");
    group.sample_size(20).warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Elements(LOOKUPS as u64));
    let file = FileId::next();
    for (name, capacity, blocks) in [
        ("1 MiB hot in 16 MiB", 16 << 20, 256),
        ("1 MiB hot in 512 MiB", 512 << 20, 256),
        ("256 MiB at random in 512 MiB", 512 << 20, 65_536),
    ] {
        let (cache, keys) = (filled(capacity, file, blocks, Priority::Normal), keys(file, blocks));
        group.bench_function(name, |b| b.iter(|| look_up(&cache, black_box(&keys))));
    }

    let cache = filled(512 << 20, file, 256, Priority::High);
    let hot = keys(file, 256);
    group.bench_function("1 MiB hot of high priority", |b| b.iter(|| look_up(&cache, &hot)));

    let large = key(FileId::next(), 0);
    cache.insert(&large, Priority::High, &Arc::new(vec![0u8; 10 << 20]));
    group.bench_function("one large value", |b| {
        b.iter(|| (0..LOOKUPS).filter_map(|_| cache.get::<Vec<u8>>(&large)).count());
    });

    let cache = filled(512 << 20, file, 256, Priority::Normal);
    group.bench_function("1 MiB hot beside another thread", |b| {
        let (stop, cache, hot) = (std::sync::atomic::AtomicBool::new(false), &cache, &hot);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    black_box(look_up(cache, hot));
                }
            });
            b.iter(|| look_up(cache, black_box(hot)));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

/// 4 KiB that are copied when they are loaded, as those of a file are.
struct Copied(Vec<u8>);

impl Resident for Copied {
    fn weight(&self) -> usize {
        self.0.len()
    }
}

/// Values of which the cache holds a half, each as likely as any other.
fn misses(c: &mut Criterion) {
    const BLOCKS: u64 = 1 << 15;
    let mut group = c.benchmark_group("miss");
    group.sample_size(20).warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Elements(LOOKUPS as u64));
    let (file, source) = (FileId::next(), vec![7; 4 << 10]);
    let keys = keys(file, BLOCKS);
    let load = || Ok::<_, Infallible>(Copied(black_box(&source).clone()));
    let by_key = Cache::new(64 << 20);
    group.bench_function("half of all, found by key", |b| {
        let get = |key| by_key.get_or_load(key, Priority::Normal, load);
        b.iter(|| {
            keys.iter().filter_map(|key| get(key).ok()).map(|value| value.0.len()).sum::<usize>()
        });
    });
    let by_slot = Cache::new(64 << 20);
    let slots = Slots::<Copied>::new(BLOCKS.try_into().unwrap_or(0));
    group.bench_function("half of all, found by slot", |b| {
        let get = |key: &CacheKey| {
            let at = usize::try_from(key.offset >> 12).unwrap_or(usize::MAX);
            if let Some(value) = by_slot.get_shown(&slots, at, || *key, &Pin::new()) {
                return Some(value.0.len());
            }
            let value = by_slot.get_or_load_shown((&slots, at), key, Priority::Normal, load);
            value.ok().map(|value| value.0.len())
        };
        b.iter(|| keys.iter().filter_map(get).sum::<usize>());
    });
    for (name, cache) in [("key", &by_key), ("slot", &by_slot)] {
        let stats = cache.stats();
        eprintln!(
            "by {name}: {} of {} found, {} held",
            stats.hits,
            stats.hits + stats.misses,
            cache.len()
        );
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("sweep of 15,000 values", |b| {
        b.iter(|| by_slot.remove_file(FileId::next()));
    });
}

criterion_group!(benches, lookups, lookups_shown, misses);
criterion_main!(benches);
