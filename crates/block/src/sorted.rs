//! The sorted block: rows in internal order, searched where they lie.

mod header;
mod layout;
mod words;
mod groups;
mod builder;
mod search;
mod block;
mod place;
mod cursor;

pub use block::{EntryView, SortedBlock};
pub use builder::{NewRow, SortedBlockBuilder, SortedBlockOptions, Step};
pub use cursor::SortedCursor;
pub use place::SortedPlace;

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use stratal_types::{EntryKind, dump::Dump};

use header::{Header, REST_BY_VALUE};

/// Describes the sorted block in the next `len` bytes of `dump`.
///
/// What is no sorted block is left undescribed, with a note that says why.
pub fn annotate_sorted_block(dump: &mut Dump<'_>, len: usize) {
    let bytes = dump.remaining();
    let block = SortedBlock::parse(bytes.get(..len).unwrap_or(bytes));
    match (block, Header::decode(bytes)) {
        (Ok(block), Ok(header)) => {
            annotate_header(dump, &header);
            annotate_columns(dump, &block, &header);
            annotate_rows(dump, &block, &header);
            annotate_digests(dump, &block);
        }
        (Err(error), _) | (_, Err(error)) => {
            dump.note(error);
        }
    }
}

fn annotate_header(dump: &mut Dump<'_>, header: &Header) {
    let [version, flags, ..] = header.encode();
    let kind = header.kind.map_or("a column of kinds", EntryKind::name);
    let tags = if header.has_tags { ", tags" } else { "" };
    let groups = if header.groups.is_some() { ", groups" } else { "" };
    let digests = if header.has_digests { ", digests" } else { "" };
    let rest_len =
        if header.rest_width == REST_BY_VALUE { "rest_len, of values:" } else { "rest_len" };
    dump.field(1, format_args!("version {version}"))
        .field(1, format_args!("flags {flags:#04x}{tags}{groups}{digests}"))
        .field(1, format_args!("head_width {}", header.head_width))
        .field(1, format_args!("offset_width {}", header.offset_width))
        .field(1, format_args!("rest_width {}", header.rest_width))
        .field(1, format_args!("seqno_width {}", header.seqno_width))
        .field(1, format_args!("kind {}, {kind}", header.kind.map_or(0, EntryKind::tag)))
        .field(1, "reserved")
        .field(4, format_args!("count {}", header.count))
        .field(2, format_args!("prefix_len {}", header.prefix_len))
        .field(2, format_args!("{rest_len} {}", header.rest_len))
        .field(8, format_args!("seqno_base {}", header.seqno_base));
    if let Some(groups) = header.groups {
        dump.field(4, format_args!("group_count {}", groups.count))
            .field(2, format_args!("middle_len {}", groups.middle_len))
            .field(2, format_args!("middles_len {}", groups.middles_len));
    }
}

fn annotate_columns(dump: &mut Dump<'_>, block: &SortedBlock<&[u8]>, header: &Header) {
    let sections = header.section_lens();
    let rows = || 0..block.len();
    let heads = || {
        let rows = rows().filter_map(|i| block.entry(i));
        let heads = rows.map(|row| format!("\"{}\"", row.head().escape_ascii()));
        heads.collect::<Vec<String>>().join(" ")
    };
    let seqnos = || {
        let trailers = rows().filter_map(|i| block.trailer(i));
        trailers.map(|trailer| format!("{}", trailer.seqno())).collect::<Vec<String>>().join(" ")
    };
    let kinds = || {
        let trailers = rows().filter_map(|i| block.trailer(i));
        trailers.map(|trailer| trailer.kind().name()).collect::<Vec<_>>().join(", ")
    };
    let groups = || 0..header.groups.map_or(0, |groups| groups.count as usize);
    let starts = || {
        let starts = groups().map(|g| block.view().group(g).rows.start.to_string());
        starts.collect::<Vec<String>>().join(" ")
    };
    let middles = || {
        let middles =
            groups().map(|g| format!("\"{}\"", block.view().group(g).middle.escape_ascii()));
        middles.collect::<Vec<String>>().join(" ")
    };
    let mut section = |len: u64, meaning: &dyn Fn() -> String| {
        if len > 0 {
            dump.field(usize::try_from(len).unwrap_or(usize::MAX), meaning());
        }
    };
    section(sections.prefix, &|| "prefix".into());
    section(sections.tags, &|| "tags".into());
    section(sections.starts, &|| format!("starts {}", starts()));
    section(sections.ends, &|| "ends".into());
    section(sections.middles, &|| format!("middles {}", middles()));
    section(sections.heads, &|| format!("heads {}", heads()));
    section(sections.offsets, &|| "offsets".into());
    section(sections.seqnos, &|| format!("seqnos {}", seqnos()));
    section(sections.kinds, &|| format!("kinds {}", kinds()));
}

fn annotate_digests(dump: &mut Dump<'_>, block: &SortedBlock<&[u8]>) {
    for (i, _) in (0..block.len()).map_while(|i| Some((i, block.digest(i)?))) {
        let fits = block.verify_entry(i, &mut Vec::new()).is_ok();
        let fits = if fits { "" } else { ", of another entry" };
        dump.field(4, format_args!("row {i}: digest{fits}"));
    }
}

fn annotate_rows(dump: &mut Dump<'_>, block: &SortedBlock<&[u8]>, header: &Header) {
    let mut key = Vec::new();
    for i in 0..block.len() {
        let Some(row) = block.entry(i) else { return };
        row.key_into(&mut key);
        if matches!(header.rest_width, 1 | 2) {
            let rest_len = row.rest_len();
            dump.field(header.rest_width.into(), format_args!("row {i}: rest_len {rest_len}"));
        }
        let key = key.escape_ascii();
        dump.field(row.suffix().len(), format_args!("row {i}: suffix of \"{key}\""));
        dump.field(row.value.len(), format_args!("row {i}: value"));
    }
}
