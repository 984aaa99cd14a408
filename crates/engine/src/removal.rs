//! Tables that go without being merged, since a range tombstone hides everything in them.

use std::{
    ops::Bound,
    sync::{Arc, Weak},
};

use stratal_compaction::plan::{Job, Shape};
use stratal_types::{Comparator, Fragments, KeyRange, SeqNo};

use crate::{
    Error, JobSummary, Tree,
    files::{JobLedger, TableHandle},
    view::View,
};

/// Which view was searched for hidden tables in vain, so that it is not searched again.
#[derive(Debug, Default)]
pub(crate) struct Searched {
    view: Weak<View>,
    /// Every read saw every tombstone of it.
    is_final: bool,
}

impl Tree {
    /// A job that removes the tables of which range tombstones in other tables hide everything from
    /// every read, if there are any. It reads those tombstones, which reads keep in the cache.
    ///
    /// Tombstones in memory do not count: they may be lost with the power, and the tables would be
    /// gone.
    pub(crate) fn plan_hidden(
        &self,
        view: &Arc<View>,
        shape: &Shape,
        searched: &mut Searched,
    ) -> Option<Job> {
        let is_known = std::ptr::eq(searched.view.as_ptr(), Arc::as_ptr(view));
        if (is_known && searched.is_final) || view.tables().all(|(_, table)| !has_tombstones(table))
        {
            return None;
        }
        let comparator = self.comparator.as_ref();
        let parts: Result<Vec<_>, Error> =
            view.runs().map(|(_, run)| run.tombstones(&KeyRange::ALL)).collect();
        // Whoever reads the rows that are damaged here is told; a merge of them is too.
        let parts = parts.ok()?;
        let all = Fragments::merge(parts.iter().map(Arc::as_ref), comparator);
        let watermark = self.store.clock().watermark();
        let shape = &Shape { watermark, ..shape.clone() };
        let hidden: Vec<(u64, SeqNo, SeqNo)> = shape
            .tables()
            .filter(|(_, table)| !table.busy)
            .filter_map(|(_, table)| {
                let cover = cover(&all, &table.span, watermark, comparator)?;
                (table.seqnos.1 < cover).then_some((table.number, table.seqnos.1, cover))
            })
            .collect();
        // Each is covered by something newer than it. What goes together is newer than all of them.
        let seqno = hidden.iter().map(|(_, _, cover)| *cover).min();
        let job = seqno.and_then(|seqno| {
            let older = hidden.iter().filter(|(_, newest, _)| *newest < seqno);
            let numbers: Vec<u64> = older.map(|(number, ..)| *number).collect();
            Job::drop_hidden(shape, &numbers, seqno, comparator).ok()
        });
        if hidden.is_empty() {
            let newest = all.seqno_range().map(|(_, newest)| newest);
            let is_final = newest.is_none_or(|newest| newest < watermark);
            *searched = Searched { view: Arc::downgrade(view), is_final };
        }
        job
    }

    /// Takes tables out of the tree of which a range tombstone hides everything.
    pub(crate) fn run_removal(&self, job: &Job) -> Result<JobSummary, Error> {
        let ledger = JobLedger::new(&self.store.files);
        self.install(job, &ledger, None, |edit| {
            for number in &job.inputs {
                edit.remove_table(self.id, *number);
            }
            Ok(())
        })?;
        Ok(JobSummary { inputs: job.inputs.len(), ..JobSummary::default() })
    }
}

fn has_tombstones(table: &TableHandle) -> bool {
    table.meta.range_tombstones > 0
}

/// The least number of what covers each key of `span` for reads at `bound`; `None` if a key is not
/// covered.
fn cover(
    fragments: &Fragments,
    span: &KeyRange,
    bound: SeqNo,
    comparator: &dyn Comparator,
) -> Option<SeqNo> {
    let (Bound::Included(start) | Bound::Excluded(start)) = &span.start else { return None };
    let mut position = fragments.position(start, comparator);
    let mut least = SeqNo::MAX;
    loop {
        let stretch = fragments.stretch(position);
        least = least.min(stretch.newest_below(bound)?);
        let end = stretch.end?;
        let is_last = match &span.end {
            Bound::Included(inside) => comparator.compare(inside, end).is_lt(),
            Bound::Excluded(behind) => comparator.compare(behind, end).is_le(),
            Bound::Unbounded => false,
        };
        if is_last {
            return Some(least);
        }
        position += 1;
    }
}

#[cfg(test)]
mod tests {
    use stratal_types::{Bytewise, RangeTombstone};

    use super::*;

    #[test]
    fn a_span_is_covered_if_every_key_of_it_is() {
        let at = |seqno: u32| SeqNo::from(seqno);
        let written = [
            RangeTombstone::new("b", "f", at(5)),
            RangeTombstone::new("d", "h", at(7)),
            RangeTombstone::new("k", "m", at(9)),
        ];
        let fragments = Fragments::build(&written, &Bytewise);
        let closed = |first: &str, last: &str| KeyRange::closed(first, last);
        let half_open = |first: &str, end: &str| KeyRange::half_open(first, end);
        let cases = [
            (closed("b", "c"), 10, Some(5)),
            (closed("b", "g"), 10, Some(5)),
            (closed("d", "g"), 10, Some(7)),
            (closed("d", "e"), 7, Some(5)),
            (closed("d", "g"), 7, None),
            (half_open("d", "h"), 10, Some(7)),
            (closed("d", "h"), 10, None),
            (closed("a", "c"), 10, None),
            (closed("e", "l"), 10, None),
            (closed("k", "l"), 10, Some(9)),
            (closed("n", "o"), 10, None),
            (KeyRange::ALL, 10, None),
        ];
        for (span, bound, expected) in cases {
            let found = cover(&fragments, &span, at(bound), &Bytewise);
            assert_eq!(found, expected.map(at), "{span:?} at {bound}");
        }
    }
}
