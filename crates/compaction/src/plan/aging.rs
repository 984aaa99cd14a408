use stratal_types::{Comparator, SeqNo};

use super::{Job, Place, Reason, Shape, Strategy, Table};

/// Values that are too old: a table goes as a whole if [all of it](Shape::dead) is, and everything older
/// under it; it is rewritten if [some of it](Shape::stale) has been for long, by a merge that leaves that
/// out.
///
/// For trees of every strategy. A table that was rewritten once is not again for the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aging;

impl Strategy for Aging {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        plan_dead(shape, comparator).or_else(|| plan_stale(shape, comparator))
    }
}

fn plan_dead(shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
    let is_dead = |table: &Table| table.seqnos.1 < shape.dead;
    let expire = |seeds: &[u64]| Job::expire(shape, seeds, Reason::Age, comparator).ok();
    let mut going: Vec<u64> = Vec::new();
    for (_, table) in shape.tables().filter(|(_, table)| is_dead(table) && !table.busy) {
        let Some(job) = expire(&[table.number]) else { continue };
        let mut inputs = shape.tables().filter(|(_, table)| job.takes(table.number));
        if inputs.all(|(_, table)| is_dead(table)) {
            going.push(table.number);
        }
    }
    if going.is_empty() { None } else { expire(&going) }
}

fn plan_stale(shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
    // What somebody may read is not judged.
    let limit = shape.stale.min(shape.watermark);
    let unjudged = |table: &Table| table.seqnos.0.max(table.judged_to);
    let is_stale =
        |table: &Table| unjudged(table) < limit && table.entries > table.deletes && !table.busy;
    let mut stale: Vec<(SeqNo, Place, u64)> = shape
        .tables()
        .filter(|(_, table)| is_stale(table))
        .map(|(place, table)| (unjudged(table), place, table.number))
        .collect();
    stale.sort_unstable_by_key(|(unjudged, _, number)| (*unjudged, *number));
    stale.iter().find_map(|(_, place, number)| {
        Job::widen(shape, &[*number], *place, Reason::Age, comparator).ok()
    })
}
