use alloc::vec::Vec;
use core::fmt;

use crate::{
    Error, Membership,
    header::{Answers, Body, Header},
    ribbon::{self, Columns, Entry, Mixed, Shape, scatter},
};

/// A function from hashes to small values, in the bytes it was written as.
///
/// It holds the values and not the hashes: 1.02 bits for each bit of a value, nothing for the hash.
/// For a hash that was not added it gives any value at all, so the owner must know from elsewhere
/// whether there is one.
///
/// ```
/// use stratal_filter::{Retrieval, RetrievalBuilder};
/// use stratal_types::key_hash;
///
/// let mut builder = RetrievalBuilder::new(3)?;
/// builder.add(key_hash(b"AD/Vila"), 5)?;
/// builder.add(key_hash(b"FR/Paris"), 2)?;
/// let mut bytes = vec![];
/// assert!(builder.finish_into(&mut bytes)?);
///
/// let levels = Retrieval::parse(&bytes[..])?;
/// assert_eq!(levels.get(key_hash(b"AD/Vila")), 5);
/// assert_eq!(levels.get(key_hash(b"FR/Paris")), 2);
/// # Ok::<(), stratal_filter::Error>(())
/// ```
#[derive(Clone)]
pub struct Retrieval<B> {
    bytes: B,
    keys: u64,
    shape: Shape,
}

impl<B: AsRef<[u8]>> Retrieval<B> {
    /// Reads the header and checks that `bytes` are one whole retrieval and nothing else. O(1).
    ///
    /// # Errors
    ///
    /// As [`Filter::parse`](crate::Filter::parse); [`Error::UnknownKind`] also for a filter.
    pub fn parse(bytes: B) -> Result<Self, Error> {
        let Header { keys, body, .. } = Header::decode(bytes.as_ref())?;
        match body {
            Body::Ribbon(Answers::Values, shape) => Ok(Self { bytes, keys, shape }),
            _ => Err(Error::UnknownKind { tag: body.tag() }),
        }
    }

    /// The value that was added with `hash`; some value if none was.
    #[inline]
    pub fn get(&self, hash: u64) -> u16 {
        self.shape.value(self.bytes.as_ref(), hash)
    }

    /// Bits of a value.
    pub fn value_bits(&self) -> u8 {
        self.shape.columns.whole
    }

    /// Hashes that were added.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// What holds the bytes.
    pub fn get_ref(&self) -> &B {
        &self.bytes
    }

    /// Gives back what holds the bytes.
    pub fn into_inner(self) -> B {
        self.bytes
    }
}

impl<B> fmt::Debug for Retrieval<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Retrieval").field(&self.keys).field(&self.shape).finish()
    }
}

/// Gathers hashes with values and writes a [`Retrieval`] of them.
///
/// Holds sixteen bytes per hash until it is written, and while it is, sixteen more and some 6 MiB or
/// less. May be used again after each, with its memory.
#[derive(Clone, Debug)]
pub struct RetrievalBuilder {
    pairs: Vec<(u64, u16)>,
    value_bits: u8,
}

impl RetrievalBuilder {
    /// Most bits of a value.
    pub const VALUE_BITS_MAX: u8 = Columns::MAX;

    /// An empty builder for values of so many bits.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSpec`] unless they are 1 to [`VALUE_BITS_MAX`](Self::VALUE_BITS_MAX).
    pub fn new(value_bits: u8) -> Result<Self, Error> {
        let max = Self::VALUE_BITS_MAX;
        if !(1..=max).contains(&value_bits) {
            let value = value_bits.into();
            return Err(Error::InvalidSpec {
                field: "value bits",
                value,
                min: 1.0,
                max: max.into(),
            });
        }
        Ok(Self { pairs: Vec::new(), value_bits })
    }

    /// Adds a hash with its value. The same hash may come again with the same value.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSpec`] if the value has more bits than were chosen; it is not added then.
    pub fn add(&mut self, hash: u64, value: u16) -> Result<(), Error> {
        let max = u16::MAX >> (Columns::MAX - self.value_bits);
        if value > max {
            let (value, max) = (value.into(), max.into());
            return Err(Error::InvalidSpec { field: "value", value, min: 0.0, max });
        }
        self.pairs.push((hash, value));
        Ok(())
    }

    /// Pairs held.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether no pair is held.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Appends a retrieval of the pairs to `out`, and forgets them. Whether one was written.
    ///
    /// None is if there are no pairs, if it would exceed 1 GiB, or in the case, not known to have
    /// happened, that no seed suits the hashes. The same pairs, in whichever order they were added,
    /// give the same bytes. O(pairs × log pairs).
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if a hash was added with two values. The pairs are forgotten even then.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        self.pairs.sort_unstable();
        self.pairs.dedup();
        let mut pairs = self.pairs.iter().zip(self.pairs.iter().skip(1));
        let conflict = pairs.find(|(a, b)| a.0 == b.0);
        let conflict = conflict.map(|(a, b)| Error::Conflict { hash: a.0, values: [a.1, b.1] });
        let written = conflict.is_none() && !self.is_empty() && self.write(out);
        self.pairs.clear();
        conflict.map_or(Ok(written), Err)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        let entries = |seed| {
            let pairs = self.pairs.iter();
            let pairs = pairs.map(|&(hash, value)| Pair(Mixed::first(hash, seed), value));
            let mut pairs: Vec<Pair> = pairs.collect();
            pairs.sort_unstable();
            pairs
        };
        let columns = Columns { whole: self.value_bits, extra: 0 };
        let header = |keys, shape| Header {
            membership: Membership::WholeKeys,
            keys,
            body: Body::Ribbon(Answers::Values, shape),
        };
        ribbon::write(columns, entries, header, out)
    }
}

/// A hash that is answered for with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair(Mixed, u16);

impl Entry for Pair {
    #[inline]
    fn mixed(self) -> Mixed {
        self.0
    }

    fn with_mixed(self, mixed: Mixed) -> Self {
        Self(mixed, self.1)
    }

    #[inline]
    fn result(self, _coefficients: u64) -> [u64; 2] {
        self.1.to_le_bytes().map(scatter)
    }
}
