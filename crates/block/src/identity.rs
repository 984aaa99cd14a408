use stratal_types::FileUid;
use twox_hash::XxHash3_64;

/// What a block is for, in the numbering of whoever writes it.
///
/// Opaque here. A block sealed as one kind does not open as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKind(pub u8);

/// Who a block is: which file, where in it, in what role.
///
/// The reader supplies it from its own knowledge, never from the block. A block that was copied to
/// another place, file or role does not verify there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockId {
    /// The file's random identity.
    pub uid: FileUid,
    /// The block's number within the file, unique there. Often its offset.
    pub ordinal: u64,
    /// The block's role.
    pub kind: BlockKind,
}

impl BlockId {
    /// Length of the hashed form, in bytes.
    const LEN: usize = FileUid::LEN + size_of::<u64>() + 1;

    /// XXH3-64 of uid, ordinal (little-endian) and kind: what the identity adds to the check.
    #[inline]
    pub(crate) fn hash(self) -> u64 {
        let mut bytes = [0; Self::LEN];
        let (uid, rest) = bytes.split_at_mut(FileUid::LEN);
        let (ordinal, kind) = rest.split_at_mut(size_of::<u64>());
        uid.copy_from_slice(&self.uid.0);
        ordinal.copy_from_slice(&self.ordinal.to_le_bytes());
        kind.copy_from_slice(&[self.kind.0]);
        XxHash3_64::oneshot(&bytes)
    }
}
