//! Each hash gives the value it was added with.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test may panic, prints what it measured, and cuts values out of hashes"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use stratal_filter::{Error, Filter, FilterSpec, Retrieval, RetrievalBuilder, build};
use stratal_types::key_hash;

#[test]
fn a_million_values_of_each_width_take_little_more_than_their_bits() {
    for value_bits in [1, 4, 8, 9, 16] {
        let value = |key: u64| (hash_of(!key) >> (64 - value_bits)) as u16;
        let mut builder = RetrievalBuilder::new(value_bits).unwrap();
        for key in 0..1_000_000 {
            builder.add(hash_of(key), value(key)).unwrap();
        }
        let mut bytes = vec![];
        assert_eq!(builder.finish_into(&mut bytes), Ok(true));
        assert!(builder.is_empty());
        let retrieval = Retrieval::parse(&bytes[..]).unwrap();
        let wrong = (0..1_000_000).filter(|&key| retrieval.get(hash_of(key)) != value(key));
        assert_eq!(wrong.count(), 0);
        let bits = bytes.len() as f64 * 8.0 / 1e6;
        println!("{value_bits}-bit values: {bits:.3} bits per key");
        assert!(bits < 1.02 * f64::from(value_bits) + 0.04);
    }
}

#[test]
fn values_of_strangers_have_no_more_bits_than_others() {
    let mut builder = RetrievalBuilder::new(5).unwrap();
    (0..100).for_each(|key| builder.add(hash_of(key), 31).unwrap());
    let mut bytes = vec![];
    builder.finish_into(&mut bytes).unwrap();
    let retrieval = Retrieval::parse(bytes).unwrap();
    assert!((100..10_000).all(|key| retrieval.get(hash_of(key)) < 32));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for bits in [0, 17, 255] {
        let message = RetrievalBuilder::new(bits).unwrap_err().to_string();
        assert_eq!(message, format!("value bits is {bits}, allowed are 1 to 16"));
    }
    let mut builder = RetrievalBuilder::new(3).unwrap();
    let message = builder.add(1, 8).unwrap_err().to_string();
    assert_eq!(message, "value is 8, allowed are 0 to 7");
    assert!(builder.is_empty());
}

#[test]
fn a_hash_with_two_values_is_an_error_and_with_one_twice_is_none() {
    let mut builder = RetrievalBuilder::new(4).unwrap();
    let mut bytes = vec![];
    for (hash, value) in [(1, 2), (3, 4), (1, 2)] {
        builder.add(hash, value).unwrap();
    }
    assert_eq!(builder.finish_into(&mut bytes), Ok(true));
    assert_eq!(Retrieval::parse(&bytes[..]).unwrap().keys(), 2);

    bytes.clear();
    for (hash, value) in [(1, 2), (3, 4), (1, 5)] {
        builder.add(hash, value).unwrap();
    }
    let error = builder.finish_into(&mut bytes).unwrap_err();
    assert_eq!(error, Error::Conflict { hash: 1, values: [2, 5] });
    assert!(!error.is_corruption());
    assert_eq!(error.to_string(), "hash 0x0000000000000001 is to give both 2 and 5");
    assert!(bytes.is_empty() && builder.is_empty());
}

#[test]
fn no_pairs_are_no_retrieval() {
    let mut bytes = vec![];
    assert_eq!(RetrievalBuilder::new(1).unwrap().finish_into(&mut bytes), Ok(false));
    assert!(bytes.is_empty());
}

#[test]
fn a_filter_is_no_retrieval_and_the_other_way_round() {
    let (mut filter, mut retrieval) = (vec![], vec![]);
    build(FilterSpec::default(), &[1], &mut filter);
    let mut builder = RetrievalBuilder::new(1).unwrap();
    builder.add(1, 1).unwrap();
    builder.finish_into(&mut retrieval).unwrap();
    assert_eq!(Retrieval::parse(&filter[..]).unwrap_err(), Error::UnknownKind { tag: 1 });
    assert_eq!(Filter::parse(&retrieval[..]).unwrap_err(), Error::UnknownKind { tag: 4 });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_added_is_retrieved(
        pairs in prop::collection::btree_map(any::<u64>(), any::<u16>(), 1..600),
        value_bits in 1..=16u8,
    ) {
        let value = |value: u16| value >> (16 - value_bits);
        let mut builder = RetrievalBuilder::new(value_bits).unwrap();
        for (&hash, &wide) in &pairs {
            builder.add(hash, value(wide)).unwrap();
        }
        let mut bytes = vec![];
        prop_assert_eq!(builder.finish_into(&mut bytes), Ok(true));
        let retrieval = Retrieval::parse(&bytes[..]).unwrap();
        let retrieved: BTreeMap<u64, u16> =
            pairs.keys().map(|&hash| (hash, retrieval.get(hash))).collect();
        let expected: BTreeMap<u64, u16> =
            pairs.iter().map(|(&hash, &wide)| (hash, value(wide))).collect();
        prop_assert_eq!(retrieved, expected);
    }
}

fn hash_of(key: u64) -> u64 {
    key_hash(&key.to_le_bytes())
}
