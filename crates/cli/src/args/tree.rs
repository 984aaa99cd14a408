use stratal::{CutOptions, FifoOptions, StrategyOptions, TreeOptions};
use stratal_block::Compression;
use stratal_filter::{FilterSize, FilterSpec};
use stratal_sst::TableOptions;
use stratal_types::prefix_extractor_named;

use crate::failure::Failure;

use super::size;

/// How a keyspace's tables are written and merged. What is not said stays as it is.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct TreeArgs {
    /// How tables are merged: leveled, tiered, lazy, or fifo:SIZE, which forgets the oldest tables of
    /// what exceeds SIZE
    #[arg(long, value_name = "STRATEGY", value_parser = strategy)]
    pub(crate) compaction: Option<StrategyOptions>,
    /// Runs at which level 0, and in tiered and lazy any upper level, is merged
    #[arg(long, value_name = "N")]
    pub(crate) level_runs: Option<usize>,
    /// How many times longer a level may get than the one above; of leveled and lazy
    #[arg(long, value_name = "N")]
    pub(crate) level_ratio: Option<u64>,
    /// Bytes of the first level below 0, or after which runs move down to it
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) level_size: Option<u64>,
    /// Bytes that tables get
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) table_size: Option<u64>,
    /// Bytes at which a data block is closed
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) block_size: Option<u64>,
    /// none, lz4, zstd or zstd:LEVEL
    #[arg(long, value_name = "CODEC", value_parser = compression)]
    pub(crate) compression: Option<Compression>,
    /// The first level that is compressed
    #[arg(long, value_name = "N")]
    pub(crate) compress_from_level: Option<usize>,
    /// Digests of entries, 4 bytes each: none, of blocks as they are built, or from the insert on, so that
    /// what changes in memory on its way is told
    #[arg(long, value_name = "WHEN")]
    pub(crate) digests: Option<Digests>,
    /// Bits of filter per key, 0 for no filter
    #[arg(long, value_name = "BITS")]
    pub(crate) filter_bits: Option<f64>,
    /// Prefixes that filters know too: fixed:BYTES, delimited:HEX (the delimiting byte), or none
    #[arg(long, value_name = "EXTRACTOR")]
    pub(crate) prefix: Option<String>,
}

/// From when on entries carry digests.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub(crate) enum Digests {
    None,
    Blocks,
    Insert,
}

impl TreeArgs {
    /// `options` with what was said; `None` if nothing was.
    pub(crate) fn over(&self, options: &TreeOptions) -> Result<Option<TreeOptions>, Failure> {
        if *self == Self::default() {
            return Ok(None);
        }
        let Self {
            compaction,
            level_runs,
            level_ratio,
            level_size,
            table_size,
            block_size,
            compression,
            compress_from_level,
            digests,
            filter_bits,
            prefix,
        } = self;
        let mut all = options.clone();
        if let Some(strategy) = *compaction {
            all.strategy = strategy;
        }
        if let Some(runs) = *level_runs {
            set_runs(&mut all.strategy, runs)?;
        }
        if let Some(ratio) = *level_ratio {
            set_ratio(&mut all.strategy, ratio)?;
        }
        if let Some(len) = *level_size {
            set_level_len(&mut all.strategy, len)?;
        }
        if let Some(table_len) = *table_size {
            // As many tables as the default has it.
            let tables = CutOptions::BELOW_LEN_MAX / CutOptions::TABLE_LEN;
            let below_len_max = table_len.saturating_mul(tables);
            all.cut = CutOptions { table_len, below_len_max };
        }
        if let Some(len) = *block_size {
            all.table.block_len_target = u32::try_from(len).unwrap_or(u32::MAX);
        }
        if let Some(compression) = *compression {
            all.table.compression = compression;
        }
        if let Some(level) = *compress_from_level {
            all.compress_from_level = level;
        }
        if let Some(digests) = *digests {
            all.table.entry_digests = digests != Digests::None;
            all.digests_at_insert = digests == Digests::Insert;
        }
        if let Some(bits) = *filter_bits {
            set_filter_bits(&mut all.table, bits);
        }
        if let Some(name) = prefix.as_deref() {
            let extractor = prefix_extractor_named(name);
            all.prefix = Some(extractor.ok_or_else(|| {
                Failure::Usage("--prefix must be fixed:BYTES, delimited:HEX or none".into())
            })?)
            .filter(|extractor| extractor.name() != "none");
        }
        Ok(Some(all))
    }
}

fn set_runs(strategy: &mut StrategyOptions, runs: usize) -> Result<(), Failure> {
    match strategy {
        StrategyOptions::Leveled(options) => options.level0_runs = runs,
        StrategyOptions::Tiered(options) => options.runs = runs,
        StrategyOptions::LazyLeveled(options) => options.runs = runs,
        other => return Err(not_of(other, "--level-runs")),
    }
    Ok(())
}

fn set_ratio(strategy: &mut StrategyOptions, ratio: u64) -> Result<(), Failure> {
    match strategy {
        StrategyOptions::Leveled(options) => options.ratio = ratio,
        StrategyOptions::LazyLeveled(options) => options.ratio = ratio,
        other => return Err(not_of(other, "--level-ratio")),
    }
    Ok(())
}

fn set_level_len(strategy: &mut StrategyOptions, len: u64) -> Result<(), Failure> {
    match strategy {
        StrategyOptions::Leveled(options) => options.level_base_len = len,
        StrategyOptions::Tiered(options) => options.promote_len = len,
        StrategyOptions::LazyLeveled(options) => options.promote_len = len,
        other => return Err(not_of(other, "--level-size")),
    }
    Ok(())
}

fn not_of(strategy: &StrategyOptions, option: &str) -> Failure {
    Failure::Usage(format!("{option} is no option of {}", strategy.name()))
}

fn set_filter_bits(table: &mut TableOptions, bits: f64) {
    let kind = table.filter.unwrap_or_default().kind;
    let size = FilterSize::BitsPerKey(bits);
    table.filter = (bits != 0.0).then_some(FilterSpec { kind, size });
}

/// A strategy by its name. What forgets has to be told when: a default would lose data by surprise.
fn strategy(text: &str) -> Result<StrategyOptions, String> {
    if let Some(len) = text.strip_prefix("fifo:") {
        let options = FifoOptions { len_max: size(len)?, ..FifoOptions::default() };
        return Ok(StrategyOptions::Fifo(options));
    }
    StrategyOptions::named(text)
        .filter(|options| !matches!(options, StrategyOptions::Fifo(_)))
        .ok_or_else(|| "must be leveled, tiered, lazy or fifo:SIZE".into())
}

pub(super) fn compression(text: &str) -> Result<Compression, String> {
    let (name, level) =
        text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
    match (name, level) {
        ("none", None) => Ok(Compression::None),
        ("lz4", None) => Ok(Compression::Lz4),
        ("zstd", None) => Ok(Compression::Zstd { level: 3 }),
        ("zstd", Some(level)) => {
            let level = level.parse().map_err(|_| "the level must be a number".to_owned())?;
            Ok(Compression::Zstd { level })
        }
        _ => Err("must be none, lz4, zstd or zstd:LEVEL".into()),
    }
}
