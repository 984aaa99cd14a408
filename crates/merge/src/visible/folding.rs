//! How operands become a row.

use std::sync::Arc;

use stratal_types::{Cursor, EntryKind, EntryRef, SeqNo, Trailer};

use super::{Place, VisibleCursor};
use crate::{Chain, Fold, Verdict, decide};

/// Memory that operands of one key take at once while they are folded, in bytes, beside one of them.
/// More are folded in pieces, the oldest first.
pub const FOLD_SIZE_MAX: usize = 1 << 20;

/// How the operands of a cursor's sources are folded.
pub(super) struct FoldOf<C: Cursor>(pub(super) Option<Arc<dyn Fold<C::Error>>>);

impl<C: Cursor> std::fmt::Debug for FoldOf<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<C: Cursor> VisibleCursor<C> {
    /// Folds the versions of the key kept from `newest` on, an operand that the read sees and `merged`
    /// stands on, into `value`. `covered` is the newest tombstone over the key that the read sees.
    pub(super) fn fold_ahead(
        &mut self,
        newest: Trailer,
        covered: Option<SeqNo>,
    ) -> Result<(), C::Error> {
        let Self { merged, chain, key, value, bound, .. } = self;
        let (mut oldest, mut is_too_long) = (newest.seqno(), false);
        chain.clear();
        let base = loop {
            let entry = merged.entry().filter(|entry| is_shown(*entry, key, covered, *bound));
            let Some(entry) = entry.filter(|entry| entry.kind() == EntryKind::Merge) else {
                break entry;
            };
            oldest = entry.seqno();
            if !is_too_long {
                chain.push(entry.trailer, entry.value);
                is_too_long = chain.size() > FOLD_SIZE_MAX;
            }
            merged.advance()?;
        };
        value.clear();
        let base = base.map(|entry| {
            value.extend_from_slice(entry.value);
            entry.kind()
        });
        if is_too_long {
            return self.fold_pieces(base, oldest, newest.seqno());
        }
        self.fold_chain(base, Chain::reversed)
    }

    /// Goes back from behind the operand `oldest` of the key kept to the operand `newest`, and folds
    /// what lies between onto `value`, if that is a base, piece by piece.
    fn fold_pieces(
        &mut self,
        mut base: Option<EntryKind>,
        oldest: SeqNo,
        newest: SeqNo,
    ) -> Result<(), C::Error> {
        self.chain.clear();
        let mut is_whole = false;
        while !is_whole {
            self.merged.retreat()?;
            let entry = self.merged.entry().filter(|entry| entry.key == self.key);
            // What a source has gained meanwhile is newer than what the read sees.
            let Some(entry) = entry.filter(|entry| entry.seqno() <= newest) else { break };
            if entry.seqno() < oldest {
                continue;
            }
            is_whole = entry.seqno() == newest;
            self.chain.push(entry.trailer, entry.value);
            if is_whole || self.chain.size() > FOLD_SIZE_MAX {
                self.fold_chain(base, Chain::in_order)?;
                self.chain.clear();
                base = Some(EntryKind::Put);
            }
        }
        Ok(())
    }

    /// Folds the key kept, `merged` being behind it, and comes back.
    pub(super) fn fold_back(
        &mut self,
        newest: Trailer,
        covered: Option<SeqNo>,
    ) -> Result<(), C::Error> {
        self.merged.seek(&self.key, self.bound)?;
        self.fold_ahead(newest, covered)?;
        self.leave_key_before()
    }

    /// Applies the chain to `value`, if that is a base. `oldest_first` puts the chain in that order.
    pub(super) fn fold_chain(
        &mut self,
        base: Option<EntryKind>,
        oldest_first: fn(&Chain) -> Vec<&[u8]>,
    ) -> Result<(), C::Error> {
        let Some(fold) = &self.fold.0 else { return Ok(()) };
        let base = base.map(|kind| (kind, &self.value[..]));
        match fold.fold(&self.key, base, &oldest_first(&self.chain)) {
            Ok(value) => {
                self.value = value;
                Ok(())
            }
            Err(error) => {
                self.place = Place::Unfolded;
                Err(error)
            }
        }
    }

    /// Tries once more what could not be folded: the cursor goes on failing as long as that does.
    pub(super) fn fold_again(&mut self) -> Result<(), C::Error> {
        self.place = Place::Failed;
        self.merged.seek(&self.key, self.bound)?;
        self.find_ahead()
    }
}

/// Whether a read at `bound` finds `entry`, as a version of `key`.
fn is_shown(entry: EntryRef<'_>, key: &[u8], covered: Option<SeqNo>, bound: SeqNo) -> bool {
    entry.key == key && decide(entry.trailer, covered, bound) == Verdict::Shown
}

/// The trailer of what operands come to, the newest of which has this one.
pub(super) fn folded(newest: Trailer) -> Trailer {
    Trailer::new(newest.seqno(), EntryKind::Put)
}
