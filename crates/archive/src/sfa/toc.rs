use alloc::vec::Vec;
use core::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use stratal_types::fields::take;

use super::{Error, NAME_LEN_MAX};
use crate::bytes::len_u64;

/// The table of contents: where each section is.
///
/// # Layout (1.0)
///
/// ```text
/// offset  size  field        unit / encoding
///      0     4  magic        "TOC!"
///      4     4  entry_count  u32 LE
///      8        entries      see below, back to back
///
/// entry
///      0     8  offset       bytes from the start of the file, u64 LE
///      8     8  len          bytes, u64 LE
///     16     2  name_len     bytes, u16 LE, n
///     18     n  name         any bytes
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toc {
    /// The sections, as the table lists them.
    pub entries: Vec<TocEntry>,
    /// Where the table begins, in bytes from the start of the file. All sections lie before.
    pub offset: u64,
}

/// A section: its name, and where it is. Its bytes stand under no check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TocEntry {
    /// Any bytes; two sections may have the same name.
    pub name: Vec<u8>,
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// Its length, in bytes.
    pub len: u64,
}

impl Toc {
    /// The bytes that a table of contents begins with.
    pub const MAGIC: [u8; 4] = *b"TOC!";

    /// Length of a table without entries, in bytes.
    pub(super) const LEN_MIN: u64 = 8;

    /// The first section with this name, which is what other readers take too. Linear in the number
    /// of sections.
    pub fn get(&self, name: &[u8]) -> Option<&TocEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Reads the table of contents that stands at `offset`. `bytes` are all of it, without trailer;
    /// `check` is what the trailer says of them.
    ///
    /// # Errors
    ///
    /// [`Error::Checksum`], or [`Error::Malformed`] for another magic, for entries that are more or
    /// fewer than their count, and for sections that do not lie before `offset`.
    pub fn decode(bytes: &[u8], offset: u64, check: u128) -> Result<Self, Error> {
        let malformed = |what| Error::Malformed { offset, what };
        let (expected, actual) = (check, Self::check_of(bytes));
        if expected != actual {
            return Err(Error::Checksum { offset, expected, actual });
        }
        let mut rest = bytes;
        let fixed = take(&mut rest).and_then(|magic| Ok((magic, take(&mut rest)?)));
        let (magic, entry_count) = fixed.map_err(|_| malformed("the contents are too short"))?;
        if magic != Self::MAGIC {
            return Err(malformed("no table of contents"));
        }
        let entry_count = u32::from_le_bytes(entry_count);
        // No more than there can be, whatever the count says.
        let room = len_u64(rest).checked_div(TocEntry::FIXED_LEN).unwrap_or(0);
        let room = usize::try_from(room.min(entry_count.into())).unwrap_or(0);
        let mut entries = Vec::with_capacity(room);
        for _ in 0..entry_count {
            let at = offset.saturating_add(len_u64(bytes).saturating_sub(len_u64(rest)));
            let entry = TocEntry::decode(&mut rest).map_err(|_| Error::Malformed {
                offset: at,
                what: "the contents end within their entries",
            })?;
            if entry.end().is_none_or(|end| end > offset) {
                let what = "the section does not lie before the contents";
                return Err(Error::Malformed { offset: at, what });
            }
            entries.push(entry);
        }
        if !rest.is_empty() {
            return Err(malformed("the contents go on behind their entries"));
        }
        Ok(Self { entries, offset })
    }

    /// Writes the table of contents.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(Self::MAGIC);
        out.extend(u32::try_from(self.entries.len()).unwrap_or(u32::MAX).to_le_bytes());
        for entry in &self.entries {
            entry.encode(&mut out);
        }
        out
    }

    /// The check of a table's bytes: xxh3-128.
    pub fn check_of(bytes: &[u8]) -> u128 {
        xxh3_128(bytes)
    }
}

impl TocEntry {
    /// Bytes that an entry takes in the table beside its name.
    pub(super) const FIXED_LEN: u64 = 18;

    /// The section's place in the file.
    pub const fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.len)
    }

    /// The section's bytes, if `file` is all of the archive. `None` if it is shorter.
    pub fn bytes_in<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let Range { start, end } = self.range();
        file.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.len)
    }

    fn decode(rest: &mut &[u8]) -> Result<Self, Error> {
        let offset = u64::from_le_bytes(take(rest)?);
        let len = u64::from_le_bytes(take(rest)?);
        let name_len = u16::from_le_bytes(take(rest)?);
        let truncated = Error::Truncated { expected: name_len.into(), actual: len_u64(rest) };
        let (name, behind) = rest.split_at_checked(name_len.into()).ok_or(truncated)?;
        *rest = behind;
        Ok(Self { name: name.to_vec(), offset, len })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.offset.to_le_bytes());
        out.extend(self.len.to_le_bytes());
        let name = self.name.get(..NAME_LEN_MAX).unwrap_or(&self.name);
        out.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend(name);
    }
}
