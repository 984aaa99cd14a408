//! The key of a table's own, from the root keys that the process has.

use std::num::NonZeroU8;

use stratal_archive::{ArchiveHeader, HeaderSeal};
use stratal_block::{BlockSpec, FileKey, FileKeyInfo, Seal};

use crate::{Error, TableContext, TableIdentity};

/// What tables are among the sorts of files that keys are derived for.
const FILE_KIND: u8 = 1;

/// The key of a new table that is sealed with `seal`, and what its header says of it. Nothing of
/// either in the clear.
pub(crate) fn begin(
    ctx: &TableContext,
    identity: TableIdentity,
    seal: Seal,
) -> Result<Option<(FileKey, HeaderSeal)>, Error> {
    let Some(cipher) = NonZeroU8::new(seal.tag()) else { return Ok(None) };
    let TableIdentity { uid, salt } = identity;
    if salt == [0; 32] {
        return Err(Error::InvalidOption {
            option: "salt",
            value: "zero".to_owned(),
            allowed: "random where a table is encrypted".to_owned(),
        });
    }
    let epoch = ctx.keys.newest().ok_or(Error::KeyNeeded { epoch: None })?;
    let info = FileKeyInfo { db_id: ctx.db_id, kind: FILE_KIND, uid, salt };
    let key = ctx.keys.file_key(epoch, &info).map_err(key_error)?;
    let seal = HeaderSeal { cipher, epoch, salt, key_check: key.key_check() };
    Ok(Some((key, seal)))
}

/// The key of the table with this header; none if it is in the clear.
pub(crate) fn open(ctx: &TableContext, header: &ArchiveHeader) -> Result<Option<FileKey>, Error> {
    let Some(HeaderSeal { cipher, epoch, salt, key_check }) = header.seal else { return Ok(None) };
    let unsupported =
        || stratal_block::Error::Unsupported { what: "cipher", found: cipher.get().into() };
    Seal::from_tag(cipher.get())
        .ok_or_else(unsupported)
        .and_then(|seal| BlockSpec { seal, ..BlockSpec::default() }.validate())
        .map_err(key_error)?;
    let info = FileKeyInfo { db_id: header.db_id, kind: FILE_KIND, uid: header.uid, salt };
    ctx.keys.open_file(epoch, &info, key_check).map(Some).map_err(key_error)
}

fn key_error(error: stratal_block::Error) -> Error {
    match error {
        stratal_block::Error::KeyNeeded { epoch } => Error::KeyNeeded { epoch },
        stratal_block::Error::WrongKey { epoch } => Error::WrongKey { epoch },
        source => Error::Block { kind: "header", offset: 0, source },
    }
}
