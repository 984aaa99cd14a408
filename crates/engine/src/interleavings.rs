//! Every interleaving that the model checker finds of what is published without a lock: the bound of
//! reads, snapshots and the watermark, the read state. Nodes of memtables have four slots here, and a
//! lock stands in for the pointer to a read state (see [`Current`](crate::current::Current)).
//!
//! Each test says which change of the code makes it fail; each was tried.
//!
//! `cargo xtask loom`
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use loom::thread;
use stratal_fs::MemFs;
use stratal_manifest::{Level, Run, TableMeta, TreeVersion, Version};
use stratal_types::SeqNo;

use crate::{
    Clock, Error, Operation, Store, StoreContext, Tree, TreeOptions, WriteBatch, current::Current,
    read_state::ReadState,
};

fn at(number: u64) -> SeqNo {
    SeqNo::new(number).unwrap()
}

/// Runs `scenario` in every interleaving with at most three forced switches.
fn check(scenario: fn()) {
    check_within(3, scenario);
}

/// The same with so many forced switches.
fn check_within(switches: usize, scenario: fn()) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(switches);
    model.max_branches = 100_000;
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    let runs = runs.load(Ordering::Relaxed);
    println!("{runs} interleavings");
    assert!(runs > 20, "{runs}");
}

/// Two batches of two rows, and a reader who looks twice. Rows that come in order and a reader who asks
/// whether a node is what it was are so many steps that it did not end within five minutes with three switches.
///
/// Fails if `Tree::write` publishes before the batch is applied to its end, if `publish` is relaxed, or
/// if the load of `visible` is.
#[test]
fn a_read_sees_whole_batches_and_never_goes_back() {
    check_within(2, || {
        let tree = empty_tree();
        let writer = {
            let tree = Arc::clone(&tree);
            thread::spawn(move || {
                for batch in [b"1", b"2"] {
                    tree.write(WriteBatch::new().put(b"a", batch).put(b"b", batch)).unwrap();
                }
            })
        };
        let mut last = SeqNo::ZERO;
        for _ in 0..2 {
            let state = tree.state.load_full();
            let bound = tree.store.clock().visible();
            assert!(bound >= last, "the bound goes back");
            last = bound;
            let newest: Option<&[u8]> = match bound.get() {
                1 => None,
                3 => Some(b"1"),
                5 => Some(b"2"),
                _ => panic!("{bound:?} is in the middle of a batch"),
            };
            for key in [b"a", b"b"] {
                let value = state.get(key, bound, &tree.folding).unwrap();
                assert_eq!(value.as_deref(), newest, "half a batch at {bound:?}");
            }
        }
        writer.join().unwrap();
        assert_eq!(tree.store.clock().visible(), at(5));
    });
}

/// Versions of one key, all applied, that become visible one by one while a job collects what is
/// below the watermark.
struct History {
    clock: Clock,
    /// Numbers of the versions that are left.
    versions: Current<Vec<u64>>,
}

impl History {
    /// Versions 1, 2 and 3, of which 1 is visible.
    fn new() -> Arc<Self> {
        let clock = Clock::new(at(2), SeqNo::ZERO);
        Arc::new(Self { clock, versions: Current::new(vec![1, 2, 3]) })
    }

    fn spawn(self: &Arc<Self>, work: fn(&Self)) -> thread::JoinHandle<()> {
        let history = Arc::clone(self);
        thread::spawn(move || work(&history))
    }

    fn publish(&self) {
        for bound in [3, 4] {
            self.clock.publish(at(bound));
        }
    }

    /// Keeps all versions from the watermark on, and the newest below it.
    fn collect(&self) {
        for _ in 0..2 {
            let watermark = self.clock.watermark().get();
            let versions = self.versions.load_full();
            let newest = versions.iter().copied().filter(|&seqno| seqno < watermark).max();
            let kept = |seqno: &u64| *seqno >= watermark || Some(*seqno) == newest;
            self.versions.store(Arc::new(versions.iter().copied().filter(kept).collect()));
        }
    }

    /// The version that a read at `bound` finds in `versions`.
    fn newest(versions: &[u64], bound: SeqNo) -> Option<u64> {
        versions.iter().copied().filter(|&seqno| seqno < bound.get()).max()
    }
}

/// Fails if `register` reads `visible` before it has the lock, if `watermark` leaves out those who are
/// registered, and if it reads `visible` last, when all it counted may have gone.
#[test]
fn nothing_is_collected_that_a_snapshot_sees() {
    check(|| {
        let history = History::new();
        let publisher = history.spawn(History::publish);
        let collector = history.spawn(History::collect);
        let bound = history.clock.register();
        for _ in 0..2 {
            let versions = history.versions.load_full();
            assert_eq!(History::newest(&versions, bound), Some(bound.get() - 1), "{versions:?}");
        }
        assert!(history.clock.floor() <= bound);
        history.clock.release(bound);
        publisher.join().unwrap();
        collector.join().unwrap();
    });
}

/// Fails if `hold` reads `visible` before it has the lock, and if `watermark` leaves out those who hold.
#[test]
fn nothing_is_collected_that_a_holder_may_read() {
    check(|| {
        let history = History::new();
        let publisher = history.spawn(History::publish);
        let collector = history.spawn(History::collect);
        let bound = history.clock.hold("follower");
        for _ in 0..2 {
            let versions = history.versions.load_full();
            assert_eq!(History::newest(&versions, bound), Some(bound.get() - 1), "{versions:?}");
        }
        assert!(history.clock.register_at(bound).is_ok(), "who holds may read there");
        history.clock.release(bound);
        history.clock.let_go("follower");
        publisher.join().unwrap();
        collector.join().unwrap();
    });
}

/// Fails if `watermark` does not raise the floor, or raises it when the lock is free again.
#[test]
fn a_moment_of_the_past_is_whole_or_refused() {
    check(|| {
        let history = History::new();
        history.publish();
        let collector = history.spawn(History::collect);
        for bound in [at(2), at(3)] {
            match history.clock.register_at(bound) {
                Ok(()) => {
                    let versions = history.versions.load_full();
                    let expected = Some(bound.get() - 1);
                    assert_eq!(History::newest(&versions, bound), expected, "{versions:?}");
                    history.clock.release(bound);
                }
                Err(Error::SnapshotTooOld { floor, .. }) => assert!(floor > bound),
                Err(other) => panic!("{other}"),
            }
        }
        collector.join().unwrap();
    });
}

/// A read that registers nothing takes the state first and the bound after it.
///
/// Fails if it takes the bound first.
#[test]
fn a_read_without_a_snapshot_finds_what_its_state_had() {
    check(|| {
        let history = History::new();
        let publisher = history.spawn(History::publish);
        let collector = history.spawn(History::collect);
        let versions = history.versions.load_full();
        let bound = history.clock.visible();
        assert_eq!(History::newest(&versions, bound), Some(bound.get() - 1), "{versions:?}");
        publisher.join().unwrap();
        collector.join().unwrap();
    });
}

/// The key of the row with this number; each row is written once.
fn key(seqno: u64) -> [u8; 1] {
    [b'a' + u8::try_from(seqno).unwrap()]
}

fn put(tree: &Tree, seqno: u64) {
    let operation = Operation::Put { key: key(seqno).into(), value: b"v".into() };
    assert_eq!(tree.store.clock().allocate(1).unwrap(), at(seqno));
    tree.apply(&[operation], at(seqno)).unwrap();
    tree.store.clock().publish(at(seqno + 1));
}

fn empty_tree() -> Arc<Tree> {
    let count = AtomicU64::new(1);
    let unique = move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
    let context = StoreContext::new(Arc::new(MemFs::new()), "/db", 1 << 20, Arc::new(unique));
    let (store, _) = Store::open(context).unwrap();
    let id = store.create_tree("t", "bytewise", &[]).unwrap();
    Tree::open(&store, id, TreeOptions::default().validate().unwrap()).unwrap()
}

/// The version in which row 1 is in a table. Nothing reads the table.
fn flushed(tree: &Tree) -> Version {
    let meta =
        TableMeta { number: 100, seqno_min: at(1), seqno_max: at(1), ..TableMeta::default() };
    let run = Run { age: 1, tables: [Arc::new(meta)].into() };
    let levels = vec![Level { runs: vec![run] }];
    let mut version = Version::clone(&tree.store.version());
    let before = &version.trees[&tree.id];
    let after = TreeVersion { flushed: at(2), levels, ..TreeVersion::clone(before) };
    version.trees = BTreeMap::from([(tree.id, Arc::new(after))]);
    version
}

/// The rows below `bound` that the state has.
///
/// # Panics
///
/// If one is in two places, or they are not the first rows without a gap.
fn rows(state: &ReadState, bound: SeqNo) -> u64 {
    let in_memory = |seqno| {
        state.memtables().filter(|memtable| memtable.get(&key(seqno), bound).is_some()).count()
    };
    let in_tables = |seqno| {
        let tables = state.view.tables().map(|(_, table)| &table.meta);
        tables.filter(|meta| meta.seqno_min <= at(seqno) && at(seqno) <= meta.seqno_max).count()
    };
    let places = (1..bound.get()).map(|seqno| in_memory(seqno) + in_tables(seqno));
    let places: Vec<_> = places.collect();
    let found = places.iter().take_while(|&&places| places == 1).count();
    assert!(places[found..].iter().all(|&places| places == 0), "{places:?} below {bound:?}");
    found as u64
}

/// A writer who seals between two rows, the install of a flush, and a reader: with a snapshot, and
/// without.
///
/// Fails if `swap_view` or `seal` takes the state before it has the lock, if `swap_view` stores the
/// view and the memtables one after the other, if `seal` makes the new memtable known before the old
/// one is among the sealed, and if a snapshot is registered after its state was taken.
fn seal_and_install(read: fn(&Tree)) {
    let tree = empty_tree();
    put(&tree, 1);
    tree.seal();
    let version = flushed(&tree);
    let memtable = tree.state.load_full().sealed[0].memtable.id();
    let writer = {
        let tree = Arc::clone(&tree);
        thread::spawn(move || {
            put(&tree, 2);
            tree.seal();
            put(&tree, 3);
        })
    };
    let installer = {
        let tree = Arc::clone(&tree);
        thread::spawn(move || {
            tree.swap_view(&version, |state| {
                state.sealed.retain(|sealed| sealed.memtable.id() != memtable);
            });
        })
    };
    read(&tree);
    writer.join().unwrap();
    installer.join().unwrap();
    let state = tree.state.load_full();
    assert_eq!(rows(&state, tree.store.clock().visible()), 3, "a write is lost");
    assert_eq!((state.sealed.len(), tree.flushed()), (1, at(2)));
}

#[test]
fn a_snapshot_finds_each_row_in_one_place_whatever_is_swapped() {
    check(|| {
        seal_and_install(|tree| {
            let bound = tree.store.clock().register();
            let state = tree.state.load_full();
            assert_eq!(rows(&state, bound), bound.get() - 1, "a row is in no place");
            tree.store.clock().release(bound);
        });
    });
}

#[test]
fn a_read_without_a_snapshot_finds_the_first_rows_whatever_is_swapped() {
    check(|| {
        seal_and_install(|tree| {
            let before = tree.store.clock().visible();
            let state = tree.state.load_full();
            let found = rows(&state, tree.store.clock().visible());
            assert!(found >= before.get() - 1, "{found} rows, {before:?} was visible");
        });
    });
}
