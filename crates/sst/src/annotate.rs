//! What each byte of a table means, for inspection, golden files and the format's description.

use stratal_archive::{Half, Part, annotate_header, annotate_toc, annotate_trailer};
use stratal_block::annotate_frame_with;
use stratal_types::dump::Dump;

use crate::{
    Error, Table,
    handle::BlockHandle,
    index::IndexCursor,
    section::{self, TableBlock, ordinal},
    table::section_handle,
};

/// A block of a table, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// What it holds.
    pub kind: TableBlock,
    /// Where its frame begins, in bytes from the start of the file.
    pub offset: u64,
    /// Length of the frame, in bytes.
    pub len: u32,
    /// Its number among the blocks of the file, which its check covers.
    pub ordinal: u64,
}

impl BlockInfo {
    fn new(kind: TableBlock, handle: BlockHandle) -> Self {
        let BlockHandle { offset, len, ordinal } = handle;
        Self { kind, offset, len, ordinal }
    }

    fn handle(self) -> BlockHandle {
        BlockHandle { offset: self.offset, len: self.len, ordinal: self.ordinal }
    }
}

impl Table {
    /// Every block, in order of offset. That is the order of keys for data blocks, which stand first;
    /// among them, in a table of two levels, the partitions of index and filter.
    ///
    /// # Errors
    ///
    /// Those of reading the index.
    pub fn blocks(&self) -> Result<Vec<BlockInfo>, Error> {
        let mut blocks = Vec::new();
        let mut index = IndexCursor::default();
        index.seek_to_first(self)?;
        for n in 0..index.partitions(self) {
            index.seek_to_partition(self, n)?;
            if let Some(fence) = index.partition_fence(self)? {
                blocks.push(BlockInfo::new(TableBlock::IndexPartition, fence.handle));
                let filter = fence.filter;
                blocks.extend(filter.map(|it| BlockInfo::new(TableBlock::FilterPartition, it)));
            }
            while index.is_inside_partition(n) {
                blocks.push(BlockInfo::new(TableBlock::Data, index.handle(self)?));
                index.advance(self)?;
            }
        }
        blocks.extend(self.section_blocks()?);
        blocks.sort_by_key(|block| block.offset);
        Ok(blocks)
    }

    /// The blocks that stand in sections of their own, in order of offset.
    pub(crate) fn section_blocks(&self) -> Result<Vec<BlockInfo>, Error> {
        let mut blocks = Vec::new();
        for entry in &self.contents().entries {
            let copy = usize::from(entry.half == Half::Mirror);
            let (kind, ordinals) = match entry.tag {
                section::INDEX => (TableBlock::Index, ordinal::INDEX),
                section::PROPERTIES => (TableBlock::Properties, ordinal::PROPERTIES),
                section::TOMBSTONES => (TableBlock::Tombstones, ordinal::TOMBSTONES),
                section::DICTIONARY => (TableBlock::Dictionary, ordinal::DICTIONARY),
                section::FILTER => (TableBlock::Filter, [ordinal::FILTER; 2]),
                section::LOCATOR => (TableBlock::Locator, [ordinal::LOCATOR; 2]),
                _ => continue,
            };
            let ordinal = ordinals.get(copy).copied().unwrap_or_default();
            blocks.push(BlockInfo::new(kind, section_handle(entry, ordinal)?));
        }
        Ok(blocks)
    }

    /// A dump of one of the [`blocks`](Self::blocks), each field on its line; behind it, if the block
    /// is compressed, a dump of what it decodes to.
    ///
    /// # Errors
    ///
    /// Those of reading the block.
    pub fn annotate_block(&self, block: BlockInfo) -> Result<String, Error> {
        let stored = self.read_stored(block.offset, block.len.into())?;
        let offset = usize::try_from(block.offset).unwrap_or(usize::MAX);
        let mut dump = Dump::at(offset, &stored);
        annotate_stored(block.kind, &mut dump);
        let mut text = dump.finish();
        let plain = self.open_block(block.handle(), block.kind)?;
        if !stored.windows(plain.len().max(1)).any(|window| window == plain) {
            let mut dump = Dump::new(&plain);
            dump.note("the payload, decompressed");
            block.kind.annotate(&mut dump, plain.len());
            text.push_str(&dump.finish());
        }
        Ok(text)
    }

    /// A dump of the whole file, each field on its line. Takes a multiple of the file in memory.
    ///
    /// # Errors
    ///
    /// Those of reading the file and its index.
    pub fn annotate(&self) -> Result<String, Error> {
        let len = self.source().len();
        let bytes = self.read_stored(0, len)?;
        let mut dump = Dump::new(&bytes);
        dump.note("header");
        annotate_header(&mut dump);
        for block in self.blocks()? {
            let described = len.saturating_sub(dump.remaining().len() as u64);
            self.annotate_parts(described, &mut dump);
            dump.note(format_args!("{} block, ordinal {}", block.kind.name(), block.ordinal));
            annotate_stored(block.kind, &mut dump);
        }
        let described = len.saturating_sub(dump.remaining().len() as u64);
        self.annotate_parts(described, &mut dump);
        Ok(dump.finish())
    }

    /// Describes the contents and the gap that begin at `offset`, if any do.
    fn annotate_parts(&self, mut offset: u64, dump: &mut Dump<'_>) {
        for part in [Part::Contents(Half::Primary), Part::Gap, Part::Contents(Half::Mirror)] {
            let range = self.contents().part_range(part);
            if range.start != offset {
                continue;
            }
            if part == Part::Gap {
                let len = range.end.saturating_sub(range.start);
                dump.note("gap").zeros(usize::try_from(len).unwrap_or(usize::MAX));
            } else {
                dump.note("contents");
                annotate_toc(offset, dump);
                dump.note("trailer");
                annotate_trailer(dump);
            }
            offset = range.end;
        }
    }
}

/// Describes the frame that `dump` has next.
fn annotate_stored(kind: TableBlock, dump: &mut Dump<'_>) {
    annotate_frame_with(dump, |dump, len| kind.annotate(dump, len));
}
