//! A file system that crashes and fails on demand, and does it the same way every time.
//!
//! [`SimFs`] keeps apart what is visible and what is durable, with the log of changes that leads
//! from one to the other: bytes and lengths by file, names by directory. At any moment it can tell
//! what the disk might look like if power failed now: [`SimFs::crash_policies`] lists the
//! possibilities and [`SimFs::image`] makes one. It depends on nothing but the calls it gets and its
//! seed: no clock, no thread of its own, no order of a hash map.
//!
//! Sectors are 512 bytes and are written whole or not at all; nothing else about the order or
//! completeness of unsynced changes is assumed, except for the rules listed at [`CrashPolicy`].
//!
//! # Crash everywhere
//!
//! ```
//! use std::path::Path;
//! use stratal_fs::{Fs, SimFs};
//!
//! let fs = SimFs::new(42);
//! fs.record_moments();
//! let file = fs.create(Path::new("/greeting"))?;
//! file.write_all_at(b"hello", 0)?;
//! file.sync_all()?;
//! fs.sync_dir(Path::new("/"))?;
//! let named_since = fs.op_count();
//! file.write_all_at(b"HELLO", 0)?;
//!
//! let mut images = 0;
//! for moment in fs.take_moments() {
//!     for policy in moment.fs.crash_policies(1000, 10) {
//!         let found = moment.fs.image(&policy);
//!         if moment.op + 1 >= named_since {
//!             let file = found.open(Path::new("/greeting"), stratal_fs::Access::Read)?;
//!             let text = stratal_fs::read_to_vec(&*file, 5)?;
//!             assert!(text == b"hello" || text == b"HELLO", "{policy:?}");
//!         }
//!         images += 1;
//!     }
//! }
//! assert!(images > 40);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Or stop at one operation, as a program sees it: [`SimFs::crash_at`], then [`SimFs::image`].

mod model;
mod crash;
mod fault;
mod trace;
mod run;
mod handle;

use std::{error::Error, fmt::Write, io, path::Path};

use crate::{Access, DirEntry, File, Fs, Lock, LockMode, Metadata};
use stratal_types::key_hash;

pub use crash::{CrashPolicy, DataFate, SECTOR_LEN, Tail};
pub use fault::{Fault, FaultKind, OsError};
pub use trace::{OpKind, OpRecord, Outcome};

use handle::{SimFile, SimLock};
use model::Model;
use run::{Shared, Target};

/// A simulated disk and the system in front of it. Clones are the same file system.
///
/// There is one root, which is durable; a relative path starts from it too, and `..` is refused.
/// Longest file: 64 GiB. See the [module](self) for what it is for.
#[derive(Clone)]
pub struct SimFs {
    shared: Shared,
}

/// Rules of durable writing that were broken. A store that is right breaks none; who asserts that
/// is the test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violations {
    /// Syncs of a file of which a sync had failed. The second may succeed and proves nothing.
    pub retried_syncs: u64,
    /// Changes of a file after one failed (`Interrupted` apart), or after a sync of it failed:
    /// what is appended may stand behind damage.
    pub writes_after_failure: u64,
    /// Syncs of a directory of which a sync had failed. They make durable what was done since, and
    /// nothing from before.
    pub dir_syncs_after_failure: u64,
}

/// The file system as it was just after an operation. A crash within that operation leaves an image
/// of this moment or, if it was a sync, of the one before.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The operation. What was acknowledged while [`SimFs::op_count`] was `op + 1` or less must be
    /// there after a crash at this moment.
    pub op: u64,
    /// A copy, with all that is unsynced.
    pub fs: SimFs,
}

/// The error of every operation after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulated system has crashed")]
pub struct Crashed;

impl Crashed {
    /// Whether `err` says that the system has crashed.
    pub fn is(err: &io::Error) -> bool {
        err.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Self>)
    }
}

impl From<Crashed> for io::Error {
    fn from(crashed: Crashed) -> Self {
        Self::other(crashed)
    }
}

impl SimFs {
    /// An empty disk. The seed decides what random policies and recycled blocks look like.
    pub fn new(seed: u64) -> Self {
        Self { shared: Shared::new(Model::new(), seed, u64::MAX) }
    }

    // What happened.

    /// Operations so far; the index of the next one.
    pub fn op_count(&self) -> u64 {
        self.shared.0.lock().next_op
    }

    /// Operations of one sort so far.
    pub fn op_count_of(&self, kind: OpKind) -> u64 {
        self.shared.0.lock().counts[kind as usize]
    }

    /// The last operations, up to 65,536 of them, oldest first.
    pub fn trace(&self) -> Vec<OpRecord> {
        self.shared.0.lock().trace.iter().cloned().collect()
    }

    /// The last `count` operations, one on a line, for the message of a failing test.
    pub fn trace_text(&self, count: usize) -> String {
        let state = self.shared.0.lock();
        let from = state.trace.len().saturating_sub(count);
        let mut text = String::new();
        for record in state.trace.range(from..) {
            // Writing to a `String` cannot fail.
            if writeln!(text, "{record}").is_err() {}
        }
        text
    }

    /// Rules broken so far.
    pub fn violations(&self) -> Violations {
        self.shared.0.lock().violations
    }

    /// The indexes of the operations that left something unsynced, ascending.
    pub fn unsynced_ops(&self) -> Vec<u64> {
        let state = self.shared.0.lock();
        let mut ops: Vec<u64> = state.model.unsynced().iter().map(|change| change.op).collect();
        ops.dedup();
        ops
    }

    /// A number that differs if what can be seen differs, but for one chance in 2⁶⁴: to tell images
    /// apart, and to check only those that are new.
    pub fn fingerprint(&self) -> u64 {
        let mut sum = Vec::new();
        self.shared.0.lock().model.for_each(|path, content| {
            sum.extend_from_slice(&key_hash(path.as_os_str().as_encoded_bytes()).to_le_bytes());
            let content = content.map_or(0, crate::content::Content::fingerprint);
            sum.extend_from_slice(&content.to_le_bytes());
        });
        key_hash(&sum)
    }

    // Crashes.

    /// Lets the system die in the operation with index `op`: it may or may not have taken effect,
    /// and it and every later one fail with [`Crashed`]. [`image`](Self::image) then says what is
    /// found when the machine starts again.
    pub fn crash_at(&self, op: u64) {
        self.shared.0.lock().crash_at = Some(op);
    }

    /// Lets the system die now.
    pub fn crash_now(&self) {
        self.shared.0.lock().crashed = true;
    }

    /// Whether it has died.
    pub fn is_crashed(&self) -> bool {
        self.shared.0.lock().crashed
    }

    /// The disk as it might be found if power failed now: a file system of its own, in which
    /// everything is durable, no file is open or locked, nothing is to fail, and operations are
    /// counted from 0. This one goes on as it was.
    ///
    /// Costs time for what is unsynced and for the number of files, not for what they hold.
    #[must_use]
    pub fn image(&self, policy: &CrashPolicy) -> Self {
        let state = self.shared.0.lock();
        let fates = policy.fates(&state.model);
        let model = state.model.after_crash(&fates, state.seed);
        Self { shared: Shared::new(model, state.seed, state.capacity) }
    }

    /// What may happen to the unsynced changes if power fails now: all lost, all kept, bytes zero or
    /// stale, every set of names if there are at most six, the last write torn at every sector, each
    /// change lost alone, each prefix; at most `cap` of those, and `random` random ones. If nothing
    /// is unsynced there is one policy.
    pub fn crash_policies(
        &self,
        cap: usize,
        random: usize,
    ) -> impl Iterator<Item = CrashPolicy> + use<> {
        let state = self.shared.0.lock();
        let seed = key_hash(&[state.seed.to_le_bytes(), state.next_op.to_le_bytes()].concat());
        CrashPolicy::all(&state.model, cap, random, seed).into_iter()
    }

    /// Starts to remember a [`Moment`] for each operation that may change the disk. Each holds a
    /// copy of the list of files, and what is unsynced.
    pub fn record_moments(&self) {
        self.shared.0.lock().moments.get_or_insert_default();
    }

    /// The moments remembered since the last call, in order, and goes on remembering.
    pub fn take_moments(&self) -> Vec<Moment> {
        self.shared.0.lock().moments.as_mut().map(std::mem::take).unwrap_or_default()
    }

    // Faults.

    /// Lets operations go wrong. Of several faults that match an operation, the first injected
    /// strikes, and only it counts.
    pub fn inject(&self, fault: Fault) {
        self.shared.0.lock().faults.push(fault);
    }

    /// Takes back every fault.
    pub fn clear_faults(&self) {
        self.shared.0.lock().faults.clear();
    }

    /// Limits the bytes of all files together, exactly: a write that does not fit is short, and then
    /// fails with `StorageFull`. The limit may be below what is used already; `u64::MAX`, as at
    /// first, is none. Counted are the lengths of files that have a name or a handle; holes count.
    pub fn set_capacity(&self, capacity: u64) {
        self.shared.0.lock().capacity = capacity;
    }

    /// Bytes that count against the capacity.
    pub fn used_space(&self) -> u64 {
        self.shared.0.lock().model.used()
    }

    /// Replaces bytes of a file at rest, as a failing disk does: visible and durable ones, and
    /// nobody is told. What would lie behind the end is left out.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file.
    pub fn alter_at_rest(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.shared.0.lock().model.alter(path, offset, bytes)
    }
}

impl std::fmt::Debug for SimFs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.0.lock();
        write!(f, "SimFs {{ seed: {}, ops: {} }}", state.seed, state.next_op)
    }
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let node = self.shared.run(OpKind::Create, &Target::of(path), |step| {
            let node = step.state.model.create_file(step.op, path)?;
            Ok(step.state.model.opened(node))
        })?;
        Ok(Box::new(SimFile::new(self.shared.clone(), node, path, Access::ReadWrite)))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let target = Target::of(path);
        let node = self.shared.run(OpKind::Open, &target, |step| step.state.model.open(path))?;
        Ok(Box::new(SimFile::new(self.shared.clone(), node, path, access)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let target = Target::of(path);
        self.shared
            .run(OpKind::CreateDir, &target, |step| step.state.model.create_dir(step.op, path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.shared.run(OpKind::List, &Target::of(dir), |step| step.state.model.list(dir))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let target = Target::of(path);
        self.shared.run(OpKind::Metadata, &target, |step| step.state.model.metadata(path))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let target = Target::of(path);
        self.shared
            .run(OpKind::RemoveFile, &target, |step| step.state.model.remove_file(step.op, path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let target = Target::of(path);
        self.shared
            .run(OpKind::RemoveDir, &target, |step| step.state.model.remove_dir(step.op, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let target = Target { to: Some(to), ..Target::of(from) };
        self.shared.run(OpKind::Rename, &target, |step| step.state.model.rename(step.op, from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let target = Target { to: Some(to), ..Target::of(from) };
        self.shared
            .run(OpKind::HardLink, &target, |step| step.state.model.hard_link(step.op, from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.run(OpKind::SyncDir, &Target::of(dir), |step| step.state.model.sync_dir(dir))
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        self.shared.run(OpKind::AvailableSpace, &Target::of(path), |step| {
            step.state.model.metadata(path)?;
            Ok(step.state.free_space())
        })
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        let node = self.shared.run(OpKind::Lock, &Target::of(path), |step| {
            let node = step.state.model.find_or_create(step.op, path)?;
            if !step.state.locks.entry(node).or_default().try_take(mode) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(step.state.model.opened(node))
        })?;
        Ok(Box::new(SimLock::new(self.shared.clone(), node, mode)))
    }
}
