//! Fences: for each data block, a key that no key of the block is behind, and where the block is.
//!
//! A fence stands, in internal order, at or behind the last entry of its block and before the first
//! of the next. Between different user keys it may be any key that separates them, so the shortest is
//! taken, and it carries the lowest trailer: then it is behind every version of its key. Where one
//! key's versions run over the boundary, the fence is the last entry's own key and trailer.

mod fence;
mod builder;
mod cursor;

pub(crate) use builder::IndexBuilder;
pub(crate) use cursor::IndexCursor;
pub(crate) use fence::{BlockFence, Stats};
