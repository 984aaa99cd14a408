#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use std::sync::Arc;

use stratal_types::DbId;

use crate::{
    Comparators, Error, ManifestHeader, Record, RecordKind, VersionEdit, VersionSet,
    record::synced_behind,
};

/// What to do about damage at the end of a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryMode {
    /// Damage behind what is known to have been synced is a write that a crash interrupted: it is
    /// left out and counted. The default.
    #[default]
    Tail,
    /// Any damage is an error.
    Absolute,
}

/// What an open found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The file that was read.
    pub generation: u64,
    /// Edits behind the snapshot.
    pub edits: u64,
    /// Whether the manifest was closed: nothing can be missing.
    pub was_closed: bool,
    /// Bytes at the end that were left out. They may include the last edit that was acknowledged.
    pub cut_len: u64,
    /// Manifest files and markers of other generations, ascending.
    pub stale: Vec<u64>,
}

/// Reads the bytes of a manifest file: the version, and what was found on the way. `generation` is
/// that in the file's name.
///
/// # Errors
///
/// [`Error::Corruption`] for damage that `mode` does not allow for, [`Error::WrongDatabase`],
/// [`Error::UnknownComparator`], [`Error::Unsupported`].
pub fn read_version(
    bytes: &[u8],
    generation: u64,
    db_id: DbId,
    comparators: &Comparators,
    mode: RecoveryMode,
) -> Result<(VersionSet, RecoveryReport), Error> {
    let damaged =
        |offset: usize, what| Error::Corruption { generation, offset: offset as u64, what };
    // What is wrong with the bytes gets a place; anything else stays what it is.
    let placed = |offset: usize, err: Error| match err {
        Error::InvalidEdit { .. } => damaged(offset, err.what()),
        err if err.is_corruption() => damaged(offset, err.what()),
        err => err,
    };
    let short = damaged(0, "it ends too early");
    let header = bytes.first_chunk().ok_or(short)?;
    let header = ManifestHeader::decode(header).map_err(|err| placed(0, err))?;
    if header.db_id != db_id {
        return Err(Error::WrongDatabase { expected: db_id, actual: header.db_id });
    }
    if header.generation != generation {
        return Err(damaged(0, "the file is named for another generation"));
    }

    let mut set = VersionSet::new(db_id, Arc::clone(comparators));
    let mut report = RecoveryReport { generation, ..RecoveryReport::default() };
    let (mut at, mut sequence) = (ManifestHeader::LEN, 0);
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let record = match Record::decode(rest, header.salt, sequence) {
            Ok(record) => record,
            Err(err) if !err.is_corruption() => return Err(err),
            Err(err) => {
                // The first record was synced before the file became current.
                let is_synced =
                    sequence == 0 || synced_behind(bytes, at + 8, header.salt) > at as u64;
                if is_synced || mode == RecoveryMode::Absolute {
                    return Err(damaged(at, err.what()));
                }
                report.cut_len = rest.len() as u64;
                return Ok((set, report));
            }
        };
        if record.synced_len > at as u64 {
            return Err(damaged(at, "a record claims a sync of itself"));
        }
        match (record.kind, sequence) {
            (RecordKind::Snapshot, 0) | (RecordKind::Edit, 1..) => {
                let edit = VersionEdit::decode(record.payload).map_err(|err| placed(at, err))?;
                set.apply(&edit).map_err(|err| placed(at, err))?;
                report.edits += u64::from(sequence > 0);
            }
            (RecordKind::End, 1..) => {
                report.was_closed = true;
                let behind = at + usize::try_from(record.encoded_len()).unwrap_or(usize::MAX);
                let behind = behind.min(bytes.len());
                report.cut_len =
                    behind_end(bytes.get(behind..).unwrap_or_default(), header.salt, sequence + 1)
                        .map_err(|what| damaged(behind, what))?;
                if report.cut_len > 0 && mode == RecoveryMode::Absolute {
                    return Err(damaged(behind, "the end is not whole"));
                }
                return Ok((set, report));
            }
            _ => return Err(damaged(at, "a record of that kind does not belong here")),
        }
        at += usize::try_from(record.encoded_len()).unwrap_or(usize::MAX);
        sequence += 1;
    }
    if sequence == 0 {
        return Err(damaged(at, "the snapshot is missing"));
    }
    Ok((set, report))
}

/// Behind the first end record stands the second, or as much of it as a crash while closing left.
/// Returns how many bytes are left of one that is not whole.
fn behind_end(bytes: &[u8], salt: u32, sequence: u64) -> Result<u64, &'static str> {
    let len = bytes.len() as u64;
    match Record::decode(bytes, salt, sequence) {
        Ok(record) if record.kind == RecordKind::End && record.encoded_len() == len => Ok(0),
        Err(_) if len <= END_RECORD_LEN as u64 => Ok(len),
        _ => Err("something stands behind the end"),
    }
}

/// Bytes of each of the two records that end a manifest: whatever sector is lost, one is left.
pub(crate) const END_RECORD_LEN: usize = 512;
