use std::ops::Bound;

use stratal_types::{Comparator, KeyRange};

use super::{Job, JobKind, Policy, Shape, Strategy, Table};

/// What is left to be written until a strategy rests. See [`Policy::debt`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// Bytes that merges have to write.
    pub written_len: u64,
    /// Jobs that have to be done, moves and removals among them.
    pub jobs: usize,
    /// Whether that is all. If not, it was not counted further.
    pub is_whole: bool,
}

impl Debt {
    /// Jobs that are counted at most.
    pub const JOBS_MAX: usize = 1000;
}

impl Policy {
    /// What is left to be written until the strategy rests, if nothing else is written meanwhile: plans
    /// job after job, and each as if its merge dropped nothing. So it is too high where much was
    /// overwritten or deleted, and too low where rows are not spread over a table's span evenly.
    ///
    /// Outputs are about `table_len` bytes long. O(jobs × tables), 1,000 jobs at most.
    ///
    /// ```
    /// use stratal_compaction::plan::{Debt, Shape, StrategyOptions};
    /// use stratal_types::Bytewise;
    /// let policy = StrategyOptions::default().validate()?;
    /// let debt = policy.debt(&Shape::default(), 64 << 20, &Bytewise);
    /// assert_eq!(debt, Debt { written_len: 0, jobs: 0, is_whole: true });
    /// # Ok::<(), stratal_compaction::plan::OptionsError>(())
    /// ```
    pub fn debt(&self, shape: &Shape, table_len: u64, comparator: &dyn Comparator) -> Debt {
        self.play(shape.clone(), table_len, comparator).0
    }

    /// Plays all jobs; the debt that was, and the shape that they leave.
    fn play(&self, mut shape: Shape, table_len: u64, comparator: &dyn Comparator) -> (Debt, Shape) {
        let mut debt = Debt::default();
        let mut number = shape.tables().map(|(_, table)| table.number).max().unwrap_or(0);
        while debt.jobs < Debt::JOBS_MAX {
            let Some(job) = self.plan(&shape, comparator) else {
                return (Debt { is_whole: true, ..debt }, shape);
            };
            let inputs = shape.tables().filter(|(_, table)| job.takes(table.number));
            let inputs: Vec<Table> = inputs.map(|(_, table)| table.clone()).collect();
            let outputs = match job.kind {
                JobKind::TrivialMove => inputs,
                kind if kind.removes() => Vec::new(),
                _ => {
                    let mut outputs = merged(&inputs, table_len, comparator);
                    let is_last = is_last(&shape, &job);
                    for output in &mut outputs {
                        number = number.saturating_add(1);
                        output.number = number;
                        if is_last {
                            (output.deletes, output.tombstones) = (0, 0);
                        }
                        debt.written_len = debt.written_len.saturating_add(output.len);
                    }
                    outputs
                }
            };
            shape.apply(&job, outputs, comparator);
            debt.jobs += 1;
        }
        (debt, shape)
    }
}

/// Whether nothing stands below where the job's output goes.
fn is_last(shape: &Shape, job: &Job) -> bool {
    shape.runs().all(|(place, _)| place <= job.output)
}

/// What a merge of `inputs` makes that drops nothing: cut where inputs begin, each input spread evenly
/// over the pieces that it overlaps.
fn merged(inputs: &[Table], table_len: u64, comparator: &dyn Comparator) -> Vec<Table> {
    let mut pieces = pieces(inputs, comparator);
    for input in inputs {
        let mut here: Vec<&mut Table> = pieces
            .iter_mut()
            .filter(|piece| piece.span.overlaps(&input.span, comparator))
            .collect();
        let count = here.len().max(1) as u64;
        // What does not divide goes to the first, so that nothing is lost.
        let share =
            |whole: u64, nth: usize| whole / count + if nth == 0 { whole % count } else { 0 };
        for (nth, piece) in here.iter_mut().enumerate() {
            piece.len = piece.len.saturating_add(share(input.len, nth));
            piece.entries = piece.entries.saturating_add(share(input.entries, nth));
            piece.deletes = piece.deletes.saturating_add(share(input.deletes, nth));
            piece.tombstones = piece.tombstones.saturating_add(share(input.tombstones, nth));
            piece.seqnos.0 = piece.seqnos.0.min(input.seqnos.0);
            piece.seqnos.1 = piece.seqnos.1.max(input.seqnos.1);
            piece.created_at_ms = piece.created_at_ms.max(input.created_at_ms);
        }
    }
    let mut outputs: Vec<Table> = Vec::new();
    for piece in pieces {
        match outputs.last_mut() {
            Some(last) if last.len.saturating_add(piece.len) <= table_len => join(last, piece),
            _ => outputs.push(piece),
        }
    }
    outputs
}

/// Empty tables over the span of all inputs, one from the beginning of each to the next.
fn pieces(inputs: &[Table], comparator: &dyn Comparator) -> Vec<Table> {
    let Some((first, rest)) = inputs.split_first() else { return Vec::new() };
    let hull = rest.iter().fold(first.span.clone(), |hull, it| hull.hull(&it.span, comparator));
    let mut cuts: Vec<&[u8]> = inputs
        .iter()
        .filter_map(|input| match &input.span.start {
            Bound::Included(key) | Bound::Excluded(key) => Some(key.as_slice()),
            Bound::Unbounded => None,
        })
        // What begins where the hull does cuts nothing off.
        .filter(|cut| {
            !hull.is_after(cut, comparator) && hull.start != Bound::Included(cut.to_vec())
        })
        .collect();
    cuts.sort_by(|a, b| comparator.compare(a, b));
    cuts.dedup();
    let ends = cuts.iter().map(|cut| Bound::Excluded(cut.to_vec())).chain([hull.end.clone()]);
    let starts = cuts.iter().map(|cut| Bound::Included(cut.to_vec()));
    let spans = [hull.start.clone()].into_iter().chain(starts).zip(ends);
    let empty = |(start, end)| Table {
        number: 0,
        span: KeyRange { start, end },
        len: 0,
        entries: 0,
        deletes: 0,
        tombstones: 0,
        busy: false,
        ..first.clone()
    };
    spans.map(empty).collect()
}

/// Lets `last` have what `next`, which stands behind it, has.
fn join(last: &mut Table, next: Table) {
    last.span.end = next.span.end;
    last.len = last.len.saturating_add(next.len);
    last.entries = last.entries.saturating_add(next.entries);
    last.deletes = last.deletes.saturating_add(next.deletes);
    last.tombstones = last.tombstones.saturating_add(next.tombstones);
    last.seqnos.0 = last.seqnos.0.min(next.seqnos.0);
    last.seqnos.1 = last.seqnos.1.max(next.seqnos.1);
    last.created_at_ms = last.created_at_ms.max(next.created_at_ms);
}

#[cfg(test)]
mod tests {
    use stratal_types::{Bytewise, SeqNo};

    use super::*;
    use crate::plan::{
        FifoOptions, LazyLeveledOptions, LeveledOptions, Run, StrategyOptions, TieredOptions,
    };

    fn table(number: u64, from: u32, to: u32, len: u64) -> Table {
        let key = |at: u32| format!("{at:04}").into_bytes();
        Table {
            number,
            span: KeyRange::closed(key(from), key(to)),
            len,
            seqnos: (SeqNo::ZERO, SeqNo::from(u32::try_from(number).unwrap())),
            entries: len / 10,
            deletes: 0,
            tombstones: 0,
            created_at_ms: 0,
            expired_at: None,
            judged_to: SeqNo::ZERO,
            busy: false,
        }
    }

    /// So many flushes of 1,000 bytes over everything, above 40,000 bytes in twenty tables.
    fn shape(flushes: u64) -> Shape {
        let runs = (0..flushes)
            .rev()
            .map(|nth| Run { age: 100 + nth, tables: vec![table(100 + nth, 0, 1999, 1000)] });
        let last = (0..20).map(|nth| {
            table(
                nth + 1,
                u32::try_from(nth).unwrap() * 100,
                u32::try_from(nth).unwrap() * 100 + 99,
                2000,
            )
        });
        let mut levels = vec![runs.collect(), vec![], vec![]];
        levels.push(vec![Run { age: 1, tables: last.collect() }]);
        Shape { levels, ..Shape::default() }
    }

    fn strategies() -> [StrategyOptions; 4] {
        [
            StrategyOptions::Leveled(LeveledOptions {
                levels: 4,
                level_base_len: 2000,
                ratio: 4,
                ..LeveledOptions::default()
            }),
            StrategyOptions::Tiered(TieredOptions {
                levels: 4,
                promote_len: 2000,
                ..TieredOptions::default()
            }),
            StrategyOptions::LazyLeveled(LazyLeveledOptions {
                levels: 4,
                runs: 3,
                promote_len: 1000,
                ..LazyLeveledOptions::default()
            }),
            StrategyOptions::Fifo(FifoOptions { len_max: 45_000, ..FifoOptions::default() }),
        ]
    }

    #[test]
    fn a_strategy_at_rest_owes_nothing_and_another_comes_to_rest() {
        for strategy in strategies() {
            let policy = strategy.validate().unwrap();
            let mut owed = 0;
            for flushes in [0, 4, 12, 30] {
                let before = shape(flushes);
                let (debt, after) = policy.play(before.clone(), 2000, &Bytewise);
                let what = format!("{} after {flushes} flushes: {debt:?}", strategy.name());
                assert!(debt.is_whole, "{what}");
                assert_eq!(debt, policy.debt(&before, 2000, &Bytewise));
                assert_eq!(after.check(&Bytewise), Ok(()), "{what}");
                assert_eq!(policy.debt(&after, 2000, &Bytewise).jobs, 0, "{what}");
                assert_eq!(debt.jobs == 0, before == after, "{what}");
                let len = |shape: &Shape| shape.tables().map(|(_, table)| table.len).sum::<u64>();
                if let StrategyOptions::Fifo(options) = strategy {
                    assert_eq!(debt.written_len, 0, "nothing is written to forget");
                    assert!(len(&after) <= options.len_max);
                } else {
                    assert_eq!(len(&after), len(&before), "{what}");
                    assert!(debt.written_len >= owed, "{what}");
                    owed = debt.written_len;
                }
            }
            // All that was flushed is written at least once more.
            assert!(owed >= 20_000 || strategy.name() == "fifo", "{}: {owed}", strategy.name());
        }
    }
}
