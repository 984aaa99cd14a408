//! What a tree says of itself without reading: estimates of ranges, and statistics.

use std::sync::Arc;

use stratal_engine::{
    LeveledOptions, Store, StoreContext, StrategyOptions, Tree, TreeEstimate, TreeOptions,
};
use stratal_fs::MemFs;
use stratal_sst::{Partitioning, TableOptions};
use stratal_testkit::Rng;
use stratal_types::{Counter, Counters, CutOptions, KeyRange, Metrics, NoMetrics};

pub(crate) fn open(comparator: &str, options: TreeOptions, metrics: Arc<dyn Metrics>) -> Arc<Tree> {
    open_in(&Arc::new(MemFs::new()), comparator, options, metrics)
}

/// The tree in `fs`, or a new one.
fn open_in(
    fs: &Arc<MemFs>,
    comparator: &str,
    options: TreeOptions,
    metrics: Arc<dyn Metrics>,
) -> Arc<Tree> {
    let count = std::sync::atomic::AtomicU64::new(0);
    let unique = move || {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        u128::from(count).to_le_bytes()
    };
    let mut context = StoreContext::new(Arc::clone(fs) as _, "/db", 8 << 20, Arc::new(unique));
    context.metrics = metrics;
    let (store, _) = Store::open(context).unwrap();
    let known = store.version().trees.keys().next().copied();
    let id = known.unwrap_or_else(|| store.create_tree("t", comparator, &[]).unwrap());
    Tree::open(&store, id, options.validate().unwrap()).unwrap()
}

fn options(rng: &mut Rng) -> TreeOptions {
    let partitioning = [Partitioning::Never, Partitioning::Always][rng.index(2)];
    let table = TableOptions {
        block_len_target: 512,
        partitioning,
        partition_len_target: 512,
        ..TableOptions::default()
    };
    let cut = CutOptions { table_len: 4 << (10 + rng.index(4)), ..CutOptions::default() };
    TreeOptions { table, cut, ..TreeOptions::default() }
}

#[test]
fn an_estimate_is_off_by_what_it_says_at_most_and_reads_no_data() {
    let mut rng = Rng::new(11);
    let (mut counted, mut off, mut stored) = (0, 0, 0);
    for comparator in ["bytewise", "reverse", "shortlex"].into_iter().cycle().take(12) {
        let counters = Arc::new(Counters::default());
        let tree = open(comparator, options(&mut rng), Arc::clone(&counters) as _);
        let order = Arc::clone(tree.comparator());
        // Every key of a batch once, so that each is one version of its flush.
        let mut versions: Vec<Vec<u8>> = Vec::new();
        for round in 0..4 {
            let step = 1 + rng.below(7);
            for i in 0..600 {
                let key = (i * step).to_string().into_bytes();
                let len = rng.index(60);
                if i % 9 == 8 { tree.delete(&key) } else { tree.put(&key, &rng.bytes(len)) }
                    .unwrap();
                versions.push(key);
            }
            if round < 3 {
                // A snapshot, for the flush to keep everything.
                let _all = tree.snapshot();
                tree.flush().unwrap();
            }
        }
        let before = counters.get(Counter::BlocksRead);
        for _ in 0..200 {
            let mut key = || {
                let any = versions[rng.index(versions.len())].clone();
                if rng.chance(1, 2) { any } else { [any, vec![b'5']].concat() }
            };
            let (a, b) = (key(), key());
            let (from, to) = if order.compare(&a, &b).is_le() { (a, b) } else { (b, a) };
            let range = match rng.below(4) {
                0 => KeyRange::half_open(from, to),
                1 => KeyRange::closed(from, to),
                2 => KeyRange { start: std::ops::Bound::Unbounded, ..KeyRange::closed("", to) },
                _ => KeyRange { end: std::ops::Bound::Unbounded, ..KeyRange::closed(from, "") },
            };
            let inside = versions.iter().filter(|key| range.contains(key, order.as_ref())).count();
            let bounds = (range.start.clone(), range.end.clone());
            let found = tree.estimate::<Vec<u8>>(bounds).unwrap();
            let is_off = found.entries.abs_diff(inside as u64);
            assert!(is_off <= found.entries_off, "{range:?} has {inside}: {found:?}");
            // Three runs, each cut at both ends through a block of two dozen rows or so.
            assert!(found.entries_off <= 4 * 2 * 64, "{found:?}");
            counted += 1;
            off += is_off;
            stored += inside as u64;
        }
        let blocks = counters.get(Counter::BlocksRead) - before;
        let all = tree.estimate::<&[u8]>(..).unwrap();
        let tables: u64 = tree.stats().levels.iter().map(|level| level.len).sum();
        assert_eq!((all.entries, all.entries_off), (versions.len() as u64, 0));
        assert_eq!(all.disk_len, tables);
        assert!(all.memory_len > 0);
        let details = tree.tables_in_detail().unwrap().into_iter().filter_map(|it| it.details);
        let data_blocks: u64 = details.map(|details| details.data_blocks).sum();
        assert!(blocks * 2 < data_blocks, "{blocks} blocks of the index, {data_blocks} of data");
        let empty = tree.estimate(&b"5"[..]..&b"5"[..]).unwrap();
        assert_eq!(empty, TreeEstimate::default());
    }
    assert!(counted == 2400 && off * 10 < stored, "off by {off} of {stored}");
}

/// The same work on two trees.
fn work(tree: &Tree) {
    let mut rng = Rng::new(3);
    for i in 0..3000u32 {
        let key = format!("{:05}", rng.below(2000));
        tree.put(key.as_bytes(), &[7; 40]).unwrap();
        if i % 500 == 499 {
            tree.delete(key.as_bytes()).unwrap();
            tree.delete_range(b"00100", b"00110").unwrap();
            tree.flush().unwrap();
            tree.compact(false).unwrap();
        }
        drop(tree.get(format!("{:05}x", rng.below(2000)).as_bytes()).unwrap());
    }
}

fn leveled() -> TreeOptions {
    let leveled = LeveledOptions { level_base_len: 32 << 10, ..LeveledOptions::default() };
    TreeOptions {
        strategy: StrategyOptions::Leveled(leveled),
        cut: CutOptions { table_len: 8 << 10, ..CutOptions::default() },
        ..TreeOptions::default()
    }
}

#[test]
fn statistics_add_up() {
    let tree = open("bytewise", leveled(), Arc::new(NoMetrics));
    assert!(tree.stats().is_empty() && tree.stats().traffic.write_amplification().is_none());
    work(&tree);
    let stats = tree.stats();
    let tables = tree.tables_in_detail().unwrap();
    for (number, level) in stats.levels.iter().enumerate() {
        let here = || tables.iter().filter(|table| table.level == number);
        let mut ages: Vec<u64> = here().map(|table| table.run_age).collect();
        ages.dedup();
        assert_eq!((ages.len(), here().count()), (level.runs, level.tables));
        assert_eq!(here().map(|table| table.file_len).sum::<u64>(), level.len);
        assert_eq!(here().map(|table| table.entries).sum::<u64>(), level.entries);
        assert_eq!(here().map(|table| table.deletes).sum::<u64>(), level.deletes);
        assert_eq!(here().map(|table| table.key_bytes).sum::<u64>(), level.key_bytes);
        assert_eq!(here().map(|table| table.value_bytes).sum::<u64>(), level.value_bytes);
        let tombstones: u64 = here().map(|table| table.range_tombstones).sum();
        assert_eq!(tombstones, level.range_tombstones);
    }
    for table in tables.iter().filter(|table| table.entries > 0) {
        let details = table.details.as_ref().unwrap();
        assert!(details.keys > 0 && details.keys <= table.entries);
        assert!(details.data_len < table.file_len && details.data_blocks > 0);
        assert!(details.index_len > 0 && details.filter.starts_with("blocked bloom"));
        assert!(table.filter_bits_per_key().unwrap() >= 10.0);
        assert_eq!(table.lineage > 0, table.birth_level > 0, "flushes replace no table");
        assert!(table.created_at_ms > 0);
    }
    let live = tree.len().unwrap();
    let estimate = stats.live_keys_estimate();
    assert!((live * 9 / 10..stats.levels.iter().map(|it| it.entries).sum()).contains(&estimate));
    let traffic = stats.traffic;
    assert!(traffic.flushes == 6 && traffic.merges > 0);
    assert!(traffic.merge_read_len >= traffic.merged_len);
    assert!(traffic.write_amplification().unwrap() > 1.0);
    assert!(stats.space_amplification().unwrap() >= 1.0);
    let runs: usize = stats.levels.iter().map(|level| level.runs).sum();
    assert_eq!(stats.read_amplification(), runs + 1);
    // What is owed is what is then written, but for what merges drop.
    assert_eq!(tree.debt().jobs, 0, "the last thing done was to compact");
    for _ in 0..4 {
        tree.put(b"01000", &[1; 40]).unwrap();
        tree.flush().unwrap();
    }
    let (owed, before) = (tree.debt(), tree.stats().traffic.merged_len);
    assert!(owed.is_whole && owed.jobs > 0);
    tree.compact(false).unwrap();
    let written = tree.stats().traffic.merged_len - before;
    assert!(written > 0 && written <= owed.written_len, "{written} of {owed:?}");
    assert_eq!(tree.debt().jobs, 0);
    tree.compact(true).unwrap();
    let stats = tree.stats();
    assert_eq!(stats.live_keys_estimate(), live, "nothing hidden is left");
    assert_eq!(stats.space_amplification(), Some(1.0));
    assert_eq!(stats.read_amplification(), 2);
}

#[test]
fn tables_are_described_without_being_opened() {
    let fs = Arc::new(MemFs::new());
    let open = || open_in(&fs, "bytewise", leveled(), Arc::new(NoMetrics));
    let writer = open();
    work(&writer);
    writer.compact(true).unwrap();
    // Whoever writes a table opens it.
    assert!(writer.tables().iter().all(|table| table.details.is_some()));
    drop(writer);
    let tree = open();
    let unread = tree.tables();
    assert!(unread.iter().all(|table| table.details.is_none()));
    tree.get(b"01000").unwrap();
    assert_eq!(tree.tables().iter().filter(|table| table.details.is_some()).count(), 1);
    let mut in_detail = tree.tables_in_detail().unwrap();
    for table in &mut in_detail {
        table.details = None;
    }
    assert_eq!(in_detail, unread);
}

#[test]
fn counting_changes_nothing_and_counts_add_up() {
    let counters = Arc::new(Counters::default());
    let counting = open("bytewise", leveled(), Arc::clone(&counters) as _);
    let plain = open("bytewise", leveled(), Arc::new(NoMetrics));
    work(&counting);
    work(&plain);
    assert_eq!(counting.stats(), plain.stats());
    let of = |counter| counters.get(counter);
    let (probes, rejects) = (of(Counter::FilterProbes), of(Counter::FilterRejects));
    let wrong = of(Counter::FilterFalsePositives);
    // Nothing that was asked for is there, and one in a hundred is let through.
    assert!(probes > 3000 && rejects + wrong == probes, "{probes} {rejects} {wrong}");
    assert!(wrong > 0 && wrong * 20 < probes);
    let keys: Vec<String> = (0..2000).map(|key| format!("{key:05}x")).collect();
    counting.multi_get(&keys).unwrap();
    let rejects = of(Counter::FilterRejects) + of(Counter::FilterFalsePositives);
    assert_eq!(rejects, of(Counter::FilterProbes), "many at once count alike");
}
