use std::cmp::Reverse;

use stratal_types::Comparator;

use super::{
    Job, LEVELS_MAX, OptionsError, Place, Pressure, Reason, Run, Shape, Strategy, Table,
    options_error::within,
    pick::{
        SCORE_FULL, below, finish, job, last_level, numbers, overlapped, plan_deletes, price, unite,
    },
};

/// How a leveled tree is to be shaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeveledOptions {
    /// How many levels there are, level 0 included: 2 to [`LEVELS_MAX`]. Default
    /// [`LEVELS`](Self::LEVELS).
    pub levels: usize,
    /// Level 0 is merged down at this many runs. Default [`LEVEL0_RUNS`](Self::LEVEL0_RUNS).
    pub level0_runs: usize,
    /// How long the first level below 0 may get, in bytes. Default
    /// [`LEVEL_BASE_LEN`](Self::LEVEL_BASE_LEN).
    pub level_base_len: u64,
    /// How many times longer the next level may get. Default [`RATIO`](Self::RATIO).
    pub ratio: u64,
    /// What the lengths of levels are derived from. Default [`Sizing::Static`].
    pub sizing: Sizing,
    /// A job takes along no more than it must once it is this long, in bytes. Default
    /// [`JOB_LEN_MAX`](Self::JOB_LEN_MAX).
    pub job_len_max: u64,
    /// A table of which this share, in percent, are deletes is merged down even if its level is not
    /// too long; over 100 for never. Default [`DELETES_PERCENT`](Self::DELETES_PERCENT).
    pub deletes_percent: u64,
}

impl LeveledOptions {
    /// Default of [`levels`](Self::levels).
    pub const LEVELS: usize = 7;
    /// Default of [`level0_runs`](Self::level0_runs).
    pub const LEVEL0_RUNS: usize = 4;
    /// Default of [`level_base_len`](Self::level_base_len).
    pub const LEVEL_BASE_LEN: u64 = 256 << 20;
    /// Default of [`ratio`](Self::ratio).
    pub const RATIO: u64 = 10;
    /// Default of [`job_len_max`](Self::job_len_max).
    pub const JOB_LEN_MAX: u64 = 1600 << 20;
    /// Default of [`deletes_percent`](Self::deletes_percent).
    pub const DELETES_PERCENT: u64 = 50;

    /// Checks the options, once.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] names the option and its range.
    pub fn validate(self) -> Result<Leveled, OptionsError> {
        within("levels", self.levels as u64, 2, LEVELS_MAX as u64)?;
        within("level0_runs", self.level0_runs as u64, 2, u64::MAX)?;
        within("level_base_len", self.level_base_len, 1, u64::MAX)?;
        within("ratio", self.ratio, 2, u64::MAX)?;
        Ok(Leveled { options: self })
    }
}

impl Default for LeveledOptions {
    fn default() -> Self {
        Self {
            levels: Self::LEVELS,
            level0_runs: Self::LEVEL0_RUNS,
            level_base_len: Self::LEVEL_BASE_LEN,
            ratio: Self::RATIO,
            sizing: Sizing::Static,
            job_len_max: Self::JOB_LEN_MAX,
            deletes_percent: Self::DELETES_PERCENT,
        }
    }
}

/// What the lengths of levels are derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizing {
    /// From the first level down: the base, times the ratio, and so on.
    Static,
    /// From the last level up: what it holds, divided by the ratio, and so on. Levels that would be
    /// shorter than the base stay empty. Replaced data then never exceeds a share of `1 / (ratio - 1)`.
    Dynamic,
}

/// Leveled compaction: level 0 holds a run per flush, every level below a single run, ten times as
/// long as the one above.
///
/// The level that exceeds its length the most goes first. From level 0 the oldest runs are merged into
/// the first level below; from other levels the table that rewrites the least below per byte of its
/// own, with neighbours that come for free. What overlaps nothing below moves without being
/// rewritten, unless it holds deletes that a merge would collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leveled {
    options: LeveledOptions,
}

/// What a level may hold, by level, and where level 0 goes.
struct Targets {
    /// In bytes. Level 0 has none.
    lens: Vec<u64>,
    base_level: usize,
}

impl Leveled {
    /// The options this was made from.
    pub fn options(&self) -> &LeveledOptions {
        &self.options
    }

    /// How far the tree is behind.
    pub fn pressure(&self, shape: &Shape) -> Pressure {
        let targets = self.targets(shape);
        let level0_runs = shape.level(0).len();
        let level0 = if level0_runs >= self.options.level0_runs { shape.level_len(0) } else { 0 };
        let over = (1..self.last_level(shape)).map(|level| {
            let target = targets.lens.get(level).copied().unwrap_or(u64::MAX);
            shape.level_len(level).saturating_sub(target)
        });
        Pressure { level0_runs, debt: over.fold(level0, u64::saturating_add) }
    }

    fn last_level(&self, shape: &Shape) -> usize {
        last_level(shape, self.options.levels)
    }

    fn targets(&self, shape: &Shape) -> Targets {
        let LeveledOptions { level_base_len, ratio, .. } = self.options;
        let last = self.last_level(shape);
        let levels = last + 1;
        let mut lens = vec![0; levels];
        match self.options.sizing {
            Sizing::Static => {
                let mut target = level_base_len;
                for len in lens.iter_mut().skip(1) {
                    *len = target;
                    target = target.saturating_mul(ratio);
                }
                Targets { lens, base_level: 1 }
            }
            Sizing::Dynamic => {
                let longest = (1..levels).map(|level| shape.level_len(level)).max();
                let mut target = longest.unwrap_or(0).max(level_base_len);
                let mut base_level = last;
                for (level, len) in lens.iter_mut().enumerate().skip(1).rev() {
                    *len = target;
                    if target > 0 {
                        base_level = level;
                    }
                    // A level above would be shorter than what level 0 hands down.
                    target = if target <= level_base_len { 0 } else { target / ratio };
                }
                Targets { lens, base_level }
            }
        }
    }

    /// Levels that hold too much, the worst first.
    fn scores(&self, shape: &Shape, targets: &Targets) -> Vec<(u128, usize)> {
        let mut scores = Vec::new();
        let runs = shape.level(0).len() as u128;
        scores.push((runs * SCORE_FULL / self.options.level0_runs as u128, 0));
        let last = self.last_level(shape);
        for level in 1..=last {
            let runs = shape.level(level);
            // Inputs of running jobs are on their way out.
            let idle = runs.iter().flat_map(|run| &run.tables).filter(|table| !table.busy);
            let len: u128 = idle.map(|table| u128::from(table.len)).sum();
            let target = targets.lens.get(level).copied().unwrap_or(0);
            let by_len = match target {
                _ if level == last => 0,
                0 if len > 0 => SCORE_FULL * 2,
                0 => 0,
                // Rounded up: a level that is one byte too long scores over full.
                _ => (len * SCORE_FULL).div_ceil(target.into()),
            };
            let by_runs = if runs.len() > 1 { runs.len() as u128 * SCORE_FULL } else { 0 };
            scores.push((by_len.max(by_runs), level));
        }
        // A level that is exactly full may stay so; level 0 acts on the count it was given.
        scores
            .retain(|(score, level)| *score > SCORE_FULL || (*level == 0 && *score == SCORE_FULL));
        scores.sort_by_key(|(score, level)| (Reverse(*score), *level));
        scores
    }

    fn plan_level(
        &self,
        shape: &Shape,
        level: usize,
        targets: &Targets,
        comparator: &dyn Comparator,
    ) -> Option<Job> {
        match shape.level(level) {
            [] => None,
            runs if level == 0 => {
                let down = self.plan_level0(shape, runs, targets.base_level, comparator);
                down.or_else(|| self.plan_within_level0(shape, runs, comparator))
            }
            [run] => self.plan_run(shape, level, run, targets, comparator),
            _ => unite(shape, level, self.options.job_len_max, comparator),
        }
    }

    /// The oldest runs of level 0 go to the base level.
    fn plan_level0(
        &self,
        shape: &Shape,
        runs: &[Run],
        base_level: usize,
        comparator: &dyn Comparator,
    ) -> Option<Job> {
        let mut len: u64 = 0;
        let oldest = runs.iter().rev().take_while(|run| {
            let fits = len == 0 || len < self.options.job_len_max;
            len = len.saturating_add(run.len());
            fits
        });
        let oldest: Vec<&Run> = oldest.collect();
        let seeds = numbers(oldest.iter().copied());
        let age = oldest.last().map(|run| run.age)?;
        let output = below(shape, base_level, age);
        job(shape, &seeds, output, Reason::Runs, comparator)
    }

    /// While older runs are on their way down, the idle newer ones become one, so that reads do not
    /// pay for the wait.
    fn plan_within_level0(
        &self,
        shape: &Shape,
        runs: &[Run],
        comparator: &dyn Comparator,
    ) -> Option<Job> {
        let idle: Vec<&Run> =
            runs.iter().take_while(|run| run.tables.iter().all(|table| !table.busy)).collect();
        if idle.len() < self.options.level0_runs || idle.len() == runs.len() {
            return None;
        }
        let (oldest, newer) = idle.split_last()?;
        let output = Place { level: 0, age: oldest.age };
        let seeds = numbers(newer.iter().copied());
        job(shape, &seeds, output, Reason::Runs, comparator)
    }

    /// The cheapest part of a run goes to the next level.
    fn plan_run(
        &self,
        shape: &Shape,
        level: usize,
        run: &Run,
        targets: &Targets,
        comparator: &dyn Comparator,
    ) -> Option<Job> {
        let target = targets.lens.get(level).copied().unwrap_or(0);
        let excess = run.len().saturating_sub(target);
        // A level that has no place in the shape empties into the base level.
        let next = (level + 1).max(targets.base_level);
        let output = below(shape, next, run.age);
        let mut candidates: Vec<(u128, usize)> = run
            .tables
            .iter()
            .enumerate()
            .filter(|(_, table)| !table.busy)
            .filter_map(|(at, table)| Some((price(shape, table, output.level, comparator)?, at)))
            .collect();
        candidates.sort_unstable();
        candidates.iter().find_map(|(_, at)| {
            let seeds = self.with_neighbours(shape, run, *at, excess, output.level, comparator);
            let job = Job::widen(shape, &seeds, output, Reason::Size, comparator);
            let alone = run.tables.get(*at).map(|table| [table.number])?;
            let job = job
                .or_else(|_| Job::widen(shape, &alone, output, Reason::Size, comparator))
                .ok()?;
            finish(job, shape, comparator)
        })
    }

    /// The table at `at` and those beside it that can go along without one more table below being
    /// rewritten, as long as the level is too long and the job not.
    fn with_neighbours(
        &self,
        shape: &Shape,
        run: &Run,
        at: usize,
        excess: u64,
        next: usize,
        comparator: &dyn Comparator,
    ) -> Vec<u64> {
        let Some(table) = run.tables.get(at) else { return Vec::new() };
        let rewritten = overlapped(shape, table, next, comparator);
        let rewritten: Vec<u64> = rewritten.map(|table| table.number).collect();
        let limit = excess.min(self.options.job_len_max);
        let mut len = table.len;
        let mut seeds = vec![table.number];
        let (before, behind) = run.tables.split_at(at);
        let sides: [&mut dyn Iterator<Item = &Table>; 2] =
            [&mut before.iter().rev(), &mut behind.iter().skip(1)];
        for side in sides {
            for neighbour in side {
                let is_free = !neighbour.busy
                    && overlapped(shape, neighbour, next, comparator)
                        .all(|table| rewritten.contains(&table.number));
                if len >= limit || !is_free {
                    break;
                }
                len = len.saturating_add(neighbour.len);
                seeds.push(neighbour.number);
            }
        }
        seeds
    }
}

impl Strategy for Leveled {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        let targets = self.targets(shape);
        let scores = self.scores(shape, &targets);
        let mut levels = scores.iter().map(|(_, level)| *level);
        levels
            .find_map(|level| self.plan_level(shape, level, &targets, comparator))
            .or_else(|| plan_deletes(shape, self.options.deletes_percent, comparator))
    }
}
