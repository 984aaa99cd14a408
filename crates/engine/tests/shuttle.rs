//! The engine under schedules that a checker chooses: writers, flushes, merges, snapshots, iterators
//! and the end of it, at every operation on a lock or an atomic.
//!
//! `cargo xtask shuttle`; longer with `cargo xtask soak shuttle --for SECONDS`
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use stratal_engine::{
    Error, LeveledOptions, Operation, Store, StoreContext, StrategyOptions, Tree, TreeOptions,
    TreeSettings, WriteBatch,
};
use stratal_fs::{Fs, MemFs};
use stratal_sst::TableOptions;
use stratal_testkit::{Model, Rng, schedules};
use stratal_types::{CutOptions, KeyRange, SeqNo, sync::thread};

const KEYS: u64 = 5;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// What was seen while everything ran, to be judged when the order of the batches is known.
#[derive(Default)]
struct Seen {
    /// Each batch with the number of its first operation.
    batches: Mutex<Vec<(SeqNo, Vec<Operation>)>>,
    /// What a read saw whose bound was between these, both included.
    reads: Mutex<Vec<(SeqNo, SeqNo, Rows, &'static str)>>,
}

impl Seen {
    /// Every read saw exactly the batches below one bound, which is among those it may have had; and
    /// never a part of a batch.
    fn judge(&self) -> Model {
        let mut model = Model::bytewise();
        let mut ends = BTreeSet::from([SeqNo::ZERO]);
        for (first, operations) in &*self.batches.lock().unwrap() {
            let mut seqno = *first;
            for operation in operations {
                apply(&mut model, operation, seqno);
                seqno = seqno.next().unwrap();
            }
            ends.insert(seqno);
        }
        for (from, to, rows, what) in &*self.reads.lock().unwrap() {
            // The state at a bound is that of the last batch that ends there or before.
            let first = *ends.range(..=*from).next_back().unwrap();
            let found =
                ends.range(first..=*to).any(|&end| model.scan(&KeyRange::ALL, end) == *rows);
            assert!(found, "{what}: {rows:?} are the rows of no bound from {from:?} to {to:?}");
        }
        model
    }

    fn note(&self, from: SeqNo, to: SeqNo, rows: Rows, what: &'static str) {
        self.reads.lock().unwrap().push((from, to, rows, what));
    }
}

fn apply(model: &mut Model, operation: &Operation, seqno: SeqNo) {
    match operation {
        Operation::Put { key, value } => model.put(seqno, key, value),
        Operation::Delete { key } => model.delete(seqno, key),
        Operation::Merge { key, operand } => model.merge(seqno, key, operand),
        Operation::DeleteRange { from, to } => model.delete_range(seqno, from, to),
        other => panic!("{other:?}"),
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key{number}").into_bytes()
}

/// Tables of a row or two, so that there are several in several levels.
fn options() -> TreeOptions {
    TreeOptions {
        write_buffer_len: 4 << 10,
        table: TableOptions { block_len_target: 512, ..TableOptions::default() },
        strategy: StrategyOptions::Leveled(LeveledOptions {
            levels: 3,
            level0_runs: 2,
            level_base_len: 4 << 10,
            ratio: 2,
            ..LeveledOptions::default()
        }),
        cut: CutOptions { table_len: 4 << 10, below_len_max: 64 << 10 },
        ..TreeOptions::default()
    }
}

fn open(fs: &MemFs, seed: u64) -> (Arc<Store>, Arc<Tree>) {
    let count = AtomicU64::new(seed << 32);
    let randomness =
        Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    let mut context = StoreContext::new(Arc::new(fs.clone()), "/db", 1 << 20, randomness);
    context.time = Arc::new(|| 0);
    let (store, report) = Store::open(context).unwrap();
    store.remove_orphans(&report, &BTreeSet::new()).unwrap();
    let known = store.version().tree_named("t").map(|tree| tree.id);
    let id = known.unwrap_or_else(|| {
        let settings =
            TreeSettings { merge_operator: Some("append".into()), ..TreeSettings::default() };
        store.create_tree("t", "bytewise", &settings.encode()).unwrap()
    });
    let tree = Tree::open(&store, id, options().validate().unwrap()).unwrap();
    (store, tree)
}

fn rows<E: std::fmt::Debug>(
    rows: impl Iterator<Item = Result<(bytes::Bytes, bytes::Bytes), E>>,
) -> Rows {
    rows.map(Result::unwrap).map(|(key, value)| (key.into(), value.into())).collect()
}

/// A batch of one writer: the value of each put names it, so that no two batches leave the same rows.
fn batch(rng: &mut Rng, name: &str) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for part in 0..2 + rng.below(3) {
        let value = format!("{name}.{part};").into_bytes();
        let key = key(rng.below(KEYS));
        match rng.below(8) {
            0 => batch.delete(key),
            1 => batch.delete_range(key, self::key(KEYS)),
            2..=3 => batch.merge(key, value),
            // Long enough that a few of them fill a memtable.
            _ => batch.put(key, [value, vec![b'.'; 400]].concat()),
        };
    }
    batch
}

fn write(tree: &Tree, seen: &Seen, writer: u64, batches: u64) {
    let mut rng = Rng::new(writer);
    for number in 0..batches {
        let batch = batch(&mut rng, &format!("{writer}/{number}"));
        let bound = tree.write(&batch).unwrap();
        let first = SeqNo::new(bound.get() - batch.len() as u64).unwrap();
        seen.batches.lock().unwrap().push((first, batch.operations().to_vec()));
    }
}

fn run_jobs(tree: &Tree, major: bool) {
    for _ in 0..3 {
        if let Some(job) = if major { tree.plan_major() } else { tree.plan() } {
            tree.run(&job).unwrap();
        }
        thread::yield_now();
    }
}

/// Reads at snapshots, of the present and of the past, in every way there is.
fn read_snapshots(tree: &Tree, store: &Store, seen: &Seen) {
    let mut last = SeqNo::ZERO;
    for _ in 0..2 {
        let snapshot = tree.snapshot();
        let bound = snapshot.bound();
        assert!(bound >= last, "the present goes back");
        last = bound;
        let together = rows(tree.range_at::<&[u8]>(.., &snapshot).unwrap());
        let mut one_by_one = Rows::new();
        for key in (0..KEYS).map(key) {
            let value = tree.get_at(&key, &snapshot).unwrap();
            one_by_one.extend(value.map(|value| (key, value.into())));
        }
        assert_eq!(together, one_by_one, "one snapshot, read twice");
        let mut backwards = rows(tree.range_at::<&[u8]>(.., &snapshot).unwrap().rev());
        backwards.reverse();
        assert_eq!(together, backwards, "one snapshot, read backwards");
        seen.note(bound, bound, together, "a snapshot");
        drop(snapshot);
        match store.snapshot_at(bound) {
            Ok(past) => {
                let again = rows(tree.range_at::<&[u8]>(.., &past).unwrap());
                seen.note(bound, bound, again, "a snapshot of the past");
            }
            Err(Error::SnapshotTooOld { floor, .. }) => assert!(floor > bound),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Reads the present, which has a bound between what was visible before and after.
fn read_now(tree: &Tree, store: &Store, seen: &Seen) {
    for _ in 0..2 {
        let from = store.clock().visible();
        let range = tree.range::<&[u8]>(..).unwrap();
        let to = store.clock().visible();
        seen.note(from, to, rows(range), "a range");
        let from = store.clock().visible();
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        let found = tree.multi_get(&keys).unwrap();
        let to = store.clock().visible();
        let found = keys.into_iter().zip(found);
        let found = found.filter_map(|(key, value)| Some((key, value?.into()))).collect();
        seen.note(from, to, found, "several keys");
    }
}

/// The tables on the disk are those that the manifest names.
fn check_files(fs: &MemFs, store: &Store) {
    let named: BTreeSet<String> = store
        .version()
        .trees
        .values()
        .flat_map(|tree| tree.levels.iter())
        .flat_map(|level| level.runs.iter())
        .flat_map(|run| run.tables.iter())
        .map(|table| stratal_manifest::FileName::Table(table.number).to_string())
        .collect();
    let found = fs.list(Path::new("/db/tables")).unwrap();
    let found = found.iter().map(|entry| format!("tables/{}", entry.name.to_str().unwrap()));
    assert_eq!(found.collect::<BTreeSet<_>>(), named);
}

/// Two writers, a flush, two kinds of merges, and readers, until all have done; then everything is
/// closed, and opened again.
fn all_at_once() {
    let fs = MemFs::new();
    let (store, tree) = open(&fs, 1);
    let seen = Arc::new(Seen::default());
    let spawn = |work: fn(&Tree, &Store, &Seen)| {
        let (tree, store, seen) = (Arc::clone(&tree), Arc::clone(&store), Arc::clone(&seen));
        thread::spawn(move || work(&tree, &store, &seen))
    };
    let threads = [
        spawn(|tree, _, seen| write(tree, seen, 1, 4)),
        spawn(|tree, _, seen| write(tree, seen, 2, 3)),
        spawn(|tree, _, _| {
            for _ in 0..3 {
                tree.flush().unwrap();
                thread::yield_now();
            }
        }),
        spawn(|tree, _, _| run_jobs(tree, false)),
        spawn(|tree, _, _| run_jobs(tree, true)),
        spawn(read_snapshots),
        spawn(read_now),
    ];
    for thread in threads {
        thread.join().unwrap();
    }
    let model = seen.judge();
    let expected = model.scan(&KeyRange::ALL, SeqNo::MAX);
    assert_eq!(rows(tree.range::<&[u8]>(..).unwrap()), expected, "when all is quiet");
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    assert_eq!(rows(tree.range::<&[u8]>(..).unwrap()), expected, "in one run");
    check_files(&fs, &store);
    drop(tree);
    Arc::into_inner(store).unwrap().close().unwrap();
    let (store, tree) = open(&fs, 2);
    assert_eq!(rows(tree.range::<&[u8]>(..).unwrap()), expected, "opened again");
    check_files(&fs, &store);
}

/// An iterator that was begun goes on over flushes, merges, the end of its tree and of its store.
fn iterators_outlive_all() {
    let fs = MemFs::new();
    let (store, tree) = open(&fs, 1);
    let seen = Arc::new(Seen::default());
    write(&tree, &seen, 1, 2);
    tree.flush().unwrap();
    write(&tree, &seen, 2, 2);
    let bound = store.clock().visible();
    let mut begun = tree.range::<&[u8]>(..).unwrap();
    let reader = {
        let seen = Arc::clone(&seen);
        thread::spawn(move || {
            let mut all = Rows::new();
            while let Some(row) = begun.next() {
                all.extend(rows([row].into_iter()));
                thread::yield_now();
            }
            seen.note(bound, bound, all, "an iterator that outlives its tree");
        })
    };
    let writer = {
        let (tree, seen) = (Arc::clone(&tree), Arc::clone(&seen));
        thread::spawn(move || write(&tree, &seen, 3, 2))
    };
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    writer.join().unwrap();
    tree.flush().unwrap();
    drop(tree);
    Arc::into_inner(store).unwrap().close().unwrap();
    reader.join().unwrap();
    let expected = seen.judge().scan(&KeyRange::ALL, SeqNo::MAX);
    let (store, tree) = open(&fs, 2);
    assert_eq!(rows(tree.range::<&[u8]>(..).unwrap()), expected, "opened again");
    check_files(&fs, &store);
}

/// Jobs that are told to end while they run, history that is held, and a scan for all changes of it.
fn stops_and_changes() {
    let fs = MemFs::new();
    let (store, tree) = open(&fs, 1);
    let seen = Arc::new(Seen::default());
    write(&tree, &seen, 1, 2);
    tree.flush().unwrap();
    let spawn = |work: fn(&Arc<Tree>, &Store, &Seen)| {
        let (tree, store, seen) = (Arc::clone(&tree), Arc::clone(&store), Arc::clone(&seen));
        thread::spawn(move || work(&tree, &store, &seen))
    };
    let threads = [
        spawn(|tree, _, seen| write(tree, seen, 2, 4)),
        spawn(|tree, _, _| {
            for _ in 0..3 {
                unless_stopped(tree.flush());
                unless_stopped(tree.compact(false));
                thread::yield_now();
            }
        }),
        spawn(|tree, _, _| unless_stopped(tree.compact(true))),
        spawn(|tree, _, _| {
            for _ in 0..3 {
                tree.stop_jobs();
                thread::yield_now();
            }
        }),
        spawn(|tree, store, _| {
            let since = store.hold_history("reader").unwrap();
            let changes = tree.changes_since(since).unwrap();
            let until = changes.until();
            let numbers: Vec<u64> = changes.map(|change| change.unwrap().seqno.get()).collect();
            let all: Vec<u64> = (since.get()..until.get()).collect();
            assert_eq!(numbers, all, "changes that are held are missing");
            assert!(store.snapshot_at(since).is_ok());
            store.advance_history("reader", until).unwrap();
            assert!(store.release_history("reader").unwrap());
        }),
        spawn(|tree, store, seen| read_snapshots(tree, store, seen)),
    ];
    for thread in threads {
        thread.join().unwrap();
    }
    let expected = seen.judge().scan(&KeyRange::ALL, SeqNo::MAX);
    tree.flush().unwrap();
    check_files(&fs, &store);
    tree.compact(true).unwrap();
    assert_eq!(rows(tree.range::<&[u8]>(..).unwrap()), expected, "in one run");
    check_files(&fs, &store);
}

fn unless_stopped<T>(done: Result<T, Error>) {
    match done {
        Ok(_) | Err(Error::Stopped) => {}
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn stopped_jobs_leave_nothing_and_held_changes_stay() {
    schedules::check("stops and changes", 120, stops_and_changes);
}

#[test]
fn writers_flushes_merges_snapshots_and_iterators() {
    schedules::check("all at once", 120, all_at_once);
}

#[test]
fn iterators_go_on_over_the_end_of_all() {
    schedules::check("iterators outlive all", 120, iterators_outlive_all);
}
