//! Versions and edits: what fits is applied as a simple model does, what does not changes nothing,
//! and everything reads back as it was written.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
    sync::Arc,
};

use common::{DB, comparators, contents, random_edit, synced, table};
use proptest::prelude::*;
use stratal_manifest::{
    Error, FileName, LEVELS_MAX, NewTree, Orphan, Place, TableMeta, TreeId, Version, VersionEdit,
    VersionSet, last_number, orphans,
};
use stratal_testkit::Rng;
use stratal_types::{Bytewise, FileUid, KeyRange, SeqNo};

const TREE: TreeId = TreeId(1);

fn with_tree(comparator: &str) -> VersionSet {
    let mut set = VersionSet::new(DB, comparators());
    let mut edit = VersionEdit::new();
    edit.create_tree(NewTree::new(TREE, "tree", comparator));
    set.apply(&edit).unwrap();
    set
}

/// What one generated edit does to the tables of one tree.
#[derive(Clone, Debug)]
enum Change {
    Add { number: u64, place: Place, first: u8, last: u8 },
    Remove(u64),
    Move(u64, Place),
}

fn change() -> impl Strategy<Value = Change> {
    let place = || (0u32..3, 1u64..4).prop_map(|(level, age)| Place { level, age });
    let number = 1u64..20;
    prop_oneof![
        4 => (number.clone(), place(), 0u8..30, 0u8..4).prop_map(|(number, place, first, len)| {
            Change::Add { number, place, first, last: first + len }
        }),
        2 => number.clone().prop_map(Change::Remove),
        1 => (number, place()).prop_map(|(number, place)| Change::Move(number, place)),
    ]
}

/// Tables by number: where they are and what they span.
type Model = BTreeMap<u64, (Place, u8, u8)>;

/// Does the changes to the model; `None` if they do not fit.
fn apply_to_model(model: &Model, changes: &[Change]) -> Option<Model> {
    let mut next = model.clone();
    let mut touched = HashSet::new();
    // All that is taken out of places goes before all that is put into them.
    for change in changes {
        let number = match change {
            Change::Add { number, .. } | Change::Remove(number) | Change::Move(number, _) => number,
        };
        if !touched.insert(*number) {
            return None;
        }
        match change {
            Change::Add { number, place, first, last } => {
                if model.contains_key(number) {
                    return None;
                }
                next.insert(*number, (*place, *first, *last));
            }
            Change::Remove(number) => {
                next.remove(number)?;
            }
            Change::Move(number, place) => next.get_mut(number)?.0 = *place,
        }
    }
    let all: Vec<_> = next.values().collect();
    let disjoint = all
        .iter()
        .enumerate()
        .all(|(i, a)| all[i + 1..].iter().all(|b| a.0 != b.0 || a.2 < b.1 || b.2 < a.1));
    disjoint.then_some(next)
}

fn edit_of(changes: &[Change], comparator: &str) -> VersionEdit {
    let mut edit = VersionEdit::new();
    for change in changes {
        match *change {
            Change::Add { number, place, first, last } => {
                let (first, last) =
                    if comparator == "reverse" { (last, first) } else { (first, last) };
                edit.add_table(TREE, place, synced(table(number, first, last))).unwrap();
            }
            Change::Remove(number) => {
                edit.remove_table(TREE, number);
            }
            Change::Move(number, place) => {
                edit.move_table(TREE, number, place);
            }
        }
    }
    edit
}

fn check_structure(version: &Version) {
    for tree in version.trees.values() {
        assert!(tree.levels.last().is_none_or(|level| !level.runs.is_empty()));
        for level in &tree.levels {
            assert!(level.runs.windows(2).all(|pair| pair[0].age > pair[1].age));
            for run in &level.runs {
                assert!(!run.tables.is_empty());
                let starts: Vec<_> = run.tables.iter().map(|table| start_of(table)).collect();
                let in_order = starts
                    .windows(2)
                    .all(|pair| tree.comparator.compare(&pair[0], &pair[1]).is_lt());
                assert!(in_order);
            }
        }
        for (_, table) in tree.tables() {
            assert!(version.next_file > table.number && version.clock > table.seqno_max);
        }
    }
}

fn start_of(table: &TableMeta) -> Vec<u8> {
    match &table.span.start {
        Bound::Included(key) => key.clone(),
        bound => panic!("{bound:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn edits_are_applied_or_refused_as_a_list_of_tables_would(
        edits in prop::collection::vec(prop::collection::vec(change(), 1..5), 1..25),
        comparator in prop::sample::select(vec!["bytewise", "reverse"]),
    ) {
        let mut set = with_tree(comparator);
        let mut model = Model::new();
        for changes in &edits {
            let edit = edit_of(changes, comparator);
            let before = Arc::clone(set.current());
            if let Some(next) = apply_to_model(&model, changes) {
                let version = set.apply(&edit);
                prop_assert!(version.is_ok(), "{:?}: {:?}", changes, version);
                model = next;
            } else {
                let refused = matches!(set.apply(&edit), Err(Error::InvalidEdit { .. }));
                prop_assert!(refused, "{:?}", changes);
                prop_assert!(Arc::ptr_eq(&before, set.current()));
            }
            let version = set.current();
            check_structure(version);
            let found: Model = version.trees[&TREE]
                .tables()
                .map(|(place, table)| {
                    let (Bound::Included(a), Bound::Included(b)) = (&table.span.start, &table.span.end)
                    else { panic!() };
                    (table.number, (place, a[0].min(b[0]), a[0].max(b[0])))
                })
                .collect();
            prop_assert_eq!(&found, &model);
            for (number, (place, ..)) in &model {
                prop_assert_eq!(set.find_table(*number), Some((TREE, *place)));
            }
            prop_assert!((1..20).all(|n| model.contains_key(&n) == set.find_table(n).is_some()));
        }
    }

    #[test]
    fn runs_are_searched_as_they_would_be_scanned(
        starts in prop::collection::btree_set(0u8..100, 1..20),
        first in 0u8..110,
        len in 0u8..30,
    ) {
        let mut set = with_tree("bytewise");
        let mut edit = VersionEdit::new();
        let place = Place { level: 1, age: 1 };
        for (number, start) in (1..).zip(&starts) {
            let next = starts.range(start + 1..).next().copied().unwrap_or(255);
            let last = (start + 3).min(next - 1);
            edit.add_table(TREE, place, synced(table(number, *start, last))).unwrap();
        }
        let version = set.apply(&edit).unwrap();
        let run = version.trees[&TREE].run(place).unwrap();
        let with_key: Vec<_> =
            run.tables.iter().filter(|table| table.span.contains(&[first], &Bytewise)).collect();
        prop_assert_eq!(run.table_for(&[first], &Bytewise), with_key.first().copied());
        for range in [
            KeyRange::closed([first], [first + len]),
            KeyRange::half_open([first], [first + len]),
            KeyRange { start: Bound::Unbounded, end: Bound::Excluded(vec![first]) },
            KeyRange { start: Bound::Excluded(vec![first]), end: Bound::Unbounded },
        ] {
            let expected: Vec<_> =
                run.tables.iter().filter(|it| it.span.overlaps(&range, &Bytewise)).cloned().collect();
            if !range.is_empty(&Bytewise) {
                prop_assert_eq!(run.overlapping(&range, &Bytewise), &expected[..]);
            }
        }
    }
}

#[test]
fn edits_and_snapshots_read_back_and_make_the_same_version() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut set = VersionSet::new(DB, comparators());
        let mut replayed = VersionSet::new(DB, comparators());
        for _ in 0..30 {
            let edit = random_edit(&mut rng, set.current());
            let mut bytes = Vec::new();
            edit.encode(&mut bytes);
            let read = VersionEdit::decode(&bytes).unwrap();
            assert_eq!(read, edit);
            let version = set.apply(&edit).unwrap();
            replayed.apply(&read).unwrap();
            check_structure(&version);

            let mut bytes = Vec::new();
            version.to_edit().encode(&mut bytes);
            let mut from_snapshot = VersionSet::new(DB, comparators());
            from_snapshot.apply(&VersionEdit::decode(&bytes).unwrap()).unwrap();
            assert_eq!(contents(from_snapshot.current()), contents(&version));
        }
        assert_eq!(contents(set.current()), contents(replayed.current()));
    }
}

#[test]
fn an_edit_as_large_as_it_likes_goes_through() {
    let mut set = with_tree("bytewise");
    let mut edit = VersionEdit::new();
    // Many runs in one level, many tables in one run, a key of full length, large options.
    for number in 1..=600 {
        edit.add_table(TREE, Place { level: 0, age: number }, synced(table(number, 1, 9))).unwrap();
    }
    for number in 601..=1600u64 {
        let key = |n: u64| [&n.to_le_bytes().map(|b| b)[..], &[0; 60]].concat();
        let number_key = |n: u64| key(n.swap_bytes());
        let meta = TableMeta {
            span: KeyRange::closed(number_key(number), number_key(number)),
            ..table(number, 0, 0)
        };
        edit.add_table(TREE, Place { level: 1, age: 1 }, synced(meta)).unwrap();
    }
    let long = vec![0xff; 65_535];
    let meta = TableMeta {
        span: KeyRange::closed(vec![0xfe], long),
        lineage: vec![FileUid([1; 16]); 70_000],
        ..table(1601, 0, 0)
    };
    edit.add_table(TREE, Place { level: 1, age: 1 }, synced(meta)).unwrap();
    edit.set_options(TREE, vec![7; 1 << 20]);
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    assert!(bytes.len() > 2 << 20);
    assert_eq!(VersionEdit::decode(&bytes).unwrap(), edit);
    let version = set.apply(&edit).unwrap();
    assert_eq!(version.trees[&TREE].levels[0].runs.len(), 600);
    assert_eq!(version.trees[&TREE].levels[1].runs[0].tables.len(), 1001);
}

fn edit(change: impl Fn(&mut VersionEdit) -> &mut VersionEdit) -> VersionEdit {
    let mut edit = VersionEdit::new();
    change(&mut edit);
    edit
}

/// What is wrong, and the edit that is.
fn unfit() -> Vec<(&'static str, VersionEdit)> {
    let place = Place { level: 0, age: 9 };
    let adding =
        |place, meta: TableMeta| edit(|e| e.add_table(TREE, place, synced(meta.clone())).unwrap());
    let other = TreeId(7);
    vec![
        ("there is no such tree", edit(|e| e.set_flushed(other, SeqNo::ZERO))),
        ("there is no such tree", edit(|e| e.set_options(other, vec![]))),
        ("a tree to be dropped is not there", edit(|e| e.drop_tree(other))),
        (
            "a tree's id has been given before",
            edit(|e| e.create_tree(NewTree::new(TREE, "b", "bytewise"))),
        ),
        (
            "a tree's name is taken",
            edit(|e| e.create_tree(NewTree::new(TreeId(5), "tree", "bytewise"))),
        ),
        (
            "a tree's name is empty",
            edit(|e| e.create_tree(NewTree::new(TreeId(5), "", "bytewise"))),
        ),
        ("the flushed bound would fall", edit(|e| e.set_flushed(TREE, SeqNo::from(1)))),
        ("a table is not in the tree", edit(|e| e.remove_table(TREE, 99))),
        ("a table is not in the tree", edit(|e| e.move_table(TREE, 99, place))),
        ("a table is changed twice", edit(|e| e.remove_table(TREE, 1).remove_table(TREE, 1))),
        ("a table is changed twice", edit(|e| e.remove_table(TREE, 1).move_table(TREE, 1, place))),
        ("there is no such tree", edit(|e| e.drop_tree(TREE).remove_table(TREE, 1))),
        (
            "a level is too deep",
            edit(|e| e.move_table(TREE, 1, Place { level: LEVELS_MAX, age: 1 })),
        ),
        ("a level is too deep", adding(Place { level: u32::MAX, age: 1 }, table(50, 1, 2))),
        ("a table's number is taken", adding(place, table(1, 100, 101))),
        ("a table's number is out of range", adding(place, table(0, 1, 2))),
        ("tables of a run overlap", adding(Place { level: 0, age: 1 }, table(50, 5, 6))),
        ("a table's span is empty", adding(place, table(50, 9, 8))),
        ("a table holds nothing", adding(place, TableMeta { entries: 0, ..table(50, 1, 2) })),
        (
            "a table's lowest sequence number is above its highest",
            adding(place, TableMeta { seqno_min: SeqNo::from(99), ..table(50, 1, 2) }),
        ),
        (
            "a table's entries have a higher sequence number than it has",
            adding(place, TableMeta { entry_seqno_max: Some(SeqNo::from(99)), ..table(50, 1, 2) }),
        ),
        (
            "a table's sequence number is out of range",
            adding(
                place,
                TableMeta { seqno_max: SeqNo::MAX, seqno_overlay: None, ..table(51, 1, 2) },
            ),
        ),
    ]
}

#[test]
fn an_edit_that_does_not_fit_says_why_and_changes_nothing() {
    let mut set = with_tree("bytewise");
    let mut edit = VersionEdit::new();
    edit.add_table(TREE, Place { level: 0, age: 1 }, synced(table(1, 1, 9))).unwrap();
    edit.set_flushed(TREE, SeqNo::from(5));
    set.apply(&edit).unwrap();
    for (expected, edit) in unfit() {
        let before = Arc::clone(set.current());
        match set.apply(&edit) {
            Err(Error::InvalidEdit { what, .. }) => assert_eq!(what, expected),
            other => panic!("{expected}: {other:?}"),
        }
        assert!(Arc::ptr_eq(&before, set.current()));
    }
    let mut edit = VersionEdit::new();
    edit.create_tree(NewTree::new(TreeId(5), "b", "by moonlight"));
    assert!(
        matches!(set.apply(&edit), Err(Error::UnknownComparator { name }) if name == "by moonlight")
    );
}

#[test]
fn a_table_is_added_only_under_its_own_name_and_length() {
    let place = Place { level: 0, age: 1 };
    let renumbered = synced(table(3, 1, 2));
    let mut edit = VersionEdit::new();
    assert!(edit.add_table(TREE, place, renumbered).is_ok());
    // What is synced is one file; what is said about it is another.
    let fs = stratal_fs::MemFs::new();
    let file = stratal_fs::NewFile::create(&fs, "/0000000003.sst").unwrap().finish().unwrap();
    let wrong_number =
        file.map(|()| TableMeta { file_len: 0, ..table(4, 1, 2) }).sync_dir(&fs).unwrap();
    assert!(matches!(
        edit.add_table(TREE, place, wrong_number),
        Err(Error::InvalidEdit { file: 4, .. })
    ));
    let file = stratal_fs::NewFile::create(&fs, "/0000000005.sst").unwrap().finish().unwrap();
    let wrong_len = file.map(|()| table(5, 1, 2)).sync_dir(&fs).unwrap();
    assert!(matches!(
        edit.add_table(TREE, place, wrong_len),
        Err(Error::InvalidEdit { file: 5, .. })
    ));
    assert_eq!(edit.added().len(), 1);
}

#[test]
fn counters_rise_above_everything_and_never_fall() {
    let mut set = with_tree("bytewise");
    let mut edit = VersionEdit::new();
    edit.add_table(TREE, Place { level: 0, age: 1 }, synced(table(40, 1, 2))).unwrap();
    let version = set.apply(&edit).unwrap();
    // Table 40 has an overlay at 49.
    assert_eq!((version.next_file, version.clock), (41, SeqNo::from(50)));
    let mut edit = VersionEdit::new();
    edit.set_clock(SeqNo::from(9)).set_next_file(3).set_wal_floor(4);
    let version = set.apply(&edit).unwrap();
    assert_eq!((version.next_file, version.clock, version.wal_floor), (41, SeqNo::from(50), 4));
    let mut edit = VersionEdit::new();
    edit.drop_tree(TREE).set_wal_floor(2);
    let version = set.apply(&edit).unwrap();
    assert_eq!((version.next_tree, version.wal_floor, version.trees.len()), (TreeId(2), 4, 0));
    // The name is free again, the id is not.
    let mut edit = VersionEdit::new();
    edit.create_tree(NewTree::new(TreeId(2), "tree", "bytewise"));
    assert!(set.apply(&edit).unwrap().tree_named("tree").is_some());
}

#[test]
fn history_is_held_until_it_is_released_and_no_floor_rises_above() {
    let mut set = with_tree("bytewise");
    let at = |bound: u32| SeqNo::from(bound);
    let hold = |name: &str, bound: u32| {
        let mut edit = VersionEdit::new();
        edit.hold_history(name, at(bound));
        edit
    };
    let release = |name: &str| {
        let mut edit = VersionEdit::new();
        edit.release_history(name);
        edit
    };
    let floor = |mut edit: VersionEdit, bound: u32| {
        edit.set_retention_floor(at(bound));
        edit
    };
    // Released and taken again at once, there is no lower bound to fall from.
    let mut again = hold("audit", 9);
    again.release_history("audit");
    let history = [
        ("feed 5", hold("feed", 5)),
        ("audit 10, feed 5", hold("audit", 10)),
        ("refused", floor(VersionEdit::new(), 6)),
        ("refused", hold("feed", 4)),
        ("audit 10, feed 5", floor(VersionEdit::new(), 5)),
        ("refused", hold("late", 4)),
        ("refused", hold("", 9)),
        ("refused", hold(&"x".repeat(256), 9)),
        ("audit 10, feed 7", hold("feed", 7)),
        ("refused", release("nobody")),
        ("audit 10", floor(release("feed"), 9)),
        ("audit 9", again),
        ("", release("audit")),
        ("", floor(VersionEdit::new(), 90)),
    ];
    for (step, (expected, edit)) in history.iter().enumerate() {
        let before = contents(set.current());
        match set.apply(edit) {
            Ok(version) => {
                let found: Vec<_> =
                    version.held.iter().map(|(name, bound)| format!("{name} {bound}")).collect();
                assert_eq!(found.join(", "), *expected, "{step}");
                let mut again = VersionSet::new(DB, comparators());
                assert_eq!(again.apply(&version.to_edit()).unwrap().held, version.held, "{step}");
            }
            Err(error) => {
                assert_eq!("refused", *expected, "{step}: {error}");
                assert_eq!(contents(set.current()), before, "{step}");
            }
        }
    }
    assert_eq!(set.current().retention_floor, at(90));
}

#[test]
fn orphans_are_what_nothing_names_and_strangers_are_left_alone() {
    let mut set = with_tree("bytewise");
    let mut edit = VersionEdit::new();
    edit.add_table(TREE, Place { level: 0, age: 1 }, synced(table(3, 1, 2))).unwrap();
    edit.set_wal_floor(5);
    let version = set.apply(&edit).unwrap();
    let names = [
        "LOCK",
        "IDENTITY",
        "MANIFEST.0000000007",
        "MANIFEST.0000000006",
        "manifest-0000000006",
        "manifest-0000000007",
        "manifest-0000000008",
        "wal-0000000004",
        "wal-0000000005",
        "tables/0000000002.sst",
        "tables/0000000003.sst",
        "tables/0000000009.sst",
        "tables/3.sst",
        "tables/0000000002.sst.tmp",
        "values/0000000001.vlog",
        "lost/0000000002.sst",
        ".DS_Store",
        "tables/._0000000002.sst",
    ];
    let logged = BTreeSet::from([9]);
    let found = orphans(&version, 7, &logged, names);
    let expected = [
        FileName::Marker(6),
        FileName::Manifest(6),
        FileName::Manifest(8),
        FileName::Wal(4),
        FileName::Table(2),
    ];
    assert_eq!(found, expected.map(Orphan));
    assert_eq!(last_number(names), 9);
    for name in names {
        if let Some(parsed) = FileName::parse(name) {
            assert_eq!(parsed.to_string(), name);
        }
    }
}
