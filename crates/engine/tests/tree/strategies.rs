//! What strategies ask of the tree beside merges: tables that go, options that change.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use stratal_compaction::plan::{FifoOptions, JobKind, LeveledOptions, TieredOptions};
use stratal_engine::{
    FilterPolicy, Store, StoreContext, StrategyOptions, Tree, TreeOptions, TreeSpec,
};
use stratal_fs::{
    Fs, MemFs, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_testkit::Rng;

use crate::support::{open_store, open_tree, with_strategy};

pub(crate) fn spec(strategy: StrategyOptions) -> TreeSpec {
    with_strategy(&mut Rng::new(1), strategy, FilterPolicy::Uniform)
}

pub(crate) fn key(number: u32) -> Vec<u8> {
    format!("{number:08}").into_bytes()
}

/// Writes a value under each of `numbers`, and flushes them as one table or more.
pub(crate) fn flush(tree: &Tree, numbers: std::ops::Range<u32>) {
    for number in numbers {
        tree.put(&key(number), &[7; 100]).unwrap();
    }
    tree.flush().unwrap();
}

pub(crate) fn tables(tree: &Tree) -> usize {
    tree.stats().levels.iter().map(|level| level.tables).sum()
}

pub(crate) fn files(fs: &dyn Fs) -> usize {
    fs.list(std::path::Path::new("/db/tables")).unwrap().len()
}

pub(crate) fn rows(tree: &Tree) -> usize {
    tree.range::<&[u8]>(..).unwrap().map(Result::unwrap).count()
}

#[test]
fn a_tree_that_forgets_keeps_its_newest_tables() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs.clone(), 1).unwrap();
    let fifo =
        spec(StrategyOptions::Fifo(FifoOptions { len_max: 20_000, ..FifoOptions::default() }));
    let tree = open_tree(&store, "bytewise", fifo.clone()).unwrap();
    for number in 0..40 {
        flush(&tree, number * 10..(number + 1) * 10);
        tree.compact(false).unwrap();
        let len: u64 = tree.stats().levels.iter().map(|level| level.len).sum();
        assert!(len <= 20_000, "{len} bytes");
    }
    assert_eq!(tree.get(&key(0)).unwrap(), None);
    assert!(tree.get(&key(399)).unwrap().is_some());
    let kept = rows(&tree);
    assert!((20..390).contains(&kept), "{kept} rows");
    assert_eq!(files(&*fs), tables(&tree), "the files are gone too");

    drop((tree, store));
    let (store, _) = open_store(fs, 2).unwrap();
    let tree = open_tree(&store, "bytewise", fifo).unwrap();
    assert_eq!(rows(&tree), kept);
}

#[test]
fn an_expiry_that_cannot_be_put_down_did_not_happen() {
    let fs = SimFs::new(1);
    let (store, _) = open_store(Arc::new(fs.clone()), 1).unwrap();
    let fifo = spec(StrategyOptions::Fifo(FifoOptions { len_max: 1, ..FifoOptions::default() }));
    let tree = open_tree(&store, "bytewise", fifo).unwrap();
    flush(&tree, 0..10);
    fs.inject(Fault::on(OpKind::Write, FaultKind::Error(OsError::NoSpace)).sticky());
    let job = tree.plan().unwrap();
    assert!(tree.run(&job).is_err());
    assert_eq!(rows(&tree), 10);
    fs.clear_faults();
    tree.compact(false).unwrap();
    assert_eq!((rows(&tree), files(&fs)), (0, 0));
}

#[test]
fn tables_expire_when_their_time_has_come() {
    let now = Arc::new(AtomicU64::new(1_000));
    let fs = Arc::new(MemFs::new());
    let randomness = Arc::new(AtomicU64::new(1));
    let mut context = StoreContext::new(
        fs,
        "/db",
        1 << 20,
        Arc::new(move || u128::from(randomness.fetch_add(1, Ordering::Relaxed)).to_le_bytes()),
    );
    let clock = Arc::clone(&now);
    context.time = Arc::new(move || clock.load(Ordering::Relaxed));
    let (store, _) = Store::open(context).unwrap();
    let fifo = spec(StrategyOptions::Fifo(FifoOptions {
        len_max: u64::MAX,
        ttl_ms: 500,
        ..FifoOptions::default()
    }));
    let tree = open_tree(&store, "bytewise", fifo).unwrap();
    flush(&tree, 0..10);
    now.store(1_300, Ordering::Relaxed);
    flush(&tree, 10..20);
    assert_eq!(tree.plan(), None);
    now.store(1_500, Ordering::Relaxed);
    tree.compact(false).unwrap();
    assert_eq!(rows(&tree), 10);
    assert!(tree.get(&key(10)).unwrap().is_some());
    // What merges two tables is as young as the younger: nothing is forgotten too soon.
    flush(&tree, 15..30);
    now.store(1_700, Ordering::Relaxed);
    tree.set_spec(spec(StrategyOptions::Leveled(LeveledOptions::default()))).unwrap();
    tree.compact(true).unwrap();
    let fifo = FifoOptions { len_max: u64::MAX, ttl_ms: 500, ..FifoOptions::default() };
    tree.set_spec(spec(StrategyOptions::Fifo(fifo))).unwrap();
    now.store(1_900, Ordering::Relaxed);
    assert_eq!(tree.plan(), None);
    now.store(2_000, Ordering::Relaxed);
    tree.compact(false).unwrap();
    assert_eq!(rows(&tree), 0);
}

#[test]
fn what_a_range_delete_hides_goes_without_being_read() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs.clone(), 1).unwrap();
    let leveled = spec(StrategyOptions::Leveled(LeveledOptions::default()));
    let tree = open_tree(&store, "bytewise", leveled).unwrap();
    flush(&tree, 0..2000);
    tree.compact(true).unwrap();
    let before = tables(&tree);
    assert!(before > 10);
    let snapshot = tree.snapshot();
    tree.delete_range(&key(100), &key(1900)).unwrap();
    assert_eq!(tree.plan(), None, "a tombstone in memory may be lost");
    tree.flush().unwrap();
    assert_eq!(tree.plan(), None, "the snapshot sees the rows");
    drop(snapshot);
    let job = tree.plan().unwrap();
    assert!(matches!(job.kind, JobKind::Drop(_)));
    let done = tree.run(&job).unwrap();
    assert_eq!(done.written_len, 0);
    assert!(done.inputs + 4 >= before, "{done:?} of {before}");
    assert_eq!(rows(&tree), 200);
    assert_eq!(files(&*fs), tables(&tree));
    // What lies across the edges is merged with the tombstone.
    tree.compact(true).unwrap();
    assert_eq!(rows(&tree), 200);
    let stats = tree.stats();
    assert_eq!(stats.levels.iter().map(|level| level.entries).sum::<u64>(), 200);
    assert_eq!(stats.levels.iter().map(|level| level.range_tombstones).sum::<u64>(), 0);
}

#[test]
fn a_callers_own_merge_is_done_or_refused() {
    let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
    let patient = LeveledOptions { level0_runs: 100, ..LeveledOptions::default() };
    let tree = open_tree(&store, "bytewise", spec(StrategyOptions::Leveled(patient))).unwrap();
    for _ in 0..3 {
        flush(&tree, 0..10);
    }
    let version = tree.version();
    let numbers: Vec<u64> = version.tables().map(|(_, table)| table.number).collect();
    let refused = tree.plan_tables(&numbers[..1], 1).unwrap_err().to_string();
    assert!(refused.contains("stands between"), "{refused}");
    let job = tree.plan_tables(&numbers[1..], 1).unwrap();
    assert!(tree.plan_tables(&numbers[2..], 1).is_err(), "the tables are spoken for");
    tree.run(&job).unwrap();
    assert_eq!(tree.stats().levels.iter().map(|level| level.runs).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(rows(&tree), 10);
}

#[test]
fn options_that_change_count_from_the_next_job_on() {
    let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
    let options = |strategy, buffer, table_len| {
        let mut options =
            TreeOptions { strategy, write_buffer_len: buffer, ..TreeOptions::default() };
        options.cut.table_len = table_len;
        options.validate().unwrap()
    };
    let leveled = StrategyOptions::Leveled(LeveledOptions::default());
    let tiered = StrategyOptions::Tiered(TieredOptions::default());
    let tree = open_tree(&store, "bytewise", options(leveled, 1 << 20, 1 << 20)).unwrap();
    (0..4).for_each(|_| flush(&tree, 0..1000));
    let planned = tree.plan().unwrap();
    assert_eq!(planned.output.level, 1);
    tree.give_back(&planned);
    tree.set_spec(options(tiered, 1 << 10, 10_000)).unwrap();
    assert_eq!(tree.spec().policy().options().name(), "tiered");
    let planned = tree.plan().unwrap();
    assert_eq!(planned.output.level, 0, "far from long enough for level 1");
    tree.run(&planned).unwrap();
    assert!(tables(&tree) > 3, "tables are shorter");
    flush(&tree, 0..20);
    assert!(!tree.is_full());
    for number in 0..20 {
        tree.put(&key(number), &[1; 100]).unwrap();
    }
    assert!(tree.stats().sealed > 0, "the buffer is smaller");
}

#[test]
fn a_budget_gives_upper_levels_longer_filters() {
    let leveled = StrategyOptions::Leveled(LeveledOptions::default());
    let file_len = |filters: FilterPolicy| {
        let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
        let mut options = TreeOptions { strategy: leveled, filters, ..TreeOptions::default() };
        options.table.compression = stratal_block::Compression::None;
        let tree = open_tree(&store, "bytewise", options.validate().unwrap()).unwrap();
        flush(&tree, 0..20_000);
        tree.compact(true).unwrap();
        flush(&tree, 30_000..31_000);
        assert_eq!(rows(&tree), 21_000);
        let levels: Vec<u64> = tree.stats().levels.iter().map(|level| level.len).collect();
        (levels[0], *levels.last().unwrap())
    };
    let uniform = file_len(FilterPolicy::Uniform);
    let spread = file_len(FilterPolicy::BitsPerKey(10.0));
    let none = file_len(FilterPolicy::Len(1));
    // A thousand keys with 6 bits more each. What lies below was alone when it was written.
    assert!(spread.0 > uniform.0 + 600, "{spread:?} and {uniform:?}");
    assert_eq!(spread.1, uniform.1);
    assert!(none.0 < uniform.0 && none.1 + 20_000 < uniform.1, "{none:?} and {uniform:?}");
}
