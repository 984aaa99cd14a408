//! Damage that parity repairs: it costs nothing, is reported, and a scrub undoes it.

use std::{ops::Range, sync::Arc};

use stratal_sst::{
    Checksum, Compression, Error, Parity, Partitioning, Seal, Table, TableContext, TableOptions,
};
use stratal_testkit::Model;
use stratal_types::{Bytewise, Counter, Counters, SeqNo};

use crate::support::{Entry, context, forward, open, write_model};

/// A table with every sort of block, in several partitions.
fn table_of(options: &TableOptions) -> (TableContext, Vec<u8>, Vec<Entry>) {
    let mut model = Model::bytewise();
    for i in 0..120u32 {
        let key = format!("AD/{:03}/a place", i * 7 % 120);
        model.put(SeqNo::from(i), key.as_bytes(), format!("{i} of its people").as_bytes());
    }
    model.delete_range(SeqNo::from(200u32), b"x", b"y");
    let ctx = context(Arc::new(Bytewise));
    let options = TableOptions {
        block_len_target: 512,
        partitioning: Partitioning::Always,
        partition_len_target: 512,
        ..options.clone()
    };
    let file = write_model(&ctx, options, &model).unwrap();
    (ctx, file, model.entries())
}

fn range(table: &Table) -> Vec<(Range<usize>, &'static str)> {
    let blocks = table.blocks().unwrap();
    let range = |offset: u64, len: u32| offset as usize..(offset + u64::from(len)) as usize;
    blocks.iter().map(|block| (range(block.offset, block.len), block.kind.name())).collect()
}

#[test]
fn a_flipped_bit_in_any_block_costs_nothing_and_a_scrub_undoes_it() {
    let cases = [
        (Parity::Xor { data: 4 }, Seal::None, Checksum::Crc32c, Compression::None),
        (Parity::Xor { data: 2 }, Seal::Aes256Gcm, Checksum::Xxh3, Compression::Lz4),
        (Parity::SecDed, Seal::None, Checksum::Xxh3, Compression::None),
        (
            Parity::ReedSolomon { data: 4, parity: 2 },
            Seal::ChaCha20Poly1305,
            Checksum::Xxh3,
            Compression::None,
        ),
    ];
    let mut flips = 0;
    for (parity, seal, checksum, compression) in cases {
        let options =
            TableOptions { parity, seal, checksum, compression, ..TableOptions::default() };
        let (ctx, file, entries) = table_of(&options);
        let whole = open(&ctx, &file).unwrap();
        assert!(whole.verify().unwrap().is_ok());
        let blocks = range(&whole);
        let kinds: std::collections::BTreeSet<_> = blocks.iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds.len(), 6, "{kinds:?}");
        for (place, kind) in &blocks {
            // A stride that shares no factor with words, lines and shards.
            for at in place.clone().step_by(13).chain([place.end - 1]) {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << (at % 8);
                let what = format!("{parity:?}: bit of byte {at}, {kind}");
                check_healed(&ctx, &damaged, &file, &entries, place.start, &what);
                flips += 1;
            }
        }
    }
    println!("{flips} flipped bits healed");
    assert!(flips > 2000);
}

/// The damaged file answers as the whole one, says what was damaged, and becomes the whole one.
fn check_healed(
    ctx: &TableContext,
    damaged: &[u8],
    file: &[u8],
    entries: &[Entry],
    offset: usize,
    what: &str,
) {
    let table = open(ctx, damaged).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(forward(&table).unwrap() == entries, "{what}");
    for (key, ..) in entries.iter().step_by(17) {
        assert!(table.get(key).unwrap().is_some(), "{what}");
    }
    let report = table.verify().unwrap();
    assert_eq!(report.damage.len(), 0, "{what}: {:?}", report.damage);
    let healed: Vec<_> = report.healed.iter().map(|healed| healed.offset as usize).collect();
    assert_eq!(healed, [offset], "{what}");
    let mut repaired = Vec::new();
    let report = table.scrub(&mut repaired).unwrap();
    let healed: Vec<_> = report.healed.iter().map(|healed| healed.offset as usize).collect();
    assert!(report.is_whole() && healed == [offset], "{what}: {report:?}");
    assert!(repaired == file, "{what}");
}

#[test]
fn what_was_healed_is_counted() {
    let parity = Parity::Xor { data: 4 };
    let (ctx, mut file, entries) = table_of(&TableOptions { parity, ..TableOptions::default() });
    let (first, _) = range(&open(&ctx, &file).unwrap()).remove(0);
    file[first.start + 30] ^= 1;
    let counters = Arc::new(Counters::default());
    let ctx = TableContext { metrics: Arc::clone(&counters) as _, ..ctx };
    let table = open(&ctx, &file).unwrap();
    assert_eq!(counters.get(Counter::BlocksHealed), 0);
    table.get(&entries[0].0).unwrap();
    assert_eq!(counters.get(Counter::BlocksHealed), 1);
    table.get(&entries[1].0).unwrap();
    assert_eq!(counters.get(Counter::BlocksHealed), 1, "it is in the cache");
}

/// Without parity: what stands twice is repaired, header and contents too, and what stands once is
/// named.
#[test]
fn without_parity_a_scrub_repairs_what_stands_twice() {
    let (ctx, file, _) = table_of(&TableOptions::default());
    let whole = open(&ctx, &file).unwrap();
    let blocks = range(&whole);
    let doubled = ["index", "properties", "tombstones"];
    let (mut repaired_count, mut lost_count) = (0, 0);
    for at in (0..file.len()).step_by(11) {
        let mut damaged = file.clone();
        damaged[at] ^= 0x40;
        let mut copy = Vec::new();
        let report = open(&ctx, &damaged).unwrap().scrub(&mut copy).unwrap();
        let block = blocks.iter().find(|(place, _)| place.contains(&at));
        match block {
            Some((place, kind)) if !doubled.contains(kind) => {
                assert_eq!(copy, damaged);
                let lost: Vec<_> = report.lost.iter().map(|it| (it.offset, it.kind)).collect();
                assert_eq!(lost, [(place.start as u64, *kind)]);
                lost_count += 1;
            }
            _ => {
                assert!(report.is_whole(), "{at}: {report:?}");
                assert_eq!(report.healed.len(), 1, "{at}");
                assert!(copy == file, "{at}");
                repaired_count += 1;
            }
        }
    }
    println!("{repaired_count} repaired, {lost_count} lost");
    assert!(repaired_count > 400 && lost_count > 100);
}

#[test]
fn a_scrub_of_a_whole_table_copies_it_and_a_full_disk_is_told() {
    for seal in [Seal::None, Seal::Aes256Gcm] {
        let (ctx, file, _) = table_of(&TableOptions { seal, ..TableOptions::default() });
        let table = open(&ctx, &file).unwrap();
        let mut copy = Vec::new();
        let report = table.scrub(&mut copy).unwrap();
        assert!(report.is_whole() && report.healed.is_empty());
        assert_eq!(report.blocks, table.blocks().unwrap().len() as u64);
        assert!(copy == file);
        let mut short = vec![0; file.len() - 1];
        assert!(matches!(table.scrub(&mut short[..]), Err(Error::Write(_))));
    }
}

/// Both copies of the index are lost: the data are copied as they are, and proved whole by the check of
/// their section.
#[test]
fn without_an_index_the_rest_is_still_scrubbed() {
    let (ctx, file, _) = table_of(&TableOptions::default());
    let index: Vec<_> = range(&open(&ctx, &file).unwrap())
        .into_iter()
        .filter(|(_, kind)| *kind == "index")
        .collect();
    assert_eq!(index.len(), 2);
    let mut damaged = file.clone();
    for (place, _) in &index {
        damaged[place.start + 20] ^= 1;
    }
    let mut copy = Vec::new();
    let report = open(&ctx, &damaged).unwrap().scrub(&mut copy).unwrap();
    assert!(report.lost.iter().all(|lost| lost.kind == "index"), "{report:?}");
    assert_eq!(report.lost.len(), 3);
    assert_eq!(copy, damaged);
    damaged[200] ^= 1;
    let report = open(&ctx, &damaged).unwrap().scrub(&mut copy).unwrap();
    assert_eq!(report.lost[0].kind, "section");
}
