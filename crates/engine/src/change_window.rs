//! The next few changes of a tree, in order, out of sources that are in another.

use std::{cmp::Ordering, collections::BTreeMap, ops::Range, sync::Arc};

use stratal_memtable::Memtable;
use stratal_types::{Comparator, Cursor, EntryKind, EntryRef, Fragment, Fragments, SeqNo};

use crate::{Change, Error, Operation, files::TableHandle, read_state::ReadState};

/// A place among changes: by number, and under one number, which only an ingestion gives to many, the
/// range deletes first and then the keys in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) seqno: SeqNo,
    /// `None` stands before the range deletes.
    key: Option<Vec<u8>>,
}

impl Position {
    /// Before everything that has the number `seqno`.
    pub(crate) fn before(seqno: SeqNo) -> Self {
        Self { seqno, key: None }
    }
}

/// The first changes from `from` on, as many as fit into memory.
///
/// Sources are read one after the other. When memory is full the last quarter is dropped, and from then
/// on nothing is taken that stands behind what is left: of all changes from `from` to `until`, those
/// that were met are held.
pub(crate) struct Window<'a> {
    comparator: &'a dyn Comparator,
    from: &'a Position,
    until: Position,
    memory_len: usize,
    /// Bytes held.
    len: usize,
    rows: Vec<Change>,
    ranges: BTreeMap<SeqNo, Pieces>,
}

/// The ranges that one range delete covers, or those of one ingestion: in order, apart from one
/// another. Tables hold it in pieces; put together there is one.
#[derive(Debug, Default)]
struct Pieces {
    pieces: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes they take.
    len: usize,
}

impl<'a> Window<'a> {
    pub(crate) fn new(
        comparator: &'a dyn Comparator,
        from: &'a Position,
        until: SeqNo,
        memory_len: usize,
    ) -> Self {
        let until = Position::before(until);
        let (rows, ranges) = (Vec::new(), BTreeMap::new());
        Self { comparator, from, until, memory_len, len: 0, rows, ranges }
    }

    /// Takes what there is of a tree. Tables that hold older numbers are read first, so that those with
    /// newer ones need not be.
    pub(crate) fn take_all(&mut self, state: &ReadState) -> Result<(), Error> {
        let mut tables: Vec<&Arc<TableHandle>> =
            state.view.tables().map(|(_, table)| table).collect();
        tables.sort_by_key(|table| seqnos(table).start);
        for memtable in state.memtables() {
            self.take_ranges(&memtable.tombstones());
        }
        for handle in &tables {
            if handle.meta.range_tombstones > 0 && self.may_take(&seqnos(handle)) {
                let found = handle.table()?.tombstones();
                self.take_ranges(&*found.map_err(|source| handle.error(source))?);
            }
        }
        for handle in &tables {
            if handle.meta.entries > 0 && self.may_take(&seqnos(handle)) {
                self.take_table(handle)?;
            }
        }
        for memtable in state.memtables() {
            self.take_memtable(memtable)?;
        }
        Ok(())
    }

    /// The changes in order, and where the next window begins.
    pub(crate) fn finish(mut self) -> (Vec<Change>, Position) {
        self.sort();
        let Self { comparator, until, mut rows, ranges, .. } = self;
        let has_ranges = !ranges.is_empty();
        rows.extend(ranges.into_iter().flat_map(|(seqno, ranges)| {
            ranges.pieces.into_iter().map(move |(from, to)| {
                let operation = Operation::DeleteRange { from, to };
                Change { seqno, operation }
            })
        }));
        if has_ranges {
            rows.sort_unstable_by(|a, b| compare(a, b, comparator));
        }
        (rows, until)
    }

    /// Whether a source with these numbers may hold a change that is wanted.
    fn may_take(&self, seqnos: &Range<SeqNo>) -> bool {
        let wanted = self.seqnos();
        seqnos.start < wanted.end && wanted.start < seqnos.end
    }

    /// The numbers of changes that are wanted.
    fn seqnos(&self) -> Range<SeqNo> {
        let until = self.until.seqno;
        let is_inside = self.until.key.is_some();
        let end = if is_inside { until.next().unwrap_or(SeqNo::MAX) } else { until };
        self.from.seqno..end
    }

    fn take_table(&mut self, handle: &TableHandle) -> Result<(), Error> {
        let failed = |source| handle.error(source);
        let mut wanted = self.seqnos();
        let mut cursor = handle.table()?.cursor_between(wanted.clone());
        cursor.seek_to_first().map_err(failed)?;
        while let Some(entry) = cursor.entry() {
            self.take_row(entry)?;
            if self.seqnos() != wanted {
                wanted = self.seqnos();
                cursor.look_for(&wanted);
            }
            cursor.advance().map_err(failed)?;
        }
        Ok(())
    }

    fn take_memtable(&mut self, memtable: &Arc<Memtable>) -> Result<(), Error> {
        let Some(held) = memtable.seqno_range() else { return Ok(()) };
        if !self.may_take(&(*held.start()..held.end().next().unwrap_or(SeqNo::MAX))) {
            return Ok(());
        }
        let mut cursor = memtable.cursor();
        let Ok(()) = cursor.seek_to_first();
        while let Some(entry) = cursor.entry() {
            self.take_row(entry)?;
            let Ok(()) = cursor.advance();
        }
        Ok(())
    }

    fn take_row(&mut self, entry: EntryRef<'_>) -> Result<(), Error> {
        let (seqno, key) = (entry.seqno(), entry.key);
        let is_before = |place: &Position| match seqno.cmp(&place.seqno) {
            Ordering::Equal => {
                let place = place.key.as_deref();
                place.is_some_and(|place| self.comparator.compare(key, place).is_lt())
            }
            order => order.is_lt(),
        };
        if is_before(self.from) || !is_before(&self.until) {
            return Ok(());
        }
        let operation = operation(entry)?;
        self.len += row_len(&operation);
        self.rows.push(Change { seqno, operation });
        self.keep_within_memory();
        Ok(())
    }

    fn take_ranges(&mut self, fragments: &Fragments) {
        for Fragment { start, end, seqno } in fragments.iter() {
            // Those of one number stand before its keys, so a window that begins or ends among the
            // keys has had them or has them.
            let is_had =
                seqno < self.from.seqno || (seqno == self.from.seqno && self.from.key.is_some());
            if is_had || !self.seqnos().contains(&seqno) {
                continue;
            }
            let pieces = self.ranges.entry(seqno).or_default();
            self.len -= pieces.len;
            pieces.add(start, end, self.comparator);
            self.len += pieces.len;
            self.keep_within_memory();
        }
    }

    /// Drops what stands last if there is more than memory may hold. What stands first stays, however
    /// long it is.
    fn keep_within_memory(&mut self) {
        if self.len <= self.memory_len {
            return;
        }
        self.sort();
        let kept_len_max = self.memory_len / 4 * 3;
        let mut ranges = self.ranges.iter().peekable();
        let mut rows = self.rows.iter().enumerate().peekable();
        let mut len = 0;
        let end = loop {
            let ranges_seqno = ranges.peek().map(|(seqno, _)| **seqno);
            let row_seqno = rows.peek().map(|(_, row)| row.seqno);
            let (position, next_len) = match (ranges_seqno, row_seqno) {
                (Some(seqno), row) if row.is_none_or(|row| seqno <= row) => {
                    let pieces_len = ranges.next().map_or(0, |(_, pieces)| pieces.len);
                    (Position::before(seqno), pieces_len)
                }
                _ => match rows.next() {
                    Some((at, row)) => {
                        let key = at.checked_sub(1).and_then(|at| self.rows.get(at));
                        let shares = key.is_some_and(|before| before.seqno == row.seqno)
                            || self.ranges.contains_key(&row.seqno);
                        let key = shares.then(|| key_of(&row.operation).to_vec());
                        (Position { seqno: row.seqno, key }, row_len(&row.operation))
                    }
                    None => return,
                },
            };
            if len > 0 && len + next_len > kept_len_max {
                break position;
            }
            len += next_len;
        };
        let kept = self.rows.partition_point(|row| {
            row.seqno < end.seqno
                || (row.seqno == end.seqno
                    && end.key.as_ref().is_some_and(|end| {
                        self.comparator.compare(key_of(&row.operation), end).is_lt()
                    }))
        });
        self.rows.truncate(kept);
        let gone_from = if end.key.is_some() { end.seqno.next() } else { Some(end.seqno) };
        drop(gone_from.map(|seqno| self.ranges.split_off(&seqno)));
        self.len = len;
        self.until = end;
    }

    /// Puts rows in order. The same one from two sources is one.
    fn sort(&mut self) {
        let comparator = self.comparator;
        self.rows.sort_unstable_by(|a, b| compare(a, b, comparator));
        let len = &mut self.len;
        self.rows.dedup_by(|later, first| {
            let is_same = compare(later, first, comparator).is_eq();
            *len -= if is_same { row_len(&later.operation) } else { 0 };
            is_same
        });
    }
}

impl Pieces {
    /// Adds the keys from `start` to `end`.
    fn add(&mut self, start: &[u8], end: &[u8], comparator: &dyn Comparator) {
        let first = self.pieces.partition_point(|(_, to)| comparator.compare(to, start).is_lt());
        let behind = self.pieces.partition_point(|(from, _)| comparator.compare(from, end).is_le());
        let (mut from, mut to) = (start.to_vec(), end.to_vec());
        for piece in self.pieces.drain(first..behind.max(first)) {
            self.len -= piece_len(&piece);
            if comparator.compare(&piece.0, &from).is_lt() {
                from = piece.0;
            }
            if comparator.compare(&piece.1, &to).is_gt() {
                to = piece.1;
            }
        }
        let piece = (from, to);
        self.len += piece_len(&piece);
        self.pieces.insert(first, piece);
    }
}

fn piece_len((from, to): &(Vec<u8>, Vec<u8>)) -> usize {
    CHANGE_LEN + from.len() + to.len()
}

/// Bytes that a change takes beside its keys and values at most: its place in a list that has just been
/// full, and is now twice as long while the old one is still there.
const CHANGE_LEN: usize = 3 * size_of::<Change>();

fn row_len(operation: &Operation) -> usize {
    let value_len = match operation {
        Operation::Put { value, .. } => value.len(),
        Operation::Merge { operand, .. } => operand.len(),
        Operation::DeleteRange { to, .. } => to.len(),
        Operation::Delete { .. } | Operation::WeakDelete { .. } => 0,
    };
    CHANGE_LEN + key_of(operation).len() + value_len
}

fn key_of(operation: &Operation) -> &[u8] {
    match operation {
        Operation::Put { key, .. }
        | Operation::Delete { key }
        | Operation::WeakDelete { key }
        | Operation::Merge { key, .. } => key,
        Operation::DeleteRange { from, .. } => from,
    }
}

fn compare(a: &Change, b: &Change, comparator: &dyn Comparator) -> Ordering {
    let is_row = |change: &Change| !matches!(change.operation, Operation::DeleteRange { .. });
    a.seqno
        .cmp(&b.seqno)
        .then_with(|| is_row(a).cmp(&is_row(b)))
        .then_with(|| comparator.compare(key_of(&a.operation), key_of(&b.operation)))
}

/// What was done when this entry was written.
fn operation(entry: EntryRef<'_>) -> Result<Operation, Error> {
    let (key, value) = (entry.key.to_vec(), entry.value.to_vec());
    match entry.kind() {
        EntryKind::Put | EntryKind::PutOverDelete => Ok(Operation::Put { key, value }),
        EntryKind::Delete => Ok(Operation::Delete { key }),
        EntryKind::WeakDelete => Ok(Operation::WeakDelete { key }),
        EntryKind::Merge => Ok(Operation::Merge { key, operand: value }),
        kind => Err(Error::NotAValue(kind)),
    }
}

/// The numbers in a table, as reads see them.
fn seqnos(handle: &TableHandle) -> Range<SeqNo> {
    let meta = &handle.meta;
    let (first, last) = match meta.seqno_overlay {
        Some(seqno) => (seqno, seqno),
        None => (meta.seqno_min, meta.seqno_max),
    };
    first..last.next().unwrap_or(SeqNo::MAX)
}

#[cfg(test)]
mod tests {
    use stratal_types::{Trailer, comparator_named};

    use super::*;

    /// What two memtables hold, all of it in windows of `memory_len` bytes.
    fn in_windows(memtables: &[Arc<Memtable>], until: SeqNo, memory_len: usize) -> Vec<Change> {
        let comparator = memtables[0].comparator().as_ref();
        let mut next = Position::before(SeqNo::from(1));
        let mut all = Vec::new();
        while next.seqno < until {
            let mut window = Window::new(comparator, &next, until, memory_len);
            for memtable in memtables {
                window.take_ranges(&memtable.tombstones());
            }
            for memtable in memtables {
                window.take_memtable(memtable).unwrap();
            }
            let (changes, behind) = window.finish();
            assert!(!changes.is_empty() || behind.seqno == until, "it goes on for ever");
            all.extend(changes);
            next = behind;
        }
        all
    }

    /// As ingestions give them: many keys and ranges under one number.
    #[test]
    fn changes_that_share_a_number_are_given_once_and_in_the_order_of_their_keys() {
        for name in ["bytewise", "reverse"] {
            let comparator = comparator_named(name).unwrap();
            let memtables = [0, 1].map(|id| Arc::new(Memtable::new(id, Arc::clone(&comparator))));
            let mut expected = Vec::new();
            for i in 0..300u32 {
                // Three numbers with a hundred keys each, others with one.
                let seqno = SeqNo::from(if i % 2 == 0 { 100 * (1 + i / 100) } else { i });
                let key = format!("key {:03}", i * 7 % 300).into_bytes();
                let value = vec![b'v'; i as usize % 90];
                let trailer = Trailer::new(seqno, EntryKind::Put);
                let memtable = &memtables[i as usize % 3 % 2];
                memtable.apply(&key, trailer, &value).unwrap();
                if i % 5 == 0 {
                    // The same from two sources.
                    for memtable in &memtables {
                        memtable.apply(&key, trailer, &value).unwrap();
                    }
                }
                expected.push(Change { seqno, operation: Operation::Put { key, value } });
            }
            for i in 0..40u32 {
                let seqno = SeqNo::from(100 * (1 + i % 3));
                let mut ends = [format!("key {i:03}-"), format!("key {i:03}.")].map(Vec::from);
                ends.sort_by(|a, b| comparator.compare(a, b));
                let [from, to] = ends;
                memtables[i as usize % 2].delete_range(&from, &to, seqno).unwrap();
                expected.push(Change { seqno, operation: Operation::DeleteRange { from, to } });
            }
            expected.sort_by(|a, b| compare(a, b, comparator.as_ref()));
            let order = |change: &Change| {
                let is_row = !matches!(change.operation, Operation::DeleteRange { .. });
                (change.seqno, is_row)
            };
            assert!(expected.is_sorted_by_key(order), "range deletes stand before rows");
            for until in [301, 200, 201] {
                let until = SeqNo::from(until);
                let wanted: Vec<_> =
                    expected.iter().filter(|change| change.seqno < until).cloned().collect();
                for memory_len in [0, 500, 700, 3000, 20_000, 1 << 20] {
                    let found = in_windows(&memtables, until, memory_len);
                    assert!(found == wanted, "{name}, until {until}, {memory_len} bytes");
                }
            }
        }
    }

    #[test]
    fn pieces_of_a_range_are_put_together_in_any_order() {
        let comparator = comparator_named("bytewise").unwrap();
        let pieces = ["ac", "ce", "eg", "km", "ik", "xz"];
        for turn in 0..pieces.len() {
            let mut joined = Pieces::default();
            for piece in pieces.iter().cycle().skip(turn).take(pieces.len()) {
                let (from, to) = piece.split_at(1);
                joined.add(from.as_bytes(), to.as_bytes(), comparator.as_ref());
                assert_eq!(joined.len, joined.pieces.iter().map(piece_len).sum::<usize>());
            }
            let joined: Vec<_> = joined.pieces.iter().map(|(a, b)| [&a[..], b].concat()).collect();
            assert_eq!(joined, [b"ag", b"im", b"xz"], "{turn}");
            // One that covers several, and one that touches nothing.
            let mut joined = Pieces::default();
            for piece in ["bc", "ef", "ad", "yz"] {
                let (from, to) = piece.split_at(1);
                joined.add(from.as_bytes(), to.as_bytes(), comparator.as_ref());
            }
            assert_eq!(joined.pieces.len(), 3);
        }
    }
}
