//! Which key a write is of, in loads that differ by more than their order.
use crate::data::{Rng, mix};

/// What the writer does next.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(u64),
    Delete(u64),
}

/// A load over the keys `0..n`. `loaded` of them are put, in some order, before it begins.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// Overwrites of keys that are all alike.
    Uniform,
    /// Overwrites of which a hundredth of the keys gets most (θ = 0.99); the popular ones lie anywhere.
    Zipf,
    /// New keys in ascending order, a few places out of it.
    Time,
    /// New keys in ascending order, each followed by the delete of the oldest.
    Queue,
}

impl Load {
    pub const ALL: [(&'static str, Self); 4] = [
        ("uniform", Self::Uniform),
        ("zipf", Self::Zipf),
        ("time", Self::Time),
        ("queue", Self::Queue),
    ];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, load)| load)
    }

    /// How many keys are put before.
    pub fn loaded(self, n: u64) -> u64 {
        match self {
            Self::Uniform | Self::Zipf => n,
            Self::Time => n / 2,
            Self::Queue => n / 4,
        }
    }

    /// How many changes there are.
    pub fn len(self, n: u64) -> u64 {
        match self {
            Self::Uniform | Self::Zipf => 3 * n,
            Self::Time => n - self.loaded(n),
            Self::Queue => 2 * (n - self.loaded(n)),
        }
    }

    /// Live keys after `done` changes.
    pub fn live(self, n: u64, done: u64) -> std::ops::Range<u64> {
        let loaded = self.loaded(n);
        match self {
            Self::Uniform | Self::Zipf => 0..n,
            // The last few may not be there yet.
            Self::Time => 0..(loaded + done / BLOCK * BLOCK),
            Self::Queue => done.div_ceil(2)..loaded + done / 2,
        }
    }
}

/// Keys of [`Load::Time`] that come in no order among themselves.
const BLOCK: u64 = 16;

/// The changes of a load, one after the other.
pub struct Changes {
    load: Load,
    n: u64,
    rng: Rng,
    zipf: Zipf,
    done: u64,
}

impl Changes {
    pub fn new(load: Load, n: u64) -> Self {
        Self { load, n, rng: Rng::new(41), zipf: Zipf::new(n), done: 0 }
    }
}

impl Iterator for Changes {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        if self.done == self.load.len(self.n) {
            return None;
        }
        let done = self.done;
        self.done += 1;
        let loaded = self.load.loaded(self.n);
        Some(match self.load {
            Load::Uniform => Change::Put(self.rng.below(self.n)),
            Load::Zipf => Change::Put(mix(self.zipf.rank(&mut self.rng)) % self.n),
            // A block backward: out of order, and complete when it ends.
            Load::Time => {
                let (block, at) = (done / BLOCK * BLOCK, done % BLOCK);
                let len = BLOCK.min(self.load.len(self.n) - block);
                Change::Put(loaded + block + len - 1 - at)
            }
            Load::Queue if done.is_multiple_of(2) => Change::Put(loaded + done / 2),
            Load::Queue => Change::Delete(done / 2),
        })
    }
}

/// Ranks with the probabilities of Zipf's law, by the approximation of Gray et al., 1994.
struct Zipf {
    n: f64,
    alpha: f64,
    eta: f64,
    zeta: f64,
    half: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    fn new(n: u64) -> Self {
        let zeta_of = |n: u64| (1..=n).map(|i| (i as f64).powf(-Self::THETA)).sum::<f64>();
        let (zeta, two) = (zeta_of(n), zeta_of(2));
        let n = n as f64;
        let eta = (1.0 - (2.0 / n).powf(1.0 - Self::THETA)) / (1.0 - two / zeta);
        Self { n, alpha: 1.0 / (1.0 - Self::THETA), eta, zeta, half: 0.5f64.powf(Self::THETA) }
    }

    fn rank(&self, rng: &mut Rng) -> u64 {
        let u = (rng.next() >> 11) as f64 / (1u64 << 53) as f64;
        let uz = u * self.zeta;
        if uz < 1.0 {
            0
        } else if uz < 1.0 + self.half {
            1
        } else {
            (self.n * (self.eta * u - self.eta + 1.0).powf(self.alpha)) as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// At every moment the keys that are said to live are put and not deleted.
    #[test]
    fn what_is_said_to_live_lives() {
        for (name, load) in Load::ALL {
            let n = 1000;
            let mut there: BTreeSet<u64> = (0..load.loaded(n)).collect();
            let mut done = 0;
            for change in Changes::new(load, n) {
                match change {
                    Change::Put(i) => {
                        assert!(i < n, "{name}");
                        there.insert(i);
                    }
                    Change::Delete(i) => assert!(there.remove(&i), "{name}: {i} was not there"),
                }
                done += 1;
                assert!(load.live(n, done).all(|i| there.contains(&i)), "{name} after {done}");
            }
            assert_eq!(done, load.len(n), "{name}");
        }
    }

    #[test]
    fn a_few_keys_get_most_of_a_zipf_load() {
        let n = 10_000;
        let zipf = Zipf::new(n);
        let mut rng = Rng::new(1);
        let ranks: Vec<u64> = (0..100_000).map(|_| zipf.rank(&mut rng)).collect();
        assert!(ranks.iter().all(|rank| *rank < n));
        let popular = ranks.iter().filter(|rank| **rank < n / 100).count();
        assert!((45_000..60_000).contains(&popular), "{popular}");
    }
}
