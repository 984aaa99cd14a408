use stratal_types::Comparator;

use super::{
    Job, Place, Reason, Run, Shape, Table,
    pick::{SCORE_FULL, in_front, job, numbers},
};
use crate::span_set::compare_starts;

/// Levels that hold several runs: what [`Tiered`](super::Tiered) is made of, and all but the last
/// level of [`LazyLeveled`](super::LazyLeveled).
///
/// Only runs that follow one another in age are merged, and the result takes the place of the oldest
/// of them, or stands in front of everything in the next level. So no version is ever passed by a
/// newer one. What goes to the next level goes in columns, and no job is as long as the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiers {
    /// How many runs of a level are merged.
    pub(super) runs: usize,
    /// Runs of level 0 that are this long together go to level 1; `runs` times as long from level 1
    /// to level 2, and so on.
    pub(super) promote_len: u64,
    pub(super) job_len_max: u64,
    /// The deepest such level; nothing goes below it.
    pub(super) last: usize,
}

/// A level with this many times as many runs as are merged at once has some of them merged, alike in
/// length or not.
const CROWDED: usize = 4;

impl Tiers {
    /// Levels that hold enough runs to be merged, the fullest first, upper ones first among equals.
    pub(super) fn scores(&self, shape: &Shape) -> Vec<(u128, usize)> {
        let score = |level| {
            let runs = shape.level(level).iter().filter(|run| is_idle(run)).count();
            let score = runs as u128 * SCORE_FULL / self.runs as u128;
            let is_begun = self.under_way(shape, level).is_some();
            (if is_begun { score.max(SCORE_FULL) } else { score }, level)
        };
        let scores = (0..=self.last).map(score);
        scores.filter(|(score, _)| *score >= SCORE_FULL).collect()
    }

    /// Bytes in levels of which something is to be merged.
    pub(super) fn debt(&self, shape: &Shape) -> u64 {
        let levels = (0..=self.last).map(|level| shape.level(level));
        let due = levels.enumerate().filter(|(level, runs)| {
            self.is_long_enough(*level, runs)
                || self.under_way(shape, *level).is_some()
                || self.stretch(runs).is_some()
        });
        due.map(|(level, _)| shape.level_len(level)).fold(0, u64::saturating_add)
    }

    /// What is to be done in a level.
    pub(super) fn plan(
        &self,
        shape: &Shape,
        level: usize,
        comparator: &dyn Comparator,
    ) -> Option<Job> {
        let runs = shape.level(level);
        let busy_in_front = runs.iter().rposition(|run| !is_idle(run));
        let oldest = runs.get(busy_in_front.map_or(0, |at| at + 1)..).unwrap_or_default();
        if let Some(down) = self.promote(shape, level, oldest, comparator) {
            return Some(down);
        }
        // While older runs are on their way, the newer ones do not wait for them.
        let busy_behind = runs.iter().position(|run| !is_idle(run)).unwrap_or(runs.len());
        let newest = runs.get(..busy_behind).unwrap_or_default();
        [oldest, newest].into_iter().find_map(|idle| {
            let stretch = self.stretch(idle)?;
            let (last, newer) = stretch.split_last()?;
            let output = Place { level, age: last.age };
            job(shape, &numbers(newer), output, Reason::Runs, comparator)
        })
    }

    /// The oldest runs of a level become the newest of the next, if they are long enough for it.
    ///
    /// That takes a job or several, a column each. The run that they make has the age of the newest
    /// run that goes, so whoever plans the next column knows which runs belong to it.
    fn promote(
        &self,
        shape: &Shape,
        level: usize,
        oldest: &[Run],
        comparator: &dyn Comparator,
    ) -> Option<Job> {
        if let Some((going, output)) = self.under_way(shape, level) {
            return self.column(shape, going, output, comparator);
        }
        if !self.is_long_enough(level, oldest) {
            return None;
        }
        let output = in_front(shape, level + 1, oldest.first()?.age);
        self.column(shape, oldest, output, comparator)
    }

    /// The runs of a level of which a part is in the next level already, and where that is.
    fn under_way<'a>(&self, shape: &'a Shape, level: usize) -> Option<(&'a [Run], Place)> {
        let age = shape.level(level + 1).first().filter(|_| level < self.last)?.age;
        let runs = shape.level(level);
        let going = runs.get(runs.partition_point(|run| run.age > age)..)?;
        (!going.is_empty()).then_some((going, Place { level: level + 1, age }))
    }

    /// Merges the tables of `going` into `output`: all of them, or a column of about the length that a
    /// job may have.
    fn column(
        &self,
        shape: &Shape,
        going: &[Run],
        output: Place,
        comparator: &dyn Comparator,
    ) -> Option<Job> {
        let idle = going.iter().flat_map(|run| &run.tables).filter(|table| !table.busy);
        let mut tables: Vec<&Table> = idle.collect();
        tables.sort_by(|a, b| compare_starts(&a.span, &b.span, comparator));
        let mut rest = tables.as_slice();
        while let Some((first, _)) = rest.split_first() {
            let (mut len, mut count, mut hull) = (0_u64, 0, first.span.clone());
            for table in rest {
                // Beyond its length a column takes what it would have to merge once more otherwise.
                let most = self.job_len_max.saturating_mul(2);
                let fits = len < self.job_len_max
                    || (len < most && table.span.overlaps(&hull, comparator));
                if count > 0 && !fits {
                    break;
                }
                len = len.saturating_add(table.len);
                hull = hull.hull(&table.span, comparator);
                count += 1;
            }
            let (column, behind) = rest.split_at(count);
            let seeds: Vec<u64> = column.iter().map(|table| table.number).collect();
            if let Some(job) = job(shape, &seeds, output, Reason::Runs, comparator) {
                return Some(job);
            }
            rest = behind;
        }
        None
    }

    /// Whether these runs of a level are enough for one of the next.
    fn is_long_enough(&self, level: usize, runs: &[Run]) -> bool {
        let exponent = u32::try_from(level).unwrap_or(u32::MAX);
        let scale = (self.runs as u64).saturating_pow(exponent);
        let len = runs.iter().map(Run::len).fold(0, u64::saturating_add);
        level < self.last
            && runs.len() >= self.runs
            && len >= self.promote_len.saturating_mul(scale)
    }

    /// Neighbours in age that are alike in length: each is no longer than all newer ones of the
    /// stretch together. So a long run is not rewritten for every few short ones, and there are
    /// never more than logarithmically many.
    fn stretch<'a>(&self, idle: &'a [Run]) -> Option<&'a [Run]> {
        for start in 0..idle.len() {
            let from = idle.get(start..)?;
            let mut len: u64 = 0;
            let mut count = 0;
            for run in from {
                let is_alike = count == 0 || run.len() <= len;
                if !is_alike || (count >= self.runs && len >= self.job_len_max) {
                    break;
                }
                len = len.saturating_add(run.len());
                count += 1;
            }
            if count >= self.runs {
                return from.get(..count);
            }
        }
        if idle.len() < self.runs.saturating_mul(CROWDED) {
            return None;
        }
        let len = |window: &&[Run]| window.iter().map(Run::len).fold(0, u64::saturating_add);
        idle.windows(self.runs).min_by_key(len)
    }
}

fn is_idle(run: &Run) -> bool {
    run.tables.iter().all(|table| !table.busy)
}
