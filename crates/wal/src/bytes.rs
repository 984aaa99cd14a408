//! Fixed-width fields.
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use crate::{Error, Lsn};

/// Takes `N` bytes off the front.
pub(crate) fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Error> {
    let truncated = Error::Truncated { needed: N as u64, available: input.len() as u64 };
    let (field, rest) = input.split_first_chunk::<N>().ok_or(truncated)?;
    *input = rest;
    Ok(*field)
}

pub(crate) fn take_u32(input: &mut &[u8]) -> Result<u32, Error> {
    take(input).map(u32::from_le_bytes)
}

pub(crate) fn take_u64(input: &mut &[u8]) -> Result<u64, Error> {
    take(input).map(u64::from_le_bytes)
}

pub(crate) fn take_lsn(input: &mut &[u8]) -> Result<Lsn, Error> {
    take_u64(input).map(Lsn)
}
