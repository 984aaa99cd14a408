use stratal_block::Compression;
use stratal_compaction::plan::{Policy, Shape, StrategyOptions};
use stratal_sst::{FilterMembership, Seal, TableOptions, TableSpec};
use stratal_types::{CutOptions, PrefixExtractor};

use std::sync::Arc;

use crate::{
    CompactionFilters, Error, FilterPolicy, Pinning, filters::filter_of, settings::check_name,
};

/// How a tree is kept.
#[derive(Clone, Debug)]
pub struct TreeOptions {
    /// Bytes a memtable may hold before it is sealed. Default 64 MiB.
    pub write_buffer_len: usize,
    /// How tables are written. In the first levels, whose tables live briefly, they are not compressed.
    /// They are in the clear: there is no way yet to bring a tree its keys.
    pub table: TableOptions,
    /// Whether entries carry their digests from when they are written on, and not only from when their
    /// block is built: through memtables, in four bytes each, into tables, for which
    /// [`table`](Self::table) must have [`entry_digests`](TableOptions::entry_digests). An entry that
    /// changes in memory on its way, or in a merge, is then [told](Error::Damaged) and not written.
    /// Range deletes are checked until they are in memory. Default no.
    pub digests_at_insert: bool,
    /// Levels above this one are not compressed. Default 2.
    pub compress_from_level: usize,
    /// How tables are merged. Default leveled.
    pub strategy: StrategyOptions,
    /// How long filters are, by level. Default all as [`table`](Self::table) has it.
    pub filters: FilterPolicy,
    /// How long tables get.
    pub cut: CutOptions,
    /// Whether merges of tables take over blocks that nothing changes as they are stored, instead of
    /// compressing them again. The same rows are written either way. Default yes.
    pub carry_blocks: bool,
    /// Most parts that a merge is done in, side by side on this thread and on those of
    /// [`StoreContext::pool`](crate::StoreContext::pool). What comes out is the same, in other tables.
    /// Default 1.
    pub max_subcompactions: usize,
    /// Bytes of input that are worth a part of their own. Default 8 MiB.
    pub subcompaction_len_min: u64,
    /// What may remove or replace values while tables are written. Default: nothing.
    pub compaction_filters: Option<CompactionFilters>,
    /// What cuts the prefixes under which keys are looked for together. Filters of new tables are then
    /// over whole keys and prefixes, or over prefixes alone if [`table`](Self::table) says so; reads of
    /// a prefix, or of a range within one, pass over tables and parts of tables in which no key has it.
    /// A table's filter is asked under the extractor that it was built under, whichever is set now.
    /// Default: none.
    pub prefix: Option<Arc<dyn PrefixExtractor>>,
    /// What of tables stays in the cache. As it is about the process's memory it is not stored with the
    /// tree. Default nothing.
    pub pinning: Pinning,
}

impl TreeOptions {
    /// Default of [`write_buffer_len`](Self::write_buffer_len), in bytes.
    pub const WRITE_BUFFER_LEN: usize = 64 << 20;
    /// Default of [`compress_from_level`](Self::compress_from_level).
    pub const COMPRESS_FROM_LEVEL: usize = 2;
    /// Default of [`subcompaction_len_min`](Self::subcompaction_len_min), in bytes.
    pub const SUBCOMPACTION_LEN_MIN: u64 = 8 << 20;
    /// Most that [`max_subcompactions`](Self::max_subcompactions) may be.
    pub const SUBCOMPACTIONS_MAX: usize = 1024;
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            write_buffer_len: Self::WRITE_BUFFER_LEN,
            table: TableOptions::default(),
            digests_at_insert: false,
            compress_from_level: Self::COMPRESS_FROM_LEVEL,
            strategy: StrategyOptions::default(),
            filters: FilterPolicy::default(),
            cut: CutOptions::default(),
            carry_blocks: true,
            max_subcompactions: 1,
            subcompaction_len_min: Self::SUBCOMPACTION_LEN_MIN,
            compaction_filters: None,
            prefix: None,
            pinning: Pinning::default(),
        }
    }
}

/// Options that passed [`TreeOptions::validate`].
#[derive(Clone, Debug)]
pub struct TreeSpec {
    options: TreeOptions,
    policy: Policy,
    upper: Arc<TableSpec>,
    lower: Arc<TableSpec>,
}

impl TreeOptions {
    /// Checks every option.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], naming the option.
    pub fn validate(self) -> Result<TreeSpec, Error> {
        let invalid = |error: &dyn std::fmt::Display| Error::InvalidArgument(error.to_string());
        if self.write_buffer_len == 0 {
            return Err(Error::InvalidArgument("write_buffer_len is 0".into()));
        }
        if self.cut.table_len == 0 {
            return Err(Error::InvalidArgument("cut.table_len is 0".into()));
        }
        if !(1..=Self::SUBCOMPACTIONS_MAX).contains(&self.max_subcompactions) {
            return Err(Error::InvalidArgument("max_subcompactions is not in 1..=1024".into()));
        }
        if self.table.seal != Seal::None {
            return Err(Error::InvalidArgument("table.seal: a tree brings no keys".into()));
        }
        if self.digests_at_insert && !self.table.entry_digests {
            let what = "digests_at_insert: table.entry_digests is off";
            return Err(Error::InvalidArgument(what.into()));
        }
        self.filters.check()?;
        if let Some(extractor) = &self.prefix {
            check_name(extractor.name())
                .map_err(|error| Error::InvalidArgument(format!("prefix: {error}")))?;
        }
        let table = match self.table.filter_membership {
            FilterMembership::Keys if self.prefix.is_some() => {
                TableOptions { filter_membership: FilterMembership::Both, ..self.table.clone() }
            }
            _ => self.table.clone(),
        };
        let uncompressed = TableOptions { compression: Compression::None, ..table.clone() };
        Ok(TreeSpec {
            policy: self.strategy.validate().map_err(|error| invalid(&error))?,
            upper: Arc::new(uncompressed.validate().map_err(|error| invalid(&error))?),
            lower: Arc::new(table.validate().map_err(|error| invalid(&error))?),
            options: self,
        })
    }
}

impl TreeSpec {
    /// The options, as given.
    pub fn options(&self) -> &TreeOptions {
        &self.options
    }

    /// The strategy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How tables of `level` are written by a job that leaves a tree of this shape. Every flush, merge
    /// and ingestion asks here.
    pub(crate) fn table(&self, level: usize, after: &Shape) -> Arc<TableSpec> {
        let is_upper = level < self.options.compress_from_level;
        let spec = if is_upper { &self.upper } else { &self.lower };
        let Some(bits) = self.options.filters.bits_per_key(&self.options, level, after) else {
            return Arc::clone(spec);
        };
        let filter = spec.options().filter.and_then(|filter| filter_of(filter.kind, bits));
        let options = TableOptions { filter, ..spec.options().clone() };
        // The size is in the filter's range, and the rest was checked with the tree's options.
        options.validate().map_or_else(|_| Arc::clone(spec), Arc::new)
    }
}
