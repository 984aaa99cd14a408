//! Manifests.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use stratal_manifest::{
    Comparators, Error, FileName, ManifestHeader, Record, RecordKind, RecoveryMode, TreeVersion,
    Version, annotate_manifest, annotate_record, read_version,
};
use stratal_types::{comparator_named, dump::Dump};

use super::{
    Explained, Trouble,
    block::{Block, TORN, dump_by, torn_blocks},
    file_name,
};

pub(super) fn explain(bytes: &[u8], path: &Path) -> Explained {
    let header = bytes.first_chunk().map(ManifestHeader::decode);
    let header_len = bytes.len().min(ManifestHeader::LEN);
    let mut explained = Explained {
        name: "manifest",
        title: "a manifest of a Stratal database",
        facts: Vec::new(),
        blocks: vec![Block::new("header", 0..header_len)],
        trouble: None,
        dump: |bytes, explained, number| match explained.blocks.get(number) {
            Some(block) if block.kind == TORN || block.label.is_some() => dump_record(block, bytes),
            Some(block) => dump_by(bytes, &block.range, annotate_manifest),
            None => String::new(),
        },
    };
    let header = match header {
        Some(Ok(header)) => header,
        Some(Err(error)) => {
            explained.trouble = Some(trouble_of(&error));
            return explained;
        }
        None => {
            explained.trouble = Some(Trouble::damage(bytes.len(), "the file ends too early"));
            return explained;
        }
    };
    explained.blocks.extend(records(bytes, header.salt));
    let (behind, before): (Vec<_>, Vec<_>) =
        explained.blocks.iter().partition(|block| block.label.is_some());
    let count = |kind| before.iter().filter(|block| block.kind == kind).count();
    let (snapshots, edits, ends) = (count("snapshot"), count("edit"), count("end"));
    explained.facts = vec![
        ("db_id", json!(header.db_id.to_string())),
        ("generation", json!(header.generation)),
        ("records", json!(snapshots + edits + ends)),
        ("edits", json!(edits)),
        ("records_behind", json!(behind.len())),
    ];
    let generation = match file_name(path) {
        Some(FileName::Manifest(named)) => named,
        _ => header.generation,
    };
    let comparators: Comparators = Arc::new(comparator_named);
    match read_version(bytes, generation, header.db_id, &comparators, RecoveryMode::Tail) {
        Ok((set, report)) => {
            let version = set.current();
            let trees: Vec<Value> = version.trees.values().map(|tree| as_json(tree)).collect();
            let tables: usize = version.trees.values().map(|tree| tree.tables().count()).sum();
            let end = bytes.len() as u64 - report.cut_len;
            explained.facts.extend([
                ("clean_end", json!(report.was_closed)),
                ("torn_at", json!((report.cut_len > 0).then_some(end))),
                ("clock", json!(version.clock.get())),
                ("next_file", json!(version.next_file)),
                ("next_tree", json!(version.next_tree.0)),
                ("log_floor", json!(version.wal_floor)),
                ("retention_floor", json!(version.retention_floor.get())),
                ("held_history", held_json(version)),
                ("tables", json!(tables)),
                ("trees", Value::Array(trees)),
            ]);
        }
        Err(error) => explained.trouble = Some(trouble_of(&error)),
    }
    explained
}

/// From which seqno on history is held, by holder.
fn held_json(version: &Version) -> Value {
    let held = version.held.iter().map(|(name, bound)| (name.to_string(), json!(bound.get())));
    Value::Object(held.collect())
}

/// The records that are whole, up to the first that is not.
fn records(bytes: &[u8], salt: u32) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut at = ManifestHeader::LEN;
    for sequence in 0.. {
        let rest = bytes.get(at..).unwrap_or_default();
        let Ok(record) = Record::decode(rest, salt, sequence) else { break };
        let end = at + usize::try_from(record.encoded_len()).unwrap_or(rest.len());
        blocks.push(Block::new(name_of(record.kind), at..end));
        at = end;
    }
    blocks.extend(torn(bytes, salt, at));
    blocks
}

const fn name_of(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Snapshot => "snapshot",
        RecordKind::Edit => "edit",
        RecordKind::End => "end",
    }
}

/// What stands behind the records that are whole and in sequence.
fn torn(bytes: &[u8], salt: u32, start: usize) -> Vec<Block> {
    // Bytes that look like records and are none cost a check each: not more than so many.
    let mut checks_len_left = bytes.len().saturating_mul(8);
    let record = |at: usize| {
        let rest = bytes.get(at..)?;
        let own_salt = rest.get(SALT)?.first_chunk().copied().map(u32::from_le_bytes)?;
        let sequence = rest.get(SEQUENCE)?.first_chunk().copied().map(u64::from_le_bytes)?;
        let len = said_len(rest).filter(|_| own_salt == salt)?;
        checks_len_left = checks_len_left.checked_sub(len)?;
        let record = Record::decode(rest, salt, sequence).ok()?;
        Some((name_of(record.kind), len))
    };
    torn_blocks(bytes, start, record, said_len)
}

/// Where the salt and the place in the sequence stand in a record.
const SALT: std::ops::Range<usize> = 12..16;
const SEQUENCE: std::ops::Range<usize> = 24..32;

/// The length of the record that `rest` begins with, by its own account.
fn said_len(rest: &[u8]) -> Option<usize> {
    let payload_len = usize::try_from(u64::from_le_bytes(*rest.first_chunk()?)).ok()?;
    payload_len.checked_add(Record::HEADER_LEN)?.checked_next_multiple_of(8)
}

/// The fields of a record as they stand, right or wrong.
fn dump_record(block: &Block, bytes: &[u8]) -> String {
    let bytes = bytes.get(block.range.clone()).unwrap_or_default();
    let mut dump = Dump::at(block.range.start, bytes);
    match &block.label {
        Some(label) => dump.note(format_args!("{}, {label}", block.kind)),
        None => dump.note("no whole record, its fields not verified"),
    };
    annotate_record(&mut dump);
    dump.finish()
}

fn as_json(tree: &TreeVersion) -> Value {
    let (mut tables, mut len, mut entries) = (0u64, 0u64, 0u64);
    for (_, table) in tree.tables() {
        tables += 1;
        len = len.saturating_add(table.file_len);
        entries = entries.saturating_add(table.entries);
    }
    json!({
        "id": tree.id.0, "name": &*tree.name, "comparator": tree.comparator.name(),
        "flushed": tree.flushed.get(), "levels": tree.levels.len(), "tables": tables,
        "table_bytes": len, "entries": entries,
    })
}

fn trouble_of(error: &Error) -> Trouble {
    match error {
        Error::Corruption { offset, what, .. } => {
            Trouble::Damage { offset: *offset, what: (*what).to_owned() }
        }
        error if error.is_corruption() => Trouble::damage(0, error.to_string()),
        error => Trouble::Refused { what: error.to_string() },
    }
}
