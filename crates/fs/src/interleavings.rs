//! Every interleaving of those who want handles of which only one may be open.
//!
//! `cargo xtask loom`

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use loom::thread;

use crate::handles::{Pool, Slot};

/// How many handles are open.
type Count = Arc<AtomicUsize>;

/// Counts itself.
#[derive(Debug)]
struct Opened {
    name: usize,
    open: Count,
}

impl Opened {
    fn new(name: usize, open: &Count) -> Result<Self, Infallible> {
        assert_eq!(open.fetch_add(1, Ordering::SeqCst), 0, "one more is open than may be");
        Ok(Self { name, open: Arc::clone(open) })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn use_it(slot: &Slot<Opened>, name: usize, open: &Count) {
    let Ok(handle) = slot.get(|_| Opened::new(name, open));
    assert_eq!(handle.name, name);
}

fn none_is_open(pool: &Pool<Opened>, open: &Count) -> bool {
    (pool.counts().taken, open.load(Ordering::SeqCst)) == (0, 0)
}

#[test]
fn two_who_want_different_handles_wait_for_one_another_and_both_get_theirs() {
    loom::model(|| {
        let (pool, open) = (Pool::new(1), Count::default());
        let (one, two) = (Slot::new(&pool), Slot::new(&pool));
        let theirs = Arc::clone(&open);
        let other = thread::spawn(move || use_it(&one, 1, &theirs));
        use_it(&two, 2, &open);
        assert!(other.join().is_ok());
        assert!(pool.counts().taken <= 1);
        drop(two);
        assert!(none_is_open(&pool, &open));
    });
}

#[test]
fn two_who_want_the_same_handle_open_it_once() {
    loom::model(|| {
        let (pool, open) = (Pool::new(1), Count::default());
        let slot = Arc::new(Slot::new(&pool));
        let (theirs, count) = (Arc::clone(&slot), Arc::clone(&open));
        let other = thread::spawn(move || use_it(&theirs, 1, &count));
        use_it(&slot, 1, &open);
        assert!(other.join().is_ok());
        assert_eq!((pool.counts().opened, pool.counts().reopened), (1, 0));
    });
}

#[test]
fn a_handle_that_is_closed_while_somebody_wants_it_is_opened_again() {
    loom::model(|| {
        let (pool, open) = (Pool::new(1), Count::default());
        let slot = Arc::new(Slot::new(&pool));
        use_it(&slot, 1, &open);
        let (theirs, count) = (Arc::clone(&slot), Arc::clone(&open));
        let other = thread::spawn(move || use_it(&theirs, 1, &count));
        pool.close_one();
        drop(slot);
        assert!(other.join().is_ok());
        assert!(none_is_open(&pool, &open));
    });
}

#[test]
fn a_place_that_is_held_is_given_back_to_who_waits() {
    loom::model(|| {
        let (pool, open) = (Pool::new(1), Count::default());
        let slot = Slot::new(&pool);
        let theirs = Arc::clone(&pool);
        let holder = thread::spawn(move || {
            // Two places, for what is held leaves one.
            let held = theirs.hold();
            assert!(theirs.counts().taken <= 2);
            drop(held);
        });
        use_it(&slot, 1, &open);
        assert!(holder.join().is_ok());
        drop(slot);
        assert!(none_is_open(&pool, &open));
    });
}
