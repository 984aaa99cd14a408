//! Flushes, merges, and the retirement of the log: on threads of their own, or by whoever calls.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use stratal_engine::StrategyOptions;
use stratal_fs::{FileKind, lower_priority};
use stratal_types::sync::{
    Arc, Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
    thread,
};
use stratal_wal::segment_number;

use crate::{
    Error, Executor, Health,
    inner::{Core, Inner},
    log::Log,
};

/// After a job failed, the next try comes this much later.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How long the log is idle before it is put down how far it is synced.
const IDLE_AFTER: Duration = Duration::from_millis(200);
/// Where values or tables go for their age, it is looked this often whether any have to.
const AGES_EVERY: Duration = Duration::from_secs(1);

/// What the background threads are told.
#[derive(Debug, Default)]
pub(crate) struct Work {
    state: Mutex<State>,
    changed: Condvar,
    /// The log was written, or it is time to stop: for the two threads that nobody else waits for.
    log_changed: Condvar,
    /// Whether the thread that keeps the log waits without a time to wake up at.
    log_rests: Flag,
    /// Whether that thread was told to sync, and has not begun to.
    log_must_sync: Flag,
}

/// What a background thread is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Writes sealed memtables to tables.
    Flush,
    /// Merges tables.
    Merge,
    /// Syncs the log as it grows, and puts down how far it is synced.
    Log,
    /// Prepares what writes to the log will need.
    Ahead,
}

#[derive(Debug, Default)]
struct State {
    stop: bool,
    flush: Task,
    merge: Task,
    log: Task,
    ahead: Task,
    /// Why the last job failed, until one succeeds.
    failure: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Task {
    /// Whether there may be something to do that the thread does not know of.
    wanted: bool,
    /// Whether the thread is at it.
    runs: bool,
}

/// The background threads of a database.
#[derive(Debug, Default)]
pub(crate) struct Threads(Vec<thread::JoinHandle<()>>);

/// Something that is so or not, for all threads.
#[derive(Debug)]
struct Flag(AtomicBool);

impl Default for Flag {
    fn default() -> Self {
        Self(AtomicBool::new(false))
    }
}

impl State {
    fn task(&mut self, role: Role) -> &mut Task {
        match role {
            Role::Flush => &mut self.flush,
            Role::Merge => &mut self.merge,
            Role::Log => &mut self.log,
            Role::Ahead => &mut self.ahead,
        }
    }

    fn is_busy(&self) -> bool {
        [self.flush, self.merge].iter().any(|task| task.wanted || task.runs)
    }
}

impl Work {
    pub(crate) fn want(&self, role: Role) {
        self.state.lock().task(role).wanted = true;
        self.changed_for(role).notify_all();
    }

    /// What tells a thread of this role that something has changed.
    const fn changed_for(&self, role: Role) -> &Condvar {
        match role {
            Role::Flush | Role::Merge => &self.changed,
            Role::Log | Role::Ahead => &self.log_changed,
        }
    }

    /// Tells the keeper of the log that it was written or synced, and whether too much of it is
    /// unsynced. Costs next to nothing while the keeper knows.
    pub(crate) fn note_log(&self, must_sync: bool) {
        let is_told = !must_sync || self.log_must_sync.0.load(Ordering::Acquire);
        if is_told && !self.log_rests.0.load(Ordering::Acquire) {
            return;
        }
        if must_sync {
            self.log_must_sync.0.store(true, Ordering::Release);
        }
        self.log_rests.0.store(false, Ordering::Release);
        self.want(Role::Log);
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
        self.log_changed.notify_all();
    }

    /// Why the last job failed, if no other has succeeded since.
    pub(crate) fn failure(&self) -> Option<String> {
        self.state.lock().failure.clone()
    }

    /// Notes what became of a job that nobody waits for: `true` if it did something.
    pub(crate) fn note(&self, result: &Result<bool, Error>) {
        let mut state = self.state.lock();
        match result {
            Ok(true) => state.failure = None,
            Ok(false) => {}
            Err(error) => state.failure = Some(error.to_string()),
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits as long as a writer has to, of which `must_wait` knows.
    pub(crate) fn wait_for_relief(&self, must_wait: impl Fn() -> bool) -> Result<(), Error> {
        if !must_wait() {
            return Ok(());
        }
        let mut state = self.state.lock();
        (state.flush.wanted, state.merge.wanted) = (true, true);
        self.changed.notify_all();
        while must_wait() && !state.stop {
            if let Some(why) = &state.failure {
                return Err(failed(why));
            }
            self.changed.wait_for(&mut state, RETRY_AFTER);
        }
        Ok(())
    }

    /// Waits for `timeout`, or until `must_wait` is over, of which it is asked whenever a job is done.
    pub(crate) fn wait_while(&self, timeout: Duration, must_wait: impl Fn() -> bool) {
        let mut state = self.state.lock();
        // Stopping and being through are the same to whoever is slowed.
        let _ = wait_until(&self.changed, &mut state, Some(timeout), |_| !must_wait());
    }

    /// Waits until flushes and merges have nothing left to do, or will do nothing any more.
    fn wait_idle(&self, is_failed: impl Fn() -> bool) -> Result<(), Error> {
        let mut state = self.state.lock();
        while state.is_busy() && !state.stop && !is_failed() {
            if let Some(why) = &state.failure {
                return Err(failed(why));
            }
            self.changed.wait(&mut state);
        }
        Ok(())
    }

    /// Waits until there is something to do for `role` or `timeout` is over; `None` when it is time to
    /// stop.
    fn wait(&self, role: Role, timeout: Option<Duration>) -> Option<bool> {
        let mut state = self.state.lock();
        state.task(role).runs = false;
        if matches!(role, Role::Flush | Role::Merge) && !state.is_busy() {
            self.changed.notify_all();
        }
        let is_wanted = |state: &mut State| std::mem::take(&mut state.task(role).wanted);
        let wanted = wait_until(self.changed_for(role), &mut state, timeout, is_wanted);
        state.task(role).runs = wanted.is_some();
        wanted
    }

    /// Waits a while; `None` when it is time to stop.
    fn pause(&self, timeout: Duration) -> Option<bool> {
        wait_until(&self.changed, &mut self.state.lock(), Some(timeout), |_| false)
    }

    fn is_stopping(&self) -> bool {
        self.state.lock().stop
    }
}

/// Waits until something is reached, of which `changed` tells; `None` when it is time to stop.
fn wait_until(
    changed: &Condvar,
    state: &mut MutexGuard<'_, State>,
    timeout: Option<Duration>,
    is_reached: impl Fn(&mut State) -> bool,
) -> Option<bool> {
    // A moment, not a length: others are told things meanwhile, which ends this wait too.
    let end = timeout.map(|timeout| Instant::now() + timeout);
    let mut is_over = false;
    loop {
        if state.stop {
            return None;
        }
        if is_reached(state) {
            return Some(true);
        }
        match end {
            _ if is_over => return Some(false),
            Some(end) => is_over = changed.wait_until(state, end).timed_out(),
            None => changed.wait(state),
        }
    }
}

fn failed(why: &str) -> Error {
    Error::ReadOnly { why: format!("a flush or merge failed: {why}") }
}

impl Threads {
    /// One thread for each role.
    pub(crate) fn start(inner: &Arc<Inner>) -> Self {
        let run = |job: fn(&Inner)| {
            let inner = Arc::clone(inner);
            thread::spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| job(&inner))).is_err() {
                    inner.fail("a background thread panicked");
                }
            })
        };
        inner.work.want(Role::Flush);
        inner.work.want(Role::Merge);
        Self(vec![
            run(|inner| {
                lower_priority(inner.background_nice);
                inner.keep_at(Role::Flush, Inner::flush_one);
            }),
            run(|inner| {
                lower_priority(inner.background_nice);
                inner.keep_at(Role::Merge, Inner::compact_one);
            }),
            run(Inner::keep_log),
            run(Inner::keep_ahead),
        ])
    }

    /// Ends the flushes and merges that are under way, whoever does them, and waits for the threads.
    pub(crate) fn stop(&mut self, inner: &Inner) {
        inner.work.stop();
        inner.store.stop_jobs();
        for thread in self.0.drain(..) {
            // A panic in it was noted already.
            drop(thread.join());
        }
    }
}

impl Inner {
    // Threads.

    /// When there may be something to do for `role` although nothing has happened.
    fn looks_after(&self, role: Role) -> Option<Duration> {
        let forgets = |core: &Arc<Core>| {
            let spec = core.tree.spec();
            let by_table = match spec.policy().options() {
                StrategyOptions::Fifo(fifo) => fifo.ttl_ms > 0,
                _ => false,
            };
            by_table || core.tree.ttl().is_some()
        };
        (role == Role::Merge && self.cores().iter().any(forgets)).then_some(AGES_EVERY)
    }

    /// Does one job of `role` after the other, whenever there is one.
    fn keep_at(&self, role: Role, do_one: fn(&Self) -> Result<bool, Error>) {
        while self.work.wait(role, self.looks_after(role)).is_some() {
            while !self.work.is_stopping() && !self.is_failed() {
                let done = do_one(self);
                self.work.note(&done);
                match done {
                    // What was flushed may be due to be merged.
                    Ok(true) if role == Role::Flush => self.work.want(Role::Merge),
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => {
                        if self.work.pause(RETRY_AFTER).is_none() {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Syncs the log as it grows, and marks it when it rests.
    fn keep_log(&self) {
        loop {
            let rests = self.work.log_rests.0.load(Ordering::Acquire);
            match self.work.wait(Role::Log, (!rests).then_some(IDLE_AFTER)) {
                None => return,
                Some(true) => {
                    self.work.log_must_sync.0.store(false, Ordering::Release);
                    // What fails is in the health, and stops writers.
                    drop(self.sync_if_long());
                }
                Some(false) => {
                    // First: whoever writes from here on wakes this thread.
                    self.work.log_rests.0.store(true, Ordering::Release);
                    drop(self.mark_if_idle());
                }
            }
        }
    }

    /// Prepares what writes to the log will need, ahead of them.
    fn keep_ahead(&self) {
        while self.work.wait(Role::Ahead, None).is_some() {
            if let Some(syncer) = &self.syncer {
                syncer.run_ahead();
            }
        }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.is_unwell.load(Ordering::Acquire)
            && matches!(&*self.health.lock(), Health::Failed { .. })
    }

    /// Waits until nothing is left to do in the background; without threads, does it.
    pub(crate) fn wait_idle(&self) -> Result<(), Error> {
        match self.executor {
            Executor::Threads => {
                self.work.wait_idle(|| self.is_failed())?;
                self.check_open()
            }
            Executor::Inline => {
                while self.step()? {}
                Ok(())
            }
        }
    }

    // Jobs.

    /// Does one job that is due. Returns whether there was one.
    pub(crate) fn step(&self) -> Result<bool, Error> {
        self.check_open()?;
        let done =
            self.flush_one().and_then(|done| if done { Ok(true) } else { self.compact_one() });
        self.work.note(&done);
        Ok(done? || self.sync_if_long()? || self.mark_if_idle()?)
    }

    /// Flushes a keyspace that has sealed memtables, or the one that the oldest segment of a log that
    /// has grown too long is kept for.
    fn flush_one(&self) -> Result<bool, Error> {
        for core in self.cores() {
            // Somebody else may have flushed it meanwhile. That says nothing of the others.
            if core.tree.has_sealed() && !core.is_dropped() && self.flush(&core, false)? {
                return Ok(true);
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
                let runs = core.level0_runs();
                self.pacing.merges.begin(0);
                let done = core.tree.run(&job);
                core.note_pressure();
                let gone = runs.saturating_sub(core.level0_runs());
                // Each run was a memtable once.
                let len = core.tree.spec().options().write_buffer_len as u64;
                self.pacing.merges.end(gone.saturating_mul(len));
                return match done {
                    // The tree has changed, which the next plan knows, or is dropped or closed.
                    Ok(_)
                    | Err(stratal_engine::Error::StaleJob(_) | stratal_engine::Error::Stopped) => {
                        Ok(true)
                    }
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
        let done = core.tree.compact_with(true, self.helpers.as_ref());
        core.note_pressure();
        self.work.wake_all();
        done.map(drop).map_err(|error| self.engine_error(error))
    }

    /// Removes the tables of a keyspace of which range deletes hide everything.
    pub(crate) fn remove_hidden(&self, core: &Core) -> Result<(), Error> {
        self.check_open()?;
        let _turn = self.compacting.lock();
        if core.is_dropped() {
            return Err(Error::no_keyspace(&core.name));
        }
        let done = core.tree.remove_hidden();
        core.note_pressure();
        self.work.wake_all();
        done.map(drop).map_err(|error| self.engine_error(error))
    }

    /// Flushes the sealed memtables of a keyspace, after sealing the active one if `seal`. Returns
    /// whether there was anything to flush.
    ///
    /// The log is synced first through everything that is flushed. What is sealed meanwhile waits for
    /// the next flush.
    pub(crate) fn flush(&self, core: &Core, seal: bool) -> Result<bool, Error> {
        self.check_open()?;
        let _turn = core.flushing.lock();
        if core.is_dropped() {
            return Ok(false);
        }
        let (bound, end) = {
            let mut log = self.log.lock();
            if seal {
                core.tree.seal();
            }
            let Some(bound) = core.tree.sealed_to() else { return Ok(false) };
            let Some(wal) = log.wal.as_mut() else { return Ok(false) };
            wal.flush().map_err(|error| {
                self.note_log_failure(&error);
                self.wal_error(error)
            })?;
            (bound, wal.end_lsn())
        };
        let held = core.tree.sealed_len();
        self.pacing.flushes.begin(held);
        let flushed = self.sync_through(end).and_then(|()| {
            core.tree.flush_sealed_to(bound).map_err(|error| self.engine_error(error))
        });
        self.pacing.flushes.end(if flushed.is_ok() { held } else { 0 });
        self.memory.note(core);
        core.note_pressure();
        self.work.wake_all();
        if core.is_dropped() {
            // Whatever became of it.
            return Ok(false);
        }
        if let Err(Error::MemoryDamage { what }) = &flushed {
            // What is in memory cannot be stored, but the log has it as it was written.
            self.fail(&format!("{what}; open the database again"));
        }
        flushed?;
        self.retire()?;
        Ok(true)
    }

    /// Flushes everything in the memtables of a keyspace because somebody asks for it, after which
    /// merges may be due as after any other flush.
    pub(crate) fn flush_whole(&self, core: &Core) -> Result<(), Error> {
        if self.flush(core, true)? {
            self.work.want(Role::Merge);
        }
        Ok(())
    }

    /// Removes the segments of the log that nobody needs, once it is durable that nobody does.
    pub(crate) fn retire(&self) -> Result<(), Error> {
        let _turn = self.retiring.lock();
        self.leave_unneeded()?;
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

    /// Goes on in a new segment of the log if nothing in the active one is needed, which takes more space
    /// than a new one.
    fn leave_unneeded(&self) -> Result<(), Error> {
        let end = {
            let mut log = self.log.lock();
            if !self.is_log_unneeded(&mut log) {
                return Ok(());
            }
            let Some(wal) = log.wal.as_mut() else { return Ok(()) };
            let moved = wal.move_on().map_err(|error| {
                self.note_log_failure(&error);
                self.wal_error(error)
            })?;
            if !moved {
                return Ok(());
            }
            wal.end_lsn()
        };
        self.sync_through(end)
    }

    /// Whether there is something in the log, and all of it is in tables too.
    pub(crate) fn is_log_unneeded(&self, log: &mut Log) -> bool {
        let is_used = log.groups > 0 || self.report.groups > 0;
        let mut is_needed =
            |core: &Arc<Core>| log.needed_by(core.id, core.tree.flushed()).is_some();
        is_used && !self.cores().iter().any(&mut is_needed)
    }

    /// Removes segments, oldest first. Those that cannot be removed now go when the database is opened
    /// again.
    pub(crate) fn remove_segments_below(&self, floor: u64) -> Result<(), Error> {
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

    /// Syncs the log if much of it is not: what is not synced is kept in memory, and lost in a power
    /// failure.
    fn sync_if_long(&self) -> Result<bool, Error> {
        let end = {
            let mut log = self.log.lock();
            let Some(wal) = log.wal.as_mut() else { return Ok(false) };
            if wal.unsynced_len() <= self.unsynced_len_max {
                return Ok(false);
            }
            wal.flush().map_err(|error| {
                self.note_log_failure(&error);
                self.wal_error(error)
            })?;
            wal.end_lsn()
        };
        self.sync_through(end).map(|()| true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_threads_that_do_nothing_any_more() {
        let work = Work::default();
        work.want(Role::Flush);
        assert!(work.wait_idle(|| true).is_ok());
        work.note(&Err(Error::ReadOnly { why: "the disk is gone".into() }));
        assert!(
            matches!(work.wait_idle(|| false), Err(Error::ReadOnly { why }) if why.contains("gone"))
        );
        assert!(matches!(work.wait_for_relief(|| true), Err(Error::ReadOnly { .. })));
        assert!(work.wait_for_relief(|| false).is_ok());
    }
}
