//! Opens of a tree, and what is left behind on the disk.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stratal_compaction::plan::JobKind;
use stratal_engine::{BlockPool, KeptOptions, Store, StoreContext, Tree, TreeSpec};
use stratal_testkit::Rng;

use crate::{
    hook_fs::{Hook, HookFs, files_in},
    jobs::Allowed,
    operators, options, pool,
    subject::{Logged, NAME, Open, Subject},
};

impl Subject<'_> {
    /// Closes the tree, or lets it go as it is, and opens it again with what a log would have.
    pub(crate) fn reopen(&mut self, rng: &mut Rng) {
        self.held_rows.clear();
        self.held_changes.clear();
        self.held_jobs.clear();
        self.snapshots.clear();
        let next = self.store().clock().next();
        if rng.chance(1, 2) {
            self.flush();
        }
        let Open { store, tree } = self.open.take().expect("it is open");
        drop(tree);
        let store = Arc::into_inner(store).expect("nobody else has the store");
        if rng.chance(1, 2) {
            store.close().unwrap();
        } else {
            drop(store);
        }
        self.opened += 1;
        let pool = pool::draw(rng);
        let store = open_store(&self.fs, self.place.0, self.opened, &self.time, pool);
        let tree = open_tree(&store, self.draw_spec(&store, rng));
        assert_eq!(tree.ttl(), self.ttl, "{self}");
        self.open = Some(Open { store, tree });
        let flushed = self.tree().flushed();
        let mut replayed = 0;
        self.store().clock().raise(next);
        for Logged { first, operations, .. } in self.log.iter().filter(|some| !some.is_ingested) {
            self.tree().apply(operations, *first).unwrap();
            if self.tree().is_full() {
                self.tree().seal();
            }
            replayed += u64::from(*first >= flushed);
        }
        self.store().clock().publish(next);
        self.counts.add("opened again");
        if replayed > 0 {
            self.counts.add("opened again, with changes from a log");
        }
    }

    /// Options that the tree is opened with: any, or those that it was told to keep.
    fn draw_spec(&mut self, store: &Store, rng: &mut Rng) -> TreeSpec {
        let spec = options::draw(rng, self.is_filtered, self.is_expiring);
        let id = store.version().tree_named(NAME).expect("the tree is there").id;
        let stored = store.settings(id).unwrap().options;
        assert_eq!(stored, self.kept, "{self}");
        let kept = store.kept_options(id, spec.options()).unwrap();
        match kept.filter(|_| rng.chance(1, 2)) {
            Some(kept) => {
                assert_eq!(Some(KeptOptions::of(&kept)), self.kept, "{self}");
                self.counts.add("opened with kept options");
                kept.validate().unwrap()
            }
            None => spec,
        }
    }

    /// Other options from now on, perhaps at the second attempt.
    pub(crate) fn keep_otherwise(&mut self, rng: &mut Rng) {
        let spec = options::draw(rng, self.is_filtered, self.is_expiring);
        let kept = KeptOptions::of(spec.options());
        if rng.chance(1, 6) {
            let before = KeptOptions::of(self.tree().spec().options());
            self.fs.arm(rng.below(4), Hook::Fail);
            let done = self.tree().set_spec(spec.clone());
            self.fs.disarm();
            if done.is_err() {
                let now = KeptOptions::of(self.tree().spec().options());
                assert_eq!(now, before, "{self}");
                self.counts.add("other options that failed");
            }
        }
        self.tree().set_spec(spec).unwrap();
        self.kept = Some(kept);
        self.counts.add("other options");
    }

    /// Ends everything that is under way, opens the tree again and looks at what is left behind: the
    /// tables' files, and in them, if `rows` is known, as many rows as reads find.
    pub(crate) fn check_files(&mut self, rng: &mut Rng, rows: Option<usize>) {
        for job in std::mem::take(&mut self.held_jobs) {
            self.tree().give_back(&job);
        }
        for holder in std::mem::take(&mut self.holders).into_keys() {
            assert!(self.store().release_history(holder).unwrap(), "{self}: {holder}");
        }
        self.reopen(rng);
        self.settle(true);
        let tables = self.tree().version().tables().count();
        let files = files_in(&self.fs, "/db/tables");
        assert_eq!(files.len(), tables, "{self}: {files:?}");
        // Nobody reads the past: one merge of everything leaves rows and nothing else.
        self.flush();
        let version = self.tree().version();
        let numbers: Vec<u64> = version.tables().map(|(_, table)| table.number).collect();
        let last = version.levels.len().saturating_sub(1);
        if let Ok(job) = self.tree().plan_tables(&numbers, last)
            && job.kind == JobKind::Compact
        {
            self.run(&job, Allowed::Success);
            let levels = self.tree().stats().levels;
            let entries: u64 = levels.iter().map(|level| level.entries).sum();
            let tombstones: u64 = levels.iter().map(|level| level.range_tombstones).sum();
            assert_eq!(tombstones, 0, "{self}: {levels:?}");
            if let Some(rows) = rows {
                assert_eq!(entries, rows as u64, "{self}: {levels:?}");
            }
            self.counts.add("last merge of everything");
        }
    }
}

pub(crate) fn open_store(
    fs: &HookFs,
    seed: u64,
    opened: u64,
    time: &Arc<AtomicU64>,
    pool: Option<Arc<dyn BlockPool>>,
) -> Arc<Store> {
    let count = AtomicU64::new(0);
    let unique = Arc::new(move || {
        let count = count.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(seed ^ opened.rotate_left(40)).to_le_bytes());
        bytes[8..].copy_from_slice(&count.to_le_bytes());
        bytes
    });
    let mut context = StoreContext::new(Arc::new(fs.clone()), "/db", 1 << 20, unique);
    context.operators = Arc::new(operators::named);
    let time = Arc::clone(time);
    context.time = Arc::new(move || time.load(Ordering::Relaxed));
    context.pool = pool;
    let (store, report) = Store::open(context).unwrap();
    store.remove_orphans(&report, &BTreeSet::new()).unwrap();
    store
}

pub(crate) fn open_tree(store: &Arc<Store>, spec: TreeSpec) -> Arc<Tree> {
    let id = store.version().tree_named(NAME).expect("the tree is there").id;
    Tree::open(store, id, spec).unwrap()
}
