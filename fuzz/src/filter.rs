//! Filters: any bytes are refused or answer, and whatever was added is found.

use stratal_filter::{Filter, FilterSpec, annotate, build};
use stratal_types::dump::Dump;

/// Reads `data` as a filter, asks it everything, and describes it.
///
/// # Panics
///
/// If an estimate is no rate, or the answers together differ from those one by one.
pub fn parse_and_probe(data: &[u8]) {
    let mut dump = Dump::new(data);
    annotate(data, &mut dump);
    assert!(!dump.finish().contains("(not described)"));

    let Ok(filter) = Filter::parse(data) else { return };
    assert!((0.0..=1.0).contains(&filter.estimated_fpr()));
    assert!(filter.bits_per_key() > 0.0);
    let hashes: Vec<u64> = hashes_of(data).take(256).chain([0, u64::MAX]).collect();
    let mut answers = vec![false; hashes.len()];
    filter.may_contain_batch(&hashes, &mut answers);
    for (hash, answer) in hashes.into_iter().zip(answers) {
        assert_eq!(filter.may_contain(hash), answer);
    }
}

/// Builds a filter over the hashes in `data`, as sharp as its first two bytes say, and looks for
/// each of them.
///
/// # Panics
///
/// If a hash is not found, or what was written does not read.
pub fn build_and_probe(data: &[u8]) {
    let Some((&[low, high], data)) = data.split_first_chunk() else { return };
    let bits_per_key = f64::from(u16::from_le_bytes([low, high])) / 2048.0;
    let hashes: Vec<u64> = hashes_of(data).collect();
    let mut bytes = Vec::new();
    build(FilterSpec::BitsPerKey(bits_per_key), &hashes, &mut bytes);
    assert_eq!(bytes.is_empty(), hashes.is_empty());
    if hashes.is_empty() {
        return;
    }
    let filter = match Filter::parse(&bytes[..]) {
        Ok(filter) => filter,
        Err(error) => panic!("what was written does not read: {error}"),
    };
    assert!(hashes.iter().all(|&hash| filter.may_contain(hash)));
}

fn hashes_of(data: &[u8]) -> impl Iterator<Item = u64> {
    data.as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes))
}
