use alloc::{collections::BTreeMap, sync::Arc};
use core::{fmt, mem::take};

use hkdf::Hkdf;
use sha2::Sha256;
use stratal_types::{DbId, FileUid};
use zeroize::Zeroizing;

use crate::{
    BlockId, Error, FrameHeader,
    seal::{Ciphers, KEY_LEN, Nonce, Tag},
};

/// A secret from which the keys of files are derived, in force from one epoch to the next.
///
/// Kept by whoever keeps secrets. A file's header names the epoch, never the key. Overwritten when
/// dropped, and never printed.
#[derive(Clone)]
pub struct RootKey {
    epoch: u32,
    bytes: Zeroizing<[u8; KEY_LEN]>,
}

impl RootKey {
    /// Length, in bytes.
    pub const LEN: usize = KEY_LEN;

    /// The root key of `epoch`: 32 bytes that nobody can guess.
    pub fn new(epoch: u32, bytes: [u8; Self::LEN]) -> Self {
        Self { epoch, bytes: Zeroizing::new(bytes) }
    }

    /// Its epoch: the number by which files refer to it.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }
}

/// The root keys that a process has, by epoch.
///
/// New files take the [`newest`](Self::newest). An old one is needed as long as a file names it;
/// once it is gone from here and from everywhere, so is what those files hold.
///
/// ```
/// use stratal_block::{Error, FileKeyInfo, KeyRing, RootKey};
/// use stratal_types::{DbId, FileUid};
///
/// let ring: KeyRing = [RootKey::new(1, [1; 32]), RootKey::new(2, [2; 32])].into_iter().collect();
/// let info = FileKeyInfo { db_id: DbId([5; 16]), kind: 1, uid: FileUid([7; 16]), salt: [9; 32] };
///
/// // Who writes a file puts epoch, salt and key check into its header…
/// let key = ring.file_key(ring.newest().unwrap(), &info)?;
/// let (epoch, key_check) = (key.epoch(), key.key_check());
///
/// // …and who reads it finds out whether the key is right before looking at anything else.
/// assert!(ring.open_file(epoch, &info, key_check).is_ok());
/// assert_eq!(ring.open_file(3, &info, key_check).unwrap_err(), Error::KeyNeeded { epoch: Some(3) });
/// assert_eq!(ring.open_file(1, &info, key_check).unwrap_err(), Error::WrongKey { epoch: 1 });
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: BTreeMap<u32, RootKey>,
}

impl KeyRing {
    /// Adds a key. One of the same epoch that was there goes.
    pub fn insert(&mut self, key: RootKey) {
        self.keys.insert(key.epoch, key);
    }

    /// The epoch for new files, if there is any key.
    pub fn newest(&self) -> Option<u32> {
        self.keys.last_key_value().map(|(&epoch, _)| epoch)
    }

    /// The key of a new file.
    ///
    /// # Errors
    ///
    /// [`Error::KeyNeeded`] if there is no root key of that epoch.
    pub fn file_key(&self, epoch: u32, info: &FileKeyInfo) -> Result<FileKey, Error> {
        let root = self.keys.get(&epoch).ok_or(Error::KeyNeeded { epoch: Some(epoch) })?;
        Ok(FileKey::derive(root, info))
    }

    /// The key of a file that is there already, whose header says `epoch` and `key_check`.
    ///
    /// # Errors
    ///
    /// [`Error::KeyNeeded`] if there is no root key of that epoch, and [`Error::WrongKey`] if it is
    /// not the one that the file was written with.
    pub fn open_file(
        &self,
        epoch: u32,
        info: &FileKeyInfo,
        key_check: [u8; FileKey::CHECK_LEN],
    ) -> Result<FileKey, Error> {
        let key = self.file_key(epoch, info)?;
        if key.key_check() == key_check { Ok(key) } else { Err(Error::WrongKey { epoch }) }
    }
}

impl FromIterator<RootKey> for KeyRing {
    fn from_iter<I: IntoIterator<Item = RootKey>>(keys: I) -> Self {
        Self { keys: keys.into_iter().map(|key| (key.epoch, key)).collect() }
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// What makes the key of a file its own. All of it stands in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileKeyInfo {
    /// The database.
    pub db_id: DbId,
    /// What kind of file it is, in the numbering of whoever writes it.
    pub kind: u8,
    /// The file's identity: that of its blocks.
    pub uid: FileUid,
    /// Random bytes drawn when the file is created, kept in its header.
    pub salt: [u8; 32],
}

/// The key of one file, for the blocks that it consists of.
///
/// HKDF-SHA-256 (RFC 5869) of the root key, with the file's salt and with all that
/// [`FileKeyInfo`] says. Cheap to clone, overwritten when the last clone is dropped, never printed.
///
/// # Limits
///
/// A nonce is an ordinal: under one file key, each ordinal below 2³² seals one payload, once. A file
/// that could not be written as intended is abandoned, not written again under the same salt.
#[derive(Clone)]
pub struct FileKey(Arc<Inner>);

struct Inner {
    epoch: u32,
    info: FileKeyInfo,
    key_check: [u8; FileKey::CHECK_LEN],
    ciphers: Ciphers,
}

impl FileKey {
    /// Length of the key check, in bytes.
    pub const CHECK_LEN: usize = 16;

    /// Ordinals of sealed blocks are below this.
    pub const ORDINAL_END: u64 = 1 << 32;

    /// The key of the file that `info` describes, under `root`.
    pub fn derive(root: &RootKey, info: &FileKeyInfo) -> Self {
        let ciphers = Ciphers::new(&expand(root, info, b"aead"));
        let key_check = *expand(root, info, b"check");
        Self(Arc::new(Inner { epoch: root.epoch, info: *info, key_check, ciphers }))
    }

    /// The epoch of the root key.
    pub fn epoch(&self) -> u32 {
        self.0.epoch
    }

    /// What the key was derived for.
    pub fn info(&self) -> &FileKeyInfo {
        &self.0.info
    }

    /// What the file's header says so that a wrong key is found out at once. It tells nothing about
    /// the key.
    pub fn key_check(&self) -> [u8; Self::CHECK_LEN] {
        self.0.key_check
    }

    /// Fails unless `id` is a block of this file that may be sealed.
    pub(crate) fn check_id(&self, id: BlockId) -> Result<(), Error> {
        if id.uid != self.0.info.uid {
            return Err(Error::WrongKey { epoch: self.0.epoch });
        }
        if id.ordinal >= Self::ORDINAL_END {
            return Err(Error::InvalidArgument {
                field: "ordinal of a sealed block",
                value: i64::try_from(id.ordinal).unwrap_or(i64::MAX),
                min: 0,
                max: i64::from(u32::MAX),
            });
        }
        Ok(())
    }

    /// Encrypts the payload of `id`, whose header will be `header`, where it lies; returns the tag.
    pub(crate) fn encrypt(
        &self,
        id: BlockId,
        header: &FrameHeader,
        payload: &mut [u8],
    ) -> Result<Tag, Error> {
        let aad = self.aad(id, header);
        self.0.ciphers.encrypt(header.seal, &nonce(id), &aad, payload)
    }

    /// Decrypts `sealed`, the payload of `id` as stored, to `out`.
    pub(crate) fn decrypt(
        &self,
        id: BlockId,
        header: &FrameHeader,
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let aad = self.aad(id, header);
        if self.0.ciphers.decrypt(header.seal, &nonce(id), &aad, sealed, out)? {
            Ok(())
        } else {
            Err(Error::SealBroken { ordinal: id.ordinal })
        }
    }

    /// All that a block must not be taken from unnoticed: header, dictionary (0 if none), database,
    /// file, ordinal, kind of file.
    fn aad(&self, id: BlockId, header: &FrameHeader) -> [u8; AAD_LEN] {
        let FileKeyInfo { db_id, kind, uid, salt: _ } = self.0.info;
        let mut aad = [0; AAD_LEN];
        let mut rest = &mut aad[..];
        for part in [
            &header.encode_fixed()[..],
            &header.codec.dictionary().map_or(0, |id| id.0).to_le_bytes(),
            &db_id.0,
            &uid.0,
            &id.ordinal.to_le_bytes(),
            &[kind],
        ] {
            if let Some((place, behind)) = take(&mut rest).split_at_mut_checked(part.len()) {
                place.copy_from_slice(part);
                rest = behind;
            }
        }
        aad
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { epoch, info, .. } = &*self.0;
        f.debug_struct("FileKey").field("epoch", epoch).field("info", info).finish_non_exhaustive()
    }
}

const AAD_LEN: usize = FrameHeader::LEN + 8 + DbId::LEN + FileUid::LEN + 8 + 1;

/// Four bytes of zero and the ordinal, little-endian.
fn nonce(id: BlockId) -> Nonce {
    let mut nonce = [0; 12];
    if let Some(place) = nonce.last_chunk_mut() {
        *place = id.ordinal.to_le_bytes();
    }
    nonce
}

/// HKDF-SHA-256: ikm the root key, salt the file's, info what `use_` it is for and whose.
#[expect(clippy::expect_used, reason = "expanding fails beyond 8,160 bytes, which N is below")]
fn expand<const N: usize>(root: &RootKey, info: &FileKeyInfo, use_: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32) };
    let FileKeyInfo { db_id, kind, uid, salt } = info;
    let kdf = Hkdf::<Sha256>::new(Some(salt), &root.bytes[..]);
    let mut out = Zeroizing::new([0; N]);
    kdf.expand_multi_info(&[b"stratal v1 ", use_, &db_id.0, &[*kind], &uid.0], &mut out[..])
        .expect("N is checked");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const INFO: FileKeyInfo =
        FileKeyInfo { db_id: DbId([5; 16]), kind: 1, uid: FileUid([7; 16]), salt: [9; 32] };

    #[test]
    fn keys_are_never_printed() {
        let root = RootKey::new(3, [0xab; 32]);
        let key = FileKey::derive(&root, &INFO);
        let ring: KeyRing = [root.clone()].into_iter().collect();
        for text in [format!("{root:?}"), format!("{key:?}"), format!("{ring:?}")] {
            assert!(text.contains("epoch: 3"), "{text}");
            assert!(!text.contains("171") && !text.contains("ab"), "{text}");
        }
    }

    #[test]
    fn whatever_differs_gives_another_key() {
        let base = FileKey::derive(&RootKey::new(1, [1; 32]), &INFO);
        let others = [
            FileKey::derive(&RootKey::new(1, [2; 32]), &INFO),
            FileKey::derive(
                &RootKey::new(1, [1; 32]),
                &FileKeyInfo { db_id: DbId([6; 16]), ..INFO },
            ),
            FileKey::derive(&RootKey::new(1, [1; 32]), &FileKeyInfo { kind: 2, ..INFO }),
            FileKey::derive(
                &RootKey::new(1, [1; 32]),
                &FileKeyInfo { uid: FileUid([8; 16]), ..INFO },
            ),
            FileKey::derive(&RootKey::new(1, [1; 32]), &FileKeyInfo { salt: [0; 32], ..INFO }),
        ];
        for other in others {
            assert_ne!(base.key_check(), other.key_check(), "{other:?}");
        }
    }
}
