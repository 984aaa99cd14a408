//! The verbs that work with a table file alone.

use std::{ops::Bound, path::Path, sync::Arc, time::Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use stratal_filter::FilterSpec;
use stratal_sst::{
    Damage, Properties, Table, TableContext, TableInfo, TableOptions, TableRange, TableWriter,
};
use stratal_types::{Comparator, FileUid, comparator_named};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    args::{Common, GetArgs, OutputFormat, RangeArgs, ScanArgs, TableVerb, WriteArgs},
    failure::Failure,
    file::{self, open_table},
    input::{Record, Records},
    output::Output,
    text::Notation,
};

pub(crate) fn run(verb: &TableVerb, common: &Common, out: &mut Output) -> Result<(), Failure> {
    match verb {
        TableVerb::Write(args) => write(args, out),
        TableVerb::Get(args) => get(args, common, out),
        TableVerb::Scan(args) => scan(args, common, out),
        TableVerb::Info { file } => info(file, common, out),
        TableVerb::Verify { file } => verify(file, common, out),
    }
}

fn write(args: &WriteArgs, out: &mut Output) -> Result<(), Failure> {
    let comparator = comparator_named(&args.comparator).ok_or_else(|| {
        Failure::Usage(format!(
            "there is no comparator {:?}; use bytewise, reverse or shortlex",
            args.comparator
        ))
    })?;
    let filter = (args.filter_bits > 0.0).then_some(FilterSpec::BitsPerKey(args.filter_bits));
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

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds.max(1e-9)
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
        let mut writer = TableWriter::new(&ctx, sink, content_uid(records), spec);
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
    let mut missing = false;
    for text in &args.keys {
        let key = parse_key(text, out.notation)?;
        let value = table.get(&key).map_err(|error| Failure::table(&args.file, &error))?;
        missing |= value.is_none();
        print_value(&key, value, args.raw, out)?;
    }
    if missing { Err(Failure::Absent(None)) } else { Ok(()) }
}

fn print_value(
    key: &[u8],
    value: Option<Bytes>,
    raw: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    if out.json {
        let shown = value.as_ref().map_or(Value::Null, |value| out.json_text(value));
        let found = value.is_some();
        return out.json(&json!({ "key": out.json_text(key), "found": found, "value": shown }));
    }
    match value {
        Some(value) if raw => out.bytes(&value),
        Some(value) => out.text(&value),
        None => {
            eprintln!("not found: {}", out.notation.show(key));
            Ok(())
        }
    }
}

fn scan(args: &ScanArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let table = open_table(&args.file, common)?;
    let selection = Selection::parse(&args.range, out.notation)?;
    let mut rows = selection.of(&table);
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut printed = 0;
    while printed < limit {
        let Some(row) = (if args.reverse { rows.next_back() } else { rows.next() }) else { break };
        let (key, value) = row.map_err(|error| Failure::table(&args.file, &error))?;
        if !selection.wants(&key, &table) {
            continue;
        }
        let value = (!args.keys_only).then_some(value);
        print_row(&key, value.as_deref(), args.format, out)?;
        printed += 1;
    }
    Ok(())
}

fn print_row(
    key: &[u8],
    value: Option<&[u8]>,
    format: OutputFormat,
    out: &mut Output,
) -> Result<(), Failure> {
    if format == OutputFormat::Tsv && !out.json {
        return out.row(key, value);
    }
    let mut row = serde_json::Map::new();
    row.insert("key".into(), out.json_text(key));
    if let Some(value) = value {
        row.insert("value".into(), out.json_text(value));
    }
    out.json(&Value::Object(row))
}

/// Which keys a scan wants.
struct Selection {
    prefix: Option<Vec<u8>>,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

impl Selection {
    fn parse(args: &RangeArgs, notation: Notation) -> Result<Self, Failure> {
        let parse = |text: &Option<String>| {
            text.as_deref().map(|text| parse_bytes(text, notation)).transpose()
        };
        Ok(Self {
            prefix: parse(&args.prefix)?,
            from: parse(&args.from)?.map_or(Bound::Unbounded, Bound::Included),
            to: parse(&args.to)?.map_or(Bound::Unbounded, Bound::Excluded),
        })
    }

    fn of(&self, table: &Table) -> TableRange {
        match &self.prefix {
            Some(prefix) => table.prefix(prefix),
            None => table.range((self.from.clone(), self.to.clone())),
        }
    }

    /// With a prefix the bounds are looked at row by row.
    fn wants(&self, key: &[u8], table: &Table) -> bool {
        let range = stratal_types::KeyRange { start: self.from.clone(), end: self.to.clone() };
        self.prefix.is_none() || range.contains(key, table.comparator())
    }
}

/// A key as it stands on the command line.
fn parse_key(text: &str, notation: Notation) -> Result<Vec<u8>, Failure> {
    let key = parse_bytes(text, notation)?;
    if key.is_empty() {
        return Err(Failure::Usage("a key must not be empty".into()));
    }
    Ok(key)
}

fn parse_bytes(text: &str, notation: Notation) -> Result<Vec<u8>, Failure> {
    let bytes = notation.parse(text.as_bytes());
    bytes.map(std::borrow::Cow::into_owned).map_err(|why| Failure::Usage(format!("{text}: {why}")))
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
    if out.json {
        let damage: Vec<Value> =
            damage.iter().map(|damage| damage_json(path, damage, out)).collect();
        out.json(&json!({ "ok": ok, "files": 1, "blocks": blocks, "damage": damage }))?;
    } else {
        for damage in &damage {
            out.line(damage_line(path, damage, out.notation))?;
        }
        if ok {
            out.line(format!("{}: ok, {blocks} blocks, {entries} entries", path.display()))?;
        }
    }
    if ok { Ok(()) } else { Err(Failure::Damage(None)) }
}

fn damage_line(path: &Path, damage: &Damage, notation: Notation) -> String {
    let Damage { offset, kind, error, keys } = damage;
    let line = format!("{}: offset {offset}: {kind}: {error}", path.display());
    let Some((behind, to)) = keys else { return line };
    let from = match behind {
        Some(key) => format!("behind {}", notation.show(key)),
        None => "from the first".to_owned(),
    };
    format!("{line}; keys {from} to {} are lost", notation.show(to))
}

fn damage_json(path: &Path, damage: &Damage, out: &Output) -> Value {
    let (from, to) = match &damage.keys {
        Some((behind, to)) => (behind.as_deref(), Some(to.as_slice())),
        None => (None, None),
    };
    let key = |key: Option<&[u8]>| key.map_or(Value::Null, |key| out.json_text(key));
    json!({
        "file": path.display().to_string(), "offset": damage.offset, "kind": damage.kind,
        "verdict": damage.error.to_string(), "from_key": key(from), "to_key": key(to),
    })
}
