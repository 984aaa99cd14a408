//! The twins that run everywhere: what the others must agree with.

const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// Brings the highest bit of each byte down, the lowest byte's first, into the highest byte.
const GATHER: u64 = 0x0102_0408_1020_4080;

/// Eight bytes at a time, as a number.
#[inline]
pub(crate) fn mask(bytes: &[u8], needle: u8) -> u64 {
    let pattern = u64::from_le_bytes([needle; 8]);
    let (words, tail) = bytes.as_chunks::<8>();
    let mut mask = 0;
    let mut shift = 0;
    for word in words {
        let difference = u64::from_le_bytes(*word) ^ pattern;
        // The highest bit of each byte that is zero, and no other bit: no carry leaves its byte.
        let zeros = !(((difference & LOW_BITS) + LOW_BITS) | difference | LOW_BITS);
        mask |= ((zeros >> 7).wrapping_mul(GATHER) >> 56) << shift;
        shift += 8;
    }
    for &byte in tail {
        mask |= u64::from(byte == needle) << shift;
        shift += 1;
    }
    mask
}

macro_rules! ranks {
    ($($rank:ident, $number:ty;)*) => {
        $(
            #[inline]
            pub(crate) fn $rank(column: &[[u8; size_of::<$number>()]], needle: $number) -> usize {
                column.iter().filter(|&&number| <$number>::from_le_bytes(number) < needle).count()
            }
        )*
    };
}

ranks! {
    rank_u8, u8;
    rank_u16, u16;
    rank_u32, u32;
    rank_u64, u64;
}
