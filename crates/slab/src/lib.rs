//! Memory in huge pages.
//!
//! Who reads here and there in a hundred megabytes waits for each line twice: for its address, which the
//! processor looks up page by page, and then for the line. Pages of 4 KiB are too many to be remembered;
//! of 2 MiB a few dozen do. Systems hand out such pages to who asks for them, and gives them whole and
//! aligned memory to lay them under. This crate asks.
//!
//! A [`Region`] is one piece of such memory. Where the system has no huge pages, or no mappings at all, it
//! is ordinary memory, and nothing else changes.
//!
//! This crate knows nothing about what is kept there.
//!
//! ```
//! use stratal_slab::Region;
//!
//! let mut region = Region::new(4 << 20);
//! region.as_mut_slice()[..5].copy_from_slice(b"hello");
//! assert_eq!(&region.as_slice()[..6], b"hello\0");
//! ```
//!
//! # Unsafe code
//!
//! The `SAFETY` comments of this crate refer to these invariants:
//!
//! * **R1 owned**: a region's bytes are initialised, may be read and written, belong to nobody else, and
//!   stay where they are until it is dropped.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod region;

pub use region::{HUGE_PAGE, Region};
