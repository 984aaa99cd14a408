use stratal_types::{Comparator, Fragment, Fragments, KeyRange, SeqNo};

use crate::SpanSet;

/// The range tombstones of a job's inputs, and those of them that its outputs must carry.
///
/// All at or above the watermark stay as they are. Of those below it, what is newest over each key
/// stays, which does for every reader what the others did; and that goes, between two bounds, iff
/// nothing older overlaps what lies between them.
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
        let mut kept: Vec<Fragment<'_>> =
            inputs.iter().take_while(|fragment| fragment.seqno >= watermark).collect();
        if kept.len() == inputs.len() {
            return Self { kept: inputs.clone(), inputs };
        }
        for position in 1..inputs.bounds() {
            let stretch = inputs.stretch(position);
            if let (Some(start), Some(end)) = (stretch.start, stretch.end)
                && let Some(seqno) = stretch.newest_below(watermark)
                && older.overlaps(&KeyRange::half_open(start, end), comparator)
            {
                kept.push(Fragment { start, end, seqno });
            }
        }
        let kept = Fragments::build(kept, comparator);
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
    /// The last answer, which holds for a bound and the whole stretch.
    newest: Option<(SeqNo, Option<SeqNo>)>,
}

impl<'a> FragmentFinger<'a> {
    pub(super) fn new(fragments: &'a Fragments) -> Self {
        Self { fragments, position: 0, newest: None }
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
    #[inline]
    pub(super) fn covering(
        &mut self,
        key: &[u8],
        bound: SeqNo,
        comparator: &dyn Comparator,
    ) -> Option<SeqNo> {
        if self.fragments.is_empty() { None } else { self.search(key, bound, comparator) }
    }

    fn search(&mut self, key: &[u8], bound: SeqNo, comparator: &dyn Comparator) -> Option<SeqNo> {
        loop {
            let stretch = self.fragments.stretch(self.position);
            match stretch.end {
                Some(end) if comparator.compare(end, key).is_le() => {
                    self.position += 1;
                    self.newest = None;
                }
                _ => {
                    let known = self.newest.filter(|(of, _)| *of == bound);
                    let (_, newest) = known.unwrap_or_else(|| (bound, stretch.newest_below(bound)));
                    self.newest = Some((bound, newest));
                    return newest;
                }
            }
        }
    }
}
