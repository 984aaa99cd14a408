//! What is sealed opens, under its own identity and no other.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use std::borrow::Cow;

use proptest::prelude::*;
use stratal_block::{
    BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Codec, Compression, Error,
    Frame, FrameHeader, Limits, Outcome, Parity, Payload, Seal, reidentify, verify,
};
use stratal_types::FileUid;
use xxhash_rust::xxh3::xxh3_64;

const ID: BlockId = BlockId { uid: FileUid([3; 16]), ordinal: 77, kind: BlockKind(5) };

fn codec(checksum: Checksum, compression: Compression) -> BlockCodec {
    BlockSpec { checksum, compression, ..BlockSpec::default() }
        .resolve(&BlockContext::default())
        .unwrap()
}

fn with_limits(compression: Compression, limits: Limits) -> BlockCodec {
    let spec = BlockSpec { compression, ..BlockSpec::default() };
    spec.resolve(&BlockContext { limits, ..BlockContext::default() }).unwrap()
}

fn specs() -> impl Strategy<Value = BlockSpec> {
    let checksum = prop::sample::select(vec![Checksum::Xxh3, Checksum::Crc32c]);
    let mut compressions = vec![Compression::None, Compression::Lz4];
    if cfg!(feature = "zstd") {
        compressions.extend([-5, 1, 3, 9, 22].map(|level| Compression::Zstd { level }));
    }
    (checksum, prop::sample::select(compressions)).prop_map(|(checksum, compression)| BlockSpec {
        checksum,
        compression,
        ..BlockSpec::default()
    })
}

fn ids() -> impl Strategy<Value = BlockId> {
    (any::<[u8; 16]>(), any::<u64>(), any::<u8>()).prop_map(|(uid, ordinal, kind)| BlockId {
        uid: FileUid(uid),
        ordinal,
        kind: BlockKind(kind),
    })
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3000),
        (prop::collection::vec(any::<u8>(), 1..20), 0..400usize).prop_map(|(v, n)| v.repeat(n)),
    ]
}

/// The check as the format describes it, by another hash implementation.
fn check_of(id: BlockId, covered: &[u8]) -> u64 {
    let identity = [&id.uid.0[..], &id.ordinal.to_le_bytes(), &[id.kind.0]].concat();
    xxh3_64(covered) ^ xxh3_64(&identity)
}

proptest! {
    #[test]
    fn what_is_sealed_opens(spec in specs(), id in ids(), plain in payloads(), before in payloads()) {
        let codec = spec.resolve(&BlockContext::default()).unwrap();
        let stored = codec.seal(id, &plain).unwrap();
        prop_assert_eq!(&codec.open(id, &stored).unwrap()[..], &plain[..]);
        prop_assert!(stored.len() <= plain.len() + Frame::OVERHEAD);

        let mut out = before.clone();
        let added = codec.seal_into(id, &plain, &mut out).unwrap();
        prop_assert_eq!(&out[..before.len()], &before[..]);
        prop_assert_eq!(&out[before.len()..], &stored[..]);
        prop_assert_eq!(added, stored.len());

        let mut opened = before;
        codec.open_into(id, &stored, &mut opened).unwrap();
        prop_assert_eq!(opened, plain);
    }

    #[test]
    fn memory_that_a_block_opens_in_may_hold_anything_but_has_its_length(
        spec in specs(), id in ids(), plain in payloads(), is_longer in any::<bool>(),
    ) {
        let codec = spec.resolve(&BlockContext::default()).unwrap();
        let stored = codec.seal(id, &plain).unwrap();
        let (payload, outcome) = codec.open_with(id, &stored, |len| vec![0xa5; len]).unwrap();
        prop_assert_eq!(outcome, Outcome::Clean);
        let is_lent = match payload {
            Payload::Lent(lent) => {
                prop_assert_eq!(lent, &plain[..]);
                true
            }
            Payload::Made(made) => {
                prop_assert_eq!(made, plain);
                false
            }
        };
        let other = |len: usize| vec![0; if is_longer { len + 1 } else { len.saturating_sub(1) }];
        match codec.open_with(id, &stored, other) {
            Ok((Payload::Lent(_), _)) => prop_assert!(is_lent),
            Ok((Payload::Made(made), _)) => prop_assert!(made.is_empty() && !is_longer),
            Err(error) => prop_assert!(matches!(error, Error::LengthMismatch { .. }), "{}", error),
        }
    }

    #[test]
    fn a_block_does_not_open_as_another(spec in specs(), id in ids(), other in ids(), plain in payloads()) {
        let codec = spec.resolve(&BlockContext::default()).unwrap();
        let stored = codec.seal(id, &plain).unwrap();
        let near = [
            BlockId { uid: other.uid, ..id },
            BlockId { ordinal: other.ordinal, ..id },
            BlockId { ordinal: id.ordinal ^ 1, ..id },
            BlockId { kind: BlockKind(id.kind.0 ^ 1), ..id },
        ];
        for other in near.into_iter().filter(|&other| other != id) {
            prop_assert!(codec.open(other, &stored).unwrap_err().is_corruption());
        }
    }

    #[test]
    fn a_block_can_be_moved_on_purpose(spec in specs(), id in ids(), other in ids(), plain in payloads()) {
        let codec = spec.resolve(&BlockContext::default()).unwrap();
        let to = BlockId { kind: id.kind, ..other };
        let mut moved = codec.seal(id, &plain).unwrap();
        reidentify(&mut moved, id, to).unwrap();
        prop_assert_eq!(moved, codec.seal(to, &plain).unwrap());
    }

    #[test]
    fn the_check_is_what_the_format_says(id in ids(), plain in payloads()) {
        let stored = codec(Checksum::Xxh3, Compression::Lz4).seal(id, &plain).unwrap();
        let (covered, check) = stored.split_last_chunk().unwrap();
        prop_assert_eq!(u64::from_le_bytes(*check), check_of(id, covered));
    }

    #[test]
    fn frames_are_split_one_after_another(plains in prop::collection::vec(payloads(), 1..5)) {
        let codec = codec(Checksum::Xxh3, Compression::Lz4);
        let mut bytes = vec![];
        for plain in &plains {
            codec.seal_into(ID, plain, &mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        for plain in &plains {
            let (frame, behind) = Frame::split_from(rest).unwrap();
            frame.verify(ID).unwrap();
            prop_assert_eq!(frame.header().plain_len as usize, plain.len());
            prop_assert_eq!(frame.header().frame_len(), rest.len() - behind.len());
            rest = behind;
        }
        prop_assert!(rest.is_empty());
    }
}

#[test]
fn a_payload_stored_as_it_is_is_lent() {
    let codec = codec(Checksum::Xxh3, Compression::None);
    let stored = codec.seal(ID, b"payload").unwrap();
    let opened = codec.open(ID, &stored).unwrap();
    assert!(matches!(opened.payload, Cow::Borrowed(b"payload")));
}

#[test]
fn a_payload_that_does_not_shrink_by_an_eighth_is_stored_as_it_is() {
    let noise: Vec<u8> =
        (0..512u64).flat_map(|i| xxh3_64(&i.to_le_bytes()).to_le_bytes()).collect();
    for zeros in [0usize, 300, 500, 700, 4000] {
        let plain = [&vec![0; zeros][..], &noise].concat();
        let stored = codec(Checksum::Xxh3, Compression::Lz4).seal(ID, &plain).unwrap();
        let header = verify(ID, &stored).unwrap();
        let worthwhile = header.stored_len as usize * 8 <= plain.len() * 7;
        assert_eq!(header.codec == Codec::Lz4, worthwhile, "{zeros} zeros: {header:?}");
        assert_eq!(worthwhile, zeros > 600, "{zeros} zeros: {header:?}");
    }
}

#[test]
fn readers_follow_the_header_and_not_their_own_spec() {
    let plain = [9; 500];
    let stored = codec(Checksum::Crc32c, Compression::Lz4).seal(ID, &plain).unwrap();
    let reader = codec(Checksum::Xxh3, Compression::None);
    assert_eq!(reader.open(ID, &stored).unwrap()[..], plain);
}

#[test]
fn the_upper_half_of_a_crc_check_is_zero_and_checked() {
    let codec = codec(Checksum::Crc32c, Compression::None);
    let mut stored = codec.seal(ID, b"payload").unwrap();
    let at = stored.len() - 4;
    assert_eq!(stored[at..], [0; 4]);
    stored[at + 3] = 1;
    assert!(matches!(codec.open(ID, &stored), Err(Error::Checksum { .. })));
}

#[test]
fn bytes_behind_a_frame_are_an_error_unless_it_is_split_off() {
    let codec = codec(Checksum::Xxh3, Compression::None);
    let mut stored = codec.seal(ID, b"payload").unwrap();
    stored.push(0);
    let error = codec.open(ID, &stored).unwrap_err();
    assert_eq!(error.to_string(), "frame is 32 bytes, expected 31");
    assert!(error.is_corruption());
    assert_eq!(Frame::split_from(&stored).unwrap().1, [0]);
}

#[test]
fn newer_blocks_are_unsupported_and_not_corrupt() {
    let stored = codec(Checksum::Xxh3, Compression::None).seal(ID, b"payload").unwrap();
    for (at, value, message) in [
        (2, 2, "block version 0x2 is not supported by this build"),
        (4, 4, "block codec 0x4 is not supported by this build"),
        (5, 0x86, "block flags 0x86 is not supported by this build"),
        (7, 1, "block shards 0x100 is not supported by this build"),
    ] {
        let mut newer = stored.clone();
        newer[at] = value;
        let error = verify(ID, &newer).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(!error.is_corruption());
    }
}

#[test]
fn an_absurd_length_is_refused_before_anything_is_allocated() {
    let header = |codec, stored_len, plain_len| FrameHeader {
        kind: ID.kind,
        codec,
        checksum: Checksum::Xxh3,
        seal: Seal::None,
        parity: Parity::None,
        stored_len,
        plain_len,
    };
    let frame = |header: FrameHeader, payload: &[u8]| {
        let mut covered = vec![];
        header.encode_into(&mut covered);
        covered.extend_from_slice(payload);
        [&covered[..], &check_of(ID, &covered).to_le_bytes()].concat()
    };
    let refused = |codec: &BlockCodec, header, payload: &[u8]| {
        let error = codec.open(ID, &frame(header, payload)).unwrap_err();
        assert!(matches!(error, Error::TooLong { field: "plain_len", .. }), "{error}");
        assert!(error.is_corruption());
    };
    let default = codec(Checksum::Xxh3, Compression::None);
    refused(&default, header(Codec::Lz4, 1, u32::MAX), &[0]);
    refused(&default, header(Codec::Zstd, 10, 10 << 15 | 1), &[0; 10]);

    let narrow = Limits { plain_len_max: 100, ratio_max: 4 };
    let narrow = with_limits(Compression::None, narrow);
    refused(&narrow, header(Codec::None, 101, 101), &[0; 101]);
    refused(&narrow, header(Codec::Lz4, 10, 41), &[0; 10]);
    let error = narrow.seal(ID, &[0; 101]).unwrap_err();
    assert_eq!(error.to_string(), "plain_len is 101, allowed are 0 to 100");
    assert!(!error.is_corruption());
}

#[test]
fn a_payload_that_is_too_long_leaves_what_stood_before_it() {
    let limits = Limits { plain_len_max: 100, ..Limits::default() };
    for compression in [Compression::None, Compression::Lz4] {
        let codec = with_limits(compression, limits);
        let mut out = b"before".to_vec();
        let error = codec.seal_into(ID, &[0; 101], &mut out).unwrap_err();
        assert_eq!(out, b"before");
        let write = |out: &mut Vec<u8>| out.extend_from_slice(&[0; 101]);
        assert_eq!(codec.seal_written(ID, write, &mut Vec::new(), &mut out), Err(error));
        assert_eq!(out, b"before");
    }
}

#[test]
fn what_is_sealed_under_limits_opens_under_them() {
    let plain = vec![0; 100_000];
    for ratio_max in [1, 10, 100, 1 << 15] {
        let limits = Limits { ratio_max, ..Limits::default() };
        let codec = with_limits(Compression::Lz4, limits);
        let stored = codec.seal(ID, &plain).unwrap();
        assert_eq!(codec.open(ID, &stored).unwrap()[..], plain[..], "{ratio_max}");
    }
}

#[cfg(feature = "zstd")]
#[test]
fn the_default_ratio_admits_what_zstd_makes_of_zeros() {
    let plain = vec![0; 64 << 20];
    let codec = codec(Checksum::Xxh3, Compression::Zstd { level: 3 });
    let stored = codec.seal(ID, &plain).unwrap();
    assert_eq!(verify(ID, &stored).unwrap().codec, Codec::Zstd);
    assert_eq!(codec.open(ID, &stored).unwrap().len(), plain.len());
}

#[cfg(feature = "zstd")]
#[test]
fn levels_of_zstd_have_a_range() {
    for (level, valid) in [(-6, false), (-5, true), (0, true), (22, true), (23, false)] {
        let spec = BlockSpec { compression: Compression::Zstd { level }, ..BlockSpec::default() };
        let resolved = spec.resolve(&BlockContext::default());
        assert_eq!(resolved.is_ok(), valid, "{level}");
        if let Err(error) = resolved {
            assert!(!error.is_corruption(), "{error}");
        }
    }
}

#[cfg(feature = "zstd")]
#[test]
fn a_dictionary_is_found_by_its_name() {
    let row = |i: u64| format!("\"station\": {}, \"country\": \"AD\", \"state\": \"open\"", i * 77);
    let samples: Vec<String> = (0..2000).map(row).collect();
    let trained = stratal_block::Dictionary::train(&samples, 2000).unwrap();
    assert_eq!(stratal_block::Dictionary::train(&samples, 2000).unwrap().bytes(), trained.bytes());
    let other = stratal_block::Dictionary::new(&[b'x'; 100]).unwrap();

    let compression = Compression::ZstdDictionary { level: 3, id: trained.id() };
    let spec = BlockSpec { compression, ..BlockSpec::default() };
    let resolve = |spec: BlockSpec, dictionaries| {
        spec.resolve(&BlockContext { dictionaries, ..BlockContext::default() })
    };
    let missing = Error::MissingDictionary { id: trained.id() };
    assert_eq!(resolve(spec, vec![other.clone()]).unwrap_err(), missing);

    let both = vec![other.clone(), stratal_block::Dictionary::new(trained.bytes()).unwrap()];
    let codec = resolve(spec, both).unwrap();
    let plain = row(2001);
    let stored = codec.seal(ID, plain.as_bytes()).unwrap();
    let header = verify(ID, &stored).unwrap();
    assert_eq!(header.codec, Codec::ZstdDictionary(trained.id()));
    assert_eq!(header.frame_len(), stored.len());
    assert!(header.stored_len < 30, "without a dictionary it would be about 60: {header:?}");
    assert_eq!(codec.open(ID, &stored).unwrap()[..], *plain.as_bytes());

    let reader = resolve(BlockSpec::default(), vec![other]).unwrap();
    assert_eq!(reader.open(ID, &stored).unwrap_err(), missing);
    assert!(!missing.is_corruption());
    assert!(missing.to_string().contains(&trained.id().to_string()));
}

#[cfg(not(feature = "zstd"))]
#[test]
fn zstd_that_is_not_compiled_in_is_named() {
    let spec = BlockSpec { compression: Compression::Zstd { level: 3 }, ..BlockSpec::default() };
    let error = spec.resolve(&BlockContext::default()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: "zstd", .. }));
}

#[test]
fn a_codec_is_shared_by_threads() {
    let compression =
        if cfg!(feature = "zstd") { Compression::Zstd { level: 3 } } else { Compression::Lz4 };
    let codec = codec(Checksum::Xxh3, compression);
    let expected = codec.seal(ID, &[1; 5000]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(codec.seal(ID, &[1; 5000]).unwrap(), expected);
                    assert_eq!(codec.open(ID, &expected).unwrap()[..], [1; 5000]);
                }
            });
        }
    });
}

#[test]
fn a_block_moves_within_its_kind_only() {
    let mut stored = codec(Checksum::Xxh3, Compression::None).seal(ID, b"payload").unwrap();
    let other = BlockId { kind: BlockKind(6), ..ID };
    for (from, to) in [(ID, other), (other, ID)] {
        let error = reidentify(&mut stored, from, to).unwrap_err();
        assert_eq!(error, Error::WrongKind { expected: 6, found: 5 });
    }
    assert!(verify(ID, &stored).is_ok());
}
