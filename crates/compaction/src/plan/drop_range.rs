use std::ops::Bound;

use stratal_types::{Comparator, KeyRange, SeqNo};

use super::{Job, Shape, Strategy, Table};

/// Removes, without reading them, the tables of which a range tombstone hides everything.
///
/// The caller vouches for the tombstone: it covers `range`, has the number `seqno`, and is in a
/// durable table that is not itself within the range, or in front of all that are. Nothing happens
/// before every read sees it, which is when `seqno` is below the watermark. What lies across the
/// edges of the range stays, and is merged in the ordinary way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropRange {
    /// The keys that were deleted.
    pub range: KeyRange,
    /// The tombstone's number.
    pub seqno: SeqNo,
}

impl Strategy for DropRange {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        let is_hidden = |table: &Table| {
            !table.busy
                && table.seqnos.1 < self.seqno
                && is_within(&table.span, &self.range, comparator)
        };
        let hidden = shape.tables().filter(|(_, table)| is_hidden(table));
        let hidden: Vec<u64> = hidden.map(|(_, table)| table.number).collect();
        Job::drop_hidden(shape, &hidden, self.seqno, comparator).ok()
    }
}

/// Whether `range` holds every key of `span`.
pub(super) fn is_within(span: &KeyRange, range: &KeyRange, comparator: &dyn Comparator) -> bool {
    let starts_in = match (&span.start, &range.start) {
        (_, Bound::Unbounded) => true,
        (Bound::Unbounded, _) => false,
        (Bound::Included(span), Bound::Excluded(range)) => comparator.compare(span, range).is_gt(),
        (
            Bound::Included(span) | Bound::Excluded(span),
            Bound::Included(range) | Bound::Excluded(range),
        ) => comparator.compare(span, range).is_ge(),
    };
    let ends_in = match (&span.end, &range.end) {
        (_, Bound::Unbounded) => true,
        (Bound::Unbounded, _) => false,
        (Bound::Included(span), Bound::Excluded(range)) => comparator.compare(span, range).is_lt(),
        (
            Bound::Included(span) | Bound::Excluded(span),
            Bound::Included(range) | Bound::Excluded(range),
        ) => comparator.compare(span, range).is_le(),
    };
    starts_in && ends_in
}
