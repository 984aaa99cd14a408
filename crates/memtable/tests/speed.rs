//! What an insert, a lookup and a step cost. Run with
//! `cargo test --release -p stratal-memtable --test speed -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{hint::black_box, sync::Arc, time::Instant};

use stratal_memtable::Memtable;
use stratal_testkit::Rng;
use stratal_types::{Bytewise, Cursor, EntryKind, SeqNo, Trailer};

const KEYS: u32 = 1_000_000;

/// Runs `work` and prints nanoseconds per key.
fn time(what: &str, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    println!("{what:>8} {:>7.1} ns", begun.elapsed().as_secs_f64() * 1e9 / f64::from(KEYS));
}

#[test]
#[ignore = "measures, proves nothing"]
fn nanoseconds_per_operation() {
    let mut rng = Rng::new(1);
    let keys: Vec<_> = (0..KEYS).map(|_| rng.bytes(16)).collect();
    let memtable = Arc::new(Memtable::new(1, Arc::new(Bytewise)));
    time("insert", || {
        for (seqno, key) in (1u32..).zip(&keys) {
            memtable.apply(key, Trailer::new(seqno.into(), EntryKind::Put), &[7; 32]).unwrap();
        }
    });
    time("get", || {
        for at in 0..keys.len() {
            let key = &keys[(at * 7919) % keys.len()];
            assert!(black_box(memtable.get(key, SeqNo::MAX)).is_some());
        }
    });
    let mut cursor = memtable.cursor();
    time("next", || {
        let Ok(()) = cursor.seek_to_first();
        while black_box(cursor.entry()).is_some() {
            let Ok(()) = cursor.advance();
        }
    });
    println!("{} bytes per entry of 48", memtable.memory_used() / keys.len());
}
