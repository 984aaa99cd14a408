use core::fmt;

/// The number of a write: every operation gets its own, and later writes get higher ones.
///
/// 56 bits wide, so that it shares a `u64` with the entry's kind ([`Trailer`](crate::Trailer)).
/// The same type serves as a *read bound*: a read at `R` sees entry `s` iff `s < R`, so
/// [`SeqNo::MAX`] as a bound sees everything and is never given to an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqNo(u64);

impl SeqNo {
    /// Bits a sequence number occupies.
    pub const BITS: u32 = 56;
    /// The smallest number. Entries whose history is settled carry it; as a bound it sees nothing.
    pub const ZERO: Self = Self(0);
    /// The largest value, kept for bounds that see everything.
    pub const MAX: Self = Self((1 << Self::BITS) - 1);

    /// `value` as a sequence number, or `None` if it needs more than 56 bits.
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next number, or `None` at the end of the range.
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// Whether a read at `bound` sees an entry with this number.
    pub const fn is_visible_at(self, bound: Self) -> bool {
        self.0 < bound.0
    }
}

impl fmt::Display for SeqNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u32> for SeqNo {
    fn from(value: u32) -> Self {
        Self(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_bound_sees_every_entry_and_the_smallest_none() {
        let last_entry = SeqNo::new(SeqNo::MAX.get() - 1).unwrap();
        assert!(last_entry.is_visible_at(SeqNo::MAX));
        assert!(!SeqNo::ZERO.is_visible_at(SeqNo::ZERO));
    }

    #[test]
    fn the_range_ends_without_wrapping() {
        assert_eq!(SeqNo::MAX.next(), None);
        assert_eq!(SeqNo::new(1 << 56), None);
        assert_eq!(SeqNo::new(u64::MAX), None);
    }
}
