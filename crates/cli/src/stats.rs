//! What a database holds.

use std::ops::Bound;

use serde_json::{Value, json};
use stratal::{
    Database, Debt, Health, KeyspaceInfo, LevelStats, OpenFileStats, TableStats, TreeOptions,
    TreeStats,
};
use stratal_block::Compression;
use stratal_filter::{FilterSize, FilterSpec};

use crate::{
    args::{Common, StatsArgs},
    database::{Access, open},
    failure::Failure,
    output::Output,
    text::Notation,
};

/// A keyspace, and all that is told about it.
struct Described {
    info: KeyspaceInfo,
    stats: TreeStats,
    options: TreeOptions,
    debt: Debt,
    /// `Err` says why the files could not be asked.
    tables: Result<Vec<TableStats>, String>,
}

/// Sums over the filters of tables.
#[derive(Default)]
struct Filters {
    tables: u64,
    len: u64,
    keys: u64,
}

pub(crate) fn stats(args: &StatsArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let db = open(&args.db, Access::Read, common)?;
    let keyspaces = describe(&db)?;
    // With the files that were opened for what is said of them.
    let (all, health) = (db.stats(), describe_health(&db.health()));
    db.close()?;
    if out.json {
        let keyspaces: Vec<Value> =
            keyspaces.iter().map(|keyspace| keyspace.json(args.tables, out.notation)).collect();
        let wal = json!({
            "bytes": all.log_len, "unsynced_bytes": all.log_unsynced_len, "floor": all.log_floor,
        });
        return out.json(&json!({
            "keyspaces": keyspaces, "wal": wal, "visible_seqno": all.visible.get(),
            "health": health, "job_failure": all.job_failure,
            "open_files": {
                "max": (all.open_files.max > 0).then_some(all.open_files.max),
                "open": all.open_files.open, "opened": all.open_files.opened,
                "reopened": all.open_files.reopened,
            },
        }));
    }
    out.line(format!("health: {health}"))?;
    if let Some(why) = &all.job_failure {
        out.line(format!("the last flush or merge failed: {why}"))?;
    }
    out.line(format!("log: {} bytes from segment {} on", all.log_len, all.log_floor))?;
    out.line(open_files_text(&all.open_files))?;
    for keyspace in &keyspaces {
        keyspace.print(args.tables, out)?;
    }
    Ok(())
}

fn open_files_text(files: &OpenFileStats) -> String {
    let OpenFileStats { max, open, opened, reopened } = *files;
    let most = if max > 0 { format!(" of at most {max}") } else { String::new() };
    format!("table files: {open} open{most}, opened {opened} times, {reopened} of them again")
}

/// Every keyspace. Damage to a table is no reason to say nothing of the others.
fn describe(db: &Database) -> Result<Vec<Described>, Failure> {
    let infos = db.keyspaces().into_iter();
    let described = infos.map(|info| {
        let keyspace = db.open_keyspace(&info.name)?;
        Ok(Described {
            stats: keyspace.stats(),
            options: keyspace.options(),
            debt: keyspace.debt(),
            tables: keyspace.tables_in_detail().map_err(|error| error.to_string()),
            info,
        })
    });
    described.collect()
}

impl Described {
    fn filters(&self) -> Result<Filters, &String> {
        let mut all = Filters::default();
        for details in self.tables.as_ref()?.iter().filter_map(|table| table.details.as_ref()) {
            all.tables += u64::from(details.filter_len > 0);
            all.len += details.filter_len;
            all.keys += details.keys;
        }
        Ok(all)
    }

    fn json(&self, with_tables: bool, notation: Notation) -> Value {
        let Self { info, stats, options, debt, tables } = self;
        let levels: Vec<Value> =
            (0u32..).zip(&stats.levels).map(|(number, level)| level_json(number, level)).collect();
        let filters = match self.filters() {
            Ok(filters) => json!({
                "tables": filters.tables, "bytes": filters.len,
                "bits_per_key": filters.bits_per_key(), "error": Value::Null,
            }),
            Err(error) => json!({
                "tables": Value::Null, "bytes": Value::Null, "bits_per_key": Value::Null,
                "error": error,
            }),
        };
        let traffic = &stats.traffic;
        let mut object = json!({
            "name": info.name, "comparator": info.comparator,
            "merge_operator": info.merge_operator,
            "operands": {
                "folds": stats.operands.folds, "compositions": stats.operands.compositions,
                "failures": stats.operands.failures,
            },
            "options": options_json(options),
            "levels": levels, "live_keys_estimate": stats.live_keys_estimate(),
            "table_bytes": stats.len(),
            "memtable_bytes": stats.memtable_len, "memtable_entries": stats.memtable_entries,
            "sealed_memtables": stats.sealed, "flushed_seqno": stats.flushed.get(),
            "filters": filters,
            "compaction_debt": {
                "bytes": debt.written_len, "jobs": debt.jobs, "whole": debt.is_whole,
            },
            "written": {
                "flushes": traffic.flushes, "flushed_bytes": traffic.flushed_len,
                "merges": traffic.merges, "merge_read_bytes": traffic.merge_read_len,
                "merged_bytes": traffic.merged_len,
                "ingestions": traffic.ingestions, "ingested_bytes": traffic.ingested_len,
            },
            "amplification": amplification_json(stats),
            "value_log": { "files": 0, "live_bytes": 0, "stale_bytes": 0 },
        });
        if with_tables && let Some(object) = object.as_object_mut() {
            let tables = tables.as_deref().unwrap_or_default();
            let tables = tables.iter().map(|table| table_json(table, notation)).collect();
            object.insert("tables".to_owned(), Value::Array(tables));
        }
        object
    }

    fn print(&self, with_tables: bool, out: &mut Output) -> Result<(), Failure> {
        let Self { info, stats, options, debt, .. } = self;
        let (name, comparator) = (&info.name, &info.comparator);
        let operator = info.merge_operator.as_deref();
        let operator = operator.map(|name| format!(", merged by {name}")).unwrap_or_default();
        let memory = stats.memtable_len;
        out.line(format!("\nkeyspace {name} ({comparator}{operator}), {memory} bytes in memory"))?;
        out.line(format!("  {}", options_text(options)))?;
        out.line("  level   runs  tables         bytes       entries       deletes    ranges")?;
        for (number, level) in stats.levels.iter().enumerate() {
            let LevelStats { runs, tables, len, entries, deletes, range_tombstones, .. } = level;
            out.line(format!(
                "  {number:>5} {runs:>6} {tables:>7} {len:>13} {entries:>13} {deletes:>13} \
                 {range_tombstones:>9}"
            ))?;
        }
        out.line(format!("  live keys: about {}", stats.live_keys_estimate()))?;
        match self.filters() {
            Ok(Filters { len: 0, .. }) => out.line("  filters: none")?,
            Ok(filters) => {
                let (tables, len, bits) = (filters.tables, filters.len, filters.bits_per_key());
                let bits = bits.unwrap_or_default();
                out.line(format!("  filters: {tables}, {len} bytes, {bits:.1} bits per key"))?;
            }
            Err(error) => out.line(format!("  filters: not known: {error}"))?,
        }
        out.line("  value log: 0 bytes live, 0 stale")?;
        out.line(format!("  amplification: {}", amplification_text(stats)))?;
        let least = if debt.is_whole { "" } else { "at least " };
        let (len, jobs) = (debt.written_len, debt.jobs);
        out.line(format!("  due: {least}{len} bytes to write in {jobs} jobs"))?;
        let tables = self.tables.as_deref().unwrap_or_default();
        if with_tables && !tables.is_empty() {
            out.line("  table        level         bytes       entries  span")?;
            for table in tables {
                let TableStats { number, level, file_len, entries, .. } = table;
                let span = span_text(table, out.notation);
                out.line(format!(
                    "  {number:010} {level:>7} {file_len:>13} {entries:>13}  {span}"
                ))?;
            }
        }
        Ok(())
    }
}

impl Filters {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people to read")]
    fn bits_per_key(&self) -> Option<f64> {
        (self.keys > 0).then(|| self.len as f64 * 8.0 / self.keys as f64)
    }
}

fn level_json(number: u32, level: &LevelStats) -> Value {
    json!({
        "level": number, "runs": level.runs, "tables": level.tables, "bytes": level.len,
        "entries": level.entries, "deletes": level.deletes,
        "range_tombstones": level.range_tombstones,
        "key_bytes": level.key_bytes, "value_bytes": level.value_bytes,
    })
}

/// Reads: sources that a get asks at most. Space: times the bytes of the oldest run. Writes: bytes
/// written to tables for each byte flushed.
pub(crate) fn amplification_json(stats: &TreeStats) -> Value {
    json!({
        "read": stats.read_amplification(), "space": stats.space_amplification(),
        "write": stats.traffic.write_amplification(),
    })
}

pub(crate) fn amplification_text(stats: &TreeStats) -> String {
    let ratio = |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
    let (space, write) = (stats.space_amplification(), stats.traffic.write_amplification());
    let read = stats.read_amplification();
    format!("read {read}, space {}, write {} since it was opened", ratio(space), ratio(write))
}

fn table_json(table: &TableStats, notation: Notation) -> Value {
    let key = |bound: &Bound<Vec<u8>>| match bound {
        Bound::Included(key) | Bound::Excluded(key) => Value::String(notation.show(key)),
        Bound::Unbounded => Value::Null,
    };
    let details = table.details.as_ref();
    json!({
        "file": format!("tables/{:010}.sst", table.number), "level": table.level,
        "run_age": table.run_age, "bytes": table.file_len,
        "from_key": key(&table.span.start), "to_key": key(&table.span.end),
        "entries": table.entries, "deletes": table.deletes,
        "range_tombstones": table.range_tombstones,
        "key_bytes": table.key_bytes, "value_bytes": table.value_bytes,
        "seqno_min": table.seqnos.0.get(), "seqno_max": table.seqnos.1.get(),
        "birth_level": table.birth_level, "replaced_tables": table.lineage,
        "created_at_seconds": table.created_at_ms / 1000,
        "keys": details.map(|details| details.keys),
        "data_blocks": details.map(|details| details.data_blocks),
        "data_bytes": details.map(|details| details.data_len),
        "index_bytes": details.map(|details| details.index_len),
        "compression": details.map(|details| details.compression.as_str()),
        "filter": details.map(|details| details.filter.as_str()),
        "filter_bytes": details.map(|details| details.filter_len),
        "filter_bits_per_key": table.filter_bits_per_key(),
        "prefix": details.map(|details| details.prefix_extractor.as_str()),
    })
}

fn span_text(table: &TableStats, notation: Notation) -> String {
    let key = |bound: &Bound<Vec<u8>>| match bound {
        Bound::Included(key) | Bound::Excluded(key) => notation.show(key),
        Bound::Unbounded => String::new(),
    };
    let end = if matches!(table.span.end, Bound::Included(_)) { "=" } else { "" };
    format!("{}..{end}{}", key(&table.span.start), key(&table.span.end))
}

fn options_json(options: &TreeOptions) -> Value {
    json!({
        "compaction": options.strategy.name(), "table_bytes": options.cut.table_len,
        "block_bytes": options.table.block_len_target,
        "compression": compression_text(options.table.compression),
        "compress_from_level": options.compress_from_level,
        "digests": digests_text(options),
        "filter": options.table.filter.map(filter_text),
        "prefix": options.prefix.as_ref().map(|extractor| extractor.name()),
    })
}

fn options_text(options: &TreeOptions) -> String {
    let filter = options.table.filter.map_or("no filters".to_owned(), filter_text);
    let prefix = options.prefix.as_ref().map(|it| format!(" and prefixes {}", it.name()));
    format!(
        "{}, tables of {} bytes, blocks of {}, {} from level {} on, {filter}{}",
        options.strategy.name(),
        options.cut.table_len,
        options.table.block_len_target,
        compression_text(options.table.compression),
        options.compress_from_level,
        prefix.unwrap_or_default(),
    )
}

/// From when on entries carry digests, in the words of the option that says so.
fn digests_text(options: &TreeOptions) -> &'static str {
    match (options.table.entry_digests, options.digests_at_insert) {
        (false, _) => "none",
        (true, false) => "blocks",
        (true, true) => "insert",
    }
}

fn compression_text(compression: Compression) -> String {
    match compression {
        Compression::None => "none".to_owned(),
        Compression::Lz4 => "lz4".to_owned(),
        Compression::Zstd { level } => format!("zstd:{level}"),
        other => format!("{other:?}"),
    }
}

fn filter_text(filter: FilterSpec) -> String {
    let kind = filter.kind.name();
    match filter.size {
        FilterSize::BitsPerKey(bits) => format!("{kind}, {bits} bits per key"),
        FilterSize::FalsePositiveRate(rate) => format!("{kind}, wrong in {rate}"),
    }
}

fn describe_health(health: &Health) -> String {
    match health {
        Health::Healthy => "healthy".to_owned(),
        Health::Throttled { why } => format!("throttled: {why}"),
        Health::ReadOnly { why } => format!("read-only: {why}"),
        Health::Failed { why } => format!("failed: {why}"),
        other => format!("{other:?}"),
    }
}
