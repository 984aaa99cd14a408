//! Power fails at every operation, and again during every recovery: what was promised is there, and
//! what is there is a prefix of what was appended.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{collections::HashSet, path::Path};

use common::{Step, context, groups, random_steps, recover, replay, run, small, spec_of};
use stratal_fs::{Fs, SimFs};
use stratal_testkit::Rng;
use stratal_wal::{AppendMode, Replay, Wal, WalOptions, segment_number};

use Step::{Buffered, Close, CloseUnneeded, Flush, Mark, Sync, Through};

/// Histories that cover every pair of neighbouring steps in some state: empty, buffered, written,
/// rotated, synced.
const HISTORIES: [&[Step]; 9] = [
    &[Through(40), Sync, Through(40), Sync, Mark, Through(40), Close],
    &[Buffered(100), Buffered(100), Buffered(200), Flush, Sync, Buffered(20), Sync, Mark, Close],
    &[Through(400), Through(400), Through(400), Through(400), Sync, Through(400), Sync, Close],
    &[Through(700), Sync, Through(700), Through(700), Sync, Mark, Mark, Through(700), Through(9)],
    &[Sync, Mark, Close],
    &[Through(400), Sync, Through(700), Mark, Buffered(20), CloseUnneeded],
    &[Through(1500), Sync, Buffered(3000), Sync, Mark, Through(3000), Through(3000), Close],
    &[Through(0), Sync, Through(1), Mark, Sync, Mark, Through(7), Sync, Through(8), Sync, Close],
    &[Buffered(600), Buffered(600), Buffered(600), Through(600), Buffered(600), Sync, Mark, Flush],
];

const RANDOM_HISTORIES: u64 = 60;

#[derive(Debug, Default)]
struct Counts {
    moments: u64,
    images: u64,
    distinct: u64,
    nested: u64,
    nested_twice: u64,
}

#[test]
fn every_crash_leaves_a_prefix_with_all_that_was_promised() {
    let mut counts = Counts::default();
    let random = (0..RANDOM_HISTORIES).map(|seed| random_steps(&mut Rng::new(seed)));
    let histories = HISTORIES.into_iter().map(<[Step]>::to_vec).chain(random);
    for (seed, steps) in (0..).zip(histories) {
        let fs = SimFs::new(seed);
        fs.record_moments();
        let history = run(&fs, Wal::create(context(&fs), spec_of(seed)), &steps);
        assert_eq!(history.errors, [""; 0]);
        assert_eq!(fs.violations(), stratal_fs::sim_fs::Violations::default());
        let mut seen = HashSet::new();
        for moment in fs.take_moments() {
            counts.moments += 1;
            let promised = history.promised_at(moment.op + 1);
            for policy in moment.fs.crash_policies(120, 24) {
                let image = moment.fs.image(&policy);
                counts.images += 1;
                if !seen.insert((image.fingerprint(), promised)) {
                    continue;
                }
                counts.distinct += 1;
                let why = || format!("{steps:?} crashed at {} with {policy:?}", moment.op);
                let (found, _) = replay(&image).unwrap_or_else(|err| panic!("{}: {err}", why()));
                assert!(history.accepted.starts_with(&found), "{}: no prefix", why());
                assert!(found.len() >= promised, "{}: {} of {promised}", why(), found.len());
                if counts.distinct.is_multiple_of(8) {
                    crash_in_recovery(&image, &found, 2, &mut counts);
                }
            }
        }
    }
    println!("{counts:?}");
    assert!(counts.distinct > 10_000 && counts.nested > 10_000 && counts.nested_twice > 10_000);
}

/// Recovers the log on `fs`, which holds `expected`, crashing at each operation on the way.
fn crash_in_recovery(fs: &SimFs, expected: &[Vec<u8>], depth: u32, counts: &mut Counts) {
    fs.record_moments();
    let (mut wal, found, _) = recover(fs).unwrap();
    assert_eq!(found, expected);
    let moments = fs.take_moments();
    // It goes on where it was.
    let more = wal.append(&[b"more"], AppendMode::Through).unwrap();
    assert_eq!(wal.syncer().sync().unwrap(), more.range.end);
    let (found, report) = replay(&fs.image(&stratal_fs::CrashPolicy::LoseAll)).unwrap();
    assert_eq!(found.split_last(), Some((&b"more".to_vec(), expected)));
    assert_eq!((report.end, report.cut_len), (more.range.end, 0));
    assert_eq!(fs.violations(), stratal_fs::sim_fs::Violations::default());

    for (i, moment) in moments.iter().enumerate() {
        for (j, policy) in moment.fs.crash_policies(16, 4).enumerate() {
            let image = moment.fs.image(&policy);
            let (found, _) = replay(&image).unwrap();
            assert_eq!(found, expected, "recovery crashed at {} with {policy:?}", moment.op);
            if depth == 2 {
                counts.nested += 1;
            } else {
                counts.nested_twice += 1;
            }
            if depth > 1 && (i + j).is_multiple_of(16) {
                crash_in_recovery(&image, expected, depth - 1, counts);
            }
        }
    }
}

#[test]
fn what_a_killed_process_left_is_durable_before_the_next_one_goes_on() {
    let mut images = 0;
    for (seed, steps) in (0..).zip(HISTORIES) {
        let fs = SimFs::new(seed);
        fs.record_moments();
        run(&fs, Wal::create(context(&fs), small()), steps);
        for moment in fs.take_moments() {
            // The process is killed; the system goes on, with all that is unsynced.
            let (_wal, expected, _) = recover(&moment.fs).unwrap();
            // Then power fails.
            for policy in moment.fs.crash_policies(40, 8) {
                let (found, _) = replay(&moment.fs.image(&policy)).unwrap();
                assert_eq!(found, expected, "{steps:?} at {} with {policy:?}", moment.op);
                images += 1;
            }
        }
    }
    println!("{images} images");
    assert!(images > 800, "{images}");
}

#[test]
fn a_closed_log_needs_no_new_segment_and_says_that_it_was_closed() {
    let fs = SimFs::new(3);
    let steps = [Through(40), Through(700), Through(700), Close];
    let history = run(&fs, Wal::create(context(&fs), small()), &steps);
    let image = fs.image(&stratal_fs::CrashPolicy::LoseAll);
    let ops_before = image.unsynced_ops();
    let (wal, found, report) = recover(&image).unwrap();
    assert_eq!(found, history.accepted);
    assert!(report.was_closed && report.cut_len == 0, "{report:?}");
    assert_eq!((report.synced, report.end), (wal.durable_lsn(), wal.end_lsn()));
    // Nothing appended: closing leaves everything as it was.
    wal.close().unwrap();
    assert_eq!(image.unsynced_ops(), ops_before);
    assert!(replay(&image).unwrap().1.was_closed);
}

#[test]
fn retired_segments_are_not_missed() {
    let fs = SimFs::new(4);
    let mut wal = Wal::create(context(&fs), small()).unwrap();
    assert_eq!(wal.floor(9), 0, "nothing is durable yet");
    let mut segments = Vec::new();
    for number in 0..6 {
        let group = common::payload(number, 700);
        let appended = wal.append(&[&group], AppendMode::Through).unwrap();
        segments.push((appended.segment, group));
        if number != 5 {
            wal.syncer().sync().unwrap();
        }
    }
    let floor = wal.floor(segments[5].0);
    assert_eq!(floor, segments[4].0, "the last segment is not durable");
    assert!(wal.retire(floor).unwrap() > 0);
    fs.record_moments();
    wal.syncer().sync().unwrap();
    for policy in fs.crash_policies(100, 10) {
        let image = fs.image(&policy);
        let mut replay = Replay::open(context(&image), floor).unwrap();
        let found = groups(&mut replay).unwrap();
        let needed: Vec<_> =
            segments.iter().filter(|(it, _)| *it >= floor).map(|(_, group)| group).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), needed, "{policy:?}");
        let (wal, _) = replay.into_wal(small()).unwrap();
        assert!(wal.segment() > segments[5].0);
    }
    // Were the floor's segment gone, that would be damage.
    let image = fs.image(&stratal_fs::CrashPolicy::KeepAll);
    let err = Replay::open(context(&image), 99).unwrap_err();
    assert!(err.is_corruption(), "{err}");
}

#[test]
fn a_log_of_which_nothing_is_needed_moves_on_to_where_it_takes_little_space() {
    let fs = SimFs::new(6);
    let spec = WalOptions { segment_len: 64 << 10, ..WalOptions::default() }.validate().unwrap();
    let mut wal = Wal::create(context(&fs), spec).unwrap();
    let len_of = |number: u64| {
        fs.metadata(&Path::new("/").join(stratal_wal::segment_file_name(number))).unwrap().len
    };
    let group = |wal: &mut Wal| wal.append(&[&[7; 100]], AppendMode::Through).unwrap();
    group(&mut wal);
    let least = len_of(1);
    assert!(!wal.move_on().unwrap(), "a new one would take as much");
    // Space comes before it is written to: with nobody who prepares it, and then with somebody.
    for is_prepared in [false, true] {
        let before = wal.end_lsn();
        let mut spaces = std::collections::BTreeSet::new();
        while wal.end_lsn().since(before) < 12_000 {
            let appended = group(&mut wal);
            assert!(len_of(1) >= 1024 + appended.range.end.0);
            if is_prepared {
                wal.syncer().run_ahead();
                assert!(len_of(1) >= 2 * (1024 + appended.range.end.0));
            }
            spaces.insert(len_of(1));
        }
        assert!(spaces.len() < 6, "{spaces:?}");
    }
    assert!(len_of(1) == 64 << 10);
    let used = wal.end_lsn();
    assert!(wal.move_on().unwrap());
    assert!(wal.floor(u64::MAX) == 0, "nothing is synced");
    wal.syncer().sync().unwrap();
    let floor = wal.floor(wal.segment());
    assert_eq!((floor, len_of(2)), (2, least));
    wal.retire(floor).unwrap();
    assert!(!wal.move_on().unwrap(), "once is enough");
    fs.record_moments();
    group(&mut wal);
    wal.syncer().sync().unwrap();
    for moment in fs.take_moments() {
        for policy in moment.fs.crash_policies(40, 8) {
            let mut replay = Replay::open(context(&moment.fs.image(&policy)), floor).unwrap();
            assert!(groups(&mut replay).unwrap().len() <= 1);
            let report = replay.finish().unwrap();
            assert!(report.end > used && report.synced >= used, "{report:?}");
        }
    }
}

#[test]
fn a_log_of_which_nothing_is_needed_ends_in_a_segment_of_its_own() {
    for steps in [&[Through(700), Sync, Through(700)][..], &[]] {
        let fs = SimFs::new(5);
        let mut wal = Wal::create(context(&fs), small()).unwrap();
        for (number, step) in steps.iter().enumerate() {
            match step {
                Through(len) => {
                    let group = common::payload(number, *len);
                    wal.append(&[&group], AppendMode::Through).unwrap();
                }
                _ => drop(wal.syncer().sync().unwrap()),
            }
        }
        let (end, floor) = wal.close_unneeded().unwrap();
        assert_eq!(fs.violations(), stratal_fs::sim_fs::Violations::default());
        // The floor is durable elsewhere by now, and the other segments are gone.
        let image = fs.image(&stratal_fs::CrashPolicy::LoseAll);
        for entry in image.list(Path::new("/")).unwrap() {
            if segment_number(&entry.name).unwrap() < floor {
                image.remove_file(&Path::new("/").join(&entry.name)).unwrap();
            } else {
                assert!(entry.len < 8192, "nothing is reserved for what is not written: {entry:?}");
            }
        }
        let open = |fs: &SimFs| Replay::open(context(fs), floor).unwrap();
        let mut found = open(&image);
        assert!(groups(&mut found).unwrap().is_empty());
        let (mut wal, report) = found.into_wal(small()).unwrap();
        assert!(report.was_closed && report.cut_len == 0, "{report:?}");
        assert_eq!((report.end, wal.end_lsn(), wal.durable_lsn()), (end, end, end));
        // It goes on behind that, and crashes.
        image.record_moments();
        wal.append(&[b"more"], AppendMode::Through).unwrap();
        assert!(wal.floor(u64::MAX) <= floor, "nothing of the new segment is durable");
        let durable = wal.syncer().sync().unwrap();
        let next = wal.floor(wal.segment());
        let last = image.op_count();
        for moment in image.take_moments() {
            for policy in moment.fs.crash_policies(40, 8) {
                let found = groups(&mut open(&moment.fs.image(&policy))).unwrap();
                assert!(found.is_empty() || found == [b"more"], "{found:?}");
                assert!(moment.op + 1 < last || found.len() == 1);
            }
        }
        assert!(next > floor && wal.durable_lsn() == durable);
        let (found, report) = {
            let mut replay = Replay::open(context(&image), next).unwrap();
            (groups(&mut replay).unwrap(), replay.finish().unwrap())
        };
        assert_eq!((found, report.segments), (vec![b"more".to_vec()], 1));
    }
}
