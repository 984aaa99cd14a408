//! Digests of entries, taken when they are written and kept with them from then on.
//!
//! ```text
//! operation ─▶ digest, under number 0 ─▶ memtable: under its number, the copy checked ─▶ flush ─┐
//!                                                                                              ▼
//!              merge: input checked; what passes keeps its digest, what is made gets one ─▶ block checked
//! ```

use stratal_memtable::Memtable;
use stratal_types::{EntryDigest, EntryRef, SeqNo, Trailer, sync::atomic::Ordering};

use crate::{Clock, Error, Operation, OperationRef, Tree};

impl Operation {
    /// The digest of the entry that this is, as long as it has no number: under number 0. Of a range
    /// delete, that of a delete of its start with its end for a value.
    ///
    /// ```
    /// # use stratal_engine::Operation;
    /// # use stratal_types::{EntryDigest, EntryKind, EntryRef, SeqNo, Trailer};
    /// let put = Operation::Put { key: b"AD/Vila".into(), value: b"1418".into() };
    /// let at = |seqno| Trailer::new(seqno, EntryKind::Put);
    /// let entry = EntryRef::new(b"AD/Vila", at(SeqNo::from(7u32)), b"1418");
    /// let numbered = put.digest().moved(at(SeqNo::ZERO), entry.trailer);
    /// assert_eq!(numbered, EntryDigest::of(entry));
    /// ```
    pub fn digest(&self) -> EntryDigest {
        OperationRef::from(self).digest()
    }
}

impl Tree {
    /// Whether entries are checked from when they are written on: see
    /// [`TreeOptions::digests_at_insert`](crate::TreeOptions::digests_at_insert). Who queues operations
    /// takes their [digests](Operation::digest) first, and gives both to
    /// [`apply_with_digests`](Self::apply_with_digests).
    pub fn takes_digests(&self) -> bool {
        self.takes_digests.load(Ordering::Relaxed)
    }

    /// [Applies](Self::apply) `operations` whose digests were taken before, one for each. They are checked
    /// as they are copied into memory, and stay with the entries.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply); [`Error::Damaged`] for an operation that has changed since;
    /// [`Error::InvalidArgument`] if there are more or fewer digests than operations.
    pub fn apply_with_digests(
        &self,
        operations: &[Operation],
        digests: &[EntryDigest],
        first: SeqNo,
    ) -> Result<(), Error> {
        if operations.len() != digests.len() {
            return Err(Error::InvalidArgument("digests of other operations".into()));
        }
        let digests = digests.iter().copied().map(Some);
        self.apply_each(operations.iter().map(OperationRef::from).zip(digests), first)
    }
}

/// Puts one operation into a memtable, with its digest under number 0 if that was taken.
pub(crate) fn apply_to(
    memtable: &Memtable,
    operation: OperationRef<'_>,
    digest: Option<EntryDigest>,
    seqno: SeqNo,
) -> Result<(), Error> {
    let EntryRef { key, trailer, value } = operation.entry(seqno);
    let applied = match (operation, digest) {
        (OperationRef::DeleteRange { .. }, Some(digest)) if digest != operation.digest() => {
            return Err(Error::Damaged { key: key.to_vec() });
        }
        (OperationRef::DeleteRange { from, to }, _) => memtable.delete_range(from, to, seqno),
        (_, None) => memtable.apply(key, trailer, value),
        (_, Some(digest)) => {
            let digest = digest.moved(Trailer::new(SeqNo::ZERO, trailer.kind()), trailer);
            memtable.apply_with_digest(key, trailer, value, digest)
        }
    };
    applied.map_err(|error| match error {
        stratal_memtable::Error::Length { what, len, min, max } => {
            Error::TooLarge { what, len: len as u64, min: min as u64, max: max as u64 }
        }
        stratal_memtable::Error::Damaged { .. } => Error::Damaged { key: key.to_vec() },
        other => Error::InvalidArgument(other.to_string()),
    })
}

/// A batch on its way into memory. If it ends when some of it is there and the rest is not, in a panic or
/// an error, the [clock](Clock::tear) hears of it.
pub(crate) struct Applying<'a> {
    clock: &'a Clock,
    is_part: bool,
}

impl<'a> Applying<'a> {
    pub(crate) const fn new(clock: &'a Clock) -> Self {
        Self { clock, is_part: false }
    }

    /// An operation is in memory.
    pub(crate) const fn applied(&mut self) {
        self.is_part = true;
    }

    /// All of it is.
    pub(crate) const fn done(&mut self) {
        self.is_part = false;
    }
}

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        if self.is_part {
            self.clock.tear();
        }
    }
}
