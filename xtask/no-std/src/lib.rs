//! Stratal's codecs in a library without the standard library.
//!
//! It is built and never run. The standard library has a panic handler, and so has this; if any
//! crate below it asked for the standard library, there would be two, which the compiler refuses.
//! Each exported function carries something through one crate, so that its code is really there.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use core::{
    alloc::{GlobalAlloc, Layout},
    hint::black_box,
    panic::PanicInfo,
};

use stratal_archive::{ArchiveHeader, Opener, Progress, sfa};
use stratal_block::{
    BlockContext, BlockId, BlockKind, BlockSpec, Compression, FileKey, FileKeyInfo, Parity,
    RootKey, Seal,
};
use stratal_filter::{
    Filter, FilterBuilder, FilterKind, FilterSize, FilterSpec, Retrieval, RetrievalBuilder,
};
use stratal_simd::Simd;
use stratal_types::{DbId, FileUid, dump::Dump, key_hash, varint};

/// Prints a number and reads it back.
#[unsafe(no_mangle)]
pub extern "C" fn stratal_types_round_trip(number: u64) -> bool {
    let mut bytes = Vec::new();
    varint::put(&mut bytes, number);
    let mut dump = Dump::new(&bytes);
    dump.field(bytes.len(), "the number");
    let text = dump.finish();
    let read = stratal_types::dump::bytes_of(&text);
    read.is_some_and(|read| varint::take(&mut &read[..]) == Some(number))
}

/// Looks for a byte and ranks it.
#[unsafe(no_mangle)]
pub extern "C" fn stratal_simd_match_and_rank(needle: u8) -> bool {
    let column = black_box([3, 5, 5, 200]);
    let simd = Simd::detect();
    simd.match_u8(&column, needle).next().is_none_or(|i| i == simd.rank_u8(&column, needle))
}

/// Seals a block and opens it.
#[unsafe(no_mangle)]
pub extern "C" fn stratal_block_round_trip(ordinal: u64) -> bool {
    let id = BlockId { uid: FileUid([7; 16]), ordinal, kind: BlockKind(1) };
    let info = FileKeyInfo { db_id: DbId::default(), kind: 1, uid: id.uid, salt: [9; 32] };
    let key = FileKey::derive(&RootKey::new(1, [5; 32]), &info);
    let seal = if ordinal % 2 == 0 { Seal::Aes256Gcm } else { Seal::ChaCha20Poly1305 };
    let parity = Parity::ReedSolomon { data: 4, parity: 2 };
    let spec = BlockSpec { compression: Compression::Lz4, seal, parity, ..BlockSpec::default() };
    let context = BlockContext { key: Some(key), ..BlockContext::default() };
    let Ok(codec) = spec.resolve(&context) else { return false };
    let plain = black_box([42; 1000]);
    let Ok(stored) = codec.seal(id, &plain) else { return false };
    codec.open(id, &stored).is_ok_and(|opened| opened[..] == plain)
}

/// Builds a filter of each kind and asks it.
#[unsafe(no_mangle)]
pub extern "C" fn stratal_filter_round_trip(keys: u32) -> bool {
    FilterKind::ALL.into_iter().all(|kind| filter_round_trip(kind, keys))
}

fn filter_round_trip(kind: FilterKind, keys: u32) -> bool {
    let mut builder = FilterBuilder::new(FilterSpec { kind, size: FilterSize::default() });
    let hashes = (0..keys).map(|key| key_hash(&key.to_le_bytes()));
    hashes.clone().for_each(|hash| builder.add(hash));
    let mut bytes = Vec::new();
    builder.finish_into(&mut bytes);
    Filter::parse(&bytes[..])
        .is_ok_and(|filter| hashes.into_iter().all(|hash| filter.may_contain(hash)))
}

/// Builds a retrieval and asks it.
#[unsafe(no_mangle)]
pub extern "C" fn stratal_retrieval_round_trip(key: u64, value: u16) -> bool {
    let mut bytes = Vec::new();
    let built = RetrievalBuilder::new(16).and_then(|mut builder| {
        builder.add(key, value)?;
        builder.finish_into(&mut bytes)
    });
    built.is_ok() && Retrieval::parse(&bytes[..]).is_ok_and(|values| values.get(key) == value)
}

/// Opens what has the header of an archive; gives the number of its sections.
#[unsafe(no_mangle)]
pub extern "C" fn stratal_archive_sections(fill: u8) -> usize {
    let header = ArchiveHeader { uid: FileUid([fill; 16]), ..ArchiveHeader::default() };
    let mut file = header.encode().to_vec();
    file.resize(1 << 16, fill);
    let mut opener = Opener::new(1 << 16);
    let mut bytes = &[][..];
    loop {
        match opener.advance(bytes) {
            Ok(Progress::Need(range)) => {
                let range = usize::try_from(range.start)
                    .ok()
                    .zip(usize::try_from(range.end).ok())
                    .and_then(|(start, end)| file.get(start..end));
                let Some(asked) = range else { return 0 };
                bytes = asked;
            }
            Ok(Progress::Done(toc)) => return toc.entries.len(),
            Err(_) => return 0,
        }
    }
}

/// Makes a plain archive of one section and opens it.
#[unsafe(no_mangle)]
pub extern "C" fn stratal_sfa_round_trip(fill: u8) -> bool {
    let mut file = alloc::vec![fill; 100];
    let entry = sfa::TocEntry { name: alloc::vec![fill; 3], offset: 0, len: 100 };
    let toc = sfa::Toc { entries: alloc::vec![entry], offset: 100 };
    let encoded = toc.encode();
    file.extend(&encoded);
    file.extend(sfa::Trailer::of(&encoded, toc.offset).encode());
    sfa::open(&file) == Ok(toc)
}

/// Memory for nobody: the library is never run.
struct NoMemory;

// SAFETY: `alloc` may report failure by null, always; `dealloc` is then never called.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
