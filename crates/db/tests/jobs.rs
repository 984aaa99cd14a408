//! Flushes and merges that are under way when something else is to happen, and how fast they write.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{num::NonZero, sync::Arc, thread, time::Duration};

use common::{DIR, randomness, small_trees};
use stratal::{
    BlockPool, Builder, Database, Error, Executor, Health, KeyspaceOptions, Origin, TreeOptions,
};
use stratal_fs::{Fs, MemFs};

fn builder(fs: &Arc<MemFs>) -> Builder {
    Database::builder(DIR).fs(Arc::clone(fs) as Arc<dyn Fs>).randomness(randomness())
}

const ROWS: u32 = 2_000;

fn write(database: &Database, keyspace: &str) {
    let keyspace = database.keyspace(keyspace, KeyspaceOptions::default()).unwrap();
    for key in 0..ROWS {
        keyspace.put(format!("{key:06}").as_bytes(), format!("value of {key}").as_bytes()).unwrap();
    }
}

fn check(database: &Database) {
    let keyspace = database.open_keyspace("default").unwrap();
    for key in (0..ROWS).step_by(7) {
        let found = keyspace.get(format!("{key:06}").as_bytes()).unwrap();
        assert_eq!(found.unwrap(), format!("value of {key}"));
    }
}

#[test]
fn a_compaction_uses_as_many_threads_as_it_is_given() {
    let options = || TreeOptions { subcompaction_len_min: 1, ..TreeOptions::default() };
    let of_threads = |threads| {
        let fs = Arc::new(MemFs::new());
        let builder = builder(&fs).executor(Executor::Inline).tree_options(options());
        let threads = NonZero::new(threads).unwrap();
        let database = builder.compaction_threads(threads).open().unwrap();
        for _ in 0..2 {
            write(&database, "default");
            database.flush().unwrap();
        }
        database.compact().unwrap();
        check(&database);
        let stats = database.open_keyspace("default").unwrap().stats();
        stats.levels.iter().map(|level| level.tables).sum::<usize>()
    };
    // All of it fits into one table: what more there are was made beside it.
    assert_eq!([1, 2, 3].map(of_threads), [1, 2, 3]);
}

#[test]
fn close_does_not_wait_for_a_merge_that_takes_long() {
    let fs = Arc::new(MemFs::new());
    let database = builder(&fs).tree_options(small_trees()).open().unwrap();
    for _ in 0..2 {
        write(&database, "default");
        database.flush().unwrap();
        database.wait_idle().unwrap();
    }
    // One byte a second: it would take hours.
    database.set_background_write_rate(1);
    let before = database.background_written(Origin::Merge);
    let worker = {
        let database = database.clone();
        thread::spawn(move || database.compact())
    };
    while database.background_written(Origin::Merge) == before && !worker.is_finished() {
        thread::yield_now();
    }
    assert!(!worker.is_finished());
    database.close().unwrap();
    assert!(matches!(worker.join().unwrap(), Err(Error::ReadOnly { .. })));
    let database = builder(&fs).tree_options(small_trees()).open().unwrap();
    check(&database);
    database.compact().unwrap();
    check(&database);
    database.close().unwrap();
}

#[test]
fn a_keyspace_is_dropped_though_a_merge_of_it_takes_long() {
    let fs = Arc::new(MemFs::new());
    let database = builder(&fs).tree_options(small_trees()).open().unwrap();
    write(&database, "default");
    for _ in 0..2 {
        write(&database, "guest");
        database.flush().unwrap();
        database.wait_idle().unwrap();
    }
    database.set_background_write_rate(1);
    let before = database.background_written(Origin::Merge);
    let guest = database.open_keyspace("guest").unwrap();
    let worker = thread::spawn(move || guest.compact());
    while database.background_written(Origin::Merge) == before && !worker.is_finished() {
        thread::yield_now();
    }
    assert!(!worker.is_finished());
    database.drop_keyspace("guest").unwrap();
    assert!(worker.join().unwrap().is_err());
    database.set_background_write_rate(0);
    check(&database);
    database.compact().unwrap();
    check(&database);
    database.close().unwrap();
}

#[test]
fn what_callers_flush_is_merged_as_what_threads_flush() {
    let fs = Arc::new(MemFs::new());
    // Write buffers so large that no thread flushes.
    let database = builder(&fs).tree_options(TreeOptions::default()).open().unwrap();
    let keyspace = database.open_keyspace("default").unwrap();
    for round in 0..8 {
        write(&database, "default");
        if round % 2 == 0 { database.flush() } else { keyspace.flush() }.unwrap();
    }
    database.wait_idle().unwrap();
    let levels = keyspace.stats().levels;
    assert!(levels[0].runs < 4 && levels[1].runs == 1, "{levels:?}");
    check(&database);
    database.close().unwrap();
}

/// A thread for every task.
#[derive(Debug)]
struct ThreadEach;

impl BlockPool for ThreadEach {
    fn spawn(&self, task: Box<dyn FnOnce() + Send>) {
        thread::spawn(task);
    }
}

#[test]
fn large_merges_are_done_with_threads_that_help() {
    let fs = Arc::new(MemFs::new());
    let options =
        stratal::TreeOptions { max_subcompactions: 4, subcompaction_len_min: 1, ..small_trees() };
    let database = builder(&fs).tree_options(options).pool(Arc::new(ThreadEach)).open().unwrap();
    for _ in 0..3 {
        write(&database, "default");
        database.compact().unwrap();
        check(&database);
    }
    database.wait_idle().unwrap();
    database.close().unwrap();
    let database = builder(&fs).tree_options(small_trees()).open().unwrap();
    check(&database);
    let report = database.verify().unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
}

#[test]
fn writers_are_slowed_and_not_stopped_while_flushes_are_behind() {
    let fs = Arc::new(MemFs::new());
    let options = TreeOptions { write_buffer_len: 8 << 20, ..TreeOptions::default() };
    let database = builder(&fs).memory_budget(32 << 20).tree_options(options).open().unwrap();
    assert_eq!(database.health(), Health::Healthy);
    // Far below what one thread puts, far above what would make this take long.
    database.set_background_write_rate(8 << 20);
    let keyspace = database.open_keyspace("default").unwrap();
    let (mut row, mut throttled) = (0_u32, None);
    let mut put_until_slowed_for = |millis| {
        while database.stats().writers_slowed < Duration::from_millis(millis) {
            for _ in 0..64 {
                keyspace.put(row.to_le_bytes(), [7; 100]).unwrap();
                row += 1;
                assert!(row < 10_000_000, "nobody was slowed");
            }
            if let Health::Throttled { why } = database.health() {
                throttled = Some(why);
            }
        }
        database.stats()
    };
    // Jobs show by and by how long they take.
    let before = put_until_slowed_for(700);
    let after = put_until_slowed_for(1_400);
    let slowed = after.writers_slowed.saturating_sub(before.writers_slowed);
    let stopped = after.writers_stopped.saturating_sub(before.writers_stopped);
    assert!(stopped < slowed / 2, "{slowed:?} {stopped:?}");
    assert!(throttled.unwrap().contains("behind"));
    database.set_background_write_rate(0);
    database.close().unwrap();
}

/// Nobody else in this process is lowered by as much.
#[test]
#[cfg(target_os = "linux")]
fn flushes_and_merges_go_behind_others_if_they_are_told_to() {
    let niceness = |thread: &std::path::Path| -> Option<i32> {
        let stat = std::fs::read_to_string(thread.join("stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()
    };
    let own = niceness("/proc/thread-self".as_ref()).unwrap();
    let lowered = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        threads.filter(|thread| niceness(&thread.as_ref().unwrap().path()) == Some(own + 7)).count()
    };
    let database = builder(&Arc::new(MemFs::new())).background_nice(7).open().unwrap();
    write(&database, "default");
    database.flush().unwrap();
    check(&database);
    // Both begin on their own time.
    for _ in 0..5_000 {
        if lowered() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(lowered(), 2);
    database.close().unwrap();
}
