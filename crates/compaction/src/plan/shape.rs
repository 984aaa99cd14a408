use std::cmp::Reverse;

use stratal_types::{Comparator, KeyRange, SeqNo};

use super::Job;

/// A tree as a planner sees it: where tables are, how long, how old, and what is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Level 0 first; in a level the newest run first.
    pub levels: Vec<Vec<Run>>,
    /// What running jobs are responsible for.
    pub claims: Vec<Claim>,
    /// Spans in which data was lost or cannot be read. Nothing is known about what lies there.
    pub quarantined: Vec<KeyRange>,
    /// No read has a bound below this. [`SeqNo::ZERO`] if that is not known. Jobs planned with it are
    /// to be run with it or a higher one; tables of deletes are else planned again and again.
    pub watermark: SeqNo,
    /// Numbers below this were given out longer ago than values are kept, and stay no longer for it.
    /// [`SeqNo::ZERO`] if values are kept for ever, or nothing is that old.
    pub dead: SeqNo,
    /// As [`dead`](Self::dead), but so much longer ago that tables which hold such values are rewritten
    /// for it.
    pub stale: SeqNo,
    /// Who reads below this bound may be refused: it is in the past, and no history is held there.
    pub refuse_below: SeqNo,
    /// What time it is, in milliseconds since 1970; 0 if that is not known, and then nothing is too
    /// old.
    pub now_ms: u64,
}

/// Tables that do not overlap, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Orders the runs of a level: greater is newer.
    pub age: u64,
    /// Ascending by span.
    pub tables: Vec<Table>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The file's number.
    pub number: u64,
    /// The hull of keys and range tombstones.
    pub span: KeyRange,
    /// Length in bytes, linked values included.
    pub len: u64,
    /// Lowest and highest number of an entry or tombstone.
    pub seqnos: (SeqNo, SeqNo),
    /// Entries, deletes included.
    pub entries: u64,
    /// Entries that are deletes, weak or not.
    pub deletes: u64,
    /// Range tombstones.
    pub tombstones: u64,
    /// When the newest of its data was flushed, in milliseconds since 1970; 0 if that is not known.
    pub created_at_ms: u64,
    /// The highest bound at which reads find it; `None` if it has not expired.
    pub expired_at: Option<SeqNo>,
    /// Its values with numbers below this were judged by their age when it was written.
    pub judged_to: SeqNo,
    /// A running job takes it, or it has expired: no other merge may.
    pub busy: bool,
}

/// A place in search order: a run that is there, or one that would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The level.
    pub level: usize,
    /// The run's age.
    pub age: u64,
}

impl Ord for Place {
    /// What is searched first is less.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.level, Reverse(self.age)).cmp(&(other.level, Reverse(other.age)))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a running job keeps others out of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its span.
    pub span: KeyRange,
    /// Where its newest input stands.
    pub newest: Place,
    /// Where its outputs will stand.
    pub output: Place,
}

impl Claim {
    /// Whether two jobs would get in each other's way: both between the same places in search order,
    /// over the same keys.
    pub fn conflicts(&self, other: &Self, comparator: &dyn Comparator) -> bool {
        self.newest <= other.output
            && other.newest <= self.output
            && self.span.overlaps(&other.span, comparator)
    }
}

/// What pacing needs to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Runs in level 0, each of which every read asks.
    pub level0_runs: usize,
    /// Bytes that stand where the strategy does not want them.
    pub debt: u64,
}

/// The structure is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Two tables of a run overlap, or stand in the wrong order.
    #[error("tables {first} and {second} of one run overlap or are out of order")]
    Overlap {
        /// The one in front.
        first: u64,
        /// The one behind it.
        second: u64,
    },
    /// Runs of a level do not stand newest first.
    #[error("runs of level {level} are not in order of age: {newer} before {older}")]
    Ages {
        /// The level.
        level: usize,
        /// Age of the run in front.
        newer: u64,
        /// Age of the run behind.
        older: u64,
    },
    /// A run without tables.
    #[error("run {age} of level {level} is empty")]
    EmptyRun {
        /// The level.
        level: usize,
        /// The run's age.
        age: u64,
    },
}

impl Shape {
    /// Every run, in search order.
    pub fn runs(&self) -> impl Iterator<Item = (Place, &Run)> {
        self.levels.iter().enumerate().flat_map(|(level, runs)| {
            runs.iter().map(move |run| (Place { level, age: run.age }, run))
        })
    }

    /// Every table, in search order.
    pub fn tables(&self) -> impl Iterator<Item = (Place, &Table)> {
        self.runs().flat_map(|(place, run)| run.tables.iter().map(move |table| (place, table)))
    }

    /// The runs of a level; none if there is no such level.
    pub fn level(&self, level: usize) -> &[Run] {
        self.levels.get(level).map_or(&[], Vec::as_slice)
    }

    /// Bytes in a level.
    pub fn level_len(&self, level: usize) -> u64 {
        self.level(level).iter().map(Run::len).fold(0, u64::saturating_add)
    }

    /// Whether a running job is in the way of one that claims this.
    pub fn is_claimed(&self, claim: &Claim, comparator: &dyn Comparator) -> bool {
        self.claims.iter().any(|held| held.conflicts(claim, comparator))
    }

    /// Marks a job as under way: its inputs are busy and its span is claimed.
    pub fn start(&mut self, job: &Job) {
        for table in self.tables_mut().filter(|table| job.takes(table.number)) {
            table.busy = true;
        }
        self.claims.push(job.claim());
    }

    /// Takes back what [`start`](Self::start) did.
    pub fn stop(&mut self, job: &Job) {
        for table in self.tables_mut().filter(|table| job.takes(table.number)) {
            table.busy = false;
        }
        let claim = job.claim();
        if let Some(at) = self.claims.iter().position(|held| *held == claim) {
            self.claims.swap_remove(at);
        }
    }

    /// The shape after `job` has replaced its inputs by `outputs`, in whatever order they are given.
    /// What `job` claimed stays claimed until [`stop`](Self::stop).
    ///
    /// The job is not checked here: [`Job::check`] does that, and [`check`](Self::check) the result.
    pub fn apply(&mut self, job: &Job, outputs: Vec<Table>, comparator: &dyn Comparator) {
        for run in self.levels.iter_mut().flatten() {
            run.tables.retain(|table| !job.takes(table.number));
        }
        let Place { level, age } = job.output;
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        if let Some(runs) = self.levels.get_mut(level) {
            let at = runs.partition_point(|run| run.age > age);
            if runs.get(at).is_none_or(|run| run.age != age) {
                runs.insert(at, Run { age, tables: Vec::new() });
            }
            if let Some(run) = runs.get_mut(at) {
                run.tables.extend(outputs);
                run.tables
                    .sort_by(|a, b| crate::span_set::compare_starts(&a.span, &b.span, comparator));
            }
        }
        for runs in &mut self.levels {
            runs.retain(|run| !run.tables.is_empty());
        }
    }

    /// Whether runs are disjoint, in order and not empty. O(tables).
    pub fn check(&self, comparator: &dyn Comparator) -> Result<(), Fault> {
        for (level, runs) in self.levels.iter().enumerate() {
            for [newer, older] in runs.array_windows() {
                if newer.age <= older.age {
                    return Err(Fault::Ages { level, newer: newer.age, older: older.age });
                }
            }
            for run in runs {
                if run.tables.is_empty() {
                    return Err(Fault::EmptyRun { level, age: run.age });
                }
                for [first, second] in run.tables.array_windows() {
                    let ordered =
                        crate::span_set::compare_starts(&first.span, &second.span, comparator);
                    if first.span.overlaps(&second.span, comparator) || ordered.is_ge() {
                        let (first, second) = (first.number, second.number);
                        return Err(Fault::Overlap { first, second });
                    }
                }
            }
        }
        Ok(())
    }

    fn tables_mut(&mut self) -> impl Iterator<Item = &mut Table> {
        self.levels.iter_mut().flatten().flat_map(|run| &mut run.tables)
    }
}

impl Run {
    /// The tables that overlap `span`. O(log tables) and the result.
    pub fn overlapping(&self, span: &KeyRange, comparator: &dyn Comparator) -> &[Table] {
        let stands_before = |table: &Table| {
            !table.span.overlaps(span, comparator)
                && crate::span_set::compare_starts(&table.span, span, comparator).is_lt()
        };
        let from = self.tables.partition_point(stands_before);
        let behind = self.tables.get(from..).unwrap_or_default();
        let count = behind.partition_point(|table| table.span.overlaps(span, comparator));
        behind.get(..count).unwrap_or_default()
    }

    /// Bytes in the run.
    pub fn len(&self) -> u64 {
        self.tables.iter().map(|table| table.len).fold(0, u64::saturating_add)
    }

    /// Whether the run has no table.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

impl Table {
    /// Whether it holds a delete of any sort.
    pub fn has_deletes(&self) -> bool {
        self.deletes > 0 || self.tombstones > 0
    }
}
