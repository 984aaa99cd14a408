use stratal_types::dump::Dump;

use crate::header::{Header, MAGIC, VERSION};

/// Describes `bytes`, a filter, in `dump`, whose next bytes they are.
///
/// Takes any bytes: what is no filter is shown as such, with the reason.
pub fn annotate(bytes: &[u8], dump: &mut Dump<'_>) {
    let header = match Header::decode(bytes) {
        Ok(header) => header,
        Err(error) => {
            dump.note(error).field(bytes.len(), "not a filter");
            return;
        }
    };
    let lines_len = bytes.len().saturating_sub(Header::LEN);
    dump.field(4, format_args!("magic \"{}\"", MAGIC.escape_ascii()))
        .field(1, format_args!("version {VERSION}"))
        .field(1, format_args!("kind {}", header.kind.name()))
        .field(1, format_args!("probes {}", header.probes))
        .field(1, "reserved")
        .field(4, format_args!("lines {}", header.lines))
        .field(4, "reserved")
        .field(8, format_args!("keys {}", header.keys))
        .field(Header::LEN - 24, "reserved")
        .field(lines_len, "lines");
}
