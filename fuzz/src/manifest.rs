//! The manifest: any bytes are a file, a record, an edit, or an error, and a version that was read is
//! sound.

use std::sync::Arc;

use stratal_manifest::{
    Comparators, ManifestHeader, Record, RecordKind, RecoveryMode, VersionEdit, VersionSet,
    annotate_manifest, read_version,
};
use stratal_types::{DbId, comparator_named, dump::Dump};

/// Reads `data` as an edit, and applies it to nothing.
///
/// # Panics
///
/// If what was read does not read again, or makes a version that its own snapshot does not make.
pub fn edit(data: &[u8]) {
    let Ok(edit) = VersionEdit::decode(data) else { return };
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    assert_eq!(VersionEdit::decode(&bytes).ok().as_ref(), Some(&edit));
    let mut set = VersionSet::new(DbId::default(), comparators());
    if let Ok(version) = set.apply(&edit) {
        let snapshot = version.to_edit();
        let mut again = VersionSet::new(DbId::default(), comparators());
        match again.apply(&snapshot) {
            Ok(same) => assert_eq!(same.to_edit(), snapshot),
            Err(err) => panic!("a snapshot does not apply: {err}"),
        }
    }
}

/// Reads `data` as a record of the file and place that it says it is of.
///
/// # Panics
///
/// If what was read would be written otherwise.
pub fn record(data: &[u8]) {
    let salt = data.get(12..).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes);
    let sequence = data.get(24..).and_then(<[u8]>::first_chunk).copied().map(u64::from_le_bytes);
    let (Some(salt), Some(sequence)) = (salt, sequence) else { return };
    if let Ok(record) = Record::decode(data, salt, sequence) {
        let mut again = Vec::new();
        record.encode_into(salt, &mut again);
        assert!(data.starts_with(&again));
    }
}

/// Describes `data` as a manifest file and reads it.
///
/// # Panics
///
/// If a file that is whole by one mode's measure reads otherwise in the other.
pub fn file(data: &[u8]) {
    let mut dump = Dump::new(data);
    annotate_manifest(&mut dump);
    dump.finish();
    let header = data.first_chunk().map(ManifestHeader::decode);
    let (db_id, generation) = match header {
        Some(Ok(header)) => (header.db_id, header.generation),
        _ => (DbId::default(), 1),
    };
    let read = |mode| read_version(data, generation, db_id, &comparators(), mode);
    if let Ok((absolute, _)) = read(RecoveryMode::Absolute) {
        match read(RecoveryMode::Tail) {
            Ok((tail, _)) => assert_eq!(tail.current().to_edit(), absolute.current().to_edit()),
            Err(err) => panic!("whole, and refused: {err}"),
        }
    }
}

/// Reads a manifest file whose snapshot and edits are pieces of `data`, under checks that hold.
pub fn snapshot(data: &[u8]) {
    let header = ManifestHeader { salt: 1, db_id: DbId::default(), generation: 1 };
    let mut bytes = header.encode().to_vec();
    // The first byte says how long the pieces are.
    let Some((len, data)) = data.split_first() else { return };
    for (sequence, payload) in (0..).zip(data.chunks(usize::from(*len).max(1) * 8)) {
        let kind = if sequence == 0 { RecordKind::Snapshot } else { RecordKind::Edit };
        let synced_len = bytes.len() as u64;
        Record { kind, sequence, synced_len, payload }.encode_into(header.salt, &mut bytes);
    }
    file(&bytes);
}

fn comparators() -> Comparators {
    Arc::new(comparator_named)
}
