//! One tree to which a history is applied, under options of its own.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use stratal_compaction::plan::JobKind;
use stratal_engine::{
    Changes, Error, Job, Operation, Snapshot, Store, StoreContext, Tree, TreeRange, TreeSettings,
    WriteBatch,
};
use stratal_testkit::Rng;
use stratal_types::SeqNo;

use crate::{
    counts::Counts,
    hook_fs::{Hook, HookFs, files_in},
    operators, options,
    oracle::State,
    world::World,
};

const NAME: &str = "t";

/// An iterator that began some time ago, and what it has yet to give.
pub(crate) struct HeldRows {
    pub(crate) rows: TreeRange,
    pub(crate) expected: VecDeque<(usize, State)>,
}

struct Open {
    store: Arc<Store>,
    tree: Arc<Tree>,
}

/// A scan of changes that began some time ago, and what it has yet to give.
pub(crate) struct HeldChanges {
    pub(crate) changes: Changes,
    pub(crate) expected: VecDeque<(SeqNo, Operation)>,
}

/// The tree, and what its owner has to remember.
pub(crate) struct Subject<'w> {
    pub(crate) world: &'w World,
    /// Its number among the trees of the history.
    pub(crate) number: usize,
    pub(crate) fs: HookFs,
    /// `None` only while it is opened again.
    open: Option<Open>,
    /// Whether any of its options may have a compaction filter.
    pub(crate) is_filtered: bool,
    /// Whether it never merges everything, so that old versions lie deep for long.
    is_patient: bool,
    /// The number of the history, and the step that is under way, for whoever is told of a mismatch.
    pub(crate) place: (u64, usize),
    /// The first step that no read sees yet.
    now: u64,
    pub(crate) counts: Counts,
    /// By number; those that the tree has forgotten by being opened again are not here.
    pub(crate) snapshots: BTreeMap<u64, Snapshot>,
    pub(crate) held_rows: Vec<HeldRows>,
    /// What a key's version was found to be, where a filter may have judged it: it stays that, or
    /// becomes what the filter makes of it.
    pub(crate) judged: BTreeMap<(usize, u64), State>,
    held_jobs: Vec<Job>,
    pub(crate) held_changes: Vec<HeldChanges>,
    /// Who holds history, and from which step on.
    pub(crate) holders: BTreeMap<&'static str, u64>,
    /// The bound of reads that see all steps below, ascending.
    marks: Vec<(u64, SeqNo)>,
    /// Everything that may not be in tables, as a log would hold it, or that a scan of changes may ask
    /// for.
    pub(crate) log: VecDeque<(SeqNo, Vec<Operation>)>,
    opened: u64,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((seed, step), number) = (self.place, self.number);
        write!(f, "history {seed}, step {step}, tree {number}")
    }
}

/// Something that is done to a tree, in the midst of a job or between jobs.
pub(crate) type Deed = Box<dyn FnOnce(&Tree) + Send>;

/// What can come of a job that was begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// It is done.
    Success,
    /// It is done, or does not fit any more.
    Stale,
}

/// Jobs until a tree must be at rest.
const JOBS_MAX: usize = 3000;

impl<'w> Subject<'w> {
    pub(crate) fn new(world: &'w World, seed: u64, number: usize) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(31).wrapping_add(number as u64));
        let fs = HookFs::new();
        // The first tree of a history has no filter, so that it is known exactly.
        let is_filtered = world.is_filtered && number > 0;
        let store = open_store(&fs, seed, 0);
        let settings = TreeSettings {
            merge_operator: Some(world.operator.name().to_owned()),
            ..TreeSettings::default()
        };
        store.create_tree(NAME, world.comparator.name(), &settings.encode()).unwrap();
        let tree = open_tree(&store, &mut rng, is_filtered);
        let visible = store.clock().visible();
        Self {
            world,
            number,
            fs,
            open: Some(Open { store, tree }),
            is_filtered,
            is_patient: rng.chance(1, 2),
            place: (seed, 0),
            now: 0,
            counts: Counts::default(),
            snapshots: BTreeMap::new(),
            held_rows: Vec::new(),
            judged: BTreeMap::new(),
            held_jobs: Vec::new(),
            held_changes: Vec::new(),
            holders: BTreeMap::new(),
            marks: vec![(0, visible)],
            log: VecDeque::new(),
            opened: 0,
        }
    }

    pub(crate) fn tree(&self) -> &Arc<Tree> {
        &self.open.as_ref().expect("it is open").tree
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.open.as_ref().expect("it is open").store
    }

    /// The part of a step's seed that is this tree's.
    pub(crate) fn rng(&self, seed: u64) -> Rng {
        Rng::new(seed ^ (self.number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Writes a batch in step `now`; with a seed, in the midst of a job.
    pub(crate) fn write(&mut self, operations: &[Operation], now: u64, inside: Option<u64>) {
        let mut batch = WriteBatch::new();
        for operation in operations {
            batch.push(operation.clone());
        }
        let first = self.store().clock().next();
        self.log.push_back((first, operations.to_vec()));
        let bound = self.do_inside(inside, move |tree| tree.write(&batch).unwrap());
        assert_eq!(
            bound.get(),
            first.get() + operations.len() as u64,
            "{self}: one writer, so numbers follow one another"
        );
        self.marks.push((now + 1, bound));
        for operation in operations {
            self.counts.add(match operation {
                Operation::Put { .. } => "put",
                Operation::Delete { .. } => "delete",
                Operation::WeakDelete { .. } => "weak delete",
                Operation::Merge { .. } => "merge",
                Operation::DeleteRange { .. } => "range delete",
                other => panic!("{other:?}"),
            });
        }
    }

    /// Takes a range out of the tree in step `now`, and the tables in it that nobody reads.
    pub(crate) fn drop_range(&mut self, from: &[u8], to: &[u8], now: u64) {
        let first = self.store().clock().next();
        let operation = Operation::DeleteRange { from: from.to_vec(), to: to.to_vec() };
        self.log.push_back((first, vec![operation]));
        self.tree().drop_range(from, to).unwrap();
        self.marks.push((now + 1, self.store().clock().visible()));
        self.counts.add("drop of a range");
    }

    /// Takes the snapshot `number`.
    pub(crate) fn take_snapshot(&mut self, number: u64, inside: Option<u64>) {
        let snapshot = self.do_inside(inside, Tree::snapshot);
        self.snapshots.insert(number, snapshot);
        self.counts.add("snapshot");
    }

    /// The bound of reads that see all steps below `step`.
    pub(crate) fn mark(&self, step: u64) -> SeqNo {
        let behind = self.marks.partition_point(|(at, _)| *at <= step);
        self.marks[behind - 1].1
    }

    /// Forgets what no read below the step `bound` needs any more.
    pub(crate) fn forget(&mut self, bound: u64) {
        let behind = self.marks.partition_point(|(at, _)| *at <= bound);
        self.marks.drain(..behind - 1);
        let flushed = self.tree().flushed().min(self.mark(bound));
        while let Some((first, operations)) = self.log.front()
            && first.get() + operations.len() as u64 <= flushed.get()
        {
            self.log.pop_front();
        }
        // Whoever holds on to something older lets go of it.
        let mark = self.mark(bound);
        let late = |(_, from): &(&&str, &mut u64)| **from < bound;
        for (holder, from) in self.holders.iter_mut().filter(late) {
            *from = bound;
            let store = &self.open.as_ref().expect("it is open").store;
            store.advance_history(holder, mark).unwrap();
        }
        self.judged.retain(|(_, at), _| *at + 1000 > bound);
    }

    /// Does `deed`, and with a seed does so while a job of this tree writes its tables.
    fn do_inside<T: Send + 'static>(
        &mut self,
        inside: Option<u64>,
        deed: impl FnOnce(&Tree) -> T + Send + 'static,
    ) -> T {
        let Some(seed) = inside else { return deed(self.tree()) };
        let mut rng = self.rng(seed);
        let major = || if self.is_patient { None } else { self.tree().plan_major() };
        let merge = || self.tree().plan().or_else(major);
        let job = if rng.chance(1, 2) { None } else { merge() };
        let is_flush = job.is_none();
        let follows = rng.chance(1, 3);
        let done = Arc::new(Mutex::new(None));
        let deed: Deed = {
            let done = Arc::clone(&done);
            Box::new(move |tree| {
                *done.lock().unwrap() = Some(deed(tree));
                if follows && is_flush {
                    // One of the tables that are not there yet is not among them.
                    if let Some(job) = tree.plan() {
                        tree.run(&job).unwrap();
                    }
                } else if follows {
                    tree.flush().unwrap();
                }
            })
        };
        let deed = Arc::new(Mutex::new(Some(deed)));
        let call = {
            let (tree, deed) = (Arc::clone(self.tree()), Arc::clone(&deed));
            move || {
                let deed = deed.lock().unwrap().take();
                if let Some(deed) = deed {
                    deed(&tree);
                }
            }
        };
        self.fs.arm(rng.below(8), Hook::Call(Box::new(call)));
        match job {
            Some(job) => self.run(&job, Allowed::Stale),
            None => drop(self.tree().flush().unwrap()),
        }
        if self.fs.disarm() {
            // The job was too short.
            let deed = deed.lock().unwrap().take();
            if let Some(deed) = deed {
                deed(self.tree());
            }
        } else {
            self.counts.add("in the midst of a job");
        }
        let done = done.lock().unwrap().take();
        done.expect("the deed is done")
    }

    /// Something that changes where the data lies, and nothing that reads find.
    pub(crate) fn work(&mut self, now: u64, seed: u64) {
        self.now = now;
        let mut rng = self.rng(seed);
        match rng.below(100) {
            0..20 => self.flush(),
            20..24 => {
                self.tree().seal();
                self.counts.add("seal");
            }
            24..28 => {
                let last = self.marks.last().map_or(0, |last| last.0);
                let bound = self.mark(last.saturating_sub(rng.below(3)));
                self.tree().flush_sealed_to(bound).unwrap();
                self.counts.add("flush to a bound");
            }
            28..46 => self.plan_and_run(false),
            46..50 => self.plan_and_run(!self.is_patient),
            50..56 => self.merge_chosen_tables(&mut rng),
            56..62 => {
                if let Some(job) = self.tree().plan() {
                    self.held_jobs.push(job);
                    self.counts.add("job held back");
                }
            }
            62..72 => self.run_held(&mut rng),
            72..77 => {
                let is_major = !self.is_patient && rng.chance(1, 3);
                self.settle(is_major);
            }
            77..82 => {
                self.tree().set_spec(options::draw(&mut rng, self.is_filtered)).unwrap();
                self.counts.add("other options");
            }
            82..94 => self.stop_midway(&mut rng),
            94..97 => self.reopen(&mut rng),
            97 => self.hold_history(&mut rng),
            _ => {
                let pressure = self.tree().pressure();
                assert!(pressure.debt < u64::MAX, "{self}: {pressure:?}");
            }
        }
    }

    fn flush(&mut self) {
        self.tree().flush().unwrap();
        self.counts.add("flush");
    }

    fn plan_and_run(&mut self, is_major: bool) {
        let job = if is_major { self.tree().plan_major() } else { self.tree().plan() };
        if let Some(job) = job {
            self.run(&job, Allowed::Success);
            self.counts.add(if is_major { "merge towards one run" } else { "merge" });
        }
    }

    fn run(&mut self, job: &Job, allowed: Allowed) {
        match self.tree().run(job) {
            Ok(_) => {}
            Err(Error::StaleJob(_)) if allowed == Allowed::Stale => self.counts.add("stale job"),
            Err(error) => panic!("{self}: {error}: {job:?}"),
        }
        self.counts.add(match job.kind.removes() {
            true => "removal of tables",
            false if job.kind == JobKind::TrivialMove => "move",
            false => "job",
        });
    }

    /// Merges until nothing is left to do, which must come.
    pub(crate) fn settle(&mut self, is_major: bool) {
        for _ in 0..JOBS_MAX {
            let job = if is_major { self.tree().plan_major() } else { self.tree().plan() };
            let Some(job) = job else {
                self.counts.add(if is_major { "full compaction" } else { "compaction" });
                return;
            };
            self.run(&job, Allowed::Success);
        }
        panic!("{self}: {JOBS_MAX} jobs, and the tree is not at rest");
    }

    /// Tables that a caller chooses: those between one of them and another place that overlap.
    fn merge_chosen_tables(&mut self, rng: &mut Rng) {
        let version = self.tree().version();
        let order = self.world.comparator.as_ref();
        let tables: Vec<_> = version.tables().collect();
        let Some((place, first)) = tables.get(rng.index(tables.len())) else { return };
        let level = place.level as usize + rng.index(3);
        let mut chosen = BTreeSet::from([first.number]);
        if rng.chance(3, 4) {
            let mut span = first.span.clone();
            let between = |at: &stratal_manifest::Place| {
                let is_behind =
                    at.level > place.level || (at.level == place.level && at.age <= place.age);
                is_behind && at.level as usize <= level
            };
            loop {
                let before = chosen.len();
                for (at, table) in &tables {
                    if between(at)
                        && table.span.overlaps(&span, order)
                        && chosen.insert(table.number)
                    {
                        span = span.hull(&table.span, order);
                    }
                }
                if chosen.len() == before {
                    break;
                }
            }
        }
        let chosen: Vec<u64> = chosen.into_iter().collect();
        match self.tree().plan_tables(&chosen, level) {
            Ok(job) => {
                self.run(&job, Allowed::Success);
                self.counts.add("merge of chosen tables");
            }
            Err(Error::InvalidArgument(_)) => self.counts.add("refused choice of tables"),
            Err(error) => panic!("{self}: {error}"),
        }
    }

    fn run_held(&mut self, rng: &mut Rng) {
        if self.held_jobs.is_empty() {
            return;
        }
        let job = self.held_jobs.swap_remove(rng.index(self.held_jobs.len()));
        if rng.chance(1, 8) {
            self.tree().give_back(&job);
            return self.counts.add("job given back");
        }
        self.run(&job, Allowed::Stale);
        self.counts.add("held job");
    }

    /// Begins a job of which some operation of the disk fails, or that is told to end. Nothing is changed
    /// by one that ends so.
    fn stop_midway(&mut self, rng: &mut Rng) {
        let is_told = rng.chance(1, 3);
        if is_told {
            let tree = Arc::clone(self.tree());
            self.fs.arm(rng.below(8), Hook::Call(Box::new(move || tree.stop_jobs())));
        } else {
            self.fs.arm(rng.below(24), Hook::Fail);
        }
        let done = match rng.below(5) {
            0..=1 => self.tree().flush().map(drop),
            2 if !self.is_patient => self.tree().compact(true).map(drop),
            _ => self.tree().compact(false).map(drop),
        };
        self.fs.disarm();
        match done {
            Ok(()) => {}
            Err(Error::Stopped) if is_told => self.counts.add("job told to end"),
            Err(Error::Io { .. } | Error::Table { .. } | Error::Manifest(_)) if !is_told => {
                self.counts.add("job stopped midway");
            }
            Err(error) => panic!("{self}: {error}"),
        }
    }

    /// Somebody begins to hold history, goes on, or lets go.
    fn hold_history(&mut self, rng: &mut Rng) {
        let now = self.now;
        let holder = *rng.choose(&["first", "second"]);
        match self.holders.get_mut(holder) {
            None => {
                let bound = self.store().hold_history(holder).unwrap();
                assert_eq!(bound, self.mark(now), "{self}");
                self.holders.insert(holder, now);
                self.counts.add("hold of history");
            }
            Some(from) if rng.chance(1, 2) => {
                *from += rng.below(now + 1 - *from);
                let mark = self.mark(self.holders[holder]);
                self.store().advance_history(holder, mark).unwrap();
                self.counts.add("advance of history");
            }
            Some(_) => {
                self.holders.remove(holder);
                assert!(self.store().release_history(holder).unwrap(), "{self}: {holder}");
                self.counts.add("release of history");
            }
        }
    }

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
        let store = open_store(&self.fs, self.place.0, self.opened);
        let tree = open_tree(&store, rng, self.is_filtered);
        self.open = Some(Open { store, tree });
        let flushed = self.tree().flushed();
        let mut replayed = 0;
        self.store().clock().raise(next);
        for (first, operations) in &self.log {
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

fn open_store(fs: &HookFs, seed: u64, opened: u64) -> Arc<Store> {
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
    let (store, report) = Store::open(context).unwrap();
    store.remove_orphans(&report, &BTreeSet::new()).unwrap();
    store
}

fn open_tree(store: &Arc<Store>, rng: &mut Rng, is_filtered: bool) -> Arc<Tree> {
    let id = store.version().tree_named(NAME).expect("the tree is there").id;
    Tree::open(store, id, options::draw(rng, is_filtered)).unwrap()
}
