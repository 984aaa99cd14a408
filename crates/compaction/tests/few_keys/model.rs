//! A few neighbouring keys and what was written to them, replayed for every read.
//!
//! Values are written so that every mistake shows: a put at `s` has the value `[0x80 | s]`, an operand
//! at `s` is `[s]`, and folding appends. So the last byte of any value tells the number of its write.

use std::collections::BTreeMap;

use stratal_testkit::Rng;
use stratal_types::{EntryKind, RangeTombstone, SeqNo};

use crate::support::Row;

/// What is written to.
pub(crate) const KEYS: [&[u8]; 3] = [b"b", b"d", b"f"];

/// Where ranges begin and end.
const BOUNDS: [&[u8]; 4] = [b"b", b"d", b"f", b"h"];

/// Keys, and places before, between and behind them.
pub(crate) const PROBES: [&[u8]; 7] = [b"a", b"b", b"c", b"d", b"e", b"f", b"g"];

/// Numbers are below this, so that one fits beside the mark of a put.
const SEQNO_END: u64 = 0x80;

/// A range over keys from one number up to, and without, another.
pub(crate) type Range = (usize, usize);

/// Every range that holds a key.
pub(crate) const RANGES: [Range; 6] = [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (0, 3)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// A put, a delete of either sort, an operand, or a put of a value that lies elsewhere.
    Row(EntryKind, usize),
    RangeDelete(Range),
    /// One row, as a run of its own.
    Ingest(EntryKind, usize),
    /// The same with an excise, which has its number; or an excise alone.
    Replace(Range, Option<(EntryKind, usize)>),
}

impl Write {
    /// What it says of one key.
    pub(crate) fn row(self) -> Option<(EntryKind, usize)> {
        match self {
            Self::Row(kind, key) | Self::Ingest(kind, key) => Some((kind, key)),
            Self::RangeDelete(_) => None,
            Self::Replace(_, row) => row,
        }
    }

    fn range(self) -> Option<Range> {
        match self {
            Self::RangeDelete(range) | Self::Replace(range, _) => Some(range),
            _ => None,
        }
    }

    fn covers(self, key: usize) -> bool {
        self.range().is_some_and(|(from, to)| (from..to).contains(&key))
    }

    pub(crate) fn is_ingested(self) -> bool {
        matches!(self, Self::Ingest(..) | Self::Replace(..))
    }

    /// Any write, of any key.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        use EntryKind::{Delete, Merge, Put, ValuePointer, WeakDelete};
        let key = rng.index(KEYS.len());
        let range = *rng.choose(&RANGES);
        let row = *rng.choose(&[Put, Delete, Merge]);
        match rng.below(16) {
            0..=8 => {
                let kinds = [Put, Put, ValuePointer, Delete, WeakDelete, WeakDelete, Merge];
                Self::Row(*rng.choose(&kinds), key)
            }
            9..=11 => Self::RangeDelete(range),
            12..=13 => Self::Ingest(row, key),
            14 => Self::Replace(range, None),
            _ => Self::Replace(range, Some((row, key))),
        }
    }
}

/// What a filter has made of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) key: usize,
    /// Number of the write whose value it was.
    pub(crate) seqno: u64,
    /// What reads find from there on, until the next write.
    pub(crate) value: Option<Vec<u8>>,
}

/// Everything that was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) writes: Vec<Write>,
    /// Puts of each key since its last delete; nothing if operands came since.
    puts: [Option<u32>; KEYS.len()],
    judged: BTreeMap<(usize, u64), Option<Vec<u8>>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { puts: [Some(0); KEYS.len()], ..Self::default() }
    }

    /// Above every number.
    pub(crate) fn end(&self) -> u64 {
        self.writes.len() as u64 + 1
    }

    /// Weak deletes are for keys that were put once since the last delete.
    pub(crate) fn allows(&self, write: Write) -> bool {
        match write.row() {
            Some((EntryKind::WeakDelete, key)) => self.puts[key] == Some(1),
            _ => true,
        }
    }

    /// Appends the write and gives what it makes.
    pub(crate) fn append(&mut self, write: Write) -> (Option<Row>, Option<RangeTombstone>) {
        let number = self.end();
        assert!(number < SEQNO_END);
        self.writes.push(write);
        for (key, puts) in self.puts.iter_mut().enumerate() {
            if write.covers(key) {
                *puts = Some(0);
            }
        }
        let row = write.row().map(|(kind, key)| {
            let puts = &mut self.puts[key];
            *puts = match kind {
                EntryKind::Merge => None,
                kind if kind.is_delete() => Some(0),
                _ => puts.map(|puts| puts + 1),
            };
            Row::new(KEYS[key], number, kind, &value(kind, number))
        });
        let seqno = SeqNo::new(number).unwrap();
        let range = write.range();
        (row, range.map(|(from, to)| RangeTombstone::new(BOUNDS[from], BOUNDS[to], seqno)))
    }

    pub(crate) fn judge(&mut self, Judged { key, seqno, value }: Judged) {
        self.judged.insert((key, seqno), value);
    }

    /// What a read at `bound` must give.
    pub(crate) fn truth(&self, key: usize, bound: u64) -> Option<Vec<u8>> {
        let mut found: Option<Vec<u8>> = None;
        for (number, write) in (1..bound).zip(&self.writes) {
            if write.covers(key) {
                found = None;
            }
            let Some((kind, _)) = write.row().filter(|(_, of)| *of == key) else { continue };
            match kind {
                EntryKind::Merge => found.get_or_insert_default().extend(value(kind, number)),
                kind if kind.is_delete() => found = None,
                _ => found = Some(value(kind, number)),
            }
            if let Some(judged) = self.judged.get(&(key, number)) {
                found.clone_from(judged);
            }
        }
        found
    }
}

fn value(kind: EntryKind, number: u64) -> Vec<u8> {
    let byte = u8::try_from(number).unwrap();
    match kind {
        EntryKind::Merge => vec![byte],
        kind if kind.is_delete() => Vec::new(),
        _ => vec![0x80 | byte],
    }
}
