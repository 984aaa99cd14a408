//! What is read of a file, and when.

use std::{ops::Range, sync::Arc};

use crate::support::{Counted, context, forward, write_model};
use stratal_archive::TAIL_LEN;
use stratal_block::Compression;
use stratal_sst::{Table, TableContext, TableOptions};
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
