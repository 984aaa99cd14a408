use std::collections::BTreeSet;

use stratal_types::{Comparator, Fence, KeyRange, SeqNo};

use super::{Blocked, Claim, Invalid, Place, Run, Shape, Table};
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
    /// Reads that begin from now on do not find the inputs, nor any older table that overlaps them.
    /// They go at once if nobody reads at an earlier moment.
    Expire,
    /// The inputs, which have expired, go. With a bound, nobody is to read up to there any more.
    Forget(Option<SeqNo>),
    /// The inputs go, since a range tombstone with this number hides everything in them. That there
    /// is one, over all of each input, the caller vouches for.
    Drop(SeqNo),
}

impl JobKind {
    /// Whether tables go and none come.
    pub const fn removes(self) -> bool {
        matches!(self, Self::Expire | Self::Forget(_) | Self::Drop(_))
    }
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
    /// Tables are older than the tree is to remember.
    Age,
    /// The tree is longer than it may be.
    Space,
    /// Tables hold nothing but what a range tombstone hides.
    Hidden,
    /// A range tombstone hides much of what is merged.
    Covered,
    /// The caller wants it.
    Manual,
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
        job.unless_claimed(shape, comparator)
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
        job.unless_claimed(shape, comparator)
    }

    /// The job that merges the tables numbered `inputs`, and no other, into `output`: for a caller
    /// who plans for himself. See [`widen`](Self::widen) for one that completes what is missing.
    ///
    /// # Errors
    ///
    /// [`Blocked`] if an input is not there, is busy, or stands in the way of a running job, and
    /// [`Blocked::Invalid`] with the reason if the job would change what reads find.
    pub fn exactly(
        shape: &Shape,
        inputs: &[u64],
        output: Place,
        comparator: &dyn Comparator,
    ) -> Result<Self, Blocked> {
        let taken = Taken::of(shape, inputs, comparator)?;
        let mut job = taken.into_job(output, Reason::Manual).ok_or(Blocked::NoSeeds)?;
        if !job.is_disjoint(shape, comparator) {
            job.kind = JobKind::Compact;
        }
        job.check(shape, comparator)?;
        job.unless_claimed(shape, comparator)
    }

    /// Lets the tables numbered `seeds` expire, and all older ones that overlap them and have not yet:
    /// those hold older versions, which nothing would hide any more.
    ///
    /// # Errors
    ///
    /// [`Blocked`] if one of them belongs to a running job.
    pub fn expire(
        shape: &Shape,
        seeds: &[u64],
        reason: Reason,
        comparator: &dyn Comparator,
    ) -> Result<Self, Blocked> {
        let mut taken = Taken { passes_expired: true, ..Taken::of(shape, seeds, comparator)? };
        let end = Place { level: usize::MAX, age: 0 };
        taken.close(shape, end, comparator)?;
        taken.into_removal(JobKind::Expire, reason)?.unless_claimed(shape, comparator)
    }

    /// Removes the tables numbered `inputs`, which have expired at bounds at which nobody reads any more,
    /// or is to read: up to `refused`.
    ///
    /// # Errors
    ///
    /// [`Blocked`] if one of them belongs to a running job, and [`Blocked::Invalid`] if one has not
    /// expired.
    pub fn forget(
        shape: &Shape,
        inputs: &[u64],
        refused: Option<SeqNo>,
        comparator: &dyn Comparator,
    ) -> Result<Self, Blocked> {
        let mut wanted: BTreeSet<u64> = inputs.iter().copied().collect();
        let mut taken = Taken::default();
        for (place, table) in shape.tables() {
            if wanted.remove(&table.number) {
                taken.put(place, table, comparator);
            }
        }
        if let Some(number) = wanted.pop_first() {
            return Err(Blocked::NotAnInput { number });
        }
        let job = taken.into_removal(JobKind::Forget(refused), Reason::Age)?;
        job.check(shape, comparator)?;
        job.unless_claimed(shape, comparator)
    }

    /// Removes the tables numbered `inputs`, over each of which there is a range tombstone with the
    /// number `seqno`, for which the caller vouches. It has to be in a table that stays.
    ///
    /// # Errors
    ///
    /// [`Blocked`] if one of them belongs to a running job, and [`Blocked::Invalid`] if one holds
    /// something that is not older than the tombstone, or reads may not see the tombstone yet.
    pub fn drop_hidden(
        shape: &Shape,
        inputs: &[u64],
        seqno: SeqNo,
        comparator: &dyn Comparator,
    ) -> Result<Self, Blocked> {
        let taken = Taken::of(shape, inputs, comparator)?;
        let job = taken.into_removal(JobKind::Drop(seqno), Reason::Hidden)?;
        job.check(shape, comparator)?;
        job.unless_claimed(shape, comparator)
    }

    fn unless_claimed(self, shape: &Shape, comparator: &dyn Comparator) -> Result<Self, Blocked> {
        if shape.is_claimed(&self.claim(), comparator) {
            return Err(Blocked::Claimed);
        }
        Ok(self)
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
    /// all tables, nothing that overlaps its span stands in front of its output. Of tables that
    /// expire, all older ones that overlap them are inputs too or have expired; of hidden ones, everything is older
    /// than the tombstone, and that below the watermark.
    pub fn check(&self, shape: &Shape, comparator: &dyn Comparator) -> Result<(), Invalid> {
        let inputs = self.find_inputs(shape, comparator)?;
        if self.kind == JobKind::Flush {
            self.check_column(shape, None, &self.span, comparator)?;
            return self.check_output_run(shape, &self.span, comparator);
        }
        if self.kind.removes() {
            return inputs.iter().try_for_each(|(place, table)| {
                self.check_removal(shape, *place, table, comparator)
            });
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

    /// Where outputs had best be cut: at the tables of the next level below that has any, if that is
    /// a single run. Where levels hold several runs, at those of the oldest of all: runs that are cut
    /// alike are later merged column by column.
    pub fn fences(&self, shape: &Shape, comparator: &dyn Comparator) -> Vec<Fence> {
        let below = shape.levels.get(self.output.level.saturating_add(1)..).unwrap_or_default();
        let next = below.iter().find(|runs| !runs.is_empty());
        let run = match next.map(Vec::as_slice) {
            Some([run]) => Some(run),
            _ => below.iter().rev().find_map(|runs| runs.last()),
        };
        let Some(run) = run else { return Vec::new() };
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

    /// Whether the input `table` may go.
    fn check_removal(
        &self,
        shape: &Shape,
        place: Place,
        table: &Table,
        comparator: &dyn Comparator,
    ) -> Result<(), Invalid> {
        if let JobKind::Drop(seqno) = self.kind {
            let is_hidden = table.seqnos.1 < seqno && seqno < shape.watermark;
            let number = table.number;
            return if is_hidden { Ok(()) } else { Err(Invalid::NotHidden { number }) };
        }
        let input = table.number;
        if matches!(self.kind, JobKind::Forget(_)) && table.expired_at.is_none() {
            return Err(Invalid::NotExpired { number: input });
        }
        let mut behind = shape.runs().filter(|(behind, _)| *behind > place);
        let shown = behind.find_map(|(_, run)| {
            let mut older = run.overlapping(&table.span, comparator).iter();
            older.find(|older| !self.takes(older.number) && older.expired_at.is_none())
        });
        shown.map_or(Ok(()), |older| Err(Invalid::Uncovered { number: older.number, input }))
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
    /// What has expired need not come along.
    passes_expired: bool,
}

impl<'a> Taken<'a> {
    /// The tables numbered `inputs`.
    fn of(shape: &'a Shape, inputs: &[u64], comparator: &dyn Comparator) -> Result<Self, Blocked> {
        let mut wanted: BTreeSet<u64> = inputs.iter().copied().collect();
        let mut taken = Self::default();
        for (place, table) in shape.tables() {
            if wanted.remove(&table.number) {
                taken.take(place, table, comparator)?;
            }
        }
        wanted.pop_first().map_or(Ok(taken), |number| Err(Blocked::NotAnInput { number }))
    }

    /// A job that only removes. It reaches down to its oldest input.
    fn into_removal(self, kind: JobKind, reason: Reason) -> Result<Job, Blocked> {
        let oldest = self.inputs.iter().map(|(place, _)| *place).max().ok_or(Blocked::NoSeeds)?;
        let job = self.into_job(oldest, reason).ok_or(Blocked::NoSeeds)?;
        Ok(Job { kind, ..job })
    }

    fn take(
        &mut self,
        place: Place,
        table: &'a Table,
        comparator: &dyn Comparator,
    ) -> Result<(), Blocked> {
        if self.passes_expired && table.expired_at.is_some() {
            return Ok(());
        }
        if table.busy {
            return Err(Blocked::Busy { number: table.number });
        }
        self.put(place, table, comparator);
        Ok(())
    }

    fn put(&mut self, place: Place, table: &'a Table, comparator: &dyn Comparator) {
        if !self.numbers.insert(table.number) {
            return;
        }
        let hull = self.span.take().map(|span| span.hull(&table.span, comparator));
        self.span = Some(hull.unwrap_or_else(|| table.span.clone()));
        self.inputs.push((place, table));
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
