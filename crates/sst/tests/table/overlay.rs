//! Tables whose entries are seen at another number than they are stored with.

use std::sync::Arc;

use crate::support::{context, forward, open, owned, write_model};
use bytes::Bytes;
use stratal_sst::{Error, OpenOptions, Partitioning, Table, TableContext, TableOptions};
use stratal_testkit::{Model, concatenate};
use stratal_types::{Bytewise, Comparator, Cursor, Reverse, SeqNo, Trailer, key_hash};

const SEEN_AT: u32 = 40;

fn key(i: u32) -> Vec<u8> {
    format!("key{i:04}").into_bytes()
}

fn open_at(ctx: &TableContext, file: &[u8], seqno: u32) -> Result<Table, Error> {
    let options = OpenOptions { overlay: Some(seqno.into()), ..OpenOptions::default() };
    Table::open_with(ctx, Arc::new(Bytes::copy_from_slice(file)), options)
}

/// Whatever is asked, the answer is that of a table whose entries were written at that number.
#[test]
fn all_is_seen_at_the_number_of_the_overlay() {
    for comparator in [Arc::new(Bytewise) as Arc<dyn Comparator>, Arc::new(Reverse)] {
        for partitioning in [Partitioning::Never, Partitioning::Always] {
            let ctx = context(Arc::clone(&comparator));
            let options = || TableOptions {
                block_len_target: 512,
                partitioning,
                partition_len_target: 600,
                ..TableOptions::default()
            };
            let file_at = |seqno: u32| {
                let mut model = Model::new(Arc::clone(&comparator), concatenate);
                for i in (0..600).step_by(2) {
                    if i % 5 == 0 {
                        model.delete(seqno.into(), &key(i));
                    } else {
                        model.put(seqno.into(), &key(i), &[1; 30]);
                    }
                }
                let (from, to) = (key(300), key(310));
                if comparator.compare(&from, &to).is_lt() {
                    model.delete_range(seqno.into(), &from, &to);
                }
                write_model(&ctx, options(), &model).unwrap()
            };
            let (overlaid, stored) = (
                open_at(&ctx, &file_at(0), SEEN_AT).unwrap(),
                open(&ctx, &file_at(SEEN_AT)).unwrap(),
            );
            check_same(&overlaid, &stored);
            assert_eq!(overlaid.properties().seqno_max, 0, "properties say what is stored");
            let report = overlaid.verify().unwrap();
            assert!(report.is_ok(), "{:?}", report.damage);
        }
    }
}

fn check_same(overlaid: &Table, stored: &Table) {
    assert_eq!(forward(overlaid).unwrap(), forward(stored).unwrap());
    assert_eq!(overlaid.seqnos(), stored.seqnos());
    assert_eq!(*overlaid.tombstones().unwrap(), *stored.tombstones().unwrap());
    let bounds = [0, 1, SEEN_AT - 1, SEEN_AT, SEEN_AT + 1].map(SeqNo::from);
    let (mut a, mut b) = (overlaid.cursor(), stored.cursor());
    for key in (0..602).map(key) {
        assert_eq!(overlaid.get(&key).unwrap(), stored.get(&key).unwrap());
        let hashed = [(&key[..], key_hash(&key))];
        for bound in bounds.into_iter().chain([SeqNo::MAX]) {
            let found = stored.lookup(&key, bound).unwrap();
            assert_eq!(overlaid.lookup(&key, bound).unwrap(), found, "{bound}");
            assert_eq!(overlaid.multi_lookup(&hashed, bound).unwrap(), [found], "{bound}");
            a.seek(&key, bound).unwrap();
            b.seek(&key, bound).unwrap();
            assert_eq!(a.entry().map(owned), b.entry().map(owned), "{bound}");
        }
    }
    for since in bounds {
        let rows = |table: &Table| {
            let mut cursor = table.cursor_since(since);
            let mut rows: Vec<(Vec<u8>, Trailer, Vec<u8>)> = Vec::new();
            cursor.advance().unwrap();
            while let Some(entry) = cursor.entry() {
                rows.push(owned(entry));
                cursor.advance().unwrap();
            }
            rows
        };
        assert_eq!(rows(overlaid), rows(stored), "{since}");
    }
    let rows = |table: &Table| table.range::<&[u8]>(..).map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(rows(overlaid), rows(stored));
}

#[test]
fn a_table_with_numbers_of_its_own_takes_no_overlay() {
    let ctx = context(Arc::new(Bytewise));
    for (put, range) in [(1u32, 0u32), (0, 3), (0, 0)] {
        let mut model = Model::bytewise();
        model.put(put.into(), b"a", b"1");
        model.delete_range(range.into(), b"b", b"c");
        let file = write_model(&ctx, TableOptions::default(), &model).unwrap();
        match open_at(&ctx, &file, SEEN_AT) {
            Err(Error::OverlayRefused { seqno_max }) => {
                assert_eq!(seqno_max, u64::from(put.max(range)));
            }
            Ok(_) => assert_eq!(put.max(range), 0),
            Err(other) => panic!("{other}"),
        }
    }
}
