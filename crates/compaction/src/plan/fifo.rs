use stratal_types::Comparator;

use super::{
    Forget, Job, OptionsError, Place, Pressure, Reason, Shape, Strategy, Table,
    options_error::within,
};

/// When a tree forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FifoOptions {
    /// Bytes that the tree may hold, at least 1; over that the oldest tables go. Default
    /// [`LEN_MAX`](Self::LEN_MAX).
    pub len_max: u64,
    /// Milliseconds after which a table goes that was written before them; 0 for never. Default 0.
    pub ttl_ms: u64,
    /// Bytes of tables that have expired and are still there for readers of snapshots; over that the
    /// oldest of these readers are refused from then on. Default [`u64::MAX`]: never.
    pub held_len_max: u64,
}

impl FifoOptions {
    /// Default of [`len_max`](Self::len_max): 1 GiB.
    pub const LEN_MAX: u64 = 1 << 30;
    /// The level into which a wish for a single run is fulfilled.
    pub const LAST_LEVEL: usize = 6;

    /// Checks the options, once.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] names the option and its range.
    pub fn validate(self) -> Result<Fifo, OptionsError> {
        within("len_max", self.len_max, 1, u64::MAX)?;
        Ok(Fifo { options: self })
    }
}

impl Default for FifoOptions {
    fn default() -> Self {
        Self { len_max: Self::LEN_MAX, ttl_ms: 0, held_len_max: u64::MAX }
    }
}

/// Nothing is merged, and the oldest tables expire: for what is worth keeping only for a while or up
/// to a size, such as a cache or a log.
///
/// A table expires only together with, or after, every older one that overlaps it. So a key that was
/// overwritten or deleted never comes back. Reads of snapshots that were taken before find it as long as
/// there are any, and it [goes](super::Forget) when there are none. Reads ask every run that has the key
/// in its span: with keys that ascend with time that is one.
///
/// It takes trees of any shape, such as one that was leveled before: what stands last in search order
/// goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fifo {
    options: FifoOptions,
}

impl Fifo {
    /// The options this was made from.
    pub fn options(&self) -> &FifoOptions {
        &self.options
    }

    /// How far the tree is behind. Runs of level 0 are where they belong here, and do not count.
    pub fn pressure(&self, shape: &Shape) -> Pressure {
        let live = shape.tables().filter(|(_, table)| table.expired_at.is_none());
        let len = live.map(|(_, table)| table.len).fold(0, u64::saturating_add);
        Pressure { level0_runs: 0, debt: len.saturating_sub(self.options.len_max) }
    }

    fn is_too_old(&self, shape: &Shape, table: &Table) -> bool {
        let dies_at = table.created_at_ms.saturating_add(self.options.ttl_ms);
        self.options.ttl_ms > 0 && table.created_at_ms > 0 && dies_at <= shape.now_ms
    }

    /// The tables that have to go to bring the tree to its length, oldest first.
    fn excess(&self, shape: &Shape) -> Vec<u64> {
        let mut oldest_first: Vec<(Place, &Table)> = shape.tables().collect();
        // Tables of a run have no key in common, so any of them may be the first.
        oldest_first.sort_by_key(|(place, table)| (std::cmp::Reverse(*place), table.seqnos.1));
        let idle = oldest_first.iter().filter(|(_, table)| !table.busy);
        let len = idle.clone().map(|(_, table)| table.len).fold(0, u64::saturating_add);
        let mut excess = len.saturating_sub(self.options.len_max);
        let going = idle.map_while(|(_, table)| {
            let goes = excess > 0;
            excess = excess.saturating_sub(table.len);
            goes.then_some(table.number)
        });
        going.collect()
    }
}

impl Strategy for Fifo {
    fn plan(&self, shape: &Shape, comparator: &dyn Comparator) -> Option<Job> {
        let expire = |tables: &[u64], reason| Job::expire(shape, tables, reason, comparator).ok();
        let old = shape.tables().filter(|(_, table)| !table.busy && self.is_too_old(shape, table));
        let old: Vec<u64> = old.map(|(_, table)| table.number).collect();
        expire(&old, Reason::Age)
            .or_else(|| expire(&self.excess(shape), Reason::Space))
            .or_else(|| Forget { held_len_max: self.options.held_len_max }.plan(shape, comparator))
    }
}
