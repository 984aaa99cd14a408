//! Encrypted blocks open with their key, in their place, and in no other way.
#![cfg(all(feature = "aes-gcm", feature = "chacha20poly1305"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and prints its counts"
)]

use proptest::prelude::*;
use stratal_block::{
    BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Compression, Error, FileKey,
    FileKeyInfo, Frame, RootKey, Seal, reidentify, verify,
};
use stratal_types::{DbId, FileUid};
use xxhash_rust::xxh3::xxh3_64;

const INFO: FileKeyInfo =
    FileKeyInfo { db_id: DbId([5; 16]), kind: 1, uid: FileUid([3; 16]), salt: [9; 32] };
const ID: BlockId = BlockId { uid: INFO.uid, ordinal: 77, kind: BlockKind(5) };
const SEALS: [Seal; 2] = [Seal::Aes256Gcm, Seal::ChaCha20Poly1305];

fn key(info: FileKeyInfo) -> FileKey {
    FileKey::derive(&RootKey::new(1, [1; 32]), &info)
}

fn codec_with(spec: BlockSpec, key: Option<FileKey>) -> BlockCodec {
    spec.resolve(&BlockContext { key, ..BlockContext::default() }).unwrap()
}

fn codec(seal: Seal, compression: Compression) -> BlockCodec {
    let spec = BlockSpec { seal, compression, ..BlockSpec::default() };
    codec_with(spec, Some(key(INFO)))
}

fn compressions() -> Vec<Compression> {
    let mut all = vec![Compression::None, Compression::Lz4];
    if cfg!(feature = "zstd") {
        all.push(Compression::Zstd { level: 3 });
    }
    all
}

/// The check made to fit the block that `id` names: what somebody without the key can do.
fn forge(stored: &mut [u8], id: BlockId) {
    let (covered, check) = stored.split_last_chunk_mut().unwrap();
    let identity = [&id.uid.0[..], &id.ordinal.to_le_bytes(), &[id.kind.0]].concat();
    *check = (xxh3_64(covered) ^ xxh3_64(&identity)).to_le_bytes();
}

proptest! {
    #[test]
    fn what_is_sealed_opens(
        seal in prop::sample::select(SEALS.to_vec()),
        compression in prop::sample::select(compressions()),
        ordinal in 0..FileKey::ORDINAL_END,
        plain in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            (prop::collection::vec(any::<u8>(), 1..20), 0..400usize).prop_map(|(v, n)| v.repeat(n)),
        ],
        before in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let (codec, id) = (codec(seal, compression), BlockId { ordinal, ..ID });
        let mut stored = before.clone();
        codec.seal_into(id, &plain, &mut stored).unwrap();
        prop_assert_eq!(&stored[..before.len()], &before[..]);
        let stored = &stored[before.len()..];
        prop_assert_eq!(stored, &codec.seal(id, &plain).unwrap()[..]);
        prop_assert!(stored.len() <= plain.len() + Frame::OVERHEAD + usize::from(seal.overhead()));
        prop_assert_eq!(verify(id, stored).unwrap().plain_len as usize, plain.len());

        prop_assert_eq!(&codec.open(id, stored).unwrap()[..], &plain[..]);
        let mut opened = before;
        codec.open_into(id, stored, &mut opened).unwrap();
        prop_assert_eq!(&opened, &plain);

        let reader = codec_with(BlockSpec::default(), Some(key(INFO)));
        prop_assert_eq!(&reader.open(id, stored).unwrap()[..], &plain[..]);
    }
}

#[test]
fn what_is_stored_tells_nothing_of_the_payload() {
    let plain = b"a secret of a length that does not come up by chance".repeat(9);
    for seal in SEALS {
        let sealed = |salt| {
            let key = key(FileKeyInfo { salt, ..INFO });
            let spec = BlockSpec { seal, ..BlockSpec::default() };
            codec_with(spec, Some(key)).seal(ID, &plain).unwrap()
        };
        let (one, other) = (sealed([1; 32]), sealed([2; 32]));
        for pair in plain.windows(4).step_by(5) {
            assert!(!one.windows(4).any(|stored| stored == pair));
        }
        let payload = |stored: &[u8]| stored[16..].as_chunks::<4>().0[..100].to_vec();
        let same = payload(&one).iter().zip(payload(&other)).filter(|(a, b)| **a == *b).count();
        assert_eq!(same, 0, "another salt is another key");
    }
}

/// Of each block, in every other place, with the check as it was and with one that fits.
#[test]
fn a_block_moved_to_another_ordinal_kind_or_file_never_opens() {
    let mut counts = [0, 0];
    for (seal, compression) in SEALS
        .into_iter()
        .flat_map(|seal| compressions().into_iter().map(move |compression| (seal, compression)))
    {
        let blocks = |info: FileKeyInfo| {
            let spec = BlockSpec { seal, compression, ..BlockSpec::default() };
            let codec = codec_with(spec, Some(key(info)));
            let ids = (0..6).flat_map(|ordinal| [1, 2].map(|kind| (ordinal, BlockKind(kind))));
            let ids = ids.map(|(ordinal, kind)| BlockId { uid: info.uid, ordinal, kind });
            (codec, ids.collect::<Vec<_>>())
        };
        let other = FileKeyInfo { uid: FileUid([4; 16]), ..INFO };
        let same_uid = FileKeyInfo { salt: [8; 32], ..INFO };
        let files = [blocks(INFO), blocks(other), blocks(same_uid)];
        for (from, (codec, ids)) in files.iter().enumerate() {
            for id in ids {
                let stored = codec.seal(*id, &[7; 300]).unwrap();
                for (to, (reader, places)) in files.iter().enumerate() {
                    for place in places.iter().filter(|&place| (from, id) != (to, place)) {
                        let error = reader.open(*place, &stored).unwrap_err();
                        assert!(error.is_corruption(), "{error}");
                        let mut forged = stored.clone();
                        forged[3] = place.kind.0;
                        forge(&mut forged, *place);
                        let broken = Error::SealBroken { ordinal: place.ordinal };
                        assert_eq!(reader.open(*place, &forged).unwrap_err(), broken);
                        counts[0] += 1;
                        counts[1] += 1;
                    }
                }
            }
        }
    }
    let [moved, forged] = counts;
    println!("{moved} blocks moved, {forged} of them with a check that fits: none opened");
}

#[test]
fn whatever_of_a_block_is_changed_breaks_its_seal_though_the_check_fits() {
    for seal in SEALS {
        for compression in compressions() {
            let codec = codec(seal, compression);
            let stored = codec.seal(ID, &b"some payload ".repeat(40)).unwrap();
            let mut broken = 0;
            for at in 0..stored.len() - 8 {
                for bit in 0..8 {
                    let mut forged = stored.clone();
                    forged[at] ^= 1 << bit;
                    forge(&mut forged, ID);
                    let error = codec.open(ID, &forged).unwrap_err();
                    broken += usize::from(matches!(error, Error::SealBroken { .. }));
                    assert!(at < 16 || matches!(error, Error::SealBroken { .. }), "{at}: {error}");
                }
            }
            println!("{seal:?}, {compression:?}: {broken} of {} broken", (stored.len() - 8) * 8);
        }
    }
}

#[test]
fn keys_are_asked_for_and_wrong_ones_refused() {
    for seal in SEALS {
        let stored = codec(seal, Compression::Lz4).seal(ID, &[7; 300]).unwrap();
        let open = |key| codec_with(BlockSpec::default(), key).open(ID, &stored).map(|_| ());
        assert_eq!(open(Some(key(INFO))), Ok(()));
        assert_eq!(open(None), Err(Error::KeyNeeded { epoch: None }));
        let foreign = FileKeyInfo { uid: FileUid([4; 16]), ..INFO };
        assert_eq!(open(Some(key(foreign))), Err(Error::WrongKey { epoch: 1 }));
        let other_root = FileKey::derive(&RootKey::new(2, [2; 32]), &INFO);
        assert_eq!(open(Some(other_root)), Err(Error::SealBroken { ordinal: 77 }));
        let other_kind = FileKeyInfo { kind: 2, ..INFO };
        assert_eq!(open(Some(key(other_kind))), Err(Error::SealBroken { ordinal: 77 }));

        let spec = BlockSpec { seal, ..BlockSpec::default() };
        let error = spec.resolve(&BlockContext::default()).unwrap_err();
        assert_eq!(error.to_string(), "sealed, and no key was given");
        let misused = codec_with(spec, Some(key(foreign)));
        assert_eq!(misused.seal(ID, &[7; 300]), Err(Error::WrongKey { epoch: 1 }));
        assert!(!Error::WrongKey { epoch: 1 }.is_corruption());
    }
}

/// Whoever has no key can still make blocks whose check holds.
#[test]
fn a_block_in_the_clear_does_not_pass_where_there_is_a_key() {
    let clear = codec_with(BlockSpec::default(), None).seal(ID, b"made up").unwrap();
    assert!(verify(ID, &clear).is_ok());
    for seal in SEALS {
        let reader = codec(seal, Compression::None);
        assert_eq!(reader.open(ID, &clear).unwrap_err(), Error::NotSealed);
        assert_eq!(reader.open_into(ID, &clear, &mut vec![]).unwrap_err(), Error::NotSealed);
    }
    let forgotten = codec_with(BlockSpec::default(), Some(key(INFO)));
    assert_eq!(forgotten.seal(ID, b"a secret").unwrap_err(), Error::NotSealed);
    assert!(Error::NotSealed.is_corruption());
}

#[test]
fn a_file_has_at_most_two_to_the_32_sealed_blocks() {
    let codec = codec(Seal::Aes256Gcm, Compression::None);
    for (ordinal, valid) in [(u64::from(u32::MAX), true), (1 << 32, false), (u64::MAX, false)] {
        let id = BlockId { ordinal, ..ID };
        let mut out = vec![1, 2, 3];
        let outcome = codec.seal_into(id, b"payload", &mut out);
        assert_eq!(outcome.is_ok(), valid, "{outcome:?}");
        if let Err(error) = outcome {
            assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
            assert_eq!(out, [1, 2, 3]);
        }
    }
}

#[test]
fn a_sealed_block_is_not_moved_on_purpose_either() {
    let mut stored = codec(Seal::Aes256Gcm, Compression::None).seal(ID, b"payload").unwrap();
    let to = BlockId { ordinal: 78, ..ID };
    assert_eq!(reidentify(&mut stored, ID, to), Err(Error::Sealed));
    assert!(verify(ID, &stored).is_ok());
}

#[test]
fn a_sealed_block_is_sealed_the_same_way_again() {
    for seal in SEALS {
        let spec = BlockSpec { seal, checksum: Checksum::Crc32c, ..BlockSpec::default() };
        let seal = || codec_with(spec, Some(key(INFO))).seal(ID, b"payload").unwrap();
        assert_eq!(seal(), seal());
    }
}
