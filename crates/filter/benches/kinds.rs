//! The kinds of filter beside published ones, as a table: bits per key, rate of false positives, and
//! nanoseconds to build per key and to probe.
//!
//! `cargo bench -p stratal-filter --bench kinds`. Each figure is the least of several rounds, in
//! which all filters take turns. Probes are for absent keys. *hot* asks one filter of 100,000 keys,
//! one probe not waiting for the other; *latency* the same, each probe waiting for the last; *cold*
//! asks copies of it that together exceed the processor's caches, chosen at random.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use stratal_filter::{Filter, FilterKind, FilterSize, FilterSpec};
use xorf::Filter as _;

/// Keys for size, rate and build.
const KEYS: u64 = 1_000_000;
/// Keys of the filter that is probed.
const SMALL_KEYS: usize = 100_000;
/// Copies of it: 150 MB or more.
const COPIES: usize = 1500;
const PROBES: usize = 1 << 18;
const ROUNDS: usize = 7;

/// A way to filter.
struct Contender {
    name: &'static str,
    build: fn(&[u64]) -> Box<dyn Built>,
}

/// A filter that was built, behind one call for many probes.
trait Built {
    fn bytes(&self) -> usize;
    fn copy(&self) -> Box<dyn Built>;
    /// How many of `hashes` are found.
    fn count(&self, hashes: &[u64]) -> usize;
    /// The same, each probe waiting for the last.
    fn count_in_turn(&self, hashes: &[u64]) -> u64;
    /// The same in the copy that stands beside each hash.
    fn count_cold(&self, copies: &[Box<dyn Built>], hashes: &[(u32, u64)]) -> usize;
    fn as_any(&self) -> &dyn std::any::Any;
}

/// What is asked for one hash; static, so that nothing but the probe is measured.
trait Probe: Clone + 'static {
    fn probe(&self, hash: u64) -> bool;
    fn bytes(&self) -> usize;
}

impl<P: Probe> Built for P {
    fn bytes(&self) -> usize {
        Probe::bytes(self)
    }

    fn copy(&self) -> Box<dyn Built> {
        Box::new(self.clone())
    }

    fn count(&self, hashes: &[u64]) -> usize {
        hashes.iter().filter(|&&hash| black_box(self.probe(hash))).count()
    }

    fn count_in_turn(&self, hashes: &[u64]) -> u64 {
        hashes.iter().fold(0, |last, &hash| u64::from(self.probe(hash ^ last)))
    }

    fn count_cold(&self, copies: &[Box<dyn Built>], hashes: &[(u32, u64)]) -> usize {
        let copies: Vec<&P> =
            copies.iter().filter_map(|copy| copy.as_any().downcast_ref()).collect();
        let probe = |&(copy, hash): &(u32, u64)| black_box(copies[copy as usize].probe(hash));
        hashes.iter().filter(|&asked| probe(asked)).count()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Probe for Filter<Vec<u8>> {
    fn probe(&self, hash: u64) -> bool {
        self.may_contain(hash)
    }

    fn bytes(&self) -> usize {
        self.get_ref().len()
    }
}

impl Probe for xorf::BinaryFuse8 {
    fn probe(&self, hash: u64) -> bool {
        self.contains(&hash)
    }

    fn bytes(&self) -> usize {
        self.fingerprints.len()
    }
}

impl Probe for xorf::BinaryFuse16 {
    fn probe(&self, hash: u64) -> bool {
        self.contains(&hash)
    }

    fn bytes(&self) -> usize {
        self.fingerprints.len() * 2
    }
}

/// Hashes are hashes already.
#[derive(Clone, Default)]
struct AsIs(u64);

impl std::hash::Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Clone)]
struct FastBloom(fastbloom::BloomFilter<std::hash::BuildHasherDefault<AsIs>>);

impl Probe for FastBloom {
    fn probe(&self, hash: u64) -> bool {
        self.0.contains(&hash)
    }

    fn bytes(&self) -> usize {
        self.0.num_bits() / 8
    }
}

fn fast_bloom(hashes: &[u64], bits_per_key: usize) -> Box<dyn Built> {
    let mut filter = fastbloom::BloomFilter::with_num_bits(hashes.len() * bits_per_key)
        .hasher(std::hash::BuildHasherDefault::<AsIs>::default())
        .expected_items(hashes.len());
    for hash in hashes {
        filter.insert(hash);
    }
    Box::new(FastBloom(filter))
}

fn ours(kind: FilterKind, bits_per_key: f64, hashes: &[u64]) -> Box<dyn Built> {
    let spec = FilterSpec { kind, size: FilterSize::BitsPerKey(bits_per_key) };
    let mut bytes = Vec::new();
    assert!(stratal_filter::build(spec, hashes, &mut bytes));
    Box::new(Filter::parse(bytes).expect("it was written now"))
}

const CONTENDERS: &[Contender] = &[
    Contender {
        name: "blocked Bloom, 10 bits",
        build: |hashes| ours(FilterKind::BlockedBloom, 10.0, hashes),
    },
    Contender {
        name: "blocked Bloom, 12 bits",
        build: |hashes| ours(FilterKind::BlockedBloom, 12.0, hashes),
    },
    Contender { name: "BuRR, 7 columns", build: |hashes| ours(FilterKind::Burr, 7.15, hashes) },
    Contender { name: "BuRR, 8 columns", build: |hashes| ours(FilterKind::Burr, 8.17, hashes) },
    Contender { name: "BuRR, 10 bits", build: |hashes| ours(FilterKind::Burr, 10.0, hashes) },
    Contender { name: "BuRR, 16 columns", build: |hashes| ours(FilterKind::Burr, 16.5, hashes) },
    Contender {
        name: "xorf BinaryFuse8",
        build: |hashes| Box::new(xorf::BinaryFuse8::try_from(hashes).expect("distinct")),
    },
    Contender {
        name: "xorf BinaryFuse16",
        build: |hashes| Box::new(xorf::BinaryFuse16::try_from(hashes).expect("distinct")),
    },
    Contender { name: "fastbloom, 10 bits", build: |hashes| fast_bloom(hashes, 10) },
    Contender { name: "fastbloom, 12 bits", build: |hashes| fast_bloom(hashes, 12) },
];

/// The least time of each thing measured.
#[derive(Clone, Copy)]
struct Times {
    build: Duration,
    hot: Duration,
    latency: Duration,
    cold: Duration,
}

fn hashes(from: u64, count: u64) -> Vec<u64> {
    (from..from + count).map(|i| stratal_types::key_hash(&i.to_le_bytes())).collect()
}

fn timed<T>(least: &mut Duration, run: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = black_box(run());
    *least = (*least).min(started.elapsed());
    result
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few millions")]
fn main() {
    // Run as a test, there is nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let keys = hashes(0, KEYS);
    let small_keys = &keys[..SMALL_KEYS];
    let absent = hashes(KEYS, PROBES as u64);
    let copy_of = |hash: u64| u32::try_from(((hash >> 32) * COPIES as u64) >> 32).unwrap_or(0);
    let cold: Vec<(u32, u64)> = absent
        .iter()
        .map(|&hash| (copy_of(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)), hash))
        .collect();

    let mut times = vec![
        Times {
            build: Duration::MAX,
            hot: Duration::MAX,
            latency: Duration::MAX,
            cold: Duration::MAX
        };
        CONTENDERS.len()
    ];
    let mut rows = Vec::new();
    for round in 0..ROUNDS {
        for (contender, least) in CONTENDERS.iter().zip(&mut times) {
            let built = timed(&mut least.build, || (contender.build)(&keys));
            if round == 0 {
                let strangers = hashes(KEYS, 4 * KEYS);
                let rate = built.count(&strangers) as f64 / strangers.len() as f64;
                assert_eq!(built.count(&keys), keys.len(), "{} lost a key", contender.name);
                rows.push((built.bytes() as f64 * 8.0 / KEYS as f64, rate));
            }
            let small = (contender.build)(small_keys);
            timed(&mut least.hot, || small.count(&absent));
            timed(&mut least.latency, || small.count_in_turn(&absent));
            let copies: Vec<_> = (0..COPIES).map(|_| small.copy()).collect();
            timed(&mut least.cold, || small.count_cold(&copies, &cold));
        }
    }

    println!(
        "{:<24} {:>8} {:>9} {:>6} {:>9} {:>7} {:>8} {:>7}",
        "", "bits/key", "rate, %", "ratio", "build, ns", "hot, ns", "latency", "cold"
    );
    for ((contender, least), (bits, rate)) in CONTENDERS.iter().zip(&times).zip(rows) {
        let each = |time: Duration, count: u64| time.as_nanos() as f64 / count as f64;
        println!(
            "{:<24} {bits:>8.3} {:>9.4} {:>6.3} {:>9.1} {:>7.1} {:>8.1} {:>7.1}",
            contender.name,
            rate * 100.0,
            bits / -rate.log2(),
            each(least.build, KEYS),
            each(least.hot, PROBES as u64),
            each(least.latency, PROBES as u64),
            each(least.cold, PROBES as u64),
        );
    }
}
