//! What each byte of a plain archive means, for inspection.

use stratal_types::dump::Dump;

use stratal_types::fields::take;

use super::{Toc, TocEntry, Trailer, open};
use crate::bytes::len_u64;

/// Describes the archive that the rest of `dump` is, from its first byte to its last. If it does not
/// open, a note says why, and what is left undescribed is what cannot be told.
pub fn annotate(dump: &mut Dump<'_>) {
    let file = dump.remaining();
    let toc = match open(file) {
        Ok(toc) => toc,
        Err(error) => {
            dump.note(format_args!("not to be opened: {error}"));
            let trailer = file.split_last_chunk::<{ Trailer::LEN }>();
            if let Some((before, _)) = trailer.filter(|(_, end)| end.starts_with(&Trailer::MAGIC)) {
                if !before.is_empty() {
                    dump.field(before.len(), "sections and contents");
                }
                annotate_trailer(dump);
            }
            return;
        }
    };
    annotate_sections(&toc, file, dump);
    dump.note("contents");
    annotate_toc(dump);
    dump.note("trailer");
    annotate_trailer(dump);
}

/// Describes the sections in order of offset. Of bytes that belong to several, the first tells.
fn annotate_sections(toc: &Toc, file: &[u8], dump: &mut Dump<'_>) {
    let mut sections: alloc::vec::Vec<&TocEntry> = toc.entries.iter().collect();
    sections.sort_by_key(|entry| entry.offset);
    let at = |dump: &Dump<'_>| len_u64(file).saturating_sub(len_u64(dump.remaining()));
    let until = |dump: &Dump<'_>, offset: u64| {
        usize::try_from(offset.saturating_sub(at(dump))).unwrap_or(usize::MAX)
    };
    for entry in sections {
        if entry.offset > at(dump) {
            dump.field(until(dump, entry.offset), "no section");
        }
        dump.field(
            until(dump, entry.range().end),
            format_args!("section \"{}\"", entry.name.escape_ascii()),
        );
    }
    if toc.offset > at(dump) {
        dump.field(until(dump, toc.offset), "no section");
    }
}

fn annotate_toc(dump: &mut Dump<'_>) {
    dump.field(4, "magic");
    let entry_count = take(&mut dump.remaining()).map_or(0, u32::from_le_bytes);
    dump.field(4, format_args!("entry_count {entry_count}"));
    for index in 0..entry_count {
        if dump.remaining().is_empty() {
            break;
        }
        dump.note(format_args!("entry {index}"));
        number(dump, "offset");
        number(dump, "len");
        let name_len = take(&mut dump.remaining()).map_or(0, u16::from_le_bytes);
        dump.field(2, format_args!("name_len {name_len}"));
        let rest = dump.remaining();
        let name = rest.get(..name_len.into()).unwrap_or(rest);
        dump.field(name.len(), format_args!("name \"{}\"", name.escape_ascii()));
    }
}

fn annotate_trailer(dump: &mut Dump<'_>) {
    dump.field(4, "magic").field(1, "version").field(1, "check_type, 0 is xxh3-128");
    dump.field(16, "toc_check");
    number(dump, "toc_offset");
    number(dump, "toc_len");
}

fn number(dump: &mut Dump<'_>, name: &str) {
    let value = take(&mut dump.remaining()).map_or(0, u64::from_le_bytes);
    dump.field(8, format_args!("{name} {value}"));
}
