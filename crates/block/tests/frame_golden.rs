//! Frames with everything that can be enabled: every released version still reads, and what the
//! current one decides, it still writes.
#![cfg(all(
    feature = "zstd",
    feature = "aes-gcm",
    feature = "chacha20poly1305",
    feature = "reed-solomon"
))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use stratal_block::{
    BlockContext, BlockId, BlockKind, BlockSpec, Compression, Dictionary, FileKey, FileKeyInfo,
    Frame, Parity, RootKey, Seal, annotate_broken_frame, annotate_frame,
};
use stratal_testkit::{golden, read_golden};
use stratal_types::{
    DbId, FileUid,
    dump::{Dump, bytes_of},
};

/// Only read: which bytes a compressor picks is its own business, and may change with it.
#[test]
fn v1_frame_with_a_dictionary() {
    let dictionary = Dictionary::new(b"AD/Canillo, AD/Encamp, AD/Ordino, AD/Vila").unwrap();
    let compression = Compression::ZstdDictionary { level: 3, id: dictionary.id() };
    let spec = BlockSpec { compression, ..BlockSpec::default() };
    let context = BlockContext { dictionaries: vec![dictionary], ..BlockContext::default() };
    reads("v1/frame_dictionary", spec, &context, b"AD/Canillo, AD/Encamp, AD/Ordino, AD/Vila!");
}

#[test]
fn v1_frame_sealed_with_aes() {
    sealed_reads_and_writes("v1/frame_aes_256_gcm", Seal::Aes256Gcm);
}

#[test]
fn v1_frame_sealed_with_chacha() {
    sealed_reads_and_writes("v1/frame_chacha20_poly1305", Seal::ChaCha20Poly1305);
}

#[test]
fn v1_frame_with_secded() {
    parity_reads_and_writes("v1/frame_sec_ded", Parity::SecDed, b"some payload");
}

#[test]
fn v1_frame_with_xor() {
    parity_reads_and_writes("v1/frame_xor", Parity::Xor { data: 2 }, &payload(100));
}

/// Three shards of data make two chunks of two, the last one short.
#[test]
fn v1_frame_with_reed_solomon() {
    let parity = Parity::ReedSolomon { data: 3, parity: 2 };
    parity_reads_and_writes("v1/frame_reed_solomon", parity, &payload(160));
}

#[test]
fn v1_frame_of_nothing_with_parity() {
    let parity = Parity::ReedSolomon { data: 4, parity: 2 };
    parity_reads_and_writes("v1/frame_reed_solomon_empty", parity, b"");
}

#[test]
fn format_md_has_the_dumps() {
    let format_md = include_str!("../FORMAT.md");
    for name in ["v1/frame_dictionary", "v1/frame_aes_256_gcm", "v1/frame_sec_ded", "v1/frame_xor"]
    {
        assert!(format_md.contains(&read_golden(path(name))), "{name} is not in FORMAT.md");
    }
}

const ID: BlockId = BlockId { uid: FileUid([0x11; 16]), ordinal: 4096, kind: BlockKind(1) };

#[track_caller]
fn sealed_reads_and_writes(name: &str, seal: Seal) {
    let info = FileKeyInfo { db_id: DbId([0x22; 16]), kind: 1, uid: ID.uid, salt: [0x33; 32] };
    let key = Some(FileKey::derive(&RootKey::new(1, [0x44; 32]), &info));
    let context = BlockContext { key, ..BlockContext::default() };
    let spec = BlockSpec { seal, ..BlockSpec::default() };
    let (stored, written) = reads(name, spec, &context, b"some payload");
    assert_eq!(stored, written, "{name} is released: a new layout is a new version");
}

fn payload(len: u8) -> Vec<u8> {
    (0..len).map(|i| i.wrapping_mul(37) ^ 0x5a).collect()
}

#[track_caller]
fn parity_reads_and_writes(name: &str, parity: Parity, plain: &[u8]) {
    let spec = BlockSpec { parity, ..BlockSpec::default() };
    let (stored, written) = reads(name, spec, &BlockContext::default(), plain);
    assert_eq!(stored, written, "{name} is released: a new layout is a new version");
}

#[track_caller]
fn reads(name: &str, spec: BlockSpec, context: &BlockContext, plain: &[u8]) -> (String, String) {
    let codec = spec.resolve(context).unwrap();
    let dump = |bytes: &[u8]| {
        let mut dump = Dump::new(bytes);
        annotate_frame(&mut dump);
        dump.finish()
    };
    let written = dump(&codec.seal(ID, plain).unwrap());
    let stored = golden(path(name), &written);
    let bytes = bytes_of(&stored).unwrap();
    assert_eq!(codec.open(ID, &bytes).unwrap()[..], *plain);
    assert_eq!(dump(&bytes), stored);
    (stored, written)
}

fn path(name: &str) -> String {
    format!("{}/tests/golden/{name}.dump", env!("CARGO_MANIFEST_DIR"))
}

/// Who must describe a frame without trusting its header names the fields where the writer put them.
#[test]
fn a_broken_frame_has_the_fields_of_a_whole_one() {
    let codec = BlockSpec::default().resolve(&BlockContext::default()).unwrap();
    let described = |bytes: &[u8]| {
        let mut dump = Dump::new(bytes);
        annotate_broken_frame(&mut dump, |dump, len| {
            dump.field(len, "payload");
        });
        dump.finish()
    };
    let names = ["magic", "version", "kind", "codec", "flags", "shards", "shards", "stored_len"];
    for plain in [&b"some payload"[..], b""] {
        let mut stored = codec.seal(ID, plain).unwrap();
        let mut dump = Dump::new(&stored);
        annotate_frame(&mut dump);
        let whole = dump.finish();
        stored[0] ^= 1;
        let broken = described(&stored);
        assert_eq!(bytes_of(&broken).unwrap(), stored);
        let fields: Vec<_> = broken.lines().collect();
        assert!(names.iter().zip(&fields).all(|(name, line)| line.contains(name)), "{broken}");
        // Both shards are one field of a whole frame; all else begins and ends alike.
        let range = |line: &str| line.split(' ').next().unwrap().to_owned();
        let ranges = |text: &str| text.lines().map(range).collect::<Vec<_>>();
        let (whole, mut broken) = (ranges(&whole), ranges(&broken));
        let second = broken.remove(6);
        let both = format!("{}..{}", &broken[5][..4], &second[6..]);
        broken[5] = both;
        assert_eq!(broken, whole);
    }
    for len in 0..Frame::OVERHEAD {
        let short = described(&[7; 64][..len]);
        assert!(!short.contains("magic") && !short.contains("check"), "{short}");
    }
}
