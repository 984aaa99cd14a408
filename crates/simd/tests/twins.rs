//! Every twin answers like the definition, on columns of any length at any address.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use stratal_simd::Simd;

/// Bytes of few values, so that there are matches, ties and extremes; and how many of them to leave
/// out at the front, so that numbers lie at any address.
fn column() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let few = prop::sample::select(vec![0u8, 1, 0x7f, 0x80, 0xfe, 0xff]);
    let byte = prop_oneof![2 => few, 1 => any::<u8>()];
    (prop::collection::vec(byte, 0..700), 0..8usize)
}

fn ascending<T: Ord, const N: usize>(
    bytes: &[u8],
    number: fn([u8; N]) -> T,
    back: fn(T) -> [u8; N],
) -> Vec<u8> {
    let mut numbers: Vec<T> = bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect();
    numbers.sort_unstable();
    numbers.into_iter().flat_map(back).collect()
}

/// Where, by definition, a byte stands.
fn places(column: &[u8], needle: u8) -> Vec<usize> {
    column.iter().enumerate().filter(|(_, byte)| **byte == needle).map(|(i, _)| i).collect()
}

macro_rules! check {
    ($bytes:expr, $needle:expr, $number:ty, $rank:ident) => {{
        let (bytes, needle): (&[u8], $number) = ($bytes, $needle);
        let mut padded = vec![0xaa; 3];
        padded.extend(ascending(bytes, <$number>::from_le_bytes, <$number>::to_le_bytes));
        let column = &padded[3..];
        let numbers = column.as_chunks().0.iter().map(|&bytes| <$number>::from_le_bytes(bytes));
        let rank = numbers.clone().filter(|&number| number < needle).count();
        let unordered = Simd::PORTABLE.$rank(bytes, needle);
        assert!(unordered <= bytes.len() / size_of::<$number>());
        for simd in Simd::all() {
            assert_eq!(simd.$rank(column, needle), rank, "{simd:?}");
            assert_eq!(simd.$rank(bytes, needle), unordered, "{simd:?}, not ascending");
            for (i, number) in numbers.clone().enumerate().step_by(7) {
                let rank = simd.$rank(column, number);
                assert!(rank <= i && numbers.clone().nth(rank) == Some(number), "{simd:?}");
            }
        }
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn twins_find_every_place_of_a_byte((bytes, skip) in column(), needle in any::<u8>()) {
        let column = bytes.get(skip..).unwrap_or_default();
        for needle in [needle, 0, 0x7f, 0x80, 0xff] {
            for simd in Simd::all() {
                let found: Vec<usize> = simd.match_u8(column, needle).collect();
                prop_assert_eq!(found, places(column, needle), "{:?}", simd);
            }
        }
    }

    #[test]
    fn twins_rank_alike_and_by_definition((bytes, skip) in column(), needle in any::<u64>()) {
        let column = bytes.get(skip..).unwrap_or_default();
        let [a, b, c, d, ..] = needle.to_le_bytes();
        check!(column, a, u8, rank_u8);
        check!(column, u16::from_le_bytes([a, b]), u16, rank_u16);
        check!(column, u32::from_le_bytes([a, b, c, d]), u32, rank_u32);
        check!(column, needle, u64, rank_u64);
        check!(column, u64::MAX, u64, rank_u64);
        check!(column, u8::MAX, u8, rank_u8);
        check!(column, 0, u32, rank_u32);
    }
}

#[test]
fn every_length_up_to_some_steps() {
    let bytes: Vec<u8> = (0..=255u8).cycle().map(|i| i.wrapping_mul(37)).take(300).collect();
    for len in 0..bytes.len() {
        let column = &bytes[..len];
        for simd in Simd::all() {
            for needle in [0, 37, 255] {
                let found: Vec<usize> = simd.match_u8(column, needle).collect();
                assert_eq!(found, places(column, needle), "{simd:?}, {len}");
            }
        }
        check!(column, 100, u8, rank_u8);
        check!(column, 30_000, u16, rank_u16);
        check!(column, 1 << 31, u32, rank_u32);
        check!(column, 1 << 63, u64, rank_u64);
    }
}

#[test]
fn the_best_twin_is_one_of_those_there_are() {
    let all: Vec<Simd> = Simd::all().collect();
    assert_eq!(all.first(), Some(&Simd::PORTABLE));
    assert_eq!(all.last(), Some(&Simd::detect()));
    assert_eq!(Simd::default(), Simd::detect());
}
