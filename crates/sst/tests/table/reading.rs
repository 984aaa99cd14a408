//! What is read of a file, and when.

use std::{ops::Range, sync::Arc};

use crate::support::{Counted, context, forward, write_model};
use stratal_archive::TAIL_LEN;
use stratal_block::Compression;
use stratal_fs::{Access, Fs, MemFs};
use stratal_sst::{Error, FileSource, Table, TableContext, TableOptions};
use stratal_testkit::Model;
use stratal_types::{Bytewise, SeqNo};

fn key(i: u32) -> Vec<u8> {
    format!("key{i:06}").into_bytes()
}

/// A table of `count` keys with values of 100 bytes, and of a range tombstone behind them.
fn table_of(count: u32) -> (TableContext, Vec<u8>, Model) {
    let mut model = Model::bytewise();
    for i in 0..count {
        model.put(1u32.into(), &key(i), &[b'v'; 100]);
    }
    model.delete_range(2u32.into(), b"x", b"y");
    let ctx = context(Arc::new(Bytewise));
    let options = TableOptions { compression: Compression::None, ..TableOptions::default() };
    let file = write_model(&ctx, options, &model).unwrap();
    (ctx, file, model)
}

fn tail(file: &[u8]) -> Range<u64> {
    let len = file.len() as u64;
    len.saturating_sub(TAIL_LEN)..len
}

#[test]
fn opening_reads_the_end_of_the_file_and_nothing_else() {
    for count in [1, 100, 600, 60_000] {
        let (ctx, file, _) = table_of(count);
        let source = Counted::new(&file);
        let table = Table::open(&ctx, source.clone()).unwrap();
        assert_eq!(source.take(), [tail(&file)], "{count} keys");
        assert_eq!(table.properties().entries, u64::from(count));

        // Index and tombstones of the large one stand in its tail too, its filter does not.
        table.tombstones().unwrap();
        assert!(table.get(&key(0)).unwrap().is_some());
        let reads = source.take().len();
        assert_eq!(reads, if count < 60_000 { 1 } else { 2 }, "{count} keys");
    }
}

#[test]
fn what_the_end_of_the_file_does_not_tell_is_read_where_it_stands() {
    let (ctx, file, model) = table_of(600);
    let sections = |table: &Table| table.contents().entries.clone();
    let whole = sections(&Table::open(&ctx, Counted::new(&file)).unwrap());
    for entry in whole.iter().filter(|entry| entry.tag.0 != *b"DATA") {
        let mut damaged = file.clone();
        damaged[entry.offset as usize + 20] ^= 1;
        let source = Counted::new(&damaged);
        let table = Table::open(&ctx, source.clone()).unwrap();
        assert_eq!(forward(&table).unwrap(), model.entries(), "{}", entry.tag);
        assert_eq!(table.get(&key(7)).unwrap().as_deref(), Some(&[b'v'; 100][..]));
        assert_eq!(table.lookup(&key(7), SeqNo::ZERO).unwrap(), None);
        let within =
            |range: &Range<u64>| *range == tail(&file) || range.end <= whole[0].range().end;
        let others: Vec<_> = source.take().into_iter().filter(|range| !within(range)).collect();
        assert!(others.is_empty(), "{}: {others:?}", entry.tag);
    }
}

/// A table in a file that has been opened, and nothing of whose data is in the cache.
fn opened(count: u32) -> (Arc<Counted>, Table) {
    let (ctx, file, _) = table_of(count);
    let source = Counted::new(&file);
    let table = Table::open(&ctx, source.clone()).unwrap();
    // Loads the filter.
    table.may_contain(b"?", 0).unwrap();
    source.take();
    (source, table)
}

#[test]
fn many_keys_are_read_in_few_pieces() {
    // Some 30 keys are in a block of 4 KiB.
    let cases: [(&str, Vec<u32>, usize); 5] = [
        ("one key", vec![10], 1),
        ("one block, again and again", vec![10, 11, 10, 12], 1),
        ("neighbours", (0..1000).rev().collect(), 1),
        ("near ones", vec![0, 100, 200, 300, 400], 1),
        ("far ones", vec![5000, 1000, 9000, 5001, 9002], 3),
    ];
    for (name, wanted, pieces) in cases {
        let (source, table) = opened(10_000);
        let keys: Vec<_> = wanted.into_iter().map(key).collect();
        let found = table.multi_get(&keys).unwrap();
        assert!(found.iter().all(|value| value.as_deref() == Some(&[b'v'; 100][..])), "{name}");
        assert_eq!(source.take().len(), pieces, "{name}");
        assert_eq!(table.multi_get(&keys).unwrap(), found, "{name}");
        assert!(source.take().is_empty(), "{name}: all of it is in the cache");
    }
    let (source, table) = opened(10_000);
    assert_eq!(table.multi_get(&[b"a", b"b", b"z"]).unwrap(), [None, None, None]);
    assert!(table.multi_get::<&[u8]>(&[]).unwrap().is_empty());
    assert!(source.take().is_empty(), "filter and index exclude them");
}

#[test]
fn many_keys_are_read_of_a_file_as_of_memory() {
    let (ctx, file, _) = table_of(10_000);
    let fs = MemFs::new();
    let new = fs.create("/table".as_ref()).unwrap();
    new.write_all_at(&file, 0).unwrap();
    let source = FileSource::new(fs.open("/table".as_ref(), Access::Read).unwrap()).unwrap();
    let table = Table::open(&ctx, Arc::new(source)).unwrap();
    let keys: Vec<_> = (0..12_000).step_by(7).map(key).collect();
    let found = table.multi_get(&keys).unwrap();
    for (i, value) in (0..).step_by(7).zip(found) {
        assert_eq!(value.is_some(), i < 10_000, "{i}");
    }
}

#[test]
fn a_damaged_block_fails_a_batch_that_needs_it_and_no_other() {
    let (ctx, mut file, _) = table_of(1000);
    file[200] ^= 1;
    let table = Table::open(&ctx, Counted::new(&file)).unwrap();
    assert!(matches!(table.multi_get(&[key(500), key(0)]), Err(Error::Block { kind: "data", .. })));
    assert!(table.multi_get(&[key(500), key(999)]).unwrap().iter().all(Option::is_some));
}
