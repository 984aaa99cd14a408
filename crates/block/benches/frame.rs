//! Sealing and opening beside the codec and the checksum alone.
//!
//! `cargo bench -p stratal-block --bench frame` prints medians of interleaved rounds, in nanoseconds
//! per block.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{hint::black_box, time::Instant};

use stratal_block::{BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Compression};
use stratal_types::FileUid;
use twox_hash::XxHash3_64;

const ROUNDS: usize = 41;
const BLOCKS: usize = 64;

fn main() {
    for len in [4096, 16384] {
        for (name, compression) in [
            ("raw", Compression::None),
            ("lz4", Compression::Lz4),
            ("zstd 1", Compression::Zstd { level: 1 }),
            ("zstd 3", Compression::Zstd { level: 3 }),
        ] {
            for checksum in [Checksum::Xxh3, Checksum::Crc32c] {
                measure(name, compression, checksum, len);
            }
        }
    }
}

fn measure(name: &str, compression: Compression, checksum: Checksum, len: usize) {
    let spec = BlockSpec { checksum, compression, ..BlockSpec::default() };
    let codec = spec.resolve(&BlockContext::default()).unwrap();
    let id = BlockId { uid: FileUid([7; 16]), ordinal: 1, kind: BlockKind(1) };
    let plains: Vec<Vec<u8>> = (0..BLOCKS as u64).map(|seed| half_random(seed, len)).collect();
    let stored: Vec<Vec<u8>> = plains.iter().map(|plain| codec.seal(id, plain).unwrap()).collect();
    let mut raw = Raw::new(compression, checksum);
    let packed: Vec<Vec<u8>> = plains.iter().map(|plain| raw.seal(plain).to_vec()).collect();

    let mut times = [const { Vec::new() }; 4];
    let (mut out, mut opened) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut time = |slot: usize, work: &mut dyn FnMut(usize)| {
            let start = Instant::now();
            (0..BLOCKS).for_each(work);
            times[slot].push(start.elapsed().as_nanos() as f64 / BLOCKS as f64);
        };
        time(0, &mut |i| {
            out.clear();
            black_box(codec.seal_into(id, &plains[i], &mut out).unwrap());
        });
        time(1, &mut |i| {
            black_box(raw.seal(&plains[i]));
        });
        time(2, &mut |i| match compression {
            Compression::None => drop(black_box(codec.open(id, &stored[i]).unwrap())),
            _ => drop(black_box(codec.open_into(id, &stored[i], &mut opened).unwrap())),
        });
        time(3, &mut |i| raw.open(&packed[i], len));
    }
    let [seal, raw_seal, open, raw_open] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let over = |ours: f64, raw: f64| (ours / raw - 1.0) * 100.0;
    println!(
        "{len:6} B {name:7} {checksum:7?} stored {:5}  seal {seal:7.0} vs {raw_seal:7.0} ({:+5.1} %)  \
         open {open:6.0} vs {raw_open:6.0} ({:+5.1} %)  both {:+5.1} %",
        stored[0].len(),
        over(seal, raw_seal),
        over(open, raw_open),
        over(seal + open, raw_seal + raw_open),
    );
}

/// Codec and checksum with nothing around them, and buffers that are used again.
struct Raw {
    compression: Compression,
    checksum: Checksum,
    packed: Vec<u8>,
    plain: Vec<u8>,
    table: lz4_flex::block::CompressTable,
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl Raw {
    fn new(compression: Compression, checksum: Checksum) -> Self {
        let level = if let Compression::Zstd { level } = compression { level } else { 1 };
        Self {
            compression,
            checksum,
            packed: vec![0; 1 << 20],
            plain: Vec::with_capacity(1 << 20),
            table: lz4_flex::block::CompressTable::small(),
            compressor: zstd::bulk::Compressor::new(level).unwrap(),
            decompressor: zstd::bulk::Decompressor::new().unwrap(),
        }
    }

    fn seal(&mut self, plain: &[u8]) -> &[u8] {
        let packed = &mut self.packed[..];
        let len = match self.compression {
            Compression::Lz4 => {
                lz4_flex::block::compress_into_with_table(plain, packed, &mut self.table).unwrap()
            }
            Compression::Zstd { .. } => self.compressor.compress_to_buffer(plain, packed).unwrap(),
            _ => {
                packed[..plain.len()].copy_from_slice(plain);
                plain.len()
            }
        };
        self.hash(&self.packed[..len]);
        &self.packed[..len]
    }

    fn open(&mut self, packed: &[u8], len: usize) {
        self.hash(packed);
        match self.compression {
            Compression::Lz4 => {
                self.plain.resize(len, 0);
                lz4_flex::block::decompress_into(packed, &mut self.plain).unwrap();
            }
            Compression::Zstd { .. } => {
                self.decompressor.decompress_to_buffer(packed, &mut self.plain).unwrap();
            }
            _ => {}
        }
        black_box(&self.plain);
    }

    fn hash(&self, bytes: &[u8]) {
        match self.checksum {
            Checksum::Xxh3 => black_box(XxHash3_64::oneshot(bytes)),
            _ => black_box(crc_fast::crc32_iscsi(bytes).into()),
        };
    }
}

/// Rows of which about half the bytes compress away.
fn half_random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::new();
    while out.len() < len {
        for _ in 0..7 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            out.extend_from_slice(&state.to_le_bytes());
        }
        out.extend_from_slice(&[b'='; 60]);
    }
    out.truncate(len);
    out
}
