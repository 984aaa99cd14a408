//! Every interleaving of those who show, read and take back what a slot shows.
//!
//! `cargo xtask loom`

use std::sync::Arc;

use loom::thread;

use crate::{Pin, Resident, Slots};

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
        let slots = Slots::new(1);
        let shown = slots.show(0, &Arc::new(Value(1)));
        let reader = {
            let slots = slots.clone();
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
        let slots = Slots::new(1);
        let show = |number| {
            let slots = slots.clone();
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
        let slots = Slots::new(1);
        let old = slots.show(0, &Arc::new(Value(1)));
        let new = {
            let slots = slots.clone();
            thread::spawn(move || slots.show(0, &Arc::new(Value(2))))
        };
        let user = {
            let slots = slots.clone();
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
