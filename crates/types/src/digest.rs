use core::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{EntryRef, Trailer, key_hash};

/// A check of one entry that can travel with it, from the insert to the last compaction: 32 bits over
/// key, sequence number, kind and value.
///
/// ```text
/// content = XXH3-64(value) with seed XXH3-64(key)
/// digest  = (content XOR XXH3-64(trailer, u64 LE)) mod 2^32,   trailer = seqno * 2^8 + kind
/// ```
///
/// Any change is noticed but for one in 2^32. Whoever rewrites a trailer and leaves the content alone,
/// as compaction does, takes the digest along with [`moved`](Self::moved), which does not look at the
/// content: what was damaged before is still noticed after.
///
/// ```
/// use stratal_types::{EntryDigest, EntryKind, EntryRef, SeqNo, Trailer};
///
/// let put = |seqno: u32| Trailer::new(SeqNo::from(seqno), EntryKind::Put);
/// let digest = EntryDigest::of(EntryRef::new(b"AD/Vila", put(7), b"42.53 1.57"));
/// let other = EntryDigest::of(EntryRef::new(b"AD/Vila", put(0), b"42.53 1.57"));
/// assert_ne!(digest, other);
/// assert_eq!(digest.moved(put(7), put(0)), other);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryDigest(pub u32);

impl EntryDigest {
    /// The digest of an entry.
    pub fn of(entry: EntryRef<'_>) -> Self {
        Self::with_hash(key_hash(entry.key), entry.trailer, entry.value)
    }

    /// The same for a caller that has the key's [`key_hash`] already.
    pub fn with_hash(key_hash: u64, trailer: Trailer, value: &[u8]) -> Self {
        let content = xxh3_64_with_seed(value, key_hash);
        Self(low(content) ^ trailer_part(trailer))
    }

    /// Whether it is that of `entry`: false if either has changed since it was taken.
    pub fn fits(self, entry: EntryRef<'_>) -> bool {
        self == Self::of(entry)
    }

    /// The digest of the same content under another trailer.
    #[must_use]
    pub fn moved(self, from: Trailer, to: Trailer) -> Self {
        Self(self.0 ^ trailer_part(from) ^ trailer_part(to))
    }
}

impl fmt::Debug for EntryDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

fn trailer_part(trailer: Trailer) -> u32 {
    low(xxh3_64(&trailer.bits().to_le_bytes()))
}

fn low(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::{EntryKind, SeqNo};
    use alloc::vec::Vec;

    const KEY: &[u8] = b"AD/Canillo";
    const VALUE: [u8; 300] = [0x5a; 300];

    fn digest(key: &[u8], seqno: u32, kind: EntryKind, value: &[u8]) -> EntryDigest {
        EntryDigest::of(EntryRef::new(key, Trailer::new(SeqNo::from(seqno), kind), value))
    }

    /// Released: a different number would condemn entries that are whole.
    #[test]
    fn digests_are_what_they_were() {
        assert_eq!(digest(KEY, 7, EntryKind::Put, b"").0, 0x1c18_26a6);
        assert_eq!(digest(KEY, 7, EntryKind::Put, b"42.57 1.60").0, 0x06ed_8cfc);
        assert_eq!(digest(KEY, 7, EntryKind::Delete, &VALUE).0, 0x772a_b0ab);
    }

    #[test]
    fn every_flipped_bit_of_an_entry_changes_its_digest() {
        for len in [0, 1, 16, 17, 240, 241, 300] {
            let whole = digest(KEY, 7, EntryKind::Put, &VALUE[..len]);
            let flipped = |bytes: &[u8], bit: usize| {
                let mut bytes = Vec::from(bytes);
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            };
            for bit in 0..8 * KEY.len() {
                let key = flipped(KEY, bit);
                assert_ne!(digest(&key, 7, EntryKind::Put, &VALUE[..len]), whole, "key {bit}");
            }
            for bit in 0..8 * len {
                let value = flipped(&VALUE[..len], bit);
                assert_ne!(digest(KEY, 7, EntryKind::Put, &value), whole, "value {bit}");
            }
            for bit in 0..32 {
                let seqno = 7 ^ 1 << bit;
                assert_ne!(digest(KEY, seqno, EntryKind::Put, &VALUE[..len]), whole, "{bit}");
            }
            assert_ne!(digest(KEY, 7, EntryKind::Merge, &VALUE[..len]), whole);
        }
    }

    #[test]
    fn a_byte_that_goes_from_key_to_value_changes_the_digest() {
        assert_ne!(digest(b"ab", 1, EntryKind::Put, b"c"), digest(b"a", 1, EntryKind::Put, b"bc"));
    }
}
