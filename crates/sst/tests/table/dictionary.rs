//! Dictionaries: made of the table's own blocks, given, refused, and lost.

use std::sync::Arc;

use stratal_sst::{
    Compression, Dictionary, Error, Table, TableBlock, TableContext, TableDictionary, TableOptions,
    TableWriter,
};
use stratal_testkit::{KeyShape, Rng, sorted_keys};
use stratal_types::{Bytewise, EntryKind, SeqNo, Trailer};

use crate::support::{Counted, Entry, IDENTITY, context, forward, open, write};

/// Rows of a few fields under names that all of them have.
fn records(count: usize) -> Vec<Entry> {
    let mut rng = Rng::new(0xd1c7);
    let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
    let keys = sorted_keys(KeyShape::Place, count, &mut rng);
    keys.into_iter()
        .map(|key| {
            let value = format!(
                "{{\"population\": {}, \"elevation\": {}, \"timezone\": \"Europe/Andorra\"}}",
                rng.below(1_000_000),
                rng.below(3000),
            );
            (key, trailer, value.into_bytes())
        })
        .collect()
}

/// The bundled places.
fn places() -> Vec<Entry> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/data/cities15000.tsv.zst");
    let plain = zstd::decode_all(&std::fs::read(path).unwrap()[..]).unwrap();
    let lines = plain.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
    let mut entries: Vec<Entry> = lines
        .map(|line| {
            let (key, value) = line.split_at(line.iter().position(|&byte| byte == b'\t').unwrap());
            (key.to_vec(), trailer, value[1..].to_vec())
        })
        .collect();
    entries.sort();
    entries
}

fn options(block_len_target: u32, dictionary: TableDictionary) -> TableOptions {
    let compression = Compression::Zstd { level: 3 };
    TableOptions { block_len_target, compression, dictionary, ..TableOptions::default() }
}

fn count_of(table: &Table, kind: TableBlock) -> usize {
    table.blocks().unwrap().iter().filter(|block| block.kind == kind).count()
}

const SMALL: TableDictionary = TableDictionary::Train { len_max: 4 << 10, sample_len: 200 << 10 };

#[test]
fn a_dictionary_made_of_the_first_blocks_makes_the_table_smaller() {
    let ctx = context(Arc::new(Bytewise));
    let sets = [("records", records(20_000)), ("places", places())];
    let cases = sets.iter().flat_map(|set| [512, 1024, 4096].map(|len| (set, len)));
    for ((name, entries), block_len_target) in cases {
        let without = write(&ctx, options(block_len_target, TableDictionary::None), entries);
        let without = without.unwrap();
        let file = write(&ctx, options(block_len_target, SMALL), entries).unwrap();
        let table = open(&ctx, &file).unwrap();
        assert!(forward(&table).unwrap() == *entries);
        for (key, _, value) in entries.iter().step_by(97) {
            assert_eq!(table.get(key).unwrap().as_deref(), Some(&value[..]));
        }
        assert!(table.verify().unwrap().is_ok());
        let properties = table.properties();
        assert_eq!(properties.dictionary.len(), 16, "{}", properties.dictionary);
        assert_eq!(properties.entries, entries.len() as u64);
        assert_eq!(count_of(&table, TableBlock::Dictionary), 2);
        println!(
            "{name}, blocks of {block_len_target}: {} bytes without, {} with a dictionary of {}",
            without.len(),
            file.len(),
            properties.dictionary_bytes,
        );
        assert!(file.len() < without.len(), "{block_len_target}");
        assert!(file == write(&ctx, options(block_len_target, SMALL), entries).unwrap());
    }
}

#[test]
fn a_table_that_gains_nothing_has_none_and_says_why() {
    let ctx = context(Arc::new(Bytewise));
    let mut noise = records(5000);
    let mut rng = Rng::new(3);
    for (key, _, value) in &mut noise {
        *value = rng.bytes(60);
        *key = [&key[..], &rng.bytes(20)].concat();
    }
    let all = records(400);
    let cases = [("few", &all[..20], SMALL), ("noise", &noise[..], SMALL)];
    for (name, entries, dictionary) in cases {
        let file = write(&ctx, options(512, dictionary), entries).unwrap();
        let table = open(&ctx, &file).unwrap();
        assert!(table.properties().dictionary.starts_with("none: "), "{name}");
        assert_eq!(count_of(&table, TableBlock::Dictionary), 0, "{name}");
        assert!(forward(&table).unwrap() == entries, "{name}");
        assert!(table.verify().unwrap().is_ok(), "{name}");
    }
    // Without zstd no dictionary is of use, and none is made.
    for compression in [Compression::None, Compression::Lz4] {
        let options = TableOptions { compression, ..options(512, SMALL) };
        let table = open(&ctx, &write(&ctx, options, &all).unwrap()).unwrap();
        assert_eq!(table.properties().dictionary, "");
    }
}

#[test]
fn a_given_dictionary_is_taken_and_stored() {
    let ctx = context(Arc::new(Bytewise));
    let entries = records(300);
    let common = b"\", \"elevation\": , \"timezone\": \"Europe/Andorra\"}{\"population\": ";
    let dictionary = Dictionary::new(common).unwrap();
    let given = TableDictionary::Given(dictionary.clone());
    let file = write(&ctx, options(512, given), &entries).unwrap();
    let table = open(&ctx, &file).unwrap();
    assert_eq!(table.properties().dictionary, dictionary.id().to_string());
    assert!(forward(&table).unwrap() == entries);
    let without = write(&ctx, options(512, TableDictionary::None), &entries).unwrap();
    assert!(table.properties().data_bytes < open(&ctx, &without).unwrap().properties().data_bytes);
}

#[test]
fn while_a_dictionary_is_made_the_writer_refuses_and_counts_as_ever() {
    let ctx = TableContext::default();
    let spec = Arc::new(options(512, SMALL).validate().unwrap());
    let mut writer = TableWriter::new(&ctx, Vec::new(), IDENTITY, spec).unwrap();
    writer.put(b"b", b"1").unwrap();
    assert!(matches!(writer.put(b"a", b""), Err(Error::OutOfOrder { .. })));
    assert!(matches!(writer.put(b"b", b""), Err(Error::OutOfOrder { .. })));
    assert!(matches!(writer.put(b"", b""), Err(Error::Length { .. })));
    writer.put(b"c", b"2").unwrap();
    assert_eq!(writer.entries(), 2);
    assert!(writer.estimated_len() > 0);
    let finished = writer.finish().unwrap();
    assert_eq!(finished.info.unwrap().properties.entries, 2);
    assert_eq!(forward(&open(&ctx, &finished.sink).unwrap()).unwrap().len(), 2);
}

#[test]
fn the_dictionary_is_read_with_the_first_data_block_and_not_before() {
    let ctx = context(Arc::new(Bytewise));
    let entries = records(20_000);
    let file = write(&ctx, options(4096, SMALL), &entries).unwrap();
    let source = Counted::new(&file);
    let table = Table::open(&ctx, source.clone()).unwrap();
    table.get(b"no such key").unwrap();
    let dictionary: Vec<_> = table
        .contents()
        .entries
        .iter()
        .filter(|entry| &entry.tag.0 == b"DICT")
        .map(stratal_archive::TocEntry::range)
        .collect();
    source.take();
    let fresh = Table::open(&ctx, source.clone()).unwrap();
    assert_eq!(source.take().len(), 1);
    fresh.get(&entries[7].0).unwrap();
    assert!(source.take().iter().any(|range| dictionary.contains(range)));
    fresh.get(&entries[9000].0).unwrap();
    assert!(!source.take().iter().any(|range| dictionary.contains(range)), "it is in the cache");
}

#[test]
fn one_copy_of_the_dictionary_is_enough_and_without_any_it_is_named() {
    let ctx = context(Arc::new(Bytewise));
    let entries = records(20_000);
    let file = write(&ctx, options(4096, SMALL), &entries).unwrap();
    let copies: Vec<_> = open(&ctx, &file)
        .unwrap()
        .blocks()
        .unwrap()
        .into_iter()
        .filter(|block| block.kind == TableBlock::Dictionary)
        .map(|block| block.offset as usize + 30)
        .collect();
    for &at in &copies {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        let table = open(&ctx, &damaged).unwrap();
        assert!(forward(&table).unwrap() == entries);
        assert_eq!(table.verify().unwrap().damage.len(), 1);
        let mut repaired = Vec::new();
        assert!(table.scrub(&mut repaired).unwrap().is_whole());
        assert!(repaired == file);
    }
    let mut damaged = file;
    for &at in &copies {
        damaged[at] ^= 1;
    }
    let error = open(&ctx, &damaged).unwrap().get(&entries[0].0).unwrap_err();
    assert!(error.is_corruption());
    assert!(matches!(error, Error::Block { kind: "dictionary", .. }), "{error}");
}

#[test]
fn options_of_a_dictionary_are_checked() {
    let train = |len_max, sample_len| TableDictionary::Train { len_max, sample_len };
    for dictionary in [train(255, 10_000), train(1 << 21, 1 << 22), train(10_000, 9_999)] {
        let error = options(4096, dictionary).validate().unwrap_err().to_string();
        assert!(error.starts_with("dictionary"), "{error}");
    }
    assert!(options(4096, TableDictionary::TRAINED).validate().is_ok());
    let id = Dictionary::new(b"any bytes").unwrap().id();
    let by_id = TableOptions {
        compression: Compression::ZstdDictionary { level: 3, id },
        ..TableOptions::default()
    };
    assert!(by_id.validate().unwrap_err().to_string().starts_with("compression"));
}
