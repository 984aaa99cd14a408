//! The parts. Each sets up, and calls [`measured`] once.
use crate::{OPS, measured};
use pb_core::{
    Key,
    data::{KeyShape, Keys, Rng, Values, permutation},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use stratal::{Database, Executor, KeyspaceOptions};
use stratal_block::{SortedBlock, SortedBlockBuilder, SortedBlockOptions, SortedCursor};
use stratal_cache::{Cache, CacheKey, FileId, Priority};
use stratal_engine::{Store, StoreContext, Tree, TreeOptions, WriteBatch};
use stratal_filter::{Filter, FilterKind, FilterSize, FilterSpec};
use stratal_fs::MemFs;
use stratal_memtable::Memtable;
use stratal_merge::MergingCursor;
use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
use stratal_types::{Bytewise, Cursor, EntryKind, FileUid, SeqNo, Trailer, key_hash};

/// Rows of everything that is searched.
const ROWS: u64 = 20_000;
/// Rows of a block of 4 KiB.
const BLOCK_ROWS: u64 = 33;
const VALUE_LEN: usize = 100;

type Part = (&'static str, fn() -> u64);

pub fn all() -> Vec<Part> {
    vec![
        ("block find", block_find),
        ("block seek", block_seek),
        ("block next", block_next),
        ("filter probe, blocked Bloom", || filter_probe(FilterKind::BlockedBloom)),
        ("filter probe, BuRR", || filter_probe(FilterKind::Burr)),
        ("cache hit", cache_hit),
        ("memtable insert", memtable_insert),
        ("memtable get", memtable_get),
        ("memtable next", memtable_next),
        ("merge step, 4 ways", merge_step),
        ("table get, cached", table_get),
        ("table get, absent", table_absent),
        ("table next, cached", table_next),
        ("tree get, cached", tree_get),
        ("tree get of 32, per key, cached", tree_multi_get),
        ("tree next, cached", tree_next),
        ("tree seek and 10 rows, cached", tree_seek),
        ("tree put", tree_put),
        ("tree flush, per row", tree_flush),
        ("tree merge of 2 runs, per row", tree_merge),
        ("database put", database_put),
    ]
}

fn keys() -> Keys {
    Keys::new(ROWS, KeyShape::Uniform)
}

fn put_at(seqno: u64) -> Trailer {
    Trailer::new(SeqNo::new(seqno).expect("a small number"), EntryKind::Put)
}

/// Numbers of rows in no order.
fn asked() -> Vec<u64> {
    let mut rng = Rng::new(5);
    (0..OPS).map(|_| rng.below(ROWS)).collect()
}

fn blocks() -> Vec<SortedBlock<Vec<u8>>> {
    let (keys, mut values) = (keys(), Values::new(VALUE_LEN));
    let of_block = |block| {
        let mut builder = SortedBlockBuilder::new(SortedBlockOptions::default());
        for i in block * BLOCK_ROWS..(block + 1) * BLOCK_ROWS {
            builder.add(&keys.key(i), put_at(1), values.get(i, 0)).expect("ascending keys");
        }
        let mut bytes = Vec::new();
        builder.finish_into(&mut bytes);
        SortedBlock::parse(bytes).expect("a block")
    };
    (0..ROWS / BLOCK_ROWS).map(of_block).collect()
}

/// For each row asked for its block and key.
fn asked_in_blocks() -> Vec<(usize, Key)> {
    let keys = keys();
    let rows = ROWS / BLOCK_ROWS * BLOCK_ROWS;
    let asked = asked().into_iter().map(|i| i % rows);
    asked.map(|i| ((i / BLOCK_ROWS) as usize, keys.key(i))).collect()
}

fn block_find() -> u64 {
    let (blocks, asked) = (blocks(), asked_in_blocks());
    let asked: Vec<_> = asked.into_iter().map(|(b, key)| (b, key, key_hash(&key))).collect();
    measured(&mut || {
        let find = |(b, key, hash): &(usize, Key, u64)| {
            blocks[*b].find(key, *hash, SeqNo::MAX).expect("it is there") as u64
        };
        asked.iter().map(find).sum()
    })
}

fn block_seek() -> u64 {
    let (blocks, asked) = (blocks(), asked_in_blocks());
    measured(&mut || asked.iter().map(|(b, key)| blocks[*b].seek(key, SeqNo::MAX) as u64).sum())
}

fn block_next() -> u64 {
    let mut cursors: Vec<_> = blocks().into_iter().map(SortedCursor::new).collect();
    let mut left = OPS;
    measured(&mut || {
        let mut sum = 0;
        for cursor in &mut cursors {
            cursor.seek_to_first();
            while let Some(entry) = cursor.entry()
                && left > 0
            {
                sum += u64::from(entry.value[0]) + u64::from(entry.key[15]);
                left -= 1;
                cursor.advance();
            }
        }
        sum
    })
}

/// Half of the keys are there.
fn filter_probe(kind: FilterKind) -> u64 {
    let keys = keys();
    let hashes: Vec<u64> = (0..ROWS).map(|i| key_hash(&keys.key(i))).collect();
    let mut bytes = Vec::new();
    let size = FilterSize::BitsPerKey(10.0);
    stratal_filter::build(FilterSpec { kind, size }, &hashes, &mut bytes);
    let filter = Filter::parse(&bytes[..]).expect("a filter");
    let hash = |i: u64| key_hash(&if i.is_multiple_of(2) { keys.key(i) } else { keys.missing(i) });
    let asked: Vec<u64> = asked().into_iter().map(hash).collect();
    measured(&mut || asked.iter().map(|hash| u64::from(filter.may_contain(*hash))).sum())
}

fn cache_hit() -> u64 {
    let cache = Cache::new(64 << 20);
    let file = FileId::next();
    let key = |i: u64| CacheKey { file, offset: (i % 256) << 12, role: 1 };
    for i in 0..256 {
        cache.insert(&key(i), Priority::Normal, &Arc::new(vec![0u8; 4096]));
    }
    let asked: Vec<CacheKey> = asked().into_iter().map(key).collect();
    measured(&mut || {
        let get = |key: &CacheKey| cache.get::<Vec<u8>>(key).expect("it is there").len() as u64;
        asked.iter().map(get).sum()
    })
}

/// With the rows of which the number is `first` more than a multiple of `step`, in no order.
fn memtable(first: u64, step: u64) -> Arc<Memtable> {
    let (keys, mut values) = (keys(), Values::new(VALUE_LEN));
    let memtable = Memtable::new(1, Arc::new(Bytewise));
    for i in permutation(ROWS, 42).into_iter().map(u64::from) {
        if i % step == first {
            memtable.apply(&keys.key(i), put_at(i + 1), values.get(i, 0)).expect("room");
        }
    }
    Arc::new(memtable)
}

fn memtable_insert() -> u64 {
    let (keys, mut values) = (keys(), Values::new(VALUE_LEN));
    let memtable = memtable(0, 2);
    let odd = permutation(ROWS, 43).into_iter().map(u64::from).filter(|i| i % 2 == 1);
    let rows: Vec<_> =
        odd.map(|i| (keys.key(i), put_at(i + 1), values.get(i, 0).to_vec())).collect();
    assert_eq!(rows.len() as u64, OPS);
    measured(&mut || {
        for (key, trailer, value) in &rows {
            memtable.apply(key, *trailer, value).expect("room");
        }
        memtable.entries() as u64
    })
}

fn memtable_get() -> u64 {
    let (keys, memtable) = (keys(), memtable(0, 1));
    let asked: Vec<Key> = asked().into_iter().map(|i| keys.key(i)).collect();
    measured(&mut || {
        let get = |key: &Key| memtable.get(key, SeqNo::MAX).expect("it is there").1.len() as u64;
        asked.iter().map(get).sum()
    })
}

/// Walks over as many rows as are to be counted.
fn walk<C: Cursor>(mut cursor: C) -> u64
where
    C::Error: std::fmt::Debug,
{
    cursor.seek_to_first().expect("readable");
    measured(&mut || {
        let mut sum = 0;
        for _ in 0..OPS {
            let entry = cursor.entry().expect("more rows");
            sum += u64::from(entry.value[0]) + u64::from(entry.key[15]);
            cursor.advance().expect("readable");
        }
        sum
    })
}

fn memtable_next() -> u64 {
    walk(memtable(0, 1).cursor())
}

fn merge_step() -> u64 {
    let sources = (0..4).map(|first| memtable(first, 4).cursor()).collect();
    walk(MergingCursor::new(sources, Arc::new(Bytewise)))
}

fn table() -> Table {
    let (keys, mut values) = (keys(), Values::new(VALUE_LEN));
    let context = TableContext { cache: Arc::new(Cache::new(1 << 28)), ..TableContext::default() };
    let options =
        TableOptions { compression: stratal_block::Compression::None, ..TableOptions::default() };
    let spec = Arc::new(options.validate().expect("options"));
    let mut writer =
        TableWriter::new(&context, Vec::new(), FileUid([3; 16]), spec).expect("a writer");
    for i in 0..ROWS {
        writer.put(&keys.key(i), values.get(i, 0)).expect("ascending keys");
    }
    let file = writer.finish().expect("written").sink;
    let table = Table::open(&context, Arc::new(bytes::Bytes::from(file))).expect("a table");
    for i in 0..ROWS {
        assert!(table.get(&keys.key(i)).expect("readable").is_some());
    }
    table
}

fn table_get() -> u64 {
    let (keys, table) = (keys(), table());
    let asked: Vec<Key> = asked().into_iter().map(|i| keys.key(i)).collect();
    measured(&mut || {
        let get = |key: &Key| table.get(key).expect("readable").expect("it is there").len() as u64;
        asked.iter().map(get).sum()
    })
}

fn table_absent() -> u64 {
    let (keys, table) = (keys(), table());
    let asked: Vec<Key> = asked().into_iter().map(|i| keys.missing(i)).collect();
    measured(&mut || {
        asked.iter().map(|key| u64::from(table.get(key).expect("readable").is_none())).sum()
    })
}

fn table_next() -> u64 {
    let table = table();
    let mut cursor = table.cursor();
    cursor.seek_to_first().expect("readable");
    while cursor.entry().is_some() {
        cursor.advance().expect("readable");
    }
    walk(cursor)
}

fn unique() -> Arc<dyn Fn() -> [u8; 16] + Send + Sync> {
    let count = AtomicU64::new(1);
    Arc::new(move || u128::from(count.fetch_add(1, Relaxed)).to_le_bytes())
}

fn empty_tree() -> Arc<Tree> {
    let mut context = StoreContext::new(Arc::new(MemFs::new()), "/db", 1 << 28, unique());
    context.time = Arc::new(|| 1_000_000);
    let (store, _) = Store::open(context).expect("a store");
    let id = store.create_tree("rows", "bytewise", &[]).expect("a tree");
    let table =
        TableOptions { compression: stratal_block::Compression::None, ..TableOptions::default() };
    let options = TreeOptions { table, ..TreeOptions::default() };
    Tree::open(&store, id, options.validate().expect("options")).expect("a tree")
}

/// Writes the rows of which the number is `first` more than a multiple of `step`.
fn fill(tree: &Tree, first: u64, step: u64) {
    let (keys, mut values) = (keys(), Values::new(VALUE_LEN));
    let mut batch = WriteBatch::new();
    for i in permutation(ROWS, 42).into_iter().map(u64::from).filter(|i| i % step == first) {
        batch.put(keys.key(i), values.get(i, 0));
    }
    tree.write(&batch).expect("room");
}

/// Of one table, with everything in the cache.
fn compacted_tree() -> Arc<Tree> {
    let tree = empty_tree();
    fill(&tree, 0, 1);
    tree.flush().expect("flushed");
    tree.compact(true).expect("merged");
    let keys = keys();
    for i in 0..ROWS {
        assert!(tree.get(&keys.key(i)).expect("readable").is_some());
    }
    tree
}

fn tree_get() -> u64 {
    let (keys, tree) = (keys(), compacted_tree());
    let asked: Vec<Key> = asked().into_iter().map(|i| keys.key(i)).collect();
    measured(&mut || {
        let get = |key: &Key| tree.get(key).expect("readable").expect("it is there").len() as u64;
        asked.iter().map(get).sum()
    })
}

fn tree_multi_get() -> u64 {
    let (keys, tree) = (keys(), compacted_tree());
    let asked: Vec<Key> = asked().into_iter().map(|i| keys.key(i)).collect();
    measured(&mut || {
        let get = |keys: &[Key]| {
            let found = tree.multi_get(keys).expect("readable");
            found.into_iter().map(|value| value.expect("it is there").len() as u64).sum::<u64>()
        };
        asked.chunks(32).map(get).sum()
    })
}

fn tree_next() -> u64 {
    let tree = compacted_tree();
    walk(tree.cursor::<&[u8]>(..).expect("readable"))
}

fn tree_seek() -> u64 {
    let (keys, tree) = (keys(), compacted_tree());
    let asked: Vec<Key> = asked().into_iter().map(|i| keys.key(i)).collect();
    measured(&mut || {
        let seek = |key: &Key| {
            let mut rows = tree.cursor(&key[..]..).expect("readable");
            rows.seek_to_first().expect("readable");
            let mut len = 0;
            for _ in 0..10 {
                let Some((_, value)) = rows.row().expect("plain") else { break };
                len += value.len() as u64;
                rows.advance().expect("readable");
            }
            len
        };
        asked.iter().map(seek).sum()
    })
}

fn tree_put() -> u64 {
    let (keys, mut values, tree) = (keys(), Values::new(VALUE_LEN), empty_tree());
    fill(&tree, 0, 2);
    let odd = permutation(ROWS, 43).into_iter().map(u64::from).filter(|i| i % 2 == 1);
    let rows: Vec<_> = odd.map(|i| (keys.key(i), values.get(i, 0).to_vec())).collect();
    measured(&mut || {
        for (key, value) in &rows {
            tree.put(key, value).expect("room");
        }
        tree.memtable_len()
    })
}

fn tree_flush() -> u64 {
    let tree = empty_tree();
    fill(&tree, 0, 2);
    measured(&mut || tree.flush().expect("flushed").outputs as u64)
}

fn tree_merge() -> u64 {
    let tree = empty_tree();
    for first in [0, 1] {
        fill(&tree, first, 4);
        tree.flush().expect("flushed");
    }
    measured(&mut || tree.compact(true).expect("merged").outputs as u64)
}

fn database_put() -> u64 {
    let (keys, mut values) = (keys(), Values::new(VALUE_LEN));
    let builder = Database::builder("/db").fs(Arc::new(MemFs::new())).randomness(unique());
    let db = builder.executor(Executor::Inline).open().expect("a database");
    let rows = db.keyspace("rows", KeyspaceOptions::default()).expect("a keyspace");
    let all: Vec<_> = permutation(ROWS, 42)
        .into_iter()
        .map(|i| (keys.key(i.into()), values.get(i.into(), 0).to_vec()))
        .take(OPS as usize)
        .collect();
    let mut left = all.into_iter();
    measured(&mut || {
        let mut count = 0;
        for (key, value) in left.by_ref() {
            rows.put(key, value).expect("room");
            count += 1;
        }
        count
    })
}
