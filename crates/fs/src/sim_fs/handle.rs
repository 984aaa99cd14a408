use std::{io, path::Path, sync::Arc};

use rustix::io::Errno;

use super::{
    OpKind, Shared,
    model::{Change, NodeId},
    run::{Step, Target},
};
use crate::{Access, File, Hint, Lock, LockMode};

/// An open file of a [`SimFs`](super::SimFs).
#[derive(Debug)]
pub(super) struct SimFile {
    shared: Shared,
    node: NodeId,
    path: Arc<Path>,
    access: Access,
}

impl SimFile {
    /// For a node that counts as opened.
    pub(super) fn new(shared: Shared, node: NodeId, path: &Path, access: Access) -> Self {
        Self { shared, node, path: path.into(), access }
    }

    fn run<T>(
        &self,
        kind: OpKind,
        (offset, len): (u64, u64),
        act: impl FnOnce(Step<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let target = Target { node: Some(self.node), offset, len, ..Target::of(&self.path) };
        self.shared.run(kind, &target, act)
    }

    fn change(&self, kind: OpKind, at: (u64, u64), change: Change) -> io::Result<()> {
        self.run(kind, at, |step| {
            self.require_write()?;
            let Step { state, op, .. } = step;
            let growth = change.growth(state.model.content(self.node)?.len())?;
            if growth > state.free_space() {
                return Err(Errno::NOSPC.into());
            }
            state.model.change(op, self.node, change)
        })
    }

    fn sync(&self, kind: OpKind) -> io::Result<()> {
        self.run(kind, (0, 0), |step| step.state.model.sync(self.node))
    }

    fn require_write(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => Err(Errno::BADF.into()),
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.shared.0.lock().model.close(self.node);
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.run(OpKind::Read, (offset, buf.len() as u64), |step| {
            let len = if step.is_short { buf.len().div_ceil(2) } else { buf.len() };
            Ok(step.state.model.content(self.node)?.read(&mut buf[..len], offset))
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.run(OpKind::Write, (offset, buf.len() as u64), |step| {
            self.require_write()?;
            let Step { state, op, is_short } = step;
            let buf = if is_short { &buf[..buf.len().div_ceil(2)] } else { buf };
            if buf.is_empty() {
                return Ok(0);
            }
            let mut change = Change::Write { offset, bytes: buf.into() };
            let growth = change.growth(state.model.content(self.node)?.len())?;
            let missing = growth.saturating_sub(state.free_space());
            let fits = buf.len().saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
            if fits == 0 {
                return Err(Errno::NOSPC.into());
            }
            if fits < buf.len() {
                change = Change::Write { offset, bytes: buf[..fits].into() };
            }
            state.model.change(op, self.node, change)?;
            Ok(fits)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.run(OpKind::Len, (0, 0), |step| Ok(step.state.model.content(self.node)?.len()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(OpKind::SetLen, (0, len), Change::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(OpKind::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(OpKind::SyncAll)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = if len == 0 { 0 } else { offset.checked_add(len).ok_or(Errno::FBIG)? };
        self.change(OpKind::Allocate, (offset, len), Change::Grow(end))
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.change(OpKind::PunchHole, (offset, len), Change::Zero { offset, len })
    }

    fn hint(&self, _: Hint) {}
}

/// A held lock of a [`SimFs`](super::SimFs).
#[derive(Debug)]
pub(super) struct SimLock {
    shared: Shared,
    node: NodeId,
    mode: LockMode,
}

impl SimLock {
    /// For a lock that was taken, on a node that counts as opened.
    pub(super) fn new(shared: Shared, node: NodeId, mode: LockMode) -> Self {
        Self { shared, node, mode }
    }
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.0.lock();
        if let Some(holders) = state.locks.get_mut(&self.node) {
            holders.release(self.mode);
        }
        state.model.close(self.node);
    }
}
