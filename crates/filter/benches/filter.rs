//! Building and probing, filters that fit the processor's caches and one that does not.
#![allow(missing_docs, reason = "criterion's macros")]

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stratal_filter::{Filter, FilterBuilder, FilterKind, FilterSize, FilterSpec};

/// Keys of a filter of 125 KB, of a table of 64 MiB, and of a filter of 40 MB.
const KEYS: [u64; 3] = [100_000, 600_000, 32_000_000];
const PROBES: u64 = 1 << 16;

fn hashes(from: u64, count: u64) -> Vec<u64> {
    (from..from + count).map(|i| stratal_types::key_hash(&i.to_le_bytes())).collect()
}

fn spec(kind: FilterKind) -> FilterSpec {
    FilterSpec { kind, size: FilterSize::default() }
}

fn built(kind: FilterKind, hashes: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    stratal_filter::build(spec(kind), hashes, &mut bytes);
    bytes
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    group.sample_size(10).warm_up_time(Duration::from_millis(300));
    for (kind, keys) in
        FilterKind::ALL.into_iter().flat_map(|kind| KEYS[..2].iter().map(move |keys| (kind, keys)))
    {
        let hashes = hashes(0, *keys);
        group.throughput(Throughput::Elements(*keys));
        group.bench_function(BenchmarkId::new(kind.name(), keys), |b| {
            let mut builder = FilterBuilder::new(spec(kind));
            let mut out = Vec::new();
            b.iter(|| {
                for &hash in &hashes {
                    builder.add(hash);
                }
                out.clear();
                builder.finish_into(&mut out);
                out.len()
            });
        });
    }
}

fn probe(c: &mut Criterion) {
    let mut group = c.benchmark_group("probe");
    group.sample_size(10).warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Elements(PROBES));
    for (kind, keys) in FilterKind::ALL.into_iter().flat_map(|kind| KEYS.map(|keys| (kind, keys))) {
        let bytes = built(kind, &hashes(0, keys));
        let filter = Filter::parse(&bytes[..]);
        let Ok(filter) = filter else { return };
        let absent = hashes(keys, PROBES);
        group.bench_function(BenchmarkId::new(format!("{} one_by_one", kind.name()), keys), |b| {
            b.iter(|| absent.iter().filter(|&&hash| black_box(filter.may_contain(hash))).count());
        });
        group.bench_function(
            BenchmarkId::new(format!("{} each_after_the_last", kind.name()), keys),
            |b| {
                b.iter(|| {
                    absent.iter().fold(0, |last, &hash| u64::from(filter.may_contain(hash ^ last)))
                });
            },
        );
        group.bench_function(BenchmarkId::new(format!("{} batch_of_32", kind.name()), keys), |b| {
            let mut answers = [false; 32];
            b.iter(|| {
                for batch in absent.chunks(32) {
                    filter.may_contain_batch(batch, &mut answers);
                    black_box(&answers);
                }
            });
        });
    }
}

criterion_group!(benches, build, probe);
criterion_main!(benches);
