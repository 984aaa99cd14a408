use crate::{EntryDigest, EntryRef, SeqNo};

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
}
