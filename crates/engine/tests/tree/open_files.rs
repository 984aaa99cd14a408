//! A tree of more tables than may be open.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use stratal_cache::Cache;
use stratal_engine::{
    Error, LeveledOptions, OpenFiles, Store, StoreContext, StrategyOptions, Tree, TreeOptions,
    TreeSpec, WriteBatch,
};
use stratal_fs::{
    Access, Fs, MemFs, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_sst::TableOptions;
use stratal_testkit::{FileEvent, HookFs, Rng};
use stratal_types::CutOptions;

use crate::support::{open_tree, store_context};

const MAX: usize = 10;
const KEYS: usize = 20_000;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// How many tables are open, and how many were at most.
#[derive(Default)]
struct Count {
    now: AtomicUsize,
    most: AtomicUsize,
}

fn counted(disk: Arc<dyn Fs>) -> (Arc<dyn Fs>, Arc<Count>) {
    let count = Arc::new(Count::default());
    let note = Arc::clone(&count);
    let fs = HookFs::watched(disk, move |path, event| {
        let is_table = path.extension().is_some_and(|extension| extension == "sst");
        match event {
            FileEvent::Opening if is_table => {
                let now = note.now.fetch_add(1, Ordering::SeqCst) + 1;
                note.most.fetch_max(now, Ordering::SeqCst);
            }
            FileEvent::Closed if is_table => {
                note.now.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        Ok(())
    });
    (Arc::new(fs), count)
}

/// Tables of some 4 KiB.
fn spec() -> TreeSpec {
    let strategy = LeveledOptions { level_base_len: 64 << 10, ..LeveledOptions::default() };
    let options = TreeOptions {
        write_buffer_len: 64 << 10,
        table: TableOptions { block_len_target: 512, ..TableOptions::default() },
        strategy: StrategyOptions::Leveled(strategy),
        cut: CutOptions { table_len: 4 << 10, below_len_max: 64 << 10 },
        max_subcompactions: 3,
        subcompaction_len_min: 16 << 10,
        ..TreeOptions::default()
    };
    options.validate().unwrap()
}

/// A cache in which next to nothing stays, so that reads go to files.
fn context(fs: Arc<dyn Fs>, seed: u64, cache_len: u64) -> StoreContext {
    let mut context = store_context(fs, seed);
    context.open_files = OpenFiles::new(MAX);
    context.cache = Arc::new(Cache::new(cache_len));
    context
}

fn open(fs: Arc<dyn Fs>, seed: u64, cache_len: u64) -> (Arc<Store>, Arc<Tree>) {
    let (store, _) = Store::open(context(fs, seed, cache_len)).unwrap();
    let tree = open_tree(&store, "bytewise", spec()).unwrap();
    (store, tree)
}

fn key(n: usize) -> Vec<u8> {
    format!("key{n:06}").into_bytes()
}

/// Writes every key, in an order of its own, and flushes and merges as it becomes necessary.
fn fill(tree: &Tree, rows: &mut Rows, rng: &mut Rng) {
    let mut keys: Vec<usize> = (0..KEYS).collect();
    for i in (1..keys.len()).rev() {
        keys.swap(i, rng.index(i + 1));
    }
    for keys in keys.chunks(500) {
        let mut batch = WriteBatch::new();
        for &n in keys {
            let value = rng.bytes(30);
            rows.insert(key(n), value.clone());
            batch.put(key(n), value);
        }
        tree.write(&batch).unwrap();
        if tree.has_sealed() {
            tree.flush_sealed().unwrap();
            tree.compact(false).unwrap();
        }
    }
    tree.flush().unwrap();
    tree.compact(false).unwrap();
}

fn check(tree: &Tree, rows: &Rows, rng: &mut Rng) {
    let found = tree.range::<&[u8]>(..).unwrap().map(|row| {
        let (key, value) = row.unwrap();
        (Vec::from(key), Vec::from(value))
    });
    assert!(found.eq(rows.iter().map(|(key, value)| (key.clone(), value.clone()))));
    let keys: Vec<_> = (0..200).map(|_| key(rng.index(KEYS * 2))).collect();
    for (key, found) in keys.iter().zip(tree.multi_get(&keys).unwrap()) {
        assert_eq!(found.as_ref().map(|value| &value[..]), rows.get(key).map(Vec::as_slice));
        assert_eq!(tree.get(key).unwrap(), found);
    }
}

fn table_files(fs: &dyn Fs) -> BTreeSet<PathBuf> {
    let names = fs.list(Path::new("/db/tables")).unwrap().into_iter();
    names.map(|entry| Path::new("/db/tables").join(entry.name)).collect()
}

#[test]
fn hundreds_of_tables_are_read_and_merged_with_ten_open() {
    let (fs, count) = counted(Arc::new(MemFs::new()));
    let (store, tree) = open(fs, 1, 64 << 10);
    let (mut rows, mut rng) = (Rows::new(), Rng::new(1));
    fill(&tree, &mut rows, &mut rng);
    let tables: usize = tree.stats().levels.iter().map(|level| level.tables).sum();
    assert!(tables > 150, "{tables}");
    check(&tree, &rows, &mut rng);
    tree.compact(true).unwrap();
    check(&tree, &rows, &mut rng);
    let stats = store.open_files().stats();
    assert!(stats.reopened > 100 && stats.open <= MAX, "{stats:?}");
    assert!(count.most.load(Ordering::SeqCst) <= MAX);
    // Another cap, while it is in use.
    store.open_files().set_max(3);
    assert!(count.now.load(Ordering::SeqCst) <= 3);
    check(&tree, &rows, &mut rng);
    drop((tree, store));
    assert_eq!(count.now.load(Ordering::SeqCst), 0);
}

#[test]
fn what_is_in_the_cache_is_read_of_tables_that_are_closed() {
    let (fs, count) = counted(Arc::new(MemFs::new()));
    let (store, tree) = open(fs, 2, 64 << 20);
    let (mut rows, mut rng) = (Rows::new(), Rng::new(2));
    fill(&tree, &mut rows, &mut rng);
    for n in 0..KEYS {
        assert_eq!(tree.get(&key(n)).unwrap().as_deref(), Some(&rows[&key(n)][..]));
    }
    let before = store.open_files().stats();
    store.open_files().set_max(1);
    assert!(count.now.load(Ordering::SeqCst) <= 1);
    for n in 0..KEYS {
        assert_eq!(tree.get(&key(n)).unwrap().as_deref(), Some(&rows[&key(n)][..]));
    }
    assert_eq!(store.open_files().stats().opened, before.opened, "nothing had to be opened");
}

#[test]
fn readers_and_jobs_share_ten_files() {
    let (fs, count) = counted(Arc::new(MemFs::new()));
    let (store, tree) = open(fs, 3, 16 << 10);
    let (mut rows, mut rng) = (Rows::new(), Rng::new(3));
    fill(&tree, &mut rows, &mut rng);
    let is_over = AtomicBool::new(false);
    let (tree, rows, is_over) = (&tree, &rows, &is_over);
    thread::scope(|scope| {
        for seed in 0..6 {
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                while !is_over.load(Ordering::Relaxed) {
                    let key = key(rng.index(KEYS));
                    assert_eq!(tree.get(&key).unwrap().as_deref(), Some(&rows[&key][..]));
                    let from = self::key(rng.index(KEYS));
                    let found = tree.range(from.as_slice()..).unwrap().take(40);
                    let found = found.map(|row| row.unwrap().0.to_vec());
                    assert!(found.eq(rows.range(from..).take(40).map(|(key, _)| key.clone())));
                }
            });
        }
        // The same values again, so that tables are merged and go.
        for round in 0..4 {
            for (n, (key, value)) in rows.iter().enumerate().filter(|(n, _)| n % 4 == round) {
                tree.put(key, value).unwrap();
                if n % 1000 == round {
                    tree.flush().unwrap();
                    tree.compact(false).unwrap();
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(count.most.load(Ordering::SeqCst) <= MAX);
    assert!(store.open_files().stats().reopened > 100);
}

#[test]
fn a_version_keeps_the_files_that_it_needs_though_they_are_closed() {
    let disk: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (store, tree) = open(Arc::clone(&disk), 4, 16 << 10);
    let (mut rows, mut rng) = (Rows::new(), Rng::new(4));
    fill(&tree, &mut rows, &mut rng);
    let before = table_files(disk.as_ref());
    let old = tree.range::<&[u8]>(..).unwrap();
    tree.clear().unwrap();
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    // Nobody has any of them open.
    store.open_files().set_max(1);
    assert!(table_files(disk.as_ref()).is_superset(&before));
    let found = old.map(|row| row.unwrap().0.to_vec());
    assert!(found.eq(rows.keys().cloned()));
    tree.flush().unwrap();
    assert_eq!(table_files(disk.as_ref()), BTreeSet::new());
}

/// A read that had to open a file fails, says which, and is repeated with success.
#[test]
fn a_fault_while_a_table_is_opened_again_names_the_file_and_is_over_with_it() {
    let disk = SimFs::new(5);
    let (store, tree) = open(Arc::new(disk.clone()), 5, 0);
    let (mut rows, mut rng) = (Rows::new(), Rng::new(5));
    fill(&tree, &mut rows, &mut rng);
    check(&tree, &rows, &mut rng);
    let mut faults = 0;
    for round in 0..200 {
        let op = [OpKind::Open, OpKind::Read][round % 2];
        disk.inject(Fault::on(op, FaultKind::Error(OsError::Io)).after(rng.below(3)));
        let key = key(rng.index(KEYS));
        match tree.get(&key) {
            Ok(found) => assert_eq!(found.as_deref(), Some(&rows[&key][..])),
            Err(Error::Table { path, .. } | Error::Io { path, .. }) => {
                assert!(table_files(&disk).contains(&path), "{}", path.display());
                faults += 1;
            }
            Err(error) => panic!("{error}"),
        }
        disk.clear_faults();
        assert_eq!(tree.get(&key).unwrap().as_deref(), Some(&rows[&key][..]));
        // Jobs open their inputs again too.
        if round % 50 == 49 {
            disk.inject(Fault::on(op, FaultKind::Error(OsError::Io)).after(rng.below(30)));
            tree.put(&key, &rows[&key]).unwrap();
            let failed = tree.flush().map(drop).and_then(|()| tree.compact(true).map(drop)).err();
            disk.clear_faults();
            if let Some(error) = failed {
                assert!(matches!(error, Error::Table { .. } | Error::Io { .. }), "{error}");
            }
            check(&tree, &rows, &mut rng);
        }
    }
    assert!(faults > 50, "{faults}");
    assert!(store.open_files().stats().open <= MAX);
}

#[test]
fn a_table_that_was_replaced_or_is_gone_is_named() {
    let disk: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (store, tree) = open(Arc::clone(&disk), 6, 0);
    let (mut rows, mut rng) = (Rows::new(), Rng::new(6));
    fill(&tree, &mut rows, &mut rng);
    check(&tree, &rows, &mut rng);
    store.open_files().set_max(1);
    // One of them stays open.
    let tables = tree.tables();
    let open = store.open_files().stats().open;
    let path = |number: u64| Path::new("/db").join(format!("tables/{number:010}.sst"));
    let [gone, other] = [&tables[1], &tables[5]];
    let contents = read_all(disk.as_ref(), &path(tables[6].number)).unwrap();
    for (table, contents) in [(gone, None), (other, Some(contents))] {
        let path = path(table.number);
        disk.remove_file(&path).unwrap();
        if let Some(contents) = &contents {
            disk.create(&path).unwrap().write_all_at(contents, 0).unwrap();
        }
        let first = match &table.span.start {
            std::ops::Bound::Included(key) => key.clone(),
            other => panic!("{other:?}"),
        };
        match (tree.get(&first), contents) {
            (Err(Error::Missing { path: named }), None)
            | (Err(Error::Mismatch { path: named, .. }), Some(_)) => assert_eq!(named, path),
            (found, _) => panic!("{found:?}"),
        }
    }
    assert!(open <= 1 && store.open_files().stats().open <= 1);
}

fn read_all(fs: &dyn Fs, path: &Path) -> io::Result<Vec<u8>> {
    stratal_fs::read_to_vec(fs.open(path, Access::Read)?.as_ref(), 1 << 20)
}
