//! What parity promises to heal, it heals; what it cannot, it reports.
#![cfg(feature = "reed-solomon")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may panic, and prints its counts"
)]

use std::ops::Range;

use stratal_block::{
    BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Compression, Error, Frame,
    Outcome, Parity, Scrubbed, reidentify, scrub, verify,
};
use stratal_testkit::mutate::for_each_mutant;
use stratal_types::{FileUid, key_hash};

const ID: BlockId = BlockId { uid: FileUid([3; 16]), ordinal: 77, kind: BlockKind(5) };
const RS_4_2: Parity = Parity::ReedSolomon { data: 4, parity: 2 };
const SCHEMES: [Parity; 6] = [
    Parity::SecDed,
    Parity::Xor { data: 1 },
    Parity::Xor { data: 4 },
    Parity::ReedSolomon { data: 1, parity: 3 },
    RS_4_2,
    Parity::ReedSolomon { data: 10, parity: 3 },
];

/// Every damage in simple forms to blocks of several lengths. What is within the scheme's power is
/// healed, to the byte; the rest is healed, too, or an error.
#[test]
fn what_a_scheme_promises_it_heals() {
    for parity in SCHEMES {
        let codec = codec(parity, Checksum::Xxh3);
        let (mut promised, mut beyond, mut lost, mut turn) = (0u64, 0u64, 0u64, 0u64);
        for len in [0, 1, 9, 64, 300, 700] {
            let plain = noise(len, 1);
            let stored = codec.seal(ID, &plain).unwrap();
            let counts = for_each_mutant(&stored, |what, mutant| {
                // Every so often, as it costs a computation of the parity.
                turn += 1;
                let scrubs = turn.is_multiple_of(13);
                let within = is_within_power(parity, len, &stored, mutant);
                match codec.open(ID, mutant) {
                    Ok(opened) => {
                        assert_eq!(opened[..], plain, "{parity:?}, {len} bytes, {what}");
                        if scrubs {
                            let scrubbed = scrub(ID, mutant).unwrap();
                            assert_eq!(scrubbed, Scrubbed::Healed(stored.clone()), "{what}");
                        }
                        let whole = mutant[..24 + len] == stored[..24 + len];
                        assert_eq!(opened.outcome == Outcome::Clean, whole, "{what}");
                        beyond += u64::from(!within);
                    }
                    Err(error) => {
                        assert!(!within, "{parity:?}, {len} bytes, {what}: {error}");
                        assert!(!matches!(error, Error::InvalidArgument { .. }), "{error}");
                        assert!(!scrubs || scrub(ID, mutant).unwrap_err() == error, "{what}");
                        lost += 1;
                    }
                }
                promised += u64::from(within);
            });
            assert!(counts.total() > 0);
            assert_eq!(scrub(ID, &stored).unwrap(), Scrubbed::Clean);
        }
        println!(
            "{parity:?}: {promised} damages within its power, all healed and verified; of those \
             beyond, {beyond} healed and {lost} reported as lost"
        );
    }
}

/// As a device fails: 512 bytes at any offset, header, check and parity included.
#[test]
fn any_damaged_sector_of_a_4_kib_block_is_healed_by_reed_solomon_4_2() {
    for len in [4096, 5000] {
        let plain = noise(len, 2);
        let codec = codec(RS_4_2, Checksum::Xxh3);
        let stored = codec.seal(ID, &plain).unwrap();
        let mut mutant = stored.clone();
        let mut healed = 0;
        for at in 0..stored.len() {
            let sector = at..stored.len().min(at + 512);
            // Each offset once, with zeros or noise in turn; those of whole sectors with both.
            let fills = [vec![0; 512], noise(512, at as u64)];
            for (i, fill) in fills.iter().enumerate() {
                if at % 2 == i || at % 512 == 0 {
                    mutant[sector.clone()].copy_from_slice(&fill[..sector.len()]);
                    assert_eq!(codec.open(ID, &mutant).unwrap()[..], plain, "{at}");
                    if at % 16 == 0 {
                        assert_eq!(scrub(ID, &mutant).unwrap(), Scrubbed::Healed(stored.clone()));
                    }
                    healed += 1;
                }
            }
            mutant[sector.clone()].copy_from_slice(&stored[sector]);
        }
        println!("{len} bytes: {healed} damaged sectors, all healed");
    }
}

#[test]
fn any_shards_up_to_the_number_of_parity_are_made_anew() {
    for (data, parity) in
        [(1, 1), (2, 1), (3, 2), (4, 2), (2, 4), (5, 3), (8, 4), (16, 16), (31, 1)]
    {
        let scheme = Parity::ReedSolomon { data, parity };
        let codec = codec(scheme, Checksum::Xxh3);
        let plain = noise(3000, 3);
        let stored = codec.seal(ID, &plain).unwrap();
        let shards = shards(scheme, plain.len());
        let (mut healed, mut lost) = (0, 0);
        for choice in 0..400u64 {
            // Some shards, in some order; the first few are damaged, with header and check or not.
            let mut order: Vec<usize> = (0..shards.len()).collect();
            order.sort_by_key(|&i| {
                key_hash(&[choice.to_le_bytes(), (i as u64).to_le_bytes()].concat())
            });
            let damaged = 1 + choice as usize % (usize::from(parity) + 1);
            let mut mutant = stored.clone();
            if choice % 3 == 0 {
                mutant[..16].fill(0xee);
                mutant[16 + plain.len()..24 + plain.len()].fill(0xee);
            }
            let mut of_data = 0;
            for &i in &order[..damaged.min(order.len())] {
                of_data += usize::from(i < usize::from(data) && !shards[i].is_empty());
                mutant[shards[i].clone()].iter_mut().for_each(|byte| *byte ^= 0x5a);
            }
            match codec.open(ID, &mutant) {
                Ok(opened) => {
                    assert_eq!(opened[..], plain);
                    healed += 1;
                }
                Err(error) => {
                    assert!(damaged > usize::from(parity) && of_data > 0, "{damaged}: {error}");
                    assert!(matches!(error, Error::Lost { .. }), "{error}");
                    assert!(error.is_corruption());
                    lost += 1;
                }
            }
        }
        println!("{scheme:?}: {healed} healed, {lost} lost");
        assert!(healed > 100);
    }
}

#[test]
fn secded_heals_one_bit_in_every_word_at_once() {
    let codec = codec(Parity::SecDed, Checksum::Crc32c);
    let plain = noise(4096, 4);
    let stored = codec.seal(ID, &plain).unwrap();
    let mut mutant = stored.clone();
    for word in 0..512 {
        let bit = key_hash(&[word as u8, 1]) as usize % 72;
        match bit {
            0..64 => mutant[16 + 8 * word + bit / 8] ^= 1 << (bit % 8),
            _ => mutant[24 + 4096 + word] ^= 1 << (bit % 8),
        }
    }
    mutant[..16].fill(0);
    let opened = codec.open(ID, &mutant).unwrap();
    assert_eq!((&opened[..], opened.outcome), (&plain[..], Outcome::Healed));
    assert_eq!(scrub(ID, &mutant).unwrap(), Scrubbed::Healed(stored.clone()));

    mutant.copy_from_slice(&stored);
    mutant[16] ^= 3;
    assert_eq!(codec.open(ID, &mutant).unwrap_err(), Error::Lost { damaged: 1 });
}

#[test]
fn a_block_in_a_wrong_place_is_not_healed_into_it() {
    for parity in SCHEMES {
        let codec = codec(parity, Checksum::Xxh3);
        let stored = codec.seal(ID, &noise(500, 5)).unwrap();
        for damaged in [false, true] {
            let mut stored = stored.clone();
            stored[100] ^= u8::from(damaged);
            for place in [
                BlockId { ordinal: 78, ..ID },
                BlockId { uid: FileUid([4; 16]), ..ID },
                BlockId { kind: BlockKind(6), ..ID },
            ] {
                let error = codec.open(place, &stored).unwrap_err();
                assert!(
                    matches!(error, Error::Checksum { .. } | Error::WrongKind { .. }),
                    "{parity:?}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_block_with_parity_is_moved_on_purpose_with_all_its_copies() {
    for (parity, checksum) in SCHEMES
        .into_iter()
        .flat_map(|parity| [Checksum::Xxh3, Checksum::Crc32c].map(|checksum| (parity, checksum)))
    {
        let spec = BlockSpec { parity, checksum, ..BlockSpec::default() };
        let Ok(codec) = spec.resolve(&BlockContext::default()) else { continue };
        let to = BlockId { ordinal: 9, uid: FileUid([8; 16]), ..ID };
        let mut moved = codec.seal(ID, &noise(300, 6)).unwrap();
        reidentify(&mut moved, ID, to).unwrap();
        assert_eq!(moved, codec.seal(to, &noise(300, 6)).unwrap());

        // Damage to the tail is not made good by moving the block.
        let at = moved.len() - 20;
        moved[at] ^= 1;
        reidentify(&mut moved, to, ID).unwrap();
        let healed = Scrubbed::Healed(codec.seal(ID, &noise(300, 6)).unwrap());
        assert_eq!(scrub(ID, &moved).unwrap(), healed);
        moved[0] ^= 1;
        assert!(codec.open(ID, &moved).is_err());
    }
}

#[test]
fn blocks_with_parity_are_split_one_after_another() {
    let mut bytes = vec![];
    for parity in SCHEMES {
        codec(parity, Checksum::Xxh3).seal_into(ID, &noise(200, 7), &mut bytes).unwrap();
    }
    let mut rest = &bytes[..];
    for parity in SCHEMES {
        let (frame, behind) = Frame::split_from(rest).unwrap();
        frame.verify(ID).unwrap();
        assert_eq!(frame.header().parity, parity);
        assert_eq!(frame.trailer().len(), parity.overhead(200));
        assert_eq!(frame.header().frame_len(), rest.len() - behind.len());
        rest = behind;
    }
    assert!(rest.is_empty());
}

#[test]
fn numbers_of_shards_have_a_range() {
    let rs = |data, parity| Parity::ReedSolomon { data, parity };
    for (parity, valid) in [
        (Parity::Xor { data: 0 }, false),
        (Parity::Xor { data: 1 }, true),
        (Parity::Xor { data: 31 }, true),
        (Parity::Xor { data: 32 }, false),
        (rs(0, 1), false),
        (rs(1, 0), false),
        (rs(1, 31), true),
        (rs(31, 1), true),
        (rs(16, 17), false),
        (rs(255, 255), false),
    ] {
        let spec = BlockSpec { parity, ..BlockSpec::default() };
        let resolved = spec.resolve(&BlockContext::default());
        assert_eq!(resolved.is_ok(), valid, "{parity:?}");
        assert!(resolved.is_ok_and(|codec| codec.seal(ID, b"payload").is_ok()) == valid);
    }
    let spec = BlockSpec { parity: RS_4_2, checksum: Checksum::Crc32c, ..BlockSpec::default() };
    let error = spec.resolve(&BlockContext::default()).unwrap_err();
    assert_eq!(error.to_string(), "no parity: Reed-Solomon needs a check of 64 bits");
}

#[test]
fn a_healed_block_is_decoded_like_any_other() {
    let spec = BlockSpec { parity: RS_4_2, compression: Compression::Lz4, ..BlockSpec::default() };
    let codec = spec.resolve(&BlockContext::default()).unwrap();
    let plain = [&noise(900, 8)[..], &[0; 2000]].concat();
    let mut stored = codec.seal(ID, &plain).unwrap();
    assert!(verify(ID, &stored).unwrap().stored_len < 1000);
    stored[30..100].fill(0);
    assert!(verify(ID, &stored).is_err());
    let mut out = vec![];
    assert_eq!(codec.open_into(ID, &stored, &mut out).unwrap(), Outcome::Healed);
    assert_eq!(out, plain);
}

fn codec(parity: Parity, checksum: Checksum) -> BlockCodec {
    let checksum = match parity {
        Parity::ReedSolomon { .. } => Checksum::Xxh3,
        _ => checksum,
    };
    let spec = BlockSpec { parity, checksum, ..BlockSpec::default() };
    spec.resolve(&BlockContext::default()).unwrap()
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let word = |i: u64| key_hash(&[seed.to_le_bytes(), i.to_le_bytes()].concat()).to_le_bytes();
    (0..).flat_map(word).take(len).collect()
}

/// Where the shards of a raw payload lie in its block, those of data first, by the format's words.
fn shards(parity: Parity, len: usize) -> Vec<Range<usize>> {
    let (data, count) = match parity {
        Parity::Xor { data } => (usize::from(data), 1),
        Parity::ReedSolomon { data, parity } => (usize::from(data), usize::from(parity)),
        _ => return vec![],
    };
    let shard = len.div_ceil(data).next_multiple_of(64);
    let data = (0..data).map(|i| 16 + len.min(i * shard)..16 + len.min((i + 1) * shard));
    let parity = (0..count).map(|i| 24 + len + i * shard..24 + len + (i + 1) * shard);
    data.chain(parity).collect()
}

/// The promise of FORMAT.md, looked at from outside.
fn is_within_power(parity: Parity, len: usize, stored: &[u8], mutant: &[u8]) -> bool {
    if mutant.len() != stored.len() {
        return false;
    }
    let differs = |range: Range<usize>| mutant[range.clone()] != stored[range];
    if !differs(0..24 + len) {
        return true;
    }
    let shards = shards(parity, len);
    let tail = 36 + 4 * shards.len();
    if differs(stored.len() - tail..stored.len()) {
        return false;
    }
    match parity {
        Parity::SecDed => (0..len.div_ceil(8)).all(|word| {
            let bytes = (16 + 8 * word..16 + len.min(8 * word + 8)).chain([24 + len + word]);
            bytes.map(|at| (mutant[at] ^ stored[at]).count_ones()).sum::<u32>() <= 1
        }),
        Parity::Xor { .. } => {
            shards.into_iter().filter(|shard| differs(shard.clone())).count() <= 1
        }
        Parity::ReedSolomon { parity, .. } => {
            let damaged = shards.into_iter().filter(|shard| differs(shard.clone())).count();
            damaged <= usize::from(parity)
        }
        _ => false,
    }
}
