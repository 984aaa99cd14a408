//! Plain archives of the `sfa` crate, version 1.0: read, and written.
//!
//! The format is smaller than this crate's own: sections under names of bytes, one table of contents
//! and a trailer at the end of the file. A check covers the contents and nothing else, there is one
//! copy of them, and the file does not say what it is, whose, or how long it should be. It is here to
//! exchange files with programs that use it; what Stratal stores is in archives of its own.
//! [`format`](crate::format#plain-sfa-archives-version-10) has every byte.
//!
//! # Invariants
//!
//! * **Reading is total**: whatever the bytes, [`open`] and [`Opener`] end with contents or an
//!   [`Error`], after at most two reads. Memory is bounded by the length of the table, and that by the
//!   file and by [`Opener::with_toc_len_max`].
//! * **Sections lie within the file**, before the contents. They may leave room between them, overlap,
//!   or share a name: the format forbids none of it, though no known writer does the first two.
//! * **What this writer writes, the `sfa` crate reads, and the other way round**; if the first section
//!   is not empty, both write the same bytes. The crate's tests compare the two.
//!
//! ```
//! use std::io::Write;
//! use stratal_archive::sfa;
//!
//! let mut writer = sfa::Writer::new(Vec::new());
//! writer.section("greeting")?;
//! writer.write_all(b"hello")?;
//! writer.section(b"\xff any bytes")?;
//! let (file, _) = writer.finish()?;
//!
//! let toc = sfa::open(&file)?;
//! let greeting = toc.get(b"greeting").expect("was written");
//! assert_eq!(greeting.bytes_in(&file), Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A file too large to hold is read through an [`Opener`], which says which bytes it needs, like the
//! one of [this crate's own archives](crate::Opener).

mod toc;
mod trailer;
mod opener;
#[cfg(feature = "std")]
mod writer;
mod annotate;
mod error;

pub use annotate::annotate;
pub use error::Error;
pub use opener::{Opener, TOC_LEN_MAX, open};
pub use toc::{Toc, TocEntry};
pub use trailer::Trailer;
#[cfg(feature = "std")]
pub use writer::{WriteError, Writer};

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u8 = 1;

/// Length of an archive without sections, in bytes. No archive is shorter.
pub const FILE_LEN_MIN: u64 = Toc::LEN_MIN + Trailer::LEN_U64;

/// Most bytes in a section's name.
pub const NAME_LEN_MAX: usize = 0xffff;
