//! The disk fails at every operation, in every way, and the log goes on: nothing acknowledged is
//! lost, nothing appears that was never appended, and no failed sync is tried again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::collections::HashSet;

use common::{
    History, Step, context, continue_run, random_steps, recover, replay, run, small, spec_of,
};
use stratal_fs::{
    CrashPolicy, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError, Violations},
};
use stratal_testkit::Rng;
use stratal_wal::{AppendMode, Error, Wal, WalSpec};

use Step::{Buffered, Flush, Mark, Sync, Through};

const HISTORIES: [&[Step]; 4] = [
    &[Through(100), Sync, Through(100), Through(100), Sync, Mark, Through(100), Sync],
    &[Buffered(100), Buffered(200), Buffered(300), Sync, Buffered(50), Flush, Through(100), Sync],
    &[Through(700), Through(700), Through(700), Sync, Through(700), Through(700), Mark, Sync],
    &[Through(1500), Through(1500), Through(1500), Through(1500), Sync, Buffered(9), Sync],
];

/// After the fault: enough to begin another segment, use it, and rotate.
const AFTER: [Step; 7] = [Through(50), Sync, Through(700), Mark, Through(900), Sync, Through(30)];

const FAULTS: [FaultKind; 7] = [
    FaultKind::Error(OsError::Io),
    FaultKind::Error(OsError::NoSpace),
    FaultKind::Error(OsError::Interrupted),
    FaultKind::Error(OsError::TooManyFiles),
    FaultKind::ErrorDroppingPages(OsError::Io),
    FaultKind::ErrorWhenDone(OsError::Io),
    FaultKind::Short,
];

#[derive(Debug, Default)]
struct Counts {
    cases: u64,
    faults_met: u64,
    images: u64,
}

#[test]
fn a_fault_anywhere_costs_nothing_that_was_acknowledged() {
    let mut counts = Counts::default();
    let random = (0..6).map(|seed| random_steps(&mut Rng::new(seed)));
    let histories = HISTORIES.into_iter().map(<[Step]>::to_vec).chain(random);
    for (i, steps) in histories.enumerate() {
        let steps: Vec<_> =
            steps.into_iter().filter(|it| !matches!(it, Step::Close)).chain(AFTER).collect();
        let clean = SimFs::new(0);
        let spec = spec_of(i as u64);
        run(&clean, Wal::create(context(&clean), spec), &steps);
        let is_random = i >= HISTORIES.len();
        for op in 0..clean.op_count() {
            for (j, fault) in FAULTS.into_iter().enumerate() {
                if is_random && !(usize::try_from(op).unwrap() + i + j).is_multiple_of(3) {
                    continue;
                }
                for times in [1, 3] {
                    let fs = SimFs::new(op);
                    fs.inject(Fault::at(op, fault).times(times));
                    check(&fs, spec, &steps, &mut counts, || {
                        format!("{steps:?} {fault:?}×{times} at {op}")
                    });
                }
            }
        }
    }
    println!("{counts:?}");
    assert!(counts.cases > 2500 && counts.faults_met > 2000 && counts.images > 100_000);
}

#[test]
fn a_device_that_fails_every_sync_for_a_while_costs_nothing_that_was_acknowledged() {
    let mut counts = Counts::default();
    for (seed, steps) in (0..).zip(HISTORIES) {
        for (kind, after) in [OpKind::SyncData, OpKind::SyncDir, OpKind::Write, OpKind::Create]
            .into_iter()
            .flat_map(|kind| (0..6).map(move |after| (kind, after)))
        {
            for fault in FAULTS {
                for times in [2, 5] {
                    let fs = SimFs::new(seed);
                    fs.inject(Fault::on(kind, fault).after(after).times(times));
                    let steps = [steps, &AFTER, &[Sync, Flush, Sync], &AFTER].concat();
                    let case = || format!("{kind:?} {fault:?} after {after}");
                    check(&fs, spec_of(seed), &steps, &mut counts, case);
                }
            }
        }
    }
    println!("{counts:?}");
    assert!(counts.images > 20_000);
}

/// Runs `steps` on a disk that will fail, and crashes at the end and at some moments before.
fn check(
    fs: &SimFs,
    spec: WalSpec,
    steps: &[Step],
    counts: &mut Counts,
    case: impl Fn() -> String,
) {
    counts.cases += 1;
    fs.record_moments();
    let history = run(fs, Wal::create(context(fs), spec), steps);
    counts.faults_met += u64::from(!history.errors.is_empty());
    let Violations { retried_syncs, writes_after_failure, .. } = fs.violations();
    assert_eq!((retried_syncs, writes_after_failure), (0, 0), "{}\n{}", case(), fs.trace_text(60));

    let mut seen = HashSet::new();
    let moments = fs.take_moments();
    let last = moments.len().saturating_sub(1);
    for (i, moment) in moments.iter().enumerate() {
        let policies = if i == last {
            moment.fs.crash_policies(40, 8)
        } else {
            moment.fs.crash_policies(4, 2)
        };
        for policy in policies {
            let image = moment.fs.image(&policy);
            let promised = history.promised_at(moment.op + 1);
            if !seen.insert((image.fingerprint(), promised)) {
                continue;
            }
            counts.images += 1;
            let why = || format!("{}, crashed at {} with {policy:?}", case(), moment.op);
            let found = check_image(&image, &history, promised, &why);
            // The next process goes on from what was found, and what was not found stays away.
            if counts.images.is_multiple_of(7) {
                go_on(&image, found, &why);
            }
        }
    }
}

fn check_image(
    image: &SimFs,
    history: &History,
    promised: usize,
    why: &dyn Fn() -> String,
) -> Vec<Vec<u8>> {
    let (found, _) = replay(image).unwrap_or_else(|err| panic!("{}: {err}", why()));
    assert!(history.allows(&found), "{}: {} groups nobody appended so", why(), found.len());
    let kept = found.iter().zip(&history.accepted).take_while(|(a, b)| a == b).count();
    assert!(kept >= promised, "{}: {kept} of {promised}", why());
    found
}

fn go_on(image: &SimFs, found: Vec<Vec<u8>>, why: &dyn Fn() -> String) {
    let (mut wal, again, _) = recover(image).unwrap();
    assert_eq!(again, found, "{}", why());
    wal.append(&[b"more"], AppendMode::Through).unwrap();
    wal.syncer().sync().unwrap();
    let expected = [found, vec![b"more".to_vec()]].concat();
    for policy in [CrashPolicy::LoseAll, CrashPolicy::KeepAll] {
        assert_eq!(replay(&image.image(&policy)).unwrap().0, expected, "{}", why());
    }
}

#[test]
fn a_failed_sync_is_told_once_and_what_it_was_about_comes_with_the_next_segment() {
    for fault in [FaultKind::Error(OsError::Io), FaultKind::ErrorDroppingPages(OsError::Io)] {
        let fs = SimFs::new(1);
        let mut wal = Wal::create(context(&fs), small()).unwrap();
        wal.append(&[b"one"], AppendMode::Through).unwrap();
        let durable = wal.syncer().sync().unwrap();
        wal.append(&[b"two"], AppendMode::Through).unwrap();
        fs.inject(Fault::on(OpKind::SyncData, fault));
        assert!(matches!(wal.syncer().sync(), Err(Error::Io { op: "sync", .. })));
        assert!(matches!(wal.syncer().sync(), Err(Error::Closed)));
        assert_eq!(wal.durable_lsn(), durable);
        let first = wal.segment();
        wal.flush().unwrap();
        assert!(wal.segment() > first);
        assert_eq!(wal.syncer().sync().unwrap(), wal.end_lsn());
        assert_eq!(fs.violations(), Violations::default());
        let (found, report) = replay(&fs.image(&CrashPolicy::LoseAll)).unwrap();
        assert_eq!(found, [b"one", b"two"]);
        assert_eq!((report.segments, report.cut_len), (2, 0));
    }
}

#[test]
fn a_group_whose_append_failed_is_gone_once_the_next_segment_is_durable() {
    let fs = SimFs::new(1);
    let mut wal = Wal::create(context(&fs), small()).unwrap();
    wal.append(&[b"one"], AppendMode::Through).unwrap();
    fs.inject(Fault::on(OpKind::Write, FaultKind::ErrorWhenDone(OsError::Io)));
    assert!(wal.append(&[b"unknown"], AppendMode::Through).is_err());
    assert!(matches!(wal.syncer().sync(), Err(Error::Closed)), "the segment is not touched again");
    // It may come back now,
    let (found, _) = replay(&fs.image(&CrashPolicy::KeepAll)).unwrap();
    assert_eq!(found, [&b"one"[..], b"unknown"]);
    // and not any more once this is synced.
    wal.append(&[b"two"], AppendMode::Through).unwrap();
    wal.syncer().sync().unwrap();
    for policy in fs.crash_policies(100, 100) {
        assert_eq!(replay(&fs.image(&policy)).unwrap().0, [b"one", b"two"], "{policy:?}");
    }
}

#[test]
fn a_full_disk_is_survived_and_left_when_there_is_space_again() {
    let mut cases = 0;
    let full = SimFs::new(0);
    run(&full, Wal::create(context(&full), small()), &AFTER);
    for capacity in (0..full.used_space() + 200).step_by(100) {
        let fs = SimFs::new(capacity);
        fs.set_capacity(capacity);
        fs.record_moments();
        let mut history = History::default();
        let mut wal = Wal::create(context(&fs), small()).unwrap();
        for step in AFTER {
            let result = match step {
                Through(len) => {
                    let group = common::payload(history.accepted.len(), len);
                    wal.append(&[&group], AppendMode::Through).map(|_| history.accepted.push(group))
                }
                _ => wal.flush().and_then(|()| wal.syncer().sync()).map(|_| ()),
            };
            if let Err(err) = result {
                assert!(
                    err.to_string().contains("os error 28") || matches!(err, Error::Closed),
                    "{err}"
                );
            }
        }
        fs.set_capacity(u64::MAX);
        wal.append(&[b"last"], AppendMode::Through).unwrap();
        wal.syncer().sync().unwrap();
        history.accepted.push(b"last".to_vec());
        let (found, _) = replay(&fs.image(&CrashPolicy::LoseAll)).unwrap();
        assert_eq!(found, history.accepted, "capacity {capacity}");
        assert_eq!((fs.violations().retried_syncs, fs.violations().writes_after_failure), (0, 0));
        cases += 1;
    }
    println!("{cases} capacities");
    assert!(cases > 40);
}

#[test]
fn a_failing_read_is_an_error_and_never_the_end_of_the_log() {
    let fs = SimFs::new(1);
    let mut history = History::default();
    let steps = [Through(700), Through(700), Sync, Through(700), Through(700), Sync];
    continue_run(&fs, Wal::create(context(&fs), small()), &steps, &mut history);
    let image = fs.image(&CrashPolicy::KeepAll);
    replay(&image).unwrap();
    let ops = image.op_count();
    for op in 0..ops {
        let image = fs.image(&CrashPolicy::KeepAll);
        image.inject(Fault::at(op, FaultKind::Error(OsError::Io)));
        let err = replay(&image).unwrap_err();
        assert!(matches!(err, Error::Io { .. }), "operation {op}: {err}");
        let image = fs.image(&CrashPolicy::KeepAll);
        image.inject(Fault::at(op, FaultKind::Short));
        assert_eq!(replay(&image).unwrap().0, history.accepted);
    }
}
