//! What reading a cached table asks of the allocator.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use bytes::Bytes;
use stratal_sst::{Partitioning, Table, TableContext, TableOptions, TableWriter};
use stratal_types::{Comparator, Cursor, FileUid, SeqNo, comparator_named};

fn key(i: u32) -> Vec<u8> {
    format!("key {:07}", i % 5000).into_bytes()
}

/// A table of 5,000 keys, all of it in the cache.
fn table(partitioning: Partitioning, comparator: Arc<dyn Comparator>) -> Table {
    let ctx = TableContext { comparator, ..TableContext::default() };
    let options =
        TableOptions { partitioning, partition_len_target: 1024, ..TableOptions::default() };
    let mut keys: Vec<_> = (0..5000).map(key).collect();
    keys.sort_by(|a, b| ctx.comparator.compare(a, b));
    let spec = Arc::new(options.validate().unwrap());
    let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec).unwrap();
    for key in &keys {
        writer.put(key, b"a value that is the same for every key").unwrap();
    }
    let table = Table::open(&ctx, Arc::new(Bytes::from(writer.finish().unwrap().sink))).unwrap();
    assert!(keys.iter().all(|key| table.contains(key).unwrap()));
    table
}

/// How often the allocator is asked while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn a_cursor_moves_over_cached_blocks_without_allocating() {
    for partitioning in [Partitioning::Never, Partitioning::Always] {
        for name in ["bytewise", "reverse"] {
            let table = table(partitioning, comparator_named(name).unwrap());
            let mut cursor = table.cursor();
            let keys: Vec<_> = (0..3000u32).map(|i| key(i.wrapping_mul(2_654_435_761))).collect();
            // Buffers have grown by then.
            for key in &keys {
                cursor.seek(key, SeqNo::MAX).unwrap();
            }
            let seeks = allocations(|| {
                for key in &keys {
                    cursor.seek(key, SeqNo::MAX).unwrap();
                    assert!(cursor.entry().is_some_and(|entry| entry.key == key));
                }
            });
            let steps = allocations(|| {
                cursor.seek_to_first().unwrap();
                while cursor.entry().is_some() {
                    cursor.advance().unwrap();
                }
                while cursor.entry().is_none() {
                    cursor.retreat().unwrap();
                }
            });
            assert_eq!((seeks, steps), (0, 0), "{partitioning:?}, {name}");
        }
    }
}

#[test]
fn writing_a_table_allocates_for_blocks_and_not_for_rows() {
    const ROWS: u32 = 20_000;
    let ctx = TableContext::default();
    let spec = Arc::new(TableOptions::default().validate().unwrap());
    let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec).unwrap();
    let keys: Vec<_> = (0..ROWS).map(|i| format!("key {i:012}").into_bytes()).collect();
    let (warm_up, rest) = keys.split_at(2_000);
    let mut put = |keys: &[Vec<u8>]| {
        for key in keys {
            writer.put(key, &[7; 100]).unwrap();
        }
    };
    put(warm_up);
    let count = allocations(|| put(rest));
    assert_eq!(writer.entries(), u64::from(ROWS));
    assert!(count < rest.len() as u64 / 10, "{count} for {} rows", rest.len());
}

#[test]
fn a_get_of_a_cached_row_does_not_allocate() {
    let table = table(Partitioning::Never, comparator_named("bytewise").unwrap());
    let keys: Vec<_> = (0..3000u32).map(|i| key(i.wrapping_mul(2_654_435_761))).collect();
    let gets = allocations(|| {
        for key in &keys {
            assert!(table.get(key).unwrap().is_some());
        }
    });
    assert_eq!(gets, 0);
}
