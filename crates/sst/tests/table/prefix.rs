//! Filters over prefixes: what they deny is not there, in whole filters and in partitions.

use std::sync::Arc;

use crate::support::{Entry, context, write};
use bytes::Bytes;
use stratal_cache::Cache;
use stratal_filter::FilterSize;
use stratal_sst::{FilterMembership, OpenOptions, Partitioning, Table, TableContext, TableOptions};
use stratal_testkit::Rng;
use stratal_types::{
    Bytewise, Comparator, Counter, Counters, DelimitedPrefix, EntryKind, FixedPrefix,
    PrefixExtractor, Reverse, SeqNo, Shortlex, Trailer, key_hash,
};

const MEMBERSHIPS: [FilterMembership; 3] =
    [FilterMembership::Keys, FilterMembership::Prefixes, FilterMembership::Both];

/// Keys under some 150 prefixes, from one key each to many, and some that have no prefix.
fn entries(comparator: &dyn Comparator) -> Vec<Entry> {
    let mut rng = Rng::new(17);
    let mut keys = Vec::new();
    for i in 0..150u32 {
        let count = [1, 1, 3, 40][rng.index(4)];
        let place = ["", "x", "long/er/"][rng.index(3)];
        keys.extend((0..count).map(|j| format!("{:03}/{place}{j}", i * 2).into_bytes()));
    }
    keys.extend(["0", "13", "140", "2", "9", "099"].map(Vec::from));
    keys.sort_by(|a, b| comparator.compare(a, b));
    keys.dedup();
    let put = |seqno: u32| Trailer::new(seqno.into(), EntryKind::Put);
    let versions = |key: Vec<u8>| {
        let count = if key.ends_with(b"7") { 9 } else { 1 };
        (0..count).map(move |seqno| (key.clone(), put(20 - seqno), vec![b'v'; 70]))
    };
    keys.into_iter().flat_map(versions).collect()
}

fn tables(
    entries: &[Entry],
    comparator: &Arc<dyn Comparator>,
    extractor: &Arc<dyn PrefixExtractor>,
    membership: FilterMembership,
) -> Vec<(TableContext, Vec<u8>)> {
    let forms = [Partitioning::Never, Partitioning::Always, Partitioning::Auto { keys: 300 }];
    let ctx = TableContext {
        prefix_extractor: Some(Arc::clone(extractor)),
        cache: Arc::new(Cache::new(0)),
        ..context(Arc::clone(comparator))
    };
    let write = |partitioning| {
        let options = TableOptions {
            block_len_target: 512,
            partitioning,
            partition_len_target: 512,
            filter: Some(FilterSize::BitsPerKey(20.0).into()),
            filter_membership: membership,
            ..TableOptions::default()
        };
        let file = write(&ctx, options, entries).unwrap();
        (ctx.clone(), file)
    };
    forms.map(write).into()
}

fn open(ctx: &TableContext, file: &[u8]) -> Table {
    Table::open(ctx, Arc::new(Bytes::copy_from_slice(file))).unwrap()
}

/// Every prefix that is asked: of present keys, in all lengths, and of absent ones.
fn asked(entries: &[Entry]) -> Vec<Vec<u8>> {
    let keys = entries.iter().map(|(key, ..)| key);
    let mut all: Vec<Vec<u8>> = keys
        .flat_map(|key| (1..=key.len()).map(|len| key[..len].to_vec()))
        .chain((0..310).map(|i| format!("{i:03}/").into_bytes()))
        .chain(["", "~", "00", "000/z", "400/1"].map(Vec::from))
        .collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn what_is_denied_is_not_there_and_most_that_is_not_there_is_denied() {
    let comparators: [Arc<dyn Comparator>; 3] =
        [Arc::new(Bytewise), Arc::new(Reverse), Arc::new(Shortlex)];
    let extractors: [Arc<dyn PrefixExtractor>; 2] =
        [Arc::new(DelimitedPrefix::new(b'/')), Arc::new(FixedPrefix::new(3))];
    for comparator in &comparators {
        let entries = entries(comparator.as_ref());
        let asked = asked(&entries);
        for (extractor, membership) in
            extractors.iter().flat_map(|extractor| MEMBERSHIPS.map(|it| (extractor, it)))
        {
            for (ctx, file) in tables(&entries, comparator, extractor, membership) {
                let table = open(&ctx, &file);
                let name = &table.properties().prefix_extractor;
                let is_over = membership != FilterMembership::Keys;
                assert_eq!(name, if is_over { extractor.name() } else { "" });
                let (mut absent, mut denied) = (0, 0);
                for prefix in &asked {
                    let starts = |entry: &&Entry| entry.0.starts_with(prefix);
                    let is_there = entries.iter().any(|entry| starts(&entry));
                    let may = table.may_contain_prefix(prefix).unwrap();
                    assert!(may || !is_there, "{}", prefix.escape_ascii());
                    // Another key may have what the extractor cuts from this prefix.
                    let cut = extractor.prefix(prefix);
                    let is_cut_there =
                        entries.iter().any(|entry| extractor.prefix(&entry.0) == cut);
                    if cut.is_some() && !is_cut_there {
                        absent += 1;
                        denied += u32::from(!may);
                    } else if cut.is_none() {
                        assert!(may, "{} has no prefix", prefix.escape_ascii());
                    }
                }
                let all = entries.iter().filter(|entry| entry.0.starts_with(b"0"));
                let mut keys: Vec<_> = all.map(|entry| entry.0.clone()).collect();
                keys.dedup();
                let found: Vec<_> =
                    table.prefix(b"0").map(|row| Vec::from(row.unwrap().0)).collect();
                assert_eq!(found, keys);
                assert!(absent > 100);
                // Shortlex does not keep prefixes together, which takes many partitions to tell.
                if is_over && comparator.name() != "shortlex" {
                    assert!(denied >= absent - 5, "{membership:?}: {denied} of {absent}");
                }
                if !is_over {
                    assert_eq!(denied, 0);
                }
            }
        }
    }
}

#[test]
fn a_scan_of_a_denied_prefix_reads_no_data_and_any_other_finds_all() {
    let comparator: Arc<dyn Comparator> = Arc::new(Bytewise);
    let extractor: Arc<dyn PrefixExtractor> = Arc::new(DelimitedPrefix::new(b'/'));
    let entries = entries(&Bytewise);
    for (ctx, file) in tables(&entries, &comparator, &extractor, FilterMembership::Both) {
        let counters = Arc::new(Counters::default());
        let metrics = Arc::clone(&counters) as Arc<dyn stratal_types::Metrics>;
        let table = open(&TableContext { metrics, ..ctx }, &file);
        let mut denied = 0;
        for prefix in asked(&entries) {
            let before = [Counter::BlocksRead, Counter::FilterProbes].map(|it| counters.get(it));
            for backwards in [false, true] {
                let rows = table.prefix(&prefix);
                let mut found: Vec<_> = if backwards {
                    rows.rev().map(|row| Vec::from(row.unwrap().0)).collect()
                } else {
                    rows.map(|row| Vec::from(row.unwrap().0)).collect()
                };
                if backwards {
                    found.reverse();
                }
                let mut expected: Vec<_> = entries.iter().map(|entry| entry.0.clone()).collect();
                expected.retain(|key| key.starts_with(&prefix));
                expected.dedup();
                assert_eq!(found, expected, "{}", prefix.escape_ascii());
            }
            if !table.may_contain_prefix(&prefix).unwrap() {
                let after = [Counter::BlocksRead, Counter::FilterProbes].map(|it| counters.get(it));
                let (blocks, probes) = (after[0] - before[0], after[1] - before[1]);
                // Asked three times; the upper level, and a filter per probe.
                assert!(blocks <= 3 + probes && probes <= 9, "{blocks} blocks, {probes} probes");
                denied += 1;
            }
        }
        assert!(denied > 100);
    }
}

#[test]
fn keys_are_found_under_every_membership() {
    let comparator: Arc<dyn Comparator> = Arc::new(Bytewise);
    let extractor: Arc<dyn PrefixExtractor> = Arc::new(DelimitedPrefix::new(b'/'));
    let entries = entries(&Bytewise);
    for membership in MEMBERSHIPS {
        for (ctx, file) in tables(&entries, &comparator, &extractor, membership) {
            let table = open(&ctx, &file);
            for (key, trailer, value) in &entries {
                let found = table.lookup(key, SeqNo::from(trailer.seqno().get() as u32 + 1));
                let found = found.unwrap().unwrap();
                assert_eq!((found.trailer, &found.value[..]), (*trailer, &value[..]));
            }
            let absent = (0..300).map(|i| format!("{:03}/absent", i * 2 + 1).into_bytes());
            let denied = absent.filter(|key| !table.may_contain(key, key_hash(key)).unwrap());
            // By their prefix, if the filter has no keys.
            assert!(denied.count() > 290);
            let report = table.verify().unwrap();
            assert!(report.is_ok(), "{:?}", report.damage);
        }
    }
}

#[test]
fn a_filter_is_not_asked_under_another_extractor() {
    let comparator: Arc<dyn Comparator> = Arc::new(Bytewise);
    let extractor: Arc<dyn PrefixExtractor> = Arc::new(DelimitedPrefix::new(b'/'));
    let entries = entries(&Bytewise);
    for (ctx, file) in tables(&entries, &comparator, &extractor, FilterMembership::Prefixes) {
        assert!(!open(&ctx, &file).may_contain_prefix(b"001/").unwrap());
        let others: [Option<Arc<dyn PrefixExtractor>>; 2] =
            [None, Some(Arc::new(FixedPrefix::new(4)))];
        for other in others {
            let table = open(&TableContext { prefix_extractor: other, ..ctx.clone() }, &file);
            assert!(asked(&entries).iter().all(|it| table.may_contain_prefix(it).unwrap()));
            for (key, ..) in &entries {
                assert!(table.get(key).unwrap().is_some());
            }
        }
    }
}

#[test]
fn a_table_opened_by_name_is_asked_under_the_extractor_that_built_its_filter() {
    let comparator: Arc<dyn Comparator> = Arc::new(Bytewise);
    let extractor: Arc<dyn PrefixExtractor> = Arc::new(DelimitedPrefix::new(b'/'));
    let entries = entries(&Bytewise);
    for (ctx, file) in tables(&entries, &comparator, &extractor, FilterMembership::Both) {
        let other: Arc<dyn PrefixExtractor> = Arc::new(FixedPrefix::new(4));
        let ctx = TableContext { prefix_extractor: Some(other), ..ctx };
        let open = |known: bool| {
            let named = |name: &str| {
                assert_eq!(name, extractor.name());
                known.then(|| Arc::clone(&extractor))
            };
            let file = Arc::new(Bytes::from(file.clone()));
            Table::open_named(&ctx, file, OpenOptions::default(), named).unwrap()
        };
        assert!(!open(true).may_contain_prefix(b"001/").unwrap());
        assert!(open(true).may_contain_prefix(b"000/").unwrap());
        // Under the context's own the filter says nothing, and must not be taken to.
        assert!(open(false).may_contain_prefix(b"001/").unwrap());
    }
}
