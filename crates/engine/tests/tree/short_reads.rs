//! Reads of a few rows: what they open, and what they ask of the allocator.

use std::sync::Arc;

use stratal_engine::{StrategyOptions, Tree, TreeOptions};
use stratal_fs::MemFs;
use stratal_types::Cursor;

use crate::support::{open_store, open_tree};

fn key(i: u32) -> Vec<u8> {
    format!("key {i:08}").into_bytes()
}

/// A tree of so many runs of a hundred keys each, which stand by turns or one behind the other; opened
/// again, so that no table is open.
fn tree(runs: u32, by_turns: bool) -> Arc<Tree> {
    let fs = Arc::new(MemFs::new());
    let spec = || {
        let strategy = StrategyOptions::default();
        TreeOptions { strategy, ..TreeOptions::default() }.validate().unwrap()
    };
    {
        let (store, _) = open_store(Arc::clone(&fs) as _, 1).unwrap();
        let tree = open_tree(&store, "bytewise", spec()).unwrap();
        for run in 0..runs {
            for i in 0..100 {
                let i = if by_turns { i * runs + run } else { run * 100 + i };
                tree.put(&key(i), &[b'v'; 20]).unwrap();
            }
            tree.flush().unwrap();
        }
    }
    let (store, _) = open_store(fs, 2).unwrap();
    open_tree(&store, "bytewise", spec()).unwrap()
}

fn open_tables(tree: &Tree) -> usize {
    tree.tables().iter().filter(|table| table.details.is_some()).count()
}

#[test]
fn a_read_opens_no_table_that_it_does_not_come_to() {
    // Where it begins, how many rows it takes, and how many tables that opens.
    let cases = [(250, 10, 1), (250, 50, 1), (250, 51, 2), (0, 1, 1), (999, 5, 1), (200, 800, 8)];
    for (from, rows, opened) in cases {
        let tree = tree(10, false);
        assert_eq!(open_tables(&tree), 0);
        let found: Vec<_> = tree.range(key(from)..).unwrap().take(rows).collect();
        let expected = from..1000.min(from + rows as u32);
        assert_eq!(found.len(), expected.len());
        for (row, i) in found.into_iter().zip(expected) {
            assert_eq!(row.unwrap().0, key(i));
        }
        assert_eq!(open_tables(&tree), opened, "{rows} rows from {from}");
    }
    let tree = tree(10, false);
    let mut cursor = tree.cursor::<&[u8]>(..).unwrap();
    cursor.seek_to(b"").unwrap();
    assert_eq!((cursor.key(), open_tables(&tree)), (Some(&key(0)[..]), 1));
    cursor.seek_to(&key(450)).unwrap();
    assert_eq!((cursor.key(), open_tables(&tree)), (Some(&key(450)[..]), 2));
    // From behind it goes to the table before.
    cursor.seek_to(&key(500)).unwrap();
    cursor.retreat().unwrap();
    assert_eq!(cursor.key(), Some(&key(499)[..]));
    cursor.seek_to_last().unwrap();
    assert_eq!(cursor.key(), Some(&key(999)[..]));
}

#[test]
fn a_short_read_allocates_for_its_sources_and_not_for_rows() {
    for (runs, count_max) in [(1, 6), (4, 14)] {
        let tree = tree(runs, true);
        let rows = |from: u32, count: usize| {
            let mut cursor = tree.cursor(&key(from)[..]..).unwrap();
            cursor.seek_to_first().unwrap();
            for i in (from..).take(count) {
                assert_eq!(cursor.key(), Some(&key(i)[..]));
                cursor.advance().unwrap();
            }
        };
        rows(0, 99);
        let of_keys = |count: usize| {
            let keys =
                allocation_counter::measure(|| (0..=count as u32).for_each(|i| drop(key(i))));
            let read = allocation_counter::measure(|| rows(20, count));
            println!("{runs} runs, {count} rows: {} beside {}", read.count_total, keys.count_total);
            read.count_total - keys.count_total
        };
        let (short, long) = (of_keys(10), of_keys(70));
        assert!(short <= count_max, "{runs} runs: {short}");
        assert_eq!(short, long, "{runs} runs: none of them is for a row");
    }
}
