//! Reading more than one block at a time where blocks are wanted one after the other.

use std::{mem, ops::Range, sync::Arc};

use bytes::Bytes;
use stratal_block::Outcome;
use stratal_slab::Shared;
use stratal_types::Direction;

use crate::{Error, Table, block::CachedBlock, handle::BlockHandle, index::IndexCursor};

/// How a cursor gets at the blocks it comes to. The default suits reads; [`Scan::once`] suits those
/// who go through a table once, such as merges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// What the cache has to do with it.
    pub cache: CacheUse,
    /// How much is read at once.
    pub read_ahead: ReadAhead,
}

/// Whether a cursor takes blocks from the cache, and keeps there what it has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// It does both, but for scans that go on and on: behind a 64th of what the cache may hold, a scan
    /// that reads ahead keeps nothing there for which something else would have to go.
    #[default]
    Full,
    /// It does neither with data blocks: what others read stays where it is. The index comes from
    /// the cache in any case.
    Bypass,
}

/// How many bytes of the file a cursor reads at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadAhead {
    /// One block.
    Never,
    /// One block, until the cursor has come from a block to its neighbour twice, on or back; from
    /// then on, as long as it goes on in the same way, 16 KiB and twice as much each time, up to
    /// 256 KiB. Going anywhere else begins anew.
    #[default]
    Growing,
    /// So many bytes, or one block if that is larger. In the direction that the cursor has come from,
    /// or on if it has come from nowhere near.
    Fixed(u32),
}

impl Scan {
    /// Past the cache, [`FIXED_LEN`](ReadAhead::FIXED_LEN) at a time.
    pub const fn once() -> Self {
        Self { cache: CacheUse::Bypass, read_ahead: ReadAhead::Fixed(ReadAhead::FIXED_LEN) }
    }
}

impl ReadAhead {
    /// Bytes that a [`Table::scanner`] reads at once: 256 KiB.
    pub const FIXED_LEN: u32 = 256 << 10;
    /// First and last length of [`Growing`](Self::Growing).
    const GROWING_LEN: Range<u32> = 16 << 10..256 << 10;
    /// So many blocks away a block is still a neighbour, for those who pass over some.
    const NEIGHBOURHOOD: usize = 4;
    /// Neighbours entered in a row, after which it pays to read ahead.
    const STREAK_MIN: u32 = 2;
}

/// A place in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FenceAt {
    /// 0 in a table of one level.
    pub(crate) partition: usize,
    /// Of the partition.
    pub(crate) row: usize,
}

impl FenceAt {
    /// How a cursor goes that goes from here to there, if the two are neighbours. Where one partition
    /// ends and the next begins, neither knows how many rows the other has.
    fn way_to(self, there: Self) -> Option<Direction> {
        let is_near = |nearer: usize, further: usize| {
            (1..=ReadAhead::NEIGHBOURHOOD).contains(&further.saturating_sub(nearer))
        };
        if self.partition == there.partition {
            return match self.row < there.row {
                true if is_near(self.row, there.row) => Some(Direction::Forward),
                false if is_near(there.row, self.row) => Some(Direction::Backward),
                _ => None,
            };
        }
        let begins = |at: Self| at.row < ReadAhead::NEIGHBOURHOOD;
        if is_near(self.partition, there.partition) && begins(there) {
            return Some(Direction::Forward);
        }
        (is_near(there.partition, self.partition) && begins(self)).then_some(Direction::Backward)
    }
}

/// Gets blocks for one cursor. Holds what it has read ahead, which is less than twice the largest
/// length that its [`ReadAhead`] allows.
#[derive(Debug)]
pub(crate) struct BlockReader {
    scan: Scan,
    /// The place in the index of the block that was wanted last.
    last: Option<FenceAt>,
    way: Option<Direction>,
    /// Neighbours entered in a row, that way.
    streak: u32,
    /// Bytes read ahead since it began to go that way.
    walked: u64,
    /// What is read goes past the cache.
    is_past: bool,
    /// Bytes that [`ReadAhead::Growing`] read last.
    grown: u32,
    /// A part of the file, from this offset on.
    ahead: (u64, Bytes),
    /// The block read last, past the cache, if it was intact: where it is, and its bytes.
    stored: Option<(BlockHandle, Bytes)>,
}

impl BlockReader {
    pub(crate) fn new(scan: Scan) -> Self {
        Self {
            scan,
            last: None,
            way: None,
            streak: 0,
            walked: 0,
            is_past: false,
            grown: 0,
            ahead: (0, Bytes::new()),
            stored: None,
        }
    }

    /// The data block for which `index` stands.
    pub(crate) fn block(
        &mut self,
        table: &Table,
        index: &IndexCursor,
    ) -> Result<Arc<CachedBlock>, Error> {
        let (fences, at) = index.fences().zip(index.place()).ok_or(Error::CursorFailed)?;
        self.follow(at);
        let (is_full, len) = (self.scan.cache == CacheUse::Full, self.len());
        if is_full
            && !self.is_past
            && let Some(block) = table.shared_block(fences)
        {
            self.prefetch_behind(fences);
            return Ok(block);
        }
        let handle = index.handle(table)?;
        if !is_full {
            return self.read(table, handle, len).map(Arc::new);
        }
        if len == 0 {
            return table.data_block(handle, fences);
        }
        if !self.is_past {
            return table.data_block_or(handle, fences, || self.read(table, handle, len));
        }
        // What has been read is nearer than what the cache has.
        if self.read_ahead(handle).is_none()
            && let Some(block) = table.shared_block(fences)
        {
            self.prefetch_behind(fences);
            return Ok(block);
        }
        self.read(table, handle, len).map(Arc::new)
    }

    /// Asks for what the cache has of the next blocks, if the cursor goes from one to the next.
    fn prefetch_behind(&self, (fences, row): (&CachedBlock, usize)) {
        if self.streak >= ReadAhead::STREAK_MIN
            && let Some(way) = self.way
        {
            fences.prefetch_behind(row, way);
        }
    }

    /// The [block](Self::block) to which a seek leads, if it comes from the cache and is there; for a cursor
    /// that goes there.
    pub(crate) fn resident(
        &mut self,
        table: &Table,
        index: &IndexCursor,
    ) -> Option<Arc<CachedBlock>> {
        if self.scan.cache != CacheUse::Full {
            return None;
        }
        let block = table.shared_block(index.fences()?)?;
        self.follow(index.place()?);
        Some(block)
    }

    /// Sees how the cursor has come to the block whose fence is there.
    fn follow(&mut self, at: FenceAt) {
        let way = self.last.replace(at).and_then(|last| last.way_to(at));
        if way.is_none() || way != self.way {
            (self.streak, self.grown) = (0, 0);
            (self.walked, self.is_past) = (0, false);
        }
        self.way = way;
        self.streak = self.streak.saturating_add(u32::from(way.is_some()));
        if self.len() == 0 {
            // Whoever goes elsewhere has no use for it.
            self.ahead = (0, Bytes::new());
        }
    }

    /// Bytes to read at once; 0 for one block.
    fn len(&self) -> u32 {
        match self.scan.read_ahead {
            ReadAhead::Never => 0,
            ReadAhead::Growing if self.streak < ReadAhead::STREAK_MIN => 0,
            ReadAhead::Growing => {
                let Range { start, end } = ReadAhead::GROWING_LEN;
                self.grown.saturating_mul(2).clamp(start, end)
            }
            ReadAhead::Fixed(len) => len,
        }
    }

    /// Reads the block at `handle`, which may be there already, and `len` bytes in all if not.
    fn read(&mut self, table: &Table, handle: BlockHandle, len: u32) -> Result<CachedBlock, Error> {
        self.stored = None;
        let is_for_cache = self.scan.cache == CacheUse::Full && !self.is_past;
        if self.read_ahead(handle).is_none() {
            let range = self.range(table, handle, len);
            if range != handle.range()
                && let Ok(bytes) = table.read_ahead(range.clone(), mem::take(&mut self.ahead.1))
            {
                self.grown = len;
                self.walked = self.walked.saturating_add(bytes.len() as u64);
                self.is_past = table.is_too_long_for_cache(self.walked);
                self.ahead = (range.start, bytes);
            }
        }
        // What cannot be read ahead is no reason to fail: this block may be all that is wanted.
        let (stored, keeps) = match self.read_ahead(handle) {
            Some(stored) => (Shared::from(stored), is_for_cache),
            None => (table.read_block(handle)?, false),
        };
        let (block, outcome) = table.parse_data_block(handle, &stored, keeps)?;
        if self.scan.cache == CacheUse::Bypass && outcome == Outcome::Clean {
            self.stored = Some((handle, stored.into_bytes()));
        }
        Ok(block)
    }

    /// The bytes of the block that was asked for last, if it was read past the cache, was verified, and
    /// begins at `offset`.
    pub(crate) fn stored(&self, offset: u64) -> Option<(BlockHandle, &Bytes)> {
        let (handle, stored) = self.stored.as_ref()?;
        (handle.offset == offset).then_some((*handle, stored))
    }

    /// What to read if the block at `handle` is wanted, and probably those behind or before it.
    fn range(&self, table: &Table, handle: BlockHandle, len: u32) -> Range<u64> {
        let (block, data) = (handle.range(), table.data_range());
        let len = u64::from(len);
        if self.way == Some(Direction::Backward) {
            let start = block.end.saturating_sub(len).max(data.start);
            return start.min(block.start)..block.end;
        }
        let end = block.start.saturating_add(len).min(data.end);
        block.start..end.max(block.end)
    }

    /// The block at `handle` as it is stored, if it was read ahead.
    fn read_ahead(&self, handle: BlockHandle) -> Option<Bytes> {
        let (start, bytes) = &self.ahead;
        let at = usize::try_from(handle.offset.checked_sub(*start)?).ok()?;
        let end = at.checked_add(handle.len as usize)?;
        (end <= bytes.len()).then(|| bytes.slice(at..end))
    }
}
