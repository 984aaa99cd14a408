//! No twin reads outside its column: columns end, or begin, where a page begins that may not be read.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{ptr, slice};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
use stratal_simd::Simd;

/// At least a page of any machine.
const PAGE: usize = 1 << 16;

/// One page of sevens between two that may not be read; never given back.
fn guarded() -> &'static [u8] {
    // SAFETY: fresh memory of three pages, of which the middle one stays readable for ever.
    unsafe {
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        let start = mmap_anonymous(ptr::null_mut(), 3 * PAGE, flags, MapFlags::PRIVATE).unwrap();
        ptr::write_bytes(start.cast::<u8>(), 7, 3 * PAGE);
        mprotect(start, PAGE, MprotectFlags::empty()).unwrap();
        mprotect(start.cast::<u8>().add(2 * PAGE).cast(), PAGE, MprotectFlags::empty()).unwrap();
        slice::from_raw_parts(start.cast::<u8>().add(PAGE), PAGE)
    }
}

#[test]
fn nothing_is_read_before_a_column_or_behind_it() {
    let page = guarded();
    for len in 0..600 {
        for column in [&page[..len], &page[PAGE - len..]] {
            for simd in Simd::all() {
                assert_eq!(simd.match_u8(column, 7).count(), len);
                assert_eq!(simd.rank_u8(column, 8), len);
                assert_eq!(simd.rank_u16(column, u16::MAX), len / 2);
                assert_eq!(simd.rank_u32(column, u32::MAX), len / 4);
                assert_eq!(simd.rank_u64(column, u64::MAX), len / 8);
            }
        }
    }
}
