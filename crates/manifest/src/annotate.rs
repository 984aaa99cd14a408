use stratal_types::{
    dump::Dump,
    fields::{take_u32, take_u64},
};

use crate::{ManifestHeader, Record, RecordKind, bytes::take_field};

/// The names of an edit's fields, by tag.
const FIELDS: [(u64, &str); 17] = [
    (1, "clock"),
    (3, "next_file"),
    (5, "next_tree"),
    (7, "wal_floor"),
    (9, "retention_floor"),
    (11, "create_tree"),
    (13, "drop_tree"),
    (15, "set_options"),
    (17, "set_flushed"),
    (19, "remove_table"),
    (21, "move_table"),
    (23, "add_table"),
    (25, "log_synced"),
    (27, "hold_history"),
    (29, "release_history"),
    (31, "expire_table"),
    (32, "time_mark"),
];

/// Describes a manifest from its first byte to the end of `dump`, or to where records end. Damage is
/// no obstacle: the fields stand where they stand, and a check that does not hold is named.
pub fn annotate_manifest(dump: &mut Dump<'_>) {
    let header = dump.remaining().first_chunk().map(ManifestHeader::decode);
    dump.note(if matches!(header, Some(Ok(_))) { "header" } else { "header (damaged)" });
    dump.field(8, "magic");
    number32(dump, "version");
    dump.field(4, "salt").field(16, "db_id");
    number64(dump, "generation");
    dump.field(16, "zero").field(8, "check");
    let Some(Ok(header)) = header else { return };
    for sequence in 0.. {
        if dump.remaining().is_empty() {
            return;
        }
        match Record::decode(dump.remaining(), header.salt, sequence) {
            Ok(found) => record(dump, &found),
            Err(err) => {
                dump.note(format_args!("no record: {err}"));
                return;
            }
        }
    }
}

/// Describes what `dump` has to its end as one record, whole or not and checked or not: the fields as
/// they stand, and everything behind them as payload and padding.
///
/// For a record behind damage, or what a crash left of one; [`annotate_manifest`] knows those in their
/// place.
pub fn annotate_record(dump: &mut Dump<'_>) {
    if dump.remaining().len() >= Record::HEADER_LEN {
        fields(dump);
    }
    let rest = dump.remaining().len();
    if rest > 0 {
        dump.field(rest, "payload and padding");
    }
}

fn record(dump: &mut Dump<'_>, record: &Record<'_>) {
    dump.note(match record.kind {
        RecordKind::Snapshot => "snapshot",
        RecordKind::Edit => "edit",
        RecordKind::End => "end",
    });
    fields(dump);
    let len = record.payload.len();
    let (mut rest, mut last) = (record.payload, 0);
    while record.kind != RecordKind::End && !rest.is_empty() {
        let before = rest.len();
        let Ok((tag, value)) = take_field(&mut rest, &mut last) else { break };
        let name = FIELDS.iter().find(|(known, _)| *known == tag).map_or("(unknown)", |it| it.1);
        let prefix_len = before - rest.len() - value.len();
        dump.field(prefix_len, format_args!("tag {tag} {name}, {} bytes", value.len()));
        dump.field(value.len(), name);
    }
    if record.kind == RecordKind::End {
        dump.field(len, "zeros");
    }
    let padding = len.next_multiple_of(8) - len;
    if padding > 0 {
        dump.field(padding, "zeros");
    }
}

/// The fields that a record begins with, as they stand.
fn fields(dump: &mut Dump<'_>) {
    number64(dump, "payload_len");
    dump.field(4, "check").field(4, "salt");
    number32(dump, "kind");
    dump.field(4, "zero");
    number64(dump, "sequence");
    number64(dump, "synced_len");
}

fn number32(dump: &mut Dump<'_>, name: &str) {
    let value = take_u32(&mut dump.remaining()).unwrap_or(0);
    dump.field(4, format_args!("{name} {value}"));
}

fn number64(dump: &mut Dump<'_>, name: &str) {
    let value = take_u64(&mut dump.remaining()).unwrap_or(0);
    dump.field(8, format_args!("{name} {value}"));
}
