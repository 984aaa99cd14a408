use std::cmp::Reverse;

use stratal_types::Comparator;

use super::{Job, Place, Reason, Shape, Strategy};

/// What a range tombstone hides of a table from every read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The table.
    pub table: u64,
    /// The table with the tombstones, which stands in front of it or is the same.
    pub by: u64,
    /// How much of it they hide, in bytes. All of that goes in a merge of the two.
    pub len: u64,
}

/// Range tombstones are merged with what they hide, if that is much of what has to be rewritten for it:
/// a tombstone in a table of few others would wait for long to get there, and one that is there already,
/// because somebody read what it hides when it came, for ever.
///
/// For trees of every strategy, when that has nothing to do. A merge takes away what is told to be covered,
/// so that a tree comes to rest if nothing is told that does not go.
///
/// ```
/// use stratal_compaction::plan::{Covered, Reclaim, Shape, Strategy};
/// use stratal_types::Bytewise;
/// let covered = vec![Covered { table: 1, by: 2, len: 1 << 20 }];
/// let reclaim = Reclaim { covered, percent: 50 };
/// assert_eq!(reclaim.plan(&Shape::default(), &Bytewise), None, "there are no such tables");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaim {
    /// What is known to be hidden.
    pub covered: Vec<Covered>,
    /// A merge is worth it that loses this share of its inputs, in percent; over 100 for never.
    pub percent: u64,
}

impl Strategy for Reclaim {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        let mut most_first: Vec<&Covered> =
            self.covered.iter().filter(|covered| covered.len > 0).collect();
        most_first.sort_by_key(|covered| (Reverse(covered.len), covered.table, covered.by));
        most_first.into_iter().find_map(|covered| {
            let output = place_of(shape, covered.table)?;
            let seeds = [covered.by];
            let job = Job::widen(shape, &seeds, output, Reason::Covered, comparator).ok()?;
            let inputs = shape.tables().filter(|(_, table)| job.takes(table.number));
            let len: u128 = inputs.map(|(_, table)| u128::from(table.len)).sum();
            (self.lost(&job) * 100 >= len * u128::from(self.percent)).then_some(job)
        })
    }
}

impl Reclaim {
    /// Bytes that go in the job. Where several tables hide one, what the one hides most of it counts: it
    /// may be the same that the others do.
    fn lost(&self, job: &Job) -> u128 {
        let within = |covered: &&Covered| job.takes(covered.table) && job.takes(covered.by);
        let most = |table: u64| {
            let of_table = self.covered.iter().filter(within);
            of_table.filter(|covered| covered.table == table).map(|covered| covered.len).max()
        };
        job.inputs.iter().filter_map(|table| most(*table)).map(u128::from).sum()
    }
}

fn place_of(shape: &Shape, number: u64) -> Option<Place> {
    shape.tables().find(|(_, table)| table.number == number).map(|(place, _)| place)
}
