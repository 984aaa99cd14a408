/// Why a file or a part of it cannot be used as a plain `sfa` archive.
///
/// Offsets are bytes from the start of the file. Whoever knows the file's path adds it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are fewer bytes than there should be.
    #[error("{actual} bytes where at least {expected} belong")]
    Truncated {
        /// Bytes that should be there.
        expected: u64,
        /// Bytes that are.
        actual: u64,
    },

    /// The file does not end in a trailer: it is something else, was cut short, or was never finished.
    #[error("not an sfa archive: its trailer begins with {}", found.escape_ascii())]
    NotAnArchive {
        /// The bytes where the trailer's magic belongs.
        found: [u8; 4],
    },

    /// Another version of the format. The version stands under no check, so it may be damage too.
    #[error("sfa format version {version}, this build reads version {supported}")]
    UnsupportedVersion {
        /// The version found.
        version: u8,
        /// The version that this build reads.
        supported: u8,
    },

    /// A check of an unknown sort. The tag stands under no check, so it may be damage too.
    #[error("sfa checksum type {tag}, this build knows type 0")]
    UnsupportedCheck {
        /// The tag found.
        tag: u8,
    },

    /// The table of contents is longer than the caller allows.
    #[error("table of contents of {len} bytes, at most {max} are allowed")]
    TocTooLong {
        /// Its length, in bytes.
        len: u64,
        /// The limit, in bytes.
        max: u64,
    },

    /// The stored check does not match the table of contents.
    #[error("check of the bytes at offset {offset} is {actual:#034x}, expected {expected:#034x}")]
    Checksum {
        /// Where the table begins.
        offset: u64,
        /// The check as stored.
        expected: u128,
        /// The check of the bytes as they are.
        actual: u128,
    },

    /// The bytes make no sense.
    #[error("{what}, at offset {offset}")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

impl Error {
    /// Whether the stored bytes are wrong or missing, as opposed to beyond this reader.
    pub fn is_corruption(&self) -> bool {
        !matches!(
            self,
            Self::UnsupportedVersion { .. }
                | Self::UnsupportedCheck { .. }
                | Self::TocTooLong { .. }
        )
    }
}

impl From<stratal_types::fields::Short> for Error {
    fn from(short: stratal_types::fields::Short) -> Self {
        Self::Truncated { expected: short.needed, actual: short.available }
    }
}
