use std::{collections::VecDeque, path::PathBuf};

use stratal_fs::Fs;
use stratal_types::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use crate::{Error, Lsn, segment::Segment};

/// How often one who is about to sync lets others run, who may have something to be synced with it.
/// Threads that wait for each sync, and write again, are woken by the last one: the first of them would
/// be alone, and the rest would wait for two.
const TURNS_LEFT_TO_OTHERS: usize = 100;

/// Makes what was written durable, from any thread.
///
/// One caller syncs, what was written meanwhile waits for the next sync, and one sync is for all who
/// wait. It holds nothing that an append waits for. Clones sync the same log.
#[derive(Clone, Debug)]
pub struct Syncer {
    shared: Arc<Shared>,
}

/// What the appender and the syncers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fs: std::sync::Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    /// A copy of [`State::durable`] for readers.
    durable: AtomicU64,
    /// Up to where records are written to open segments. The appender moves it on without the lock of
    /// `state`; which segment they are in changes under that.
    written: AtomicU64,
    /// Whether a write or sync failed since the active segment was begun. Changed under the lock.
    failed: AtomicBool,
    state: Mutex<State>,
    callers: Mutex<Callers>,
    /// A sync is over.
    synced: Condvar,
}

/// Who wants to have something synced.
#[derive(Debug, Default)]
struct Callers {
    /// Whether one of them is at it.
    is_syncing: bool,
    /// Those who wait for him.
    waiting: usize,
    /// For how many the last sync was.
    last: usize,
}

/// Held by the caller who syncs.
struct Turn<'a>(&'a Shared);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut callers = self.0.callers.lock();
        callers.is_syncing = false;
        callers.last = callers.waiting + 1;
        drop(callers);
        self.0.synced.notify_all();
    }
}

/// Under a lock that is held for moments, never across I/O.
#[derive(Debug)]
struct State {
    durable: Lsn,
    /// The segment in which `durable` lies: the next chain's predecessor, should this one break.
    durable_in: u64,
    /// Segments that are followed by others and not known synced to their end, oldest first.
    ended: VecDeque<(Arc<Segment>, Lsn)>,
    active: Option<Arc<Segment>>,
    /// Counts the chains begun, so that a sync notices that its segments were given up.
    chain: u64,
}

impl Shared {
    pub(crate) fn new(
        fs: std::sync::Arc<dyn Fs>,
        dir: PathBuf,
        durable: Lsn,
        durable_in: u64,
    ) -> Self {
        let state = State { durable, durable_in, ended: VecDeque::new(), active: None, chain: 0 };
        Self {
            fs,
            dir,
            durable: AtomicU64::new(durable.0),
            written: AtomicU64::new(durable.0),
            failed: AtomicBool::new(false),
            state: Mutex::new(state),
            callers: Mutex::new(Callers::default()),
            synced: Condvar::new(),
        }
    }

    pub(crate) fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    /// What is durable, and the segment in which that ends.
    pub(crate) fn durable_end(&self) -> (Lsn, u64) {
        let state = self.state.lock();
        (state.durable, state.durable_in)
    }

    /// Whether nothing may be appended to the active segment any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn written(&self) -> Lsn {
        Lsn(self.written.load(Ordering::Acquire))
    }

    /// Notes that records up to `end` are written to the active segment. For the appender.
    pub(crate) fn note_written(&self, end: Lsn) {
        self.written.store(end.0, Ordering::Release);
    }

    /// Notes that the active segment is closed.
    pub(crate) fn note_failed(&self) {
        let _state = self.state.lock();
        self.failed.store(true, Ordering::Release);
    }

    /// Goes on in `segment`, which stands behind the active one.
    pub(crate) fn follow(&self, segment: Arc<Segment>) {
        let mut state = self.state.lock();
        if let Some(ended) = state.active.replace(segment) {
            let end = self.written();
            state.ended.push_back((ended, end));
        }
    }

    /// Goes on in `segment`, which carries everything that is not durable, up to `written`.
    pub(crate) fn restart(&self, segment: Arc<Segment>, written: Lsn) {
        let mut state = self.state.lock();
        state.ended.clear();
        state.active = Some(segment);
        self.written.store(written.0, Ordering::Release);
        self.failed.store(false, Ordering::Release);
        state.chain += 1;
    }

    /// See [`Syncer::run_ahead`].
    fn run_ahead(&self) {
        let (active, written) = {
            let state = self.state.lock();
            (state.active.clone(), self.written())
        };
        let Some(segment) = active.filter(|_| !self.has_failed()) else { return };
        if segment.run_ahead(written).is_err() {
            let state = self.state.lock();
            if state.active.as_ref().is_some_and(|active| Arc::ptr_eq(active, &segment)) {
                self.failed.store(true, Ordering::Release);
            }
        }
    }

    /// See [`Syncer::sync`].
    pub(crate) fn sync(&self) -> Result<Lsn, Error> {
        let wanted = self.written();
        let mut callers = self.callers.lock();
        while callers.is_syncing {
            callers.waiting += 1;
            self.synced.wait(&mut callers);
            callers.waiting -= 1;
            if self.durable() >= wanted {
                return Ok(self.durable());
            }
        }
        callers.is_syncing = true;
        drop(callers);
        let _turn = Turn(self);
        self.let_others_come();
        self.sync_written()
    }

    /// Waits a moment for as many as the last sync was for. For whoever is about to sync.
    fn let_others_come(&self) {
        for _ in 0..TURNS_LEFT_TO_OTHERS {
            let callers = self.callers.lock();
            if callers.waiting + 1 >= callers.last {
                return;
            }
            drop(callers);
            thread::yield_now();
        }
    }

    fn sync_written(&self) -> Result<Lsn, Error> {
        loop {
            let (segments, chain) = {
                let state = self.state.lock();
                let written = self.written();
                if written <= state.durable {
                    return Ok(state.durable);
                }
                if self.has_failed() {
                    return Err(Error::Closed);
                }
                let active = state.active.iter().map(|active| (Arc::clone(active), written));
                let segments: Vec<_> = state.ended.iter().cloned().chain(active).collect();
                (segments, state.chain)
            };
            for (segment, end) in segments {
                let synced = segment.sync(&*self.fs, &self.dir);
                let mut state = self.state.lock();
                if let Err(err) = synced {
                    if state.chain != chain {
                        // Given up meanwhile. What it held is carried elsewhere.
                        break;
                    }
                    self.failed.store(true, Ordering::Release);
                    return Err(err);
                }
                if end > state.durable {
                    state.durable = end;
                    state.durable_in = segment.header.number;
                    self.durable.store(end.0, Ordering::Release);
                }
                if state.chain == chain {
                    // More may have been written to it since, before another followed it.
                    let is_done = |(ended, last): &(Arc<Segment>, Lsn)| {
                        Arc::ptr_eq(ended, &segment) && *last <= end
                    };
                    if state.ended.front().is_some_and(is_done) {
                        state.ended.pop_front();
                    }
                }
            }
            if self.state.lock().chain == chain {
                return Ok(self.durable());
            }
        }
    }
}

impl Syncer {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Makes everything durable that was written before the call, and returns what is durable now,
    /// which may be more. Groups that are still buffered are not written; [`Wal::flush`] does that.
    ///
    /// [`Wal::flush`]: crate::Wal::flush
    ///
    /// # Errors
    ///
    /// [`Error::Io`] once, then [`Error::Closed`] until the owner has begun another segment, by
    /// flushing or appending. What was not durable is in memory and comes with that segment.
    pub fn sync(&self) -> Result<Lsn, Error> {
        self.shared.sync()
    }

    /// Prepares what appends will need of the system soon: space for the active segment, and memory to
    /// write to it. Takes time, which no append waits for; without it appends take that time now and then.
    /// [`Appended::is_ahead_due`](crate::Appended::is_ahead_due) says when.
    ///
    /// Space that cannot be had is left to the appends. If anything else goes wrong, the next append begins
    /// another segment, as after a sync that failed.
    pub fn run_ahead(&self) {
        self.shared.run_ahead();
    }

    /// Up to where the log is durable.
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.durable()
    }
}
