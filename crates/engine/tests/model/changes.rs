//! What a tree says has changed, compared with what was written.

use std::collections::VecDeque;

use stratal_engine::{ChangeOptions, Error};
use stratal_testkit::Rng;

use crate::{
    oracle::Oracle,
    subject::{HeldChanges, Logged, Subject},
};

impl Subject<'_> {
    /// Everything that was written since the step `since` comes in the order in which it was written, or
    /// the scan is refused; and refused only if it is too late.
    pub(crate) fn check_changes(&mut self, since: u64, seed: u64) {
        let mut rng = self.rng(seed);
        let mark = self.mark(since);
        let options = ChangeOptions { memory_len: 1 << rng.below(16), ..ChangeOptions::default() };
        let changes = match self.tree().changes_with(mark, options) {
            Ok(changes) => changes,
            Err(Error::SnapshotTooOld { floor, .. }) => {
                assert!(mark < floor, "{self}: {mark} is refused, and {floor} would be served");
                return self.counts.add("refused scan of changes");
            }
            Err(error) => panic!("{self}: {error}"),
        };
        let numbered = self.log.iter().flat_map(Logged::numbered);
        let expected = numbered.filter(|(seqno, _)| *seqno >= mark);
        let expected: VecDeque<_> =
            expected.map(|(seqno, operation)| (seqno, operation.clone())).collect();
        self.counts.add("changes");
        let held = HeldChanges { changes, expected };
        if rng.chance(1, 3) && self.held_changes.len() < 2 {
            self.held_changes.push(held);
        } else {
            self.compare_changes(held, usize::MAX);
        }
    }

    /// A scan that began earlier goes on, and knows of nothing that was written since.
    pub(crate) fn go_on_with_changes(&mut self, rng: &mut Rng) {
        if let Some(held) = self.held_changes.pop() {
            self.counts.add("held scan of changes");
            let more = self.compare_changes(held, rng.index(40));
            self.held_changes.extend(more);
        }
    }

    /// Compares up to `count` changes; gives the scan back unless it has ended.
    fn compare_changes(&mut self, mut held: HeldChanges, count: usize) -> Option<HeldChanges> {
        for _ in 0..count {
            let found = match held.changes.next().transpose() {
                Ok(change) => change.map(|change| (change.seqno, change.operation)),
                // For the space of tables that have expired.
                Err(Error::SnapshotTooOld { .. }) if self.is_expiring => {
                    self.counts.add("scan of changes that was refused late");
                    return None;
                }
                Err(error) => panic!("{self}: {error}"),
            };
            let expected = held.expected.pop_front();
            assert_eq!(found, expected, "{self}: changes");
            if found.is_none() {
                if held.changes.windows() > 1 {
                    self.counts.add("window of changes");
                }
                return None;
            }
        }
        Some(held)
    }

    /// What somebody holds is there, however often the tree was opened again since.
    pub(crate) fn check_holders(&mut self, oracle: &Oracle<'_>, past: u64, seed: u64) {
        let names = self.store().held_history();
        assert_eq!(names.len(), self.holders.len(), "{self}: {names:?}");
        for (name, bound) in names {
            let from = self.holders[name.as_str()];
            assert_eq!(bound, self.mark(from), "{self}: {name}");
            let floor = self.store().clock().floor();
            assert!(bound >= floor, "{self}: {name} holds {bound}, and the floor is {floor}");
            if from >= past {
                self.check_past(oracle, from, seed);
            }
        }
    }
}
