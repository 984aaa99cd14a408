//! Values that go when they are old, and not before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stratal_compaction::plan::{JobKind, LeveledOptions, Reason};
use stratal_engine::{FilterPolicy, Store, StoreContext, StrategyOptions, Tree, TreeSettings};
use stratal_fs::MemFs;
use stratal_testkit::Rng;

use crate::{
    strategies::{flush, key, rows, spec, tables},
    support::{open_tree, small, with_strategy},
};

/// A store whose time is told.
struct Told {
    fs: Arc<MemFs>,
    now: Arc<AtomicU64>,
}

impl Told {
    fn new() -> Self {
        Self { fs: Arc::new(MemFs::new()), now: Arc::new(AtomicU64::new(1_000_000)) }
    }

    fn open(&self, seed: u64) -> Arc<Store> {
        let unique = AtomicU64::new(seed << 32);
        let unique = move || u128::from(unique.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
        let mut context = StoreContext::new(self.fs.clone(), "/db", 1 << 20, Arc::new(unique));
        let now = Arc::clone(&self.now);
        context.time = Arc::new(move || now.load(Ordering::Relaxed));
        Store::open(context).unwrap().0
    }

    /// A tree without a merge operator.
    fn tree(&self, seed: u64, spec: stratal_engine::TreeSpec) -> Arc<Tree> {
        let store = self.open(seed);
        let known = store.version().tree_named("t").map(|tree| tree.id);
        let id = known.unwrap_or_else(|| store.create_tree("t", "bytewise", &[]).unwrap());
        Tree::open(&store, id, spec).unwrap()
    }

    fn pass(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

fn leveled() -> stratal_engine::TreeSpec {
    spec(StrategyOptions::Leveled(LeveledOptions::default()))
}

const TTL: Duration = Duration::from_secs(64);

#[test]
fn a_value_is_there_until_its_time_and_gone_soon_after() {
    for seed in 0..30 {
        let mut rng = Rng::new(seed);
        let told = Told::new();
        let spec = small(&mut rng);
        let is_fifo = spec.policy().options().name() == "fifo";
        let mut tree = told.tree(1, spec.clone());
        tree.set_ttl(Some(TTL)).unwrap();
        // When each of the keys was written last.
        let mut written = vec![None; 100];
        for step in 0..600 {
            match rng.below(20) {
                0..=9 => {
                    let number = rng.index(100);
                    tree.put(&key(u32::try_from(number).unwrap()), &[1; 20]).unwrap();
                    written[number] = Some(told.now());
                }
                10 => {
                    let number = rng.index(100);
                    tree.delete(&key(u32::try_from(number).unwrap())).unwrap();
                    written[number] = None;
                }
                11 => told.pass(rng.below(6_000)),
                12 => drop(tree.flush().unwrap()),
                13 if rng.chance(1, 10) => {
                    tree.flush().unwrap();
                    drop(tree);
                    tree = told.tree(step, spec.clone());
                    assert_eq!(tree.ttl(), Some(TTL));
                }
                14 if rng.chance(1, 4) => drop(tree.compact(true).unwrap()),
                _ => {
                    if let Some(job) = tree.plan() {
                        tree.run(&job).unwrap();
                    }
                }
            }
            for (number, written) in written.iter().enumerate() {
                let number = u32::try_from(number).unwrap();
                let found = tree.get(&key(number)).unwrap().is_some();
                let is_young = written.is_some_and(|at: u64| told.now() < at + 64_000);
                assert!(found || !is_young, "seed {seed}, step {step}: {number} went too soon");
                assert!(
                    !found || written.is_some(),
                    "seed {seed}, step {step}: {number} came back"
                );
            }
        }
        tree.flush().unwrap();
        told.pass(64_000 * 5 / 4);
        if !is_fifo {
            tree.compact(false).unwrap();
            assert_eq!(rows(&tree), 0, "seed {seed}, {:?}", tree.spec().policy());
        }
        tree.compact(true).unwrap();
        assert_eq!((rows(&tree), tree.plan()), (0, None), "seed {seed}");
    }
}

#[test]
fn old_tables_go_unread_and_mixed_ones_are_rewritten_a_few_times() {
    let told = Told::new();
    let tree = told.tree(1, leveled());
    tree.set_ttl(Some(TTL)).unwrap();
    flush(&tree, 0..500);
    told.pass(32_000);
    flush(&tree, 500..1000);
    told.pass(31_999);
    assert_eq!(tree.plan(), None);
    told.pass(1);
    let job = tree.plan().unwrap();
    assert_eq!((job.kind, job.reason), (JobKind::Expire, Reason::Age));
    assert_eq!(tree.run(&job).unwrap().written_len, 0);
    assert_eq!((rows(&tree), tree.plan()), (500, None));

    // Rows of all ages in one table.
    let told = Told::new();
    let tree = told.tree(1, leveled());
    tree.set_ttl(Some(TTL)).unwrap();
    for number in 0..64 {
        tree.put(&key(number), &[7; 100]).unwrap();
        told.pass(1_000);
    }
    tree.flush().unwrap();
    let mut rewritten = 0;
    for _ in 0..80 {
        told.pass(1_000);
        while let Some(job) = tree.plan() {
            tree.run(&job).unwrap();
            rewritten += 1;
        }
    }
    assert_eq!(tables(&tree), 0);
    assert!((4..=10).contains(&rewritten), "{rewritten} jobs");
}

/// What is above the watermark is not judged, whatever its age, and the table does not say that it was.
#[test]
fn what_a_reader_kept_goes_when_he_has_gone() {
    let told = Told::new();
    let tree = told.tree(1, leveled());
    tree.set_ttl(Some(TTL)).unwrap();
    let reader = tree.snapshot();
    tree.put(&key(1), b"old").unwrap();
    told.pass(1_000);
    tree.put(&key(3), b"a second younger").unwrap();
    tree.flush().unwrap();
    told.pass(59_000);
    tree.put(&key(2), b"young").unwrap();
    tree.flush().unwrap();
    told.pass(5_000);
    assert!(tree.compact(true).unwrap().written_len > 0, "two tables that overlap");
    assert_eq!(rows(&tree), 3, "somebody reads from before all");
    drop(reader);
    told.pass(16_000);
    tree.compact(false).unwrap();
    assert_eq!(tree.get(&key(1)).unwrap(), None, "81 seconds old");
    assert!(tree.get(&key(2)).unwrap().is_some());
}

#[test]
fn an_operand_keeps_the_value_under_it() {
    let told = Told::new();
    let store = told.open(1);
    let tree = open_tree(&store, "bytewise", leveled()).unwrap();
    tree.set_ttl(Some(TTL)).unwrap();
    for number in 0..10 {
        tree.put(&key(number), b"base ").unwrap();
    }
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    told.pass(60_000);
    tree.merge(&key(3), b"and more").unwrap();
    tree.flush().unwrap();
    told.pass(20_001);
    // Only the table with the values is rewritten.
    while let Some(job) = tree.plan() {
        assert_eq!(job.inputs.len(), 1);
        tree.run(&job).unwrap();
    }
    assert_eq!(tree.get(&key(3)).unwrap().as_deref(), Some(&b"base and more"[..]));
    assert_eq!(rows(&tree), 1);
    tree.compact(true).unwrap();
    assert_eq!(tree.get(&key(3)).unwrap().as_deref(), Some(&b"base and more"[..]));
    told.pass(64_000);
    tree.compact(false).unwrap();
    assert_eq!(rows(&tree), 0, "the operand was the younger");
}

#[test]
fn what_was_there_before_counts_from_when_it_began_to_matter() {
    let told = Told::new();
    let tree = told.tree(1, leveled());
    flush(&tree, 0..10);
    flush(&tree, 0..10);
    // Numbers are zeroed here.
    tree.compact(true).unwrap();
    let numbers = |tree: &Tree| -> Vec<u64> {
        tree.version().tables().map(|(_, table)| table.seqno_max.get()).collect()
    };
    assert!(numbers(&tree).iter().all(|number| *number == 0));
    told.pass(1_000_000);
    tree.set_ttl(Some(TTL)).unwrap();
    told.pass(63_999);
    flush(&tree, 5..6);
    // All of them are judged, for the tables overlap.
    assert!(tree.compact(true).unwrap().written_len > 0);
    assert_eq!((rows(&tree), tree.plan()), (10, None));
    told.pass(16_001);
    tree.compact(false).unwrap();
    assert_eq!(rows(&tree), 1);
    assert!(numbers(&tree).iter().all(|number| *number > 0), "the number tells the age");
    // Kept for ever once more, and again not.
    tree.set_ttl(None).unwrap();
    told.pass(1_000_000);
    tree.compact(true).unwrap();
    tree.put(&key(6), b"1").unwrap();
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    assert_eq!(rows(&tree), 2);
    tree.set_ttl(Some(TTL)).unwrap();
    told.pass(63_999);
    tree.compact(true).unwrap();
    assert_eq!(rows(&tree), 2);
    assert!(tree.set_ttl(Some(Duration::ZERO)).is_err());
    let version = tree.version();
    assert!(TreeSettings::decode(&version.options).is_ok());
}

#[test]
fn ages_outlive_an_open_and_a_filter_of_the_callers_is_asked_too() {
    use stratal_engine::{CompactionFilters, TreeOptions, Verdict};
    let told = Told::new();
    let spec = || {
        let mut rng = Rng::new(1);
        let strategy = StrategyOptions::Leveled(LeveledOptions::default());
        let options = with_strategy(&mut rng, strategy, FilterPolicy::Uniform).options().clone();
        let judge = |entry: stratal_engine::EntryRef<'_>| match entry.value {
            b"draft" => Verdict::Remove,
            _ => Verdict::Keep,
        };
        let compaction_filters = Some(CompactionFilters::of(judge));
        TreeOptions { compaction_filters, ..options }.validate().unwrap()
    };
    let tree = told.tree(1, spec());
    tree.set_ttl(Some(TTL)).unwrap();
    tree.put(&key(1), b"draft").unwrap();
    tree.put(&key(2), b"old").unwrap();
    told.pass(2_000);
    tree.put(&key(3), b"young").unwrap();
    tree.flush().unwrap();
    drop(tree);
    told.pass(62_500);
    let tree = told.tree(2, spec());
    tree.compact(true).unwrap();
    assert_eq!(tree.get(&key(2)).unwrap(), None);
    assert_eq!(tree.get(&key(1)).unwrap(), None);
    assert!(tree.get(&key(3)).unwrap().is_some());
    told.pass(1_500);
    tree.compact(false).unwrap();
    assert_eq!(rows(&tree), 0);
}
