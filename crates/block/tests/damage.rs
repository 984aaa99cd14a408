//! Every simple damage to blocks of every spec: the same answer, an error, or a healed block.
//!
//! The corpus is each checksum with each compression, seal and parity, on payloads of several
//! lengths. `cargo test -p stratal-block --test damage -- --nocapture` prints the counts.
#![cfg(all(
    feature = "zstd",
    feature = "aes-gcm",
    feature = "chacha20poly1305",
    feature = "reed-solomon"
))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and prints its counts"
)]

use stratal_block::{
    BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Compression, Dictionary,
    Error, FileKey, FileKeyInfo, Frame, Limits, Outcome, Parity, RootKey, Seal, scrub,
};
use stratal_testkit::mutate::{Counts, SECTOR_LEN, for_each_mutant};
use stratal_types::{DbId, FileUid, key_hash};

const UID: FileUid = FileUid([3; 16]);
const ID: BlockId = BlockId { uid: UID, ordinal: 77, kind: BlockKind(5) };
const ELSEWHERE: [BlockId; 3] = [
    BlockId { ordinal: 78, ..ID },
    BlockId { uid: FileUid([4; 16]), ..ID },
    BlockId { kind: BlockKind(6), ..ID },
];

#[test]
fn blocks_without_parity() {
    damage(Parity::None, &[0, 13, 1300]);
}

#[test]
fn blocks_with_secded() {
    damage(Parity::SecDed, &[0, 13, 900]);
}

#[test]
fn blocks_with_xor() {
    damage(Parity::Xor { data: 3 }, &[0, 13, 900]);
}

/// Shorter, as each repair computes for a quarter of a millisecond.
#[test]
fn blocks_with_reed_solomon() {
    damage(Parity::ReedSolomon { data: 3, parity: 2 }, &[0, 13, 250]);
}

#[derive(Default)]
struct Answers {
    clean: u64,
    healed: u64,
    refused: u64,
    moved: u64,
    sectors: u64,
}

fn damage(parity: Parity, lens: &[usize]) {
    let mut counts = Counts::default();
    let mut answers = Answers::default();
    let specs = specs(parity);
    for &spec in &specs {
        let codec = codec(spec);
        for &len in lens {
            damage_one(&codec, len, &mut counts, &mut answers);
        }
    }
    let Answers { clean, healed, refused, moved, sectors } = answers;
    println!(
        "{parity:?}, {} specs, {} lengths: {counts}, and {sectors} foreign sectors: {clean} read as \
         before, {healed} healed, {refused} refused, none wrong; {moved} openings elsewhere, none \
         successful",
        specs.len(),
        lens.len()
    );
    assert!(counts.total() > 30_000 && refused > 0);
    assert_eq!(parity == Parity::None, healed == 0);
}

fn damage_one(codec: &BlockCodec, len: usize, counts: &mut Counts, answers: &mut Answers) {
    let what = codec.spec();
    let plain = text(len, 1);
    let stored = codec.seal(ID, &plain).unwrap();
    let mut out = Vec::new();
    let mut turn = 0u32;
    let mut check = |damage: &dyn std::fmt::Display, mutant: &[u8]| {
        match codec.open_into(ID, mutant, &mut out) {
            Ok(outcome) => {
                assert_eq!(out, plain, "{what:?}, {len} bytes, {damage}");
                match outcome {
                    Outcome::Clean => answers.clean += 1,
                    Outcome::Healed => answers.healed += 1,
                }
            }
            Err(error) => {
                assert!(!matches!(error, Error::InvalidArgument { .. }), "{what:?}: {error}");
                answers.refused += 1;
            }
        }
        turn += 1;
        for elsewhere in ELSEWHERE {
            // Each costs a repair where there is parity.
            if what.parity == Parity::None || turn.is_multiple_of(97) {
                assert!(codec.open(elsewhere, mutant).is_err(), "{what:?}, {damage}");
                answers.moved += 1;
            }
        }
    };
    *counts += for_each_mutant(&stored, |mutation, mutant| check(&mutation, mutant));

    // Sectors of the same place in an older version, and in another block. (A whole older version
    // has the right identity: no check can tell. Files are written once for that reason.)
    let older = codec.seal(ID, &text(len, 2)).unwrap();
    let other = BlockId { ordinal: 1, ..ID };
    for foreign in [older, codec.seal(other, &plain).unwrap()] {
        for at in (0..stored.len().min(foreign.len())).step_by(SECTOR_LEN) {
            let mut mutant = stored.clone();
            let end = mutant.len().min(foreign.len()).min(at + SECTOR_LEN);
            mutant[at..end].copy_from_slice(&foreign[at..end]);
            let (whole, _) = Frame::split_from(&foreign).unwrap();
            let whole = foreign.len() - whole.trailer().len();
            if mutant != stored && !mutant.starts_with(&foreign[..whole]) {
                check(&format_args!("sector at {at} of another block"), &mutant);
                answers.sectors += 1;
            }
        }
    }
    for elsewhere in ELSEWHERE {
        assert!(codec.open(elsewhere, &stored).is_err());
        assert!(scrub(elsewhere, &stored).is_err());
    }
}

/// With damage that somebody made the check fit, what opens is as long as its header says, and
/// nothing panics or takes more memory than the limits allow.
#[test]
fn damage_with_a_check_that_fits() {
    let limits = Limits { plain_len_max: 1 << 16, ratio_max: 1 << 10 };
    let (mut opened, mut refused) = (0u64, 0u64);
    for spec in specs(Parity::None).into_iter().filter(|spec| spec.checksum == Checksum::Xxh3) {
        let codec = spec.resolve(&BlockContext { limits, ..context(spec.seal) }).unwrap();
        let stored = codec.seal(ID, &text(700, 1)).unwrap();
        let mut out = Vec::new();
        for_each_mutant(&stored, |damage, mutant| {
            let mut mutant = mutant.to_vec();
            if let Err(Error::Checksum { expected, .. }) = stratal_block::verify(ID, &mutant) {
                *mutant.last_chunk_mut().unwrap() = expected.to_le_bytes();
            }
            match codec.open_into(ID, &mutant, &mut out) {
                Ok(_) => {
                    opened += 1;
                    let header = stratal_block::verify(ID, &mutant).unwrap();
                    assert_eq!(out.len(), header.plain_len as usize, "{spec:?}, {damage}");
                    assert!(spec.seal == Seal::None || out == text(700, 1), "{spec:?}, {damage}");
                }
                Err(_) => refused += 1,
            }
        });
    }
    println!("damage with a check that fits: {opened} opened, {refused} refused");
}

fn specs(parity: Parity) -> Vec<BlockSpec> {
    let dictionary = dictionary().id();
    let mut specs = Vec::new();
    for checksum in [Checksum::Xxh3, Checksum::Crc32c] {
        for compression in [
            Compression::None,
            Compression::Lz4,
            Compression::Zstd { level: 3 },
            Compression::ZstdDictionary { level: 3, id: dictionary },
        ] {
            for seal in [Seal::None, Seal::Aes256Gcm, Seal::ChaCha20Poly1305] {
                specs.push(BlockSpec { checksum, compression, seal, parity });
            }
        }
    }
    specs.retain(|spec| spec.resolve(&context(spec.seal)).is_ok());
    assert_eq!(specs.len(), if matches!(parity, Parity::ReedSolomon { .. }) { 12 } else { 24 });
    specs
}

fn codec(spec: BlockSpec) -> BlockCodec {
    spec.resolve(&context(spec.seal)).unwrap()
}

fn context(seal: Seal) -> BlockContext {
    let info = FileKeyInfo { db_id: DbId([5; 16]), kind: 1, uid: UID, salt: [9; 32] };
    let key = FileKey::derive(&RootKey::new(1, [1; 32]), &info);
    BlockContext {
        key: (seal != Seal::None).then_some(key),
        dictionaries: vec![dictionary()],
        ..BlockContext::default()
    }
}

fn dictionary() -> Dictionary {
    Dictionary::new(&text(500, 9)).unwrap()
}

/// Some of which compresses.
fn text(len: usize, seed: u64) -> Vec<u8> {
    let row = |i: u64| {
        let noise = key_hash(&(seed << 32 | i).to_le_bytes());
        format!("row {i:05} {noise:016x};").into_bytes()
    };
    (0..).flat_map(row).take(len).collect()
}
