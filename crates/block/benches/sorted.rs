//! Search and iteration in sorted blocks beside the classic layout: prefix-compressed rows with a
//! restart every sixteen, as LevelDB's descendants write them.
//!
//! `cargo bench -p stratal-block --bench sorted -- cold` prints medians of interleaved rounds, in
//! nanoseconds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{hint::black_box, time::Instant};

use stratal_block::{SortedBlock, SortedBlockBuilder, SortedBlockOptions, SortedCursor};
use stratal_simd::Simd;
use stratal_types::{EntryKind, SeqNo, Trailer, key_hash};

const BLOCK_LEN: usize = 4096;
const QUERIES: u64 = 100_000;
const ROUNDS: usize = 5;

struct Shape {
    name: &'static str,
    key: fn(u64) -> Vec<u8>,
    value_len: fn(u64) -> usize,
}

fn main() {
    let shapes = [
        Shape { name: "16 B random + 100 B", key: random_key, value_len: |_| 100 },
        Shape {
            name: "places, 24 B + 260 B",
            key: place_key,
            value_len: |i| 200 + mix(i) as usize % 121,
        },
        Shape { name: "text 30 B + 100 B", key: order_key, value_len: |_| 100 },
        Shape { name: "text 30 B + 8 B", key: order_key, value_len: |_| 8 },
        Shape { name: "16 B random + 8 B", key: random_key, value_len: |_| 8 },
        Shape { name: "8 B counter + 100 B", key: counter_key, value_len: |_| 100 },
    ];
    let has = |name: &str| std::env::args().any(|arg| arg == name);
    if has("kernels") {
        println!("twins, hot, 1 MiB");
        shapes.iter().for_each(compare_twins);
        return;
    }
    let cold = has("cold");
    for (set, total) in [("hot, 1 MiB", 1 << 20), ("cold, 192 MiB", 192 << 20)] {
        if total > 1 << 20 && !cold {
            println!("({set}: with the argument `cold`)");
            continue;
        }
        println!("{set}");
        for shape in &shapes {
            measure(shape, total);
        }
    }
}

fn mix(i: u64) -> u64 {
    let x = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn random_key(i: u64) -> Vec<u8> {
    [mix(i).to_le_bytes(), mix(i ^ 0xffff_0000).to_le_bytes()].concat()
}

fn counter_key(i: u64) -> Vec<u8> {
    i.swap_bytes().to_le_bytes().to_vec()
}

fn order_key(i: u64) -> Vec<u8> {
    format!("user:{:012}:order:{:06}", i / 5, (i % 5) * 37).into_bytes()
}

fn place_key(i: u64) -> Vec<u8> {
    let letters = |seed: u64, n: u64| -> String {
        (0..n).map(|j| char::from(b'a' + (mix(seed ^ (j << 40)) % 20) as u8)).collect()
    };
    let country = letters(mix(i) % 200, 2);
    format!(
        "{country}/{}{}/{:07}",
        letters(mix(i) % 5000, 5),
        letters(i, 4 + i % 6),
        mix(i) % 10_000_000
    )
    .into_bytes()
}

/// The same rows in both layouts, and what to ask of them.
struct Blocks {
    per_block: usize,
    rows: usize,
    ours: Vec<SortedBlock<Vec<u8>>>,
    classic: Vec<Vec<u8>>,
    queries: Vec<Query>,
    build_ns: f64,
    parse_ns: f64,
}

/// What is searched for is at hand; only the blocks may be cold.
struct Query {
    row: usize,
    hash: u64,
    key: [u8; 32],
    key_len: usize,
}

impl Query {
    fn key(&self) -> &[u8] {
        &self.key[..self.key_len]
    }
}

fn build(shape: &Shape, total: usize) -> Blocks {
    let row_len = (shape.key)(0).len() + (shape.value_len)(0) + 3;
    let mut keys: Vec<Vec<u8>> = (0..(total / row_len) as u64).map(shape.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let value = |i: usize| {
        let mut value = vec![0u8; (shape.value_len)(i as u64)];
        value[..4].copy_from_slice(&(i as u32).to_le_bytes());
        value
    };
    let per_block = (BLOCK_LEN / row_len).max(4);
    let put = Trailer::new(SeqNo::ZERO, EntryKind::Put);
    let (mut ours, mut classic) = (vec![], vec![]);
    let mut builder = SortedBlockBuilder::new(SortedBlockOptions::default());
    let (mut build_ns, mut parse_ns) = (0.0, 0.0);
    let mut bytes = Vec::new();
    for (b, keys) in keys.chunks(per_block).enumerate() {
        let rows: Vec<(&[u8], Vec<u8>)> =
            keys.iter().enumerate().map(|(i, key)| (&key[..], value(b * per_block + i))).collect();
        let start = Instant::now();
        bytes.clear();
        for (key, value) in &rows {
            builder.add(key, put, value).unwrap();
        }
        builder.finish_into(&mut bytes);
        build_ns += start.elapsed().as_nanos() as f64;
        let stored = bytes.clone();
        let start = Instant::now();
        ours.push(SortedBlock::parse(stored).unwrap());
        parse_ns += start.elapsed().as_nanos() as f64;
        classic.push(restart::encode(&rows));
    }
    let query = |i: u64| {
        let row = mix(i + 77) as usize % keys.len();
        let mut key = [0; 32];
        key[..keys[row].len()].copy_from_slice(&keys[row]);
        Query { row, hash: key_hash(&keys[row]), key, key_len: keys[row].len() }
    };
    Blocks {
        per_block,
        rows: keys.len(),
        queries: (0..QUERIES).map(query).collect(),
        build_ns: build_ns / keys.len() as f64,
        parse_ns: parse_ns / ours.len() as f64,
        ours,
        classic,
    }
}

fn measure(shape: &Shape, total: usize) {
    let blocks = build(shape, total);
    let mut times = [const { Vec::new() }; 7];
    for _ in 0..ROUNDS {
        for (slot, times) in times.iter_mut().enumerate() {
            let start = Instant::now();
            let operations = work(&blocks, slot);
            times.push(start.elapsed().as_nanos() as f64 / operations as f64);
        }
    }
    let [find, classic_find, absent, seek, next, prev, classic_next] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let len = |bytes: usize| bytes as f64 / blocks.rows as f64;
    let our_len = len(blocks.ours.iter().map(SortedBlock::heap_len).sum());
    let classic_len = len(blocks.classic.iter().map(Vec::len).sum());
    println!(
        "  {:22} bytes/row {our_len:6.1} vs {classic_len:6.1} ({:+5.1} %)  find {find:4.0} vs \
         {classic_find:4.0}  absent {absent:3.0}  seek {seek:4.0}  next {next:4.1} prev {prev:4.1} \
         vs {classic_next:4.1}  build/row {:3.0}  parse/block {:3.0}",
        shape.name,
        (our_len / classic_len - 1.0) * 100.0,
        blocks.build_ns,
        blocks.parse_ns,
    );
}

/// What finding and seeking cost with each twin.
fn compare_twins(shape: &Shape) {
    let mut blocks = build(shape, 1 << 20);
    let twins: Vec<Simd> = Simd::all().collect();
    let mut times = vec![[f64::INFINITY; 3]; twins.len()];
    for _ in 0..2 * ROUNDS {
        for (twin, times) in twins.iter().zip(&mut times) {
            blocks.ours = blocks.ours.drain(..).map(|block| block.with_simd(*twin)).collect();
            for (slot, time) in [0, 2, 3].into_iter().zip(times) {
                let start = Instant::now();
                let operations = work(&blocks, slot);
                *time = time.min(start.elapsed().as_nanos() as f64 / operations as f64);
            }
        }
    }
    print!("  {:22}", shape.name);
    for (twin, [find, absent, seek]) in twins.iter().zip(times) {
        print!("  {twin:?}: find {find:4.1} absent {absent:4.1} seek {seek:4.1}");
    }
    println!();
}

/// Does one kind of work; gives the number of its operations.
fn work(blocks: &Blocks, slot: usize) -> u64 {
    let Blocks { per_block, ours, classic, queries, .. } = blocks;
    let block = |query: &Query| &ours[query.row / per_block];
    let first = classic.len().min(2000);
    match slot {
        0 => {
            for query in queries {
                let block = block(query);
                let found = block.find(query.key(), query.hash, SeqNo::MAX).unwrap();
                assert!(leads_to(block.value(found).unwrap(), query.row));
            }
            QUERIES
        }
        1 => {
            for query in queries {
                let value = restart::get(&classic[query.row / per_block], query.key()).unwrap();
                assert!(leads_to(value, query.row));
            }
            QUERIES
        }
        2 => {
            for query in queries {
                let other = query.hash.rotate_left(17);
                black_box(block(query).find(query.key(), other, SeqNo::MAX));
            }
            QUERIES
        }
        3 => {
            for query in queries {
                black_box(block(query).seek(query.key(), SeqNo::MAX));
            }
            QUERIES
        }
        4 => ours[..first].iter().map(|block| walk(block, true)).sum(),
        5 => ours[..first].iter().map(|block| walk(block, false)).sum(),
        _ => {
            let mut key = Vec::new();
            classic[..first].iter().map(|block| restart::scan(block, &mut key)).sum()
        }
    }
}

/// Goes through a block; gives the number of its rows.
fn walk(block: &SortedBlock<Vec<u8>>, forward: bool) -> u64 {
    let mut cursor = SortedCursor::new(SortedBlock::parse(block.as_bytes()).unwrap());
    let (mut rows, mut len) = (0, 0);
    if forward {
        cursor.seek_to_first();
    } else {
        cursor.seek_to_last();
    }
    while let Some(entry) = cursor.entry() {
        rows += 1;
        len += entry.key.len() + entry.value.len();
        if forward {
            cursor.advance();
        } else {
            cursor.retreat();
        }
    }
    black_box(len);
    rows
}

fn leads_to(value: &[u8], row: usize) -> bool {
    value.starts_with(&(row as u32).to_le_bytes())
}

/// The yardstick: `shared, unshared, value_len` as varints, key suffix, value; restart offsets and
/// their count at the end.
mod restart {
    use stratal_types::varint;

    const INTERVAL: usize = 16;

    pub(super) fn encode(rows: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
        let (mut out, mut restarts) = (vec![], vec![]);
        for (i, (key, value)) in rows.iter().enumerate() {
            let mut shared = 0;
            if i % INTERVAL == 0 {
                restarts.push(out.len() as u16);
            } else {
                shared = rows[i - 1].0.iter().zip(*key).take_while(|(a, b)| a == b).count();
            }
            varint::put(&mut out, shared as u64);
            varint::put(&mut out, (key.len() - shared) as u64);
            varint::put(&mut out, value.len() as u64);
            out.extend_from_slice(&key[shared..]);
            out.extend_from_slice(value);
        }
        restarts.push(restarts.len() as u16);
        out.extend(restarts.iter().flat_map(|offset| offset.to_le_bytes()));
        out
    }

    fn number(input: &mut &[u8]) -> usize {
        let (&first, rest) = input.split_first().unwrap();
        if first < 0x80 {
            *input = rest;
            return first.into();
        }
        varint::take_usize(input).unwrap()
    }

    fn row<'a>(input: &mut &'a [u8]) -> (usize, &'a [u8], &'a [u8]) {
        let (shared, unshared, value_len) = (number(input), number(input), number(input));
        let (suffix, rest) = input.split_at(unshared);
        let (value, rest) = rest.split_at(value_len);
        *input = rest;
        (shared, suffix, value)
    }

    fn parts(block: &[u8]) -> (&[u8], &[[u8; 2]]) {
        let (rest, count) = block.split_last_chunk::<2>().unwrap();
        let (rows, restarts) =
            rest.split_at(rest.len() - 2 * usize::from(u16::from_le_bytes(*count)));
        (rows, restarts.as_chunks().0)
    }

    pub(super) fn get<'a>(block: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
        let (rows, restarts) = parts(block);
        let at = |restart: &[u8; 2]| &rows[usize::from(u16::from_le_bytes(*restart))..];
        let after = restarts.partition_point(|restart| row(&mut at(restart)).1 <= key);
        let mut input = at(&restarts[after.checked_sub(1)?]);
        let mut buffer = [0u8; 64];
        while !input.is_empty() {
            let (shared, suffix, value) = row(&mut input);
            let len = shared + suffix.len();
            buffer[shared..len].copy_from_slice(suffix);
            match buffer[..len].cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Some(value),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    pub(super) fn scan(block: &[u8], key: &mut Vec<u8>) -> u64 {
        let (mut input, _) = parts(block);
        let (mut rows, mut len) = (0, 0);
        while !input.is_empty() {
            let (shared, suffix, value) = row(&mut input);
            key.truncate(shared);
            key.extend_from_slice(suffix);
            rows += 1;
            len += key.len() + value.len();
        }
        std::hint::black_box(len);
        rows
    }
}
