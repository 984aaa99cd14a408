//! Cursors pass over what is older than a number without reading it.

use std::sync::Arc;

use crate::support::{Entry, context, open, owned, write};
use stratal_sst::{Partitioning, Table, TableContext, TableOptions};
use stratal_types::{
    Bytewise, Comparator, Counter, Counters, Cursor, Direction, EntryKind, SeqNo, Trailer,
};

/// From every probe, over what is older than some numbers, to every probe: no entry is passed that is not
/// older, or stands beyond the limit, and the cursor is where it says.
pub(crate) fn check_passing(table: &Table, entries: &[Entry], probes: &[Vec<u8>]) {
    let comparator = table.comparator();
    let numbers = entries.iter().map(|(_, trailer, _)| trailer.seqno());
    let newest = numbers.max().unwrap_or(SeqNo::ZERO).get();
    let numbers = [0, newest / 2, newest, newest + 1].map(|it| SeqNo::new(it).unwrap());
    let probes: Vec<_> = probes.iter().step_by(1 + probes.len() / 12).collect();
    let mut cursor = table.cursor();
    for from in &probes {
        for limit in &probes {
            for seqno in numbers {
                cursor.seek(from, SeqNo::MAX).unwrap();
                let Some(start) = place_of(&cursor, entries) else { continue };
                let is_before = |at: usize| comparator.compare(&entries[at].0, limit).is_lt();
                let direction =
                    if is_before(start) { Direction::Forward } else { Direction::Backward };
                let is_passed = |at: usize| {
                    entries[at].1.seqno() < seqno
                        && is_before(at) == (direction == Direction::Forward)
                };
                let has_left = cursor.pass_older(direction, seqno, limit).unwrap();
                let end = place_of(&cursor, entries);
                assert_eq!(has_left, end != Some(start));
                let mut passed = match direction {
                    Direction::Forward => start..end.unwrap_or(entries.len()),
                    Direction::Backward => end.map_or(0, |end| end + 1)..start + 1,
                };
                assert!(passed.all(is_passed), "{from:?} to {limit:?}, {seqno:?}: {passed:?}");
                cursor.advance().unwrap();
                let next = match (end, direction) {
                    (Some(end), _) => end + 1,
                    (None, Direction::Forward) => entries.len(),
                    (None, Direction::Backward) => 0,
                };
                assert_eq!(cursor.entry().map(owned).as_ref(), entries.get(next));
            }
        }
    }
}

/// Which of `entries` the cursor stands on.
fn place_of(cursor: &impl Cursor, entries: &[Entry]) -> Option<usize> {
    let entry = cursor.entry().map(owned)?;
    Some(entries.iter().position(|other| *other == entry).unwrap())
}

const ROWS: u32 = 20_000;

fn key(row: u32) -> Vec<u8> {
    format!("{row:08}").into_bytes()
}

/// Rows numbered 1, but for those of `newer`, which are numbered 9. Blocks are not kept.
fn table_of(options: TableOptions, newer: &[u32]) -> (Table, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let comparator: Arc<dyn Comparator> = Arc::new(Bytewise);
    let metrics = Arc::clone(&counters) as _;
    let ctx = TableContext { metrics, ..context(comparator) };
    let row = |row: u32| {
        let seqno = if newer.contains(&row) { 9u32 } else { 1 };
        (key(row), Trailer::new(seqno.into(), EntryKind::Put), b"value".to_vec())
    };
    let entries: Vec<Entry> = (0..ROWS).map(row).collect();
    let file = write(&ctx, options, &entries).unwrap();
    (open(&ctx, &file).unwrap(), counters)
}

/// From row 10 to row `ROWS - 10`, or back, the cursor stops at `stops` and asks for `blocks` blocks at
/// most.
fn passes(options: &TableOptions, newer: &[u32], stops: &[u32], blocks: u64) {
    for direction in [Direction::Forward, Direction::Backward] {
        let (table, counters) = table_of(options.clone(), newer);
        let mut cursor = table.cursor();
        let (from, to) = (key(10), key(ROWS - 10));
        let (start, limit) = match direction {
            Direction::Forward => (&from, &to),
            Direction::Backward => (&to, &from),
        };
        cursor.seek(start, SeqNo::MAX).unwrap();
        let before = counters.get(Counter::BlocksRead);
        let (mut seen, mut asked) = (Vec::new(), 0);
        let is_near = |cursor: &stratal_sst::TableCursor| {
            let key = cursor.entry().unwrap().key.to_vec();
            (key < *limit) == (direction == Direction::Forward)
        };
        while is_near(&cursor) {
            asked += 1;
            let entry = cursor.entry().unwrap();
            if entry.seqno() > SeqNo::from(1u32) {
                seen.push(entry.key.to_vec());
            }
            if !cursor.pass_older(direction, 9u32.into(), limit).unwrap() {
                match direction {
                    Direction::Forward => cursor.advance().unwrap(),
                    Direction::Backward => cursor.retreat().unwrap(),
                }
            }
        }
        let mut expected: Vec<_> = stops.iter().map(|stop| key(*stop)).collect();
        if direction == Direction::Backward {
            expected.reverse();
        }
        assert_eq!(seen, expected);
        // Not one for each row of the blocks that have newer ones, of which there are some twenty.
        let asked_max = 6 * (newer.len() + 1);
        assert!(asked <= asked_max, "asked {asked} times, {direction:?}, newer {newer:?}");
        let read = counters.get(Counter::BlocksRead) - before;
        assert!(read <= blocks, "{read} blocks read, {direction:?}, newer {newer:?}");
    }
}

#[test]
fn old_rows_are_passed_without_being_read() {
    let whole = TableOptions { block_len_target: 512, ..TableOptions::default() };
    let divided = TableOptions { partitioning: Partitioning::Always, ..whole.clone() };
    for options in [whole, divided] {
        passes(&options, &[], &[], 4);
        passes(&options, &[5, ROWS - 5], &[], 4);
        // One in the midst costs its block, a partition of the index, and those beside it.
        passes(&options, &[9_000], &[9_000], 8);
        passes(&options, &[9_000, 9_001, 15_000], &[9_000, 9_001, 15_000], 12);
    }
}
