//! A sync of what a file has so far, on another thread, while more of it is written.
//!
//! # Invariants
//!
//! * **Once**: the sync leaves `Waiting` in one critical section: a thread does it, or it is called off.
//! * **Heard of**: whoever syncs the file itself asks first what came of this one. A failure is told to one
//!   of two that sync at once, and it must not be lost with the other.

use std::{io, sync::Arc};

use stratal_types::sync::{Condvar, Mutex};

use crate::File;

#[derive(Debug)]
pub(crate) struct SyncBehind {
    state: Mutex<State>,
    ends: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Done(Result<(), io::ErrorKind>),
}

/// The thread's side. If it goes without having run, that was it.
struct Turn(Arc<SyncBehind>);

impl SyncBehind {
    /// Has `file` synced by what `spawn` runs.
    pub(crate) fn begin(
        file: &Arc<dyn File>,
        spawn: &dyn Fn(Box<dyn FnOnce() + Send>),
    ) -> Arc<Self> {
        let sync = Arc::new(Self { state: Mutex::new(State::Waiting), ends: Condvar::new() });
        let (turn, file) = (Turn(Arc::clone(&sync)), Arc::clone(file));
        spawn(Box::new(move || turn.run(file.as_ref())));
        sync
    }

    /// What came of it, if it is over.
    pub(crate) fn outcome(&self) -> Option<Result<(), io::ErrorKind>> {
        match *self.state.lock() {
            State::Done(outcome) => Some(outcome),
            State::Waiting | State::Running => None,
        }
    }

    /// Calls it off if nobody has begun it, and waits for it if somebody has.
    pub(crate) fn end(&self) -> Result<(), io::ErrorKind> {
        let mut state = self.state.lock();
        loop {
            match *state {
                State::Waiting => *state = State::Done(Ok(())),
                State::Running => self.ends.wait(&mut state),
                State::Done(outcome) => return outcome,
            }
        }
    }
}

impl Turn {
    fn run(self, file: &dyn File) {
        {
            let mut state = self.0.state.lock();
            if *state != State::Waiting {
                return;
            }
            *state = State::Running;
        }
        let outcome = file.sync_data().map_err(|error| error.kind());
        *self.0.state.lock() = State::Done(outcome);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        match *state {
            State::Waiting => *state = State::Done(Ok(())),
            // It panicked: nobody knows what is durable.
            State::Running => *state = State::Done(Err(io::ErrorKind::Other)),
            State::Done(_) => {}
        }
        drop(state);
        self.0.ends.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, path::Path, thread};

    use super::*;
    use crate::{
        NewFile, SimFs,
        sim_fs::{Fault, FaultKind, OpKind, OsError},
    };

    type Job = Box<dyn FnOnce() + Send>;

    /// A file of two bytes of which the first is synced as `spawn` does it, and what `late` holds is run
    /// behind its end; whether it was finished, and how many syncs that took.
    fn finished(fault: Option<Fault>, spawn: &dyn Fn(Job)) -> (io::Result<()>, usize) {
        let fs = SimFs::new(7);
        let mut file = NewFile::create(&fs, Path::new("/a")).unwrap();
        if let Some(fault) = fault {
            fs.inject(fault);
        }
        let first = fs.op_count();
        let done = file
            .write_all(b"a")
            .and_then(|()| file.flush())
            .and_then(|()| file.sync_behind(spawn))
            .and_then(|()| file.write_all(b"b"))
            .and_then(|()| file.finish().map(drop));
        (done, usize::try_from(fs.op_count() - first).unwrap())
    }

    #[test]
    fn whoever_syncs_behind_and_whether_he_does_the_file_is_finished() {
        let (done, at_once) = finished(None, &|job| job());
        assert!(done.is_ok());
        let (done, never) = finished(None, &drop);
        assert!(done.is_ok());
        let late = Mutex::new(Vec::new());
        let (done, later) = finished(None, &|job| late.lock().push(job));
        assert!(done.is_ok());
        // It was called off.
        late.lock().drain(..).for_each(|job: Job| job());
        assert_eq!((at_once, later), (never + 1, never));
        for _ in 0..100 {
            let (done, ops) = finished(None, &|job| drop(thread::spawn(job)));
            assert!(done.is_ok() && (never..=at_once).contains(&ops));
        }
    }

    #[test]
    fn a_sync_behind_that_failed_abandons_the_file() {
        let failing = || Some(Fault::on(OpKind::SyncData, FaultKind::Error(OsError::Io)));
        let (done, _) = finished(failing(), &|job| job());
        assert!(done.is_err());
        let panics = |job: Job| {
            drop(thread::spawn(move || {
                let _job = job;
                panic!("before it began");
            }));
        };
        assert!(finished(None, &panics).0.is_ok());
    }
}
