#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use crc_fast::{CrcAlgorithm, Digest};
use stratal_types::{
    DbId,
    fields::{take, take_u32, take_u64},
};

use crate::{Error, VERSION};

/// What a manifest file begins with.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field       unit / encoding
///      0     8  magic       93 "STRMAN" 0a
///      8     4  version     u32 LE, 1
///     12     4  salt        u32 LE, random; every record of the file has it
///     16    16  db_id       the database that the manifest belongs to
///     32     8  generation  u64 LE, as in the file's name
///     40    16  zero
///     56     8  check       CRC-64/NVME of bytes 0..56, u64 LE
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ManifestHeader {
    /// What every record of the file has.
    pub salt: u32,
    /// The database.
    pub db_id: DbId,
    /// The generation of the file.
    pub generation: u64,
}

impl ManifestHeader {
    /// Length on disk, in bytes: where the first record stands.
    pub const LEN: usize = 64;

    /// The bytes that a manifest begins with.
    pub const MAGIC: [u8; 8] = *b"\x93STRMAN\n";

    const CHECKED_LEN: usize = 56;

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], [`Error::Checksum`], or [`Error::Unsupported`].
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, Error> {
        let mut rest = &bytes[..];
        if take(&mut rest)? != Self::MAGIC {
            return Err(Error::Malformed { what: "no manifest: the magic is missing" });
        }
        let (checked, check) = bytes.split_at_checked(Self::CHECKED_LEN).unwrap_or_default();
        let (expected, actual) = (take_u64(&mut &check[..])?, crc_fast::crc64_nvme(checked));
        if expected != actual {
            return Err(Error::Checksum { expected, actual });
        }
        let version = take_u32(&mut rest)?;
        if version != VERSION {
            let (found, known) = (version.into(), VERSION.into());
            return Err(Error::Unsupported { what: "manifest format version", found, known });
        }
        let salt = take_u32(&mut rest)?;
        let db_id = DbId(take(&mut rest)?);
        let generation = take_u64(&mut rest)?;
        if take(&mut rest)? != [0; 16] {
            return Err(Error::Malformed { what: "reserved bytes of the header are not zero" });
        }
        Ok(Self { salt, db_id, generation })
    }

    /// Writes the header.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let fields: [&[u8]; 5] = [
            &Self::MAGIC,
            &VERSION.to_le_bytes(),
            &self.salt.to_le_bytes(),
            &self.db_id.0,
            &self.generation.to_le_bytes(),
        ];
        let mut bytes = [0; Self::LEN];
        let (checked, check) = bytes.split_at_mut(Self::CHECKED_LEN);
        for (to, from) in checked.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        check.copy_from_slice(&crc_fast::crc64_nvme(checked).to_le_bytes());
        bytes
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// The edit that makes the version out of nothing. The first record, and no other.
    Snapshot,
    /// An edit.
    Edit,
    /// The manifest was closed here.
    End,
}

impl RecordKind {
    /// The tag on disk. Never renumbered.
    pub const fn tag(self) -> u32 {
        match self {
            Self::Snapshot => 1,
            Self::Edit => 2,
            Self::End => 3,
        }
    }

    const fn from_tag(tag: u32) -> Option<Self> {
        match tag {
            1 => Some(Self::Snapshot),
            2 => Some(Self::Edit),
            3 => Some(Self::End),
            _ => None,
        }
    }
}

/// A record of a manifest file.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field        unit / encoding
///      0     8  payload_len  bytes, u64 LE, n
///      8     4  check        CRC-32C of bytes 0..8 and 12..40+n+p, u32 LE
///     12     4  salt         that of the file, u32 LE
///     16     4  kind         1 snapshot, 2 edit, 3 end, u32 LE
///     20     4  zero
///     24     8  sequence     0 for the first record of the file, then one more each, u64 LE
///     32     8  synced_len   the file was known synced up to this offset, u64 LE
///     40     n  payload
///   40+n     p  zeros        p < 8, so that records begin at multiples of 8
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: RecordKind,
    /// Its place in the file's sequence.
    pub sequence: u64,
    /// Up to which offset the file was known synced when the record was written.
    pub synced_len: u64,
    /// An encoded [`VersionEdit`](crate::VersionEdit).
    pub payload: &'a [u8],
}

/// The fields of a record, not verified.
#[derive(Clone, Copy, Debug)]
struct Fields {
    payload_len: u64,
    check: u32,
    salt: u32,
    kind: u32,
    zero: u32,
    sequence: u64,
    synced_len: u64,
}

const COVERED_FROM: usize = 12;

impl<'a> Record<'a> {
    /// Length of what stands before the payload, in bytes.
    pub const HEADER_LEN: usize = 40;

    const PAYLOAD_AT: u64 = 40;

    /// Reads the record at the front of `bytes`, which must have that salt and place in the sequence.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if bytes are missing, [`Error::Unsupported`] for a kind that this build
    /// does not know, and otherwise one for which [`Error::is_corruption`] holds.
    pub fn decode(bytes: &'a [u8], salt: u32, sequence: u64) -> Result<Self, Error> {
        let record = Self::decode_any(bytes, salt)?;
        if record.sequence != sequence {
            return Err(Error::Malformed { what: "a record is out of sequence" });
        }
        Ok(record)
    }

    fn decode_any(bytes: &'a [u8], salt: u32) -> Result<Self, Error> {
        let fields = Fields::take(bytes)?;
        if fields.salt != salt {
            return Err(Error::Malformed { what: "there is no record of this file" });
        }
        let needed = fields.record_len();
        let whole = usize::try_from(needed).ok().and_then(|len| bytes.get(..len));
        let whole = whole.ok_or(Error::Truncated { needed, available: bytes.len() as u64 })?;
        let actual = check_of(whole);
        if actual != fields.check {
            let (expected, actual) = (fields.check.into(), actual.into());
            return Err(Error::Checksum { expected, actual });
        }
        let kind = RecordKind::from_tag(fields.kind).ok_or(Error::Unsupported {
            what: "record kind",
            found: fields.kind.into(),
            known: RecordKind::End.tag().into(),
        })?;
        let rest = whole.get(Self::HEADER_LEN..).unwrap_or_default();
        let payload_len = usize::try_from(fields.payload_len).unwrap_or(usize::MAX);
        let (payload, padding) = rest.split_at_checked(payload_len).unwrap_or((rest, &[]));
        if fields.zero != 0 || padding.iter().any(|&byte| byte != 0) {
            return Err(Error::Malformed { what: "bytes that should be zero are not" });
        }
        let (sequence, synced_len) = (fields.sequence, fields.synced_len);
        Ok(Self { kind, sequence, synced_len, payload })
    }

    /// Length on disk, in bytes.
    pub fn encoded_len(&self) -> u64 {
        record_len(self.payload.len() as u64)
    }

    /// Appends the record to `out`.
    pub fn encode_into(&self, salt: u32, out: &mut Vec<u8>) {
        let start = out.len();
        let payload_len = self.payload.len() as u64;
        out.extend_from_slice(&payload_len.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&salt.to_le_bytes());
        out.extend_from_slice(&self.kind.tag().to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.synced_len.to_le_bytes());
        out.extend_from_slice(self.payload);
        let padding = self.encoded_len().saturating_sub(Self::PAYLOAD_AT + payload_len);
        out.extend((0..padding).map(|_| 0));
        let check = check_of(out.get(start..).unwrap_or_default());
        let field = out.get_mut(start..).and_then(|record| record.get_mut(8..)?.first_chunk_mut());
        if let Some(field) = field {
            *field = check.to_le_bytes();
        }
    }
}

impl Fields {
    fn take(mut bytes: &[u8]) -> Result<Self, Error> {
        let rest = &mut bytes;
        Ok(Self {
            payload_len: take_u64(rest)?,
            check: take_u32(rest)?,
            salt: take_u32(rest)?,
            kind: take_u32(rest)?,
            zero: take_u32(rest)?,
            sequence: take_u64(rest)?,
            synced_len: take_u64(rest)?,
        })
    }

    fn record_len(&self) -> u64 {
        record_len(self.payload_len)
    }
}

/// Length on disk of a record with that much payload, where that is less than 2⁶⁴.
fn record_len(payload_len: u64) -> u64 {
    let len = payload_len.saturating_add(Record::PAYLOAD_AT);
    len.checked_next_multiple_of(8).unwrap_or(u64::MAX)
}

/// The highest offset that any whole record of the file, in `bytes` from `offset` on, says was synced.
/// Looks at every place where a record could stand.
///
/// Bytes that look like records and are none cost a check each; a file that is full of those is no
/// accident, and counts as saying that everything was synced.
pub(crate) fn synced_behind(bytes: &[u8], offset: usize, salt: u32) -> u64 {
    let mut synced_len = 0;
    let mut checks_len_left = bytes.len().saturating_mul(4).saturating_add(64 << 20) as u64;
    for at in (offset..bytes.len()).step_by(8) {
        let rest = bytes.get(at..).unwrap_or_default();
        let Ok(fields) = Fields::take(rest) else { break };
        let len = fields.record_len();
        let is_news = fields.synced_len > synced_len && fields.synced_len <= at as u64;
        if fields.salt != salt || !is_news || len > rest.len() as u64 {
            continue;
        }
        let Some(left) = checks_len_left.checked_sub(len) else { return u64::MAX };
        checks_len_left = left;
        if let Ok(record) = Record::decode_any(rest, salt) {
            synced_len = record.synced_len;
        }
    }
    synced_len
}

/// The check of a whole record: over everything but itself.
fn check_of(record: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(record.get(..8).unwrap_or_default());
    digest.update(record.get(COVERED_FROM..).unwrap_or_default());
    // The algorithm has 32 bits.
    u32::try_from(digest.finalize()).unwrap_or_default()
}
