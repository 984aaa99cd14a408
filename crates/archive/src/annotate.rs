//! What each byte of header, contents and trailer means, for inspection. Damage is no obstacle: the
//! fields stand where they stand, and a check that does not hold is named.

use stratal_types::dump::Dump;

use stratal_types::fields::{take, take_u32, take_u64};

use crate::{ArchiveHeader, Error, Half, SectionTag, TocEntry, Trailer, bytes::unsealed};

const CHECK_LEN: usize = 8;

/// Describes a header, the next [`ArchiveHeader::LEN`] bytes of `dump`.
pub fn annotate_header(dump: &mut Dump<'_>) {
    let bytes = dump.remaining();
    dump.field(8, "magic");
    number32(dump, "version");
    name(dump, "file_type");
    dump.field(16, "db_id").field(16, "uid");
    seal(dump);
    dump.field(16, "zero");
    check(dump, bytes, ArchiveHeader::LEN, 0);
}

/// Describes the table of contents that stands at `offset` of its file, the next bytes of `dump`.
pub fn annotate_toc(offset: u64, dump: &mut Dump<'_>) {
    let bytes = dump.remaining();
    dump.field(8, "magic");
    number32(dump, "version");
    half(dump);
    dump.field(3, "zero");
    name(dump, "file_type");
    let entry_count = number32(dump, "entry_count");
    dump.field(16, "db_id").field(16, "uid");
    number64(dump, "file_len");
    seal(dump);
    dump.field(8, "zero");
    for index in 0..entry_count {
        if dump.remaining().len() < TocEntry::LEN {
            break;
        }
        dump.note(format_args!("entry {index}"));
        name(dump, "tag");
        half(dump);
        dump.field(3, "zero");
        number64(dump, "offset");
        number64(dump, "len");
        dump.field(8, "check of the section");
    }
    let len = bytes.len().saturating_sub(dump.remaining().len()).saturating_add(CHECK_LEN);
    check(dump, bytes, len, offset);
}

/// Describes a trailer, the next [`Trailer::LEN`] bytes of `dump`.
pub fn annotate_trailer(dump: &mut Dump<'_>) {
    let bytes = dump.remaining();
    dump.field(8, "magic");
    number32(dump, "version");
    number32(dump, "toc_len");
    number64(dump, "toc_offset");
    check(dump, bytes, Trailer::LEN, 0);
}

/// What it takes to decrypt the file.
fn seal(dump: &mut Dump<'_>) {
    let cipher = dump.remaining().first().copied().unwrap_or(0);
    dump.field(1, format_args!("cipher {cipher}")).field(3, "zero");
    number32(dump, "epoch");
    dump.field(32, "salt").field(16, "key_check");
}

/// Zero if it is not there.
fn number32(dump: &mut Dump<'_>, name: &str) -> u32 {
    let value = take_u32(&mut dump.remaining()).unwrap_or(0);
    dump.field(4, format_args!("{name} {value}"));
    value
}

fn number64(dump: &mut Dump<'_>, name: &str) {
    let value = take_u64(&mut dump.remaining()).unwrap_or(0);
    dump.field(8, format_args!("{name} {value}"));
}

fn name(dump: &mut Dump<'_>, name: &str) {
    let tag = SectionTag(take(&mut dump.remaining()).unwrap_or_default());
    dump.field(4, format_args!("{name} {tag}"));
}

fn half(dump: &mut Dump<'_>) {
    match dump.remaining().first().copied().and_then(Half::from_tag) {
        Some(half) => dump.field(1, format_args!("half {half}")),
        None => dump.field(1, "half (unknown)"),
    };
}

/// Describes the check that ends the first `len` of `bytes`.
fn check(dump: &mut Dump<'_>, bytes: &[u8], len: usize, seed: u64) {
    match unsealed(bytes.get(..len).unwrap_or(bytes), 0, seed) {
        Err(Error::Checksum { actual, .. }) => {
            dump.field(CHECK_LEN, format_args!("check (does not hold: {actual:#018x})"))
        }
        _ => dump.field(CHECK_LEN, "check"),
    };
}
