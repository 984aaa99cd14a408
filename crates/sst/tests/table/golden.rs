//! Released bytes stay as they are, and are what FORMAT.md shows.

use std::{path::PathBuf, sync::Arc};

use crate::support::{Entry, context, forward, open, write, write_model};
use stratal_block::Compression;
use stratal_filter::FilterSize;
use stratal_sst::{Partitioning, TableContext, TableOptions};
use stratal_testkit::{Model, golden};
use stratal_types::{Bytewise, Comparator, EntryKind, Reverse, Trailer, dump::bytes_of};

fn entry(key: &str, seqno: u32, kind: EntryKind, value: &str) -> Entry {
    (key.into(), Trailer::new(seqno.into(), kind), value.into())
}

fn plain() -> TableOptions {
    TableOptions { compression: Compression::None, filter: None, ..TableOptions::default() }
}

/// Compares a table of `entries` with the golden file `name`, both ways; returns the dump.
fn check(
    name: &str,
    comparator: Arc<dyn Comparator>,
    options: TableOptions,
    entries: &[Entry],
) -> String {
    let ctx = context(comparator);
    let file = write(&ctx, options, entries).unwrap();
    check_file(name, &ctx, &file, entries)
}

/// Compares `file`, which holds `entries`, with the golden file `name`; returns the dump.
fn check_file(name: &str, ctx: &TableContext, file: &[u8], entries: &[Entry]) -> String {
    let current = open(ctx, file).unwrap().annotate().unwrap();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
    let stored = golden(path, &current);
    assert_eq!(stored, current, "the bytes that are written, or their description, have changed");
    let released = bytes_of(&stored).unwrap();
    assert_eq!(released, file);
    assert_eq!(forward(&open(ctx, &released).unwrap()).unwrap(), entries);
    stored
}

#[test]
fn v1_three_entries() {
    let entries = [
        entry("AD/Canillo", 2, EntryKind::Put, "3292"),
        entry("AD/Canillo", 1, EntryKind::Put, "3067"),
        entry("AD/Vila", 3, EntryKind::Delete, ""),
    ];
    let dump = check("three_entries.dump", Arc::new(Bytewise), plain(), &entries);
    let format = include_str!("../../FORMAT.md");
    assert!(format.contains(&dump), "FORMAT.md shows another dump:\n{dump}");
}

#[test]
fn v1_every_kind_over_several_blocks_with_a_filter() {
    let mut entries = Vec::new();
    for (i, kind) in (0..).zip(EntryKind::ALL) {
        let value = if kind.is_delete() { String::new() } else { "v".repeat(200) };
        entries.push(entry(&format!("key {i}"), 9, kind, &value));
        entries.push(entry(&format!("key {i}"), 4, EntryKind::Put, &value));
    }
    let filter = Some(FilterSize::BitsPerKey(10.0).into());
    let options = TableOptions { block_len_target: 512, filter, ..plain() };
    check("every_kind.dump", Arc::new(Bytewise), options, &entries);
}

/// Partitions that waited for the table to be large, and some that did not; the versions of some keys
/// run over a border.
#[test]
fn v1_two_levels() {
    let mut entries = Vec::new();
    for i in 0..10 {
        let key = format!("{i} {}", "k".repeat(120));
        for seqno in [9, 8, 7] {
            entries.push(entry(&key, seqno + i, EntryKind::Put, &"v".repeat(120)));
        }
    }
    let options = TableOptions {
        block_len_target: 512,
        filter: Some(FilterSize::BitsPerKey(10.0).into()),
        partitioning: Partitioning::Auto { keys: 60 },
        partition_len_target: 512,
        ..plain()
    };
    check("two_levels.dump", Arc::new(Bytewise), options, &entries);
}

#[test]
fn v1_locator() {
    let mut entries = Vec::new();
    for i in 0..12 {
        for seqno in [i + 2, i + 1] {
            entries.push(entry(&format!("key {i:02}"), seqno, EntryKind::Put, &"v".repeat(90)));
        }
    }
    let options = TableOptions { block_len_target: 512, locator: true, ..plain() };
    check("locator.dump", Arc::new(Bytewise), options, &entries);
}

#[test]
fn v1_range_tombstones() {
    let mut model = Model::bytewise();
    model.put(5u32.into(), b"AD/Canillo", b"3292");
    model.delete_range(3u32.into(), b"AD/", b"AD/M");
    model.delete_range(7u32.into(), b"AD/E", b"AD/O");
    let ctx = context(Arc::new(Bytewise));
    let file = write_model(&ctx, plain(), &model).unwrap();
    check_file("range_tombstones.dump", &ctx, &file, &model.entries());
}

#[test]
fn v1_reverse_order() {
    let entries = [("c", "3"), ("b", "2"), ("a", "1")];
    let entries = entries.map(|(key, value)| entry(key, 0, EntryKind::Put, value));
    check("reverse.dump", Arc::new(Reverse), plain(), &entries);
}
