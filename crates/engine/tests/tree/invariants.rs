//! What `docs/INVARIANTS.md` promises of a tree and no other test shows.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use stratal_engine::{
    Error, MergeOperator, Operation, OperatorError, Store, StoreContext, Tree, TreeOptions,
    TreeSettings, WriteBatch,
};
use stratal_fs::{Fs, MemFs};
use stratal_testkit::{HookFs, Rng};
use stratal_types::SeqNo;

use crate::support::{NAME, open_store, open_tree, small};

/// A tree under small options, in a store on `fs`.
fn small_tree(fs: &Arc<MemFs>) -> (Arc<Store>, Arc<Tree>) {
    let (store, _) = open_store(fs.clone(), 1).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut Rng::new(1))).unwrap();
    (store, tree)
}

fn mem() -> Arc<MemFs> {
    Arc::new(MemFs::new())
}

fn table_files(fs: &MemFs) -> usize {
    fs.list(Path::new("/db/tables")).unwrap().len()
}

fn keys(tree: &Tree) -> Vec<Vec<u8>> {
    tree.range::<&[u8]>(..).unwrap().map(|row| row.unwrap().0.into()).collect()
}

// Keys and bounds.

#[test]
fn reads_take_bounds_longer_than_any_key() {
    let (_store, tree) = small_tree(&mem());
    let longest = vec![b'x'; 65_535];
    tree.put(&longest, b"1").unwrap();
    tree.put(b"y", b"2").unwrap();
    let long = vec![b'x'; 70_000];
    for in_tables in [false, true] {
        assert_eq!(tree.get(&long).unwrap(), None);
        assert_eq!(tree.multi_get(&[&long, &longest]).unwrap()[0], None);
        let behind: Vec<_> = tree.range(&long[..]..).unwrap().map(|row| row.unwrap().0).collect();
        assert_eq!(behind, [&b"y"[..]], "{in_tables}");
        assert_eq!(tree.range(..=&long[..]).unwrap().count(), 1);
        assert_eq!(tree.prefix(&long).unwrap().count(), 0);
        assert!(!tree.contains_prefix(&long).unwrap());
        let mut cursor = tree.cursor::<&[u8]>(..).unwrap();
        cursor.seek_to(&long).unwrap();
        assert_eq!(cursor.key(), Some(&b"y"[..]));
        cursor.seek_back_to(&long).unwrap();
        assert_eq!(cursor.key(), Some(&longest[..]));
        tree.flush().unwrap();
    }
}

#[test]
fn every_way_to_write_refuses_keys_of_no_length_and_too_long_ones() {
    let (_store, tree) = small_tree(&mem());
    for key in [vec![], vec![b'k'; 65_536]] {
        let good = b"k".to_vec();
        let operations = [
            Operation::Put { key: key.clone(), value: vec![] },
            Operation::Delete { key: key.clone() },
            Operation::WeakDelete { key: key.clone() },
            Operation::Merge { key: key.clone(), operand: vec![] },
            Operation::DeleteRange { from: key.clone(), to: good.clone() },
            Operation::DeleteRange { from: good, to: key },
        ];
        for operation in operations {
            let mut batch = WriteBatch::new();
            batch.put(b"before", b"1");
            batch.push(operation.clone());
            let refused = tree.write(&batch);
            assert!(matches!(refused, Err(Error::TooLarge { .. })), "{operation:?}: {refused:?}");
        }
    }
    assert!(tree.is_empty().unwrap(), "nothing of a refused batch is written");
}

// Batches.

#[test]
fn an_empty_batch_changes_nothing() {
    let (store, tree) = small_tree(&mem());
    tree.put(b"k", b"1").unwrap();
    let (visible, next) = (store.clock().visible(), store.clock().next());
    assert_eq!(tree.write(&WriteBatch::new()).unwrap(), next);
    assert_eq!((store.clock().visible(), store.clock().next()), (visible, next));
}

#[test]
fn a_batch_is_in_one_memtable_though_it_is_longer_than_one_may_be() {
    let (_store, tree) = small_tree(&mem());
    let mut batch = WriteBatch::new();
    for number in 0..200u8 {
        batch.put([number], [7; 1000]);
    }
    let bound = tree.write(&batch).unwrap();
    assert_eq!(tree.stats().sealed, 1, "it is sealed behind the batch, and not within it");
    assert_eq!(tree.sealed_to(), Some(bound));
    tree.flush_sealed().unwrap();
    assert_eq!((tree.flushed(), tree.stats().memtable_len), (bound, empty_len()));
}

/// Bytes that a memtable takes in which nothing was written.
fn empty_len() -> u64 {
    small_tree(&mem()).1.stats().memtable_len
}

// Range tombstones.

#[test]
fn range_tombstones_alone_survive_a_flush_a_merge_and_a_restart() {
    let fs = mem();
    let open = || {
        let (store, _) = open_store(fs.clone(), 1).unwrap();
        open_tree(&store, "bytewise", TreeOptions::default().validate().unwrap()).unwrap()
    };
    {
        let tree = open();
        for key in ["b", "c", "x"] {
            tree.put(key.as_bytes(), b"1").unwrap();
        }
        tree.flush().unwrap();
        let job = tree.plan_tables(&tree_tables(&tree), 2).unwrap();
        tree.run(&job).unwrap();
        // A table of nothing but a tombstone, whose span is the tombstone's.
        tree.delete_range(b"a", b"d").unwrap();
        assert_eq!(tree.flush().unwrap().outputs, 1);
        let stats = tree.stats();
        let level = stats.levels[0];
        assert_eq!((level.tables, level.entries, level.range_tombstones), (1, 0, 1), "{stats:?}");
        // Two such tables are merged: what they hide is in neither.
        tree.delete_range(b"w", b"y").unwrap();
        tree.flush().unwrap();
        let job = tree.plan_tables(&tree_tables(&tree)[..2], 1).unwrap();
        tree.run(&job).unwrap();
        let level = tree.stats().levels[1];
        assert_eq!((level.entries, level.range_tombstones), (0, 2));
        assert_eq!(keys(&tree), Vec::<Vec<u8>>::new());
    }
    let tree = open();
    assert_eq!(keys(&tree), Vec::<Vec<u8>>::new(), "the rows beneath are hidden still");
    assert_eq!(tree.get(b"c").unwrap(), None);
    tree.compact(true).unwrap();
    assert_eq!(tree.stats().levels.iter().map(|level| level.tables).sum::<usize>(), 0);
}

/// The numbers of the tables, in search order.
fn tree_tables(tree: &Tree) -> Vec<u64> {
    tree.version().tables().map(|(_, table)| table.number).collect()
}

// Jobs.

#[test]
fn a_job_whose_tables_are_gone_installs_nothing() {
    let fs = mem();
    let (_store, tree) = small_tree(&fs);
    for number in [1u8, 2] {
        tree.put(b"key", &[number]).unwrap();
        tree.flush().unwrap();
    }
    let tables = tree_tables(&tree);
    let stale = tree.plan_tables(&tables, 1).unwrap();
    tree.give_back(&stale);
    let job = tree.plan_tables(&tables, 1).unwrap();
    tree.run(&job).unwrap();
    let (version, files) = (tree.version(), table_files(&fs));
    assert!(matches!(tree.run(&stale), Err(Error::StaleJob(_))));
    assert!(Arc::ptr_eq(&version, &tree.version()));
    assert_eq!((files, table_files(&fs)), (1, 1));
    assert_eq!(tree.get(b"key").unwrap().as_deref(), Some(&[2][..]));
}

#[test]
fn flushes_and_merges_of_a_dropped_tree_install_nothing() {
    let fs = mem();
    let (store, tree) = small_tree(&fs);
    for number in [1u8, 2] {
        tree.put(b"key", &[number]).unwrap();
        tree.flush().unwrap();
    }
    tree.put(b"key", b"3").unwrap();
    let job = tree.plan_tables(&tree_tables(&tree), 1).unwrap();
    store.drop_tree(tree.id()).unwrap();
    let before = store.version();
    assert!(tree.flush().is_err());
    assert!(tree.run(&job).is_err());
    assert!(Arc::ptr_eq(&before, &store.version()), "nothing was installed");
    assert_eq!(table_files(&fs), 2, "what they wrote is gone again");
    assert_eq!(tree.get(b"key").unwrap().as_deref(), Some(&b"3"[..]), "reads go on");
    let expected = before.tree_named(NAME).map(|tree| tree.id);
    assert_eq!(expected, None);
}

/// Appends, and panics at operands that say so.
#[derive(Debug)]
struct Fragile;

impl MergeOperator for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn full(
        &self,
        key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        assert!(!operands.contains(&&b"panic"[..]), "as it was told");
        Ok(stratal_testkit::concatenate(key, base, operands))
    }
}

fn unique() -> [u8; 16] {
    static RNG: Mutex<Option<Rng>> = Mutex::new(None);
    let mut bytes = [0; 16];
    RNG.lock().unwrap().get_or_insert_with(|| Rng::new(99)).fill(&mut bytes);
    bytes
}

fn fragile_tree(fs: &Arc<MemFs>) -> Arc<Tree> {
    let mut context = StoreContext::new(fs.clone(), "/db", 1 << 20, Arc::new(unique));
    context.operators = Arc::new(|_| Some(Arc::new(Fragile)));
    let (store, _) = Store::open(context).unwrap();
    let settings =
        TreeSettings { merge_operator: Some("fragile".into()), ..TreeSettings::default() };
    let id = store.create_tree(NAME, "bytewise", &settings.encode()).unwrap();
    Tree::open(&store, id, TreeOptions::default().validate().unwrap()).unwrap()
}

fn panics(run: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

#[test]
fn an_operator_that_panics_costs_the_reads_of_its_key_and_nothing_else() {
    let fs = mem();
    let tree = fragile_tree(&fs);
    tree.put(b"sound", b"1").unwrap();
    tree.put(b"spoilt", b"1").unwrap();
    tree.flush().unwrap();
    tree.merge(b"spoilt", b"panic").unwrap();
    tree.merge(b"sound", b"2").unwrap();
    tree.flush().unwrap_or_default();
    for _ in 0..2 {
        assert!(panics(|| drop(tree.get(b"spoilt"))));
        assert_eq!(tree.get(b"sound").unwrap().as_deref(), Some(&b"12"[..]));
        let files = table_files(&fs);
        assert!(panics(|| drop(tree.compact(true))));
        // The job left nothing: no file, and no claim on its tables.
        assert_eq!(table_files(&fs), files);
        let job = tree.plan_tables(&tree_tables(&tree), 1).unwrap();
        tree.give_back(&job);
    }
    // Until something hides what it panics at.
    tree.delete(b"spoilt").unwrap();
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    assert_eq!((keys(&tree), table_files(&fs)), (vec![b"sound".to_vec()], 1));
}

// What readers hold.

#[test]
fn a_file_that_only_a_reader_held_goes_with_the_next_flush_though_there_is_none() {
    let fs = mem();
    let (_store, tree) = small_tree(&fs);
    for number in [1u8, 2] {
        tree.put(b"key", &[number]).unwrap();
        tree.flush().unwrap();
    }
    let reader = tree.range::<&[u8]>(..).unwrap();
    tree.compact(true).unwrap();
    assert_eq!(table_files(&fs), 3, "two that are read, and the one that replaces them");
    assert_eq!(reader.count(), 1);
    assert_eq!(tree.flush().unwrap().outputs, 0);
    assert_eq!(table_files(&fs), 1);
}

#[test]
fn values_iterators_and_snapshots_outlive_the_handle_of_their_tree() {
    let (store, tree) = small_tree(&mem());
    let mut rng = Rng::new(7);
    for number in 0..100u8 {
        tree.put(&[number], &rng.bytes(300)).unwrap();
    }
    tree.flush().unwrap();
    tree.put(b"in memory", b"1").unwrap();
    let expected: Vec<_> = tree.range::<&[u8]>(..).unwrap().map(Result::unwrap).collect();
    let value = tree.get(&[7]).unwrap();
    let mut iterator = tree.range::<&[u8]>(..).unwrap();
    let snapshot = tree.snapshot();
    let first = iterator.next().unwrap().unwrap();
    drop(tree);
    assert_eq!(value, Some(expected[7].1.clone()));
    let rest = iterator.map(Result::unwrap);
    assert!([first].into_iter().chain(rest).eq(expected));
    let tree = open_tree(&store, "bytewise", small(&mut Rng::new(1))).unwrap();
    assert_eq!(tree.get_at(&[7], &snapshot).unwrap(), value);
}

#[test]
fn reads_and_writes_go_on_while_an_edit_is_synced() {
    let shared: Arc<Mutex<Option<Arc<Tree>>>> = Arc::default();
    let theirs = Arc::clone(&shared);
    let (done, is_done) = mpsc::channel();
    let hook = move |path: &Path| {
        if !path.to_string_lossy().contains("manifest-") {
            return;
        }
        let Some(tree) = theirs.lock().unwrap().take() else { return };
        // On a thread of its own, so that a lock held across the sync is a failure and no deadlock.
        let (finished, wait) = mpsc::channel();
        thread::spawn(move || {
            tree.put(b"meanwhile", b"1").unwrap();
            assert!(tree.get(b"key").unwrap().is_some() && tree.snapshot().bound() > SeqNo::ZERO);
            assert_eq!(tree.range::<&[u8]>(..).unwrap().count(), 2);
            tree.seal();
            finished.send(()).unwrap();
        });
        done.send(wait.recv_timeout(Duration::from_mins(1)).is_ok()).unwrap();
    };
    let (store, _) = open_store(Arc::new(HookFs::new(mem(), hook)), 1).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut Rng::new(1))).unwrap();
    tree.put(b"key", b"1").unwrap();
    *shared.lock().unwrap() = Some(Arc::clone(&tree));
    tree.flush().unwrap();
    assert_eq!(is_done.try_recv(), Ok(true), "somebody waited for the sync of the manifest");
    assert_eq!((tree.stats().sealed, keys(&tree).len()), (1, 2));
}

// What a tree says of itself.

#[test]
fn what_a_tree_says_of_its_tables_is_the_same_after_a_restart() {
    let fs = mem();
    let before = {
        let (_store, tree) = small_tree(&fs);
        let mut rng = Rng::new(3);
        for _ in 0..300 {
            let key = rng.bytes(2);
            match rng.below(5) {
                0 => tree.delete(&key).unwrap(),
                1 => tree.delete_range(&key, &[key[0], 255, 255]).unwrap(),
                _ => tree.put(&key, &[1; 50]).unwrap(),
            };
            if rng.chance(1, 40) {
                tree.flush().unwrap();
            }
        }
        tree.flush().unwrap();
        let job = tree.plan();
        job.map(|job| tree.run(&job).unwrap());
        tree.stats()
    };
    let (_store, tree) = small_tree(&fs);
    let after = tree.stats();
    assert_eq!((before.levels, before.flushed), (after.levels, after.flushed));
}
