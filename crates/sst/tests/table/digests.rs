//! Digests of entries: stored when asked for, checked before they are sealed and by verification,
//! ignored by reads.

use std::sync::Arc;

use bytes::Bytes;
use stratal_sst::{
    Compression, Error, Keep, MergeError, OpenOptions, Table, TableBlock, TableDictionary,
    TableOptions, TableWriter, merge_tables,
};
use stratal_types::{Bytewise, Cursor, EntryDigest, EntryKind, EntryRef, SeqNo, Trailer};

use crate::support::{IDENTITY, UID, context, forward, open};

fn options(entry_digests: bool, dictionary: TableDictionary) -> TableOptions {
    let compression = Compression::Zstd { level: 1 };
    TableOptions {
        block_len_target: 512,
        compression,
        entry_digests,
        dictionary,
        ..TableOptions::default()
    }
}

/// A table of 300 entries, of which the one with the number `changed` has changed since its digest was
/// taken.
fn table_of(options: TableOptions, changed: Option<u32>) -> Result<Vec<u8>, Error> {
    let ctx = context(Arc::new(Bytewise));
    let spec = Arc::new(options.validate().unwrap());
    let mut writer = TableWriter::new(&ctx, Vec::new(), IDENTITY, spec).unwrap();
    for i in 0..300u32 {
        let (key, mut value) = (format!("key {i:04}"), format!("value {i}").into_bytes());
        let trailer = Trailer::new(SeqNo::from(i), EntryKind::Put);
        let digest = EntryDigest::of(EntryRef::new(key.as_bytes(), trailer, &value));
        value[2] ^= u8::from(changed == Some(i)) << 5;
        let entry = EntryRef::new(key.as_bytes(), trailer, &value);
        if i % 2 == 0 || changed == Some(i) {
            writer.add_with_digest(entry, digest)?;
        } else {
            writer.add(entry)?;
        }
    }
    writer.finish().map(|finished| finished.sink)
}

const TRAINED: TableDictionary = TableDictionary::Train { len_max: 256, sample_len: 4000 };

#[test]
fn an_entry_that_changed_since_its_digest_was_taken_is_not_sealed() {
    for dictionary in [TableDictionary::None, TRAINED] {
        let ctx = context(Arc::new(Bytewise));
        let whole = table_of(options(true, dictionary.clone()), None).unwrap();
        let table = open(&ctx, &whole).unwrap();
        assert!(table.verify().unwrap().is_ok());
        assert_eq!(table.properties().entry_digests, 1);
        assert_eq!(forward(&table).unwrap().len(), 300);
        // Early entries are held back while the dictionary is made, late ones are not.
        for changed in [3, 150, 299] {
            let refused = table_of(options(true, dictionary.clone()), Some(changed));
            let Err(Error::Damaged { key }) = refused else { panic!("{refused:?}") };
            assert_eq!(key, format!("key {changed:04}").into_bytes());
        }
    }
}

/// A table whose last row has the digest of another.
fn forged() -> Vec<u8> {
    let options =
        TableOptions { compression: Compression::None, ..options(true, TableDictionary::None) };
    let mut file = table_of(options, None).unwrap();
    let table = open(&context(Arc::new(Bytewise)), &file).unwrap();
    let blocks = table.blocks().unwrap();
    let last = blocks.iter().rfind(|block| block.kind == TableBlock::Data).unwrap();
    let spec = stratal_block::BlockSpec::default();
    let codec = spec.resolve(&stratal_block::BlockContext::default()).unwrap();
    let at = usize::try_from(last.offset).unwrap();
    let at = at..at + last.len as usize;
    let id = last.kind.id(UID, last.ordinal);
    let mut plain = codec.open(id, &file[at.clone()]).unwrap().to_vec();
    // Digests end where the block does.
    *plain.last_mut().unwrap() ^= 0x40;
    file[at].copy_from_slice(&codec.seal(id, &plain).unwrap());
    file
}

#[test]
fn an_entry_that_does_not_fit_its_digest_is_found_by_verification() {
    let table = open(&context(Arc::new(Bytewise)), &forged()).unwrap();
    assert_eq!(forward(&table).unwrap().len(), 300, "reads do not look at digests");
    let report = table.verify().unwrap();
    assert_eq!(report.damage.len(), 1, "{report:?}");
    let damage = &report.damage[0];
    assert!(damage.kind == "data" && damage.error.is_corruption());
    let (behind, to) = damage.keys.clone().unwrap();
    let key = b"key 0299".to_vec();
    assert!(behind.is_none_or(|behind| behind < key) && to.is_none_or(|to| key <= to));
}

/// A cursor hands digests out, under the numbers that it shows; merges pass them on and seal nothing
/// that does not fit.
#[test]
fn digests_go_with_their_entries() {
    let ctx = context(Arc::new(Bytewise));
    let with = |digests| table_of(options(digests, TableDictionary::None), None).unwrap();
    let mut cursor = open(&ctx, &with(true)).unwrap().cursor();
    cursor.advance().unwrap();
    while let Some(entry) = cursor.entry() {
        assert_eq!(cursor.digest(), Some(EntryDigest::of(entry)));
        cursor.advance().unwrap();
    }
    assert_eq!(cursor.digest(), None);
    let mut cursor = open(&ctx, &with(false)).unwrap().cursor();
    cursor.advance().unwrap();
    assert!(cursor.entry().is_some() && cursor.digest().is_none());

    let merged = |file: &[u8], keep| {
        let spec = Arc::new(options(true, TableDictionary::None).validate().unwrap());
        let mut writer = TableWriter::new(&ctx, Vec::new(), IDENTITY, spec).unwrap();
        merge_tables(&[open(&ctx, file).unwrap()], keep, &mut writer)?;
        writer.finish().map_err(MergeError::Output)
    };
    for keep in [Keep::Versions, Keep::Newest, Keep::Live] {
        let written = merged(&with(true), keep).unwrap().sink;
        assert!(open(&ctx, &written).unwrap().verify().unwrap().is_ok());
        let refused = merged(&forged(), keep);
        let Err(MergeError::Output(Error::Damaged { key })) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(key, b"key 0299");
    }
}

/// Entries of a table that was given one number as a whole have that number, and digests to it.
#[test]
fn digests_fit_the_numbers_of_an_overlay() {
    let ctx = context(Arc::new(Bytewise));
    let spec = Arc::new(options(true, TableDictionary::None).validate().unwrap());
    let mut writer = TableWriter::new(&ctx, Vec::new(), IDENTITY, spec).unwrap();
    writer.put(b"AD/Canillo", b"3292").unwrap();
    let file = writer.finish().unwrap().sink;
    let overlay = Some(SeqNo::from(77u32));
    let options = OpenOptions { overlay, ..OpenOptions::default() };
    let table = Table::open_with(&ctx, Arc::new(Bytes::from(file)), options).unwrap();
    let mut cursor = table.cursor();
    cursor.advance().unwrap();
    let entry = cursor.entry().unwrap();
    assert_eq!(entry.seqno(), SeqNo::from(77u32));
    assert_eq!(cursor.digest(), Some(EntryDigest::of(entry)));
}

#[test]
fn without_the_option_digests_are_not_stored() {
    let ctx = context(Arc::new(Bytewise));
    let with = table_of(options(true, TableDictionary::None), None).unwrap();
    let without = table_of(options(false, TableDictionary::None), Some(150)).unwrap();
    let (table, smaller) = (open(&ctx, &with).unwrap(), open(&ctx, &without).unwrap());
    assert_eq!(smaller.properties().entry_digests, 0);
    assert!(smaller.verify().unwrap().is_ok());
    assert!(smaller.properties().data_bytes + 4 * 250 < table.properties().data_bytes);
}
