//! A block that is carried to another file is the block that would have been sealed there.
#![cfg(all(
    feature = "zstd",
    feature = "aes-gcm",
    feature = "chacha20poly1305",
    feature = "reed-solomon"
))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use stratal_block::{
    BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Compression, Dictionary,
    Error, FileKey, FileKeyInfo, Parity, RootKey, Seal,
};
use stratal_types::{DbId, FileUid};

const FROM: BlockId = BlockId { uid: FileUid([3; 16]), ordinal: 77, kind: BlockKind(1) };
const TO: BlockId = BlockId { uid: FileUid([4; 16]), ordinal: 16, kind: BlockKind(1) };

/// What seals the blocks of the file that `id` is in.
fn codec(spec: BlockSpec, id: BlockId) -> BlockCodec {
    let info = FileKeyInfo { db_id: DbId([5; 16]), kind: 1, uid: id.uid, salt: [9; 32] };
    let key = FileKey::derive(&RootKey::new(1, [1; 32]), &info);
    let key = (spec.seal != Seal::None).then_some(key);
    let dictionaries = vec![dictionary()];
    spec.resolve(&BlockContext { key, dictionaries, ..BlockContext::default() }).unwrap()
}

fn dictionary() -> Dictionary {
    Dictionary::new(&b"what many rows have in common, such as this".repeat(8)).unwrap()
}

fn payloads() -> [Vec<u8>; 3] {
    let random = (0..999u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
    [vec![], b"what many rows have in common, ".repeat(99), random.collect()]
}

fn specs() -> Vec<BlockSpec> {
    let zstd = Compression::Zstd { level: 1 };
    let with_dictionary = Compression::ZstdDictionary { level: 1, id: dictionary().id() };
    let mut specs = Vec::new();
    for compression in [Compression::None, Compression::Lz4, zstd, with_dictionary] {
        for seal in [Seal::None, Seal::Aes256Gcm, Seal::ChaCha20Poly1305] {
            for checksum in [Checksum::Xxh3, Checksum::Crc32c] {
                let shards = Parity::ReedSolomon { data: 4, parity: 2 };
                for parity in [Parity::None, Parity::SecDed, Parity::Xor { data: 4 }, shards] {
                    let spec = BlockSpec { checksum, compression, seal, parity };
                    specs.extend(spec.validate().map(|()| spec));
                }
            }
        }
    }
    specs
}

#[test]
fn a_carried_block_is_the_one_that_would_be_sealed_there() {
    for spec in specs() {
        let (source, target) = (codec(spec, FROM), codec(spec, TO));
        for plain in payloads() {
            let stored = source.seal(FROM, &plain).unwrap();
            let mut carried = b"before".to_vec();
            let len = target.carry_into(&source, FROM, TO, &stored, &mut carried).unwrap();
            assert_eq!(len, Some(stored.len()));
            assert!(carried == [b"before", &target.seal(TO, &plain).unwrap()[..]].concat());
        }
    }
}

/// Here, because it has to hold for every spec.
#[test]
fn a_block_that_is_written_in_its_place_is_the_one_that_would_be_sealed_there() {
    for spec in specs() {
        let codec = codec(spec, TO);
        let mut scratch = b"of another block".to_vec();
        for plain in payloads() {
            let stored = codec.seal(TO, &plain).unwrap();
            let mut written = b"before".to_vec();
            let write = |out: &mut Vec<u8>| out.extend_from_slice(&plain);
            let len = codec.seal_written(TO, write, &mut scratch, &mut written).unwrap();
            assert_eq!(len, stored.len());
            assert!(written == [b"before", &stored[..]].concat(), "{spec:?}");
        }
    }
}

#[test]
fn a_codec_carries_only_blocks_like_its_own() {
    let all = specs();
    for from in &all {
        let source = codec(*from, FROM);
        for plain in payloads() {
            let stored = source.seal(FROM, &plain).unwrap();
            for to in &all {
                let target = codec(*to, TO);
                let mut carried = Vec::new();
                let len = target.carry_into(&source, FROM, TO, &stored, &mut carried).unwrap();
                assert_eq!(len.unwrap_or(0), carried.len());
                if len.is_some() {
                    assert_eq!(&target.open(TO, &carried).unwrap()[..], &plain[..]);
                } else {
                    assert_ne!(from, to);
                }
                let alike =
                    (from.checksum, from.seal, from.parity) == (to.checksum, to.seal, to.parity);
                assert!(len.is_none() || alike);
            }
        }
    }
}

#[test]
fn damage_is_noticed_behind_a_carry_or_by_it() {
    for spec in specs().into_iter().filter(|spec| spec.parity == Parity::None) {
        let (source, target) = (codec(spec, FROM), codec(spec, TO));
        let stored = source.seal(FROM, &b"a row and a row".repeat(20)).unwrap();
        for at in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[at] ^= 0x10;
            let mut carried = Vec::new();
            match target.carry_into(&source, FROM, TO, &damaged, &mut carried) {
                Ok(Some(_)) => {
                    let opened = target.open(TO, &carried).unwrap_err();
                    assert!(matches!(opened, Error::Checksum { .. }), "{at}: {opened}");
                }
                // Another codec, seal or check, as far as the header says.
                Ok(None) | Err(_) => assert_eq!(carried, b"", "{at}"),
            }
        }
    }
}

#[test]
fn a_carry_between_kinds_is_refused() {
    let codec = codec(BlockSpec::default(), FROM);
    let stored = codec.seal(FROM, b"rows").unwrap();
    let other = BlockId { kind: BlockKind(2), ..TO };
    let mut out = Vec::new();
    let refused = codec.carry_into(&codec, FROM, other, &stored, &mut out);
    assert_eq!(refused, Err(Error::WrongKind { expected: 2, found: 1 }));
}
