//! How often what was done.

use std::{cell::Cell, collections::BTreeMap, fmt};

/// Everything that a run does at least once, or was no run.
pub(crate) const KINDS: &[&str] = &[
    "adoption of tables",
    "advance",
    "check at a snapshot",
    "check in the past",
    "check of what a snapshot saw",
    "compaction",
    "contains prefix",
    "delete",
    "ends",
    "end of all values",
    "excise",
    "expiry of tables",
    "flush",
    "flush to a bound",
    "full compaction",
    "get",
    "held iterator",
    "held job",
    "in the midst of a job",
    "iterator from both ends",
    "ingested delete",
    "ingested operand",
    "ingested put",
    "ingested weak delete",
    "ingestion",
    "ingestion that failed",
    "ingestion that was given up",
    "job",
    "job in parts",
    "job given back",
    "job held back",
    "job stopped midway",
    "last merge of everything",
    "advance of history",
    "changes",
    "hold of history",
    "job told to end",
    "release of history",
    "held scan of changes",
    "drop of a range",
    "refused scan of changes",
    "window of changes",
    "length",
    "merge",
    "merge of chosen tables",
    "merge towards one run",
    "move",
    "multi-get",
    "opened again",
    "opened again, with changes from a log",
    "other options",
    "opened with kept options",
    "other options that failed",
    "other ttl",
    "other ttl that failed",
    "prefix",
    "put",
    "range",
    "range delete",
    "refused choice of tables",
    "refused past",
    "refusal of readers",
    "refused reader",
    "release",
    "removal of tables",
    "removal of expired tables",
    "retreat",
    "reverse range",
    "seal",
    "seek",
    "seek back",
    "size",
    "snapshot",
    "time",
    "weak delete",
];

thread_local! {
    /// Operations of this thread, those of histories that failed among them.
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// Operations of this thread so far.
pub(crate) fn done_so_far() -> u64 {
    DONE.get()
}

/// Counts by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    pub(crate) fn add(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
        DONE.set(DONE.get() + 1);
    }

    pub(crate) fn append(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// Changes of single keys and of ranges.
    pub(crate) fn changes(&self) -> u64 {
        let kinds = [
            "put",
            "merge",
            "delete",
            "weak delete",
            "range delete",
            "drop of a range",
            "excise",
            "ingested delete",
            "ingested operand",
            "ingested put",
            "ingested weak delete",
        ];
        kinds.iter().filter_map(|kind| self.0.get(kind)).sum()
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Kinds that never happened.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        KINDS.iter().filter(|kind| !self.0.contains_key(**kind)).copied().collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.0 {
            writeln!(f, "{count:>12}  {kind}")?;
        }
        Ok(())
    }
}
