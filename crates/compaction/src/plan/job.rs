use std::collections::BTreeSet;

use stratal_types::{Comparator, Fence, KeyRange};

use super::{Claim, Place, Run, Shape, Table};
use crate::SpanSet;

/// A change of the tree: some tables become others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// How the outputs come to be.
    pub kind: JobKind,
    /// Why it is to be done.
    pub reason: Reason,
    /// Numbers of the tables it replaces, ascending. None for a flush.
    pub inputs: Vec<u64>,
    /// The run that the outputs join, or that they make.
    pub output: Place,
    /// Where the newest input stands; in front of all runs for a flush.
    pub newest: Place,
    /// What it is responsible for: the hull of its inputs.
    pub span: KeyRange,
}

/// How the outputs of a job come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Sealed memtables become tables.
    Flush,
    /// The inputs are merged.
    Compact,
    /// The inputs stand in another place and are otherwise as they were.
    TrivialMove,
}

/// Why a job is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A write buffer is full.
    Flush,
    /// Too many runs in a level.
    Runs,
    /// A level is too long.
    Size,
    /// A table consists of deletes to a large part.
    Deletes,
    /// The caller wants it.
    Manual,
}

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
}

impl Job {
    /// The flush of memtables that hold keys and tombstones in `span` into a new run of level 0.
    pub fn flush(span: KeyRange, age: u64) -> Self {
        Self {
            kind: JobKind::Flush,
            reason: Reason::Flush,
            inputs: Vec::new(),
            output: Place { level: 0, age },
            newest: Place { level: 0, age: u64::MAX },
            span,
        }
    }

    /// The smallest valid job that merges the tables numbered `seeds` into `output`: takes along
    /// whatever has to come.
    ///
    /// A job of which no two inputs overlap, and none of them stands in the output's run, is given as a
    /// trivial move; [`into_merge`](Self::into_merge) makes it a merge.
    ///
    /// # Errors
    ///
    /// [`Blocked`] if something it needs belongs to a running job. Another choice of seeds may work.
    pub fn widen(
        shape: &Shape,
        seeds: &[u64],
        output: Place,
        reason: Reason,
        comparator: &dyn Comparator,
    ) -> Result<Self, Blocked> {
        let mut wanted: BTreeSet<u64> = seeds.iter().copied().collect();
        let mut taken = Taken::default();
        let in_front = shape.tables().filter(|(place, _)| *place <= output);
        for (place, table) in in_front {
            if wanted.remove(&table.number) {
                taken.take(place, table, comparator)?;
            }
        }
        if let Some(number) = wanted.pop_first() {
            return Err(Blocked::NotAnInput { number });
        }
        taken.close(shape, output, comparator)?;
        let mut job = taken.into_job(output, reason).ok_or(Blocked::NoSeeds)?;
        if !job.is_disjoint(shape, comparator) {
            job = job.into_merge(shape, comparator)?;
        }
        if shape.is_claimed(&job.claim(), comparator) {
            return Err(Blocked::Claimed);
        }
        Ok(job)
    }

    /// The same as a merge, which rewrites also what could be moved. Takes what stands in the
    /// output's run between the inputs, since an output may reach from one to the other.
    pub fn into_merge(self, shape: &Shape, comparator: &dyn Comparator) -> Result<Self, Blocked> {
        let mut taken = Taken::default();
        for (place, table) in shape.tables().filter(|(_, table)| self.takes(table.number)) {
            taken.take(place, table, comparator)?;
        }
        let output_run = shape.runs().find(|(place, _)| *place == self.output);
        while let (Some((place, run)), Some(span)) = (output_run, taken.span.clone()) {
            let before = taken.inputs.len();
            for table in run.overlapping(&span, comparator) {
                taken.take(place, table, comparator)?;
            }
            if taken.inputs.len() == before {
                break;
            }
        }
        let mut job = taken.into_job(self.output, self.reason).ok_or(Blocked::NoSeeds)?;
        job.kind = JobKind::Compact;
        if shape.is_claimed(&job.claim(), comparator) {
            return Err(Blocked::Claimed);
        }
        Ok(job)
    }

    /// Whether table `number` is an input.
    pub fn takes(&self, number: u64) -> bool {
        self.inputs.binary_search(&number).is_ok()
    }

    /// What the job keeps others out of while it runs.
    pub fn claim(&self) -> Claim {
        Claim { span: self.span.clone(), newest: self.newest, output: self.output }
    }

    /// Whether the job may be done to a tree of this shape. Asked by planners, and again at install
    /// with the shape of that moment.
    ///
    /// Every input is there and in front of the output; with every input, all that overlaps it
    /// between it and the output, both included, is an input; and in the output's run nothing else
    /// overlaps the span (of a trivial move: any input). For a flush, whose inputs stand in front of
    /// all tables, nothing that overlaps its span stands in front of its output.
    pub fn check(&self, shape: &Shape, comparator: &dyn Comparator) -> Result<(), Invalid> {
        let inputs = self.find_inputs(shape, comparator)?;
        if self.kind == JobKind::Flush {
            self.check_column(shape, None, &self.span, comparator)?;
            return self.check_output_run(shape, &self.span, comparator);
        }
        for (place, table) in &inputs {
            self.check_column(shape, Some((*place, table.number)), &table.span, comparator)?;
        }
        if self.kind == JobKind::Compact {
            return self.check_output_run(shape, &self.span, comparator);
        }
        let mut by_start: Vec<&Table> = inputs.iter().map(|(_, table)| *table).collect();
        by_start.sort_by(|a, b| crate::span_set::compare_starts(&a.span, &b.span, comparator));
        for [first, second] in by_start.array_windows() {
            if first.span.overlaps(&second.span, comparator) {
                return Err(Invalid::NotARun { first: first.number, second: second.number });
            }
        }
        by_start.iter().try_for_each(|table| self.check_output_run(shape, &table.span, comparator))
    }

    /// The keys in the job's span that something behind the output may hold: deeper levels, older
    /// runs, and whatever is quarantined. *Nothing older* is what this does not contain.
    ///
    /// To be taken when the job starts; what it rules out stays ruled out until install, because
    /// nothing can pass the job's inputs meanwhile.
    pub fn older(&self, shape: &Shape, comparator: &dyn Comparator) -> SpanSet {
        if self.kind == JobKind::Flush {
            return SpanSet::all();
        }
        let behind = shape.runs().filter(|(place, _)| *place > self.output);
        let spans = behind.flat_map(|(_, run)| run.overlapping(&self.span, comparator));
        let spans = spans.map(|table| table.span.clone());
        SpanSet::of(spans.chain(self.quarantined(shape, comparator)), comparator)
    }

    /// The keys in the job's span that range tombstones of other tables may cover. Those of memtables
    /// are for the caller to add.
    pub fn covered_elsewhere(&self, shape: &Shape, comparator: &dyn Comparator) -> SpanSet {
        let tables = shape.runs().flat_map(|(_, run)| run.overlapping(&self.span, comparator));
        let others = tables.filter(|table| table.tombstones > 0 && !self.takes(table.number));
        let spans = others.map(|table| table.span.clone());
        SpanSet::of(spans.chain(self.quarantined(shape, comparator)), comparator)
    }

    /// Where outputs had best be cut: at the tables of the next level below that has any.
    pub fn fences(&self, shape: &Shape, comparator: &dyn Comparator) -> Vec<Fence> {
        let below = shape.levels.iter().skip(self.output.level + 1).find(|runs| !runs.is_empty());
        // The oldest run holds most of a level that has several.
        let Some(run) = below.and_then(|runs| runs.last()) else { return Vec::new() };
        let tables = run.overlapping(&self.span, comparator).iter();
        let fences = tables.filter_map(|table| match &table.span.start {
            std::ops::Bound::Included(start) | std::ops::Bound::Excluded(start) => {
                Some(Fence { start: start.clone(), len: table.len })
            }
            std::ops::Bound::Unbounded => None,
        });
        fences.collect()
    }

    fn quarantined(
        &self,
        shape: &Shape,
        comparator: &dyn Comparator,
    ) -> impl Iterator<Item = KeyRange> {
        let spans = shape.quarantined.iter();
        spans.filter(|span| span.overlaps(&self.span, comparator)).cloned()
    }

    fn find_inputs<'a>(
        &self,
        shape: &'a Shape,
        comparator: &dyn Comparator,
    ) -> Result<Vec<(Place, &'a Table)>, Invalid> {
        if self.inputs.is_empty() && self.kind != JobKind::Flush {
            return Err(Invalid::NoInputs);
        }
        let mut missing: BTreeSet<u64> = self.inputs.iter().copied().collect();
        let mut inputs = Vec::new();
        for (place, table) in shape.tables() {
            let number = table.number;
            if !missing.remove(&number) {
                continue;
            }
            if place > self.output {
                return Err(Invalid::BehindOutput { number });
            }
            if self.span.hull(&table.span, comparator) != self.span {
                return Err(Invalid::OutsideSpan { number });
            }
            inputs.push((place, table));
        }
        missing.pop_first().map_or(Ok(inputs), |number| Err(Invalid::Missing { number }))
    }

    /// Whether all that overlaps `span` from `newest` (or from the front) to the output is an input.
    fn check_column(
        &self,
        shape: &Shape,
        newest: Option<(Place, u64)>,
        span: &KeyRange,
        comparator: &dyn Comparator,
    ) -> Result<(), Invalid> {
        for (_, run) in column(shape, newest.map(|(place, _)| place), self.output) {
            let mut tables = run.overlapping(span, comparator).iter();
            if let Some(table) = tables.find(|table| !self.takes(table.number)) {
                let input = newest.map(|(_, number)| number);
                return Err(Invalid::Passed { number: table.number, input });
            }
        }
        Ok(())
    }

    fn check_output_run(
        &self,
        shape: &Shape,
        span: &KeyRange,
        comparator: &dyn Comparator,
    ) -> Result<(), Invalid> {
        let run = shape.runs().find(|(place, _)| *place == self.output);
        let mut tables = run.iter().flat_map(|(_, run)| run.overlapping(span, comparator));
        let other = tables.find(|table| !self.takes(table.number));
        other.map_or(Ok(()), |table| Err(Invalid::Overlaps { number: table.number }))
    }

    /// Whether the inputs could stand in one run as they are, none of them standing in it already.
    fn is_disjoint(&self, shape: &Shape, comparator: &dyn Comparator) -> bool {
        let inputs = shape.tables().filter(|(_, table)| self.takes(table.number));
        let mut spans = Vec::new();
        for (place, table) in inputs {
            if place == self.output {
                return false;
            }
            spans.push(&table.span);
        }
        spans.sort_by(|a, b| crate::span_set::compare_starts(a, b, comparator));
        spans.array_windows().all(|[a, b]| !a.overlaps(b, comparator))
    }
}

/// The runs from `newest` (or from the front) to `output`, both included.
fn column(
    shape: &Shape,
    newest: Option<Place>,
    output: Place,
) -> impl Iterator<Item = (Place, &Run)> {
    shape
        .runs()
        .filter(move |(place, _)| newest.is_none_or(|newest| newest <= *place) && *place <= output)
}

/// Inputs of a job that is being built.
#[derive(Default)]
struct Taken<'a> {
    inputs: Vec<(Place, &'a Table)>,
    numbers: BTreeSet<u64>,
    span: Option<KeyRange>,
}

impl<'a> Taken<'a> {
    fn take(
        &mut self,
        place: Place,
        table: &'a Table,
        comparator: &dyn Comparator,
    ) -> Result<(), Blocked> {
        if table.busy {
            return Err(Blocked::Busy { number: table.number });
        }
        if !self.numbers.insert(table.number) {
            return Ok(());
        }
        let hull = self.span.take().map(|span| span.hull(&table.span, comparator));
        self.span = Some(hull.unwrap_or_else(|| table.span.clone()));
        self.inputs.push((place, table));
        Ok(())
    }

    /// Takes all that has to come along with what was taken.
    fn close(
        &mut self,
        shape: &'a Shape,
        output: Place,
        comparator: &dyn Comparator,
    ) -> Result<(), Blocked> {
        let mut done = 0;
        while let Some(&(newest, input)) = self.inputs.get(done) {
            for (place, run) in column(shape, Some(newest), output) {
                for table in run.overlapping(&input.span, comparator) {
                    self.take(place, table, comparator)?;
                }
            }
            done += 1;
        }
        Ok(())
    }

    fn into_job(self, output: Place, reason: Reason) -> Option<Job> {
        let newest = self.inputs.iter().map(|(place, _)| *place).min()?;
        let inputs = self.numbers.into_iter().collect();
        let span = self.span?;
        Some(Job { kind: JobKind::TrivialMove, reason, inputs, output, newest, span })
    }
}
