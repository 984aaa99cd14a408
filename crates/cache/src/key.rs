use std::{
    hash::{BuildHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

/// An open file, for as long as this process runs.
///
/// Never derived from a file's name or number: a file that is deleted, replaced or opened anew gets
/// a new id, so that nothing cached from the old one can be taken for its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u64);

impl FileId {
    /// An id that no other call returns.
    ///
    /// ```
    /// assert_ne!(stratal_cache::FileId::next(), stratal_cache::FileId::next());
    /// ```
    pub fn next() -> Self {
        // Not from `types::sync`: a static, which model checkers cannot have, and not shared state
        // whose order anything depends on.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The number behind it.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What a cached value was made of: a place in a file, and what it was made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheKey {
    /// The file.
    pub file: FileId,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// Tells apart what is made of the same bytes. Means nothing to the cache.
    pub role: u8,
}

impl CacheKey {
    /// Two words that differ when keys do; file ids stay far below 2⁵⁶.
    fn words(&self) -> (u64, u64) {
        ((self.file.0 << 8) | u64::from(self.role), self.offset)
    }

    /// One of `shards` shards, a power of two. Independent of [`KeyHasher`].
    pub(crate) fn shard(&self, shards: usize) -> usize {
        let (place, offset) = self.words();
        let mixed = (place.rotate_left(32) ^ offset).wrapping_mul(0xd6e8_feb8_6659_fd93);
        usize::try_from(mixed >> 40).unwrap_or(0) & (shards - 1)
    }
}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (place, offset) = self.words();
        state.write_u64(place);
        state.write_u64(offset);
    }
}

/// Hashes keys by multiplying and folding. Keys are chosen by this process, so that the hash needs
/// no secret; the same keys always land in the same places, and a run can be repeated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl KeyHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(0xa076_1d64_78bd_642f_u64);
        #[expect(clippy::cast_possible_truncation, reason = "the halves are folded")]
        let folded = (product >> 64) as u64 ^ product as u64;
        self.0 = folded;
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.mix(byte.into());
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for KeyHasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Blocks of a few files, as keys usually are.
    fn keys() -> impl Iterator<Item = CacheKey> {
        let place =
            |file, block: u64| CacheKey { file: FileId(file), offset: block * 4096, role: 1 };
        (0..16).flat_map(move |file| (0..4096).map(move |block| place(file, block)))
    }

    #[test]
    fn hashes_of_ordinary_keys_spread_over_every_bit() {
        let hashes: Vec<u64> = keys().map(|key| KeyHasher::default().hash_one(key)).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
        for bit in 0..64 {
            let set = hashes.iter().filter(|&&hash| hash >> bit & 1 == 1).count();
            assert!((set * 2).abs_diff(hashes.len()) < hashes.len() / 20, "bit {bit}: {set}");
        }
    }

    #[test]
    fn ordinary_keys_spread_over_the_shards() {
        for shards in [1, 2, 8, 64] {
            let mut counts = vec![0; shards];
            keys().for_each(|key| counts[key.shard(shards)] += 1);
            let fair = 16 * 4096 / shards;
            assert!(counts.iter().all(|count| count * 10 > fair * 9 && count * 9 < fair * 10));
        }
    }

    #[test]
    fn keys_that_differ_in_one_field_hash_differently() {
        let key = CacheKey { file: FileId(1), offset: 2, role: 3 };
        let others = [
            CacheKey { file: FileId(2), ..key },
            CacheKey { offset: 3, ..key },
            CacheKey { role: 4, ..key },
        ];
        let hash = |key| KeyHasher::default().hash_one(key);
        assert!(others.into_iter().all(|other| hash(other) != hash(key)));
    }
}
