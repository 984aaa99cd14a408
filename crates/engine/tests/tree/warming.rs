//! What the first reader of a table waits for.

use std::sync::Arc;

use stratal_engine::{Helpers, Tree, TreeOptions};
use stratal_types::{Counter, Counters};

use crate::{stats::open, subcompactions::Threads};

const ROWS: u32 = 20_000;

/// Keys in no order.
fn key(i: u32) -> [u8; 4] {
    i.wrapping_mul(0x9e37_79b9).to_le_bytes()
}

fn fill(tree: &Tree, value: &[u8]) {
    for i in 0..ROWS {
        tree.put(&key(i), value).unwrap();
    }
}

/// The first read after `job` reads a data block, and nothing else of the table that the job wrote.
fn reads_one_block(counters: &Counters, tree: &Tree, job: impl FnOnce(&Tree), value: &[u8]) {
    job(tree);
    let before = counters.get(Counter::BlocksRead);
    let found = tree.get(&key(7)).unwrap();
    assert_eq!(found.unwrap(), value);
    assert_eq!(counters.get(Counter::BlocksRead) - before, 1);
}

#[test]
fn whoever_reads_a_new_table_first_reads_a_block_and_not_its_index() {
    let counters = Arc::new(Counters::default());
    let tree = open("bytewise", TreeOptions::default(), Arc::clone(&counters) as _);
    let flush = |tree: &Tree| assert_eq!(tree.flush().unwrap().outputs, 1);
    fill(&tree, b"one value");
    reads_one_block(&counters, &tree, flush, b"one value");
    fill(&tree, b"another value");
    reads_one_block(&counters, &tree, flush, b"another value");
    let merge = |tree: &Tree| assert_eq!(tree.compact(true).unwrap().inputs, 2);
    reads_one_block(&counters, &tree, merge, b"another value");
    fill(&tree, b"a third value");
    reads_one_block(&counters, &tree, flush, b"a third value");
    let helpers = Helpers { pool: Arc::new(Threads), count: 2 };
    let merge = |tree: &Tree| {
        assert_eq!(tree.compact_with(true, Some(&helpers)).unwrap().inputs, 2);
    };
    reads_one_block(&counters, &tree, merge, b"a third value");
}
