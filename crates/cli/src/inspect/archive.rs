//! Archives that are no tables, and plain archives of the `sfa` crate.

use std::{ops::Range, path::Path};

use serde_json::{Value, json};
use stratal_archive::{
    Error, Half, Opener, Part, Progress, Toc, Trailer, annotate_header, annotate_toc,
    annotate_trailer, sfa,
};
use stratal_types::dump::Dump;

use super::{
    Explained, Trouble,
    block::{Block, lines_in},
};

/// The contents of an archive, and what is wrong with the whole of it: of a file that lost its end or
/// got something appended, the contents are still told.
pub(super) fn contents(bytes: &[u8]) -> (Option<Toc>, Option<Trouble>) {
    match open(bytes, Opener::new(bytes.len() as u64)) {
        Ok(toc) => (Some(toc), None),
        Err(error) => {
            let trouble = trouble_of(&error, bytes.len());
            (open(bytes, Opener::new(bytes.len() as u64).salvage()).ok(), Some(trouble))
        }
    }
}

/// The header, every section and everything between them, in order of offset.
pub(super) fn explain(bytes: &[u8], _path: &Path) -> Explained {
    let (toc, trouble) = contents(bytes);
    let mut explained = Explained {
        name: "archive",
        title: "an archive of Stratal",
        facts: Vec::new(),
        blocks: vec![Block::new("header", 0..bytes.len().min(HEADER_LEN))],
        trouble,
        dump,
    };
    let Some(toc) = toc else { return explained };
    let sections: Vec<Value> = toc
        .entries
        .iter()
        .map(|entry| {
            json!({
                "tag": entry.tag.to_string(), "half": entry.half.to_string(),
                "critical": entry.tag.is_critical(), "offset": entry.offset, "bytes": entry.len,
            })
        })
        .collect();
    explained.facts = vec![
        ("archive_type", json!(toc.header.file_type.escape_ascii().to_string())),
        ("db_id", json!(toc.header.db_id.to_string())),
        ("uid", json!(toc.header.uid.to_string())),
        ("sections", sections.into()),
    ];
    explained.blocks = blocks(bytes, &toc);
    let damaged = explained.blocks.iter().find_map(|block| block.trouble.clone());
    explained.trouble = explained.trouble.or(damaged);
    explained
}

const HEADER_LEN: usize = stratal_archive::ArchiveHeader::LEN;

fn blocks(bytes: &[u8], toc: &Toc) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut add = |kind, label: Option<String>, range: &Range<u64>, check: &Check<'_>| {
        let place = usizes(range);
        let here = clipped(bytes, &place);
        let trouble = check(here).err().map(|error| match error {
            Error::Checksum { expected, actual, .. } => Trouble::damage(
                place.start,
                format!("the check of these bytes is {actual:#018x}, expected {expected:#018x}"),
            ),
            Error::Truncated { .. } => Trouble::damage(bytes.len(), "the file ends too early"),
            error => trouble_of(&error, place.start),
        });
        let range = place.start.min(bytes.len())..place.end.min(bytes.len());
        blocks.push(Block { label, trouble, ..Block::new(kind, range) });
    };
    for entry in &toc.entries {
        let label = format!("{}, {} copy", entry.tag, entry.half);
        add("section", Some(label), &entry.range(), &|bytes| entry.verify(bytes));
    }
    for part in Part::ALL {
        let (kind, label) = match part {
            Part::Header => ("header", None),
            Part::Contents(half) => ("contents", Some(format!("{half} copy"))),
            Part::Gap => ("gap", None),
        };
        add(kind, label, &toc.part_range(part), &|bytes| toc.check_part(part, bytes));
    }
    // An empty section stands before what begins where it does.
    blocks.sort_by_key(|block| (block.range.start, block.range.end));
    blocks
}

/// Whether the bytes of a part are whole.
type Check<'a> = dyn Fn(&[u8]) -> Result<(), Error> + 'a;

fn dump(bytes: &[u8], explained: &Explained, number: usize) -> String {
    let Some(block) = explained.blocks.get(number) else { return String::new() };
    let mut dump = Dump::at(block.range.start, clipped(bytes, &block.range));
    match (block.kind, &block.label) {
        ("header", _) => annotate_header(&mut dump),
        ("contents", _) => {
            dump.note("contents");
            annotate_toc(block.range.start as u64, &mut dump);
            if dump.remaining().len() <= Trailer::LEN {
                dump.note("trailer");
                annotate_trailer(&mut dump);
            }
        }
        ("gap", _) => {
            dump.zeros(block.range.len());
        }
        (kind, label) => {
            let label = label.as_deref().unwrap_or_default();
            dump.field(block.range.len(), format_args!("{kind} {label}"));
        }
    }
    dump.finish()
}

/// Whether a file ends like a plain archive of the `sfa` crate.
pub(super) fn is_plain(end: &[u8]) -> bool {
    end.len() == sfa::Trailer::LEN && end.starts_with(&sfa::Trailer::MAGIC)
}

/// Sections in the order of the contents, then contents and trailer.
pub(super) fn explain_plain(bytes: &[u8], _path: &Path) -> Explained {
    let trailer_start = bytes.len().saturating_sub(sfa::Trailer::LEN);
    let mut explained = Explained {
        name: "sfa",
        title: "a plain archive of the sfa crate",
        facts: Vec::new(),
        blocks: Vec::new(),
        trouble: None,
        dump: |bytes, explained, number| {
            let Some(block) = explained.blocks.get(number) else { return String::new() };
            let mut dump = Dump::new(bytes);
            if block.kind == "section" {
                let name = block.label.as_deref().unwrap_or_default();
                dump = Dump::at(block.range.start, clipped(bytes, &block.range));
                dump.field(block.range.len(), format_args!("section {name}"));
                return dump.finish();
            }
            sfa::annotate(&mut dump);
            lines_in(&dump.finish(), &block.range)
        },
    };
    match sfa::open(bytes) {
        Ok(toc) => {
            for entry in &toc.entries {
                let label = Some(format!("\"{}\"", entry.name.escape_ascii()));
                explained
                    .blocks
                    .push(Block { label, ..Block::new("section", usizes(&entry.range())) });
            }
            let start = usizes(&(toc.offset..toc.offset)).start;
            explained.blocks.push(Block::new("contents", start..trailer_start));
            let sections = toc.entries.iter().map(|entry| {
                json!({
                    "name": entry.name.escape_ascii().to_string(),
                    "offset": entry.offset, "bytes": entry.len,
                })
            });
            explained.facts = vec![("sections", sections.collect())];
        }
        Err(error) => {
            let what = error.to_string();
            explained.trouble = Some(match error {
                sfa::Error::Checksum { offset, .. } | sfa::Error::Malformed { offset, .. } => {
                    Trouble::Damage { offset, what }
                }
                error if error.is_corruption() => Trouble::damage(trailer_start, what),
                _ => Trouble::Refused { what },
            });
            if !bytes.get(trailer_start..).is_some_and(is_plain) {
                explained.blocks.push(Block::new("file", 0..bytes.len()));
                return explained;
            }
            explained.blocks.push(Block::new("sections and contents", 0..trailer_start));
        }
    }
    explained.blocks.push(Block::new("trailer", trailer_start..bytes.len()));
    explained
}

fn open(bytes: &[u8], mut opener: Opener) -> Result<Toc, Error> {
    let mut given: &[u8] = &[];
    loop {
        match opener.advance(given)? {
            Progress::Need(range) => given = clipped(bytes, &usizes(&range)),
            Progress::Done(toc) => return Ok(toc),
        }
    }
}

fn trouble_of(error: &Error, len: usize) -> Trouble {
    let what = error.to_string();
    match error {
        Error::Checksum { offset, .. } | Error::Malformed { offset, .. } => {
            Trouble::Damage { offset: *offset, what }
        }
        Error::Overlong { expected, .. } => Trouble::Damage { offset: *expected, what },
        error if error.is_corruption() => Trouble::damage(len, what),
        _ => Trouble::Refused { what },
    }
}

/// Those bytes of a range that there are.
pub(super) fn clipped<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    let end = range.end.min(bytes.len());
    bytes.get(range.start.min(end)..end).unwrap_or_default()
}

pub(super) fn usizes(range: &Range<u64>) -> Range<usize> {
    let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
    place(range.start)..place(range.end)
}

/// Which half is `half` of two.
pub(super) fn copy_of(half: Half) -> usize {
    usize::from(half == Half::Mirror)
}
