//! Thirty-two bytes a step; the last step overlaps the one before, and a column that is shorter than
//! one is left to the portable twin.

use core::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi8, _mm256_cmpeq_epi16, _mm256_cmpeq_epi32, _mm256_cmpgt_epi64,
    _mm256_loadu_si256, _mm256_max_epu8, _mm256_max_epu16, _mm256_max_epu32, _mm256_movemask_epi8,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_xor_si256,
};

use crate::portable;

/// Bytes of a vector.
const LEN: usize = 32;

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn load(bytes: &[u8; LEN]) -> __m256i {
    // SAFETY: S2: the array is as long as the vector.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// The lanes, by byte, of which every bit is set.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn lanes(vector: __m256i) -> u32 {
    _mm256_movemask_epi8(vector).cast_unsigned()
}

/// Bit `i` says whether `needle` is at place `i` among the first 64.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
pub(crate) fn mask(bytes: &[u8], needle: u8) -> u64 {
    let needles = _mm256_set1_epi8(needle.cast_signed());
    let (whole, tail) = bytes.as_chunks::<LEN>();
    let mut mask = 0;
    let mut shift = 0;
    for vector in whole.iter().take(2) {
        mask |= u64::from(lanes(_mm256_cmpeq_epi8(load(vector), needles))) << shift;
        shift += 32;
    }
    if !tail.is_empty() && shift < u64::BITS {
        let equal = match bytes.last_chunk() {
            Some(last) => lanes(_mm256_cmpeq_epi8(load(last), needles)) >> (LEN - tail.len()),
            None => return portable::mask(tail, needle),
        };
        mask |= u64::from(equal) << shift;
    }
    mask
}

/// Which 64-bit numbers are below: as signed ones, both shifted by half the range.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn below_u64(vector: __m256i, needle: __m256i) -> u32 {
    let half = _mm256_set1_epi64x(i64::MIN);
    lanes(_mm256_cmpgt_epi64(_mm256_xor_si256(needle, half), _mm256_xor_si256(vector, half)))
}

macro_rules! below {
    ($($below:ident, $max:ident, $equal:ident;)*) => {
        $(
            /// Which numbers are below: those that are not the higher one of both.
            #[inline]
            #[target_feature(enable = "avx2,popcnt")]
            fn $below(vector: __m256i, needle: __m256i) -> u32 {
                !lanes($equal($max(vector, needle), vector))
            }
        )*
    };
}

below! {
    below_u8, _mm256_max_epu8, _mm256_cmpeq_epi8;
    below_u16, _mm256_max_epu16, _mm256_cmpeq_epi16;
    below_u32, _mm256_max_epu32, _mm256_cmpeq_epi32;
}

macro_rules! ranks {
    ($($rank:ident, $number:ty, $splat:ident, $below:ident;)*) => {
        $(
            /// How many numbers are below `needle`; `column` holds whole ones.
            #[inline]
            #[target_feature(enable = "avx2,popcnt")]
            pub(crate) fn $rank(column: &[u8], needle: $number) -> usize {
                let needles = $splat(needle.cast_signed());
                let (whole, tail) = column.as_chunks::<LEN>();
                let mut lanes = 0;
                for vector in whole {
                    lanes += $below(load(vector), needles).count_ones();
                }
                if !tail.is_empty() {
                    lanes += match column.last_chunk() {
                        Some(last) => ($below(load(last), needles) >> (LEN - tail.len())).count_ones(),
                        None => return portable::$rank(tail.as_chunks().0, needle),
                    };
                }
                lanes as usize / size_of::<$number>()
            }
        )*
    };
}

ranks! {
    rank_u8, u8, _mm256_set1_epi8, below_u8;
    rank_u16, u16, _mm256_set1_epi16, below_u16;
    rank_u32, u32, _mm256_set1_epi32, below_u32;
    rank_u64, u64, _mm256_set1_epi64x, below_u64;
}
