use stratal_block::{BlockCodec, BlockContext, BlockSpec, Checksum, Compression};
use stratal_filter::FilterSpec;

use crate::Error;

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
    /// What finds damage. Default XXH3.
    pub checksum: Checksum,
    /// How the filter works, and how large, or how sharp, it is; `None` writes none. Default blocked
    /// Bloom, 10 bits per key.
    pub filter: Option<FilterSpec>,
}

impl TableOptions {
    /// Bytes at which a data block is closed, unless chosen otherwise: 4 KiB.
    pub const BLOCK_LEN_TARGET_DEFAULT: u32 = 4 << 10;
    /// Smallest `block_len_target`, in bytes.
    pub const BLOCK_LEN_TARGET_MIN: u32 = 512;
    /// Largest `block_len_target`, in bytes.
    pub const BLOCK_LEN_TARGET_MAX: u32 = 1 << 20;
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            block_len_target: Self::BLOCK_LEN_TARGET_DEFAULT,
            compression: Compression::Lz4,
            checksum: Checksum::Xxh3,
            filter: Some(FilterSpec::default()),
        }
    }
}

/// Options that passed [`TableOptions::validate`]: the only way into a writer, and shared by every
/// table it is used for.
#[derive(Clone, Debug)]
pub struct TableSpec {
    options: TableOptions,
    data_codec: BlockCodec,
    meta_codec: BlockCodec,
}

impl TableOptions {
    /// Checks every field. What this returns cannot be wrong later.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`], naming the option and what would be accepted.
    pub fn validate(self) -> Result<TableSpec, Error> {
        let (min, max) = (Self::BLOCK_LEN_TARGET_MIN, Self::BLOCK_LEN_TARGET_MAX);
        if !(min..=max).contains(&self.block_len_target) {
            return Err(Error::InvalidOption {
                option: "block_len_target",
                value: self.block_len_target.to_string(),
                allowed: format!("in {min}..={max}"),
            });
        }
        if let Some(filter) = self.filter {
            filter.validate().map_err(|error| invalid("filter", &filter, &error))?;
        }
        let resolve = |compression| {
            BlockSpec { checksum: self.checksum, compression, ..BlockSpec::default() }
                .resolve(&BlockContext::default())
                .map_err(|error| invalid("compression", &compression, &error))
        };
        let (data_codec, meta_codec) = (resolve(self.compression)?, resolve(Compression::None)?);
        Ok(TableSpec { options: self, data_codec, meta_codec })
    }
}

impl TableSpec {
    /// The options, as given.
    pub fn options(&self) -> &TableOptions {
        &self.options
    }

    /// For data blocks.
    pub(crate) fn data_codec(&self) -> &BlockCodec {
        &self.data_codec
    }

    /// For everything else.
    pub(crate) fn meta_codec(&self) -> &BlockCodec {
        &self.meta_codec
    }
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
                TableOptions {
                    compression: Compression::Zstd { level: 99 },
                    ..TableOptions::default()
                },
                "compression",
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
