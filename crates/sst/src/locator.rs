//! Which data block a key is in, by the key's hash: saves a lookup the search of the index.
//!
//! The locator of a table gives each of its keys the number of the data block in which the key's
//! newest version stands, and any other hash some number or other. A key that is not in that block is
//! not in the table.

use bytes::Bytes;
use stratal_cache::Resident;
use stratal_filter::{Retrieval, RetrievalBuilder};

/// Collects the numbers of keys' blocks, as long as they can be stored.
#[derive(Debug, Default)]
pub(crate) struct LocatorBuilder {
    pairs: Vec<(u64, u16)>,
}

impl LocatorBuilder {
    /// Adds a key by its hash, whose newest version stands in data block `number`, and whether that
    /// can be stored. If not, the table has no locator, and the builder is of no more use.
    #[must_use]
    pub(crate) fn add(&mut self, hash: u64, number: u64) -> bool {
        let number = u16::try_from(number);
        number.is_ok_and(|number| {
            self.pairs.push((hash, number));
            true
        })
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.pairs.capacity().saturating_mul(size_of::<(u64, u16)>())
    }

    /// The locator; `None` if there can be none, as two keys of one hash stand in different blocks.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        let highest = self.pairs.iter().map(|&(_, number)| number).max()?;
        let bits = u16::BITS.saturating_sub(highest.leading_zeros()).max(1);
        let mut builder = RetrievalBuilder::new(u8::try_from(bits).ok()?).ok()?;
        for (hash, number) in self.pairs {
            builder.add(hash, number).ok()?;
        }
        let mut bytes = Vec::new();
        builder.finish_into(&mut bytes).ok()?.then_some(bytes)
    }
}

/// A table's locator in memory, or the knowledge that it cannot be used.
#[derive(Debug)]
pub(crate) enum CachedLocator {
    Usable(Retrieval<Bytes>),
    /// Damaged: the index must be searched. `verify` says why.
    Unusable,
}

impl Resident for CachedLocator {
    fn weight(&self) -> usize {
        let bytes = match self {
            Self::Usable(locator) => locator.get_ref().len(),
            Self::Unusable => 0,
        };
        size_of::<Self>() + bytes
    }
}

impl CachedLocator {
    /// The number of the block in which the key of this hash is, if it is in the table; `None` if
    /// that is not known.
    pub(crate) fn block_number(&self, hash: u64) -> Option<usize> {
        match self {
            Self::Usable(locator) => Some(locator.get(hash).into()),
            Self::Unusable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_again_in_as_many_bits_as_they_take() {
        for (highest, bits) in [(0u64, 1), (1, 1), (255, 8), (4999, 13), (65_535, 16)] {
            let mut builder = LocatorBuilder::default();
            for i in 0..5000u64 {
                assert!(builder.add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15), i.min(highest)));
            }
            assert!(builder.add(7, highest));
            let locator = Retrieval::parse(builder.finish().unwrap()).unwrap();
            assert_eq!((locator.value_bits(), u64::from(locator.get(7))), (bits, highest));
            for i in 0..5000u64 {
                let found = locator.get(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                assert_eq!(u64::from(found), i.min(highest));
            }
        }
    }

    #[test]
    fn what_cannot_be_stored_makes_no_locator() {
        assert!(!LocatorBuilder::default().add(1, 65_536));
        let mut builder = LocatorBuilder::default();
        assert!(builder.add(1, 3) && builder.add(2, 5) && builder.add(1, 4));
        assert!(builder.finish().is_none());
        assert!(LocatorBuilder::default().finish().is_none());
    }
}
