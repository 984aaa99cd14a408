use stratal_types::{Comparator, EntryRef, SeqNo};

use super::{SortedBlock, SortedPlace};

/// A place in a sorted block, with the key put together.
///
/// It stands before the first row, on one, or behind the last; a new one before the first. Steps are
/// arithmetic on the row's number, alike in both directions, and rewrite only the part of the key
/// that rows do not share. Nothing is allocated once the key's buffer has grown to the longest key.
#[derive(Clone, Debug)]
pub struct SortedCursor<B> {
    block: SortedBlock<B>,
    place: SortedPlace,
}

impl<B: AsRef<[u8]>> SortedCursor<B> {
    /// A cursor before the first row of `block`.
    pub const fn new(block: SortedBlock<B>) -> Self {
        Self { block, place: SortedPlace::new() }
    }

    /// Leaves its block for another, before whose first row it then stands.
    pub fn set_block(&mut self, block: SortedBlock<B>) {
        self.block = block;
        self.place.leave();
    }

    /// The block it is in.
    pub const fn block(&self) -> &SortedBlock<B> {
        &self.block
    }

    /// The number of the row it stands on.
    #[inline]
    pub const fn row(&self) -> Option<usize> {
        self.place.row(&self.block)
    }

    /// The row it stands on.
    #[inline]
    pub fn entry(&self) -> Option<EntryRef<'_>> {
        self.place.entry(&self.block)
    }

    /// Goes to row `i`, behind the last if there are not so many.
    pub fn seek_to(&mut self, i: usize) {
        self.place.seek_to(&self.block, i);
    }

    /// Goes to the first row; behind the last if there is none.
    pub fn seek_to_first(&mut self) {
        self.place.seek_to_first(&self.block);
    }

    /// Goes to the last row; before the first if there is none.
    pub fn seek_to_last(&mut self) {
        self.place.seek_to_last(&self.block);
    }

    /// Goes where [`SortedBlock::seek`] says.
    pub fn seek(&mut self, key: &[u8], bound: SeqNo) {
        self.place.seek(&self.block, key, bound);
    }

    /// Goes where [`SortedBlock::seek_by`] says.
    pub fn seek_by(&mut self, key: &[u8], bound: SeqNo, comparator: &dyn Comparator) {
        self.place.seek_by(&self.block, key, bound, comparator);
    }

    /// Goes one row on. From before the first to the first; behind the last it stays.
    #[inline]
    pub fn advance(&mut self) {
        self.place.advance(&self.block);
    }

    /// Goes one row back. From behind the last to the last; before the first it stays.
    #[inline]
    pub fn retreat(&mut self) {
        self.place.retreat(&self.block);
    }
}
