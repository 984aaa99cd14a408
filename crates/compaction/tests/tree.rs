//! Whole trees in memory, through the stream, the cutter and the planner together, against the model
//! that forgets nothing.
//!
//! Random writes of every kind, range deletes among them; flushes; jobs of every planner, which change
//! on the way, and jobs of random inputs; a watermark that rises; sub-jobs. After every install all keys are read at
//! random bounds from the watermark up. Reads trust search order, as the tree's do: the first visible
//! version wins.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use stratal_compaction::{
    SpanSet,
    gc::{GcContext, GcStream, GcSummary, JobTombstones},
    plan::{
        Job, JobKind, LazyLeveledOptions, LeveledOptions, Place, Policy, Reason, Shape, Strategy,
        StrategyOptions, Table, TieredOptions,
    },
};
use stratal_testkit::{Model, Rng, concatenate};
use stratal_types::{
    Bytewise, Comparator, CutOptions, EntryKind, Fragments, KeyRange, OutputCutter, Piece,
    RangeTombstone, Reverse, SeqNo, Shortlex,
};
use support::{Append, Itself, Row, RowCursor, sort};

/// What a table or memtable holds.
#[derive(Clone, Debug, Default)]
struct Content {
    rows: Vec<Row>,
    tombstones: Fragments,
}

#[derive(Debug)]
struct Tree {
    order: Arc<dyn Comparator>,
    model: Model,
    memtable: Vec<Row>,
    range_deletes: Vec<RangeTombstone>,
    shape: Shape,
    contents: BTreeMap<u64, Content>,
    next_seqno: u32,
    next_number: u64,
    next_age: u64,
    /// Puts since the last delete of a key; nothing if weak deletes are not allowed for it.
    puts: BTreeMap<Vec<u8>, Option<u32>>,
    rng: Rng,
    total: GcSummary,
    pieces: u64,
}

fn keys() -> Vec<Vec<u8>> {
    let letters = *b"abcdefgh";
    let one = letters.iter().map(|a| vec![*a]);
    let two = letters[..4].iter().flat_map(|a| b"abxz".iter().map(move |b| vec![*a, *b]));
    one.chain(two).collect()
}

impl Tree {
    fn new(order: Arc<dyn Comparator>, seed: u64) -> Self {
        Self {
            model: Model::new(Arc::clone(&order), concatenate),
            order,
            memtable: Vec::new(),
            range_deletes: Vec::new(),
            shape: Shape::default(),
            contents: BTreeMap::new(),
            next_seqno: 1,
            next_number: 1,
            next_age: 1,
            puts: BTreeMap::new(),
            rng: Rng::new(seed),
            total: GcSummary::default(),
            pieces: 0,
        }
    }

    fn write(&mut self) {
        let key = self.rng.choose(&keys()).clone();
        let seqno = self.next_seqno;
        self.next_seqno += 1;
        let text = format!("{seqno},").into_bytes();
        let puts = self.puts.entry(key.clone()).or_insert(Some(0));
        let kind = match self.rng.below(20) {
            5..7 => EntryKind::ValuePointer,
            7..9 => EntryKind::Delete,
            9..13 if *puts == Some(1) => EntryKind::WeakDelete,
            13..19 => EntryKind::Merge,
            19 => return self.delete_range(seqno),
            _ => EntryKind::Put,
        };
        *puts = match kind {
            EntryKind::Merge => None,
            kind if kind.is_delete() => Some(0),
            _ => puts.map(|puts| puts + 1),
        };
        let value = if kind.is_delete() { &[][..] } else { &text };
        let row = Row::new(&key, seqno.into(), kind, value);
        self.model.insert(&key, row.trailer, value);
        self.memtable.push(row);
    }

    fn delete_range(&mut self, seqno: u32) {
        let (mut from, mut to) =
            (self.rng.choose(&keys()).clone(), self.rng.choose(&keys()).clone());
        if self.order.compare(&from, &to).is_gt() {
            std::mem::swap(&mut from, &mut to);
        }
        let tombstone = RangeTombstone::new(from, to, seqno.into());
        self.model.delete_range(seqno.into(), &tombstone.start, &tombstone.end);
        let range = KeyRange::half_open(tombstone.start.clone(), tombstone.end.clone());
        for (key, puts) in &mut self.puts {
            if range.contains(key, &*self.order) {
                *puts = Some(0);
            }
        }
        self.range_deletes.push(tombstone);
    }

    fn memtable(&self) -> Content {
        let mut rows = self.memtable.clone();
        sort(&mut rows, &*self.order);
        Content { rows, tombstones: Fragments::build(&self.range_deletes, &*self.order) }
    }

    /// The first visible version in search order wins; every fragment counts.
    fn get(&self, key: &[u8], bound: SeqNo) -> Option<Vec<u8>> {
        let memtable = self.memtable();
        let tables = self.shape.tables();
        let sources: Vec<&Content> = std::iter::once(&memtable)
            .chain(tables.map(|(_, table)| &self.contents[&table.number]))
            .collect();
        let cover = sources
            .iter()
            .filter_map(|source| source.tombstones.covering(key, bound, &*self.order))
            .max();
        let mut operands: Vec<&[u8]> = Vec::new();
        let mut base: Option<&[u8]> = None;
        for row in sources.iter().flat_map(|source| source.rows.iter().filter(|row| row.key == key))
        {
            let seqno = row.trailer.seqno();
            if !seqno.is_visible_at(bound) {
                continue;
            }
            if cover.is_some_and(|cover| cover > seqno) {
                break;
            }
            match row.trailer.kind() {
                EntryKind::Merge => operands.push(&row.value),
                kind if kind.is_delete() => break,
                _ => {
                    base = Some(&row.value);
                    break;
                }
            }
        }
        if operands.is_empty() {
            return base.map(<[u8]>::to_vec);
        }
        operands.reverse();
        Some(concatenate(key, base, &operands))
    }

    fn check(&mut self) {
        self.shape.check(&*self.order).unwrap();
        for (_, table) in self.shape.tables() {
            let content = &self.contents[&table.number];
            assert!(!content.rows.is_empty() || !content.tombstones.is_empty());
        }
        let (low, high) = (self.shape.watermark.get(), u64::from(self.next_seqno));
        let random = SeqNo::new(low + self.rng.below(high - low + 1)).unwrap();
        for bound in [self.shape.watermark, random, SeqNo::MAX] {
            for key in keys() {
                let (got, want) = (self.get(&key, bound), self.model.get(&key, bound));
                let text = |value: &Option<Vec<u8>>| {
                    value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned())
                };
                assert_eq!(
                    text(&got),
                    text(&want),
                    "key {:?} at {bound}, watermark {low}: {self:#?}",
                    String::from_utf8_lossy(&key),
                );
            }
        }
    }

    fn flush(&mut self) {
        let Content { rows, tombstones } = self.memtable();
        let Some(span) = span(&rows, &tombstones, &*self.order) else { return };
        let job = Job::flush(span, self.next_age);
        self.next_age += 1;
        self.memtable.clear();
        self.range_deletes.clear();
        self.merge(&job, &[Content { rows, tombstones }]);
    }

    /// Jobs from a random table or two to a random place.
    fn random_job(&mut self) -> Option<Job> {
        let numbers: Vec<u64> = self.shape.tables().map(|(_, table)| table.number).collect();
        if numbers.is_empty() {
            return None;
        }
        let seeds: Vec<u64> = (0..=self.rng.below(2)).map(|_| *self.rng.choose(&numbers)).collect();
        let runs: Vec<Place> = self.shape.runs().map(|(place, _)| place).collect();
        let mut output = *self.rng.choose(&runs);
        if self.rng.chance(1, 3) {
            // A run of its own, anywhere.
            output = Place {
                level: output.level + self.rng.index(2),
                age: self.rng.below(self.next_age),
            };
        }
        let job = Job::widen(&self.shape, &seeds, output, Reason::Manual, &*self.order).ok()?;
        if self.rng.chance(1, 2) {
            job.into_merge(&self.shape, &*self.order).ok()
        } else {
            Some(job)
        }
    }

    fn run(&mut self, job: &Job) {
        job.check(&self.shape, &*self.order).unwrap_or_else(|why| panic!("{why}: {job:#?}"));
        let taken = self.shape.tables().filter(|(_, table)| job.takes(table.number));
        let taken: Vec<Table> = taken.map(|(_, table)| table.clone()).collect();
        if job.kind == JobKind::TrivialMove {
            self.shape.apply(job, taken, &*Arc::clone(&self.order));
        } else {
            let inputs: Vec<Content> =
                taken.iter().map(|table| self.contents.remove(&table.number).unwrap()).collect();
            self.merge(job, &inputs);
        }
    }

    fn merge(&mut self, job: &Job, inputs: &[Content]) {
        let order = &*Arc::clone(&self.order);
        let watermark = self.shape.watermark;
        let behind = job.older(&self.shape, order);
        let elsewhere = job.covered_elsewhere(&self.shape, order);
        let memtable = self.memtable();
        let elsewhere =
            SpanSet::of(elsewhere.spans().iter().cloned().chain(memtable.tombstones.span()), order);
        let mut rows: Vec<Row> = inputs.iter().flat_map(|input| input.rows.clone()).collect();
        sort(&mut rows, order);
        let all = Fragments::merge(inputs.iter().map(|input| &input.tombstones), order);
        let tombstones = JobTombstones::new(all, watermark, &behind, order);
        let fences = job.fences(&self.shape, order);
        let operator = Append { composes: self.rng.chance(1, 2) };
        let context = GcContext {
            covered_elsewhere: Some(&elsewhere),
            operator: if self.rng.chance(4, 5) { Some(&operator) } else { None },
            values: if self.rng.chance(1, 2) { Some(&Itself) } else { None },
            chain_len_max: *self.rng.choose(&[60, usize::MAX]),
            ..GcContext::new(order, watermark, &tombstones, &behind)
        };

        // Now and then in two parts, cut at any key.
        let middle =
            if self.rng.chance(1, 4) { Some(self.rng.choose(&keys()).clone()) } else { None };
        let parts = match &middle {
            None => vec![Piece::default()],
            Some(key) => vec![
                Piece { start: None, end: Some(key.clone()) },
                Piece { start: Some(key.clone()), end: None },
            ],
        };
        let mut outputs: Vec<(Piece, Content)> = Vec::new();
        let mut departed: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for part in parts {
            let from = part.start.as_deref();
            let before = |row: &Row| from.is_some_and(|from| order.compare(&row.key, from).is_lt());
            let part_rows = &rows[rows.partition_point(before)..];
            let context = GcContext { end: part.end.as_deref(), ..context };
            let mut depart =
                |key: &[u8], pointer: &[u8]| departed.push((key.to_vec(), pointer.to_vec()));
            let mut stream = GcStream::new(RowCursor::new(part_rows), context, &mut depart);
            let options = CutOptions { table_len: 5, below_len_max: 40 };
            let mut cutter = OutputCutter::new(options, &fences, part.clone(), order);
            let mut current: Vec<Row> = Vec::new();
            stream.advance().unwrap();
            while let Some(entry) = stream.entry() {
                if let Some(piece) = cutter.before(entry.key, current.len() as u64) {
                    outputs.push((
                        piece,
                        Content { rows: std::mem::take(&mut current), ..Content::default() },
                    ));
                }
                current.push(entry.into());
                stream.advance().unwrap();
            }
            outputs.push((cutter.finish(), Content { rows: current, ..Content::default() }));
            let summary = stream.finish().unwrap();
            self.total.folds += summary.folds;
            self.total.weak_pairs += summary.weak_pairs;
            self.total.covered += summary.covered;
            self.total.zeroed += summary.zeroed;
            self.total.compositions += summary.compositions;
            self.total.deletes_collected += summary.deletes_collected;
        }
        let pointers = |rows: &mut dyn Iterator<Item = &Row>| -> Vec<(Vec<u8>, Vec<u8>)> {
            rows.filter(|row| row.trailer.kind().is_pointer())
                .map(|row| (row.key.clone(), row.value.clone()))
                .collect()
        };
        let mut given = pointers(&mut rows.iter());
        let left = pointers(&mut outputs.iter().flat_map(|(_, output)| &output.rows));
        departed.extend(left);
        given.sort();
        departed.sort();
        assert_eq!(given, departed, "every pointer comes out or departs, once");

        let mut tables = Vec::new();
        for (piece, mut content) in outputs {
            content.tombstones = piece.clip(tombstones.kept(), order);
            let Some(span) = span(&content.rows, &content.tombstones, order) else { continue };
            let number = self.next_number;
            self.next_number += 1;
            let numbers = content.rows.iter().map(|row| row.trailer.seqno());
            let fragments = content.tombstones.seqno_range();
            let seqnos = numbers.chain(fragments.iter().flat_map(|(low, high)| [*low, *high]));
            let is_delete = |row: &&Row| row.trailer.kind().is_delete();
            tables.push(Table {
                number,
                span,
                len: content.rows.len() as u64,
                seqnos: (seqnos.clone().min().unwrap(), seqnos.max().unwrap()),
                entries: content.rows.len() as u64,
                deletes: content.rows.iter().filter(is_delete).count() as u64,
                tombstones: content.tombstones.len() as u64,
                created_at_ms: 0,
                expired_at: None,
                judged_to: SeqNo::ZERO,
                busy: false,
            });
            self.contents.insert(number, content);
        }
        self.pieces += tables.len() as u64;
        self.shape.apply(job, tables, order);
    }
}

fn span(rows: &[Row], tombstones: &Fragments, order: &dyn Comparator) -> Option<KeyRange> {
    let rows = rows
        .first()
        .map(|first| KeyRange::closed(first.key.clone(), rows[rows.len() - 1].key.clone()));
    match (rows, tombstones.span()) {
        (Some(rows), Some(tombstones)) => Some(rows.hull(&tombstones, order)),
        (rows, tombstones) => rows.or(tombstones),
    }
}

/// Every strategy that merges, for trees of a few rows.
fn tiny_policies() -> [Policy; 3] {
    let all = [
        StrategyOptions::Leveled(LeveledOptions {
            levels: 4,
            level0_runs: 2,
            level_base_len: 10,
            ratio: 2,
            job_len_max: 50,
            ..LeveledOptions::default()
        }),
        StrategyOptions::Tiered(TieredOptions {
            levels: 4,
            runs: 2,
            promote_len: 5,
            job_len_max: 20,
            ..TieredOptions::default()
        }),
        StrategyOptions::LazyLeveled(LazyLeveledOptions {
            levels: 4,
            runs: 2,
            ratio: 2,
            promote_len: 5,
            job_len_max: 20,
            ..LazyLeveledOptions::default()
        }),
    ];
    all.map(|options| options.validate().unwrap())
}

fn lives(order: &Arc<dyn Comparator>, seeds: std::ops::Range<u64>, steps: u32) -> GcSummary {
    let mut total = GcSummary::default();
    let (mut installs, mut pieces) = (0, 0);
    let policies = tiny_policies();
    for seed in seeds {
        let mut policy = policies[usize::try_from(seed % 3).unwrap()];
        let mut tree = Tree::new(Arc::clone(order), seed);
        let mixes_jobs = tree.rng.chance(1, 2);
        for _ in 0..steps {
            match tree.rng.below(100) {
                0..70 => tree.write(),
                70..80 => tree.flush(),
                80..85 => {
                    let low = tree.shape.watermark.get();
                    let raised = low + tree.rng.below(u64::from(tree.next_seqno) - low + 1);
                    tree.shape.watermark = SeqNo::new(raised).unwrap();
                }
                85 => policy = *tree.rng.choose(&policies),
                _ => {
                    let job = if mixes_jobs && tree.rng.chance(2, 3) {
                        tree.random_job()
                    } else {
                        policy.plan(&tree.shape, &**order)
                    };
                    let Some(job) = job else { continue };
                    tree.run(&job);
                    installs += 1;
                    tree.check();
                }
            }
        }
        tree.check();
        total.folds += tree.total.folds;
        total.weak_pairs += tree.total.weak_pairs;
        total.covered += tree.total.covered;
        total.zeroed += tree.total.zeroed;
        total.compositions += tree.total.compositions;
        total.deletes_collected += tree.total.deletes_collected;
        pieces += tree.pieces;
    }
    println!("{}: {installs} installs, {pieces} tables, {total:?}", order.name());
    total
}

#[test]
fn trees_read_like_the_model_whatever_was_merged() {
    for order in [Arc::new(Bytewise) as Arc<dyn Comparator>, Arc::new(Reverse), Arc::new(Shortlex)]
    {
        let total = lives(&order, 0..250, 300);
        // The histories reach what they are there for.
        let reached = [
            total.folds,
            total.weak_pairs,
            total.covered,
            total.zeroed,
            total.compositions,
            total.deletes_collected,
        ];
        assert!(reached.iter().all(|count| *count > 100), "{total:?}");
    }
}

/// Goes on for `STRATAL_SOAK_SECS` seconds (60 if unset), from `STRATAL_SOAK_SEED`.
#[test]
#[ignore = "runs for as long as it is told"]
fn soak() {
    let number = |name, default| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let time = std::time::Duration::from_secs(number("STRATAL_SOAK_SECS", 60));
    let start = std::time::Instant::now();
    let mut seed = number("STRATAL_SOAK_SEED", 1 << 40);
    let order: Arc<dyn Comparator> = Arc::new(Bytewise);
    while start.elapsed() < time {
        lives(&order, seed..seed + 20, 600);
        seed += 20;
    }
}
