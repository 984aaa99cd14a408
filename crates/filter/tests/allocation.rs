//! Probes allocate nothing, and building takes no more memory than is said.
//!
//! One test, since it counts what the whole process allocates.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and prints what it measured"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    num::NonZeroU64,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use stratal_filter::{
    Filter, FilterBuilder, FilterKind, FilterSize, FilterSpec, Retrieval, RetrievalBuilder,
};
use stratal_types::key_hash;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static HELD: AtomicUsize = AtomicUsize::new(0);
static HELD_MAX: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on to the system's allocator as it came, and so is what it gives.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        HELD_MAX.fetch_max(held, Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

const KEYS: u64 = 400_000;
/// Of the equations of one part, and what else does not depend on the number of keys.
const FIXED: usize = 5 << 20;

#[test]
fn probes_allocate_nothing_and_building_little() {
    let hashes: Vec<u64> = (0..KEYS).map(|key| key_hash(&key.to_le_bytes())).collect();
    let keys = hashes.len();
    let extractor = NonZeroU64::MIN;
    let mut answers = vec![false; keys];
    for kind in FilterKind::ALL {
        let mut builder = FilterBuilder::new(FilterSpec { kind, size: FilterSize::default() });
        for &hash in &hashes {
            builder.add(hash);
        }
        let (len, mut bytes) = (builder.filter_len(), Vec::new());
        let taken = most_held(|| assert!(builder.finish_into(&mut bytes)));
        println!("{kind:?}: {taken} bytes for {keys} keys, {len} of them for the filter");
        let allowed = if kind == FilterKind::Burr { len / 50 + 8 * keys + FIXED } else { 0 };
        assert!(taken <= len + allowed, "{kind:?}: {taken} bytes");

        let none = allocations(|| {
            let filter = Filter::parse(&bytes[..]).unwrap();
            filter.may_contain_batch(&hashes, &mut answers);
            for &hash in &hashes {
                filter.prefetch(hash);
                assert!(filter.may_contain(hash) && filter.may_contain_prefix(extractor, hash));
            }
        });
        assert_eq!(none, 0, "{kind:?}");
    }

    let mut builder = RetrievalBuilder::new(8).unwrap();
    for &hash in &hashes {
        builder.add(hash, 7).unwrap();
    }
    let mut bytes = Vec::new();
    let taken = most_held(|| assert!(builder.finish_into(&mut bytes).unwrap()));
    println!("retrieval: {taken} bytes for {keys} keys, {} of them for the values", bytes.len());
    assert!(taken <= bytes.len() * 51 / 50 + 16 * keys + FIXED, "{taken} bytes");
    let none = allocations(|| {
        let retrieval = Retrieval::parse(&bytes[..]).unwrap();
        assert!(hashes.iter().all(|&hash| retrieval.get(hash) == 7));
    });
    assert_eq!(none, 0);
}

fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Relaxed);
    run();
    ALLOCATIONS.load(Relaxed) - before
}

/// Bytes held at most at once, beyond those before.
fn most_held(run: impl FnOnce()) -> usize {
    let before = HELD.load(Relaxed);
    HELD_MAX.store(before, Relaxed);
    run();
    HELD_MAX.load(Relaxed) - before
}
