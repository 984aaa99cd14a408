//! Which tables to merge next, and whether a merge is one that may be.
//!
//! ```text
//! search order   L0 run, newest ─▶ … ─▶ L0 run, oldest ─▶ L1 ─▶ L2 ─▶ … ─▶ last level
//! job               inputs: a column of it, from some run down to the place of the output
//! ```
//!
//! [`Leveled`] keeps one run in every level, [`Tiered`] several, [`LazyLeveled`] one in the last and
//! several above, and [`Fifo`] merges nothing and lets the oldest tables expire. A tree may go from
//! any of them to any other.
//!
//! # Invariants
//!
//! * **Search order is age order, for every key.** Of two tables whose spans hold the key, the one
//!   that stands first holds only newer versions of it. Garbage collection and reads rest on it.
//! * A [`Job`] keeps that order if it takes, with every input, all that overlaps *that input* between
//!   it and the place of the output, and if nothing else in the output's run overlaps the job's span.
//!   [`Job::check`] says so; planners build jobs with [`Job::widen`], and the installer asks again.
//!
//! Why per input and not for the span as a whole: take any key. The inputs whose spans hold it reach,
//! without a gap, from the newest of them to the place of the output, which is all that the rules of
//! [`gc`](crate::gc) ask. A table that overlaps the job's span, but no input that stands above it,
//! has no key in common with any of them that could pass it: taking it along is no more correct, and
//! makes the job wider.
//!
//! Planning does no I/O and reads no clock. All of it is a function of a [`Shape`].

mod shape;
mod refusal;
mod job;
mod options_error;
mod pick;
mod leveled;
mod tiers;
mod tiered;
mod lazy;
mod fifo;
mod forget;
mod aging;
mod reclaim;
mod policy;
mod encoding;
mod debt;
mod major;
mod filter_bits;
mod version;

use stratal_types::Comparator;

pub use aging::Aging;
pub use debt::Debt;
pub use fifo::{Fifo, FifoOptions};
pub use filter_bits::{LevelKeys, filter_bits};
pub use forget::Forget;
pub use job::{Job, JobKind, Reason};
pub use lazy::{LazyLeveled, LazyLeveledOptions};
pub use leveled::{Leveled, LeveledOptions, Sizing};
pub use major::Major;
pub use options_error::{LEVELS_MAX, OptionsError};
pub use policy::{Policy, StrategyOptions};
pub use reclaim::{Covered, Reclaim};
pub use refusal::{Blocked, Invalid};
pub use shape::{Claim, Fault, Place, Pressure, Run, Shape, Table};
pub use tiered::{Tiered, TieredOptions};

/// A policy that says what to do next.
pub trait Strategy {
    /// The most useful job that can start now, or `None` if nothing needs to be done or all that
    /// does is blocked by jobs under way.
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job>;
}
