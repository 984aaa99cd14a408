use stratal_types::{
    dump::Dump,
    fields::{take_u32, take_u64},
};

use crate::{Record, RecordHeader, RecordKind, SegmentHeader};

/// Describes a segment from its first byte to the end of `dump`, or to where records end. Damage is
/// no obstacle: the fields stand where they stand, and a check that does not hold is named.
pub fn annotate_segment(dump: &mut Dump<'_>) {
    let block = dump.remaining();
    let copies = [0, SegmentHeader::MIRROR_OFFSET]
        .map(|at| SegmentHeader::decode(block.get(at..)?.first_chunk()?).ok());
    let gap = SegmentHeader::MIRROR_OFFSET - SegmentHeader::LEN;
    for copy in &copies {
        dump.note(if copy.is_some() { "header" } else { "header (damaged)" });
        header(dump);
        dump.field(gap, "zero");
    }
    let Some(header) = copies.into_iter().flatten().next() else { return };
    let mut lsn = header.start;
    while !dump.remaining().is_empty() {
        if header.carried_len > 0 && lsn == header.start {
            dump.note("carried part");
        }
        if header.carried_len > 0 && lsn == header.carried_end() {
            dump.note("end of the carried part");
        }
        if dump.remaining().iter().all(|&byte| byte == 0) {
            dump.field(dump.remaining().len(), "not yet written");
            return;
        }
        match Record::decode(dump.remaining(), header.salt, lsn) {
            Ok(found) => {
                record(dump, &found);
                lsn = lsn.plus(found.encoded_len());
            }
            Err(err) => {
                dump.note(format_args!("no record at LSN {lsn}: {err}"));
                return;
            }
        }
    }
}

fn header(dump: &mut Dump<'_>) {
    dump.field(8, "magic");
    number32(dump, "version");
    dump.field(4, "salt").field(16, "db_id");
    for name in ["number", "predecessor", "start", "synced_lsn", "carried_len"] {
        number64(dump, name);
    }
    dump.field(8, "carried_check").field(8, "zero").field(8, "check");
}

/// Describes what `dump` has to its end as one record, whole or not and checked or not: the fields as
/// they stand, and everything behind them as payload and padding.
///
/// For a record behind damage, or what a crash left of one; [`annotate_segment`] knows those in their
/// place.
pub fn annotate_record(dump: &mut Dump<'_>) {
    if dump.remaining().len() >= RecordHeader::LEN {
        fields(dump);
    }
    let rest = dump.remaining().len();
    if rest > 0 {
        dump.field(rest, "payload and padding");
    }
}

fn record(dump: &mut Dump<'_>, record: &Record<'_>) {
    let Record { kind, lsn, payload, .. } = record;
    let name = match kind {
        RecordKind::Group => "group",
        RecordKind::Mark => "mark",
        RecordKind::End => "end",
    };
    dump.note(format_args!("record at LSN {lsn}: {name}"));
    fields(dump);
    if !payload.is_empty() {
        dump.field(payload.len(), "payload");
    }
    let unpadded = RecordHeader::LEN + payload.len();
    if !unpadded.is_multiple_of(8) {
        dump.field(unpadded.next_multiple_of(8) - unpadded, "zeros");
    }
}

/// The fields that a record begins with, as they stand.
fn fields(dump: &mut Dump<'_>) {
    number32(dump, "payload_len");
    dump.field(4, "check").field(4, "place");
    number32(dump, "unsynced");
    let flags = dump.remaining().first().copied().unwrap_or(0);
    dump.field(1, format_args!("flags {flags}"));
}

fn number64(dump: &mut Dump<'_>, name: &str) {
    let value = take_u64(&mut dump.remaining()).unwrap_or(0);
    dump.field(8, format_args!("{name} {value}"));
}

fn number32(dump: &mut Dump<'_>, name: &str) {
    let value = take_u32(&mut dump.remaining()).unwrap_or(0);
    dump.field(4, format_args!("{name} {value}"));
}
