use core::ops::Range;

use stratal_types::fields::take;

use super::{Error, Toc, VERSION};
use crate::bytes::len_u64;

/// The end of the file: where the table of contents is, and its check.
///
/// # Layout (1.0)
///
/// ```text
/// offset  size  field       unit / encoding
///      0     4  magic       "SFA!"
///      4     1  version     1
///      5     1  check_type  0, xxh3-128
///      6    16  toc_check   xxh3-128 of the table of contents, u128 LE
///     22     8  toc_offset  bytes, u64 LE
///     30     8  toc_len     bytes, u64 LE
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// xxh3-128 of the table of contents.
    pub toc_check: u128,
    /// Where the table of contents begins, in bytes from the start of the file.
    pub toc_offset: u64,
    /// Its length, in bytes.
    pub toc_len: u64,
}

impl Trailer {
    /// Length on disk, in bytes.
    pub const LEN: usize = 38;

    /// The bytes that a trailer begins with.
    pub const MAGIC: [u8; 4] = *b"SFA!";

    pub(super) const LEN_U64: u64 = 38;
    const XXH3: u8 = 0;

    /// The trailer of the table of contents `toc` that stands at `toc_offset`.
    pub fn of(toc: &[u8], toc_offset: u64) -> Self {
        Self { toc_check: Toc::check_of(toc), toc_offset, toc_len: len_u64(toc) }
    }

    /// Reads the trailer that stands at `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnArchive`] on a foreign magic, [`Error::UnsupportedVersion`],
    /// [`Error::UnsupportedCheck`], [`Error::Malformed`] if the table does not end where the trailer
    /// begins.
    pub fn decode(bytes: &[u8; Self::LEN], offset: u64) -> Result<Self, Error> {
        let mut rest = &bytes[..];
        let found = take(&mut rest)?;
        if found != Self::MAGIC {
            return Err(Error::NotAnArchive { found });
        }
        let [version, check_type] = take(&mut rest)?;
        if version != VERSION {
            return Err(Error::UnsupportedVersion { version, supported: VERSION });
        }
        if check_type != Self::XXH3 {
            return Err(Error::UnsupportedCheck { tag: check_type });
        }
        let toc_check = u128::from_le_bytes(take(&mut rest)?);
        let toc_offset = u64::from_le_bytes(take(&mut rest)?);
        let toc_len = u64::from_le_bytes(take(&mut rest)?);
        if toc_offset.checked_add(toc_len) != Some(offset) {
            let what = "the table of contents does not end where the trailer begins";
            return Err(Error::Malformed { offset, what });
        }
        if toc_len < Toc::LEN_MIN {
            return Err(Error::Malformed { offset, what: "the table of contents is too short" });
        }
        Ok(Self { toc_check, toc_offset, toc_len })
    }

    /// Writes the trailer.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let fields = Self::MAGIC
            .into_iter()
            .chain([VERSION, Self::XXH3])
            .chain(self.toc_check.to_le_bytes())
            .chain(self.toc_offset.to_le_bytes())
            .chain(self.toc_len.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// Where the table of contents stands.
    pub(super) fn toc_range(&self) -> Range<u64> {
        self.toc_offset..self.toc_offset.saturating_add(self.toc_len)
    }
}
