//! Range tombstones that are merged with what they hide.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use stratal_compaction::plan::{Covered, Job, Place, Reclaim, Shape, Strategy};
use stratal_types::{KeyRange, SeqNo};

use crate::{Error, Tree, files::TableHandle, view::View};

/// Pieces of tombstones that are looked for in tables at once. Of what is beyond, nothing is known.
const PIECES_MAX: usize = 4096;

/// Which view had nothing to reclaim, and for reads from which bound on.
#[derive(Debug, Default)]
pub(crate) struct Reclaimed {
    view: Weak<View>,
    watermark: SeqNo,
}

impl Tree {
    /// A merge of range tombstones with what they hide from every read, if that is much of its inputs.
    /// Reads those tombstones, and of the tables that they lie over the index.
    pub(crate) fn plan_reclaim(
        &self,
        view: &Arc<View>,
        shape: &Shape,
        before: &mut Reclaimed,
    ) -> Option<Job> {
        let percent = self.spec.load().policy().deletes_percent();
        if percent > 100 || view.tables().all(|(_, table)| table.meta.range_tombstones == 0) {
            return None;
        }
        let watermark = shape.watermark;
        let is_known = std::ptr::eq(before.view.as_ptr(), Arc::as_ptr(view));
        let newest = view.tables().filter(|(_, table)| table.meta.range_tombstones > 0);
        let newest = newest.map(|(_, table)| table.meta.visible_seqno_max()).max()?;
        // Above all tombstones it does not matter how far it has come.
        let reached = |watermark: SeqNo| watermark.min(newest.next().unwrap_or(SeqNo::MAX));
        if is_known && reached(before.watermark) == reached(watermark) {
            return None;
        }
        // Whoever reads the rows that are damaged here is told; a merge of them is too.
        let covered = covered(view, watermark).ok()?;
        let job = Reclaim { covered, percent }.plan(shape, self.comparator.as_ref());
        if job.is_none() {
            *before = Reclaimed { view: Arc::downgrade(view), watermark };
        }
        job
    }
}

/// What range tombstones below `watermark` hide of which table.
fn covered(view: &View, watermark: SeqNo) -> Result<Vec<Covered>, Error> {
    let mut lens: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut pieces = 0;
    for (place, by) in view.tables().filter(|(_, table)| table.meta.range_tombstones > 0) {
        let table = by.table()?;
        let fragments = table.tombstones().map_err(|source| by.error(source))?;
        let mut position = 0;
        while pieces < PIECES_MAX {
            let stretch = fragments.stretch(position);
            position += 1;
            if let (Some(from), Some(to), Some(seqno)) =
                (stretch.start, stretch.end, stretch.newest_below(watermark))
            {
                for hidden in under(view, place, by, &KeyRange::half_open(from, to)) {
                    if hidden.meta.visible_seqno_min() >= seqno {
                        continue;
                    }
                    pieces += 1;
                    let table = hidden.table()?;
                    let len = table.older_len(from, to, seqno);
                    let len = len.map_err(|source| hidden.error(source))?;
                    let sum = lens.entry((hidden.meta.number, by.meta.number)).or_default();
                    *sum = sum.saturating_add(len);
                }
            }
            if stretch.end.is_none() {
                break;
            }
        }
    }
    let covered = |((table, by), len)| Covered { table, by, len };
    Ok(lens.into_iter().map(covered).collect())
}

/// The tables in which there may be something that a tombstone over `range` hides, which `by` has: that
/// one, and those behind it.
fn under<'a>(
    view: &'a View,
    place: Place,
    by: &'a Arc<TableHandle>,
    range: &KeyRange,
) -> impl Iterator<Item = &'a Arc<TableHandle>> {
    let behind = view.runs().filter(move |(behind, _)| *behind > place);
    let behind =
        behind.flat_map(|(_, run)| run.tables.get(run.near(range)).unwrap_or_default().iter());
    [by].into_iter().chain(behind)
}
