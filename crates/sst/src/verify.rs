//! Reading everything a table holds and saying what is wrong with it.

use bytes::Bytes;
use stratal_archive::{Part, SectionTag, TocEntry};
use stratal_block::{Dictionary, SortedCursor};
use stratal_filter::{Filter, Retrieval};
use stratal_types::{EntryRef, InternalKey, Trailer, key_hash};

use crate::{
    Error, Healed, Properties, Table,
    block::CachedBlock,
    handle::BlockHandle,
    index::{BlockFence, IndexCursor, PartitionFence, Stats},
    section::{self, TableBlock, ordinal},
    table::{parse_sorted, read, section_handle},
    tombstones,
};

/// What [`Table::verify`] found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Blocks read.
    pub blocks: u64,
    /// Entries in intact data blocks.
    pub entries: u64,
    /// Everything that is wrong, by ascending offset within each kind of block.
    pub damage: Vec<Damage>,
    /// Blocks that are damaged and cost nothing, since parity repairs them whenever they are read.
    /// [`Table::scrub`] writes them as they were.
    pub healed: Vec<Healed>,
}

impl VerifyReport {
    /// Whether every byte is as it was written.
    pub fn is_ok(&self) -> bool {
        self.damage.is_empty() && self.healed.is_empty()
    }
}

/// Keys behind the first of two, unless there is no first; up to and with the second, unless nobody
/// knows where they end.
pub type LostKeys = (Option<Vec<u8>>, Option<Vec<u8>>);

/// One thing that is wrong with a table.
#[derive(Debug)]
pub struct Damage {
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// What should be there: a sort of block, or `contents`.
    pub kind: &'static str,
    /// What is wrong.
    pub error: Error,
    /// The keys that cannot be read for it, if it costs any.
    pub keys: Option<LostKeys>,
}

impl Table {
    /// Reads every block, bypassing the cache, and checks it against the checksums, the order of
    /// keys, the fences, the filter and the properties; both copies of what stands twice.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the source fails. Damage is not an error but in the report.
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        let mut verifier = Verifier::new(self);
        verifier.contents()?;
        verifier.doubled(section::PROPERTIES, TableBlock::Properties, ordinal::PROPERTIES)?;
        let properties = self.properties();
        if properties.entries > 0 {
            verifier.doubled(section::INDEX, TableBlock::Index, ordinal::INDEX)?;
        }
        if properties.range_tombstones > 0 {
            verifier.doubled(section::TOMBSTONES, TableBlock::Tombstones, ordinal::TOMBSTONES)?;
            verifier.tombstones()?;
        }
        if properties.dictionary_bytes > 0 {
            verifier.doubled(section::DICTIONARY, TableBlock::Dictionary, ordinal::DICTIONARY)?;
        }
        verifier.load_filter()?;
        verifier.load_locator()?;
        verifier.data_blocks()?;
        verifier.totals();
        Ok(verifier.report)
    }
}

struct Verifier<'a> {
    table: &'a Table,
    report: VerifyReport,
    filter: Option<(u64, Filter<Bytes>)>,
    locator: Option<Retrieval<Bytes>>,
    /// Data blocks met so far.
    met: u64,
    found: Properties,
    /// The last entry of the data block before, if that block was intact.
    last: Option<(Vec<u8>, Trailer)>,
    data_damaged: bool,
}

impl<'a> Verifier<'a> {
    fn new(table: &'a Table) -> Self {
        Self {
            table,
            report: VerifyReport::default(),
            filter: None,
            locator: None,
            met: 0,
            found: Properties::new(),
            last: None,
            data_damaged: false,
        }
    }

    /// Notes `error` if it is about the data; passes it on if it is about reading it.
    fn note(&mut self, offset: u64, kind: &'static str, error: Error) -> Result<(), Error> {
        self.note_keys(offset, kind, error, None)
    }

    fn note_keys(
        &mut self,
        offset: u64,
        kind: &'static str,
        error: Error,
        keys: Option<LostKeys>,
    ) -> Result<(), Error> {
        if let Error::Read { .. } = error {
            return Err(error);
        }
        self.report.damage.push(Damage { offset, kind, error, keys });
        Ok(())
    }

    /// Header, both tables of contents, and what lies between them.
    fn contents(&mut self) -> Result<(), Error> {
        let (toc, source) = (self.table.contents(), self.table.source());
        for part in Part::ALL {
            let range = toc.part_range(part);
            let offset = range.start;
            // A table opened to be salvaged may have lost its end.
            let len = range.end.min(source.len()).saturating_sub(offset);
            let bytes = read(source, offset.min(source.len()), len)?;
            if let Err(error) = toc.check_part(part, &bytes) {
                self.note(offset, "contents", error.into())?;
            }
        }
        Ok(())
    }

    fn doubled(
        &mut self,
        tag: SectionTag,
        kind: TableBlock,
        ordinals: [u64; 2],
    ) -> Result<(), Error> {
        let entries: Vec<&TocEntry> = self.table.contents().find(tag).collect();
        if entries.len() != ordinals.len() {
            self.note(0, kind.name(), Error::MissingSection(kind.name()))?;
        }
        let mut copies = Vec::new();
        for (entry, ordinal) in entries.into_iter().zip(ordinals) {
            self.report.blocks += 1;
            let opened = self.open_section(entry, ordinal, kind);
            let checked = opened.and_then(|plain| match kind {
                TableBlock::Properties => Properties::decode(&plain, entry.offset).map(|_| plain),
                TableBlock::Tombstones => {
                    let comparator = self.table.comparator();
                    tombstones::decode(&plain, entry.offset, comparator).map(|_| plain)
                }
                TableBlock::Dictionary => match Dictionary::new(&plain) {
                    Ok(_) => Ok(plain),
                    Err(source) => {
                        let (kind, offset) = (kind.name(), entry.offset);
                        Err(Error::Block { kind, offset, source })
                    }
                },
                _ => self.check_sorted(&plain, kind, entry.offset).map(|_| plain),
            });
            match checked {
                Ok(plain) => copies.push((entry.offset, plain)),
                Err(error) => self.note(entry.offset, kind.name(), error)?,
            }
        }
        if let [(_, first), (offset, second)] = &copies[..]
            && first != second
        {
            let what = "the two copies differ";
            self.note(*offset, kind.name(), Error::Malformed { what, offset: *offset })?;
        }
        Ok(())
    }

    /// Counts the range tombstones, unless both copies are damaged and noted as such.
    fn tombstones(&mut self) -> Result<(), Error> {
        match self.table.stored_tombstones() {
            Ok(fragments) => self.found.count_tombstones(&fragments),
            Err(error @ Error::Read { .. }) => return Err(error),
            Err(_) => self.data_damaged = true,
        }
        Ok(())
    }

    fn load_filter(&mut self) -> Result<(), Error> {
        let Some(entry) = self.table.contents().find(section::FILTER).next() else {
            return Ok(());
        };
        let handle = section_handle(entry, ordinal::FILTER);
        self.filter = self.open_filter(handle, entry.offset, TableBlock::Filter)?;
        Ok(())
    }

    fn load_locator(&mut self) -> Result<(), Error> {
        let Some(entry) = self.table.contents().find(section::LOCATOR).next() else {
            return Ok(());
        };
        let (kind, offset) = (TableBlock::Locator, entry.offset);
        self.report.blocks += 1;
        let plain = self.open_section(entry, ordinal::LOCATOR, kind);
        let locator = plain.and_then(|plain| {
            let what = "the locator does not parse";
            Retrieval::parse(plain).map_err(|_| Error::Malformed { what, offset })
        });
        match locator {
            Ok(locator) => self.locator = Some(locator),
            Err(error) => self.note(offset, kind.name(), error)?,
        }
        Ok(())
    }

    fn open_filter(
        &mut self,
        handle: Result<BlockHandle, Error>,
        offset: u64,
        kind: TableBlock,
    ) -> Result<Option<(u64, Filter<Bytes>)>, Error> {
        self.report.blocks += 1;
        let filter = handle.and_then(|handle| self.open(handle, kind));
        let filter = filter.and_then(|plain| {
            let what = "the filter does not parse";
            Filter::parse(plain).map_err(|_| Error::Malformed { what, offset })
        });
        match filter {
            Ok(filter) => Ok(Some((offset, filter))),
            Err(error) => self.note(offset, kind.name(), error).map(|()| None),
        }
    }

    fn data_blocks(&mut self) -> Result<(), Error> {
        let top = match self.table.index() {
            Ok(None) => return Ok(()),
            Ok(Some(top)) => top,
            Err(error @ Error::Read { .. }) => return Err(error),
            // Both copies are damaged and noted as such; the blocks cannot be found.
            Err(_) => {
                self.data_damaged = true;
                return Ok(());
            }
        };
        if !self.table.is_divided() {
            return self.partition(0, None);
        }
        for n in 0..top.len() {
            let before = n.checked_sub(1).map(|before| top.key(before));
            match self.table.partition_fence(&top, n) {
                Ok(fence) => {
                    self.filter = self.filter_partition(fence)?;
                    self.index_partition(&top, n, fence)?;
                }
                Err(error) => {
                    let (kind, offset) = (TableBlock::Index.name(), self.table.index_offset());
                    self.data_damaged = true;
                    self.note_keys(offset, kind, error, Some((before.clone(), Some(top.key(n)))))?;
                }
            }
            self.partition(n, before)?;
        }
        Ok(())
    }

    /// Checks a block of fences that stands among the data.
    fn index_partition(
        &mut self,
        top: &CachedBlock,
        n: usize,
        fence: PartitionFence,
    ) -> Result<(), Error> {
        let (kind, offset) = (TableBlock::IndexPartition, fence.handle.offset);
        self.report.blocks += 1;
        let opened = self.open(fence.handle, kind);
        let checked = opened.and_then(|plain| {
            let leaf = self.check_sorted(&plain, kind, offset)?;
            let last = leaf.len().saturating_sub(1);
            let ends = (leaf.key(last), leaf.trailer(last)) == (top.key(n), top.trailer(n));
            let mut stats = Stats::NONE;
            for row in 0..leaf.len() {
                stats = leaf.fence(row).map_or(stats, |block| stats.with(block.stats));
            }
            if ends && stats == fence.stats && leaf.len() as u64 == fence.blocks {
                return Ok(());
            }
            let what = "the upper level of the index says something else of this partition";
            Err(Error::Malformed { what, offset })
        });
        match checked {
            Ok(()) => Ok(()),
            Err(error) => self.note(offset, kind.name(), error),
        }
    }

    fn filter_partition(
        &mut self,
        fence: PartitionFence,
    ) -> Result<Option<(u64, Filter<Bytes>)>, Error> {
        match fence.filter {
            Some(handle) => {
                self.open_filter(Ok(handle), handle.offset, TableBlock::FilterPartition)
            }
            None => Ok(None),
        }
    }

    /// Checks the data blocks of partition `n`, whose keys are behind `before`.
    fn partition(&mut self, n: usize, before: Option<Vec<u8>>) -> Result<(), Error> {
        let mut index = IndexCursor::default();
        match index.seek_to_partition(self.table, n) {
            Ok(()) => {}
            Err(error @ Error::Read { .. }) => return Err(error),
            // Noted as damaged, and it cannot be made again: so are some of its blocks.
            Err(error) => {
                self.data_damaged = true;
                self.last = None;
                let fence = index.partition_fence(self.table)?;
                let offset = fence.map_or(0, |fence| fence.handle.offset);
                let end = index.partition_end(self.table).map(|(key, _)| (before, Some(key)));
                return self.note_keys(offset, TableBlock::Data.name(), error, end);
            }
        }
        let mut before = before;
        while index.is_inside_partition(n) {
            let Some((fence, trailer)) = index.fence() else { break };
            self.report.blocks += 1;
            self.met += 1;
            match index.block(self.table) {
                Ok(block) => {
                    if let Err(error) = self.data_block(block, &fence, trailer) {
                        self.data_damaged = true;
                        self.last = None;
                        let (kind, offset) = (TableBlock::Data.name(), block.handle.offset);
                        self.note_keys(offset, kind, error, Some((before, Some(fence.clone()))))?;
                    }
                }
                Err(error) => {
                    self.note(self.table.index_offset(), TableBlock::Index.name(), error)?;
                }
            }
            before = Some(fence);
            match index.advance(self.table) {
                Err(error @ Error::Read { .. }) => return Err(error),
                // The next partition, which is met with this error again.
                Err(_) => break,
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn data_block(
        &mut self,
        block: BlockFence,
        fence: &[u8],
        fence_trailer: Trailer,
    ) -> Result<(), Error> {
        let kind = TableBlock::Data;
        let BlockFence { handle, stats } = block;
        let offset = handle.offset;
        let plain = self.open(handle, kind)?;
        let block = self.check_sorted(&plain, kind, offset)?;
        let comparator = self.table.context().comparator.as_ref();
        let mut rows = SortedCursor::new(block.rows().clone());
        rows.seek_to_first();
        let mut found = Stats::NONE;
        while let Some(entry) = rows.entry() {
            self.check_entry(entry, rows.row() == Some(0), offset)?;
            found.count(entry.seqno());
            rows.advance();
        }
        if found != stats {
            let what = "the index counts other entries than the block has";
            return Err(Error::Malformed { what, offset });
        }
        self.report.entries += block.len() as u64;
        let fence = InternalKey::new(fence, fence_trailer);
        match &self.last {
            Some((key, trailer))
                if InternalKey::new(key, *trailer).compare(&fence, comparator).is_gt() =>
            {
                Err(Error::Malformed { what: "a block's last key is behind its fence", offset })
            }
            _ => Ok(()),
        }
    }

    fn check_entry(
        &mut self,
        entry: EntryRef<'_>,
        first_of_block: bool,
        offset: u64,
    ) -> Result<(), Error> {
        let comparator = self.table.context().comparator.as_ref();
        let mut new_key = true;
        if let Some((key, trailer)) = &self.last {
            let last = InternalKey::new(key, *trailer);
            if first_of_block && last.compare(&entry.internal_key(), comparator).is_ge() {
                return Err(Error::Malformed { what: "blocks are out of order", offset });
            }
            new_key = key != entry.key;
        }
        self.found.count(entry, new_key);
        if let Some((_, filter)) = &self.filter
            && !filter.may_contain(key_hash(entry.key))
        {
            return Err(Error::Malformed { what: "the filter denies a key of this block", offset });
        }
        // Behind a damaged block it is not known whether a key begins.
        let begins = new_key && (self.last.is_some() || self.met == 1);
        if let Some(locator) = self.locator.as_ref().filter(|_| begins)
            && u64::from(locator.get(key_hash(entry.key))) != self.met.saturating_sub(1)
        {
            let what = "the locator has another block for a key of this one";
            return Err(Error::Malformed { what, offset });
        }
        match &mut self.last {
            Some((key, trailer)) => {
                key.clear();
                key.extend_from_slice(entry.key);
                *trailer = entry.trailer;
            }
            None => self.last = Some((entry.key.to_vec(), entry.trailer)),
        }
        Ok(())
    }

    /// Compares the counts in the properties with what was found, if everything was found.
    fn totals(&mut self) {
        if self.data_damaged {
            return;
        }
        let stored = self.table.properties();
        let found = &self.found;
        let pairs = [
            (stored.entries, found.entries),
            (stored.keys, found.keys),
            (stored.deletes, found.deletes),
            (stored.merges, found.merges),
            (stored.key_bytes, found.key_bytes),
            (stored.value_bytes, found.value_bytes),
            (stored.range_tombstones, found.range_tombstones),
            (stored.entry_seqno_max, found.entry_seqno_max),
            (stored.seqno_min, found.seqno_min),
            (stored.seqno_max, found.seqno_max),
        ];
        if pairs.iter().any(|(stored, found)| stored != found) {
            let offset =
                self.table.contents().find(section::PROPERTIES).next().map_or(0, |e| e.offset);
            let what = "the properties' counts are not those of the entries";
            let error = Error::Malformed { what, offset };
            self.report.damage.push(Damage { offset, kind: "properties", error, keys: None });
        }
    }

    /// Opens a block, and notes if it was damaged and could be repaired.
    fn open(&mut self, handle: BlockHandle, kind: TableBlock) -> Result<Bytes, Error> {
        let (plain, is_damaged) = self.table.check_block(handle, kind)?;
        if is_damaged {
            self.report.healed.push(Healed { offset: handle.offset, kind: kind.name() });
        }
        Ok(plain)
    }

    fn open_section(
        &mut self,
        entry: &TocEntry,
        ordinal: u64,
        kind: TableBlock,
    ) -> Result<Bytes, Error> {
        self.open(section_handle(entry, ordinal)?, kind)
    }

    fn check_sorted(
        &self,
        plain: &Bytes,
        kind: TableBlock,
        offset: u64,
    ) -> Result<CachedBlock, Error> {
        let block = parse_sorted(plain.clone(), kind, offset)?;
        let bytewise: &dyn stratal_types::Comparator = &stratal_types::Bytewise;
        let comparator = match kind {
            TableBlock::Properties => bytewise,
            _ => self.table.context().comparator.as_ref(),
        };
        block.rows().verify(comparator).map_err(|source| Error::Block {
            kind: kind.name(),
            offset,
            source,
        })?;
        Ok(block)
    }
}
