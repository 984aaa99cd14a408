//! One key and its whole life: what was written, what sources hold, what a read must say.
//!
//! A source is a run or a memtable: versions newest first, and the numbers of the range tombstones
//! that cover the key. Sources stand newest first, the active memtable in front. Truth is a replay
//! of the log of writes; garbage collection never touches it.
//!
//! Values are written so that every mistake shows: a put at `s` has the value `[0x80 | s]`, an
//! operand at `s` is `[s]`, and folding appends. What a filter puts in the place of a value ends as that
//! value does. So the last byte of any value tells the number of its write, also where that was zeroed.

use std::collections::BTreeMap;

use stratal_testkit::Rng;
use stratal_types::EntryKind;

/// Numbers of writes are below this, so that one fits beside the mark of a put.
pub(crate) const SEQNO_END: u64 = 0x80;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) seqno: u64,
    pub(crate) kind: EntryKind,
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// Newest first.
    pub(crate) versions: Vec<Version>,
    /// Numbers of covering range tombstones, in any order.
    pub(crate) fragments: Vec<u64>,
}

/// A write, as the caller makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    Put,
    Delete,
    WeakDelete,
    Operand,
    RangeDelete,
    /// A put whose value lies in a value file.
    Separated,
    /// A row that is ingested over what is there: a source of its own, newer than all others.
    Ingest(Row),
    /// The same with an excise over the key: a row and a fragment with one number.
    Replace(Row),
    /// An excise over the key, and no row.
    Excise,
}

/// What an ingestion says about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    Put,
    Delete,
    Operand,
}

impl Write {
    pub(crate) const PLAIN: [Self; 5] =
        [Self::Put, Self::Delete, Self::WeakDelete, Self::Operand, Self::RangeDelete];

    /// Everything that is ingested.
    pub(crate) const INGESTED: [Self; 7] = [
        Self::Ingest(Row::Put),
        Self::Ingest(Row::Delete),
        Self::Ingest(Row::Operand),
        Self::Replace(Row::Put),
        Self::Replace(Row::Delete),
        Self::Replace(Row::Operand),
        Self::Excise,
    ];

    fn kind(self) -> Option<EntryKind> {
        Some(match self {
            Self::Put | Self::Ingest(Row::Put) | Self::Replace(Row::Put) => EntryKind::Put,
            Self::Separated => EntryKind::ValuePointer,
            Self::Delete | Self::Ingest(Row::Delete) | Self::Replace(Row::Delete) => {
                EntryKind::Delete
            }
            Self::WeakDelete => EntryKind::WeakDelete,
            Self::Operand | Self::Ingest(Row::Operand) | Self::Replace(Row::Operand) => {
                EntryKind::Merge
            }
            Self::RangeDelete | Self::Excise => return None,
        })
    }

    /// Whether it comes with a fragment over the key.
    fn covers(self) -> bool {
        matches!(self, Self::RangeDelete | Self::Replace(_) | Self::Excise)
    }

    fn is_ingested(self) -> bool {
        matches!(self, Self::Ingest(_) | Self::Replace(_) | Self::Excise)
    }
}

/// What a merge of adjacent sources knows about the rest of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) watermark: u64,
    /// Nothing older than the inputs holds the key.
    pub(crate) nothing_older: bool,
    /// Nothing older overlaps the fragments of the inputs, which reach beyond the key.
    pub(crate) fragments_go: bool,
    /// A fragment in a newer source covers the key.
    pub(crate) fragment_above: bool,
    /// Numbers of the puts that a filter may remove weakly: one older put is under them at most.
    pub(crate) weakly: u128,
}

/// A read, by definition: newest first, whatever a covering fragment does not hide.
pub(crate) fn read(sources: &[Source], bound: u64) -> Option<Vec<u8>> {
    let visible = |fragment: &u64| *fragment < bound;
    let cover = sources.iter().flat_map(|source| &source.fragments).copied().filter(visible).max();
    let mut operands = Vec::new();
    let mut base = None;
    for version in sources.iter().flat_map(|source| &source.versions) {
        if version.seqno >= bound {
            continue;
        }
        if cover.is_some_and(|fragment| fragment > version.seqno) {
            break;
        }
        match version.kind {
            EntryKind::Merge => operands.push(version.value.as_slice()),
            kind if kind.is_delete() => break,
            _ => {
                base = Some(version.value.as_slice());
                break;
            }
        }
    }
    if operands.is_empty() && base.is_none() {
        return None;
    }
    let mut value = base.unwrap_or_default().to_vec();
    operands.iter().rev().for_each(|operand| value.extend_from_slice(operand));
    Some(value)
}

/// The log of writes to the key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    writes: Vec<(u64, Write)>,
    /// Puts since the last delete, if nothing but puts came since.
    puts: Option<u32>,
    last_delete_was_weak: bool,
    /// What filters made of the key as it was after the write with this number.
    judged: BTreeMap<u64, Option<Vec<u8>>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            writes: Vec::new(),
            puts: Some(0),
            last_delete_was_weak: true,
            judged: BTreeMap::new(),
        }
    }

    pub(crate) fn next_seqno(&self) -> u64 {
        self.writes.last().map_or(1, |(seqno, _)| seqno + 1)
    }

    /// Whether the caller keeps the contract of weak deletes: exactly one put since the last
    /// delete. `mixed` also allows them for a key that has seen deletes of another sort.
    pub(crate) fn allows(&self, write: Write, mixed: bool) -> bool {
        write != Write::WeakDelete || (self.puts == Some(1) && (mixed || self.last_delete_was_weak))
    }

    /// Appends the write and gives the version or fragment it makes.
    pub(crate) fn append(&mut self, write: Write) -> Source {
        let seqno = self.next_seqno();
        assert!(seqno < SEQNO_END);
        self.writes.push((seqno, write));
        if write.covers() {
            self.puts = Some(0);
            self.last_delete_was_weak = false;
        }
        let byte = u8::try_from(seqno).unwrap();
        let fragments = if write.covers() { vec![seqno] } else { Vec::new() };
        let Some(kind) = write.kind() else {
            return Source { versions: Vec::new(), fragments };
        };
        let value = match kind {
            EntryKind::Put | EntryKind::ValuePointer => {
                self.puts = self.puts.map(|puts| puts + 1);
                vec![0x80 | byte]
            }
            EntryKind::Merge => {
                self.puts = None;
                vec![byte]
            }
            _ => {
                self.puts = Some(0);
                self.last_delete_was_weak = write == Write::WeakDelete;
                Vec::new()
            }
        };
        Source { versions: vec![Version { seqno, kind, value }], fragments }
    }

    /// What a read at `bound` must give.
    pub(crate) fn truth(&self, bound: u64) -> Option<Vec<u8>> {
        let mut value: Option<Vec<u8>> = None;
        for &(seqno, write) in self.writes.iter().take_while(|(seqno, _)| *seqno < bound) {
            let byte = u8::try_from(seqno).unwrap();
            if write.covers() {
                value = None;
            }
            match write.kind() {
                Some(EntryKind::Put | EntryKind::ValuePointer) => value = Some(vec![0x80 | byte]),
                Some(EntryKind::Merge) => value.get_or_insert_default().push(byte),
                _ => value = None,
            }
            if let Some(judged) = self.judged.get(&seqno) {
                value.clone_from(judged);
            }
        }
        value
    }

    /// A filter has made something else of the key as it was after a write.
    pub(crate) fn judge(&mut self, Judged { seqno, value }: Judged) {
        self.judged.insert(seqno, value);
    }

    /// The puts under which there is one older put at most since the last delete.
    fn weakly(&self) -> u128 {
        let (mut puts, mut allowed) = (Some(0), 0);
        for (seqno, write) in &self.writes {
            if let Write::Replace(_) = write {
                puts = Some(0);
            }
            match write {
                Write::Put
                | Write::Separated
                | Write::Ingest(Row::Put)
                | Write::Replace(Row::Put) => {
                    if puts.is_some_and(|puts: u32| puts <= 1) {
                        allowed |= 1 << seqno;
                    }
                    puts = puts.map(|puts| puts + 1);
                }
                Write::Operand | Write::Ingest(Row::Operand) | Write::Replace(Row::Operand) => {
                    puts = None;
                }
                Write::Delete
                | Write::WeakDelete
                | Write::RangeDelete
                | Write::Excise
                | Write::Ingest(Row::Delete)
                | Write::Replace(Row::Delete) => puts = Some(0),
            }
        }
        allowed
    }
}

/// What a filter has made of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Number of the write whose value it was.
    pub(crate) seqno: u64,
    /// What reads are to find from there on, until the next write.
    pub(crate) value: Option<Vec<u8>>,
}

/// Merges the inputs, newest first, into one source.
pub(crate) trait Compactor {
    fn compact(&mut self, inputs: &[Source], facts: Facts) -> Source;

    /// What a filter did in the last merge.
    fn judged(&mut self) -> Option<Judged> {
        None
    }
}

impl<F: FnMut(&[Source], Facts) -> Source> Compactor for F {
    fn compact(&mut self, inputs: &[Source], facts: Facts) -> Source {
        self(inputs, facts)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write(Write),
    Flush,
    Watermark(u64),
    /// Sources `first..=last`, counted from the newest, become one.
    Compact {
        first: usize,
        last: usize,
        facts: Facts,
    },
}

/// A read that was answered wrongly, and how it came to that.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "printed when a test fails")]
pub(crate) struct Wrong {
    pub(crate) steps: Vec<Step>,
    pub(crate) bound: u64,
    pub(crate) got: Option<Vec<u8>>,
    pub(crate) want: Option<Vec<u8>>,
    pub(crate) sources: Vec<Source>,
}

/// What random histories are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    /// Drawn evenly; a repeated write is more frequent.
    pub(crate) writes: &'a [Write],
    pub(crate) steps: usize,
    pub(crate) mixed: bool,
}

/// The merge of `first..=last` and what it may know, put in place.
pub(crate) fn compact(
    sources: &mut Vec<Source>,
    (first, last): (usize, usize),
    facts: Facts,
    log: &mut Log,
    compactor: &mut impl Compactor,
) {
    let output = compactor.compact(&sources[first..=last], facts);
    sources.splice(first..=last, [output]);
    if let Some(judged) = compactor.judged() {
        log.judge(judged);
    }
}

/// The truth about a merge of `first..=last`.
pub(crate) fn facts(
    log: &Log,
    sources: &[Source],
    (first, last): (usize, usize),
    watermark: u64,
) -> Facts {
    let empty = |source: &Source| source.versions.is_empty() && source.fragments.is_empty();
    let nothing_older = sources[last + 1..].iter().all(empty);
    Facts {
        watermark,
        nothing_older,
        fragments_go: nothing_older,
        fragment_above: sources[..first].iter().any(|source| !source.fragments.is_empty()),
        weakly: log.weakly(),
    }
}

/// The first read at or above the watermark that is not the truth.
pub(crate) fn first_wrong_read(log: &Log, sources: &[Source], watermark: u64) -> Option<u64> {
    (watermark..=log.next_seqno()).find(|bound| read(sources, *bound) != log.truth(*bound))
}

/// One random history under `compactor`. Reads are checked after every step.
pub(crate) fn random_history(
    seed: u64,
    shape: Shape<'_>,
    compactor: &mut impl Compactor,
) -> Result<(), Wrong> {
    let mut rng = Rng::new(seed);
    let mut log = Log::new();
    let mut sources = vec![Source::default()];
    let mut watermark = 0;
    let mut steps = Vec::new();
    for _ in 0..shape.steps {
        let step = match rng.below(100) {
            0..50 => Step::Write(*rng.choose(shape.writes)),
            50..65 => Step::Flush,
            65..75 => Step::Watermark(watermark + rng.below(log.next_seqno() - watermark + 1)),
            _ if sources.len() < 2 => continue,
            _ => {
                let first = 1 + rng.index(sources.len() - 1);
                let last = first + rng.index(sources.len() - first);
                let mut facts = facts(&log, &sources, (first, last), watermark);
                // A job may know less than the truth, and fragments reach beyond the key.
                facts.nothing_older &= !rng.chance(1, 8);
                facts.fragments_go = facts.nothing_older && !rng.chance(1, 8);
                facts.fragment_above |= rng.chance(1, 8);
                Step::Compact { first, last, facts }
            }
        };
        match step {
            Step::Write(write) => {
                if !log.allows(write, shape.mixed) {
                    continue;
                }
                let made = log.append(write);
                if write.is_ingested() {
                    // What was in memory is sealed; what comes next goes to a memtable in front.
                    sources.splice(0..0, [Source::default(), made]);
                } else {
                    sources[0].versions.splice(0..0, made.versions);
                    sources[0].fragments.extend(made.fragments);
                }
            }
            Step::Flush => sources.insert(0, Source::default()),
            Step::Watermark(raised) => watermark = raised,
            Step::Compact { first, last, facts } => {
                compact(&mut sources, (first, last), facts, &mut log, compactor);
            }
        }
        steps.push(step);
        if let Some(bound) = first_wrong_read(&log, &sources, watermark) {
            let (got, want) = (read(&sources, bound), log.truth(bound));
            return Err(Wrong { steps, bound, got, want, sources });
        }
    }
    Ok(())
}

/// Counts of an exhaustive walk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) states: u64,
    pub(crate) wrong: u64,
}

/// Every legal history of two to `writes_max` writes out of `alphabet`, each write flushed alone,
/// then every sequence of up to `merges_max` merges of adjacent runs, with the watermark at the end
/// or, if `every_watermark`, anywhere.
pub(crate) fn exhaustive(
    alphabet: &[Write],
    writes_max: usize,
    merges_max: usize,
    every_watermark: bool,
    compactor: &mut impl Compactor,
) -> Walk {
    let mut walk = Walk::default();
    extend(&Log::new(), &mut Vec::new(), alphabet, writes_max, &mut |log, runs| {
        let end = log.next_seqno();
        let watermarks = if every_watermark { 1..=end } else { end..=end };
        for watermark in watermarks {
            let mut sources = vec![Source::default()];
            sources.extend(runs.iter().rev().cloned());
            merge_all_ways(log, &sources, watermark, merges_max, compactor, &mut walk);
        }
    });
    walk
}

fn extend(
    log: &Log,
    runs: &mut Vec<Source>,
    alphabet: &[Write],
    left: usize,
    visit: &mut dyn FnMut(&Log, &[Source]),
) {
    if runs.len() >= 2 {
        visit(log, runs);
    }
    if left == 0 {
        return;
    }
    for &write in alphabet.iter().filter(|write| log.allows(**write, true)) {
        let mut longer = log.clone();
        runs.push(longer.append(write));
        extend(&longer, runs, alphabet, left - 1, visit);
        runs.pop();
    }
}

fn merge_all_ways(
    log: &Log,
    sources: &[Source],
    watermark: u64,
    left: usize,
    compactor: &mut impl Compactor,
    walk: &mut Walk,
) {
    walk.states += 1;
    if first_wrong_read(log, sources, watermark).is_some() {
        walk.wrong += 1;
        return;
    }
    if left == 0 {
        return;
    }
    for first in 1..sources.len() {
        for last in first + 1..sources.len() {
            let mut merged = sources.to_vec();
            let facts = facts(log, sources, (first, last), watermark);
            let mut log = log.clone();
            compact(&mut merged, (first, last), facts, &mut log, compactor);
            merge_all_ways(&log, &merged, watermark, left - 1, compactor, walk);
        }
    }
}
