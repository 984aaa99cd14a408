use stratal_types::Comparator;

use super::{
    Fifo, FifoOptions, Job, LazyLeveled, LazyLeveledOptions, Leveled, LeveledOptions, Major,
    OptionsError, Pressure, Shape, Strategy, Tiered, TieredOptions,
};

/// Which strategy, and how.
///
/// A tree may be given another at any time: every strategy takes every shape, and works towards its
/// own.
///
/// ```
/// use stratal_compaction::plan::{Shape, Strategy, StrategyOptions, TieredOptions};
/// use stratal_types::Bytewise;
///
/// let options = StrategyOptions::Tiered(TieredOptions { runs: 8, ..TieredOptions::default() });
/// assert_eq!(options.name(), "tiered");
/// let policy = options.validate()?;
/// assert_eq!(policy.plan(&Shape::default(), &Bytewise), None, "nothing there, nothing to do");
/// # Ok::<(), stratal_compaction::plan::OptionsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StrategyOptions {
    /// One run in every level: reads and space before writes.
    Leveled(LeveledOptions),
    /// Several runs in every level: writes before reads and space.
    Tiered(TieredOptions),
    /// One run in the last level, several above: between the two, near the first in space.
    LazyLeveled(LazyLeveledOptions),
    /// The oldest tables expire, and nothing is merged.
    Fifo(FifoOptions),
}

impl StrategyOptions {
    /// The names of all strategies, as [`named`](Self::named) takes them.
    pub const NAMES: [&'static str; 4] = ["leveled", "tiered", "lazy", "fifo"];

    /// The strategy of this name with its defaults.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "leveled" => Some(Self::Leveled(LeveledOptions::default())),
            "tiered" => Some(Self::Tiered(TieredOptions::default())),
            "lazy" => Some(Self::LazyLeveled(LazyLeveledOptions::default())),
            "fifo" => Some(Self::Fifo(FifoOptions::default())),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Leveled(_) => "leveled",
            Self::Tiered(_) => "tiered",
            Self::LazyLeveled(_) => "lazy",
            Self::Fifo(_) => "fifo",
        }
    }

    /// Checks the options, once.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] names the option and its range.
    pub fn validate(self) -> Result<Policy, OptionsError> {
        Ok(match self {
            Self::Leveled(options) => Policy::Leveled(options.validate()?),
            Self::Tiered(options) => Policy::Tiered(options.validate()?),
            Self::LazyLeveled(options) => Policy::LazyLeveled(options.validate()?),
            Self::Fifo(options) => Policy::Fifo(options.validate()?),
        })
    }
}

impl Default for StrategyOptions {
    fn default() -> Self {
        Self::Leveled(LeveledOptions::default())
    }
}

/// A strategy whose options were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Of [`StrategyOptions::Leveled`].
    Leveled(Leveled),
    /// Of [`StrategyOptions::Tiered`].
    Tiered(Tiered),
    /// Of [`StrategyOptions::LazyLeveled`].
    LazyLeveled(LazyLeveled),
    /// Of [`StrategyOptions::Fifo`].
    Fifo(Fifo),
}

impl Policy {
    /// The options this was made from.
    pub fn options(&self) -> StrategyOptions {
        match self {
            Self::Leveled(strategy) => StrategyOptions::Leveled(*strategy.options()),
            Self::Tiered(strategy) => StrategyOptions::Tiered(*strategy.options()),
            Self::LazyLeveled(strategy) => StrategyOptions::LazyLeveled(*strategy.options()),
            Self::Fifo(strategy) => StrategyOptions::Fifo(*strategy.options()),
        }
    }

    /// How far a tree is behind.
    pub fn pressure(&self, shape: &Shape) -> Pressure {
        match self {
            Self::Leveled(strategy) => strategy.pressure(shape),
            Self::Tiered(strategy) => strategy.pressure(shape),
            Self::LazyLeveled(strategy) => strategy.pressure(shape),
            Self::Fifo(strategy) => strategy.pressure(shape),
        }
    }

    /// A merge is worth it that loses this share, in percent, to deletes; over 100 if none is.
    pub fn deletes_percent(&self) -> u64 {
        match self {
            Self::Leveled(strategy) => strategy.options().deletes_percent,
            Self::Tiered(strategy) => strategy.options().deletes_percent,
            Self::LazyLeveled(strategy) => strategy.options().deletes_percent,
            Self::Fifo(_) => u64::MAX,
        }
    }

    /// The way to a tree of one run.
    pub fn major(&self) -> Major {
        let levels = match self {
            Self::Leveled(strategy) => strategy.options().levels,
            Self::Tiered(strategy) => strategy.options().levels,
            Self::LazyLeveled(strategy) => strategy.options().levels,
            Self::Fifo(_) => FifoOptions::LAST_LEVEL + 1,
        };
        Major { level: levels.saturating_sub(1) }
    }
}

impl Strategy for Policy {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        match self {
            Self::Leveled(strategy) => strategy.plan(shape, comparator),
            Self::Tiered(strategy) => strategy.plan(shape, comparator),
            Self::LazyLeveled(strategy) => strategy.plan(shape, comparator),
            Self::Fifo(strategy) => strategy.plan(shape, comparator),
        }
    }
}
