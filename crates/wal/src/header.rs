#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use stratal_types::{
    DbId,
    fields::{take, take_u32, take_u64},
};

use crate::{Error, Lsn, VERSION};

/// What a segment says about itself, twice.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field          unit / encoding
///      0     8  magic          93 "STRWAL" 0a
///      8     4  version        u32 LE, 1
///     12     4  salt           u32 LE, random; every record of the segment has it
///     16    16  db_id          the database that the segment belongs to
///     32     8  number         of the segment, u64 LE, as in its file's name
///     40     8  predecessor    number of the segment before, u64 LE, 0 if none
///     48     8  start          LSN of the first record, and the end of the predecessor, u64 LE
///     56     8  synced_lsn     the log was known synced up to here, u64 LE, ≤ start
///     64     8  carried_len    bytes of the carried part, u64 LE
///     72     8  carried_check  CRC-64/NVME of the carried part, u64 LE
///     80     8  zero
///     88     8  check          CRC-64/NVME of bytes 0..88, u64 LE
/// ```
///
/// One copy stands at offset 0, another at 512. The first record stands at 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentHeader {
    /// What every record of the segment has.
    pub salt: u32,
    /// The database.
    pub db_id: DbId,
    /// The segment's number, from 1.
    pub number: u64,
    /// The segment before, 0 if there is none.
    pub predecessor: u64,
    /// Where this segment takes over: the predecessor is not read behind this.
    pub start: Lsn,
    /// Up to where the log was known synced when the segment was created.
    pub synced: Lsn,
    /// Bytes at the start that must be whole for the segment to count.
    pub carried_len: u64,
    /// The check of those bytes.
    pub carried_check: u64,
}

impl SegmentHeader {
    /// Length of one copy, in bytes.
    pub const LEN: usize = 96;

    /// The bytes that a segment begins with.
    pub const MAGIC: [u8; 8] = *b"\x93STRWAL\n";

    /// Where the second copy stands: in another sector than the first.
    pub const MIRROR_OFFSET: usize = 512;

    /// Where records begin.
    pub const DATA_OFFSET: u64 = 1024;

    /// Length of both copies and what stands between and behind them.
    pub(crate) const BLOCK_LEN: usize = 1024;

    const CHECKED_LEN: usize = 88;

    /// Reads one copy.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], [`Error::Checksum`], or [`Error::Unsupported`].
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, Error> {
        let mut rest = &bytes[..];
        if take(&mut rest)? != Self::MAGIC {
            return Err(Error::Malformed { what: "no log segment: the magic is missing" });
        }
        let (checked, check) = bytes.split_at_checked(Self::CHECKED_LEN).unwrap_or_default();
        let (expected, actual) = (take_u64(&mut &check[..])?, check_of(checked));
        if expected != actual {
            return Err(Error::Checksum { expected, actual });
        }
        let version = take_u32(&mut rest)?;
        if version != VERSION {
            let (found, known) = (version, VERSION);
            return Err(Error::Unsupported { what: "log format version", found, known });
        }
        let header = Self {
            salt: take_u32(&mut rest)?,
            db_id: DbId(take(&mut rest)?),
            number: take_u64(&mut rest)?,
            predecessor: take_u64(&mut rest)?,
            start: Lsn(take_u64(&mut rest)?),
            synced: Lsn(take_u64(&mut rest)?),
            carried_len: take_u64(&mut rest)?,
            carried_check: take_u64(&mut rest)?,
        };
        if take_u64(&mut rest)? != 0 {
            return Err(Error::Malformed { what: "reserved bytes of the header are not zero" });
        }
        if header.predecessor >= header.number {
            return Err(Error::Malformed { what: "the segment names itself or a later one" });
        }
        if header.synced > header.start || !header.start.0.is_multiple_of(8) {
            return Err(Error::Malformed { what: "the segment's start makes no sense" });
        }
        if !header.carried_len.is_multiple_of(8) {
            return Err(Error::Malformed { what: "the carried part ends within a record" });
        }
        Ok(header)
    }

    /// Writes one copy.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let fields: [&[u8]; 11] = [
            &Self::MAGIC,
            &VERSION.to_le_bytes(),
            &self.salt.to_le_bytes(),
            &self.db_id.0,
            &self.number.to_le_bytes(),
            &self.predecessor.to_le_bytes(),
            &self.start.0.to_le_bytes(),
            &self.synced.0.to_le_bytes(),
            &self.carried_len.to_le_bytes(),
            &self.carried_check.to_le_bytes(),
            &[0; 8],
        ];
        let mut bytes = [0; Self::LEN];
        let (checked, check) = bytes.split_at_mut(Self::CHECKED_LEN);
        for (to, from) in checked.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        check.copy_from_slice(&check_of(checked).to_le_bytes());
        bytes
    }

    /// Writes both copies and what stands around them.
    pub(crate) fn encode_block(&self) -> [u8; Self::BLOCK_LEN] {
        let copy = self.encode();
        let mut block = [0; Self::BLOCK_LEN];
        for start in [0, Self::MIRROR_OFFSET] {
            for (to, from) in block.iter_mut().skip(start).zip(copy) {
                *to = from;
            }
        }
        block
    }

    /// Where the carried part ends.
    pub fn carried_end(&self) -> Lsn {
        self.start.plus(self.carried_len)
    }

    /// Where in the file the record at `lsn` begins. `lsn` is not before the start.
    pub fn offset_of(&self, lsn: Lsn) -> u64 {
        Self::DATA_OFFSET.saturating_add(lsn.since(self.start))
    }
}

fn check_of(bytes: &[u8]) -> u64 {
    crc_fast::crc64_nvme(bytes)
}
