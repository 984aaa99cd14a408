use alloc::vec::Vec;

use crate::{Cursor, EntryKind, SeqNo};

/// A cursor over entries that lie in blocks, of which a merge may take one over whole.
///
/// Only a block in which every key has one version is offered, and of whose keys no version stands
/// before or behind it in the cursor's sequence.
pub trait BlockCursor: Cursor {
    /// Whether the cursor stands on the first entry of a block, of which it is not known yet whether it can
    /// be taken over. To be asked of every entry: it costs next to nothing.
    fn begins_block(&self) -> bool;

    /// Whether the cursor stands on the first entry of a block that can be taken over; `last` is made
    /// the key of its last entry then.
    fn block_end(&self, last: &mut Vec<u8>) -> bool;

    /// What the entries of that block are. `None` also if it shows only now that the block cannot be
    /// taken over.
    fn block_facts(&self) -> Option<BlockFacts>;

    /// Leaves that block for the first entry behind it.
    ///
    /// # Errors
    ///
    /// As a step.
    fn pass_block(&mut self) -> Result<(), Self::Error>;
}

/// What is known of the entries of a block together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockFacts {
    /// How many there are.
    pub rows: u64,
    /// Their lowest sequence number.
    pub seqno_min: SeqNo,
    /// Their highest sequence number.
    pub seqno_max: SeqNo,
    /// Their kinds.
    pub kinds: KindSet,
}

/// Kinds of entries.
///
/// ```
/// use stratal_types::{EntryKind, KindSet};
///
/// let values = KindSet::of(&[EntryKind::Put, EntryKind::ValuePointer]);
/// assert!(KindSet::of(&[EntryKind::Put]).is_within(values));
/// assert!(!values.is_within(KindSet::of(&[EntryKind::Put])));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindSet(u16);

impl KindSet {
    /// No kind.
    pub const EMPTY: Self = Self(0);

    /// These kinds.
    pub const fn of(kinds: &[EntryKind]) -> Self {
        let mut set = Self::EMPTY;
        let mut rest = kinds;
        while let Some((kind, behind)) = rest.split_first() {
            set = set.with(*kind);
            rest = behind;
        }
        set
    }

    /// These kinds and `kind`.
    #[must_use]
    pub const fn with(self, kind: EntryKind) -> Self {
        Self(self.0 | 1 << kind.tag())
    }

    /// Whether every kind of these is one of `others`.
    pub const fn is_within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }
}
