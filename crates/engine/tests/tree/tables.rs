//! What flushes and compactions leave.

use std::sync::Arc;

use stratal_fs::MemFs;
use stratal_testkit::Rng;
use stratal_types::SeqNo;

use crate::support::{open_store, open_tree, small};

#[test]
fn nothing_is_left_of_a_compacted_tree_of_deleted_keys() {
    let mut rng = Rng::new(1);
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs, 1).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut rng)).unwrap();
    for i in 0..500u32 {
        tree.put(&i.to_le_bytes(), &[7; 40]).unwrap();
    }
    tree.flush().unwrap();
    tree.delete_range(&[0], &[255; 5]).unwrap();
    tree.put(b"kept", b"1").unwrap();
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    let stats = tree.stats();
    let entries: u64 =
        stats.levels.iter().map(|level| level.entries + level.range_tombstones).sum();
    // The range tombstone covers the key behind it as well, whose number is therefore not zeroed; it
    // itself has nothing left to hide.
    assert_eq!(entries, 1, "{stats:?}");
}

#[test]
fn only_what_is_below_the_bound_is_flushed() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs, 1).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut Rng::new(1))).unwrap();
    let sealed = ["a", "b", "c"].map(|key| {
        tree.put(key.as_bytes(), b"1").unwrap();
        tree.seal();
        tree.sealed_to().unwrap()
    });
    assert_eq!(tree.flush_sealed_to(SeqNo::ZERO).unwrap().outputs, 0);
    tree.flush_sealed_to(sealed[1]).unwrap();
    assert_eq!((tree.flushed(), tree.stats().sealed), (sealed[1], 1));
    assert_eq!(tree.stats().levels.iter().map(|level| level.entries).sum::<u64>(), 2);
    tree.flush_sealed().unwrap();
    assert_eq!((tree.flushed(), tree.stats().sealed), (sealed[2], 0));
    assert_eq!(tree.get(b"c").unwrap().as_deref(), Some(&b"1"[..]));
}
