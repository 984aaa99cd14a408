//! Blocks that a writer takes over from another table.

use std::sync::Arc;

use bytes::Bytes;
use stratal_sst::{
    Checksum, Compression, Dictionary, Error, OpenOptions, Parity, ReadAhead, Scan, Seal, Table,
    TableContext, TableDictionary, TableIdentity, TableOptions, TableWriter,
};
use stratal_types::{
    BlockCursor, Bytewise, Comparator, Cursor, EntryKind, EntryRef, FileUid, KindSet, Reverse,
    SeqNo, Shortlex, Trailer,
};

use crate::support::{Entry, backward, context, forward, open, owned, write};

const OTHER: TableIdentity = TableIdentity { uid: FileUid([0xb6; 16]), salt: [0x6b; 32] };

fn options() -> TableOptions {
    TableOptions { block_len_target: 512, ..TableOptions::default() }
}

/// `count` keys of one version each, in the order of `comparator`.
fn entries(count: u32, comparator: &dyn Comparator) -> Vec<Entry> {
    let entry = |i: u32| {
        let trailer = Trailer::new(SeqNo::from(i % 7), EntryKind::Put);
        (format!("key {i:06}").into_bytes(), trailer, format!("value of {i}").into_bytes())
    };
    let mut entries: Vec<Entry> = (0..count).map(entry).collect();
    entries.sort_by(|(a, ..), (b, ..)| comparator.compare(a, b));
    entries
}

/// Copies `table`, blocks as they are stored where the writer takes them, after `begin` entries that
/// are copied one by one. Gives the file and how many blocks were taken over.
fn copy(
    ctx: &TableContext,
    table: &Table,
    options: TableOptions,
    begin: usize,
) -> Result<(Vec<u8>, usize), Error> {
    let spec = Arc::new(options.validate()?);
    let mut writer = TableWriter::new(ctx, Vec::new(), OTHER, spec)?;
    let mut cursor = table.scanner();
    cursor.seek_to_first()?;
    let (mut taken, mut passed) = (0, 0);
    while let Some(entry) = cursor.entry() {
        if passed >= begin
            && let Some(block) = cursor.stored_block()
            && writer.add_block(&block)?
        {
            taken += 1;
            cursor.pass_block()?;
            continue;
        }
        passed += 1;
        writer.add(entry)?;
        cursor.advance()?;
    }
    Ok((writer.finish()?.sink, taken))
}

/// Copies are the same table, and so many of its blocks are taken over as `expected` has.
fn copies(options: &TableOptions, comparator: Arc<dyn Comparator>, begin: usize) -> usize {
    let ctx = context(comparator);
    let entries = entries(600, ctx.comparator.as_ref());
    let table = open(&ctx, &write(&ctx, options.clone(), &entries).unwrap()).unwrap();
    let (file, taken) = copy(&ctx, &table, options.clone(), begin).unwrap();
    let copied = open(&ctx, &file).unwrap();
    let report = copied.verify().unwrap();
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(forward(&copied).unwrap(), entries);
    assert!(backward(&copied).unwrap().iter().rev().eq(&entries));
    for (key, trailer, value) in &entries {
        let found = copied.lookup(key, SeqNo::MAX).unwrap().unwrap();
        assert_eq!((found.trailer, &found.value[..]), (*trailer, &value[..]));
    }
    let (mut before, mut after) = (table.properties().clone(), copied.properties().clone());
    if begin == 0 {
        // All but the last, if that is short.
        assert!(taken as u64 + 1 >= after.data_blocks, "{taken} of {}", after.data_blocks);
        assert_eq!(before, after);
    }
    for properties in [&mut before, &mut after] {
        // They depend on where blocks end.
        properties.data_blocks = 0;
        properties.data_bytes = 0;
        properties.index_bytes = 0;
        properties.locator_bytes = 0;
        properties.filter_bytes = 0;
        properties.index_partitions = 0;
        properties.filter_partitions = 0;
    }
    assert_eq!(before, after);
    taken
}

#[test]
fn blocks_are_taken_over_under_every_option() {
    let dictionary = Dictionary::new(&b"value of key 000".repeat(40)).unwrap();
    let xor = Parity::Xor { data: 4 };
    let all: [TableOptions; 10] = [
        options(),
        TableOptions { compression: Compression::None, ..options() },
        TableOptions { compression: Compression::Zstd { level: 1 }, ..options() },
        TableOptions {
            compression: Compression::Zstd { level: 1 },
            dictionary: TableDictionary::Given(dictionary),
            ..options()
        },
        TableOptions { checksum: Checksum::Crc32c, ..options() },
        TableOptions { parity: xor, ..options() },
        TableOptions { seal: Seal::Aes256Gcm, ..options() },
        TableOptions { seal: Seal::ChaCha20Poly1305, parity: xor, ..options() },
        TableOptions { entry_digests: true, locator: true, ..options() },
        TableOptions {
            partitioning: stratal_sst::Partitioning::Always,
            partition_len_target: 512,
            ..options()
        },
    ];
    let orders: [Arc<dyn Comparator>; 3] =
        [Arc::new(Bytewise), Arc::new(Reverse), Arc::new(Shortlex)];
    for options in all {
        for order in &orders {
            let taken = copies(&options, Arc::clone(order), 0);
            assert!(taken > 20, "{options:?}: {taken}");
        }
        // The block at hand is ended early.
        let taken = copies(&options, Arc::clone(&orders[0]), 7);
        assert!(taken > 15, "{options:?}: {taken}");
    }
}

#[test]
fn blocks_of_other_options_are_not_taken_over() {
    let ctx = context(Arc::new(Bytewise));
    let entries = entries(300, &Bytewise);
    let file = write(&ctx, options(), &entries).unwrap();
    let table = open(&ctx, &file).unwrap();
    let others = [
        TableOptions { compression: Compression::None, ..options() },
        TableOptions { compression: Compression::Zstd { level: 1 }, ..options() },
        TableOptions { block_len_target: 1024, ..options() },
        TableOptions { checksum: Checksum::Crc32c, ..options() },
        TableOptions { parity: Parity::SecDed, ..options() },
        TableOptions { seal: Seal::Aes256Gcm, ..options() },
        TableOptions { entry_digests: true, ..options() },
    ];
    for other in others {
        let (copied, taken) = copy(&ctx, &table, other.clone(), 0).unwrap();
        assert_eq!(taken, 0, "{other:?}");
        assert_eq!(forward(&open(&ctx, &copied).unwrap()).unwrap(), entries);
    }
    assert!(copy(&ctx, &table, options(), 0).unwrap().1 > 0);
}

/// A cursor that stands on the first entry of a table.
fn begun(table: &Table, scan: Scan) -> stratal_sst::TableCursor {
    let mut cursor = table.cursor_with(scan);
    cursor.seek_to_first().unwrap();
    cursor
}

#[test]
fn a_block_is_offered_where_it_can_be_taken_over_and_nowhere_else() {
    let ctx = context(Arc::new(Bytewise));
    let mut rows = entries(100, &Bytewise);
    for (_, trailer, _) in &mut rows {
        *trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
    }
    let file = write(&ctx, options(), &rows).unwrap();
    let table = open(&ctx, &file).unwrap();
    assert!(begun(&table, Scan::default()).stored_block().is_none(), "through the cache");
    let one_by_one = Scan { read_ahead: ReadAhead::Never, ..Scan::once() };
    let mut cursor = begun(&table, one_by_one);
    let block = cursor.stored_block().unwrap();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    block.ends_into(&mut first, &mut last);
    assert_eq!((&first, &last), (&rows[0].0, &rows[block.entries() - 1].0));
    let facts = cursor.block_facts().unwrap();
    assert_eq!((facts.seqno_min, facts.seqno_max), (SeqNo::ZERO, SeqNo::ZERO));
    assert_eq!(facts.kinds, KindSet::of(&[EntryKind::Put]));
    assert_eq!(facts.rows as usize, block.entries());
    let behind = owned(EntryRef::new(&rows[block.entries()].0, rows[0].1, b"")).0;
    cursor.advance().unwrap();
    assert!(cursor.stored_block().is_none(), "within the block");
    cursor.seek_to_first().unwrap();
    cursor.pass_block().unwrap();
    assert_eq!(cursor.entry().unwrap().key, behind);

    let seen = OpenOptions { overlay: Some(SeqNo::from(9u32)), ..OpenOptions::default() };
    let table = Table::open_with(&ctx, Arc::new(Bytes::from(file)), seen).unwrap();
    assert!(begun(&table, Scan::once()).stored_block().is_none(), "under another number");
}

#[test]
fn versions_of_a_key_keep_a_block_from_being_taken_over() {
    let ctx = context(Arc::new(Bytewise));
    let row = |key: u32, seqno: u32| {
        let trailer = Trailer::new(SeqNo::from(seqno), EntryKind::Put);
        (format!("key {key:06}").into_bytes(), trailer, vec![b'v'; 30])
    };
    // Two versions within a block; then versions of one key across the border of two.
    let within: Vec<Entry> = vec![row(1, 5), row(2, 5), row(2, 4), row(3, 5)];
    let across: Vec<Entry> = (1..60).map(|n| row(1, 100 - n)).collect();
    for rows in [within, across] {
        let table = open(&ctx, &write(&ctx, options(), &rows).unwrap()).unwrap();
        let cursor = begun(&table, Scan::once());
        let mut last = Vec::new();
        assert!(!cursor.block_end(&mut last) || cursor.block_facts().is_none());
    }
}

#[test]
fn a_block_that_was_repaired_is_not_taken_over() {
    let ctx = context(Arc::new(Bytewise));
    let options = TableOptions { parity: Parity::SecDed, ..options() };
    let rows = entries(100, &Bytewise);
    let file = write(&ctx, options.clone(), &rows).unwrap();
    let table = open(&ctx, &file).unwrap();
    let block = table.blocks().unwrap()[0];
    let mut damaged = file.clone();
    damaged[block.offset as usize + 40] ^= 4;
    let table = open(&ctx, &damaged).unwrap();
    assert!(begun(&table, Scan::once()).stored_block().is_none());
    let (copied, taken) = copy(&ctx, &table, options, 0).unwrap();
    assert!(taken > 0, "those behind it");
    let copied = open(&ctx, &copied).unwrap();
    assert!(copied.verify().unwrap().healed.is_empty());
    assert_eq!(forward(&copied).unwrap(), rows);
}

#[test]
fn blocks_out_of_order_are_refused_as_entries_are() {
    let ctx = context(Arc::new(Bytewise));
    let table = open(&ctx, &write(&ctx, options(), &entries(100, &Bytewise)).unwrap()).unwrap();
    let spec = Arc::new(options().validate().unwrap());
    let mut writer = TableWriter::new(&ctx, Vec::new(), OTHER, spec).unwrap();
    writer.put(b"key 000000", b"").unwrap();
    let cursor = begun(&table, Scan::once());
    // Number 0 stands behind every other version of the key, and the block begins with number 0.
    let refused = writer.add_block(&cursor.stored_block().unwrap());
    assert!(matches!(refused, Err(Error::OutOfOrder { .. })), "{refused:?}");
    assert!(matches!(writer.put(b"z", b""), Err(Error::WriterFailed)));
}
