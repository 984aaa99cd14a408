use std::{collections::HashMap, fmt};

use stratal_compaction::{
    SpanFinger, SpanSet,
    plan::{Job, JobKind, LevelKeys, Policy, Shape, Strategy, StrategyOptions, Table, filter_bits},
};
use stratal_testkit::Rng;
use stratal_types::{Bytewise, CutOptions, Fence, KeyRange, OutputCutter, Piece, SeqNo};

use crate::workload::{Source, Workload};

/// Bytes of a row.
pub(crate) const ROW_LEN: u64 = 100;

/// How much is inserted, and how large a write buffer is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) inserts: u64,
    pub(crate) buffer_rows: u64,
}

impl Scale {
    /// Bytes of a full write buffer.
    pub(crate) fn buffer_len(&self) -> u64 {
        self.buffer_rows * ROW_LEN
    }

    /// What `bytes` are where a write buffer holds 64 MiB.
    pub(crate) fn len(&self, bytes: u64) -> u64 {
        u64::try_from(u128::from(bytes) * u128::from(self.buffer_len()) / (64 << 20)).unwrap()
    }
}

/// What a strategy costs with a workload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Bytes written to tables per byte flushed.
    pub(crate) write: f64,
    /// Runs with a table that may hold a random key, on the average.
    pub(crate) get: f64,
    /// Runs that a cursor from a random key on has to be in, on the average.
    pub(crate) seek: f64,
    /// Stored rows per live row, on the average over the second half.
    pub(crate) space: f64,
    /// False answers of filters to a read of an absent key, with 10 bits per key everywhere.
    pub(crate) uniform: f64,
    /// The same with the bits spread over the levels.
    pub(crate) spread: f64,
    /// Most bytes that a job read, in write buffers.
    pub(crate) job_max: f64,
    /// Most runs in level 0.
    pub(crate) level0_max: usize,
    /// Most bytes in the tree.
    pub(crate) len_max: u64,
    /// Bytes moved without being written, per byte flushed.
    pub(crate) moved: f64,
    pub(crate) jobs: u64,
    /// Bytes by level in the end, in write buffers, and how many runs they are.
    pub(crate) levels: Vec<(f64, usize)>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "write {:5.2}  get {:5.2}  seek {:5.2}  space {:5.3}  false {:.4}/{:.4}  job {:6.1}  \
             level 0 {:2}  moved {:4.2}  jobs {:6}  ",
            self.write,
            self.get,
            self.seek,
            self.space,
            self.uniform,
            self.spread,
            self.job_max,
            self.level0_max,
            self.moved,
            self.jobs,
        )?;
        for (len, runs) in &self.levels {
            write!(f, " {len:.0}({runs})")?;
        }
        Ok(())
    }
}

/// A row: the cell, and whether it is deleted, in the lowest bit.
type Row = u32;

fn cell(row: Row) -> u32 {
    row >> 1
}

fn is_delete(row: Row) -> bool {
    row & 1 == 1
}

/// A cell's key: bytes in its order.
fn key(cell: u32) -> [u8; 4] {
    let mut bytes = cell.to_le_bytes();
    bytes.reverse();
    bytes
}

pub(crate) struct Simulation {
    policy: Policy,
    scale: Scale,
    cells: u64,
    shape: Shape,
    rows: HashMap<u64, Vec<Row>>,
    /// A bit for each cell that has a value.
    live: Vec<u64>,
    live_count: u64,
    next_number: u64,
    flushed_len: u64,
    merged_len: u64,
    figures: Figures,
}

impl Simulation {
    /// Inserts all there is, merging after each flush until nothing is left to do.
    pub(crate) fn run(
        options: StrategyOptions,
        workload: Workload,
        scale: Scale,
        seed: u64,
    ) -> Figures {
        let cells = workload.cells(scale.inserts);
        let mut source = Source::new(workload, scale.inserts, scale.buffer_rows, seed);
        let mut simulation = Self {
            policy: options.validate().unwrap(),
            scale,
            cells,
            shape: Shape { watermark: SeqNo::MAX, ..Shape::default() },
            rows: HashMap::new(),
            live: vec![0; usize::try_from(cells / 64 + 1).unwrap()],
            live_count: 0,
            next_number: 1,
            flushed_len: 0,
            merged_len: 0,
            figures: Figures::default(),
        };
        let mut rng = Rng::new(seed ^ 0x5eed);
        let mut samples = Samples::default();
        let flushes = scale.inserts / scale.buffer_rows;
        for flush in 0..flushes {
            simulation.flush(&mut source, flush);
            simulation.settle();
            let is_late = flush >= flushes / 2;
            if is_late && (flush % 8 == 0 || flush + 1 == flushes) {
                simulation.sample(&mut samples, &mut rng);
            }
        }
        simulation.finish(&samples)
    }

    fn table(&mut self, rows: Vec<Row>) -> Table {
        let (first, last) = (cell(rows[0]), cell(rows[rows.len() - 1]));
        let number = self.next_number;
        self.next_number += 1;
        let table = Table {
            number,
            span: KeyRange::closed(key(first), key(last)),
            len: rows.len() as u64 * ROW_LEN,
            seqnos: (SeqNo::ZERO, SeqNo::ZERO),
            entries: rows.len() as u64,
            deletes: rows.iter().filter(|row| is_delete(**row)).count() as u64,
            tombstones: 0,
            created_at_ms: 0,
            expired_at: None,
            judged_to: SeqNo::ZERO,
            busy: false,
        };
        self.rows.insert(number, rows);
        table
    }

    fn flush(&mut self, source: &mut Source, flush: u64) {
        let drawn = (0..self.scale.buffer_rows).map(|at| (source.draw(), at));
        let mut drawn: Vec<(u32, u64, bool)> =
            drawn.map(|((cell, is_delete), at)| (cell, u64::MAX - at, is_delete)).collect();
        drawn.sort_unstable();
        drawn.dedup_by_key(|(cell, ..)| *cell);
        for (cell, _, is_delete) in &drawn {
            let (word, bit) = (*cell as usize / 64, 1_u64 << (cell % 64));
            let was = self.live[word] & bit != 0;
            match (was, is_delete) {
                (true, true) => self.live_count -= 1,
                (false, false) => self.live_count += 1,
                _ => continue,
            }
            self.live[word] ^= bit;
        }
        let rows = drawn.iter().map(|(cell, _, is_delete)| cell << 1 | u32::from(*is_delete));
        let table = self.table(rows.collect());
        let job = Job::flush(table.span.clone(), flush + 1);
        self.flushed_len += table.len;
        self.shape.apply(&job, vec![table], &Bytewise);
        self.figures.level0_max = self.figures.level0_max.max(self.shape.level(0).len());
    }

    fn settle(&mut self) {
        for _ in 0..100_000 {
            let Some(job) = self.policy.plan(&self.shape, &Bytewise) else { return };
            self.figures.jobs += 1;
            let inputs: Vec<Table> = self
                .shape
                .tables()
                .filter(|(_, table)| job.takes(table.number))
                .map(|(_, table)| table.clone())
                .collect();
            let len: u64 = inputs.iter().map(|table| table.len).sum();
            let outputs = match job.kind {
                JobKind::TrivialMove => {
                    self.figures.moved += len as f64;
                    inputs
                }
                kind if kind.removes() => {
                    for table in &inputs {
                        self.forget(table.number);
                    }
                    Vec::new()
                }
                _ => {
                    let buffers = len as f64 / self.scale.buffer_len() as f64;
                    self.figures.job_max = self.figures.job_max.max(buffers);
                    self.merge(&job)
                }
            };
            self.shape.apply(&job, outputs, &Bytewise);
        }
        panic!("the planner does not come to rest");
    }

    fn forget(&mut self, number: u64) {
        for row in self.rows.remove(&number).unwrap() {
            let (word, bit) = (cell(row) as usize / 64, 1_u64 << (cell(row) % 64));
            // Only what has no newer version; in a tree that forgets in order of time that is so
            // for all but late rows, which are a few.
            if self.live[word] & bit != 0 {
                self.live[word] ^= bit;
                self.live_count -= 1;
            }
        }
    }

    fn merge(&mut self, job: &Job) -> Vec<Table> {
        let older = job.older(&self.shape, &Bytewise);
        let fences = job.fences(&self.shape, &Bytewise);
        // Run by run, newest first: the tables of a run follow one another.
        let mut merged: Vec<Row> = Vec::new();
        let runs: Vec<Vec<u64>> = self
            .shape
            .runs()
            .map(|(_, run)| run.tables.iter().map(|table| table.number))
            .map(|numbers| numbers.filter(|number| job.takes(*number)).collect())
            .collect();
        for numbers in runs {
            let tables: Vec<Vec<Row>> =
                numbers.iter().map(|number| self.rows.remove(number).unwrap()).collect();
            let older_rows = tables.concat();
            merged = if merged.is_empty() { older_rows } else { merge_two(&merged, &older_rows) };
        }
        drop_deletes(&mut merged, &older);
        let outputs = cut(&merged, &fences, self.scale.buffer_len());
        self.merged_len += merged.len() as u64 * ROW_LEN;
        outputs.into_iter().map(|rows| self.table(rows)).collect()
    }

    fn sample(&mut self, samples: &mut Samples, rng: &mut Rng) {
        for _ in 0..64 {
            let key = key(u32::try_from(rng.below(self.cells)).unwrap());
            let one = KeyRange::closed(key, key);
            for (_, run) in self.shape.runs() {
                samples.get += f64::from(u8::from(!run.overlapping(&one, &Bytewise).is_empty()));
                let last = run.tables.last();
                let ends_before = last.is_none_or(|last| last.span.is_before(&key, &Bytewise));
                samples.seek += f64::from(u8::from(!ends_before));
            }
            samples.keys += 1.0;
        }
        let stored: u64 = self.shape.tables().map(|(_, table)| table.entries).sum();
        samples.space += stored as f64 / self.live_count.max(1) as f64;
        samples.shapes += 1.0;
        self.figures.len_max = self.figures.len_max.max(stored * ROW_LEN);
    }

    fn finish(self, samples: &Samples) -> Figures {
        let buffers = |len: u64| len as f64 / self.scale.buffer_len() as f64;
        let flushed = self.flushed_len as f64;
        let levels: Vec<LevelKeys> = self
            .shape
            .levels
            .iter()
            .map(|runs| LevelKeys {
                runs: runs.len() as u64,
                keys: runs.iter().flat_map(|run| &run.tables).map(|table| table.entries).sum(),
            })
            .collect();
        let all: u64 = levels.iter().map(|level| level.keys).sum();
        let rate = |bits: f64| (-bits * std::f64::consts::LN_2.powi(2)).exp();
        let bits = filter_bits(&levels, 10.0 * all as f64, 32.0);
        let runs: u64 = levels.iter().map(|level| level.runs).sum();
        Figures {
            write: (flushed + self.merged_len as f64) / flushed,
            get: samples.get / samples.keys,
            seek: samples.seek / samples.keys,
            space: samples.space / samples.shapes,
            uniform: runs as f64 * rate(10.0),
            spread: bits
                .iter()
                .zip(&levels)
                .map(|(bits, level)| level.runs as f64 * rate(*bits))
                .sum(),
            moved: self.figures.moved / flushed,
            levels: (0..self.shape.levels.len())
                .map(|level| (buffers(self.shape.level_len(level)), self.shape.level(level).len()))
                .collect(),
            ..self.figures
        }
    }
}

#[derive(Default)]
struct Samples {
    get: f64,
    seek: f64,
    keys: f64,
    space: f64,
    shapes: f64,
}

/// Both in order; of two rows of a cell the newer stays.
fn merge_two(newer: &[Row], older: &[Row]) -> Vec<Row> {
    let mut merged = Vec::with_capacity(newer.len() + older.len());
    let (mut new, mut old) = (0, 0);
    while new < newer.len() && old < older.len() {
        let (a, b) = (newer[new], older[old]);
        let takes_new = cell(a) <= cell(b);
        merged.push(if takes_new { a } else { b });
        new += usize::from(takes_new);
        old += usize::from(cell(b) <= cell(a));
    }
    merged.extend_from_slice(&newer[new..]);
    merged.extend_from_slice(&older[old..]);
    merged
}

/// Deletes go where nothing older can be.
fn drop_deletes(rows: &mut Vec<Row>, older: &SpanSet) {
    let mut finger = SpanFinger::new(older);
    rows.retain(|row| !is_delete(*row) || finger.contains(&key(cell(*row)), &Bytewise));
}

/// Cuts rows into tables where the engine would.
fn cut(rows: &[Row], fences: &[Fence], table_len: u64) -> Vec<Vec<Row>> {
    let options = CutOptions { table_len, below_len_max: 25 * table_len };
    let mut cutter = OutputCutter::new(options, fences, Piece::default(), &Bytewise);
    let starts: Vec<u32> = fences
        .iter()
        .map(|fence| fence.start.iter().fold(0, |start, byte| start << 8 | u32::from(*byte)))
        .collect();
    let (mut next_fence, mut outputs) = (0, Vec::new());
    let mut from = 0;
    for (at, row) in rows.iter().enumerate() {
        let len = (at - from) as u64 * ROW_LEN;
        // The cutter has nothing to say between fences while an output is short.
        let is_at_fence = starts.get(next_fence).is_some_and(|start| cell(*row) >= *start);
        if !is_at_fence && len < table_len {
            continue;
        }
        while starts.get(next_fence).is_some_and(|start| cell(*row) >= *start) {
            next_fence += 1;
        }
        if cutter.before(&key(cell(*row)), len).is_some() {
            outputs.push(rows[from..at].to_vec());
            from = at;
        }
    }
    if from < rows.len() {
        outputs.push(rows[from..].to_vec());
    }
    outputs
}
