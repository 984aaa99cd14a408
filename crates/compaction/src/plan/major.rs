use stratal_types::{Comparator, KeyRange};

use super::pick::last_level;
use super::{Job, Place, Reason, Shape, Strategy, Table};
use crate::span_set::compare_starts;

/// Brings everything into one run of the last level.
///
/// Parts of the key space that have no table in common are separate jobs, so that a sparse tree needs
/// little room. What already stands in the last level alone is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Major {
    /// The last level. If tables stand deeper, the deepest of their levels.
    pub level: usize,
}

impl Strategy for Major {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        let level = last_level(shape, self.level.saturating_add(1));
        let runs = shape.level(level);
        let newest_age = shape.runs().map(|(place, _)| place.age).max()?;
        let age = runs.last().map_or(newest_age, |run| run.age);
        let output = Place { level, age };

        let mut tables: Vec<(Place, &Table)> = shape.tables().collect();
        tables.sort_by(|(_, a), (_, b)| compare_starts(&a.span, &b.span, comparator));
        let mut rest = tables.as_slice();
        while let Some(((_, first), _)) = rest.split_first() {
            let mut hull: KeyRange = first.span.clone();
            let mut count = 1;
            while let Some((_, next)) = rest.get(count)
                && next.span.overlaps(&hull, comparator)
            {
                hull = hull.hull(&next.span, comparator);
                count += 1;
            }
            let (column, behind) = rest.split_at(count);
            rest = behind;
            if column.iter().all(|(place, _)| *place == output) {
                continue;
            }
            let seeds: Vec<u64> = column.iter().map(|(_, table)| table.number).collect();
            let job = Job::widen(shape, &seeds, output, Reason::Manual, comparator);
            let job = job.and_then(|job| {
                let collects = column.iter().any(|(_, table)| table.has_deletes());
                if collects { job.into_merge(shape, comparator) } else { Ok(job) }
            });
            if let Ok(job) = job {
                return Some(job);
            }
        }
        None
    }
}
