use std::ops::RangeInclusive;

use stratal_block::{
    BlockCodec, BlockContext, BlockSpec, Checksum, Compression, Dictionary, FileKey, Parity, Seal,
};
use stratal_filter::FilterSpec;

use crate::{Error, FilterMembership, index::PartitionLimits};

/// What a caller may choose about new tables.
///
/// Any value may be written down; [`validate`](Self::validate) decides, once, whether the whole
/// makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct TableOptions {
    /// A data block is closed once it holds this many bytes, before compression. Default 4 KiB,
    /// 512 bytes to 1 MiB. One entry larger than this gets a block of its own.
    pub block_len_target: u32,
    /// How data blocks are compressed. Default LZ4. Index, filter and properties are stored raw.
    pub compression: Compression,
    /// What data blocks have in common, which both sides of zstd then know beforehand. Default nothing.
    /// Compression other than zstd does without.
    pub dictionary: TableDictionary,
    /// What finds damage to blocks. Default XXH3.
    pub checksum: Checksum,
    /// What blocks are encrypted with, all of them, under a key of the table's own. Default not at
    /// all. Sections, their lengths and their checks stand in the clear.
    pub seal: Seal,
    /// What a damaged block is repaired from, of whatever sort it is. Default nothing.
    pub parity: Parity,
    /// Whether each entry carries a digest of its own, 4 bytes, which [`verify`](crate::Table::verify)
    /// checks and reads do not. Default not. It finds what happened to an entry before its block was
    /// sealed: in memory, or on its way from one table to the next.
    pub entry_digests: bool,
    /// How the filter works, and how large, or how sharp, it is; `None` writes none. Default blocked
    /// Bloom, 10 bits per key.
    pub filter: Option<FilterSpec>,
    /// What the filter is over. Default whole keys.
    pub filter_membership: FilterMembership,
    /// Whether a locator is written, which leads a lookup to its data block without the index. Takes
    /// one bit per key for each bit of the number of data blocks, and while the table is written 16
    /// bytes per key. None is written for a table that is divided or has over 65,536 data blocks.
    /// Default no.
    pub locator: bool,
    /// When index and filter are divided into partitions. Default from 2 Mi keys on.
    pub partitioning: Partitioning,
    /// A partition is closed once its part of the index or of the filter would reach this many bytes.
    /// Default 64 KiB, 512 bytes to 16 MiB.
    pub partition_len_target: u32,
}

/// Where a table has the dictionary from that its data blocks are compressed with. It is stored with
/// the table, twice, and read with the first data block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableDictionary {
    /// It has none.
    #[default]
    None,
    /// The writer makes it of the table's first data blocks, which it holds until then. If they are
    /// too few, or what it saves is not worth it, the table has none, and its properties say why.
    Train {
        /// Longest dictionary, in bytes: 256 to 1 MiB.
        len_max: u32,
        /// Bytes of data blocks that it is made of; a hundred times `len_max` are a good measure.
        /// From `len_max` to 256 MiB.
        sample_len: u32,
    },
    /// This one.
    Given(Dictionary),
}

impl TableDictionary {
    /// Of 16 KiB, made of the first 1.5 MiB.
    pub const TRAINED: Self = Self::Train { len_max: 16 << 10, sample_len: 3 << 19 };
    /// Smallest `len_max`, in bytes.
    pub const LEN_MAX_MIN: u32 = 256;
    /// Largest `len_max`, in bytes.
    pub const LEN_MAX_MAX: u32 = 1 << 20;
    /// Largest `sample_len`, in bytes.
    pub const SAMPLE_LEN_MAX: u32 = 256 << 20;
}

const _: () = assert!(TableDictionary::LEN_MAX_MAX as usize == Dictionary::LEN_MAX);

/// When index and filter are divided into partitions, which stand between the data blocks and are
/// read one by one: so that neither the writer nor a reader of a large table holds all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partitioning {
    /// One index and one filter, however large the table.
    Never,
    /// Even in a table of few keys.
    Always,
    /// Once a partition ends in a table of so many keys, or of fewer that are so long that their
    /// index and filter hashes take [`WAITING_LEN_PER_KEY`](Self::WAITING_LEN_PER_KEY) times as many
    /// bytes.
    Auto {
        /// Distinct user keys.
        keys: u64,
    },
}

impl Partitioning {
    /// Keys from which on a table is divided, unless chosen otherwise: 2 Mi.
    pub const KEYS_DEFAULT: u64 = 2 << 20;
    /// Bytes that a writer holds, for each key of [`Auto`](Self::Auto), before it divides a table
    /// although it has fewer keys: 16.
    pub const WAITING_LEN_PER_KEY: u64 = 16;
}

impl Default for Partitioning {
    fn default() -> Self {
        Self::Auto { keys: Self::KEYS_DEFAULT }
    }
}

impl TableOptions {
    /// Bytes at which a data block is closed, unless chosen otherwise: 4 KiB.
    pub const BLOCK_LEN_TARGET_DEFAULT: u32 = 4 << 10;
    /// Smallest `block_len_target`, in bytes.
    pub const BLOCK_LEN_TARGET_MIN: u32 = 512;
    /// Largest `block_len_target`, in bytes.
    pub const BLOCK_LEN_TARGET_MAX: u32 = 1 << 20;
    /// Bytes at which a partition is closed, unless chosen otherwise: 64 KiB.
    pub const PARTITION_LEN_TARGET_DEFAULT: u32 = 64 << 10;
    /// Smallest `partition_len_target`, in bytes.
    pub const PARTITION_LEN_TARGET_MIN: u32 = 512;
    /// Largest `partition_len_target`, in bytes.
    pub const PARTITION_LEN_TARGET_MAX: u32 = 16 << 20;
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            block_len_target: Self::BLOCK_LEN_TARGET_DEFAULT,
            compression: Compression::Lz4,
            dictionary: TableDictionary::None,
            checksum: Checksum::Xxh3,
            seal: Seal::None,
            parity: Parity::None,
            entry_digests: false,
            filter: Some(FilterSpec::default()),
            filter_membership: FilterMembership::default(),
            locator: false,
            partitioning: Partitioning::default(),
            partition_len_target: Self::PARTITION_LEN_TARGET_DEFAULT,
        }
    }
}

/// Options that passed [`TableOptions::validate`]: the only way into a writer, and shared by every
/// table it is used for.
#[derive(Clone, Debug)]
pub struct TableSpec {
    options: TableOptions,
}

/// What seals the blocks of one table.
#[derive(Clone, Debug)]
pub(crate) struct TableCodecs {
    /// Data blocks.
    pub(crate) data: BlockCodec,
    /// Everything else.
    pub(crate) meta: BlockCodec,
}

impl TableOptions {
    /// Checks every field. What this returns cannot be wrong later.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`], naming the option and what would be accepted.
    pub fn validate(self) -> Result<TableSpec, Error> {
        in_range(
            "block_len_target",
            self.block_len_target,
            Self::BLOCK_LEN_TARGET_MIN..=Self::BLOCK_LEN_TARGET_MAX,
        )?;
        in_range(
            "partition_len_target",
            self.partition_len_target,
            Self::PARTITION_LEN_TARGET_MIN..=Self::PARTITION_LEN_TARGET_MAX,
        )?;
        if let Some(filter) = self.filter {
            filter.validate().map_err(|error| invalid("filter", &filter, &error))?;
        }
        if let TableDictionary::Train { len_max, sample_len } = self.dictionary {
            let (min, max) = (TableDictionary::LEN_MAX_MIN, TableDictionary::LEN_MAX_MAX);
            in_range("dictionary", len_max, min..=max)?;
            in_range("dictionary", sample_len, len_max..=TableDictionary::SAMPLE_LEN_MAX)?;
        }
        if let Compression::ZstdDictionary { .. } = self.compression {
            return Err(Error::InvalidOption {
                option: "compression",
                value: format!("{:?}", self.compression),
                allowed: "Zstd, with the dictionary as option `dictionary`".to_owned(),
            });
        }
        let Self { compression, checksum, seal, parity, .. } = self;
        let spec = BlockSpec { checksum, ..BlockSpec::default() };
        BlockSpec { compression, ..spec }
            .validate()
            .map_err(|error| invalid("compression", &compression, &error))?;
        BlockSpec { seal, ..spec }.validate().map_err(|error| invalid("seal", &seal, &error))?;
        BlockSpec { parity, ..spec }
            .validate()
            .map_err(|error| invalid("parity", &parity, &error))?;
        Ok(TableSpec { options: self })
    }
}

impl TableSpec {
    /// The options, as given.
    pub fn options(&self) -> &TableOptions {
        &self.options
    }

    /// When a partition of index and filter is full.
    pub(crate) fn partition_limits(&self) -> PartitionLimits {
        let target = self.options.partition_len_target;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "16 MiB of at least one bit per key, and more than none"
        )]
        let hashes = self.options.filter.map_or(usize::MAX, |filter| {
            (f64::from(target) * 8.0 / filter.bits_per_key()) as usize
        });
        PartitionLimits { index_len: target as usize, hashes: hashes.max(1) }
    }

    /// What seals the blocks of a table with this key and this dictionary.
    pub(crate) fn codecs(
        &self,
        key: Option<FileKey>,
        dictionary: Option<&Dictionary>,
    ) -> Result<TableCodecs, stratal_block::Error> {
        let TableOptions { compression, checksum, seal, parity, .. } = self.options;
        let compression = match (compression, dictionary) {
            (Compression::Zstd { level }, Some(dictionary)) => {
                Compression::ZstdDictionary { level, id: dictionary.id() }
            }
            (compression, _) => compression,
        };
        let dictionaries = dictionary.cloned().into_iter().collect();
        let context = BlockContext { key, dictionaries, ..BlockContext::default() };
        let meta = BlockSpec { checksum, seal, parity, compression: Compression::None };
        let data = BlockSpec { compression, ..meta };
        Ok(TableCodecs { data: data.resolve(&context)?, meta: meta.resolve(&context)? })
    }

    /// The dictionary, if it is given and of use.
    pub(crate) fn given_dictionary(&self) -> Option<&Dictionary> {
        match (&self.options.dictionary, self.options.compression) {
            (TableDictionary::Given(dictionary), Compression::Zstd { .. }) => Some(dictionary),
            _ => None,
        }
    }

    /// How a dictionary is to be made: for which level of zstd, how long, of how many bytes.
    pub(crate) fn training(&self) -> Option<(i32, u32, u32)> {
        match (&self.options.dictionary, self.options.compression) {
            (TableDictionary::Train { len_max, sample_len }, Compression::Zstd { level }) => {
                Some((level, *len_max, *sample_len))
            }
            _ => None,
        }
    }
}

fn in_range(option: &'static str, value: u32, allowed: RangeInclusive<u32>) -> Result<(), Error> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Error::InvalidOption {
        option,
        value: value.to_string(),
        allowed: format!("in {}..={}", allowed.start(), allowed.end()),
    })
}

fn invalid(option: &'static str, value: &impl std::fmt::Debug, error: &impl ToString) -> Error {
    Error::InvalidOption { option, value: format!("{value:?}"), allowed: error.to_string() }
}

#[cfg(test)]
mod tests {
    use stratal_filter::FilterSize;

    use super::*;

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let cases = [
            (TableOptions { block_len_target: 511, ..TableOptions::default() }, "block_len_target"),
            (
                TableOptions { block_len_target: u32::MAX, ..TableOptions::default() },
                "block_len_target",
            ),
            (
                TableOptions { partition_len_target: 17 << 20, ..TableOptions::default() },
                "partition_len_target",
            ),
            (
                TableOptions {
                    compression: Compression::Zstd { level: 99 },
                    ..TableOptions::default()
                },
                "compression",
            ),
            (
                TableOptions { parity: Parity::Xor { data: 99 }, ..TableOptions::default() },
                "parity",
            ),
            (
                TableOptions {
                    parity: Parity::ReedSolomon { data: 4, parity: 2 },
                    checksum: Checksum::Crc32c,
                    ..TableOptions::default()
                },
                "parity",
            ),
            (
                TableOptions {
                    filter: Some(FilterSize::BitsPerKey(-1.0).into()),
                    ..TableOptions::default()
                },
                "filter",
            ),
        ];
        for (options, option) in cases {
            let error = options.validate().unwrap_err().to_string();
            assert!(error.starts_with(option), "{error}");
        }
    }
}
