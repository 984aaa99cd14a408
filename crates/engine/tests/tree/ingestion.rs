//! Sorted rows that go straight into tables.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use stratal_compaction::plan::{
    FifoOptions, JobKind, LazyLeveledOptions, LeveledOptions, TieredOptions,
};
use stratal_engine::{
    Error, IngestSummary, Ingestion, ReadyTables, Store, StrategyOptions, Tree, TreeOptions,
    TreeSpec, WriteBatch,
};
use stratal_fs::{
    Fs, MemFs, SimFs,
    sim_fs::{Fault, FaultKind, OpKind, OsError},
};
use stratal_types::{CutOptions, SeqNo};

use crate::support::{open_store, open_tree};

type Step = fn(&mut Ingestion<'_>) -> Result<(), Error>;

fn put_all(ingestion: &mut Ingestion<'_>, keys: &[&str], value: &[u8]) {
    for key in keys {
        ingestion.put(key.as_bytes(), value).unwrap();
    }
}

fn leveled() -> TreeSpec {
    let leveled = LeveledOptions { levels: 4, ..LeveledOptions::default() };
    with(StrategyOptions::Leveled(leveled))
}

fn with(strategy: StrategyOptions) -> TreeSpec {
    let cut = CutOptions { table_len: 4 << 10, ..CutOptions::default() };
    TreeOptions { strategy, cut, ..TreeOptions::default() }.validate().unwrap()
}

fn tree_of(spec: TreeSpec) -> (Arc<MemFs>, Arc<Tree>) {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs.clone(), 1).unwrap();
    let tree = open_tree(&store, "bytewise", spec).unwrap();
    (fs, tree)
}

fn rows(tree: &Tree) -> Vec<(String, String)> {
    let text = |bytes: bytes::Bytes| String::from_utf8(bytes.into()).unwrap();
    tree.range::<&[u8]>(..)
        .unwrap()
        .map(|row| row.map(|(key, value)| (text(key), text(value))).unwrap())
        .collect()
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn tables(tree: &Tree) -> Vec<usize> {
    tree.stats().levels.iter().map(|level| level.tables).collect()
}

/// As the owner of several trees does it, whose log has what is in memory.
pub(crate) fn install(
    store: &Store,
    tree: &Tree,
    tables: ReadyTables,
) -> Result<IngestSummary, Error> {
    if tree.is_in_memory(&tables) {
        tree.flush()?;
    }
    let seqno = store.clock().allocate(1)?;
    let installed = tree.install_ingested(tables, seqno);
    store.clock().publish(store.clock().next());
    installed
}

/// Memory is searched first, and a lookup ends at a range tombstone.
#[test]
fn a_range_delete_in_memory_does_not_hide_what_is_ingested_later() {
    let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
    let strategy = StrategyOptions::Leveled(LeveledOptions::default());
    let tree = open_tree(&store, "bytewise", with(strategy)).unwrap();
    tree.put(b"b", b"old").unwrap();
    tree.flush().unwrap();
    tree.delete_range(b"a", b"d").unwrap();
    let mut ingestion = tree.ingestion();
    ingestion.put(b"b", b"new").unwrap();
    let ready = ingestion.ready().unwrap();
    assert!(tree.is_in_memory(&ready));
    install(&store, &tree, ready).unwrap();
    for is_merged in [false, true] {
        assert_eq!(tree.get(b"b").unwrap().as_deref(), Some(&b"new"[..]), "merged: {is_merged}");
        tree.flush().unwrap();
        tree.compact(true).unwrap();
    }
}

/// Ingests `keys` into a tree that holds `flushed` in level 0 and `written` in memory; expects tables by
/// level, and how many bytes stay in memory or whether none do.
fn lands(
    strategy: StrategyOptions,
    flushed: &[&str],
    written: &[&str],
    keys: &[&str],
    expected: &[usize],
    stays_in_memory: bool,
) {
    let context = format!("{} over {flushed:?} and {written:?}: {keys:?}", strategy.name());
    let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
    let tree = open_tree(&store, "bytewise", with(strategy)).unwrap();
    for key in flushed {
        tree.put(key.as_bytes(), b"flushed").unwrap();
    }
    tree.flush().unwrap();
    for key in written {
        tree.put(key.as_bytes(), b"written").unwrap();
    }
    let mut ingestion = tree.ingestion();
    put_all(&mut ingestion, keys, b"ingested");
    install(&store, &tree, ingestion.ready().unwrap()).unwrap();
    assert_eq!(tables(&tree), expected, "{context}");
    assert_eq!(tree.has_sealed(), stays_in_memory, "{context}");
    for key in keys {
        let value = tree.get(key.as_bytes()).unwrap();
        assert_eq!(value.as_deref(), Some(&b"ingested"[..]), "{context}: {key}");
    }
    // What was in memory goes in front of what was ingested, and is older.
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    for key in keys {
        let value = tree.get(key.as_bytes()).unwrap();
        assert_eq!(value.as_deref(), Some(&b"ingested"[..]), "{context}: {key}, merged");
    }
}

#[test]
fn tables_go_to_the_lowest_level_where_nothing_overlaps() {
    let leveled =
        || StrategyOptions::Leveled(LeveledOptions { levels: 4, ..LeveledOptions::default() });
    let lazy = || {
        let options = LazyLeveledOptions { levels: 4, ..LazyLeveledOptions::default() };
        StrategyOptions::LazyLeveled(options)
    };
    let tiered = || StrategyOptions::Tiered(TieredOptions::default());
    let fifo = || {
        StrategyOptions::Fifo(FifoOptions {
            len_max: u64::MAX,
            ttl_ms: 0,
            ..FifoOptions::default()
        })
    };
    lands(leveled(), &[], &[], &["b", "c"], &[0, 0, 0, 1], false);
    lands(leveled(), &["a", "d"], &[], &["b", "c"], &[2], false);
    lands(leveled(), &["a", "b"], &[], &["c", "d"], &[1, 0, 0, 1], false);
    lands(leveled(), &[], &["a", "d"], &["b", "c"], &[0, 0, 0, 1], true);
    lands(leveled(), &[], &["a", "c"], &["b", "c"], &[2], false);
    lands(leveled(), &[], &["c"], &["a", "b"], &[0, 0, 0, 1], true);
    lands(lazy(), &[], &[], &["b"], &[0, 0, 0, 1], false);
    lands(lazy(), &["b"], &[], &["b"], &[2], false);
    lands(tiered(), &[], &[], &["b"], &[1], false);
    lands(tiered(), &["b"], &["a"], &["b"], &[2], true);
    lands(fifo(), &["a"], &[], &["b"], &[2], false);
}

#[test]
fn a_level_in_use_takes_what_overlaps_only_below_it() {
    let (_fs, tree) = tree_of(leveled());
    let ingested = |keys: &[&str]| {
        let mut ingestion = tree.ingestion();
        put_all(&mut ingestion, keys, b"1");
        ingestion.finish().unwrap();
        tables(&tree)
    };
    assert_eq!(ingested(&["c", "f"]), [0, 0, 0, 1]);
    let job = tree.plan_tables(&[], 1);
    assert!(job.is_err(), "nothing to move");
    tree.put(b"a", b"0").unwrap();
    tree.flush().unwrap();
    let number = tree.version().levels[0].runs[0].tables[0].number;
    let job = tree.plan_tables(&[number], 2).unwrap();
    tree.run(&job).unwrap();
    assert_eq!(tables(&tree), [0, 0, 1, 1]);
    // Over the last level only; beside the table of the level above it.
    assert_eq!(ingested(&["d", "e"]), [0, 0, 2, 1]);
    // Over that one too. Level 1 holds nothing, so this waits in level 0.
    assert_eq!(ingested(&["d"]), [1, 0, 2, 1]);
    // Between all spans.
    assert_eq!(ingested(&["g"]), [1, 0, 2, 2]);
    assert_eq!(tree.len().unwrap(), 6);
    tree.compact(true).unwrap();
    assert_eq!(tree.len().unwrap(), 6);
}

#[test]
fn rows_out_of_order_are_refused_by_name_and_leave_nothing() {
    let (fs, tree) = tree_of(leveled());
    let refused: [(&str, Step); 6] = [
        ("the same key", |rows| rows.delete(b"m")),
        ("a key before", |rows| rows.put(b"a", b"")),
        ("an operand before", |rows| rows.merge(b"b", b"1")),
        ("an excise over a row", |rows| rows.excise(b"m", b"z")),
        ("an empty key", |rows| rows.put(b"", b"")),
        ("a key that is too long", |rows| rows.put(&vec![b'z'; 70_000], b"")),
    ];
    for (what, step) in refused {
        let mut ingestion = tree.ingestion();
        for i in 0..100 {
            ingestion.put(format!("l{i:03}").as_bytes(), &[b'v'; 200]).unwrap();
        }
        ingestion.put(b"m", b"1").unwrap();
        match step(&mut ingestion) {
            Err(Error::OutOfOrder { previous, .. }) => assert_eq!(previous, b"m", "{what}"),
            Err(Error::TooLarge { .. }) if what.contains("empty") || what.contains("long") => {}
            other => panic!("{what}: {other:?}"),
        }
        // And it stays refused.
        assert!(ingestion.put(b"z", b"").is_err(), "{what}");
        assert!(ingestion.finish().is_err(), "{what}");
        assert!(fs.list(Path::new("/db/tables")).unwrap().is_empty(), "{what}");
        assert_eq!(tree.len().unwrap(), 0, "{what}");
    }
    let mut ingestion = tree.ingestion();
    ingestion.put(b"m", &[1; 9_000]).unwrap();
    ingestion.put(b"n", b"").unwrap();
    assert!(!fs.list(Path::new("/db/tables")).unwrap().is_empty(), "it has begun");
    drop(ingestion);
    assert!(fs.list(Path::new("/db/tables")).unwrap().is_empty(), "dropped");
    let mut ingestion = tree.ingestion();
    ingestion.put(b"m", b"").unwrap();
    drop(ingestion.ready().unwrap());
    assert!(fs.list(Path::new("/db/tables")).unwrap().is_empty(), "ready, and dropped");
}

#[test]
fn an_operand_needs_an_operator() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs, 1).unwrap();
    let id = store.create_tree("plain", "bytewise", &[]).unwrap();
    let tree = Tree::open(&store, id, leveled()).unwrap();
    let merged = tree.ingestion().merge(b"a", b"1");
    assert!(matches!(merged, Err(Error::NoOperator { name: None })), "{merged:?}");
}

#[test]
fn an_empty_ingestion_does_nothing() {
    let (_fs, tree) = tree_of(leveled());
    tree.put(b"a", b"1").unwrap();
    let before = tree.snapshot().bound();
    assert_eq!(tree.ingestion().finish().unwrap(), IngestSummary::default());
    let mut ingestion = tree.ingestion();
    ingestion.excise(b"z", b"a").unwrap();
    assert_eq!(ingestion.finish().unwrap(), IngestSummary::default());
    assert_eq!(tree.snapshot().bound(), before);
    assert!(!tree.has_sealed());
}

#[test]
fn snapshots_see_what_was_there_before_and_everybody_else_all_of_it() {
    let (_fs, tree) = tree_of(leveled());
    tree.write(WriteBatch::new().put("a", "old").put("b", "old").put("c", "old")).unwrap();
    tree.flush().unwrap();
    tree.put(b"d", b"old").unwrap();
    let before = tree.snapshot();
    let mut ingestion = tree.ingestion();
    ingestion.put(b"a", b"new").unwrap();
    ingestion.excise(b"b", b"d").unwrap();
    ingestion.put(b"b", b"new").unwrap();
    ingestion.merge(b"d", b"er").unwrap();
    ingestion.put(b"e", b"new").unwrap();
    // What is written while it is under way, and before it is finished, is older.
    tree.put(b"e", b"old").unwrap();
    let summary = ingestion.finish().unwrap();
    assert_eq!((summary.rows, summary.tables), (4, 1));
    tree.put(b"f", b"newer").unwrap();
    for merged in [false, true] {
        let expected = [("a", "new"), ("b", "new"), ("d", "older"), ("e", "new"), ("f", "newer")];
        assert_eq!(rows(&tree), pairs(&expected), "merged: {merged}");
        let at = |key: &str| tree.get_at(key.as_bytes(), &before).unwrap();
        for key in ["a", "b", "c", "d"] {
            assert_eq!(at(key).as_deref(), Some(&b"old"[..]), "{key}, merged: {merged}");
        }
        assert_eq!(at("e"), None);
        tree.flush().unwrap();
        tree.compact(true).unwrap();
    }
    let clock = tree.snapshot().bound();
    assert_eq!(summary.seqno.unwrap().get() + 2, clock.get());
}

#[test]
fn an_excise_lets_whole_tables_go_unread() {
    let (fs, tree) = tree_of(leveled());
    for i in 0..400 {
        tree.put(format!("key{i:03}").as_bytes(), &[b'v'; 100]).unwrap();
    }
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    let held = tables(&tree);
    assert!(held[3] > 5, "{held:?}");
    let before = tree.snapshot();
    let mut ingestion = tree.ingestion();
    ingestion.excise(b"key", b"kez").unwrap();
    ingestion.put(b"key100", b"new").unwrap();
    ingestion.finish().unwrap();
    assert_eq!(rows(&tree), pairs(&[("key100", "new")]));
    assert!(tree.plan().is_none_or(|job| !matches!(job.kind, JobKind::Drop(_))), "it is read");
    assert_eq!(tree.range_at::<&[u8]>(.., &before).unwrap().count(), 400);
    drop(before);
    let job = tree.plan().unwrap();
    assert!(matches!(job.kind, JobKind::Drop(_)), "{job:?}");
    assert_eq!(tree.run(&job).unwrap().inputs, held[3]);
    assert_eq!(tables(&tree), [1]);
    assert_eq!(fs.list(Path::new("/db/tables")).unwrap().len(), 1);
    assert_eq!(rows(&tree), pairs(&[("key100", "new")]));
    // The fragment goes too when the run is merged down, and the number of the row with it.
    tree.compact(true).unwrap();
    let level = tree.stats().levels.into_iter().find(|level| level.tables > 0).unwrap();
    assert_eq!((level.entries, level.range_tombstones), (1, 0));
}

#[test]
fn all_keys_are_excised_up_to_the_last_there_may_be() {
    let last = vec![0xff; 65_535];
    for comparator in ["bytewise", "reverse"] {
        for replaces_last in [false, true] {
            let fs = Arc::new(MemFs::new());
            let (store, _) = open_store(fs, 1).unwrap();
            let tree = open_tree(&store, comparator, leveled()).unwrap();
            let keys = [vec![0], b"k".to_vec(), last.clone()];
            for key in &keys {
                tree.put(key, b"old").unwrap();
            }
            let mut ingestion = tree.ingestion();
            ingestion.excise_prefix(b"").unwrap();
            ingestion.put(b"l", b"new").unwrap();
            let end = if comparator == "reverse" { vec![0] } else { last.clone() };
            if replaces_last {
                ingestion.put(&end, b"new").unwrap();
            }
            assert_eq!(ingestion.finish().unwrap().rows, 1 + u64::from(replaces_last));
            let mut expected = vec![b"l".to_vec()];
            expected.extend(replaces_last.then_some(end));
            let found: Vec<_> =
                tree.range::<&[u8]>(..).unwrap().map(|row| row.unwrap().0.to_vec()).collect();
            assert_eq!(found, expected, "{comparator}");
        }
    }
}

/// Backwards no key stands for the end of a prefix, so its last key is deleted, in its turn.
#[test]
fn prefixes_are_excised_in_every_order_and_rows_stand_around_their_ends() {
    for comparator in ["bytewise", "reverse"] {
        for rows_at_end in [&["a", "b", "c"][..], &["b1", "c"], &["a", "b1"], &["a", "c"], &[]] {
            let fs = Arc::new(MemFs::new());
            let (store, _) = open_store(fs, 1).unwrap();
            let tree = open_tree(&store, comparator, leveled()).unwrap();
            let mut expected: BTreeSet<&str> = ["a", "a9", "c", "c1"].into();
            for key in ["a", "a9", "b", "b1", "b2", "c", "c1"] {
                tree.put(key.as_bytes(), b"old").unwrap();
            }
            let mut ordered = rows_at_end.to_vec();
            ordered.sort_by(|a, b| tree.comparator().compare(a.as_bytes(), b.as_bytes()));
            let mut ingestion = tree.ingestion();
            ingestion.excise_prefix(b"b").unwrap();
            ingestion.excise_prefix(b"b").unwrap();
            put_all(&mut ingestion, &ordered, b"new");
            ingestion.finish().unwrap();
            expected.extend(rows_at_end);
            let mut found = rows(&tree);
            found.sort();
            assert_eq!(found.len(), expected.len(), "{comparator} {rows_at_end:?}: {found:?}");
            for (key, value) in found {
                let is_new = rows_at_end.contains(&key.as_str());
                assert!(expected.contains(key.as_str()), "{comparator} {rows_at_end:?}: {key}");
                assert_eq!(value, if is_new { "new" } else { "old" }, "{comparator}: {key}");
            }
        }
    }
}

/// An operand is not folded onto what was excised, and a weak delete takes away more than one put.
#[test]
fn a_row_on_the_last_key_of_an_excised_prefix_hides_what_is_older() {
    let cases: [(Step, Option<&[u8]>); 3] = [
        (|ingestion| ingestion.merge(b"b", b"new"), Some(b"new")),
        (|ingestion| ingestion.weak_delete(b"b"), None),
        (|ingestion| ingestion.delete(b"b"), None),
    ];
    for comparator in ["bytewise", "reverse"] {
        for (number, (step, expected)) in cases.iter().enumerate() {
            let context = format!("{comparator}, case {number}");
            let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
            let tree = open_tree(&store, comparator, leveled()).unwrap();
            let get = || tree.get(b"b").unwrap();
            tree.put(b"b", b"oldest").unwrap();
            tree.flush().unwrap();
            tree.put(b"b", b"old").unwrap();
            let mut ingestion = tree.ingestion();
            ingestion.excise_prefix(b"b").unwrap();
            step(&mut ingestion).unwrap();
            assert_eq!(ingestion.finish().unwrap().rows, 1, "{context}");
            assert_eq!(get().as_deref(), *expected, "{context}");
            tree.compact(true).unwrap();
            assert_eq!(get().as_deref(), *expected, "{context}, merged");
        }
    }
}

#[test]
fn a_weak_delete_of_a_row_on_the_last_key_of_an_excised_prefix_uncovers_nothing() {
    let cases: [Step; 2] =
        [|ingestion| ingestion.put(b"b", b"new"), |ingestion| ingestion.merge(b"b", b"new")];
    for comparator in ["bytewise", "reverse"] {
        for (number, step) in cases.iter().enumerate() {
            let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
            let tree = open_tree(&store, comparator, leveled()).unwrap();
            tree.put(b"b", b"oldest").unwrap();
            tree.flush().unwrap();
            let tables = || {
                let version = tree.version();
                let tables = version.tables().map(|(place, table)| (table.number, place.level));
                tables.collect::<BTreeSet<(u64, u32)>>().into_iter().collect::<Vec<_>>()
            };
            let merge = |of: &[(u64, u32)], level| {
                let numbers: Vec<u64> = of.iter().map(|(number, _)| *number).collect();
                tree.run(&tree.plan_tables(&numbers, level).unwrap()).unwrap();
            };
            merge(&tables(), 3);
            let mut ingestion = tree.ingestion();
            ingestion.excise_prefix(b"b").unwrap();
            step(&mut ingestion).unwrap();
            ingestion.finish().unwrap();
            assert_eq!(tree.get(b"b").unwrap().as_deref(), Some(&b"new"[..]));
            tree.write(WriteBatch::new().weak_delete(b"b")).unwrap();
            tree.flush().unwrap();
            // The weak delete meets its put without what both lie over.
            let all = tables();
            assert_eq!((all.len(), all[0].1, all[2].1), (3, 3, 0), "{all:?}");
            merge(&all[1..], 2);
            assert_eq!(tree.get(b"b").unwrap(), None, "{comparator}, case {number}");
            tree.compact(true).unwrap();
            assert_eq!(tree.get(b"b").unwrap(), None, "{comparator}, case {number}, merged");
        }
    }
}

#[test]
fn ingested_numbers_are_zeroed_once_and_never_meet() {
    let (_fs, tree) = tree_of(leveled());
    for round in 0..4 {
        let mut ingestion = tree.ingestion();
        for key in ["a", "b", "c"] {
            ingestion.put(key.as_bytes(), format!("{round}").as_bytes()).unwrap();
        }
        ingestion.finish().unwrap();
        if round % 2 == 0 {
            // Rewritten at number 0 in the last level, or moved there as it is.
            let numbers: Vec<u64> = tree
                .version()
                .levels
                .iter()
                .flat_map(|level| &level.runs)
                .flat_map(|run| run.tables.iter().map(|table| table.number))
                .collect();
            let job = tree.plan_tables(&numbers, 3).unwrap();
            tree.run(&job).unwrap();
        }
        let value = format!("{round}");
        let expected: Vec<_> = ["a", "b", "c"].map(|key| (key, value.as_str())).to_vec();
        assert_eq!(rows(&tree), pairs(&expected));
    }
    tree.compact(true).unwrap();
    let stats = tree.stats();
    assert_eq!(stats.levels.iter().map(|level| level.entries).sum::<u64>(), 3);
    let version = tree.version();
    let (_, table) = version.tables().next().unwrap();
    assert_eq!((table.seqno_max, table.seqno_overlay), (SeqNo::ZERO, None));
    assert_eq!(rows(&tree), pairs(&[("a", "3"), ("b", "3"), ("c", "3")]));
}

#[test]
fn many_rows_become_many_tables_of_one_level() {
    let (_fs, tree) = tree_of(leveled());
    let mut ingestion = tree.ingestion();
    for i in 0..2_000u32 {
        ingestion.put(format!("key{i:05}").as_bytes(), &[b'v'; 60]).unwrap();
    }
    let summary = ingestion.finish().unwrap();
    assert_eq!(summary.rows, 2_000);
    assert!(summary.tables > 10, "{summary:?}");
    assert_eq!(tables(&tree), [0, 0, 0, summary.tables]);
    assert_eq!(tree.plan(), None, "they stand where they belong");
    assert_eq!(tree.len().unwrap(), 2_000);
    assert_eq!(tree.get(b"key01234").unwrap().as_deref(), Some(&[b'v'; 60][..]));
    assert_eq!(tree.get(b"key01234x").unwrap(), None);
    assert_eq!(tree.stats().flushed, tree.snapshot().bound());
}

#[test]
fn it_is_there_when_the_store_is_opened_again_and_numbers_go_on_above() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs.clone(), 1).unwrap();
    let tree = open_tree(&store, "bytewise", leveled()).unwrap();
    tree.put(b"a", b"1").unwrap();
    tree.put(b"z", b"1").unwrap();
    let mut ingestion = tree.ingestion();
    ingestion.excise(b"a", b"c").unwrap();
    ingestion.put(b"b", b"2").unwrap();
    let seqno = ingestion.finish().unwrap().seqno.unwrap();
    drop((tree, store));
    let (store, _) = open_store(fs, 2).unwrap();
    let tree = open_tree(&store, "bytewise", leveled()).unwrap();
    assert_eq!(rows(&tree), pairs(&[("b", "2"), ("z", "1")]));
    assert!(store.clock().next() > seqno);
    tree.put(b"b", b"3").unwrap();
    assert_eq!(rows(&tree), pairs(&[("b", "3"), ("z", "1")]));
}

#[test]
fn tables_go_to_the_tree_they_were_written_for() {
    let (_fs, tree) = tree_of(leveled());
    let id = tree.id();
    let (_other_fs, other) = tree_of(leveled());
    assert_eq!(id, other.id());
    let ready = |tree: &Tree| {
        let mut ingestion = tree.ingestion();
        ingestion.put(b"a", b"1").unwrap();
        ingestion.ready().unwrap()
    };
    let refused = other.install_ingested(ready(&tree), other.snapshot().bound());
    assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{refused:?}");
    tree.put(b"a", b"0").unwrap();
    let refused = tree.install_ingested(ready(&tree), tree.snapshot().bound());
    assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{refused:?}");
    tree.flush().unwrap();
    let refused = tree.install_ingested(ready(&tree), SeqNo::from(1));
    assert!(matches!(refused, Err(Error::SeqNoNotAbove { .. })), "{refused:?}");
}

#[test]
fn an_edit_that_fails_leaves_the_tree_as_it_was() {
    for (op, error) in [(OpKind::Write, OsError::NoSpace), (OpKind::SyncData, OsError::Io)] {
        let fs = Arc::new(SimFs::new(1));
        let (store, _) = open_store(fs.clone(), 1).unwrap();
        let tree = open_tree(&store, "bytewise", leveled()).unwrap();
        tree.put(b"a", b"old").unwrap();
        tree.flush().unwrap();
        let mut ingestion = tree.ingestion();
        ingestion.put(b"a", b"new").unwrap();
        let ready = ingestion.ready().unwrap();
        fs.inject(Fault::on(op, FaultKind::Error(error)));
        let seqno = store.clock().allocate(1).unwrap();
        let failed = tree.install_ingested(ready, seqno);
        assert!(matches!(failed, Err(Error::Manifest(_))), "{failed:?}");
        fs.clear_faults();
        assert_eq!(rows(&tree), pairs(&[("a", "old")]), "{op:?}");
        // The number is not used again, the next edit settles what is durable, and the files go.
        tree.put(b"b", b"1").unwrap();
        tree.flush().unwrap();
        let files = fs.list(Path::new("/db/tables")).unwrap().len();
        assert_eq!(files, tables(&tree).iter().sum::<usize>(), "{op:?}");
        drop((tree, store));
        let (store, _) = open_store(fs.clone(), 2).unwrap();
        let tree = open_tree(&store, "bytewise", leveled()).unwrap();
        assert_eq!(rows(&tree), pairs(&[("a", "old"), ("b", "1")]), "{op:?}");
    }
}
