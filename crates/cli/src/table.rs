//! The verbs that work with a table file alone.

use std::{path::Path, sync::Arc, time::Instant};

use serde_json::{Value, json};
use stratal_filter::{FilterSize, FilterSpec};
use stratal_sst::{
    Damage, Properties, SalvageReport, TableContext, TableInfo, TableOptions, TableWriter,
};
use stratal_types::{Comparator, FileUid, comparator_named};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    args::{Common, GetArgs, ScanArgs, TableVerb, WriteArgs},
    failure::Failure,
    file::{self, open_table, open_to_salvage},
    input::{Record, Records},
    output::Output,
    rows::{self, DamageRow, Selection, rate},
    text::Notation,
};

pub(crate) fn run(verb: &TableVerb, common: &Common, out: &mut Output) -> Result<(), Failure> {
    match verb {
        TableVerb::Write(args) => write(args, out),
        TableVerb::Get(args) => get(args, common, out),
        TableVerb::Scan(args) => scan(args, common, out),
        TableVerb::Info { file } => info(file, common, out),
        TableVerb::Verify { file } => verify(file, common, out),
        TableVerb::Dump { file } => {
            let dump = open_table(file, common)?.annotate();
            out.bytes(dump.map_err(|error| Failure::table(file, &error))?.as_bytes())
        }
        TableVerb::Salvage { file, out: saved } => salvage(file, saved, common, out),
    }
}

fn write(args: &WriteArgs, out: &mut Output) -> Result<(), Failure> {
    let comparator = comparator_named(&args.comparator).ok_or_else(|| {
        Failure::Usage(format!(
            "there is no comparator {:?}; use bytewise, reverse or shortlex",
            args.comparator
        ))
    })?;
    let filter = (args.filter_bits > 0.0).then(|| FilterSpec {
        kind: args.filter.into(),
        size: FilterSize::BitsPerKey(args.filter_bits),
    });
    let options = TableOptions {
        block_len_target: u32::try_from(args.block_size).unwrap_or(u32::MAX),
        compression: args.compression,
        filter,
        ..TableOptions::default()
    };
    let started = Instant::now();
    let mut records = Records::open(&args.input, args.format, out.notation, args.skip_bad)?;
    let sorted = sorted_records(&mut records, comparator.as_ref())?;
    let written = write_sorted(&args.file, &sorted, options, comparator)?;
    let lines = records.lines();
    let seconds = started.elapsed().as_secs_f64();
    let (entries, bytes) = written.map_or((0, 0), |info| (info.properties.entries, info.file_len));
    if out.json {
        return out.json(&json!({
            "lines": lines, "records": entries, "bytes": bytes, "seconds": seconds,
            "records_per_second": rate(lines, seconds),
        }));
    }
    if entries == 0 {
        out.remark("no records, so no file was written");
    }
    out.line(format!(
        "{entries} records from {lines} lines, {bytes} bytes, {seconds:.3} s, {:.0} records/s",
        rate(lines, seconds),
    ))
}

/// Every record, by ascending key; of records with the same key the last one read.
pub(crate) fn sorted_records(
    records: &mut Records<'_>,
    comparator: &dyn Comparator,
) -> Result<Vec<Record>, Failure> {
    let mut all = Vec::new();
    while let Some(record) = records.next()? {
        all.push(record);
    }
    // Stable: records with one key stay in the order of reading, so the last is the one to keep.
    all.sort_by(|(a, _), (b, _)| comparator.compare(a, b));
    all.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    Ok(all)
}

/// Writes a table of `records` to `path`, replacing what was there once the new file is whole.
pub(crate) fn write_sorted(
    path: &Path,
    records: &[Record],
    options: TableOptions,
    comparator: Arc<dyn Comparator>,
) -> Result<Option<TableInfo>, Failure> {
    let fail = |error| Failure::table(path, &error);
    let spec = Arc::new(options.validate().map_err(fail)?);
    let ctx = TableContext { comparator, ..TableContext::default() };
    file::replace(path, |sink| {
        let mut writer = TableWriter::new(&ctx, sink, content_uid(records), spec).map_err(fail)?;
        for (key, value) in records {
            writer.put(key, value).map_err(fail)?;
        }
        let finished = writer.finish().map_err(fail)?;
        Ok(finished.info)
    })
}

/// An identity drawn from the records themselves, so that the same input gives the same file.
fn content_uid(records: &[Record]) -> FileUid {
    let mut hash = Xxh3::new();
    for (key, value) in records {
        for part in [key, value] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    FileUid(hash.digest128().to_le_bytes())
}

fn get(args: &GetArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let table = open_table(&args.file, common)?;
    let fail = |error| Failure::table(&args.file, &error);
    rows::print_values(&args.keys, args.raw, |key| table.get(key), fail, out)
}

fn scan(args: &ScanArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let table = open_table(&args.file, common)?;
    let selection = Selection::parse(&args.range, out.notation)?;
    let found = match &selection.prefix {
        Some(prefix) => table.prefix(prefix),
        None => table.range(selection.bounds()),
    };
    let wants = |key: &[u8]| selection.wants(key, table.comparator());
    rows::print(found, &args.rows, wants, |error| Failure::table(&args.file, &error), out)
}

fn info(path: &Path, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let table = open_table(path, common)?;
    let info = table.info();
    let rows = describe(&info, out.notation);
    if out.json {
        let object: serde_json::Map<String, Value> = rows.into_iter().collect();
        return out.json(&Value::Object(object));
    }
    rows.iter().try_for_each(|(name, value)| match value {
        Value::String(text) => out.line(format!("{name:<20} {text}")),
        other => out.line(format!("{name:<20} {other}")),
    })
}

/// What is known about a table, by name.
pub(crate) fn describe(info: &TableInfo, notation: Notation) -> Vec<(String, Value)> {
    let Properties { comparator, compression, filter, first_key, last_key, user, .. } =
        &info.properties;
    let key = |key: &[u8]| Value::String(notation.show(key));
    let mut rows = vec![
        ("file_bytes".to_owned(), json!(info.file_len)),
        ("uid".to_owned(), json!(info.uid.to_string())),
        ("comparator".to_owned(), json!(comparator)),
        ("compression".to_owned(), json!(compression)),
        ("filter".to_owned(), json!(filter)),
        ("first_key".to_owned(), key(first_key)),
        ("last_key".to_owned(), key(last_key)),
    ];
    rows.extend(info.properties.numbers().map(|(name, number)| (name.to_owned(), json!(number))));
    rows.extend(user.iter().map(|(name, value)| (format!("user.{name}"), key(value))));
    rows
}

fn verify(path: &Path, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let (blocks, entries, damage) = match file::try_open_table(path, common)? {
        Ok(table) => {
            let report = table.verify().map_err(|error| Failure::table(path, &error))?;
            (report.blocks, report.entries, report.damage)
        }
        Err(error) if matches!(Failure::table(path, &error), Failure::Damage(_)) => {
            (0, 0, vec![Damage { offset: 0, kind: "contents", error, keys: None }])
        }
        Err(error) => return Err(Failure::table(path, &error)),
    };
    let ok = damage.is_empty();
    let file = path.display();
    let found: Vec<DamageRow<'_>> = damage.iter().map(|damage| row_of(&file, damage)).collect();
    if out.json {
        let damage: Vec<Value> = found.iter().map(|row| row.json(out)).collect();
        out.json(&json!({ "ok": ok, "files": 1, "blocks": blocks, "damage": damage }))?;
    } else {
        found.iter().try_for_each(|row| out.line(row.line(out.notation)))?;
        if ok {
            out.line(format!("{file}: ok, {blocks} blocks, {entries} entries"))?;
        }
    }
    if ok { Ok(()) } else { Err(Failure::Damage(None)) }
}

fn salvage(path: &Path, saved: &Path, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let table = open_to_salvage(path, common)?;
    if std::fs::canonicalize(saved).ok() == std::fs::canonicalize(path).ok() {
        return Err(Failure::Usage("the table to write is the one to read".into()));
    }
    let fail = |error| Failure::table(path, &error);
    let name = table.comparator().name();
    let comparator = comparator_named(name)
        .ok_or_else(|| Failure::Usage(format!("there is no comparator {name:?}")))?;
    let ctx = TableContext { comparator, ..TableContext::default() };
    let spec = Arc::new(TableOptions::default().validate().map_err(fail)?);
    // Drawn from the old identity: the same damage gives the same file.
    let mut uid = Xxh3::new();
    uid.update(b"salvaged");
    uid.update(&table.info().uid.0);
    let uid = FileUid(uid.digest128().to_le_bytes());
    let mut report = SalvageReport::default();
    let written = file::replace(saved, |sink| {
        let mut writer = TableWriter::new(&ctx, sink, uid, spec).map_err(fail)?;
        report = table.salvage(&mut writer).map_err(fail)?;
        Ok(writer.finish().map_err(fail)?.info)
    })?;
    let (ok, file) = (report.lost.is_empty(), path.display());
    let lost: Vec<DamageRow<'_>> = report.lost.iter().map(|lost| row_of(&file, lost)).collect();
    if out.json {
        let damage: Vec<Value> = lost.iter().map(|row| row.json(out)).collect();
        out.json(&json!({ "ok": ok, "entries": report.entries, "damage": damage }))?;
    } else {
        lost.iter().try_for_each(|row| out.line(row.line(out.notation)))?;
        let saved = if written.is_some() { saved.display().to_string() } else { "no table".into() };
        out.line(format!("{saved}: {} entries saved", report.entries))?;
    }
    if ok { Ok(()) } else { Err(Failure::Damage(None)) }
}

fn row_of<'a>(file: &'a dyn std::fmt::Display, damage: &'a Damage) -> DamageRow<'a> {
    let keys = damage.keys.as_ref().map(|(behind, to)| (behind.as_deref(), to.as_deref()));
    let Damage { offset, kind, error, .. } = damage;
    DamageRow { file, offset: *offset, kind, verdict: error, keys }
}
