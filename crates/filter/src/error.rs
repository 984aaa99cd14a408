/// Why a filter could not be specified, written or read.
///
/// Whatever the reason, a reader can always do without: no filter is a filter that says "maybe".
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A specification is out of range. Nothing was read.
    #[error("{field} is {value}, allowed are {min} to {max}")]
    InvalidSpec {
        /// What was specified.
        field: &'static str,
        /// The value given.
        value: f64,
        /// The smallest accepted.
        min: f64,
        /// The largest accepted.
        max: f64,
    },

    /// A hash was given two values. Nothing was written.
    #[error("hash {hash:#018x} is to give both {} and {}", .values[0], .values[1])]
    Conflict {
        /// The hash.
        hash: u64,
        /// Two of the values it was added with.
        values: [u16; 2],
    },

    /// The input ended before the filter did. More bytes may fix it.
    #[error("filter needs {needed} bytes, {available} available")]
    Truncated {
        /// Bytes the filter occupies, as far as is known.
        needed: u64,
        /// Bytes that were offered.
        available: u64,
    },

    /// The bytes do not begin with the magic of a filter.
    #[error("not a filter: magic {found:02x?}")]
    Magic {
        /// The four bytes found in place of the magic.
        found: [u8; 4],
    },

    /// The filter was written by a later version.
    #[error("filter version is {found}, the newest known is {known}")]
    UnknownVersion {
        /// The version found.
        found: u8,
        /// The newest version this build reads.
        known: u8,
    },

    /// What is stored is of a kind this build does not read, or not as what it was asked for.
    #[error("unknown filter kind {tag:#04x}")]
    UnknownKind {
        /// The tag found.
        tag: u8,
    },

    /// A field of the header holds what no writer writes.
    #[error("{field} is {value}, allowed are {min} to {max}")]
    Field {
        /// Name of the field, as in `FORMAT.md`.
        field: &'static str,
        /// The value found.
        value: u64,
        /// The smallest accepted.
        min: u64,
        /// The largest accepted.
        max: u64,
    },
}

impl Error {
    /// Whether the stored bytes are wrong, as opposed to incomplete or too new.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Magic { .. } | Self::Field { .. } => true,
            Self::InvalidSpec { .. }
            | Self::Conflict { .. }
            | Self::Truncated { .. }
            | Self::UnknownVersion { .. }
            | Self::UnknownKind { .. } => false,
        }
    }
}
