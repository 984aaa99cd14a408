//! One tree to which a history is applied, under options of its own.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use stratal_engine::{
    Changes, Job, KeptOptions, Operation, Snapshot, Store, Tree, TreeRange, TreeSettings,
    WriteBatch,
};
use stratal_testkit::Rng;
use stratal_types::SeqNo;

use crate::{
    counts::Counts,
    forgetting::Lost,
    hook_fs::{Hook, HookFs},
    jobs::Allowed,
    opening::{open_store, open_tree},
    options,
    oracle::{BEGIN_MS, Oracle, State},
    pool,
    reads::Moment,
    world::World,
};

pub(crate) const NAME: &str = "t";

/// An iterator that began some time ago, and what it has yet to give.
pub(crate) struct HeldRows {
    pub(crate) rows: TreeRange,
    pub(crate) expected: VecDeque<(usize, State)>,
}

pub(crate) struct Open {
    pub(crate) store: Arc<Store>,
    pub(crate) tree: Arc<Tree>,
}

/// A scan of changes that began some time ago, and what it has yet to give.
pub(crate) struct HeldChanges {
    pub(crate) changes: Changes,
    pub(crate) expected: VecDeque<(SeqNo, Operation)>,
}

/// What happened at one stroke, as a scan of changes has to tell it.
pub(crate) struct Logged {
    pub(crate) first: SeqNo,
    pub(crate) operations: Vec<Operation>,
    /// All of it has the first number, and it is in tables.
    pub(crate) is_ingested: bool,
}

impl Logged {
    /// Above every number of it.
    pub(crate) fn end(&self) -> u64 {
        let count = if self.is_ingested { 1 } else { self.operations.len() as u64 };
        self.first.get() + count
    }

    /// Every operation with its number.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (SeqNo, &Operation)> {
        let next = |seqno: &SeqNo| if self.is_ingested { Some(*seqno) } else { seqno.next() };
        std::iter::successors(Some(self.first), next).zip(&self.operations)
    }
}

/// The tree, and what its owner has to remember.
#[expect(clippy::struct_excessive_bools, reason = "any tree may have any of them")]
pub(crate) struct Subject<'w> {
    pub(crate) world: &'w World,
    /// Its number among the trees of the history.
    pub(crate) number: usize,
    pub(crate) fs: HookFs,
    /// `None` only while it is opened again.
    pub(crate) open: Option<Open>,
    /// Whether any of its options may have a compaction filter.
    pub(crate) is_filtered: bool,
    /// Whether it may forget values for their age.
    pub(crate) is_aging: bool,
    /// Whether its options may let tables expire.
    pub(crate) is_expiring: bool,
    /// The time of the history, as its store is told.
    pub(crate) time: Arc<AtomicU64>,
    /// What it was told to keep of its options.
    pub(crate) kept: Option<KeptOptions>,
    /// For how long it was told to keep values.
    pub(crate) ttl: Option<Duration>,
    /// Tables that have expired.
    pub(crate) lost: Vec<Lost>,
    /// Values that were not found any more, by key and step: from which bound on.
    pub(crate) absent: BTreeMap<(usize, u64), u64>,
    /// What was found when a snapshot was taken, where tables expire: it is what is found at it.
    pub(crate) seen: BTreeMap<u64, Vec<(usize, State)>>,
    /// Whether it never merges everything, so that old versions lie deep for long.
    pub(crate) is_patient: bool,
    /// The number of the history, and the step that is under way, for whoever is told of a mismatch.
    pub(crate) place: (u64, usize),
    /// The first step that no read sees yet.
    pub(crate) now: u64,
    pub(crate) counts: Counts,
    /// By number; those that the tree has forgotten by being opened again are not here.
    pub(crate) snapshots: BTreeMap<u64, Snapshot>,
    pub(crate) held_rows: Vec<HeldRows>,
    /// What a key's version was found to be, where a filter may have judged it: it stays that, or
    /// becomes what the filter makes of it.
    pub(crate) judged: BTreeMap<(usize, u64), State>,
    pub(crate) held_jobs: Vec<Job>,
    pub(crate) held_changes: Vec<HeldChanges>,
    /// Who holds history, and from which step on.
    pub(crate) holders: BTreeMap<&'static str, u64>,
    /// The bound of reads that see all steps below, ascending.
    pub(crate) marks: Vec<(u64, SeqNo)>,
    /// Everything that may not be in tables, as a log would hold it, or that a scan of changes may ask
    /// for.
    pub(crate) log: VecDeque<Logged>,
    pub(crate) opened: u64,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((seed, step), number) = (self.place, self.number);
        write!(f, "history {seed}, step {step}, tree {number}")
    }
}

/// Something that is done to a tree, in the midst of a job or between jobs.
pub(crate) type Deed = Box<dyn FnOnce(&Tree) + Send>;

/// In the midst of what something may be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum During {
    Any,
    /// Not of a flush, for which an ingestion would wait.
    Merge,
}

impl<'w> Subject<'w> {
    pub(crate) fn new(world: &'w World, seed: u64, number: usize) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(31).wrapping_add(number as u64));
        let fs = HookFs::new();
        // The first tree of a history has no filter, so that it is known exactly.
        let is_filtered = world.is_filtered && number > 0;
        let is_expiring = world.is_expiring && number > 0;
        let time = Arc::new(AtomicU64::new(BEGIN_MS));
        let store = open_store(&fs, seed, 0, &time, pool::draw(&mut rng));
        let settings = TreeSettings {
            merge_operator: world.has_operands().then(|| world.operator.name().to_owned()),
            ..TreeSettings::default()
        };
        store.create_tree(NAME, world.comparator.name(), &settings.encode()).unwrap();
        let tree = open_tree(&store, options::draw(&mut rng, is_filtered, is_expiring));
        let visible = store.clock().visible();
        Self {
            world,
            number,
            fs,
            open: Some(Open { store, tree }),
            is_filtered,
            is_aging: world.is_aging && number > 0,
            is_expiring,
            time,
            kept: None,
            ttl: None,
            lost: Vec::new(),
            absent: BTreeMap::new(),
            seen: BTreeMap::new(),
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
        let operations = operations.to_vec();
        for operation in &operations {
            self.counts.add(match operation {
                Operation::Put { .. } => "put",
                Operation::Delete { .. } => "delete",
                Operation::WeakDelete { .. } => "weak delete",
                Operation::Merge { .. } => "merge",
                Operation::DeleteRange { .. } => "range delete",
                other => panic!("{other:?}"),
            });
        }
        let end = first.get() + operations.len() as u64;
        self.log.push_back(Logged { first, operations, is_ingested: false });
        let bound = self.do_inside(inside, During::Any, move |tree| tree.write(&batch).unwrap());
        assert_eq!(bound.get(), end, "{self}: one writer, so numbers follow one another");
        self.marks.push((now + 1, bound));
    }

    /// Takes a range out of the tree in step `now`, and the tables in it that nobody reads.
    pub(crate) fn drop_range(&mut self, from: &[u8], to: &[u8], now: u64) {
        let first = self.store().clock().next();
        let operation = Operation::DeleteRange { from: from.to_vec(), to: to.to_vec() };
        let operations = vec![operation];
        self.log.push_back(Logged { first, operations, is_ingested: false });
        self.tree().drop_range(from, to).unwrap();
        self.marks.push((now + 1, self.store().clock().visible()));
        self.counts.add("drop of a range");
    }

    /// Takes a snapshot, whose number is the step's.
    pub(crate) fn take_snapshot(&mut self, oracle: &Oracle<'_>, inside: Option<u64>) {
        let number = oracle.now;
        let snapshot = self.do_inside(inside, During::Any, Tree::snapshot);
        if self.is_expiring && !self.is_aging && !self.is_filtered {
            let moment = Moment { bound: number, snapshot: Some(&snapshot) };
            let seen = self.observe(oracle, moment);
            self.seen.insert(number, seen);
        }
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
        while self.log.front().is_some_and(|logged| logged.end() <= flushed.get()) {
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
        self.absent.retain(|(_, at), _| *at + 1000 > bound);
        self.seen.retain(|number, _| self.snapshots.contains_key(number));
    }

    /// Does `deed`, and with a seed does so while a job of this tree writes its tables.
    pub(crate) fn do_inside<T: Send + 'static>(
        &mut self,
        inside: Option<u64>,
        during: During,
        deed: impl FnOnce(&Tree) -> T + Send + 'static,
    ) -> T {
        let Some(seed) = inside else { return deed(self.tree()) };
        let mut rng = self.rng(seed);
        let major = || if self.is_patient { None } else { self.tree().plan_major() };
        let merge = || self.tree().plan().or_else(major);
        let is_flush = during == During::Any && rng.chance(1, 2);
        let job = if is_flush { None } else { merge() };
        let is_flush = job.is_none();
        if is_flush && during == During::Merge {
            return deed(self.tree());
        }
        let follows = rng.chance(1, 3);
        let done = Arc::new(Mutex::new(None));
        let deed: Deed = {
            let done = Arc::clone(&done);
            Box::new(move |tree| {
                *done.lock().unwrap() = Some(deed(tree));
                if follows && is_flush {
                    // One of the tables that are not there yet is not among them.
                    if let Some(job) = tree.plan() {
                        // Of what goes its owner has to know.
                        if job.kind.removes() {
                            tree.give_back(&job);
                        } else {
                            tree.run(&job).unwrap();
                        }
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
            Some(job) => {
                self.note_loss(&job, true);
                self.run(&job, Allowed::Stale);
            }
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
                self.keep_otherwise(&mut rng);
            }
            82..94 => self.stop_midway(&mut rng),
            94..96 => self.reopen(&mut rng),
            96..98 => self.hold_history(&mut rng),
            _ => {
                let pressure = self.tree().pressure();
                assert!(pressure.debt < u64::MAX, "{self}: {pressure:?}");
            }
        }
    }

    /// Whether what reads find is known exactly.
    pub(crate) fn is_exact(&self) -> bool {
        !self.is_filtered && !self.is_aging && !self.is_expiring
    }

    pub(crate) fn flush(&mut self) {
        self.tree().flush().unwrap();
        self.counts.add("flush");
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
}
