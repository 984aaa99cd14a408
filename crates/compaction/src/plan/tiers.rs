use stratal_types::Comparator;

use super::{
    Job, Place, Reason, Run, Shape,
    pick::{SCORE_FULL, in_front, job, numbers},
};

/// Levels that hold several runs: what [`Tiered`](super::Tiered) is made of, and all but the last
/// level of [`LazyLeveled`](super::LazyLeveled).
///
/// Only runs that follow one another in age are merged, and the result takes the place of the oldest
/// of them, or stands in front of everything in the next level. So no version is ever passed by a
/// newer one.
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
            (runs as u128 * SCORE_FULL / self.runs as u128, level)
        };
        let scores = (0..=self.last).map(score);
        scores.filter(|(score, _)| *score >= SCORE_FULL).collect()
    }

    /// Bytes in levels of which something is to be merged.
    pub(super) fn debt(&self, shape: &Shape) -> u64 {
        let levels = (0..=self.last).map(|level| shape.level(level));
        let due = levels.enumerate().filter(|(level, runs)| {
            self.is_long_enough(*level, runs) || self.stretch(runs).is_some()
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
    fn promote(
        &self,
        shape: &Shape,
        level: usize,
        oldest: &[Run],
        comparator: &dyn Comparator,
    ) -> Option<Job> {
        if !self.is_long_enough(level, oldest) {
            return None;
        }
        let mut taken: u64 = 0;
        let count = oldest
            .iter()
            .rev()
            .enumerate()
            .take_while(|(count, run)| {
                let fits = *count < self.runs || taken < self.job_len_max;
                taken = taken.saturating_add(run.len());
                fits
            })
            .count();
        let going = oldest.get(oldest.len() - count..)?;
        let output = in_front(shape, level + 1, going.last()?.age);
        job(shape, &numbers(going), output, Reason::Runs, comparator)
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
