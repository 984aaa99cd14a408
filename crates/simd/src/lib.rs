//! Match and rank over columns of small numbers, as fast as the processor can.
//!
//! A *column* is a slice of bytes that holds little-endian numbers of one width side by side, at no
//! particular address: a part of a block as it lies in a file. Two questions are asked of it:
//!
//! * **match**: at which places stands this byte? ([`Simd::match_u8`])
//! * **rank**: how many numbers of an ascending column are below this one? ([`Simd::rank_u8`] to
//!   [`Simd::rank_u64`])
//!
//! Each has a twin for AVX-512, one for AVX2 and a portable one. A [`Simd`] says which of them run;
//! [`Simd::detect`] gives the best that this processor has, and whoever asks often keeps the value.
//! **All twins give the same answer on all bytes**, on columns that do not ascend too, so that no
//! answer depends on the machine. None panics, and none reads outside the column.
//!
//! Beside them stands what brings memory near before a question is asked: [`prefetch`].
//!
//! This crate knows nothing about what the numbers mean. It needs neither `std` nor `alloc`.
//!
//! ```
//! use stratal_simd::Simd;
//!
//! let simd = Simd::detect();
//! assert_eq!(simd.match_u8(b"abracadabra", b'b').collect::<Vec<_>>(), [1, 8]);
//!
//! let column: Vec<u8> = [3u32, 5, 5, 900].into_iter().flat_map(u32::to_le_bytes).collect();
//! assert_eq!(simd.rank_u32(&column, 5), 1);
//! assert_eq!(simd.rank_u32(&column, 6), 3);
//! ```
//!
//! # Unsafe code
//!
//! The `SAFETY` comments below refer to three invariants:
//!
//! * **S1 features**: a [`Simd`] that names a twin exists only on a processor that has, with the
//!   operating system's support, every feature that the twin is compiled for. Its field is private,
//!   and both functions that make one ask the processor.
//! * **S2 lanes**: a load reads bytes of the slice at hand only: either the whole vector lies inside
//!   it, or the mask names no lane beyond its end, and masked lanes are not read.
//! * **S3 hints**: every processor of this architecture has the instruction that asks for memory ahead,
//!   which reads nothing, and does nothing where there is none.
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

mod level;
mod matches;
mod rank;
mod prefetch;
mod portable;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

pub use level::Simd;
pub use matches::Matches;
pub use prefetch::{prefetch, prefetch_address, prefetch_value};
