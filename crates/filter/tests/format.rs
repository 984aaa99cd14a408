//! A second reader, written from `FORMAT.md` alone, bit by bit and without a thought of speed, agrees
//! with the crate about every hash.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::many_single_char_names,
    reason = "a test may panic, reads what the crate wrote, and names things as FORMAT.md does"
)]

use proptest::prelude::*;
use stratal_filter::{
    Filter, FilterKind, FilterSize, FilterSpec, Retrieval, RetrievalBuilder, build,
};
use stratal_types::key_hash;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_are_what_format_md_says(
        keys in 1..2000u64,
        kind in prop::sample::select(&FilterKind::ALL[..]),
        bits_per_key in 1.0..20.0f64,
    ) {
        let hashes: Vec<u64> = (0..keys).map(hash_of).collect();
        let mut bytes = vec![];
        let spec = FilterSpec { kind, size: FilterSize::BitsPerKey(bits_per_key) };
        prop_assert!(build(spec, &hashes, &mut bytes));
        let filter = Filter::parse(&bytes[..]).unwrap();
        for key in 0..keys + 500 {
            let found = filter.may_contain(hash_of(key));
            prop_assert_eq!(found, is_present(&bytes, hash_of(key)), "{}", key);
            prop_assert!(found || key >= keys);
        }
    }

    #[test]
    fn retrievals_are_what_format_md_says(keys in 1..2000u64, value_bits in 1..=16u8) {
        let mut builder = RetrievalBuilder::new(value_bits).unwrap();
        let value = |key: u64| (hash_of(!key) >> (64 - u32::from(value_bits))) as u16;
        for key in 0..keys {
            builder.add(hash_of(key), value(key)).unwrap();
        }
        let mut bytes = vec![];
        prop_assert!(builder.finish_into(&mut bytes).unwrap());
        let retrieval = Retrieval::parse(&bytes[..]).unwrap();
        for key in 0..keys + 100 {
            let answer = answer(&bytes, hash_of(key)).unwrap().value;
            prop_assert_eq!(u32::from(retrieval.get(hash_of(key))), answer);
            prop_assert!(key >= keys || answer == u32::from(value(key)));
        }
    }
}

fn hash_of(key: u64) -> u64 {
    key_hash(&key.to_le_bytes())
}

// Below: FORMAT.md in code.

fn is_present(bytes: &[u8], hash: u64) -> bool {
    if bytes[5] == 1 {
        return is_in_its_line(bytes, hash);
    }
    let Some(Answer { value, bits, f }) = answer(bytes, hash) else { return true };
    (0..bits).all(|j| {
        let of_f = if j < 8 { 8 * j } else { 8 * (j - 8) + 1 };
        u64::from(value >> j & 1) == f >> of_f & 1
    })
}

fn is_in_its_line(bytes: &[u8], hash: u64) -> bool {
    let line = (((hash >> 32) * u64::from(u32_at(bytes, 8))) >> 32) as usize;
    let mut s = hash as u32;
    (0..bytes[6]).all(|_| {
        let bit = (s >> 23) as usize;
        s = s.wrapping_mul(0x85eb_ca6b);
        bytes[64 + line * 64 + bit / 8] >> (bit % 8) & 1 == 1
    })
}

struct Answer {
    value: u32,
    bits: u8,
    f: u64,
}

/// `None` if the last layer bumps.
fn answer(bytes: &[u8], hash: u64) -> Option<Answer> {
    let (columns, extra, layers) = (usize::from(bytes[6]), usize::from(bytes[8]), bytes[9]);
    let mut m = mix(hash ^ u64_at(bytes, 24));
    let mut at = 64;
    for layer in 0..usize::from(layers) {
        let s = u32_at(bytes, 32 + 4 * layer) as usize;
        let w = (s * extra).div_ceil(256);
        let rows = &bytes[at..at + (s + 7) * columns];
        let extra_len = if w == 0 { 0 } else { w + 7 };
        let extra_column = &bytes[at + rows.len()..at + rows.len() + extra_len];
        let thresholds = &bytes[at + rows.len() + extra_len..][..s.div_ceil(32)];
        at += rows.len() + extra_len + thresholds.len();

        let start = (((m >> 32) * s as u64) >> 32) as usize;
        let number = start / 16;
        let threshold = thresholds[number / 2] >> (4 * (number % 2)) & 15;
        if (start % 16).min(14) < usize::from(threshold) {
            m = mix(m ^ 0xa076_1d64_78bd_642f);
            continue;
        }
        let c = coefficients(m);
        let sum = |slot_of: &dyn Fn(usize, usize) -> u8| {
            (0..64).fold(0, |sum, k| sum ^ ((c >> k) as u8 & slot_of(start + k / 8, k % 8) & 1))
        };
        let mut bits = columns as u8;
        let mut value = 0;
        for j in 0..columns {
            let slot = |row: usize, t: usize| rows[row * columns + j] >> t;
            value |= u32::from(sum(&slot)) << j;
        }
        if start < w {
            value |= u32::from(sum(&|row, t| extra_column[row] >> t)) << columns;
            bits += 1;
        }
        let z = u128::from(c) * 0xff51_afd7_ed55_8ccd;
        return Some(Answer { value, bits, f: (z ^ (z >> 64)) as u64 });
    }
    None
}

fn mix(x: u64) -> u64 {
    let y = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    y ^ (y >> 29)
}

fn coefficients(m: u64) -> u64 {
    let y = m.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    y ^ (y >> 32)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().unwrap())
}
