//! What a log does when nothing goes wrong, and when two threads use it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{sync::Arc, thread};

use common::{context, groups, options, payload, recover, replay, small};
use proptest::prelude::*;
use stratal_fs::{
    CrashPolicy, MemFs, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_wal::{
    AppendMode, Error, Lsn, PAYLOAD_LEN_MAX, Record, RecordKind, Replay, Wal, WalContext,
    WalOptions, segment_number,
};

#[test]
fn lsns_are_positions_and_segments_change_when_they_are_full() {
    let fs = SimFs::new(1);
    let mut wal = Wal::create(context(&fs), small()).unwrap();
    let mut end = Lsn::ZERO;
    let mut segments = Vec::new();
    for len in [1, 100, 700, 700, 5000, 8] {
        let appended = wal.append(&[&vec![7; len]], AppendMode::Through).unwrap();
        assert_eq!(appended.range.start, end);
        assert_eq!(appended.range.end, end.plus((17 + len as u64).next_multiple_of(8)));
        end = appended.range.end;
        segments.push(appended.segment);
    }
    assert_eq!(segments, [1, 1, 1, 2, 3, 4]);
    assert!(wal.unsynced_len() < end.0, "more than 4096 unsynced bytes are not kept");
}

#[test]
fn buffered_groups_are_written_when_they_are_many_and_durable_only_when_flushed_and_synced() {
    let fs = SimFs::new(1);
    let mut wal = Wal::create(context(&fs), small()).unwrap();
    wal.append(&[&[1; 50]], AppendMode::Buffered).unwrap();
    assert_eq!(wal.syncer().sync().unwrap(), Lsn::ZERO, "nothing is written yet");
    assert!(replay(&fs.image(&CrashPolicy::KeepAll)).unwrap().0.is_empty());
    for _ in 0..4 {
        wal.append(&[&[1; 50]], AppendMode::Buffered).unwrap();
    }
    let written = replay(&fs.image(&CrashPolicy::KeepAll)).unwrap().0.len();
    assert!(written >= 3, "{written}: the buffer holds 300 bytes");
    wal.flush().unwrap();
    assert_eq!(wal.syncer().sync().unwrap(), wal.end_lsn());
    assert_eq!(replay(&fs.image(&CrashPolicy::LoseAll)).unwrap().0.len(), 5);
}

#[test]
fn a_mark_is_written_once_for_each_sync_and_ends_the_doubtful_window() {
    let fs = SimFs::new(1);
    let mut wal = Wal::create(context(&fs), small()).unwrap();
    assert!(!wal.mark().unwrap());
    wal.append(&[b"group"], AppendMode::Through).unwrap();
    assert!(!wal.mark().unwrap(), "nothing is synced");
    let end = wal.syncer().sync().unwrap();
    assert_eq!(replay(&fs).unwrap().1.synced, Lsn::ZERO);
    assert!(wal.mark().unwrap());
    assert!(!wal.mark().unwrap());
    wal.syncer().sync().unwrap();
    assert!(!wal.mark().unwrap(), "a mark needs no mark");
    let (found, report) = replay(&fs).unwrap();
    assert_eq!((found.len(), report.synced, report.groups), (1, end, 1));
}

#[test]
fn a_group_that_is_too_long_is_refused_before_anything_happens() {
    let fs = SimFs::new(1);
    let mut wal = Wal::create(context(&fs), small()).unwrap();
    let part = vec![0; 1 << 20];
    let parts = vec![&part[..]; 1025];
    let err = wal.append(&parts, AppendMode::Through).unwrap_err();
    let len = 1025 << 20;
    assert!(
        matches!(err, Error::TooLarge { len: l, limit } if l == len && limit == u64::from(PAYLOAD_LEN_MAX))
    );
    assert_eq!((wal.end_lsn(), fs.unsynced_ops().len()), (Lsn::ZERO, 0));
}

#[test]
fn a_long_log_is_replayed_from_where_it_is_needed() {
    let fs = SimFs::new(1);
    let mut expected = Vec::new();
    let mut wal = Wal::create(context(&fs), options(1 << 16)).unwrap();
    for generation in 0..3 {
        for number in 0..400 {
            let group = payload(number, 997);
            let appended = wal.append(&[&group], AppendMode::Through).unwrap();
            expected.push((appended.segment, group));
        }
        drop(wal);
        let recovered = recover(&fs).unwrap();
        assert_eq!(recovered.1.len(), expected.len(), "generation {generation}");
        wal = recovered.0;
    }
    wal.close().unwrap();
    let middle = expected[600].0;
    let mut replay = Replay::open(context(&fs), middle).unwrap();
    let found = groups(&mut replay).unwrap();
    assert!(found.len() < expected.len() && found.len() > 400);
    assert!(found.iter().eq(expected.iter().skip(expected.len() - found.len()).map(|(_, it)| it)));
}

#[test]
fn one_thread_appends_while_another_syncs_and_syncs_fail_now_and_then() {
    for seed in 0..4 {
        let fs = SimFs::new(seed);
        for after in [3, 5, 9, 20, 40] {
            fs.inject(
                Fault::on(OpKind::SyncData, FaultKind::Error(OsError::Io)).after(after + seed),
            );
        }
        let spec = WalOptions { segment_len: 1 << 14, ..WalOptions::default() }.validate().unwrap();
        let mut wal = Wal::create(context(&fs), spec).unwrap();
        let syncer = wal.syncer();
        let is_done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stop = Arc::clone(&is_done);
        let thread = thread::spawn(move || {
            let (mut durable, mut failures) = (Lsn::ZERO, 0);
            while !stop.load(std::sync::atomic::Ordering::Acquire) {
                match syncer.sync() {
                    Ok(now) => {
                        assert!(now >= durable);
                        durable = now;
                    }
                    Err(Error::Closed) => thread::yield_now(),
                    Err(_) => failures += 1,
                }
            }
            failures
        });
        let expected: Vec<_> = (0..600).map(|number| payload(number, 100)).collect();
        for group in &expected {
            wal.append(&[group], AppendMode::Through).unwrap();
            if wal.end_lsn().0.is_multiple_of(3) {
                wal.mark().unwrap();
            }
        }
        is_done.store(true, std::sync::atomic::Ordering::Release);
        thread.join().unwrap();
        fs.clear_faults();
        wal.close().unwrap();
        let (found, report) = replay(&fs.image(&CrashPolicy::LoseAll)).unwrap();
        assert_eq!(found, expected);
        assert!(report.was_closed);
        assert_eq!(fs.violations().retried_syncs, 0);
    }
}

#[test]
fn the_log_works_on_any_file_system() {
    let fs = MemFs::new();
    let ctx = || WalContext { fs: Arc::new(fs.clone()), ..context(&SimFs::new(0)) };
    let mut wal = Wal::create(ctx(), WalOptions::default().validate().unwrap()).unwrap();
    wal.append(&[b"one"], AppendMode::Through).unwrap();
    wal.close().unwrap();
    let mut replay = Replay::open(ctx(), 0).unwrap();
    assert_eq!(groups(&mut replay).unwrap(), [b"one"]);
}

#[test]
fn names_of_segments_are_those_and_no_others() {
    for name in ["wal-0000000000", "wal-9999999999", "wal-10000000000"] {
        assert!(segment_number(name.as_ref()).is_some(), "{name}");
    }
    for name in [
        "wal-",
        "wal-1",
        "wal-00000000001",
        "WAL-0000000001",
        "wal-+000000001",
        "wal-0000000001.tmp",
    ] {
        assert_eq!(segment_number(name.as_ref()), None, "{name}");
    }
}

#[test]
fn options_that_cannot_work_are_refused() {
    for segment_len in [0, 2047, u64::MAX] {
        let options = WalOptions { segment_len, ..WalOptions::default() };
        assert!(matches!(options.validate(), Err(Error::InvalidOptions { .. })));
    }
}

proptest! {
    #[test]
    fn records_read_back(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        salt: u32,
        at in 0u64..1 << 40,
        unsynced in prop_oneof![0u64..1000, 0u64..1 << 40],
        kind in prop::sample::select(vec![RecordKind::Group, RecordKind::Mark, RecordKind::End]),
        front in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        let lsn = Lsn(at * 8);
        // What is said is not more than what is known, and less where that is far back.
        let known = Lsn(lsn.0.saturating_sub(unsynced));
        let units = lsn.since(known).div_ceil(8);
        let synced = if units < u64::from(u32::MAX) { Lsn(lsn.0 - units * 8) } else { Lsn::ZERO };
        let record = Record { kind, lsn, synced: known, payload: &payload };
        let mut bytes = front.clone();
        record.encode_into(salt, &mut bytes).unwrap();
        prop_assert_eq!(&bytes[..front.len()], &front[..]);
        prop_assert_eq!(Record::decode(&bytes[front.len()..], salt, lsn).unwrap(), Record { synced, ..record });
    }

    #[test]
    fn no_bytes_make_the_decoder_fail_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Err(err) = Record::decode(&bytes, 0, Lsn::ZERO) {
            let is_newer = matches!(err, Error::Unsupported { .. });
            prop_assert!(err.is_corruption() || is_newer);
        }
    }
}
