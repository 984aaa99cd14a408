//! Fixed-width fields taken off the front of a slice: integers are little-endian, and every take is
//! checked against the bytes at hand.
//!
//! A format's own error says what is short by `From<Short>`.
//!
//! ```
//! use stratal_types::fields::{Short, take, take_u32};
//! let mut input = &b"SB\x07\x00\x00\x00"[..];
//! assert_eq!(take(&mut input), Ok(*b"SB"));
//! assert_eq!(take_u32(&mut input), Ok(7));
//! assert_eq!(take_u32(&mut input), Err(Short { needed: 4, available: 0 }));
//! ```

/// There are fewer bytes than a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// Bytes of the field.
    pub needed: u64,
    /// Bytes there are.
    pub available: u64,
}

/// Takes `N` bytes. Where there are fewer, `input` stays as it is; so with all that take here.
///
/// # Errors
///
/// [`Short`], if there are fewer.
#[inline]
pub fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Short> {
    let short = Short { needed: N as u64, available: input.len() as u64 };
    let (field, rest) = input.split_first_chunk::<N>().ok_or(short)?;
    *input = rest;
    Ok(*field)
}

/// Takes a `u32`.
///
/// # Errors
///
/// As [`take`].
#[inline]
pub fn take_u32(input: &mut &[u8]) -> Result<u32, Short> {
    take(input).map(u32::from_le_bytes)
}

/// Takes a `u64`.
///
/// # Errors
///
/// As [`take`].
#[inline]
pub fn take_u64(input: &mut &[u8]) -> Result<u64, Short> {
    take(input).map(u64::from_le_bytes)
}

/// Takes `len` bytes, without a copy.
///
/// # Errors
///
/// As [`take`].
pub fn take_slice<'a>(input: &mut &'a [u8], len: u64) -> Result<&'a [u8], Short> {
    let short = Short { needed: len, available: input.len() as u64 };
    let len = usize::try_from(len).ok();
    let (bytes, rest) = len.and_then(|len| input.split_at_checked(len)).ok_or(short)?;
    *input = rest;
    Ok(bytes)
}
