//! The vectors in `tests/vectors/blocks.json`, which `tests/vectors/check.py` reads without a line of
//! this crate: blocks of every kind with all that is needed to open them.
//!
//! `UPDATE_GOLDEN=1 cargo test -p stratal-block --test vectors` writes the file if it is not there.
#![cfg(all(
    feature = "zstd",
    feature = "aes-gcm",
    feature = "chacha20poly1305",
    feature = "reed-solomon"
))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::{Value, json};
use stratal_block::{
    BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Compression, Dictionary, FileKey,
    FileKeyInfo, Parity, RootKey, Seal,
};
use stratal_testkit::golden;
use stratal_types::{
    DbId, FileUid,
    dump::{bytes_of, hex},
};

const ID: BlockId =
    BlockId { uid: FileUid(*b"a uid of a file."), ordinal: 0x0102_0304, kind: BlockKind(5) };

#[test]
fn the_vectors_open_and_what_this_crate_decides_is_written_again() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/blocks.json");
    let written: Vec<Value> =
        specs().into_iter().map(|(spec, plain)| vector(spec, &plain)).collect();
    let text = serde_json::to_string_pretty(
        &json!({ "format": "stratal block, version 1", "blocks": written }),
    );
    let stored: Value = serde_json::from_str(&golden(path, &(text.unwrap() + "\n"))).unwrap();
    let stored = stored["blocks"].as_array().unwrap();
    assert_eq!(stored.len(), written.len());
    for (((spec, plain), stored), written) in specs().into_iter().zip(stored).zip(&written) {
        let bytes = unhex(&stored["stored"]);
        let codec = spec.resolve(&context(spec.seal)).unwrap();
        assert_eq!(codec.open(ID, &bytes).unwrap()[..], plain, "{spec:?}");
        assert_eq!(unhex(&stored["plain"]), plain, "{spec:?}");
        assert_eq!(stored["key"], written["key"], "{spec:?}");
        // Which bytes a compressor picks is its own business.
        if spec.compression == Compression::None {
            assert_eq!(stored, written, "{spec:?}");
        }
    }
}

/// Not every combination: each value of each choice, and the pairs that touch each other.
fn specs() -> Vec<(BlockSpec, Vec<u8>)> {
    let text = b"AD/Canillo 42.57 1.60, AD/Encamp 42.53 1.58, AD/Vila 42.53 1.57; ".repeat(4);
    let noise: Vec<u8> = (0..160u8).map(|i| i.wrapping_mul(151) ^ 0xa5).collect();
    let id = dictionary().id();
    let compressions = [
        Compression::None,
        Compression::Lz4,
        Compression::Zstd { level: -5 },
        Compression::Zstd { level: 3 },
        Compression::Zstd { level: 22 },
        Compression::ZstdDictionary { level: 3, id },
    ];
    let seals = [Seal::None, Seal::Aes256Gcm, Seal::ChaCha20Poly1305];
    let rs = |data, parity| Parity::ReedSolomon { data, parity };
    let parities = [
        Parity::SecDed,
        Parity::Xor { data: 3 },
        rs(1, 1),
        rs(2, 1),
        rs(3, 2),
        rs(4, 2),
        rs(2, 4),
        rs(7, 3),
        rs(27, 5),
    ];
    let base = BlockSpec::default();
    let mut specs = vec![(base, vec![]), (BlockSpec { parity: rs(4, 2), ..base }, vec![])];
    for compression in compressions {
        for seal in seals {
            specs.push((BlockSpec { compression, seal, ..base }, text.clone()));
        }
        let spec = BlockSpec { compression, checksum: Checksum::Crc32c, ..base };
        specs.push((spec, text.clone()));
    }
    for parity in parities {
        specs.push((BlockSpec { parity, ..base }, noise.clone()));
        let (compression, seal) = (Compression::Lz4, Seal::Aes256Gcm);
        specs.push((BlockSpec { parity, compression, seal, ..base }, text.clone()));
    }
    specs
}

fn vector(spec: BlockSpec, plain: &[u8]) -> Value {
    let context = context(spec.seal);
    let stored = spec.resolve(&context).unwrap().seal(ID, plain).unwrap();
    let key = context.key.map(|key| {
        let FileKeyInfo { db_id, kind, salt, .. } = key.info();
        json!({
            "epoch": key.epoch(),
            "root_key": hex(&ROOT_KEY),
            "salt": hex(salt),
            "db_id": hex(&db_id.0),
            "file_kind": kind,
            "key_check": hex(&key.key_check()),
        })
    });
    let dictionary = match spec.compression {
        Compression::ZstdDictionary { .. } => Some(hex(dictionary().bytes())),
        _ => None,
    };
    json!({
        "name": name(spec, plain),
        "uid": hex(&ID.uid.0),
        "ordinal": ID.ordinal,
        "kind": ID.kind.0,
        "key": key,
        "dictionary": dictionary,
        "plain": hex(plain),
        "stored": hex(&stored),
    })
}

fn name(spec: BlockSpec, plain: &[u8]) -> String {
    let BlockSpec { checksum, compression, seal, parity } = spec;
    format!("{checksum:?}, {compression:?}, {seal:?}, {parity:?}, {} bytes", plain.len())
}

const ROOT_KEY: [u8; 32] = *b"thirty-two bytes nobody guesses.";

fn context(seal: Seal) -> BlockContext {
    let info = FileKeyInfo {
        db_id: DbId(*b"a database's id."),
        kind: 1,
        uid: ID.uid,
        salt: *b"thirty-two bytes drawn at random",
    };
    let key = FileKey::derive(&RootKey::new(7, ROOT_KEY), &info);
    BlockContext {
        key: (seal != Seal::None).then_some(key),
        dictionaries: vec![dictionary()],
        ..BlockContext::default()
    }
}

fn dictionary() -> Dictionary {
    Dictionary::new(b"AD/Canillo 42.5, AD/Encamp 42.5, AD/Vila 42.5").unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    let hex = value.as_str().unwrap();
    if hex.is_empty() { vec![] } else { bytes_of(&format!("0000..0000  {hex}  x\n")).unwrap() }
}
