//! Sixty-four bytes a step; the last step reads under a mask.

use core::arch::x86_64::{
    __m512i, _mm512_mask_cmpeq_epi8_mask, _mm512_mask_cmplt_epu8_mask,
    _mm512_mask_cmplt_epu16_mask, _mm512_mask_cmplt_epu32_mask, _mm512_mask_cmplt_epu64_mask,
    _mm512_maskz_loadu_epi8, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_set1_epi64,
};

use crate::matches::STEP;

/// The first 64 bytes, zeros behind a shorter slice; and which they are.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2,popcnt")]
fn load(bytes: &[u8]) -> (__m512i, u64) {
    let lanes = match u64::BITS.checked_sub(u32::try_from(bytes.len()).unwrap_or(u64::BITS)) {
        Some(u64::BITS) => 0,
        Some(absent) => u64::MAX >> absent,
        None => u64::MAX,
    };
    // SAFETY: S2: `lanes` has no bit at or above the length of `bytes`.
    let vector = unsafe { _mm512_maskz_loadu_epi8(lanes, bytes.as_ptr().cast()) };
    (vector, lanes)
}

/// Bit `i` says whether `needle` is at place `i` among the first 64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2,popcnt")]
pub(crate) fn mask(bytes: &[u8], needle: u8) -> u64 {
    let (vector, lanes) = load(bytes);
    _mm512_mask_cmpeq_epi8_mask(lanes, vector, _mm512_set1_epi8(needle.cast_signed()))
}

macro_rules! ranks {
    ($($rank:ident, $number:ty, $mask:ty, $splat:ident, $below:ident;)*) => {
        $(
            /// How many numbers are below `needle`; `column` holds whole ones.
            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,bmi2,popcnt")]
            pub(crate) fn $rank(column: &[u8], needle: $number) -> usize {
                let needle = $splat(needle.cast_signed());
                let mut rank = 0;
                for bytes in column.chunks(STEP) {
                    let (vector, _) = load(bytes);
                    let numbers = bytes.len() / size_of::<$number>();
                    let lanes = <$mask>::MAX >> (<$mask>::BITS as usize - numbers);
                    rank += $below(lanes, vector, needle).count_ones() as usize;
                }
                rank
            }
        )*
    };
}

ranks! {
    rank_u8, u8, u64, _mm512_set1_epi8, _mm512_mask_cmplt_epu8_mask;
    rank_u16, u16, u32, _mm512_set1_epi16, _mm512_mask_cmplt_epu16_mask;
    rank_u32, u32, u16, _mm512_set1_epi32, _mm512_mask_cmplt_epu32_mask;
    rank_u64, u64, u8, _mm512_set1_epi64, _mm512_mask_cmplt_epu64_mask;
}
