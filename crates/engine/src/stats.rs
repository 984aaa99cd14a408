use std::sync::Arc;

use stratal_compaction::plan::Debt;
use stratal_sst::Properties;
use stratal_types::{
    FileUid, KeyRange, SeqNo,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    Error, Tree,
    files::TableHandle,
    job::JobBoard,
    view::{RunView, View},
};

/// What a tree holds, by level and in memory, and what was written for it.
///
/// All of it is known without reading a file. Figures are of one moment, but for those that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeStats {
    /// The levels, 0 first.
    pub levels: Vec<LevelStats>,
    /// Bytes in memtables.
    pub memtable_len: u64,
    /// Versions in memtables, without range tombstones.
    pub memtable_entries: u64,
    /// Memtables that wait to be flushed.
    pub sealed: usize,
    /// Everything below this bound is in tables.
    pub flushed: SeqNo,
    /// What became of merge operands.
    pub operands: OperandStats,
    /// What was written to tables.
    pub traffic: TrafficStats,
    /// Bytes of the tables of the run that holds the oldest data; 0 without tables.
    pub oldest_run_len: u64,
}

/// What flushes and merges of tables made of operands since the tree was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperandStats {
    /// Chains of operands that became a value.
    pub folds: u64,
    /// Chains that became one operand.
    pub compositions: u64,
    /// Chains that stayed, because the operator failed or they are too long.
    pub failures: u64,
}

/// What was written to tables since the tree was opened, and why. What failed does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficStats {
    /// Flushes that wrote.
    pub flushes: u64,
    /// Bytes that they wrote.
    pub flushed_len: u64,
    /// Merges, without moves and removals, which write no table.
    pub merges: u64,
    /// Bytes of the tables that they read.
    pub merge_read_len: u64,
    /// Bytes that they wrote.
    pub merged_len: u64,
    /// Ingestions that brought tables.
    pub ingestions: u64,
    /// Bytes of the tables that they brought.
    pub ingested_len: u64,
}

/// What a level holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// Runs.
    pub runs: usize,
    /// Tables.
    pub tables: usize,
    /// Bytes of the tables' files.
    pub len: u64,
    /// Stored versions.
    pub entries: u64,
    /// Deletes among them.
    pub deletes: u64,
    /// Range tombstones, in fragments.
    pub range_tombstones: u64,
    /// Bytes of all user keys, versions counted apart.
    pub key_bytes: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
}

/// A table of a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct TableStats {
    /// Its level.
    pub level: usize,
    /// The age of its run; among the runs of a level greater is newer.
    pub run_age: u64,
    /// The number in its file's name.
    pub number: u64,
    /// Who the file is.
    pub uid: FileUid,
    /// Length of the file, in bytes.
    pub file_len: u64,
    /// The hull of its keys and range tombstones.
    pub span: KeyRange,
    /// Lowest and highest sequence number in it, range tombstones included, as stored.
    pub seqnos: (SeqNo, SeqNo),
    /// Stored versions.
    pub entries: u64,
    /// Those of them that are deletes of one key.
    pub deletes: u64,
    /// Range tombstones, in fragments.
    pub range_tombstones: u64,
    /// Bytes of all user keys, versions counted apart.
    pub key_bytes: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
    /// The level that it was written for.
    pub birth_level: u32,
    /// When the newest of its data was flushed, in milliseconds since 1970; 0 if that is not known.
    pub created_at_ms: u64,
    /// How many tables it replaced when it was written.
    pub lineage: usize,
    /// What only the file says; `None` if it is not open.
    pub details: Option<TableDetails>,
}

/// What a table's file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDetails {
    /// Distinct user keys.
    pub keys: u64,
    /// Data blocks.
    pub data_blocks: u64,
    /// Bytes of data blocks as stored.
    pub data_len: u64,
    /// How data blocks were compressed.
    pub compression: String,
    /// Bytes of the index as stored.
    pub index_len: u64,
    /// What sort of filter it has; empty if it has none.
    pub filter: String,
    /// Bytes of the filter as stored.
    pub filter_len: u64,
    /// Name of the extractor whose prefixes the filter is over; empty if it is over none.
    pub prefix_extractor: String,
}

impl TreeStats {
    /// Bytes of all tables.
    pub fn len(&self) -> u64 {
        self.levels.iter().map(|level| level.len).fold(0, u64::saturating_add)
    }

    /// Whether it has no tables.
    pub fn is_empty(&self) -> bool {
        self.levels.iter().all(|level| level.tables == 0)
    }

    /// About how many keys have a value: versions, less two for each delete, which hides one and is one
    /// itself. Too high where keys were overwritten, or deleted by ranges, and that is not merged away
    /// yet; too low where what was deleted was not there. Exact in a tree of one run that was made
    /// while nobody read.
    pub fn live_keys_estimate(&self) -> u64 {
        let sum =
            |of: fn(&LevelStats) -> u64| self.levels.iter().map(of).fold(0, u64::saturating_add);
        let entries = sum(|level| level.entries).saturating_add(self.memtable_entries);
        entries.saturating_sub(sum(|level| level.deletes).saturating_mul(2))
    }

    /// How many sources a get asks at most: memtables, and the runs, each of which has one table for a
    /// key. A filter answers for most of them.
    pub fn read_amplification(&self) -> usize {
        let runs: usize = self.levels.iter().map(|level| level.runs).sum();
        let active = 1;
        runs.saturating_add(self.sealed).saturating_add(active)
    }

    /// How many times the bytes of its oldest run the tree takes: an estimate of what replaced and
    /// deleted rows cost, since nothing is replaced within a run. Where runs do not overlap, as under
    /// FIFO, it says nothing. `None` without tables.
    #[allow(clippy::cast_precision_loss, reason = "a ratio to look at")]
    pub fn space_amplification(&self) -> Option<f64> {
        let oldest = self.oldest_run_len;
        (oldest > 0).then(|| self.len() as f64 / oldest as f64)
    }
}

impl TrafficStats {
    /// Bytes written to tables.
    pub fn written_len(&self) -> u64 {
        self.came_in().saturating_add(self.merged_len)
    }

    /// Bytes written to tables for each byte that came in by a flush or an ingestion. `None` before the
    /// first.
    #[allow(clippy::cast_precision_loss, reason = "a ratio to look at")]
    pub fn write_amplification(&self) -> Option<f64> {
        let came_in = self.came_in();
        (came_in > 0).then(|| self.written_len() as f64 / came_in as f64)
    }

    fn came_in(&self) -> u64 {
        self.flushed_len.saturating_add(self.ingested_len)
    }
}

impl TableStats {
    /// Bits of filter for each distinct key; `None` if the file is not open or has no keys.
    #[allow(clippy::cast_precision_loss, reason = "a figure to look at")]
    pub fn filter_bits_per_key(&self) -> Option<f64> {
        let details = self.details.as_ref().filter(|details| details.keys > 0)?;
        Some(details.filter_len as f64 * 8.0 / details.keys as f64)
    }
}

/// Counts what is written to tables. They only grow.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    flushes: AtomicU64,
    flushed_len: AtomicU64,
    merges: AtomicU64,
    merge_read_len: AtomicU64,
    merged_len: AtomicU64,
    ingestions: AtomicU64,
    ingested_len: AtomicU64,
}

impl Traffic {
    pub(crate) fn flushed(&self, len: u64) {
        if len > 0 {
            self.flushes.fetch_add(1, Ordering::Relaxed);
            self.flushed_len.fetch_add(len, Ordering::Relaxed);
        }
    }

    pub(crate) fn merged(&self, read_len: u64, written_len: u64) {
        self.merges.fetch_add(1, Ordering::Relaxed);
        self.merge_read_len.fetch_add(read_len, Ordering::Relaxed);
        self.merged_len.fetch_add(written_len, Ordering::Relaxed);
    }

    pub(crate) fn ingested(&self, len: u64) {
        self.ingestions.fetch_add(1, Ordering::Relaxed);
        self.ingested_len.fetch_add(len, Ordering::Relaxed);
    }

    fn stats(&self) -> TrafficStats {
        TrafficStats {
            flushes: self.flushes.load(Ordering::Relaxed),
            flushed_len: self.flushed_len.load(Ordering::Relaxed),
            merges: self.merges.load(Ordering::Relaxed),
            merge_read_len: self.merge_read_len.load(Ordering::Relaxed),
            merged_len: self.merged_len.load(Ordering::Relaxed),
            ingestions: self.ingestions.load(Ordering::Relaxed),
            ingested_len: self.ingested_len.load(Ordering::Relaxed),
        }
    }
}

impl Tree {
    /// What the tree holds. O(tables).
    pub fn stats(&self) -> TreeStats {
        let state = self.state.load();
        TreeStats {
            levels: state.view.levels.iter().map(|runs| level_stats(runs)).collect(),
            memtable_len: state.memtables().map(|memtable| memtable.memory_used() as u64).sum(),
            memtable_entries: state.memtables().map(|memtable| memtable.entries() as u64).sum(),
            sealed: state.sealed.len(),
            flushed: state.view.version.flushed,
            operands: *self.operands.lock(),
            traffic: self.traffic.stats(),
            oldest_run_len: oldest_run_len(&state.view),
        }
    }

    /// What merges have left to write until the tree rests, as its strategy has it: see
    /// [`Policy::debt`](stratal_compaction::plan::Policy::debt). Plans every job that is due, so it is
    /// nothing for every write; [`pressure`](Self::pressure) is.
    pub fn debt(&self) -> Debt {
        let shape = self.shape(&self.state.load().view, &JobBoard::default());
        let spec = self.spec.load();
        spec.policy().debt(&shape, spec.options().cut.table_len, self.comparator.as_ref())
    }

    /// Every table, in the order in which reads ask them: levels from 0, runs from the newest, tables by
    /// key. With details of those that are open already.
    pub fn tables(&self) -> Vec<TableStats> {
        let state = self.state.load();
        let describe =
            |handle: &TableHandle| handle.opened().map(|table| table.properties().clone());
        all_tables(&state.view, |handle| Ok(describe(handle))).unwrap_or_default()
    }

    /// Every [table](Self::tables), with details: opens those that are not open, which reads the end of
    /// each file.
    ///
    /// # Errors
    ///
    /// [`Error::Table`], [`Error::Missing`], [`Error::Mismatch`] and [`Error::Io`], for any of them.
    pub fn tables_in_detail(&self) -> Result<Vec<TableStats>, Error> {
        let state = self.state.load_full();
        all_tables(&state.view, |handle| Ok(Some(handle.table()?.properties().clone())))
    }
}

fn level_stats(runs: &[RunView]) -> LevelStats {
    let mut level = LevelStats { runs: runs.len(), ..LevelStats::default() };
    for table in runs.iter().flat_map(|run| run.tables.iter()) {
        level.tables += 1;
        level.len += table.meta.file_len;
        level.entries += table.meta.entries;
        level.deletes += table.meta.deletes;
        level.range_tombstones += table.meta.range_tombstones;
        level.key_bytes += table.meta.key_bytes;
        level.value_bytes += table.meta.value_bytes;
    }
    level
}

fn oldest_run_len(view: &View) -> u64 {
    let oldest = view.runs().last().map(|(_, run)| run);
    oldest.map_or(0, |run| run.tables.iter().map(|table| table.meta.file_len).sum())
}

fn all_tables(
    view: &View,
    properties_of: impl Fn(&TableHandle) -> Result<Option<Properties>, Error>,
) -> Result<Vec<TableStats>, Error> {
    let describe = |(place, handle): (stratal_compaction::plan::Place, &Arc<TableHandle>)| {
        let details = properties_of(handle)?.map(|properties| TableDetails {
            keys: properties.keys,
            data_blocks: properties.data_blocks,
            data_len: properties.data_bytes,
            compression: properties.compression,
            index_len: properties.index_bytes,
            filter: properties.filter,
            filter_len: properties.filter_bytes,
            prefix_extractor: properties.prefix_extractor,
        });
        let meta = &handle.meta;
        Ok(TableStats {
            level: place.level,
            run_age: place.age,
            number: meta.number,
            uid: meta.uid,
            file_len: meta.file_len,
            span: meta.span.clone(),
            seqnos: (meta.seqno_min, meta.seqno_max),
            entries: meta.entries,
            deletes: meta.deletes,
            range_tombstones: meta.range_tombstones,
            key_bytes: meta.key_bytes,
            value_bytes: meta.value_bytes,
            birth_level: meta.birth_level,
            created_at_ms: meta.created_at_ms,
            lineage: meta.lineage.len(),
            details,
        })
    };
    view.tables().map(describe).collect()
}
