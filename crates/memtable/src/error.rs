use stratal_types::SeqNo;

/// Why a memtable refuses an entry. Nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key or value is too long, or a key is empty.
    #[error("{what} is {len} bytes, must be in {min}..={max}")]
    Length {
        /// What has the wrong length.
        what: &'static str,
        /// Its length, in bytes.
        len: usize,
        /// Shortest allowed.
        min: usize,
        /// Longest allowed.
        max: usize,
    },

    /// An entry has changed since the digest that came with it was taken.
    #[error("the entry with number {seqno} does not fit its digest: memory has changed")]
    Damaged {
        /// Number of the entry.
        seqno: SeqNo,
    },
}

impl Error {
    /// Whether stored data is wrong: never, a memtable reads no stored data.
    pub const fn is_corruption(&self) -> bool {
        false
    }
}
