use crate::{Simd, level::Level, portable};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512};

/// Bytes that are compared at a time: as many as a mask has bits.
pub(crate) const STEP: usize = 64;

/// The places at which a byte stands in a column, ascending: what [`Simd::match_u8`] gives.
///
/// Looks at 64 bytes at a time, and at the next only when it is asked for more.
#[derive(Clone, Debug)]
pub struct Matches<'a> {
    simd: Simd,
    needle: u8,
    /// Matches that were found and not yet given: bit `i` is place `at + i`.
    bits: u64,
    at: usize,
    /// What was not looked at.
    rest: &'a [u8],
}

impl Simd {
    /// The places at which `needle` stands in `column`, ascending.
    #[inline]
    pub fn match_u8(self, column: &[u8], needle: u8) -> Matches<'_> {
        let (first, rest) = split(column);
        Matches { simd: self, needle, bits: self.mask(first, needle), at: 0, rest }
    }

    /// Bit `i` says whether `needle` is at place `i` of `bytes`, which are no more than [`STEP`].
    #[inline]
    fn mask(self, bytes: &[u8], needle: u8) -> u64 {
        match self.0 {
            Level::Portable => portable::mask(bytes, needle),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: S1.
            Level::Avx2 => unsafe { avx2::mask(bytes, needle) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: S1.
            Level::Avx512 => unsafe { avx512::mask(bytes, needle) },
        }
    }
}

impl Iterator for Matches<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            if self.rest.is_empty() {
                return None;
            }
            let (first, rest) = split(self.rest);
            self.bits = self.simd.mask(first, self.needle);
            self.rest = rest;
            self.at += STEP;
        }
        let place = self.at + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(place)
    }
}

#[inline]
fn split(column: &[u8]) -> (&[u8], &[u8]) {
    column.split_at_checked(STEP).unwrap_or((column, &[]))
}
