//! Every interleaving of those who show, read and take back what a slot shows.
//!
//! `cargo xtask loom`

use std::sync::Arc;

use loom::thread;
use stratal_types::sync::Mutex;

use crate::{
    FileId, Pin, Resident, Slots,
    area::{Area, Entry},
    turn::{Asked, Waiting},
};

#[derive(Debug, PartialEq, Eq)]
#[repr(align(8))]
struct Value(u64);

impl Resident for Value {
    fn weight(&self) -> usize {
        8
    }
}

fn seen(slots: &Slots<Value>) -> Option<u64> {
    slots.get(0, &Pin::new()).map(|(value, _)| value.0)
}

#[test]
fn what_is_taken_back_is_not_seen_afterwards_though_it_was_used_meanwhile() {
    loom::model(|| {
        let slots = Arc::new(Slots::new(1));
        let shown = slots.show(0, &Arc::new(Value(1)));
        let reader = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || (seen(&slots), seen(&slots)))
        };
        let judge = thread::spawn(move || {
            let was_used = shown.as_ref().map(crate::slots::Shown::take_uses);
            drop(shown);
            was_used
        });
        let _was_used = judge.join();
        assert_eq!(seen(&slots), None);
        let (first, second) = reader.join().unwrap_or_default();
        assert!(matches!((first, second), (Some(1), Some(1) | None) | (None, None)));
        assert_eq!(seen(&slots), None);
    });
}

#[test]
fn of_two_that_show_a_value_the_last_wins_and_neither_takes_back_the_others() {
    loom::model(|| {
        let slots = Arc::new(Slots::new(1));
        let show = |number| {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slots.show(0, &Arc::new(Value(number))))
        };
        let (one, two) = (show(1), show(2));
        let one = one.join().unwrap_or_default();
        let before = seen(&slots);
        assert!(before.is_some());
        drop(one);
        let two = two.join().unwrap_or_default();
        // The first was replaced and then went, or replaced the second and took itself back.
        assert!(matches!(seen(&slots), Some(2) | None));
        drop(two);
        assert_eq!(seen(&slots), None);
    });
}

#[test]
fn a_replacement_stays_while_what_it_replaced_goes() {
    loom::model(|| {
        let slots = Arc::new(Slots::new(1));
        let old = slots.show(0, &Arc::new(Value(1)));
        let new = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slots.show(0, &Arc::new(Value(2))))
        };
        let user = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || seen(&slots))
        };
        drop(old);
        let new = new.join().unwrap_or_default();
        assert_eq!(seen(&slots), Some(2));
        let _seen = user.join();
        assert_eq!(seen(&slots), Some(2));
        drop(new);
        assert_eq!(seen(&slots), None);
    });
}

/// Slots, and the part of a shard that loads for them use.
struct Loads {
    slots: Slots<Value>,
    waiting: Waiting,
    area: Mutex<Area>,
}

impl Loads {
    fn new() -> Arc<Self> {
        let mut area = Area::new();
        drop(area.set_budget(100));
        let (slots, waiting, area) = (Slots::new(1), Waiting::default(), Mutex::new(area));
        Arc::new(Self { slots, waiting, area })
    }

    /// What the slot shows, or `load` gives, and whether that was loaded here.
    fn get(&self, load: impl FnOnce() -> Option<u64>) -> (Option<u64>, bool) {
        match self.slots.ask(0, &self.waiting) {
            Some(Asked::Shown(value, _) | Asked::Shared(value)) => (Some(value.0), false),
            Some(Asked::Mine(mut turn)) => {
                let Some(number) = load() else { return (None, true) };
                let value = Arc::new(Value(number));
                if let Some(hidden) = self.slots.hide(0, &value) {
                    let entry = Entry::new(hidden, 60, FileId::next());
                    let gone = self.area.lock().keep(&mut turn, entry);
                    drop(gone);
                }
                turn.finish(&value);
                (Some(number), true)
            }
            None => (None, false),
        }
    }
}

#[test]
fn of_two_that_ask_for_a_value_one_loads_and_both_have_it() {
    loom::model(|| {
        let loads = Loads::new();
        let theirs = Arc::clone(&loads);
        let other = thread::spawn(move || theirs.get(|| Some(7)));
        let (mine, is_mine) = loads.get(|| Some(7));
        let (others, is_others) = other.join().unwrap_or_default();
        assert_eq!((mine, others), (Some(7), Some(7)));
        assert!(is_mine != is_others, "once");
        assert_eq!(loads.slots.share(0, &Pin::new()).map(|(value, _)| value.0), Some(7));
    });
}

#[test]
fn when_a_load_fails_who_waits_goes_on_with_its_own() {
    loom::model(|| {
        let loads = Loads::new();
        let theirs = Arc::clone(&loads);
        let failing = thread::spawn(move || theirs.get(|| None));
        let (mine, is_mine) = loads.get(|| Some(7));
        assert_eq!(mine, Some(7));
        let (theirs, was_theirs) = failing.join().unwrap_or_default();
        assert!(matches!(
            (theirs, was_theirs, is_mine),
            (None, true, true) | (Some(7), false, true)
        ));
    });
}

#[test]
fn what_is_not_kept_is_shared_by_who_waits_or_loaded_again() {
    loom::model(|| {
        let loads = Loads::new();
        drop(loads.area.lock().set_budget(1));
        let theirs = Arc::clone(&loads);
        let other = thread::spawn(move || theirs.get(|| Some(1)));
        let (mine, _) = loads.get(|| Some(2));
        let (others, _) = other.join().unwrap_or_default();
        assert!(matches!((mine, others), (Some(1 | 2), Some(1)) | (Some(2), Some(2))));
        assert!(!loads.slots.shows(0));
    });
}

#[test]
fn a_value_that_is_evicted_while_it_is_used_is_used_or_loaded_again() {
    loom::model(|| {
        let loads = Loads::new();
        let _loaded = loads.get(|| Some(1));
        let theirs = Arc::clone(&loads);
        let evictor = thread::spawn(move || drop(theirs.area.lock().set_budget(0)));
        let (value, is_mine) = loads.get(|| Some(2));
        assert_eq!(value, Some(if is_mine { 2 } else { 1 }));
        let _evicted = evictor.join();
        assert_eq!(loads.area.lock().len(), 0);
        assert!(!loads.slots.shows(0), "what is not in the area is not shown");
    });
}

#[test]
fn slots_may_go_while_what_they_show_is_evicted() {
    loom::model(|| {
        let (slots, waiting, mut area) = (Slots::new(1), Waiting::default(), Area::new());
        drop(area.set_budget(100));
        if let Some(mut turn) = slots.claim(0, &waiting) {
            let value = Arc::new(Value(1));
            if let Some(hidden) = slots.hide(0, &value) {
                drop(area.keep(&mut turn, Entry::new(hidden, 60, FileId::next())));
            }
            turn.finish(&value);
        }
        let evictor = thread::spawn(move || {
            drop(area.set_budget(10));
            area.len()
        });
        drop(slots);
        assert_eq!(evictor.join().unwrap_or(1), 0);
    });
}
