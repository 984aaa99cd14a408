//! Digests that are taken when an entry is written: what changes in memory from then on is told, and not
//! sealed under another digest. Faults are real: bytes of this process are changed where they lie.

use std::{
    cmp::Ordering as Order,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use stratal_engine::{
    CompactionFilters, EntryRef, Error, Operation, Store, Tree, TreeOptions, TreeSettings, Verdict,
    WriteBatch,
};
use stratal_fs::MemFs;
use stratal_sst::{Compression, TableOptions};
use stratal_testkit::flip_in_memory;
use stratal_types::{Comparator, SeqNo};

use crate::support::store_context;

const VICTIM: &[u8] = b"AD/Vila";

/// Bytewise, and remembers where it saw the victim's key last.
#[derive(Debug)]
struct Witness(Arc<AtomicUsize>);

impl Comparator for Witness {
    fn name(&self) -> &'static str {
        "witness"
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Order {
        if a == VICTIM {
            self.0.store(a.as_ptr().addr(), Ordering::Relaxed);
        }
        a.cmp(b)
    }
}

fn options() -> TreeOptions {
    TreeOptions {
        digests_at_insert: true,
        table: TableOptions {
            entry_digests: true,
            block_len_target: 512,
            compression: Compression::None,
            ..TableOptions::default()
        },
        carry_blocks: false,
        ..TreeOptions::default()
    }
}

struct World {
    _store: Arc<Store>,
    tree: Arc<Tree>,
    seen_at: Arc<AtomicUsize>,
}

impl World {
    fn new(options: TreeOptions) -> Self {
        let mut context = store_context(Arc::new(MemFs::new()), 1);
        let seen_at: Arc<AtomicUsize> = Arc::default();
        let witness = Arc::new(Witness(Arc::clone(&seen_at)));
        context.comparators = Arc::new(move |_| Some(Arc::clone(&witness) as _));
        let (store, _) = Store::open(context).unwrap();
        let settings =
            TreeSettings { merge_operator: Some("append".into()), ..TreeSettings::default() };
        let id = store.create_tree("t", "witness", &settings.encode()).unwrap();
        let tree = Tree::open(&store, id, options.validate().unwrap()).unwrap();
        Self { _store: store, tree, seen_at }
    }

    /// Where the victim's row begins in the memtable: its key, and the value behind it.
    fn place_in_memtable(&self) -> usize {
        // Whoever goes through the rows compares those that are there.
        self.tree.put(b"AD/Vilb", b"-").unwrap();
        assert!(self.tree.len().unwrap() > 1);
        self.seen_at.load(Ordering::Relaxed)
    }
}

fn damaged<T: std::fmt::Debug>(done: Result<T, Error>, key: &[u8]) -> Error {
    let Err(error) = done else { panic!("{done:?}") };
    assert!(error.is_memory_damage() && !error.is_corruption(), "{error}");
    assert!(error.to_string().contains(&format!("\"{}\"", key.escape_ascii())), "{error}");
    error
}

fn put(key: &[u8], value: &[u8]) -> Operation {
    Operation::Put { key: key.to_vec(), value: value.to_vec() }
}

/// Every single-bit fault between the taking of a digest and the memtable.
#[test]
fn an_operation_that_changed_in_the_queue_is_not_applied() {
    let World { tree, _store: store, .. } = World::new(options());
    let range =
        |from: &[u8], to: &[u8]| Operation::DeleteRange { from: from.into(), to: to.into() };
    let merge = |key: &[u8], operand: &[u8]| Operation::Merge {
        key: key.to_vec(),
        operand: operand.to_vec(),
    };
    let changed = [
        (put(VICTIM, b"1418"), put(VICTIM, b"1419")),
        (put(VICTIM, b"1418"), put(b"AD/Vilb", b"1418")),
        (put(VICTIM, &[7; 5000]), put(VICTIM, &[[7; 4999].as_slice(), &[6]].concat())),
        (put(VICTIM, b""), Operation::Delete { key: VICTIM.to_vec() }),
        (Operation::Delete { key: VICTIM.to_vec() }, Operation::Delete { key: b"AD/Vilb".into() }),
        (merge(VICTIM, b"1"), merge(VICTIM, b"0")),
        (merge(VICTIM, b"1"), put(VICTIM, b"1")),
        (range(b"a", b"b"), range(b"a", b"c")),
        (range(b"a", b"c"), range(b"b", b"c")),
    ];
    for (operation, changed) in changed {
        let first = store.clock().allocate(1).unwrap();
        let digests = [operation.digest()];
        let Err(error) = tree.apply_with_digests(std::slice::from_ref(&changed), &digests, first)
        else {
            panic!("{changed:?} for {operation:?}");
        };
        assert!(error.is_memory_damage());
        tree.apply_with_digests(&[operation], &digests, first).unwrap();
        store.clock().publish(store.clock().next());
    }
    let refused = tree.apply_with_digests(&[], &[put(b"a", b"").digest()], SeqNo::MAX);
    assert!(matches!(refused, Err(Error::InvalidArgument(_))));
    tree.flush().unwrap();
    assert_eq!(tree.get(VICTIM).unwrap().as_deref(), Some(&b"11"[..]));
}

#[test]
fn a_batch_may_take_its_digests_before_it_is_written() {
    let World { tree, .. } = World::new(options());
    let mut batch = WriteBatch::with_digests();
    batch.put("a", "1").delete("b").merge("c", "2").delete_range("x", "y");
    assert_eq!(batch.digests().unwrap().len(), 4);
    tree.write(&batch).unwrap();
    tree.flush().unwrap();
    assert_eq!(tree.get(b"c").unwrap().as_deref(), Some(&b"2"[..]));
}

/// A fault in a memtable ends the flush. Had it not been found, it would be in the table, under a check
/// that says it is whole.
#[test]
fn a_row_that_changed_in_the_memtable_is_not_flushed() {
    if flip_in_memory([0u8].as_ptr().addr(), 0).is_err() {
        return;
    }
    // In the key's last byte, in the value, and, below, in what is folded.
    for (at, key) in [(VICTIM.len() - 1, &b"AD/Vilc"[..]), (VICTIM.len() + 1, VICTIM)] {
        let world = World::new(options());
        let tree = &world.tree;
        tree.put(b"AD/Canillo", b"3292").unwrap();
        tree.put(VICTIM, b"1418").unwrap();
        let place = world.place_in_memtable() + at;
        flip_in_memory(place, 2).unwrap();
        damaged(tree.flush(), key);
        damaged(tree.flush(), key);
        assert_eq!(tree.version().tables().count(), 0);
        flip_in_memory(place, 2).unwrap();
        tree.flush().unwrap();
        assert_eq!(tree.get(VICTIM).unwrap().as_deref(), Some(&b"1418"[..]));
    }
    let world = World::new(options());
    let tree = &world.tree;
    tree.put(VICTIM, b"1418").unwrap();
    tree.merge(VICTIM, b"+1").unwrap();
    let place = world.place_in_memtable() + VICTIM.len();
    flip_in_memory(place, 2).unwrap();
    damaged(tree.flush(), VICTIM);
    flip_in_memory(place, 2).unwrap();
    tree.flush().unwrap();
    assert_eq!(tree.get(VICTIM).unwrap().as_deref(), Some(&b"1418+1"[..]));
}

/// The control: a tree that was not asked does not know.
#[test]
fn without_digests_a_change_in_memory_is_sealed() {
    if flip_in_memory([0u8].as_ptr().addr(), 0).is_err() {
        return;
    }
    let table = TableOptions { block_len_target: 512, ..TableOptions::default() };
    let of_blocks = TableOptions { entry_digests: true, ..table.clone() };
    for table in [table, of_blocks] {
        let options = TreeOptions { digests_at_insert: false, table, ..options() };
        let world = World::new(options);
        world.tree.put(VICTIM, b"1418").unwrap();
        flip_in_memory(world.place_in_memtable() + VICTIM.len(), 2).unwrap();
        world.tree.flush().unwrap();
        assert_eq!(world.tree.get(VICTIM).unwrap().as_deref(), Some(&b"3418"[..]));
    }
}

/// What passes by a merge keeps its digest: a value that changes while it is there is not written, and the
/// tables stay as they are.
#[test]
fn a_row_that_changed_in_a_merge_is_not_written() {
    if flip_in_memory([0u8].as_ptr().addr(), 0).is_err() {
        return;
    }
    let armed: Arc<AtomicBool> = Arc::default();
    let place: Arc<Mutex<Option<usize>>> = Arc::default();
    let (is_armed, at) = (Arc::clone(&armed), Arc::clone(&place));
    let flip = move |entry: EntryRef<'_>| {
        if entry.key == VICTIM && is_armed.load(Ordering::Relaxed) {
            let address = entry.value.as_ptr().addr() + 1;
            flip_in_memory(address, 0x20).unwrap();
            *at.lock().unwrap() = Some(address);
        }
        Verdict::Keep
    };
    let filter = Some(CompactionFilters::of(flip));
    let World { tree, .. } = World::new(TreeOptions { compaction_filters: filter, ..options() });
    for round in 0..3u32 {
        for i in 0..200 {
            tree.put(format!("{i:04}").as_bytes(), &round.to_le_bytes()).unwrap();
        }
        tree.put(VICTIM, b"1418").unwrap();
        tree.flush().unwrap();
    }
    let before = tree.version();
    armed.store(true, Ordering::Relaxed);
    let error = damaged(tree.compact(true), VICTIM);
    assert!(matches!(error, Error::Table { .. }), "{error}");
    assert!(place.lock().unwrap().is_some());
    assert_eq!(before.tables().count(), tree.version().tables().count());
    armed.store(false, Ordering::Relaxed);
    tree.compact(true).unwrap();
    assert_eq!(tree.get(VICTIM).unwrap().as_deref(), Some(&b"1418"[..]));
}

/// Rows that nobody changed come through everything there is: folding, filters, numbers that become
/// zero, weak deletes, ingestion under one number, options that change on the way.
#[test]
fn whole_rows_pass() {
    let replace = |entry: EntryRef<'_>| match entry.value {
        b"old" => Verdict::Replace(b"new".to_vec()),
        b"gone" => Verdict::Remove,
        _ => Verdict::Keep,
    };
    let with_filter =
        TreeOptions { compaction_filters: Some(CompactionFilters::of(replace)), ..options() };
    let World { tree, _store: store, .. } = World::new(with_filter.clone());
    let off = TreeOptions {
        digests_at_insert: false,
        table: TableOptions { entry_digests: false, ..with_filter.table.clone() },
        ..with_filter.clone()
    };
    for round in 0..6u32 {
        let snapshot = store.snapshot();
        for i in 0..100u32 {
            let key = format!("{i:03}");
            match (i + round) % 7 {
                0 => tree.put(key.as_bytes(), b"old").unwrap(),
                1 => tree.put(key.as_bytes(), b"gone").unwrap(),
                2 => tree.delete(key.as_bytes()).unwrap(),
                3 | 4 => tree.merge(key.as_bytes(), b"+1").unwrap(),
                5 => tree.write(WriteBatch::new().put(key, "kept")).unwrap(),
                _ => tree.delete_range(key.as_bytes(), b"050").unwrap(),
            };
        }
        let mut ingestion = tree.ingestion();
        for i in 0..50u32 {
            ingestion.put(format!("{i:03}x").as_bytes(), b"ingested").unwrap();
        }
        ingestion.finish().unwrap();
        tree.flush().unwrap();
        if round % 2 == 1 {
            tree.compact(true).unwrap();
        }
        drop(snapshot);
        let next = if round == 2 { off.clone() } else { with_filter.clone() };
        tree.set_spec(next.validate().unwrap()).unwrap();
        assert_eq!(tree.takes_digests(), round != 2);
    }
    tree.compact(true).unwrap();
    assert_eq!(tree.get(b"049x").unwrap().as_deref(), Some(&b"ingested"[..]));
    assert!(tree.len().unwrap() > 50);
}

#[test]
fn digests_from_insert_on_need_tables_that_keep_them() {
    let table = TableOptions { entry_digests: false, ..options().table };
    let refused = TreeOptions { table, ..options() }.validate();
    assert!(matches!(refused, Err(Error::InvalidArgument(what)) if what.contains("entry_digests")));
}
