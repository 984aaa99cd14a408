//! Root keys, and bytes that nobody can guess.

use std::{path::Path, sync::Arc};

use stratal_block::{KeyRing, RootKey, Seal};
use stratal_fs::{Access, Fs, StdFs, read_to_vec};
use stratal_sst::TableIdentity;
use stratal_types::FileUid;

use crate::{args::Common, failure::Failure};

/// The epoch that new tables name.
const EPOCH: u32 = 1;

/// Far above what a key takes, as bytes or as text.
const FILE_LEN_MAX: usize = 4096;

/// The root key that the command line names, for tables of `epoch`; `None` if it names none.
pub(crate) fn keys_of(common: &Common, epoch: u32) -> Result<Option<Arc<KeyRing>>, Failure> {
    let Some(path) = &common.key_file else { return Ok(None) };
    let file = StdFs.open(path, Access::Read).map_err(|error| Failure::io(path, "open", &error))?;
    let bytes = read_to_vec(file.as_ref(), FILE_LEN_MAX);
    let bytes = bytes.map_err(|error| Failure::io(path, "read", &error))?;
    let root = parse(&bytes).ok_or_else(|| {
        let path = path.display();
        Failure::Usage(format!("{path} is no key: 32 bytes are, raw or in hexadecimal"))
    })?;
    Ok(Some(Arc::new([RootKey::new(epoch, root)].into_iter().collect())))
}

/// The root key that the command line names, for new tables.
pub(crate) fn keys_for_new(common: &Common) -> Result<Arc<KeyRing>, Failure> {
    Ok(keys_of(common, EPOCH)?.unwrap_or_default())
}

/// A root key that is forgotten with the process.
pub(crate) fn passing_keys() -> Result<Arc<KeyRing>, Failure> {
    Ok(Arc::new([RootKey::new(EPOCH, random()?)].into_iter().collect()))
}

/// An identity for a new table. Of one that is encrypted, each is another.
pub(crate) fn identity(uid: FileUid, seal: Seal) -> Result<TableIdentity, Failure> {
    let salt = if seal == Seal::None { [0; 32] } else { random()? };
    Ok(TableIdentity { uid, salt })
}

fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        let error = std::io::Error::other(error);
        Failure::io(Path::new("random numbers"), "get", &error)
    })?;
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Option<[u8; RootKey::LEN]> {
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    let text = bytes.trim_ascii();
    let parsed = crate::text::Notation::Hex.parse(text).ok()?;
    parsed.as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_raw_or_in_hexadecimal() {
        let key = [0xa5; 32];
        assert_eq!(parse(&key), Some(key));
        assert_eq!(parse(b"a5".repeat(32).as_slice()), Some(key));
        assert_eq!(parse(format!("{}\n", "A5".repeat(32)).as_bytes()), Some(key));
        for bad in [&b""[..], &[1; 31], &[1; 33], b"a5".repeat(31).as_slice(), &[b'g'; 64]] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
