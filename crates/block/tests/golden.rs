//! Every released version still reads; what the current one decides, it still writes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use stratal_block::{
    BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Compression, SortedBlock,
    SortedBlockBuilder, SortedBlockOptions, annotate_frame, annotate_frame_with,
    annotate_sorted_block,
};
use stratal_testkit::{golden, read_golden};
use stratal_types::{
    Bytewise, Comparator, EntryKind, FileUid, SeqNo, Shortlex, Trailer,
    dump::{Dump, bytes_of},
};

#[test]
fn v1_frame_of_nothing() {
    frame_reads_and_writes("v1/frame_empty", Checksum::Xxh3, b"");
}

#[test]
fn v1_frame_with_xxh3() {
    frame_reads_and_writes("v1/frame_xxh3", Checksum::Xxh3, b"some payload");
}

#[test]
fn v1_frame_with_crc32c() {
    frame_reads_and_writes("v1/frame_crc32c", Checksum::Crc32c, b"some payload");
}

/// Only read: which bytes a compressor picks is its own business, and may change with it.
#[test]
fn v1_frame_with_lz4() {
    frame_reads("v1/frame_lz4", Checksum::Xxh3, Compression::Lz4, &[b'a'; 64]);
}

#[cfg(feature = "zstd")]
#[test]
fn v1_frame_with_zstd() {
    frame_reads("v1/frame_zstd", Checksum::Xxh3, Compression::Zstd { level: 3 }, &[b'a'; 64]);
}

#[test]
fn v1_sorted_block_without_rows() {
    sorted_reads_and_writes("v1/sorted_empty", BOTH, &Bytewise, &[]);
}

/// Rows of one length, one kind and one sequence number take neither offsets nor trailers.
#[test]
fn v1_sorted_block_of_uniform_rows() {
    let rows = [("key-0001", 0, PUT, "v1"), ("key-0002", 0, PUT, "v2"), ("key-0207", 0, PUT, "v3")];
    sorted_reads_and_writes("v1/sorted_uniform", BOTH, &Bytewise, &rows);
}

#[test]
fn v1_sorted_block_of_versions_and_kinds() {
    let rows = [
        ("AD/Canillo", 7, PUT, "42.57 1.60"),
        ("AD/Vila", 900, EntryKind::Delete, ""),
        ("AD/Vila", 8, PUT, "42.53 1.57"),
        ("AE", 6, EntryKind::Merge, "+1"),
    ];
    sorted_reads_and_writes("v1/sorted_versions", BOTH, &Bytewise, &rows);
}

#[test]
fn v1_sorted_block_with_wide_heads() {
    let keys = ["itemA-01-x", "itemA-02-x", "itemA-03-x", "itemA-04-x", "zzzzz-05-x"];
    let value = "long enough for groups not to be worth it, however much the keys share";
    let rows = keys.map(|key| (key, 1, PUT, value));
    sorted_reads_and_writes("v1/sorted_wide_heads", BOTH, &Bytewise, &rows);
}

#[test]
fn v1_sorted_block_with_even_groups() {
    let rows = EVEN.map(|key| (key, 0, PUT, "v"));
    sorted_reads_and_writes("v1/sorted_even_groups", BOTH, &Bytewise, &rows);
}

/// Three middles, of which the first is empty; and values whose length tells that of the rests.
#[test]
fn v1_sorted_block_with_uneven_groups() {
    let keys = [
        "user:al",
        "user:barbara:order:000000",
        "user:barbara:order:000037",
        "user:barbara:order:000074",
        "user:barbara:order:000111",
        "user:bob:order:000000",
        "user:bob:order:000037",
        "user:bob:order:000074",
    ];
    let rows = keys.map(|key| (key, 0, PUT, "four"));
    sorted_reads_and_writes("v1/sorted_uneven_groups", BOTH, &Bytewise, &rows);
}

#[test]
fn v1_sorted_block_whose_values_tell_the_lengths() {
    let rows = ["alder", "beech", "cherry", "hornbeam"].map(|key| (key, 0, PUT, "tree"));
    sorted_reads_and_writes("v1/sorted_rests_by_value", BOTH, &Bytewise, &rows);
}

#[test]
fn v1_sorted_block_with_digests() {
    let rows = [("AD/Canillo", 7, PUT, "42.57 1.60"), ("AD/Vila", 9, EntryKind::Delete, "")];
    let options = SortedBlockOptions { digests: true, ..BOTH };
    sorted_reads_and_writes("v1/sorted_digests", options, &Bytewise, &rows);
}

#[test]
fn v1_sorted_block_in_another_order() {
    let rows = [("b", 1, PUT, "1"), ("aa", 1, PUT, "2"), ("abc", 1, PUT, "3")];
    let options = SortedBlockOptions { heads: false, ..BOTH };
    sorted_reads_and_writes("v1/sorted_shortlex", options, &Shortlex, &rows);
}

#[test]
fn v1_sorted_block_in_a_frame() {
    let rows = [
        ("AD/Canillo", 7, PUT, "42.57 1.60"),
        ("AD/Vila", 9, EntryKind::Delete, ""),
        ("AD/Vila", 8, PUT, "42.53 1.57"),
    ];
    let plain = build(BOTH, &rows);
    frame_reads_and_writes("v1/frame_of_sorted_block", Checksum::Xxh3, &plain);
}

#[test]
fn format_md_agrees_with_the_bytes_and_the_rustdoc() {
    let format_md = include_str!("../FORMAT.md");
    for name in ["v1/frame_lz4", "v1/frame_of_sorted_block", "v1/sorted_even_groups"] {
        assert!(format_md.contains(&read_golden(path(name))), "{name} is not in FORMAT.md");
    }
    for source in [include_str!("../src/frame.rs"), include_str!("../src/sorted/block.rs")] {
        let rustdoc = source.lines().skip_while(|line| *line != "/// ```text").skip(1);
        let diagram: String = rustdoc
            .take_while(|line| *line != "/// ```")
            .flat_map(|line| [line.strip_prefix("/// ").unwrap(), "\n"])
            .collect();
        assert!(diagram.lines().count() > 5);
        assert!(format_md.contains(&diagram), "not in FORMAT.md:\n{diagram}");
    }
}

// Below: the only code here that knows the API. Tests above are data.

const BOTH: SortedBlockOptions = SortedBlockOptions { tags: true, heads: true, digests: false };
const PUT: EntryKind = EntryKind::Put;
const ID: BlockId = BlockId { uid: FileUid([0x11; 16]), ordinal: 4096, kind: BlockKind(1) };

/// Keys of one length that share much with their neighbours, and little with others.
const EVEN: [&str; 8] = [
    "user:03:order:000000",
    "user:03:order:000037",
    "user:03:order:000074",
    "user:03:order:000111",
    "user:17:order:000000",
    "user:17:order:000037",
    "user:17:order:000074",
    "user:17:order:000111",
];

type Row<'a> = (&'a str, u32, EntryKind, &'a str);

#[track_caller]
fn frame_reads_and_writes(name: &str, checksum: Checksum, plain: &[u8]) {
    let (stored, written) = frame_reads(name, checksum, Compression::None, plain);
    assert_eq!(stored, written, "{name} is released: a new layout is a new version");
}

#[track_caller]
fn frame_reads(
    name: &str,
    checksum: Checksum,
    compression: Compression,
    plain: &[u8],
) -> (String, String) {
    let codec = BlockSpec { checksum, compression, ..BlockSpec::default() }
        .resolve(&BlockContext::default())
        .unwrap();
    let dump = |bytes: &[u8]| {
        let mut dump = Dump::new(bytes);
        match SortedBlock::parse(plain) {
            Ok(_) => annotate_frame_with(&mut dump, annotate_sorted_block),
            Err(_) => annotate_frame(&mut dump),
        }
        dump.finish()
    };
    let written = dump(&codec.seal(ID, plain).unwrap());
    let stored = golden(path(name), &written);
    let bytes = bytes_of(&stored).unwrap();
    assert_eq!(codec.open(ID, &bytes).unwrap()[..], *plain);
    assert_eq!(dump(&bytes), stored);
    (stored, written)
}

#[track_caller]
fn sorted_reads_and_writes(
    name: &str,
    options: SortedBlockOptions,
    order: &dyn Comparator,
    rows: &[Row<'_>],
) {
    let dump = |bytes: &[u8]| {
        let mut dump = Dump::new(bytes);
        annotate_sorted_block(&mut dump, bytes.len());
        dump.finish()
    };
    let written = dump(&build(options, rows));
    let stored = golden(path(name), &written);
    let bytes = bytes_of(&stored).unwrap();
    let block = SortedBlock::parse(&bytes[..]).unwrap();
    block.verify(order).unwrap();
    assert_eq!(block.len(), rows.len());
    let mut key = vec![];
    for (i, &(expected, seqno, kind, value)) in rows.iter().enumerate() {
        block.key_into(i, &mut key);
        assert_eq!((&key[..], block.trailer(i)), (expected.as_bytes(), Some(trailer(seqno, kind))));
        assert_eq!(block.value(i), Some(value.as_bytes()));
    }
    assert_eq!(dump(&bytes), stored);
    assert_eq!(stored, written, "{name} is released: a new layout is a new version");
}

fn build(options: SortedBlockOptions, rows: &[Row<'_>]) -> Vec<u8> {
    let mut builder = SortedBlockBuilder::new(options);
    for &(key, seqno, kind, value) in rows {
        builder.add(key.as_bytes(), trailer(seqno, kind), value.as_bytes()).unwrap();
    }
    let mut bytes = vec![];
    builder.finish_into(&mut bytes);
    bytes
}

fn trailer(seqno: u32, kind: EntryKind) -> Trailer {
    Trailer::new(SeqNo::from(seqno), kind)
}

fn path(name: &str) -> String {
    format!("{}/tests/golden/{name}.dump", env!("CARGO_MANIFEST_DIR"))
}
