//! The log, and who still needs which of its segments.

use std::collections::{BTreeMap, VecDeque};

use stratal_engine::TreeId;
use stratal_types::SeqNo;
use stratal_wal::{Lsn, Wal};

/// The write side of the database: whoever holds it may append, apply and seal.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// `None` in a database that was opened for reading, and in a closed one.
    pub(crate) wal: Option<Wal>,
    /// Where the log ended that was read by a database that is open for reading alone.
    pub(crate) read_to: Lsn,
    /// What stands before the batches of a group, while that is written. Kept for its memory.
    pub(crate) heads: Vec<u8>,
    /// Groups committed.
    pub(crate) groups: u64,
    /// Batches committed.
    pub(crate) batches: u64,
    /// By tree, the segments that hold records of it, oldest first, each with the bound above the
    /// tree's numbers in it. Those that are flushed are taken off when asked for.
    needs: BTreeMap<TreeId, VecDeque<(u64, SeqNo)>>,
    /// Where each segment begins, or rather the first record in it that this process knows.
    starts: BTreeMap<u64, Lsn>,
}

impl Log {
    /// Where the next record begins.
    pub(crate) fn end(&self) -> Lsn {
        self.wal.as_ref().map_or(self.read_to, Wal::end_lsn)
    }

    /// Notes that a record at `start` is in `segment`.
    pub(crate) fn note_segment(&mut self, segment: u64, start: Lsn) {
        self.starts.entry(segment).or_insert(start);
    }

    /// Notes that `segment` holds records of `tree` below `bound`.
    pub(crate) fn note_need(&mut self, tree: TreeId, segment: u64, bound: SeqNo) {
        let needs = self.needs.entry(tree).or_default();
        match needs.back_mut() {
            // Numbers ascend, and so do segments.
            Some((last, end)) if *last >= segment => *end = bound.max(*end),
            _ => needs.push_back((segment, bound)),
        }
    }

    /// Forgets a tree that was dropped.
    pub(crate) fn forget(&mut self, tree: TreeId) {
        self.needs.remove(&tree);
    }

    /// The oldest segment that holds records of `tree` at or above `flushed`.
    pub(crate) fn needed_by(&mut self, tree: TreeId, flushed: SeqNo) -> Option<u64> {
        let needs = self.needs.get_mut(&tree)?;
        while needs.front().is_some_and(|(_, bound)| *bound <= flushed) {
            needs.pop_front();
        }
        needs.front().map(|(segment, _)| *segment)
    }

    /// Bytes of log from `segment` on.
    pub(crate) fn len_from(&self, segment: u64) -> u64 {
        let start = self.starts.range(segment..).next().map_or(self.end(), |(_, start)| *start);
        self.end().since(start)
    }

    /// Bytes of log that are not retired.
    pub(crate) fn len(&self) -> u64 {
        self.len_from(0)
    }

    /// Forgets the segments below `floor`, which are gone.
    pub(crate) fn retired(&mut self, floor: u64) {
        self.starts = self.starts.split_off(&floor);
    }
}
