use crate::SectionTag;

/// Why a file or a part of it cannot be used as an archive.
///
/// Offsets are bytes from the start of the file. Whoever knows the file's path adds it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are fewer bytes than there should be. For a file: it was cut short, or never finished.
    #[error("{actual} bytes where at least {expected} belong")]
    Truncated {
        /// Bytes that should be there.
        expected: u64,
        /// Bytes that are.
        actual: u64,
    },

    /// There are more bytes than there should be. For a file: something was appended to it, and
    /// cutting it to `expected` restores it.
    #[error("{actual} bytes where {expected} belong")]
    Overlong {
        /// Bytes that should be there.
        expected: u64,
        /// Bytes that are.
        actual: u64,
    },

    /// The file has neither an archive's contents nor its first bytes: it is something else, or was
    /// overwritten.
    #[error("not an archive: it begins with {}", found.escape_ascii())]
    NotAnArchive {
        /// The first bytes, zeros where the file is shorter.
        found: [u8; 8],
    },

    /// A newer version of the format. Nothing is wrong with the file.
    #[error("archive format version {version}, this build reads version {supported}")]
    UnsupportedVersion {
        /// The version found.
        version: u32,
        /// The version that this build reads.
        supported: u32,
    },

    /// The file has a critical section that the reader does not know: it is too new for it.
    #[error("critical section {tag} is unknown to this reader")]
    UnknownSection {
        /// The section's tag.
        tag: SectionTag,
    },

    /// The stored check does not match the stored bytes.
    #[error("check of the bytes at offset {offset} is {actual:#018x}, expected {expected:#018x}")]
    Checksum {
        /// Where the bytes begin.
        offset: u64,
        /// The check as stored.
        expected: u64,
        /// The check of the bytes as they are.
        actual: u64,
    },

    /// Checks hold where there is one, but the bytes make no sense: they stand in the wrong place, or
    /// a faulty or hostile writer made them.
    #[error("{what}, at offset {offset}")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },

    /// The header stands, but neither copy of the contents was found: the file was cut short before
    /// its first copy ended, was never finished, or lost both copies.
    #[error("no table of contents in the last {searched} of {file_len} bytes")]
    ContentsLost {
        /// Length of the file, in bytes.
        file_len: u64,
        /// Bytes searched, at the end of the file.
        searched: u64,
    },
}

impl Error {
    /// Whether the stored bytes are wrong or missing, as opposed to too new for this reader.
    pub fn is_corruption(&self) -> bool {
        !matches!(self, Self::UnsupportedVersion { .. } | Self::UnknownSection { .. })
    }
}

impl From<stratal_types::fields::Short> for Error {
    fn from(short: stratal_types::fields::Short) -> Self {
        Self::Truncated { expected: short.needed, actual: short.available }
    }
}
