//! Frames with everything that can be enabled: every released version still reads, and what the
//! current one decides, it still writes.
#![cfg(all(feature = "zstd", feature = "aes-gcm", feature = "chacha20poly1305"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use stratal_block::{
    BlockContext, BlockId, BlockKind, BlockSpec, Compression, Dictionary, FileKey, FileKeyInfo,
    RootKey, Seal, annotate_frame,
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
fn format_md_has_the_dumps() {
    let format_md = include_str!("../FORMAT.md");
    for name in ["v1/frame_dictionary", "v1/frame_aes_256_gcm"] {
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
