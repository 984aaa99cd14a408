//! A tree under a log of the caller's own: power fails anywhere, and nothing that the log has is lost or
//! there twice.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_engine::{Error, Operation, Store, Tree, TreeSpec};
use stratal_fs::{Access, File, Fs, SimFs, read_to_vec};
use stratal_testkit::Rng;
use stratal_types::{KeyRange, SeqNo, key_hash};

use crate::support::{Reference, open_store, open_tree, small};

const DIR: &str = "/log";

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// One file of the caller's log, to be removed when the tree needs nothing in it any more.
struct Segment {
    number: u64,
    path: PathBuf,
    file: Box<dyn File>,
    len: u64,
    /// Above all numbers in it.
    bound: SeqNo,
}

/// The caller: a tree, and the log that makes its memory durable.
struct Owner {
    fs: Arc<dyn Fs>,
    store: Arc<Store>,
    tree: Arc<Tree>,
    /// The last is written to.
    segments: Vec<Segment>,
    next_segment: u64,
    /// Above all numbers that the log has durably.
    durable: SeqNo,
}

impl Owner {
    /// Opens the tree, and applies what the log has and the tables have not.
    fn open(fs: Arc<dyn Fs>, seed: u64, spec: TreeSpec) -> Result<Self, Error> {
        let (store, report) = open_store(Arc::clone(&fs), seed)?;
        store.remove_orphans(&report, &BTreeSet::new())?;
        let tree = open_tree(&store, "bytewise", spec)?;
        stratal_fs::create_dir_synced(fs.as_ref(), Path::new(DIR)).map_err(io_error)?;
        let mut owner = Self {
            durable: tree.flushed(),
            segments: Vec::new(),
            next_segment: 0,
            fs,
            store,
            tree,
        };
        owner.replay()?;
        owner.begin_segment().map_err(io_error)?;
        Ok(owner)
    }

    fn replay(&mut self) -> Result<(), Error> {
        let clock = Arc::clone(self.store.clock());
        for entry in self.fs.list(Path::new(DIR)).map_err(io_error)? {
            let path = Path::new(DIR).join(&entry.name);
            let number: u64 = entry.name.to_str().unwrap().parse().unwrap();
            self.next_segment = self.next_segment.max(number + 1);
            let file = self.fs.open(&path, Access::ReadWrite).map_err(io_error)?;
            let bytes = read_to_vec(file.as_ref(), 1 << 24).map_err(io_error)?;
            let (mut rest, mut bound) = (&bytes[..], SeqNo::ZERO);
            while let Some((first, operations)) = take_record(&mut rest, number) {
                // What is below the flushed bound is left out, operation by operation.
                self.tree.apply(&operations, first)?;
                bound = SeqNo::new(first.get() + operations.len() as u64).unwrap();
                clock.raise(bound);
                if self.tree.is_full() {
                    self.tree.seal();
                }
            }
            // It may be in the system's memory alone.
            file.sync_all().map_err(io_error)?;
            self.durable = self.durable.max(bound);
            self.segments.push(Segment { number, path, len: 0, file, bound });
        }
        clock.publish(clock.next());
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.next_segment;
        let path = Path::new(DIR).join(format!("{number:06}"));
        self.next_segment += 1;
        let file = self.fs.create(&path)?;
        self.fs.sync_dir(Path::new(DIR))?;
        self.segments.push(Segment { number, path, file, len: 0, bound: SeqNo::ZERO });
        Ok(())
    }

    /// First the log, then the tree, and then readers.
    fn write(&mut self, operations: &[Operation]) -> Result<(), Error> {
        let clock = self.store.clock();
        let first = clock.allocate(operations.len() as u64)?;
        let segment = self.segments.last_mut().unwrap();
        let record = record(segment.number, first, operations);
        segment.file.write_all_at(&record, segment.len).map_err(io_error)?;
        segment.len += record.len() as u64;
        segment.bound = clock.next();
        self.tree.apply(operations, first)?;
        clock.publish(clock.next());
        if self.tree.is_full() {
            self.tree.seal();
            // Nothing is to be found behind something that is lost.
            self.sync().and_then(|()| self.begin_segment()).map_err(io_error)?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.segments.iter().try_for_each(|segment| segment.file.sync_all())?;
        self.durable = self.store.clock().next();
        Ok(())
    }

    /// Writes tables of what the log has durably, and drops of the log what tables have.
    fn flush(&mut self) -> Result<(), Error> {
        self.tree.flush_sealed_to(self.durable)?;
        let flushed = self.tree.flushed();
        let last = self.segments.len() - 1;
        let gone = self.segments[..last].iter().take_while(|segment| segment.bound <= flushed);
        let gone = gone.count();
        for segment in self.segments.drain(..gone) {
            self.fs.remove_file(&segment.path).map_err(io_error)?;
        }
        Ok(())
    }

    fn rows(&self) -> Rows {
        let rows = self.tree.range::<&[u8]>(..).unwrap().map(Result::unwrap);
        rows.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }
}

fn io_error(source: io::Error) -> Error {
    Error::Io { op: "log", path: DIR.into(), source }
}

/// Length, check, first number, operations. The check is of the segment too: after a crash, what was never
/// written may be what a removed one held.
fn record(segment: u64, first: SeqNo, operations: &[Operation]) -> Vec<u8> {
    let mut body = first.get().to_le_bytes().to_vec();
    for operation in operations {
        let (kind, key, value): (u8, &[u8], &[u8]) = match operation {
            Operation::Put { key, value } => (0, key, value),
            Operation::Merge { key, operand } => (1, key, operand),
            Operation::Delete { key } => (2, key, &[]),
            Operation::WeakDelete { key } => (3, key, &[]),
            Operation::DeleteRange { from, to } => (4, from, to),
            other => panic!("{other:?}"),
        };
        body.extend([kind, u8::try_from(key.len()).unwrap(), u8::try_from(value.len()).unwrap()]);
        body.extend_from_slice(key);
        body.extend_from_slice(value);
    }
    let mut record = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    record.extend(check_of(segment, &body).to_le_bytes());
    record.extend(body);
    record
}

fn check_of(segment: u64, body: &[u8]) -> u64 {
    key_hash(&[&segment.to_le_bytes()[..], body].concat())
}

/// The next whole record of a segment.
fn take_record(rest: &mut &[u8], segment: u64) -> Option<(SeqNo, Vec<Operation>)> {
    let (len, behind) = rest.split_first_chunk()?;
    let (check, behind) = behind.split_first_chunk()?;
    let (body, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    if check_of(segment, body) != u64::from_le_bytes(*check) {
        return None;
    }
    *rest = behind;
    let (first, mut body) = body.split_first_chunk()?;
    let mut operations = Vec::new();
    while let [kind, key, value, behind @ ..] = body {
        let (key, behind) = behind.split_at(usize::from(*key));
        let (value, behind) = behind.split_at(usize::from(*value));
        body = behind;
        let (key, value) = (key.to_vec(), value.to_vec());
        operations.push(match kind {
            0 => Operation::Put { key, value },
            1 => Operation::Merge { key, operand: value },
            2 => Operation::Delete { key },
            3 => Operation::WeakDelete { key },
            _ => Operation::DeleteRange { from: key, to: value },
        });
    }
    Some((SeqNo::new(u64::from_le_bytes(*first))?, operations))
}

/// What was written after each write, and how many operations of the file system had been done when it
/// was durable.
struct State {
    rows: Rows,
    synced_at: Option<u64>,
}

fn workload(fs: &SimFs, seed: u64) -> Vec<State> {
    let mut rng = Rng::new(seed);
    let mut owner = Owner::open(Arc::new(fs.clone()), seed, small(&mut rng)).unwrap();
    let mut reference = Reference::new("bytewise");
    let mut states = vec![State { rows: Vec::new(), synced_at: Some(fs.op_count()) }];
    for _ in 0..90 {
        // Large enough that memtables are sealed in between.
        for _ in 0..=rng.index(8) {
            let mut operations = Vec::new();
            let mut seqno = owner.store.clock().next();
            for _ in 0..=rng.index(6) {
                let operation = reference.draw_one(&mut rng);
                reference.apply(&operation, seqno);
                operations.push(operation);
                seqno = seqno.next().unwrap();
            }
            owner.write(&operations).unwrap();
            let rows = reference.model.scan(&KeyRange::ALL, SeqNo::MAX);
            states.push(State { rows, synced_at: None });
        }
        match rng.below(4) {
            0 => {
                owner.sync().unwrap();
                states.last_mut().unwrap().synced_at = Some(fs.op_count());
            }
            1 => owner.flush().unwrap(),
            2 => drop(owner.tree.compact(false).unwrap()),
            _ => {}
        }
    }
    assert_eq!(owner.rows(), states.last().unwrap().rows);
    assert!(owner.tree.flushed() > SeqNo::ZERO && owner.next_segment > 2);
    states
}

#[test]
fn nothing_is_lost_or_there_twice_under_a_log_of_the_callers_own() {
    let (mut images, mut distinct, mut longer) = (0, HashSet::new(), 0);
    for seed in 0..6 {
        let fs = SimFs::new(seed);
        fs.record_moments();
        let states = workload(&fs, seed);
        for moment in fs.take_moments().into_iter().step_by(3) {
            for policy in moment.fs.crash_policies(12, 2) {
                let image = moment.fs.image(&policy);
                images += 1;
                let acknowledged = states
                    .iter()
                    .rposition(|state| state.synced_at.is_some_and(|ops| ops <= moment.op + 1));
                if !distinct.insert((seed, image.fingerprint(), acknowledged)) {
                    continue;
                }
                let context = format!("seed {seed}, crash at {}, {policy:?}", moment.op);
                let mut rng = Rng::new(seed);
                let opened = Owner::open(Arc::new(image.clone()), seed ^ 1, small(&mut rng));
                let mut owner = match opened {
                    Ok(owner) => owner,
                    Err(error) => {
                        assert!(acknowledged.is_none(), "{context}: {error}");
                        continue;
                    }
                };
                let first = acknowledged.unwrap_or(0);
                let rows = owner.rows();
                let found = states[first..].iter().position(|state| state.rows == rows);
                let next = owner.store.clock().next();
                assert!(found.is_some(), "{context}: next {next}: {rows:?}");
                longer += usize::from(found > Some(0));

                // It goes on, with numbers of which none was used, and is found again.
                let key = b"after".to_vec();
                let put = Operation::Put { key: key.clone(), value: b"the ".to_vec() };
                let merge = Operation::Merge { key, operand: b"crash".to_vec() };
                owner.write(&[put, merge]).unwrap_or_else(|error| panic!("{context}: {error}"));
                owner.sync().unwrap();
                owner.tree.seal();
                if seed % 2 == 0 {
                    owner.flush().unwrap_or_else(|error| panic!("{context}: {error}"));
                }
                let rows = owner.rows();
                drop(owner);
                let owner = Owner::open(Arc::new(image.clone()), seed ^ 2, small(&mut rng));
                let owner = owner.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert_eq!(owner.rows(), rows, "{context}: opened again");
                let found = owner.tree.get(b"after").unwrap();
                assert_eq!(found.as_deref(), Some(&b"the crash"[..]), "{context}");
            }
        }
    }
    println!("{images} images, {} distinct, {longer} with more than was durable", distinct.len());
    assert!(distinct.len() > 300 && longer > 30);
}
