use std::cmp::Reverse;

use stratal_types::Comparator;

use super::{
    Job, LEVELS_MAX, OptionsError, Pressure, Reason, Run, Shape, Strategy, Table,
    options_error::within,
    pick::{SCORE_FULL, below, job, last_level, plan_deletes, unite},
    tiers::Tiers,
};

/// How a lazy-leveled tree is to be shaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LazyLeveledOptions {
    /// How many levels there are, level 0 included: 2 to [`LEVELS_MAX`]. Default
    /// [`LEVELS`](Self::LEVELS).
    pub levels: usize,
    /// A level above the last is merged at this many runs, at least 2. Default [`RUNS`](Self::RUNS).
    pub runs: usize,
    /// All levels above the last hold at most the length of the last divided by this, at least 2.
    /// Default [`RATIO`](Self::RATIO).
    pub ratio: u64,
    /// As in [`TieredOptions`](super::TieredOptions::promote_len): runs of level 0 that are this long
    /// together, in bytes, at least 1, become one of level 1. Default
    /// [`PROMOTE_LEN`](Self::PROMOTE_LEN).
    pub promote_len: u64,
    /// A job takes along no more than it must once it is this long, in bytes. Default
    /// [`JOB_LEN_MAX`](Self::JOB_LEN_MAX).
    pub job_len_max: u64,
    /// A table of which this share, in percent, are deletes is merged even if nothing else asks for
    /// it; over 100 for never. Default [`DELETES_PERCENT`](Self::DELETES_PERCENT).
    pub deletes_percent: u64,
}

impl LazyLeveledOptions {
    /// Default of [`levels`](Self::levels).
    pub const LEVELS: usize = 7;
    /// Default of [`runs`](Self::runs).
    pub const RUNS: usize = 8;
    /// Default of [`ratio`](Self::ratio).
    pub const RATIO: u64 = 4;
    /// Default of [`promote_len`](Self::promote_len): two full write buffers.
    pub const PROMOTE_LEN: u64 = 128 << 20;
    /// Default of [`job_len_max`](Self::job_len_max).
    pub const JOB_LEN_MAX: u64 = 1600 << 20;
    /// Default of [`deletes_percent`](Self::deletes_percent).
    pub const DELETES_PERCENT: u64 = 50;

    /// Checks the options, once.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] names the option and its range.
    pub fn validate(self) -> Result<LazyLeveled, OptionsError> {
        within("levels", self.levels as u64, 2, LEVELS_MAX as u64)?;
        within("runs", self.runs as u64, 2, u64::MAX)?;
        within("ratio", self.ratio, 2, u64::MAX)?;
        within("promote_len", self.promote_len, 1, u64::MAX)?;
        Ok(LazyLeveled { options: self })
    }
}

impl Default for LazyLeveledOptions {
    fn default() -> Self {
        Self {
            levels: Self::LEVELS,
            runs: Self::RUNS,
            ratio: Self::RATIO,
            promote_len: Self::PROMOTE_LEN,
            job_len_max: Self::JOB_LEN_MAX,
            deletes_percent: Self::DELETES_PERCENT,
        }
    }
}

/// Lazy-leveled compaction: the last level is one run, all levels above hold several.
///
/// Rows are rewritten once per upper level and then merged into the last, which holds nearly
/// everything; replaced rows take at most a share of `1 / ratio`. What goes down goes column by
/// column: a table of the lowest upper level with what it overlaps, the cheapest first. Upper tables
/// are cut where tables of the last level begin, so columns fit each other and no job is the whole
/// tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LazyLeveled {
    options: LazyLeveledOptions,
}

impl LazyLeveled {
    /// The options this was made from.
    pub fn options(&self) -> &LazyLeveledOptions {
        &self.options
    }

    /// How far the tree is behind.
    pub fn pressure(&self, shape: &Shape) -> Pressure {
        let last = last_level(shape, self.options.levels);
        let above = (0..last).map(|level| shape.level_len(level)).fold(0, u64::saturating_add);
        let debt = above.saturating_sub(self.upper_len_max(shape, last));
        Pressure { level0_runs: shape.level(0).len(), debt }
    }

    /// Bytes that all levels above `last` may hold.
    fn upper_len_max(&self, shape: &Shape, last: usize) -> u64 {
        let at_least = self.options.promote_len.saturating_mul(self.options.runs as u64);
        (shape.level_len(last) / self.options.ratio).max(at_least)
    }
}

/// A column of the lowest level above the last goes down: the cheapest that is no longer than a job
/// ought to be, else the shortest.
fn push(shape: &Shape, last: usize, job_len_max: u64, comparator: &dyn Comparator) -> Option<Job> {
    let levels = shape.levels.get(..last).unwrap_or(&shape.levels);
    let lowest = levels.iter().rposition(|runs| !runs.is_empty())?;
    let runs = shape.level(lowest);
    let mut candidates: Vec<(u128, u64, u64)> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        let older = runs.get(at + 1..).unwrap_or_default();
        for table in run.tables.iter().filter(|table| !table.busy) {
            if let Some(price) = column_price(shape, table, older, last, comparator) {
                candidates.push((price, table.number, run.age));
            }
        }
    }
    candidates.sort_unstable();
    // Runs that are cut differently widen a column from run to run. A little dearer and not so long
    // is better: a job is to end soon, and to find room.
    let mut shortest: Option<(u64, Job)> = None;
    for (_, number, age) in candidates {
        let output = below(shape, last, age);
        let Some(job) = job(shape, &[number], output, Reason::Size, comparator) else { continue };
        let inputs = shape.tables().filter(|(_, table)| job.takes(table.number));
        let len = inputs.map(|(_, table)| table.len).fold(0, u64::saturating_add);
        if len <= job_len_max {
            return Some(job);
        }
        if shortest.as_ref().is_none_or(|(least, _)| len < *least) {
            shortest = Some((len, job));
        }
    }
    shortest.map(|(_, job)| job)
}

/// Bytes of the last level that are rewritten per byte that leaves the level of `table`, in
/// thousandths. `None` if one of them belongs to a running job.
fn column_price(
    shape: &Shape,
    table: &Table,
    older: &[Run],
    last: usize,
    comparator: &dyn Comparator,
) -> Option<u128> {
    let mut going = u128::from(table.len);
    for along in older.iter().flat_map(|run| run.overlapping(&table.span, comparator)) {
        if along.busy {
            return None;
        }
        going += u128::from(along.len);
    }
    let mut rewritten: u128 = 0;
    for below in shape.level(last).iter().flat_map(|run| run.overlapping(&table.span, comparator)) {
        if below.busy {
            return None;
        }
        rewritten += u128::from(below.len);
    }
    Some(rewritten * 1000 / going.max(1))
}

impl Strategy for LazyLeveled {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        let LazyLeveledOptions { levels, runs, promote_len, job_len_max, .. } = self.options;
        let last = last_level(shape, levels);
        let tiers = Tiers { runs, promote_len, job_len_max, last: last.saturating_sub(1) };
        let mut scores = tiers.scores(shape);
        // What running jobs take is on its way out.
        let above = shape.tables().filter(|(place, table)| place.level < last && !table.busy);
        let above: u128 = above.map(|(_, table)| u128::from(table.len)).sum();
        let upper_len_max = u128::from(self.upper_len_max(shape, last));
        if above > upper_len_max {
            scores.push((above * SCORE_FULL / upper_len_max.max(1), last));
        }
        scores.sort_by_key(|(score, level)| (Reverse(*score), *level));
        let mut scores = scores.iter().map(|(_, level)| *level);
        scores
            .find_map(|level| match level {
                _ if level == last => push(shape, last, job_len_max, comparator),
                _ => tiers.plan(shape, level, comparator),
            })
            .or_else(|| match shape.level(last).len() {
                0 | 1 => None,
                _ => unite(shape, last, job_len_max, comparator),
            })
            .or_else(|| plan_deletes(shape, self.options.deletes_percent, comparator))
    }
}
