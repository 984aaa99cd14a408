//! What is read of a file, and when.

use std::{
    io,
    ops::{Bound, Range},
    sync::Arc,
};

use crate::support::{Counted, context, forward, write_model};
use bytes::Bytes;
use stratal_archive::TAIL_LEN;
use stratal_block::Compression;
use stratal_cache::Cache;
use stratal_fs::{Access, Fs, MemFs};
use stratal_sst::{
    CacheUse, Error, FileSource, ReadAhead, ReadAt, Scan, Table, TableContext, TableCursor,
    TableOptions,
};
use stratal_testkit::Model;
use stratal_types::{Bytewise, Cursor, SeqNo};

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
    table.may_contain(b"", 0).unwrap();
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

fn lengths(reads: &[Range<u64>]) -> Vec<u64> {
    reads.iter().map(|read| read.end - read.start).collect()
}

/// Goes through all of a table; returns what was read for it.
fn go_through(source: &Counted, cursor: &mut TableCursor, way: Way) -> Vec<Range<u64>> {
    let step = match way {
        Way::On => TableCursor::advance,
        Way::Back => {
            cursor.seek_to_last().unwrap();
            TableCursor::retreat
        }
    };
    let mut entries = u64::from(way == Way::Back);
    step(cursor).unwrap();
    while cursor.entry().is_some() {
        entries += 1;
        step(cursor).unwrap();
    }
    assert_eq!(entries, cursor.table().properties().entries);
    source.take()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    On,
    Back,
}

#[test]
fn a_cursor_that_goes_from_neighbour_to_neighbour_reads_ahead() {
    for way in [Way::On, Way::Back] {
        let (source, table) = opened(20_000);
        let blocks = table.properties().data_blocks as usize;
        let reads = go_through(&source, &mut table.cursor(), way);
        let lens = lengths(&reads);
        assert!(lens[..2].iter().all(|len| *len < 5000), "{way:?}: {lens:?}");
        assert_eq!(lens[2..7], [16, 32, 64, 128, 256].map(|kib: u64| kib << 10), "{way:?}");
        assert!(lens[7..].iter().all(|len| *len <= 256 << 10), "{way:?}: {lens:?}");
        assert!(reads.len() < 17 && blocks > 500, "{way:?}: {lens:?}");
        let bytes: u64 = lens.iter().sum();
        assert!(bytes < source.len() + source.len() / 20, "hardly a byte is read twice");
        // What was read is in the cache, block by block.
        assert!(go_through(&source, &mut table.cursor(), way).is_empty(), "{way:?}");
        assert!(table.get(&key(9999)).unwrap().is_some() && source.take().is_empty());

        let (source, table) = opened(20_000);
        let scan = Scan { read_ahead: ReadAhead::Never, ..Scan::default() };
        assert_eq!(go_through(&source, &mut table.cursor_with(scan), way).len(), blocks);
    }
}

#[test]
fn ranges_read_ahead_and_seeks_do_not() {
    let (source, table) = opened(20_000);
    assert_eq!(table.range::<&[u8]>(..).count(), 20_000);
    assert!(source.take().len() < 17);
    let (source, table) = opened(20_000);
    assert_eq!(table.range::<&[u8]>(..).rev().count(), 20_000);
    assert!(source.take().len() < 17);

    let (source, table) = opened(20_000);
    let mut cursor = table.cursor();
    for i in 0..200 {
        cursor.seek(&key(i * 7919 % 20_000), SeqNo::MAX).unwrap();
        assert!(cursor.entry().is_some());
    }
    assert!(lengths(&source.take()).iter().all(|len| *len < 5000));
}

#[test]
fn a_scanner_reads_large_pieces_past_the_cache() {
    for way in [Way::On, Way::Back] {
        let (ctx, file, _) = table_of(20_000);
        let (source, cache) = (Counted::new(&file), &ctx.cache);
        let table = Table::open(&ctx, source.clone()).unwrap();
        source.take();
        let before = cache.stats();
        let reads = go_through(&source, &mut table.scanner(), way);
        assert!(reads.len() <= source.len() as usize / (256 << 10) + 2, "{:?}", lengths(&reads));
        let scan = Scan { cache: CacheUse::Bypass, read_ahead: ReadAhead::Fixed(1) };
        let reads = go_through(&source, &mut table.cursor_with(scan), way);
        assert_eq!(reads.len() as u64, table.properties().data_blocks);
        assert_eq!(cache.stats().entries, before.entries, "nothing has been put in or taken out");
        assert!(cache.stats().hits + cache.stats().misses < before.hits + before.misses + 10);
    }
}

#[test]
fn a_long_scan_keeps_little_in_a_full_cache() {
    let (ctx, file, _) = table_of(80_000);
    let ctx = TableContext { cache: Arc::new(Cache::new(4 << 20)), ..ctx };
    for way in [Way::On, Way::Back] {
        let source = Counted::new(&file);
        let table = Table::open(&ctx, source.clone()).unwrap();
        assert!((0..80_000).step_by(20).all(|i| table.get(&key(i)).unwrap().is_some()));
        source.take();
        let before = ctx.cache.stats();
        assert!(before.used > before.capacity / 8 * 7, "it is full: {before:?}");
        let reads = go_through(&source, &mut table.cursor(), way);
        let begun = ctx.cache.stats().misses - before.misses;
        assert!(begun < 64 && table.properties().data_blocks > 2000, "{way:?}: {begun} blocks");
        assert!(reads.len() < 128, "{way:?}: {:?}", lengths(&reads));
    }
}

/// What cannot be read ahead does not fail what can be read.
#[test]
fn a_part_that_cannot_be_read_fails_its_own_blocks_alone() {
    let (ctx, file, _) = table_of(20_000);
    for scan in [Scan::default(), Scan::once()] {
        let broken = 500_000..500_100;
        let table = Table::open(&ctx, Arc::new(Broken { file: file.clone(), broken })).unwrap();
        let mut cursor = table.cursor_with(scan);
        let mut entries = 0;
        let failed = loop {
            match cursor.advance() {
                Ok(()) if cursor.entry().is_some() => entries += 1,
                Ok(()) => panic!("it came to the end"),
                Err(error) => break error,
            }
        };
        assert!(matches!(failed, Error::Read { .. }), "{failed}");
        assert!(entries > 3500, "everything before it: {entries}");
        for _ in 0..2 {
            assert!(cursor.entry().is_none());
            assert!(matches!(cursor.advance(), Err(Error::CursorFailed)));
            assert!(matches!(cursor.retreat(), Err(Error::CursorFailed)));
        }
        cursor.seek(&key(10_000), SeqNo::MAX).unwrap();
        assert_eq!(cursor.entry().unwrap().key, key(10_000), "placed again it goes on");
    }
}

/// A source of which some bytes cannot be read.
#[derive(Debug)]
struct Broken {
    file: Vec<u8>,
    broken: Range<u64>,
}

impl ReadAt for Broken {
    fn len(&self) -> u64 {
        self.file.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.start < self.broken.end && self.broken.start < range.end {
            return Err(io::Error::other("a bad sector"));
        }
        Ok(Bytes::copy_from_slice(&self.file[range.start as usize..range.end as usize]))
    }
}

/// A range by its name and bounds, and how many of the keys 0 to 99 lie in it.
type Case = (&'static str, (Bound<Vec<u8>>, Bound<Vec<u8>>), usize);

#[test]
fn ranges_without_keys_yield_none_from_either_end() {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let (_, table) = opened(100);
    let (first, last) = (key(0), key(99));
    let cases: [Case; 12] = [
        ("all", (Unbounded, Unbounded), 100),
        ("one", (Included(key(7)), Included(key(7))), 1),
        ("none of one", (Included(key(7)), Excluded(key(7))), 0),
        ("one excluded twice", (Excluded(key(7)), Excluded(key(7))), 0),
        ("between neighbours", (Excluded(key(7)), Excluded(key(8))), 0),
        ("inverted", (Included(key(8)), Included(key(7))), 0),
        ("inverted ends", (Included(last.clone()), Included(first.clone())), 0),
        ("before the first", (Unbounded, Excluded(first.clone())), 0),
        ("up to the first", (Unbounded, Included(first)), 1),
        ("behind the last", (Excluded(last.clone()), Unbounded), 0),
        ("from the last", (Included(last), Unbounded), 1),
        ("from an empty key", (Included(Vec::new()), Excluded(key(10))), 10),
    ];
    for (name, range, count) in cases {
        assert_eq!(table.range(range.clone()).count(), count, "{name}");
        assert_eq!(table.range(range.clone()).rev().count(), count, "{name}");
        assert_eq!(table.keys(range.clone()).count(), count, "{name}");
        assert_eq!(table.keys(range).rev().count(), count, "{name}");
    }
    for (prefix, count) in [("", 100), ("key", 100), ("key00001", 10), ("key000017", 1), ("z", 0)] {
        let rows = || table.prefix(prefix.as_bytes()).map(|row| row.unwrap().0);
        assert_eq!(rows().count(), count, "{prefix}");
        assert!(rows().rev().eq(rows().collect::<Vec<_>>().into_iter().rev()), "{prefix}");
        assert!(rows().all(|key| key.starts_with(prefix.as_bytes())), "{prefix}");
    }
    assert_eq!(table.prefix(&[0xff; 20]).count(), 0);
}
