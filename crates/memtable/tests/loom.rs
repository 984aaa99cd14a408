//! Every interleaving of one writer and readers that the model checker finds: what was published is
//! found, in order, while leaves fill and split. Nodes have four slots here.
//!
//! `cargo xtask loom`
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};
use stratal_memtable::Memtable;
use stratal_types::{Bytewise, Cursor, EntryKind, SeqNo, Trailer};

fn seqno(number: u64) -> SeqNo {
    SeqNo::new(number).unwrap()
}

fn put(memtable: &Memtable, key: u8, number: u64) {
    memtable.apply(&[key], Trailer::new(seqno(number), EntryKind::Put), &[key]).unwrap();
}

/// Applies `keys`, the first `before` of them alone, the others while a reader runs `read`, which is
/// given how many were published when it began.
fn check(keys: &'static [u8], before: u64, read: fn(&Arc<Memtable>, &'static [u8], u64)) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.max_branches = 20_000;
    let runs = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    model.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let memtable = Arc::new(Memtable::new(1, Arc::new(Bytewise)));
        let published = Arc::new(AtomicU64::new(before));
        for (number, key) in (1u64..).zip(keys).take(before as usize) {
            put(&memtable, *key, number);
        }
        let writer = {
            let (memtable, published) = (Arc::clone(&memtable), Arc::clone(&published));
            thread::spawn(move || {
                for (number, key) in (1u64..).zip(keys).skip(before as usize) {
                    put(&memtable, *key, number);
                    published.store(number, Ordering::Release);
                }
            })
        };
        read(&memtable, keys, published.load(Ordering::Acquire));
        writer.join().unwrap();
        get_all(&memtable, keys, keys.len() as u64);
        walk(&memtable, keys, keys.len() as u64);
    });
    println!("{} interleavings", runs.load(std::sync::atomic::Ordering::Relaxed));
}

fn get_all(memtable: &Arc<Memtable>, keys: &'static [u8], published: u64) {
    for (number, key) in (1..=published).zip(keys) {
        get(memtable, *key, number);
    }
}

/// One lookup is all that a model has time for: what comes first is what is moved.
fn get_first(memtable: &Arc<Memtable>, keys: &'static [u8], _: u64) {
    get(memtable, keys[0], 1);
}

fn get_last(memtable: &Arc<Memtable>, keys: &'static [u8], published: u64) {
    get(memtable, keys[published as usize - 1], published);
}

fn get(memtable: &Memtable, key: u8, number: u64) {
    let (trailer, value) = memtable.get(&[key], SeqNo::MAX).expect("it was published");
    assert!(trailer.seqno() >= seqno(number) && value[..] == [key]);
}

fn walk(memtable: &Arc<Memtable>, keys: &'static [u8], published: u64) {
    let mut cursor = memtable.cursor();
    let Ok(()) = cursor.seek_to_first();
    let mut found = Vec::new();
    while let Some(entry) = cursor.entry() {
        found.push((entry.key[0], u64::MAX - entry.trailer.seqno().get()));
        let Ok(()) = cursor.advance();
    }
    assert!(found.is_sorted() && found.windows(2).all(|two| two[0] != two[1]), "{found:?}");
    for (number, key) in (1..=published).zip(keys) {
        assert!(found.contains(&(*key, u64::MAX - number)), "{key} of {found:?}");
    }
}

#[test]
fn a_row_is_found_while_its_half_of_a_leaf_goes_elsewhere() {
    check(&[5, 1, 7, 3, 4], 4, get_first);
}

#[test]
fn a_row_is_found_while_slots_of_the_other_half_are_used_again() {
    check(&[1, 5, 7, 3, 4, 2], 4, get_first);
}

#[test]
fn a_row_is_found_while_another_comes_before_it() {
    check(&[5, 1, 7, 3], 2, get_last);
}

#[test]
fn a_row_is_found_while_the_next_leaf_begins() {
    check(&[1, 2, 3, 4, 5, 6], 4, get_last);
}

#[test]
fn a_parent_gets_children_under_lookups() {
    check(&[1, 2, 3, 4, 5, 7, 8, 6], 7, get_last);
}

#[test]
fn a_parent_gets_children_under_a_cursor() {
    check(&[1, 2, 3, 4, 5, 7, 8, 6], 7, walk);
}

#[test]
fn a_leaf_is_sorted_under_a_cursor() {
    check(&[5, 1, 7, 3], 3, walk);
}

#[test]
fn a_cursor_walks_through_a_split() {
    check(&[5, 1, 7, 3, 4], 4, walk);
}

#[test]
fn versions_of_one_key_are_found_over_a_split() {
    check(&[2, 2, 1, 2, 2], 4, get_last);
}

/// The root has four children, the third of which is cut, and so the root.
#[test]
fn a_row_is_found_while_its_half_of_an_inner_node_goes_elsewhere() {
    check(&[16, 12, 8, 4, 15, 11, 7, 3, 14, 10, 6, 2, 9, 10], 13, get_first);
}

/// The same, with the last.
#[test]
fn a_row_is_found_while_the_next_inner_node_begins() {
    check(&[16, 12, 8, 4, 15, 11, 7, 3, 14, 10, 6, 2, 13], 12, get_first);
}
