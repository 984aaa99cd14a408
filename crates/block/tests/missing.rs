//! A build without a provider: what does not need it is read, and what does names it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use stratal_block::{BlockContext, BlockId, BlockKind, BlockSpec, Parity, Seal, scrub, verify};
use stratal_types::{
    FileUid,
    dump::{bytes_of, hex},
};

const ID: BlockId = BlockId { uid: FileUid([0x11; 16]), ordinal: 4096, kind: BlockKind(1) };

const NAMES: [(&str, bool); 4] = [
    ("zstd", cfg!(feature = "zstd")),
    ("aes-gcm", cfg!(feature = "aes-gcm")),
    ("chacha20poly1305", cfg!(feature = "chacha20poly1305")),
    ("reed-solomon", cfg!(feature = "reed-solomon")),
];

/// Fails with the name of `provider`, unless it is compiled in.
#[track_caller]
fn needs<T: std::fmt::Debug>(provider: &str, outcome: Result<T, stratal_block::Error>) {
    let (_, compiled_in) = NAMES.into_iter().find(|(name, _)| *name == provider).unwrap();
    match outcome {
        Ok(_) => assert!(compiled_in, "{provider}"),
        Err(stratal_block::Error::Unsupported { what, .. }) => {
            assert_eq!((what, compiled_in), (provider, false));
        }
        Err(error) => panic!("{provider}: {error}"),
    }
}

fn golden(dump: &str) -> Vec<u8> {
    bytes_of(dump).unwrap()
}

#[test]
fn zstd() {
    let stored = golden(include_str!("golden/v1/frame_zstd.dump"));
    assert!(verify(ID, &stored).is_ok());
    let codec = BlockSpec::default().resolve(&BlockContext::default()).unwrap();
    needs("zstd", codec.open(ID, &stored));
}

#[test]
fn ciphers() {
    use stratal_block::{FileKey, FileKeyInfo, RootKey};
    use stratal_types::DbId;

    let info = FileKeyInfo { db_id: DbId([0x22; 16]), kind: 1, uid: ID.uid, salt: [0x33; 32] };
    let key = Some(FileKey::derive(&RootKey::new(1, [0x44; 32]), &info));
    let context = BlockContext { key, ..BlockContext::default() };
    let reader = BlockSpec::default().resolve(&context).unwrap();
    for (name, seal, dump) in [
        ("aes-gcm", Seal::Aes256Gcm, include_str!("golden/v1/frame_aes_256_gcm.dump")),
        (
            "chacha20poly1305",
            Seal::ChaCha20Poly1305,
            include_str!("golden/v1/frame_chacha20_poly1305.dump"),
        ),
    ] {
        let stored = golden(dump);
        assert!(verify(ID, &stored).is_ok(), "{}", hex(&stored));
        needs(name, reader.open(ID, &stored));
        needs(name, BlockSpec { seal, ..BlockSpec::default() }.resolve(&context));
    }
}

/// An intact block is read without a look at its parity.
#[test]
fn reed_solomon() {
    let stored = golden(include_str!("golden/v1/frame_reed_solomon.dump"));
    let codec = BlockSpec::default().resolve(&BlockContext::default()).unwrap();
    assert!(codec.open(ID, &stored).is_ok());
    needs("reed-solomon", scrub(ID, &stored));
    let mut damaged = stored.clone();
    damaged[20] ^= 1;
    needs("reed-solomon", codec.open(ID, &damaged));
    let parity = Parity::ReedSolomon { data: 3, parity: 2 };
    let spec = BlockSpec { parity, ..BlockSpec::default() };
    needs("reed-solomon", spec.resolve(&BlockContext::default()));
}
