//! What can still be read of a damaged table, written into a new one.

use std::{io, mem};

use stratal_archive::{Half, Part};
use stratal_block::SortedCursor;
use stratal_types::Comparator;

use crate::{
    Damage, Error, LostKeys, OpenMode, Table, TableWriter,
    block::CachedBlock,
    handle::BlockHandle,
    index::{Frames, IndexCursor},
    open::find_contents,
    section::TableBlock,
    table::parse_sorted,
};

/// What [`Table::salvage`] could not save.
#[derive(Debug, Default)]
pub struct SalvageReport {
    /// Entries written.
    pub entries: u64,
    /// What was lost, by ascending offset within each kind of block. Each loss of data names the keys
    /// that it may have cost: exactly those of the block where the index is whole, and where it is not
    /// up to the next block's first key, or without end if nothing tells where the table ends.
    pub lost: Vec<Damage>,
}

impl Table {
    /// Adds every entry and range tombstone that can be read to `writer`, in order, whose context has
    /// the comparator of this table; the caller finishes it. Bypasses the cache, and holds one block.
    ///
    /// Data blocks are found by the index; where that is damaged in both copies, or in a partition
    /// that cannot be made again, by their frames, one behind the other, as far as headers can be read. What is lost is in the report. Lost range
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
    /// let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([1; 16]), Arc::clone(&spec))?;
    /// for i in 0..100 {
    ///     writer.put(format!("{i:03}").as_bytes(), &[7; 40])?;
    /// }
    /// let mut file = writer.finish()?.sink;
    /// file[200] ^= 1;                      // within the first data block
    ///
    /// let damaged = Table::open(&ctx, Arc::new(bytes::Bytes::from(file)))?;
    /// let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([2; 16]), spec)?;
    /// let report = damaged.salvage(&mut writer)?;
    /// assert_eq!(report.lost.len(), 1);
    /// assert!(report.entries > 80 && report.entries < 100);
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn salvage<W: io::Write>(
        &self,
        writer: &mut TableWriter<W>,
    ) -> Result<SalvageReport, Error> {
        let report = SalvageReport::default();
        let mut salvage = Salvage { table: self, writer, report, last: None };
        salvage.descriptions()?;
        salvage.tombstones()?;
        match self.index() {
            Ok(None) => {}
            Ok(Some(top)) => {
                for n in 0..if self.is_divided() { top.len() } else { 1 } {
                    salvage.partition(&top, n)?;
                }
            }
            Err(error) => {
                let offset = salvage.offset_of(TableBlock::Index);
                salvage.note(offset, TableBlock::Index, error, None)?;
                let last_key = Some(&self.properties().last_key[..]).filter(|key| !key.is_empty());
                salvage.walk(Frames::of_data(self), u64::MAX, last_key)?;
                if self.lacks_contents() {
                    // Nobody knows what followed.
                    let error = malformed("what stood behind is unknown", self.source().len());
                    let keys = Some((salvage.last.clone(), None));
                    salvage.note(self.source().len(), TableBlock::Data, error, keys)?;
                }
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

/// Most ordinals that are tried for one block, so that headers made to lie cannot keep a salvage busy.
const DOUBTFUL_MAX: u64 = 64;

struct Salvage<'a, W> {
    table: &'a Table,
    writer: &'a mut TableWriter<W>,
    report: SalvageReport,
    /// Every key up to and with this one was saved, or is in a loss that was noted.
    last: Option<Vec<u8>>,
}

impl<W: io::Write> Salvage<'_, W> {
    /// Notes what is lost; passes on that it could not be read at all.
    fn note(
        &mut self,
        offset: u64,
        kind: TableBlock,
        error: Error,
        keys: Option<LostKeys>,
    ) -> Result<(), Error> {
        if let Error::Read { .. } = error {
            return Err(error);
        }
        self.report.lost.push(Damage { offset, kind: kind.name(), error, keys });
        Ok(())
    }

    /// Notes what a table opened with [`OpenMode::Salvage`] lacks of what it should say of itself.
    fn descriptions(&mut self) -> Result<(), Error> {
        match find_contents(self.table.source(), OpenMode::Strict) {
            Ok(_) => {}
            Err(error @ Error::Read { .. }) => return Err(error),
            Err(error) => {
                let offset = self.table.contents().part_range(Part::Contents(Half::Mirror)).start;
                let keys = None;
                self.report.lost.push(Damage { offset, kind: "contents", error, keys });
            }
        }
        let kind = TableBlock::Properties;
        match self.table.missing_properties() {
            Some(error) => self.note(self.offset_of(kind), kind, error, None),
            None => Ok(()),
        }
    }

    fn offset_of(&self, kind: TableBlock) -> u64 {
        self.table.contents().find(kind.section()).next().map_or(0, |entry| entry.offset)
    }

    fn tombstones(&mut self) -> Result<(), Error> {
        let kind = TableBlock::Tombstones;
        match self.table.stored_tombstones() {
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

    /// Saves the data blocks of partition `n` of the index, or of all of it if it has one level.
    fn partition(&mut self, top: &CachedBlock, n: usize) -> Result<(), Error> {
        let mut index = IndexCursor::default();
        let Err(error) = index.seek_to_partition(self.table, n) else {
            return self.indexed(index, n);
        };
        let (fence, end) = (self.table.partition_fence(top, n), top.key(n));
        let offset = fence.as_ref().map_or(0, |fence| fence.handle.offset);
        self.note(offset, TableBlock::IndexPartition, error, None)?;
        let frames = fence.and_then(|fence| {
            Frames::of_partition(self.table, top, n).map(|frames| (frames, fence.blocks))
        });
        match frames {
            Ok((frames, blocks)) => self.walk(frames, blocks, Some(&end)),
            Err(error) => {
                self.note(offset, TableBlock::Data, error, Some((self.last.clone(), Some(end))))
            }
        }
    }

    /// Saves the data blocks of partition `n`, on the first of which `index` stands.
    fn indexed(&mut self, mut index: IndexCursor, n: usize) -> Result<(), Error> {
        while index.is_inside_partition(n) {
            let Some((fence, _)) = index.fence() else { break };
            let (offset, saved) = match index.handle(self.table) {
                Ok(handle) => (handle.offset, self.block(handle)?.map(drop)),
                Err(error) => (0, Err(error)),
            };
            let before = self.last.replace(fence.clone());
            if let Err(error) = saved {
                self.note(offset, TableBlock::Data, error, Some((before, Some(fence))))?;
            }
            if index.advance(self.table).is_err() {
                // The next partition, which is met with this error again.
                break;
            }
        }
        Ok(())
    }

    /// Saves the next `blocks` data blocks, found by their frames; no key of theirs is behind `end`.
    fn walk(
        &mut self,
        mut frames: Frames<'_>,
        blocks: u64,
        end: Option<&[u8]>,
    ) -> Result<(), Error> {
        // Losses whose last key the next block that can be read will tell.
        let mut open: Vec<(u64, Error)> = Vec::new();
        let mut met = 0;
        // Blocks counted as data that may have been others: if they were, ordinals are lower.
        let mut doubtful = 0u64;
        while met < blocks {
            let offset = frames.offset();
            let (kind, handle) = match frames.next() {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error @ Error::Read { .. }) => return Err(error),
                Err(error) => {
                    open.push((offset, error));
                    break;
                }
            };
            // A header that says it is no data block may be wrong.
            let handle = match kind {
                TableBlock::Data => handle,
                _ if self.table.open_block(handle, kind).is_ok() => continue,
                _ => {
                    doubtful += 1;
                    frames.count_as_data(handle)
                }
            };
            met += 1;
            let mut saved = self.block(handle)?;
            let most = doubtful.min(DOUBTFUL_MAX);
            for back in 1..=most {
                if saved.is_ok() {
                    break;
                }
                let ordinal = handle.ordinal.saturating_sub(back);
                let again = self.block(BlockHandle { ordinal, ..handle })?;
                if again.is_ok() {
                    frames.uncount_data(back);
                    doubtful -= back;
                    saved = again;
                    break;
                }
            }
            match saved {
                Ok(ends) => {
                    for (offset, error) in mem::take(&mut open) {
                        let keys = Some((self.last.clone(), Some(ends.first.clone())));
                        self.note(offset, TableBlock::Data, error, keys)?;
                    }
                    self.last = Some(ends.last);
                }
                Err(error) => open.push((offset, error)),
            }
        }
        for (offset, error) in open {
            self.note(
                offset,
                TableBlock::Data,
                error,
                Some((self.last.clone(), end.map(<[u8]>::to_vec))),
            )?;
        }
        self.last = end.map(<[u8]>::to_vec).or(self.last.take());
        Ok(())
    }
}

fn malformed(what: &'static str, offset: u64) -> Error {
    Error::Malformed { what, offset }
}
