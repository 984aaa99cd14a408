//! Every released version still reads; what the current one decides, it still writes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads its own golden files"
)]

use std::{fs, path::PathBuf};

use stratal_filter::{Filter, FilterKind, FilterSpec, annotate, build};
use stratal_types::{
    dump::{Dump, bytes_of},
    key_hash,
};

#[test]
fn v1_one_key() {
    reads_and_writes("v1/blocked_bloom_one_key", FilterSpec::default(), &["AD/Vila"], 6);
}

#[test]
fn v1_ten_bits_per_key() {
    reads_and_writes("v1/blocked_bloom_10_bits", FilterSpec::BitsPerKey(10.0), &LETTERS, 6);
}

#[test]
fn v1_fewest_bits_per_key() {
    reads_and_writes("v1/blocked_bloom_1_bit", FilterSpec::BitsPerKey(1.0), &LETTERS, 1);
}

#[test]
fn v1_most_bits_per_key() {
    reads_and_writes("v1/blocked_bloom_32_bits", FilterSpec::BitsPerKey(32.0), &LETTERS, 14);
}

#[test]
fn v1_by_rate() {
    let spec = FilterSpec::FalsePositiveRate(0.004);
    reads_and_writes("v1/blocked_bloom_rate_0_4_percent", spec, &LETTERS, 7);
}

#[test]
fn format_md_agrees_with_the_bytes_and_the_rustdoc() {
    let format_md = include_str!("../FORMAT.md");
    let path = format!("{}/tests/golden/v1/blocked_bloom_10_bits.dump", env!("CARGO_MANIFEST_DIR"));
    assert!(format_md.contains(&fs::read_to_string(path).unwrap()));

    let rustdoc =
        include_str!("../src/header.rs").lines().skip_while(|line| *line != "/// ```text");
    let diagram = rustdoc.skip(1).take_while(|line| *line != "/// ```");
    let diagram: String =
        diagram.flat_map(|line| [line.strip_prefix("/// ").unwrap(), "\n"]).collect();
    assert!(diagram.lines().count() > 5);
    assert!(format_md.contains(&diagram), "not in FORMAT.md:\n{diagram}");
}

/// The table of `FORMAT.md` is what the writer chooses.
#[test]
fn format_md_states_the_probes_and_rates_that_are_chosen() {
    let table: Vec<Vec<f64>> = include_str!("../FORMAT.md")
        .lines()
        .filter(|line| {
            line.starts_with("| bits") || line.starts_with("| probes") || line.starts_with("| rate")
        })
        .map(|line| line.split('|').filter_map(|cell| cell.trim().parse().ok()).collect())
        .collect();
    let [bits_per_key, probes, percents] = &table[..] else { panic!("{table:?}") };
    assert_eq!([bits_per_key.len(), probes.len(), percents.len()], [10; 3]);
    for ((&bits_per_key, probes), percent) in bits_per_key.iter().zip(probes).zip(percents) {
        let spec = FilterSpec::BitsPerKey(bits_per_key);
        let mut bytes = vec![];
        build(spec, &[1], &mut bytes);
        assert!((f64::from(bytes[6]) - probes).abs() < 0.1, "{spec:?}");
        let expected = spec.expected_fpr() * 100.0;
        assert!((expected / percent - 1.0).abs() < 0.01, "{spec:?}: {expected} %");
    }
}

const LETTERS: [&str; 26] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
    "t", "u", "v", "w", "x", "y", "z",
];

// Below: the only code here that knows the API. Tests above are data.

#[track_caller]
fn reads_and_writes(name: &str, spec: FilterSpec, keys: &[&str], probes: u8) {
    let hashes: Vec<u64> = keys.iter().map(|key| key_hash(key.as_bytes())).collect();
    let mut written = Vec::new();
    build(spec, &hashes, &mut written);

    let stored = golden(name, &dump(&written));
    let stored_bytes = bytes_of(&stored).unwrap();
    let filter = Filter::parse(&stored_bytes[..]).unwrap();
    assert_eq!(filter.kind(), FilterKind::BlockedBloom);
    assert_eq!(filter.keys(), hashes.len() as u64);
    assert_eq!(stored_bytes[6], probes);
    assert!(hashes.iter().all(|&hash| filter.may_contain(hash)), "{name}: a key is gone");
    assert_eq!(dump(&stored_bytes), stored);
    assert_eq!(stored_bytes, written, "{name} is released: a new layout is a new version");
}

fn dump(bytes: &[u8]) -> String {
    let mut dump = Dump::new(bytes);
    annotate(bytes, &mut dump);
    dump.finish()
}

/// The golden file. Written from `current` if it is missing and `UPDATE_GOLDEN=1` is set.
#[track_caller]
fn golden(name: &str, current: &str) -> String {
    let path = PathBuf::from(format!("{}/tests/golden/{name}.dump", env!("CARGO_MANIFEST_DIR")));
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, current).unwrap();
    }
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
