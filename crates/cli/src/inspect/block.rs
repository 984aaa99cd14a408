//! Parts of files: listed, and dumped byte by byte.

use std::{ops::Range, path::Path};

use serde_json::{Value, json};
use stratal_types::dump::Dump;

use super::{Explained, Trouble};
use crate::{failure::Failure, output::Output};

/// A part of a file.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) kind: &'static str,
    /// Which of its kind it is, if that has a name.
    pub(super) label: Option<String>,
    /// Its number among the blocks of a table.
    pub(super) ordinal: Option<u64>,
    /// Where it stands, in bytes from the start of the file.
    pub(super) range: Range<usize>,
    /// What is wrong with it, if that was looked for.
    pub(super) trouble: Option<Trouble>,
}

impl Block {
    pub(super) fn new(kind: &'static str, range: Range<usize>) -> Self {
        Self { kind, label: None, ordinal: None, range, trouble: None }
    }

    /// The kind and, if it has one, the name.
    pub(super) fn title(&self) -> String {
        let kind = self.kind;
        match (&self.label, self.ordinal) {
            (Some(label), _) => format!("{kind} {label}"),
            (None, Some(ordinal)) => format!("{kind} block, ordinal {ordinal}"),
            (None, None) => kind.to_owned(),
        }
    }
}

/// What is no whole record: the end that a crash left, or damage.
pub(super) const TORN: &str = "no whole record";

/// Marks whole records behind one that is not.
pub(super) const BEHIND: &str = "behind what is no record";

/// What stands from `start` on, where there is no whole record: that, and whole records behind it, up
/// to where all is zero. `record` gives kind and length of the whole record at an offset; `said_len`
/// the length that what stands at an offset claims to have.
pub(super) fn torn_blocks(
    bytes: &[u8],
    start: usize,
    mut record: impl FnMut(usize) -> Option<(&'static str, usize)>,
    said_len: impl Fn(&[u8]) -> Option<usize>,
) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut at = start;
    let written = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    while at < written {
        if let Some((kind, len)) = record(at) {
            let label = Some(BEHIND.to_owned());
            blocks.push(Block { label, ..Block::new(kind, at..at + len) });
            at += len;
            continue;
        }
        let next = (at + 8..written).step_by(8).find(|at| record(*at).is_some());
        let end = next.unwrap_or_else(|| {
            let rest = bytes.get(at..).unwrap_or_default();
            let said = said_len(rest).filter(|len| *len <= rest.len()).unwrap_or(0);
            at + said.max((written - at).next_multiple_of(8)).min(rest.len())
        });
        blocks.push(Block::new(TORN, at..end));
        at = end;
    }
    blocks
}

/// Blocks of one kind that stand together, on one line.
pub(super) fn block_ranges(blocks: &[Block]) -> Vec<String> {
    let mut first = 0;
    let alike = |a: &Block, b: &Block| a.kind == b.kind && a.label == b.label;
    let runs = blocks.chunk_by(alike).map(|run| {
        let from = first;
        first += run.len();
        let start = run.first().map_or(0, |block| block.range.start);
        let end = run.last().map_or(0, |block| block.range.end);
        let kind = run.first().map_or("", |block| block.kind);
        let len = end - start;
        match run {
            [block] => format!("{from}: {} at offset {start}, {len} bytes", block.title()),
            _ => format!("{from} to {}: {kind}, from offset {start}, {len} bytes", first - 1),
        }
    });
    runs.collect()
}

/// Dumps the block of that number.
pub(super) fn dump_block(
    path: &Path,
    bytes: &[u8],
    explained: &Explained,
    number: u64,
    out: &mut Output,
) -> Result<(), Failure> {
    let blocks = &explained.blocks;
    let found = usize::try_from(number).ok().and_then(|at| Some((at, blocks.get(at)?)));
    let Some((at, block)) = found else { return Err(no_block(path, number, blocks.len())) };
    let dump = (explained.dump)(bytes, explained, at);
    let trouble = block.trouble.as_ref().or_else(|| {
        let is_last = at + 1 == blocks.len();
        explained.trouble.as_ref().filter(|trouble| trouble.is_in(&block.range, is_last))
    });
    let shown = Shown {
        number,
        kind: block.kind,
        title: block.title(),
        offset: block.range.start as u64,
        len: block.range.len() as u64,
        dump: &dump,
    };
    show(path, &shown, trouble, out)
}

/// A block and what its bytes mean.
pub(super) struct Shown<'a> {
    pub(super) number: u64,
    pub(super) kind: &'a str,
    pub(super) title: String,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) dump: &'a str,
}

/// Prints a block, then fails if something is wrong with it.
pub(super) fn show(
    path: &Path,
    shown: &Shown<'_>,
    trouble: Option<&Trouble>,
    out: &mut Output,
) -> Result<(), Failure> {
    let Shown { number, kind, title, offset, len, dump } = shown;
    let file = path.display();
    if out.json {
        out.json(&json!({
            "file": file.to_string(), "block": number, "kind": kind, "title": title,
            "offset": offset, "bytes": len, "fields": fields_of(dump), "dump": dump,
            "damage": trouble.map_or(Value::Null, Trouble::as_json),
        }))?;
    } else {
        out.line(format!("{file}: block {number}, {title} at offset {offset}, {len} bytes"))?;
        out.line("from..to    bytes                             meaning")?;
        out.bytes(dump.as_bytes())?;
    }
    trouble.map_or(Ok(()), |trouble| Err(trouble.clone().into_failure(path)))
}

pub(super) fn no_block(path: &Path, number: u64, count: usize) -> Failure {
    let file = path.display();
    Failure::Absent(Some(format!("{file}: there is no block {number}, only {count}")))
}

/// The fields that a dump describes, each with its place, its bytes and its meaning, under the line of
/// prose that stands before them.
pub(super) fn fields_of(dump: &str) -> Vec<Value> {
    struct Field<'a> {
        offset: usize,
        end: usize,
        hex: String,
        meaning: &'a str,
        part: &'a str,
    }
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut part = "";
    for line in dump.lines() {
        let row = line.split_once("..").and_then(|(from, rest)| {
            let (to, rest) = rest.split_once("  ")?;
            let (hex, meaning) = rest.split_once(' ')?;
            let place = |hex| usize::from_str_radix(hex, 16).ok();
            Some((place(from)?, place(to)?, hex, meaning.trim_start()))
        });
        match (row, fields.last_mut()) {
            (Some((_, end, hex, "…")), Some(field)) => {
                field.end = end;
                field.hex.push_str(hex);
            }
            (Some((offset, end, hex, meaning)), _) => {
                let hex = match (hex, hex.strip_prefix("0*")) {
                    (_, Some(_)) => "00".repeat(end.saturating_sub(offset)),
                    ("-", _) => String::new(),
                    _ => hex.to_owned(),
                };
                fields.push(Field { offset, end, hex, meaning, part });
            }
            (None, _) => part = line.trim_start_matches('#').trim(),
        }
    }
    let fields = fields.into_iter().map(|Field { offset, end, hex, meaning, part }| {
        json!({
            "offset": offset, "bytes": end.saturating_sub(offset), "hex": hex,
            "meaning": meaning, "part": part,
        })
    });
    fields.collect()
}

/// Describes the file up to the end of a block by `annotate`, and keeps what it says about that block.
pub(super) fn dump_by(
    bytes: &[u8],
    range: &Range<usize>,
    annotate: impl FnOnce(&mut Dump<'_>),
) -> String {
    let mut dump = Dump::new(bytes.get(..range.end).unwrap_or(bytes));
    annotate(&mut dump);
    lines_in(&dump.finish(), range)
}

/// The lines of a dump that are about bytes of `range`.
pub(super) fn lines_in(text: &str, range: &Range<usize>) -> String {
    // A line of prose belongs to the bytes behind it.
    let (mut kept, mut prose) = (String::new(), String::new());
    for line in text.split_inclusive('\n') {
        let offset = line.split("..").next().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        match offset {
            None => prose.push_str(line),
            Some(offset) => {
                if range.contains(&offset) {
                    kept.push_str(&prose);
                    kept.push_str(line);
                }
                prose.clear();
            }
        }
    }
    kept
}
