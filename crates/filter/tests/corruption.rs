//! Damaged filters are refused or still answer; nothing panics.
//!
//! A filter has no checksum of its own, so damage among its lines is for the block around it to
//! notice. What is checked here is that damage is harmless to the process, that it cannot pass as a
//! filter of another size, and that bits that were only added take nothing away.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and prints what it counted"
)]

use stratal_filter::{Error, Filter, FilterSpec, annotate, build};
use stratal_types::dump::{Dump, bytes_of};

const HEADER_LEN: usize = 64;

#[test]
fn every_flipped_bit() {
    let good = sample();
    let (mut refused, mut answered) = (0, 0);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let added = bad[bit / 8] > good[bit / 8];
        match probe_all(&bad) {
            Err(_) => refused += 1,
            Ok(found) => {
                answered += 1;
                let in_lines = bit / 8 >= HEADER_LEN;
                assert!(!(in_lines && added) || found == KEYS, "bit {bit} hid a key");
            }
        }
    }
    println!("bits flipped: {refused} refused, {answered} answered");
    // Only probes, keys and the lines themselves have more than one right value.
    assert_eq!(refused + answered, good.len() * 8);
    assert!(refused >= (HEADER_LEN - 9) * 8, "{refused}");
}

#[test]
fn every_byte_cleared_and_filled() {
    let good = sample();
    let (mut refused, mut answered) = (0, 0);
    for at in 0..good.len() {
        for value in [0, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            match probe_all(&bad) {
                Err(_) => refused += 1,
                Ok(found) => {
                    answered += 1;
                    let cleared = at >= HEADER_LEN && value == 0;
                    let probes = at == 6;
                    assert!(cleared || probes || found == KEYS, "byte {at} hid a key");
                }
            }
        }
    }
    println!("bytes overwritten: {refused} refused, {answered} answered");
}

#[test]
fn every_sector_zeroed_and_swapped() {
    let good = sample();
    let sectors = good.len().div_ceil(512);
    assert!(sectors >= 3);
    for a in 0..sectors {
        let mut bad = good.clone();
        let end = (a * 512 + 512).min(good.len());
        bad[a * 512..end].fill(0);
        assert_eq!(probe_all(&bad).is_err(), a == 0, "sector {a} zeroed");
        for b in a + 1..good.len() / 512 {
            let mut bad = good.clone();
            let (low, high) = bad.split_at_mut(b * 512);
            low[a * 512..a * 512 + 512].swap_with_slice(&mut high[..512]);
            assert_eq!(probe_all(&bad).is_err(), a == 0, "sectors {a} and {b} swapped");
        }
    }
}

#[test]
fn every_cut_asks_for_more_and_every_addition_is_refused() {
    let good = sample();
    for len in 0..good.len() {
        let error = probe_all(&good[..len]).unwrap_err();
        let Error::Truncated { needed, available } = error else { panic!("{len}: {error}") };
        assert!(available <= len as u64 && (len as u64) < needed, "{len}: {error}");
        assert!(!error.is_corruption());
    }
    for more in 1..200 {
        let mut long = good.clone();
        long.resize(good.len() + more, 0);
        assert!(probe_all(&long).unwrap_err().is_corruption(), "{more} more");
    }
}

#[test]
fn each_field_out_of_range_is_named() {
    let corrupt = [
        (0, &b"SFLU"[..], "not a filter: magic [53, 46, 4c, 55]", true),
        (4, &[2], "filter version is 2, the newest known is 1", false),
        (5, &[0], "unknown filter kind 0x00", false),
        (6, &[0], "probes is 0, allowed are 1 to 16", true),
        (6, &[17], "probes is 17, allowed are 1 to 16", true),
        (7, &[1], "reserved is 1, allowed are 0 to 0", true),
        (8, &[0, 0, 0, 0], "lines is 0, allowed are 1 to 16777216", true),
        (8, &[1, 0, 0, 1], "lines is 16777217, allowed are 1 to 16777216", true),
        (8, &[0, 0, 0, 1], "filter needs 1073741888 bytes, 1600 available", false),
        (8, &[1, 0, 0, 0], "length is 1600, allowed are 128 to 128", true),
        (15, &[9], "reserved is 9, allowed are 0 to 0", true),
        (16, &[0; 8], "keys is 0, allowed are 1 to 18446744073709551615", true),
        (63, &[0x80], "reserved is 128, allowed are 0 to 0", true),
    ];
    for (at, bytes, message, is_corruption) in corrupt {
        let mut bad = sample();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        let error = Filter::parse(&bad[..]).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.is_corruption(), is_corruption, "{error}");
    }
    assert!(matches!(Filter::parse(&[][..]), Err(Error::Truncated { needed: 64, available: 0 })));
}

/// The key count only serves estimates: an absurd one must not make them absurd or endless.
#[test]
fn an_absurd_key_count_estimates_a_full_filter() {
    let mut bad = sample();
    bad[16..24].fill(0xff);
    let filter = Filter::parse(&bad[..]).unwrap();
    assert!((filter.estimated_fpr() - 1.0).abs() < 1e-9);
    assert!(filter.bits_per_key() > 0.0);
}

/// A buffer that changes behind the filter's back.
#[test]
fn bytes_that_vanish_after_parsing_answer_maybe() {
    struct Vanishing(std::cell::Cell<bool>, Vec<u8>);
    impl AsRef<[u8]> for Vanishing {
        fn as_ref(&self) -> &[u8] {
            if self.0.replace(true) { &[] } else { &self.1 }
        }
    }
    let filter = Filter::parse(Vanishing(false.into(), sample())).unwrap();
    assert!(filter.may_contain(0));
}

// Below: the only code here that knows the API.

const KEYS: usize = 1200;

fn hashes() -> impl Iterator<Item = u64> {
    (1..=KEYS as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// 24 lines and a header: three sectors and a bit.
fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    build(FilterSpec::BitsPerKey(10.0), &hashes().collect::<Vec<_>>(), &mut bytes);
    bytes
}

/// Everything that can be asked of the bytes. How many of the hashes are found.
fn probe_all(bytes: &[u8]) -> Result<usize, Error> {
    let mut dump = Dump::new(bytes);
    annotate(bytes, &mut dump);
    assert_eq!(bytes_of(&dump.finish()).unwrap(), bytes);

    let filter = Filter::parse(bytes)?;
    assert!((0.0..=1.0).contains(&filter.estimated_fpr()));
    Ok(hashes().filter(|&hash| filter.may_contain(hash)).count())
}
