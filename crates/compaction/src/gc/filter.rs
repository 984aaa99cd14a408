use stratal_types::EntryRef;

/// What the application wants to keep of its own old data.
///
/// Asked once for a key whose newest version in the inputs is a value that every reader sees, and
/// not for deletes, operands, results of folds or versions that leave anyway. Sources newer than
/// the inputs may hold newer versions. The order of keys is ascending.
pub trait CompactionFilter {
    /// Decides about one value. `entry.value` is the pointer if [`entry.kind()`](EntryRef::kind)
    /// says so.
    fn judge(&mut self, entry: EntryRef<'_>) -> Verdict;
}

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// It is deleted.
    Remove,
    /// It is deleted weakly, for a key of which the caller knows that one older put remains at
    /// most. Over a marked put this is [`Remove`](Self::Remove).
    WeakRemove,
    /// It gets this value, inline.
    Replace(Vec<u8>),
    /// It vanishes without a delete, which is possible iff nothing older has the key. Elsewhere
    /// this is [`Remove`](Self::Remove).
    Destroy,
}
