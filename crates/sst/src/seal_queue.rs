//! Blocks that are sealed by whoever comes first, and taken out in order.
//!
//! ```text
//! push ─▶ [ job ][ job ][ job ] ─▶ pop: the oldest, sealed by now, or sealed here
//!            └──────┴──────┴─── the same jobs, as closures on the pool's threads
//! ```
//!
//! # Invariants
//!
//! * **Once**: a job leaves `Waiting` in one critical section, so that one thread seals it.
//! * **No wait for a thread**: who pops seals what is still waiting, and so waits only for a thread
//!   that is at work on the block already.
//! * **A death is noticed**: a thread that unwinds leaves the job `Done` without a block.

use std::{collections::VecDeque, fmt, mem};

use stratal_block::{BlockCodec, BlockId, Error};
use stratal_types::sync::{Arc, Condvar, Mutex};

use crate::BlockPool;

/// Blocks under way, first in, first out; beside each what its owner keeps of it.
pub(crate) struct SealQueue<T> {
    jobs: VecDeque<(Arc<SealJob>, T)>,
    /// Bytes of all payloads in the queue.
    payload_len: usize,
    /// Buffers that payloads came in.
    spare: Vec<Vec<u8>>,
}

impl<T> SealQueue<T> {
    pub(crate) const fn new() -> Self {
        Self { jobs: VecDeque::new(), payload_len: 0, spare: Vec::new() }
    }

    /// Whether `pool` takes a payload of `len` bytes beside those in the queue.
    pub(crate) fn has_room_for(&self, len: usize, pool: &dyn BlockPool) -> bool {
        self.jobs.is_empty() || self.payload_len.saturating_add(len) <= pool.payload_len_max()
    }

    /// Bytes of all payloads in the queue.
    pub(crate) const fn payload_len(&self) -> usize {
        self.payload_len
    }

    /// An empty buffer for a payload, used before if possible.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Takes a buffer that [`buffer`](Self::buffer) gave back.
    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        self.spare.push(buffer);
    }

    /// Bytes held, roughly: a payload under way has as much beside it once it is sealed.
    pub(crate) fn memory(&self) -> usize {
        let spare: usize = self.spare.iter().map(Vec::capacity).sum();
        self.payload_len.saturating_mul(2).saturating_add(spare)
    }

    /// Has block `id` of `plain` sealed on `pool`.
    pub(crate) fn push(
        &mut self,
        pool: &dyn BlockPool,
        codec: &BlockCodec,
        id: BlockId,
        plain: Vec<u8>,
        kept: T,
    ) {
        self.payload_len = self.payload_len.saturating_add(plain.len());
        let job = Arc::new(SealJob::new(codec.clone(), id, plain));
        let shared = Arc::clone(&job);
        pool.spawn(Box::new(move || shared.run()));
        self.jobs.push_back((job, kept));
    }

    /// Takes out the oldest block, once it is sealed. `None` of a block if its thread died.
    pub(crate) fn pop(&mut self) -> Option<(Option<Sealed>, T)> {
        let (job, kept) = self.jobs.pop_front()?;
        let (plain, sealed) = job.take();
        self.payload_len = self.payload_len.saturating_sub(plain.len());
        self.recycle(plain);
        Some((sealed, kept))
    }
}

impl<T> fmt::Debug for SealQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealQueue")
            .field("jobs", &self.jobs.len())
            .field("payload_len", &self.payload_len)
            .finish_non_exhaustive()
    }
}

/// A sealed block, or why it could not be.
pub(crate) type Sealed = Result<Vec<u8>, Error>;

/// A block that somebody is to seal.
struct SealJob {
    codec: BlockCodec,
    id: BlockId,
    state: Mutex<State>,
    done: Condvar,
}

enum State {
    Waiting(Vec<u8>),
    Running,
    /// The payload's buffer, and the block, or why there is none; nothing if the thread died.
    Done(Vec<u8>, Option<Sealed>),
}

impl SealJob {
    fn new(codec: BlockCodec, id: BlockId, plain: Vec<u8>) -> Self {
        Self { codec, id, state: Mutex::new(State::Waiting(plain)), done: Condvar::new() }
    }

    /// Seals the block, unless somebody has begun.
    fn run(&self) {
        let plain = {
            let mut state = self.state.lock();
            match mem::replace(&mut *state, State::Running) {
                State::Waiting(plain) => plain,
                begun => {
                    *state = begun;
                    return;
                }
            }
        };
        let mut outcome = Outcome { job: self, plain, sealed: None };
        outcome.sealed = Some(self.codec.seal(self.id, &outcome.plain));
    }

    /// The payload's buffer and what became of it. Once per job.
    fn take(&self) -> (Vec<u8>, Option<Sealed>) {
        self.run();
        let mut state = self.state.lock();
        loop {
            match mem::replace(&mut *state, State::Running) {
                State::Done(plain, sealed) => return (plain, sealed),
                running => *state = running,
            }
            self.done.wait(&mut state);
        }
    }
}

/// Says what became of a job when it goes, also in unwinding.
struct Outcome<'a> {
    job: &'a SealJob,
    plain: Vec<u8>,
    sealed: Option<Sealed>,
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        let (plain, sealed) = (mem::take(&mut self.plain), self.sealed.take());
        *self.job.state.lock() = State::Done(plain, sealed);
        self.job.done.notify_all();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use stratal_block::{BlockContext, BlockKind, BlockSpec, FileKey, FileKeyInfo, RootKey, Seal};
    use stratal_types::{DbId, FileUid};

    use super::*;

    const ID: BlockId = BlockId { uid: FileUid([1; 16]), ordinal: 16, kind: BlockKind(1) };

    #[derive(Debug)]
    struct AtOnce;

    impl BlockPool for AtOnce {
        fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
            job();
        }
    }

    #[test]
    fn a_block_that_cannot_be_sealed_is_told_in_its_turn() {
        let info =
            FileKeyInfo { db_id: DbId([2; 16]), kind: 1, uid: FileUid([9; 16]), salt: [3; 32] };
        let key = FileKey::derive(&RootKey::new(1, [4; 32]), &info);
        let spec = BlockSpec { seal: Seal::ChaCha20Poly1305, ..BlockSpec::default() };
        let ctx = BlockContext { key: Some(key), ..BlockContext::default() };
        let strange = spec.resolve(&ctx).unwrap();
        let plain = BlockSpec::default().resolve(&BlockContext::default()).unwrap();
        let mut queue = SealQueue::new();
        queue.push(&AtOnce, &plain, ID, b"one".to_vec(), 1);
        queue.push(&AtOnce, &strange, ID, b"two".to_vec(), 2);
        assert_eq!(queue.payload_len(), 6);
        assert!(matches!(queue.pop(), Some((Some(Ok(_)), 1))));
        assert!(matches!(queue.pop(), Some((Some(Err(Error::WrongKey { .. })), 2))));
        assert!(queue.pop().is_none() && queue.payload_len() == 0);
    }

    #[test]
    fn a_thread_that_dies_is_noticed() {
        let codec = BlockSpec::default().resolve(&BlockContext::default()).unwrap();
        let job = Arc::new(SealJob::new(codec, ID, Vec::new()));
        *job.state.lock() = State::Running;
        let theirs = Arc::clone(&job);
        let thread = std::thread::spawn(move || {
            let _outcome = Outcome { job: &theirs, plain: b"plain".to_vec(), sealed: None };
            std::panic::resume_unwind(Box::new("died"));
        });
        assert!(matches!(job.take(), (plain, None) if plain == b"plain"));
        assert!(thread.join().is_err());
    }
}
