//! What a table file is made of: section tags, block kinds, and which ordinals are spoken for.

use stratal_archive::SectionTag;
use stratal_block::{BlockId, BlockKind, annotate_sorted_block};
use stratal_types::{FileUid, dump::Dump};

/// The archive type of a table file.
pub const FILE_TYPE: [u8; 4] = *b"SST1";

/// Data blocks, and in a table of two levels, between them, partitions of index and filter.
pub(crate) const DATA: SectionTag = SectionTag(*b"DATA");
/// The index, or its upper level: one block. Stands twice.
pub(crate) const INDEX: SectionTag = SectionTag(*b"INDX");
/// The properties: one block. Stands twice.
pub(crate) const PROPERTIES: SectionTag = SectionTag(*b"PROP");
/// Range tombstones, if the table has any: one block. Stands twice.
pub(crate) const TOMBSTONES: SectionTag = SectionTag(*b"RDEL");
/// The filter, if it is whole: one block. A reader may do without.
pub(crate) const FILTER: SectionTag = SectionTag(*b"filt");
/// Which data block a key is in: one block. A reader may do without.
pub(crate) const LOCATOR: SectionTag = SectionTag(*b"loca");

/// What data blocks are compressed with, if the table has such a thing: one block. Stands twice.
pub(crate) const DICTIONARY: SectionTag = SectionTag(*b"DICT");

/// Every section this version knows.
pub(crate) const KNOWN: [SectionTag; 7] =
    [DATA, INDEX, PROPERTIES, TOMBSTONES, FILTER, LOCATOR, DICTIONARY];

/// What a block of a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TableBlock {
    /// Sorted entries.
    Data,
    /// A fence per data block, and where the block is; or a fence per partition of the index.
    Index,
    /// Membership of keys.
    Filter,
    /// Name and value pairs about the table.
    Properties,
    /// Range tombstones.
    Tombstones,
    /// A fence for each of some data blocks, which stand before it.
    IndexPartition,
    /// Membership of the keys of one partition of the index.
    FilterPartition,
    /// The number of the data block that a key is in.
    Locator,
    /// The dictionary that data blocks are compressed with.
    Dictionary,
}

impl TableBlock {
    /// The byte on disk. Never renumbered.
    pub const fn tag(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Index => 2,
            Self::Filter => 3,
            Self::Properties => 4,
            Self::Tombstones => 5,
            Self::IndexPartition => 6,
            Self::FilterPartition => 7,
            Self::Dictionary => 8,
            Self::Locator => 9,
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Index => "index",
            Self::Filter => "filter",
            Self::Properties => "properties",
            Self::Tombstones => "tombstones",
            Self::IndexPartition => "index partition",
            Self::FilterPartition => "filter partition",
            Self::Locator => "locator",
            Self::Dictionary => "dictionary",
        }
    }

    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Data,
        Self::Index,
        Self::Filter,
        Self::Properties,
        Self::Tombstones,
        Self::IndexPartition,
        Self::FilterPartition,
        Self::Locator,
        Self::Dictionary,
    ];

    /// The kind with this byte on disk.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }

    /// The section that blocks of this kind stand in.
    pub const fn section(self) -> SectionTag {
        match self {
            Self::Data | Self::IndexPartition | Self::FilterPartition => DATA,
            Self::Index => INDEX,
            Self::Filter => FILTER,
            Self::Locator => LOCATOR,
            Self::Properties => PROPERTIES,
            Self::Tombstones => TOMBSTONES,
            Self::Dictionary => DICTIONARY,
        }
    }

    /// The ordinal of the only block in its section, or in the other `copy` of the section. `None` of
    /// the blocks among the data, which count from [`FIRST_DATA_ORDINAL`](Self::FIRST_DATA_ORDINAL) in
    /// the order of writing.
    pub const fn ordinal(self, copy: bool) -> Option<u64> {
        Some(match self {
            Self::Data | Self::IndexPartition | Self::FilterPartition => return None,
            Self::Index => ordinal::INDEX[copy as usize],
            Self::Filter => ordinal::FILTER,
            Self::Locator => ordinal::LOCATOR,
            Self::Properties => ordinal::PROPERTIES[copy as usize],
            Self::Tombstones => ordinal::TOMBSTONES[copy as usize],
            Self::Dictionary => ordinal::DICTIONARY[copy as usize],
        })
    }

    /// The ordinal of the first data block.
    pub const FIRST_DATA_ORDINAL: u64 = ordinal::FIRST_DATA;

    /// The ordinal of the first block among the data that is a partition of index or filter.
    pub const FIRST_PARTITION_ORDINAL: u64 = ordinal::FIRST_PARTITION;

    /// Who block `ordinal` of file `uid` is.
    pub const fn id(self, uid: FileUid, ordinal: u64) -> BlockId {
        BlockId { uid, ordinal, kind: BlockKind(self.tag()) }
    }

    /// Describes the payload of `len` bytes that `dump` has next, as far as it is understood.
    pub fn annotate(self, dump: &mut Dump<'_>, len: usize) {
        match self {
            Self::Filter | Self::FilterPartition | Self::Locator => {
                let bytes = dump.remaining();
                stratal_filter::annotate(bytes.get(..len).unwrap_or(bytes), dump);
            }
            Self::Dictionary => {
                dump.field(len, "dictionary");
            }
            _ => annotate_sorted_block(dump, len),
        }
    }
}

/// Ordinals of the blocks that a reader finds by their section alone. Every block of a file has an
/// ordinal of its own, copies included.
pub(crate) mod ordinal {
    /// The properties, by copy.
    pub(crate) const PROPERTIES: [u64; 2] = [0, 1];
    /// The index, by copy.
    pub(crate) const INDEX: [u64; 2] = [2, 3];
    /// The filter.
    pub(crate) const FILTER: u64 = 4;
    /// The locator.
    pub(crate) const LOCATOR: u64 = 5;
    /// The range tombstones, by copy.
    pub(crate) const TOMBSTONES: [u64; 2] = [6, 7];
    /// The dictionary, by copy.
    pub(crate) const DICTIONARY: [u64; 2] = [8, 9];
    /// The first data block, from which they count up.
    pub(crate) const FIRST_DATA: u64 = 16;
    /// The first partition of index or filter, from which they count up together.
    pub(crate) const FIRST_PARTITION: u64 = 1 << 31;
}
