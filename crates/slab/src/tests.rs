//! The slab beside a model of who owns which bytes.

use std::{collections::BTreeMap, thread};

use proptest::{collection::vec, prelude::*};

use crate::{
    HUGE_PAGE,
    slab::{Slab, Taken},
    span::SPAN_MAX,
};

/// A slab for one test. It stays, as the process's does.
fn slab() -> &'static Slab {
    Box::leak(Box::new(Slab::new()))
}

/// Buffers that are there, by where they begin.
#[derive(Default)]
struct Owned(BTreeMap<usize, (Taken, u8)>);

impl Owned {
    fn add(&mut self, mut taken: Taken, mark: u8) {
        taken.as_mut().fill(mark);
        let (start, len) = (taken.as_ref().as_ptr().addr(), taken.as_ref().len());
        if let Some((before, (other, _))) = self.0.range(..=start).next_back() {
            assert!(before + other.as_ref().len() <= start, "it begins inside another");
        }
        if let Some((behind, _)) = self.0.range(start..).next() {
            assert!(start + len <= *behind, "it ends inside another");
        }
        self.0.insert(start, (taken, mark));
    }

    /// Gives back the `n`th, after a look at what is in it.
    fn drop_nth(&mut self, n: usize) {
        let Some(&start) = self.0.keys().nth(n % self.0.len().max(1)) else { return };
        if let Some((taken, mark)) = self.0.remove(&start) {
            assert!(taken.as_ref().iter().all(|&byte| byte == mark), "somebody wrote there");
        }
    }
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1025..6000usize,
        4 => 1025..=(32usize << 10),
        2 => (32 << 10) + 1..=300_000usize,
        1 => SPAN_MAX - 5000..=SPAN_MAX + 5000,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn buffers_do_not_overlap_and_all_of_them_come_back(
        steps in vec((len(), any::<u8>(), any::<prop::sample::Index>(), 0..5u8), 1..400),
    ) {
        let slab = slab();
        let mut owned = Owned::default();
        for (len, mark, which, kind) in steps {
            if kind < 3 {
                owned.add(slab.take(len).expect("it is long enough"), mark);
            } else if !owned.0.is_empty() {
                owned.drop_nth(which.index(owned.0.len()));
            }
            let usage = slab.usage();
            let asked: usize = owned.0.values().map(|(taken, _)| taken.as_ref().len()).sum();
            prop_assert!(asked <= usage.taken && usage.taken <= usage.resident);
            prop_assert!(usage.taken <= asked + asked / 8 + 4096);
        }
        owned.0.clear();
        let usage = slab.usage();
        prop_assert_eq!(usage.taken, 0);
        prop_assert!(usage.resident <= 2 * HUGE_PAGE);
    }
}

#[test]
fn what_is_free_is_taken_again_and_empty_regions_go() {
    let slab = slab();
    let fill = |len: usize| (0..20_000).map(|_| slab.take(len).expect("slot")).collect::<Vec<_>>();
    let small = fill(4200);
    let resident = slab.usage().resident;
    // Beside the rest of a span there is that of a region, which is less than a span.
    assert!(resident <= 20_000 * 4352 * 21 / 20 + HUGE_PAGE, "{resident}");
    drop(small);
    assert_eq!(slab.usage().resident, 2 * HUGE_PAGE);
    let again = fill(4300);
    assert_eq!(slab.usage().resident, resident);
    // Every other goes, and as many come: nothing is asked of the system.
    let mut kept: Vec<Taken> =
        again.into_iter().zip(0..).filter_map(|(taken, i)| (i % 2 == 0).then_some(taken)).collect();
    kept.extend((0..10_000).map(|_| slab.take(4200).expect("slot")));
    assert_eq!(slab.usage().resident, resident);
}

#[test]
fn memory_of_one_length_serves_another() {
    let slab = slab();
    for len in [1500, 5000, 31_000, 60_000, 700_000] {
        let all: Vec<_> = (0..(64 << 20) / len).map(|_| slab.take(len).expect("room")).collect();
        let usage = slab.usage();
        // The longest find room twice in a region, and leave a third of it to others.
        let rest = if len > 100_000 { usage.taken / 2 } else { usage.taken / 10 };
        assert!(usage.resident <= usage.taken + rest + 3 * HUGE_PAGE, "{usage:?} at {len}");
        drop(all);
    }
    assert_eq!(slab.usage().resident, 2 * HUGE_PAGE);
}

#[test]
fn nobody_is_given_what_another_thread_has() {
    let slab = slab();
    let (sender, receiver) = std::sync::mpsc::channel::<(Taken, u8)>();
    thread::scope(|scope| {
        for mark in 1..=3u8 {
            let sender = sender.clone();
            scope.spawn(move || {
                for i in 0..20_000usize {
                    let len = [1100, 4200, 4300, 9000, 40_000][i * usize::from(mark) % 5];
                    let mut taken = slab.take(len).expect("long enough");
                    taken.as_mut().fill(mark);
                    if i % 3 == 0 {
                        assert!(taken.as_ref().iter().all(|&byte| byte == mark));
                    } else if sender.send((taken, mark)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // Gives back what others took, and some of it later.
        let mut kept = Vec::new();
        for (taken, mark) in receiver {
            kept.push((taken, mark));
            if kept.len() > 500 {
                for (taken, mark) in kept.drain(..) {
                    assert!(taken.as_ref().iter().all(|&byte| byte == mark));
                }
            }
        }
    });
    assert_eq!(slab.usage().taken, 0);
}
