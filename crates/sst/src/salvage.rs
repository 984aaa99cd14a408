//! What can still be read of a damaged table, written into a new one.

use std::{io, mem};

use stratal_block::{FrameHeader, SortedCursor};
use stratal_types::Comparator;

use crate::{
    Damage, Error, Table, TableWriter,
    block::CachedBlock,
    handle::BlockHandle,
    index::IndexCursor,
    section::{self, TableBlock},
    table::parse_sorted,
};

/// What [`Table::salvage`] could not save.
#[derive(Debug, Default)]
pub struct SalvageReport {
    /// Entries written.
    pub entries: u64,
    /// What was lost, by ascending offset within each kind of block. Each loss of data names the keys
    /// that it may have cost: exactly those of the block where the index is whole, and up to the next
    /// block's first key where it is not.
    pub lost: Vec<Damage>,
}

/// The most that a frame's header takes, and what may stand behind it.
const HEADER_LEN_MAX: u64 = 64;

impl Table {
    /// Adds every entry and range tombstone that can be read to `writer`, in order, whose context has
    /// the comparator of this table; the caller finishes it. Bypasses the cache, and holds one block.
    ///
    /// Data blocks are found by the index; if both copies of it are damaged, by their frames, one
    /// behind the other, as far as headers can be read. What is lost is in the report. Lost range
    /// tombstones let keys come back that they hid.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the source fails, and those of the writer. Damage is not an error.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
    /// use stratal_types::FileUid;
    ///
    /// let ctx = TableContext::default();
    /// let spec = Arc::new(TableOptions { block_len_target: 512, ..Default::default() }.validate()?);
    /// let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([1; 16]), Arc::clone(&spec));
    /// for i in 0..100 {
    ///     writer.put(format!("{i:03}").as_bytes(), &[7; 40])?;
    /// }
    /// let mut file = writer.finish()?.sink;
    /// file[200] ^= 1;                      // within the first data block
    ///
    /// let damaged = Table::open(&ctx, Arc::new(bytes::Bytes::from(file)))?;
    /// let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([2; 16]), spec);
    /// let report = damaged.salvage(&mut writer)?;
    /// assert_eq!(report.lost.len(), 1);
    /// assert!(report.entries > 80 && report.entries < 100);
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn salvage<W: io::Write>(
        &self,
        writer: &mut TableWriter<W>,
    ) -> Result<SalvageReport, Error> {
        let mut salvage = Salvage { table: self, writer, report: SalvageReport::default() };
        salvage.tombstones()?;
        let mut index = IndexCursor::default();
        match index.seek_to_first(self) {
            Ok(()) => salvage.indexed(index)?,
            Err(error) => {
                let offset = salvage.offset_of(TableBlock::Index);
                salvage.note(offset, TableBlock::Index, error, None)?;
                salvage.walk()?;
            }
        }
        Ok(salvage.report)
    }
}

/// The first and the last key of a block.
struct Ends {
    first: Vec<u8>,
    last: Vec<u8>,
}

struct Salvage<'a, W> {
    table: &'a Table,
    writer: &'a mut TableWriter<W>,
    report: SalvageReport,
}

impl<W: io::Write> Salvage<'_, W> {
    /// Notes what is lost; passes on that it could not be read at all.
    fn note(
        &mut self,
        offset: u64,
        kind: TableBlock,
        error: Error,
        keys: Option<(Option<Vec<u8>>, Vec<u8>)>,
    ) -> Result<(), Error> {
        if let Error::Read { .. } = error {
            return Err(error);
        }
        self.report.lost.push(Damage { offset, kind: kind.name(), error, keys });
        Ok(())
    }

    fn offset_of(&self, kind: TableBlock) -> u64 {
        self.table.contents().find(kind.section()).next().map_or(0, |entry| entry.offset)
    }

    fn tombstones(&mut self) -> Result<(), Error> {
        let kind = TableBlock::Tombstones;
        match self.table.tombstones() {
            Ok(fragments) => self.writer.add_tombstones(&fragments),
            Err(error) => self.note(self.offset_of(kind), kind, error, None),
        }
    }

    fn read(&self, handle: BlockHandle) -> Result<CachedBlock, Error> {
        let kind = TableBlock::Data;
        let plain = self.table.open_block(handle, kind)?;
        let block = parse_sorted(plain, kind, handle.offset)?;
        let comparator: &dyn Comparator = self.table.comparator();
        let verified = block.rows().verify(comparator);
        let (kind, offset) = (kind.name(), handle.offset);
        verified.map(|()| block).map_err(|source| Error::Block { kind, offset, source })
    }

    /// Saves a data block, all of it or nothing, and returns its first and its last key; or why it is
    /// lost.
    fn block(&mut self, handle: BlockHandle) -> Result<Result<Ends, Error>, Error> {
        let block = match self.read(handle) {
            Ok(block) => block,
            Err(error @ Error::Read { .. }) => return Err(error),
            Err(error) => return Ok(Err(error)),
        };
        let mut rows = SortedCursor::new(block.rows().clone());
        rows.seek_to_first();
        let first = rows.entry().map(|entry| entry.key.to_vec()).unwrap_or_default();
        while let Some(entry) = rows.entry() {
            match self.writer.add(entry) {
                Ok(()) => self.report.entries += 1,
                // Rows within a block are in order: this is the first.
                Err(Error::OutOfOrder { .. }) => {
                    return Ok(Err(malformed("blocks are out of order", handle.offset)));
                }
                Err(error) => return Err(error),
            }
            rows.advance();
        }
        Ok(Ok(Ends { first, last: block.key(block.len().saturating_sub(1)) }))
    }

    /// Saves the data blocks that `index`, which stands on the first, knows.
    fn indexed(&mut self, mut index: IndexCursor) -> Result<(), Error> {
        let mut before = None;
        while let Some((fence, _)) = index.fence() {
            let (offset, saved) = match index.handle(self.table) {
                Ok(handle) => (handle.offset, self.block(handle)?.map(drop)),
                Err(error) => (0, Err(error)),
            };
            if let Err(error) = saved {
                self.note(offset, TableBlock::Data, error, Some((before, fence.clone())))?;
            }
            before = Some(fence);
            index.advance(self.table)?;
        }
        Ok(())
    }

    /// Saves data blocks without the index.
    fn walk(&mut self) -> Result<(), Error> {
        let table = self.table;
        let Some(section) = table.contents().find(section::DATA).next() else { return Ok(()) };
        let (mut offset, end) = (section.offset, section.range().end);
        let mut last: Option<Vec<u8>> = None;
        // Losses whose last key the next block that can be read will tell.
        let mut open: Vec<(u64, Error)> = Vec::new();
        for ordinal in TableBlock::FIRST_DATA_ORDINAL.. {
            if offset >= end {
                break;
            }
            let len = match self.frame_len(offset, end) {
                Ok(len) => len,
                Err(error @ Error::Read { .. }) => return Err(error),
                Err(error) => {
                    open.push((offset, error));
                    break;
                }
            };
            let handle = BlockHandle { offset, len, ordinal };
            match self.block(handle)? {
                Ok(ends) => {
                    for (offset, error) in mem::take(&mut open) {
                        let keys = Some((last.clone(), ends.first.clone()));
                        self.note(offset, TableBlock::Data, error, keys)?;
                    }
                    last = Some(ends.last);
                }
                Err(error) => open.push((offset, error)),
            }
            offset = offset.saturating_add(len.into());
        }
        for (offset, error) in open {
            let keys = Some((last.clone(), table.properties().last_key.clone()));
            self.note(offset, TableBlock::Data, error, keys)?;
        }
        Ok(())
    }

    /// Length of the frame that begins at `offset`, as its header has it.
    fn frame_len(&self, offset: u64, end: u64) -> Result<u32, Error> {
        let left = end.saturating_sub(offset);
        let bytes = self.table.read_stored(offset, left.min(HEADER_LEN_MAX))?;
        let header = FrameHeader::split_from(&bytes).map(|(header, _)| header);
        let header = header.map_err(|source| Error::Block {
            kind: TableBlock::Data.name(),
            offset,
            source,
        })?;
        let fits = u32::try_from(header.frame_len()).ok().filter(|len| u64::from(*len) <= left);
        fits.ok_or_else(|| malformed("a block is longer than what is left of its section", offset))
    }
}

fn malformed(what: &'static str, offset: u64) -> Error {
    Error::Malformed { what, offset }
}
