use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::Path,
    sync::Arc,
};

use stratal_types::sync::Mutex;

use super::{
    Crashed, Moment, OpKind, OpRecord, Outcome, SimFs, Violations,
    fault::{Fault, FaultKind},
    model::{Model, NodeId},
};
use crate::lock::Holders;

/// Operations remembered for [`SimFs::trace`].
const TRACE_LEN: usize = 1 << 16;

/// The state that a file system and its handles share.
#[derive(Clone, Debug)]
pub(super) struct Shared(pub(super) Arc<Mutex<State>>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) model: Model,
    pub(super) seed: u64,
    pub(super) next_op: u64,
    pub(super) counts: [u64; OpKind::ALL.len()],
    pub(super) trace: VecDeque<OpRecord>,
    pub(super) crash_at: Option<u64>,
    pub(super) crashed: bool,
    pub(super) faults: Vec<Fault>,
    pub(super) capacity: u64,
    pub(super) locks: BTreeMap<NodeId, Holders>,
    pub(super) violations: Violations,
    pub(super) moments: Option<Vec<Moment>>,
}

/// What an operation is about.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) path: &'a Path,
    pub(super) to: Option<&'a Path>,
    pub(super) node: Option<NodeId>,
    pub(super) offset: u64,
    pub(super) len: u64,
}

impl<'a> Target<'a> {
    pub(super) fn of(path: &'a Path) -> Self {
        Self { path, to: None, node: None, offset: 0, len: 0 }
    }
}

/// An operation that is being done.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) state: &'a mut State,
    pub(super) op: u64,
    /// Whether only half of the bytes are to be moved.
    pub(super) is_short: bool,
}

impl Shared {
    pub(super) fn new(model: Model, seed: u64, capacity: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            model,
            seed,
            next_op: 0,
            counts: [0; OpKind::ALL.len()],
            trace: VecDeque::new(),
            crash_at: None,
            crashed: false,
            faults: Vec::new(),
            capacity,
            locks: BTreeMap::new(),
            violations: Violations::default(),
            moments: None,
        })))
    }

    /// Does one operation: counts it, lets it crash or fail if that is its fate, and notes how it
    /// went.
    pub(super) fn run<T>(
        &self,
        kind: OpKind,
        target: &Target<'_>,
        act: impl FnOnce(Step<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if state.crashed {
            return Err(Crashed.into());
        }
        let op = state.next_op;
        state.next_op += 1;
        state.counts[kind as usize] += 1;

        let result = if state.crash_at == Some(op) {
            // Done and not synced: whether it reaches the disk is up to the policy. A sync is under
            // way, and has made nothing durable that could be relied on.
            if !kind.is_sync() {
                drop(act(Step { state, op, is_short: false }));
            }
            state.crashed = true;
            Err(Crashed.into())
        } else {
            state.note_violations(kind, target);
            let fault = state.fault(op, kind, target);
            let result = match fault {
                None | Some(FaultKind::Short) => {
                    let is_short = fault.is_some();
                    act(Step { state, op, is_short })
                }
                Some(FaultKind::ErrorWhenDone(error)) if kind.changes_disk_only() => {
                    let done = act(Step { state, op, is_short: false });
                    if done.is_ok() && kind == OpKind::Create {
                        state.model.close_path(target.path);
                    }
                    done.and_then(|_| Err(error.to_io()))
                }
                Some(
                    FaultKind::Error(error)
                    | FaultKind::ErrorDroppingPages(error)
                    | FaultKind::ErrorWhenDone(error),
                ) => Err(error.to_io()),
            };
            if let Err(err) = &result {
                state.note_failure(kind, target, err, fault);
            }
            result
        };
        state.record(op, kind, target, &result);
        result
    }
}

impl State {
    /// Bytes that may still be written.
    pub(super) fn free_space(&self) -> u64 {
        if self.capacity == u64::MAX {
            return u64::MAX;
        }
        self.capacity.saturating_sub(self.model.used())
    }

    fn fault(&mut self, op: u64, kind: OpKind, target: &Target<'_>) -> Option<FaultKind> {
        let paths = [target.path, target.to.unwrap_or(target.path)];
        let struck = self.faults.iter_mut().find_map(|fault| fault.strike(op, kind, paths));
        if struck.is_some() {
            self.faults.retain(Fault::is_live);
        }
        struck
    }

    fn note_violations(&mut self, kind: OpKind, target: &Target<'_>) {
        if let Some(node) = target.node {
            let (failed_write, failed_sync) = self.model.failures(node);
            if kind.is_sync() && failed_sync {
                self.violations.retried_syncs += 1;
            }
            if kind.changes_file() && (failed_write || failed_sync) {
                self.violations.writes_after_failure += 1;
            }
        } else if kind == OpKind::SyncDir && self.model.dir_sync_failed(target.path) {
            self.violations.dir_syncs_after_failure += 1;
        }
    }

    fn note_failure(
        &mut self,
        kind: OpKind,
        target: &Target<'_>,
        err: &io::Error,
        fault: Option<FaultKind>,
    ) {
        match target.node {
            Some(node) if kind.is_sync() => {
                let drops_pages = matches!(fault, Some(FaultKind::ErrorDroppingPages(_)));
                self.model.fail_sync(node, drops_pages);
            }
            // What was to be reserved, and for which there is no space.
            Some(_) if kind == OpKind::Allocate && err.kind() == io::ErrorKind::StorageFull => {}
            Some(node) if kind.changes_file() && err.kind() != io::ErrorKind::Interrupted => {
                self.model.fail_write(node);
            }
            None if kind == OpKind::SyncDir => self.model.fail_dir_sync(target.path),
            _ => {}
        }
    }

    fn record<T>(&mut self, op: u64, kind: OpKind, target: &Target<'_>, result: &io::Result<T>) {
        let outcome = match result {
            Ok(_) => Outcome::Done,
            Err(_) if self.crashed => Outcome::Crashed,
            Err(err) => Outcome::Failed(err.to_string()),
        };
        if self.trace.len() == TRACE_LEN {
            self.trace.pop_front();
        }
        self.trace.push_back(OpRecord {
            index: op,
            kind,
            path: target.path.into(),
            to: target.to.map(Into::into),
            offset: target.offset,
            len: target.len,
            outcome,
        });
        if kind.changes_disk()
            && let Some(moments) = &mut self.moments
        {
            let shared = Shared::new(self.model.fork(), self.seed ^ op, self.capacity);
            moments.push(Moment { op, fs: SimFs { shared } });
        }
    }
}
