use twox_hash::XxHash3_64;

use crate::BlockId;

/// Which check protects a block. Both take 8 bytes of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Checksum {
    /// XXH3, 64 bits. The default: one undetected error in 2⁶⁴ of arbitrary damage.
    #[default]
    Xxh3,
    /// CRC-32C, 32 bits, the upper half of the field zero. Finds every burst of up to 32 bits; for
    /// exchange with hardware and tools that compute it anyway.
    Crc32c,
}

impl Checksum {
    /// The check of `covered`, header and payload, for the block that `id` names.
    #[inline]
    pub(crate) fn check(self, covered: &[u8], id: BlockId) -> u64 {
        match self {
            Self::Xxh3 => XxHash3_64::oneshot(covered) ^ self.identity(id),
            Self::Crc32c => u64::from(crc32c(covered)) ^ self.identity(id),
        }
    }

    /// The part of the check that depends on the identity alone.
    #[inline]
    pub(crate) fn identity(self, id: BlockId) -> u64 {
        match self {
            Self::Xxh3 => id.hash(),
            Self::Crc32c => id.hash() & u64::from(u32::MAX),
        }
    }
}

#[cfg(feature = "std")]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(not(feature = "std"))]
pub(crate) use portable::crc32c;

/// CRC-32C by tables, eight bytes a step: where no instructions may be asked for, and the twin that
/// the tests compare with.
#[cfg(any(test, not(feature = "std")))]
mod portable {
    /// The Castagnoli polynomial, bits reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;

    /// `TABLES[k][b]` is the remainder of byte `b` followed by `k` zero bytes.
    static TABLES: [[u32; 256]; 8] = tables();

    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "evaluated by the compiler, which would report an index out of bounds; \
                  the loop variables are below 256"
    )]
    const fn tables() -> [[u32; 256]; 8] {
        let mut tables = [[0; 256]; 8];
        let mut byte = 0;
        while byte < 256 {
            let mut remainder = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                let carry = remainder & 1;
                remainder >>= 1;
                if carry == 1 {
                    remainder ^= POLYNOMIAL;
                }
                bit += 1;
            }
            tables[0][byte] = remainder;
            byte += 1;
        }
        let mut k = 1;
        while k < 8 {
            let mut byte = 0;
            while byte < 256 {
                let shorter = tables[k - 1][byte];
                tables[k][byte] = (shorter >> 8) ^ tables[0][(shorter & 0xff) as usize];
                byte += 1;
            }
            k += 1;
        }
        tables
    }

    pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
        let (words, tail) = bytes.as_chunks::<8>();
        let mut crc = u32::MAX;
        for word in words {
            let bytes = (u64::from(crc) ^ u64::from_le_bytes(*word)).to_le_bytes();
            crc = TABLES.iter().rev().zip(bytes).fold(0, |crc, (table, byte)| {
                crc ^ table.get(usize::from(byte)).copied().unwrap_or_default()
            });
        }
        let [table, ..] = &TABLES;
        for byte in tail {
            let [low, ..] = crc.to_le_bytes();
            let remainder = table.get(usize::from(low ^ byte)).copied().unwrap_or_default();
            crc = (crc >> 8) ^ remainder;
        }
        !crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn crc32c_of_the_digits_is_the_published_value() {
        assert_eq!(portable::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(portable::crc32c(b""), 0);
    }

    #[test]
    fn both_ways_to_compute_crc32c_agree_at_every_length() {
        let bytes: Vec<u8> =
            (0u32..600).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        for len in 0..bytes.len() {
            assert_eq!(crc32c(&bytes[..len]), portable::crc32c(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn xxh3_agrees_with_another_implementation_at_every_length() {
        let bytes: Vec<u8> =
            (0u32..1500).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        for len in 0..bytes.len() {
            let bytes = &bytes[..len];
            assert_eq!(XxHash3_64::oneshot(bytes), xxhash_rust::xxh3::xxh3_64(bytes), "{len}");
        }
    }
}
