//! What is appended while a sync runs is not taken for synced by it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use common::{context, payload, replay, small};
use stratal_fs::{CrashPolicy, SimFs};
use stratal_testkit::HookFs;
use stratal_wal::{AppendMode, Wal, WalContext};

/// Appends groups of the lengths `before`, and during the sync of a segment, once its bytes are on
/// disk, those of `during`; then syncs again. All that is called durable is there after a power failure.
/// Together they stay below the length at which an append waits for a sync.
fn check(before: &[usize], during: &[usize]) {
    let disk = SimFs::new(1);
    // What the hook appends to, and the lengths it has yet to append.
    let log: Arc<Mutex<Option<Wal>>> = Arc::default();
    let waiting = Arc::new(Mutex::new(during.to_vec()));
    let append = {
        let log = Arc::clone(&log);
        move |len| {
            let mut log = log.lock().unwrap();
            let wal = log.as_mut().unwrap();
            let number = usize::try_from(wal.end_lsn().0).unwrap();
            wal.append(&[&payload(number, len)], AppendMode::Through).unwrap().range.end
        }
    };
    let hook = {
        let append = append.clone();
        move |_: &Path| {
            let lens = std::mem::take(&mut *waiting.lock().unwrap());
            for len in lens {
                append(len);
            }
        }
    };
    let fs = Arc::new(HookFs::new(Arc::new(disk.clone()), hook));
    *log.lock().unwrap() = Some(Wal::create(WalContext { fs, ..context(&disk) }, small()).unwrap());

    let first: Vec<_> = before.iter().map(|len| append(*len)).collect();
    let syncer = log.lock().unwrap().as_ref().unwrap().syncer();
    let durable = syncer.sync().unwrap();
    assert!(durable >= *first.last().unwrap());
    check_image(&disk, durable.0, before.len());

    let durable = syncer.sync().unwrap();
    assert_eq!(durable, log.lock().unwrap().as_ref().unwrap().end_lsn());
    check_image(&disk, durable.0, before.len() + during.len());
}

fn check_image(disk: &SimFs, durable: u64, groups: usize) {
    let (found, report) = replay(&disk.image(&CrashPolicy::LoseAll)).unwrap();
    assert!(report.end.0 >= durable, "durable up to {durable}, and {report:?}");
    assert!(found.len() >= groups, "{groups} groups were synced, and {} are there", found.len());
}

#[test]
fn what_is_appended_during_a_sync_waits_for_the_next() {
    check(&[100], &[100]);
    check(&[100], &[100, 100, 100]);
}

/// The segment that was synced ends, behind what the sync covered, before the sync returns.
#[test]
fn a_segment_that_ends_during_its_sync_is_synced_to_its_end() {
    check(&[100], &[300, 700]);
    check(&[100, 100], &[300, 100, 700, 700]);
    check(&[700, 100], &[300, 700]);
}

#[test]
fn all_who_come_during_a_sync_share_the_next() {
    const CALLERS: usize = 8;
    let disk = SimFs::new(1);
    let (syncs, appended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let hook = {
        let (syncs, appended) = (Arc::clone(&syncs), Arc::clone(&appended));
        move |_: &Path| {
            let is_first = syncs.fetch_add(1, Ordering::SeqCst) == 0;
            while is_first && appended.load(Ordering::SeqCst) < CALLERS {
                thread::yield_now();
            }
        }
    };
    let fs = Arc::new(HookFs::new(Arc::new(disk.clone()), hook));
    let wal = Wal::create(WalContext { fs, ..context(&disk) }, small()).unwrap();
    let (syncer, wal) = (wal.syncer(), Mutex::new(wal));
    let append = |number| {
        let mut wal = wal.lock().unwrap();
        wal.append(&[&payload(number, 20)], AppendMode::Through).unwrap().range.end
    };
    append(0);
    thread::scope(|scope| {
        scope.spawn(|| syncer.sync().unwrap());
        while syncs.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        for number in 1..=CALLERS {
            let (append, appended, syncer) = (&append, &appended, &syncer);
            scope.spawn(move || {
                let end = append(number);
                appended.fetch_add(1, Ordering::SeqCst);
                assert!(syncer.sync().unwrap() >= end);
            });
        }
    });
    assert_eq!(syncs.load(Ordering::SeqCst), 2);
    check_image(&disk, syncer.durable_lsn().0, 1 + CALLERS);
}
