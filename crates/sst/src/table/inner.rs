//! How the blocks of an open table are found, read and kept.

use std::sync::Arc;

use bytes::Bytes;
use stratal_archive::{SectionTag, Toc, TocEntry};
use stratal_block::{BlockCodec, BlockContext, BlockSpec, Dictionary, FileKey, Outcome, Payload};
use stratal_cache::{CacheKey, FileId, Pin, Priority, Resident, Slots};
use stratal_filter::{Filter, Retrieval};
use stratal_slab::{Buffer, Shared};
use stratal_types::{Counter, Fragments, SeqNo, sync::OnceLock};

use super::{parse_sorted, pinned::Leases, section_handle};
use crate::{
    Error, Properties, ReadAt, TableContext,
    block::{CachedBlock, CachedDictionary, CachedFilter},
    handle::BlockHandle,
    locator::CachedLocator,
    section::{self, TableBlock, ordinal},
    source::{Tail, pieces},
    tombstones::{self, CachedFragments},
};

/// The fence of a data block: a block of fences and the row, if they are at hand.
type Fences = Option<(Arc<CachedBlock>, usize)>;

/// What every clone of a table shares.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) ctx: TableContext,
    pub(super) source: Arc<dyn ReadAt>,
    pub(super) file: FileId,
    pub(super) toc: Toc,
    pub(super) properties: Properties,
    pub(super) key: Option<FileKey>,
    /// Opens every block but those that need the dictionary.
    pub(super) codec: BlockCodec,
    pub(super) has_dictionary: bool,
    /// The end of the file, while the table is being opened.
    pub(super) tail: Option<Tail>,
    /// The number at which everything is seen.
    pub(super) overlay: Option<SeqNo>,
    /// Both copies of the properties are damaged.
    pub(super) lacks_properties: bool,
    pub(super) resident: ResidentParts,
    pub(super) leases: Leases,
}

/// One slot each for what every lookup needs, as long as the cache holds it.
#[derive(Debug)]
pub(super) struct ResidentParts {
    index: Slots<CachedBlock>,
    filter: Slots<CachedFilter>,
    locator: Slots<CachedLocator>,
    /// Where the filter over the whole table begins, if there is one.
    filter_at: Option<u64>,
    /// The range tombstones, if they are [short](TOMBSTONES_KEPT).
    tombstones: OnceLock<Arc<Fragments>>,
}

/// Range tombstones of up to so many bytes stay with the open table, as its properties do, once they were
/// needed: every lookup in their span asks for them, and a small cache would let them go between two.
const TOMBSTONES_KEPT: usize = 512;

impl ResidentParts {
    pub(super) fn of(toc: &Toc) -> Self {
        let filter_at = toc.find(section::FILTER).next().map(|entry| entry.offset);
        let (index, filter, locator) = (Slots::new(1), Slots::new(1), Slots::new(1));
        Self { index, filter, locator, filter_at, tombstones: OnceLock::new() }
    }
}

impl Inner {
    pub(super) fn load_properties(&self) -> Result<Properties, Error> {
        self.load_doubled(
            section::PROPERTIES,
            TableBlock::Properties,
            ordinal::PROPERTIES,
            |plain, offset| Properties::decode(&plain, offset),
        )
    }

    /// Ends the opening: what the tail holds of the blocks that reads need goes into the cache. A
    /// block that does not load is left to the read that needs it.
    pub(super) fn keep_tail(&mut self) {
        if self.is_in_tail(section::INDEX) {
            drop(self.index());
        }
        if self.is_in_tail(section::FILTER) {
            drop(self.filter());
        }
        if self.is_in_tail(section::LOCATOR) {
            drop(self.locator());
        }
        if self.is_in_tail(section::TOMBSTONES) {
            drop(self.tombstones());
        }
        self.tail = None;
    }

    /// Whether the tail holds a copy of a section.
    pub(super) fn is_in_tail(&self, tag: SectionTag) -> bool {
        let holds =
            |entry: &TocEntry| self.tail.as_ref().is_some_and(|tail| tail.holds(entry.range()));
        self.toc.find(tag).any(holds)
    }

    pub(super) fn index(&self) -> Result<Option<Arc<CachedBlock>>, Error> {
        if !self.has_entries() {
            return Ok(None);
        }
        if let Some(shown) = self.shared_index() {
            return Ok(Some(shown));
        }
        let kind = TableBlock::Index;
        let slot = (&self.resident.index, 0);
        let load = || {
            self.load_doubled(section::INDEX, kind, ordinal::INDEX, |plain, offset| {
                self.parse_fences(plain, kind, offset)
            })
        };
        let key = self.cache_key(kind, 0);
        self.ctx.cache.get_or_load_shown(slot, &key, self.leases.priority(kind), load).map(Some)
    }

    /// The [index](Self::index), if it is in memory, for longer than a pin.
    #[inline]
    pub(super) fn shared_index(&self) -> Option<Arc<CachedBlock>> {
        self.shared(&self.resident.index, 0, (TableBlock::Index, || 0))
    }

    /// The [index](Self::index), if it is in memory.
    #[inline]
    pub(super) fn resident_index<'p>(&self, pin: &'p Pin) -> Option<&'p CachedBlock> {
        self.shown(&self.resident.index, 0, (TableBlock::Index, || 0), pin)
    }

    /// A block of the index.
    pub(super) fn parse_fences(
        &self,
        plain: Bytes,
        kind: TableBlock,
        offset: u64,
    ) -> Result<CachedBlock, Error> {
        let block = parse_sorted(plain, kind, offset)?;
        Ok(block.with_fences(self.ctx.comparator.is_bytewise()))
    }

    pub(super) fn tombstones(&self) -> Result<Arc<Fragments>, Error> {
        if !self.has_tombstones() {
            return Ok(Arc::new(Fragments::EMPTY));
        }
        if let Some(kept) = self.resident.tombstones.get() {
            return Ok(Arc::clone(kept));
        }
        let load = || {
            let mut fragments = self.load_tombstones()?;
            if let Some(seqno) = self.overlay {
                let comparator = self.ctx.comparator.as_ref();
                fragments = tombstones::at_seqno(&fragments, seqno, comparator);
            }
            Ok::<_, Error>(CachedFragments(Arc::new(fragments)))
        };
        let kind = TableBlock::Tombstones;
        let (key, priority) = (self.cache_key(kind, 0), self.leases.priority(kind));
        let cached = self.ctx.cache.get_or_load(&key, priority, load)?;
        if cached.0.memory_used() <= TOMBSTONES_KEPT {
            // Whoever comes at the same time keeps the same.
            drop(self.resident.tombstones.set(Arc::clone(&cached.0)));
        }
        Ok(Arc::clone(&cached.0))
    }

    /// As they are stored.
    pub(super) fn load_tombstones(&self) -> Result<Fragments, Error> {
        let (kind, ordinals) = (TableBlock::Tombstones, ordinal::TOMBSTONES);
        let comparator = self.ctx.comparator.as_ref();
        self.load_doubled(section::TOMBSTONES, kind, ordinals, |plain, offset| {
            tombstones::decode(&plain, offset, comparator)
        })
    }

    pub(super) fn has_tombstones(&self) -> bool {
        self.properties.range_tombstones > 0
            || self.lacks_properties && self.toc.find(section::TOMBSTONES).next().is_some()
    }

    pub(super) fn has_entries(&self) -> bool {
        self.properties.entries > 0
            || self.lacks_properties && self.toc.find(section::DATA).next().is_some()
    }

    /// Takes for the properties what can be known without them.
    pub(super) fn do_without_properties(&mut self) {
        self.lacks_properties = true;
        self.ctx.comparator.name().clone_into(&mut self.properties.comparator);
        self.properties.index_levels = match self.index() {
            Ok(Some(top)) if top.partition(0).is_some() => 2,
            Ok(Some(_)) => 1,
            Ok(None) | Err(_) => 0,
        };
    }

    pub(super) fn check_overlay(&self) -> Result<(), Error> {
        let seqno_max = self.properties.seqno_max;
        if self.overlay.is_some() && (self.lacks_properties || seqno_max > 0) {
            return Err(Error::OverlayRefused { seqno_max });
        }
        Ok(())
    }

    /// What opens the data blocks of a table with a dictionary.
    pub(super) fn dictionary(&self) -> Result<Arc<CachedDictionary>, Error> {
        let kind = TableBlock::Dictionary;
        let (key, priority) = (self.cache_key(kind, 0), self.leases.priority(kind));
        self.ctx.cache.get_or_load(&key, priority, || {
            self.load_doubled(section::DICTIONARY, kind, ordinal::DICTIONARY, |plain, offset| {
                let resolve = || {
                    let dictionaries = vec![Dictionary::new(&plain)?];
                    let key = self.key.clone();
                    let context = BlockContext { key, dictionaries, ..BlockContext::default() };
                    BlockSpec::default().resolve(&context)
                };
                resolve()
                    .map(|codec| CachedDictionary(codec, plain.len()))
                    .map_err(|source| Error::Block { kind: kind.name(), offset, source })
            })
        })
    }

    pub(super) fn filter(&self) -> Result<Option<Arc<CachedFilter>>, Error> {
        let Some(entry) = self.toc.find(section::FILTER).next() else { return Ok(None) };
        let kind = TableBlock::Filter;
        let key = self.cache_key(kind, entry.offset);
        let slot = (&self.resident.filter, 0);
        let load = || self.load_filter(section_handle(entry, ordinal::FILTER), kind);
        self.ctx.cache.get_or_load_shown(slot, &key, self.leases.priority(kind), load).map(Some)
    }

    pub(super) fn has_filter(&self) -> bool {
        self.resident.filter_at.is_some()
    }

    /// The [filter](Self::filter), if it is in memory.
    #[inline]
    pub(super) fn resident_filter<'p>(&self, pin: &'p Pin) -> Option<&'p CachedFilter> {
        let at = || self.resident.filter_at.unwrap_or(0);
        self.shown(&self.resident.filter, 0, (TableBlock::Filter, at), pin)
    }

    /// `None` in a table of two levels, which is not to have one.
    pub(super) fn locator(&self) -> Result<Option<Arc<CachedLocator>>, Error> {
        if !self.has_locator() {
            return Ok(None);
        }
        let Some(entry) = self.toc.find(section::LOCATOR).next() else { return Ok(None) };
        let kind = TableBlock::Locator;
        let key = self.cache_key(kind, entry.offset);
        let load =
            || {
                let handle = section_handle(entry, ordinal::LOCATOR);
                match handle.and_then(|handle| self.open_block(handle, kind)) {
                    Ok(plain) => Ok(Retrieval::parse(plain)
                        .map_or(CachedLocator::Unusable, CachedLocator::Usable)),
                    Err(error @ Error::Read { .. }) => Err(error),
                    Err(_) => Ok(CachedLocator::Unusable),
                }
            };
        let slot = (&self.resident.locator, 0);
        self.ctx.cache.get_or_load_shown(slot, &key, self.leases.priority(kind), load).map(Some)
    }

    pub(super) fn has_locator(&self) -> bool {
        self.properties.locator_bytes > 0 && self.properties.index_levels <= 1
    }

    /// The [locator](Self::locator), if it is in memory.
    pub(super) fn resident_locator<'p>(&self, pin: &'p Pin) -> Option<&'p CachedLocator> {
        let at = || self.toc.find(section::LOCATOR).next().map_or(0, |entry| entry.offset);
        self.shown(&self.resident.locator, 0, (TableBlock::Locator, at), pin)
    }

    /// The filter of the partition that row `n` of `top` stands for, which says that it is at `handle`.
    pub(super) fn filter_partition(
        &self,
        top: &CachedBlock,
        n: usize,
        handle: BlockHandle,
    ) -> Result<Arc<CachedFilter>, Error> {
        let kind = TableBlock::FilterPartition;
        let slot = top.partitions().map(|(_, filters)| (filters, n));
        self.get_or_load(slot, (kind, handle.offset), || self.load_filter(Ok(handle), kind))
    }

    /// What stands at an offset and is auxiliary, from the cache or by `load`; shown in `slot`.
    pub(super) fn get_or_load<T: Resident>(
        &self,
        slot: Option<(&Slots<T>, usize)>,
        (kind, offset): (TableBlock, u64),
        load: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let (cache, key) = (&self.ctx.cache, self.cache_key(kind, offset));
        let priority = self.leases.priority(kind);
        match slot {
            Some(slot) => cache.get_or_load_shown(slot, &key, priority, load),
            None => cache.get_or_load(&key, priority, load),
        }
    }

    /// What slot `at` shows, as [`shown`](Self::shown), for longer than a pin.
    #[inline]
    pub(super) fn shared<T: Resident>(
        &self,
        slots: &Slots<T>,
        at: usize,
        (kind, offset): (TableBlock, impl FnOnce() -> u64),
    ) -> Option<Arc<T>> {
        self.ctx.cache.share_shown(slots, at, || self.cache_key(kind, offset()))
    }

    /// The data block that `row` of `fences` stands for, if it is in memory and shown there.
    #[inline]
    pub(super) fn shared_block(
        &self,
        (fences, row): (&CachedBlock, usize),
    ) -> Option<Arc<CachedBlock>> {
        let at = || fences.handle(row).map_or(0, |handle| handle.offset);
        self.shared(fences.blocks()?, row, (TableBlock::Data, at))
    }

    /// What slot `at` shows, if it is in memory; it is what stands at an offset.
    #[inline]
    pub(super) fn shown<'p, T: Resident>(
        &self,
        slots: &Slots<T>,
        at: usize,
        (kind, offset): (TableBlock, impl FnOnce() -> u64),
        pin: &'p Pin,
    ) -> Option<&'p T> {
        self.ctx.cache.get_shown(slots, at, || self.cache_key(kind, offset()), pin)
    }

    /// A damaged filter is no reason to refuse a read; a source that cannot be read is.
    pub(super) fn load_filter(
        &self,
        handle: Result<BlockHandle, Error>,
        kind: TableBlock,
    ) -> Result<CachedFilter, Error> {
        match handle.and_then(|handle| self.open_block(handle, kind)) {
            Ok(plain) => Ok(Filter::parse(on_cache_lines(plain))
                .map_or(CachedFilter::Unusable, CachedFilter::Usable)),
            Err(error @ Error::Read { .. }) => Err(error),
            Err(_) => Ok(CachedFilter::Unusable),
        }
    }

    /// The data block at `handle`, which `row` of `fences` stands for if they are given.
    pub(super) fn data_block(
        &self,
        handle: BlockHandle,
        fences: Option<(&CachedBlock, usize)>,
    ) -> Result<Arc<CachedBlock>, Error> {
        let kind = TableBlock::Data;
        let slot = fences.and_then(|(fences, row)| Some((fences.blocks()?, row)));
        self.get_or_load(slot, (kind, handle.offset), || {
            let stored = self.read_block(handle, kind)?;
            self.parse_data_block(handle, &stored, false).map(|(block, _)| block)
        })
    }

    pub(super) fn data_blocks(
        &self,
        handles: &[BlockHandle],
        fences: &[Fences],
    ) -> Result<Vec<Arc<CachedBlock>>, Error> {
        let key = |handle: &BlockHandle| self.cache_key(TableBlock::Data, handle.offset);
        let find = |(handle, fences): (&BlockHandle, &Fences)| match fences {
            Some((fences, row)) => self.shared_block((fences, *row)),
            None => self.ctx.cache.get(&key(handle)),
        };
        let keep = |handle: &BlockHandle, fences: &Fences, block: &Arc<CachedBlock>| {
            let slot = fences.as_ref().and_then(|(fences, row)| Some((fences.blocks()?, *row)));
            match slot {
                Some(slot) => {
                    self.ctx.cache.insert_shown(slot, &key(handle), Priority::Normal, block);
                }
                None => self.ctx.cache.insert(&key(handle), Priority::Normal, block),
            }
        };
        let mut blocks: Vec<Option<Arc<CachedBlock>>> =
            handles.iter().zip(fences).map(find).collect();
        let missing: Vec<BlockHandle> = handles
            .iter()
            .zip(&blocks)
            .filter_map(|(handle, block)| block.is_none().then_some(*handle))
            .collect();
        if !missing.is_empty() {
            let mut loaded = self.read_data_blocks(&missing)?.into_iter();
            for ((handle, fences), block) in
                handles.iter().zip(fences).zip(&mut blocks).filter(|(_, block)| block.is_none())
            {
                *block = loaded.next().map(Arc::new);
                if let Some(block) = block {
                    keep(handle, fences, block);
                }
            }
        }
        Ok(blocks.into_iter().flatten().collect())
    }

    /// Reads and opens data blocks, which stand in order of the file, past the cache.
    pub(super) fn read_data_blocks(
        &self,
        handles: &[BlockHandle],
    ) -> Result<Vec<CachedBlock>, Error> {
        let pieces = pieces(handles);
        let ranges: Vec<_> = pieces.iter().map(|piece| piece.range.clone()).collect();
        if let Some(handle) = handles.iter().find(|handle| handle.range().end > self.source.len()) {
            return Err(beyond_the_end(handle.offset));
        }
        let bytes = self.source.read_many(&ranges).map_err(|source| Error::Read {
            offset: ranges.first().map_or(0, |range| range.start),
            len: ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum(),
            source,
        })?;
        let mut blocks = Vec::with_capacity(handles.len());
        for (piece, bytes) in pieces.iter().zip(bytes) {
            self.ctx.metrics.add(Counter::BytesRead, bytes.len() as u64);
            for handle in handles.get(piece.blocks.clone()).unwrap_or_default() {
                let stored = piece.slice(&bytes, *handle);
                // A block that is kept must not keep its neighbours with it.
                let has_neighbours = piece.blocks.len() > 1;
                blocks.push(self.parse_data_block(*handle, &stored, has_neighbours)?.0);
            }
        }
        Ok(blocks)
    }

    /// Reads a section of one block that stands twice: the first copy that is whole, those that need
    /// no read before those that do. If none is whole, the error of the first.
    pub(super) fn load_doubled<T>(
        &self,
        tag: SectionTag,
        kind: TableBlock,
        ordinals: [u64; 2],
        parse: impl Fn(Bytes, u64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut first_error = None;
        let mut copies: Vec<_> = self.toc.find(tag).zip(ordinals).collect();
        if let Some(tail) = &self.tail {
            copies.sort_by_key(|(entry, _)| !tail.holds(entry.range()));
        }
        for (entry, ordinal) in copies {
            let loaded = section_handle(entry, ordinal)
                .and_then(|handle| self.open_block(handle, kind))
                .and_then(|plain| parse(plain, entry.offset));
            match loaded {
                Ok(loaded) => return Ok(loaded),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(Error::MissingSection(kind.name())))
    }

    pub(super) fn open_block(&self, handle: BlockHandle, kind: TableBlock) -> Result<Bytes, Error> {
        let stored = self.read_block(handle, kind)?;
        self.decode_block(handle, kind, &stored).map(|(plain, _)| plain.into_bytes())
    }

    /// A block's bytes as they are stored, where they can stay unless they are to be decompressed.
    pub(super) fn read_block(
        &self,
        handle: BlockHandle,
        kind: TableBlock,
    ) -> Result<Shared, Error> {
        if handle.range().end > self.source.len() {
            return Err(beyond_the_end(handle.offset));
        }
        let (range, offset, len) = (handle.range(), handle.offset, handle.len.into());
        let in_tail = self.tail.as_ref().and_then(|tail| tail.copy(range.clone()));
        let is_compressed =
            kind == TableBlock::Data && self.properties.compression != Properties::NOT_COMPRESSED;
        let stored = match in_tail {
            Some(stored) => Ok(stored),
            None if is_compressed => self.source.read(range).map(Shared::from),
            None => self.source.read_kept(range),
        };
        let stored = stored.map_err(|source| Error::Read { offset, len, source })?;
        self.ctx.metrics.add(Counter::BytesRead, handle.len.into());
        Ok(stored)
    }

    pub(super) fn parse_data_block(
        &self,
        handle: BlockHandle,
        stored: &Shared,
        keeps: bool,
    ) -> Result<(CachedBlock, Outcome), Error> {
        let kind = TableBlock::Data;
        let (mut plain, outcome) = self.decode_block(handle, kind, stored)?;
        if keeps && stored.as_ptr_range().contains(&plain.as_ptr()) {
            plain = Buffer::copy_of(&plain).share();
        }
        Ok((parse_sorted(plain, kind, handle.offset)?, outcome))
    }

    /// The payload of the block that `handle` names, whose bytes are `stored`; shares their memory where
    /// it is stored as it is.
    pub(super) fn decode_block(
        &self,
        handle: BlockHandle,
        kind: TableBlock,
        stored: &Shared,
    ) -> Result<(Shared, Outcome), Error> {
        self.ctx.metrics.add(Counter::BlocksRead, 1);
        let id = kind.id(self.toc.header.uid, handle.ordinal);
        let damage = |source| Error::Block { kind: kind.name(), offset: handle.offset, source };
        let dictionary;
        let (payload, outcome) = if kind == TableBlock::Data && self.has_dictionary {
            match self.dictionary() {
                Ok(found) => {
                    dictionary = found;
                    dictionary.0.open_with(id, stored, Buffer::new).map_err(damage)?
                }
                Err(error @ Error::Read { .. }) => return Err(error),
                // It is lost; a block that does not shrink does without.
                Err(error) => match self.codec.open_with(id, stored, Buffer::new) {
                    Err(stratal_block::Error::MissingDictionary { .. }) => return Err(error),
                    opened => opened.map_err(damage)?,
                },
            }
        } else {
            self.codec.open_with(id, stored, Buffer::new).map_err(damage)?
        };
        if outcome == Outcome::Healed {
            self.ctx.metrics.add(Counter::BlocksHealed, 1);
        }
        let plain = match payload {
            Payload::Lent(plain) => stored.part(plain),
            Payload::Made(plain) => plain.share(),
        };
        Ok((plain, outcome))
    }

    pub(super) fn cache_key(&self, kind: TableBlock, offset: u64) -> CacheKey {
        CacheKey { file: self.file, offset, role: kind.tag() }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ctx.cache.remove_file(self.file);
    }
}

/// The bytes of a filter, where what a probe reads is one line of the processor's caches and not parts of two.
fn on_cache_lines(plain: Bytes) -> Bytes {
    const LINE_LEN: usize = 64;
    if plain.as_ptr().addr().is_multiple_of(LINE_LEN) {
        return plain;
    }
    Buffer::copy_of(&plain).share().into_bytes()
}

fn beyond_the_end(offset: u64) -> Error {
    Error::Malformed { what: "a block lies beyond the end of the file", offset }
}
