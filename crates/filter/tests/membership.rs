//! What was added is found, and what was not is found as seldom as was promised.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a test may panic, and prints what it measured"
)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use stratal_filter::{Filter, FilterBuilder, FilterSpec, build};
use stratal_types::key_hash;

#[test]
fn a_million_keys_are_all_found() {
    let keys: Vec<u64> = (0..1_000_000u64).map(|i| key_hash(&i.to_le_bytes())).collect();
    let mut bytes = vec![];
    build(FilterSpec::default(), &keys, &mut bytes);
    let filter = Filter::parse(bytes).unwrap();
    let lost = keys.iter().filter(|&&key| !filter.may_contain(key)).count();
    assert_eq!(lost, 0);
    assert_eq!(filter.keys(), 1_000_000);
    assert!((filter.bits_per_key() - 10.0).abs() < 0.01);
}

/// Two thousand false positives or more each, so that chance moves the measured rate by some 2 %.
#[test]
fn measured_rates_are_within_a_tenth_of_theory() {
    for bits_per_key in [1.0, 2.0, 4.0, 6.5, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0] {
        agrees_with_theory(FilterSpec::BitsPerKey(bits_per_key));
    }
}

#[test]
fn measured_rates_are_what_was_asked_for() {
    for rate in [0.3, 0.1, 0.03, 0.01, 0.003, 0.001] {
        let measured = agrees_with_theory(FilterSpec::FalsePositiveRate(rate));
        assert!(measured < rate * 1.1, "{measured} for {rate}");
        assert!(measured > rate * 0.7, "{measured} for {rate}: bits were wasted");
    }
}

#[test]
fn an_empty_set_has_no_filter() {
    let mut bytes = b"before".to_vec();
    build(FilterSpec::default(), &[], &mut bytes);
    assert_eq!(bytes, b"before");
    assert_eq!(FilterBuilder::new(FilterSpec::default()).filter_len(), 0);
}

#[test]
fn a_builder_starts_afresh_after_each_filter() {
    let mut builder = FilterBuilder::new(FilterSpec::default());
    let (mut again, mut alone) = (vec![], vec![]);
    builder.add(1);
    builder.finish_into(&mut again);
    assert!(builder.is_empty());
    again.clear();
    builder.add(2);
    builder.finish_into(&mut again);
    build(FilterSpec::default(), &[2], &mut alone);
    assert_eq!(again, alone);
}

#[test]
fn a_hash_that_follows_itself_counts_once() {
    let mut builder = FilterBuilder::new(FilterSpec::default());
    for hash in [7, 7, 7, 8, 7] {
        builder.add(hash);
    }
    assert_eq!(builder.len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_added_is_found(
        hashes in hashes(),
        strangers in prop::collection::vec(any::<u64>(), 0..50),
        bits_per_key in 1.0..32.0f64,
    ) {
        let mut builder = FilterBuilder::new(FilterSpec::BitsPerKey(bits_per_key));
        for &hash in &hashes {
            builder.add(hash);
        }
        let mut bytes = vec![0xee; 3];
        let filter_len = builder.filter_len();
        builder.finish_into(&mut bytes);
        prop_assert_eq!(bytes.len(), 3 + filter_len);
        let filter = Filter::parse(&bytes[3..]).unwrap();
        prop_assert!((0.0..=1.0).contains(&filter.estimated_fpr()));
        prop_assert!(filter.bits_per_key() >= bits_per_key - 1.0 / 256.0);

        // One by one and together the answers are the same, and the set's members are found.
        let members: BTreeSet<u64> = hashes.iter().copied().collect();
        let asked: Vec<u64> = hashes.iter().chain(&strangers).copied().collect();
        let mut answers = vec![false; asked.len()];
        filter.may_contain_batch(&asked, &mut answers);
        for (hash, answer) in asked.into_iter().zip(answers) {
            prop_assert_eq!(answer, filter.may_contain(hash));
            prop_assert!(answer || !members.contains(&hash));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_answer(bytes in almost_a_filter(), hash: u64) {
        if let Ok(filter) = Filter::parse(&bytes[..]) {
            filter.may_contain(hash);
            prop_assert!((0.0..=1.0).contains(&filter.estimated_fpr()));
        }
    }
}

/// Spread hashes, and such that crowd into one line or differ only in their line.
fn hashes() -> impl Strategy<Value = Vec<u64>> {
    let any_hash = prop_oneof![
        any::<u64>(),
        any::<u32>().prop_map(u64::from),
        any::<u32>().prop_map(|high| u64::from(high) << 32),
        prop::sample::select(vec![0, 1, u64::MAX, u64::from(u32::MAX), 1 << 63]),
    ];
    prop::collection::vec(any_hash, 1..400)
}

/// Bytes whose header is right more often than chance would have it.
fn almost_a_filter() -> impl Strategy<Value = Vec<u8>> {
    let byte = |right: u8| prop_oneof![20 => Just(right), 1 => any::<u8>()];
    let header = (byte(1), byte(1), 0..20u8, byte(0), byte(2), any::<u64>());
    (header, prop::collection::vec(any::<u8>(), 126..=129)).prop_map(|(header, lines)| {
        let (version, kind, probes, reserved, line_count, keys) = header;
        let mut bytes = b"SFLT".to_vec();
        bytes.extend([version, kind, probes, reserved, line_count, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(keys.to_le_bytes());
        bytes.resize(64, 0);
        bytes.extend(lines);
        bytes
    })
}

/// Measures the rate over keys that were not added, and compares it with what filter and spec say.
#[track_caller]
fn agrees_with_theory(spec: FilterSpec) -> f64 {
    let keys: u64 = 100_000;
    let mut bytes = vec![];
    build(spec, &(0..keys).map(hash_of).collect::<Vec<_>>(), &mut bytes);
    let filter = Filter::parse(&bytes[..]).unwrap();

    let theory = filter.estimated_fpr();
    assert!((spec.expected_fpr() / theory - 1.0).abs() < 0.02, "{spec:?}: {theory}");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few millions")]
    let absent = (2_000.0 / theory) as u64;
    let absent = absent.max(20_000);
    let wrong = (keys..keys + absent).filter(|&key| filter.may_contain(hash_of(key))).count();
    let measured = wrong as f64 / absent as f64;
    println!("{spec:?}: theory {theory:.3e}, measured {measured:.3e}");
    assert!((measured / theory - 1.0).abs() < 0.1, "{spec:?}: {measured}, theory {theory}");
    measured
}

fn hash_of(key: u64) -> u64 {
    key_hash(&key.to_le_bytes())
}
