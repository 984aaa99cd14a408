//! The manifest: any bytes are a file, a record, an edit, or an error, and a version that was read is
//! sound.

use std::sync::Arc;

use stratal_manifest::{
    Comparators, ManifestHeader, NewTree, Record, RecordKind, RecoveryMode, TreeId, VersionEdit,
    VersionSet, annotate_manifest, read_version,
};
use stratal_types::{DbId, comparator_named, dump::Dump};

use crate::inputs::{SplitMix64, mutated};

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

/// Edits that the data chooses, in a file that is then damaged in places that its first eight bytes
/// choose.
///
/// # Panics
///
/// If what is read is not the version after some of the edits, without any left out between.
pub fn damaged(data: &[u8]) {
    let Some((seed, choices)) = data.split_first_chunk() else { return };
    let mut set = VersionSet::new(DbId::default(), comparators());
    let header = ManifestHeader { salt: 1, db_id: DbId::default(), generation: 1 };
    let mut file = header.encode().to_vec();
    let mut append = |kind, sequence, edit: &VersionEdit| {
        let (mut payload, synced_len) = (Vec::new(), file.len() as u64);
        edit.encode(&mut payload);
        Record { kind, sequence, synced_len, payload: &payload }
            .encode_into(header.salt, &mut file);
    };
    let mut states = vec![set.current().to_edit()];
    append(RecordKind::Snapshot, 0, &states[0]);
    for (sequence, choice) in (1..).zip(choices.iter().take(40)) {
        let mut edit = VersionEdit::new();
        let next_tree = set.current().next_tree;
        match choice % 4 {
            0 => edit.create_tree(NewTree::new(next_tree, format!("tree {sequence}"), "bytewise")),
            1 => edit.set_options(TreeId(u64::from(choice / 4)), vec![*choice; 9]),
            2 => edit.drop_tree(TreeId(u64::from(choice / 4))),
            _ => edit.set_next_file(set.current().next_file + u64::from(*choice)),
        };
        // A tree that is not there has no options and cannot be dropped.
        if set.apply(&edit).is_err() {
            edit = VersionEdit::new();
        }
        append(RecordKind::Edit, sequence, &edit);
        states.push(set.current().to_edit());
    }
    let read = |bytes: &[u8], mode| {
        let read = read_version(bytes, 1, DbId::default(), &comparators(), mode);
        read.ok().map(|(set, _)| set.current().to_edit())
    };
    assert_eq!(read(&file, RecoveryMode::Absolute).as_ref(), states.last());
    let mut random = SplitMix64::new(u64::from_le_bytes(*seed));
    let damaged = mutated(&mut random, &file, std::slice::from_ref(&file));
    for mode in [RecoveryMode::Absolute, RecoveryMode::Tail] {
        if let Some(found) = read(&damaged, mode) {
            assert!(states.contains(&found), "{mode:?}: a version that never was");
        }
    }
}

fn comparators() -> Comparators {
    Arc::new(comparator_named)
}
