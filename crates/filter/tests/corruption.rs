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

use std::num::NonZeroU64;

use stratal_filter::{
    Error, Filter, FilterBuilder, FilterKind, FilterSize, FilterSpec, Membership, Retrieval,
    RetrievalBuilder, annotate, build,
};
use stratal_types::dump::{Dump, bytes_of};

const HEADER_LEN: usize = 64;

#[test]
fn every_flipped_bit() {
    for Sample { name, bytes: good, free_header_bits } in samples() {
        let (mut refused, mut answered) = (0, 0);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let added = bad[bit / 8] > good[bit / 8];
            match probe_all(&bad) {
                Err(_) => refused += 1,
                Ok(found) => {
                    answered += 1;
                    let in_lines = name.starts_with("bloom") && bit / 8 >= HEADER_LEN;
                    assert!(!(in_lines && added) || found == KEYS, "{name}: bit {bit} hid a key");
                }
            }
        }
        println!("{name}: bits flipped: {refused} refused, {answered} answered");
        // Only some fields, and what follows the header, have more than one right value.
        assert_eq!(refused + answered, good.len() * 8);
        assert!(refused >= HEADER_LEN * 8 - free_header_bits, "{name}: {refused}");
    }
}

#[test]
fn every_byte_cleared_and_filled() {
    for Sample { name, bytes: good, .. } in samples() {
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
                        let may_hide = cleared || probes || !name.starts_with("bloom");
                        assert!(may_hide || found == KEYS, "{name}: byte {at} hid a key");
                    }
                }
            }
        }
        println!("{name}: bytes overwritten: {refused} refused, {answered} answered");
    }
}

/// Each sector is zeroed, swapped with each other, and replaced by each of another file.
#[test]
fn every_sector_zeroed_swapped_and_replaced() {
    let samples = samples();
    for (index, Sample { name, bytes: good, .. }) in samples.iter().enumerate() {
        let sectors = good.len().div_ceil(512);
        assert!(sectors >= 2, "{name}");
        let (mut refused, mut answered) = (0, 0);
        let mut count = |bad: &[u8], headless: bool| {
            let is_refused = probe_all(bad).is_err();
            assert!(is_refused || !headless, "{name}: the header is gone");
            refused += usize::from(is_refused);
            answered += usize::from(!is_refused);
        };
        for a in 0..sectors {
            let range = a * 512..(a * 512 + 512).min(good.len());
            let mut bad = good.clone();
            bad[range.clone()].fill(0);
            count(&bad, a == 0);
            for b in a + 1..good.len() / 512 {
                let mut bad = good.clone();
                let (low, high) = bad.split_at_mut(b * 512);
                low[range.clone()].swap_with_slice(&mut high[..512]);
                count(&bad, a == 0);
            }
            for (other, Sample { bytes: foreign, .. }) in samples.iter().enumerate() {
                if let Some(sector) = foreign.get(range.clone()).filter(|_| other != index) {
                    let mut bad = good.clone();
                    bad[range.clone()].copy_from_slice(sector);
                    count(&bad, false);
                }
            }
        }
        println!("{name}: sectors changed: {refused} refused, {answered} answered");
    }
}

#[test]
fn every_cut_asks_for_more_and_every_addition_is_refused() {
    for Sample { name, bytes: good, .. } in samples() {
        for len in 0..good.len() {
            let error = probe_all(&good[..len]).unwrap_err();
            let Error::Truncated { needed, available } = error else {
                panic!("{name}, {len}: {error}")
            };
            assert!(available <= len as u64 && (len as u64) < needed, "{name}, {len}: {error}");
            assert!(!error.is_corruption());
        }
        for more in 1..200 {
            let mut long = good.clone();
            long.resize(good.len() + more, 0);
            assert!(probe_all(&long).unwrap_err().is_corruption(), "{name}: {more} more");
        }
        println!("{name}: {} cuts and 199 additions refused", good.len());
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
        (7, &[1], "extractor is 0, allowed are 1 to 18446744073709551615", true),
        (7, &[3], "membership is 3, allowed are 0 to 2", true),
        (8, &[0, 0, 0, 0], "lines is 0, allowed are 1 to 16777216", true),
        (8, &[1, 0, 0, 1], "lines is 16777217, allowed are 1 to 16777216", true),
        (8, &[0, 0, 0, 1], "filter needs 1073741888 bytes, 1600 available", false),
        (8, &[1, 0, 0, 0], "length is 1600, allowed are 128 to 128", true),
        (15, &[9], "reserved is 9, allowed are 0 to 0", true),
        (16, &[0; 8], "keys is 0, allowed are 1 to 18446744073709551615", true),
        (55, &[0x80], "reserved is 128, allowed are 0 to 0", true),
        (56, &[1], "extractor is 1, allowed are 0 to 0", true),
    ];
    for (at, bytes, message, is_corruption) in corrupt {
        is_named(&sample(), at, bytes, message, is_corruption);
    }
    assert!(matches!(Filter::parse(&[][..]), Err(Error::Truncated { needed: 64, available: 0 })));
}

#[test]
fn each_field_of_a_ribbon_out_of_range_is_named() {
    let filter = burr(8.5);
    let corrupt = [
        (5, &[3][..], "unknown filter kind 0x03", false),
        (5, &[4], "extra is 83, allowed are 0 to 0", true),
        (6, &[0], "columns is 0, allowed are 1 to 16", true),
        (6, &[17], "columns is 17, allowed are 1 to 16", true),
        (6, &[16], "extra is 83, allowed are 0 to 0", true),
        (9, &[0], "layers is 0, allowed are 1 to 4", true),
        (9, &[5], "layers is 5, allowed are 1 to 4", true),
        (9, &[1], "starts is 1, allowed are 0 to 0", true),
        (9, &[3], "starts is 0, allowed are 1 to 67108864", true),
        (10, &[1], "reserved is 1, allowed are 0 to 0", true),
        (15, &[7], "reserved is 7, allowed are 0 to 0", true),
        (16, &[0; 8], "keys is 0, allowed are 1 to 18446744073709551615", true),
        (32, &[0; 4], "starts is 0, allowed are 1 to 67108864", true),
        (32, &[1, 0, 0, 4], "starts is 67108865, allowed are 1 to 67108864", true),
        (32, &[0, 0, 0, 4], "filter needs 560726224 bytes, 1421 available", false),
        (32, &[1, 0, 0, 0], "length is 1421, allowed are 218 to 218", true),
        (48, &[2], "reserved is 2, allowed are 0 to 0", true),
        (56, &[1], "extractor is 1, allowed are 0 to 0", true),
    ];
    for (at, bytes, message, is_corruption) in corrupt {
        is_named(&filter, at, bytes, message, is_corruption);
    }
    is_named(&filter, filter.len() - 1, &[6], "reserved is 6, allowed are 0 to 0", true);
    let (at, message) = (7, "membership is 1, allowed are 0 to 0");
    let Sample { bytes, .. } = samples().pop().unwrap();
    let mut bad = bytes;
    bad[at] = 1;
    assert_eq!(Retrieval::parse(&bad[..]).unwrap_err().to_string(), message);
}

/// Thresholds that bump everything from every layer: nobody answers, so nothing is denied.
#[test]
fn what_every_layer_bumps_may_be_there() {
    let mut bad = burr(8.5);
    let denied = |bytes: &[u8]| {
        let filter = Filter::parse(bytes).unwrap();
        hashes().filter(|&hash| !filter.may_contain(!hash)).count()
    };
    assert!(denied(&bad) > 1000);
    let padding = bad.len() - 8;
    bad[HEADER_LEN..padding].fill(0xff);
    assert_eq!(denied(&bad), 0);
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
    for bytes in [sample(), burr(8.5), burr(12.3)] {
        let filter = Filter::parse(Vanishing(false.into(), bytes)).unwrap();
        filter.prefetch(0);
        assert!(filter.may_contain(0));
        let mut answers = [false; 3];
        filter.may_contain_batch(&[1, 2, 3], &mut answers);
        assert_eq!(answers, [true; 3]);
    }
    let retrieval = Retrieval::parse(Vanishing(false.into(), retrieval(11))).unwrap();
    assert_eq!(retrieval.get(0), 0);
}

// Below: the only code here that knows the API.

const KEYS: usize = 1200;

fn hashes() -> impl Iterator<Item = u64> {
    (1..=KEYS as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Good bytes, and how many bits of their header have more than one right value.
struct Sample {
    name: &'static str,
    bytes: Vec<u8>,
    free_header_bits: usize,
}

/// Each kind, with few columns and many, an extra one and none, with prefixes and without. A
/// retrieval is the last.
fn samples() -> Vec<Sample> {
    let extractor = NonZeroU64::new(0x5555_5555_5555_5555).unwrap();
    let mut with_prefixes = FilterBuilder::new(FilterSpec {
        kind: FilterKind::Burr,
        size: FilterSize::BitsPerKey(4.0),
    })
    .with_membership(Membership::Both(extractor));
    hashes().for_each(|hash| with_prefixes.add(hash));
    let mut burr_prefixes = Vec::new();
    with_prefixes.finish_into(&mut burr_prefixes);

    // Probes and keys; extra, keys and seed; and with them membership and extractor.
    let (of_bloom, of_burr, of_prefixes) = (8 + 64, 8 + 64 + 64, 8 + 64 + 64 + 2 + 64);
    let sample = |name, bytes, free_header_bits| Sample { name, bytes, free_header_bits };
    vec![
        sample("bloom", self::sample(), of_bloom),
        sample("burr of 8 columns and an extra one", burr(8.5), of_burr),
        sample("burr of 12 columns", burr(12.3), of_burr),
        sample("burr of 3 columns over prefixes", burr_prefixes, of_prefixes),
        sample("retrieval of 11 bits", retrieval(11), of_burr),
    ]
}

/// A blocked Bloom filter of 24 lines and a header: three sectors and a bit.
fn sample() -> Vec<u8> {
    built(FilterSpec::default())
}

fn burr(bits_per_key: f64) -> Vec<u8> {
    built(FilterSpec { kind: FilterKind::Burr, size: FilterSize::BitsPerKey(bits_per_key) })
}

fn built(spec: FilterSpec) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(build(spec, &hashes().collect::<Vec<_>>(), &mut bytes));
    bytes
}

fn retrieval(value_bits: u8) -> Vec<u8> {
    let mut builder = RetrievalBuilder::new(value_bits).unwrap();
    hashes().for_each(|hash| builder.add(hash, value_of(hash) >> (16 - value_bits)).unwrap());
    let mut bytes = Vec::new();
    assert!(builder.finish_into(&mut bytes).unwrap());
    bytes
}

fn value_of(hash: u64) -> u16 {
    let [low, high, ..] = hash.rotate_left(24).to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// `good` is refused with `message` once it has `bytes` at `at`.
#[track_caller]
fn is_named(good: &[u8], at: usize, bytes: &[u8], message: &str, is_corruption: bool) {
    let mut bad = good.to_vec();
    bad[at..at + bytes.len()].copy_from_slice(bytes);
    let error = Filter::parse(&bad[..]).unwrap_err();
    assert_eq!(error.to_string(), message);
    assert_eq!(error.is_corruption(), is_corruption, "{error}");
}

/// Everything that can be asked of the bytes. How many of the hashes are found, or retrieved.
fn probe_all(bytes: &[u8]) -> Result<usize, Error> {
    let mut dump = Dump::new(bytes);
    annotate(bytes, &mut dump);
    assert_eq!(bytes_of(&dump.finish()).unwrap(), bytes);

    match Filter::parse(bytes) {
        Ok(filter) => {
            assert!((0.0..=1.0).contains(&filter.estimated_fpr()));
            assert!(filter.bits_per_key() > 0.0);
            filter.prefetch(0);
            Ok(hashes().filter(|&hash| filter.may_contain(hash)).count())
        }
        Err(Error::UnknownKind { tag: 4 }) => {
            let retrieval = Retrieval::parse(bytes)?;
            let value_max = u16::MAX >> (16 - retrieval.value_bits());
            Ok(hashes().filter(|&hash| retrieval.get(hash) <= value_max).count())
        }
        Err(error) => Err(error),
    }
}
