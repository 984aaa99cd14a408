//! Filters over prefixes: answers are the same with and without, and less is read.

use std::{collections::BTreeMap, sync::Arc};

use stratal_engine::{Store, StoreContext, Tree, TreeOptions};
use stratal_fs::MemFs;
use stratal_sst::{FilterMembership, Partitioning, TableOptions};
use stratal_testkit::Rng;
use stratal_types::{
    Counter, Counters, Cursor, DelimitedPrefix, FixedPrefix, NoPrefix, PrefixExtractor,
};

/// Tables of few rows in few blocks each, so that what is not read shows.
fn options(prefix: Option<Arc<dyn PrefixExtractor>>, table: TableOptions) -> TreeOptions {
    let table = TableOptions { block_len_target: 512, ..table };
    TreeOptions { prefix, table, ..TreeOptions::default() }
}

fn open(comparator: &str, options: TreeOptions) -> (Arc<Tree>, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let count = std::sync::atomic::AtomicU64::new(0);
    let unique = move || {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        u128::from(count).to_le_bytes()
    };
    let mut context = StoreContext::new(Arc::new(MemFs::new()), "/db", 0, Arc::new(unique));
    context.metrics = Arc::clone(&counters) as _;
    let (store, _) = Store::open(context).unwrap();
    let id = store.create_tree("t", comparator, &[]).unwrap();
    (Tree::open(&store, id, options.validate().unwrap()).unwrap(), counters)
}

/// Twenty runs that span everything, each with a few of the prefixes; the newest of them delete, one
/// by one and by ranges, some of what is below. One of those has nothing but range tombstones.
fn fill(tree: &Tree) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut rng = Rng::new(5);
    let mut model = BTreeMap::new();
    let order = tree.comparator().clone();
    for run in 0..20u32 {
        for edge in [&b"0"[..], b"zz"] {
            tree.put(edge, b"edge").unwrap();
            model.insert(edge.to_vec(), b"edge".to_vec());
        }
        for _ in 0..6 {
            let prefix = rng.below(120);
            for i in 0..10 {
                let key = format!("{prefix:03}/{i:02}").into_bytes();
                let value = format!("{run} {i} {}", "x".repeat(40)).into_bytes();
                tree.put(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
        tree.flush().unwrap();
    }
    for with_key in [true, false] {
        for _ in 0..10 {
            let prefix = rng.below(120);
            let (mut from, mut to) =
                (format!("{prefix:03}/02").into_bytes(), format!("{prefix:03}/07").into_bytes());
            if order.compare(&from, &to).is_gt() {
                std::mem::swap(&mut from, &mut to);
            }
            tree.delete_range(&from, &to).unwrap();
            model.retain(|key, _| {
                order.compare(key, &from).is_lt() || order.compare(key, &to).is_ge()
            });
        }
        if with_key {
            tree.delete(b"003/00").unwrap();
            model.remove(&b"003/00"[..]);
        }
        tree.flush().unwrap();
    }
    model
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// What all ways to read keys with `prefix` say.
fn read(tree: &Tree, prefix: &[u8]) -> Rows {
    let own = |row: Result<(bytes::Bytes, bytes::Bytes), _>| {
        let (key, value) = row.unwrap();
        (Vec::from(key), Vec::from(value))
    };
    let forward: Rows = tree.prefix(prefix).unwrap().map(own).collect();
    let mut backward: Rows = tree.prefix(prefix).unwrap().rev().map(own).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(tree.contains_prefix(prefix).unwrap(), !forward.is_empty());
    let found = tree.comparator().prefix_range(prefix);
    if found.exact {
        let range = (found.start, found.end);
        let ranged: Rows = tree.range(range.clone()).unwrap().map(own).collect();
        assert_eq!(forward, ranged);
        let mut cursor = tree.cursor(range).unwrap();
        let mut stepped = Rows::new();
        cursor.seek_to_first().unwrap();
        while let Some(row) = cursor.entry() {
            stepped.push((row.key.to_vec(), row.value.to_vec()));
            cursor.advance().unwrap();
        }
        assert_eq!(forward, stepped);
        // From the middle, and back beyond it.
        if let Some((key, _)) = forward.get(forward.len() / 2) {
            cursor.seek_to(key).unwrap();
            assert_eq!(cursor.key(), Some(&key[..]));
            cursor.seek_back_to(key).unwrap();
            assert_eq!(cursor.key(), Some(&key[..]));
        }
    }
    forward
}

fn asked() -> Vec<Vec<u8>> {
    let whole = (0..130).map(|prefix| format!("{prefix:03}/").into_bytes());
    let more = ["", "0", "00", "003", "003/0", "003/07", "z", "zz", "zzz", "\u{7f}"];
    whole.chain(more.map(Vec::from)).collect()
}

#[test]
fn answers_are_the_same_and_less_is_read() {
    let tables = [
        TableOptions::default(),
        TableOptions { filter_membership: FilterMembership::Prefixes, ..TableOptions::default() },
        TableOptions {
            partitioning: Partitioning::Always,
            partition_len_target: 512,
            ..TableOptions::default()
        },
        TableOptions { filter: None, ..TableOptions::default() },
    ];
    for comparator in ["bytewise", "reverse", "shortlex"] {
        let (plain, plain_counts) = open(comparator, options(None, TableOptions::default()));
        let model = fill(&plain);
        let expected = |prefix: &[u8]| -> Rows {
            let mut rows: Rows = model
                .iter()
                .filter(|(key, _)| key.starts_with(prefix))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            rows.sort_by(|a, b| plain.comparator().compare(&a.0, &b.0));
            rows
        };
        let bytes_read = |counters: &Counters, work: &dyn Fn()| {
            let before = counters.get(Counter::BytesRead);
            work();
            counters.get(Counter::BytesRead) - before
        };
        let read_all = |tree: &Tree| {
            for prefix in asked() {
                assert_eq!(read(tree, &prefix), expected(&prefix), "{}", prefix.escape_ascii());
            }
        };
        let few = |tree: &Tree| {
            for prefix in 0..120 {
                tree.contains_prefix(format!("{prefix:03}/").as_bytes()).unwrap();
            }
        };
        read_all(&plain);
        let without = bytes_read(&plain_counts, &|| few(&plain));
        for (form, table) in tables.iter().enumerate() {
            let extractors: [Arc<dyn PrefixExtractor>; 3] = [
                Arc::new(DelimitedPrefix::new(b'/')),
                Arc::new(FixedPrefix::new(3)),
                Arc::new(NoPrefix),
            ];
            for extractor in extractors.into_iter().take(if form == 0 { 3 } else { 1 }) {
                let cuts = extractor.prefix(b"003/").is_some() && table.filter.is_some();
                let (tree, counts) = open(comparator, options(Some(extractor), table.clone()));
                fill(&tree);
                read_all(&tree);
                let with = bytes_read(&counts, &|| few(&tree));
                // With no cache the filter is read for every question, and still pays.
                let what = format!("{comparator}, form {form}: {with} of {without} bytes");
                assert!(!cuts || with * 10 < without * 9, "{what}");
                tree.compact(true).unwrap();
                read_all(&tree);
            }
        }
    }
}

#[test]
fn tables_of_other_extractors_are_asked_under_their_own() {
    let (tree, counts) = open("bytewise", options(None, TableOptions::default()));
    let switch = |prefix: Option<Arc<dyn PrefixExtractor>>| {
        tree.set_spec(options(prefix, TableOptions::default()).validate().unwrap()).unwrap();
    };
    let (fixed, delimited) = (FixedPrefix::new(4), DelimitedPrefix::new(b'/'));
    let extractors: [Option<Arc<dyn PrefixExtractor>>; 3] =
        [None, Some(Arc::new(fixed)), Some(Arc::new(delimited))];
    for (run, extractor) in extractors.iter().enumerate() {
        switch(extractor.clone());
        for edge in ["0", "z"] {
            tree.put(edge.as_bytes(), b"").unwrap();
        }
        tree.put(format!("00{run}/{run}").as_bytes(), b"").unwrap();
        tree.flush().unwrap();
    }
    for now in extractors {
        switch(now.clone());
        for run in 0..3 {
            let prefix = format!("00{run}/");
            assert!(tree.contains_prefix(prefix.as_bytes()).unwrap(), "{prefix} under {now:?}");
        }
        let before = counts.get(Counter::FilterRejects);
        assert!(!tree.contains_prefix(b"009/").unwrap());
        let rejects = counts.get(Counter::FilterRejects) - before;
        // Both tables that have prefixes deny this one, if they are asked at all.
        assert_eq!(rejects, if now.is_some() { 2 } else { 0 }, "{now:?}");
    }
}

#[test]
fn ingested_tables_know_their_prefixes_too() {
    let extractor: Arc<dyn PrefixExtractor> = Arc::new(DelimitedPrefix::new(b'/'));
    let (tree, counts) = open("bytewise", options(Some(extractor), TableOptions::default()));
    let mut rows = tree.ingestion();
    for key in [&b"001/a"[..], b"003/a"] {
        rows.put(key, b"").unwrap();
    }
    let ingested = rows.finish().unwrap().len;
    let before = counts.get(Counter::FilterRejects);
    assert!(tree.contains_prefix(b"001/").unwrap() && !tree.contains_prefix(b"002/").unwrap());
    assert_eq!(counts.get(Counter::FilterRejects) - before, 1);
    let traffic = tree.stats().traffic;
    assert_eq!((traffic.ingestions, traffic.ingested_len), (1, ingested));
    assert_eq!(traffic.write_amplification(), Some(1.0));
}
