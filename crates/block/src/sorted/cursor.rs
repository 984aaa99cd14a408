use alloc::vec::Vec;
use core::ops::Range;

use stratal_types::{Comparator, EntryKind, EntryRef, SeqNo, Trailer};

use super::SortedBlock;

/// A place in a sorted block, with the key put together.
///
/// It stands before the first row, on one, or behind the last; a new one before the first. Steps are
/// arithmetic on the row's number, alike in both directions, and rewrite only the part of the key
/// that rows do not share. Nothing is allocated once the key's buffer has grown to the longest key.
#[derive(Clone, Debug)]
pub struct SortedCursor<B> {
    block: SortedBlock<B>,
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

impl<B: AsRef<[u8]>> SortedCursor<B> {
    /// A cursor before the first row of `block`.
    pub fn new(block: SortedBlock<B>) -> Self {
        Self::with_buffer(block, Vec::new())
    }

    /// Leaves its block for another, before whose first row it then stands.
    pub fn set_block(&mut self, block: SortedBlock<B>) {
        let key = core::mem::take(&mut self.key);
        *self = Self::with_buffer(block, key);
    }

    fn with_buffer(block: SortedBlock<B>, mut key: Vec<u8>) -> Self {
        key.clear();
        let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
        Self { block, place: 0, key, shared_len: 0, rows: 0..0, row_at: 0..0, value_at: 0, trailer }
    }

    /// The block it is in.
    pub const fn block(&self) -> &SortedBlock<B> {
        &self.block
    }

    /// The number of the row it stands on.
    pub const fn row(&self) -> Option<usize> {
        if 0 < self.place && self.place <= self.block.count() {
            Some(self.place as usize - 1)
        } else {
            None
        }
    }

    /// The row it stands on.
    #[inline]
    pub fn entry(&self) -> Option<EntryRef<'_>> {
        self.row()?;
        let value = self.value_at as usize..self.row_at.end as usize;
        let value = self.block.as_bytes().get(value).unwrap_or_default();
        Some(EntryRef::new(&self.key, self.trailer, value))
    }

    /// Goes to row `i`, behind the last if there are not so many.
    pub fn seek_to(&mut self, i: usize) {
        let row = u32::try_from(i).unwrap_or(u32::MAX).min(self.block.count());
        self.stand_at(row.saturating_add(1));
    }

    /// Goes to the first row; behind the last if there is none.
    pub fn seek_to_first(&mut self) {
        self.stand_at(1);
    }

    /// Goes to the last row; before the first if there is none.
    pub fn seek_to_last(&mut self) {
        self.stand_at(self.block.count());
    }

    /// Goes where [`SortedBlock::seek`] says.
    pub fn seek(&mut self, key: &[u8], bound: SeqNo) {
        self.seek_to(self.block.seek(key, bound));
    }

    /// Goes where [`SortedBlock::seek_by`] says.
    pub fn seek_by(&mut self, key: &[u8], bound: SeqNo, comparator: &dyn Comparator) {
        let i = self.block.seek_by(key, bound, comparator, &mut self.key);
        self.rows = 0..0;
        self.seek_to(i);
    }

    /// Goes one row on. From before the first to the first; behind the last it stays.
    #[inline]
    pub fn advance(&mut self) {
        self.stand_at(self.place.saturating_add(1).min(self.block.count().saturating_add(1)));
    }

    /// Goes one row back. From behind the last to the last; before the first it stays.
    #[inline]
    pub fn retreat(&mut self) {
        self.stand_at(self.place.saturating_sub(1));
    }

    #[inline]
    fn stand_at(&mut self, place: u32) {
        let before = core::mem::replace(&mut self.place, place);
        if let Some(i) = self.row() {
            let view = self.block.view();
            let Range { start, end } = self.row_at;
            let is_on_row = (1..=self.block.count()).contains(&before);
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
                let group = view.group_of(i);
                self.key.clear();
                self.key.extend_from_slice(view.prefix());
                self.key.extend_from_slice(group.middle);
                self.shared_len = self.key.len();
                self.rows = narrow(group.rows.start)..narrow(group.rows.end);
            }
            self.key.truncate(self.shared_len);
            view.append_rest(i, &row, &mut self.key);
        }
    }
}

/// A place or a row's number; a block has no more of them than a `u32` counts.
#[inline]
fn narrow(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}
