//! What merges write does not depend on whether they take over blocks as they are stored.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use stratal_block::Compression;
use stratal_engine::{
    CompactionFilters, EntryRef, Snapshot, Store, Tree, TreeOptions, Verdict, WriteBatch,
};
use stratal_filter::FilterSpec;
use stratal_fs::{Access, Fs, MemFs, read_to_vec};
use stratal_manifest::{FileName, Run};
use stratal_sst::{Partitioning, Table, TableContext, TableOptions};
use stratal_testkit::Rng;
use stratal_types::{Counter, Counters, Cursor, CutOptions, EntryKind, Fragments, SeqNo, Trailer};

use crate::support::{open_tree, store_context};

/// Keys are numbers below this.
const KEYS: u64 = 3_000;

struct Twin {
    fs: Arc<MemFs>,
    counters: Arc<Counters>,
    tree: Arc<Tree>,
    snapshots: Vec<Snapshot>,
    _store: Arc<Store>,
}

/// Everything that a run holds, however it is cut into tables and blocks.
#[derive(Debug, Default, PartialEq)]
struct RunContents {
    entries: Vec<(Vec<u8>, Trailer, Vec<u8>)>,
    /// Those that touch, and are of one number, as one.
    tombstones: Fragments,
}

impl Twin {
    fn new(seed: u64, comparator: &str, options: &TreeOptions, carry_blocks: bool) -> Self {
        let (fs, counters) = (Arc::new(MemFs::new()), Arc::new(Counters::default()));
        let mut context = store_context(Arc::clone(&fs) as _, seed);
        context.metrics = Arc::clone(&counters) as _;
        let (store, _) = Store::open(context).unwrap();
        let options = TreeOptions { carry_blocks, ..options.clone() };
        let tree = open_tree(&store, comparator, options.validate().unwrap()).unwrap();
        Self { fs, counters, tree, snapshots: Vec::new(), _store: store }
    }

    /// The runs, newest first, each with its level.
    fn runs(&self) -> Vec<(usize, Run)> {
        let version = self.tree.version();
        let levels = version.levels.iter().enumerate();
        levels.flat_map(|(n, level)| level.runs.iter().map(move |run| (n, run.clone()))).collect()
    }

    fn contents(&self) -> Vec<(usize, RunContents)> {
        let ctx = TableContext {
            comparator: Arc::clone(self.tree.comparator()),
            ..TableContext::default()
        };
        let open = |number| {
            let path = Path::new("/db").join(FileName::Table(number).to_string());
            let file = self.fs.open(&path, Access::Read).unwrap();
            let bytes = read_to_vec(file.as_ref(), 1 << 30).unwrap();
            Table::open(&ctx, Arc::new(Bytes::from(bytes))).unwrap()
        };
        let contents = |run: &Run| {
            let mut contents = RunContents::default();
            for meta in run.tables.iter() {
                let table = open(meta.number);
                let report = table.verify().unwrap();
                assert!(report.is_ok(), "{report:?}");
                let before = contents.entries.len();
                let mut cursor = table.cursor();
                cursor.seek_to_first().unwrap();
                while let Some(entry) = cursor.entry() {
                    // By way of filter, locator and index.
                    assert!(table.lookup(entry.key, SeqNo::MAX).unwrap().is_some());
                    let row = (entry.key.to_vec(), entry.trailer, entry.value.to_vec());
                    contents.entries.push(row);
                    cursor.advance().unwrap();
                }
                check_counts(&table, &contents.entries[before..]);
                assert_eq!(meta.entries as usize, contents.entries.len() - before);
                let here = table.tombstones().unwrap();
                let all = [&contents.tombstones, &*here];
                contents.tombstones = Fragments::merge(all, table.comparator());
            }
            contents
        };
        self.runs().iter().map(|(level, run)| (*level, contents(run))).collect()
    }
}

/// Says what differs first, if anything does.
fn assert_same(carried: &[(usize, RunContents)], rows: &[(usize, RunContents)], context: &str) {
    let levels = |runs: &[(usize, RunContents)]| runs.iter().map(|run| run.0).collect::<Vec<_>>();
    assert_eq!(levels(carried), levels(rows), "{context}");
    for ((level, carried), (_, rows)) in carried.iter().zip(rows) {
        assert_eq!(carried.tombstones, rows.tombstones, "{context}, level {level}");
        let pairs = carried.entries.iter().zip(&rows.entries);
        let differ = pairs.enumerate().find(|(_, (carried, row))| carried != row);
        assert_eq!(differ, None, "{context}, level {level}");
        assert_eq!(carried.entries.len(), rows.entries.len(), "{context}, level {level}");
    }
}

/// The properties say what the entries are.
fn check_counts(table: &Table, entries: &[(Vec<u8>, Trailer, Vec<u8>)]) {
    let properties = table.properties();
    let of_kind = |kind| entries.iter().filter(|(_, it, _)| it.kind() == kind).count() as u64;
    let mut keys: Vec<_> = entries.iter().map(|(key, ..)| key).collect();
    keys.dedup();
    assert_eq!(properties.entries, entries.len() as u64);
    assert_eq!(properties.keys, keys.len() as u64);
    assert_eq!(properties.weak_deletes, of_kind(EntryKind::WeakDelete));
    assert_eq!(properties.deletes, properties.weak_deletes + of_kind(EntryKind::Delete));
    assert_eq!(properties.merges, of_kind(EntryKind::Merge));
    let key_bytes: usize = entries.iter().map(|(key, ..)| key.len()).sum();
    let value_bytes: usize = entries.iter().map(|(.., value)| value.len()).sum();
    assert_eq!(properties.key_bytes, key_bytes as u64);
    assert_eq!(properties.value_bytes, value_bytes as u64);
    if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
        assert_eq!((&properties.first_key, &properties.last_key), (*first, *last));
    }
    let newest = entries.iter().map(|(_, trailer, _)| trailer.seqno().get()).max();
    assert_eq!(properties.entry_seqno_max, newest.unwrap_or(0));
}

fn options(rng: &mut Rng) -> TreeOptions {
    let compression = [
        Compression::None,
        Compression::Lz4,
        #[cfg(feature = "zstd")]
        Compression::Zstd { level: 1 },
    ];
    let table = TableOptions {
        block_len_target: 512,
        compression: *rng.choose(&compression),
        entry_digests: rng.chance(1, 4),
        locator: rng.chance(1, 4),
        filter: rng.chance(3, 4).then(FilterSpec::default),
        partitioning: *rng.choose(&[Partitioning::Never, Partitioning::Always]),
        partition_len_target: 512,
        ..TableOptions::default()
    };
    let table_len = *rng.choose(&[4 << 10, 32 << 10, 1 << 30]);
    TreeOptions {
        write_buffer_len: 1 << 30,
        table,
        compress_from_level: rng.index(3),
        cut: CutOptions { table_len, ..CutOptions::default() },
        // Parts begin within blocks of the other inputs, and within their own.
        max_subcompactions: 1 + rng.index(4),
        subcompaction_len_min: 1 << 10,
        ..TreeOptions::default()
    }
}

/// Changes that lie near one another, so that blocks elsewhere stay as they are.
fn batch(rng: &mut Rng) -> WriteBatch {
    let key = |number: u64| format!("key {number:05}").into_bytes();
    let mut batch = WriteBatch::new();
    let (start, count) = (rng.below(KEYS), 1 + rng.below(400));
    let deletes = rng.chance(1, 6);
    for number in (start..KEYS).take(count as usize) {
        match rng.below(200) {
            0 => batch.delete(key(number)),
            1 => batch.merge(key(number), vec![b'+'; rng.index(4)]),
            _ if deletes => batch.delete(key(number)),
            _ => batch.put(key(number), vec![b'v'; rng.index(60)]),
        };
    }
    if rng.chance(1, 8) {
        let (from, to) = (key(start), key(start + rng.below(300)));
        let (from, to) = if rng.chance(1, 2) { (from, to) } else { (to, from) };
        batch.delete_range(from, to);
    }
    batch
}

/// Takes one history through both, and compares every run of theirs after every merge. Blocks that
/// were carried.
fn run(seed: u64, steps: usize) -> u64 {
    let mut rng = Rng::new(seed);
    let comparator = ["bytewise", "reverse", "shortlex"][rng.index(3)];
    let options = options(&mut rng);
    let mut twins = [true, false].map(|carry| Twin::new(seed, comparator, &options, carry));
    for step in 0..steps {
        let context = format!("seed {seed}, step {step}, {comparator}");
        let batch = batch(&mut rng);
        let (action, level) = (rng.below(8), 1 + rng.index(4));
        let runs = twins[0].runs().len();
        let (from, count) = (rng.index(runs + 1), 1 + rng.index(3));
        let outcomes = twins.each_mut().map(|twin| {
            twin.tree.write(&batch).unwrap();
            match action {
                0..=2 => twin.tree.flush().map(|_| true).unwrap(),
                4 => {
                    twin.snapshots.push(twin.tree.snapshot());
                    false
                }
                5 => twin.snapshots.pop().is_some(),
                _ => {
                    // Whole runs: what a strategy takes depends on where tables were cut.
                    let all = twin.runs();
                    let is_all = action == 3;
                    let (from, count, level) =
                        if is_all { (0, all.len(), 6) } else { (from, count, level) };
                    let runs = all.iter().skip(from).take(count);
                    let numbers: Vec<u64> = runs
                        .flat_map(|(_, run)| run.tables.iter().map(|table| table.number))
                        .collect();
                    let job = twin.tree.plan_tables(&numbers, level);
                    job.is_ok_and(|job| twin.tree.run(&job).map(|_| true).unwrap())
                }
            }
        });
        assert_eq!(outcomes[0], outcomes[1], "{context}");
        if outcomes[0] && action != 5 {
            let [carried, rows] = twins.each_ref().map(Twin::contents);
            assert_same(&carried, &rows, &context);
            let [carried, rows] = twins.each_ref().map(|twin| twin.tree.stats().operands);
            assert_eq!(carried, rows, "{context}");
        }
    }
    let [carried, rows] = twins.map(|twin| twin.counters.get(Counter::BlocksCarried));
    assert_eq!(rows, 0);
    carried
}

#[test]
fn merges_write_the_same_rows_whether_blocks_are_carried_or_not() {
    let carried: Vec<u64> = (0..16).map(|seed| run(seed, 40)).collect();
    println!("{carried:?} blocks were carried");
    let total: u64 = carried.iter().sum();
    assert!(
        total > 1_000 && carried.iter().filter(|&&count| count > 0).count() > 10,
        "{carried:?}"
    );
}

#[test]
fn a_damaged_block_fails_a_merge_alike_whether_blocks_are_carried_or_not() {
    let fail = |carry_blocks| {
        let options = TreeOptions {
            table: TableOptions { block_len_target: 512, ..TableOptions::default() },
            compress_from_level: 0,
            ..TreeOptions::default()
        };
        let twin = Twin::new(1, "bytewise", &options, carry_blocks);
        let write = |from: u64, to| {
            let mut batch = WriteBatch::new();
            for number in from..to {
                batch.put(format!("key {number:05}"), vec![b'v'; 50]);
            }
            twin.tree.write(&batch).unwrap();
            twin.tree.flush().unwrap();
        };
        write(0, 1000);
        twin.tree.compact(true).unwrap();
        let (_, run) = twin.runs().pop().unwrap();
        let table = Path::new("/db").join(FileName::Table(run.tables[0].number).to_string());
        let file = twin.fs.open(&table, Access::ReadWrite).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 3_000).unwrap();
        file.write_all_at(&[byte[0] ^ 1], 3_000).unwrap();
        write(0, 1);
        write(999, 1000);
        twin.tree.compact(true).unwrap_err().to_string()
    };
    let carried = fail(true);
    assert!(carried.contains("data block"), "{carried}");
    assert_eq!(carried, fail(false));
}

/// After `steps`, taken by a tree that carries blocks and one that does not, both hold `rows` rows, alike.
/// Before them all blocks of theirs are such as are carried.
fn check_steps(steps: impl Fn(&Tree), rows: u64) {
    let [carried, written] = [true, false].map(|carry_blocks| {
        let twin = Twin::new(1, "bytewise", &TreeOptions::default(), carry_blocks);
        let put = |number: u64| twin.tree.put(&number.swap_bytes().to_le_bytes(), b"value");
        let merge = || {
            twin.tree.flush().unwrap();
            twin.tree.compact(true).unwrap()
        };
        for number in 0..KEYS {
            put(number).unwrap();
        }
        twin.tree.flush().unwrap();
        // One table alone would be moved, and keep its numbers.
        for number in [7, KEYS - 1] {
            put(number).unwrap();
            assert!(merge().written_len > 0);
        }
        assert_eq!(twin.counters.get(Counter::BlocksCarried) > 0, carry_blocks);
        steps(&twin.tree);
        merge();
        assert_eq!(twin.tree.len().unwrap(), rows);
        twin.contents()
    });
    assert_same(&carried, &written, "the last merge");
}

#[test]
fn blocks_under_a_range_tombstone_that_goes_are_not_carried() {
    let key = |number: u64| number.swap_bytes().to_le_bytes();
    let delete = |tree: &Tree| {
        tree.delete_range(&key(1_000), &key(2_000)).unwrap();
    };
    check_steps(delete, KEYS - 1_000);
}

#[test]
fn blocks_that_a_filter_would_change_are_not_carried() {
    // So few that most blocks follow a row that stays.
    let goes = |key: &[u8]| key.last().is_some_and(|byte| byte % 8 == 3);
    let filter = |tree: &Tree| {
        let judge =
            move |row: EntryRef<'_>| if goes(row.key) { Verdict::Remove } else { Verdict::Keep };
        let compaction_filters = Some(CompactionFilters::of(judge));
        let options = TreeOptions { compaction_filters, ..tree.spec().options().clone() };
        tree.set_spec(options.validate().unwrap()).unwrap();
        tree.put(&7u64.swap_bytes().to_le_bytes(), b"other").unwrap();
    };
    check_steps(filter, KEYS / 8 * 7);
}
