/// How a database is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// All is well.
    #[default]
    Healthy,
    /// Writers wait for flushes or merges.
    Throttled {
        /// What they wait for.
        why: String,
    },
    /// The log cannot be written. Reads go on. Each write tries to begin another segment, and once
    /// that succeeds all is well again, without a restart.
    ReadOnly {
        /// What failed.
        why: String,
    },
    /// Nothing will be written until the database is opened again. Reads go on.
    Failed {
        /// What failed.
        why: String,
    },
}
