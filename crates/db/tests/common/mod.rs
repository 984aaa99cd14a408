//! What the tests share: databases on simulated disks, seeded histories, and what must be found.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "a test may panic"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stratal::{
    Builder, Database, Durability, Error, Executor, KeyspaceOptions, LeveledOptions, Randomness,
    StrategyOptions, TreeOptions,
};
use stratal_fs::Fs;
use stratal_testkit::{Op, Rng};
use stratal_types::{comparator_named, key_hash};

pub const DIR: &str = "/db";

/// The keyspaces of the histories, with their orders. The last one comes and goes.
pub const KEYSPACES: [(&str, &str); 4] = [
    ("default", "bytewise"),
    ("backwards", "reverse"),
    ("by length", "shortlex"),
    ("guest", "bytewise"),
];

/// How a keyspace is made. All append, but for the first, which is there before it is asked for.
pub fn options(number: usize) -> KeyspaceOptions {
    KeyspaceOptions {
        comparator: KEYSPACES[number].1.into(),
        merge_operator: (number > 0).then(|| "append".into()),
        ..KeyspaceOptions::default()
    }
}

/// Never the same twice in a process, as the contract wants, and free of influence on what is done.
pub fn randomness() -> Randomness {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    Arc::new(|| {
        let mut rng = Rng::new(COUNT.fetch_add(1, Ordering::Relaxed));
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        bytes
    })
}

/// Memtables, tables and levels of a few rows, so that a short history has several of each.
pub fn small_trees() -> TreeOptions {
    let mut options = TreeOptions { write_buffer_len: 1500, ..TreeOptions::default() };
    options.table.block_len_target = 512;
    options.cut.table_len = 2000;
    options.cut.below_len_max = 20_000;
    options.strategy = StrategyOptions::Leveled(LeveledOptions {
        levels: 4,
        level0_runs: 2,
        level_base_len: 4000,
        ratio: 3,
        ..LeveledOptions::default()
    });
    options
}

pub fn small(fs: Arc<dyn Fs>) -> Builder {
    Database::builder(DIR)
        .fs(fs)
        .randomness(randomness())
        .executor(Executor::Inline)
        .memory_budget(2 << 20)
        .wal_segment_len(2048)
        .tree_options(small_trees())
}

/// One thing that is done to a database.
#[derive(Clone, Debug)]
pub enum Step {
    /// A batch: the keyspace's number in [`KEYSPACES`], and what is done there.
    Batch(Vec<(usize, Op)>, Durability),
    /// Rows in a keyspace's order, each key once, and before them what is excised; at one stroke.
    Ingest(usize, Vec<Op>),
    /// The ticket of the last batch is waited for.
    Durable,
    Flush,
    Compact,
    /// One job, if any is due.
    Job,
    Create(usize),
    Drop(usize),
    /// Closed and opened again.
    Reopen,
}

/// What a database holds: rows by keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State(pub BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>);

impl State {
    pub fn new() -> Self {
        Self([("default".to_owned(), BTreeMap::new())].into())
    }

    pub fn apply(&mut self, keyspace: usize, op: &Op) {
        let (name, comparator) = KEYSPACES[keyspace];
        let comparator = comparator_named(comparator).unwrap();
        let Some(rows) = self.0.get_mut(name) else { return };
        match op {
            Op::Put { key, value } => drop(rows.insert(key.clone(), value.clone())),
            Op::Delete { key } | Op::WeakDelete { key } => drop(rows.remove(key)),
            Op::DeleteRange { from, to } => rows.retain(|key, _| {
                comparator.compare(key, from).is_lt() || comparator.compare(key, to).is_ge()
            }),
            Op::Merge { key, operand } => {
                rows.entry(key.clone()).or_default().extend_from_slice(operand);
            }
        }
    }

    pub fn fingerprint(&self) -> u64 {
        let mut bytes = Vec::new();
        for (name, rows) in &self.0 {
            let mut note = |part: &[u8]| {
                bytes.extend(u64::try_from(part.len()).unwrap().to_le_bytes());
                bytes.extend(part);
            };
            note(name.as_bytes());
            for (key, value) in rows {
                note(key);
                note(value);
            }
            bytes.push(0xff);
        }
        key_hash(&bytes)
    }

    /// Reads everything, forwards, and checks that backwards and one by one say the same.
    pub fn read(db: &Database) -> Result<Self, Error> {
        let mut state = Self::default();
        for info in db.keyspaces() {
            let keyspace = db.open_keyspace(&info.name)?;
            let comparator = comparator_named(&info.comparator).unwrap();
            let rows = keyspace.range::<&[u8]>(..)?.collect::<Result<Vec<_>, _>>()?;
            assert!(
                rows.windows(2).all(|pair| comparator.compare(&pair[0].0, &pair[1].0).is_lt()),
                "rows are in order"
            );
            let mut back = keyspace.range::<&[u8]>(..)?.rev().collect::<Result<Vec<_>, _>>()?;
            back.reverse();
            assert_eq!(rows, back, "backwards is forwards");
            if let Some((key, value)) = rows.first() {
                assert_eq!(keyspace.get(key)?.as_ref(), Some(value));
            }
            let rows = rows.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
            state.0.insert(info.name, rows.collect());
        }
        Ok(state)
    }
}

/// Generates histories.
pub struct Generator {
    pub rng: Rng,
    keys: u64,
    value_len: u64,
    has_guest: bool,
    /// Puts since the last delete, of keys that a weak delete might be for.
    puts: BTreeMap<(usize, Vec<u8>), u32>,
    count: u64,
}

impl Generator {
    pub fn new(seed: u64, keys: u64, value_len: u64) -> Self {
        let rng = Rng::new(seed);
        Self { rng, keys, value_len, has_guest: false, puts: BTreeMap::new(), count: 0 }
    }

    pub fn key(&mut self) -> Vec<u8> {
        let number = self.rng.below(self.keys);
        let mut key = format!("k{number:02}").into_bytes();
        if number.is_multiple_of(3) {
            key.push(b'x');
        }
        key
    }

    pub fn op(&mut self, keyspace: usize) -> Op {
        let key = self.key();
        self.count += 1;
        let puts = self.puts.entry((keyspace, key.clone())).or_default();
        match self.rng.below(20) {
            0..4 if keyspace > 0 => {
                // More than one, for what a weak delete may be for.
                *puts += 2;
                let operand = format!("{},", self.count).into_bytes();
                Op::Merge { key, operand }
            }
            0..14 => {
                *puts += 1;
                let len = usize::try_from(self.rng.below(self.value_len)).unwrap();
                let mut value = format!("{}:", self.count).into_bytes();
                value.extend(self.rng.bytes(len));
                Op::Put { key, value }
            }
            17 if *puts == 1 => {
                *puts = 0;
                Op::WeakDelete { key }
            }
            14..18 => {
                *puts = 0;
                Op::Delete { key }
            }
            _ => {
                let (a, b) = (key, self.key());
                Op::DeleteRange { from: a, to: b }
            }
        }
    }

    pub fn batch(&mut self) -> Vec<(usize, Op)> {
        let len = 1 + self.rng.below(4);
        let keyspaces = if self.has_guest { 4 } else { 3 };
        (0..len)
            .map(|_| {
                let keyspace = self.rng.index(keyspaces);
                (keyspace, self.op(keyspace))
            })
            .collect()
    }

    /// What an ingestion takes.
    pub fn ingestion(&mut self, keyspace: usize) -> Vec<Op> {
        let comparator = comparator_named(KEYSPACES[keyspace].1).unwrap();
        let mut ops = Vec::new();
        for _ in 0..self.rng.index(3) {
            ops.push(Op::DeleteRange { from: self.key(), to: self.key() });
        }
        let mut keys: Vec<_> = (0..=self.rng.index(12)).map(|_| self.key()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            self.count += 1;
            let puts = self.puts.entry((keyspace, key.clone())).or_default();
            ops.push(match self.rng.below(6) {
                0 if keyspace > 0 => {
                    *puts += 2;
                    Op::Merge { key, operand: format!("{},", self.count).into_bytes() }
                }
                1 => {
                    *puts = 0;
                    Op::Delete { key }
                }
                _ => {
                    *puts += 1;
                    Op::Put { key, value: format!("{}:ingested", self.count).into_bytes() }
                }
            });
        }
        // Stable: an excise before the row with which it begins.
        ops.sort_by(|a, b| comparator.compare(start(a), start(b)));
        ops
    }

    pub fn step(&mut self) -> Step {
        match self.rng.below(100) {
            0..10 => Step::Job,
            10..20 => Step::Durable,
            20..24 => Step::Flush,
            24..26 => Step::Compact,
            26..28 => Step::Reopen,
            28..32 => {
                self.has_guest = !self.has_guest;
                self.puts.retain(|(keyspace, _), _| *keyspace != 3);
                if self.has_guest { Step::Create(3) } else { Step::Drop(3) }
            }
            32..37 => {
                let keyspace = self.rng.index(if self.has_guest { 4 } else { 3 });
                Step::Ingest(keyspace, self.ingestion(keyspace))
            }
            _ => {
                let durability = *self.rng.choose(&[
                    Durability::Memory,
                    Durability::Memory,
                    Durability::Os,
                    Durability::Os,
                    Durability::Sync,
                ]);
                Step::Batch(self.batch(), durability)
            }
        }
    }

    pub fn steps(&mut self, count: usize) -> Vec<Step> {
        let first = [Step::Create(1), Step::Create(2)];
        first.into_iter().chain((0..count).map(|_| self.step())).collect()
    }
}

/// A database under a history, and what is known about it.
pub struct Run {
    pub db: Option<Database>,
    builder: Builder,
    last: Option<stratal::Ticket>,
    /// The state after each change; the first is that of a new database.
    pub states: Vec<State>,
    /// How many changes were durable, by the count of operations of the file system when it was said.
    pub promised: Vec<(u64, usize)>,
    /// The count of operations when each change began.
    pub begun: Vec<u64>,
    /// How many changes the database has, as far as it said.
    clock: Box<dyn Fn() -> u64>,
}

impl Run {
    pub fn new(builder: Builder, clock: impl Fn() -> u64 + 'static) -> Result<Self, Error> {
        let db = builder.clone().open()?;
        Ok(Self {
            db: Some(db),
            builder,
            last: None,
            states: vec![State::new()],
            promised: Vec::new(),
            begun: Vec::new(),
            clock: Box::new(clock),
        })
    }

    pub fn db(&self) -> &Database {
        self.db.as_ref().unwrap()
    }

    pub fn state(&self) -> &State {
        self.states.last().unwrap()
    }

    fn promise(&mut self) {
        self.promised.push(((self.clock)(), self.states.len() - 1));
    }

    fn begin(&mut self) {
        self.begun.push((self.clock)());
    }

    /// How many changes must be there after a crash when the file system had done `ops` operations.
    pub fn promised_at(&self, ops: u64) -> usize {
        self.promised
            .iter()
            .filter(|(at, _)| *at <= ops)
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0)
    }

    /// How many changes may be there then.
    pub fn begun_at(&self, ops: u64) -> usize {
        self.begun.iter().filter(|at| **at <= ops).count()
    }

    pub fn step(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Batch(ops, durability) => {
                let mut batch = self.db().batch();
                batch.durability(*durability);
                let mut next = self.state().clone();
                for (number, op) in ops {
                    let keyspace = self.db().open_keyspace(KEYSPACES[*number].0)?;
                    add(&mut batch, &keyspace, op);
                    next.apply(*number, op);
                }
                self.begin();
                self.states.push(next);
                let ticket = batch.commit().inspect_err(|_| {
                    self.states.pop();
                })?;
                if *durability == Durability::Sync {
                    self.promise();
                }
                self.last = Some(ticket);
            }
            Step::Ingest(number, ops) => {
                let keyspace = self.db().open_keyspace(KEYSPACES[*number].0)?;
                let mut ingestion = keyspace.ingestion()?;
                let mut next = self.state().clone();
                for op in ops {
                    ingest(&mut ingestion, op)?;
                    next.apply(*number, op);
                }
                self.begin();
                self.states.push(next);
                ingestion.finish().inspect_err(|_| {
                    self.states.pop();
                })?;
                self.promise();
            }
            Step::Durable => {
                if let Some(ticket) = &self.last {
                    ticket.durable()?;
                    self.promise();
                }
            }
            Step::Flush => {
                self.db().flush()?;
            }
            Step::Compact => self.db().compact()?,
            Step::Job => {
                self.db().step()?;
            }
            Step::Create(number) => {
                let (name, _) = KEYSPACES[*number];
                self.begin();
                let mut next = self.state().clone();
                next.0.insert(name.into(), BTreeMap::new());
                self.states.push(next);
                self.db().keyspace(name, options(*number)).inspect_err(|_| {
                    self.states.pop();
                })?;
                self.promise();
            }
            Step::Drop(number) => {
                self.begin();
                let mut next = self.state().clone();
                next.0.remove(KEYSPACES[*number].0);
                self.states.push(next);
                self.db().drop_keyspace(KEYSPACES[*number].0).inspect_err(|_| {
                    self.states.pop();
                })?;
                self.promise();
            }
            Step::Reopen => {
                self.last = None;
                if let Some(db) = self.db.take() {
                    db.close()?;
                    self.promise();
                }
                self.db = Some(self.builder.clone().open()?);
            }
        }
        Ok(())
    }
}

pub fn add(batch: &mut stratal::Batch, keyspace: &stratal::Keyspace, op: &Op) {
    match op {
        Op::Put { key, value } => batch.put(keyspace, &key[..], &value[..]),
        Op::Delete { key } => batch.delete(keyspace, &key[..]),
        Op::WeakDelete { key } => batch.weak_delete(keyspace, &key[..]),
        Op::DeleteRange { from, to } => batch.delete_range(keyspace, &from[..], &to[..]),
        Op::Merge { key, operand } => batch.merge(keyspace, &key[..], &operand[..]),
    };
}

/// Where an operation stands in the order of keys.
fn start(op: &Op) -> &[u8] {
    match op {
        Op::Put { key, .. }
        | Op::Delete { key }
        | Op::WeakDelete { key }
        | Op::Merge { key, .. }
        | Op::DeleteRange { from: key, .. } => key,
    }
}

pub fn ingest(ingestion: &mut stratal::Ingestion<'_>, op: &Op) -> Result<(), Error> {
    match op {
        Op::Put { key, value } => ingestion.put(key, value),
        Op::Delete { key } => ingestion.delete(key),
        Op::WeakDelete { key } => ingestion.weak_delete(key),
        Op::DeleteRange { from, to } => ingestion.excise(from, to),
        Op::Merge { key, operand } => ingestion.merge(key, operand),
    }
}

/// Seconds that a soak may take.
pub fn soak_secs() -> u64 {
    std::env::var("STRATAL_SOAK_SECS").ok().and_then(|secs| secs.parse().ok()).unwrap_or(60)
}

/// The seed that is asked for, if one is.
pub fn seed_asked_for() -> Option<u64> {
    std::env::var("STRATAL_SEED").ok().and_then(|seed| seed.parse().ok())
}
