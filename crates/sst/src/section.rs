//! What a table file is made of: section tags, block kinds, and which ordinals are spoken for.

use stratal_archive::SectionTag;
use stratal_block::{BlockId, BlockKind};
use stratal_types::FileUid;

/// The archive type of a table file.
pub const FILE_TYPE: [u8; 4] = *b"SST1";

/// Data blocks, back to back.
pub(crate) const DATA: SectionTag = SectionTag(*b"DATA");
/// The index: one block. Stands twice.
pub(crate) const INDEX: SectionTag = SectionTag(*b"INDX");
/// The properties: one block. Stands twice.
pub(crate) const PROPERTIES: SectionTag = SectionTag(*b"PROP");
/// Range tombstones, if the table has any: one block. Stands twice.
pub(crate) const TOMBSTONES: SectionTag = SectionTag(*b"RDEL");
/// The filter: one block. A reader may do without.
pub(crate) const FILTER: SectionTag = SectionTag(*b"filt");

/// Every section this version knows.
pub(crate) const KNOWN: [SectionTag; 5] = [DATA, INDEX, PROPERTIES, TOMBSTONES, FILTER];

/// What a block of a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TableBlock {
    /// Sorted entries.
    Data,
    /// A fence per data block, and where the block is.
    Index,
    /// Membership of keys.
    Filter,
    /// Name and value pairs about the table.
    Properties,
    /// Range tombstones.
    Tombstones,
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
        }
    }

    pub(crate) const fn id(self, uid: FileUid, ordinal: u64) -> BlockId {
        BlockId { uid, ordinal, kind: BlockKind(self.tag()) }
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
    /// The range tombstones, by copy.
    pub(crate) const TOMBSTONES: [u64; 2] = [6, 7];
    /// The first that is given out in order of writing.
    pub(crate) const FIRST_FREE: u64 = 16;
}
