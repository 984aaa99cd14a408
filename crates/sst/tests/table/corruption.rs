//! Damage of every simple form costs at most an error: never a wrong answer, never a panic.

use std::sync::Arc;

use crate::support::{Entry, backward, context, forward, open, write_model};
use bytes::Bytes;
use stratal_archive::Part;
use stratal_block::Compression;
use stratal_sst::{
    Error, OpenMode, OpenOptions, Partitioning, Table, TableBlock, TableContext, TableOptions,
    TableWriter,
};
use stratal_testkit::{
    Model,
    mutate::{Counts, for_each_mutant},
};
use stratal_types::{Bytewise, EntryKind, EntryRef, FileUid, SeqNo, Trailer};

/// A few blocks of records like places.
fn entries(count: u32) -> Vec<Entry> {
    let entry = |i: u32| {
        let key = format!("AD/0{}/Vila{}/{}", i % 9, "a".repeat(i as usize % 5), 3_038_832 + i);
        let value = format!("{{\"population\":{},\"name\":\"Vila\"}}", i * 37);
        (key.into_bytes(), Trailer::new(SeqNo::ZERO, EntryKind::Put), value.into_bytes())
    };
    let mut entries: Vec<Entry> = (0..count).map(entry).collect();
    entries.sort();
    entries
}

fn small_table(compression: Compression) -> (TableContext, Vec<u8>, Vec<Entry>) {
    let options = TableOptions { block_len_target: 512, compression, ..TableOptions::default() };
    table_of(24, options)
}

/// With a locator, and without a filter that would answer before it.
fn located_table() -> (TableContext, Vec<u8>, Vec<Entry>) {
    let options = TableOptions {
        block_len_target: 512,
        compression: Compression::None,
        filter: None,
        locator: true,
        ..TableOptions::default()
    };
    table_of(8, options)
}

/// In two levels, with partitions of a few blocks.
fn divided_table(count: u32, partitioning: Partitioning) -> (TableContext, Vec<u8>, Vec<Entry>) {
    let options = TableOptions {
        block_len_target: 512,
        compression: Compression::None,
        partitioning,
        partition_len_target: 512,
        ..TableOptions::default()
    };
    table_of(count, options)
}

fn table_of(count: u32, options: TableOptions) -> (TableContext, Vec<u8>, Vec<Entry>) {
    let ctx = context(Arc::new(Bytewise));
    let entries = entries(count);
    let mut model = Model::bytewise();
    for (key, trailer, value) in &entries {
        model.insert(key, *trailer, value);
    }
    model.put(1u32.into(), b"AD/no such place", b"deleted by range");
    model.delete_range(2u32.into(), b"AD/no", b"AD/nq");
    let file = write_model(&ctx, options, &model).unwrap();
    (ctx, file, model.entries())
}

/// What a reader may meet in a damaged file: right answers and typed errors.
struct Outcome {
    errors: u64,
    noticed: bool,
}

/// Asks a damaged file everything; panics at a wrong answer.
fn ask(
    ctx: &TableContext,
    mutant: &[u8],
    entries: &[Entry],
    what: &dyn std::fmt::Display,
) -> Outcome {
    let mut errors = 0;
    let table = match open(ctx, mutant) {
        Ok(table) => table,
        Err(error) => {
            assert!(error.is_corruption() || is_refusal(&error), "{what}: {error}");
            assert!(!error.to_string().is_empty());
            return Outcome { errors: 1, noticed: true };
        }
    };
    for (key, _, value) in entries {
        let expected = (key != b"AD/no such place").then_some(&value[..]);
        match table.get(key) {
            Ok(found) => assert_eq!(found.as_deref(), expected, "{what}: {key:?}"),
            Err(error) => {
                errors += 1;
                assert!(error.to_string().contains("offset"), "{what}: {error}");
            }
        }
    }
    assert!(matches!(table.get(b"AD/nowhere"), Ok(None) | Err(_)), "{what}");
    for scanned in [
        forward(&table),
        backward(&table).map(|mut rows| {
            rows.reverse();
            rows
        }),
    ] {
        match scanned {
            Ok(found) => assert!(found == entries, "{what}: a scan differs"),
            Err(_) => errors += 1,
        }
    }
    let report = table.verify().unwrap();
    Outcome { errors, noticed: !report.is_ok() }
}

/// A file that says it is of another type or version is refused without being called damaged.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::NotATable { .. } | Error::Archive(_) | Error::ComparatorMismatch { .. })
}

#[test]
fn every_mutant_answers_right_or_with_an_error_and_verify_sees_it() {
    let mut counts = Counts::default();
    let (mut silent, mut failing) = (0, 0);
    let tables = [
        small_table(Compression::None),
        small_table(Compression::Lz4),
        divided_table(8, Partitioning::Always),
        located_table(),
    ];
    for (ctx, file, entries) in tables {
        counts += for_each_mutant(&file, |mutation, mutant| {
            let outcome = ask(&ctx, mutant, &entries, &mutation);
            assert!(outcome.noticed, "verify does not see: {mutation}");
            if outcome.errors == 0 { silent += 1 } else { failing += 1 }
        });
    }
    println!("{counts}; {silent} cost no answer, {failing} an error");
    assert!(silent > 0 && failing > 0);
}

/// Everything but the data blocks stands twice, or is done without.
#[test]
fn any_lost_4_kib_outside_the_data_cost_no_answer() {
    let (ctx, file, entries) = small_table(Compression::None);
    let table = open(&ctx, &file).unwrap();
    let data_end = table.contents().entries[0].range().end as usize;
    let mut windows = 0;
    for start in (data_end..file.len()).step_by(64).chain([0]) {
        let end = if start == 0 {
            table.contents().part_range(Part::Header).end as usize
        } else {
            file.len().min(start + 4096)
        };
        let mut damaged = file.clone();
        damaged[start..end].fill(0);
        let outcome = ask(&ctx, &damaged, &entries, &format_args!("{start}..{end} zeroed"));
        assert_eq!(outcome.errors, 0, "{start}..{end} zeroed");
        windows += 1;
    }
    println!("{windows} windows of 4 KiB lost, no answer with them");
}

/// The same of a table whose index and filter stand among the data: whatever else is lost, the data
/// blocks tell what stood there.
#[test]
fn any_lost_4_kib_between_the_data_cost_no_answer() {
    for partitioning in [Partitioning::Always, Partitioning::Auto { keys: 250 }] {
        let (ctx, file, entries) = divided_table(500, partitioning);
        let table = open(&ctx, &file).unwrap();
        assert!(table.properties().index_partitions > 2);
        let blocks = table.blocks().unwrap();
        let data: Vec<_> = blocks.iter().filter(|it| it.kind == TableBlock::Data).collect();
        let mut windows = 0;
        for start in (0..file.len()).step_by(512) {
            let mut damaged = file.clone();
            let end = file.len().min(start + 4096);
            damaged[start..end].fill(0);
            for block in &data {
                let range = block.offset as usize..block.offset as usize + block.len as usize;
                damaged[range.clone()].copy_from_slice(&file[range]);
            }
            if damaged == file {
                continue;
            }
            let what = format!("{start}..{end} zeroed but for the data");
            let outcome = ask(&ctx, &damaged, &entries, &what);
            assert!(outcome.errors == 0 && outcome.noticed, "{what}");
            let mut counts = [0; 3];
            salvage(&ctx, &damaged, &entries, &what, &mut counts);
            assert_eq!(counts, [1, 0, 0], "{what}");
            windows += 1;
        }
        println!("{windows} windows of 4 KiB lost, no answer with them");
        assert!(windows > 20);
    }
}

#[test]
fn a_damaged_block_costs_its_own_keys_alone_and_they_are_named() {
    let (ctx, file, entries) = small_table(Compression::None);
    let blocks = open(&ctx, &file).unwrap().properties().data_blocks;
    let mut damaged = file.clone();
    damaged[200] ^= 1; // in the first data block, which begins at 128
    let table = open(&ctx, &damaged).unwrap();
    let report = table.verify().unwrap();
    assert_eq!((report.damage.len(), report.blocks), (1, blocks + 7));
    let (behind, to) = report.damage[0].keys.clone().unwrap();
    let to = to.unwrap();
    assert_eq!((report.damage[0].offset, behind), (128, None));
    for (key, _, value) in &entries {
        match table.get(key) {
            Ok(None) => assert_eq!(key, b"AD/no such place"),
            Ok(found) => assert!(found.as_deref() == Some(&value[..]) && *key > to),
            Err(Error::Block { kind: "data", offset: 128, .. }) => assert!(*key <= to),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn foreign_files_are_refused() {
    let ctx = TableContext::default();
    let cases: [(&str, Vec<u8>); 5] = [
        ("empty", Vec::new()),
        ("text", b"country\tname\nAD\tVila\n".repeat(1000)),
        ("zeros", vec![0; 100_000]),
        ("ones", vec![0xff; 5000]),
        ("one byte", vec![b'S']),
    ];
    for (name, bytes) in cases {
        assert!(matches!(open(&ctx, &bytes), Err(Error::Archive(_))), "{name}");
    }
}

/// A block copied over another of the same file and length, its check intact, is noticed.
#[test]
fn a_block_in_anothers_place_does_not_open() {
    let (ctx, file, entries) = small_table(Compression::None);
    let other_uid = {
        let options = TableOptions {
            block_len_target: 512,
            compression: Compression::None,
            ..TableOptions::default()
        };
        let spec = Arc::new(options.validate().unwrap());
        let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([1; 16]), spec).unwrap();
        for (key, trailer, value) in &entries {
            writer.add(EntryRef::new(key, *trailer, value)).unwrap();
        }
        writer.add_tombstones(&open(&ctx, &file).unwrap().tombstones().unwrap()).unwrap();
        writer.finish().unwrap().sink
    };
    assert_eq!(file.len(), other_uid.len());
    let table = open(&ctx, &file).unwrap();
    let data = table.contents().entries[0].range();
    let range = data.start as usize..data.end as usize;
    let mut mixed = file.clone();
    mixed[range.clone()].copy_from_slice(&other_uid[range]);
    let table = Table::open(&ctx, Arc::new(Bytes::from(mixed))).unwrap();
    for (key, ..) in &entries {
        assert!(matches!(table.get(key), Err(Error::Block { .. })));
    }
}

/// Saves what it can of a mutant; what is missing then is in a range that is said to be lost.
fn salvage(
    ctx: &TableContext,
    mutant: &[u8],
    entries: &[Entry],
    what: &str,
    counts: &mut [u64; 3],
) {
    let options = OpenOptions { mode: OpenMode::Salvage, ..OpenOptions::default() };
    let source = Arc::new(Bytes::copy_from_slice(mutant));
    let table = Table::open_with(ctx, source, options).unwrap_or_else(|e| panic!("{what}: {e}"));
    let spec = Arc::new(TableOptions::default().validate().unwrap());
    let mut writer = TableWriter::new(ctx, Vec::new(), FileUid([9; 16]), spec).unwrap();
    let report = match table.salvage(&mut writer) {
        Ok(report) => report,
        Err(error) => panic!("{what}: {error}"),
    };
    let file = writer.finish().unwrap();
    let saved = match file.info {
        Some(_) => forward(&open(ctx, &file.sink).unwrap()).unwrap(),
        None => Vec::new(),
    };
    assert_eq!(report.entries, saved.len() as u64, "{what}");
    let has_index = report.lost.iter().all(|lost| !lost.kind.starts_with("index"));
    for entry in entries {
        let is_lost =
            report.lost.iter().filter_map(|lost| lost.keys.as_ref()).any(|(behind, to)| {
                behind.as_ref().is_none_or(|behind| *behind < entry.0)
                    && to.as_ref().is_none_or(|to| entry.0 <= *to)
            });
        let is_saved = saved.contains(entry);
        assert!(is_saved || is_lost, "{what}: {} is gone", entry.0.escape_ascii());
        // Without the index only the next block tells where a loss ends.
        assert!(!(is_saved && is_lost && has_index), "{what}: {}", entry.0.escape_ascii());
    }
    assert!(saved.iter().all(|entry| entries.contains(entry)), "{what}: invented entries");
    counts[0] += 1;
    counts[1] += u64::from(saved.len() < entries.len());
    counts[2] += u64::from(!has_index);
}

#[test]
fn a_table_that_lost_what_it_says_of_itself_is_salvaged() {
    let tables = [small_table(Compression::None), divided_table(300, Partitioning::Always)];
    for (ctx, file, entries) in tables {
        let sections = open(&ctx, &file).unwrap().contents().entries.clone();
        let mut counts = [0; 3];
        // Its properties, and nothing else.
        let mut mutant = file.clone();
        for entry in sections.iter().filter(|entry| entry.tag.0 == *b"PROP") {
            mutant[entry.offset as usize + 30] ^= 1;
        }
        assert!(matches!(open(&ctx, &mutant), Err(Error::Block { kind: "properties", .. })));
        salvage(&ctx, &mutant, &entries, "no properties", &mut counts);
        assert_eq!(counts, [1, 0, 0], "nothing else is lost");
        for (key, _, value) in &entries {
            let options = OpenOptions { mode: OpenMode::Salvage, ..OpenOptions::default() };
            let source = Arc::new(Bytes::copy_from_slice(&mutant));
            let table = Table::open_with(&ctx, source, options).unwrap();
            let found = table.lookup(key, SeqNo::MAX).unwrap().unwrap();
            assert_eq!(found.value, value);
        }
        // A data block besides: exactly its keys.
        mutant[sections[0].offset as usize + 40] ^= 1;
        salvage(&ctx, &mutant, &entries, "no properties, no first block", &mut counts);
        assert_eq!(counts, [2, 1, 0]);

        // Its end, wherever that was cut off.
        let end_of_data = sections[0].range().end as usize;
        for len in (200..file.len()).step_by(61) {
            let before = counts[2];
            salvage(&ctx, &file[..len], &entries, &format!("{len} bytes left"), &mut counts);
            assert!(counts[2] > before || len > end_of_data, "{len}");
        }
        // Something behind its end.
        let longer = [&file[..], &[0; 100]].concat();
        assert!(matches!(open(&ctx, &longer), Err(Error::Archive(_))));
        let before = counts[1];
        salvage(&ctx, &longer, &entries, "100 bytes more", &mut counts);
        assert_eq!(counts[1], before);
    }
}

#[test]
fn a_file_that_lost_its_header_too_is_refused() {
    let (ctx, file, _) = small_table(Compression::None);
    let options = OpenOptions { mode: OpenMode::Salvage, ..OpenOptions::default() };
    for mutant in [&file[1..700], &file[..100], &[], b"no table at all"] {
        let source = Arc::new(Bytes::copy_from_slice(mutant));
        assert!(matches!(Table::open_with(&ctx, source, options), Err(Error::Archive(_))));
    }
}

#[test]
fn what_a_salvage_misses_it_says() {
    let (ctx, file, entries) = small_table(Compression::None);
    let mut counts = [0; 3];
    for (at, byte) in file.iter().enumerate() {
        let mut mutant = file.clone();
        mutant[at] = byte ^ (1 << (at % 8));
        salvage(&ctx, &mutant, &entries, &format!("bit of byte {at}"), &mut counts);
    }
    // Both copies of the index, and one byte more.
    let table = open(&ctx, &file).unwrap();
    let sections = || table.contents().entries.iter();
    let index: Vec<_> = sections().filter(|entry| &entry.tag.0 == b"INDX").collect();
    assert_eq!(index.len(), 2);
    let data = sections().find(|entry| &entry.tag.0 == b"DATA").unwrap().range();
    for at in data.start as usize..data.end as usize {
        let mut mutant = file.clone();
        for entry in &index {
            mutant[entry.offset as usize + 20] ^= 1;
        }
        mutant[at] ^= 0x10;
        salvage(&ctx, &mutant, &entries, &format!("no index, byte {at}"), &mut counts);
    }
    // A partition of the index, and a data block in it: it cannot be made again.
    let (ctx, file, entries) = divided_table(300, Partitioning::Auto { keys: 100 });
    let table = open(&ctx, &file).unwrap();
    let blocks = table.blocks().unwrap();
    let of = |kind| blocks.iter().filter(move |block| block.kind == kind);
    for partition in of(TableBlock::IndexPartition) {
        for block in of(TableBlock::Data) {
            let at = block.offset as usize;
            for at in [at + 2, at + 3, at + 9, at + 40] {
                let mut mutant = file.clone();
                mutant[partition.offset as usize + 30] ^= 1;
                mutant[at] ^= 4;
                let what = format!("no fences at {}, byte {at}", partition.offset);
                salvage(&ctx, &mutant, &entries, &what, &mut counts);
            }
        }
    }
    let [salvages, with_losses, without_index] = counts;
    println!("{salvages} salvages, {with_losses} with losses, {without_index} without an index");
    assert!(with_losses > 1000 && without_index > 1000);
}
