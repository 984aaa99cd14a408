//! Filters and retrievals: any bytes are refused or answer, and whatever was added is found.

use std::collections::BTreeMap;

use stratal_filter::{
    Filter, FilterBuilder, FilterKind, FilterSize, FilterSpec, Membership, Retrieval,
    RetrievalBuilder, annotate,
};
use stratal_types::{FixedPrefix, PrefixExtractor, dump::Dump};

/// Keys of the filter that is damaged: more than one layer of BuRR.
const KEYS: u64 = 600;

/// Reads `data` as a filter and as a retrieval, asks it everything, and describes it.
///
/// # Panics
///
/// If an estimate is no rate, the answers together differ from those one by one, or a value has more
/// bits than values have.
pub fn parse_and_probe(data: &[u8]) {
    let mut dump = Dump::new(data);
    annotate(data, &mut dump);
    assert!(!dump.finish().contains("(not described)"));

    let hashes: Vec<u64> = hashes_of(data).take(256).chain([0, u64::MAX]).collect();
    if let Ok(retrieval) = Retrieval::parse(data) {
        let value_max = u16::MAX >> (16 - retrieval.value_bits());
        assert!(hashes.iter().all(|&hash| retrieval.get(hash) <= value_max));
    }
    let Ok(filter) = Filter::parse(data) else { return };
    assert!((0.0..=1.0).contains(&filter.estimated_fpr()));
    assert!(filter.bits_per_key() > 0.0);
    let mut answers = vec![false; hashes.len()];
    filter.may_contain_batch(&hashes, &mut answers);
    for (hash, answer) in hashes.into_iter().zip(answers) {
        assert_eq!(filter.may_contain(hash), answer);
    }
}

/// A whole filter or retrieval with a few bytes changed.
///
/// The first byte says which; the rest is read as triples: two bytes of offset, one to change the
/// byte there.
///
/// # Panics
///
/// As [`parse_and_probe`].
pub fn damaged(data: &[u8]) {
    let Some((&what, data)) = data.split_first() else { return };
    let hashes = (0..KEYS).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = if what % 8 == 0 {
        retrieval(what >> 4, hashes.map(|hash| (hash, hash.to_le_bytes()[4].into())))
    } else {
        filter(what, f64::from(what >> 4) + 1.0, hashes)
    };
    for change in data.as_chunks::<3>().0 {
        let [low, high, flip] = *change;
        let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= flip;
        }
    }
    parse_and_probe(&bytes);
}

/// Builds a filter over the hashes in `data`, of the kind and as sharp as its first three bytes say,
/// and looks for each of them.
///
/// # Panics
///
/// If a hash is not found, or what was written does not read.
pub fn build_and_probe(data: &[u8]) {
    let Some((&[what, low, high], data)) = data.split_first_chunk() else { return };
    let bits_per_key = f64::from(u16::from_le_bytes([low, high])) / 2048.0;
    let hashes: Vec<u64> = hashes_of(data).collect();
    let bytes = filter(what, bits_per_key, hashes.iter().copied());
    assert_eq!(bytes.is_empty(), hashes.is_empty());
    if hashes.is_empty() {
        return;
    }
    let filter = match Filter::parse(&bytes[..]) {
        Ok(filter) => filter,
        Err(error) => panic!("what was written does not read: {error}"),
    };
    assert!(hashes.iter().all(|&hash| filter.may_contain(hash)));
    let extractor = extractor();
    assert!(hashes.iter().all(|&hash| filter.may_contain_prefix(extractor.id(), hash)));
}

/// Builds a retrieval of the values in `data`, pairs of a hash and two bytes, and asks for each.
///
/// # Panics
///
/// If another value than the one added is retrieved, or what was written does not read.
pub fn build_and_retrieve(data: &[u8]) {
    let Some((&bits, data)) = data.split_first() else { return };
    let pairs = data.as_chunks::<10>().0.iter().map(|&[a, b, c, d, e, f, g, h, low, high]| {
        (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u16::from_le_bytes([low, high]))
    });
    let value_max = u16::MAX >> (15 - bits % 16);
    let pairs: BTreeMap<u64, u16> = pairs.map(|(hash, value)| (hash, value & value_max)).collect();
    let bytes = retrieval(bits % 16, pairs.iter().map(|(&hash, &value)| (hash, value)));
    if pairs.is_empty() {
        return assert!(bytes.is_empty());
    }
    match Retrieval::parse(&bytes[..]) {
        Ok(retrieval) => {
            assert!(pairs.into_iter().all(|(hash, value)| retrieval.get(hash) == value));
        }
        Err(error) => panic!("what was written does not read: {error}"),
    }
}

/// A filter of the kind and over what the lowest bits of `what` say.
fn filter(what: u8, bits_per_key: f64, hashes: impl Iterator<Item = u64>) -> Vec<u8> {
    let kind = if what & 1 == 0 { FilterKind::BlockedBloom } else { FilterKind::Burr };
    let spec = FilterSpec { kind, size: FilterSize::BitsPerKey(bits_per_key) };
    let membership = match what & 2 {
        0 => Membership::WholeKeys,
        _ => Membership::Both(extractor().id()),
    };
    let mut builder = FilterBuilder::new(spec).with_membership(membership);
    hashes.for_each(|hash| builder.add(hash));
    let mut bytes = Vec::new();
    let written = builder.finish_into(&mut bytes);
    assert_eq!(written, !bytes.is_empty());
    bytes
}

/// A retrieval of values of one bit more than `bits`, of which it keeps so many.
fn retrieval(bits: u8, pairs: impl Iterator<Item = (u64, u16)>) -> Vec<u8> {
    let Ok(mut builder) = RetrievalBuilder::new(bits + 1) else { panic!("{bits} + 1 bits") };
    for (hash, value) in pairs {
        if let Err(error) = builder.add(hash, value & (u16::MAX >> (15 - bits))) {
            panic!("{error}");
        }
    }
    let mut bytes = Vec::new();
    let written = builder.finish_into(&mut bytes);
    assert_eq!(written, Ok(!bytes.is_empty()));
    bytes
}

fn extractor() -> FixedPrefix {
    FixedPrefix::new(2)
}

fn hashes_of(data: &[u8]) -> impl Iterator<Item = u64> {
    data.as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes))
}
