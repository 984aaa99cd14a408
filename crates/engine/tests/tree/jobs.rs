//! Jobs that are told to end, and jobs in which a caller's own code panics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use stratal_engine::{
    CompactionFilters, Error, Origin, Store, Tree, TreeOptions, Verdict, WriteBatch,
};
use stratal_fs::{Fs, MemFs};
use stratal_manifest::FileName;
use stratal_types::CutOptions;

use crate::{
    subcompactions::Threads,
    support::{open_store_with, open_tree},
};

/// Rows in the trees of these tests.
const ROWS: u32 = 4_000;

fn name(key: u32) -> String {
    format!("{key:08}")
}

/// What a filter does when it has judged so many values.
type Then = Arc<dyn Fn() + Send + Sync>;

struct Fixture {
    fs: Arc<MemFs>,
    store: Arc<Store>,
    tree: Arc<Tree>,
    /// Values until `then` happens.
    countdown: Arc<AtomicU64>,
    then: Arc<Mutex<Option<Then>>>,
}

impl Fixture {
    /// Merges undivided, and in parts on several threads.
    fn each() -> [Self; 2] {
        [Self::new(1), Self::new(4)]
    }

    /// A tree of two runs in level 0, each with every row.
    fn new(max_subcompactions: usize) -> Self {
        let fs = Arc::new(MemFs::new());
        let pool = Arc::new(Threads);
        let countdown = Arc::new(AtomicU64::new(u64::MAX));
        let then: Arc<Mutex<Option<Then>>> = Arc::default();
        let (left, action) = (Arc::clone(&countdown), Arc::clone(&then));
        let filter = CompactionFilters::of(move |_| {
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                let action = action.lock().unwrap().clone();
                action.unwrap()();
            }
            Verdict::Keep
        });
        let options = TreeOptions {
            compaction_filters: Some(filter),
            max_subcompactions,
            subcompaction_len_min: 1 << 10,
            cut: CutOptions { table_len: 8 << 10, ..CutOptions::default() },
            ..TreeOptions::default()
        };
        let (store, _) = open_store_with(Arc::clone(&fs) as _, 7, Some(pool)).unwrap();
        let tree = open_tree(&store, "bytewise", options.validate().unwrap()).unwrap();
        for round in 0..2usize {
            for key in 0..ROWS {
                // Of two lengths, so that every table of one run overlaps some of the other.
                let more = ["a longer ", ""][round];
                let value = format!("{more}value {round} of {key}");
                tree.write(WriteBatch::new().put(name(key), value)).unwrap();
            }
            tree.flush().unwrap();
        }
        Self { fs, store, tree, countdown, then }
    }

    /// Lets `then` happen when `count` values more were judged.
    fn after(&self, count: u64, then: impl Fn() + Send + Sync + 'static) {
        *self.then.lock().unwrap() = Some(Arc::new(then));
        self.countdown.store(count, Ordering::Relaxed);
    }

    /// Lets nothing happen any more. A filter has no way back to the tree that has it.
    fn disarm(&self) {
        *self.then.lock().unwrap() = None;
        self.countdown.store(u64::MAX, Ordering::Relaxed);
    }

    fn files(&self) -> Vec<String> {
        let files = self.fs.list("/db/tables".as_ref()).unwrap();
        let mut names: Vec<String> =
            files.into_iter().map(|entry| entry.name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Exactly the tables of the version are there, and every row has its last value.
    fn check(&self) {
        let version = self.tree.version();
        let runs = version.levels.iter().flat_map(|level| &level.runs);
        let tables = runs.flat_map(|run| run.tables.iter());
        let file = |number| FileName::Table(number).to_string().replace("tables/", "");
        let mut named: Vec<String> = tables.map(|table| file(table.number)).collect();
        named.sort();
        assert_eq!(self.files(), named);
        let rows: Vec<_> = self.tree.range::<&[u8]>(..).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), ROWS as usize);
        for (row, key) in rows.iter().zip(0u32..) {
            assert_eq!(row.0, name(key));
            assert_eq!(row.1, format!("value 1 of {key}"));
        }
    }
}

#[test]
fn a_stopped_merge_discards_its_outputs_and_keeps_its_inputs() {
    for fixture in Fixture::each() {
        let tree = Arc::clone(&fixture.tree);
        let files = fixture.files();
        for count in [1, 100, u64::from(ROWS) - 10] {
            let weak = Arc::downgrade(&tree);
            fixture.after(count, move || weak.upgrade().unwrap().stop_jobs());
            let job = tree.plan_major().unwrap();
            assert!(matches!(tree.run(&job), Err(Error::Stopped)), "after {count}");
            assert_eq!(fixture.files(), files, "after {count}");
            fixture.check();
            // It can be planned again, so its claim is back.
            let again = tree.plan_major().unwrap();
            assert_eq!(again, job);
            tree.give_back(&again);
        }
        // What begins later is not concerned.
        fixture.disarm();
        tree.compact(true).unwrap();
        assert_eq!(tree.stats().levels.iter().map(|level| level.runs).sum::<usize>(), 1);
        fixture.check();
    }
}

#[test]
fn a_stopped_merge_of_which_nothing_stays_ends_too() {
    for fixture in Fixture::each() {
        let tree = Arc::clone(&fixture.tree);
        tree.delete_range(name(1).as_bytes(), b":").unwrap();
        tree.flush().unwrap();
        let weak = Arc::downgrade(&tree);
        fixture.after(1, move || weak.upgrade().unwrap().stop_jobs());
        let job = tree.plan_major().unwrap();
        assert!(matches!(tree.run(&job), Err(Error::Stopped)));
        assert_eq!(tree.range::<&[u8]>(..).unwrap().count(), 1);
    }
}

#[test]
fn a_store_that_stops_its_jobs_begins_none() {
    for fixture in Fixture::each() {
        fixture.store.stop_jobs();
        for _ in 0..2 {
            let job = fixture.tree.plan_major().unwrap();
            assert!(matches!(fixture.tree.run(&job), Err(Error::Stopped)));
        }
        fixture.tree.put(name(0).as_bytes(), b"value 1 of 0").unwrap();
        assert!(matches!(fixture.tree.flush(), Err(Error::Stopped)));
        fixture.check();
    }
}

#[test]
fn a_stopped_flush_keeps_its_memtables() {
    for fixture in Fixture::each() {
        let tree = Arc::clone(&fixture.tree);
        let files = fixture.files();
        for key in 0..ROWS {
            tree.put(name(key).as_bytes(), format!("value 1 of {key}").as_bytes()).unwrap();
        }
        let weak = Arc::downgrade(&tree);
        fixture.after(100, move || weak.upgrade().unwrap().stop_jobs());
        let flushed = tree.flushed();
        assert!(matches!(tree.flush(), Err(Error::Stopped)));
        assert_eq!((fixture.files(), tree.flushed(), tree.stats().sealed), (files, flushed, 1));
        fixture.check();
        fixture.disarm();
        tree.flush().unwrap();
        assert!(tree.flushed() > flushed);
        fixture.check();
    }
}

#[test]
fn a_filter_that_panics_in_a_merge_leaves_no_file_and_no_claim() {
    for fixture in Fixture::each() {
        let tree = Arc::clone(&fixture.tree);
        let files = fixture.files();
        fixture.after(1_000, || panic!("the filter's own fault"));
        let job = tree.plan_major().unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| tree.run(&job))).is_err());
        assert_eq!(fixture.files(), files);
        fixture.check();
        fixture.disarm();
        assert_eq!(tree.plan_major().unwrap(), job, "its claim is back");
        tree.run(&job).unwrap();
        fixture.check();
    }
}

#[test]
fn a_filter_that_panics_in_a_flush_leaves_no_file_and_the_memtables() {
    for fixture in Fixture::each() {
        let tree = Arc::clone(&fixture.tree);
        let files = fixture.files();
        for key in 0..ROWS {
            tree.put(name(key).as_bytes(), format!("value 1 of {key}").as_bytes()).unwrap();
        }
        fixture.after(1_000, || panic!("the filter's own fault"));
        assert!(catch_unwind(AssertUnwindSafe(|| tree.flush())).is_err());
        assert_eq!(fixture.files(), files);
        fixture.check();
        fixture.disarm();
        tree.flush().unwrap();
        fixture.check();
    }
}

#[test]
fn what_jobs_write_is_counted_by_origin() {
    for fixture in Fixture::each() {
        let limiter = Arc::clone(fixture.store.limiter());
        let stored: u64 = fixture.tree.stats().levels.iter().map(|level| level.len).sum();
        assert_eq!((limiter.written(Origin::Flush), limiter.written(Origin::Merge)), (stored, 0));
        let merged = fixture.tree.compact(true).unwrap();
        assert_eq!(limiter.written(Origin::Flush), stored);
        assert_eq!(limiter.written(Origin::Merge), merged.written_len);
    }
}

#[test]
fn a_job_that_waits_for_the_limiter_is_stopped_at_once() {
    for fixture in Fixture::each() {
        let (tree, store) = (Arc::clone(&fixture.tree), Arc::clone(&fixture.store));
        let limiter = store.limiter();
        // One byte a second: it would take years.
        limiter.set_rate(1);
        let job = tree.plan_major().unwrap();
        let merge = {
            let (tree, job) = (Arc::clone(&tree), job.clone());
            thread::spawn(move || tree.run(&job))
        };
        while limiter.written(Origin::Merge) == 0 {
            thread::yield_now();
        }
        assert!(!merge.is_finished());
        tree.stop_jobs();
        assert!(matches!(merge.join().unwrap(), Err(Error::Stopped)));
        fixture.check();
        limiter.set_rate(0);
        tree.run(&tree.plan_major().unwrap()).unwrap();
        fixture.check();
    }
}
