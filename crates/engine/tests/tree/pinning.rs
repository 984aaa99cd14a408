//! What stays in the cache: what is pinned, and what others use while somebody scans.

use std::{collections::BTreeMap, sync::Arc};

use stratal_cache::Cache;
use stratal_engine::{
    KeptOptions, LeveledOptions, PinnedParts, Pinning, Store, StrategyOptions, Tree, TreeOptions,
    WriteBatch,
};
use stratal_fs::MemFs;
use stratal_sst::{Partitioning, TableOptions};
use stratal_testkit::Rng;
use stratal_types::CutOptions;

use crate::support::{open_tree, store_context};

const KEYS: usize = 30_000;

fn key(n: usize) -> Vec<u8> {
    format!("key{n:06}").into_bytes()
}

fn options(pinning: Pinning, partitioning: Partitioning) -> TreeOptions {
    TreeOptions {
        write_buffer_len: 8 << 20,
        table: TableOptions {
            block_len_target: 1024,
            partitioning,
            partition_len_target: 1024,
            ..TableOptions::default()
        },
        strategy: StrategyOptions::Leveled(LeveledOptions {
            level0_runs: 4,
            ..LeveledOptions::default()
        }),
        cut: CutOptions { table_len: 256 << 10, below_len_max: 4 << 20 },
        pinning,
        ..TreeOptions::default()
    }
}

struct Desk {
    cache: Arc<Cache>,
    store: Arc<Store>,
    tree: Arc<Tree>,
}

/// A tree with a level below 0, and as many runs in level 0 as `upper`.
fn desk(options: TreeOptions, cache_len: u64, upper: usize) -> Desk {
    let cache = Arc::new(Cache::new(cache_len));
    let mut context = store_context(Arc::new(MemFs::new()), 1);
    context.cache = Arc::clone(&cache);
    let (store, _) = Store::open(context).unwrap();
    let tree = open_tree(&store, "bytewise", options.validate().unwrap()).unwrap();
    write(&tree, 0..KEYS);
    tree.compact(true).unwrap();
    for run in 0..upper {
        write(&tree, run * 1000..(run + 1) * 1000);
    }
    Desk { cache, store, tree }
}

fn write(tree: &Tree, keys: std::ops::Range<usize>) {
    let mut batch = WriteBatch::new();
    let mut rng = Rng::new(keys.start as u64);
    for n in keys {
        batch.put(key(n), rng.bytes(60));
    }
    tree.write(&batch).unwrap();
    tree.flush().unwrap();
}

fn get_some(tree: &Tree, step: usize) {
    for n in (0..KEYS).step_by(step) {
        assert!(tree.get(&key(n)).unwrap().is_some());
    }
}

impl Desk {
    fn pinned(&self) -> u64 {
        self.cache.stats().pinned
    }
}

#[test]
fn index_and_filter_are_pinned_by_level_and_part() {
    let (none, top, all) = (PinnedParts::None, PinnedParts::Top, PinnedParts::All);
    let mut pinned = BTreeMap::new();
    for partitioning in [Partitioning::Never, Partitioning::Always] {
        for (name, level0, below) in [
            ("nothing", none, none),
            ("level 0", top, none),
            ("level 0 with partitions", all, none),
            ("top of all", top, top),
            ("all", all, all),
        ] {
            let pinning = Pinning { level0, below };
            let desk = desk(options(pinning, partitioning), 64 << 20, 2);
            get_some(&desk.tree, 10);
            assert!(desk.cache.used() <= desk.cache.capacity());
            pinned.insert((partitioning == Partitioning::Always, name), desk.pinned());
            // Another process would have to be told again.
            assert_eq!(
                KeptOptions::of(&options(pinning, partitioning))
                    .over(&TreeOptions::default(), |_| None,)
                    .pinning,
                Pinning::default()
            );
            drop(desk.tree);
            drop(desk.store);
            assert_eq!(desk.cache.stats().pinned, 0, "the tables are gone");
        }
    }
    let of = |is_divided, name| pinned[&(is_divided, name)];
    for is_divided in [false, true] {
        assert_eq!(of(is_divided, "nothing"), 0);
        assert!(of(is_divided, "level 0") > 0);
        assert!(of(is_divided, "top of all") > of(is_divided, "level 0"));
    }
    assert_eq!(of(false, "level 0"), of(false, "level 0 with partitions"));
    assert_eq!(of(false, "top of all"), of(false, "all"));
    assert!(of(true, "level 0 with partitions") > 2 * of(true, "level 0"));
    assert!(of(true, "all") > 2 * of(true, "top of all"));
}

#[test]
fn a_table_that_leaves_level_0_is_not_pinned_any_more() {
    let pinning = Pinning { level0: PinnedParts::All, below: PinnedParts::None };
    let desk = desk(options(pinning, Partitioning::Never), 64 << 20, 2);
    get_some(&desk.tree, 10);
    let before = desk.pinned();
    assert!(before > 0);
    desk.tree.compact(true).unwrap();
    get_some(&desk.tree, 10);
    assert_eq!(desk.pinned(), 0);

    // Told otherwise while it is in use: what is there is pinned as it is.
    let spec = |pinning| options(pinning, Partitioning::Never).validate().unwrap();
    let misses = desk.cache.stats().misses;
    let all = Pinning { level0: PinnedParts::All, below: PinnedParts::All };
    desk.tree.set_spec(spec(all)).unwrap();
    assert!(desk.pinned() > before);
    get_some(&desk.tree, 10);
    assert_eq!(desk.cache.stats().misses, misses, "nothing was read again");
    desk.tree.set_spec(spec(Pinning::default())).unwrap();
    assert_eq!(desk.pinned(), 0);
}

#[test]
fn what_is_pinned_is_not_read_again_however_much_passes() {
    let pinning = Pinning { level0: PinnedParts::All, below: PinnedParts::All };
    // Half of it is more than what there is to pin.
    let desk = desk(options(pinning, Partitioning::Never), 1 << 20, 2);
    get_some(&desk.tree, 10);
    let pinned = desk.pinned();
    assert!(pinned > 100 << 10 && pinned < 512 << 10, "{pinned}");
    for _ in 0..5 {
        assert_eq!(desk.tree.range::<&[u8]>(..).unwrap().count(), KEYS);
        get_some(&desk.tree, 7);
        assert_eq!(desk.pinned(), pinned);
        assert!(desk.cache.used() <= desk.cache.capacity());
    }
    // Absent keys are answered by filters alone, which are all there.
    let before = desk.cache.stats().misses;
    for n in 0..KEYS {
        assert_eq!(desk.tree.get(format!("key{n:06}x").as_bytes()).unwrap(), None);
    }
    let missed = desk.cache.stats().misses - before;
    assert!(missed < KEYS as u64 / 20, "{missed} blocks for false positives");
}

#[test]
fn more_than_half_of_the_cache_is_not_pinned_and_reads_are_right() {
    let pinning = Pinning { level0: PinnedParts::All, below: PinnedParts::All };
    for cache_len in [0, 10 << 10, 100 << 10] {
        let desk = desk(options(pinning, Partitioning::Always), cache_len, 2);
        for _ in 0..2 {
            get_some(&desk.tree, 7);
            assert_eq!(desk.tree.range::<&[u8]>(..).unwrap().count(), KEYS);
            assert!(desk.pinned() <= cache_len / 2 && desk.cache.used() <= cache_len);
        }
        assert_eq!(desk.pinned() > 0, cache_len > 0, "{cache_len}");
        desk.cache.set_capacity(4 << 20);
        get_some(&desk.tree, 7);
        assert!(desk.pinned() > 100 << 10);
    }
}

/// Some keys are in use, and the whole tree, many times the cache, is read once and again.
#[test]
fn scans_do_not_flush_what_gets_use() {
    let desk = desk(options(Pinning::default(), Partitioning::Never), 1 << 20, 0);
    let in_use = || {
        let before = desk.cache.stats().misses;
        for n in (0..KEYS).step_by(KEYS / 150) {
            assert!(desk.tree.get(&key(n)).unwrap().is_some());
        }
        desk.cache.stats().misses - before
    };
    assert!(in_use() > 100);
    for _ in 0..3 {
        in_use();
    }
    assert_eq!(in_use(), 0);
    for way in 0..6 {
        let rows = desk.tree.range::<&[u8]>(..).unwrap();
        let rows = if way % 2 == 0 { rows.count() } else { rows.rev().count() };
        assert_eq!(rows, KEYS);
        let missed = in_use();
        assert!(missed <= 15, "{missed} of 150 in use were gone after scan {way}");
    }
}
