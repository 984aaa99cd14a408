/// The one hash of a user key: XXH3, 64 bits, seed 0.
///
/// Computed once per key and shared by filters, key tags and caches. It is part of the formats.
///
/// ```
/// assert_eq!(stratal_types::key_hash(b""), 0x2d06_8005_38d3_94c2);
/// ```
#[inline]
pub fn key_hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}
