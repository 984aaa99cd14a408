//! Who a directory is: a file that is written and synced before any other.

use std::{io::Write, path::Path};

use stratal_fs::{Access, Fs, NewFile, read_to_vec};
use stratal_types::DbId;
use xxhash_rust::xxh3::xxh3_64;

use crate::Error;

/// Name of the file.
pub const FILE_NAME: &str = "IDENTITY";

const MAGIC: [u8; 8] = *b"\x93STRDB\r\n";
const VERSION: u32 = 1;
const LEN: usize = 40;

/// The file's bytes: magic (8) · version u32 LE · zero (4) · `db_id` (16) · xxh3-64 of the bytes before
/// (8, LE).
pub(crate) fn encode(db_id: DbId) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let fields = MAGIC.into_iter().chain(VERSION.to_le_bytes()).chain([0; 4]).chain(db_id.0);
    bytes.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    let check = xxh3_64(&bytes[..LEN - 8]);
    bytes[LEN - 8..].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// What is wrong with the bytes, or the database they name.
pub(crate) fn decode(bytes: &[u8]) -> Result<DbId, &'static str> {
    let bytes: &[u8; LEN] = bytes.try_into().map_err(|_| "it is not 40 bytes long")?;
    if bytes[..8] != MAGIC {
        return Err("it is not the identity of a Stratal database");
    }
    if bytes[LEN - 8..] != xxh3_64(&bytes[..LEN - 8]).to_le_bytes() {
        return Err("its check does not hold");
    }
    if bytes[8..12] != VERSION.to_le_bytes() {
        return Err("the database was made by a newer version of Stratal");
    }
    bytes[16..32].try_into().map(DbId).map_err(|_| "it is damaged")
}

/// The database in `dir`, or `None` if there is none.
///
/// # Errors
///
/// [`Error::Identity`] if there is a file of that name that is none, [`Error::Io`] if it cannot be read.
pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<DbId>, Error> {
    let path = dir.join(FILE_NAME);
    let file = match fs.open(&path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let bytes = match read_to_vec(file.as_ref(), LEN) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Vec::new(),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    decode(&bytes).map(Some).map_err(|what| Error::Identity { path, what })
}

/// Makes `dir` the home of `db_id`, durably.
///
/// # Errors
///
/// [`Error::Io`]. What is left behind is no whole identity.
pub fn write(fs: &dyn Fs, dir: &Path, db_id: DbId) -> Result<(), Error> {
    let path = dir.join(FILE_NAME);
    let attempt = || {
        let mut file = NewFile::create(fs, &path)?;
        file.write_all(&encode(db_id))?;
        file.finish()?.sync_dir(fs)
    };
    attempt().map(drop).map_err(|error| Error::io("write", &path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stratal_fs::MemFs;

    #[test]
    fn an_identity_reads_back_and_no_mutant_of_it_does() {
        let id = DbId([7; 16]);
        let bytes = encode(id);
        assert_eq!(decode(&bytes), Ok(id));
        for i in 0..LEN {
            for bit in 0..8 {
                let mut mutant = bytes;
                mutant[i] ^= 1 << bit;
                assert!(decode(&mutant).is_err());
            }
            assert!(decode(&bytes[..i]).is_err());
        }
        let fs = MemFs::new();
        let dir = Path::new("/");
        assert_eq!(read(&fs, dir).unwrap(), None);
        write(&fs, dir, id).unwrap();
        assert_eq!(read(&fs, dir).unwrap(), Some(id));
    }
}
