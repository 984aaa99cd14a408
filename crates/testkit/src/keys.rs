use std::collections::BTreeSet;

use crate::Rng;

/// What generated keys look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyShape {
    /// 16 random bytes: no common prefix, heads that tell keys apart.
    Random16,
    /// `CC/NN/name/number`, as places are named: short common prefixes, uneven lengths.
    Place,
    /// A 40 to 72 byte prefix that many keys share, then a few bytes.
    LongPrefix,
    /// Integers of 8 bytes, big-endian, dense: neighbours differ in the last byte.
    Integer,
    /// One to three bytes: few distinct keys, prefixes of one another, 00 and FF among them.
    Tiny,
}

impl KeyShape {
    /// Every shape.
    pub const ALL: [Self; 5] =
        [Self::Random16, Self::Place, Self::LongPrefix, Self::Integer, Self::Tiny];

    /// One key of this shape, drawn from about `population` of them.
    pub fn key(self, population: u64, rng: &mut Rng) -> Vec<u8> {
        let number = rng.below(population.max(1));
        // The key is a function of its number, so that keys repeat when numbers do.
        let mut own = Rng::new(number ^ 0x6b65_7973);
        match self {
            Self::Random16 => own.bytes(16),
            Self::Place => place(number, &mut own),
            Self::LongPrefix => long_prefix(number, &mut own),
            Self::Integer => Vec::from(be_bytes(number)),
            Self::Tiny => tiny(number),
        }
    }

    /// How many distinct keys of this shape there are, where that is few.
    pub const fn distinct_max(self) -> u64 {
        match self {
            Self::Tiny => 8 + 8 * 8 + 8 * 8 * 8,
            _ => u64::MAX,
        }
    }
}

/// `count` keys in no order, some of them more than once.
pub fn keys(shape: KeyShape, count: usize, rng: &mut Rng) -> Vec<Vec<u8>> {
    (0..count).map(|_| shape.key(count as u64, rng)).collect()
}

/// `count` distinct keys, ascending bytewise; fewer if the shape has no more.
pub fn sorted_keys(shape: KeyShape, count: usize, rng: &mut Rng) -> Vec<Vec<u8>> {
    let count = count.min(usize::try_from(shape.distinct_max()).unwrap_or(usize::MAX));
    let population = (count as u64).saturating_mul(2).min(shape.distinct_max());
    let mut distinct = BTreeSet::new();
    while distinct.len() < count {
        distinct.insert(shape.key(population, rng));
    }
    distinct.into_iter().collect()
}

/// Most significant byte first, so that bytewise order is numeric order.
fn be_bytes(number: u64) -> [u8; 8] {
    let mut bytes = number.to_le_bytes();
    bytes.reverse();
    bytes
}

fn place(number: u64, own: &mut Rng) -> Vec<u8> {
    const COUNTRIES: [&str; 8] = ["AD", "BR", "CN", "DE", "FR", "IN", "US", "ZW"];
    const SYLLABLES: [&str; 10] =
        ["San", "ta", "berg", "ville", "Nova", "kirch", "ou", "La", " de ", "pur"];
    let country = own.choose(&COUNTRIES);
    let region = own.below(30);
    let name: String = (0..=own.below(5)).map(|_| *own.choose(&SYLLABLES)).collect();
    format!("{country}/{region:02}/{name}/{number}").into_bytes()
}

fn long_prefix(number: u64, own: &mut Rng) -> Vec<u8> {
    let group = number % 4;
    let prefix_len = 40 + usize::try_from(group * 8).unwrap_or(0);
    let mut key = format!("tenant-{group}/").into_bytes();
    key.resize(prefix_len, b'p');
    key.extend_from_slice(&be_bytes(number)[4..]);
    key.truncate(key.len() - own.index(2));
    key
}

fn tiny(number: u64) -> Vec<u8> {
    const LETTERS: [u8; 8] = [0x00, 0x01, b'a', b'b', b'c', 0x7f, 0x80, 0xff];
    let mut rest = number;
    let mut key = Vec::new();
    loop {
        key.push(LETTERS[usize::try_from(rest % 8).unwrap_or(0)]);
        rest /= 8;
        if rest == 0 || key.len() == 3 {
            return key;
        }
        rest -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_gives_distinct_ascending_keys_within_the_limits() {
        for shape in KeyShape::ALL {
            let keys = sorted_keys(shape, 500, &mut Rng::new(9));
            assert_eq!(keys.len(), 500, "{shape:?}");
            assert!(keys.is_sorted());
            assert!(keys.iter().all(|key| (1..=stratal_types::KEY_LEN_MAX).contains(&key.len())));
            assert_eq!(keys, sorted_keys(shape, 500, &mut Rng::new(9)), "repeatable");
        }
    }

    #[test]
    fn there_are_as_many_tiny_keys_as_stated() {
        let shape = KeyShape::Tiny;
        let all: BTreeSet<_> = (0..shape.distinct_max()).map(tiny).collect();
        assert_eq!(all.len() as u64, shape.distinct_max());
        assert_eq!(sorted_keys(shape, 10_000, &mut Rng::new(1)).len(), all.len());
    }

    #[test]
    fn unsorted_keys_repeat_and_stand_in_no_order() {
        let drawn = keys(KeyShape::Place, 300, &mut Rng::new(2));
        let distinct: BTreeSet<_> = drawn.iter().collect();
        assert!(distinct.len() < drawn.len());
        assert!(!drawn.is_sorted());
    }
}
