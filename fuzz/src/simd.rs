//! Columns: every twin that this processor has against the portable one, and that one against the
//! definition.

use stratal_simd::Simd;

/// The first byte is looked for in what follows.
pub fn match_u8(data: &[u8]) {
    let Some((&needle, column)) = data.split_first() else { return };
    let places = || (0..column.len()).filter(|&i| column[i] == needle);
    for simd in Simd::all() {
        assert!(simd.match_u8(column, needle).eq(places()), "{simd:?}");
    }
}

macro_rules! ranks {
    ($($rank:ident, $number:ty;)*) => {
        $(
            /// The first number is ranked in what follows, as it stands and in order.
            pub fn $rank(data: &[u8]) {
                let Some((needle, column)) = data.split_first_chunk() else { return };
                let needle = <$number>::from_le_bytes(*needle);
                let place = Simd::PORTABLE.$rank(column, needle);
                assert!(place <= column.len() / size_of::<$number>());
                let (numbers, _) = column.as_chunks();
                let mut ascending: Vec<$number> =
                    numbers.iter().map(|&number| <$number>::from_le_bytes(number)).collect();
                ascending.sort_unstable();
                let rank = ascending.partition_point(|&number| number < needle);
                let ascending: Vec<u8> =
                    ascending.into_iter().flat_map(<$number>::to_le_bytes).collect();
                for simd in Simd::all() {
                    assert_eq!(simd.$rank(column, needle), place, "{simd:?}, not ascending");
                    assert_eq!(simd.$rank(&ascending, needle), rank, "{simd:?}");
                }
            }
        )*
    };
}

ranks! {
    rank_u8, u8;
    rank_u16, u16;
    rank_u32, u32;
    rank_u64, u64;
}
