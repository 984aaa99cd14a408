//! Small trees, and a workload with the model beside it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stratal_compaction::plan::{FifoOptions, LazyLeveledOptions, LeveledOptions, TieredOptions};
use stratal_engine::{
    BlockPool, Change, Error, FilterPolicy, MergeOperator, OpenReport, Operation, OperatorError,
    Snapshot, Store, StoreContext, StrategyOptions, Tree, TreeOptions, TreeReader, TreeSettings,
    TreeSpec, WriteBatch, operator_named,
};
use stratal_fs::Fs;
use stratal_sst::TableOptions;
use stratal_testkit::{Model, Rng, concatenate};
use stratal_types::{Comparator, Cursor, CutOptions, KeyRange, SeqNo, comparator_named};

pub(crate) const NAME: &str = "t";

/// Everything small, so that little data makes many tables and levels. Any strategy; what forgets may
/// hold so much that it does not.
pub(crate) fn small(rng: &mut Rng) -> TreeSpec {
    let levels = 2 + rng.index(4);
    let (runs, ratio) = (2 + rng.index(3), 2 + rng.below(4));
    let short_len = 1 << (12 + rng.index(3));
    let strategy = match rng.below(8) {
        0..=1 => StrategyOptions::Tiered(TieredOptions {
            levels,
            runs,
            promote_len: short_len,
            ..TieredOptions::default()
        }),
        2..=3 => StrategyOptions::LazyLeveled(LazyLeveledOptions {
            levels,
            runs,
            ratio,
            promote_len: short_len,
            ..LazyLeveledOptions::default()
        }),
        4 => StrategyOptions::Fifo(FifoOptions { len_max: u64::MAX, ..FifoOptions::default() }),
        _ => StrategyOptions::Leveled(LeveledOptions {
            levels,
            level0_runs: runs,
            level_base_len: short_len,
            ratio,
            ..LeveledOptions::default()
        }),
    };
    let filters = match rng.below(3) {
        0 => FilterPolicy::Uniform,
        1 => FilterPolicy::BitsPerKey(0.5 + rng.below(20) as f64),
        _ => FilterPolicy::Len(1 << rng.below(16)),
    };
    with_strategy(rng, strategy, filters)
}

/// As [`small`], with this strategy.
pub(crate) fn with_strategy(
    rng: &mut Rng,
    strategy: StrategyOptions,
    filters: FilterPolicy,
) -> TreeSpec {
    let options = TreeOptions {
        write_buffer_len: 1 << (12 + rng.index(4)),
        table: TableOptions { block_len_target: 512, ..TableOptions::default() },
        compress_from_level: 1,
        strategy,
        filters,
        max_subcompactions: 1 + rng.index(4),
        subcompaction_len_min: 1 << (8 + rng.index(5)),
        cut: CutOptions { table_len: 1 << (12 + rng.index(3)), below_len_max: 64 << 10 },
        carry_blocks: rng.chance(3, 4),
        ..TreeOptions::default()
    };
    options.validate().unwrap()
}

/// Sixteen bytes that are never given twice, from a seed. Salts are made of the first few, and are to
/// differ too.
fn unique(seed: u64) -> stratal_engine::Randomness {
    let count = AtomicU64::new(0);
    Arc::new(move || {
        let count = count.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&Rng::new(seed.rotate_left(32) ^ count).bytes(8));
        bytes[8..].copy_from_slice(&(seed.rotate_left(32) ^ count).to_le_bytes());
        bytes
    })
}

pub(crate) fn open_store(fs: Arc<dyn Fs>, seed: u64) -> Result<(Arc<Store>, OpenReport), Error> {
    open_store_with(fs, seed, None)
}

/// The store, with threads that help.
pub(crate) fn open_store_with(
    fs: Arc<dyn Fs>,
    seed: u64,
    pool: Option<Arc<dyn BlockPool>>,
) -> Result<(Arc<Store>, OpenReport), Error> {
    let mut context = store_context(fs, seed);
    context.pool = pool;
    Store::open(context)
}

pub(crate) fn store_context(fs: Arc<dyn Fs>, seed: u64) -> StoreContext {
    let mut context = StoreContext::new(fs, "/db", 4 << 20, unique(seed));
    context.operators = Arc::new(|name| match name {
        "append alone" => Some(Arc::new(AppendAlone)),
        name => operator_named(name),
    });
    context
}

/// Appends, as the model does, and does not compose.
#[derive(Debug)]
struct AppendAlone;

impl MergeOperator for AppendAlone {
    fn name(&self) -> &'static str {
        "append alone"
    }

    fn full(
        &self,
        key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        Ok(concatenate(key, base, operands))
    }
}

/// The tree, made if the store has none. Its merge operator appends, as the model does; backwards
/// it is one that does not compose.
pub(crate) fn open_tree(
    store: &Arc<Store>,
    comparator: &str,
    spec: TreeSpec,
) -> Result<Arc<Tree>, Error> {
    let known = store.version().tree_named(NAME).map(|tree| tree.id);
    let id = if let Some(id) = known {
        id
    } else {
        let operator = if comparator == "reverse" { "append alone" } else { "append" };
        let settings =
            TreeSettings { merge_operator: Some(operator.into()), ..TreeSettings::default() };
        store.create_tree(NAME, comparator, &settings.encode())?
    };
    Tree::open(store, id, spec)
}

/// A model, and what makes weak deletes legal.
#[derive(Clone)]
pub(crate) struct Reference {
    pub(crate) model: Model,
    /// Puts of each key since its last delete of any sort; an operand counts as many.
    puts: BTreeMap<Vec<u8>, u32>,
    /// Everything that was ever done, in order.
    pub(crate) changes: Vec<Change>,
}

impl Reference {
    pub(crate) fn new(comparator: &str) -> Self {
        let comparator = comparator_named(comparator).unwrap();
        let model = Model::new(comparator, concatenate);
        Self { model, puts: BTreeMap::new(), changes: Vec::new() }
    }

    fn comparator(&self) -> Arc<dyn Comparator> {
        comparator_named(self.model.comparator().name()).unwrap()
    }

    /// A change that is legal now, made of one operation or, rarely, two.
    fn draw(&self, rng: &mut Rng) -> Vec<Operation> {
        if rng.chance(1, 60) {
            let key = key(rng);
            let prefix = &key[..rng.index(key.len() + 1)];
            // Not every order keeps them together.
            return Operation::delete_prefix(prefix, self.comparator().as_ref())
                .unwrap_or_default();
        }
        vec![self.draw_one(rng)]
    }

    pub(crate) fn draw_one(&self, rng: &mut Rng) -> Operation {
        let key = key(rng);
        match rng.below(20) {
            0..=7 => {
                let len = rng.index(60);
                Operation::Put { key, value: rng.bytes(len) }
            }
            8..=11 => {
                let len = rng.index(6);
                Operation::Merge { key, operand: rng.bytes(len) }
            }
            12..=15 if self.puts.get(&key) == Some(&1) => Operation::WeakDelete { key },
            12..=18 => Operation::Delete { key },
            _ => {
                let other = self::key(rng);
                let (from, to) = if self.comparator().compare(&key, &other).is_lt() {
                    (key, other)
                } else {
                    (other, key)
                };
                Operation::DeleteRange { from, to }
            }
        }
    }

    pub(crate) fn apply(&mut self, operation: &Operation, seqno: SeqNo) {
        self.changes.push(Change { seqno, operation: operation.clone() });
        match operation {
            Operation::Put { key, value } => {
                self.model.put(seqno, key, value);
                *self.puts.entry(key.clone()).or_default() += 1;
            }
            Operation::Merge { key, operand } => {
                self.model.merge(seqno, key, operand);
                *self.puts.entry(key.clone()).or_default() += 2;
            }
            Operation::Delete { key } => {
                self.model.delete(seqno, key);
                self.puts.remove(key);
            }
            Operation::WeakDelete { key } => {
                self.model.weak_delete(seqno, key);
                self.puts.remove(key);
            }
            Operation::DeleteRange { from, to } => {
                self.model.delete_range(seqno, from, to);
                let order = self.comparator();
                self.puts.retain(|key, _| {
                    order.compare(key, from).is_lt() || order.compare(key, to).is_ge()
                });
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Few keys, so that versions pile up, with common prefixes and both extremes.
pub(crate) fn key(rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => vec![[0x00, b'k', 0xff][rng.index(3)]; 1 + rng.index(3)],
        _ => format!("key{:02}", rng.below(60)).into_bytes(),
    }
}

/// Writes a batch of legal changes to both.
pub(crate) fn write(tree: &Tree, reference: &mut Reference, rng: &mut Rng) -> Result<(), Error> {
    let mut batch = WriteBatch::new();
    let first = tree.snapshot().bound();
    let count = 1 + rng.index(6);
    let mut seqno = first;
    for _ in 0..count {
        for operation in reference.draw(rng) {
            reference.apply(&operation, seqno);
            batch.push(operation);
            seqno = seqno.next().unwrap();
        }
    }
    let bound = tree.write(&batch)?;
    assert_eq!(bound, seqno, "one writer, so numbers follow one another");
    Ok(())
}

/// Compares everything that reads can say at `snapshot` (now, without one) with the model.
pub(crate) fn check(
    tree: &Tree,
    reference: &Reference,
    snapshot: Option<&Snapshot>,
    rng: &mut Rng,
    context: &dyn std::fmt::Display,
) {
    let bound = snapshot.map_or(SeqNo::MAX, Snapshot::bound);
    let model = &reference.model;
    let all = model.scan(&KeyRange::ALL, bound);
    let own = |row: Result<(bytes::Bytes, bytes::Bytes), Error>| {
        let (key, value) = row.unwrap();
        (Vec::from(key), Vec::from(value))
    };
    let range = |range: KeyRange| match snapshot {
        Some(snapshot) => tree.range_at((range.start, range.end), snapshot).unwrap(),
        None => tree.range((range.start, range.end)).unwrap(),
    };
    assert_eq!(range(KeyRange::ALL).map(own).collect::<Vec<_>>(), all, "{context}");
    let mut backwards: Vec<_> = range(KeyRange::ALL).rev().map(own).collect();
    backwards.reverse();
    assert_eq!(backwards, all, "{context}: backwards");

    let keys: Vec<_> = (0..12).map(|_| key(rng)).collect();
    let together = match snapshot {
        Some(snapshot) => tree.multi_get_at(&keys, snapshot).unwrap(),
        None => tree.multi_get(&keys).unwrap(),
    };
    assert_eq!(together.len(), keys.len());
    for (key, together) in keys.iter().zip(together) {
        let found = match snapshot {
            Some(snapshot) => tree.get_at(key, snapshot).unwrap(),
            None => tree.get(key).unwrap(),
        };
        assert_eq!(found.as_deref(), model.get(key, bound).as_deref(), "{context}: {key:?}");
        assert_eq!(together, found, "{context}: {key:?} among others");
    }
    check_walk(tree, &all, snapshot, rng, context);
    match snapshot {
        Some(snapshot) => check_then(tree.at(snapshot), &all, &keys, context),
        None => check_now(tree, &all, &keys, context),
    }
    let within = KeyRange::half_open(key(rng), key(rng));
    let expected = model.scan(&within, bound);
    assert_eq!(
        range(within.clone()).map(own).collect::<Vec<_>>(),
        expected,
        "{context}: {within:?}"
    );
    let prefix = key(rng);
    let prefix = &prefix[..=rng.index(prefix.len())];
    let rows = match snapshot {
        Some(snapshot) => tree.prefix_at(prefix, snapshot).unwrap(),
        None => tree.prefix(prefix).unwrap(),
    };
    let expected: Vec<_> = all.into_iter().filter(|(key, _)| key.starts_with(prefix)).collect();
    let contains = match snapshot {
        Some(snapshot) => tree.at(snapshot).contains_prefix(prefix).unwrap(),
        None => tree.contains_prefix(prefix).unwrap(),
    };
    assert_eq!(contains, !expected.is_empty(), "{context}");
    assert_eq!(rows.map(own).collect::<Vec<_>>(), expected, "{context}: {prefix:?}");
}

type Rows = [(Vec<u8>, Vec<u8>)];

/// A cursor is put anywhere and goes both ways, as a place in the model's rows does.
fn check_walk(
    tree: &Tree,
    all: &Rows,
    snapshot: Option<&Snapshot>,
    rng: &mut Rng,
    context: &dyn std::fmt::Display,
) {
    let mut cursor = match snapshot {
        Some(snapshot) => tree.cursor_at::<&[u8]>(.., snapshot).unwrap(),
        None => tree.cursor::<&[u8]>(..).unwrap(),
    };
    let order = tree.comparator();
    // 0 is before the first row.
    let mut at = 0;
    for _ in 0..12 {
        let key = key(rng);
        match rng.below(4) {
            0 => {
                cursor.seek_to(&key).unwrap();
                at = 1 + all.partition_point(|(other, _)| order.compare(other, &key).is_lt());
            }
            1 => {
                cursor.seek_back_to(&key).unwrap();
                at = all.partition_point(|(other, _)| order.compare(other, &key).is_le());
            }
            2 => {
                cursor.advance().unwrap();
                at = (at + 1).min(all.len() + 1);
            }
            _ => {
                cursor.retreat().unwrap();
                at = at.saturating_sub(1);
            }
        }
        let row = at.checked_sub(1).and_then(|at| all.get(at));
        let row = row.map(|(key, value)| (key.as_slice(), value.as_slice()));
        assert_eq!(cursor.key().zip(cursor.value()), row, "{context}: {key:?}");
    }
}

/// What is asked without a range or a key to begin with, or of a value without wanting it.
fn check_now(tree: &Tree, all: &Rows, keys: &[Vec<u8>], context: &dyn std::fmt::Display) {
    assert_eq!(tree.len().unwrap(), all.len() as u64, "{context}");
    assert_eq!(tree.is_empty().unwrap(), all.is_empty(), "{context}");
    assert_eq!(own(tree.first_key_value().unwrap()).as_ref(), all.first(), "{context}");
    assert_eq!(own(tree.last_key_value().unwrap()).as_ref(), all.last(), "{context}");
    for key in keys {
        let row = all.iter().find(|(other, _)| other == key);
        let len = row.map(|(_, value)| value.len() as u64);
        assert_eq!(tree.size_of(key).unwrap(), len, "{context}: {key:?}");
        assert_eq!(tree.contains(key).unwrap(), row.is_some(), "{context}: {key:?}");
    }
}

/// The same of a moment of the past.
fn check_then(then: TreeReader<'_>, all: &Rows, keys: &[Vec<u8>], context: &dyn std::fmt::Display) {
    assert_eq!(then.len().unwrap(), all.len() as u64, "{context}");
    assert_eq!(then.is_empty().unwrap(), all.is_empty(), "{context}");
    assert_eq!(own(then.first_key_value().unwrap()).as_ref(), all.first(), "{context}");
    assert_eq!(own(then.last_key_value().unwrap()).as_ref(), all.last(), "{context}");
    for key in keys {
        let row = all.iter().find(|(other, _)| other == key);
        let len = row.map(|(_, value)| value.len() as u64);
        assert_eq!(then.size_of(key).unwrap(), len, "{context}: {key:?}");
        assert_eq!(then.contains(key).unwrap(), row.is_some(), "{context}: {key:?}");
    }
}

fn own(row: Option<(bytes::Bytes, bytes::Bytes)>) -> Option<(Vec<u8>, Vec<u8>)> {
    row.map(|(key, value)| (Vec::from(key), Vec::from(value)))
}
