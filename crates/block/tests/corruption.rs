//! Damaged bytes are reported, never trusted, and never a panic; also where somebody made the check
//! fit the damage.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may panic, and prints its counts"
)]

use stratal_block::{
    BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Compression, Error, Frame,
    Limits, SortedBlock, SortedBlockBuilder, SortedBlockOptions, SortedCursor, annotate_frame_with,
    annotate_sorted_block, verify,
};
use stratal_testkit::mutate::for_each_mutant;
use stratal_types::{Bytewise, EntryKind, FileUid, SeqNo, Shortlex, Trailer, dump::Dump, key_hash};

const ID: BlockId = BlockId { uid: FileUid([3; 16]), ordinal: 77, kind: BlockKind(5) };

#[test]
fn a_damaged_frame_does_not_open() {
    for (name, codec) in codecs() {
        let stored = codec.seal(ID, &sample()).unwrap();
        let counts = for_each_mutant(&stored, |what, mutant| {
            let error = codec.open(ID, mutant).unwrap_err();
            assert!(!matches!(error, Error::InvalidArgument { .. }), "{name}, {what}: {error}");
            assert!(verify(ID, mutant).is_err(), "{name}, {what}");
        });
        println!("frame, {name}: {counts}");
    }
}

#[test]
fn a_damaged_frame_whose_check_was_made_to_fit_opens_or_fails_by_name() {
    let limits = Limits { plain_len_max: 1 << 20, ratio_max: 1 << 15 };
    for (name, codec) in codecs() {
        let codec =
            codec.spec().resolve(&BlockContext { limits, ..BlockContext::default() }).unwrap();
        let stored = codec.seal(ID, &sample()).unwrap();
        let (mut opened, mut refused, mut out) = (0, 0, vec![]);
        let counts = for_each_mutant(&stored, |what, mutant| {
            let mut mutant = mutant.to_vec();
            if let Err(Error::Checksum { expected, .. }) = verify(ID, &mutant) {
                *mutant.last_chunk_mut().unwrap() = expected.to_le_bytes();
            }
            match codec.open_into(ID, &mutant, &mut out) {
                Ok(_) => {
                    opened += 1;
                    assert!(out.len() <= limits.plain_len_max as usize, "{name}, {what}");
                }
                Err(_) => refused += 1,
            }
        });
        println!("frame with fitting check, {name}: {counts}; {opened} opened, {refused} refused");
        assert!(opened > 0 && refused > 0);
    }
}

#[test]
fn every_prefix_of_a_frame_asks_for_more_when_it_is_split_off() {
    let stored = codecs()[0].1.seal(ID, b"payload").unwrap();
    for len in 0..stored.len() {
        let error = Frame::split_from(&stored[..len]).unwrap_err();
        assert!(matches!(error, Error::Truncated { needed, .. } if len < needed), "{len}: {error}");
        assert!(!error.is_corruption());
    }
}

#[test]
fn a_damaged_sorted_block_answers_or_fails_by_name() {
    for (name, bytes) in sorted_blocks() {
        let (mut parsed, mut verified, mut refused) = (0, 0, 0);
        let counts = for_each_mutant(&bytes, |what, mutant| match SortedBlock::parse(mutant) {
            Ok(block) => {
                parsed += 1;
                verified += usize::from(ask_everything(&block));
            }
            Err(error) => {
                refused += 1;
                assert!(!matches!(error, Error::InvalidArgument { .. }), "{name}, {what}: {error}");
            }
        });
        println!(
            "sorted block, {name}: {counts}; {refused} refused, {parsed} parsed, of which \
             {verified} verify"
        );
    }
}

#[test]
fn damaged_blocks_can_be_described() {
    let (_, bytes) = sorted_blocks().swap_remove(0);
    let codec = &codecs()[0].1;
    let stored = codec.seal(ID, &bytes).unwrap();
    for_each_mutant(&stored, |what, mutant| {
        let mut dump = Dump::new(mutant).with_rows_max(4);
        annotate_frame_with(&mut dump, annotate_sorted_block);
        assert!(!dump.finish().is_empty() || mutant.is_empty(), "{what}");
    });
}

fn codecs() -> Vec<(&'static str, BlockCodec)> {
    let mut specs = vec![
        ("raw, xxh3", Checksum::Xxh3, Compression::None),
        ("raw, crc32c", Checksum::Crc32c, Compression::None),
        ("lz4, xxh3", Checksum::Xxh3, Compression::Lz4),
    ];
    if cfg!(feature = "zstd") {
        specs.push(("zstd, crc32c", Checksum::Crc32c, Compression::Zstd { level: 3 }));
    }
    let resolve = |checksum, compression| {
        BlockSpec { checksum, compression, ..BlockSpec::default() }
            .resolve(&BlockContext::default())
            .unwrap()
    };
    specs
        .into_iter()
        .map(|(name, checksum, compression)| (name, resolve(checksum, compression)))
        .collect()
}

/// Text of some sectors that compresses to some sectors.
fn sample() -> Vec<u8> {
    let word = |i: u64| key_hash(&i.to_le_bytes());
    (0..300).flat_map(|i| format!("row {:05} {:04x};", i, word(i) as u16).into_bytes()).collect()
}

fn sorted_blocks() -> Vec<(&'static str, Vec<u8>)> {
    let both = SortedBlockOptions::default();
    let neither = SortedBlockOptions { tags: false, heads: false, digests: false };
    let digests = SortedBlockOptions { digests: true, ..both };
    let at = |seqno: u64, kind| Trailer::new(SeqNo::new(seqno).unwrap(), kind);
    let build = |options, rows: &[(String, Trailer, usize)]| {
        let mut builder = SortedBlockBuilder::new(options);
        for (key, trailer, value_len) in rows {
            builder.add(key.as_bytes(), *trailer, &vec![b'v'; *value_len]).unwrap();
        }
        let mut bytes = vec![];
        builder.finish_into(&mut bytes);
        bytes
    };
    let uniform: Vec<_> =
        (0..40).map(|i| (format!("key-{i:08}"), at(0, EntryKind::Put), 20)).collect();
    let mixed: Vec<_> = (0..30u64)
        .map(|i| {
            let kind = EntryKind::ALL[i as usize % EntryKind::ALL.len()];
            (
                format!("key-{:02}{}", i / 3, "x".repeat(i as usize / 3 % 5)),
                at(900 - i, kind),
                i as usize,
            )
        })
        .collect();
    let order = |user: String, i: u32| {
        (format!("user:{user}:order:{:06}", i % 8 * 37), at(3, EntryKind::Put), 8)
    };
    let even: Vec<_> = (0..40).map(|i| order(format!("{:06}", i / 8), i)).collect();
    let uneven: Vec<_> = (0..40)
        .map(|i| order(["anne", "bartholomew", "cid", "dorothea", "eve"][i as usize / 8].into(), i))
        .collect();
    vec![
        ("uniform", build(both, &uniform)),
        ("mixed", build(both, &mixed)),
        ("mixed without columns", build(neither, &mixed)),
        ("mixed with digests", build(digests, &mixed)),
        ("in even groups", build(both, &even)),
        ("in uneven groups", build(both, &uneven)),
        ("one row", build(both, &uniform[..1])),
        ("no rows", build(both, &[])),
    ]
}

/// Calls every method; says whether the block verifies.
fn ask_everything(block: &SortedBlock<&[u8]>) -> bool {
    let mut key = vec![];
    for i in 0..=block.len() {
        assert_eq!(block.entry(i).is_some(), i < block.len());
        block.key_into(i, &mut key);
        assert!(i == block.len() || block.compare_key(i, &key).is_some());
        if i % 8 == 0 {
            for bound in [SeqNo::ZERO, SeqNo::from(880), SeqNo::MAX] {
                let found = block.find(&key, key_hash(&key), bound);
                assert!(found.is_none_or(|i| block.key_eq(i, &key)));
                assert!(block.seek(&key, bound) <= block.len());
                assert!(block.seek_by(&key, bound, &Shortlex, &mut vec![]) <= block.len());
            }
        }
    }
    let mut cursor = SortedCursor::new(block.clone());
    cursor.seek_to_last();
    let mut rows = 0;
    while cursor.entry().is_some() {
        rows += 1;
        cursor.retreat();
    }
    assert_eq!(rows, block.len());
    block.verify(&Bytewise).is_ok()
}
