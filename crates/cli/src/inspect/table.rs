//! Sorted tables.

use std::path::Path;

use serde_json::{Value, json};
use stratal_archive::Half;
use stratal_sst::{BlockInfo, Table, TableBlock};

use crate::{
    args::{Common, InspectArgs},
    failure::Failure,
    file::open_table,
    output::Output,
    table::describe,
};

pub(super) fn run(args: &InspectArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let path = &args.file;
    let table = open_table(path, common)?;
    match args.block {
        Some(number) => block(path, &table, number, out),
        None if out.json => out.json(&as_json(path, &table, out)),
        None => explain(path, &table, out),
    }
}

fn explain(path: &Path, table: &Table, out: &mut Output) -> Result<(), Failure> {
    let info = table.info();
    let toc = table.contents();
    let properties = &info.properties;
    out.line(format!("{}: a sorted table of Stratal, {} bytes", path.display(), info.file_len))?;
    out.line(format!(
        "\nIt holds {} entries of {} keys in {} data blocks, from",
        properties.entries, properties.keys, properties.data_blocks
    ))?;
    out.text(&properties.first_key)?;
    out.line("to")?;
    out.text(&properties.last_key)?;
    if toc.served_by() == Half::Primary {
        out.line(
            "\nThe contents at the end of the file are damaged; these are from their other copy.",
        )?;
    }

    out.line("\nLayout (bytes from the start of the file):")?;
    out.line("      offset       length  what")?;
    for (offset, len, what) in layout(table) {
        out.line(format!("{offset:>12} {len:>12}  {what}"))?;
    }

    out.line("\nProperties:")?;
    for (name, value) in describe(&info, out.notation) {
        match value {
            Value::String(text) => out.line(format!("  {name:<18} {text}"))?,
            other => out.line(format!("  {name:<18} {other}"))?,
        }
    }

    let blocks = table.blocks().map_err(|error| Failure::table(path, &error))?;
    out.line("\nBlocks, as --block N numbers them:")?;
    for line in block_ranges(&blocks) {
        out.line(format!("  {line}"))?;
    }
    Ok(())
}

/// Everything the file consists of, in order of offset.
fn layout(table: &Table) -> Vec<(u64, u64, String)> {
    let toc = table.contents();
    let parts = stratal_archive::Part::ALL.into_iter().map(|part| {
        let range = toc.part_range(part);
        let what = match part {
            stratal_archive::Part::Header => "header".to_owned(),
            stratal_archive::Part::Contents(half) => format!("table of contents, {half} copy"),
            stratal_archive::Part::Gap => "gap, so that no lost sector hits both copies".to_owned(),
        };
        (range.start, range.end - range.start, what)
    });
    let sections = toc.entries.iter().map(|entry| {
        let critical = if entry.tag.is_critical() { "critical" } else { "skippable" };
        (entry.offset, entry.len, format!("section {}, {} copy, {critical}", entry.tag, entry.half))
    });
    let mut all: Vec<_> = parts.chain(sections).collect();
    all.sort();
    all
}

/// Blocks of one kind that stand together, on one line.
fn block_ranges(blocks: &[BlockInfo]) -> Vec<String> {
    let mut first = 0;
    let runs = blocks.chunk_by(|a, b| a.kind == b.kind).map(|run| {
        let from = first;
        first += run.len();
        match run {
            [block] => format!(
                "{from}: {} block at offset {}, {} bytes",
                block.kind.name(),
                block.offset,
                block.len
            ),
            _ => format!(
                "{from} to {}: {} blocks",
                first - 1,
                run.first().map_or("", |block| block.kind.name())
            ),
        }
    });
    runs.collect()
}

fn block(path: &Path, table: &Table, number: u64, out: &mut Output) -> Result<(), Failure> {
    let fail = |error| Failure::table(path, &error);
    let blocks = table.blocks().map_err(fail)?;
    let block = usize::try_from(number).ok().and_then(|number| blocks.get(number));
    let Some(&block) = block else {
        let message =
            format!("{}: there is no block {number}, only {}", path.display(), blocks.len());
        return Err(Failure::Absent(Some(message)));
    };
    let dump = table.annotate_block(block).map_err(fail)?;
    if out.json {
        return out.json(&json!({
            "file": path.display().to_string(), "block": number, "kind": block.kind.name(),
            "offset": block.offset, "bytes": block.len, "ordinal": block.ordinal, "dump": dump,
        }));
    }
    let BlockInfo { kind, offset, ordinal, .. } = block;
    let kind = TableBlock::name(kind);
    out.line(format!(
        "{}: block {number}, a {kind} block at offset {offset}, ordinal {ordinal}",
        path.display()
    ))?;
    out.line("from..to    bytes                             meaning")?;
    out.bytes(dump.as_bytes())
}

fn as_json(path: &Path, table: &Table, out: &Output) -> Value {
    let info = table.info();
    let layout: Vec<Value> = layout(table)
        .into_iter()
        .map(|(offset, bytes, what)| json!({ "offset": offset, "bytes": bytes, "what": what }))
        .collect();
    let properties: serde_json::Map<String, Value> =
        describe(&info, out.notation).into_iter().collect();
    json!({
        "file": path.display().to_string(), "type": "table", "bytes": info.file_len,
        "uid": info.uid.to_string(), "db_id": table.contents().header.db_id.to_string(),
        "layout": layout, "properties": properties,
    })
}
