use stratal_types::{Comparator, Fragments, KeyRange, RangeTombstone, SeqNo};

use crate::SpanSet;

/// The range tombstones of a job's inputs, and those of them that its outputs must carry.
///
/// Of the tombstones of one fragment, all at or above the watermark stay, and the newest below,
/// which does for every reader what the others below it did. That one goes iff nothing older
/// overlaps the fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobTombstones {
    inputs: Fragments,
    kept: Fragments,
}

impl JobTombstones {
    /// Those of a job whose inputs have none.
    pub const NONE: &'static Self = &Self { inputs: Fragments::EMPTY, kept: Fragments::EMPTY };

    /// Decides about `inputs`, the tombstones of all inputs together.
    pub fn new(
        inputs: Fragments,
        watermark: SeqNo,
        older: &SpanSet,
        comparator: &dyn Comparator,
    ) -> Self {
        let mut kept = Vec::new();
        for fragment in inputs.iter() {
            let above = fragment.seqnos.partition_point(|seqno| *seqno >= watermark);
            let (above, below) = fragment.seqnos.split_at(above);
            let span = KeyRange::half_open(fragment.start, fragment.end);
            let newest_below = below.first().filter(|_| older.overlaps(&span, comparator));
            for seqno in above.iter().chain(newest_below) {
                kept.push(RangeTombstone::new(fragment.start, fragment.end, *seqno));
            }
        }
        let kept = Fragments::build(&kept, comparator);
        Self { inputs, kept }
    }

    /// Every tombstone of the inputs.
    pub fn inputs(&self) -> &Fragments {
        &self.inputs
    }

    /// What the outputs carry, each table [clipped](Fragments::clip) to the span it is responsible
    /// for.
    pub fn kept(&self) -> &Fragments {
        &self.kept
    }
}

/// A place in [`Fragments`] that follows ascending keys.
#[derive(Clone, Debug)]
pub(super) struct FragmentFinger<'a> {
    fragments: &'a Fragments,
    position: usize,
}

impl<'a> FragmentFinger<'a> {
    pub(super) fn new(fragments: &'a Fragments) -> Self {
        Self { fragments, position: 0 }
    }

    /// Whether a tombstone may cover a key from `first` to `last`. `first` stands at or behind every key
    /// asked for before.
    pub(super) fn overlaps(
        &mut self,
        first: &[u8],
        last: &[u8],
        comparator: &dyn Comparator,
    ) -> bool {
        if self.fragments.is_empty() {
            return false;
        }
        let covers_first = self.covering(first, SeqNo::MAX, comparator).is_some();
        let end = self.fragments.stretch(self.position).end;
        covers_first || end.is_some_and(|end| comparator.compare(end, last).is_le())
    }

    /// The newest tombstone below `bound` over `key`, which stands at or behind every key asked for
    /// before.
    pub(super) fn covering(
        &mut self,
        key: &[u8],
        bound: SeqNo,
        comparator: &dyn Comparator,
    ) -> Option<SeqNo> {
        if self.fragments.is_empty() {
            return None;
        }
        loop {
            let stretch = self.fragments.stretch(self.position);
            match stretch.end {
                Some(end) if comparator.compare(end, key).is_le() => self.position += 1,
                _ => return stretch.newest_below(bound),
            }
        }
    }
}
