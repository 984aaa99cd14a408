//! What the strategies have in common: how a table's price is told, and where things go.

use std::cmp::Reverse;

use stratal_types::Comparator;

use super::{Job, JobKind, Place, Reason, Run, Shape, Table};

/// Scores are in thousandths: a level that is just as full as it may be has 1000.
pub(super) const SCORE_FULL: u128 = 1000;

/// Where tables of a run of this age go in `level`: into the run that is there, or a new one.
pub(super) fn below(shape: &Shape, level: usize, age: u64) -> Place {
    let age = shape.level(level).first().map_or(age, |run| run.age);
    Place { level, age }
}

/// Where tables of a run of this age become a run of their own in `level`, in front of those there.
pub(super) fn in_front(shape: &Shape, level: usize, age: u64) -> Place {
    let newest = shape.level(level).first().map_or(0, |run| run.age.saturating_add(1));
    Place { level, age: age.max(newest) }
}

pub(super) fn numbers<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Vec<u64> {
    runs.into_iter().flat_map(|run| &run.tables).map(|table| table.number).collect()
}

/// The deepest level that a strategy of `levels` levels uses: its last, or where tables stand from
/// a time when there were more.
pub(super) fn last_level(shape: &Shape, levels: usize) -> usize {
    let deepest = shape.levels.iter().rposition(|runs| !runs.is_empty()).unwrap_or(0);
    deepest.max(levels.saturating_sub(1))
}

/// The tables of level `next` that a merge of `table` rewrites.
pub(super) fn overlapped<'a>(
    shape: &'a Shape,
    table: &'a Table,
    next: usize,
    comparator: &'a dyn Comparator,
) -> impl Iterator<Item = &'a Table> {
    shape.level(next).iter().flat_map(move |run| run.overlapping(&table.span, comparator))
}

/// Bytes of level `next` that are rewritten per byte of `table`, in thousandths; `None` if one of
/// them belongs to a running job.
pub(super) fn price(
    shape: &Shape,
    table: &Table,
    next: usize,
    comparator: &dyn Comparator,
) -> Option<u128> {
    let mut len: u128 = 0;
    for rewritten in overlapped(shape, table, next, comparator) {
        if rewritten.busy {
            return None;
        }
        len += u128::from(rewritten.len);
    }
    Some(len * 1000 / u128::from(table.len.max(1)))
}

/// Makes a move that would carry collectable deletes along a merge that collects them.
pub(super) fn finish(job: Job, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
    if job.kind != JobKind::TrivialMove {
        return Some(job);
    }
    let older = job.older(shape, comparator);
    let collects = shape.tables().any(|(_, table)| {
        job.takes(table.number)
            && table.has_deletes()
            && table.seqnos.0 < shape.watermark
            && !older.overlaps(&table.span, comparator)
    });
    if collects { job.into_merge(shape, comparator).ok() } else { Some(job) }
}

/// The smallest job that merges `seeds` into `output`, if it can start.
pub(super) fn job(
    shape: &Shape,
    seeds: &[u64],
    output: Place,
    reason: Reason,
    comparator: &dyn Comparator,
) -> Option<Job> {
    let job = Job::widen(shape, seeds, output, reason, comparator).ok()?;
    finish(job, shape, comparator)
}

/// The runs of a level that ought to have one become one: at once if they are no longer than
/// `job_len_max` together, else column by column.
pub(super) fn unite(
    shape: &Shape,
    level: usize,
    job_len_max: u64,
    comparator: &dyn Comparator,
) -> Option<Job> {
    let (oldest, newer) = shape.level(level).split_last()?;
    let output = Place { level, age: oldest.age };
    if shape.level_len(level) <= job_len_max {
        return job(shape, &numbers(newer), output, Reason::Runs, comparator);
    }
    // A column begins at a table of the newest run, so that all runs of it are rewritten once.
    newer.iter().find_map(|run| {
        let idle = run.tables.iter().filter(|table| !table.busy);
        let mut tables: Vec<&Table> = idle.collect();
        tables.sort_by_key(|table| Reverse(table.len));
        tables
            .iter()
            .find_map(|table| job(shape, &[table.number], output, Reason::Runs, comparator))
    })
}

/// A table of level 0 is merged for its deletes if these are this share of it at least, in percent.
const LEVEL0_DELETES_PERCENT: u64 = 90;

/// A table of level 0 is merged for its deletes if there is one of them for this many entries that are
/// rewritten for it, or for fewer.
const LEVEL0_ENTRIES_PER_DELETE: u128 = 8;

/// A table of which `percent` are deletes, all of them old enough to be collected: rewritten if
/// nothing older can hold what they delete, else merged into the next older run that may.
///
/// What stands in level 0 is merged soon anyway. From there only a table goes that is hardly anything
/// but deletes, and enough of them for what they meet.
pub(super) fn plan_deletes(
    shape: &Shape,
    percent: u64,
    comparator: &dyn Comparator,
) -> Option<Job> {
    let is_dense = |table: &Table, percent: u64| {
        let deletes = deletes(table);
        let all = u128::from(table.entries) + u128::from(table.tombstones);
        deletes > 0
            && deletes * 100 >= all * u128::from(percent)
            && table.seqnos.1 < shape.watermark
            && !table.busy
    };
    let mut dense = shape.tables().filter(|(place, table)| match place.level {
        0 => percent <= 100 && is_dense(table, percent.max(LEVEL0_DELETES_PERCENT)),
        _ => is_dense(table, percent),
    });
    dense.find_map(|(place, table)| {
        let seeds = &[table.number];
        let rewrite = Job::widen(shape, seeds, place, Reason::Deletes, comparator).ok()?;
        if rewrite.older(shape, comparator).is_empty() {
            return finish(rewrite, shape, comparator);
        }
        let mut behind = shape.runs().filter(|(behind, _)| *behind > place);
        let (output, met) = behind.find_map(|(behind, run)| {
            let met = run.overlapping(&table.span, comparator);
            (!met.is_empty()).then_some((behind, met))
        })?;
        let met: u128 = met.iter().map(|table| u128::from(table.entries)).sum();
        if place.level == 0 && deletes(table) * LEVEL0_ENTRIES_PER_DELETE < met {
            return None;
        }
        job(shape, seeds, output, Reason::Deletes, comparator)
    })
}

/// Deletes of any sort in a table.
fn deletes(table: &Table) -> u128 {
    u128::from(table.deletes) + u128::from(table.tombstones)
}
