use stratal_types::FileUid;

/// What a block is for, in the numbering of whoever writes it.
///
/// Opaque here. A block sealed as one kind does not open as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKind(pub u8);

/// Who a block is: which file, where in it, in what role.
///
/// The reader supplies it from its own knowledge, never from the block. A block that was copied to
/// another place, file or role does not verify there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockId {
    /// The file's random identity.
    pub uid: FileUid,
    /// The block's number within the file, unique there. Often its offset.
    pub ordinal: u64,
    /// The block's role.
    pub kind: BlockKind,
}

impl BlockId {
    /// XXH3-64 of uid, ordinal (little-endian) and kind: what the identity adds to the check.
    //
    // The hash of 25 bytes, written out. Laying them down to have them hashed costs more than the
    // hash does: its second half is read across three writes that are still under way.
    #[inline]
    pub(crate) fn hash(self) -> u64 {
        let uid = u128::from_le_bytes(self.uid.0);
        let [first, second] = halves(uid);
        // The last sixteen bytes: seven of the uid, the ordinal, the kind.
        let third = second >> 8 | self.ordinal << 56;
        let fourth = self.ordinal >> 8 | u64::from(self.kind.0) << 56;
        let sum = (Self::LEN as u64)
            .wrapping_mul(PRIME64_1)
            .wrapping_add(folded(first ^ SECRET[0], second ^ SECRET[1]))
            .wrapping_add(folded(third ^ SECRET[2], fourth ^ SECRET[3]));
        let mixed = (sum ^ sum >> 37).wrapping_mul(PRIME_MX1);
        mixed ^ mixed >> 32
    }

    /// Length of the hashed form, in bytes.
    const LEN: usize = FileUid::LEN + size_of::<u64>() + 1;
}

/// Constants of XXH3: two primes, and the first 32 bytes of its secret.
const PRIME64_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_MX1: u64 = 0x1656_6791_9e37_79f9;
const SECRET: [u64; 4] =
    [0xbe4b_a423_396c_feb8, 0x1cad_21f7_2c81_017c, 0xdb97_9083_e96d_d4de, 0x1f67_b3b7_a4a4_4072];

/// The halves of the product, exclusive or.
const fn folded(a: u64, b: u64) -> u64 {
    let [low, high] = halves(a as u128 * b as u128);
    low ^ high
}

/// Low and high.
#[expect(clippy::cast_possible_truncation, reason = "that is what halves are")]
const fn halves(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn the_hash_is_xxh3_of_the_bytes_one_after_another() {
        for i in 0..2000u64 {
            let bytes = [xxh3_64(&i.to_le_bytes()), xxh3_64(&[1; 9]) ^ i << (i % 64)];
            let mut uid = [0; 16];
            uid[..8].copy_from_slice(&bytes[0].to_le_bytes());
            uid[8..].copy_from_slice(&bytes[1].to_le_bytes());
            let ordinal = if i % 3 == 0 { i } else { bytes[0].rotate_left(32) };
            let kind = uid[3];
            let laid_out: alloc::vec::Vec<u8> =
                uid.into_iter().chain(ordinal.to_le_bytes()).chain([kind]).collect();
            let id = BlockId { uid: FileUid(uid), ordinal, kind: BlockKind(kind) };
            assert_eq!(id.hash(), xxh3_64(&laid_out), "{id:?}");
        }
    }
}
