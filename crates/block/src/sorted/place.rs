use alloc::vec::Vec;
use core::ops::Range;

use stratal_types::{Comparator, EntryKind, EntryRef, SeqNo, Trailer};

use super::SortedBlock;

/// A place in a sorted block that does not hold the block: a [`SortedCursor`](super::SortedCursor) for
/// those who have the block elsewhere, and give it to every step.
///
/// It moves as a cursor does. Whoever gives it another block [leaves](Self::leave) the one before first;
/// if that is forgotten, what it lends is wrong, and nothing worse.
///
/// ```
/// use stratal_block::{SortedBlock, SortedBlockBuilder, SortedBlockOptions, SortedPlace};
/// use stratal_types::{EntryKind, SeqNo, Trailer};
///
/// let mut builder = SortedBlockBuilder::new(SortedBlockOptions::default());
/// for key in ["AD/Canillo", "AD/Vila", "AE/Dubai"] {
///     builder.add(key.as_bytes(), Trailer::new(SeqNo::from(1u32), EntryKind::Put), b"")?;
/// }
/// let mut bytes = Vec::new();
/// builder.finish_into(&mut bytes);
/// let block = SortedBlock::parse(&bytes[..])?;
///
/// let mut place = SortedPlace::new();
/// place.seek(&block, b"AD/D", SeqNo::MAX);
/// assert_eq!(place.entry(&block).map(|entry| entry.key), Some(&b"AD/Vila"[..]));
/// # Ok::<(), stratal_block::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SortedPlace {
    /// 0 before the first row, `i + 1` on row `i`, the count and 1 behind the last.
    place: u32,
    /// On a row, its key. Begins with what the keys of `rows` share, of `shared_len` bytes.
    key: Vec<u8>,
    shared_len: usize,
    rows: Range<u32>,
    /// Where the row lies that it stands on, or stood on last; and where its value begins.
    row_at: Range<u32>,
    value_at: u32,
    trailer: Trailer,
}

/// Before the first row.
impl Default for SortedPlace {
    fn default() -> Self {
        Self::new()
    }
}

impl SortedPlace {
    /// Before the first row.
    pub const fn new() -> Self {
        let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
        let key = Vec::new();
        Self { place: 0, key, shared_len: 0, rows: 0..0, row_at: 0..0, value_at: 0, trailer }
    }

    /// Goes before the first row of whatever block is given next.
    pub fn leave(&mut self) {
        let mut key = core::mem::take(&mut self.key);
        key.clear();
        *self = Self { key, ..Self::new() };
    }

    /// The number of the row it stands on.
    #[inline]
    pub const fn row<B>(&self, block: &SortedBlock<B>) -> Option<usize> {
        if 0 < self.place && self.place <= block.count() {
            Some(self.place as usize - 1)
        } else {
            None
        }
    }

    /// The row it stands on.
    #[inline]
    pub fn entry<'a, B: AsRef<[u8]>>(&'a self, block: &'a SortedBlock<B>) -> Option<EntryRef<'a>> {
        self.row(block)?;
        let value = self.value_at as usize..self.row_at.end as usize;
        let value = block.as_bytes().get(value).unwrap_or_default();
        Some(EntryRef::new(&self.key, self.trailer, value))
    }

    /// Goes to row `i`, behind the last if there are not so many.
    pub fn seek_to<B: AsRef<[u8]>>(&mut self, block: &SortedBlock<B>, i: usize) {
        let row = u32::try_from(i).unwrap_or(u32::MAX).min(block.count());
        self.stand_at(block, row.saturating_add(1));
    }

    /// Goes to the first row; behind the last if there is none.
    pub fn seek_to_first<B: AsRef<[u8]>>(&mut self, block: &SortedBlock<B>) {
        self.stand_at(block, 1);
    }

    /// Goes to the last row; before the first if there is none.
    pub fn seek_to_last<B: AsRef<[u8]>>(&mut self, block: &SortedBlock<B>) {
        self.stand_at(block, block.count());
    }

    /// Goes where [`SortedBlock::seek`] says.
    pub fn seek<B: AsRef<[u8]>>(&mut self, block: &SortedBlock<B>, key: &[u8], bound: SeqNo) {
        self.seek_to(block, block.seek(key, bound));
    }

    /// Goes where [`SortedBlock::seek_by`] says.
    pub fn seek_by<B: AsRef<[u8]>>(
        &mut self,
        block: &SortedBlock<B>,
        key: &[u8],
        bound: SeqNo,
        comparator: &dyn Comparator,
    ) {
        let i = block.seek_by(key, bound, comparator, &mut self.key);
        self.rows = 0..0;
        self.seek_to(block, i);
    }

    /// Goes one row on. From before the first to the first; behind the last it stays.
    #[inline]
    pub fn advance<B: AsRef<[u8]>>(&mut self, block: &SortedBlock<B>) {
        self.stand_at(block, self.place.saturating_add(1).min(block.count().saturating_add(1)));
    }

    /// Goes one row back. From behind the last to the last; before the first it stays.
    #[inline]
    pub fn retreat<B: AsRef<[u8]>>(&mut self, block: &SortedBlock<B>) {
        self.stand_at(block, self.place.saturating_sub(1));
    }

    #[inline]
    fn stand_at<B: AsRef<[u8]>>(&mut self, block: &SortedBlock<B>, place: u32) {
        let before = core::mem::replace(&mut self.place, place);
        if let Some(i) = self.row(block) {
            let view = block.view();
            let Range { start, end } = self.row_at;
            let is_on_row = (1..=block.count()).contains(&before);
            let row_at = match view.layout.row_len(view.bytes, i) {
                Some(len) if is_on_row && place == before.wrapping_add(1) => {
                    end as usize..end as usize + len
                }
                Some(len) if is_on_row && before == place.wrapping_add(1) => {
                    (start as usize).saturating_sub(len)..start as usize
                }
                _ => view.layout.row_range(view.bytes, i),
            };
            self.row_at = narrow(row_at.start)..narrow(row_at.end);
            let row = view.row_in(row_at);
            self.value_at = self.row_at.end.saturating_sub(narrow(row.value.len()));
            self.trailer = view.trailer(i);
            if !self.rows.contains(&(place - 1)) {
                let (group, prefix) = (view.group_of(i), view.prefix());
                self.key.clear();
                // All of it at once, and for most keys that follow.
                self.key.reserve(prefix.len() + group.middle.len() + row.rest_len.max(REST_LEN));
                self.key.extend_from_slice(prefix);
                self.key.extend_from_slice(group.middle);
                self.shared_len = self.key.len();
                self.rows = narrow(group.rows.start)..narrow(group.rows.end);
            }
            self.key.truncate(self.shared_len);
            view.append_rest(i, &row, &mut self.key);
        }
    }
}

/// Bytes that there is room for behind what keys share, if they need no more.
const REST_LEN: usize = 32;

/// A place or a row's number; a block has no more of them than a `u32` counts.
#[inline]
fn narrow(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}
