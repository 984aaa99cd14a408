//! Memory in huge pages.
//!
//! Who reads here and there in a hundred megabytes waits for each line twice: for its address, which the
//! processor looks up page by page, and then for the line. Pages of 4 KiB are too many to be remembered;
//! of 2 MiB a few dozen do. Systems hand out such pages to who asks for them, and gives them whole and
//! aligned memory to lay them under. This crate asks.
//!
//! A [`Region`] is one piece of such memory. Where the system has no huge pages, or no mappings at all, it
//! is ordinary memory, and nothing else changes. A [`Buffer`] is a part of one, of any length, and becomes
//! [`Shared`] bytes; [`Buffer::usage`] says how much all of them take.
//!
//! This crate knows nothing about what is kept there.
//!
//! ```
//! use stratal_slab::{Buffer, Region};
//!
//! let mut region = Region::new(4 << 20);
//! region.as_mut_slice()[..5].copy_from_slice(b"hello");
//! assert_eq!(&region.as_slice()[..6], b"hello\0");
//!
//! let block = Buffer::copy_of(&[7; 5000]).share();
//! assert_eq!(block.len(), 5000);
//! assert!(Buffer::usage().taken >= 5000);
//! ```
//!
//! # Unsafe code
//!
//! The `SAFETY` comments of this crate refer to these invariants:
//!
//! * **R1 owned**: a region's bytes are initialised, may be read and written, belong to nobody else, and
//!   stay where they are until it is dropped. A region that spans are cut from is dropped when no page
//!   of it is taken.
//! * **S1 one owner**: a page whose mark says that it is taken belongs to one span, and the span to one
//!   class or one buffer. A slot whose bit in its class is not set belongs to one buffer, and its span stays
//!   with the class meanwhile. Marks and bits are changed under the locks that they lie behind, by who
//!   takes them or gives back what it owns.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod region;
mod span;
mod class;
mod slab;
mod shared;
mod buffer;

pub use buffer::Buffer;
pub use region::{HUGE_PAGE, Region};
pub use shared::Shared;
pub use slab::Usage;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
