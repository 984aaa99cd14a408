use stratal_types::{EntryKind, EntryRef, SeqNo, Trailer};

use crate::{Chain, Verdict, decide};

/// What the versions of a key, seen oldest first, come to.
pub(super) struct Newest {
    /// The newest tombstone over the key that the read sees.
    covered: Option<SeqNo>,
    /// Whether operands are gathered, and not rows as they are.
    pub(super) folds: bool,
    /// The version that the read finds, if the last one seen is it.
    pub(super) shown: Option<Trailer>,
    /// What the operands gathered lie on.
    pub(super) base: Option<EntryKind>,
    /// Whether the newest version that the read sees lies under the tombstone.
    pub(super) masked: bool,
}

impl Newest {
    pub(super) fn new(covered: Option<SeqNo>, folds: bool) -> Self {
        Self { covered, folds, shown: None, base: None, masked: false }
    }

    /// Takes note of a newer version.
    pub(super) fn note(
        &mut self,
        entry: EntryRef<'_>,
        bound: SeqNo,
        value: &mut Vec<u8>,
        operands: &mut Chain,
    ) {
        let verdict = decide(entry.trailer, self.covered, bound);
        if verdict == Verdict::Unseen {
            return;
        }
        self.masked = self.covered.is_some_and(|covered| covered > entry.seqno());
        self.shown = (verdict == Verdict::Shown).then_some(entry.trailer);
        if self.shown.is_some() && self.folds && entry.kind() == EntryKind::Merge {
            operands.push(entry.trailer, entry.value);
            return;
        }
        operands.clear();
        value.clear();
        self.base = self.shown.map(Trailer::kind);
        if self.shown.is_some() {
            value.extend_from_slice(entry.value);
        }
    }
}
