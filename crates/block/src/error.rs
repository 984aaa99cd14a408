use alloc::{format, string::String};

use crate::{Codec, DictionaryId};

/// Why a block could not be written or read.
///
/// Variants say what the caller can do about it; the message says where.
/// [`is_corruption`](Self::is_corruption) is the question that recovery asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input ended before the block did. More bytes may fix it.
    #[error("block needs {needed} bytes, {available} available")]
    Truncated {
        /// Bytes the block occupies, as far as is known.
        needed: usize,
        /// Bytes that were offered.
        available: usize,
    },

    /// The bytes do not start with the frame's magic.
    #[error("not a block: it starts with {found:02x?}")]
    NotABlock {
        /// The two bytes found in place of the magic.
        found: [u8; 2],
    },

    /// The block, or the option, asks for something that this build cannot do: a newer version of
    /// the format, or a provider whose feature is not compiled in.
    #[error("{what} {found:#x} is not supported by this build")]
    Unsupported {
        /// What it is: `zstd`, `block version`, `block flags`…
        what: &'static str,
        /// The field's value.
        found: u32,
    },

    /// The block is of another kind than the reader expects.
    #[error("block is of kind {found}, expected {expected}")]
    WrongKind {
        /// The kind the reader asked for.
        expected: u8,
        /// The kind the block's header states.
        found: u8,
    },

    /// The stored check does not match. Either the bytes are damaged, or they are the intact bytes
    /// of another block, or of another file: the check covers who the block is.
    #[error("block check is {actual:#018x}, expected {expected:#018x}")]
    Checksum {
        /// The check computed from the bytes and the identity that the reader supplied.
        expected: u64,
        /// The check stored with the block.
        actual: u64,
    },

    /// A length is over its limit.
    #[error("{field} is {len} bytes, limit {limit}")]
    TooLong {
        /// Name of the field, as in the format description.
        field: &'static str,
        /// The length, in bytes.
        len: u64,
        /// The limit, in bytes.
        limit: u64,
    },

    /// Two lengths that must agree do not.
    #[error("{field} is {actual} bytes, expected {expected}")]
    LengthMismatch {
        /// Name of the field, as in the format description.
        field: &'static str,
        /// What it has to be, in bytes.
        expected: u64,
        /// What it is, in bytes.
        actual: u64,
    },

    /// The check held but the codec refused the payload, or the payload could not be encoded.
    #[error("{codec:?} payload: {reason}")]
    Codec {
        /// The codec the header names.
        codec: Codec,
        /// What is wrong with the payload.
        reason: &'static str,
    },

    /// The block needs a dictionary that the context does not have.
    #[error("dictionary {id} is needed and not given")]
    MissingDictionary {
        /// What it is called.
        id: DictionaryId,
    },

    /// The bytes are no dictionary, or none can be made of the samples.
    #[error("no dictionary: {reason}")]
    Dictionary {
        /// Why.
        reason: &'static str,
    },

    /// The block, or the file, is sealed, and the key for it is not there.
    #[error("sealed, and {}", needed_key(*.epoch))]
    KeyNeeded {
        /// The epoch of the root key that is needed, if that is known.
        epoch: Option<u32>,
    },

    /// The key is another file's, or derived from another root key.
    #[error("the key of epoch {epoch} is not the one of this file")]
    WrongKey {
        /// The epoch of the root key that was taken.
        epoch: u32,
    },

    /// The check holds, and the seal does not: the block was made by somebody without the key, or is
    /// another one of the file's whose check was made to fit.
    #[error("the seal of block {ordinal} is broken")]
    SealBroken {
        /// The block's ordinal.
        ordinal: u64,
    },

    /// A block in the clear, where there is a key: in a sealed file, all blocks are sealed. Read from
    /// such a file, somebody without the key put it there.
    #[error("a block in the clear, where all are sealed")]
    NotSealed,

    /// A sealed block belongs where it was sealed. To move it, open it and seal it anew.
    #[error("a sealed block cannot be moved as it is")]
    Sealed,

    /// More of the block is damaged than its parity can repair.
    #[error("{damaged} shards or words are damaged, which is more than can be repaired")]
    Lost {
        /// Shards that are not as they were written; of SEC-DED, words.
        damaged: usize,
    },

    /// The parity cannot be had.
    #[error("no parity: {reason}")]
    Parity {
        /// Why.
        reason: &'static str,
    },

    /// A sorted block contradicts itself.
    #[error("malformed sorted block at byte {offset}: {what}")]
    Malformed {
        /// The rule that is broken.
        what: &'static str,
        /// Where in the payload, in bytes.
        offset: usize,
    },

    /// An option, or the length of something to be written, is out of its range.
    #[error("{field} is {value}, allowed are {min} to {max}")]
    InvalidArgument {
        /// What it is.
        field: &'static str,
        /// Its value.
        value: i64,
        /// The smallest allowed value.
        min: i64,
        /// The largest allowed value.
        max: i64,
    },
}

impl Error {
    /// Whether the stored bytes are wrong, as opposed to incomplete, too new, or never written.
    pub const fn is_corruption(&self) -> bool {
        match self {
            Self::NotABlock { .. }
            | Self::WrongKind { .. }
            | Self::Checksum { .. }
            | Self::TooLong { .. }
            | Self::LengthMismatch { .. }
            | Self::Codec { .. }
            | Self::SealBroken { .. }
            | Self::NotSealed
            | Self::Lost { .. }
            | Self::Malformed { .. } => true,
            Self::Truncated { .. }
            | Self::Unsupported { .. }
            | Self::MissingDictionary { .. }
            | Self::Dictionary { .. }
            | Self::KeyNeeded { .. }
            | Self::WrongKey { .. }
            | Self::Sealed
            | Self::Parity { .. }
            | Self::InvalidArgument { .. } => false,
        }
    }
}

fn needed_key(epoch: Option<u32>) -> String {
    match epoch {
        Some(epoch) => format!("there is no root key of epoch {epoch}"),
        None => String::from("no key was given"),
    }
}
