#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use crc_fast::{CrcAlgorithm, Digest};

use stratal_types::fields::{take_u32, take_u64};

use crate::{Error, Lsn};

/// Longest payload of a record, in bytes: 1 GiB.
pub const PAYLOAD_LEN_MAX: u32 = 1 << 30;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A commit group.
    Group,
    /// Carries how far the log was synced, and nothing else.
    Mark,
    /// The log was closed here.
    End,
}

impl RecordKind {
    /// The flags on disk. Never renumbered.
    pub const fn flags(self) -> u32 {
        match self {
            Self::Group => 0,
            Self::Mark => 1,
            Self::End => 2,
        }
    }

    /// The kind with these flags.
    pub const fn from_flags(flags: u32) -> Option<Self> {
        match flags {
            0 => Some(Self::Group),
            1 => Some(Self::Mark),
            2 => Some(Self::End),
            _ => None,
        }
    }
}

/// What stands before a record's payload.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field        unit / encoding
///      0     4  payload_len  bytes, u32 LE, n ≤ 2³⁰
///      4     4  check        CRC-32C of bytes 0..4 and 8..36+n+p, u32 LE
///      8     4  salt         that of the segment, u32 LE
///     12     4  flags        0 group, 1 mark, 2 end, u32 LE
///     16     4  count        operations in the payload, u32 LE
///     20     8  lsn          of byte 0 of this record, u64 LE
///     28     8  synced_lsn   the log was known synced up to here, u64 LE, ≤ lsn
///     36     n  payload
///   36+n     p  zeros        p < 8, so that records begin at multiples of 8
/// ```
///
/// The fields alone are not verified; [`Record::decode`] verifies them with the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of payload.
    pub payload_len: u32,
    /// The check.
    pub check: u32,
    /// The segment's salt.
    pub salt: u32,
    /// See [`RecordKind::flags`].
    pub flags: u32,
    /// Operations in the payload, by the layer above.
    pub count: u32,
    /// Where the record begins.
    pub lsn: Lsn,
    /// Up to where the log was known synced when the record was written.
    pub synced: Lsn,
}

impl RecordHeader {
    /// Length on disk, in bytes.
    pub const LEN: usize = 36;

    const PAYLOAD_AT: u64 = 36;
    const COVERED_AT: usize = 8;

    /// Splits the fields. Says nothing about whether they are right.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, Error> {
        let rest = &mut &bytes[..];
        Ok(Self {
            payload_len: take_u32(rest)?,
            check: take_u32(rest)?,
            salt: take_u32(rest)?,
            flags: take_u32(rest)?,
            count: take_u32(rest)?,
            lsn: Lsn(take_u64(rest)?),
            synced: Lsn(take_u64(rest)?),
        })
    }

    /// Length of the whole record on disk, padding included.
    pub const fn record_len(&self) -> u64 {
        record_len(self.payload_len)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.payload_len.to_le_bytes());
        out.extend_from_slice(&self.check.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.lsn.0.to_le_bytes());
        out.extend_from_slice(&self.synced.0.to_le_bytes());
    }
}

/// Length on disk of a record with that much payload.
pub(crate) const fn record_len(payload_len: u32) -> u64 {
    (RecordHeader::PAYLOAD_AT + payload_len as u64).next_multiple_of(8)
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: RecordKind,
    /// Operations in the payload, by the layer above.
    pub count: u32,
    /// Where it begins.
    pub lsn: Lsn,
    /// Up to where the log was known synced when the record was written.
    pub synced: Lsn,
    /// What was logged.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the record at the front of `bytes`, which must be the one at `lsn` of the segment with
    /// this salt.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if bytes are missing, [`Error::Unsupported`] for flags that this build
    /// does not know, and otherwise one for which [`Error::is_corruption`] holds.
    pub fn decode(bytes: &'a [u8], salt: u32, lsn: Lsn) -> Result<Self, Error> {
        let truncated = |needed| Error::Truncated { needed, available: bytes.len() as u64 };
        let fields = bytes
            .first_chunk::<{ RecordHeader::LEN }>()
            .ok_or(truncated(RecordHeader::PAYLOAD_AT))?;
        let header = RecordHeader::decode(fields)?;
        if header.salt != salt || header.lsn != lsn {
            return Err(Error::Malformed { what: "no record of this segment and place" });
        }
        if header.payload_len > PAYLOAD_LEN_MAX {
            return Err(Error::Malformed { what: "the record is longer than records may be" });
        }
        let whole = usize::try_from(header.record_len()).ok().and_then(|len| bytes.get(..len));
        let whole = whole.ok_or(truncated(header.record_len()))?;
        let actual = check_of(whole);
        if actual != header.check {
            let (expected, actual) = (header.check.into(), actual.into());
            return Err(Error::Checksum { expected, actual });
        }
        if header.synced > lsn {
            return Err(Error::Malformed { what: "the record claims a sync of itself" });
        }
        let kind = RecordKind::from_flags(header.flags).ok_or(Error::Unsupported {
            what: "record flags",
            found: header.flags,
            known: RecordKind::End.flags(),
        })?;
        let rest = whole.get(RecordHeader::LEN..).unwrap_or_default();
        let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let (payload, padding) = rest.split_at_checked(payload_len).unwrap_or((rest, &[]));
        if padding.iter().any(|&byte| byte != 0) {
            return Err(Error::Malformed { what: "the padding of the record is not zero" });
        }
        Ok(Self { kind, count: header.count, lsn, synced: header.synced, payload })
    }

    /// Length on disk, in bytes.
    pub fn encoded_len(&self) -> u64 {
        // The payload came from a record, or `encode_into` refuses it.
        record_len(u32::try_from(self.payload.len()).unwrap_or(u32::MAX))
    }

    /// Appends the record to `out`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], and nothing appended.
    pub fn encode_into(&self, salt: u32, out: &mut Vec<u8>) -> Result<(), Error> {
        let Self { kind, count, lsn, synced, payload } = *self;
        encode_parts(RecordFields { kind, count, lsn, synced, salt }, &[payload], out)
    }
}

/// The fields of a record without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordFields {
    pub(crate) kind: RecordKind,
    pub(crate) count: u32,
    pub(crate) lsn: Lsn,
    pub(crate) synced: Lsn,
    pub(crate) salt: u32,
}

/// The length of a payload in parts, if a record may be that long.
pub(crate) fn payload_len_of(parts: &[&[u8]]) -> Result<u32, Error> {
    let len = parts.iter().fold(0u64, |len, part| len.saturating_add(part.len() as u64));
    let fitting = u32::try_from(len).ok().filter(|len| *len <= PAYLOAD_LEN_MAX);
    fitting.ok_or(Error::TooLarge { len, limit: PAYLOAD_LEN_MAX.into() })
}

/// Appends a record whose payload is `parts`, back to back.
pub(crate) fn encode_parts(
    fields: RecordFields,
    parts: &[&[u8]],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let payload_len = payload_len_of(parts)?;
    let start = out.len();
    let RecordFields { kind, count, lsn, synced, salt } = fields;
    let header =
        RecordHeader { payload_len, check: 0, salt, flags: kind.flags(), count, lsn, synced };
    header.put(out);
    for part in parts {
        out.extend_from_slice(part);
    }
    let unpadded = RecordHeader::PAYLOAD_AT.saturating_add(payload_len.into());
    out.resize(out.len().saturating_add(padding_of(unpadded)), 0);
    seal(out.get_mut(start..).unwrap_or_default());
    Ok(())
}

/// Gives the whole record in `record` another salt.
pub(crate) fn restamp(record: &mut [u8], salt: u32) {
    if let Some((_, rest)) = record.split_at_mut_checked(RecordHeader::COVERED_AT)
        && let Some(field) = rest.first_chunk_mut()
    {
        *field = salt.to_le_bytes();
    }
    seal(record);
}

/// Puts the check of a record into it.
fn seal(record: &mut [u8]) {
    let check = check_of(record);
    if let Some((_, rest)) = record.split_at_mut_checked(4)
        && let Some(field) = rest.first_chunk_mut()
    {
        *field = check.to_le_bytes();
    }
}

/// The check of a whole record: over everything but itself.
fn check_of(record: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(record.get(..4).unwrap_or_default());
    digest.update(record.get(RecordHeader::COVERED_AT..).unwrap_or_default());
    // The algorithm has 32 bits.
    u32::try_from(digest.finalize()).unwrap_or_default()
}

/// Zeros that make `len` a multiple of 8.
fn padding_of(len: u64) -> usize {
    usize::try_from(len.next_multiple_of(8).saturating_sub(len)).unwrap_or_default()
}
