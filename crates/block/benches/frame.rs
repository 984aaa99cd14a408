//! Sealing and opening beside codec, cipher and checksum alone; and what parity costs.
//!
//! `cargo bench -p stratal-block --bench frame` prints medians of interleaved rounds, in nanoseconds
//! per block.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::needless_pass_by_value,
    reason = "a bench may panic, and rounds its figures"
)]

use std::{hint::black_box, time::Instant};

use aes_gcm::{Aes256Gcm, aead::AeadInOut as _, aead::KeyInit as _};
use chacha20poly1305::ChaCha20Poly1305;
use stratal_block::{
    BlockContext, BlockId, BlockKind, BlockSpec, Checksum, Compression, Dictionary, FileKey,
    FileKeyInfo, Frame, Outcome, Parity, RootKey, Seal, scrub,
};
use stratal_types::{DbId, FileUid};
use twox_hash::XxHash3_64;
use zstd::zstd_safe::{CCtx, CDict, DCtx, DDict};

const ROUNDS: usize = 31;
const BLOCKS: usize = 64;
const ID: BlockId = BlockId { uid: FileUid([7; 16]), ordinal: 1, kind: BlockKind(1) };

fn main() {
    let dictionary = Dictionary::train(&blocks(4096, 64..1064), 16 << 10).unwrap();
    for len in [4096, 16384] {
        checksums(len);
        let base = BlockSpec::default();
        let crc32c = BlockSpec { checksum: Checksum::Crc32c, ..base };
        let aes = BlockSpec { seal: Seal::Aes256Gcm, ..base };
        let chacha = BlockSpec { seal: Seal::ChaCha20Poly1305, ..base };
        let zstd = |level| Compression::Zstd { level };
        let known = Compression::ZstdDictionary { level: 1, id: dictionary.id() };
        for (name, spec) in [
            ("raw", base),
            ("raw, crc32c", crc32c),
            ("lz4", BlockSpec { compression: Compression::Lz4, ..base }),
            ("zstd 1", BlockSpec { compression: zstd(1), ..base }),
            ("zstd 3", BlockSpec { compression: zstd(3), ..base }),
            ("zstd 1, dictionary", BlockSpec { compression: known, ..base }),
            ("aes-gcm", aes),
            ("chacha20-poly1305", chacha),
            ("lz4, aes-gcm", BlockSpec { compression: Compression::Lz4, ..aes }),
        ] {
            measure(name, spec, &dictionary, len);
        }
        for (name, parity) in [
            ("SEC-DED", Parity::SecDed),
            ("XOR 4", Parity::Xor { data: 4 }),
            ("RS(4,2)", Parity::ReedSolomon { data: 4, parity: 2 }),
        ] {
            measure_parity(name, parity, len);
        }
    }
}

/// The check of a block beside the hash of its payload alone.
fn checksums(len: usize) {
    for checksum in [Checksum::Xxh3, Checksum::Crc32c] {
        let spec = BlockSpec { checksum, ..BlockSpec::default() };
        let codec = spec.resolve(&BlockContext::default()).unwrap();
        let plains = blocks(len, 0..BLOCKS as u64);
        let stored: Vec<Vec<u8>> =
            plains.iter().map(|plain| codec.seal(ID, plain).unwrap()).collect();
        let frames: Vec<Frame<'_>> =
            stored.iter().map(|stored| Frame::from_exact(stored).unwrap()).collect();
        let [check, verify, hash] = medians([
            &mut |i| black_box(frames[i]).verify(ID).unwrap(),
            &mut |i| {
                black_box(stratal_block::verify(ID, &stored[i]).unwrap());
            },
            &mut |i| {
                black_box(hash(checksum, &plains[i]));
            },
        ]);
        println!(
            "{len:6} B  {checksum:?}: check {check:.0}, header and check {verify:.0}, hash of the \
             payload alone {hash:.0}: {:.1} % and {:.1} % of its speed",
            hash / check * 100.0,
            hash / verify * 100.0
        );
    }
}

fn measure(name: &str, spec: BlockSpec, dictionary: &Dictionary, len: usize) {
    let codec = spec.resolve(&context(spec.seal, dictionary)).unwrap();
    let plains = blocks(len, 0..BLOCKS as u64);
    let stored: Vec<Vec<u8>> = plains.iter().map(|plain| codec.seal(ID, plain).unwrap()).collect();
    let mut raw = Raw::new(spec, dictionary, len);
    let packed: Vec<Vec<u8>> = plains.iter().map(|plain| raw.seal(plain).to_vec()).collect();
    let mut raw_open = Raw::new(spec, dictionary, len);

    let lent = (spec.compression, spec.seal) == (Compression::None, Seal::None);
    let (mut out, mut opened) = (Vec::new(), Vec::new());
    let [seal, raw_seal, open, raw_open] = medians([
        &mut |i| {
            out.clear();
            black_box(codec.seal_into(ID, &plains[i], &mut out).unwrap());
        },
        &mut |i| {
            black_box(raw.seal(&plains[i]));
        },
        &mut |i| {
            if lent {
                drop(black_box(codec.open(ID, &stored[i]).unwrap()));
            } else {
                black_box(codec.open_into(ID, &stored[i], &mut opened).unwrap());
            }
        },
        &mut |i| raw_open.open(&packed[i], len),
    ]);
    let over = |ours: f64, raw: f64| (ours / raw - 1.0) * 100.0;
    println!(
        "{len:6} B  {name:18} stored {:5}  seal {seal:7.0} vs {raw_seal:7.0} ({:+5.1} %)  \
         open {open:6.0} vs {raw_open:6.0} ({:+5.1} %)  both {:+5.1} %",
        stored[0].len(),
        over(seal, raw_seal),
        over(open, raw_open),
        over(seal + open, raw_seal + raw_open),
    );
}

/// Beside the same blocks without parity; healing is of one damaged sector, of one bit for SEC-DED.
fn measure_parity(name: &str, parity: Parity, len: usize) {
    let plain_codec = BlockSpec::default().resolve(&BlockContext::default()).unwrap();
    let spec = BlockSpec { parity, ..BlockSpec::default() };
    let codec = spec.resolve(&BlockContext::default()).unwrap();
    let plains = blocks(len, 0..BLOCKS as u64);
    let stored: Vec<Vec<u8>> = plains.iter().map(|plain| codec.seal(ID, plain).unwrap()).collect();
    let damaged: Vec<Vec<u8>> = stored
        .iter()
        .map(|stored| {
            let mut damaged = stored.clone();
            match parity {
                Parity::SecDed => damaged[1000] ^= 4,
                _ => damaged[16..528].fill(0),
            }
            damaged
        })
        .collect();
    let (mut out, mut out_plain) = (Vec::new(), Vec::new());
    let [seal, without, open, heal, scrubbed] = medians([
        &mut |i| {
            out.clear();
            black_box(codec.seal_into(ID, &plains[i], &mut out).unwrap());
        },
        &mut |i| {
            out_plain.clear();
            black_box(plain_codec.seal_into(ID, &plains[i], &mut out_plain).unwrap());
        },
        &mut |i| drop(black_box(codec.open(ID, &stored[i]).unwrap())),
        &mut |i| {
            let opened = codec.open(ID, &damaged[i]).unwrap();
            assert_eq!(opened.outcome, Outcome::Healed);
        },
        &mut |i| drop(black_box(scrub(ID, &stored[i]).unwrap())),
    ]);
    println!(
        "{len:6} B  {name:18} stored {:5} ({:+5.1} %)  seal {seal:6.0} (without {without:.0})  \
         open {open:.0}  heal {heal:.0}  scrub {scrubbed:.0}",
        stored[0].len(),
        (stored[0].len() as f64 / (len + 24) as f64 - 1.0) * 100.0,
    );
}

/// Medians of interleaved rounds of each, in nanoseconds per block. Every other round goes backwards,
/// so that none always finds the caches as the same one left them.
fn medians<const N: usize>(works: [&mut dyn FnMut(usize); N]) -> [f64; N] {
    let mut times = [const { Vec::new() }; N];
    for round in 0..ROUNDS {
        for i in 0..N {
            let i = if round % 2 == 0 { i } else { N - 1 - i };
            let start = Instant::now();
            (0..BLOCKS).for_each(&mut *works[i]);
            times[i].push(start.elapsed().as_nanos() as f64 / BLOCKS as f64);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

fn context(seal: Seal, dictionary: &Dictionary) -> BlockContext {
    let info = FileKeyInfo { db_id: DbId([5; 16]), kind: 1, uid: ID.uid, salt: [9; 32] };
    let key = FileKey::derive(&RootKey::new(1, [1; 32]), &info);
    BlockContext {
        key: (seal != Seal::None).then_some(key),
        dictionaries: vec![dictionary.clone()],
        ..BlockContext::default()
    }
}

fn hash(checksum: Checksum, bytes: &[u8]) -> u64 {
    match checksum {
        Checksum::Xxh3 => XxHash3_64::oneshot(bytes),
        _ => crc_fast::crc32_iscsi(bytes).into(),
    }
}

/// Codec, cipher and checksum with nothing around them, and buffers that are used again.
struct Raw {
    spec: BlockSpec,
    packed: Vec<u8>,
    between: Vec<u8>,
    plain: Vec<u8>,
    table: lz4_flex::block::CompressTable,
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
    with_dictionary: (CCtx<'static>, CDict<'static>, DCtx<'static>, DDict<'static>),
    aes: Aes256Gcm,
    chacha: ChaCha20Poly1305,
}

impl Raw {
    fn new(spec: BlockSpec, dictionary: &Dictionary, len: usize) -> Self {
        let level = if let Compression::Zstd { level } = spec.compression { level } else { 1 };
        let bytes = dictionary.bytes();
        Self {
            spec,
            packed: vec![0; 1 << 16],
            between: vec![0; 1 << 16],
            plain: Vec::with_capacity(len),
            table: lz4_flex::block::CompressTable::small(),
            compressor: zstd::bulk::Compressor::new(level).unwrap(),
            decompressor: zstd::bulk::Decompressor::new().unwrap(),
            with_dictionary: (
                CCtx::create(),
                CDict::create(bytes, level),
                DCtx::create(),
                DDict::create(bytes),
            ),
            aes: Aes256Gcm::new(&[3; 32].into()),
            chacha: ChaCha20Poly1305::new(&[3; 32].into()),
        }
    }

    fn seal(&mut self, plain: &[u8]) -> &[u8] {
        let packed = &mut self.packed[..];
        let mut len = match self.spec.compression {
            Compression::Lz4 => {
                lz4_flex::block::compress_into_with_table(plain, packed, &mut self.table).unwrap()
            }
            Compression::Zstd { .. } => self.compressor.compress_to_buffer(plain, packed).unwrap(),
            Compression::ZstdDictionary { .. } => {
                let (context, dictionary, ..) = &mut self.with_dictionary;
                context.compress_using_cdict(packed, plain, dictionary).unwrap()
            }
            _ => {
                packed[..plain.len()].copy_from_slice(plain);
                plain.len()
            }
        };
        let nonce = [0; 12].into();
        let payload = packed[..len].as_mut().into();
        let tag: Option<[u8; 16]> = match self.spec.seal {
            Seal::Aes256Gcm => {
                Some(self.aes.encrypt_inout_detached(&nonce, &[0; 65], payload).unwrap().into())
            }
            Seal::ChaCha20Poly1305 => {
                Some(self.chacha.encrypt_inout_detached(&nonce, &[0; 65], payload).unwrap().into())
            }
            _ => None,
        };
        if let Some(tag) = tag {
            packed[len..len + 16].copy_from_slice(&tag);
            len += 16;
        }
        black_box(hash(self.spec.checksum, &self.packed[..len]));
        &self.packed[..len]
    }

    fn open(&mut self, packed: &[u8], len: usize) {
        black_box(hash(self.spec.checksum, packed));
        let mut packed = packed;
        if self.spec.seal != Seal::None {
            let (sealed, tag) = packed.split_last_chunk::<16>().unwrap();
            let out = &mut self.between[..sealed.len()];
            let nonce = [0; 12].into();
            let bytes = aes_gcm::aead::inout::InOutBuf::new(sealed, out).unwrap();
            if self.spec.seal == Seal::Aes256Gcm {
                self.aes.decrypt_inout_detached(&nonce, &[0; 65], bytes, tag.into()).unwrap();
            } else {
                self.chacha.decrypt_inout_detached(&nonce, &[0; 65], bytes, tag.into()).unwrap();
            }
            packed = &self.between[..sealed.len()];
        }
        match self.spec.compression {
            Compression::Lz4 => {
                self.plain.resize(len, 0);
                lz4_flex::block::decompress_into(packed, &mut self.plain).unwrap();
            }
            Compression::Zstd { .. } => {
                self.decompressor.decompress_to_buffer(packed, &mut self.plain).unwrap();
            }
            Compression::ZstdDictionary { .. } => {
                let (.., context, dictionary) = &mut self.with_dictionary;
                context.decompress_using_ddict(&mut self.plain, packed, dictionary).unwrap();
            }
            _ => {}
        }
        black_box((&self.plain, &self.between));
    }
}

fn blocks(len: usize, seeds: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    seeds.map(|seed| half_random(seed, len)).collect()
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
