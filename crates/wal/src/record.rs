#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use crc_fast::{CrcAlgorithm, Digest};

use stratal_types::fields::take_u32;

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
    pub const fn flags(self) -> u8 {
        match self {
            Self::Group => 0,
            Self::Mark => 1,
            Self::End => 2,
        }
    }

    /// The kind with these flags.
    pub const fn from_flags(flags: u8) -> Option<Self> {
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
///      4     4  check        CRC-32C of salt, lsn, bytes 0..4 and bytes 8..17+n+p, u32 LE
///      8     4  place        salt ⊕ lsn / 8 mod 2³², u32 LE
///     12     4  unsynced     8 bytes each, from where the log was known synced to lsn, u32 LE;
///                             2³² − 1: so much or more, and nothing is said
///     16     1  flags        0 group, 1 mark, 2 end
///     17     n  payload
///   17+n     p  zeros        p < 8, so that records begin at multiples of 8
/// ```
///
/// Segment and LSN, which a reader knows, are under the check and not stored: `place` tells most bytes that
/// are no record of them from one, so that a search takes few checks. The fields alone are not verified;
/// [`Record::decode`] verifies them with the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of payload.
    pub payload_len: u32,
    /// The check.
    pub check: u32,
    /// Of segment and LSN: see [`may_be_at`](Self::may_be_at).
    pub place: u32,
    /// How far the log was known synced when the record was written: see
    /// [`synced_at`](Self::synced_at).
    pub unsynced: u32,
    /// See [`RecordKind::flags`].
    pub flags: u8,
}

impl RecordHeader {
    /// Length on disk, in bytes.
    pub const LEN: usize = 17;

    const PAYLOAD_AT: u64 = 17;
    const COVERED_AT: usize = 8;
    const PLACE: std::ops::Range<usize> = 8..12;

    /// Splits the fields. Says nothing about whether they are right.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, Error> {
        let rest = &mut &bytes[..];
        let [.., flags] = *bytes;
        Ok(Self {
            payload_len: take_u32(rest)?,
            check: take_u32(rest)?,
            place: take_u32(rest)?,
            unsynced: take_u32(rest)?,
            flags,
        })
    }

    /// Whether this may be what stands at `lsn` of the segment with that salt. Of other bytes about one in
    /// 2³² may.
    pub const fn may_be_at(&self, salt: u32, lsn: Lsn) -> bool {
        self.place == place_of(salt, lsn)
    }

    /// Up to where the log was known synced when the record at `lsn` was written, [`Lsn::ZERO`] if it says
    /// nothing. `None` if that would be before the log's begin.
    pub const fn synced_at(&self, lsn: Lsn) -> Option<Lsn> {
        match lsn.0.checked_sub(self.unsynced as u64 * UNIT) {
            Some(_) if self.unsynced == u32::MAX => Some(Lsn::ZERO),
            Some(synced) => Some(Lsn(synced)),
            None => None,
        }
    }

    /// Length of the whole record on disk, padding included.
    pub const fn record_len(&self) -> u64 {
        record_len(self.payload_len)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.payload_len.to_le_bytes());
        out.extend_from_slice(&self.check.to_le_bytes());
        out.extend_from_slice(&self.place.to_le_bytes());
        out.extend_from_slice(&self.unsynced.to_le_bytes());
        out.push(self.flags);
    }
}

/// Records begin at multiples of this, in bytes.
const UNIT: u64 = 8;

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn place_of(salt: u32, lsn: Lsn) -> u32 {
    salt ^ (lsn.0 / UNIT) as u32
}

/// Whole units from `synced` to `lsn`, one more where a part of one is left: a record never says more than
/// is known.
fn unsynced_of(synced: Lsn, lsn: Lsn) -> u32 {
    u32::try_from(lsn.since(synced).div_ceil(UNIT)).unwrap_or(u32::MAX)
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
    /// Where it begins.
    pub lsn: Lsn,
    /// Up to where the log was known synced when the record was written, [`Lsn::ZERO`] if that was too far
    /// back to be said: 32 GiB.
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
        if !header.may_be_at(salt, lsn) {
            return Err(Error::Malformed { what: "no record of this segment and place" });
        }
        if header.payload_len > PAYLOAD_LEN_MAX {
            return Err(Error::Malformed { what: "the record is longer than records may be" });
        }
        let whole = usize::try_from(header.record_len()).ok().and_then(|len| bytes.get(..len));
        let whole = whole.ok_or(truncated(header.record_len()))?;
        let actual = check_of(whole, salt, lsn);
        if actual != header.check {
            let (expected, actual) = (header.check.into(), actual.into());
            return Err(Error::Checksum { expected, actual });
        }
        let synced = header.synced_at(lsn);
        let synced =
            synced.ok_or(Error::Malformed { what: "the log was synced before its begin" })?;
        let kind = RecordKind::from_flags(header.flags).ok_or(Error::Unsupported {
            what: "record flags",
            found: header.flags.into(),
            known: RecordKind::End.flags().into(),
        })?;
        let rest = whole.get(RecordHeader::LEN..).unwrap_or_default();
        let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let (payload, padding) = rest.split_at_checked(payload_len).unwrap_or((rest, &[]));
        if padding.iter().any(|&byte| byte != 0) {
            return Err(Error::Malformed { what: "the padding of the record is not zero" });
        }
        Ok(Self { kind, lsn, synced, payload })
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
        let Self { kind, lsn, synced, payload } = *self;
        encode_parts(RecordFields { kind, lsn, synced, salt }, &[payload], out)
    }
}

/// The fields of a record without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordFields {
    pub(crate) kind: RecordKind,
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
    let RecordFields { kind, lsn, synced, salt } = fields;
    let (place, unsynced) = (place_of(salt, lsn), unsynced_of(synced, lsn));
    RecordHeader { payload_len, check: 0, place, unsynced, flags: kind.flags() }.put(out);
    for part in parts {
        out.extend_from_slice(part);
    }
    let unpadded = RecordHeader::PAYLOAD_AT.saturating_add(payload_len.into());
    out.resize(out.len().saturating_add(padding_of(unpadded)), 0);
    seal(out.get_mut(start..).unwrap_or_default(), salt, lsn);
    Ok(())
}

/// Gives the whole record in `record`, which is the one at `lsn`, another salt.
pub(crate) fn restamp(record: &mut [u8], salt: u32, lsn: Lsn) {
    if let Some(field) = record.get_mut(RecordHeader::PLACE) {
        field.copy_from_slice(&place_of(salt, lsn).to_le_bytes());
    }
    seal(record, salt, lsn);
}

/// Puts the check of a record into it.
fn seal(record: &mut [u8], salt: u32, lsn: Lsn) {
    let check = check_of(record, salt, lsn);
    if let Some((_, rest)) = record.split_at_mut_checked(4)
        && let Some(field) = rest.first_chunk_mut()
    {
        *field = check.to_le_bytes();
    }
}

/// The check of a whole record: over where it is, and everything but itself.
fn check_of(record: &[u8], salt: u32, lsn: Lsn) -> u32 {
    let payload_len = record.first_chunk::<4>().copied().unwrap_or_default();
    let mut front = [0; 16];
    for (to, from) in front
        .iter_mut()
        .zip(salt.to_le_bytes().into_iter().chain(lsn.0.to_le_bytes()).chain(payload_len))
    {
        *to = from;
    }
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&front);
    digest.update(record.get(RecordHeader::COVERED_AT..).unwrap_or_default());
    // The algorithm has 32 bits.
    u32::try_from(digest.finalize()).unwrap_or_default()
}

/// Zeros that make `len` a multiple of 8.
fn padding_of(len: u64) -> usize {
    usize::try_from(len.next_multiple_of(8).saturating_sub(len)).unwrap_or_default()
}
