//! How a tree is kept, drawn from a seed.

use std::sync::Arc;

use stratal_block::{Checksum, Compression, Parity};
use stratal_compaction::plan::Sizing;
use stratal_engine::{
    CompactionFilters, FifoOptions, FilterPolicy, LazyLeveledOptions, LeveledOptions, PinnedParts,
    Pinning, StrategyOptions, TieredOptions, TreeOptions, TreeSpec,
};
use stratal_filter::{FilterKind, FilterSpec};
use stratal_sst::{FilterMembership, Partitioning, TableOptions};
use stratal_testkit::Rng;
use stratal_types::{CutOptions, DelimitedPrefix, FixedPrefix, PrefixExtractor};

use crate::{history::TTLS, world};

/// Everything small, so that little data makes many blocks, tables and levels. What forgets may hold so
/// much that it does not.
pub(crate) fn draw(rng: &mut Rng, is_filtered: bool, is_expiring: bool) -> TreeSpec {
    options(rng, is_filtered, is_expiring).validate().expect("options in range")
}

fn options(rng: &mut Rng, is_filtered: bool, is_expiring: bool) -> TreeOptions {
    let filters = match rng.below(4) {
        0 => FilterPolicy::BitsPerKey(0.5 + f64::from(u8::try_from(rng.below(20)).unwrap_or(0))),
        1 => FilterPolicy::Len(1 << rng.below(16)),
        _ => FilterPolicy::Uniform,
    };
    let prefix: Option<Arc<dyn PrefixExtractor>> = match rng.below(4) {
        0 => Some(Arc::new(DelimitedPrefix::new(b'/'))),
        1 => Some(Arc::new(FixedPrefix::new([1, 2, 3, 4][rng.index(4)]))),
        _ => None,
    };
    let strategy = if is_expiring && rng.chance(1, 2) { forgetting(rng) } else { strategy(rng) };
    let table = table(rng);
    TreeOptions {
        prefix,
        carry_blocks: rng.chance(1, 2),
        max_subcompactions: 1 + rng.index(4),
        subcompaction_len_min: 1 << (9 + rng.index(4)),
        write_buffer_len: 1 << (11 + rng.index(5)),
        digests_at_insert: table.entry_digests && rng.chance(3, 4),
        table,
        compress_from_level: rng.index(3),
        strategy,
        filters,
        pinning: Pinning { level0: pinned(rng), below: pinned(rng) },
        cut: CutOptions {
            table_len: 1 << (10 + rng.index(5)),
            below_len_max: 1 << (12 + rng.index(6)),
        },
        compaction_filters: (is_filtered && rng.chance(3, 4))
            .then(|| CompactionFilters::of(world::judge)),
    }
}

fn pinned(rng: &mut Rng) -> PinnedParts {
    *rng.choose(&[PinnedParts::None, PinnedParts::Top, PinnedParts::All])
}

/// So short that tables expire, or for so short a time.
fn forgetting(rng: &mut Rng) -> StrategyOptions {
    let is_short = rng.chance(2, 3);
    StrategyOptions::Fifo(FifoOptions {
        len_max: if is_short { 1 << (10 + rng.below(7)) } else { u64::MAX },
        ttl_ms: if is_short && rng.chance(1, 2) { 0 } else { *rng.choose(&TTLS) },
        held_len_max: *rng.choose(&[u64::MAX, 20_000, 2_000, 0]),
    })
}

pub(crate) fn strategy(rng: &mut Rng) -> StrategyOptions {
    let levels = 2 + rng.index(4);
    let (runs, ratio) = (2 + rng.index(3), 2 + rng.below(4));
    // As short as one table, so that a few rows fill every level.
    let short_len = 1 << (8 + rng.index(7));
    let deletes_percent = *rng.choose(&[20, 50, 100]);
    match rng.below(8) {
        0..=1 => StrategyOptions::Tiered(TieredOptions {
            levels,
            runs,
            promote_len: short_len,
            deletes_percent,
            ..TieredOptions::default()
        }),
        2..=3 => StrategyOptions::LazyLeveled(LazyLeveledOptions {
            levels,
            runs,
            ratio,
            promote_len: short_len,
            deletes_percent,
            ..LazyLeveledOptions::default()
        }),
        4 => StrategyOptions::Fifo(FifoOptions {
            len_max: u64::MAX,
            ttl_ms: 0,
            ..FifoOptions::default()
        }),
        _ => StrategyOptions::Leveled(LeveledOptions {
            levels,
            level0_runs: runs,
            level_base_len: short_len,
            ratio,
            sizing: *rng.choose(&[Sizing::Static, Sizing::Dynamic]),
            deletes_percent,
            ..LeveledOptions::default()
        }),
    }
}

pub(crate) fn table(rng: &mut Rng) -> TableOptions {
    let block_len_target = *rng.choose(&[512, 512, 1024, 4096]);
    let filter = match rng.below(4) {
        0 => None,
        1 => Some(FilterSpec { kind: FilterKind::Burr, ..FilterSpec::default() }),
        _ => Some(FilterSpec::default()),
    };
    TableOptions {
        block_len_target,
        compression: *rng.choose(&[
            Compression::None,
            Compression::None,
            Compression::Lz4,
            Compression::Zstd { level: 1 },
        ]),
        checksum: *rng.choose(&[Checksum::Xxh3, Checksum::Crc32c]),
        parity: if rng.chance(1, 16) { Parity::Xor { data: 4 } } else { Parity::None },
        entry_digests: rng.chance(1, 8),
        filter,
        filter_membership: *rng.choose(&[
            FilterMembership::Keys,
            FilterMembership::Prefixes,
            FilterMembership::Both,
        ]),
        locator: rng.chance(1, 4),
        partitioning: *rng.choose(&[
            Partitioning::Never,
            Partitioning::Always,
            Partitioning::Auto { keys: 32 },
        ]),
        partition_len_target: 512,
        ..TableOptions::default()
    }
}
