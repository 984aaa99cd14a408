//! Digests that came with entries: kept beside them, handed out again, and asked when a row is copied.

use std::sync::Arc;

use stratal_memtable::{Error, Memtable};
use stratal_testkit::Rng;
use stratal_types::{Bytewise, Cursor, EntryDigest, EntryKind, EntryRef, SeqNo, Trailer};

/// Entries with keys and values of many lengths, some of them too long to lie behind their keys.
fn entries() -> Vec<(Vec<u8>, Trailer, Vec<u8>)> {
    let mut rng = Rng::new(7);
    let lens = [0, 1, 7, 8, 100, 1023, 1024, 1025, 5000];
    let entry = |seqno: u32| {
        let key = [&rng.bytes(1 + seqno as usize % 21)[..], &seqno.to_le_bytes()].concat();
        let value = rng.bytes(lens[seqno as usize % lens.len()]);
        (key, Trailer::new(seqno.into(), EntryKind::Put), value)
    };
    (0..500).map(entry).collect()
}

fn memtable() -> Arc<Memtable> {
    Arc::new(Memtable::new(0, Arc::new(Bytewise)))
}

#[test]
fn a_digest_comes_back_with_its_entry_and_only_with_that() {
    let memtable = memtable();
    for (i, (key, trailer, value)) in entries().iter().enumerate() {
        let digest = EntryDigest::of(EntryRef::new(key, *trailer, value));
        match i % 3 {
            0 => memtable.apply(key, *trailer, value).unwrap(),
            _ => memtable.apply_with_digest(key, *trailer, value, digest).unwrap(),
        }
    }
    let mut cursor = memtable.cursor();
    let mut seen = [0; 2];
    loop {
        let Ok(()) = cursor.advance();
        let Some(entry) = cursor.entry() else { break };
        let has_digest = entry.seqno().get() % 3 != 0;
        assert_eq!(cursor.digest(), has_digest.then(|| EntryDigest::of(entry)));
        seen[usize::from(has_digest)] += 1;
    }
    assert_eq!(seen, [167, 333]);
    assert_eq!(cursor.digest(), None, "behind the last");
}

#[test]
fn an_entry_that_changed_since_its_digest_was_taken_is_refused() {
    let memtable = memtable();
    let put = |seqno: u32| Trailer::new(seqno.into(), EntryKind::Put);
    let (key, value) = (b"AD/Vila", vec![7; 2000]);
    for (seqno, len) in (0..).zip([3, 2000]) {
        let value = &value[..len];
        let digest = EntryDigest::of(EntryRef::new(key, put(seqno), value));
        let mut changed = value.to_vec();
        changed[len - 1] ^= 0x10;
        let refused = Err(Error::Damaged { seqno: SeqNo::from(seqno) });
        assert_eq!(memtable.apply_with_digest(key, put(seqno), &changed, digest), refused);
        assert_eq!(memtable.apply_with_digest(b"AD/Vilb", put(seqno), value, digest), refused);
        assert_eq!(memtable.entries(), 0);
        assert_eq!(memtable.get(key, SeqNo::MAX), None);
    }
    assert_eq!(memtable.cursor().entry(), None);
}

/// Four bytes, in rows that are rounded up to four.
#[test]
fn a_digest_takes_four_bytes() {
    const ROWS: u32 = 100_000;
    let fill = |with_digests: bool| {
        let memtable = memtable();
        for seqno in 0..ROWS {
            let (key, trailer) = (seqno.to_le_bytes(), Trailer::new(seqno.into(), EntryKind::Put));
            let value = [7; 20];
            let digest = EntryDigest::of(EntryRef::new(&key, trailer, &value));
            let applied = if with_digests {
                memtable.apply_with_digest(&key, trailer, &value, digest)
            } else {
                memtable.apply(&key, trailer, &value)
            };
            applied.unwrap();
        }
        memtable.memory_used()
    };
    let (without, with) = (fill(false), fill(true));
    let (chunk, word) = (256 << 10, 4);
    let more = with - without;
    assert!(more.abs_diff(ROWS as usize * word) <= chunk, "{without} and {with}");
}
