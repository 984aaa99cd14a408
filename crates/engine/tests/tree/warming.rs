//! What the first reader of a table waits for.

use std::sync::Arc;

use stratal_engine::{Tree, TreeOptions};
use stratal_types::{Counter, Counters};

use crate::stats::open;

const ROWS: u32 = 20_000;

fn fill(tree: &Tree, value: &[u8]) {
    for i in 0..ROWS {
        tree.put(&i.wrapping_mul(0x9e37_79b9).to_be_bytes(), value).unwrap();
    }
}

/// The first read after `job` reads a data block, and nothing else of the table that the job wrote.
fn reads_one_block(counters: &Counters, tree: &Tree, job: impl FnOnce(&Tree), value: &[u8]) {
    job(tree);
    let before = counters.get(Counter::BlocksRead);
    let found = tree.get(&7u32.wrapping_mul(0x9e37_79b9).to_be_bytes()).unwrap();
    assert_eq!(found.unwrap(), value);
    assert_eq!(counters.get(Counter::BlocksRead) - before, 1);
}

#[test]
fn whoever_reads_a_new_table_first_reads_a_block_and_not_its_index() {
    let counters = Arc::new(Counters::default());
    let tree = open("bytewise", TreeOptions::default(), Arc::clone(&counters) as _);
    fill(&tree, b"one value");
    reads_one_block(&counters, &tree, |tree| drop(tree.flush().unwrap()), b"one value");
    fill(&tree, b"another value");
    reads_one_block(&counters, &tree, |tree| drop(tree.flush().unwrap()), b"another value");
    let merge = |tree: &Tree| assert_eq!(tree.compact(true).unwrap().inputs, 2);
    reads_one_block(&counters, &tree, merge, b"another value");
}
