//! One line: 512 bits that stand in one cache line, and the probes of a hash within it.
//!
//! The upper half of a hash chooses the line, the lower half the bits, so that the two choices are
//! independent. Bit `b` of a line is bit `b % 8` of byte `b / 8`; read as little-endian words of any
//! width it is the same bit, which is what lets a vector kernel share the format.

/// Bytes of a line.
pub(crate) const LINE_LEN: usize = 64;

/// Bits of a line.
pub(crate) const LINE_BITS: u16 = 512;

/// Takes the lower half of a hash from one probe to the next. Part of the format.
const MULTIPLIER: u32 = 0x85eb_ca6b;

pub(crate) type Line = [u8; LINE_LEN];

/// Which of `lines` lines a hash belongs to.
#[inline]
pub(crate) fn index_of(hash: u64, lines: u32) -> usize {
    let index = ((hash >> 32) * u64::from(lines)) >> 32;
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The little-endian 64-bit word of the line and the bit of the word that a probe looks at: the
/// state's upper nine bits.
#[inline]
fn place(state: u32) -> (usize, u32) {
    ((state >> 29) as usize, (state >> 23) & 63)
}

/// The states of a hash, one per probe.
#[inline]
fn states(hash: u64, probes: u8) -> impl Iterator<Item = u32> {
    let first = (hash & 0xffff_ffff) as u32;
    let next = |state: &u32| Some(state.wrapping_mul(MULTIPLIER));
    core::iter::successors(Some(first), next).take(probes.into())
}

/// Sets every bit of `hash`.
#[inline]
pub(crate) fn insert(line: &mut Line, hash: u64, probes: u8) {
    let words = line.as_chunks_mut().0;
    for state in states(hash, probes) {
        let (word, bit) = place(state);
        if let Some(word) = words.get_mut(word) {
            *word = (u64::from_le_bytes(*word) | 1 << bit).to_le_bytes();
        }
    }
}

/// Whether every bit of `hash` is set. Without a branch per probe: which probe fails first cannot be
/// predicted, and the whole line is in the nearest cache once its first byte is.
#[inline]
pub(crate) fn contains(line: &Line, hash: u64, probes: u8) -> bool {
    let words = line.as_chunks().0;
    let mut all = 1;
    for state in states(hash, probes) {
        let (word, bit) = place(state);
        all &= words.get(word).map_or(1, |&word| u64::from_le_bytes(word) >> bit);
    }
    all & 1 == 1
}
