use stratal_types::fields::{take, take_u32, take_u64};

use crate::{
    ArchiveHeader, Error, Toc, VERSION,
    bytes::{sealed, unsealed},
};

/// Stands right behind a table of contents, and says where that begins.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field       unit / encoding
///      0     8  magic       93 "STREND" 0a
///      8     4  version     u32 LE, 1
///     12     4  toc_len     bytes, u32 LE
///     16     8  toc_offset  bytes, u64 LE
///     24     8  check       xxh3-64 of bytes 0..24, u64 LE
/// ```
///
/// The layout is the same in all versions. A trailer stands at `toc_offset + toc_len`; anywhere else
/// it is a copy of one, and not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Where the table of contents begins, in bytes from the start of the file.
    pub toc_offset: u64,
    /// Its length, in bytes.
    pub toc_len: u32,
}

impl Trailer {
    /// Length on disk, in bytes.
    pub const LEN: usize = 32;

    /// The bytes that a trailer begins with.
    pub const MAGIC: [u8; 8] = *b"\x93STREND\n";

    pub(crate) const LEN_U64: u64 = 32;

    /// Reads the trailer that stands at `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if it has another magic, belongs elsewhere or names an impossible length,
    /// [`Error::Checksum`], [`Error::UnsupportedVersion`].
    pub fn decode(bytes: &[u8; Self::LEN], offset: u64) -> Result<Self, Error> {
        let malformed = |what| Err(Error::Malformed { offset, what });
        let mut rest = &bytes[..];
        if take(&mut rest)? != Self::MAGIC {
            return malformed("no trailer");
        }
        let mut rest = unsealed(bytes, offset, 0)?;
        let _magic: [u8; 8] = take(&mut rest)?;
        let version = take_u32(&mut rest)?;
        let toc_len = take_u32(&mut rest)?;
        let toc_offset = take_u64(&mut rest)?;
        if toc_offset.checked_add(u64::from(toc_len)) != Some(offset) {
            return malformed("the trailer belongs elsewhere");
        }
        if version != VERSION {
            return Err(Error::UnsupportedVersion { version, supported: VERSION });
        }
        if toc_offset < ArchiveHeader::END || !Toc::len_is_possible(u64::from(toc_len)) {
            return malformed("the trailer names an impossible table of contents");
        }
        Ok(Self { toc_offset, toc_len })
    }

    /// Writes the trailer.
    pub fn encode(&self) -> [u8; Self::LEN] {
        sealed(&[
            &Self::MAGIC,
            &VERSION.to_le_bytes(),
            &self.toc_len.to_le_bytes(),
            &self.toc_offset.to_le_bytes(),
        ])
    }
}
