/// A job does not fit the tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// An input is not in the tree, or not any more.
    #[error("table {number} is not in the tree")]
    Missing {
        /// The input.
        number: u64,
    },
    /// An input stands behind the output, which would bring it in front of newer tables.
    #[error("table {number} stands behind the output")]
    BehindOutput {
        /// The input.
        number: u64,
    },
    /// An input reaches beyond the job's span.
    #[error("table {number} reaches beyond the span of the job")]
    OutsideSpan {
        /// The input.
        number: u64,
    },
    /// A table would be passed by newer versions, or its own be hidden by older ones.
    #[error("table {number} stands between input {input:?} and the output and is not an input")]
    Passed {
        /// The table that is not an input.
        number: u64,
        /// The input it overlaps; `None` for memtables.
        input: Option<u64>,
    },
    /// A table of the output's run overlaps what the outputs may hold.
    #[error("table {number} of the output's run overlaps the job")]
    Overlaps {
        /// The table that is not an input.
        number: u64,
    },
    /// A trivial move of tables that overlap each other.
    #[error("tables {first} and {second} cannot stand in one run")]
    NotARun {
        /// One input.
        first: u64,
        /// Another.
        second: u64,
    },
    /// A job without inputs that is not a flush.
    #[error("the job has no inputs")]
    NoInputs,
    /// An older table would show what the inputs that are to go hide.
    #[error("table {number} would show what table {input} hides")]
    Uncovered {
        /// The older table, which is not an input.
        number: u64,
        /// The input in front of it.
        input: u64,
    },
    /// An input has not expired.
    #[error("table {number} has not expired")]
    NotExpired {
        /// The input.
        number: u64,
    },
    /// An input holds something that the range tombstone for which it is to go does not hide from
    /// every read.
    #[error("table {number} is not hidden from every read")]
    NotHidden {
        /// The input.
        number: u64,
    },
}

/// A job cannot start now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Blocked {
    /// It would need a table that another job takes.
    #[error("table {number} is busy")]
    Busy {
        /// The table.
        number: u64,
    },
    /// A running job is responsible for keys in the same place.
    #[error("the span is claimed by a running job")]
    Claimed,
    /// A seed is not in the tree, or stands behind the output.
    #[error("table {number} cannot be an input")]
    NotAnInput {
        /// The seed.
        number: u64,
    },
    /// There was nothing to begin with.
    #[error("no table to begin with")]
    NoSeeds,
    /// What was asked for is no valid job.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}
