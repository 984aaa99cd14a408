//! A file of tagged sections, and the table of contents that finds them.
//!
//! # Data flow
//!
//! [`ArchiveWriter`] streams sections into a sink, hashing as it goes, and closes the file with its
//! contents: one copy behind the sections, one at the end of the file behind the second copies of
//! those sections that the caller chose to double. [`Opener`] reads nothing itself: it says which
//! bytes it needs, and from them finds a [`Toc`]. From there on the caller reads the sections it
//! wants and verifies each, at once or streaming, when it sees fit.
//!
//! # Invariants
//!
//! * **Everything but undoubled sections stands twice**, with at least [`GAP_LEN`] bytes between the
//!   two copies. Losing any [`GAP_LEN`] bytes in a row, aligned or not, loses no contents. The header
//!   is repeated in the contents.
//! * **Every byte belongs to one part**: header, sections, contents, gap. Parts stand back to back in
//!   one order, so that a file has one layout, and verifying it covers every byte.
//! * **Contents know where they are.** A copy that was moved, or belongs to a file of another length,
//!   is not taken for this file's.
//! * **Reading is total**: whatever the bytes, also with checks fixed up, opening ends with contents or
//!   an [`Error`], after at most [`SEARCH_LEN_MAX`] bytes of search.
//!
//! The checks find accidents, not forgeries. This crate knows nothing about what is in a section, and
//! does no I/O but for the writers' sinks. Without the feature `std` it has all but the writers.
//! Plain archives of the `sfa` crate are read and written by module [`sfa`]. A tool like zip, in
//! `examples/pack`, shows the whole of it at work.
//!
//! ```
//! use std::io::Write;
//! use stratal_archive::{ArchiveHeader, ArchiveWriter, Half, Opener, Progress, SectionTag};
//! use stratal_types::{DbId, FileUid};
//!
//! const DATA: SectionTag = SectionTag(*b"DATA");
//! const PROPERTIES: SectionTag = SectionTag(*b"PROP");
//!
//! // Write: the properties stand twice.
//! let header = ArchiveHeader { file_type: *b"DEMO", db_id: DbId::default(), uid: FileUid([7; 16]), seal: None };
//! let mut writer = ArchiveWriter::new(Vec::new(), header)?;
//! writer.section(DATA)?;
//! writer.write_all(b"a great deal of data")?;
//! writer.section(PROPERTIES)?;
//! writer.write_all(b"items=1")?;
//! writer.mirror(PROPERTIES, b"items=1".to_vec())?;
//! let (file, _) = writer.finish()?;
//!
//! // Read: from a slice here, from anything that can be read at an offset elsewhere.
//! let bytes_at = |range: std::ops::Range<u64>| &file[range.start as usize..range.end as usize];
//! let mut opener = Opener::new(file.len() as u64);
//! let mut bytes = &[][..];
//! let toc = loop {
//!     match opener.advance(bytes)? {
//!         Progress::Need(range) => bytes = bytes_at(range),
//!         Progress::Done(toc) => break toc,
//!     }
//! };
//! toc.require_known(&[DATA, PROPERTIES])?;
//! assert_eq!(toc.find(PROPERTIES).count(), 2);
//! let data = toc.get(DATA, Half::Primary).expect("was written");
//! data.verify(bytes_at(data.range()))?;
//! assert_eq!(bytes_at(data.range()), b"a great deal of data");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod seal;
mod header;
mod section;
mod toc;
mod trailer;
mod opener;
#[cfg(feature = "std")]
mod sink;
#[cfg(feature = "std")]
mod writer;
mod annotate;
mod error;
mod bytes;
pub mod sfa;

pub use annotate::{annotate_header, annotate_toc, annotate_trailer};
pub use error::Error;
pub use header::ArchiveHeader;
pub use opener::{Opener, Progress, SEARCH_LEN_MAX, TAIL_LEN};
pub use seal::HeaderSeal;
pub use section::{Half, Section, SectionHasher, SectionTag, TocEntry};
pub use toc::{FILE_LEN_MIN, GAP_LEN, MIRRORED_LEN_MAX, Part, SECTIONS_MAX, Toc};
pub use trailer::Trailer;
#[cfg(feature = "std")]
pub use writer::{ArchiveWriter, WriteError};

#[doc = include_str!("../FORMAT.md")]
pub mod format {}

/// The version of the format that this build writes, and the only one it reads.
pub const VERSION: u32 = 1;
