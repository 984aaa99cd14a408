//! Entries that are checked from when they are written on: what changes in memory is told, not stored,
//! and found again whole in the log. Faults are real: bytes of this process are changed where they lie.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;

use common::{small, small_trees};
use stratal::{Database, Error, Executor, Health, TreeOptions};
use stratal_fs::MemFs;
use stratal_testkit::flip_in_memory;

fn options() -> TreeOptions {
    let mut options = TreeOptions { digests_at_insert: true, ..small_trees() };
    options.table.entry_digests = true;
    options.write_buffer_len = 1 << 20;
    options
}

fn open(fs: &Arc<MemFs>, options: TreeOptions) -> Database {
    small(fs.clone()).executor(Executor::Inline).tree_options(options).open().unwrap()
}

fn can_flip() -> bool {
    flip_in_memory([0u8].as_ptr().addr(), 0).is_ok()
}

#[test]
fn a_row_that_changed_in_memory_is_found_in_the_log_as_it_was() {
    if !can_flip() {
        return;
    }
    let fs = Arc::new(MemFs::new());
    let db = open(&fs, options());
    let places = db.open_keyspace("default").unwrap();
    let story = vec![7; 3000];
    places.put("AD/Vila", story.clone()).unwrap();
    places.put("AE/Dubai", "1137347").unwrap();
    // Of a long value, what a read returns is the memtable's.
    let value = places.get("AD/Vila").unwrap().unwrap();
    flip_in_memory(value.as_ptr().addr() + 1000, 8).unwrap();
    let flushed = places.flush();
    let Err(Error::MemoryDamage { what }) = flushed else { panic!("{flushed:?}") };
    assert!(what.contains("AD/Vila"), "{what}");
    assert!(matches!(db.health(), Health::Failed { .. }));
    assert!(matches!(places.put("later", "1"), Err(Error::ReadOnly { .. })));
    assert_eq!(places.get("AE/Dubai").unwrap().as_deref(), Some(&b"1137347"[..]));
    drop((value, places));
    drop(db.close());

    let db = open(&fs, options());
    let places = db.open_keyspace("default").unwrap();
    assert_eq!(places.get("AD/Vila").unwrap().as_deref(), Some(&story[..]));
    places.flush().unwrap();
    assert_eq!(places.get("AD/Vila").unwrap().as_deref(), Some(&story[..]));
    assert!(db.verify().unwrap().is_ok());
    db.close().unwrap();
}

/// The choice outlives the process, and counts for what is written from then on.
#[test]
fn a_keyspace_is_told_at_any_time() {
    let fs = Arc::new(MemFs::new());
    let db = small(fs.clone()).open().unwrap();
    let places = db.open_keyspace("default").unwrap();
    places.put("before", "1").unwrap();
    let mut batch = db.batch();
    batch.put(&places, "a", "1");
    places.set_options(options()).unwrap();
    batch.put(&places, "b", "1").delete(&places, "before").delete_range(&places, "x", "y");
    batch.commit().unwrap();
    places.flush().unwrap();
    drop((batch, places));
    db.close().unwrap();
    let db = Database::builder(common::DIR)
        .fs(fs)
        .randomness(common::randomness())
        .executor(Executor::Inline)
        .open()
        .unwrap();
    let places = db.open_keyspace("default").unwrap();
    assert!(places.options().digests_at_insert);
    places.put("c", "1").unwrap();
    places.flush().unwrap();
    places.compact().unwrap();
    assert_eq!(places.len().unwrap(), 3);
    assert!(db.verify().unwrap().is_ok());
}
