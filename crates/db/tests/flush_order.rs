//! What is written while a flush syncs the log is not flushed with it: the sync does not cover it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::sync::{Arc, Mutex};

use common::small;
use stratal::{Durability, KeyspaceOptions};
use stratal_fs::{CrashPolicy, SimFs};
use stratal_testkit::HookFs;

/// Called once, when the data of a log segment has been synced.
type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

#[test]
fn a_memtable_that_fills_while_the_log_is_synced_waits_for_the_next_flush() {
    let sim = SimFs::new(1);
    let hook = Hook::default();
    let fs = HookFs::new(Arc::new(sim.clone()), {
        let hook = Arc::clone(&hook);
        move |path| {
            let is_log = path.to_string_lossy().contains("wal-");
            let hook = is_log.then(|| hook.lock().unwrap().take()).flatten();
            if let Some(hook) = hook {
                hook();
            }
        }
    });
    let db = small(Arc::new(fs)).wal_segment_len(1 << 20).open().unwrap();
    let busy = db.open_keyspace("default").unwrap();
    let other = db.keyspace("other", KeyspaceOptions::default()).unwrap();
    let fill = {
        let (db, busy) = (db.clone(), busy.clone());
        move |from: u8| {
            for i in from..from + 40 {
                let mut batch = db.batch();
                batch.durability(Durability::Memory).put(&busy, [i], [i; 100]).commit().unwrap();
            }
        }
    };
    fill(0);
    assert!(busy.stats().sealed > 0);
    *hook.lock().unwrap() = Some(Box::new({
        let (db, other, fill) = (db.clone(), other.clone(), fill.clone());
        move || {
            let mut batch = db.batch();
            batch.durability(Durability::Memory).put(&other, "first", "1").commit().unwrap();
            fill(100);
        }
    }));
    assert!(db.step().unwrap());
    assert!(hook.lock().unwrap().is_none(), "the flush synced the log");
    assert!(busy.stats().levels[0].tables > 0);

    let found = small(Arc::new(sim.image(&CrashPolicy::LoseAll))).open().unwrap();
    let later = found.open_keyspace("default").unwrap().range([100u8]..).unwrap().count();
    let first = found.open_keyspace("other").unwrap().get("first").unwrap();
    assert!(later == 0 || first.is_some(), "{later} rows, and what came before them is lost");
    // Nothing holds it up for ever.
    fill(200);
    while db.step().unwrap() {}
    assert_eq!(busy.stats().sealed, 0);
    assert_eq!(busy.range::<&[u8]>(..).unwrap().count(), 120);
}
