//! What of a table stays in the cache for as long as it is open.

use stratal_cache::{Lease, Priority};

use super::Inner;
use crate::{Table, block::CachedBlock, section, section::TableBlock};

/// What of a table is pinned in the cache once it was read: not evicted before the table goes, as far as
/// the cache [has room for that](Lease).
///
/// What is not pinned has high priority all the same, but goes when nobody reads the table for long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PinnedParts {
    /// Nothing.
    #[default]
    None,
    /// Of what every read needs, what there is one of: index, filter, locator, dictionary and range
    /// tombstones; of a table of two levels the upper level, and none of the partitions.
    Top,
    /// Those and the partitions.
    All,
}

/// Keeps what is pinned.
#[derive(Debug)]
pub(super) struct Leases {
    top: Lease,
    partitions: Lease,
}

impl Leases {
    /// Which keep nothing yet.
    pub(super) fn new() -> Self {
        let ended = || {
            let lease = Lease::new();
            lease.end();
            lease
        };
        Self { top: ended(), partitions: ended() }
    }

    /// How a block is kept in the cache.
    pub(super) fn priority(&self, kind: TableBlock) -> Priority<'_> {
        match kind {
            TableBlock::Data => Priority::Normal,
            TableBlock::IndexPartition | TableBlock::FilterPartition => {
                Priority::Pinned(&self.partitions)
            }
            _ => Priority::Pinned(&self.top),
        }
    }
}

impl Table {
    /// Pins these parts from now on, and no others: those that are in the cache at once, the rest when
    /// they are read. For all clones of the table. Reads nothing.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use stratal_sst::{PinnedParts, Table, TableContext, TableOptions, TableWriter};
    /// # use stratal_types::FileUid;
    /// # let ctx = TableContext::default();
    /// # let spec = Arc::new(TableOptions::default().validate()?);
    /// let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec)?;
    /// writer.put(b"AD/Vila", b"1418")?;
    /// let table = Table::open(&ctx, Arc::new(bytes::Bytes::from(writer.finish()?.sink)))?;
    /// table.set_pinned(PinnedParts::Top);
    /// assert!(ctx.cache.stats().pinned > 0);
    /// drop(table);
    /// assert_eq!(ctx.cache.stats().pinned, 0);
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn set_pinned(&self, parts: PinnedParts) {
        let leases = &self.inner.leases;
        if parts == PinnedParts::None {
            leases.top.end();
        } else if leases.top.begin() {
            self.inner.pin_top();
        }
        if parts != PinnedParts::All {
            leases.partitions.end();
        } else if leases.partitions.begin() {
            self.pin_partitions();
        }
    }

    /// Pins the partitions that are in the cache. If the upper level is not, hardly any will be.
    fn pin_partitions(&self) {
        let inner = &*self.inner;
        let key = inner.cache_key(TableBlock::Index, 0);
        if !self.is_divided() {
            return;
        }
        let Some(top) = inner.ctx.cache.get::<CachedBlock>(&key) else { return };
        for fence in (0..top.len()).map_while(|n| top.partition(n)) {
            inner.pin(TableBlock::IndexPartition, fence.handle.offset);
            if let Some(filter) = fence.filter {
                inner.pin(TableBlock::FilterPartition, filter.offset);
            }
        }
    }
}

impl Inner {
    fn pin_top(&self) {
        for kind in [TableBlock::Index, TableBlock::Tombstones, TableBlock::Dictionary] {
            self.pin(kind, 0);
        }
        for (kind, tag) in
            [(TableBlock::Filter, section::FILTER), (TableBlock::Locator, section::LOCATOR)]
        {
            if let Some(entry) = self.toc.find(tag).next() {
                self.pin(kind, entry.offset);
            }
        }
    }

    fn pin(&self, kind: TableBlock, offset: u64) {
        if let Priority::Pinned(lease) = self.leases.priority(kind) {
            self.ctx.cache.pin(&self.cache_key(kind, offset), lease);
        }
    }
}
