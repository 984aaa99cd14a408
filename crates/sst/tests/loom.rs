//! Every interleaving of a writer and a thread of its pool that the model checker finds: the file is
//! the one that the writer alone makes.
//!
//! `cargo xtask loom`
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use loom::thread;
use stratal_block::Compression;
use stratal_sst::{BlockPool, TableContext, TableOptions, TableWriter};
use stratal_types::FileUid;

/// A thread for each block.
#[derive(Debug)]
struct Threads;

impl BlockPool for Threads {
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        thread::spawn(job);
    }
}

/// A table of three data blocks.
fn write(pool: Option<Arc<dyn BlockPool>>) -> Vec<u8> {
    let ctx = TableContext { pool, ..TableContext::default() };
    let options = TableOptions {
        block_len_target: 512,
        compression: Compression::None,
        filter: None,
        ..TableOptions::default()
    };
    let spec = Arc::new(options.validate().unwrap());
    let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec).unwrap();
    for key in [b"a", b"b", b"c"] {
        writer.put(key, &[key[0]; 500]).unwrap();
    }
    writer.finish().unwrap().sink
}

#[test]
fn blocks_come_out_in_order_whoever_seals_them() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    let runs = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    model.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(write(Some(Arc::new(Threads))) == write(None));
    });
    let runs = runs.load(std::sync::atomic::Ordering::Relaxed);
    println!("{runs} interleavings");
    assert!(runs > 100, "{runs}");
}
