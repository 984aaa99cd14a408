//! Flushes, merges, and the retirement of the log: on threads of their own, or by whoever calls.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use stratal_fs::FileKind;
use stratal_types::sync::{Arc, Condvar, Mutex, atomic::Ordering, thread};
use stratal_wal::segment_number;

use crate::{
    Error, Health,
    inner::{Core, Inner},
};

/// After a job failed, the next try comes this much later.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How long the log is idle before it is put down how far it is synced.
const IDLE_AFTER: Duration = Duration::from_millis(200);

/// What the background threads are told.
#[derive(Debug, Default)]
pub(crate) struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop: bool,
    flush: bool,
    compact: bool,
    /// Why the last job failed, until one succeeds.
    failure: Option<String>,
}

/// The background threads of a database.
#[derive(Debug, Default)]
pub(crate) struct Threads(Vec<thread::JoinHandle<()>>);

impl Work {
    pub(crate) fn want_flush(&self) {
        self.state.lock().flush = true;
        self.changed.notify_all();
    }

    fn want_compaction(&self) {
        self.state.lock().compact = true;
        self.changed.notify_all();
    }

    /// Lets everybody who waits look again at what has changed.
    pub(crate) fn wake_all(&self) {
        // Whoever has looked and does not wait yet holds this lock.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    /// Why the last job failed, if no other has succeeded since.
    pub(crate) fn failure(&self) -> Option<String> {
        self.state.lock().failure.clone()
    }

    fn note(&self, result: &Result<bool, Error>) {
        let mut state = self.state.lock();
        match result {
            Ok(true) => state.failure = None,
            Ok(false) => {}
            Err(error) => state.failure = Some(error.to_string()),
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits as long as writers to the keyspace must.
    pub(crate) fn wait_for_relief(&self, core: &Core) -> Result<(), Error> {
        if !core.is_stalled.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut state = self.state.lock();
        (state.flush, state.compact) = (true, true);
        self.changed.notify_all();
        while core.is_stalled.load(Ordering::Acquire) && !state.stop {
            if let Some(why) = &state.failure {
                return Err(Error::ReadOnly { why: format!("a flush or merge failed: {why}") });
            }
            self.changed.wait_for(&mut state, RETRY_AFTER);
        }
        Ok(())
    }

    /// Waits until `wanted` says so or `timeout` is over; `None` when it is time to stop.
    fn wait(&self, timeout: Option<Duration>, wanted: impl Fn(&mut State) -> bool) -> Option<bool> {
        // A moment, not a length: others are told things meanwhile, which ends this wait too.
        let end = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return None;
            }
            if wanted(&mut state) {
                return Some(true);
            }
            match end {
                Some(end) if Instant::now() >= end => return Some(false),
                Some(end) => drop(self.changed.wait_until(&mut state, end)),
                None => self.changed.wait(&mut state),
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.state.lock().stop
    }
}

impl Threads {
    /// One thread that flushes and one that merges.
    pub(crate) fn start(inner: &Arc<Inner>) -> Self {
        let run = |job: fn(&Inner)| {
            let inner = Arc::clone(inner);
            thread::spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| job(&inner))).is_err() {
                    inner.fail("a background thread panicked");
                }
            })
        };
        inner.work.want_flush();
        inner.work.want_compaction();
        Self(vec![run(Inner::keep_flushing), run(Inner::keep_compacting)])
    }

    /// Lets the threads finish what they do, and waits for that.
    pub(crate) fn stop(&mut self, inner: &Inner) {
        inner.work.stop();
        for thread in self.0.drain(..) {
            // A panic in it was noted already.
            drop(thread.join());
        }
    }
}

impl Inner {
    // Threads.

    fn keep_flushing(&self) {
        loop {
            let take = |state: &mut State| std::mem::take(&mut state.flush);
            match self.work.wait(Some(IDLE_AFTER), take) {
                None => return,
                Some(false) => drop(self.mark_if_idle()),
                Some(true) => {}
            }
            while !self.work.is_stopping() && !self.is_failed() {
                let done = self.flush_one();
                self.work.note(&done);
                match done {
                    Ok(true) => self.work.want_compaction(),
                    Ok(false) => break,
                    Err(_) => {
                        if self.work.wait(Some(RETRY_AFTER), |_| false).is_none() {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn keep_compacting(&self) {
        loop {
            if self.work.wait(None, |state| std::mem::take(&mut state.compact)).is_none() {
                return;
            }
            while !self.work.is_stopping() && !self.is_failed() {
                let done = self.compact_one();
                self.work.note(&done);
                match done {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => {
                        if self.work.wait(Some(RETRY_AFTER), |_| false).is_none() {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn is_failed(&self) -> bool {
        self.is_unwell.load(Ordering::Acquire)
            && matches!(&*self.health.lock(), Health::Failed { .. })
    }

    // Jobs.

    /// Does one job that is due. Returns whether there was one.
    pub(crate) fn step(&self) -> Result<bool, Error> {
        self.check_open()?;
        let done =
            self.flush_one().and_then(|done| if done { Ok(true) } else { self.compact_one() });
        self.work.note(&done);
        if done? { Ok(true) } else { self.mark_if_idle() }
    }

    /// Flushes a keyspace that has sealed memtables, or the one that the oldest segment of a log that
    /// has grown too long is kept for.
    fn flush_one(&self) -> Result<bool, Error> {
        for core in self.cores() {
            if core.tree.has_sealed() && !core.is_dropped() {
                return self.flush(&core, false);
            }
        }
        match self.pinning_keyspace() {
            Some(core) => self.flush(&core, true),
            None => Ok(false),
        }
    }

    fn pinning_keyspace(&self) -> Option<Arc<Core>> {
        let cores = self.cores();
        let mut log = self.log.lock();
        if log.len() <= self.log_len_max {
            return None;
        }
        let needs = cores.into_iter().filter(|core| !core.is_dropped()).filter_map(|core| {
            let needed = log.needed_by(core.id, core.tree.flushed())?;
            Some((needed, core))
        });
        let (needed, core) = needs.min_by_key(|(needed, core)| (*needed, core.id))?;
        (log.len_from(needed) > self.log_len_max).then_some(core)
    }

    /// Makes one merge that is due.
    fn compact_one(&self) -> Result<bool, Error> {
        let _turn = self.compacting.lock();
        for core in self.cores() {
            if core.is_dropped() {
                continue;
            }
            if let Some(job) = core.tree.plan() {
                let done = core.tree.run(&job);
                core.note_pressure();
                return match done {
                    // The tree has changed; the next plan knows.
                    Ok(_) | Err(stratal_engine::Error::StaleJob(_)) => Ok(true),
                    Err(error) => Err(self.engine_error(error)),
                };
            }
        }
        Ok(false)
    }

    /// Merges a keyspace into one run.
    pub(crate) fn compact(&self, core: &Core) -> Result<(), Error> {
        self.check_open()?;
        self.flush(core, true)?;
        let _turn = self.compacting.lock();
        if core.is_dropped() {
            return Err(Error::no_keyspace(&core.name));
        }
        let done = core.tree.compact(true);
        core.note_pressure();
        self.work.wake_all();
        done.map(drop).map_err(|error| self.engine_error(error))
    }

    /// Flushes the sealed memtables of a keyspace, after sealing the active one if `seal`. Returns
    /// whether there was anything to flush.
    ///
    /// The log is synced first through everything that is flushed. Nothing is sealed from that moment
    /// on until the flush is done, so that it covers what is flushed and not less.
    pub(crate) fn flush(&self, core: &Core, seal: bool) -> Result<bool, Error> {
        self.check_open()?;
        let _turn = core.flushing.lock();
        if core.is_dropped() {
            return Ok(false);
        }
        let end = {
            let mut log = self.log.lock();
            if seal {
                core.tree.seal();
            }
            if !core.tree.has_sealed() {
                return Ok(false);
            }
            let Some(wal) = log.wal.as_mut() else { return Ok(false) };
            wal.flush().map_err(|error| {
                self.note_log_failure(&error);
                self.wal_error(error)
            })?;
            core.is_flushing.store(true, Ordering::Release);
            wal.end_lsn()
        };
        let synced = self.sync_through(end);
        let flushed = synced
            .and_then(|()| core.tree.flush_sealed().map_err(|error| self.engine_error(error)));
        core.is_flushing.store(false, Ordering::Release);
        core.note_pressure();
        self.work.wake_all();
        flushed?;
        self.retire()?;
        Ok(true)
    }

    /// Removes the segments of the log that nobody needs, once it is durable that nobody does.
    fn retire(&self) -> Result<(), Error> {
        let _turn = self.retiring.lock();
        let cores = self.cores();
        let (floor, synced) = {
            let mut log = self.log.lock();
            let needed: Vec<u64> = cores
                .iter()
                .filter_map(|core| log.needed_by(core.id, core.tree.flushed()))
                .collect();
            let Some(wal) = &log.wal else { return Ok(()) };
            let needed = needed.into_iter().min().unwrap_or_else(|| wal.segment());
            (wal.floor(needed), wal.durable_lsn().0)
        };
        if floor <= self.floor.load(Ordering::Acquire) {
            return Ok(());
        }
        self.store.note_log(floor, synced).map_err(|error| self.engine_error(error))?;
        self.floor.store(floor, Ordering::Release);
        self.remove_segments_below(floor)?;
        self.log.lock().retired(floor);
        Ok(())
    }

    /// Removes segments, oldest first. Those that cannot be removed now go when the database is opened
    /// again.
    fn remove_segments_below(&self, floor: u64) -> Result<(), Error> {
        let entries = self.fs.list(&self.dir);
        let entries = entries.map_err(|error| Error::io("list", &self.dir, error))?;
        for entry in entries.iter().filter(|entry| entry.kind == FileKind::File) {
            if segment_number(&entry.name).is_some_and(|number| number < floor)
                && self.fs.remove_file(&self.dir.join(&entry.name)).is_err()
            {
                break;
            }
        }
        Ok(())
    }

    /// Puts down how far the log is synced, if no record does.
    fn mark_if_idle(&self) -> Result<bool, Error> {
        let mut log = self.log.lock();
        let Some(wal) = log.wal.as_mut() else { return Ok(false) };
        wal.mark().map_err(|error| {
            self.note_log_failure(&error);
            self.wal_error(error)
        })
    }
}
