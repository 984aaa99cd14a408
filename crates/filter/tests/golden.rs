//! Every released version still reads; what the current one decides, it still writes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads its own golden files"
)]

use std::{fs, num::NonZeroU64, path::PathBuf};

use stratal_filter::{
    Filter, FilterBuilder, FilterKind, FilterSize, FilterSpec, Membership, Retrieval,
    RetrievalBuilder, annotate,
};
use stratal_types::{
    DelimitedPrefix, PrefixExtractor,
    dump::{Dump, bytes_of},
    key_hash,
};

#[test]
fn v1_one_key() {
    reads_and_writes("v1/blocked_bloom_one_key", FilterSpec::default(), &["AD/Vila"], 6);
}

#[test]
fn v1_ten_bits_per_key() {
    reads_and_writes("v1/blocked_bloom_10_bits", bloom(10.0), &LETTERS, 6);
}

#[test]
fn v1_fewest_bits_per_key() {
    reads_and_writes("v1/blocked_bloom_1_bit", bloom(1.0), &LETTERS, 1);
}

#[test]
fn v1_most_bits_per_key() {
    reads_and_writes("v1/blocked_bloom_32_bits", bloom(32.0), &LETTERS, 14);
}

#[test]
fn v1_by_rate() {
    let spec = FilterSize::FalsePositiveRate(0.004).into();
    reads_and_writes("v1/blocked_bloom_rate_0_4_percent", spec, &LETTERS, 7);
}

#[test]
fn v1_prefixes_and_keys() {
    let extractor = DelimitedPrefix::new(b'/');
    let membership = Membership::Both(extractor.id());
    let hashes = ["AD/Vila", "AD/", "FR/Paris", "FR/"].map(|key| key_hash(key.as_bytes()));
    for (name, spec) in [("blocked_bloom", bloom(10.0)), ("burr", burr(5.106))] {
        let builder = FilterBuilder::new(spec).with_membership(membership);
        reads_and_writes_filter(&format!("v1/{name}_prefixes"), builder, &hashes);
    }
    let foreign = NonZeroU64::MIN;
    let stored = bytes_of(&stored("v1/burr_prefixes")).unwrap();
    let filter = Filter::parse(&stored[..]).unwrap();
    assert!(!filter.may_contain_prefix(extractor.id(), key_hash(b"ES/")));
    assert!(filter.may_contain_prefix(foreign, key_hash(b"ES/")));
}

#[test]
fn v1_burr_one_key() {
    reads_and_writes("v1/burr_one_key", burr(10.0), &["AD/Vila"], 9);
}

#[test]
fn v1_burr_five_columns() {
    reads_and_writes("v1/burr_5_bits", burr(5.106), &LETTERS, 5);
}

#[test]
fn v1_burr_extra_column() {
    reads_and_writes("v1/burr_8_5_bits", burr(8.5), &LETTERS, 8);
}

#[test]
fn v1_burr_most_columns() {
    reads_and_writes("v1/burr_16_bits", burr(17.0), &LETTERS, 16);
}

/// Enough keys for a layer that bumps some to another.
#[test]
fn v1_burr_two_layers() {
    let keys: Vec<String> = (0..700).map(|i| format!("key {i}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    reads_and_writes("v1/burr_two_layers", burr(1.9), &keys, 1);
    let stored = bytes_of(&stored("v1/burr_two_layers")).unwrap();
    assert_eq!(stored[9], 2, "layers");
}

#[test]
fn v1_retrieval() {
    reads_and_writes_retrieval("v1/retrieval_3_bits", 3);
    reads_and_writes_retrieval("v1/retrieval_11_bits", 11);
}

#[test]
fn format_md_agrees_with_the_bytes_and_the_rustdoc() {
    let format_md = include_str!("../FORMAT.md");
    for name in ["blocked_bloom_10_bits", "burr_5_bits", "retrieval_3_bits"] {
        assert!(format_md.contains(&stored(&format!("v1/{name}"))), "{name}");
    }
    for source in [include_str!("../src/header.rs"), include_str!("../src/ribbon/shape.rs")] {
        let rustdoc = source.lines().skip_while(|line| *line != "/// ```text");
        let diagram = rustdoc.skip(1).take_while(|line| *line != "/// ```");
        let diagram: String =
            diagram.flat_map(|line| [line.strip_prefix("/// ").unwrap(), "\n"]).collect();
        assert!(diagram.lines().count() > 5);
        assert!(format_md.contains(&diagram), "not in FORMAT.md:\n{diagram}");
    }
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
        let spec = bloom(bits_per_key);
        let mut bytes = vec![];
        stratal_filter::build(spec, &[1], &mut bytes);
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

fn bloom(bits_per_key: f64) -> FilterSpec {
    FilterSize::BitsPerKey(bits_per_key).into()
}

fn burr(bits_per_key: f64) -> FilterSpec {
    FilterSpec { kind: FilterKind::Burr, size: FilterSize::BitsPerKey(bits_per_key) }
}

/// `parameter` is probes or columns.
#[track_caller]
fn reads_and_writes(name: &str, spec: FilterSpec, keys: &[&str], parameter: u8) {
    let hashes: Vec<u64> = keys.iter().map(|key| key_hash(key.as_bytes())).collect();
    let stored = reads_and_writes_filter(name, FilterBuilder::new(spec), &hashes);
    assert_eq!(Filter::parse(&stored[..]).unwrap().kind(), spec.kind);
    assert_eq!(stored[6], parameter);
}

#[track_caller]
fn reads_and_writes_filter(name: &str, mut builder: FilterBuilder, hashes: &[u64]) -> Vec<u8> {
    let mut written = Vec::new();
    for &hash in hashes {
        builder.add(hash);
    }
    assert!(builder.finish_into(&mut written));
    let stored = is_stored(name, &written);
    let filter = Filter::parse(&stored[..]).unwrap();
    assert_eq!(filter.keys(), hashes.len() as u64);
    assert!(hashes.iter().all(|&hash| filter.may_contain(hash)), "{name}: a key is gone");
    stored
}

/// Each letter with a value that follows from its place in the alphabet.
#[track_caller]
fn reads_and_writes_retrieval(name: &str, value_bits: u8) {
    let values = (1u16..).map(|place| (place * 79) & ((1 << value_bits) - 1));
    let pairs = LETTERS.iter().map(|letter| key_hash(letter.as_bytes())).zip(values);
    let mut builder = RetrievalBuilder::new(value_bits).unwrap();
    pairs.clone().for_each(|(hash, value)| builder.add(hash, value).unwrap());
    let mut written = Vec::new();
    assert!(builder.finish_into(&mut written).unwrap());
    let stored = is_stored(name, &written);
    let retrieval = Retrieval::parse(&stored[..]).unwrap();
    assert_eq!((retrieval.keys(), retrieval.value_bits()), (26, value_bits));
    for (hash, value) in pairs {
        assert_eq!(retrieval.get(hash), value, "{name}");
    }
}

/// What is stored under `name`, which is what was written now.
#[track_caller]
fn is_stored(name: &str, written: &[u8]) -> Vec<u8> {
    let stored = golden(name, &dump(written));
    let stored_bytes = bytes_of(&stored).unwrap();
    assert_eq!(dump(&stored_bytes), stored);
    assert_eq!(stored_bytes, written, "{name} is released: a new layout is a new version");
    stored_bytes
}

fn dump(bytes: &[u8]) -> String {
    let mut dump = Dump::new(bytes);
    annotate(bytes, &mut dump);
    dump.finish()
}

/// The golden file. Written from `current` if it is missing and `UPDATE_GOLDEN=1` is set.
#[track_caller]
fn golden(name: &str, current: &str) -> String {
    let path = path(name);
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, current).unwrap();
    }
    stored(name)
}

#[track_caller]
fn stored(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/tests/golden/{name}.dump", env!("CARGO_MANIFEST_DIR")))
}
