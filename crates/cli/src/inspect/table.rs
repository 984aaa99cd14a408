//! Sorted tables.

use std::path::Path;

use serde_json::{Value, json};
use stratal_archive::Half;
use stratal_sst::{BlockInfo, Error, ReadAt, Table};

use super::{
    Trouble,
    block::{Shown, no_block, show},
    frames::dump_frame,
};
use crate::{
    args::{Common, InspectArgs},
    failure::Failure,
    file::{open_source, try_open_table},
    output::Output,
    table::describe,
};

/// What came of explaining a file as a table.
pub(super) enum Outcome {
    /// All there is to say was said.
    Explained,
    /// It is an archive of another type.
    OtherArchive,
    /// It is a table, but without contents, properties or index that can be read.
    Damaged,
}

pub(super) fn try_run(
    args: &InspectArgs,
    common: &Common,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let path = &args.file;
    let table = match try_open_table(path, common)? {
        Ok(table) => table,
        Err(Error::NotATable { .. }) => return Ok(Outcome::OtherArchive),
        Err(error) => return damaged(path, &error),
    };
    let blocks = match table.blocks() {
        Ok(blocks) => blocks,
        Err(error) => return damaged(path, &error),
    };
    match args.block {
        Some(number) => block(path, &table, &blocks, number, out)?,
        None if out.json => out.json(&as_json(path, &table, &blocks, out))?,
        None => explain(path, &table, &blocks, out)?,
    }
    Ok(Outcome::Explained)
}

/// A table that does not open is worth a second look if it is damaged, not if it is something else.
fn damaged(path: &Path, error: &Error) -> Result<Outcome, Failure> {
    match Failure::table(path, error) {
        Failure::Damage(_) => Ok(Outcome::Damaged),
        failure => Err(failure),
    }
}

fn explain(
    path: &Path,
    table: &Table,
    blocks: &[BlockInfo],
    out: &mut Output,
) -> Result<(), Failure> {
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

    out.line("\nBlocks, as --block N numbers them:")?;
    for line in block_ranges(blocks) {
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

fn block(
    path: &Path,
    table: &Table,
    blocks: &[BlockInfo],
    number: u64,
    out: &mut Output,
) -> Result<(), Failure> {
    let block = usize::try_from(number).ok().and_then(|number| blocks.get(number));
    let Some(&block) = block else { return Err(no_block(path, number, blocks.len())) };
    let BlockInfo { kind, offset, len, ordinal } = block;
    let (dump, trouble) = match table.annotate_block(block) {
        Ok(dump) => (dump, None),
        Err(error @ Error::Read { .. }) => return Err(Failure::table(path, &error)),
        Err(error) => {
            let range = offset..offset.saturating_add(len.into());
            let stored = open_source(path)?.read(range);
            let stored = stored.map_err(|error| Failure::io(path, "read", &error))?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let what = error.to_string();
            let trouble = if error.is_corruption() {
                Trouble::Damage { offset, what }
            } else {
                Trouble::Refused { what }
            };
            (dump_frame(kind, start, &stored, None), Some(trouble))
        }
    };
    let title = format!("{} block, ordinal {ordinal}", kind.name());
    let shown = Shown { number, kind: kind.name(), title, offset, len: len.into(), dump: &dump };
    show(path, &shown, trouble.as_ref(), out)
}

fn as_json(path: &Path, table: &Table, blocks: &[BlockInfo], out: &Output) -> Value {
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
        "layout": layout, "properties": properties, "blocks": blocks.len(),
    })
}
