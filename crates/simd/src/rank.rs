use crate::{Simd, level::Level, portable};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512};

/// Numbers that are counted rather than searched: a few vector steps, none of them a surprise to the
/// processor.
const COUNTED_MAX: usize = 64;

macro_rules! ranks {
    ($($rank:ident, $number:ty;)*) => {
        impl Simd {
            $(
                /// How many numbers of an ascending column are below `needle`: the place of the first
                /// that is not. Bytes that make no whole number at the end are left out.
                ///
                /// Halves the column until 64 are left, and counts these. In a column that does not
                /// ascend the answer is some number up to the length, the same with every twin.
                #[inline]
                pub fn $rank(self, column: &[u8], needle: $number) -> usize {
                    let (mut column, _) = column.as_chunks();
                    let mut passed = 0;
                    while column.len() > COUNTED_MAX {
                        let (low, high) = column.split_at(column.len() / 2);
                        if high.first().is_some_and(|&first| <$number>::from_le_bytes(first) < needle) {
                            passed += low.len();
                            column = high;
                        } else {
                            column = low;
                        }
                    }
                    passed + match self.0 {
                        Level::Portable => portable::$rank(column, needle),
                        #[cfg(target_arch = "x86_64")]
                        // SAFETY: S1.
                        Level::Avx2 => unsafe { avx2::$rank(column.as_flattened(), needle) },
                        #[cfg(target_arch = "x86_64")]
                        // SAFETY: S1.
                        Level::Avx512 => unsafe { avx512::$rank(column.as_flattened(), needle) },
                    }
                }
            )*
        }
    };
}

ranks! {
    rank_u8, u8;
    rank_u16, u16;
    rank_u32, u32;
    rank_u64, u64;
}
