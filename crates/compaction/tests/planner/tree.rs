//! A tree in memory that knows what reads have to find.

use std::collections::{BTreeMap, HashMap};

use stratal_compaction::plan::{Job, JobKind, Place, Reason, Shape, Strategy, Table};
use stratal_testkit::Rng;
use stratal_types::{Bytewise, CutOptions, KeyRange, OutputCutter, Piece, SeqNo};

/// Bytes of a row.
pub(crate) const ROW_LEN: u64 = 100;

/// What a cell got: the number of the write, and whether it was a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) write: u32,
    pub(crate) delete: bool,
}

pub(crate) type Rows = Vec<(u32, Fill)>;

pub(crate) fn key(cell: u32) -> Vec<u8> {
    let mut bytes = cell.to_le_bytes().to_vec();
    bytes.reverse();
    bytes
}

pub(crate) struct Tree {
    pub(crate) shape: Shape,
    pub(crate) rows: HashMap<u64, Rows>,
    pub(crate) truth: Vec<Option<Fill>>,
    pub(crate) next_number: u64,
    pub(crate) writes: u32,
    pub(crate) cut: CutOptions,
    pub(crate) running: Vec<Job>,
    pub(crate) rng: Rng,
    pub(crate) flushed_len: u64,
    pub(crate) merged_len: u64,
    pub(crate) moved_len: u64,
    pub(crate) jobs: BTreeMap<(Reason, &'static str), u32>,
}

impl Tree {
    pub(crate) fn new(cells: u32, table_len: u64, seed: u64) -> Self {
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

    pub(crate) fn table(&mut self, rows: Rows) -> Table {
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
            created_at_ms: rows.iter().map(|(_, fill)| u64::from(fill.write)).max().unwrap(),
            expired_at: None,
            judged_to: SeqNo::ZERO,
            busy: false,
        };
        self.rows.insert(number, rows);
        table
    }

    /// Fills `cells`, in any order, and flushes them as one table.
    pub(crate) fn flush(&mut self, cells: impl IntoIterator<Item = u32>, delete_percent: u64) {
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

    pub(crate) fn start(&mut self, strategy: &dyn Strategy) -> bool {
        let Some(job) = strategy.plan(&self.shape, &Bytewise) else { return false };
        job.check(&self.shape, &Bytewise).unwrap_or_else(|why| panic!("{why}: {job:?}"));
        for (_, table) in self.shape.tables() {
            assert!(!(table.busy && job.takes(table.number)), "{job:?} takes a busy table");
        }
        assert!(!self.shape.is_claimed(&job.claim(), &Bytewise));
        let how = match job.kind {
            JobKind::TrivialMove => "move",
            kind if kind.removes() => "removal",
            _ => "merge",
        };
        *self.jobs.entry((job.reason, how)).or_default() += 1;
        self.shape.start(&job);
        self.running.push(job);
        true
    }

    /// Installs one of the running jobs.
    pub(crate) fn finish_one(&mut self) {
        let job = self.running.swap_remove(self.rng.index(self.running.len()));
        // What others installed meanwhile must not have made it invalid.
        job.check(&self.shape, &Bytewise).unwrap_or_else(|why| panic!("{why}: {job:?}"));
        let outputs = match job.kind {
            JobKind::TrivialMove => self.inputs(&job),
            kind if kind.removes() => self.remove(&job),
            _ => self.merge(&job),
        };
        self.shape.stop(&job);
        self.shape.apply(&job, outputs, &Bytewise);
        self.shape.check(&Bytewise).unwrap_or_else(|why| panic!("{why} after {job:?}"));
    }

    pub(crate) fn inputs(&mut self, job: &Job) -> Vec<Table> {
        let inputs = self.shape.tables().filter(|(_, table)| job.takes(table.number));
        let moved: Vec<Table> =
            inputs.map(|(_, table)| Table { busy: false, ..table.clone() }).collect();
        self.moved_len += moved.iter().map(|table| table.len).sum::<u64>();
        moved
    }

    /// What the newest write to a cell was in the inputs is forgotten, and nothing older may show.
    fn remove(&mut self, job: &Job) -> Vec<Table> {
        for number in &job.inputs {
            for (cell, fill) in self.rows.remove(number).unwrap() {
                let newest = &mut self.truth[cell as usize];
                newest.take_if(|newest| *newest == fill);
            }
        }
        Vec::new()
    }

    /// A run as it may be found: `cells`, cut into tables of up to `table_rows`, in front of or
    /// behind whatever is there. For trees that are made from the oldest run to the newest.
    pub(crate) fn place(&mut self, place: Place, cells: &[u32], table_rows: usize) {
        let mut rows: BTreeMap<u32, Fill> = BTreeMap::new();
        for &cell in cells {
            self.writes += 1;
            let fill = Fill { write: self.writes, delete: self.rng.chance(1, 4) };
            rows.insert(cell, fill);
            self.truth[cell as usize] = Some(fill);
        }
        let rows: Rows = rows.into_iter().collect();
        let tables: Vec<Table> =
            rows.chunks(table_rows).map(|rows| self.table(rows.to_vec())).collect();
        let job = Job::flush(KeyRange::ALL, place.age);
        self.shape.apply(&Job { output: place, ..job }, tables, &Bytewise);
        self.shape.watermark = SeqNo::from(self.writes + 1);
    }

    pub(crate) fn merge(&mut self, job: &Job) -> Vec<Table> {
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

    pub(crate) fn settle(&mut self, strategy: &dyn Strategy) {
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
    pub(crate) fn check_read(&self, cell: u32) {
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

    pub(crate) fn check_all_reads(&self) {
        (0..u32::try_from(self.truth.len()).unwrap()).for_each(|cell| self.check_read(cell));
    }

    pub(crate) fn write_amplification(&self) -> f64 {
        (self.flushed_len + self.merged_len) as f64 / self.flushed_len as f64
    }

    pub(crate) fn report(&self, name: &str) {
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
