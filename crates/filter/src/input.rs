//! Taking fields off untrusted bytes.

use crate::Error;

/// The next `N` bytes of `input`, which is the rest of something of at least `whole` bytes.
pub(crate) fn take<const N: usize>(input: &mut &[u8], whole: u64) -> Result<[u8; N], Error> {
    let (field, rest) = input
        .split_first_chunk()
        .ok_or_else(|| Error::Truncated { needed: whole, available: len_u64(input.len()) })?;
    *input = rest;
    Ok(*field)
}

/// Refuses a field that no writer writes.
pub(crate) fn in_range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Error::Field { field, value, min, max }) }
}

/// A length or a count in memory as what formats store.
pub(crate) fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
