//! Unsigned integers of one to ten bytes: seven bits each, lowest first, the high bit set on all
//! but the last (LEB128).
//!
//! ```
//! use stratal_types::varint;
//! let mut bytes = vec![];
//! varint::put(&mut bytes, 300);
//! assert_eq!(bytes, [0xac, 0x02]);
//! let mut input = &bytes[..];
//! assert_eq!(varint::take(&mut input), Some(300));
//! assert!(input.is_empty());
//! ```

use alloc::vec::Vec;

/// Longest encoding, in bytes.
pub const LEN_MAX: usize = 10;

/// Appends `value`.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Bytes that [`put`] appends for `value`.
pub const fn len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Takes one integer off the front of `input`.
///
/// `None`, and `input` unchanged, if it ends too early, does not fit 64 bits, or was written in
/// more bytes than it needs: each value has exactly one encoding.
pub fn take(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (i, &byte) in input.iter().take(LEN_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i == LEN_MAX - 1 && byte > 1 {
            return None;
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            if byte == 0 && i > 0 {
                return None;
            }
            *input = input.get(i + 1..)?;
            return Some(value);
        }
    }
    None
}

/// Like [`take`], for a value that must fit a `u32`.
pub fn take_u32(input: &mut &[u8]) -> Option<u32> {
    let mut rest = *input;
    let value = u32::try_from(take(&mut rest)?).ok()?;
    *input = rest;
    Some(value)
}

/// Like [`take`], for a value that must fit a `usize` of this machine.
pub fn take_usize(input: &mut &[u8]) -> Option<usize> {
    let mut rest = *input;
    let value = usize::try_from(take(&mut rest)?).ok()?;
    *input = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_reads_back_and_every_cut_is_noticed(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = vec![];
            put(&mut bytes, value);
            prop_assert_eq!(bytes.len(), len(value));
            for cut in 0..bytes.len() {
                prop_assert_eq!(take(&mut &bytes[..cut]), None);
            }
            bytes.push(0xaa);
            let mut input = &bytes[..];
            prop_assert_eq!(take(&mut input), Some(value));
            prop_assert_eq!(input, &[0xaa]);
        }

        #[test]
        fn what_is_read_would_be_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut input = &bytes[..];
            if let Some(value) = take(&mut input) {
                let mut again = vec![];
                put(&mut again, value);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - input.len()]);
            } else {
                prop_assert_eq!(input, &bytes[..]);
            }
        }
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        let mut too_wide = vec![0xff; 9];
        too_wide.push(2);
        assert_eq!(take(&mut &too_wide[..]), None);
        assert_eq!(take(&mut &[0xff; 20][..]), None);
        assert_eq!(take_u32(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None);
    }
}
