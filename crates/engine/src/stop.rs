//! How work that is under way is ended before it is done.

use std::sync::Arc;

use stratal_types::{
    BlockCursor, BlockFacts, Cursor, EntryDigest, EntryRef, SeqNo,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{Error, Store, Tree};

/// Entries that a job takes in between two looks at whether it is to end.
const LOOK_EVERY: u32 = 64;

/// How often the jobs of a tree were told to end.
#[derive(Debug)]
pub(crate) struct Stops(Arc<AtomicU64>);

impl Default for Stops {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }
}

impl Tree {
    /// Ends the flushes and merges of this tree that are under way, on whatever thread: they soon fail
    /// with [`Error::Stopped`]. The tree is as it was before them, no file of theirs stays, and what
    /// they were to do can be planned again. A job that has begun to be installed is installed; one
    /// that begins later is not concerned.
    ///
    /// Does not wait: a job has ended when its call returns.
    pub fn stop_jobs(&self) {
        self.stops.0.fetch_add(1, Ordering::AcqRel);
        self.store.limiter().wake();
    }

    /// Notices when a job that begins now is to end.
    pub(crate) fn stop(&self) -> Stop {
        Stop {
            store: Arc::clone(&self.store),
            told_before: self.stops.0.load(Ordering::Acquire),
            told: Arc::clone(&self.stops.0),
            failed: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// Whether one job is to end.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    store: Arc<Store>,
    told: Arc<AtomicU64>,
    told_before: u64,
    /// A part of the job has failed, so that the others need not go on.
    failed: Arc<AtomicBool>,
}

impl Stop {
    pub(crate) fn is_stopped(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
            || self.told.load(Ordering::Relaxed) != self.told_before
            || self.store.is_stopped()
    }

    /// [`Error::Stopped`] if the job is to end.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_stopped() { Err(Error::Stopped) } else { Ok(()) }
    }
}

/// Ends the other parts of a job when it goes, unless its own part is done: also in a panic.
#[derive(Debug)]
pub(crate) struct EndsOthers {
    stop: Stop,
    is_done: bool,
}

impl EndsOthers {
    pub(crate) const fn new(stop: Stop) -> Self {
        Self { stop, is_done: false }
    }

    /// The part is done.
    pub(crate) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for EndsOthers {
    fn drop(&mut self) {
        if !self.is_done {
            self.stop.failed.store(true, Ordering::Release);
            self.stop.store.limiter().wake();
        }
    }
}

/// The input of a job, which ends with an error when the job is to end: also one that leaves every
/// entry out of its output.
#[derive(Debug)]
pub(crate) struct Watched<C> {
    input: C,
    stop: Stop,
    /// Entries until the next look.
    countdown: u32,
    is_stopped: bool,
}

impl<C> Watched<C> {
    pub(crate) const fn new(input: C, stop: Stop) -> Self {
        Self { input, stop, countdown: 0, is_stopped: false }
    }

    /// What is watched.
    pub(crate) const fn input(&self) -> &C {
        &self.input
    }
}

impl<C: Cursor<Error = Error>> Watched<C> {
    fn step(&mut self, step: impl FnOnce(&mut C) -> Result<(), Error>) -> Result<(), Error> {
        if self.countdown == 0 {
            self.is_stopped |= self.stop.is_stopped();
            self.countdown = LOOK_EVERY;
        }
        if self.is_stopped {
            return Err(Error::Stopped);
        }
        self.countdown -= 1;
        step(&mut self.input)
    }
}

impl<C: Cursor<Error = Error>> Cursor for Watched<C> {
    type Error = Error;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Error> {
        self.step(|input| input.seek(key, bound))
    }

    fn seek_to_first(&mut self) -> Result<(), Error> {
        self.step(C::seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<(), Error> {
        self.step(C::seek_to_last)
    }

    #[inline]
    fn advance(&mut self) -> Result<(), Error> {
        self.step(C::advance)
    }

    fn retreat(&mut self) -> Result<(), Error> {
        self.step(C::retreat)
    }

    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        if self.is_stopped { None } else { self.input.entry() }
    }

    fn digest(&self) -> Option<EntryDigest> {
        if self.is_stopped { None } else { self.input.digest() }
    }
}

impl<C: BlockCursor<Error = Error>> BlockCursor for Watched<C> {
    #[inline]
    fn begins_block(&self) -> bool {
        !self.is_stopped && self.input.begins_block()
    }

    fn block_end(&self, last: &mut Vec<u8>) -> bool {
        !self.is_stopped && self.input.block_end(last)
    }

    fn block_facts(&self) -> Option<BlockFacts> {
        self.input.block_facts()
    }

    fn pass_block(&mut self) -> Result<(), Error> {
        self.step(C::pass_block)
    }
}
