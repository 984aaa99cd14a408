//! Pseudo-random inputs: a number gives the same bytes on every machine.

use std::ops::Range;

/// Longest input made, in bytes.
pub const LEN_MAX: usize = 4096;

/// Integers near which decoders go wrong.
const BOUNDARIES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// The generator `SplitMix64` (Steele, Lea and Flood, 2014): small, and good enough to choose inputs.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Starts at a place of its own for each target and iteration of a run.
    pub fn for_iteration(seed: u64, target: &str, iteration: u64) -> Self {
        let mut random = Self::new(seed ^ iteration.rotate_left(32));
        for byte in target.bytes() {
            random.state = random.state.wrapping_add(byte.into());
            random.state = random.next();
        }
        random
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so it is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// Some stretch of `len` bytes, often short, never beyond the end.
    fn stretch(&mut self, len: usize) -> Range<usize> {
        let start = self.below(len + 1);
        let longest = [8, 64, LEN_MAX][self.below(3)];
        start..start + self.below((len - start).min(longest) + 1)
    }
}

/// An input for one iteration: bytes out of nothing, or one of `seeds` changed in a few places.
pub fn input(random: &mut SplitMix64, seeds: &[Vec<u8>]) -> Vec<u8> {
    match seeds.get(random.below(seeds.len())) {
        Some(seed) if random.below(8) != 0 => mutated(random, seed, seeds),
        _ => arbitrary(random),
    }
}

/// Bytes without a model: short ones often, and of several textures.
pub fn arbitrary(random: &mut SplitMix64) -> Vec<u8> {
    let len_end = [9, 33, 257, LEN_MAX + 1][random.below(4)];
    let len = random.below(len_end);
    match random.below(4) {
        0 => random.bytes(len),
        // Small numbers: lengths and counts that decoders accept.
        1 => random.bytes(len).into_iter().map(|byte| byte & 7).collect(),
        2 => vec![random.byte(); len],
        _ => {
            let mut bytes = Vec::with_capacity(len + 8);
            while bytes.len() < len {
                bytes.extend(boundary(random));
            }
            bytes.truncate(len);
            bytes
        }
    }
}

/// `seed` after one to eight changes; now and then after none but a cut.
pub fn mutated(random: &mut SplitMix64, seed: &[u8], seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        change(random, &mut bytes, seeds);
    }
    bytes.truncate(LEN_MAX.max(seed.len()));
    bytes
}

fn change(random: &mut SplitMix64, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let stretch = random.stretch(bytes.len());
    let at = random.below(bytes.len());
    match random.below(9) {
        0 => bytes.truncate(at),
        1 => {
            bytes.drain(stretch);
        }
        2 => {
            let copy = bytes[stretch].to_vec();
            bytes.splice(at..at, copy);
        }
        3 => {
            let len = random.below(17);
            let new = random.bytes(len);
            bytes.splice(at..at, new);
        }
        4 => {
            let fill = [0, 0xff, random.byte()][random.below(3)];
            bytes[stretch].fill(fill);
        }
        5 => {
            if let Some(other) = seeds.get(random.below(seeds.len())) {
                let from = random.stretch(other.len());
                bytes.splice(stretch, other[from].iter().copied());
            }
        }
        6 => {
            let number = boundary(random);
            for (byte, new) in bytes[at..].iter_mut().zip(number) {
                *byte = new;
            }
        }
        7 => {
            // A number counted up or down, as an offset or a length off by little.
            let step = [1, u8::MAX, 8, random.byte()][random.below(4)];
            if let Some(byte) = bytes.get_mut(at) {
                *byte = byte.wrapping_add(step);
            }
        }
        _ => {
            let bit = 1 << random.below(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
        }
    }
}

/// One of [`BOUNDARIES`], or beside one, in one of the widths that formats use.
fn boundary(random: &mut SplitMix64) -> Vec<u8> {
    let near = BOUNDARIES[random.below(BOUNDARIES.len())];
    let number = near.wrapping_add([0, 0, 1, u64::MAX][random.below(4)]);
    let width = [1, 2, 4, 8][random.below(4)];
    number.to_le_bytes()[..width].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = SplitMix64::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn an_iteration_has_one_input_and_another_has_another() {
        let seeds = [b"a seed of some length".to_vec(), vec![0; 40]];
        let make = |seed, target, iteration| {
            input(&mut SplitMix64::for_iteration(seed, target, iteration), &seeds)
        };
        let inputs: HashSet<Vec<u8>> = (0..1000).map(|i| make(0, "types_dump", i)).collect();
        assert!(inputs.len() > 900, "{} different inputs", inputs.len());
        assert!(inputs.iter().all(|input| input.len() <= LEN_MAX));
        assert_eq!(make(3, "types_dump", 5), make(3, "types_dump", 5));
        let firsts =
            [make(0, "types_dump", 0), make(1, "types_dump", 0), make(0, "types_varint", 0)];
        assert_eq!(firsts.iter().collect::<HashSet<_>>().len(), firsts.len());
    }

    #[test]
    fn lengths_of_every_size_class_occur() {
        let mut random = SplitMix64::new(0);
        let lengths: Vec<usize> = (0..2000).map(|_| arbitrary(&mut random).len()).collect();
        for class in [0..1, 1..9, 9..33, 33..257, 257..LEN_MAX, LEN_MAX - 64..LEN_MAX + 1] {
            assert!(lengths.iter().any(|len| class.contains(len)), "{class:?}");
        }
    }
}
