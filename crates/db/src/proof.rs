use std::collections::VecDeque;

use stratal_types::SeqNo;
use stratal_wal::Lsn;

/// Groups of a log that was read, of which nothing read so far says that they are on stable storage.
#[derive(Debug, Default)]
pub(crate) struct Unproven {
    /// Where each ends, and its first number; ascending.
    groups: VecDeque<(Lsn, SeqNo)>,
}

impl Unproven {
    /// Notes a group that ends at `end` and whose numbers begin with `first`.
    pub(crate) fn note(&mut self, end: Lsn, first: SeqNo) {
        self.groups.push_back((end, first));
    }

    /// Forgets those that end at or below `synced`, up to where the log is proven to be synced.
    pub(crate) fn prove(&mut self, synced: Lsn) {
        while self.groups.front().is_some_and(|(end, _)| *end <= synced) {
            self.groups.pop_front();
        }
    }

    /// The lowest number that is not proven; `None` if all are.
    pub(crate) fn first(&self) -> Option<SeqNo> {
        self.groups.front().map(|(_, first)| *first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_proven_when_the_log_is_synced_to_its_end() {
        let mut unproven = Unproven::default();
        assert_eq!(unproven.first(), None);
        for (end, first) in [(100, 5u32), (150, 9), (300, 10)] {
            unproven.note(Lsn(end), first.into());
        }
        for (synced, first) in [(0, Some(5u32)), (99, Some(5)), (100, Some(9)), (299, Some(10))] {
            unproven.prove(Lsn(synced));
            assert_eq!(unproven.first(), first.map(SeqNo::from), "{synced}");
        }
        unproven.prove(Lsn(300));
        assert_eq!(unproven.first(), None);
    }
}
