use std::cmp::Reverse;

use stratal_types::Comparator;

use super::{
    Job, LEVELS_MAX, OptionsError, Pressure, Shape, Strategy,
    options_error::within,
    pick::{last_level, plan_deletes},
    tiers::Tiers,
};

/// How a size-tiered tree is to be shaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TieredOptions {
    /// How many levels there are, level 0 included: 2 to [`LEVELS_MAX`]. Default
    /// [`LEVELS`](Self::LEVELS).
    pub levels: usize,
    /// A level is merged at this many runs, at least 2. More write less, and cost reads and space.
    /// Default [`RUNS`](Self::RUNS).
    pub runs: usize,
    /// Runs of level 0 that are this long together, in bytes, at least 1, become one of level 1; from
    /// level 1 it takes [`runs`](Self::runs) times as much, and so on. What is shorter is merged
    /// within its level. Default [`PROMOTE_LEN`](Self::PROMOTE_LEN).
    pub promote_len: u64,
    /// A job takes along no more runs than it must once it is this long, in bytes. Default
    /// [`JOB_LEN_MAX`](Self::JOB_LEN_MAX).
    pub job_len_max: u64,
    /// A table of which this share, in percent, are deletes is merged even if nothing else asks for
    /// it; over 100 for never. Default [`DELETES_PERCENT`](Self::DELETES_PERCENT).
    pub deletes_percent: u64,
}

impl TieredOptions {
    /// Default of [`levels`](Self::levels).
    pub const LEVELS: usize = 7;
    /// Default of [`runs`](Self::runs).
    pub const RUNS: usize = 4;
    /// Default of [`promote_len`](Self::promote_len): half of what four full write buffers make.
    pub const PROMOTE_LEN: u64 = 128 << 20;
    /// Default of [`job_len_max`](Self::job_len_max).
    pub const JOB_LEN_MAX: u64 = 1600 << 20;
    /// Default of [`deletes_percent`](Self::deletes_percent): where half of all writes are deletes, a
    /// lower one would merge everything all the time.
    pub const DELETES_PERCENT: u64 = 75;

    /// Checks the options, once.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] names the option and its range.
    pub fn validate(self) -> Result<Tiered, OptionsError> {
        within("levels", self.levels as u64, 2, LEVELS_MAX as u64)?;
        within("runs", self.runs as u64, 2, u64::MAX)?;
        within("promote_len", self.promote_len, 1, u64::MAX)?;
        Ok(Tiered { options: self })
    }
}

impl Default for TieredOptions {
    fn default() -> Self {
        Self {
            levels: Self::LEVELS,
            runs: Self::RUNS,
            promote_len: Self::PROMOTE_LEN,
            job_len_max: Self::JOB_LEN_MAX,
            deletes_percent: Self::DELETES_PERCENT,
        }
    }
}

/// Size-tiered compaction in age order: every level holds several runs, and when there are enough of
/// them they become one of the next level.
///
/// A row is rewritten once per level, which is as little as an ordered tree can do. A read asks up to
/// `runs` runs in each level, and replaced rows may take as much room as all the others: `runs - 1`
/// runs of the last level can say the same. Tables that overlap no other move without being rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiered {
    options: TieredOptions,
}

impl Tiered {
    /// The options this was made from.
    pub fn options(&self) -> &TieredOptions {
        &self.options
    }

    /// How far the tree is behind.
    pub fn pressure(&self, shape: &Shape) -> Pressure {
        let debt = self.tiers(shape).debt(shape);
        Pressure { level0_runs: shape.level(0).len(), debt }
    }

    fn tiers(&self, shape: &Shape) -> Tiers {
        Tiers {
            runs: self.options.runs,
            promote_len: self.options.promote_len,
            job_len_max: self.options.job_len_max,
            last: last_level(shape, self.options.levels),
        }
    }
}

impl Strategy for Tiered {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        let tiers = self.tiers(shape);
        let mut scores = tiers.scores(shape);
        scores.sort_by_key(|(score, level)| (Reverse(*score), *level));
        let mut levels = scores.iter().map(|(_, level)| *level);
        levels
            .find_map(|level| tiers.plan(shape, level, comparator))
            .or_else(|| plan_deletes(shape, self.options.deletes_percent, comparator))
    }
}
