//! One writer and several readers: what was applied before a number was published is found.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use stratal_memtable::{Memtable, MemtableCursor};
use stratal_testkit::Rng;
use stratal_types::{Bytewise, Comparator, Cursor, EntryKind, Reverse, SeqNo, Trailer};

const WRITES: u64 = 20_000;
const KEYS: u64 = 3_000;
const READERS: u64 = 3;

/// What the threads tell one another.
#[derive(Default)]
struct Progress {
    /// The last write that is complete.
    published: AtomicU64,
    /// How often readers have gone round.
    laps: AtomicU64,
}

fn seqno(number: u64) -> SeqNo {
    SeqNo::new(number).unwrap()
}

/// The key that write `number` goes to: every key is written several times.
fn key(number: u64) -> Vec<u8> {
    format!("{:06}", (number * 7919) % KEYS).into_bytes()
}

fn is_range_delete(number: u64) -> bool {
    number.is_multiple_of(500)
}

fn write(memtable: &Memtable, progress: &Progress) {
    for number in 1..=WRITES {
        if is_range_delete(number) {
            let mut ends = [key(number), key(number + 1)];
            ends.sort_by(|a, b| memtable.comparator().compare(a, b));
            memtable.delete_range(&ends[0], &ends[1], seqno(number)).unwrap();
        } else {
            let trailer = Trailer::new(seqno(number), EntryKind::Put);
            memtable.apply(&key(number), trailer, number.to_string().as_bytes()).unwrap();
        }
        progress.published.store(number, Ordering::Release);
        // Lets every reader in from time to time; between, it writes while they read. Does not wait
        // for ever: a reader that panicked never comes.
        let laps_wanted = (number / 500) * READERS;
        let waits =
            (0..100_000).take_while(|_| progress.laps.load(Ordering::Relaxed) < laps_wanted);
        waits.for_each(|_| thread::yield_now());
    }
}

/// Reads until everything is published.
fn read(memtable: &Arc<Memtable>, progress: &Progress, mut rng: Rng) {
    let mut cursor = memtable.cursor();
    loop {
        let last = progress.published.load(Ordering::Acquire);
        for _ in 0..20 {
            let number = 1 + rng.below(last);
            if number <= last {
                check_write(memtable, number, last);
            }
        }
        check_walk(&mut cursor, memtable.comparator().as_ref(), &mut rng, last);
        let newest = memtable.seqno_range().map_or(SeqNo::ZERO, |range| *range.end());
        assert!(newest >= seqno(last));
        progress.laps.fetch_add(1, Ordering::Relaxed);
        if last == WRITES {
            return;
        }
    }
}

/// Write `number` is there, and a read at `last + 1` finds the last of its key up to `last`.
fn check_write(memtable: &Memtable, number: u64, last: u64) {
    let order = memtable.comparator().as_ref();
    if is_range_delete(number) {
        let mut ends = [key(number), key(number + 1)];
        ends.sort_by(|a, b| order.compare(a, b));
        let covering = memtable.tombstones().covering(&ends[0], seqno(number + 1), order);
        assert_eq!(covering, Some(seqno(number)));
        return;
    }
    let (trailer, value) = memtable.get(&key(number), seqno(number + 1)).unwrap();
    assert_eq!((trailer.seqno(), &value[..]), (seqno(number), number.to_string().as_bytes()));
    let (trailer, _) = memtable.get(&key(number), seqno(last + 1)).unwrap();
    assert!(trailer.seqno() >= seqno(number) && trailer.seqno() <= seqno(last));
}

/// A walk of some steps is in order both ways, and misses no write up to `last` on its way.
fn check_walk(cursor: &mut MemtableCursor, order: &dyn Comparator, rng: &mut Rng, last: u64) {
    let from = key(rng.below(KEYS));
    cursor.seek(&from, SeqNo::MAX).unwrap();
    let mut walked = Vec::new();
    while let Some(entry) = cursor.entry().filter(|_| walked.len() < 200) {
        walked.push((entry.key.to_vec(), entry.seqno()));
        cursor.advance().unwrap();
    }
    assert!(walked.is_sorted_by(|(a, x), (b, y)| {
        let by_key = order.compare(a, b);
        by_key.is_lt() || by_key.is_eq() && x > y
    }));
    let Some((end, oldest)) = walked.last().cloned() else { return };
    let between = |(key, number): &(Vec<u8>, SeqNo)| {
        let behind_from = order.compare(&from, key).is_le();
        let by_key = order.compare(key, &end);
        behind_from && (by_key.is_lt() || by_key.is_eq() && *number >= oldest)
    };
    let expected = (1..=last).filter(|&number| !is_range_delete(number));
    let expected = expected.map(|number| (key(number), seqno(number))).filter(between).count();
    let found = walked.iter().filter(|(_, number)| *number <= seqno(last)).count();
    assert_eq!(found, expected);

    for _ in 0..20 {
        let before = cursor.entry().map(|entry| (entry.key.to_vec(), entry.seqno()));
        cursor.retreat().unwrap();
        let (Some((key, number)), Some(entry)) = (before, cursor.entry()) else { return };
        let by_key = order.compare(entry.key, &key);
        assert!(by_key.is_lt() || by_key.is_eq() && entry.seqno() > number);
    }
}

fn check(comparator: Arc<dyn Comparator>) {
    let memtable = Arc::new(Memtable::new(1, comparator));
    let progress = Progress::default();
    thread::scope(|scope| {
        for reader in 0..READERS {
            let (memtable, progress) = (&memtable, &progress);
            scope.spawn(move || read(memtable, progress, Rng::new(reader)));
        }
        write(&memtable, &progress);
    });
    let range_deletes = (1..=WRITES).filter(|&number| is_range_delete(number)).count();
    assert_eq!(memtable.entries() as u64, WRITES - range_deletes as u64);
}

#[test]
fn readers_find_what_was_published_while_one_thread_writes() {
    check(Arc::new(Bytewise));
}

#[test]
fn readers_find_what_was_published_in_another_order() {
    check(Arc::new(Reverse));
}

/// Two threads that both write break the contract of one applying writer but lose nothing.
#[test]
fn writers_wait_for_one_another() {
    let memtable = Arc::new(Memtable::new(1, Arc::new(Bytewise)));
    thread::scope(|scope| {
        for parity in 0..2u64 {
            let memtable = &memtable;
            scope.spawn(move || {
                for number in (0..4000).filter(|number| number % 2 == parity) {
                    let trailer = Trailer::new(seqno(number), EntryKind::Put);
                    memtable.apply(&key(number), trailer, &key(number)).unwrap();
                }
            });
        }
    });
    assert_eq!(memtable.entries(), 4000);
    for number in 0..4000 {
        assert_eq!(memtable.get(&key(number), seqno(number + 1)).unwrap().1, key(number));
    }
}

#[test]
fn cursors_and_memtables_may_go_to_other_threads() {
    fn goes<T: Send + 'static>() {}
    fn is_shared<T: Sync>() {}
    goes::<MemtableCursor>();
    goes::<Arc<Memtable>>();
    is_shared::<Memtable>();
}
