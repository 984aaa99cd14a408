//! Encrypted tables: who can read them, and what stands in the clear.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use stratal_archive::{ArchiveHeader, ArchiveWriter, HeaderSeal, SectionTag};
use stratal_sst::{
    Compression, Error, FILE_TYPE, KeyRing, Parity, RootKey, Seal, Table, TableBlock, TableContext,
    TableOptions, TableWriter,
};
use stratal_testkit::Model;
use stratal_types::{Bytewise, DbId, FileUid, SeqNo};

use crate::support::{Counted, IDENTITY, UID, context, forward, open, write_model};

const SEALS: [Seal; 2] = [Seal::Aes256Gcm, Seal::ChaCha20Poly1305];

fn sealed(seal: Seal) -> TableOptions {
    let compression = Compression::None;
    TableOptions { seal, compression, block_len_target: 512, ..TableOptions::default() }
}

/// Every sort of block, and several of data.
fn model() -> Model {
    let mut model = Model::bytewise();
    for i in 0..200u32 {
        let key = format!("AD/secret place {i:04}");
        model.put(SeqNo::from(i), key.as_bytes(), b"known to few");
    }
    model.delete_range(SeqNo::from(300u32), b"secret from", b"secret to");
    model
}

fn keys(keys: &[(u32, u8)]) -> Arc<KeyRing> {
    Arc::new(keys.iter().map(|&(epoch, byte)| RootKey::new(epoch, [byte; 32])).collect())
}

#[test]
fn a_table_opens_with_its_key_alone_and_says_which_before_reading_a_block() {
    let (written, other) = (keys(&[(1, 1), (2, 2)]), DbId([9; 16]));
    for seal in SEALS {
        let ctx = TableContext { keys: Arc::clone(&written), ..TableContext::default() };
        let model = model();
        let file = write_model(&ctx, sealed(seal), &model).unwrap();
        let entries = model.entries();
        assert_eq!(forward(&open(&ctx, &file).unwrap()).unwrap(), entries);

        // What another process may have: no key, older ones, a wrong one, newer ones beside it.
        let attempts = [
            (keys(&[]), Err(true)),
            (keys(&[(1, 1)]), Err(true)),
            (keys(&[(1, 2), (2, 1)]), Err(false)),
            (keys(&[(2, 2), (3, 3)]), Ok(())),
        ];
        for (keys, expected) in attempts {
            // Of another database: the file's own header says whose it is.
            let ctx = TableContext { keys, db_id: other, ..TableContext::default() };
            let source = Counted::new(&file);
            let opened = Table::open(&ctx, source.clone());
            match (&opened, expected) {
                (Ok(table), Ok(())) => assert_eq!(forward(table).unwrap(), entries),
                (Err(Error::KeyNeeded { epoch: Some(2) }), Err(true))
                | (Err(Error::WrongKey { epoch: 2 }), Err(false)) => {
                    assert_eq!(source.take().len(), 1, "the end of the file, and nothing else");
                }
                _ => panic!("{expected:?}: {opened:?}"),
            }
        }
    }
}

#[test]
fn no_key_and_no_salt_refuse_a_table_before_anything_is_written() {
    let spec = Arc::new(sealed(Seal::Aes256Gcm).validate().unwrap());
    let ctx = TableContext::default();
    let refused = TableWriter::new(&ctx, Vec::new(), IDENTITY, Arc::clone(&spec));
    assert!(matches!(refused, Err(Error::KeyNeeded { epoch: None })));
    let ctx = context(Arc::new(Bytewise));
    let refused = TableWriter::new(&ctx, Vec::new(), UID, spec);
    assert!(matches!(refused, Err(Error::InvalidOption { option: "salt", .. })));
}

#[test]
fn a_table_in_the_clear_opens_where_there_are_keys() {
    let ctx = TableContext { keys: keys(&[(1, 1)]), ..TableContext::default() };
    let file = write_model(&ctx, sealed(Seal::None), &model()).unwrap();
    for keys in [keys(&[]), keys(&[(5, 5)])] {
        let ctx = TableContext { keys, ..TableContext::default() };
        assert_eq!(forward(&open(&ctx, &file).unwrap()).unwrap(), model().entries());
    }
}

#[test]
fn nothing_of_keys_values_and_options_stands_in_the_clear() {
    let ctx = context(Arc::new(Bytewise));
    let stands =
        |file: &[u8], text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    let texts = ["secret place", "known to few", "secret from", "bytewise"];
    let clear = write_model(&ctx, sealed(Seal::None), &model()).unwrap();
    for text in texts {
        assert!(stands(&clear, text), "{text}");
    }
    for seal in SEALS {
        for parity in [Parity::None, Parity::Xor { data: 4 }] {
            let file =
                write_model(&ctx, TableOptions { parity, ..sealed(seal) }, &model()).unwrap();
            for text in texts {
                assert!(!stands(&file, text), "{seal:?} {parity:?}: {text}");
            }
        }
    }
}

/// A nonce is an ordinal: no two blocks of a file have the same, copies included, whatever their kind.
#[test]
fn no_ordinal_seals_two_blocks() {
    let ctx = context(Arc::new(Bytewise));
    let file = write_model(&ctx, sealed(Seal::Aes256Gcm), &model()).unwrap();
    let table = open(&ctx, &file).unwrap();
    let blocks = table.blocks().unwrap();
    let ordinals: BTreeSet<u64> = blocks.iter().map(|block| block.ordinal).collect();
    assert_eq!(ordinals.len(), blocks.len());
    let kinds: BTreeSet<u8> = blocks.iter().map(|block| block.kind.tag()).collect();
    assert!(kinds.len() >= 5 && blocks.len() >= 15, "{blocks:?}");
    // No section has bytes that are of none of these blocks.
    let in_blocks: u64 = blocks.iter().map(|block| u64::from(block.len)).sum();
    let in_sections: u64 = table.contents().entries.iter().map(|entry| entry.len).sum();
    assert_eq!(in_blocks, in_sections);
}

/// Somebody without the key cannot slip in a block, though its check can be computed by anybody.
#[test]
fn a_block_in_the_clear_is_not_taken_in_an_encrypted_table() {
    let ctx = context(Arc::new(Bytewise));
    let file = write_model(&ctx, sealed(Seal::Aes256Gcm), &model()).unwrap();
    let table = open(&ctx, &file).unwrap();
    let target = table.blocks().unwrap()[0];
    assert_eq!(target.kind, TableBlock::Data);
    let spec = stratal_block::BlockSpec::default();
    let codec = spec.resolve(&stratal_block::BlockContext::default()).unwrap();
    let plain = vec![7; target.len as usize - stratal_block::Frame::OVERHEAD];
    let forged = codec.seal(target.kind.id(UID, target.ordinal), &plain).unwrap();
    let from = usize::try_from(target.offset).unwrap();
    let mut damaged = file;
    damaged[from..from + forged.len()].copy_from_slice(&forged);
    let found = open(&ctx, &damaged).unwrap().get(b"AD/secret place 0000");
    let Err(Error::Block { source: stratal_block::Error::NotSealed, .. }) = found else {
        panic!("{found:?}");
    };
}

#[test]
fn a_cipher_that_nobody_knows_is_named() {
    let seal =
        HeaderSeal { cipher: 9.try_into().unwrap(), epoch: 3, salt: [1; 32], key_check: [2; 16] };
    let header = ArchiveHeader {
        file_type: FILE_TYPE,
        uid: FileUid([1; 16]),
        seal: Some(seal),
        ..ArchiveHeader::default()
    };
    let mut archive = ArchiveWriter::new(Vec::new(), header).unwrap();
    archive.section(SectionTag(*b"PROP")).unwrap();
    let (file, _) = archive.finish().unwrap();
    let error = Table::open(&context(Arc::new(Bytewise)), Arc::new(Bytes::from(file))).unwrap_err();
    assert!(!error.is_corruption());
    assert_eq!(
        error.to_string(),
        "header block at offset 0: cipher 0x9 is not supported by this build"
    );
}
