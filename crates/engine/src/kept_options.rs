#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use std::{fmt, sync::Arc};

use stratal_block::{Checksum, Compression, Parity, Seal};
use stratal_compaction::plan::StrategyOptions;
use stratal_filter::{FilterKind, FilterSize, FilterSpec};
use stratal_sst::{FilterMembership, Partitioning, TableDictionary, TableOptions};
use stratal_types::{CutOptions, PrefixExtractor, varint};

use crate::{
    FilterPolicy, SettingsError, TreeOptions,
    settings::{malformed, name, put_field},
};

/// The [`TreeOptions`] that are stored with a tree: those that are data, and are no business of the
/// process that has it open.
///
/// The write buffer and what is pinned are parts of a process's memory. Compaction filters are code, a given dictionary and
/// keys are the caller's: whoever opens the tree brings them again.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptOptions {
    /// As in [`TreeOptions::strategy`].
    pub strategy: StrategyOptions,
    /// As in [`TreeOptions::cut`].
    pub cut: CutOptions,
    /// As in [`TreeOptions::compress_from_level`].
    pub compress_from_level: usize,
    /// As in [`TreeOptions::filters`].
    pub filters: FilterPolicy,
    /// Name of the extractor of [`TreeOptions::prefix`]: 1 to 255 bytes.
    pub prefix: Option<String>,
    /// As in [`TreeOptions::table`], in the clear and without a given dictionary.
    pub table: TableOptions,
    /// As in [`TreeOptions::digests_at_insert`].
    pub digests_at_insert: bool,
}

impl Default for KeptOptions {
    /// Those of [`TreeOptions::default`].
    fn default() -> Self {
        Self::of(&TreeOptions::default())
    }
}

/// Tags of fields on disk. Never renumbered. All are even: who does not know one can read the tree.
pub(crate) mod tag {
    pub(crate) const STRATEGY: u64 = 2;
    pub(crate) const CUT: u64 = 4;
    pub(crate) const COMPRESS_FROM_LEVEL: u64 = 6;
    pub(crate) const FILTERS: u64 = 8;
    pub(crate) const PREFIX: u64 = 10;
    pub(crate) const BLOCK_LEN: u64 = 12;
    pub(crate) const COMPRESSION: u64 = 14;
    pub(crate) const DICTIONARY: u64 = 16;
    pub(crate) const CHECKSUM: u64 = 18;
    pub(crate) const PARITY: u64 = 20;
    pub(crate) const ENTRY_DIGESTS: u64 = 22;
    pub(crate) const FILTER: u64 = 24;
    pub(crate) const FILTER_MEMBERSHIP: u64 = 26;
    pub(crate) const LOCATOR: u64 = 28;
    pub(crate) const PARTITIONING: u64 = 30;
    pub(crate) const PARTITION_LEN: u64 = 32;
}

impl KeptOptions {
    /// What of `options` is kept.
    pub fn of(options: &TreeOptions) -> Self {
        let dictionary = match &options.table.dictionary {
            train @ TableDictionary::Train { .. } => train.clone(),
            _ => TableDictionary::None,
        };
        Self {
            strategy: options.strategy,
            cut: options.cut,
            compress_from_level: options.compress_from_level,
            filters: options.filters,
            prefix: options.prefix.as_ref().map(|extractor| extractor.name().to_owned()),
            table: TableOptions { seal: Seal::None, dictionary, ..options.table.clone() },
            digests_at_insert: options.digests_at_insert,
        }
    }

    /// These options, with those of `base` for what is not kept. `named` gives the prefix extractor for
    /// its name; if it knows none, filters are not asked for prefixes, and new ones have none.
    pub fn over(
        self,
        base: &TreeOptions,
        named: impl FnOnce(&str) -> Option<Arc<dyn PrefixExtractor>>,
    ) -> TreeOptions {
        let Self {
            strategy,
            cut,
            compress_from_level,
            filters,
            prefix,
            mut table,
            digests_at_insert,
        } = self;
        table.seal = base.table.seal;
        if let given @ TableDictionary::Given(_) = &base.table.dictionary {
            table.dictionary = given.clone();
        }
        TreeOptions {
            strategy,
            cut,
            compress_from_level,
            filters,
            table,
            digests_at_insert,
            prefix: prefix.and_then(|name| named(&name)),
            ..base.clone()
        }
    }

    /// Appends the fields that stand before or behind others, in ascending order of tags.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_field(out, tag::STRATEGY, |out| self.strategy.encode(out));
        put_field(out, tag::CUT, |out| all(out, &[self.cut.table_len, self.cut.below_len_max]));
        put_field(out, tag::COMPRESS_FROM_LEVEL, |out| {
            all(out, &[self.compress_from_level as u64]);
        });
        put_field(out, tag::FILTERS, |out| match self.filters {
            FilterPolicy::Uniform => out.push(0),
            FilterPolicy::BitsPerKey(bits) => float(out, 1, bits),
            FilterPolicy::Len(len) => all(out, &[2, len]),
        });
        if let Some(name) = &self.prefix {
            put_field(out, tag::PREFIX, |out| out.extend_from_slice(name.as_bytes()));
        }
        let table = &self.table;
        put_field(out, tag::BLOCK_LEN, |out| varint::put(out, table.block_len_target.into()));
        put_field(out, tag::COMPRESSION, |out| match table.compression {
            Compression::Lz4 => out.push(1),
            Compression::Zstd { level } => all(out, &[2, zigzag(level)]),
            _ => out.push(0),
        });
        put_field(out, tag::DICTIONARY, |out| match table.dictionary {
            TableDictionary::Train { len_max, sample_len } => {
                all(out, &[1, len_max.into(), sample_len.into()]);
            }
            _ => out.push(0),
        });
        put_field(out, tag::CHECKSUM, |out| {
            out.push(u8::from(table.checksum == Checksum::Crc32c));
        });
        put_field(out, tag::PARITY, |out| match table.parity {
            Parity::SecDed => out.push(1),
            Parity::Xor { data } => out.extend([2, data]),
            Parity::ReedSolomon { data, parity } => out.extend([3, data, parity]),
            _ => out.push(0),
        });
        put_field(out, tag::ENTRY_DIGESTS, |out| {
            out.push(if self.digests_at_insert { 2 } else { table.entry_digests.into() });
        });
        put_field(out, tag::FILTER, |out| match table.filter {
            None => out.push(0),
            Some(FilterSpec { kind, size }) => {
                out.push(kind.tag());
                match size {
                    FilterSize::BitsPerKey(bits) => float(out, 0, bits),
                    FilterSize::FalsePositiveRate(rate) => float(out, 1, rate),
                }
            }
        });
        put_field(out, tag::FILTER_MEMBERSHIP, |out| {
            out.push(match table.filter_membership {
                FilterMembership::Prefixes => 1,
                FilterMembership::Both => 2,
                _ => 0,
            });
        });
        put_field(out, tag::LOCATOR, |out| out.push(table.locator.into()));
        put_field(out, tag::PARTITIONING, |out| match table.partitioning {
            Partitioning::Always => out.push(1),
            Partitioning::Auto { keys } => all(out, &[2, keys]),
            _ => out.push(0),
        });
        put_field(out, tag::PARTITION_LEN, |out| {
            varint::put(out, table.partition_len_target.into());
        });
    }

    /// Takes the field in that has this tag, if it is one of these; returns whether it is. A value of
    /// which nothing is known but that a newer version has put it there leaves the default.
    pub(crate) fn take_in(&mut self, tag: u64, value: &[u8]) -> Result<bool, SettingsError> {
        let mut rest = value;
        let input = &mut rest;
        let table = &mut self.table;
        match tag {
            tag::STRATEGY => {
                let strategy = StrategyOptions::decode(value);
                if let Some(strategy) = strategy.ok_or(malformed("a strategy makes no sense"))? {
                    self.strategy = strategy;
                }
            }
            tag::CUT => {
                self.cut = CutOptions { table_len: number(input)?, below_len_max: number(input)? };
            }
            tag::COMPRESS_FROM_LEVEL => {
                self.compress_from_level = usize::try_from(number(input)?).unwrap_or(usize::MAX);
            }
            tag::FILTERS => match number(input)? {
                0 => self.filters = FilterPolicy::Uniform,
                1 => self.filters = FilterPolicy::BitsPerKey(take_float(input)?),
                2 => self.filters = FilterPolicy::Len(number(input)?),
                _ => {}
            },
            tag::PREFIX => self.prefix = Some(name(value)?),
            tag::BLOCK_LEN => table.block_len_target = narrow(number(input)?)?,
            tag::COMPRESSION => match number(input)? {
                0 => table.compression = Compression::None,
                1 => table.compression = Compression::Lz4,
                2 => table.compression = Compression::Zstd { level: unzigzag(number(input)?)? },
                _ => {}
            },
            tag::DICTIONARY => match number(input)? {
                0 => table.dictionary = TableDictionary::None,
                1 => {
                    let (len_max, sample_len) = (narrow(number(input)?)?, narrow(number(input)?)?);
                    table.dictionary = TableDictionary::Train { len_max, sample_len };
                }
                _ => {}
            },
            tag::CHECKSUM => match number(input)? {
                0 => table.checksum = Checksum::Xxh3,
                1 => table.checksum = Checksum::Crc32c,
                _ => {}
            },
            tag::PARITY => match number(input)? {
                0 => table.parity = Parity::None,
                1 => table.parity = Parity::SecDed,
                2 => table.parity = Parity::Xor { data: byte(input)? },
                3 => {
                    let (data, parity) = (byte(input)?, byte(input)?);
                    table.parity = Parity::ReedSolomon { data, parity };
                }
                _ => {}
            },
            tag::ENTRY_DIGESTS => {
                let kind = number(input)?;
                if kind <= 2 {
                    table.entry_digests = kind > 0;
                    self.digests_at_insert = kind == 2;
                }
            }
            tag::FILTER => match byte(input)? {
                0 => table.filter = None,
                kind => {
                    let (form, size) = (byte(input)?, take_float(input)?);
                    let size = match form {
                        0 => Some(FilterSize::BitsPerKey(size)),
                        1 => Some(FilterSize::FalsePositiveRate(size)),
                        _ => None,
                    };
                    if let Some((kind, size)) = FilterKind::from_tag(kind).zip(size) {
                        table.filter = Some(FilterSpec { kind, size });
                    }
                }
            },
            tag::FILTER_MEMBERSHIP => match number(input)? {
                0 => table.filter_membership = FilterMembership::Keys,
                1 => table.filter_membership = FilterMembership::Prefixes,
                2 => table.filter_membership = FilterMembership::Both,
                _ => {}
            },
            tag::LOCATOR => table.locator = flag(input)?,
            tag::PARTITIONING => match number(input)? {
                0 => table.partitioning = Partitioning::Never,
                1 => table.partitioning = Partitioning::Always,
                2 => table.partitioning = Partitioning::Auto { keys: number(input)? },
                _ => {}
            },
            tag::PARTITION_LEN => table.partition_len_target = narrow(number(input)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// One line about a stored field, if it is one of these and can be read.
pub(crate) fn describe(tag: u64, value: &[u8]) -> Option<String> {
    let mut kept = KeptOptions::default();
    if !kept.take_in(tag, value).ok()? {
        return None;
    }
    let KeptOptions {
        strategy,
        cut,
        compress_from_level,
        filters,
        prefix,
        table,
        digests_at_insert,
    } = kept;
    let line = |name: &str, value: &dyn fmt::Debug| Some(format!("{name} {value:?}"));
    match tag {
        tag::STRATEGY => line("strategy", &strategy),
        tag::CUT => line("cut", &cut),
        tag::COMPRESS_FROM_LEVEL => line("compress_from_level", &compress_from_level),
        tag::FILTERS => line("filters", &filters),
        tag::PREFIX => line("prefix", &prefix?),
        tag::BLOCK_LEN => line("block_len_target", &table.block_len_target),
        tag::COMPRESSION => line("compression", &table.compression),
        tag::DICTIONARY => line("dictionary", &table.dictionary),
        tag::CHECKSUM => line("checksum", &table.checksum),
        tag::PARITY => line("parity", &table.parity),
        tag::ENTRY_DIGESTS if digests_at_insert => line("entry_digests", &"at insert"),
        tag::ENTRY_DIGESTS => line("entry_digests", &table.entry_digests),
        tag::FILTER => line("filter", &table.filter),
        tag::FILTER_MEMBERSHIP => line("filter_membership", &table.filter_membership),
        tag::LOCATOR => line("locator", &table.locator),
        tag::PARTITIONING => line("partitioning", &table.partitioning),
        tag::PARTITION_LEN => line("partition_len_target", &table.partition_len_target),
        _ => None,
    }
}

fn all(out: &mut Vec<u8>, numbers: &[u64]) {
    for &number in numbers {
        varint::put(out, number);
    }
}

fn float(out: &mut Vec<u8>, kind: u8, value: f64) {
    out.push(kind);
    out.extend_from_slice(&value.to_le_bytes());
}

fn number(input: &mut &[u8]) -> Result<u64, SettingsError> {
    varint::take(input).ok_or(malformed("an option has no number"))
}

fn narrow(number: u64) -> Result<u32, SettingsError> {
    u32::try_from(number).map_err(|_| malformed("an option's number is too wide"))
}

fn byte(input: &mut &[u8]) -> Result<u8, SettingsError> {
    let (&byte, rest) = input.split_first().ok_or(malformed("an option has no number"))?;
    *input = rest;
    Ok(byte)
}

fn flag(input: &mut &[u8]) -> Result<bool, SettingsError> {
    match byte(input)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(malformed("an option is neither yes nor no")),
    }
}

fn take_float(input: &mut &[u8]) -> Result<f64, SettingsError> {
    let (&bytes, rest) = input.split_first_chunk().ok_or(malformed("an option has no number"))?;
    *input = rest;
    let value = f64::from_le_bytes(bytes);
    if value.is_finite() { Ok(value) } else { Err(malformed("an option is no finite number")) }
}

/// Small numbers of either sign as small numbers.
fn zigzag(level: i32) -> u64 {
    let folded = (level << 1) ^ (level >> 31);
    folded.cast_unsigned().into()
}

fn unzigzag(number: u64) -> Result<i32, SettingsError> {
    let folded = narrow(number)?;
    Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
}
