//! Manifests.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use stratal_manifest::{
    Comparators, Error, FileName, ManifestHeader, Record, RecordKind, RecoveryMode, TreeVersion,
    annotate_manifest, read_version,
};
use stratal_types::comparator_named;

use super::{Block, Explained, Trouble, dump_by, file_name};

pub(super) fn explain(bytes: &[u8], path: &Path) -> Explained {
    let header = bytes.first_chunk().map(ManifestHeader::decode);
    let header_len = bytes.len().min(ManifestHeader::LEN);
    let mut explained = Explained {
        name: "manifest",
        title: "a manifest",
        facts: Vec::new(),
        blocks: vec![Block { kind: "header", range: 0..header_len }],
        trouble: None,
        dump: |bytes, explained, number| {
            explained
                .blocks
                .get(number)
                .map_or_else(String::new, |block| dump_by(bytes, &block.range, annotate_manifest))
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
    let count = |kind| explained.blocks.iter().filter(|block| block.kind == kind).count();
    let (snapshots, edits, ends) = (count("snapshot"), count("edit"), count("end"));
    explained.facts = vec![
        ("db_id", json!(header.db_id.to_string())),
        ("generation", json!(header.generation)),
        ("records", json!(snapshots + edits + ends)),
        ("edits", json!(edits)),
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
                ("tables", json!(tables)),
                ("trees", Value::Array(trees)),
            ]);
        }
        Err(error) => explained.trouble = Some(trouble_of(&error)),
    }
    explained
}

/// The records that are whole, up to the first that is not.
fn records(bytes: &[u8], salt: u32) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut at = ManifestHeader::LEN;
    for sequence in 0.. {
        let rest = bytes.get(at..).unwrap_or_default();
        let Ok(record) = Record::decode(rest, salt, sequence) else { break };
        let kind = match record.kind {
            RecordKind::Snapshot => "snapshot",
            RecordKind::Edit => "edit",
            RecordKind::End => "end",
        };
        let end = at + usize::try_from(record.encoded_len()).unwrap_or(rest.len());
        blocks.push(Block { kind, range: at..end });
        at = end;
    }
    blocks
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
