//! What the index alone tells: how much a range holds, and which blocks are old.

use std::sync::Arc;

use crate::support::{Entry, context, owned, write};
use bytes::Bytes;
use stratal_cache::Cache;
use stratal_sst::{Partitioning, RangeEstimate, Table, TableContext, TableCursor, TableOptions};
use stratal_testkit::Rng;
use stratal_types::{
    Bytewise, Comparator, Counter, Counters, Cursor, EntryKind, Reverse, SeqNo, Trailer,
};

fn keys(count: u32) -> Vec<Entry> {
    let mut rng = Rng::new(11);
    let entry = |i: u32| {
        let trailer = Trailer::new((i / 100).into(), EntryKind::Put);
        (format!("{i:06}").into_bytes(), trailer, vec![7; rng.below(60) as usize])
    };
    (0..count).map(entry).collect()
}

/// Tables of these entries in several forms, and what counts the blocks that are read: all, since
/// the cache keeps none.
fn tables(entries: &[Entry], comparator: &Arc<dyn Comparator>) -> Vec<(Table, Arc<Counters>)> {
    let small = TableOptions {
        block_len_target: 512,
        partition_len_target: 1024,
        ..TableOptions::default()
    };
    let form = |partitioning| TableOptions { partitioning, ..small.clone() };
    let forms =
        [Partitioning::Never, Partitioning::Always, Partitioning::Auto { keys: 1500 }].map(form);
    let open = |options: TableOptions| {
        let counters = Arc::new(Counters::default());
        let ctx = TableContext {
            metrics: Arc::clone(&counters) as Arc<dyn stratal_types::Metrics>,
            cache: Arc::new(Cache::new(0)),
            ..context(Arc::clone(comparator))
        };
        let file = write(&ctx, options, entries).unwrap();
        (Table::open(&ctx, Arc::new(Bytes::from(file))).unwrap(), counters)
    };
    forms.into_iter().map(open).collect()
}

fn reversed(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().rev().cloned().collect()
}

#[test]
fn estimates_are_off_by_half_a_block_at_either_end() {
    let entries = keys(3000);
    let orders: [(Arc<dyn Comparator>, Vec<Entry>); 2] =
        [(Arc::new(Bytewise), entries.clone()), (Arc::new(Reverse), reversed(&entries))];
    for (comparator, entries) in orders {
        for (table, _) in tables(&entries, &comparator) {
            let mut rng = Rng::new(3);
            let properties = table.properties();
            let per_block = properties.entries / properties.data_blocks;
            for _ in 0..300 {
                let mut at = [rng.below(3000), rng.below(3000)].map(|at| at as usize);
                at.sort_unstable();
                let range = entries[at[0]].0.clone()..entries[at[1]].0.clone();
                let found = table.estimate(range).unwrap();
                let exact = (at[1] - at[0]) as u64;
                // Blocks differ in the number of entries; the largest has some twice the mean.
                assert!(found.entries.abs_diff(exact) <= 3 * per_block, "{at:?} {found:?}");
                assert!(found.entries.abs_diff(exact) <= found.entries_off, "{at:?} {found:?}");
                let bytes = exact * properties.data_bytes / properties.entries;
                assert!(
                    found.bytes.abs_diff(bytes) <= 1024 + bytes / 8,
                    "{at:?} {found:?} {bytes}"
                );
            }
            let all = RangeEstimate { entries: 3000, bytes: properties.data_bytes, entries_off: 0 };
            assert_eq!(table.estimate::<&[u8]>(..).unwrap(), all);
            assert_eq!(table.estimate(b"5".as_slice()..b"5".as_slice()).unwrap().entries, 0);
            let beyond = if comparator.is_bytewise() { "9" } else { "/" };
            assert_eq!(table.estimate(beyond..).unwrap(), RangeEstimate::default());
        }
    }
}

#[test]
fn an_estimate_reads_no_data() {
    let entries = keys(3000);
    for (table, counters) in tables(&entries, &(Arc::new(Bytewise) as Arc<dyn Comparator>)) {
        let before = counters.get(Counter::BlocksRead);
        table.estimate("000500".."002500").unwrap();
        let index_blocks = counters.get(Counter::BlocksRead) - before;
        assert!((1..=4).contains(&index_blocks), "{index_blocks}");
    }
}

/// Steps over everything, one way or the other; returns what has been met, in the table's order.
fn met(mut cursor: TableCursor, backwards: bool) -> Vec<Entry> {
    let mut met = Vec::new();
    if backwards {
        cursor.seek_to_last().unwrap();
    } else {
        cursor.seek_to_first().unwrap();
    }
    while let Some(entry) = cursor.entry() {
        met.push(owned(entry));
        if backwards { cursor.retreat() } else { cursor.advance() }.unwrap();
    }
    if backwards {
        met.reverse();
    }
    met
}

#[test]
fn a_scan_for_changes_reads_only_blocks_that_have_some() {
    let mut entries = keys(6000);
    // New versions of a few keys that stand together, and of one far away.
    for at in (2000..2100).chain([5500]) {
        entries[at].1 = Trailer::new(1000u32.into(), EntryKind::Put);
    }
    for (table, counters) in tables(&entries, &(Arc::new(Bytewise) as Arc<dyn Comparator>)) {
        let blocks = table.properties().data_blocks;
        let partitions = table.properties().index_partitions;
        let index_blocks = 1 + partitions.min(4);
        for (since, blocks_max) in [(0u32, blocks), (50, blocks / 5), (1000, 14), (1001, 0)] {
            let since = SeqNo::from(since);
            let is_new = |entry: &&Entry| entry.1.seqno() >= since;
            let expected: Vec<&Entry> = entries.iter().filter(is_new).collect();
            for backwards in [false, true] {
                let before = counters.get(Counter::BlocksRead);
                let met = met(table.cursor_since(since), backwards);
                let read = counters.get(Counter::BlocksRead) - before;
                let new: Vec<&Entry> = met.iter().filter(is_new).collect();
                assert!(new == expected, "{since} {backwards}");
                assert!(
                    read <= blocks_max
                        + if blocks_max < blocks / 2 { index_blocks } else { partitions + 1 },
                    "{since}: {read} of {blocks} blocks read"
                );
            }
            let mut cursor = table.cursor_since(since);
            for at in (0..6000).step_by(97) {
                cursor.seek(&entries[at].0, SeqNo::MAX).unwrap();
                let mut found = cursor.entry().map(owned);
                while found.as_ref().is_some_and(|entry| entry.1.seqno() < since) {
                    cursor.advance().unwrap();
                    found = cursor.entry().map(owned);
                }
                assert_eq!(found.as_ref(), entries[at..].iter().find(is_new), "{since} {at}");
            }
        }
    }
}

#[test]
fn a_scan_for_changes_between_two_moments_reads_only_blocks_that_have_some() {
    let mut entries = keys(6000);
    // Written in the order of their keys, but for a few that were written before and after the rest.
    for (at, entry) in entries.iter_mut().enumerate() {
        let seqno = match at {
            50..60 => 1,
            3000..3010 => 9_000,
            at => 1000 + u32::try_from(at).unwrap(),
        };
        entry.1 = Trailer::new(seqno.into(), EntryKind::Put);
    }
    for (table, counters) in tables(&entries, &(Arc::new(Bytewise) as Arc<dyn Comparator>)) {
        let blocks = table.properties().data_blocks;
        let partitions = table.properties().index_partitions;
        for (since, until) in
            [(0u32, 1000u32), (2000, 2600), (6990, 9000), (9000, 9001), (9001, 9999)]
        {
            let wanted = SeqNo::from(since)..SeqNo::from(until);
            let is_wanted = |entry: &&Entry| wanted.contains(&entry.1.seqno());
            let expected: Vec<&Entry> = entries.iter().filter(is_wanted).collect();
            for backwards in [false, true] {
                let before = counters.get(Counter::BlocksRead);
                let met = met(table.cursor_between(wanted.clone()), backwards);
                let read = counters.get(Counter::BlocksRead) - before;
                assert!(met.iter().filter(is_wanted).collect::<Vec<_>>() == expected, "{wanted:?}");
                assert!(read <= blocks / 5 + partitions + 1, "{wanted:?}: {read} of {blocks}");
            }
        }
        // Who has found enough of what is newer looks for what is older alone.
        let mut cursor = table.cursor();
        let before = counters.get(Counter::BlocksRead);
        let mut steps = 0;
        cursor.seek_to_first().unwrap();
        while cursor.entry().is_some() {
            steps += 1;
            if steps == 300 {
                cursor.look_for(&(SeqNo::ZERO..SeqNo::from(1300)));
            }
            cursor.advance().unwrap();
        }
        let read = counters.get(Counter::BlocksRead) - before;
        assert!((300..600).contains(&steps), "{steps}");
        assert!(read <= blocks / 5 + partitions + 1, "{read} of {blocks}");
    }
}

#[test]
fn fences_divide_a_table_evenly_without_reading_blocks() {
    let ascending = keys(2_000);
    let mut even = 0;
    let orders: [(Arc<dyn Comparator>, Vec<Entry>); 2] =
        [(Arc::new(Reverse), reversed(&ascending)), (Arc::new(Bytewise), ascending)];
    for (comparator, entries) in orders {
        for (table, counters) in tables(&entries, &comparator) {
            table.fences(1).unwrap();
            let index_reads = counters.get(Counter::BlocksRead);
            for count in [0, 1, 2, 5, 10_000] {
                let fences = table.fences(count).unwrap();
                assert!(fences.len() <= count);
                assert!(fences.is_sorted_by(|a, b| comparator.compare(a, b).is_lt()));
                let before = |fence: &Vec<u8>| {
                    entries.partition_point(|(key, ..)| comparator.compare(key, fence).is_lt())
                };
                let places: Vec<usize> = fences.iter().map(before).collect();
                // A large table is divided between partitions alone, of which there may be few.
                if (1..=5).contains(&count) && fences.len() == count {
                    even += 1;
                    let ideal = entries.len() / (count + 1);
                    for (n, place) in places.into_iter().enumerate() {
                        assert!(place.abs_diff(ideal * (n + 1)) < entries.len() / 4);
                    }
                }
            }
            // The one block of the index, or the upper one, each time: the cache keeps none.
            assert!(counters.get(Counter::BlocksRead) - index_reads <= 5 * index_reads);
        }
    }
    assert!(even >= 2 * 3 + 2, "{even}");
}
