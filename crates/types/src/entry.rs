use core::{cmp::Ordering, fmt};

use crate::{Comparator, SeqNo};

/// What an entry does to its key.
///
/// The tag on disk is never renumbered. The two *over delete* kinds read exactly like their plain
/// twins; they remember that garbage collection dropped a delete underneath, which a weak delete
/// must know before it may vanish together with the put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// The key has this value.
    Put,
    /// The key has no value; older versions are hidden.
    Delete,
    /// Like a delete, for a key that was put exactly once since its last delete.
    WeakDelete,
    /// An operand for the tree's merge operator, applied to what is older.
    Merge,
    /// The key has a value, which lies in a value file; the entry holds the pointer.
    ValuePointer,
    /// A put under which a delete was dropped.
    PutOverDelete,
    /// A value pointer under which a delete was dropped.
    ValuePointerOverDelete,
}

impl EntryKind {
    /// Every kind, by ascending tag.
    pub const ALL: [Self; 7] = [
        Self::Put,
        Self::Delete,
        Self::WeakDelete,
        Self::Merge,
        Self::ValuePointer,
        Self::PutOverDelete,
        Self::ValuePointerOverDelete,
    ];

    /// The byte on disk.
    pub const fn tag(self) -> u8 {
        match self {
            Self::Put => 1,
            Self::Delete => 2,
            Self::WeakDelete => 3,
            Self::Merge => 4,
            Self::ValuePointer => 5,
            Self::PutOverDelete => 6,
            Self::ValuePointerOverDelete => 7,
        }
    }

    /// The kind with this tag, or `None` for a byte without meaning.
    pub const fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            1 => Self::Put,
            2 => Self::Delete,
            3 => Self::WeakDelete,
            4 => Self::Merge,
            5 => Self::ValuePointer,
            6 => Self::PutOverDelete,
            7 => Self::ValuePointerOverDelete,
            _ => return None,
        })
    }

    /// Whether the key is absent at this version: a delete of either sort.
    pub const fn is_delete(self) -> bool {
        matches!(self, Self::Delete | Self::WeakDelete)
    }

    /// Whether the entry gives the key a value by itself, inline or by pointer.
    pub const fn is_value(self) -> bool {
        matches!(
            self,
            Self::Put | Self::PutOverDelete | Self::ValuePointer | Self::ValuePointerOverDelete
        )
    }

    /// Whether the entry's bytes are a pointer into a value file.
    pub const fn is_pointer(self) -> bool {
        matches!(self, Self::ValuePointer | Self::ValuePointerOverDelete)
    }

    /// The kind's name in reports, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::WeakDelete => "weak delete",
            Self::Merge => "merge",
            Self::ValuePointer => "value pointer",
            Self::PutOverDelete => "put over delete",
            Self::ValuePointerOverDelete => "value pointer over delete",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sequence number and kind of an entry in one `u64`: `seqno << 8 | kind tag`.
///
/// Ordered as the number is, so a *greater* trailer is a *newer* version. Entries of one key stand
/// by descending trailer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trailer(u64);

impl Trailer {
    /// Length on disk, in bytes.
    pub const LEN: usize = size_of::<u64>();

    /// Packs the two.
    pub const fn new(seqno: SeqNo, kind: EntryKind) -> Self {
        Self(seqno.get() << 8 | kind.tag() as u64)
    }

    /// Reads a packed trailer, or `None` if its low byte is no kind's tag.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        let [tag, ..] = bits.to_le_bytes();
        match EntryKind::from_tag(tag) {
            Some(_) => Some(Self(bits)),
            None => None,
        }
    }

    /// The packed form, as stored (little-endian).
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The sequence number.
    pub const fn seqno(self) -> SeqNo {
        match SeqNo::new(self.0 >> 8) {
            Some(seqno) => seqno,
            None => SeqNo::MAX,
        }
    }

    /// The kind.
    pub const fn kind(self) -> EntryKind {
        let [tag, ..] = self.0.to_le_bytes();
        match EntryKind::from_tag(tag) {
            Some(kind) => kind,
            None => EntryKind::Put, // not reached: both constructors checked the tag
        }
    }
}

impl fmt::Debug for Trailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.kind(), self.seqno())
    }
}

/// A user key and the version of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InternalKey<'a> {
    /// The caller's key.
    pub user_key: &'a [u8],
    /// Sequence number and kind.
    pub trailer: Trailer,
}

impl<'a> InternalKey<'a> {
    /// Puts the two together.
    pub const fn new(user_key: &'a [u8], trailer: Trailer) -> Self {
        Self { user_key, trailer }
    }

    /// Internal order: user key ascending by `comparator`, then newest first.
    pub fn compare(&self, other: &InternalKey<'_>, comparator: &dyn Comparator) -> Ordering {
        comparator
            .compare(self.user_key, other.user_key)
            .then_with(|| other.trailer.cmp(&self.trailer))
    }
}

/// One stored row, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryRef<'a> {
    /// The caller's key.
    pub key: &'a [u8],
    /// Sequence number and kind.
    pub trailer: Trailer,
    /// The value, operand or pointer; empty for deletes.
    pub value: &'a [u8],
}

impl<'a> EntryRef<'a> {
    /// Puts the parts together.
    pub const fn new(key: &'a [u8], trailer: Trailer, value: &'a [u8]) -> Self {
        Self { key, trailer, value }
    }

    /// Key and version.
    pub const fn internal_key(&self) -> InternalKey<'a> {
        InternalKey { user_key: self.key, trailer: self.trailer }
    }

    /// The sequence number.
    pub const fn seqno(&self) -> SeqNo {
        self.trailer.seqno()
    }

    /// The kind.
    pub const fn kind(&self) -> EntryKind {
        self.trailer.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytewise, Reverse};

    #[test]
    fn tags_read_back_and_other_bytes_have_no_meaning() {
        for tag in 0..=u8::MAX {
            let kind = EntryKind::from_tag(tag);
            assert_eq!(kind.map(EntryKind::tag), (1..=7).contains(&tag).then_some(tag));
            assert_eq!(Trailer::from_bits(u64::from(tag)).is_some(), kind.is_some());
        }
        assert!(EntryKind::ALL.is_sorted_by_key(|kind| kind.tag()));
    }

    #[test]
    fn a_trailer_keeps_both_parts_at_the_ends_of_their_ranges() {
        for seqno in [SeqNo::ZERO, SeqNo::from(1u32), SeqNo::MAX] {
            for kind in EntryKind::ALL {
                let trailer = Trailer::new(seqno, kind);
                assert_eq!((trailer.seqno(), trailer.kind()), (seqno, kind));
                assert_eq!(Trailer::from_bits(trailer.bits()), Some(trailer));
            }
        }
    }

    #[test]
    fn order_is_by_key_then_newest_first_under_any_comparator() {
        let at =
            |key, seqno: u32| InternalKey::new(key, Trailer::new(seqno.into(), EntryKind::Put));
        assert!(at(b"a", 1).compare(&at(b"b", 9), &Bytewise).is_lt());
        assert!(at(b"a", 1).compare(&at(b"b", 9), &Reverse).is_gt());
        assert!(at(b"a", 2).compare(&at(b"a", 1), &Bytewise).is_lt());
        assert!(at(b"a", 2).compare(&at(b"a", 1), &Reverse).is_lt());
    }
}
