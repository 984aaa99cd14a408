//! What writes hold in memory until it is in tables.

use stratal_types::sync::atomic::{AtomicU64, Ordering};

use crate::{inner::Core, pacing::fill};

/// Bytes in the memtables of all keyspaces, and what they may hold.
#[derive(Debug)]
pub(crate) struct WriteMemory {
    len: AtomicU64,
    /// Above this, counting what takes writes, the largest memtable is sealed.
    seal_above: u64,
    /// Above this, counting everything, writers wait.
    stall_above: u64,
}

impl WriteMemory {
    /// Shares of a database's memory budget. A write buffer that the budget does not provide for is
    /// the caller's wish: one that fills beside one that is flushed still have room.
    pub(crate) fn new(budget: u64, write_buffer_len: usize) -> Self {
        let stall_above = (budget / 2).max(2 * write_buffer_len as u64);
        let seal_above = (stall_above / 2).min(budget / 2);
        Self { len: AtomicU64::new(0), seal_above, stall_above }
    }

    /// Takes note of what the memtables of a keyspace hold now, and tells whether that is news.
    pub(crate) fn note(&self, core: &Core) -> bool {
        // Whoever changes it takes note of it afterwards.
        if core.tree.memtable_len() == core.memory.load(Ordering::Acquire) {
            return false;
        }
        let _turn = core.noting.lock();
        let after = core.tree.memtable_len();
        let before = core.memory.swap(after, Ordering::AcqRel);
        self.len.fetch_add(after.wrapping_sub(before), Ordering::AcqRel);
        true
    }

    /// Takes note that a keyspace is gone.
    pub(crate) fn forget(&self, core: &Core) {
        self.len.fetch_sub(core.memory.swap(0, Ordering::AcqRel), Ordering::AcqRel);
    }

    /// Whether the memtables that take writes, holding `active` bytes, are too large together.
    pub(crate) fn is_crowded(&self, active: u64) -> bool {
        active > self.seal_above
    }

    /// Whether it may be that the memtables that take writes are too large together.
    pub(crate) fn may_be_crowded(&self) -> bool {
        self.is_crowded(self.len.load(Ordering::Acquire))
    }

    /// How far it is from where writers are slowed to where they wait.
    pub(crate) fn fill(&self) -> f64 {
        let slow_above = self.seal_above.midpoint(self.stall_above);
        fill(self.len.load(Ordering::Acquire), slow_above, self.stall_above)
    }

    /// Whether writers must wait for a flush.
    pub(crate) fn is_full(&self) -> bool {
        self.len.load(Ordering::Acquire) > self.stall_above
    }
}
