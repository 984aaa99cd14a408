//! Scans of changes give everything that was done from a moment on, in order, or say that they cannot.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use stratal_engine::{
    Change, ChangeOptions, Error, FifoOptions, Operation, Snapshot, Store, StoreContext,
    StrategyOptions, Tree, TreeOptions, WriteBatch,
};
use stratal_fs::{CrashPolicy, MemFs, SimFs};
use stratal_sst::TableOptions;
use stratal_testkit::Rng;
use stratal_types::{Counter, Counters, CutOptions, SeqNo};

use crate::support::{Reference, key, open_store, open_tree, small, write};

/// What a scan must give of what was done: all but range deletes of nothing.
fn expected(reference: &Reference, tree: &Tree, seqnos: &Range<SeqNo>) -> Vec<Change> {
    let has_effect = |operation: &Operation| match operation {
        Operation::DeleteRange { from, to } => tree.comparator().compare(from, to).is_lt(),
        _ => true,
    };
    let changes = reference.changes.iter();
    let changes = changes.filter(|change| seqnos.contains(&change.seqno));
    changes.filter(|change| has_effect(&change.operation)).cloned().collect()
}

#[derive(Debug, Default)]
struct Counts {
    whole: u64,
    refused: u64,
    changes: u64,
    windows: u64,
    interrupted: u64,
    held: u64,
    reopened: u64,
}

struct History {
    rng: Rng,
    comparator: &'static str,
    seed: u64,
    fs: Arc<MemFs>,
    store: Arc<Store>,
    tree: Arc<Tree>,
    reference: Reference,
    snapshots: Vec<Snapshot>,
    /// From where on history is held, by holder.
    held: BTreeMap<&'static str, SeqNo>,
    counts: Counts,
}

const HOLDERS: [&str; 3] = ["feed", "audit", "copy"];

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let comparator = ["bytewise", "reverse", "shortlex"][rng.index(3)];
        let fs = Arc::new(MemFs::new());
        let (store, _) = open_store(fs.clone(), seed).unwrap();
        let tree = open_tree(&store, comparator, small(&mut rng)).unwrap();
        let reference = Reference::new(comparator);
        let (snapshots, held, counts) = (Vec::new(), BTreeMap::new(), Counts::default());
        Self { rng, comparator, seed, fs, store, tree, reference, snapshots, held, counts }
    }

    fn step(&mut self) {
        write(&self.tree, &mut self.reference, &mut self.rng).unwrap();
        match self.rng.below(40) {
            0..=4 => drop(self.tree.flush().unwrap()),
            5..=12 => {
                if let Some(job) = self.tree.plan() {
                    self.tree.run(&job).unwrap();
                }
            }
            13 => drop(self.tree.compact(self.rng.chance(1, 2)).unwrap()),
            14 => self.snapshots.push(self.tree.snapshot()),
            15..=16 if !self.snapshots.is_empty() => {
                self.snapshots.swap_remove(self.rng.index(self.snapshots.len()));
            }
            17 => self.tree.set_spec(small(&mut self.rng)).unwrap(),
            18..=21 => self.change_holder(),
            22..=23 => self.reopen(),
            24..=25 => self.scan_while_it_changes(),
            _ => {}
        }
    }

    fn change_holder(&mut self) {
        let holder = *self.rng.choose(&HOLDERS);
        let visible = self.store.clock().visible();
        match (self.held.get(holder).copied(), self.rng.below(3)) {
            (None, _) => {
                assert_eq!(self.store.hold_history(holder).unwrap(), visible);
                self.held.insert(holder, visible);
                let unknown = self.store.advance_history("nobody", visible);
                assert!(matches!(unknown, Err(Error::NoSuchHolder(_))));
            }
            (Some(_), 0) => {
                assert!(self.store.release_history(holder).unwrap());
                assert!(!self.store.release_history(holder).unwrap());
                self.held.remove(holder);
            }
            (Some(bound), _) => {
                assert_eq!(self.store.hold_history(holder).unwrap(), bound);
                let ahead = visible.get() - bound.get();
                let to = SeqNo::new(bound.get() + self.rng.below(ahead + 1)).unwrap();
                self.store.advance_history(holder, to).unwrap();
                self.held.insert(holder, to);
                let beyond = self.store.advance_history(holder, visible.next().unwrap());
                assert!(matches!(beyond, Err(Error::InvalidArgument(_))));
                // It never goes back.
                self.store.advance_history(holder, bound).unwrap();
            }
        }
    }

    fn reopen(&mut self) {
        self.counts.reopened += 1;
        self.tree.flush().unwrap();
        self.snapshots.clear();
        let seed = self.seed ^ (self.counts.reopened << 32);
        // The store ends with its last handle.
        let spec = small(&mut self.rng);
        let (store, report) = open_store(self.fs.clone(), seed).unwrap();
        self.tree = open_tree(&store, self.comparator, spec).unwrap();
        self.store = store;
        self.store.remove_orphans(&report, &std::collections::BTreeSet::new()).unwrap();
    }

    /// Scans from anywhere, and from where somebody holds history.
    fn check(&mut self) {
        let context = format!("seed {}, {:?}", self.seed, self.counts);
        let held = self.store.held_history();
        let held: Vec<_> = held.iter().map(|(name, bound)| (name.as_str(), *bound)).collect();
        assert_eq!(held, self.held.clone().into_iter().collect::<Vec<_>>(), "{context}");

        let visible = self.store.clock().visible();
        let snapshots = self.snapshots.iter().map(Snapshot::bound);
        let kept: Vec<_> = self.held.values().copied().chain(snapshots).chain([visible]).collect();
        for since in &kept {
            let found = self.scan(*since, self.options());
            assert!(found.unwrap(), "{context}: history from {since} on was to be kept");
            self.counts.held += 1;
        }
        let since = SeqNo::new(self.rng.below(visible.get() + 3)).unwrap();
        let options = self.options();
        let is_whole = self.scan(since, options).unwrap();
        let least = kept.iter().min().unwrap();
        assert!(is_whole || since < *least, "{context}: nobody may refuse {since}");
    }

    fn options(&self) -> ChangeOptions {
        // Drawn from what has been drawn, so that checks do not change the history.
        let mut rng = Rng::new(self.seed ^ self.reference.changes.len() as u64);
        let until = match rng.below(3) {
            0 => SeqNo::new(rng.below(self.store.clock().visible().get() + 3)).unwrap(),
            _ => SeqNo::MAX,
        };
        let memory_len_max = 1 << rng.below(16);
        ChangeOptions { until, memory_len: rng.index(memory_len_max) }
    }

    /// Whether all changes from `since` on were found; otherwise it was said that there is a gap.
    fn scan(&mut self, since: SeqNo, options: ChangeOptions) -> Result<bool, Error> {
        let floor = self.store.clock().floor();
        let visible = self.store.clock().visible();
        let mut changes = match self.tree.changes_with(since, options) {
            Err(Error::SnapshotTooOld { bound, floor: named }) => {
                assert!(bound == since && named == floor && since < floor);
                self.counts.refused += 1;
                return Ok(false);
            }
            changes => changes?,
        };
        assert!(since >= floor);
        assert_eq!(changes.until(), options.until.min(visible).max(since));
        let found: Vec<Change> = changes.by_ref().collect::<Result<_, _>>()?;
        let expected = expected(&self.reference, &self.tree, &(since..changes.until()));
        assert_eq!(found, expected, "seed {}: from {since}, {options:?}", self.seed);
        self.counts.whole += 1;
        self.counts.changes += found.len() as u64;
        self.counts.windows += changes.windows();
        Ok(true)
    }

    /// A scan that has begun gives what there was then, whatever is done meanwhile.
    fn scan_while_it_changes(&mut self) {
        let since = self.store.clock().floor();
        let options = ChangeOptions { memory_len: 2000, ..ChangeOptions::default() };
        let mut changes = self.tree.changes_with(since, options).unwrap();
        let expected = expected(&self.reference, &self.tree, &(since..changes.until()));
        let mut found = Vec::new();
        while found.len() < expected.len() {
            found.extend(changes.by_ref().take(1 + self.rng.index(40)).map(Result::unwrap));
            write(&self.tree, &mut self.reference, &mut self.rng).unwrap();
            match self.rng.below(3) {
                0 => drop(self.tree.flush().unwrap()),
                1 => drop(self.tree.compact(false).unwrap()),
                _ => drop(self.tree.compact(true).unwrap()),
            }
        }
        assert!(found == expected && changes.next().is_none(), "seed {}", self.seed);
        self.counts.interrupted += 1;
    }
}

fn run(seed: u64, steps: usize) -> Counts {
    let mut history = History::new(seed);
    for step in 0..steps {
        history.step();
        if step % 6 == 0 || step + 1 == steps {
            history.check();
        }
    }
    history.counts
}

#[test]
fn a_scan_gives_every_change_or_names_the_floor() {
    let mut all = Counts::default();
    for seed in 0..30 {
        let one = run(seed, 120);
        all.whole += one.whole;
        all.refused += one.refused;
        all.changes += one.changes;
        all.windows += one.windows;
        all.interrupted += one.interrupted;
        all.held += one.held;
        all.reopened += one.reopened;
    }
    println!("{all:?}");
    assert!(all.whole > 1000 && all.refused > 100 && all.held > 500, "{all:?}");
    assert!(all.windows > 2 * all.whole && all.interrupted > 50 && all.reopened > 100, "{all:?}");
}

/// A tree of small tables in level 0 whose reads are counted.
fn counted(memory: u64) -> (Arc<Store>, Arc<Tree>, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let unique = std::sync::atomic::AtomicU64::new(0);
    let unique = Arc::new(move || {
        let count = unique.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        u128::from(count).to_le_bytes()
    });
    let mut context = StoreContext::new(Arc::new(MemFs::new()), "/db", memory, unique);
    context.metrics = counters.clone();
    let (store, _) = Store::open(context).unwrap();
    let id = store.create_tree("t", "bytewise", &[]).unwrap();
    let options = TreeOptions {
        write_buffer_len: 1 << 30,
        table: TableOptions { block_len_target: 1024, ..TableOptions::default() },
        cut: CutOptions { table_len: 1 << 30, ..CutOptions::default() },
        ..TreeOptions::default()
    };
    let tree = Tree::open(&store, id, options.validate().unwrap()).unwrap();
    (store, tree, counters)
}

/// Puts `count` values of 100 bytes, which do not compress, under keys that `key` gives.
fn fill(tree: &Tree, count: u32, key: impl Fn(u32) -> u32) {
    let mut rng = Rng::new(count.into());
    for chunk in (0..count).collect::<Vec<_>>().chunks(100) {
        let mut batch = WriteBatch::new();
        for i in chunk {
            batch.put(format!("key {:08}", key(*i)), rng.bytes(100));
        }
        tree.write(&batch).unwrap();
    }
}

/// What a scan from `since` on reads, in bytes, and how many changes it gives in how many windows.
fn read_by(
    tree: &Arc<Tree>,
    counters: &Counters,
    since: SeqNo,
    memory_len: usize,
) -> (u64, usize, u64) {
    let before = counters.get(Counter::BytesRead);
    let options = ChangeOptions { memory_len, ..ChangeOptions::default() };
    let mut changes = tree.changes_with(since, options).unwrap();
    let count = changes.by_ref().map(Result::unwrap).count();
    (counters.get(Counter::BytesRead) - before, count, changes.windows())
}

#[test]
fn blocks_without_changes_are_not_read() {
    let (store, tree, counters) = counted(0);
    fill(&tree, 20_000, |i| i);
    tree.flush().unwrap();
    let since = store.hold_history("feed").unwrap();
    fill(&tree, 100, |i| 7000 + i);
    tree.flush().unwrap();
    // Now old and new values stand in one table.
    tree.compact(true).unwrap();
    let len: u64 = tree.stats().levels.iter().map(|level| level.len).sum();
    assert_eq!(tree.stats().levels.iter().map(|level| level.tables).sum::<usize>(), 1);
    let (read, count, windows) = read_by(&tree, &counters, since, 1 << 20);
    println!("{read} of {len} bytes read for {count} changes");
    assert_eq!((count, windows), (100, 1));
    assert!(read < len / 10, "{read} of {len}");
}

#[test]
fn tables_and_blocks_that_follow_one_another_in_time_are_read_about_once() {
    for is_merged in [false, true] {
        let (store, tree, counters) = counted(0);
        let since = store.hold_history("feed").unwrap();
        for part in 0..10 {
            // Apart, every table has keys from everywhere; merged, later changes have higher keys.
            fill(&tree, 2000, |i| if is_merged { 2000 * part + i } else { 10 * i + part });
            tree.flush().unwrap();
        }
        if is_merged {
            tree.compact(true).unwrap();
        }
        let len: u64 = tree.stats().levels.iter().map(|level| level.len).sum();
        let (read, count, windows) = read_by(&tree, &counters, since, 500_000);
        println!("{windows} windows, {read} bytes read of {len}");
        assert!(count == 20_000 && windows > 10, "{count} {windows}");
        assert!(read < 3 * len, "{read} of {len}");
    }
}

#[test]
fn a_scan_holds_no_more_than_it_may() {
    let (store, tree, _) = counted(0);
    let since = store.hold_history("feed").unwrap();
    for _ in 0..20 {
        fill(&tree, 5000, |i| i.wrapping_mul(2_654_435_761) % 100_000);
        tree.flush().unwrap();
    }
    // The tables are open, with what they keep.
    assert_eq!(tree.changes_since(since).unwrap().count(), 100_000);
    for memory_len in [100_000, 1_000_000, 4_000_000] {
        let mut found = (0, 0);
        let used = allocation_counter::measure(|| {
            let options = ChangeOptions { memory_len, ..ChangeOptions::default() };
            let mut changes = tree.changes_with(since, options).unwrap();
            let mut last = SeqNo::ZERO;
            for change in changes.by_ref() {
                let change = change.unwrap();
                assert!(change.seqno > last);
                last = change.seqno;
                found.0 += 1;
            }
            found.1 = changes.windows();
        });
        println!("{memory_len} bytes: {} at most, {} windows", used.bytes_max, found.1);
        assert_eq!(found.0, 100_000);
        // Twenty tables keep the memory of a piece each.
        assert!(used.bytes_max < memory_len as u64 + 400_000, "{memory_len}: {used:?}");
        let len = 100_000 * (3 * size_of::<Change>() + 12 + 100);
        assert!(found.1 <= (4 * len / (3 * memory_len) + 1) as u64, "{found:?}");
    }
}

#[test]
fn one_range_delete_is_one_change_however_many_pieces_tables_hold_of_it() {
    let (store, tree, _) = counted(1 << 20);
    let since = store.hold_history("feed").unwrap();
    let mut expected = Vec::new();
    let mut put = |tree: &Tree, operation: Operation| {
        let mut batch = WriteBatch::new();
        let seqno = tree.snapshot().bound();
        tree.write(batch.push(operation.clone())).unwrap();
        expected.push(Change { seqno, operation });
    };
    let range = |from: u32, to: u32| Operation::DeleteRange {
        from: format!("{from:04}").into(),
        to: format!("{to:04}").into(),
    };
    for i in 0..40 {
        put(&tree, range(i, 1000 - i));
        put(&tree, range(20 * i, 20 * i + 10));
        put(&tree, Operation::Put { key: format!("{i:04}").into(), value: vec![7; 900] });
        if i % 5 == 0 {
            tree.flush().unwrap();
        }
        if i % 15 == 0 {
            // Cut into many tables, each with its pieces.
            let cut = CutOptions { table_len: 2 << 10, ..CutOptions::default() };
            let options = TreeOptions { cut, ..tree.spec().options().clone() };
            tree.set_spec(options.validate().unwrap()).unwrap();
            tree.compact(true).unwrap();
        }
    }
    let pieces: u64 = tree.stats().levels.iter().map(|level| level.range_tombstones).sum();
    assert!(pieces > 90, "{pieces} of 80");
    for memory_len in [0, 3000, 1 << 20] {
        let options = ChangeOptions { memory_len, ..ChangeOptions::default() };
        let changes = tree.changes_with(since, options).unwrap();
        assert_eq!(changes.map(Result::unwrap).collect::<Vec<_>>(), expected, "{memory_len}");
    }
}

/// What is too old or too much goes when the holder has seen it, and not before.
#[test]
fn what_is_held_does_not_expire() {
    let (store, tree, _) = counted(1 << 20);
    let fifo = StrategyOptions::Fifo(FifoOptions { len_max: 50_000, ..FifoOptions::default() });
    let options = TreeOptions { strategy: fifo, ..tree.spec().options().clone() };
    tree.set_spec(options.validate().unwrap()).unwrap();
    let begin = store.hold_history("feed").unwrap();
    let tables = |tree: &Tree| tree.stats().levels.iter().map(|level| level.tables).sum::<usize>();
    for part in 0..10 {
        fill(&tree, 200, |i| 1000 * part + i);
        tree.flush().unwrap();
        tree.compact(false).unwrap();
    }
    let changes = tree.changes_since(begin).unwrap();
    let until = changes.until();
    assert_eq!((changes.map(Result::unwrap).count(), tables(&tree)), (2000, 10));

    store.advance_history("feed", until).unwrap();
    tree.compact(false).unwrap();
    assert!(tables(&tree) < 5, "{}", tables(&tree));
    match tree.changes_since(begin) {
        Err(Error::SnapshotTooOld { floor, .. }) => assert!(floor > begin && floor <= until),
        other => panic!("{other:?}"),
    }
    assert_eq!(tree.changes_since(until).unwrap().count(), 0);
}

/// Holders before and after an operation about them, and how many operations of the disk there had been
/// when it returned.
type Moments = Vec<(Vec<(String, SeqNo)>, u64)>;

fn hold_and_write(fs: &SimFs, seed: u64) -> Moments {
    let mut rng = Rng::new(seed);
    let (store, _) = open_store(Arc::new(fs.clone()), seed).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut rng)).unwrap();
    let mut moments = vec![(Vec::new(), fs.op_count())];
    for _ in 0..25 {
        let key = key(&mut rng);
        tree.put(&key, b"1").unwrap();
        let holder = *rng.choose(&HOLDERS);
        match rng.below(6) {
            0..=1 => drop(store.hold_history(holder).unwrap()),
            2 => drop(store.advance_history(holder, store.clock().visible())),
            3 => drop(store.release_history(holder).unwrap()),
            4 => drop(tree.flush().unwrap()),
            _ => drop(tree.compact(false).unwrap()),
        }
        moments.push((store.held_history(), fs.op_count()));
    }
    moments
}

#[test]
fn what_is_held_survives_a_crash_at_any_operation() {
    let mut images = 0;
    for seed in 0..6 {
        let fs = SimFs::new(seed);
        fs.record_moments();
        let moments = hold_and_write(&fs, seed);
        for moment in fs.take_moments() {
            // The last that had returned, and the one that was under way.
            let Some(last) = moments.iter().rposition(|(_, ops)| *ops <= moment.op + 1) else {
                continue;
            };
            let policies = moment.fs.crash_policies(8, 2);
            for policy in policies.chain([CrashPolicy::KeepAll]) {
                images += 1;
                let image = moment.fs.image(&policy);
                let context = format!("seed {seed}, crash at {}, {policy:?}", moment.op);
                let (store, _) = open_store(Arc::new(image), seed ^ 0xdead)
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
                let held = store.held_history();
                let may_be = &moments[last..moments.len().min(last + 2)];
                assert!(may_be.iter().any(|(state, _)| *state == held), "{context}: {held:?}");
                let floor = store.clock().floor();
                assert!(held.iter().all(|(_, bound)| *bound >= floor), "{context}: {floor}");
                for (_, bound) in held {
                    assert!(store.snapshot_at(bound).is_ok(), "{context}");
                }
            }
        }
    }
    println!("{images} images");
    assert!(images > 1000, "{images}");
}
