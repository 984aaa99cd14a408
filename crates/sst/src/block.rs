//! Blocks as the cache keeps them: checked once, then trusted.

use std::{cmp::Ordering, num::NonZeroU64, ops::Range};

use bytes::Bytes;
use stratal_block::{BlockCodec, SortedBlock};
use stratal_cache::{Pin, Resident, Slots};
use stratal_filter::Filter;
use stratal_simd::prefetch_value;
use stratal_slab::Shared;
use stratal_types::{Comparator, Direction, EntryKind, SeqNo, Trailer};

use crate::{
    Version,
    handle::BlockHandle,
    index::{BlockFence, LazyHeads, LazyPeaks, PartitionFence},
};

/// A data or index block in memory.
#[derive(Debug)]
pub(crate) struct CachedBlock {
    rows: SortedBlock<Shared>,
    front: NearFront,
    fences: Option<Box<Fences>>,
}

/// The [front](SortedBlock::front) of a block, beside where it lies, so that a lookup knows which row it
/// wants before anything of the block has come from memory. None if it is longer than a line.
#[derive(Debug)]
struct NearFront {
    len: u8,
    bytes: [u8; Self::LEN_MAX],
}

/// What a block has beside its rows if these are fences.
#[derive(Debug)]
struct Fences {
    /// If it is searched by them.
    heads: Option<LazyHeads>,
    /// The highest numbers under them.
    peaks: LazyPeaks,
    /// What the fences stand for, as long as the cache holds it.
    below: Below,
}

impl NearFront {
    /// That of most blocks of 4 KiB is shorter.
    const LEN_MAX: usize = 64;

    fn of(rows: &SortedBlock<Shared>) -> Self {
        let mut near = Self { len: 0, bytes: [0; Self::LEN_MAX] };
        let front = rows.front().unwrap_or_default();
        if let (Some(place), Ok(len)) = (near.bytes.get_mut(..front.len()), front.len().try_into())
        {
            place.copy_from_slice(front);
            near.len = len;
        }
        near
    }

    /// `None` if there is none here.
    #[inline]
    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len.into()).filter(|front| !front.is_empty())
    }
}

/// Slots for what the rows of a block of fences stand for.
#[derive(Debug)]
pub(crate) enum Below {
    /// Data blocks.
    Blocks(Slots<CachedBlock>),
    /// Partitions of the index, and of the filter.
    Partitions { fences: Slots<CachedBlock>, filters: Slots<CachedFilter> },
}

impl Below {
    /// For the rows of `fences`.
    fn new(fences: &SortedBlock<Shared>) -> Self {
        let len = fences.len();
        let is_upper = fences.value(0).is_some_and(|value| PartitionFence::decode(value).is_some());
        if is_upper {
            return Self::Partitions { fences: Slots::new(len), filters: Slots::new(len) };
        }
        Self::Blocks(Slots::new(len))
    }

    /// Bytes of memory.
    fn weight(&self) -> usize {
        match self {
            Self::Blocks(blocks) => Slots::<CachedBlock>::weight(blocks.len()),
            Self::Partitions { fences, .. } => 2 * Slots::<CachedBlock>::weight(fences.len()),
        }
    }
}

impl Resident for CachedBlock {
    fn weight(&self) -> usize {
        let fences = self.fences.as_ref().map_or(0, |fences| fences.weight(self.len()));
        size_of::<Self>() + self.rows.get_ref().len() + fences
    }

    fn prefetch_for_drop(&self) {
        self.touch_count();
    }
}

impl Fences {
    /// For so many.
    fn weight(&self, rows: usize) -> usize {
        let heads = self.heads.as_ref().map_or(0, |_| LazyHeads::weight(rows));
        size_of::<Self>() + heads + LazyPeaks::weight(rows) + self.below.weight()
    }
}

impl CachedBlock {
    /// Checks `plain`. A block without rows is refused: a writer never makes one.
    pub(crate) fn parse(plain: Shared) -> Result<Self, stratal_block::Error> {
        let rows = SortedBlock::parse(plain)?;
        if rows.is_empty() {
            let what = "a table's block has no rows";
            return Err(stratal_block::Error::Malformed { what, offset: 0 });
        }
        Ok(Self { front: NearFront::of(&rows), rows, fences: None })
    }

    /// As one of fences, which will be searched often, in bytewise order or not.
    pub(crate) fn with_fences(self, is_bytewise: bool) -> Self {
        let heads = if is_bytewise { LazyHeads::new(self.rows.len()) } else { None };
        let fences = Fences { heads, peaks: LazyPeaks::default(), below: Below::new(&self.rows) };
        Self { fences: Some(Box::new(fences)), ..self }
    }

    /// Slots for the partitions of index and filter that rows stand for.
    pub(crate) fn partitions(&self) -> Option<(&Slots<Self>, &Slots<CachedFilter>)> {
        match &self.fences.as_ref()?.below {
            Below::Partitions { fences, filters } => Some((fences, filters)),
            Below::Blocks(_) => None,
        }
    }

    /// Slots for the data blocks that rows stand for.
    #[inline]
    pub(crate) fn blocks(&self) -> Option<&Slots<Self>> {
        match &self.fences.as_ref()?.below {
            Below::Blocks(blocks) => Some(blocks),
            Below::Partitions { .. } => None,
        }
    }

    /// Asks for what is known of the data block that `row` stands for, if it is in memory: for who is
    /// about to look it up.
    #[inline]
    pub(crate) fn prefetch_block(&self, row: usize, pin: &Pin) {
        if let Some(block) = self.blocks().and_then(|blocks| blocks.peek(row, pin)) {
            block.prefetch();
        }
    }

    /// For who goes in `direction` and has come to the data block that `row` stands for: asks for what is
    /// known of the next but one, and for where its walk through the next begins, if they are in memory.
    pub(crate) fn prefetch_behind(&self, row: usize, direction: Direction) {
        let Some(blocks) = self.blocks() else { return };
        let pin = Pin::new();
        let behind = |distance| match direction {
            Direction::Forward => blocks.peek(row.checked_add(distance)?, &pin),
            Direction::Backward => blocks.peek(row.checked_sub(distance)?, &pin),
        };
        if let Some(block) = behind(2) {
            block.prefetch();
        }
        if let Some(block) = behind(1) {
            block.rows.prefetch_walk(direction);
        }
    }

    pub(crate) fn rows(&self) -> &SortedBlock<Shared> {
        &self.rows
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Makes what searches of a block of fences go by, if it is not there.
    pub(crate) fn prepare_search(&self) {
        if let Some(heads) = self.fences.as_ref().and_then(|fences| fences.heads.as_ref()) {
            heads.make(&self.rows);
        }
    }

    /// Number of the first row at or behind (`key`, `bound`) in internal order. `scratch` is used for
    /// keys.
    pub(crate) fn seek(
        &self,
        key: &[u8],
        bound: SeqNo,
        comparator: &dyn Comparator,
        scratch: &mut Vec<u8>,
    ) -> usize {
        if comparator.is_bytewise() {
            let heads = self.fences.as_ref().and_then(|fences| fences.heads.as_ref());
            let ties = heads.and_then(|heads| heads.search(&self.rows, key));
            match ties {
                Some(ties) => self.seek_within(ties, key, bound),
                None => self.rows.seek(key, bound),
            }
        } else {
            self.rows.seek_by(key, bound, comparator, scratch)
        }
    }

    /// The first of `rows` at or behind (`key`, `bound`), or the row behind them.
    fn seek_within(&self, rows: Range<usize>, key: &[u8], bound: SeqNo) -> usize {
        let Range { mut start, mut end } = rows;
        // Of a key with so many versions that they fill blocks, rows are told apart by their numbers.
        // Both ends are looked at first: there they go who come to the key, and who leave it.
        let is_of_key = |row| self.rows.compare_key(row, key) == Some(Ordering::Equal);
        let last = end.saturating_sub(1);
        if last > start && is_of_key(start) && is_of_key(last) {
            let is_seen = |row| self.trailer(row).seqno().is_visible_at(bound);
            if is_seen(start) {
                return start;
            }
            if !is_seen(last) {
                return end;
            }
            while start < end {
                let middle = start.midpoint(end);
                if is_seen(middle) { end = middle } else { start = middle.saturating_add(1) }
            }
            return start;
        }
        while start < end {
            let middle = start.midpoint(end);
            let is_before = match self.rows.compare_key(middle, key) {
                Some(Ordering::Less) => true,
                Some(Ordering::Equal) => !self.trailer(middle).seqno().is_visible_at(bound),
                Some(Ordering::Greater) | None => false,
            };
            if is_before {
                start = middle.saturating_add(1);
            } else {
                end = middle;
            }
        }
        start
    }

    /// Where the data block is that row `i` of an index block stands for.
    pub(crate) fn handle(&self, i: usize) -> Option<BlockHandle> {
        BlockHandle::take(&mut self.rows.value(i)?)
    }

    /// Row `i`, which the block has.
    #[inline]
    pub(crate) fn version(&self, i: usize) -> Version {
        let absent = || (Trailer::new(SeqNo::ZERO, EntryKind::Put), 0..0);
        let (trailer, at) = self.rows.version(i).unwrap_or_else(absent);
        let value = if at.is_empty() { Bytes::new() } else { self.rows.get_ref().slice(at) };
        Version { trailer, value }
    }

    /// The row of the newest version of `key` below `bound`, as [`SortedBlock::find`].
    ///
    /// What that looks at, and what [`version`](Self::version) does, is on its way from memory before
    /// the first of it is waited for.
    #[inline]
    pub(crate) fn find(&self, key: &[u8], hash: u64, bound: SeqNo) -> Option<usize> {
        self.prefetch();
        let first = self.prefetch_columns(hash);
        if let Some(first) = first {
            self.rows.prefetch_row(first);
        }
        self.touch_count();
        self.find_from(first, key, hash, bound)
    }

    /// [`find`](Self::find), told what [`prefetch_columns`](Self::prefetch_columns) said.
    #[inline]
    pub(crate) fn find_from(
        &self,
        first: Option<usize>,
        key: &[u8],
        hash: u64,
        bound: SeqNo,
    ) -> Option<usize> {
        match self.front() {
            Some(front) => self.rows.find_tagged(first?, front, key, hash, bound),
            None => self.rows.find(key, hash, bound),
        }
    }

    /// What tells which row has a key, if the block goes by that.
    #[inline]
    fn front(&self) -> Option<&[u8]> {
        self.front.get().or_else(|| self.rows.front())
    }

    /// Asks for what is known of the block, and waits for none of it. Who is about to search several
    /// blocks does so for each of them first, then for the [columns](Self::prefetch_columns) of each,
    /// and then for the rows: they are then on their way from memory at once.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch_value(self);
    }

    /// The row that a search for a key of this hash will most likely look at. Asks for what that
    /// begins with, as [`prefetch`](Self::prefetch).
    #[inline]
    pub(crate) fn prefetch_columns(&self, hash: u64) -> Option<usize> {
        let row = self.rows.first_tagged(self.front()?, hash)?;
        self.rows.prefetch_columns(row);
        Some(row)
    }

    /// Asks for the count of references that a value of this block adds to: it lies by itself, and would
    /// be waited for when the value is found.
    #[inline]
    pub(crate) fn touch_count(&self) {
        self.rows.get_ref().touch_count();
    }

    /// The key of row `i`, copied.
    pub(crate) fn key(&self, i: usize) -> Vec<u8> {
        let mut key = Vec::new();
        self.rows.key_into(i, &mut key);
        key
    }

    /// The trailer of row `i`, which the block has.
    pub(crate) fn trailer(&self, i: usize) -> Trailer {
        self.rows.trailer(i).unwrap_or(Trailer::new(SeqNo::ZERO, EntryKind::Put))
    }

    /// `part` of this block's bytes, sharing their memory.
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        if part.is_empty() { Bytes::new() } else { self.rows.get_ref().slice_ref(part) }
    }

    /// What row `i` of an index block says of its data block.
    pub(crate) fn fence(&self, i: usize) -> Option<BlockFence> {
        BlockFence::decode(self.rows.value(i)?)
    }

    /// The highest sequence number, as stored, under row `i` of a block of fences. The highest of all if
    /// the row makes no sense: who then looks finds that out.
    pub(crate) fn seqno_max_under(&self, i: usize) -> u64 {
        let stats = match self.partitions() {
            Some(_) => self.partition(i).map(|fence| fence.stats),
            _ => self.fence(i).map(|fence| fence.stats),
        };
        stats.map_or(u64::MAX, |stats| stats.seqno_max)
    }

    /// Of a block of fences, the first in `direction` of `rows` under which there may be an entry numbered
    /// `since` or higher.
    pub(crate) fn first_since(
        &self,
        rows: Range<usize>,
        since: SeqNo,
        direction: Direction,
    ) -> Option<usize> {
        let fences = self.fences.as_ref().filter(|_| rows.len() > LazyPeaks::ROWS_MIN);
        if let Some(Fences { peaks, .. }) = fences.map(Box::as_ref) {
            return peaks.first(self, rows, since.get(), direction);
        }
        let mut rows = rows;
        let reaches = |row: &usize| self.seqno_max_under(*row) >= since.get();
        match direction {
            Direction::Forward => rows.find(reaches),
            Direction::Backward => rows.rfind(reaches),
        }
    }

    /// What row `i` of the upper level of an index says of its partition.
    pub(crate) fn partition(&self, i: usize) -> Option<PartitionFence> {
        PartitionFence::decode(self.rows.value(i)?)
    }
}

/// What opens blocks that need a dictionary, and the dictionary's length in bytes.
#[derive(Debug)]
pub(crate) struct CachedDictionary(pub(crate) BlockCodec, pub(crate) usize);

impl Resident for CachedDictionary {
    fn weight(&self) -> usize {
        // Beside the bytes, the tables that the decoder makes of them.
        size_of::<Self>() + self.1 * 2 + (32 << 10)
    }
}

/// A table's filter, or a partition of it, in memory, or the knowledge that it cannot be used.
#[derive(Debug)]
pub(crate) enum CachedFilter {
    Usable(Filter<Bytes>),
    /// Damaged: every key must be looked for. `verify` says why.
    Unusable,
}

impl Resident for CachedFilter {
    fn weight(&self) -> usize {
        let bytes = match self {
            Self::Usable(filter) => filter.get_ref().len(),
            Self::Unusable => 0,
        };
        size_of::<Self>() + bytes
    }
}

impl CachedFilter {
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        match self {
            Self::Usable(filter) => filter.may_contain(hash),
            Self::Unusable => true,
        }
    }

    /// As [`Filter::prefetch`].
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Self::Usable(filter) = self {
            filter.prefetch(hash);
        }
    }

    /// [`may_contain`](Self::may_contain) for each hash, in the same place of `answers`.
    pub(crate) fn may_contain_batch(&self, hashes: &[u64], answers: &mut [bool]) {
        match self {
            Self::Usable(filter) => filter.may_contain_batch(hashes, answers),
            Self::Unusable => answers.fill(true),
        }
    }

    pub(crate) fn may_contain_prefix(&self, extractor: NonZeroU64, hash: u64) -> bool {
        match self {
            Self::Usable(filter) => filter.may_contain_prefix(extractor, hash),
            Self::Unusable => true,
        }
    }

    /// Whether it can be asked for whole keys.
    pub(crate) fn has_keys(&self) -> bool {
        match self {
            Self::Usable(filter) => filter.membership().has_keys(),
            Self::Unusable => true,
        }
    }
}
