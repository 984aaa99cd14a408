use crate::{EntryDigest, EntryRef, SeqNo};

/// Which way a cursor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To later entries.
    Forward,
    /// To earlier ones.
    Backward,
}

/// A place in a sequence of entries that stand in internal order.
///
/// A cursor stands before the first entry, on one, or behind the last; a new one stands before the
/// first. What [`entry`](Self::entry) lends is valid until the next step, and no step allocates once
/// buffers have grown to what the data needs.
///
/// Errors are sticky: after a step failed the cursor lends nothing, and steps keep failing until a
/// `seek…` succeeds. "No entry" is never the result of a failed read.
pub trait Cursor {
    /// Why a step can fail.
    type Error;

    /// Goes to the first entry behind every version of `key` that a read at `bound` cannot see: the
    /// newest entry of `key` with a number below `bound`, or else the first entry of a later key.
    /// Behind the last entry if there is none.
    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Self::Error>;

    /// Goes to the first entry, if there is one.
    fn seek_to_first(&mut self) -> Result<(), Self::Error>;

    /// Goes to the last entry, if there is one.
    fn seek_to_last(&mut self) -> Result<(), Self::Error>;

    /// Goes one entry on. From before the first to the first; behind the last it stays.
    fn advance(&mut self) -> Result<(), Self::Error>;

    /// Goes one entry back. From behind the last to the last; before the first it stays.
    fn retreat(&mut self) -> Result<(), Self::Error>;

    /// The entry the cursor stands on.
    fn entry(&self) -> Option<EntryRef<'_>>;

    /// The digest that came with the entry the cursor stands on, if one did: what it says was true when
    /// the digest was taken, and nobody has looked since. A cursor over other cursors' entries passes
    /// their digests on.
    fn digest(&self) -> Option<EntryDigest> {
        None
    }

    /// How many entries, the one it stands on and those that steps in `direction` lead to next, are known
    /// to be *simple*: values by themselves, numbered below `bound`, whose keys all differ and stand
    /// before `limit`, or going backward behind it. Going backward none of them has a newer version in
    /// the sequence, and going forward none but perhaps the first.
    ///
    /// Whoever merges passes over them without looking at other sources. It costs as much as a search in
    /// a block, and no more of a sequence is looked at than is at hand: 0 says nothing.
    fn simple_entries(&self, direction: Direction, bound: SeqNo, limit: Option<&[u8]>) -> usize {
        let _ = (direction, bound, limit);
        0
    }

    /// From an entry before `limit` (going backward at it or behind) goes on in `direction`, as far as all
    /// entries are known to be numbered below `seqno`, to the first at or behind `limit` at the furthest
    /// (backward to the last before it). Whether it left its entry.
    ///
    /// For who knows that a range tombstone of that number hides what is passed. Nothing is read of what
    /// is passed, and that it stays says nothing.
    ///
    /// # Errors
    ///
    /// Those of a step.
    fn pass_older(
        &mut self,
        direction: Direction,
        seqno: SeqNo,
        limit: &[u8],
    ) -> Result<bool, Self::Error> {
        let _ = (direction, seqno, limit);
        Ok(false)
    }
}
