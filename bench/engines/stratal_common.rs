// Shared by the adapters of the database and of the tree alone. Included, not linked: a helper crate
// would be as long. The including file has `TreeOptions` and `TreeStats` in scope.
use pb_core::{Amplification, Comp, Opts, Preset, Res};
use stratal_block::{Compression, Parity};
use stratal_engine::{LazyLeveledOptions, LeveledOptions, StrategyOptions};
use stratal_filter::{FilterKind, FilterSize, FilterSpec};
use stratal_sst::TableOptions;
use stratal_types::{CutOptions, prefix_extractor_named};

fn compression(comp: Comp) -> Compression {
    match comp {
        Comp::None => Compression::None,
        Comp::Lz4 => Compression::Lz4,
        Comp::Zstd => Compression::Zstd { level: 3 },
    }
}

fn tree_options(o: &Opts) -> Res<TreeOptions> {
    let write_buffer_len = usize::try_from(o.memtable_bytes)?;
    let strategy = strategy(o)?;
    if o.preset == Preset::Default {
        return Ok(TreeOptions { write_buffer_len, strategy, ..TreeOptions::default() });
    }
    let size = FilterSize::BitsPerKey(o.filter_bits.into());
    let mut table = TableOptions {
        compression: compression(o.comp),
        block_len_target: o.block_bytes,
        filter: Some(size.into()),
        ..TableOptions::default()
    };
    let mut prefix = None;
    if o.preset == Preset::Full {
        table.entry_digests = true;
        table.parity = Parity::Xor { data: 8 };
        table.locator = true;
        table.filter = Some(FilterSpec { kind: FilterKind::Burr, size });
        prefix = prefix_extractor_named("fixed:4");
    }
    Ok(TreeOptions {
        write_buffer_len,
        table,
        // The others compress every level when asked to.
        compress_from_level: 0,
        strategy,
        cut: cut(o),
        prefix,
        digests_at_insert: o.preset == Preset::Full,
        ..TreeOptions::default()
    })
}

/// As shipped, but as much smaller as the write buffer is, so that a short run has a deep tree.
fn scaled(o: &Opts, len: u64) -> u64 {
    let scaled =
        u128::from(len) * u128::from(o.memtable_bytes) / TreeOptions::WRITE_BUFFER_LEN as u128;
    u64::try_from(scaled).unwrap_or(u64::MAX).max(1)
}

fn cut(o: &Opts) -> CutOptions {
    CutOptions {
        table_len: scaled(o, CutOptions::TABLE_LEN),
        below_len_max: scaled(o, CutOptions::BELOW_LEN_MAX),
    }
}

fn strategy(o: &Opts) -> Res<StrategyOptions> {
    match o.args.str("strategy", "leveled").as_str() {
        "leveled" => Ok(StrategyOptions::Leveled(LeveledOptions {
            level_base_len: scaled(o, LeveledOptions::LEVEL_BASE_LEN),
            job_len_max: scaled(o, LeveledOptions::JOB_LEN_MAX),
            ..LeveledOptions::default()
        })),
        "lazy" => Ok(StrategyOptions::LazyLeveled(LazyLeveledOptions {
            promote_len: scaled(o, LazyLeveledOptions::PROMOTE_LEN),
            job_len_max: scaled(o, LazyLeveledOptions::JOB_LEN_MAX),
            ..LazyLeveledOptions::default()
        })),
        other => Err(format!("--strategy={other}: leveled or lazy").into()),
    }
}

fn shape(stats: &TreeStats) -> String {
    let levels: Vec<_> = stats.levels.iter().map(|l| format!("{}/{}", l.runs, l.tables)).collect();
    format!("runs/tables by level {}", levels.join(" "))
}

fn amplification_of(stats: &TreeStats) -> Amplification {
    Amplification {
        write: stats.traffic.write_amplification().unwrap_or(0.0),
        read: stats.read_amplification() as f64,
        space: stats.space_amplification().unwrap_or(0.0),
    }
}
