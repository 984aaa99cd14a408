//! The words every other crate of Stratal speaks.
//!
//! A stored row is a user key, a [`Trailer`] (sequence number and [`EntryKind`]) and a value. Rows
//! stand in *internal order*: user keys ascending by a [`Comparator`], versions of one key newest
//! first. A read at bound `R` sees the rows whose sequence number is below `R`.
//!
//! This crate knows nothing about files, blocks or trees. It builds without `std` (with `alloc`);
//! only [`sync`] needs the `std` feature.
//!
//! ```
//! use stratal_types::{Bytewise, Comparator, EntryKind, InternalKey, SeqNo, Trailer};
//!
//! let old = InternalKey::new(b"AD/Vila", Trailer::new(SeqNo::new(7).unwrap(), EntryKind::Put));
//! let new = InternalKey::new(b"AD/Vila", Trailer::new(SeqNo::new(9).unwrap(), EntryKind::Delete));
//! assert!(new.compare(&old, &Bytewise).is_lt(), "the newer version stands first");
//! assert!(old.trailer.seqno().is_visible_at(SeqNo::new(8).unwrap()));
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

mod seqno;
mod entry;
mod comparator;
mod prefix_extractor;
mod key_range;
mod tombstone;
mod cut;
mod cursor;
mod block_cursor;
mod uid;
mod hash;
mod digest;
mod metrics;
pub mod fields;
pub mod varint;
pub mod dump;
#[cfg(feature = "std")]
pub mod sync;

pub use block_cursor::{BlockCursor, BlockFacts, KindSet};
pub use comparator::{Bytewise, Comparator, PrefixRange, Reverse, Shortlex, comparator_named};
pub use cursor::{Cursor, Direction, SEEK_STEPS};
pub use cut::{CutOptions, Fence, OutputCutter, Piece};
pub use digest::EntryDigest;
pub use entry::{EntryKind, EntryRef, InternalKey, Trailer};
pub use hash::key_hash;
pub use key_range::KeyRange;
#[cfg(feature = "std")]
pub use metrics::Counters;
pub use metrics::{Counter, Metrics, NoMetrics};
pub use prefix_extractor::{
    DelimitedPrefix, FixedPrefix, NoPrefix, PrefixExtractor, prefix_extractor_named,
};
pub use seqno::SeqNo;
pub use tombstone::{Fragment, Fragments, RangeTombstone, Stretch, Turn};
pub use uid::{DbId, FileUid};

/// Longest user key, in bytes. The shortest is one byte.
pub const KEY_LEN_MAX: usize = 65_535;

/// Longest value, in bytes.
pub const VALUE_LEN_MAX: usize = 1 << 30;
