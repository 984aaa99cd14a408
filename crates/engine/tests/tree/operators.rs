use std::sync::Arc;

use bytes::Bytes;
use stratal_engine::{
    CompactionFilters, EntryRef, Error, MergeOperator, OperatorError, Store, StoreContext, Tree,
    TreeOptions, TreeSpec, Verdict, WriteBatch,
};
use stratal_fs::MemFs;
use stratal_types::comparator_named;

use crate::support::open_store;

/// Appends, and refuses operands that begin with `!`. Nobody composes them.
#[derive(Debug)]
struct Picky;

impl MergeOperator for Picky {
    fn name(&self) -> &'static str {
        "picky"
    }

    fn full(
        &self,
        _key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        match operands.iter().find(|operand| operand.starts_with(b"!")) {
            Some(_) => Err(OperatorError::new("told to fail")),
            None => Ok([base.unwrap_or_default(), &operands.concat()].concat()),
        }
    }
}

fn picky_store(fs: &MemFs, seed: u64) -> Arc<Store> {
    let count = std::sync::atomic::AtomicU64::new(seed << 32);
    let unique = Arc::new(move || {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        u128::from(count).to_le_bytes()
    });
    let mut context = StoreContext::new(Arc::new(fs.clone()), "/db", 4 << 20, unique);
    context.operators = Arc::new(|name| match name {
        "picky" => Some(Arc::new(Picky)),
        _ => None,
    });
    Store::open(context).unwrap().0
}

fn tree_of(store: &Arc<Store>) -> Arc<Tree> {
    let known = store.version().tree_named("t").map(|tree| tree.id);
    let id = known.unwrap_or_else(|| store.create_tree("t", "bytewise", &[]).unwrap());
    Tree::open(store, id, leveled()).unwrap()
}

fn leveled() -> TreeSpec {
    TreeOptions::default().validate().unwrap()
}

fn entries(tree: &Tree) -> u64 {
    tree.stats().levels.iter().map(|level| level.entries).sum()
}

#[test]
fn an_operator_is_chosen_once_and_kept() {
    let fs = MemFs::new();
    let store = picky_store(&fs, 1);
    let tree = tree_of(&store);
    assert!(matches!(tree.merge(b"k", b"a"), Err(Error::NoOperator { name: None })));
    assert!(matches!(
        tree.set_merge_operator("append"),
        Err(Error::NoOperator { name: Some(name) }) if name == "append"
    ));
    tree.set_merge_operator("picky").unwrap();
    tree.set_merge_operator("picky").unwrap();
    assert!(matches!(
        tree.set_merge_operator("append"),
        Err(Error::OperatorMismatch { found, .. }) if found == "picky"
    ));
    tree.merge(b"k", b"a").unwrap();
    tree.flush().unwrap();
    drop((tree, store));
    let store = picky_store(&fs, 2);
    let tree = tree_of(&store);
    assert_eq!(tree.merge_operator(), Some("picky"));
    assert_eq!(tree.get(b"k").unwrap().as_deref(), Some(&b"a"[..]));
}

#[test]
fn an_operator_that_nobody_knows_is_an_error_where_it_is_needed_and_only_there() {
    let fs = MemFs::new();
    {
        let tree = tree_of(&picky_store(&fs, 1));
        tree.set_merge_operator("picky").unwrap();
        tree.put(b"a", b"1").unwrap();
        tree.merge(b"b", b"2").unwrap();
        tree.flush().unwrap();
        tree.merge(b"b", b"3").unwrap();
        tree.put(b"c", b"4").unwrap();
        tree.flush().unwrap();
    }
    {
        // This build knows no such operator.
        let (store, _) = open_store(Arc::new(fs.clone()), 9).unwrap();
        let tree = tree_of(&store);
        let is_needed = |error: &Error| matches!(error, Error::NoOperator { name: Some(name) } if name == "picky");
        assert_eq!(tree.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert!(tree.get(b"b").is_err_and(|error| is_needed(&error)));
        assert!(tree.multi_get(&[b"a", b"b"]).is_err_and(|error| is_needed(&error)));
        let rows: Vec<_> = tree.range::<&[u8]>(..).unwrap().collect();
        assert!(rows.len() == 2 && rows[1].as_ref().is_err_and(is_needed), "{rows:?}");
        assert!(tree.merge(b"d", b"5").is_err_and(|error| is_needed(&error)));
        tree.compact(true).unwrap();
        assert_eq!(entries(&tree), 4, "operands are left alone");
    }
    let tree = tree_of(&picky_store(&fs, 3));
    assert_eq!(tree.get(b"b").unwrap().as_deref(), Some(&b"23"[..]));
    tree.put(b"e", b"").unwrap();
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    assert_eq!(tree.get(b"b").unwrap().as_deref(), Some(&b"23"[..]));
}

#[test]
fn operands_that_fail_are_an_error_and_stay_until_something_hides_them() {
    let fs = MemFs::new();
    let tree = tree_of(&picky_store(&fs, 1));
    tree.set_merge_operator("picky").unwrap();
    tree.put(b"k", b"base").unwrap();
    tree.flush().unwrap();
    tree.merge(b"k", b"!").unwrap();
    tree.flush().unwrap();
    tree.merge(b"k", b"x").unwrap();
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    assert_eq!(entries(&tree), 3, "both operands and the base");
    let error = tree.get(b"k").unwrap_err();
    assert!(
        matches!(&error, Error::Operator { operator, key, .. } if operator == "picky" && key == b"k")
    );
    assert_eq!(error.to_string(), "key \"k\", operator picky: merge operator failed: told to fail");
    assert!(!error.is_corruption());
    tree.put(b"k", b"new").unwrap();
    assert_eq!(tree.get(b"k").unwrap().as_deref(), Some(&b"new"[..]));
    tree.flush().unwrap();
    tree.compact(true).unwrap();
    assert_eq!(entries(&tree), 1);
}

#[test]
fn several_operations_of_a_batch_on_one_key_happen_in_order() {
    let fs = MemFs::new();
    let tree = tree_of(&picky_store(&fs, 1));
    tree.set_merge_operator("picky").unwrap();
    let mut batch = WriteBatch::new();
    batch.merge("k", "a").merge("k", "b").put("k", "c").merge("k", "d").merge("k", "e");
    batch.merge("l", "1").delete("l").merge("l", "2").merge("m", "1").delete_range("m", "n");
    let check = || {
        let values = tree.multi_get(&["k", "l", "m"]).unwrap();
        let values: Vec<_> = values.iter().map(Option::as_deref).collect();
        assert_eq!(values, [Some(&b"cde"[..]), Some(b"2"), None]);
    };
    tree.write(&batch).unwrap();
    check();
    tree.flush().unwrap();
    check();
    assert_eq!(entries(&tree), 2, "what is on a put, and what is on a delete: {:?}", tree.stats());
    tree.compact(true).unwrap();
    check();
}

/// One key over every source there can be: more operands than a lookup gathers, in memory and in tables.
#[test]
fn many_operands_of_one_key_are_read_wherever_they_are() {
    let fs = MemFs::new();
    let tree = tree_of(&picky_store(&fs, 1));
    tree.set_merge_operator("picky").unwrap();
    let mut expected = Vec::new();
    let held: Vec<_> = (0..20_000u32)
        .map(|number| {
            let operand = number.to_le_bytes().map(|byte| byte | 0x80);
            expected.extend(operand);
            tree.merge(b"hot", &operand).unwrap();
            if number % 5_000 == 2_500 {
                tree.flush().unwrap();
            }
            (number % 4_000 == 0).then(|| (tree.snapshot(), expected.len()))
        })
        .collect();
    for _ in 0..2 {
        assert_eq!(tree.get(b"hot").unwrap().as_deref(), Some(&expected[..]));
        for (snapshot, len) in held.iter().flatten() {
            let found = tree.get_at(b"hot", snapshot).unwrap();
            assert_eq!(found.as_deref(), Some(&expected[..*len]));
        }
        tree.flush().unwrap();
        tree.compact(true).unwrap();
    }
}

#[test]
fn everything_with_a_prefix_goes_and_nothing_else() {
    let keys: Vec<Vec<u8>> = [
        &[0][..],
        &[0, 0],
        b"a",
        b"ab",
        b"ab\xff",
        b"ab\xff\xff",
        b"ac",
        b"b",
        &[0xff],
        &[0xff, 0xff],
        &[0xff, 0xff, 0],
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    let longest = vec![0xff; stratal_types::KEY_LEN_MAX];
    for order in ["bytewise", "reverse", "shortlex"] {
        for prefix in [&b""[..], b"a", b"ab", b"ab\xff", &[0xff], &[0xff, 0xff], b"zzz"] {
            let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
            let id = store.create_tree("t", order, &[]).unwrap();
            let tree = Tree::open(&store, id, leveled()).unwrap();
            for key in keys.iter().chain([&longest]) {
                tree.put(key, b"v").unwrap();
            }
            let before = tree.snapshot();
            let deleted = tree.delete_prefix(prefix);
            if order == "shortlex" && !prefix.is_empty() {
                assert!(matches!(deleted, Err(Error::InvalidArgument(_))));
                continue;
            }
            deleted.unwrap();
            for _ in 0..2 {
                let mut left: Vec<_> =
                    tree.range::<&[u8]>(..).unwrap().map(|row| row.unwrap().0.to_vec()).collect();
                let comparator = comparator_named(order).unwrap();
                assert!(left.is_sorted_by(|a, b| comparator.compare(a, b).is_lt()));
                left.sort();
                let all = keys.iter().chain([&longest]).filter(|key| !key.starts_with(prefix));
                assert!(left.iter().eq(all), "{order}, {prefix:?}");
                assert_eq!(tree.range_at::<&[u8]>(.., &before).unwrap().count(), keys.len() + 1);
                tree.flush().unwrap();
                tree.compact(true).unwrap();
            }
        }
    }
}

#[test]
fn a_filter_removes_and_replaces_what_every_reader_sees() {
    let judge = |entry: EntryRef<'_>| match entry.value {
        b"draft" => Verdict::Remove,
        b"spoilt" => Verdict::Destroy,
        b"old" => Verdict::Replace(b"new".to_vec()),
        _ => Verdict::Keep,
    };
    let compaction_filters = Some(CompactionFilters::of(judge));
    let options = TreeOptions { compaction_filters, ..TreeOptions::default() };
    let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
    let id = store.create_tree("t", "bytewise", &[]).unwrap();
    let tree = Tree::open(&store, id, options.validate().unwrap()).unwrap();
    let values = || {
        let found = tree.multi_get(&["a", "b", "c", "d"]).unwrap();
        found.into_iter().map(|value| value.map(|value| value.to_vec())).collect::<Vec<_>>()
    };
    let some = |value: &[u8]| Some(value.to_vec());
    tree.put(b"a", b"base").unwrap();
    tree.flush().unwrap();
    for (key, value) in [("a", "draft"), ("b", "spoilt"), ("c", "old"), ("d", "kept")] {
        tree.put(key.as_bytes(), value.as_bytes()).unwrap();
    }
    let held = tree.snapshot();
    tree.put(b"d", b"draft").unwrap();
    tree.flush().unwrap();
    // What the snapshot sees is judged, and what only later readers see is not.
    assert_eq!(values(), [None, None, some(b"new"), some(b"draft")]);
    assert_eq!(tree.get_at(b"d", &held).unwrap().as_deref(), Some(&b"kept"[..]));
    drop(held);
    tree.compact(true).unwrap();
    assert_eq!(values(), [None, None, some(b"new"), None]);
    assert_eq!(entries(&tree), 1, "{:?}", tree.stats());
}

/// Prints what a get costs over more and more operands, beside one without.
#[test]
#[ignore = "measures"]
fn what_operands_cost() {
    const KEYS: u32 = 2000;
    let key = |number: u32| number.wrapping_mul(0x9e37_79b9).to_le_bytes();
    let mut plain = None;
    for count in [0u32, 1, 4, 16, 32, 64, 256] {
        let tree = tree_of(&picky_store(&MemFs::new(), 1));
        tree.set_merge_operator("picky").unwrap();
        for number in 0..KEYS {
            tree.put(&key(number), &[7; 100]).unwrap();
        }
        tree.flush().unwrap();
        for operand in 0..count {
            let operand = (operand | 0x8080_8080).to_le_bytes();
            for number in 0..KEYS {
                tree.merge(&key(number), &operand).unwrap();
            }
        }
        let one_by_one = || {
            let start = std::time::Instant::now();
            for number in 0..KEYS {
                let value = tree.get(&key(number)).unwrap().unwrap();
                assert_eq!(value.len(), 100 + 4 * count as usize);
            }
            start.elapsed().as_secs_f64() / f64::from(KEYS)
        };
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        let together = || {
            let start = std::time::Instant::now();
            assert_eq!(tree.multi_get(&keys).unwrap().len(), keys.len());
            start.elapsed().as_secs_f64() / f64::from(KEYS)
        };
        let scan = || {
            let start = std::time::Instant::now();
            assert_eq!(tree.len().unwrap(), u64::from(KEYS));
            start.elapsed().as_secs_f64() / f64::from(KEYS)
        };
        let best = |run: &dyn Fn() -> f64| (0..5).map(|_| run()).fold(f64::MAX, f64::min);
        let (one, many, row) = (best(&one_by_one), best(&together), best(&scan));
        let (of_one, of_many, of_row) = *plain.get_or_insert((one, many, row));
        println!(
            "{count:>4} operands: get x{:.2}, of many x{:.2} (x{:.2} of one by one), scan x{:.2}",
            one / of_one,
            many / of_many,
            many / one,
            row / of_row
        );
    }
}

/// In an order that does not keep them together, keys without the prefix stand among those with it.
#[test]
fn a_read_of_a_prefix_folds_no_other_keys() {
    let fs = MemFs::new();
    let store = picky_store(&fs, 1);
    store.create_tree("t", "shortlex", &[]).unwrap();
    let tree = tree_of(&store);
    tree.set_merge_operator("picky").unwrap();
    tree.merge(b"AE/1", b"!").unwrap();
    tree.put(b"AD/1", b"a").unwrap();
    tree.put(b"AC/22", b"-").unwrap();
    for is_flushed in [false, true] {
        tree.merge(b"AD/2", b"b").unwrap();
        tree.merge(b"AA/33", b"!").unwrap();
        tree.merge(b"AD/444", b"c").unwrap();
        if is_flushed {
            tree.flush().unwrap();
        }
        let rows = || tree.prefix(b"AD/").unwrap();
        let keys = |rows: Vec<Result<(Bytes, Bytes), Error>>| {
            rows.into_iter().map(|row| row.unwrap().0).collect::<Vec<_>>()
        };
        assert_eq!(keys(rows().collect()), ["AD/1", "AD/2", "AD/444"]);
        assert_eq!(keys(rows().rev().collect()), ["AD/444", "AD/2", "AD/1"]);
        let mut from_both = rows();
        assert_eq!(from_both.next_back().unwrap().unwrap().0, "AD/444");
        assert_eq!(keys(from_both.collect()), ["AD/1", "AD/2"]);
        assert!(tree.range::<&[u8]>(..).unwrap().any(|row| row.is_err()));
        let mut unfoldable = tree.prefix(b"AA/").unwrap();
        assert!(matches!(unfoldable.next(), Some(Err(Error::Operator { .. }))));
    }
}
