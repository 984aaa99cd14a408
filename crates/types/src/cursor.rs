use crate::{EntryDigest, EntryRef, SeqNo};

/// Which way a cursor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To later entries.
    Forward,
    /// To earlier ones.
    Backward,
}

/// Most steps that a [`Cursor`] has for [`prepare_seek`](Cursor::prepare_seek).
pub const SEEK_STEPS: usize = 3;

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

    /// Whether it stands in front of an entry, and not on one: it has gone forward to where it can tell
    /// without looking that no entry comes before a bound, and what [`entry`](Self::entry) lends is that
    /// bound, of the highest number there is. Going on, it [settles](Self::settle).
    ///
    /// Only cursors made for merging stand so: what comes before the bound in another sequence may be
    /// all that is wanted.
    fn is_bound(&self) -> bool {
        false
    }

    /// From a bound, goes to the first entry behind it, or to another bound further on; behind the last
    /// entry if there is none.
    ///
    /// # Errors
    ///
    /// Those of a step.
    fn settle(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Takes a step towards a [`seek`](Self::seek): looks for the place as far as that waits for nothing,
    /// and begins to load what the next step looks at. Whoever seeks in several sequences takes each
    /// step in all of them before the next in any, so that they wait together.
    ///
    /// Steps are numbered from 0, and there are [`SEEK_STEPS`] of them at most. Behind them stands
    /// [`seek_prepared`](Self::seek_prepared), with the same arguments; until then the cursor lends
    /// nothing. Any other move begins anew.
    fn prepare_seek(&mut self, key: &[u8], bound: SeqNo, step: usize) {
        let _ = (key, bound, step);
    }

    /// A [`seek`](Self::seek) from where steps of [`prepare_seek`](Self::prepare_seek) have led, if any were
    /// taken since the cursor moved: just before, and with the same arguments.
    ///
    /// # Errors
    ///
    /// Those of `seek`.
    fn seek_prepared(&mut self, key: &[u8], bound: SeqNo) -> Result<(), Self::Error> {
        self.seek(key, bound)
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
