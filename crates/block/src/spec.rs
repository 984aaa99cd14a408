use alloc::vec::Vec;

use crate::{BlockCodec, Checksum, Compression, Dictionary, Error, FileKey, Parity, Seal};

/// How blocks are written: plain data, one field per independent choice.
///
/// The default is XXH3, and nothing else enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BlockSpec {
    /// The check. Default: [`Checksum::Xxh3`].
    pub checksum: Checksum,
    /// The compression. Default: [`Compression::None`].
    pub compression: Compression,
    /// The encryption, of what compression left. Default: [`Seal::None`].
    pub seal: Seal,
    /// What a damaged block can be repaired from. Default: [`Parity::None`].
    pub parity: Parity,
}

/// What the process supplies for reading and writing blocks.
#[derive(Clone, Debug, Default)]
pub struct BlockContext {
    /// What a reader accepts and a writer keeps to.
    pub limits: Limits,
    /// Dictionaries that blocks may need, to write and to read. Default: none.
    pub dictionaries: Vec<Dictionary>,
    /// The key of the file whose blocks these are. With it, only sealed blocks are written and read:
    /// a block in the clear says nothing of who made it. Default: none.
    pub key: Option<FileKey>,
}

/// Bounds on what a block may ask of its reader.
///
/// They are checked before anything is allocated; what is sealed under some limits can be opened
/// under the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Longest payload once decoded, in bytes. Default: 1 GiB and 1 MiB, which holds the longest
    /// key and value that Stratal accepts, and what a block adds to them.
    pub plain_len_max: u32,
    /// Most bytes that one stored byte may decode to. Default: 32,768, the most that zstd can
    /// express (a repeated byte takes four bytes per 128 KiB), so that it refuses only blocks that
    /// lie. A lower one bounds what a hostile block can make a reader allocate.
    pub ratio_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { plain_len_max: (1 << 30) + (1 << 20), ratio_max: 1 << 15 }
    }
}

impl Limits {
    /// The longest payload that `compressed_len` bytes may decode to.
    pub(crate) fn plain_len_from(self, compressed_len: u64) -> u64 {
        compressed_len.saturating_mul(self.ratio_max.into())
    }
}

impl BlockSpec {
    /// Checks all that needs no key and no dictionary: what passes resolves with a context that has
    /// those that the spec names.
    ///
    /// # Errors
    ///
    /// Those of [`resolve`](Self::resolve) but [`Error::MissingDictionary`] and [`Error::KeyNeeded`].
    pub fn validate(&self) -> Result<(), Error> {
        self.seal.supported()?;
        self.parity.validate()?;
        if !self.parity.goes_with(self.checksum) {
            return Err(Error::Parity { reason: "Reed-Solomon needs a check of 64 bits" });
        }
        self.compression.validate()
    }

    /// Validates the spec and puts it together with what the process supplies.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a compression level or a number of shards out of range,
    /// [`Error::Parity`] for Reed-Solomon parity with a check of 32 bits, [`Error::Unsupported`] for a
    /// provider that is not compiled in, [`Error::MissingDictionary`] and [`Error::KeyNeeded`] for
    /// what the context does not have.
    pub fn resolve(self, context: &BlockContext) -> Result<BlockCodec, Error> {
        self.validate()?;
        if self.seal != Seal::None && context.key.is_none() {
            return Err(Error::KeyNeeded { epoch: None });
        }
        let compressor = self.compression.resolve(&context.dictionaries)?;
        Ok(BlockCodec::new(self, compressor, context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DictionaryId;

    #[test]
    fn what_is_valid_needs_only_what_it_names() {
        let none = BlockContext::default();
        let base = BlockSpec::default();
        assert_eq!(base.validate(), Ok(()));
        #[cfg(feature = "aes-gcm")]
        {
            let sealed = BlockSpec { seal: Seal::Aes256Gcm, ..base };
            assert_eq!(sealed.validate(), Ok(()));
            assert_eq!(sealed.resolve(&none).unwrap_err(), Error::KeyNeeded { epoch: None });
        }
        #[cfg(feature = "zstd")]
        {
            let id = DictionaryId(7);
            let compression = Compression::ZstdDictionary { level: 3, id };
            let with_dictionary = BlockSpec { compression, ..base };
            assert_eq!(with_dictionary.validate(), Ok(()));
            assert_eq!(
                with_dictionary.resolve(&none).unwrap_err(),
                Error::MissingDictionary { id }
            );
        }
        let id = DictionaryId(7);
        let invalid = [
            BlockSpec { compression: Compression::Zstd { level: 23 }, ..base },
            BlockSpec { compression: Compression::ZstdDictionary { level: -6, id }, ..base },
            BlockSpec { parity: Parity::Xor { data: 0 }, ..base },
            BlockSpec {
                parity: Parity::ReedSolomon { data: 4, parity: 2 },
                checksum: Checksum::Crc32c,
                ..base
            },
        ];
        for spec in invalid {
            assert_eq!(spec.validate().unwrap_err(), spec.resolve(&none).unwrap_err());
        }
    }
}
