//! A table as it was first written, from one that was damaged since.

use std::{io, ops::Range};

use bytes::Bytes;
use stratal_archive::{Part, SectionHasher, TocEntry};
use stratal_block::{BlockId, FrameHeader, Outcome, Parity, Scrubbed};

use crate::{BlockInfo, Damage, Error, Table, TableBlock};

/// What [`Table::scrub`] found.
#[derive(Debug, Default)]
pub struct ScrubReport {
    /// Blocks read.
    pub blocks: u64,
    /// What was damaged and is repaired in the copy, by ascending offset.
    pub healed: Vec<Healed>,
    /// What cannot be repaired, and is in the copy as it was found. [`Table::verify`] says which keys it
    /// costs, if any.
    pub lost: Vec<Damage>,
}

impl ScrubReport {
    /// Whether the copy is the file as it was first written, to the byte.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty()
    }
}

/// A part of a table that was damaged and could be repaired: it costs nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Healed {
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// What stands there: a sort of block, or `contents`.
    pub kind: &'static str,
}

/// Bytes of unknown sections that are copied at once.
const CHUNK_LEN: u64 = 1 << 20;

impl Table {
    /// Reads every byte of the file and writes the whole file to `sink`, repaired where that can be
    /// done: blocks by their parity; one copy of a block that stands twice by the other, if the table is
    /// in the clear; header and contents by the contents that were found.
    ///
    /// What is written is the same file: same length, same identity, and if nothing was
    /// [lost](ScrubReport::lost) the same bytes as when it was written first, which the checks of its
    /// sections confirm. To only look, take [`io::sink`]. Keys are needed as for opening, and nothing is
    /// encrypted anew. Bypasses the cache, and holds one block.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the source fails and [`Error::Write`] if the sink does. Damage is not an error
    /// but in the report.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bytes::Bytes;
    /// use stratal_sst::{Parity, Table, TableContext, TableOptions, TableWriter};
    /// use stratal_types::FileUid;
    ///
    /// let ctx = TableContext::default();
    /// let parity = Parity::Xor { data: 4 };
    /// let spec = Arc::new(TableOptions { parity, ..Default::default() }.validate()?);
    /// let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([1; 16]), spec)?;
    /// writer.put(b"AD/Vila", b"1418")?;
    /// let file = writer.finish()?.sink;
    ///
    /// let mut damaged = file.clone();
    /// damaged[150] ^= 1;
    /// let table = Table::open(&ctx, Arc::new(Bytes::from(damaged)))?;
    /// assert_eq!(table.get(b"AD/Vila")?.as_deref(), Some(&b"1418"[..]));
    ///
    /// let mut repaired = Vec::new();
    /// let report = table.scrub(&mut repaired)?;
    /// assert_eq!((report.healed.len(), report.is_whole()), (1, true));
    /// assert_eq!(repaired, file);
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn scrub<W: io::Write>(&self, mut sink: W) -> Result<ScrubReport, Error> {
        let mut report = ScrubReport::default();
        let blocks = self.known_blocks(&mut report)?;
        let mut scrub = Scrub { table: self, blocks: &blocks, sink: &mut sink, report };
        let toc = self.contents();
        let parts = Part::ALL.map(|part| (toc.part_range(part).start, Piece::Part(part)));
        let sections = toc.entries.iter().map(|entry| (entry.offset, Piece::Section(entry)));
        // An empty section stands before what begins where it does.
        let mut pieces: Vec<_> = sections.chain(parts).collect();
        pieces.sort_by_key(|(offset, _)| *offset);
        for (_, piece) in pieces {
            match piece {
                Piece::Part(part) => scrub.part(part)?,
                Piece::Section(entry) => scrub.section(entry)?,
            }
        }
        let Scrub { mut report, .. } = scrub;
        sink.flush().map_err(Error::Write)?;
        report.lost.sort_by_key(|lost| lost.offset);
        Ok(report)
    }

    /// Every block; without the index, those that stand in sections of their own.
    fn known_blocks(&self, report: &mut ScrubReport) -> Result<Vec<BlockInfo>, Error> {
        match self.blocks() {
            Ok(blocks) => Ok(blocks),
            Err(error @ Error::Read { .. }) => Err(error),
            Err(error) => {
                let (kind, offset) = (TableBlock::Index.name(), self.index_offset());
                report.lost.push(Damage { offset, kind, error, keys: None });
                self.section_blocks()
            }
        }
    }
}

/// Whether a block, or its parity, is damaged although it was opened with this outcome.
pub(crate) fn is_damaged(id: BlockId, stored: &[u8], outcome: Outcome) -> bool {
    let has_parity =
        || FrameHeader::split_from(stored).is_ok_and(|(header, _)| header.parity != Parity::None);
    outcome == Outcome::Healed
        || has_parity() && stratal_block::scrub(id, stored) != Ok(Scrubbed::Clean)
}

/// What a file is made of.
enum Piece<'a> {
    Part(Part),
    Section(&'a TocEntry),
}

struct Scrub<'a, W> {
    table: &'a Table,
    /// By ascending offset.
    blocks: &'a [BlockInfo],
    sink: &'a mut W,
    report: ScrubReport,
}

impl<W: io::Write> Scrub<'_, W> {
    /// Header, contents, or gap: what they should be is known.
    fn part(&mut self, part: Part) -> Result<(), Error> {
        let toc = self.table.contents();
        let Range { start, end } = toc.part_range(part);
        let stored = self.table.read_stored(start, end.saturating_sub(start))?;
        let written = toc.encode_part(part);
        if written != stored {
            self.report.healed.push(Healed { offset: start, kind: "contents" });
        }
        self.write(&written)
    }

    fn section(&mut self, entry: &TocEntry) -> Result<(), Error> {
        let (lost_before, blocks) = (self.report.lost.len(), self.blocks);
        let mut hasher = SectionHasher::new();
        let mut at = entry.offset;
        let end = entry.range().end;
        let first = blocks.partition_point(|block| block.offset < at);
        for block in blocks.get(first..).unwrap_or_default() {
            if block.offset >= end {
                break;
            }
            let block_end = block.offset.saturating_add(block.len.into());
            if block.offset < at || block_end > end {
                continue;
            }
            self.copy(at..block.offset, &mut hasher)?;
            let bytes = self.block(*block)?;
            hasher.update(&bytes);
            self.write(&bytes)?;
            at = block_end;
        }
        self.copy(at..end, &mut hasher)?;
        // Blocks that are lost say more than that their section is.
        if self.report.lost.len() == lost_before
            && let Err(error) = hasher.verify(entry)
        {
            let (offset, kind) = (entry.offset, "section");
            self.report.lost.push(Damage { offset, kind, error: error.into(), keys: None });
        }
        Ok(())
    }

    /// Bytes of no known block, as they are.
    fn copy(&mut self, range: Range<u64>, hasher: &mut SectionHasher) -> Result<(), Error> {
        let Range { mut start, end } = range;
        while start < end {
            let len = end.saturating_sub(start).min(CHUNK_LEN);
            let bytes = self.table.read_stored(start, len)?;
            hasher.update(&bytes);
            self.write(&bytes)?;
            start = start.saturating_add(len);
        }
        Ok(())
    }

    /// A block's bytes as they were written, or if they are lost as they are.
    fn block(&mut self, block: BlockInfo) -> Result<Bytes, Error> {
        self.report.blocks += 1;
        let stored = self.table.read_stored(block.offset, block.len.into())?;
        let (offset, kind) = (block.offset, block.kind.name());
        let written = match stratal_block::scrub(self.id(block), &stored) {
            Ok(Scrubbed::Clean) => return Ok(stored),
            Ok(Scrubbed::Healed(written)) => written,
            Err(source) => {
                let Some(written) = self.twin_moved_to(block)? else {
                    let error = Error::Block { kind, offset, source };
                    self.report.lost.push(Damage { offset, kind, error, keys: None });
                    return Ok(stored);
                };
                written
            }
        };
        self.report.healed.push(Healed { offset, kind });
        Ok(written.into())
    }

    /// The block made from its second copy, if it has one that is whole and not sealed to its place.
    fn twin_moved_to(&self, block: BlockInfo) -> Result<Option<Vec<u8>>, Error> {
        let is_twin = |other: &&BlockInfo| {
            other.kind == block.kind && other.kind.ordinal(false).is_some() && **other != block
        };
        let Some(twin) = self.blocks.iter().find(is_twin) else { return Ok(None) };
        let stored = self.table.read_stored(twin.offset, twin.len.into())?;
        let mut bytes = match stratal_block::scrub(self.id(*twin), &stored) {
            Ok(Scrubbed::Clean) => stored.to_vec(),
            Ok(Scrubbed::Healed(written)) => written,
            Err(_) => return Ok(None),
        };
        let moved = stratal_block::reidentify(&mut bytes, self.id(*twin), self.id(block));
        Ok((moved.is_ok() && bytes.len() as u64 == u64::from(block.len)).then_some(bytes))
    }

    fn id(&self, block: BlockInfo) -> BlockId {
        block.kind.id(self.table.contents().header.uid, block.ordinal)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.write_all(bytes).map_err(Error::Write)
    }
}
