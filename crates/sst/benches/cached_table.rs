//! A table whose every block is cached: what writing, `get`, `seek` and `advance` cost per entry,
//! and how many bytes an entry takes. `cargo bench -p stratal-sst`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark may panic, and is read as a whole"
)]

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stratal_block::Compression;
use stratal_cache::Cache;
use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
use stratal_testkit::{KeyShape, Rng, sorted_keys, value};
use stratal_types::{Cursor, FileUid, SeqNo};

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// The bundled places.
fn places() -> Rows {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/data/cities15000.tsv.zst");
    let plain = zstd::decode_all(&std::fs::read(path).unwrap()[..]).unwrap();
    let mut rows: Rows = plain
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let tab = line.iter().position(|&byte| byte == b'\t')?;
            Some((line.get(..tab)?.to_vec(), line.get(tab + 1..)?.to_vec()))
        })
        .collect();
    rows.sort();
    rows
}

/// Random keys of 16 bytes, values of 100 of which half compress.
fn random(count: usize) -> Rows {
    let mut rng = Rng::new(1);
    let keys = sorted_keys(KeyShape::Random16, count, &mut rng);
    keys.into_iter().map(|key| (key, value(100, 50, &mut rng))).collect()
}

fn write(ctx: &TableContext, compression: Compression, locator: bool, rows: &Rows) -> Vec<u8> {
    let options = TableOptions { compression, locator, ..TableOptions::default() };
    let spec = Arc::new(options.validate().unwrap());
    let mut writer = TableWriter::new(ctx, Vec::new(), FileUid([3; 16]), spec).unwrap();
    for (key, value) in rows {
        writer.put(key, value).unwrap();
    }
    writer.finish().unwrap().sink
}

fn cached_table(criterion: &mut Criterion) {
    let sets = [("places", places()), ("random16_100", random(1_000_000))];
    for (set, rows) in sets {
        for (name, compression) in [("none", Compression::None), ("lz4", Compression::Lz4)] {
            measure(criterion, &format!("{set}/{name}"), compression, &rows);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people to read")]
fn measure(criterion: &mut Criterion, name: &str, compression: Compression, rows: &Rows) {
    let ctx = TableContext { cache: Arc::new(Cache::new(1 << 30)), ..TableContext::default() };
    let file = write(&ctx, compression, false, rows);
    let plain: usize = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
    let per_entry = |bytes: usize| bytes as f64 / rows.len() as f64;
    println!(
        "{name}: {:.1} bytes per entry, {:.1} of them keys and values before compression",
        per_entry(file.len()),
        per_entry(plain)
    );

    let table = Table::open(&ctx, Arc::new(Bytes::from(file))).unwrap();
    let mut rng = Rng::new(2);
    let probes: Vec<&[u8]> = (0..100_000).map(|_| &rows[rng.index(rows.len())].0[..]).collect();
    let absent: Vec<Vec<u8>> = probes.iter().map(|key| [key, &b"?"[..]].concat()).collect();
    for key in &probes {
        assert!(table.get(key).unwrap().is_some());
    }
    assert!(table.range::<&[u8]>(..).all(|row| row.is_ok()));

    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    let mut next = (0..probes.len()).cycle();
    let mut turn = move || next.next().unwrap_or(0);
    group.bench_function("get_hit", |bencher| {
        bencher.iter(|| black_box(table.get(probes[turn()]).unwrap()));
    });
    let located = write(&ctx, compression, true, rows);
    let located = Table::open(&ctx, Arc::new(Bytes::from(located))).unwrap();
    println!("{name}: {} bytes of locator", located.properties().locator_bytes);
    for key in &probes {
        assert!(located.get(key).unwrap().is_some());
    }
    group.bench_function("get_hit_by_locator", |bencher| {
        bencher.iter(|| black_box(located.get(probes[turn()]).unwrap()));
    });
    group.bench_function("get_absent", |bencher| {
        bencher.iter(|| black_box(table.get(&absent[turn()]).unwrap()));
    });
    for count in [1, 32, 256] {
        let mut next = (0..probes.len() / count).cycle();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("multi_get_{count}"), |bencher| {
            bencher.iter(|| {
                let at = next.next().unwrap_or(0) * count;
                black_box(table.multi_get(&probes[at..at + count]).unwrap())
            });
        });
        group.bench_function(format!("get_times_{count}"), |bencher| {
            bencher.iter(|| {
                let at = next.next().unwrap_or(0) * count;
                for key in &probes[at..at + count] {
                    black_box(table.get(key).unwrap());
                }
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("seek", |bencher| {
        let mut cursor = table.cursor();
        bencher.iter(|| {
            cursor.seek(probes[turn()], SeqNo::MAX).unwrap();
            black_box(cursor.entry().map(|entry| entry.value.len()))
        });
    });
    group.throughput(Throughput::Elements(rows.len() as u64));
    group.sample_size(10);
    group.bench_function("advance_all", |bencher| {
        bencher.iter(|| {
            let mut cursor = table.cursor();
            let mut bytes = 0;
            cursor.advance().unwrap();
            while let Some(entry) = cursor.entry() {
                bytes += entry.key.len() + entry.value.len();
                cursor.advance().unwrap();
            }
            black_box(bytes)
        });
    });
    group.bench_function("retreat_all", |bencher| {
        bencher.iter(|| {
            let mut cursor = table.cursor();
            let mut bytes = 0;
            cursor.seek_to_last().unwrap();
            while let Some(entry) = cursor.entry() {
                bytes += entry.key.len() + entry.value.len();
                cursor.retreat().unwrap();
            }
            black_box(bytes)
        });
    });
    group.bench_function("write_all", |bencher| {
        bencher.iter(|| black_box(write(&ctx, compression, false, rows).len()));
    });
    group.finish();
}

criterion_group!(benches, cached_table);
criterion_main!(benches);
