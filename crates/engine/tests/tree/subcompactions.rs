//! Merges that are done in parts.

use std::{
    sync::{Arc, OnceLock},
    thread,
};

use stratal_engine::{
    BlockPool, CompactionFilters, EntryRef, Error, Helpers, Job, JobSummary, Snapshot, Store, Tree,
    TreeOptions, TreeSpec, Verdict,
};
use stratal_fs::{
    Access, Fs, MemFs, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_manifest::FileName;
use stratal_sst::{FileSource, Table, TableContext};
use stratal_testkit::Rng;
use stratal_types::Fragments;

use crate::support::{Reference, check, open_store_with, open_tree, small, write};

/// A thread for each job.
#[derive(Debug)]
pub(crate) struct Threads;

impl BlockPool for Threads {
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        thread::spawn(job);
    }
}

/// Every version of a run in order, and its range tombstones.
#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    entries: Vec<(Vec<u8>, u64, u8, Vec<u8>)>,
    tombstones: Fragments,
}

/// What the runs of a tree hold, whatever tables it is in.
fn contents(fs: &dyn Fs, tree: &Tree) -> Vec<(usize, u64, Contents)> {
    let context =
        TableContext { comparator: Arc::clone(tree.comparator()), ..TableContext::default() };
    let mut runs = Vec::new();
    for (level, of_level) in tree.version().levels.iter().enumerate() {
        for run in &of_level.runs {
            let mut contents = Contents::default();
            for meta in run.tables.iter() {
                let path = format!("/db/{}", FileName::Table(meta.number));
                let file = fs.open(path.as_ref(), Access::Read).unwrap();
                let source = Arc::new(FileSource::new(file).unwrap());
                let table = Table::open(&context, source).unwrap();
                contents.add(&table);
            }
            runs.push((level, run.age, contents));
        }
    }
    runs
}

impl Contents {
    fn add(&mut self, table: &Table) {
        use stratal_types::Cursor;
        let mut cursor = table.scanner();
        cursor.advance().unwrap();
        while let Some(EntryRef { key, trailer, value }) = cursor.entry() {
            let (seqno, kind) = (trailer.seqno().get(), trailer.kind() as u8);
            self.entries.push((key.to_vec(), seqno, kind, value.to_vec()));
            cursor.advance().unwrap();
        }
        // Those that are cut, where one table ends and the next begins, are put together.
        let here = table.tombstones().unwrap();
        self.tombstones = Fragments::merge([&self.tombstones, &*here], table.comparator());
    }
}

/// A tree with a history of its own.
struct Grown {
    store: Arc<Store>,
    tree: Arc<Tree>,
    reference: Reference,
    snapshots: Vec<Snapshot>,
}

/// The same for the same seed: tables in several levels, snapshots, and something to merge.
fn grown(fs: Arc<dyn Fs>, seed: u64, comparator: &str, pool: Option<Arc<dyn BlockPool>>) -> Grown {
    let mut rng = Rng::new(seed);
    let (store, _) = open_store_with(fs, seed, pool).unwrap();
    let spec = in_parts(&small(&mut rng), 1, &mut rng);
    let tree = open_tree(&store, comparator, spec).unwrap();
    let mut reference = Reference::new(comparator);
    let mut snapshots = Vec::new();
    for _ in 0..3 + rng.index(8) {
        for _ in 0..rng.index(30) {
            write(&tree, &mut reference, &mut rng).unwrap();
        }
        if rng.chance(1, 4) {
            snapshots.push(tree.snapshot());
        }
        tree.flush().unwrap();
        if rng.chance(1, 4) {
            tree.compact(rng.chance(1, 3)).unwrap();
        }
    }
    Grown { store, tree, reference, snapshots }
}

/// The same options with so many parts, however little there is to merge; sometimes with a filter that
/// gives every verdict.
fn in_parts(spec: &TreeSpec, max_subcompactions: usize, rng: &mut Rng) -> TreeSpec {
    let judge = |entry: EntryRef<'_>| match entry.value.first() {
        Some(0..=20) => Verdict::Remove,
        Some(21..=40) => Verdict::Replace(entry.value[1..].to_vec()),
        Some(41..=60) => Verdict::Destroy,
        _ => Verdict::Keep,
    };
    let options = spec.options().clone();
    let compaction_filters = match max_subcompactions {
        // Not while the tree grows, which is compared with the model.
        1 => None,
        _ => rng.chance(1, 3).then(|| CompactionFilters::of(judge)),
    };
    let options =
        TreeOptions { max_subcompactions, subcompaction_len_min: 1, compaction_filters, ..options };
    options.validate().unwrap()
}

#[test]
fn a_merge_in_parts_leaves_what_an_undivided_one_leaves() {
    let (mut parts, mut jobs, mut cut_tombstones) = (0, 0, 0);
    for seed in 0..240 {
        let comparator = ["bytewise", "reverse", "shortlex"][(seed % 3) as usize];
        let pool = (seed % 2 == 0).then(|| Arc::new(Threads) as Arc<dyn BlockPool>);
        let disks = [Arc::new(MemFs::new()), Arc::new(MemFs::new())];
        // With the same threads: blocks that are under way count for where a table is cut.
        let whole = grown(disks[0].clone(), seed, comparator, pool.clone());
        let divided = grown(disks[1].clone(), seed, comparator, pool);
        let mut rng = Rng::new(seed ^ 0x55);
        let count = 2 + rng.index(5);
        let spec = in_parts(&divided.tree.spec(), count, &mut rng);
        let undivided = TreeOptions { max_subcompactions: 1, ..spec.options().clone() };
        whole.tree.set_spec(undivided.validate().unwrap()).unwrap();
        divided.tree.set_spec(spec.clone()).unwrap();
        let is_major = rng.chance(1, 2);
        let done = [&whole, &divided].map(|grown| {
            let planned = if is_major { grown.tree.plan_major() } else { grown.tree.plan() };
            planned.map(|job| (grown.tree.run(&job).unwrap(), job))
        });
        let [Some((_, job)), Some((JobSummary { parts: of_job, outputs, .. }, same))] = done else {
            continue;
        };
        let context = format!("seed {seed}, {comparator}, {:?} into {:?}", job.inputs, job.output);
        assert_eq!((&job.inputs, job.output), (&same.inputs, same.output), "{context}");
        let found = contents(disks[1].as_ref(), &divided.tree);
        assert_eq!(contents(disks[0].as_ref(), &whole.tree), found, "{context}");
        jobs += 1;
        parts += of_job;
        if outputs > 1 && found.iter().any(|(.., run)| !run.tombstones.is_empty()) {
            cut_tombstones += 1;
        }
        if spec.options().compaction_filters.is_none() {
            let Grown { tree, reference, snapshots, .. } = &divided;
            check(tree, reference, None, &mut rng, &context);
            for snapshot in snapshots {
                check(tree, reference, Some(snapshot), &mut rng, &context);
            }
        }
    }
    println!("{jobs} merges in {parts} parts, {cut_tombstones} with range tombstones");
    assert!(jobs > 100 && parts > 2 * jobs && cut_tombstones > 20);
}

/// The files of tables that are there, and those that the version names.
fn files(fs: &dyn Fs, tree: &Tree) -> [Vec<String>; 2] {
    let there = fs.list("/db/tables".as_ref()).unwrap().into_iter();
    let there = there.map(|entry| format!("tables/{}", entry.name.into_string().unwrap()));
    let version = tree.version();
    let runs = version.levels.iter().flat_map(|level| &level.runs);
    let named = runs.flat_map(|run| run.tables.iter());
    let named = named.map(|table| FileName::Table(table.number).to_string());
    [there.collect(), named.collect()].map(|mut names: Vec<String>| {
        names.sort();
        names
    })
}

/// A tree with a merge that is worth several parts, planned.
fn about_to_merge(fs: &SimFs, pool: Option<Arc<dyn BlockPool>>) -> (Grown, Job) {
    static SEED: OnceLock<u64> = OnceLock::new();
    let plan = |fs: &SimFs, seed, pool| {
        let grown = grown(Arc::new(fs.clone()), seed, "bytewise", pool);
        let spec = in_parts(&grown.tree.spec(), 5, &mut Rng::new(2));
        let options = TreeOptions { compaction_filters: None, ..spec.options().clone() };
        grown.tree.set_spec(options.validate().unwrap()).unwrap();
        let job = grown.tree.plan_major();
        job.map(|job| (grown, job))
    };
    let is_worth_it = |seed: &u64| {
        let planned = plan(&SimFs::new(*seed), *seed, None);
        planned.is_some_and(|(grown, job)| grown.tree.run(&job).unwrap().parts > 3)
    };
    let seed = *SEED.get_or_init(|| (0..100).find(is_worth_it).unwrap());
    plan(fs, seed, pool).unwrap()
}

/// Runs the merge with `fault`: it is done, or the tree is as before and no file is there that is not
/// the tree's. Returns whether it was done, and how many operations that took.
fn merge_with(fault: Option<Fault>, pool: Option<Arc<dyn BlockPool>>) -> (bool, u64) {
    let fs = SimFs::new(12);
    let (Grown { store, tree, reference, snapshots }, job) = about_to_merge(&fs, pool);
    let context = format!("{fault:?}");
    let before = contents(&fs, &tree);
    let [_, named_before] = files(&fs, &tree);
    let first = fs.op_count();
    let is_faulty = fault.is_some();
    if let Some(fault) = fault {
        fs.inject(fault);
    }
    let done = tree.run(&job);
    let ops = fs.op_count() - first;
    fs.clear_faults();
    let [there, named] = files(&fs, &tree);
    match &done {
        Ok(summary) => assert!(summary.parts > 3, "{context}"),
        Err(error) => {
            assert!(!matches!(error, Error::Stopped | Error::StaleJob(_)), "{context}: {error}");
            assert_eq!(contents(&fs, &tree), before, "{context}");
            assert_eq!(named, named_before, "{context}");
        }
    }
    let mut rng = Rng::new(1);
    check(&tree, &reference, None, &mut rng, &context);
    // What may have failed beside the job: that files were removed, and that nobody knows whether the
    // edit is durable. The next change settles that.
    assert!(named.iter().all(|name| there.contains(name)), "{context}");
    let again = done.is_err().then(|| tree.plan_major().unwrap());
    assert!(again.as_ref().is_none_or(|again| *again == job), "{context}: its claim is back");
    if let Some(job) = again {
        assert!(tree.run(&job).unwrap().parts > 3, "{context}");
    }
    for snapshot in &snapshots {
        check(&tree, &reference, Some(snapshot), &mut rng, &context);
    }
    // A file that could not be removed is left for the next open.
    let [there, named] = files(&fs, &tree);
    assert!(there.len() - named.len() <= usize::from(is_faulty), "{context}");
    drop((tree, snapshots, store));
    let (store, report) = crate::support::open_store(Arc::new(fs.clone()), 99).unwrap();
    store.remove_orphans(&report, &std::collections::BTreeSet::new()).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut rng)).unwrap();
    let [there, named] = files(&fs, &tree);
    assert_eq!(there, named, "{context}");
    check(&tree, &reference, None, &mut rng, &context);
    (done.is_ok(), ops)
}

#[test]
fn a_fault_at_any_operation_of_a_merge_in_parts_leaves_it_done_or_not_begun() {
    let (is_done, ops) = merge_with(None, None);
    assert!(is_done);
    let base = {
        let fs = SimFs::new(12);
        let (Grown { tree, .. }, _) = about_to_merge(&fs, None);
        // What the run does before the merge.
        contents(&fs, &tree);
        files(&fs, &tree);
        fs.op_count()
    };
    let (mut done, mut undone) = (0, 0);
    for op in base..base + ops {
        for error in [OsError::Io, OsError::NoSpace] {
            let kinds = [FaultKind::Error(error), FaultKind::ErrorWhenDone(error)];
            for kind in kinds {
                let (is_done, _) = merge_with(Some(Fault::at(op, kind)), None);
                done += u32::from(is_done);
                undone += u32::from(!is_done);
            }
        }
    }
    println!("{ops} operations; {undone} merges failed, {done} did not");
    // Of what comes after a merge is installed, such as opening its tables, nothing fails it.
    assert!(undone * 2 > done && done > 0, "{undone} {done}");
}

#[test]
fn a_fault_in_one_of_several_threads_ends_them_all() {
    let mut undone = 0;
    for after in 0..12 {
        for kind in [OpKind::Create, OpKind::Write, OpKind::SyncAll] {
            let fault = Fault::on(kind, FaultKind::Error(OsError::NoSpace)).after(after);
            let (is_done, _) = merge_with(Some(fault), Some(Arc::new(Threads)));
            undone += u32::from(!is_done);
        }
    }
    assert!(undone > 10, "{undone}");
}

#[test]
fn a_compaction_that_somebody_waits_for_is_divided_among_those_who_help() {
    let mut divided_ones = 0;
    for seed in 0..20 {
        let disks = [Arc::new(MemFs::new()), Arc::new(MemFs::new())];
        let [alone, helped] = [0, 1].map(|at| grown(disks[at].clone(), seed, "bytewise", None));
        let helpers = Helpers { pool: Arc::new(Threads), count: 2 };
        let by_one = alone.tree.compact(true).unwrap();
        let by_three = helped.tree.compact_with(true, Some(&helpers)).unwrap();
        assert!(by_one.parts <= by_three.parts, "seed {seed}");
        divided_ones += u32::from(by_one.parts < by_three.parts);
        let found = contents(disks[1].as_ref(), &helped.tree);
        assert_eq!(contents(disks[0].as_ref(), &alone.tree), found, "seed {seed}");
        // What was replaced went before the call came back.
        let [there, named] = files(disks[1].as_ref(), &helped.tree);
        assert_eq!(there, named, "seed {seed}");
        check(&helped.tree, &helped.reference, None, &mut Rng::new(seed), &format!("seed {seed}"));
    }
    assert!(divided_ones > 5, "{divided_ones}");
}
