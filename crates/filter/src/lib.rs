//! Membership filters over key hashes: built to bytes, probed from bytes.
//!
//! A filter answers one question about a set of 64-bit hashes: is this one certainly absent, or may
//! it be there? "Absent" is never wrong. "May be there" is wrong at a rate that is chosen with the
//! size, see [`FilterSpec`]. There are two kinds, see [`FilterKind`]: blocked Bloom is built quickly,
//! BuRR is small. A [`Retrieval`] answers with a small value instead, of hashes known to be there.
//!
//! Data flows one way: hashes into a [`FilterBuilder`], out of it as bytes, and the bytes, wherever
//! they lie, into a [`Filter`] that probes them in place. The invariants that hold in between:
//!
//! * **No copy, no decoding.** [`Filter::parse`] reads the header; a probe reads a few dozen bytes
//!   and allocates nothing.
//! * **Total.** Any bytes whatsoever either fail to parse with a typed [`Error`] or give a filter
//!   that answers. Nothing here panics.
//! * **An empty set has no filter.** The builder then writes no bytes, and the owner of the set,
//!   who knows that it is empty, needs none.
//! * **Only what a filter is over can be asked for.** It may be over whole keys, over prefixes, or
//!   over both, see [`Membership`]; to any other question the answer is "may be there".
//!
//! This crate knows nothing about keys (it is given their hashes, see
//! [`key_hash`](stratal_types::key_hash)), files, tables or checksums: bytes that were damaged after
//! they were written can make a filter lie, so whoever stores them must be able to tell.
//! The byte layout is in [`format`](mod@format). Builds without `std` (with `alloc`).
//!
//! ```
//! use stratal_filter::{Filter, FilterBuilder, FilterSize};
//! use stratal_types::key_hash;
//!
//! let mut builder = FilterBuilder::new(FilterSize::BitsPerKey(10.0).into());
//! builder.add(key_hash(b"AD/Vila"));
//! builder.add(key_hash(b"AD/Soldeu"));
//! let mut bytes = vec![];
//! builder.finish_into(&mut bytes);
//!
//! let filter = Filter::parse(&bytes[..])?;
//! assert!(filter.may_contain(key_hash(b"AD/Vila")));
//! assert!(!filter.may_contain(key_hash(b"FR/Paris")));
//! # Ok::<(), stratal_filter::Error>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod spec;
mod kind;
mod membership;
mod builder;
mod filter;
mod retrieval;
mod header;
mod line;
mod rate;
mod ribbon;
mod input;
mod annotate;
mod error;

pub use annotate::annotate;
pub use builder::{FilterBuilder, build};
pub use error::Error;
pub use filter::Filter;
pub use kind::FilterKind;
pub use membership::Membership;
pub use retrieval::{Retrieval, RetrievalBuilder};
pub use spec::{FilterSize, FilterSpec};

#[doc = include_str!("../FORMAT.md")]
pub mod format {}
