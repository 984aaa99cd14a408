//! Planners against simulated trees: every job is valid when it is planned and still when it is
//! installed, reads keep seeing the newest write, and a tree that is left alone comes to rest.
//!
//! A table of the simulation knows what it holds: cells (keys of four bytes), each with the number
//! of the write that filled or deleted it. The truth is an array with the newest write of each cell.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test may panic"
)]

use std::collections::{BTreeMap, HashMap};

use JobKind::{Compact, Flush, TrivialMove};
use stratal_compaction::plan::{
    Blocked, Claim, Invalid, Job, JobKind, Leveled, LeveledOptions, Major, Place, Reason, Run,
    Shape, Sizing, Strategy, Table,
};
use stratal_testkit::Rng;
use stratal_types::{Bytewise, CutOptions, KeyRange, OutputCutter, Piece, SeqNo};

/// Bytes of a row.
const ROW_LEN: u64 = 100;

/// What a cell got: the number of the write, and whether it was a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fill {
    write: u32,
    delete: bool,
}

type Rows = Vec<(u32, Fill)>;

fn key(cell: u32) -> Vec<u8> {
    let mut bytes = cell.to_le_bytes().to_vec();
    bytes.reverse();
    bytes
}

struct Tree {
    shape: Shape,
    rows: HashMap<u64, Rows>,
    truth: Vec<Option<Fill>>,
    next_number: u64,
    writes: u32,
    cut: CutOptions,
    running: Vec<Job>,
    rng: Rng,
    flushed_len: u64,
    merged_len: u64,
    moved_len: u64,
    jobs: BTreeMap<(Reason, &'static str), u32>,
}

impl Tree {
    fn new(cells: u32, table_len: u64, seed: u64) -> Self {
        Self {
            shape: Shape::default(),
            rows: HashMap::new(),
            truth: vec![None; cells as usize],
            next_number: 1,
            writes: 0,
            cut: CutOptions { table_len, below_len_max: 25 * table_len },
            running: Vec::new(),
            rng: Rng::new(seed),
            flushed_len: 0,
            merged_len: 0,
            moved_len: 0,
            jobs: BTreeMap::new(),
        }
    }

    fn table(&mut self, rows: Rows) -> Table {
        let (first, last) = (rows[0].0, rows[rows.len() - 1].0);
        let number = self.next_number;
        self.next_number += 1;
        let deletes = rows.iter().filter(|(_, fill)| fill.delete).count() as u64;
        let seqnos = rows.iter().map(|(_, fill)| SeqNo::from(fill.write));
        let table = Table {
            number,
            span: KeyRange::closed(key(first), key(last)),
            len: rows.len() as u64 * ROW_LEN,
            seqnos: (seqnos.clone().min().unwrap(), seqnos.max().unwrap()),
            entries: rows.len() as u64,
            deletes,
            tombstones: 0,
            busy: false,
        };
        self.rows.insert(number, rows);
        table
    }

    /// Fills `cells`, in any order, and flushes them as one table.
    fn flush(&mut self, cells: impl IntoIterator<Item = u32>, delete_percent: u64) {
        let mut rows = BTreeMap::new();
        for cell in cells {
            self.writes += 1;
            let fill = Fill { write: self.writes, delete: self.rng.chance(delete_percent, 100) };
            rows.insert(cell, fill);
            self.truth[cell as usize] = Some(fill);
        }
        let table = self.table(rows.into_iter().collect());
        let newest = self.shape.level(0).first().map_or(0, |run| run.age);
        // Ages go up also when level 0 was emptied.
        let job = Job::flush(table.span.clone(), newest.max(u64::from(self.writes)) + 1);
        self.flushed_len += table.len;
        job.check(&self.shape, &Bytewise).unwrap();
        self.shape.apply(&job, vec![table], &Bytewise);
        self.shape.watermark = SeqNo::from(self.writes + 1);
    }

    fn start(&mut self, strategy: &dyn Strategy) -> bool {
        let Some(job) = strategy.plan(&self.shape, &Bytewise) else { return false };
        job.check(&self.shape, &Bytewise).unwrap_or_else(|why| panic!("{why}: {job:?}"));
        for (_, table) in self.shape.tables() {
            assert!(!(table.busy && job.takes(table.number)), "{job:?} takes a busy table");
        }
        assert!(!self.shape.is_claimed(&job.claim(), &Bytewise));
        let how = if job.kind == JobKind::TrivialMove { "move" } else { "merge" };
        *self.jobs.entry((job.reason, how)).or_default() += 1;
        self.shape.start(&job);
        self.running.push(job);
        true
    }

    /// Installs one of the running jobs.
    fn finish_one(&mut self) {
        let job = self.running.swap_remove(self.rng.index(self.running.len()));
        // What others installed meanwhile must not have made it invalid.
        job.check(&self.shape, &Bytewise).unwrap_or_else(|why| panic!("{why}: {job:?}"));
        let outputs = match job.kind {
            JobKind::TrivialMove => self.inputs(&job),
            _ => self.merge(&job),
        };
        self.shape.stop(&job);
        self.shape.apply(&job, outputs, &Bytewise);
        self.shape.check(&Bytewise).unwrap_or_else(|why| panic!("{why} after {job:?}"));
    }

    fn inputs(&mut self, job: &Job) -> Vec<Table> {
        let inputs = self.shape.tables().filter(|(_, table)| job.takes(table.number));
        let moved: Vec<Table> =
            inputs.map(|(_, table)| Table { busy: false, ..table.clone() }).collect();
        self.moved_len += moved.iter().map(|table| table.len).sum::<u64>();
        moved
    }

    fn merge(&mut self, job: &Job) -> Vec<Table> {
        let older = job.older(&self.shape, &Bytewise);
        let fences = job.fences(&self.shape, &Bytewise);
        let inputs = self.shape.tables().filter(|(_, table)| job.takes(table.number));
        let numbers: Vec<u64> = inputs.map(|(_, table)| table.number).collect();
        let mut merged: BTreeMap<u32, Fill> = BTreeMap::new();
        for number in numbers {
            // In search order: the first one wins, right or wrong.
            for (cell, fill) in self.rows.remove(&number).unwrap() {
                merged.entry(cell).or_insert(fill);
            }
        }
        merged.retain(|cell, fill| !fill.delete || older.contains(&key(*cell), &Bytewise));
        let mut cutter = OutputCutter::new(self.cut, &fences, Piece::default(), &Bytewise);
        let mut outputs: Vec<Rows> = Vec::new();
        for (cell, fill) in merged {
            let len = outputs.last().map_or(0, Vec::len) as u64 * ROW_LEN;
            if cutter.before(&key(cell), len).is_some() || outputs.is_empty() {
                outputs.push(Vec::new());
            }
            outputs.last_mut().unwrap().push((cell, fill));
        }
        let outputs: Vec<Table> = outputs.into_iter().map(|rows| self.table(rows)).collect();
        self.merged_len += outputs.iter().map(|table| table.len).sum::<u64>();
        outputs
    }

    fn settle(&mut self, strategy: &dyn Strategy) {
        for _ in 0..100_000 {
            if !self.start(strategy) {
                if self.running.is_empty() {
                    return;
                }
                self.finish_one();
            }
        }
        panic!("the planner does not come to rest: {:?}", self.jobs);
    }

    /// What a read finds: search order decides, and numbers must fall along it.
    fn check_read(&self, cell: u32) {
        let wanted = key(cell);
        let mut found: Option<Fill> = None;
        let mut last = u32::MAX;
        for (place, run) in self.shape.runs() {
            let span = KeyRange::closed(wanted.clone(), wanted.clone());
            for table in run.overlapping(&span, &Bytewise) {
                let rows = &self.rows[&table.number];
                let Ok(at) = rows.binary_search_by_key(&cell, |(cell, _)| *cell) else { continue };
                let fill = rows[at].1;
                assert!(
                    fill.write < last,
                    "cell {cell}: {fill:?} stands behind {last} in {place:?}"
                );
                last = fill.write;
                found.get_or_insert(fill);
            }
        }
        let value = |fill: Option<Fill>| fill.filter(|fill| !fill.delete).map(|fill| fill.write);
        assert_eq!(value(found), value(self.truth[cell as usize]), "cell {cell}");
    }

    fn check_all_reads(&self) {
        (0..u32::try_from(self.truth.len()).unwrap()).for_each(|cell| self.check_read(cell));
    }

    fn write_amplification(&self) -> f64 {
        (self.flushed_len + self.merged_len) as f64 / self.flushed_len as f64
    }

    fn report(&self, name: &str) {
        let lens: Vec<u64> =
            (0..self.shape.levels.len()).map(|level| self.shape.level_len(level)).collect();
        println!(
            "{name}: write amplification {:.2}, moved {:.2} per byte, levels {lens:?}, jobs {:?}",
            self.write_amplification(),
            self.moved_len as f64 / self.flushed_len as f64,
            self.jobs,
        );
    }
}

/// A memtable's worth of rows; a table is as long; the first level holds four.
const FLUSH_ROWS: u32 = 64;

fn options() -> LeveledOptions {
    let flush_len = u64::from(FLUSH_ROWS) * ROW_LEN;
    LeveledOptions {
        level_base_len: 4 * flush_len,
        job_len_max: 25 * flush_len,
        ..LeveledOptions::default()
    }
}

/// Which cells a flush fills.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    Uniform,
    /// Anywhere from a few neighbouring cells to all of them.
    RandomSpans,
    Ascending,
}

fn cells(pattern: Pattern, count: u32, flush: u32, rng: &mut Rng) -> Vec<u32> {
    let below = |limit: u32, rng: &mut Rng| u32::try_from(rng.below(limit.into())).unwrap();
    match pattern {
        Pattern::Uniform => (0..FLUSH_ROWS).map(|_| below(count, rng)).collect(),
        Pattern::RandomSpans => {
            let width = 1 + (count >> below(16, rng));
            let start = below(count, rng);
            (0..FLUSH_ROWS).map(|_| (start + below(width, rng)).min(count - 1)).collect()
        }
        Pattern::Ascending => (0..FLUSH_ROWS).map(|at| (flush * FLUSH_ROWS + at) % count).collect(),
    }
}

struct Load {
    flushes: u32,
    cells: u32,
    pattern: Pattern,
    delete_percent: u64,
    workers: usize,
}

/// Flushes and works off jobs, `workers` at a time, in a random interleaving.
fn simulate(name: &str, strategy: &Leveled, load: &Load) -> Tree {
    let flush_len = u64::from(FLUSH_ROWS) * ROW_LEN;
    let mut tree = Tree::new(load.cells, flush_len, 7);
    let mut runs_max = 0;
    for flush in 0..load.flushes {
        let mut rng = Rng::new(u64::from(flush));
        tree.flush(cells(load.pattern, load.cells, flush, &mut rng), load.delete_percent);
        let mut steps = 0;
        loop {
            while tree.running.len() < load.workers && tree.start(strategy) {}
            let pressure = strategy.pressure(&tree.shape);
            runs_max = runs_max.max(pressure.level0_runs);
            // Writers wait once level 0 has 12 runs, and now and then the workers are faster.
            let waits = pressure.level0_runs >= 12 || rng.chance(2, 3);
            if tree.running.is_empty() || !waits || steps > 10_000 {
                break;
            }
            steps += 1;
            tree.finish_one();
        }
        assert!(steps <= 10_000, "level 0 starves");
        for _ in 0..16 {
            let cell = u32::try_from(rng.below(load.cells.into())).unwrap();
            tree.check_read(cell);
        }
        if flush % 1000 == 999 {
            tree.check_all_reads();
        }
    }
    assert!(runs_max <= 12, "{runs_max} runs in level 0");
    tree.settle(strategy);
    tree.check_all_reads();
    tree.report(name);
    // At rest nothing exceeds its bound.
    assert_eq!(strategy.pressure(&tree.shape).debt, 0);
    assert!(tree.shape.level(0).len() < strategy.options().level0_runs);
    assert!(tree.shape.levels.iter().skip(1).all(|runs| runs.len() <= 1));
    assert_eq!(strategy.plan(&tree.shape, &Bytewise), None);
    assert!(tree.shape.claims.is_empty());
    tree
}

#[test]
fn ten_thousand_flushes_of_random_spans_keep_order_and_come_to_rest() {
    let strategy = options().validate().unwrap();
    let load = Load {
        flushes: 10_000,
        cells: 100_000,
        pattern: Pattern::RandomSpans,
        delete_percent: 5,
        workers: 3,
    };
    simulate("random spans, 3 workers", &strategy, &load);
}

#[test]
fn uniform_writes_cost_what_leveled_compaction_costs() {
    let strategy = options().validate().unwrap();
    let load = Load {
        flushes: 1024,
        cells: 1 << 26,
        pattern: Pattern::Uniform,
        delete_percent: 0,
        workers: 1,
    };
    // 2^26 cells: hardly a write replaces another. Reads of all of them would take too long.
    let mut tree = Tree::new(load.cells, u64::from(FLUSH_ROWS) * ROW_LEN, 7);
    for flush in 0..load.flushes {
        let mut rng = Rng::new(u64::from(flush));
        let cells = cells(load.pattern, load.cells, flush, &mut rng);
        tree.flush(cells.iter().copied(), 0);
        tree.settle(&strategy);
        for cell in cells {
            tree.check_read(cell);
        }
    }
    tree.report("uniform, 1024 buffers");
    let cost = tree.write_amplification();
    assert!((5.0..16.0).contains(&cost), "write amplification {cost}");
}

#[test]
fn ascending_writes_are_moved_and_not_rewritten() {
    let strategy = options().validate().unwrap();
    let load = Load {
        flushes: 1500,
        cells: 1500 * FLUSH_ROWS,
        pattern: Pattern::Ascending,
        delete_percent: 0,
        workers: 2,
    };
    let tree = simulate("ascending", &strategy, &load);
    assert_eq!(tree.merged_len, 0);
    assert!(tree.moved_len > tree.flushed_len);
}

#[test]
fn dynamic_sizes_bound_what_stands_above_the_last_level() {
    let options = LeveledOptions { sizing: Sizing::Dynamic, ..options() };
    let strategy = options.validate().unwrap();
    let load = Load {
        flushes: 3000,
        cells: 30_000,
        pattern: Pattern::Uniform,
        delete_percent: 0,
        workers: 2,
    };
    let tree = simulate("dynamic, updates", &strategy, &load);
    let last = tree.shape.level_len(options.levels - 1) as f64;
    let all: u64 = (0..options.levels).map(|level| tree.shape.level_len(level)).sum();
    let space = all as f64 / last;
    println!("space amplification {space:.3}");
    assert!(space < 1.2, "{space}");
}

#[test]
fn tables_of_deletes_are_merged_down_until_nothing_is_left_of_them() {
    let strategy = options().validate().unwrap();
    let mut tree = Tree::new(20_000, u64::from(FLUSH_ROWS) * ROW_LEN, 3);
    for flush in 0..2 * 20_000 / FLUSH_ROWS {
        let delete_percent = if flush < 20_000 / FLUSH_ROWS { 0 } else { 100 };
        tree.flush(cells(Pattern::Ascending, 20_000, flush, &mut Rng::new(1)), delete_percent);
        tree.settle(&strategy);
    }
    tree.check_all_reads();
    tree.report("everything deleted");
    let left: u64 = tree.shape.tables().map(|(_, table)| table.entries).sum();
    // Level 0 may keep what is too little to merge.
    assert!(left < 4 * u64::from(FLUSH_ROWS) + 20_000 / 10, "{left} entries left");
}

#[test]
fn major_compaction_leaves_one_run_of_live_rows() {
    let strategy = options().validate().unwrap();
    let load = Load {
        flushes: 500,
        cells: 5_000,
        pattern: Pattern::RandomSpans,
        delete_percent: 30,
        workers: 2,
    };
    let mut tree = simulate("before major", &strategy, &load);
    let major = Major { level: 6 };
    tree.settle(&major);
    tree.check_all_reads();
    let live = tree.truth.iter().flatten().filter(|fill| !fill.delete).count() as u64;
    let rows: u64 = tree.shape.tables().map(|(_, table)| table.entries).sum();
    assert_eq!(rows, live);
    assert_eq!(tree.shape.runs().count(), 1);
    assert_eq!(tree.shape.runs().next().unwrap().0.level, 6);
    assert_eq!(major.plan(&tree.shape, &Bytewise), None);
}

#[test]
fn level_0_is_merged_within_itself_while_its_oldest_runs_are_on_their_way_down() {
    let strategy = options().validate().unwrap();
    let mut tree = Tree::new(1000, u64::from(FLUSH_ROWS) * ROW_LEN, 3);
    let mut rng = Rng::new(1);
    let mut flush = |tree: &mut Tree| tree.flush(cells(Pattern::Uniform, 1000, 0, &mut rng), 0);
    (0..4).for_each(|_| flush(&mut tree));
    assert!(tree.start(&strategy));
    (0..4).for_each(|_| flush(&mut tree));
    assert!(tree.start(&strategy));
    let within = tree.running.last().unwrap();
    assert_eq!(within.output.level, 0);
    assert_eq!(within.inputs.len(), 4);
    assert!(!tree.start(&strategy), "nothing is left to do");
    // Whichever is done first.
    tree.finish_one();
    tree.check_all_reads();
    tree.settle(&strategy);
    tree.check_all_reads();
}

/// A table over cells `first..=last`.
fn table(number: u64, first: u32, last: u32) -> Table {
    Table {
        number,
        span: KeyRange::closed(key(first), key(last)),
        len: 10,
        seqnos: (SeqNo::ZERO, SeqNo::ZERO),
        entries: 1,
        deletes: 0,
        tombstones: 0,
        busy: false,
    }
}

/// The tables of a run: number, first cell, last cell.
type RunSpec = &'static [(u64, u32, u32)];

/// Levels from the top; per level its runs, newest first.
fn shape(levels: &[&[RunSpec]]) -> Shape {
    let run = |(at, tables): (usize, &RunSpec)| Run {
        age: 100 - at as u64,
        tables: tables.iter().map(|(number, first, last)| table(*number, *first, *last)).collect(),
    };
    Shape {
        levels: levels.iter().map(|runs| runs.iter().enumerate().map(run).collect()).collect(),
        ..Shape::default()
    }
}

#[test]
fn jobs_take_what_they_would_pass_and_no_more() {
    let shape = shape(&[
        &[&[(1, 10, 20)], &[(2, 15, 40), (3, 60, 70)], &[(4, 50, 55)]],
        &[&[(5, 0, 12), (6, 30, 35), (7, 45, 90)]],
        &[&[(8, 11, 33), (9, 34, 99)]],
    ]);
    shape.check(&Bytewise).unwrap();
    let widened = |seeds: &[u64], level, age| {
        let output = Place { level, age };
        let job = Job::widen(&shape, seeds, output, Reason::Manual, &Bytewise).unwrap();
        job.check(&shape, &Bytewise).unwrap();
        (job.kind, job.inputs)
    };
    // Newer tables stay; older ones that overlap come along, and what they overlap.
    assert_eq!(widened(&[4], 1, 100), (Compact, vec![4, 7]));
    assert_eq!(widened(&[1], 1, 100), (Compact, vec![1, 2, 5, 6]));
    // Table 6 overlaps 8 and 9; 5, which overlaps 8 too, has nothing that could be passed.
    assert_eq!(widened(&[6], 2, 100), (Compact, vec![6, 8, 9]));
    // Within level 0, into the place of the oldest input. 3 comes along, since an output may reach
    // from 2 to it.
    assert_eq!(widened(&[1, 2], 0, 99), (Compact, vec![1, 2]));
    assert_eq!(widened(&[1, 3], 0, 99), (Compact, vec![1, 2, 3]));
    assert_eq!(widened(&[4], 0, 50), (TrivialMove, vec![4]));
    // From level 0 to level 2 past level 1.
    assert_eq!(widened(&[4], 2, 100), (Compact, vec![4, 7, 9]));
}

#[test]
fn invalid_jobs_are_told_why() {
    let shape =
        shape(&[&[&[(1, 10, 20)], &[(2, 15, 40)]], &[&[(5, 0, 12), (6, 41, 45), (7, 50, 60)]]]);
    let job = |kind, inputs: &[u64], level, age, first, last| Job {
        kind,
        reason: Reason::Manual,
        inputs: inputs.to_vec(),
        output: Place { level, age },
        newest: Place { level: 0, age: 100 },
        span: KeyRange::closed(key(first), key(last)),
    };
    let check = |job: Job| job.check(&shape, &Bytewise);
    let cases = [
        (job(Compact, &[], 1, 100, 0, 9), Err(Invalid::NoInputs)),
        (job(Compact, &[99], 1, 100, 0, 99), Err(Invalid::Missing { number: 99 })),
        (job(Compact, &[5], 0, 100, 0, 12), Err(Invalid::BehindOutput { number: 5 })),
        (job(Compact, &[7], 1, 100, 55, 60), Err(Invalid::OutsideSpan { number: 7 })),
        (job(Compact, &[1, 5], 1, 100, 0, 20), Err(Invalid::Passed { number: 2, input: Some(1) })),
        (job(Compact, &[1, 2], 1, 100, 10, 40), Err(Invalid::Passed { number: 5, input: Some(1) })),
        (job(Compact, &[1, 2, 5], 1, 100, 0, 40), Ok(())),
        (job(Compact, &[1, 2, 5], 1, 100, 0, 41), Err(Invalid::Overlaps { number: 6 })),
        (job(Compact, &[1, 2, 5, 7], 1, 100, 0, 60), Err(Invalid::Overlaps { number: 6 })),
        (
            job(TrivialMove, &[1, 2], 1, 50, 10, 40),
            Err(Invalid::Passed { number: 5, input: Some(1) }),
        ),
        (job(TrivialMove, &[2], 1, 100, 15, 40), Ok(())),
        (job(TrivialMove, &[1, 2], 0, 98, 10, 40), Err(Invalid::NotARun { first: 1, second: 2 })),
        (job(Flush, &[], 0, 101, 0, 99), Ok(())),
        (job(Flush, &[], 0, 99, 0, 9), Ok(())),
        (job(Flush, &[], 0, 98, 10, 12), Err(Invalid::Passed { number: 1, input: None })),
        (job(Flush, &[], 0, 100, 12, 18), Err(Invalid::Passed { number: 1, input: None })),
    ];
    for (job, expected) in cases {
        assert_eq!(check(job.clone()), expected, "{job:?}");
    }
}

#[test]
fn busy_tables_and_claims_block() {
    let mut shape = shape(&[&[&[(1, 10, 20)]], &[&[(5, 0, 12), (6, 41, 45)]], &[&[(8, 50, 60)]]]);
    let to = |level| Place { level, age: 100 };
    let first = Job::widen(&shape, &[1], to(1), Reason::Manual, &Bytewise).unwrap();
    shape.start(&first);
    let widen =
        |seeds: &[u64], output| Job::widen(&shape, seeds, output, Reason::Manual, &Bytewise);
    assert_eq!(widen(&[5], to(2)), Err(Blocked::Busy { number: 5 }));
    assert_eq!(widen(&[77], to(2)), Err(Blocked::NotAnInput { number: 77 }));
    assert_eq!(widen(&[8], to(1)), Err(Blocked::NotAnInput { number: 8 }));
    assert_eq!(widen(&[], to(1)), Err(Blocked::NoSeeds));
    assert!(widen(&[6], to(2)).is_ok());
    shape.claims.push(Claim {
        span: KeyRange::closed(key(45), key(46)),
        newest: to(2),
        output: to(3),
    });
    let blocked = Job::widen(&shape, &[6], to(2), Reason::Manual, &Bytewise);
    assert_eq!(blocked, Err(Blocked::Claimed));
    shape.stop(&first);
    assert!(shape.tables().all(|(_, table)| !table.busy));
    assert_eq!(shape.claims.len(), 1);
}

#[test]
fn nothing_older_is_what_no_source_behind_the_output_overlaps() {
    let mut shape = shape(&[
        &[&[(1, 10, 20)], &[(2, 30, 40)]],
        &[&[(5, 12, 14)]],
        &[&[(8, 0, 11), (9, 35, 60)]],
    ]);
    shape.quarantined.push(KeyRange::closed(key(18), key(19)));
    let older = |seeds: &[u64], level, age| {
        let output = Place { level, age };
        let job = Job::widen(&shape, seeds, output, Reason::Manual, &Bytewise).unwrap();
        let older = job.older(&shape, &Bytewise);
        (0..70).filter(|cell| older.contains(&key(*cell), &Bytewise)).collect::<Vec<u32>>()
    };
    // Deeper levels, as whole spans; what is quarantined; but not what is merged.
    let expected: Vec<u32> = (0..12).chain(18..20).collect();
    assert_eq!(older(&[1], 1, 100), expected);
    assert_eq!(older(&[1], 2, 100), [18, 19]);
    // Older runs of level 0 behind the output.
    let expected: Vec<u32> = (0..12).chain(12..15).chain(18..20).collect();
    assert_eq!(older(&[1], 0, 100), expected);
    let flush = Job::flush(KeyRange::closed(key(61), key(62)), 200);
    assert!(
        flush.older(&shape, &Bytewise).contains(&key(61), &Bytewise),
        "a flush rules nothing out"
    );
}

#[test]
fn a_level_one_byte_too_long_is_not_at_rest() {
    let strategy = LeveledOptions::default().validate().unwrap();
    let target = LeveledOptions::LEVEL_BASE_LEN;
    for (len, debt) in [(target, 0), (target + 1, 1)] {
        let mut shape = shape(&[&[], &[&[(1, 10, 20), (2, 30, 40)]]]);
        shape.levels[1][0].tables[0].len = len - 10;
        assert_eq!(shape.level_len(1), len);
        assert_eq!(strategy.pressure(&shape).debt, debt);
        assert_eq!(strategy.plan(&shape, &Bytewise).is_some(), debt > 0);
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let default = LeveledOptions::default();
    assert!(default.validate().is_ok());
    for options in [
        LeveledOptions { levels: 1, ..default },
        LeveledOptions { level0_runs: 1, ..default },
        LeveledOptions { level_base_len: 0, ..default },
        LeveledOptions { ratio: 1, ..default },
    ] {
        assert!(options.validate().is_err(), "{options:?}");
    }
}
