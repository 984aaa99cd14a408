use super::COLUMN;

/// Odd numbers without a pattern. Part of the format.
const MIX: u64 = 0xd6e8_feb8_6659_fd93;
const NEXT: u64 = 0xa076_1d64_78bd_642f;
const COEFFICIENTS: u64 = 0x9e37_79b9_7f4a_7c15;
const RESULT: u64 = 0xff51_afd7_ed55_8ccd;

/// A hash as one layer sees it: everything that the layer asks of the hash follows from it.
///
/// Different hashes are different in every layer. Their order is that of their starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mixed(u64);

impl Mixed {
    /// As the first layer sees `hash`.
    #[inline]
    pub(crate) fn first(hash: u64, seed: u64) -> Self {
        Self(mix(hash ^ seed))
    }

    /// As the layer behind sees what was bumped from this one.
    #[inline]
    pub(crate) fn next(self) -> Self {
        Self(mix(self.0 ^ NEXT))
    }

    /// The row, of `starts`, where its coefficients begin.
    #[inline]
    pub(crate) fn start(self, starts: u32) -> usize {
        let start = ((self.0 >> 32) * u64::from(starts)) >> 32;
        usize::try_from(start).unwrap_or(usize::MAX)
    }

    /// Which of the 64 bits of each column, from its start on, its equation adds up.
    #[inline]
    pub(crate) fn coefficients(self) -> u64 {
        let product = self.0.wrapping_mul(COEFFICIENTS);
        product ^ (product >> 32)
    }

    /// What the equation adds up to, as a fingerprint: one bit a column, see [`COLUMN`].
    #[inline]
    pub(crate) fn fingerprint(coefficients: u64) -> [u64; 2] {
        let (low, high) = coefficients.carrying_mul(RESULT, 0);
        let folded = low ^ high;
        [folded & COLUMN, (folded >> 1) & COLUMN]
    }
}

/// A permutation of 64-bit numbers that carries every bit upwards and the upper ones back down.
#[inline]
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 32)).wrapping_mul(MIX);
    x ^ (x >> 29)
}
