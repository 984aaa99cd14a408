//! Which jobs are valid, by hand.

use JobKind::{Compact, Flush, TrivialMove};
use stratal_compaction::plan::{
    Blocked, Claim, Invalid, Job, JobKind, Place, Reason, Run, Shape, Table,
};
use stratal_types::{Bytewise, KeyRange, SeqNo};

use crate::tree::key;

/// A table over cells `first..=last`.
fn table(number: u64, first: u32, last: u32) -> Table {
    Table {
        number,
        span: KeyRange::closed(key(first), key(last)),
        len: 10,
        seqnos: (SeqNo::ZERO, SeqNo::ZERO),
        entries: 1,
        deletes: 0,
        tombstones: 0,
        created_at_ms: 0,
        expired_at: None,
        judged_to: SeqNo::ZERO,
        busy: false,
    }
}

/// The tables of a run: number, first cell, last cell.
pub(crate) type RunSpec = &'static [(u64, u32, u32)];

/// Levels from the top; per level its runs, newest first.
pub(crate) fn shape(levels: &[&[RunSpec]]) -> Shape {
    let run = |(at, tables): (usize, &RunSpec)| Run {
        age: 100 - at as u64,
        tables: tables.iter().map(|(number, first, last)| table(*number, *first, *last)).collect(),
    };
    Shape {
        levels: levels.iter().map(|runs| runs.iter().enumerate().map(run).collect()).collect(),
        ..Shape::default()
    }
}

#[test]
fn jobs_take_what_they_would_pass_and_no_more() {
    let shape = shape(&[
        &[&[(1, 10, 20)], &[(2, 15, 40), (3, 60, 70)], &[(4, 50, 55)]],
        &[&[(5, 0, 12), (6, 30, 35), (7, 45, 90)]],
        &[&[(8, 11, 33), (9, 34, 99)]],
    ]);
    shape.check(&Bytewise).unwrap();
    let widened = |seeds: &[u64], level, age| {
        let output = Place { level, age };
        let job = Job::widen(&shape, seeds, output, Reason::Manual, &Bytewise).unwrap();
        job.check(&shape, &Bytewise).unwrap();
        (job.kind, job.inputs)
    };
    // Newer tables stay; older ones that overlap come along, and what they overlap.
    assert_eq!(widened(&[4], 1, 100), (Compact, vec![4, 7]));
    assert_eq!(widened(&[1], 1, 100), (Compact, vec![1, 2, 5, 6]));
    // Table 6 overlaps 8 and 9; 5, which overlaps 8 too, has nothing that could be passed.
    assert_eq!(widened(&[6], 2, 100), (Compact, vec![6, 8, 9]));
    // Within level 0, into the place of the oldest input. 3 comes along, since an output may reach
    // from 2 to it.
    assert_eq!(widened(&[1, 2], 0, 99), (Compact, vec![1, 2]));
    assert_eq!(widened(&[1, 3], 0, 99), (Compact, vec![1, 2, 3]));
    assert_eq!(widened(&[4], 0, 50), (TrivialMove, vec![4]));
    // From level 0 to level 2 past level 1.
    assert_eq!(widened(&[4], 2, 100), (Compact, vec![4, 7, 9]));
}

#[test]
fn invalid_jobs_are_told_why() {
    let shape =
        shape(&[&[&[(1, 10, 20)], &[(2, 15, 40)]], &[&[(5, 0, 12), (6, 41, 45), (7, 50, 60)]]]);
    let job = |kind, inputs: &[u64], level, age, first, last| Job {
        kind,
        reason: Reason::Manual,
        inputs: inputs.to_vec(),
        output: Place { level, age },
        newest: Place { level: 0, age: 100 },
        span: KeyRange::closed(key(first), key(last)),
    };
    let check = |job: Job| job.check(&shape, &Bytewise);
    let cases = [
        (job(Compact, &[], 1, 100, 0, 9), Err(Invalid::NoInputs)),
        (job(Compact, &[99], 1, 100, 0, 99), Err(Invalid::Missing { number: 99 })),
        (job(Compact, &[5], 0, 100, 0, 12), Err(Invalid::BehindOutput { number: 5 })),
        (job(Compact, &[7], 1, 100, 55, 60), Err(Invalid::OutsideSpan { number: 7 })),
        (job(Compact, &[1, 5], 1, 100, 0, 20), Err(Invalid::Passed { number: 2, input: Some(1) })),
        (job(Compact, &[1, 2], 1, 100, 10, 40), Err(Invalid::Passed { number: 5, input: Some(1) })),
        (job(Compact, &[1, 2, 5], 1, 100, 0, 40), Ok(())),
        (job(Compact, &[1, 2, 5], 1, 100, 0, 41), Err(Invalid::Overlaps { number: 6 })),
        (job(Compact, &[1, 2, 5, 7], 1, 100, 0, 60), Err(Invalid::Overlaps { number: 6 })),
        (
            job(TrivialMove, &[1, 2], 1, 50, 10, 40),
            Err(Invalid::Passed { number: 5, input: Some(1) }),
        ),
        (job(TrivialMove, &[2], 1, 100, 15, 40), Ok(())),
        (job(TrivialMove, &[1, 2], 0, 98, 10, 40), Err(Invalid::NotARun { first: 1, second: 2 })),
        (job(Flush, &[], 0, 101, 0, 99), Ok(())),
        (job(Flush, &[], 0, 99, 0, 9), Ok(())),
        (job(Flush, &[], 0, 98, 10, 12), Err(Invalid::Passed { number: 1, input: None })),
        (job(Flush, &[], 0, 100, 12, 18), Err(Invalid::Passed { number: 1, input: None })),
    ];
    for (job, expected) in cases {
        assert_eq!(check(job.clone()), expected, "{job:?}");
    }
}

#[test]
fn busy_tables_and_claims_block() {
    let mut shape = shape(&[&[&[(1, 10, 20)]], &[&[(5, 0, 12), (6, 41, 45)]], &[&[(8, 50, 60)]]]);
    let to = |level| Place { level, age: 100 };
    let first = Job::widen(&shape, &[1], to(1), Reason::Manual, &Bytewise).unwrap();
    shape.start(&first);
    let widen =
        |seeds: &[u64], output| Job::widen(&shape, seeds, output, Reason::Manual, &Bytewise);
    assert_eq!(widen(&[5], to(2)), Err(Blocked::Busy { number: 5 }));
    assert_eq!(widen(&[77], to(2)), Err(Blocked::NotAnInput { number: 77 }));
    assert_eq!(widen(&[8], to(1)), Err(Blocked::NotAnInput { number: 8 }));
    assert_eq!(widen(&[], to(1)), Err(Blocked::NoSeeds));
    assert!(widen(&[6], to(2)).is_ok());
    shape.claims.push(Claim {
        span: KeyRange::closed(key(45), key(46)),
        newest: to(2),
        output: to(3),
    });
    let blocked = Job::widen(&shape, &[6], to(2), Reason::Manual, &Bytewise);
    assert_eq!(blocked, Err(Blocked::Claimed));
    shape.stop(&first);
    assert!(shape.tables().all(|(_, table)| !table.busy));
    assert_eq!(shape.claims.len(), 1);
}

#[test]
fn nothing_older_is_what_no_source_behind_the_output_overlaps() {
    let mut shape = shape(&[
        &[&[(1, 10, 20)], &[(2, 30, 40)]],
        &[&[(5, 12, 14)]],
        &[&[(8, 0, 11), (9, 35, 60)]],
    ]);
    shape.quarantined.push(KeyRange::closed(key(18), key(19)));
    let older = |seeds: &[u64], level, age| {
        let output = Place { level, age };
        let job = Job::widen(&shape, seeds, output, Reason::Manual, &Bytewise).unwrap();
        let older = job.older(&shape, &Bytewise);
        (0..70).filter(|cell| older.contains(&key(*cell), &Bytewise)).collect::<Vec<u32>>()
    };
    // Deeper levels, as whole spans; what is quarantined; but not what is merged.
    let expected: Vec<u32> = (0..12).chain(18..20).collect();
    assert_eq!(older(&[1], 1, 100), expected);
    assert_eq!(older(&[1], 2, 100), [18, 19]);
    // Older runs of level 0 behind the output.
    let expected: Vec<u32> = (0..12).chain(12..15).chain(18..20).collect();
    assert_eq!(older(&[1], 0, 100), expected);
    let flush = Job::flush(KeyRange::closed(key(61), key(62)), 200);
    assert!(
        flush.older(&shape, &Bytewise).contains(&key(61), &Bytewise),
        "a flush rules nothing out"
    );
}

#[test]
fn jobs_by_hand_are_exactly_what_was_asked_for_or_refused() {
    let mut shape =
        shape(&[&[&[(1, 10, 20)], &[(2, 15, 40)]], &[&[(5, 0, 12), (6, 41, 45), (7, 50, 60)]]]);
    let exactly = |shape: &Shape, inputs: &[u64], level, age| {
        let job = Job::exactly(shape, inputs, Place { level, age }, &Bytewise);
        job.map(|job| (job.kind, job.inputs))
    };
    assert_eq!(exactly(&shape, &[5, 2, 1], 1, 100), Ok((Compact, vec![1, 2, 5])));
    assert_eq!(
        exactly(&shape, &[1], 1, 100),
        Err(Invalid::Passed { number: 2, input: Some(1) }.into())
    );
    assert_eq!(exactly(&shape, &[2], 1, 100), Ok((TrivialMove, vec![2])));
    assert_eq!(exactly(&shape, &[6], 2, 7), Ok((TrivialMove, vec![6])));
    assert_eq!(exactly(&shape, &[5], 0, 100), Err(Invalid::BehindOutput { number: 5 }.into()));
    assert_eq!(exactly(&shape, &[8], 1, 100), Err(Blocked::NotAnInput { number: 8 }));
    assert_eq!(exactly(&shape, &[], 1, 100), Err(Blocked::NoSeeds));
    let running = Job::exactly(&shape, &[6], Place { level: 2, age: 7 }, &Bytewise).unwrap();
    shape.start(&running);
    assert_eq!(exactly(&shape, &[6, 7], 2, 7), Err(Blocked::Busy { number: 6 }));
}

#[test]
fn tables_expire_with_all_older_ones_that_they_hide() {
    let mut shape = shape(&[
        &[&[(1, 10, 20)], &[(2, 15, 40), (3, 60, 70)]],
        &[&[(5, 0, 12), (6, 41, 45)]],
        &[&[(8, 30, 65)]],
    ]);
    let expire = |shape: &Shape, seeds: &[u64]| {
        let job = Job::expire(shape, seeds, Reason::Space, &Bytewise)?;
        assert_eq!(job.check(shape, &Bytewise), Ok(()));
        Ok::<_, Blocked>(job.inputs)
    };
    assert_eq!(expire(&shape, &[8]), Ok(vec![8]));
    assert_eq!(expire(&shape, &[6]), Ok(vec![6, 8]));
    // 2 overlaps 8, and 1 overlaps 2 and 5.
    assert_eq!(expire(&shape, &[1]), Ok(vec![1, 2, 5, 8]));
    assert_eq!(expire(&shape, &[]), Err(Blocked::NoSeeds));
    let alone = Job {
        kind: JobKind::Expire,
        reason: Reason::Space,
        inputs: vec![3],
        output: Place { level: 0, age: 99 },
        newest: Place { level: 0, age: 99 },
        span: KeyRange::closed(key(60), key(70)),
    };
    assert_eq!(alone.check(&shape, &Bytewise), Err(Invalid::Uncovered { number: 8, input: 3 }));
    let running = Job::expire(&shape, &[8], Reason::Age, &Bytewise).unwrap();
    shape.start(&running);
    assert_eq!(expire(&shape, &[6]), Err(Blocked::Busy { number: 8 }));
}

#[test]
fn tables_under_a_range_tombstone_go_once_every_read_sees_it() {
    let mut shape = shape(&[&[&[(1, 10, 20)]], &[&[(5, 0, 12), (6, 41, 45)], &[(8, 30, 65)]]]);
    for (at, table) in shape.levels.iter_mut().flatten().flat_map(|run| &mut run.tables).enumerate()
    {
        // 1, 5, 6, 8 have the numbers 90, 80, 70, 60.
        let seqno = SeqNo::from(90 - 10 * u32::try_from(at).unwrap());
        table.seqnos = (seqno, seqno);
    }
    let hidden = |shape: &Shape, numbers: &[u64], seqno: u32| {
        let job = Job::drop_hidden(shape, numbers, seqno.into(), &Bytewise)?;
        assert_eq!(job.check(shape, &Bytewise), Ok(()));
        Ok::<_, Blocked>(job.inputs)
    };
    let refused = |number| Err(Invalid::NotHidden { number }.into());
    assert_eq!(hidden(&shape, &[5], 85), refused(5), "reads may not see the tombstone yet");
    shape.watermark = 86u32.into();
    assert_eq!(hidden(&shape, &[5, 6, 8], 85), Ok(vec![5, 6, 8]));
    // What lies behind need not go along: the tombstone hides it too.
    assert_eq!(hidden(&shape, &[5], 85), Ok(vec![5]));
    assert_eq!(hidden(&shape, &[1, 5], 85), refused(1), "newer than the tombstone");
    assert_eq!(hidden(&shape, &[5], 80), refused(5));
    assert_eq!(hidden(&shape, &[7], 85), Err(Blocked::NotAnInput { number: 7 }));
}
