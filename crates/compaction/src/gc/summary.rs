/// What a stream did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcSummary {
    /// Entries taken from the input.
    pub entries_in: u64,
    /// Entries lent.
    pub entries_out: u64,
    /// Versions dropped because a range tombstone hides them.
    pub covered: u64,
    /// Versions dropped because a newer one replaces them, folded ones included.
    pub replaced: u64,
    /// Deletes dropped because they had nothing left to hide.
    pub deletes_collected: u64,
    /// Weak deletes that vanished together with their put.
    pub weak_pairs: u64,
    /// Chains of operands that became a value.
    pub folds: u64,
    /// Chains that could have become a value but for the operator, an unreadable value or the limit.
    pub folds_failed: u64,
    /// Chains that became one operand.
    pub compositions: u64,
    /// Values that got number zero.
    pub zeroed: u64,
    /// Values that the filter removed or replaced.
    pub filtered: u64,
    /// Value pointers reported as gone.
    pub pointers_departed: u64,
}

impl GcSummary {
    /// Adds what another stream did: of another part of the same job.
    pub fn add(&mut self, other: &Self) {
        // Every field by name, so that none that is new is forgotten.
        let Self {
            entries_in,
            entries_out,
            covered,
            replaced,
            deletes_collected,
            weak_pairs,
            folds,
            folds_failed,
            compositions,
            zeroed,
            filtered,
            pointers_departed,
        } = other;
        self.entries_in += entries_in;
        self.entries_out += entries_out;
        self.covered += covered;
        self.replaced += replaced;
        self.deletes_collected += deletes_collected;
        self.weak_pairs += weak_pairs;
        self.folds += folds;
        self.folds_failed += folds_failed;
        self.compositions += compositions;
        self.zeroed += zeroed;
        self.filtered += filtered;
        self.pointers_departed += pointers_departed;
    }
}
