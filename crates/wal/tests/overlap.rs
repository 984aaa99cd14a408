//! What is appended while a sync runs is not taken for synced by it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    path::Path,
    sync::{Arc, Mutex},
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
            wal.append(1, &[&payload(number, len)], AppendMode::Through).unwrap().range.end
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
