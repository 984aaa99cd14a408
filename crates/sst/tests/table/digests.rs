//! Digests of entries: stored when asked for, checked by verification, ignored by reads.

use std::sync::Arc;

use stratal_sst::{Compression, TableDictionary, TableOptions, TableWriter};
use stratal_types::{Bytewise, EntryDigest, EntryKind, EntryRef, SeqNo, Trailer};

use crate::support::{IDENTITY, context, forward, open};

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

/// A table of 300 entries; the digest of the one with this number is another's.
fn table_of(options: TableOptions, changed: Option<u32>) -> Vec<u8> {
    let ctx = context(Arc::new(Bytewise));
    let spec = Arc::new(options.validate().unwrap());
    let mut writer = TableWriter::new(&ctx, Vec::new(), IDENTITY, spec).unwrap();
    for i in 0..300u32 {
        let (key, value) = (format!("key {i:04}"), format!("value {i}"));
        let trailer = Trailer::new(SeqNo::from(i), EntryKind::Put);
        let entry = EntryRef::new(key.as_bytes(), trailer, value.as_bytes());
        let mut digest = EntryDigest::of(entry);
        digest.0 ^= u32::from(changed == Some(i));
        if i % 2 == 0 || changed == Some(i) {
            writer.add_with_digest(entry, digest).unwrap();
        } else {
            writer.add(entry).unwrap();
        }
    }
    writer.finish().unwrap().sink
}

const TRAINED: TableDictionary = TableDictionary::Train { len_max: 256, sample_len: 4000 };

#[test]
fn an_entry_that_was_changed_before_its_block_was_sealed_is_found_by_verification() {
    let ctx = context(Arc::new(Bytewise));
    for dictionary in [TableDictionary::None, TRAINED] {
        // Early entries are held back while the dictionary is made, late ones are not.
        for changed in [3, 150, 299] {
            let whole = table_of(options(true, dictionary.clone()), None);
            let file = table_of(options(true, dictionary.clone()), Some(changed));
            let table = open(&ctx, &whole).unwrap();
            assert!(table.verify().unwrap().is_ok());
            assert_eq!(table.properties().entry_digests, 1);
            let entries = forward(&table).unwrap();
            assert_eq!(entries.len(), 300);

            let table = open(&ctx, &file).unwrap();
            assert!(forward(&table).unwrap() == entries, "reads do not look at digests");
            let report = table.verify().unwrap();
            assert_eq!(report.damage.len(), 1, "{report:?}");
            let damage = &report.damage[0];
            assert!(damage.kind == "data" && damage.error.is_corruption());
            let (behind, to) = damage.keys.clone().unwrap();
            let key = format!("key {changed:04}").into_bytes();
            assert!(behind.is_none_or(|behind| behind < key) && to.is_none_or(|to| key <= to));
        }
    }
}

#[test]
fn without_the_option_digests_are_not_stored() {
    let ctx = context(Arc::new(Bytewise));
    let with = table_of(options(true, TableDictionary::None), None);
    let without = table_of(options(false, TableDictionary::None), Some(150));
    let (table, smaller) = (open(&ctx, &with).unwrap(), open(&ctx, &without).unwrap());
    assert_eq!(smaller.properties().entry_digests, 0);
    assert!(smaller.verify().unwrap().is_ok());
    assert!(smaller.properties().data_bytes + 4 * 250 < table.properties().data_bytes);
}
