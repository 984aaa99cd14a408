use std::sync::Arc;

use stratal_block::KeyRing;
use stratal_cache::Cache;
use stratal_types::{Bytewise, Comparator, DbId, Metrics, NoMetrics, PrefixExtractor};

use crate::BlockPool;

/// What the process brings to every table it writes or reads.
///
/// The default has a cache of its own of [`CACHE_CAPACITY_DEFAULT`](Self::CACHE_CAPACITY_DEFAULT)
/// bytes, bytewise order, no prefixes, no keys, no pool, no metrics, and belongs to no database.
#[derive(Clone, Debug)]
pub struct TableContext {
    /// Keeps blocks, indexes and filters within one budget, over all tables that share it.
    pub cache: Arc<Cache>,
    /// The order of user keys. Its name is stored in each table and checked when one is opened.
    pub comparator: Arc<dyn Comparator>,
    /// The root keys from which those of encrypted tables come. New ones take the newest; an old one
    /// is opened by the one that its header names, a table in the clear without.
    pub keys: Arc<KeyRing>,
    /// Cuts the prefixes that filters may be over; see [`FilterMembership`](crate::FilterMembership).
    /// A filter that was built under another extractor is not asked for prefixes.
    pub prefix_extractor: Option<Arc<dyn PrefixExtractor>>,
    /// Threads on which writers may have data blocks made ready. None: they do it themselves.
    pub pool: Option<Arc<dyn BlockPool>>,
    /// Where counts go.
    pub metrics: Arc<dyn Metrics>,
    /// The database that new files say they belong to.
    pub db_id: DbId,
}

impl TableContext {
    /// Bytes the default context's cache may hold: 64 MiB.
    pub const CACHE_CAPACITY_DEFAULT: u64 = 64 << 20;
}

impl Default for TableContext {
    fn default() -> Self {
        Self {
            cache: Arc::new(Cache::new(Self::CACHE_CAPACITY_DEFAULT)),
            comparator: Arc::new(Bytewise),
            keys: Arc::default(),
            prefix_extractor: None,
            pool: None,
            metrics: Arc::new(NoMetrics),
            db_id: DbId::default(),
        }
    }
}
