//! Fixed-width fields, and checks at the end of what they check.

use core::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Error;

const CHECK_LEN: usize = 8;

/// The length of a slice as an amount of bytes in a file.
pub(crate) const fn len_u64(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

/// The part of `bytes` that stands at `range`, if they begin at `start`.
pub(crate) fn slice<'a>(start: u64, bytes: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
    bytes.get(from..to)
}

/// `fields` back to back, zeros behind them, and at the end the check of all that.
pub(crate) fn sealed<const N: usize>(fields: &[&[u8]]) -> [u8; N] {
    const { assert!(N >= CHECK_LEN, "no room for the check") };
    let mut bytes = [0; N];
    let (checked, check) = bytes.split_at_mut(N.saturating_sub(CHECK_LEN));
    for (to, from) in checked.iter_mut().zip(fields.iter().copied().flatten()) {
        *to = *from;
    }
    check.copy_from_slice(&check_of(checked, 0).to_le_bytes());
    bytes
}

/// What stands before the check at the end of `bytes`, which begin at `offset` of the file.
pub(crate) fn unsealed(bytes: &[u8], offset: u64, seed: u64) -> Result<&[u8], Error> {
    let truncated = Error::Truncated { expected: CHECK_LEN as u64, actual: len_u64(bytes) };
    let (checked, check) = bytes.split_last_chunk::<CHECK_LEN>().ok_or(truncated)?;
    let (expected, actual) = (u64::from_le_bytes(*check), check_of(checked, seed));
    if expected == actual { Ok(checked) } else { Err(Error::Checksum { offset, expected, actual }) }
}

/// The check: xxh3-64 with a seed.
pub(crate) fn check_of(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}
