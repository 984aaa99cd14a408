mod inner;
mod lookup;
mod pinned;
mod warm;

use std::{
    ops::{Range, RangeBounds},
    sync::Arc,
};

use bytes::Bytes;
use stratal_archive::{Half, Part, Toc, TocEntry};
use stratal_block::{BlockCodec, BlockContext, BlockSpec, Outcome};
use stratal_cache::{FileId, Pin};
use stratal_slab::Shared;
use stratal_types::{
    Comparator, Counter, EntryKind, Fragments, KeyRange, PrefixExtractor, SeqNo, Trailer, key_hash,
};

use crate::{
    Error, OpenMode, OpenOptions, Properties, ReadAt, Scan, TableContext, TableCursor, TableInfo,
    TableKeys, TableRange,
    block::{CachedBlock, CachedDictionary, CachedFilter},
    handle::BlockHandle,
    index::{PartitionFence, Sought, rebuilt_partition},
    open::find_contents,
    scrub::is_damaged,
    seal,
    section::{self, TableBlock},
};

use inner::{Inner, ResidentParts};
use lookup::Resident;
pub use lookup::ResidentFilter;
pub(crate) use lookup::{Placed, Step};
pub use pinned::PinnedParts;

/// A table, open for reading. Cloning it is cheap, and clones are used from many threads at once.
///
/// Opening reads the end of the file once. Index, filter and data blocks are read when they are
/// first needed, through the context's cache, and kept as long as its budget has room for them; so
/// are the partitions, each by itself, into which index and filter of a large table are divided.
#[derive(Clone, Debug)]
pub struct Table {
    inner: Arc<Inner>,
}

/// One stored version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Sequence number and kind.
    pub trailer: Trailer,
    /// The value, operand or pointer, sharing the cached block's memory.
    pub value: Bytes,
}

impl Table {
    /// Opens the table that `source` holds.
    ///
    /// Reads the last [`TAIL_LEN`](stratal_archive::TAIL_LEN) bytes, and more only if that end is
    /// damaged or does not hold the properties. Index, filter and range tombstones that stand there
    /// are in the cache then.
    ///
    /// # Errors
    ///
    /// [`Error::Archive`] if the contents cannot be found or the file is no archive,
    /// [`Error::NotATable`] if it is another sort of file, [`Error::KeyNeeded`] and
    /// [`Error::WrongKey`] before any block of an encrypted one is read, [`Error::ComparatorMismatch`]
    /// if it is sorted by another order than the context's, [`Error::Read`] if the source fails.
    pub fn open(ctx: &TableContext, source: Arc<dyn ReadAt>) -> Result<Self, Error> {
        Self::open_with(ctx, source, OpenOptions::default())
    }

    /// [Opens](Self::open) the table that `source` holds as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), but less often in [`OpenMode::Salvage`];
    /// [`Error::OverlayRefused`].
    pub fn open_with(
        ctx: &TableContext,
        source: Arc<dyn ReadAt>,
        options: OpenOptions,
    ) -> Result<Self, Error> {
        Self::open_inner(ctx, source, options).map(Self::of)
    }

    /// [Opens](Self::open_with) a table whose filter may be over prefixes, under whatever extractor:
    /// it is asked under the one that `named` gives for the name that the table stores, not under the
    /// context's. `named` is not called if the filter is over no prefixes; if it knows no such
    /// extractor the filter is not asked for prefixes.
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with).
    pub fn open_named(
        ctx: &TableContext,
        source: Arc<dyn ReadAt>,
        options: OpenOptions,
        named: impl FnOnce(&str) -> Option<Arc<dyn PrefixExtractor>>,
    ) -> Result<Self, Error> {
        let mut inner = Self::open_inner(ctx, source, options)?;
        let name = inner.properties.prefix_extractor.as_str();
        inner.ctx.prefix_extractor = if name.is_empty() { None } else { named(name) };
        Ok(Self::of(inner))
    }

    fn of(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    fn open_inner(
        ctx: &TableContext,
        source: Arc<dyn ReadAt>,
        options: OpenOptions,
    ) -> Result<Inner, Error> {
        let (toc, tail) = find_contents(source.as_ref(), options.mode)?;
        if toc.header.file_type != section::FILE_TYPE {
            let text = |name: &[u8]| name.escape_ascii().to_string();
            return Err(Error::NotATable {
                expected: text(&section::FILE_TYPE),
                found: text(&toc.header.file_type),
            });
        }
        if options.mode == OpenMode::Strict {
            toc.require_known(&section::KNOWN)?;
        }
        let key = seal::open(ctx, &toc.header)?;
        let has_dictionary = toc.find(section::DICTIONARY).next().is_some();
        let codec = BlockSpec::default()
            .resolve(&BlockContext { key: key.clone(), ..BlockContext::default() })
            .map_err(|source| Error::Block { kind: "any", offset: 0, source })?;
        let mut inner = Inner {
            resident: ResidentParts::of(&toc),
            leases: pinned::Leases::new(),
            ctx: ctx.clone(),
            source,
            file: FileId::next(),
            toc,
            properties: Properties::default(),
            key,
            codec,
            has_dictionary,
            tail,
            overlay: options.overlay,
            lacks_properties: false,
        };
        match inner.load_properties() {
            Ok(properties) => inner.properties = properties,
            Err(error) if options.mode == OpenMode::Strict => return Err(error),
            Err(error @ Error::Read { .. }) => return Err(error),
            Err(_) => inner.do_without_properties(),
        }
        inner.check_overlay()?;
        if inner.properties.index_levels > 2 {
            let offset = inner.toc.find(section::PROPERTIES).next().map_or(0, |entry| entry.offset);
            let what = "the index has more levels than two";
            return Err(Error::Malformed { what, offset });
        }
        let (expected, found) = (ctx.comparator.name(), inner.properties.comparator.as_str());
        if expected != found {
            return Err(Error::ComparatorMismatch {
                expected: expected.to_owned(),
                found: found.to_owned(),
            });
        }
        inner.keep_tail();
        Ok(inner)
    }

    /// The order of the table's keys.
    pub fn comparator(&self) -> &dyn Comparator {
        self.inner.ctx.comparator.as_ref()
    }

    /// What the table says about itself.
    pub fn properties(&self) -> &Properties {
        &self.inner.properties
    }

    /// Where its sections are.
    pub fn contents(&self) -> &Toc {
        &self.inner.toc
    }

    /// Length, identity and properties.
    pub fn info(&self) -> TableInfo {
        TableInfo {
            file_len: self.inner.source.len(),
            uid: self.inner.toc.header.uid,
            digest: None,
            properties: self.inner.properties.clone(),
        }
    }

    /// The value of `key`: of its newest version, if that is a value.
    ///
    /// Costs one filter probe if the key is absent, else a search of the index and of one block; in a
    /// table of two levels a search of the upper level beforehand.
    ///
    /// # Errors
    ///
    /// [`Error::NotAValue`] if the newest version is a merge operand or a pointer, which only a
    /// tree can resolve; read errors and damage otherwise.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.live_value(key, self.lookup(key, SeqNo::MAX)?)
    }

    /// Whether `key` is live: its newest version is no delete, and no range tombstone hides it. Its
    /// value is not looked at, nor whether it is in this table.
    ///
    /// # Errors
    ///
    /// Read errors and damage.
    pub fn contains(&self, key: &[u8]) -> Result<bool, Error> {
        match self.lookup(key, SeqNo::MAX)? {
            Some(version) if !version.trailer.kind().is_delete() => {
                Ok(!self.hides(key, version.trailer)?)
            }
            _ => Ok(false),
        }
    }

    /// The value that the newest version of `key` makes, if it makes one.
    pub(crate) fn live_value(
        &self,
        key: &[u8],
        newest: Option<Version>,
    ) -> Result<Option<Bytes>, Error> {
        let Some(version) = newest else { return Ok(None) };
        if self.hides(key, version.trailer)? {
            return Ok(None);
        }
        match version.trailer.kind() {
            EntryKind::Put | EntryKind::PutOverDelete => Ok(Some(version.value)),
            kind if kind.is_delete() => Ok(None),
            kind => Err(Error::NotAValue(kind)),
        }
    }

    /// The newest stored version of `key` that a read at `bound` sees, whatever its kind, and whether
    /// or not a range tombstone hides it.
    pub fn lookup(&self, key: &[u8], bound: SeqNo) -> Result<Option<Version>, Error> {
        self.lookup_hashed(key, key_hash(key), bound)
    }

    /// Like [`lookup`](Self::lookup), for a caller who has the key's [`key_hash`] already.
    pub fn lookup_hashed(
        &self,
        key: &[u8],
        hash: u64,
        bound: SeqNo,
    ) -> Result<Option<Version>, Error> {
        self.lookup_from(key, hash, bound, Step::Filter)
    }

    /// Like [`lookup_hashed`](Self::lookup_hashed), for a caller whom the table's
    /// [filter](Self::resident_filter) has let through.
    pub fn lookup_past_filter(
        &self,
        key: &[u8],
        hash: u64,
        bound: SeqNo,
    ) -> Result<Option<Version>, Error> {
        self.note_let_through();
        self.lookup_from(key, hash, bound, Step::Index)
    }

    pub(crate) fn lookup_from(
        &self,
        key: &[u8],
        hash: u64,
        bound: SeqNo,
        step: Step,
    ) -> Result<Option<Version>, Error> {
        let bound = self.stored_bound(bound);
        let pin = Pin::new();
        let step = match self.lookup_resident(key, hash, bound, step, &pin)? {
            Resident::Found(found) => return Ok(found.map(|version| self.seen(version))),
            Resident::Wanted(step) => step,
        };
        // What is read takes long, and nobody who gives memory back should wait for it.
        drop(pin);
        self.lookup_loading(key, hash, bound, step)
    }

    /// The table's range tombstones, which [`get`](Self::get), [`range`](Self::range) and
    /// [`prefix`](Self::prefix) heed, and [`lookup`](Self::lookup) and cursors do not.
    ///
    /// # Errors
    ///
    /// Read errors, and damage to both copies: without them deleted keys would come back.
    pub fn tombstones(&self) -> Result<Arc<Fragments>, Error> {
        self.inner.tombstones()
    }

    /// Why the table is open without its properties, if it is.
    pub(crate) fn missing_properties(&self) -> Option<Error> {
        self.inner.lacks_properties.then(|| self.inner.load_properties().err()).flatten()
    }

    /// Whether the table is open without its contents.
    pub(crate) fn lacks_contents(&self) -> bool {
        self.inner.toc.part_range(Part::Contents(Half::Primary)).is_empty()
    }

    /// The range tombstones as they are stored, past the cache.
    pub(crate) fn stored_tombstones(&self) -> Result<Fragments, Error> {
        if self.inner.has_tombstones() {
            self.inner.load_tombstones()
        } else {
            Ok(Fragments::EMPTY)
        }
    }

    /// Lowest and highest sequence number of the entries and range tombstones, as reads see them.
    pub fn seqnos(&self) -> (SeqNo, SeqNo) {
        let Properties { seqno_min, seqno_max, .. } = self.inner.properties;
        let seen = |stored| self.seen_seqno(SeqNo::new(stored).unwrap_or(SeqNo::MAX));
        (seen(seqno_min), seen(seqno_max))
    }

    /// The number at which every entry is seen, if that is not the stored one.
    pub(crate) fn overlay(&self) -> Option<SeqNo> {
        self.inner.overlay
    }

    /// The number at which an entry with the number `stored` is seen.
    pub(crate) fn seen_seqno(&self, stored: SeqNo) -> SeqNo {
        self.inner.overlay.unwrap_or(stored)
    }

    /// What a read makes of a stored version.
    pub(crate) fn seen(&self, stored: Version) -> Version {
        Version { trailer: self.seen_trailer(stored.trailer), ..stored }
    }

    #[inline]
    pub(crate) fn seen_trailer(&self, stored: Trailer) -> Trailer {
        match self.inner.overlay {
            Some(seqno) => Trailer::new(seqno, stored.kind()),
            None => stored,
        }
    }

    /// The bound at which a read at `bound` sees the stored numbers: under an overlay, which all
    /// entries share, everything or nothing.
    pub(crate) fn stored_bound(&self, bound: SeqNo) -> SeqNo {
        match self.inner.overlay {
            Some(seqno) if seqno.is_visible_at(bound) => SeqNo::MAX,
            Some(_) => SeqNo::ZERO,
            None => bound,
        }
    }

    /// Whether a range tombstone of this table hides the version of `key` with this trailer.
    pub(crate) fn hides(&self, key: &[u8], trailer: Trailer) -> Result<bool, Error> {
        if !self.inner.has_tombstones() {
            return Ok(false);
        }
        let newest = self.tombstones()?.covering(key, SeqNo::MAX, self.comparator());
        Ok(newest.is_some_and(|newest| newest > trailer.seqno()))
    }

    /// Whether a key may have more than one version here.
    pub(crate) fn has_versions(&self) -> bool {
        let Properties { entries, keys, .. } = self.inner.properties;
        self.inner.lacks_properties || entries != keys
    }

    /// Whether a read at `bound` is known to see every entry.
    pub(crate) fn is_visible_at(&self, bound: SeqNo) -> bool {
        !self.inner.lacks_properties && self.seqnos().1.is_visible_at(bound)
    }

    /// A cursor over all stored versions, standing before the first.
    pub fn cursor(&self) -> TableCursor {
        self.cursor_with(Scan::default())
    }

    /// A [`cursor`](Self::cursor) for those who go through all of a table, or a long part of it, and
    /// not again: it reads large pieces, and leaves the cache to others.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
    /// # use stratal_types::{Cursor, FileUid};
    /// # let ctx = TableContext::default();
    /// # let spec = Arc::new(TableOptions::default().validate()?);
    /// # let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec)?;
    /// # writer.put(b"AD/Canillo", b"3292")?;
    /// # writer.put(b"AD/Vila", b"1418")?;
    /// # let table = Table::open(&ctx, Arc::new(bytes::Bytes::from(writer.finish()?.sink)))?;
    /// let mut scanner = table.scanner();
    /// scanner.seek_to_first()?;
    /// let mut value_bytes = 0;
    /// while let Some(entry) = scanner.entry() {
    ///     value_bytes += entry.value.len();
    ///     scanner.advance()?;
    /// }
    /// assert_eq!(value_bytes, 8);
    /// # Ok::<(), stratal_sst::Error>(())
    /// ```
    pub fn scanner(&self) -> TableCursor {
        self.cursor_with(Scan::once())
    }

    /// A [`cursor`](Self::cursor) that gets at blocks as `scan` says.
    pub fn cursor_with(&self, scan: Scan) -> TableCursor {
        TableCursor::new(self.clone(), Sought::default(), scan)
    }

    /// A cursor that stands on every stored version whose sequence number is `since` or higher, and
    /// does not read blocks that have none: for whoever looks for changes.
    ///
    /// Of older versions it stands on those that share a block with one it looks for.
    pub fn cursor_since(&self, since: SeqNo) -> TableCursor {
        self.cursor_between(since..SeqNo::MAX)
    }

    /// A cursor that stands on every stored version whose sequence number is in `seqnos`, and does not
    /// read blocks that have none: for whoever looks for changes piece by piece.
    ///
    /// Of other versions it stands on those that share a block with one it may look for.
    pub fn cursor_between(&self, seqnos: Range<SeqNo>) -> TableCursor {
        TableCursor::new(self.clone(), self.sought(&seqnos), Scan::default())
    }

    pub(crate) fn sought(&self, seqnos: &Range<SeqNo>) -> Sought {
        Sought::seen(seqnos, self.inner.overlay)
    }

    /// The live keys and values of `range`, in order, from either end.
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> TableRange {
        TableRange::new(self, KeyRange::from_bounds(&range))
    }

    /// The live keys of `range`, in order, from either end. Their values are not looked at, nor whether
    /// they are in this table.
    pub fn keys<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> TableKeys {
        self.range(range).into_keys()
    }

    /// The live keys that begin with `prefix`, and their values, in order, from either end. Where the
    /// filter says that there are [none](Self::may_contain_prefix), no data is read.
    pub fn prefix(&self, prefix: &[u8]) -> TableRange {
        TableRange::of_prefix(self, prefix)
    }

    pub(crate) fn context(&self) -> &TableContext {
        &self.inner.ctx
    }

    /// `None` if the table has no entries.
    pub(crate) fn index(&self) -> Result<Option<Arc<CachedBlock>>, Error> {
        self.inner.index()
    }

    /// The [index](Self::index), if it is in memory.
    pub(crate) fn shared_index(&self) -> Option<Arc<CachedBlock>> {
        self.inner.shared_index()
    }

    /// [Partition](Self::index_partition) `n` of the index, if it is in memory.
    pub(crate) fn shared_partition(&self, top: &CachedBlock, n: usize) -> Option<Arc<CachedBlock>> {
        let (fences, _) = top.partitions()?;
        let at = || top.partition(n).map_or(0, |fence| fence.handle.offset);
        self.inner.shared(fences, n, (TableBlock::IndexPartition, at))
    }

    /// Whether index and filter are in partitions.
    pub(crate) fn is_divided(&self) -> bool {
        self.inner.properties.index_levels == 2
    }

    /// What row `n` of the upper level says of its partition.
    pub(crate) fn partition_fence(
        &self,
        top: &CachedBlock,
        n: usize,
    ) -> Result<PartitionFence, Error> {
        top.partition(n).ok_or_else(|| Error::Malformed {
            what: "an index row does not describe a partition",
            offset: self.index_offset(),
        })
    }

    /// Partition `n` of the index; made again from its data blocks if it is damaged and they are not.
    pub(crate) fn index_partition(
        &self,
        top: &CachedBlock,
        n: usize,
    ) -> Result<Arc<CachedBlock>, Error> {
        if let Some(shown) = self.shared_partition(top, n) {
            return Ok(shown);
        }
        let kind = TableBlock::IndexPartition;
        let handle = self.partition_fence(top, n)?.handle;
        let parse = |plain| self.inner.parse_fences(plain, kind, handle.offset);
        let slot = top.partitions().map(|(fences, _)| (fences, n));
        let shown =
            slot.and_then(|(fences, n)| self.inner.shared(fences, n, (kind, || handle.offset)));
        if let Some(shown) = shown {
            return Ok(shown);
        }
        self.inner.get_or_load(slot, (kind, handle.offset), || {
            match self.open_block(handle, kind).and_then(parse) {
                Err(error @ Error::Read { .. }) => Err(error),
                Err(error) => match rebuilt_partition(self, top, n).and_then(parse) {
                    Err(read @ Error::Read { .. }) => Err(read),
                    rebuilt => rebuilt.map_err(|_| error),
                },
                found => found,
            }
        })
    }

    /// The filter over the whole table, if it has one.
    pub(crate) fn filter(&self) -> Result<Option<Arc<CachedFilter>>, Error> {
        self.inner.filter()
    }

    /// The filter of partition `n`, if it has one.
    pub(crate) fn filter_partition(
        &self,
        top: &CachedBlock,
        n: usize,
    ) -> Result<Option<Arc<CachedFilter>>, Error> {
        let handle = self.partition_fence(top, n)?.filter;
        handle.map(|handle| self.inner.filter_partition(top, n, handle)).transpose()
    }

    /// Where the index begins, for errors about what it holds.
    pub(crate) fn index_offset(&self) -> u64 {
        self.inner.toc.find(section::INDEX).next().map_or(0, |entry| entry.offset)
    }

    /// The data block at `handle`, which a row of a block of fences stands for.
    pub(crate) fn data_block(
        &self,
        handle: BlockHandle,
        fences: (&CachedBlock, usize),
    ) -> Result<Arc<CachedBlock>, Error> {
        self.inner.data_block(handle, Some(fences))
    }

    /// The same, by `load` if the cache does not have it.
    pub(crate) fn data_block_or(
        &self,
        handle: BlockHandle,
        (fences, row): (&CachedBlock, usize),
        load: impl FnOnce() -> Result<CachedBlock, Error>,
    ) -> Result<Arc<CachedBlock>, Error> {
        let slot = fences.blocks().map(|blocks| (blocks, row));
        self.inner.get_or_load(slot, (TableBlock::Data, handle.offset), load)
    }

    /// The data block that a row of a block of fences stands for, if that shows it.
    #[inline]
    pub(crate) fn shared_block(&self, fences: (&CachedBlock, usize)) -> Option<Arc<CachedBlock>> {
        self.inner.shared_block(fences)
    }

    /// Whether `len` bytes that are read once are too many for the cache: more than a 64th of it, while no
    /// more than an eighth of it is free. They would cost a copy of each block, and others their place.
    pub(crate) fn is_too_long_for_cache(&self, len: u64) -> bool {
        let cache = &self.inner.ctx.cache;
        let room = cache.capacity() / 8;
        len > cache.capacity() / 64 && cache.used().saturating_add(room) > cache.capacity()
    }

    /// The part of the file with the data blocks.
    pub(crate) fn data_range(&self) -> Range<u64> {
        self.inner.toc.find(section::DATA).next().map_or(0..0, TocEntry::range)
    }

    /// The block at `handle` as it is stored.
    pub(crate) fn read_block(&self, handle: BlockHandle) -> Result<Shared, Error> {
        self.inner.read_block(handle, TableBlock::Data)
    }

    /// The data block that is stored as `stored`, and whether that was intact. If it is one that `keeps`
    /// for long it must not keep what was read with it, and has memory of its own.
    pub(crate) fn parse_data_block(
        &self,
        handle: BlockHandle,
        stored: &Shared,
        keeps: bool,
    ) -> Result<(CachedBlock, Outcome), Error> {
        self.inner.parse_data_block(handle, stored, keeps)
    }

    /// What opens its data blocks, unless they need a dictionary.
    pub(crate) fn codec(&self) -> &BlockCodec {
        &self.inner.codec
    }

    /// What opens its data blocks, if they may need a dictionary.
    pub(crate) fn dictionary_codec(&self) -> Result<Option<Arc<CachedDictionary>>, Error> {
        self.inner.has_dictionary.then(|| self.inner.dictionary()).transpose()
    }

    /// Whether its entries are seen as they are stored, and its properties are known.
    pub(crate) fn is_as_stored(&self) -> bool {
        self.inner.overlay.is_none() && !self.inner.lacks_properties
    }

    /// The data blocks at `handles`, which stand in order of the file and each once: from the cache, or
    /// read together and kept there. `fences` are those of each.
    pub(crate) fn data_blocks(
        &self,
        handles: &[BlockHandle],
        fences: &[Option<(Arc<CachedBlock>, usize)>],
    ) -> Result<Vec<Arc<CachedBlock>>, Error> {
        self.inner.data_blocks(handles, fences)
    }

    /// The bytes of the file.
    pub(crate) fn source(&self) -> &dyn ReadAt {
        self.inner.source.as_ref()
    }

    /// Bytes of the file as they are stored.
    pub(crate) fn read_stored(&self, offset: u64, len: u64) -> Result<Bytes, Error> {
        let stored = read(self.inner.source.as_ref(), offset, len)?;
        self.inner.ctx.metrics.add(Counter::BytesRead, len);
        Ok(stored)
    }

    /// The same of a range, in memory that nobody else has any more.
    pub(crate) fn read_ahead(&self, range: Range<u64>, memory: Bytes) -> Result<Bytes, Error> {
        let Range { start: offset, end } = range;
        let len = end.saturating_sub(offset);
        let stored = self.source().read_into(range, memory);
        let stored = stored.map_err(|source| Error::Read { offset, len, source })?;
        self.inner.ctx.metrics.add(Counter::BytesRead, len);
        Ok(stored)
    }

    /// Opens the block that `handle` points at, without the cache.
    pub(crate) fn open_block(&self, handle: BlockHandle, kind: TableBlock) -> Result<Bytes, Error> {
        self.inner.open_block(handle, kind)
    }

    /// As [`open_block`](Self::open_block), and says whether something of the block is damaged.
    pub(crate) fn check_block(
        &self,
        handle: BlockHandle,
        kind: TableBlock,
    ) -> Result<(Bytes, bool), Error> {
        let stored = self.inner.read_block(handle, kind)?;
        let (plain, outcome) = self.inner.decode_block(handle, kind, &stored)?;
        let id = kind.id(self.inner.toc.header.uid, handle.ordinal);
        Ok((plain.into_bytes(), is_damaged(id, &stored, outcome)))
    }
}

/// The whole of `entry`'s section as one block.
pub(crate) fn section_handle(entry: &TocEntry, ordinal: u64) -> Result<BlockHandle, Error> {
    let offset = entry.offset;
    let len = u32::try_from(entry.len)
        .map_err(|_| Error::Malformed { what: "a section of one block is over 4 GiB", offset })?;
    Ok(BlockHandle { offset, len, ordinal })
}

pub(crate) fn parse_sorted(
    plain: impl Into<Shared>,
    kind: TableBlock,
    offset: u64,
) -> Result<CachedBlock, Error> {
    CachedBlock::parse(plain.into()).map_err(|source| Error::Block {
        kind: kind.name(),
        offset,
        source,
    })
}

pub(crate) fn read(source: &dyn ReadAt, offset: u64, len: u64) -> Result<Bytes, Error> {
    source.read(offset..offset.saturating_add(len)).map_err(|source| Error::Read {
        offset,
        len,
        source,
    })
}
