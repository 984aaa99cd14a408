//! Memtables of several levels: many rows, in the orders in which keys come.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Arc;

use stratal_memtable::Memtable;
use stratal_testkit::Rng;
use stratal_types::{Bytewise, Comparator, Cursor, EntryKind, Reverse, SeqNo, Shortlex, Trailer};

const ROWS: u64 = 30_000;

/// The key of row `number`.
type KeyOf = fn(u64, &mut Rng) -> Vec<u8>;

const KEYS: [(&str, KeyOf); 7] = [
    ("ascending", |number, _| text(number)),
    ("descending", |number, _| text(ROWS - number)),
    ("random", |_, rng| rng.bytes(16)),
    ("few keys, many versions", |_, rng| vec![b'k', rng.bytes(1)[0] % 8]),
    ("short and long", |_, rng| {
        let len = 1 + rng.index(30);
        vec![b'a' + rng.bytes(1)[0] % 2; len]
    }),
    ("a long common prefix", |_, rng| [&b"tenant/0000000000/table/"[..], &rng.bytes(4)].concat()),
    ("two prefixes, one of which stops coming", |number, rng| {
        let prefix = if number < ROWS / 2 || rng.chance(1, 50) { "left/" } else { "right/" };
        [prefix.as_bytes(), &rng.bytes(3)].concat()
    }),
];

fn text(number: u64) -> Vec<u8> {
    format!("{number:012}").into_bytes()
}

fn check(comparator: &Arc<dyn Comparator>, name: &str, key_of: KeyOf) {
    let mut rng = Rng::new(7);
    let memtable = Arc::new(Memtable::new(1, Arc::clone(comparator)));
    let mut rows: Vec<(Vec<u8>, SeqNo, Vec<u8>)> = Vec::new();
    for number in 0..ROWS {
        let key = key_of(number, &mut rng);
        let seqno = SeqNo::new(number + 1).unwrap();
        let value = if number % 1000 == 0 { vec![7; 3000] } else { number.to_le_bytes().to_vec() };
        memtable.apply(&key, Trailer::new(seqno, EntryKind::Put), &value).unwrap();
        rows.push((key, seqno, value));
        // Applying a row again changes nothing, now or much later.
        let (key, seqno, value) = &rows[rng.index(rows.len())];
        memtable.apply(key, Trailer::new(*seqno, EntryKind::Put), value).unwrap();
    }
    rows.sort_by(|a, b| comparator.compare(&a.0, &b.0).then(b.1.cmp(&a.1)));
    assert_eq!(memtable.entries(), rows.len(), "{name}");

    let mut cursor = memtable.cursor();
    for (key, seqno, value) in &rows {
        let Ok(()) = cursor.advance();
        let entry = cursor.entry().unwrap();
        assert_eq!((entry.key, entry.trailer.seqno(), entry.value), (&key[..], *seqno, &value[..]));
    }
    let Ok(()) = cursor.advance();
    assert!(cursor.entry().is_none());
    for (key, seqno, _) in rows.iter().rev() {
        let Ok(()) = cursor.retreat();
        let entry = cursor.entry().unwrap();
        assert_eq!((entry.key, entry.trailer.seqno()), (&key[..], *seqno), "{name}");
    }
    for _ in 0..5000 {
        let at = rng.index(rows.len());
        let (key, seqno, value) = &rows[at];
        let (trailer, found) = memtable.get(key, seqno.next().unwrap()).unwrap();
        assert_eq!((trailer.seqno(), &found[..]), (*seqno, &value[..]), "{name}");
        let older = rows.get(at + 1).filter(|older| older.0 == *key).map(|older| older.1);
        assert_eq!(memtable.get(key, *seqno).map(|(trailer, _)| trailer.seqno()), older, "{name}");
        let Ok(()) = cursor.seek(key, *seqno);
        let behind = rows.get(at + 1).map(|behind| (&behind.0[..], behind.1));
        let found = cursor.entry().map(|entry| (entry.key, entry.trailer.seqno()));
        assert_eq!(found, behind, "{name}");
    }
}

fn check_all(comparator: &Arc<dyn Comparator>) {
    for (name, key_of) in KEYS {
        check(comparator, name, key_of);
    }
}

#[test]
fn every_order_of_keys_is_kept_bytewise() {
    check_all(&(Arc::new(Bytewise) as _));
}

#[test]
fn every_order_of_keys_is_kept_by_other_comparators() {
    check_all(&(Arc::new(Reverse) as _));
    check_all(&(Arc::new(Shortlex) as _));
}
