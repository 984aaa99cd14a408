use stratal_types::FileUid;

/// What makes a new table one of a kind. The caller draws it: a writer draws nothing, so that the same
/// input gives the same bytes.
///
/// Every table takes a `uid`, which alone is an identity, too: `uid.into()` has a zero `salt`, and is
/// refused where a table is encrypted.
///
/// Both are drawn when the file is created and never used for another, also when writing it did not
/// succeed: under one root key, uid and salt give the file its key, and its blocks count their nonces
/// from the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableIdentity {
    /// Sixteen random bytes that no other file has.
    pub uid: FileUid,
    /// Random bytes that go into the file's key. Not stored in a table in the clear.
    pub salt: [u8; 32],
}

impl From<FileUid> for TableIdentity {
    fn from(uid: FileUid) -> Self {
        Self { uid, salt: [0; 32] }
    }
}
