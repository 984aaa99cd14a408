use stratal_types::{DbId, FileUid};

use stratal_types::fields::{take, take_u32};

use crate::{
    Error, HeaderSeal, VERSION,
    bytes::{sealed, unsealed},
};

/// The first bytes of a file: what it is and whose.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field      unit / encoding
///      0     8  magic      93 "STRARC" 0a
///      8     4  version    u32 LE, 1
///     12     4  file_type  four bytes, meaning given by the layer above
///     16    16  db_id
///     32    16  uid
///     48    56  seal       a HeaderSeal; all zero in a file in the clear
///    104    16  zero
///    120     8  check      xxh3-64 of bytes 0..120, u64 LE
/// ```
///
/// The length, the magic, the version and the check keep their places in all versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveHeader {
    /// What kind of archive this is, by the layer above. This crate gives it no meaning.
    pub file_type: [u8; 4],
    /// The database that the file belongs to.
    pub db_id: DbId,
    /// Who the file is.
    pub uid: FileUid,
    /// What it takes to decrypt the file; `None` if it is in the clear.
    pub seal: Option<HeaderSeal>,
}

impl ArchiveHeader {
    /// Length on disk, in bytes.
    pub const LEN: usize = 128;

    /// The bytes that an archive begins with.
    pub const MAGIC: [u8; 8] = *b"\x93STRARC\n";

    /// Length on disk, as an offset: where the first section begins.
    pub(crate) const END: u64 = 128;
    const SEAL_OFFSET: u64 = 48;
    const ZERO_OFFSET: u64 = 104;

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnArchive`] on a foreign magic, [`Error::Checksum`], [`Error::UnsupportedVersion`],
    /// or [`Error::Malformed`] if the reserved bytes are used or the fields of the seal contradict each
    /// other.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, Error> {
        let mut rest = &bytes[..];
        let found = take(&mut rest)?;
        if found != Self::MAGIC {
            return Err(Error::NotAnArchive { found });
        }
        let mut rest = unsealed(bytes, 0, 0)?;
        let _magic: [u8; 8] = take(&mut rest)?;
        let version = take_u32(&mut rest)?;
        if version != VERSION {
            return Err(Error::UnsupportedVersion { version, supported: VERSION });
        }
        let file_type = take(&mut rest)?;
        let db_id = DbId(take(&mut rest)?);
        let uid = FileUid(take(&mut rest)?);
        let seal = HeaderSeal::decode(&take(&mut rest)?, Self::SEAL_OFFSET)?;
        if rest.iter().any(|&byte| byte != 0) {
            let what = "reserved bytes of the header are not zero";
            return Err(Error::Malformed { offset: Self::ZERO_OFFSET, what });
        }
        Ok(Self { file_type, db_id, uid, seal })
    }

    /// Writes the header.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let seal = HeaderSeal::encode(self.seal.as_ref());
        let version = VERSION.to_le_bytes();
        sealed(&[&Self::MAGIC, &version, &self.file_type, &self.db_id.0, &self.uid.0, &seal])
    }
}
