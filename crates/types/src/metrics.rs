use core::fmt::Debug;

/// Something that is counted while Stratal works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Counter {
    /// Blocks found in the cache.
    CacheHits,
    /// Blocks the cache did not have.
    CacheMisses,
    /// Blocks read from files.
    BlocksRead,
    /// Blocks that were damaged and repaired, each time they were read.
    BlocksHealed,
    /// Bytes read from files.
    BytesRead,
    /// Bytes written to files.
    BytesWritten,
    /// Data blocks that a merge of tables took over as they were stored.
    BlocksCarried,
    /// Filters asked.
    FilterProbes,
    /// Filters that said a key is absent.
    FilterRejects,
    /// Keys that a filter let through and that were not there, or had no version that the read sees.
    FilterFalsePositives,
}

impl Counter {
    /// Every counter, by ascending [`index`](Self::index).
    pub const ALL: [Self; 10] = [
        Self::CacheHits,
        Self::CacheMisses,
        Self::BlocksRead,
        Self::BlocksHealed,
        Self::BytesRead,
        Self::BytesWritten,
        Self::BlocksCarried,
        Self::FilterProbes,
        Self::FilterRejects,
        Self::FilterFalsePositives,
    ];

    /// A small number of its own, for counters kept in an array.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in reports, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CacheHits => "cache_hits",
            Self::CacheMisses => "cache_misses",
            Self::BlocksRead => "blocks_read",
            Self::BlocksHealed => "blocks_healed",
            Self::BytesRead => "bytes_read",
            Self::BytesWritten => "bytes_written",
            Self::BlocksCarried => "blocks_carried",
            Self::FilterProbes => "filter_probes",
            Self::FilterRejects => "filter_rejects",
            Self::FilterFalsePositives => "filter_false_positives",
        }
    }
}

/// Where counts go. Called on hot paths: an implementation must not block.
pub trait Metrics: Debug + Send + Sync {
    /// Adds `by` to `counter`.
    fn add(&self, counter: Counter, by: u64);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMetrics;

impl Metrics for NoMetrics {
    fn add(&self, _: Counter, _: u64) {}
}

/// Counts in memory.
#[cfg(feature = "std")]
#[derive(Debug, Default)]
pub struct Counters {
    counts: [core::sync::atomic::AtomicU64; Counter::ALL.len()],
}

#[cfg(feature = "std")]
impl Counters {
    /// The count so far.
    pub fn get(&self, counter: Counter) -> u64 {
        let count = self.counts.get(counter.index());
        count.map_or(0, |count| count.load(core::sync::atomic::Ordering::Relaxed))
    }
}

#[cfg(feature = "std")]
impl Metrics for Counters {
    fn add(&self, counter: Counter, by: u64) {
        if let Some(count) = self.counts.get(counter.index()) {
            count.fetch_add(by, core::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_counts_for_itself() {
        let counters = Counters::default();
        for (by, counter) in (1..).zip(Counter::ALL) {
            counters.add(counter, by);
            counters.add(counter, by);
        }
        for (by, counter) in (1..).zip(Counter::ALL) {
            assert_eq!(counters.get(counter), 2 * by, "{}", counter.name());
        }
    }
}
