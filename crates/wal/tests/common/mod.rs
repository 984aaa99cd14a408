//! What the tests share: logs on a simulated disk, and histories of what was done to them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use stratal_fs::{Fs, SimFs};
use stratal_testkit::Rng;
use stratal_types::DbId;
use stratal_wal::{
    AppendMode, Error, Lsn, Replay, ReplayReport, Wal, WalContext, WalOptions, WalSpec,
};

pub const DB: DbId = DbId([0xdb; 16]);

static SALT: AtomicU32 = AtomicU32::new(1);

pub fn context(fs: &SimFs) -> WalContext {
    WalContext {
        fs: Arc::new(fs.clone()),
        dir: PathBuf::from("/"),
        db_id: DB,
        // Never the same twice, as the contract wants.
        salts: Arc::new(|| SALT.fetch_add(0x9e37_79b1, Ordering::Relaxed)),
    }
}

/// Segments of a few records, so that a short history has several.
pub fn small() -> WalSpec {
    options(2048)
}

/// Those, or segments of which more and more is reserved.
pub fn spec_of(history: u64) -> WalSpec {
    if history.is_multiple_of(3) { options(8192) } else { small() }
}

pub fn options(segment_len: u64) -> WalSpec {
    let options =
        WalOptions { segment_len, preallocate: true, buffer_len: 300, unsynced_len_max: 4096 };
    options.validate().unwrap()
}

/// What the group with this number holds.
pub fn payload(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = format!("group {number} ").into_bytes();
    bytes.resize(len.max(bytes.len()), b'a' + u8::try_from(number % 26).unwrap());
    bytes
}

/// One thing that is done to a log.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A group of that many bytes is appended.
    Buffered(usize),
    Through(usize),
    Flush,
    Sync,
    Mark,
    RunAhead,
    MoveOn,
    Close,
    CloseUnneeded,
}

/// A history of up to 16 steps.
pub fn random_steps(rng: &mut Rng) -> Vec<Step> {
    let len = 4 + rng.below(12);
    let mut steps: Vec<_> = (0..len)
        .map(|_| {
            let group_len = [8, 60, 300, 1100][usize::try_from(rng.below(4)).unwrap()];
            match rng.below(12) {
                10 => Step::RunAhead,
                11 => Step::MoveOn,
                0..=1 => Step::Buffered(group_len),
                2..=5 => Step::Through(group_len),
                6..=7 => Step::Sync,
                8 => Step::Mark,
                _ => Step::Flush,
            }
        })
        .collect();
    match rng.below(6) {
        0..=1 => steps.push(Step::Close),
        2 => steps.push(Step::CloseUnneeded),
        _ => {}
    }
    steps
}

/// What was done to a log, and when it was promised to be durable. Time is operations of the disk.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Groups whose append was accepted, in order.
    pub accepted: Vec<Vec<u8>>,
    /// Where each of those ends.
    pub ends: Vec<Lsn>,
    /// Groups whose append failed, each with how many had been accepted before.
    pub failed: Vec<(usize, Vec<u8>)>,
    /// From when on how many groups were durable.
    pub promised: Vec<(u64, usize)>,
    /// Errors met.
    pub errors: Vec<String>,
}

impl History {
    /// Groups that must be there after a crash when `op_count` operations were done.
    pub fn promised_at(&self, op_count: u64) -> usize {
        let before = self.promised.iter().take_while(|(at, _)| *at <= op_count);
        before.last().map_or(0, |(_, groups)| *groups)
    }

    /// Whether a crash may leave `found`: what was accepted up to some point, and behind it at most
    /// a group whose append failed there.
    pub fn allows(&self, found: &[Vec<u8>]) -> bool {
        if self.accepted.starts_with(found) {
            return true;
        }
        let Some((last, before)) = found.split_last() else { return true };
        self.accepted.starts_with(before)
            && self.failed.iter().any(|(at, group)| *at == before.len() && group == last)
    }

    fn promise(&mut self, op_count: u64, durable: Lsn) {
        let groups = self.ends.iter().take_while(|end| **end <= durable).count();
        assert!(groups >= self.promised.last().map_or(0, |(_, groups)| *groups));
        self.promised.push((op_count, groups));
    }
}

/// Does `steps` to a log on `fs`, errors or not.
pub fn run(fs: &SimFs, wal: Result<Wal, Error>, steps: &[Step]) -> History {
    let mut history = History::default();
    continue_run(fs, wal, steps, &mut history);
    history
}

pub fn continue_run(fs: &SimFs, wal: Result<Wal, Error>, steps: &[Step], history: &mut History) {
    let mut wal = match wal {
        Ok(wal) => Some(wal),
        Err(err) => return history.errors.push(err.to_string()),
    };
    for step in steps {
        let Some(log) = &mut wal else { break };
        let result = match *step {
            Step::Buffered(len) | Step::Through(len) => {
                let number = history.accepted.len() + history.failed.len();
                let group = payload(number, len);
                let mode = match step {
                    Step::Buffered(_) => AppendMode::Buffered,
                    _ => AppendMode::Through,
                };
                let (front, back) = group.split_at(group.len() / 2);
                let appended = log.append(&[front, back], mode);
                match appended {
                    Ok(appended) => {
                        history.accepted.push(group);
                        history.ends.push(appended.range.end);
                        assert_eq!(appended.range.end, log.end_lsn());
                        Ok(())
                    }
                    Err(err) => {
                        history.failed.push((history.accepted.len(), group));
                        Err(err)
                    }
                }
            }
            Step::Flush => log.flush(),
            Step::Sync => log.flush().and_then(|()| log.syncer().sync()).map(|_| ()),
            Step::Mark => log.mark().map(|_| ()),
            Step::RunAhead => {
                log.syncer().run_ahead();
                Ok(())
            }
            Step::MoveOn => log.move_on().map(|_| ()),
            Step::Close | Step::CloseUnneeded => {
                let (syncer, log) = (log.syncer(), wal.take().unwrap());
                let closed = match step {
                    Step::Close => log.close().map(drop),
                    _ => log.close_unneeded().map(drop),
                };
                history.promise(fs.op_count(), syncer.durable_lsn());
                closed
            }
        };
        if let Err(err) = result {
            history.errors.push(err.to_string());
        }
        if let Some(log) = &wal {
            history.promise(fs.op_count(), log.durable_lsn());
        }
    }
}

/// What a replay of the log on `fs` yields.
pub fn replay(fs: &SimFs) -> Result<(Vec<Vec<u8>>, ReplayReport), Error> {
    let mut replay = Replay::open(context(fs), 0)?;
    let groups = groups(&mut replay)?;
    Ok((groups, replay.finish()?))
}

pub fn groups(replay: &mut Replay) -> Result<Vec<Vec<u8>>, Error> {
    let (mut groups, mut end) = (Vec::new(), None);
    while let Some(found) = replay.next_record()? {
        assert!(end.is_none_or(|end| found.lsn >= end), "records come in order");
        end = Some(found.lsn.plus(found.payload.len() as u64));
        groups.push(found.payload.to_vec());
    }
    Ok(groups)
}

/// Recovers the log on `fs`; returns it and what it holds.
pub fn recover(fs: &SimFs) -> Result<(Wal, Vec<Vec<u8>>, ReplayReport), Error> {
    let mut replay = Replay::open(context(fs), 0)?;
    let groups = groups(&mut replay)?;
    let (wal, report) = replay.into_wal(small())?;
    Ok((wal, groups, report))
}

/// The bytes of a file.
pub fn bytes_of(fs: &dyn Fs, name: &str) -> Vec<u8> {
    let path = PathBuf::from("/").join(name);
    let file = fs.open(&path, stratal_fs::Access::Read).unwrap();
    stratal_fs::read_to_vec(&*file, 1 << 30).unwrap()
}

pub fn write_file(fs: &dyn Fs, name: &str, bytes: &[u8]) {
    let path = PathBuf::from("/").join(name);
    let file = fs.create(&path).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_all().unwrap();
    fs.sync_dir(std::path::Path::new("/")).unwrap();
}
