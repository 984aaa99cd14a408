//! Bytes in, bytes out: one block of a file, framed, checked and compressed; and the sorted block
//! of keys and values that is searched where it lies.
//!
//! Two formats, each useful without the other:
//!
//! * A **frame** surrounds any payload with 24 bytes: lengths, codec, and a check that covers the
//!   bytes and *who the block is* ([`BlockId`]), so that a block in a wrong place is noticed like a
//!   damaged one. A [`BlockSpec`] is resolved once, with the keys and dictionaries of a
//!   [`BlockContext`], into a [`BlockCodec`], which seals and opens. On the way out it compresses,
//!   encrypts, checks and adds parity; on the way back it heals what was damaged ([`Outcome`]).
//! * A **sorted block** ([`SortedBlock`], [`SortedBlockBuilder`]) is such a payload: rows in internal
//!   order, in a layout made for search rather than decoding. Point reads compare one byte of the
//!   key's hash, up to 64 rows at a time; seeks count the first bytes of keys; both touch a few cache
//!   lines. Stepping is arithmetic in either direction, and values are lent, never copied. What keys
//!   share stands once, for all of a block and for groups of neighbours; rows can carry digests of
//!   their own ([`SortedBlockOptions::digests`]).
//!
//! Invariants:
//!
//! * Functions here are total over slices: no file, clock or lock, no panic on any bytes, and no
//!   allocation that the bytes at hand and the caller's [`Limits`] do not justify.
//! * The reader says which block it wants. Nothing that a block states about itself is believed
//!   before the check holds, and its lengths are compared with limits even then.
//! * The bytes written depend on the input and the spec, never on cargo features or on what was
//!   written before.
//!
//! This crate knows nothing about files, tables, levels or caches, and not what a [`BlockKind`]
//! means. Normative for the bytes is [`format`](mod@format).
//!
//! ```
//! use stratal_block::{BlockContext, BlockId, BlockKind, BlockSpec, Compression};
//! use stratal_types::FileUid;
//!
//! let spec = BlockSpec { compression: Compression::Lz4, ..BlockSpec::default() };
//! let codec = spec.resolve(&BlockContext::default())?;
//!
//! let id = BlockId { uid: FileUid([7; 16]), ordinal: 0, kind: BlockKind(1) };
//! let stored = codec.seal(id, &[42; 1000])?;
//! assert!(stored.len() < 100);
//! assert_eq!(codec.open(id, &stored)?[..], [42; 1000]);
//!
//! let elsewhere = BlockId { ordinal: 4096, ..id };
//! assert!(codec.open(elsewhere, &stored).unwrap_err().is_corruption());
//! # Ok::<(), stratal_block::Error>(())
//! ```
//!
//! # Features
//!
//! `std` (default): hash instructions chosen at run time, codec contexts kept per thread. Without it
//! the crate needs `alloc` and computes the same bytes. The others choose providers, all of them by
//! default; a block that needs one that is not there fails with [`Error::Unsupported`], by name:
//! `zstd`, which needs `std` and a C compiler; `aes-gcm`, `chacha20poly1305` and `reed-solomon`, which
//! need neither.
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

mod identity;
mod checksum;
mod dictionary;
mod compression;
mod seal;
mod key;
mod parity;
mod spec;
mod frame;
mod heal;
mod codec;
mod sorted;
mod error;

pub use checksum::Checksum;
pub use codec::BlockCodec;
pub use compression::Compression;
pub use dictionary::{Dictionary, DictionaryId};
pub use error::Error;
pub use frame::{
    Codec, Frame, FrameHeader, annotate_broken_frame, annotate_frame, annotate_frame_with,
    reidentify, verify,
};
pub use heal::{Opened, Outcome, Payload, Scrubbed, scrub};
pub use identity::{BlockId, BlockKind};
pub use key::{FileKey, FileKeyInfo, KeyRing, RootKey};
pub use parity::Parity;
pub use seal::Seal;
pub use sorted::{
    EntryView, NewRow, SortedBlock, SortedBlockBuilder, SortedBlockOptions, SortedCursor,
    SortedPlace, Step, annotate_sorted_block,
};
pub use spec::{BlockContext, BlockSpec, Limits};

#[doc = include_str!("../FORMAT.md")]
pub mod format {}
