//! What a memtable accepts, and what it says it takes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use stratal_memtable::{Error, Memtable, check_entry};
use stratal_testkit::Rng;
use stratal_types::{Bytewise, EntryKind, KEY_LEN_MAX, SeqNo, Trailer};

fn put(seqno: u32) -> Trailer {
    Trailer::new(seqno.into(), EntryKind::Put)
}

fn memtable() -> Memtable {
    Memtable::new(1, Arc::new(Bytewise))
}

#[test]
fn keys_have_a_length_and_refused_ones_leave_no_trace() {
    let memtable = memtable();
    let longest = vec![7; KEY_LEN_MAX];
    let too_long = vec![7; KEY_LEN_MAX + 1];
    let refused = |len| Error::Length { what: "key", len, min: 1, max: KEY_LEN_MAX };
    assert_eq!(memtable.apply(b"", put(1), b"v"), Err(refused(0)));
    assert_eq!(memtable.apply(&too_long, put(1), b"v"), Err(refused(too_long.len())));
    assert_eq!(memtable.delete_range(b"", b"z", 1u32.into()), Err(refused(0)));
    assert_eq!(memtable.delete_range(b"a", &too_long, 1u32.into()), Err(refused(too_long.len())));
    assert_eq!(check_entry(b"", b""), Err(refused(0)));
    assert!(memtable.is_empty());
    assert_eq!((memtable.memory_used(), memtable.seqno_range(), memtable.span()), (0, None, None));

    assert_eq!(check_entry(&longest, b""), Ok(()));
    memtable.apply(&longest, put(1), b"v").unwrap();
    assert_eq!(memtable.get(&longest, SeqNo::MAX).unwrap().1, &b"v"[..]);
    assert_eq!(memtable.get(&too_long, SeqNo::MAX), None, "a read takes any key");
}

#[test]
fn a_range_that_is_empty_in_this_order_is_ignored() {
    let memtable = memtable();
    memtable.delete_range(b"b", b"a", 1u32.into()).unwrap();
    memtable.delete_range(b"b", b"b", 1u32.into()).unwrap();
    assert!(memtable.is_empty() && memtable.tombstones().is_empty());
}

#[test]
fn memory_counts_what_is_stored_and_never_decreases() {
    let memtable = memtable();
    let mut rng = Rng::new(1);
    let (mut stored, mut before) = (0, 0);
    for seqno in 1..3000u32 {
        let key_len = 1 + rng.index(40);
        let value_len_max = if rng.chance(1, 100) { 100_000 } else { 200 };
        let value_len = rng.index(value_len_max);
        let key = rng.bytes(key_len);
        if seqno % 10 == 9 {
            let end = [&key[..], b"~"].concat();
            memtable.delete_range(&key, &end, seqno.into()).unwrap();
            stored += key.len() + end.len();
        } else {
            memtable.apply(&key, put(seqno), &rng.bytes(value_len)).unwrap();
            stored += key.len() + value_len + size_of::<u64>() * 2;
        }
        let used = memtable.memory_used();
        assert!(used >= stored && used >= before, "{used} of {stored}, {before} before");
        before = used;
    }
    // The tree over the rows, the open chunk and the tails of full ones are all there is beside.
    assert!(before < stored + stored / 10 + 3000 * 100 + (256 << 10), "{before} for {stored}");
    drop(memtable.tombstones());
    assert_eq!(memtable.memory_used(), before);
}

/// Bytes for each row of 16 + 100, of so many.
fn memory_of_a_row(keys: &[Vec<u8>]) -> usize {
    let memtable = memtable();
    for (seqno, key) in (1u32..).zip(keys) {
        memtable.apply(key, put(seqno), &[7; 100]).unwrap();
    }
    memtable.memory_used() / keys.len()
}

/// What a write buffer is filled by: 128 bytes to a row itself, and 19 to its place
/// in a leaf that is full.
#[test]
fn a_row_takes_little_more_than_its_bytes() {
    let mut rng = Rng::new(1);
    let mut keys: Vec<_> = (0..200_000).map(|_| rng.bytes(16)).collect();
    let random = memory_of_a_row(&keys);
    keys.sort();
    let ascending = memory_of_a_row(&keys);
    assert!(random <= 158 && ascending <= 149, "{random} and {ascending}");
}

#[test]
fn values_outlive_the_memtable() {
    let memtable = memtable();
    memtable.apply(b"k", put(1), b"value").unwrap();
    let (_, value) = memtable.get(b"k", SeqNo::MAX).unwrap();
    drop(memtable);
    assert_eq!(value, &b"value"[..]);
}

#[test]
fn tombstones_are_cut_once_until_another_is_written() {
    let memtable = memtable();
    memtable.delete_range(b"a", b"c", 1u32.into()).unwrap();
    let first = memtable.tombstones();
    memtable.apply(b"b", put(2), b"").unwrap();
    assert!(Arc::ptr_eq(&first, &memtable.tombstones()));
    memtable.delete_range(b"b", b"d", 3u32.into()).unwrap();
    let second = memtable.tombstones();
    assert_eq!((first.len(), second.len()), (1, 2), "a snapshot stays as it is");
}
