use std::ops::Range;

use stratal_types::SeqNo;

use super::fence::Stats;

/// The sequence numbers, as stored, that a cursor looks for. Blocks without any are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sought {
    since: SeqNo,
    until: SeqNo,
}

impl Default for Sought {
    fn default() -> Self {
        Self { since: SeqNo::ZERO, until: SeqNo::MAX }
    }
}

impl Sought {
    /// Those in `seqnos`, of a table of which every entry is seen at `overlay` if it has one.
    pub(crate) fn seen(seqnos: &Range<SeqNo>, overlay: Option<SeqNo>) -> Self {
        match overlay {
            Some(seqno) if seqnos.contains(&seqno) => Self::default(),
            // The numbers stored under it do not count.
            Some(_) => Self { since: SeqNo::MAX, until: SeqNo::ZERO },
            None => Self { since: seqnos.start, until: seqnos.end },
        }
    }

    pub(crate) fn is_all(self) -> bool {
        self == Self::default()
    }

    /// Whether entries of which this is known may have some.
    pub(crate) fn meets(self, stats: Stats) -> bool {
        stats.seqno_max >= self.since.get() && stats.seqno_min < self.until.get()
    }
}
