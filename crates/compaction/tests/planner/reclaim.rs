//! Range tombstones are merged with what they hide.

use stratal_compaction::plan::{Covered, Job, JobKind, Place, Reason, Reclaim, Shape, Strategy};
use stratal_types::Bytewise;

use crate::jobs::shape;

const fn covered(table: u64, by: u64, len: u64) -> Covered {
    Covered { table, by, len }
}

fn plan(shape: &Shape, percent: u64, covered: &[Covered]) -> Option<Job> {
    let job = Reclaim { covered: covered.to_vec(), percent }.plan(shape, &Bytewise)?;
    job.check(shape, &Bytewise).unwrap();
    assert_eq!((job.kind, job.reason), (JobKind::Compact, Reason::Covered));
    Some(job)
}

/// What is covered, the percent asked for, and the inputs and output of the job.
type Case<'a> = (&'a [Covered], u64, Option<(&'a [u64], Place)>);

/// Of every table the length is 10.
fn tree() -> Shape {
    shape(&[
        &[&[(1, 10, 50)], &[(2, 70, 90)]],
        &[&[(3, 0, 20), (4, 21, 60), (5, 61, 99)]],
        &[&[(6, 0, 20), (7, 21, 99)]],
    ])
}

#[test]
fn tombstones_are_merged_with_what_they_hide_if_that_is_much() {
    let (level1, level2) = (Place { level: 1, age: 100 }, Place { level: 2, age: 100 });
    let cases: [Case<'_>; 9] = [
        (&[], 0, None),
        // One of its own goes in a merge of that table, and what overlaps it in no other place.
        (&[covered(7, 7, 5)], 50, Some((&[7], level2))),
        (&[covered(7, 7, 5)], 51, None),
        // Table 1 takes tables 3 and 4 along.
        (&[covered(3, 1, 8), covered(4, 1, 7)], 50, Some((&[1, 3, 4], level1))),
        (&[covered(3, 1, 8), covered(4, 1, 6)], 50, None),
        // Two that hide one do not hide more of it than there is.
        (&[covered(3, 1, 8), covered(4, 1, 6), covered(4, 4, 6)], 50, Some((&[4], level1))),
        (&[covered(3, 1, 8), covered(4, 1, 6), covered(4, 3, 6)], 50, None),
        // The way down takes along what lies between.
        (&[covered(7, 2, 10)], 30, Some((&[2, 5, 7], level2))),
        (&[covered(99, 1, 10), covered(3, 98, 10)], 0, None),
    ];
    let tree = tree();
    for (covered, percent, expected) in cases {
        let job = plan(&tree, percent, covered);
        let found = job.as_ref().map(|job| (&job.inputs[..], job.output));
        assert_eq!(found, expected, "{covered:?} at {percent}");
    }
}

#[test]
fn the_most_goes_first_and_never_what_is_under_way() {
    let mut tree = tree();
    let all = [covered(3, 3, 6), covered(7, 7, 9), covered(5, 5, 7)];
    let mut order = Vec::new();
    while let Some(job) = plan(&tree, 60, &all) {
        assert!(!tree.tables().any(|(_, table)| table.busy && job.takes(table.number)));
        tree.start(&job);
        order.push(job.inputs);
    }
    assert_eq!(order, [[7], [5], [3]]);
    assert_eq!(plan(&tree, 101, &[covered(4, 4, 10)]), None, "never");
}
