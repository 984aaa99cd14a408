//! A tree of tables over the keys: jobs, and reads that trust nothing but search order.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use stratal_compaction::{
    SpanSet,
    gc::{CompactionFilter, GcContext, GcStream, JobTombstones, Verdict},
    plan::{Job, Place, Reason, Shape, Table},
};
use stratal_merge::{Fold, SliceCursor, Source, VisibleCursor};
use stratal_types::{
    Bytewise, Cursor, CutOptions, EntryKind, EntryRef, Fragments, KeyRange, OutputCutter, Piece,
    RangeTombstone, SeqNo,
};

use crate::{
    model::{Judged, KEYS, Log, PROBES, Write},
    support::{Append, Itself, Row, RowCursor, sort},
};

/// What a table or memtable holds.
#[derive(Clone, Debug, Default)]
struct Content {
    rows: Vec<Row>,
    tombstones: Fragments,
}

/// What the filter of a job says of every value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    None,
    Remove,
    Replace,
    Destroy,
}

/// How a merge is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    /// Whether every key gets a table of its own.
    pub(crate) cuts: bool,
    /// The key before which it is parted.
    pub(crate) parted: Option<usize>,
    pub(crate) operator: bool,
    pub(crate) composes: bool,
    pub(crate) filter: Filter,
}

impl Means {
    pub(crate) const PLAIN: Self =
        Self { cuts: false, parted: None, operator: true, composes: true, filter: Filter::None };
}

#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) log: Log,
    memtable: Vec<Row>,
    range_deletes: Vec<RangeTombstone>,
    pub(crate) shape: Shape,
    contents: BTreeMap<u64, Content>,
    next_number: u64,
    next_age: u64,
}

/// A read that was answered wrongly. Everything that led to it is in the tree.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "printed when a test fails")]
pub(crate) struct Wrong {
    what: String,
    bound: u64,
    got: Vec<(Vec<u8>, Vec<u8>)>,
    want: Vec<(Vec<u8>, Vec<u8>)>,
    tree: Tree,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self {
            log: Log::new(),
            memtable: Vec::new(),
            range_deletes: Vec::new(),
            shape: Shape::default(),
            contents: BTreeMap::new(),
            next_number: 1,
            next_age: 1,
        }
    }

    pub(crate) fn write(&mut self, write: Write) {
        if write.is_ingested() {
            self.flush();
        }
        let (row, tombstone) = self.log.append(write);
        self.memtable.extend(row);
        self.range_deletes.extend(tombstone);
        if write.is_ingested() {
            self.flush();
        }
    }

    fn memory(&self) -> Content {
        let mut rows = self.memtable.clone();
        sort(&mut rows, &Bytewise);
        Content { rows, tombstones: Fragments::build(&self.range_deletes, &Bytewise) }
    }

    /// What is in memory becomes a run, as it is: what a flush collects, merges do too.
    pub(crate) fn flush(&mut self) {
        let content = self.memory();
        let Some(span) = span(&content) else { return };
        let job = Job::flush(span, self.next_age);
        self.next_age += 1;
        (self.memtable, self.range_deletes) = (Vec::new(), Vec::new());
        let table = self.table(content);
        self.shape.apply(&job, vec![table], &Bytewise);
    }

    fn table(&mut self, content: Content) -> Table {
        let number = self.next_number;
        self.next_number += 1;
        let numbers = content.rows.iter().map(|row| row.trailer.seqno());
        let fragments = content.tombstones.seqno_range();
        let seqnos = numbers.chain(fragments.iter().flat_map(|(low, high)| [*low, *high]));
        let table = Table {
            number,
            span: span(&content).unwrap(),
            len: content.rows.len() as u64,
            seqnos: (seqnos.clone().min().unwrap(), seqnos.max().unwrap()),
            entries: content.rows.len() as u64,
            deletes: 0,
            tombstones: content.tombstones.len() as u64,
            created_at_ms: 0,
            expired_at: None,
            judged_to: SeqNo::ZERO,
            busy: false,
        };
        self.contents.insert(number, content);
        table
    }

    /// The merge that begins with these tables, and takes what it has to.
    pub(crate) fn job(&self, seeds: &[u64], output: Place) -> Option<Job> {
        let job = Job::widen(&self.shape, seeds, output, Reason::Manual, &Bytewise).ok()?;
        job.into_merge(&self.shape, &Bytewise).ok()
    }

    /// Every merge of what one or two tables bring along, to every place.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let tables: Vec<u64> = self.shape.tables().map(|(_, table)| table.number).collect();
        let mut places: Vec<Place> = self.shape.runs().map(|(place, _)| place).collect();
        places.push(Place { level: 1, age: 0 });
        places.dedup();
        let mut jobs: Vec<Job> = Vec::new();
        for (at, first) in tables.iter().enumerate() {
            for second in &tables[at..] {
                let seeds = [*first, *second];
                let seeds = if first == second { &seeds[..1] } else { &seeds };
                for place in &places {
                    jobs.extend(self.job(seeds, *place).filter(|job| !jobs.contains(job)));
                }
            }
        }
        jobs
    }

    pub(crate) fn run(&mut self, job: &Job, means: Means) {
        job.check(&self.shape, &Bytewise).unwrap_or_else(|why| panic!("{why}: {job:#?}"));
        let older = job.older(&self.shape, &Bytewise);
        let elsewhere = job.covered_elsewhere(&self.shape, &Bytewise);
        let memory = self.memory().tombstones.span();
        let elsewhere = SpanSet::of(elsewhere.spans().iter().cloned().chain(memory), &Bytewise);
        let numbers = self.shape.tables().map(|(_, table)| table.number);
        let taken: Vec<u64> = numbers.filter(|number| job.takes(*number)).collect();
        let inputs: Vec<Content> =
            taken.iter().map(|number| self.contents.remove(number).unwrap()).collect();
        let mut rows: Vec<Row> = inputs.iter().flat_map(|input| input.rows.clone()).collect();
        sort(&mut rows, &Bytewise);
        let all = Fragments::merge(inputs.iter().map(|input| &input.tombstones), &Bytewise);
        let watermark = self.shape.watermark;
        let tombstones = JobTombstones::new(all, watermark, &older, &Bytewise);
        let operator = Append { composes: means.composes };
        let context = GcContext {
            covered_elsewhere: Some(&elsewhere),
            operator: if means.operator { Some(&operator) } else { None },
            values: Some(&Itself),
            ..GcContext::new(&Bytewise, watermark, &tombstones, &older)
        };
        let middle = means.parted.map(|key| KEYS[key].to_vec());
        let parts = match &middle {
            None => vec![Piece::default()],
            Some(key) => vec![
                Piece { start: None, end: Some(key.clone()) },
                Piece { start: Some(key.clone()), end: None },
            ],
        };
        let mut judge = Judge { filter: means.filter, watermark, judged: Vec::new() };
        let mut outputs: Vec<(Piece, Vec<Row>)> = Vec::new();
        let fences = job.fences(&self.shape, &Bytewise);
        for part in parts {
            let before = |row: &Row| part.start.as_ref().is_some_and(|start| row.key < *start);
            let part_rows = &rows[rows.partition_point(before)..];
            let context = GcContext { end: part.end.as_deref(), ..context };
            let mut depart = |_: &[u8], _: &[u8]| {};
            let stream = GcStream::new(RowCursor::new(part_rows), context, &mut depart);
            let mut stream = stream.with_filter(&mut judge);
            let table_len = if means.cuts { 1 } else { u64::MAX };
            let options = CutOptions { table_len, below_len_max: u64::MAX };
            let mut cutter = OutputCutter::new(options, &fences, part.clone(), &Bytewise);
            let mut current: Vec<Row> = Vec::new();
            stream.advance().unwrap();
            while let Some(entry) = stream.entry() {
                if let Some(piece) = cutter.before(entry.key, current.len() as u64) {
                    outputs.push((piece, std::mem::take(&mut current)));
                }
                current.push(entry.into());
                stream.advance().unwrap();
            }
            outputs.push((cutter.finish(), current));
            stream.finish().unwrap();
        }
        let mut tables = Vec::new();
        for (piece, rows) in outputs {
            let output = Content { rows, tombstones: piece.clip(tombstones.kept(), &Bytewise) };
            if span(&output).is_some() {
                tables.push(self.table(output));
            }
        }
        self.shape.apply(job, tables, &Bytewise);
        judge.judged.into_iter().for_each(|judged| self.log.judge(judged));
    }

    /// The first read at or above the watermark that is not the truth: rows from both ends, and seeks to
    /// every key and between keys.
    pub(crate) fn check(&self) -> Result<(), Box<Wrong>> {
        self.shape.check(&Bytewise).unwrap();
        let sources = self.sources();
        for bound in self.shape.watermark.get()..=self.log.end() {
            let row = |key: usize| Some((KEYS[key].to_vec(), self.log.truth(key, bound)?));
            let truth: Vec<_> = (0..KEYS.len()).filter_map(row).collect();
            let seqno = SeqNo::new(bound).unwrap();
            let mut cursor = VisibleCursor::new(sources.clone(), Arc::new(Bytewise), seqno)
                .with_fold(Arc::new(Appending));
            let wrong = |what: &str, got, want: &[_]| {
                let (what, want) = (what.to_owned(), want.to_vec());
                Err(Box::new(Wrong { what, bound, got, want, tree: self.clone() }))
            };
            let Ok(()) = cursor.seek_to_first();
            let found = rest(&mut cursor, true);
            if found != truth {
                return wrong("forwards", found, &truth);
            }
            let Ok(()) = cursor.seek_to_last();
            let mut found = rest(&mut cursor, false);
            found.reverse();
            if found != truth {
                return wrong("backwards", found, &truth);
            }
            for probe in PROBES {
                let Ok(()) = cursor.seek(probe, SeqNo::MAX);
                let behind = truth.partition_point(|(key, _)| &key[..] < probe);
                let found: Vec<_> = here(&cursor).into_iter().collect();
                if found[..] != truth[behind..(behind + 1).min(truth.len())] {
                    return wrong(&format!("seek to {probe:?}"), found, &truth[behind..]);
                }
            }
        }
        Ok(())
    }

    /// Memory and runs, in search order.
    fn sources(&self) -> Vec<Source<SliceCursor>> {
        let source = |contents: &[&Content]| {
            let rows = contents.iter().flat_map(|content| &content.rows);
            let rows = rows.map(|row| (row.key.clone(), row.trailer, row.value.clone()));
            let tombstones = contents.iter().map(|content| &content.tombstones);
            let tombstones = Arc::new(Fragments::merge(tombstones, &Bytewise));
            Source::new(SliceCursor::new(rows.collect(), Arc::new(Bytewise)), tombstones)
        };
        let memory = self.memory();
        let runs = self.shape.runs().map(|(_, run)| {
            let tables = run.tables.iter().map(|table| &self.contents[&table.number]);
            source(&tables.collect::<Vec<_>>())
        });
        std::iter::once(source(&[&memory])).chain(runs).collect()
    }
}

fn here(cursor: &VisibleCursor<SliceCursor>) -> Option<(Vec<u8>, Vec<u8>)> {
    cursor.entry().map(|entry| (entry.key.to_vec(), entry.value.to_vec()))
}

fn rest(cursor: &mut VisibleCursor<SliceCursor>, forward: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    while let Some(row) = here(cursor) {
        rows.push(row);
        let Ok(()) = if forward { cursor.advance() } else { cursor.retreat() };
    }
    rows
}

fn span(content: &Content) -> Option<KeyRange> {
    let rows = content.rows.first().zip(content.rows.last());
    let rows = rows.map(|(first, last)| KeyRange::closed(&first.key[..], &last.key[..]));
    match (rows, content.tombstones.span()) {
        (Some(rows), Some(tombstones)) => Some(rows.hull(&tombstones, &Bytewise)),
        (rows, tombstones) => rows.or(tombstones),
    }
}

/// Folds as the model does. A value elsewhere is its own pointer.
#[derive(Debug)]
struct Appending;

impl Fold<Infallible> for Appending {
    fn fold(
        &self,
        _key: &[u8],
        base: Option<(EntryKind, &[u8])>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, Infallible> {
        let base = base.map_or(&[][..], |(_, value)| value);
        Ok([base, &operands.concat()].concat())
    }
}

/// Judges every value alike, and remembers what it said.
struct Judge {
    filter: Filter,
    watermark: SeqNo,
    judged: Vec<Judged>,
}

impl CompactionFilter for Judge {
    fn judge(&mut self, entry: EntryRef<'_>) -> Verdict {
        let key = KEYS.iter().position(|key| *key == entry.key).unwrap();
        assert!(self.judged.iter().all(|judged| judged.key != key), "a key is asked about once");
        assert!(entry.kind().is_value() && entry.seqno() < self.watermark);
        let last = *entry.value.last().unwrap();
        let mut value = None;
        let verdict = match self.filter {
            Filter::None => return Verdict::Keep,
            Filter::Remove => Verdict::Remove,
            Filter::Destroy => Verdict::Destroy,
            Filter::Replace => Verdict::Replace(value.insert(vec![b'r', last]).clone()),
        };
        self.judged.push(Judged { key, seqno: u64::from(last & 0x7f), value });
        verdict
    }
}
